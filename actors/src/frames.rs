//! Frames that wait for the link, in order; a ping overtakes what has not begun to leave.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A queue of frames, each in several pieces. Nothing is copied.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pieces: VecDeque<Bytes>,
    /// Pieces left of each frame.
    frames: VecDeque<usize>,
    /// Bytes of the first frame are out already: nothing may go before the rest of it.
    begun: bool,
    bytes: usize,
}

impl Frames {
    /// A frame behind all others. Empty pieces are left out.
    pub(crate) fn push(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        let before = self.pieces.len();
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
        if self.pieces.len() > before {
            self.frames.push_back(self.pieces.len() - before);
        }
    }

    /// A frame before all others, except one that has begun to leave.
    pub(crate) fn push_next(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        match self.frames.front().copied().filter(|_| self.begun) {
            Some(left) => {
                self.pieces.insert(left, frame);
                self.frames.insert(1, 1);
            }
            None => {
                self.pieces.push_front(frame);
                self.frames.push_front(1);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many frames wait.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fills `slices` from the front; returns how many there are.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Takes `bytes` written bytes off the front.
    pub(crate) fn consume(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(first) = self.pieces.front_mut().filter(|_| bytes > 0) {
            let part = bytes.min(first.len());
            first.advance(part);
            bytes -= part;
            self.begun = true;
            if first.is_empty() {
                self.pieces.pop_front();
                self.piece_left();
            }
        }
    }

    fn piece_left(&mut self) {
        let Some(left) = self.frames.front_mut() else { return };
        *left -= 1;
        if *left == 0 {
            self.frames.pop_front();
            self.begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn written(frames: &mut Frames, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = frames.slices(&mut slices);
        let bytes: Vec<u8> =
            slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
        frames.consume(bytes.len());
        bytes
    }

    proptest! {
        /// Frames stay whole and in order; pings come between them, never within.
        #[test]
        fn a_ping_goes_between_frames(steps in prop::collection::vec((0u8..3, 1usize..40), 1..200)) {
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for (number, (step, amount)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        // Letters, closed by a dot: three pieces of any length.
                        let text = format!("{}.", "f".repeat(amount));
                        let cut = number % (amount + 1);
                        frames.push([Bytes::copy_from_slice(&text.as_bytes()[..cut]),
                            Bytes::copy_from_slice(&text.as_bytes()[cut..amount]),
                            Bytes::copy_from_slice(&text.as_bytes()[amount..])]);
                    }
                    1 => frames.push_next(Bytes::from_static(b"<ping>")),
                    _ => out.extend(written(&mut frames, amount)),
                }
            }
            while !frames.is_empty() {
                out.extend(written(&mut frames, 7));
            }
            prop_assert_eq!((frames.bytes(), frames.len()), (0, 0));
            let text = String::from_utf8(out).unwrap();
            let rest = text.replace("<ping>", "|");
            for frame in rest.split_terminator(['.', '|']) {
                prop_assert!(frame.bytes().all(|byte| byte == b'f'), "{}", text);
            }
            prop_assert!(!rest.contains("f|"), "a ping within a frame: {}", text);
        }
    }
}
