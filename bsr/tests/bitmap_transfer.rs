//! Bitmaps between two nodes: plain, run-length coded, mixed, and what is no bitmap.

use bytes::Bytes;
use drx_bsr::bitmap::{BLOCK, Bitmap, BitmapError, Transfer};
use drx_bsr::wire::Packet;
use proptest::prelude::*;

const HEADER: usize = 16;

fn volume(bits: u64) -> u64 {
    bits * BLOCK
}

/// A bitmap of runs, the first one clear.
fn of_runs(runs: &[u64]) -> Bitmap {
    let mut bitmap = Bitmap::new(volume(runs.iter().sum()));
    let mut at = 0;
    for (n, run) in runs.iter().enumerate() {
        if n % 2 == 1 {
            bitmap.set_out_of_sync(at * BLOCK, run * BLOCK);
        }
        at += run;
    }
    bitmap
}

/// What goes over the wire: `rle(n)` tells whether the n-th packet may be compressed.
fn packets(bitmap: &Bitmap, header: usize, rle: impl Fn(usize) -> bool) -> Vec<Packet> {
    let mut transfer = Transfer::new(header);
    let mut packets = Vec::new();
    while let Some(packet) = transfer.next_packet(bitmap, rle(packets.len())) {
        let size = match &packet {
            Packet::Bitmap(bytes) => bytes.len(),
            Packet::CompressedBitmap(_, code) => code.len() + 1,
            other => panic!("{other:?}"),
        };
        assert!(size + header <= 4096);
        packets.push(packet);
        assert!((packets.len() as u64) < bitmap.bits() + 3, "it does not end");
    }
    packets
}

fn receive(into: &mut Bitmap, header: usize, packets: &[Packet]) -> Result<(), BitmapError> {
    let mut transfer = Transfer::new(header);
    for (n, packet) in packets.iter().enumerate() {
        assert_eq!(transfer.receive(into, packet)?, n + 1 == packets.len(), "packet {n}");
    }
    let empty = Packet::Bitmap(Bytes::new());
    assert_eq!(transfer.receive(into, &empty), Err(BitmapError::Ended));
    Ok(())
}

fn round_trip(bitmap: &Bitmap, header: usize, rle: impl Fn(usize) -> bool) -> Vec<Packet> {
    let packets = packets(bitmap, header, rle);
    let mut received = Bitmap::new(bitmap.bytes());
    receive(&mut received, header, &packets).expect("it is a bitmap");
    assert_eq!(&received, bitmap);
    assert_eq!(received.weight(), bitmap.weight());
    packets
}

/// Runs of many lengths: long ones that compress well, and stretches that do not.
fn runs() -> impl Strategy<Value = Vec<u64>> {
    let run = prop_oneof![
        6 => prop::collection::vec(1..4u64, 1..3000),
        3 => prop::collection::vec(1..60u64, 1..100),
        2 => prop::collection::vec(1..9000u64, 1..4),
        1 => prop::collection::vec(1..3_000_000u64, 1..3),
    ];
    prop::collection::vec(run, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_is_received(runs in runs(), choice in any::<u64>(), partial in 0..BLOCK, wide in any::<bool>()) {
        let header = if wide { 16 } else { 8 };
        let mut bitmap = of_runs(&runs);
        bitmap.resize(bitmap.bytes() + partial, true);
        round_trip(&bitmap, header, |_| true);
        round_trip(&bitmap, header, |_| false);
        round_trip(&bitmap, header, |n| choice >> (n % 64) & 1 == 1);
    }

    #[test]
    fn what_was_set_stays_set(runs in runs(), other in prop::collection::vec((any::<u32>(), 1..100_000u64), 0..9)) {
        let theirs = of_runs(&runs);
        let mut mine = Bitmap::new(theirs.bytes());
        for (offset, length) in other {
            mine.set_out_of_sync(u64::from(offset), length);
        }
        let mut both = mine.clone();
        let mut at = 0;
        while let Some(from) = theirs.next_set(at) {
            at = theirs.next_clear(from).unwrap_or(theirs.bits());
            both.set_out_of_sync(from * BLOCK, (at - from) * BLOCK);
        }
        receive(&mut mine, HEADER, &packets(&theirs, HEADER, |_| true)).expect("it is a bitmap");
        prop_assert_eq!(mine, both);
    }

    #[test]
    fn anything_else_is_refused_or_harmless(bits in 0..100_000u64,
        packets in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..4100)), 1..20))
    {
        let mut bitmap = Bitmap::new(volume(bits));
        let mut transfer = Transfer::new(HEADER);
        for (plain, encoding, bytes) in packets {
            let bytes = Bytes::from(bytes);
            let packet = if plain { Packet::Bitmap(bytes) } else { Packet::CompressedBitmap(encoding & 0xf2, bytes) };
            let result = transfer.receive(&mut bitmap, &packet);
            prop_assert!(bitmap.weight() <= bits);
            if result != Ok(false) {
                break;
            }
        }
    }
}

#[test]
fn recorded_ones() {
    // bsr-wire B.5: 65208 KiB all set; E.6: 16374 ones.
    for (kib, code, ones) in
        [(65_208, [0x7f, 0x7d, 0x1e, 0x00], 16_302), (65_496, [0x7f, 0xc5, 0x1e, 0x00], 16_374)]
    {
        let mut bitmap = Bitmap::new(kib << 10);
        bitmap.set_all();
        assert_eq!(bitmap.weight(), ones);
        let packets = round_trip(&bitmap, HEADER, |_| true);
        assert_eq!(packets, [Packet::CompressedBitmap(0xb2, Bytes::copy_from_slice(&code))]);
    }
}

