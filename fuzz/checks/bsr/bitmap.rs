//! Bitmaps: whatever packets another node makes of its own.

use bytes::{Bytes, BytesMut};
use drx_bsr::bitmap::{BLOCK, Bitmap, BitmapError, Transfer};
use drx_bsr::wire::command::CONTROL;
use drx_bsr::wire::{Decoder, Encoder, Packet, Stream};

/// Nothing panics, no bit is ever cleared by what the other node sends, its bitmap ends once, and what has come of it
/// all goes to a third node unharmed, in packets as the kernels have them.
///
/// Input: u8 mode (bit 0: version 99 instead of 101, bits 1 and 2: how many times to double the bits), u16 bits, u8
/// which packets to the third node may be compressed, bit n % 8 for packet n. Then steps: see [`Story::step`].
pub fn bitmap(input: &[u8]) -> usize {
    let Some((&[mode, high, low, compress], mut steps)) = input.split_first_chunk::<4>() else { return 0 };
    let bits = u64::from(u16::from_be_bytes([high, low])) << (mode >> 1 & 3);
    let (version, header) = if mode & 1 != 0 { (99, 8) } else { (101, 16) };
    let bitmap = Bitmap::new(bits * BLOCK);
    let mut story = Story { bitmap, transfer: Transfer::new(header), ended: false, accepted: 0 };
    while story.step(&mut steps).is_some() {}
    let pages = (0..story.bitmap.pages()).map(|page| ones(&story.bitmap.page(page)));
    assert_eq!(story.bitmap.weight(), pages.sum::<u64>(), "the weight is known");

    let third = story.send_on(version, header, compress);
    assert_eq!(third, story.bitmap, "a bitmap survives its packets");
    assert_eq!(third.weight(), story.bitmap.weight());
    story.accepted
}

/// A bitmap, and that of another node on its way into it.
struct Story {
    bitmap: Bitmap,
    transfer: Transfer,
    ended: bool,
    accepted: usize,
}

impl Story {
    /// One thing happens. Its first byte: 0 a plain packet, or 4 one of 256 words more; 1 the node itself sets bits, 2
    /// or clears some; 3 the other node begins anew; otherwise it is the encoding of a compressed packet. Then u8 how
    /// many bytes follow, or words of a plain packet, all of which are the same 8 bytes. None at the end.
    fn step(&mut self, steps: &mut &[u8]) -> Option<()> {
        let (&[what, length], rest) = steps.split_first_chunk::<2>()?;
        let words = usize::from(length) + if what == 4 { 256 } else { 0 };
        let length = if let 0 | 4 = what { 8 } else { length.into() };
        let (bytes, rest) = rest.split_at(rest.len().min(length));
        *steps = rest;
        match what {
            0 | 4 => self.receive(&Packet::Bitmap(bytes.repeat(words).into())),
            1 | 2 => {
                let mut numbers = [0; 8];
                numbers.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                let [a, b, c, d, e, f, g, h] = numbers;
                let (from, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.change(what == 1, from.into(), length.into());
            }
            3 => (self.transfer, self.ended) = (Transfer::new(16), false),
            encoding => self.receive(&Packet::CompressedBitmap(encoding, Bytes::copy_from_slice(bytes))),
        }
        Some(())
    }

    fn receive(&mut self, packet: &Packet) {
        let before = self.bitmap.clone();
        match self.transfer.receive(&mut self.bitmap, packet) {
            Ok(ended) => {
                assert!(!self.ended, "nothing comes after the end");
                (self.ended, self.accepted) = (ended, self.accepted + 1);
            }
            Err(wrong) => {
                assert_eq!(wrong == BitmapError::Ended, self.ended);
                assert!(wrong.to_string().len() <= 300, "a reason is a line in a log");
            }
        }
        let mut bit = 0;
        while let Some(set) = before.next_set(bit) {
            let end = before.next_clear(set).unwrap_or(before.bits());
            let clear = self.bitmap.next_clear(set).unwrap_or(before.bits());
            assert!(clear >= end, "bit {clear} was cleared");
            bit = end;
        }
    }

    fn change(&mut self, set: bool, offset: u64, length: u64) {
        let (offset, length) = (offset * 512, length * 512);
        let before = self.bitmap.weight();
        if set {
            let changed = self.bitmap.set_out_of_sync(offset, length);
            assert_eq!(self.bitmap.weight(), before + changed);
        } else {
            let changed = self.bitmap.set_in_sync(offset, length);
            assert_eq!(self.bitmap.weight(), before - changed);
        }
    }

    /// The third node's bitmap.
    fn send_on(&self, version: u32, header: usize, compress: u8) -> Bitmap {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        encoder.speak(version, 0);
        decoder.speak(version, 0);
        let (mut sending, mut receiving) = (Transfer::new(header), Transfer::new(header));
        let mut third = Bitmap::new(self.bitmap.bytes());
        for n in 0.. {
            let Some(packet) = sending.next_packet(&self.bitmap, compress >> (n % 8) & 1 != 0) else { break };
            let encoded = encoder.encode(Stream::Data, &packet);
            assert!(encoded.len() <= CONTROL, "a packet fits into the kernels' buffer");
            let mut buffer = BytesMut::from(&[encoded.head, encoded.payload].concat()[..]);
            let packet =
                decoder.decode(Stream::Data, &mut buffer).expect("it is a packet").expect("a whole one");
            receiving.receive(&mut third, &packet).expect("it is a bitmap's packet");
            assert!(n <= self.bitmap.bits(), "each packet tells something");
        }
        third
    }
}

fn ones(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
}
