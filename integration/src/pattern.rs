//! Bytes that say where they belong: lost, repeated or swapped ones show, whatever their number.

use std::io::{self, Read, Write};

/// A stream without end, each eight bytes of it unlike all others; another seed is another stream.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Pattern {
        Pattern { seed }
    }

    /// The stream's bytes from `offset` on.
    pub fn fill(self, offset: u64, bytes: &mut [u8]) {
        let before = (offset % WORD) as usize;
        let mut number = offset / WORD;
        let (head, words) = bytes.split_at_mut(((WORD as usize - before) % WORD as usize).min(bytes.len()));
        if !head.is_empty() {
            head.copy_from_slice(&self.word(number)[before..before + head.len()]);
            number += 1;
        }
        let mut words = words.chunks_exact_mut(WORD as usize);
        for word in &mut words {
            word.copy_from_slice(&self.word(number));
            number += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.word(number)[..tail.len()]);
    }

    /// Writes the bytes from `from` to `to`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn send(self, mut stream: impl Write, from: u64, to: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        let mut offset = from;
        while offset < to {
            let length = (to - offset).min(PIECE as u64) as usize;
            self.fill(offset, &mut piece[..length]);
            stream.write_all(&piece[..length])?;
            offset += length as u64;
        }
        Ok(())
    }

    /// Reads the bytes from `from` to `to`, in reads of at most `piece`, and compares every one.
    ///
    /// # Errors
    /// Where it went wrong, and how.
    pub fn check(self, stream: impl Read, from: u64, to: u64, piece: usize) -> Result<(), Broken> {
        match self.check_to_end(stream.take(to - from), from, piece)? {
            end if end == to => Ok(()),
            end => Err(Broken { at: end, fault: Fault::Ended }),
        }
    }

    /// Reads the bytes from `from` to the stream's end, which is returned, and compares every one.
    ///
    /// # Errors
    /// Where it went wrong, and how.
    pub fn check_to_end(self, mut stream: impl Read, from: u64, piece: usize) -> Result<u64, Broken> {
        let (mut came, mut expected) = (vec![0; piece], vec![0; piece]);
        let mut offset = from;
        loop {
            let count = match stream.read(&mut came) {
                Ok(0) => return Ok(offset),
                Ok(count) => count,
                Err(error) => return Err(Broken { at: offset, fault: Fault::Reading(error.kind()) }),
            };
            self.fill(offset, &mut expected[..count]);
            // As a whole first: that is one memcmp.
            if came[..count] != expected[..count] {
                let index = (0..count).find(|&index| came[index] != expected[index]).unwrap_or_default();
                let fault = Fault::Wrong { came: came[index], expected: expected[index] };
                return Err(Broken { at: offset + index as u64, fault });
            }
            offset += count as u64;
        }
    }

    fn word(self, number: u64) -> [u8; 8] {
        // Odd multipliers: no two numbers have the same word.
        let mixed = (number ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).to_le_bytes()
    }
}

/// A stream that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// At which offset.
    pub at: u64,
    /// What happened there.
    pub fault: Fault,
}

/// What can happen to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another byte came.
    Wrong {
        /// This one.
        came: u8,
        /// In place of this one.
        expected: u8,
    },
    /// It ended.
    Ended,
    /// It could not be read.
    Reading(io::ErrorKind),
}

/// Bytes that are written or read at a time.
pub const PIECE: usize = 256 * 1024;
const WORD: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_same_wherever_one_begins() {
        let pattern = Pattern::new(7);
        let mut whole = [0; 200];
        pattern.fill(0, &mut whole);
        for from in 0..20 {
            for to in from..60 {
                let mut part = vec![0; to - from];
                pattern.fill(from as u64, &mut part);
                assert_eq!(part, whole[from..to], "{from}..{to}");
            }
        }
    }

    #[test]
    fn what_is_lost_repeated_swapped_or_short_is_found() {
        let pattern = Pattern::new(3);
        let mut good = vec![0; 4096];
        pattern.fill(0, &mut good);
        let check = |bytes: &[u8]| pattern.check(bytes, 0, 4096, 1000);
        let wrong = |bytes: &[u8]| match check(bytes) {
            Err(Broken { at, fault: Fault::Wrong { .. } }) => Some(at),
            _ => None,
        };
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&good[..4095]), Err(Broken { at: 4095, fault: Fault::Ended }));
        let mut bad = good.clone();
        bad[2000] ^= 1;
        assert_eq!(wrong(&bad), Some(2000));
        let mut bad = good.clone();
        bad.remove(2000);
        assert!(wrong(&bad).is_some_and(|at| (2000..2010).contains(&at)), "lost");
        let mut bad = good.clone();
        bad.insert(2000, good[2000]);
        assert!(wrong(&bad).is_some_and(|at| (2000..2010).contains(&at)), "repeated");
        let mut bad = good.clone();
        bad[1024..3072].rotate_left(1024);
        assert!(wrong(&bad).is_some_and(|at| (1024..1034).contains(&at)), "swapped");
    }
}
