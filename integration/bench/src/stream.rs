//! What a stream's bytes must be, at every position.

use std::io::{self, ErrorKind, Read, Write};

/// The bytes of one stream: they follow from its seed and the position alone, so that bytes lost, doubled,
/// out of order or of another stream are all seen.
pub(crate) struct Pattern {
    twice: Vec<u8>,
}

impl Pattern {
    pub(crate) fn new(seed: u32) -> Pattern {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ (u64::from(seed) << 17) ^ u64::from(seed);
        let mut once = Vec::with_capacity(PERIOD + 8);
        while once.len() < PERIOD {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            once.extend_from_slice(&state.to_le_bytes());
        }
        once.truncate(PERIOD);
        // Doubled: what begins within the first period is in one piece.
        Pattern { twice: once.repeat(2) }
    }

    /// The `length` bytes at `position`; at most a period of them.
    pub(crate) fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = (position % PERIOD as u64) as usize;
        &self.twice[start..start + length.min(PERIOD)]
    }

    /// Writes so many bytes from the stream's beginning.
    pub(crate) fn send(&self, to: &mut impl Write, bytes: u64, chunk: usize) -> io::Result<()> {
        let mut position = 0;
        while position < bytes {
            let piece = self.at(position, left(bytes - position, chunk));
            to.write_all(piece)?;
            position += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads so many bytes, and checks each. An error at the first one that is wrong or missing.
    pub(crate) fn check(&self, from: &mut impl Read, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        let mut position = 0;
        while position < bytes {
            let read = match from.read(&mut buffer[..left(bytes - position, READ)]) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        format!("it ends after {position} of {bytes} bytes"),
                    ));
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let expected = self.at(position, read);
            if buffer[..read] != *expected {
                let wrong = buffer.iter().zip(expected).take_while(|(came, sent)| came == sent).count();
                let at = position + wrong as u64;
                return Err(io::Error::new(ErrorKind::InvalidData, format!("byte {at} is not the one sent")));
            }
            position += read as u64;
        }
        Ok(())
    }
}

fn left(bytes: u64, most: usize) -> usize {
    usize::try_from(bytes).map_or(most, |bytes| bytes.min(most))
}

/// A prime above 1 MiB: no loss of a round number of bytes goes unnoticed.
const PERIOD: usize = 1_048_583;
/// Read at a time.
const READ: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sent(seed: u32, bytes: u64, chunk: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        Pattern::new(seed).send(&mut stream, bytes, chunk).unwrap();
        stream
    }

    #[test]
    fn what_was_sent_passes_however_it_was_cut() {
        let bytes = 3 * PERIOD as u64 + 17;
        let stream = sent(7, bytes, 300_000);
        assert_eq!(stream, sent(7, bytes, 1001));
        Pattern::new(7).check(&mut &stream[..], bytes).unwrap();
    }

    #[test]
    fn what_is_wrong_is_found() {
        let bytes = 2 * PERIOD as u64;
        let pattern = Pattern::new(7);
        let stream = sent(7, bytes, READ);
        let wrong = |stream: Vec<u8>| pattern.check(&mut &stream[..], bytes).unwrap_err().to_string();

        let mut changed = stream.clone();
        changed[1_234_567] ^= 1;
        assert_eq!(wrong(changed), "byte 1234567 is not the one sent");

        assert_eq!(wrong(stream[..1_500_000].to_vec()), format!("it ends after 1500000 of {bytes} bytes"));

        for lost in [1, 4096, 1 << 20] {
            let mut shorter = stream.clone();
            shorter.drain(10_000..10_000 + lost);
            assert!(wrong(shorter).ends_with("is not the one sent"), "{lost} bytes lost");
        }

        assert!(wrong(sent(8, bytes, READ)).ends_with("is not the one sent"));
    }
}
