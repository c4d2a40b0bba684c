//! Randomness, for challenges that nobody can foresee.

use std::fs::File;
use std::io::{self, Read};

/// The system's.
pub(super) struct Random(File);

impl Random {
    pub(super) fn open() -> io::Result<Random> {
        File::open("/dev/urandom").map(Random)
    }

    /// Fresh bytes. It does not wait.
    pub(super) fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_ne_bytes)
    }
}
