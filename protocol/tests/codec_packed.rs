//! Packed payloads: what comes out is what went in, and nothing else comes out.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use drx_protocol::codec::{Codec, Compression, Packer, UnpackError, Unpacker};
use drx_protocol::frame::{Credit, Decoder, Frame, FrameError, MAX_PAYLOAD, Payload, data_header};
use proptest::prelude::*;

const ALL: [u8; 2] = [2, 1];
const PACKING: [Compression; 4] =
    [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3), Compression::Zstd(19)];
const CREDIT: Credit = Credit { acknowledged: 7, window: 8 };

/// In pieces, as they come from bsr.
fn payload(bytes: &[u8], pieces: usize) -> Payload {
    bytes.chunks(bytes.len().div_ceil(pieces).max(1)).map(Bytes::copy_from_slice).collect()
}

fn packed(bytes: &[u8], compression: Compression) -> Option<(Codec, Bytes)> {
    Packer::new(&ALL).pack(&payload(bytes, 1), compression).unwrap()
}

fn text(length: usize) -> Vec<u8> {
    b"a block of text, and then another; ".iter().copied().cycle().take(length).collect()
}

/// Bytes that no codec makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A DATA frame with this body, as it travels.
fn frame(codec: Codec, body: Bytes, checksum: bool) -> Vec<u8> {
    let header = data_header(3, CREDIT, 1000, codec, std::slice::from_ref(&body), checksum);
    [&header[..], &body].concat()
}

fn decoded(bytes: &[u8], checksum: bool) -> Result<Option<Frame>, FrameError> {
    let mut decoder = Decoder::new(checksum);
    let mut last = Ok(None);
    for piece in bytes.chunks(1000) {
        decoder.push(Bytes::copy_from_slice(piece));
        last = decoder.next();
    }
    last
}

#[test]
fn zeros_are_next_to_nothing() {
    for compression in PACKING {
        let (_, body) = packed(&vec![0; MAX_PAYLOAD], compression).unwrap();
        assert!(body.len() < MAX_PAYLOAD / 200, "{compression}: {} bytes", body.len());
    }
}

#[test]
fn a_packed_frame_says_what_was_packed() {
    for compression in PACKING {
        for length in [600, 4096, MAX_PAYLOAD - 1, MAX_PAYLOAD] {
            let (codec, body) = packed(&text(length), compression).unwrap();
            for checksum in [false, true] {
                let frame = decoded(&frame(codec, body.clone(), checksum), checksum).unwrap().unwrap();
                let expected = Frame::Data {
                    attempt: 3,
                    credit: CREDIT,
                    offset: 1000,
                    payload: payload(&text(length), 3),
                };
                assert_eq!(frame, expected);
            }
        }
    }
}

#[test]
fn what_does_not_pay_goes_as_it_is_and_is_tried_ever_less() {
    for compression in PACKING {
        assert_eq!(packed(&noise(65_536), compression), None);
        assert_eq!(packed(&text(100), compression), None, "small ones are not worth the time");
        let mut packer = Packer::new(&ALL);
        let mut tried = 0;
        for _ in 0..1000 {
            let before = format!("{packer:?}");
            assert_eq!(packer.pack(&payload(&noise(4096), 1), compression), Ok(None));
            // A try that fails changes how many are skipped; a skipped one counts down.
            tried += usize::from(before.contains("skip: 0"));
        }
        assert!(tried < 50, "{compression}: {tried}");
        let packs = (0..40).filter(|_| packer.pack(&payload(&text(4096), 1), compression).unwrap().is_some());
        assert!(packs.count() > 5, "{compression}: it is tried again, and then packed");
    }
}

#[test]
fn the_other_relay_gets_what_it_can_unpack() {
    let mut packer = Packer::new(&[1, 77]);
    assert_eq!(packer.pack(&payload(&text(4096), 1), Compression::Zstd(1)), Ok(None));
    assert!(packer.pack(&payload(&text(4096), 1), Compression::Lz4).unwrap().is_some());
    let mut packer = Packer::new(&[]);
    assert_eq!(packer.pack(&payload(&text(4096), 1), Compression::Lz4), Ok(None));
    for compression in [Compression::None, Compression::Auto] {
        assert_eq!(packed(&text(4096), compression), None);
    }
}

