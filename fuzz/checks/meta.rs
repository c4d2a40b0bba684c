//! bsr's packets on meta: followed, however they are cut.

use drx_protocol::meta::{Packet, Parser, Strange};

use super::pieces;

/// The same packets in the same places however the bytes are cut, each header as it stood there.
///
/// Input: u32 cuts, the stream.
pub fn meta(input: &[u8]) -> usize {
    let Some((&[a, b, c, d], stream)) = input.split_first_chunk::<4>() else { return 0 };
    let seed = u32::from_be_bytes([a, b, c, d]);
    let cut = follow(pieces(stream, seed));
    assert_eq!(cut, follow([stream].into_iter()), "the cuts make no difference");
    assert_eq!(cut, follow(stream.chunks(1)), "not even byte by byte");

    let mut at = 0;
    for (packet, end) in &cut.packets {
        let header = packet.header();
        assert_eq!(&stream[at..*end], header.as_ref(), "a header is what stood there");
        at = end + packet.length as usize;
    }
    match cut.strange {
        None => assert_eq!(cut.boundary, at == stream.len()),
        Some(_) => assert!(at < stream.len(), "it is strange because of what came"),
    }
    cut.packets.len()
}

#[derive(Debug, PartialEq)]
struct Followed {
    /// Each with the place behind its header.
    packets: Vec<(Packet, usize)>,
    boundary: bool,
    strange: Option<Strange>,
}

fn follow<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Followed {
    let (mut parser, mut packets, mut before) = (Parser::default(), Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        loop {
            match parser.next(&mut rest) {
                Ok(Some(packet)) => packets.push((packet, before + piece.len() - rest.len())),
                Ok(None) => break assert!(rest.is_empty()),
                Err(strange) => {
                    assert_eq!(parser.next(&mut rest), Err(strange), "once strange, always so");
                    assert!(!parser.at_boundary() && !parser.in_header());
                    return Followed { packets, boundary: false, strange: Some(strange) };
                }
            }
        }
        before += piece.len();
    }
    Followed { packets, boundary: parser.at_boundary(), strange: None }
}
