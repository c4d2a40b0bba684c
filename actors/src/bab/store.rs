//! The bytes in a BAB: from the first one that is not acknowledged to the last one from bsr.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use drx_protocol::frame::{MAX_PAYLOAD, Payload};
use tokio::time::Instant;

use super::kept::{Kept, SMALL};
use super::pool::Room;

/// Pieces as they were read, in order. Offsets are the stream's; the caller keeps the accounts
/// ([`drx_protocol::delivery::Outbound`]), this keeps the bytes.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Where bytes are moved to; without it they stay where they were read.
    room: Option<Room>,
    pieces: VecDeque<Piece>,
    /// The offset of the first byte held.
    head: u64,
    /// Which piece holds the next byte to be sent, and the offset where that piece begins.
    next: (usize, u64),
}

#[derive(Debug)]
struct Piece {
    bytes: Kept,
    since: Instant,
}

impl Store {
    pub(super) fn new(room: Option<Room>) -> Store {
        Store { room, ..Store::default() }
    }

    /// Holds `bytes` behind everything else. Small pieces that wait are put together: a backlog of
    /// them would cost many times its bytes.
    pub(super) fn append(&mut self, mut bytes: Bytes, now: Instant) {
        // A chunk's end may come in the middle.
        while !bytes.is_empty() {
            let kept = match self.room.as_mut().and_then(|room| room.keep(&bytes)) {
                Some(mapped) => Kept::Mapped(mapped),
                None => Kept::Shared(bytes.clone()),
            };
            bytes.advance(kept.len());
            let waits = self.pieces.len() > self.next.0 + 1;
            let last = self.pieces.back_mut().filter(|last| waits && last.bytes.len() + kept.len() <= SMALL);
            let left = match last {
                Some(last) => last.bytes.extend(kept),
                None => Some(kept),
            };
            self.pieces.extend(left.map(|bytes| Piece { bytes, since: now }));
        }
    }

    /// Up to `most` bytes from `offset` on, at most one frame's worth; nothing is copied.
    /// `offset` must not be before the last one asked for, unless [`Store::rewind`] came between.
    pub(super) fn payload(&mut self, offset: u64, most: u64) -> Payload {
        let mut left = usize::try_from(most).unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD);
        let mut payload = Payload::default();
        let (mut index, mut start) = self.next;
        let mut offset = offset;
        while left > 0 && payload.pieces().len() < MOST_PIECES {
            let Some(piece) = self.pieces.get_mut(index) else { break };
            let end = start + piece.bytes.len() as u64;
            if offset >= end {
                (index, start) = (index + 1, end);
                continue;
            }
            let skip = (offset - start) as usize;
            let take = left.min(piece.bytes.len() - skip);
            payload.push(piece.bytes.slice(skip, skip + take));
            left -= take;
            offset += take as u64;
        }
        self.next = (index, start);
        payload
    }

    /// What was sent is sent again: the next offset asked for may be any that is held.
    pub(super) fn rewind(&mut self) {
        self.next = (0, self.head);
    }

    /// Lets go of everything before `head`.
    pub(super) fn release(&mut self, head: u64) {
        while let Some(first) = self.pieces.front_mut() {
            let length = first.bytes.len() as u64;
            if self.head + length <= head {
                self.pieces.pop_front();
                self.head += length;
                self.next.0 = self.next.0.saturating_sub(1);
            } else {
                let part = head.saturating_sub(self.head);
                first.bytes.advance(part as usize);
                self.head += part;
                break;
            }
        }
        if self.next.0 == 0 {
            self.next.1 = self.head;
        }
        if let Some(room) = &self.room {
            room.settle();
        }
    }

    /// Lets go of everything from `tail` on.
    pub(super) fn truncate(&mut self, tail: u64) {
        let mut start = self.head;
        let mut keep = 0;
        for piece in &mut self.pieces {
            if start >= tail {
                break;
            }
            let length = (tail - start).min(piece.bytes.len() as u64);
            piece.bytes.truncate(length as usize);
            start += length;
            keep += 1;
        }
        self.pieces.truncate(keep);
    }

    /// When the oldest byte held came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.pieces.front().map(|piece| piece.since)
    }
}

/// Pieces in one frame: together with its header well below the 1024 slices that writev(2) takes.
const MOST_PIECES: usize = 32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::mapping::Stretch;
    use super::super::pool::Pool;
    use super::*;
    use std::rc::Rc;

    use proptest::prelude::*;

    fn all(payload: &Payload) -> Vec<u8> {
        payload.pieces().iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    proptest! {
        /// Whatever is appended, sent and acknowledged: the bytes are those of the stream.
        #[test]
        fn bytes_are_those_of_the_stream(
            steps in prop::collection::vec((0u8..4, prop_oneof![9 => 1u64..5000, 1 => 1u64..300_000]), 1..200),
            mapped: bool,
        ) {
            let stream = |offset: u64| (offset * 7 % 251) as u8;
            let (mut head, mut sent, mut tail) = (0u64, 0u64, 0u64);
            // Too small for all of it: the rest is kept where it was read.
            let pool = Rc::new(Pool::new(1 << 20, true));
            pool.add(Stretch::anonymous(pool.missing() as usize).unwrap());
            let mut store = Store::new(mapped.then(|| Room::new(pool)));
            for (step, amount) in steps {
                match step {
                    3 => {
                        // The other side has received more than it has acknowledged, or no more.
                        sent = head + amount.min(sent - head);
                        store.rewind();
                    }
                    0 => {
                        store.append((tail..tail + amount).map(stream).collect::<Vec<_>>().into(), Instant::now());
                        tail += amount;
                    }
                    1 => {
                        let payload = store.payload(sent, amount.min(tail - sent));
                        let expected: Vec<u8> = (sent..sent + payload.len() as u64).map(stream).collect();
                        prop_assert!(payload.len() as u64 <= amount);
                        prop_assert!(!payload.is_empty() || sent == tail);
                        prop_assert_eq!(all(&payload), expected);
                        sent += payload.len() as u64;
                    }
                    _ => {
                        head = (head + amount).min(sent);
                        store.release(head);
                    }
                }
            }
            prop_assert_eq!(store.oldest().is_some(), head < tail);
        }
    }

    #[test]
    fn truncating_keeps_what_was_sent() {
        let mut store = Store::default();
        for piece in [&b"abc"[..], b"def", b"ghi"] {
            store.append(Bytes::from_static(piece), Instant::now());
        }
        store.truncate(4);
        assert_eq!(all(&store.payload(0, 100)), b"abcd");
        store.release(3);
        store.append(Bytes::from_static(b"xyz"), Instant::now());
        assert_eq!(all(&store.payload(4, 100)), b"xyz");
    }
}
