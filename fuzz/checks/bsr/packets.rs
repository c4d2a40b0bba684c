//! Packets: whatever another node sends, and however it is cut.

use bytes::BytesMut;
use drx_bsr::wire::command::{CONTROL, Command, MAX_PACKET, NOT_AGREED};
use drx_bsr::wire::header::Header;
use drx_bsr::wire::{DecodeError, Decoder, Encoder, Packet, Stream};

use super::pieces;

/// The decoder never panics, wants no more than the largest packet, comes to the same end however the bytes are cut,
/// and what it accepts is encoded to bytes that are the same packet again.
///
/// Input: u8 mode (bit 0: meta, bit 1: headers are put right first, the rest: the version), u8 features, u32 cuts,
/// the stream.
pub fn packets(input: &[u8]) -> usize {
    let Some((&[mode, features, a, b, c, d], stream)) = input.split_first_chunk::<6>() else { return 0 };
    let peer = Peer {
        stream: if mode & 1 == 0 { Stream::Data } else { Stream::Meta },
        version: match u32::from(mode >> 2) % 17 {
            0 => NOT_AGREED,
            n => 85 + n,
        },
        features: u32::from(features & 15),
    };
    let mut stream = stream.to_vec();
    if mode & 2 != 0 {
        peer.seal(&mut stream);
    }
    let seed = u32::from_be_bytes([a, b, c, d]);
    let cut = peer.decode(pieces(&stream, seed));
    assert_eq!(cut, peer.decode([&stream[..]].into_iter()), "the cuts make no difference");

    let (packets, end) = cut;
    if let Err(wrong) = end {
        assert!(wrong.to_string().len() <= 300, "a reason is a line in a log");
    }
    packets.iter().for_each(|packet| peer.again(packet));
    packets.len()
}

/// How the other node speaks, and where.
struct Peer {
    stream: Stream,
    version: u32,
    features: u32,
}

impl Peer {
    /// All packets, and the end: how many bytes wait for more, or what is wrong.
    fn decode<'a>(
        &self,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<Packet>, Result<usize, DecodeError>) {
        let (mut decoder, mut buffer, mut packets) = (self.decoder(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(self.stream, &mut buffer) {
                    Ok(Some(packet)) => packets.push(packet),
                    Ok(None) => break,
                    Err(DecodeError::TooEarly(bytes)) => {
                        assert!(bytes > CONTROL);
                        // Where it is noticed depends on the cut; that it is, does not.
                        return (packets, Err(DecodeError::TooEarly(0)));
                    }
                    Err(wrong) => return (packets, Err(wrong)),
                }
            }
            let early = self.stream == Stream::Meta && self.version == NOT_AGREED;
            assert_eq!(decoder.wanted() == 0, early, "there is always something wanted");
            assert!(buffer.len() + decoder.wanted() <= MAX_PACKET, "one incomplete packet at most");
        }
        let held = buffer.len();
        (packets, Ok(held))
    }

    fn again(&self, packet: &Packet) {
        let mut encoder = Encoder::new();
        encoder.speak(self.version, self.features);
        let encoded = encoder.encode(self.stream, packet);
        let mut buffer = BytesMut::from(&[encoded.head, encoded.payload].concat()[..]);
        let again = self.decoder().decode(self.stream, &mut buffer);
        assert_eq!(again.as_ref(), Ok(&Some(packet.clone())));
        assert!(buffer.is_empty(), "all of it");
    }

    fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::new();
        decoder.speak(self.version, self.features);
        decoder
    }

    /// Puts magic, volume, pad and length right wherever a packet would begin: no fuzzer guesses them all.
    fn seal(&self, stream: &mut [u8]) {
        let size = Header::size(self.version);
        let mut left = stream;
        while left.len() >= size {
            let command = u16::from_be_bytes([left[size / 2 - 2], left[size / 2 - 1]]);
            let length = u16::from_be_bytes([left[size - 2], left[size - 1]]);
            let Some(known) = Command::of(command) else { return };
            let lengths = known.lengths(self.version, self.features, size);
            let length = if lengths.contains(&length.into()) { length.into() } else { *lengths.start() };
            let header = Header { command, length: length as u32, volume: 0 };
            let (bytes, _) = header.write(self.version);
            left[..size].copy_from_slice(&bytes[16 - size..]);
            let end = left.len().min(size + length);
            left = &mut std::mem::take(&mut left)[end..];
        }
    }
}
