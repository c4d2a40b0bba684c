//! Frames: whatever a peer sends, and however it is cut.

use bytes::Bytes;
use drx_protocol::frame::{Decoder, Frame, FrameError, HEADER_LEN, MAX_PAYLOAD};

use super::pieces;

/// The decoder never panics, holds one frame at most, comes to the same end however the bytes are cut,
/// and what it accepts is encoded to the same bytes again.
///
/// Input: u8 mode (bit 0: with checksums, bit 1: they are put right first), u32 cuts, the stream.
pub fn frames(input: &[u8]) -> usize {
    let Some((&[mode, a, b, c, d], stream)) = input.split_first_chunk::<5>() else { return 0 };
    let mut stream = stream.to_vec();
    let checksum = mode & 1 != 0;
    if mode & 2 != 0 {
        seal(&mut stream, checksum);
    }
    let seed = u32::from_be_bytes([a, b, c, d]);
    let cut = decode(pieces(&stream, seed), checksum);
    assert_eq!(cut, decode([&stream[..]].into_iter(), checksum), "the cuts make no difference");

    let (frames, end) = cut;
    let again: Vec<u8> = frames.iter().flat_map(|frame| encode(frame, checksum)).collect();
    assert!(stream.starts_with(&again), "a frame has one encoding");
    if let Ok(held) = end {
        assert_eq!(again.len() + held, stream.len(), "no byte is lost");
    }
    frames.len()
}

/// All frames, and the end: how many bytes wait for more, or what is wrong.
fn decode<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    checksum: bool,
) -> (Vec<Frame>, Result<usize, FrameError>) {
    let (mut decoder, mut frames) = (Decoder::new(checksum), Vec::new());
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(wrong) => {
                    assert_eq!(decoder.held(), 0, "a failed decoder holds nothing");
                    assert_eq!(decoder.next(), Err(wrong.clone()), "and stays failed");
                    return (frames, Err(wrong));
                }
            }
        }
        assert!(decoder.held() < HEADER_LEN + MAX_PAYLOAD, "one incomplete frame at most");
    }
    let held = decoder.held();
    (frames, Ok(held))
}

fn encode(frame: &Frame, checksum: bool) -> Vec<u8> {
    let mut bytes = frame.head(checksum).to_vec();
    if let Frame::Data { payload, .. } = frame {
        payload.pieces().iter().for_each(|piece| bytes.extend_from_slice(piece));
    }
    bytes
}

/// Puts flag and checksum right wherever a frame would begin: no fuzzer guesses a CRC.
fn seal(stream: &mut [u8], checksum: bool) {
    let mut left = stream;
    while left.len() >= HEADER_LEN {
        let length = u32::from_be_bytes([left[4], left[5], left[6], left[7]]) as usize;
        let Some(end) = HEADER_LEN.checked_add(length).filter(|end| *end <= left.len()) else { return };
        let (frame, rest) = std::mem::take(&mut left).split_at_mut(end);
        frame[1] = frame[1] & !1 | u8::from(checksum);
        frame[12..16].fill(0);
        if checksum {
            let crc = crc32c::crc32c(frame);
            frame[12..16].copy_from_slice(&crc.to_be_bytes());
        }
        left = rest;
    }
}
