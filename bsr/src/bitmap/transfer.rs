//! A bitmap on its way to the other node, and the other's on its way here (bsr-wire B.5).

use bytes::{BufMut, Bytes, BytesMut};

use super::Bitmap;
use super::code::{Reader, Writer, encode};
use crate::wire::Packet;

/// The most bytes of a bitmap's packet, header included: the kernels' send buffer (bsr-wire B.1).
const PACKET: usize = 4096;
/// The only code there is, in the low 4 bits of the encoding.
const RUN_LENGTHS: u8 = 2;
/// The first run is of set bits.
const FIRST_SET: u8 = 0x80;

/// How far a bitmap has got, one way. One is needed for each bitmap that is sent, and for each that is received.
#[derive(Clone, Debug)]
pub struct Transfer {
    header: usize,
    /// The first bit that is not covered yet.
    bit: u64,
    ended: bool,
}

/// What is wrong with a packet of a bitmap. The connection is of no use any more then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitmapError {
    /// It is neither P_BITMAP nor P_COMPRESSED_BITMAP.
    #[error("not a packet of a bitmap")]
    Other,
    /// More came after the end.
    #[error("the bitmap had ended already")]
    Ended,
    /// A plain packet's length follows from how far the bitmap has got.
    #[error("{got} bytes of plain bitmap where {want} were to come")]
    Length {
        /// Bytes that had to come.
        want: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The code is empty, or larger than a packet may be.
    #[error("{0} bytes of compressed bitmap")]
    Size(usize),
    /// It is not the one code that there is.
    #[error("a bitmap encoded with {0:#04x}")]
    Encoding(u8),
    /// The bits end within a code.
    #[error("a run's code is cut off")]
    Code,
    /// A run ends beyond the last bit.
    #[error("a run up to bit {end} in a bitmap of {bits} bits")]
    Beyond {
        /// Where the run ends.
        end: u64,
        /// Bits there are.
        bits: u64,
    },
}

impl Transfer {
    /// At its beginning. `header`: bytes of a packet's header in the version that is spoken, 8 or 16.
    pub fn new(header: usize) -> Transfer {
        Transfer { header: header.min(PACKET / 2), bit: 0, ended: false }
    }

    /// The next packet of this node's bitmap; none after the last one. The bitmap's size must stay the same until
    /// then; bits that change behind the place where the transfer is are not told.
    pub fn next_packet(&mut self, bitmap: &Bitmap, use_rle: bool) -> Option<Packet> {
        if self.ended {
            return None;
        }
        if use_rle && let Some(packet) = self.compressed(bitmap) {
            return Some(packet);
        }
        let (from, to) = self.plain(bitmap);
        let bytes = bitmap.word_bytes(from, to).freeze();
        self.moved(bitmap, from, to);
        Some(Packet::Bitmap(bytes))
    }

    /// Sets what the packet says, in this node's bitmap. True when this was the last one.
    ///
    /// # Errors
    /// Nothing is wrong with what the kernels send; after an error, some of the packet's bits may be set.
    pub fn receive(&mut self, bitmap: &mut Bitmap, packet: &Packet) -> Result<bool, BitmapError> {
        match packet {
            Packet::Bitmap(_) | Packet::CompressedBitmap(..) if self.ended => Err(BitmapError::Ended),
            Packet::Bitmap(bytes) => {
                let (from, to) = self.plain(bitmap);
                let want = (to - from) * 8;
                if bytes.len() != want {
                    return Err(BitmapError::Length { want, got: bytes.len() });
                }
                bitmap.or_words(from, bytes);
                self.moved(bitmap, from, to);
                Ok(self.ended)
            }
            Packet::CompressedBitmap(encoding, code) => self.receive_runs(bitmap, *encoding, code),
            _ => Err(BitmapError::Other),
        }
    }

    /// The words of the next plain packet: from the word of the current bit, as many as fit. None are left at the end,
    /// and that is how a plain transfer ends.
    fn plain(&self, bitmap: &Bitmap) -> (usize, usize) {
        let from = if self.bit >= bitmap.bits() { bitmap.word_count() } else { (self.bit / 64) as usize };
        (from, bitmap.word_count().min(from + (PACKET - self.header) / 8))
    }

    fn moved(&mut self, bitmap: &Bitmap, from: usize, to: usize) {
        self.bit = bitmap.bits().min(to as u64 * 64);
        self.ended = from == to;
    }

    /// As many runs as fit into a packet. None if plain words would say more with as many bytes, or at the end.
    fn compressed(&mut self, bitmap: &Bitmap) -> Option<Packet> {
        let bits = bitmap.bits();
        let first = bitmap.next_set(self.bit) == Some(self.bit);
        let mut writer = Writer::new(PACKET - self.header - 1);
        let (mut at, mut set) = (self.bit, first);
        while at < bits {
            let end = if set { bitmap.next_clear(at) } else { bitmap.next_set(at) }.unwrap_or(bits);
            let (code, count) = encode(end - at)?;
            if !writer.push(code, count) {
                break;
            }
            (at, set) = (end, !set);
        }
        if at == self.bit || at - self.bit < writer.len() as u64 * 8 {
            return None;
        }
        self.bit = at;
        self.ended = at == bits;
        let (code, unused) = writer.finish();
        let encoding = RUN_LENGTHS | unused << 4 | if first { FIRST_SET } else { 0 };
        let mut bytes = BytesMut::with_capacity(code.len());
        bytes.put_slice(&code);
        Some(Packet::CompressedBitmap(encoding, bytes.freeze()))
    }

    fn receive_runs(&mut self, bitmap: &mut Bitmap, encoding: u8, code: &Bytes) -> Result<bool, BitmapError> {
        if code.is_empty() || code.len() > PACKET - self.header - 1 {
            return Err(BitmapError::Size(code.len()));
        }
        if encoding & 0xf != RUN_LENGTHS {
            return Err(BitmapError::Encoding(encoding));
        }
        let bits = bitmap.bits();
        let mut runs = Reader::new(code, encoding >> 4 & 7);
        let mut set = encoding & FIRST_SET != 0;
        while runs.left() > 0 {
            let run = runs.run().ok_or(BitmapError::Code)?;
            let end = self.bit.saturating_add(run);
            if end > bits {
                return Err(BitmapError::Beyond { end, bits });
            }
            if set {
                bitmap.change(self.bit, end, true);
            }
            (self.bit, set) = (end, !set);
        }
        self.ended = self.bit == bits;
        Ok(self.ended)
    }
}