#[test]
fn a_plain_one_has_full_packets_and_an_empty_last_one() {
    let mut bitmap = Bitmap::new(volume(510 * 64 + 65) - 1);
    bitmap.set_all();
    for (header, lengths) in [(16, vec![4080, 16, 0]), (8, vec![4088, 8, 0])] {
        let sent: Vec<usize> = packets(&bitmap, header, |_| false)
            .iter()
            .map(|packet| match packet {
                Packet::Bitmap(words) => words.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sent, lengths);
    }
    // What is beyond the last bit is zero on the wire, and ignored from it.
    let Packet::Bitmap(last) = &packets(&bitmap, HEADER, |_| false)[1] else { panic!("plain") };
    assert_eq!(last[..], [[0xff; 8], [1, 0, 0, 0, 0, 0, 0, 0]].concat());
}

#[test]
fn after_a_compressed_packet_a_plain_one_goes_back_to_its_word() {
    // 100 clear bits as code, then plain words from bit 64 on.
    let mut bitmap = Bitmap::new(volume(256));
    let mut transfer = Transfer::new(HEADER);
    let run = Packet::CompressedBitmap(0x22, Bytes::copy_from_slice(&[0b1101_1111, 0b0000_1100]));
    assert_eq!(transfer.receive(&mut bitmap, &run), Ok(false));
    let words = Packet::Bitmap(Bytes::copy_from_slice(&[[0, 0, 0, 0, 1, 0, 0, 0], [0; 8], [0; 8]].concat()));
    assert_eq!(transfer.receive(&mut bitmap, &words), Ok(false));
    assert_eq!(bitmap.next_set(0), Some(64 + 32));
    assert_eq!(transfer.receive(&mut bitmap, &Packet::Bitmap(Bytes::new())), Ok(true));
    assert_eq!(bitmap.weight(), 1);
}

#[test]
fn alternating_bits_are_not_compressed() {
    let bitmap = of_runs(&vec![1; 40_000]);
    assert_eq!(
        packets(&bitmap, HEADER, |_| true),
        packets(&bitmap, HEADER, |_| false),
        "a code of two bits for one is no gain"
    );
}

#[test]
fn every_class_of_runs_comes_through() {
    let bounds = [1, 2, 3, 4, 5, 8, 9, 16, 17, 48, 49, 304, 305, 8_496, 8_497, 2_105_648, 2_105_649];
    let both_ways: Vec<u64> = bounds.iter().chain(bounds.iter().rev()).copied().collect();
    for header in [8, 16] {
        round_trip(&of_runs(&both_ways), header, |_| true);
    }
}

#[test]
fn what_is_no_bitmap_is_named() {
    let receive = |bits, packet| Transfer::new(HEADER).receive(&mut Bitmap::new(volume(bits)), &packet);
    let plain = |length| Packet::Bitmap(Bytes::from(vec![0; length]));
    let code = |encoding, code: &[u8]| Packet::CompressedBitmap(encoding, Bytes::copy_from_slice(code));

    assert_eq!(receive(100, plain(8)), Err(BitmapError::Length { want: 16, got: 8 }));
    assert_eq!(receive(100, plain(24)), Err(BitmapError::Length { want: 16, got: 24 }));
    assert_eq!(receive(100, plain(0)), Err(BitmapError::Length { want: 16, got: 0 }));
    assert_eq!(receive(0, plain(0)), Ok(true));
    assert_eq!(receive(100, code(2, &[])), Err(BitmapError::Size(0)));
    assert_eq!(receive(100, code(2, &[0; 4080])), Err(BitmapError::Size(4080)));
    assert_eq!(receive(100_000, code(2, &[0; 4079])), Ok(false));
    assert_eq!(receive(100, code(0x03, &[0])), Err(BitmapError::Encoding(3)));
    assert_eq!(receive(100, code(0x72, &[0])), Err(BitmapError::Code));
    assert_eq!(receive(100, code(0x02, &[0xff; 3])), Err(BitmapError::Code));
    assert_eq!(receive(3, code(0x02, &[0b1010])), Err(BitmapError::Beyond { end: 4, bits: 3 }));
    assert_eq!(
        receive(4, code(0x02, &[0xff; 8])),
        Err(BitmapError::Beyond { end: (1 << 56) + 17_181_974_832, bits: 4 })
    );
    assert_eq!(receive(4, Packet::Ping), Err(BitmapError::Other));
}

#[test]
fn a_tebibyte_is_no_matter() {
    let mut bitmap = Bitmap::new(1 << 40);
    let mut transfer = Transfer::new(HEADER);
    let Some(packet) = transfer.next_packet(&bitmap, true) else { panic!("there is one") };
    assert_eq!(transfer.next_packet(&bitmap, true), None, "2^28 clear bits are one run");
    assert_eq!(Transfer::new(HEADER).receive(&mut bitmap, &packet), Ok(true));

    // The worst there is: every second bit, tried as code and then sent plain, packet for packet.
    for page in 0..bitmap.pages() {
        assert!(bitmap.load_page(page, &[0x55; 4096]));
    }
    let mut received = Bitmap::new(1 << 40);
    let (mut from, mut to) = (Transfer::new(HEADER), Transfer::new(HEADER));
    while let Some(packet) = from.next_packet(&bitmap, true) {
        to.receive(&mut received, &packet).expect("it is a bitmap");
    }
    assert_eq!(received, bitmap);
}
