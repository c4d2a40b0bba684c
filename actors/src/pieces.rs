//! Bytes that wait for a socket, in the pieces they came in.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// A queue of bytes. Nothing is copied, except that small pieces are put together once many wait: a
/// peer that sends byte by byte costs little more memory than the bytes.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    queue: VecDeque<Bytes>,
    /// Small pieces behind the queue.
    tail: BytesMut,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.queue.len() >= MANY && piece.len() <= SMALL {
            self.tail.extend_from_slice(&piece);
            if self.tail.len() < WHOLE {
                return;
            }
            self.close_tail();
        } else {
            self.close_tail();
            self.queue.push_back(piece);
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.tail.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.tail.clear();
    }

    /// Fills `slices` from the front; returns how many there are.
    pub(crate) fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.queue.is_empty() {
            self.close_tail();
        }
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Takes `bytes` written bytes off the front.
    pub(crate) fn consume(&mut self, mut bytes: usize) {
        while let Some(first) = self.queue.front_mut().filter(|_| bytes > 0) {
            let part = bytes.min(first.len());
            first.advance(part);
            bytes -= part;
            if first.is_empty() {
                self.queue.pop_front();
            }
        }
    }
}

/// Pieces that wait before small ones are put together.
const MANY: usize = 16;
/// What is worth copying rather than keeping apart.
const SMALL: usize = 1024;
/// When pieces that were put together are long enough.
const WHOLE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_out_in_order(steps in prop::collection::vec((any::<bool>(), 1usize..3000), 1..300)) {
            let (mut pushed, mut taken) = (0u64, 0u64);
            let byte = |offset: u64| (offset * 31 % 251) as u8;
            let mut pieces = Pieces::default();
            for (push, amount) in steps {
                if push {
                    pieces.push((pushed..pushed + amount as u64).map(byte).collect::<Vec<_>>().into());
                    pushed += amount as u64;
                    continue;
                }
                let mut slices = [IoSlice::new(&[]); 8];
                let count = pieces.slices(&mut slices);
                let got: Vec<u8> = slices[..count].iter().flat_map(|s| s.iter().copied()).take(amount).collect();
                let expected: Vec<u8> = (taken..taken + got.len() as u64).map(byte).collect();
                prop_assert_eq!(&got, &expected);
                prop_assert!(!got.is_empty() || taken == pushed);
                pieces.consume(got.len());
                taken += got.len() as u64;
                prop_assert_eq!(pieces.is_empty(), taken == pushed);
            }
        }
    }

    #[test]
    fn single_bytes_are_put_together() {
        let mut pieces = Pieces::default();
        for _ in 0..100_000 {
            pieces.push(Bytes::from_static(b"x"));
        }
        assert!(pieces.queue.len() < 30, "{} pieces", pieces.queue.len());
    }
}