#[test]
fn lies_are_found() {
    for compression in PACKING {
        let (codec, body) = packed(&text(4096), compression).unwrap();
        let lie = |size: u32| {
            let body = [&size.to_be_bytes()[..], &body[4..]].concat();
            Unpacker::default().unpack(codec, payload(&body, 1))
        };
        assert_eq!(lie(0), Err(UnpackError::Size(0)));
        assert_eq!(lie(u32::MAX), Err(UnpackError::Size(u32::MAX)));
        assert_eq!(lie(MAX_PAYLOAD as u32 + 1), Err(UnpackError::Size(MAX_PAYLOAD as u32 + 1)));
        assert_eq!(lie(4097), Err(UnpackError::OtherSize { stated: 4097, unpacked: 4096 }));
        assert!(matches!(lie(4095), Err(UnpackError::Broken { .. })), "it has no room");
        let mut other = body.to_vec();
        other[4] ^= 1;
        assert_eq!(Unpacker::default().unpack(codec, payload(&other, 1)), Err(UnpackError::Checksum(codec)));
        for length in 0..=8 {
            let cut = Unpacker::default().unpack(codec, payload(&body[..length], 1));
            assert_eq!(cut, Err(UnpackError::Short(length)));
        }
    }
}

/// A few bytes that say that they are gigabytes cost what a payload costs.
#[test]
fn a_bomb_is_defused() {
    let huge = vec![0; 64 << 20];
    let bombs = [
        (Codec::Zstd, zstd::bulk::compress(&huge, 19).unwrap()),
        (Codec::Lz4, lz4_flex::block::compress(&huge)),
    ];
    for (codec, bomb) in bombs {
        let body = [&(MAX_PAYLOAD as u32).to_be_bytes()[..], &[0; 4], &bomb].concat();
        let wrong = Unpacker::default().unpack(codec, payload(&body, 1));
        assert!(matches!(wrong, Err(UnpackError::Broken { .. })), "{wrong:?}");
    }
}

#[test]
fn only_data_is_packed_and_only_as_is_known() {
    let mut bytes = Frame::Ping { number: 5 }.head(false).to_vec();
    bytes[2] = 1;
    let wrong = decoded(&bytes, false).unwrap_err();
    assert_eq!(wrong.to_string(), "the PING frame has codec 1, where 0 must be");
    let mut bytes = frame(Codec::Raw, Bytes::from_static(b"x"), false);
    bytes[2] = 3;
    let wrong = decoded(&bytes, false).unwrap_err();
    assert_eq!(wrong.to_string(), "the DATA frame has the unknown codec 3");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Half random, half repeated: codecs meet both within a payload.
    #[test]
    fn what_comes_out_went_in(
        seed in prop::collection::vec(any::<u8>(), 1..3000),
        copies in 1usize..40,
        pieces in 1usize..9,
        which in 0usize..4,
    ) {
        let bytes: Vec<u8> = seed.iter().copied().cycle().take((seed.len() * copies).min(MAX_PAYLOAD)).collect();
        let mut packer = Packer::new(&ALL);
        let mut unpacker = Unpacker::default();
        for _ in 0..3 {
            if let Some((codec, body)) = packer.pack(&payload(&bytes, pieces), PACKING[which]).unwrap() {
                prop_assert!(body.len() < bytes.len());
                prop_assert_eq!(unpacker.unpack(codec, payload(&body, pieces)).unwrap(), payload(&bytes, 1));
            }
        }
    }

    /// Whatever a peer sends: an error, or what was packed.
    #[test]
    fn damage_is_an_error(
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        cut in any::<prop::sample::Index>(),
        which in 0usize..4,
    ) {
        let bytes = text(5000);
        let (codec, body) = packed(&bytes, PACKING[which]).unwrap();
        let mut damaged = body.to_vec();
        damaged[at.index(body.len())] ^= 1 << bit;
        let mut unpacker = Unpacker::default();
        if let Ok(unpacked) = unpacker.unpack(codec, payload(&damaged, 1)) {
            prop_assert_eq!(unpacked, payload(&bytes, 1));
        }
        let length = cut.index(body.len());
        prop_assert!(unpacker.unpack(codec, payload(&body[..length], 1)).is_err());
        // And goes on working.
        prop_assert_eq!(unpacker.unpack(codec, payload(&body, 1)).unwrap(), payload(&bytes, 1));
    }
}
