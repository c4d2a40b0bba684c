//! The mapped memory of a resource's data BABs, given out in chunks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::kept::Mapped;
use super::mapping::{Stretch, Writer, aside};

/// Chunks of mapped memory, shared by the channels of one resource.
///
/// A chunk is written from its beginning to its end, and again when nobody holds a piece of it any more:
/// not when the other DRX has acknowledged it. So what a socket still has to send cannot be written over,
/// whatever the other DRX says.
#[derive(Debug)]
pub(crate) struct Pool {
    chunks: RefCell<Chunks>,
    /// Whether what is read may not be what was written: a disk is between.
    summed: bool,
}

#[derive(Debug)]
struct Chunks {
    /// Bytes that there should be, and bytes that there are.
    wanted: u64,
    owned: u64,
    /// Memory that nobody has used yet.
    fresh: Vec<Stretch>,
    /// Chunks to be written again, the latest last: it is still in the processor's cache, and a small
    /// backlog dirties a small part of a file.
    free: Vec<Stretch>,
    /// Where chunks come back to, at most as many as there are.
    home: Sender<Stretch>,
    back: Receiver<Stretch>,
}

impl Pool {
    /// For BABs of `size` bytes in all; there is no memory yet. `summed`: a disk is between.
    pub(crate) fn new(size: u64, summed: bool) -> Pool {
        let (home, back) = channel();
        let chunks =
            Chunks { wanted: needed(size), owned: 0, fresh: Vec::new(), free: Vec::new(), home, back };
        Pool { chunks: RefCell::new(chunks), summed }
    }

    /// Bytes that are not there yet for BABs of its size.
    pub(crate) fn missing(&self) -> u64 {
        let chunks = self.chunks.borrow();
        chunks.wanted.saturating_sub(chunks.owned)
    }

    /// Bytes that would not be there for BABs of `size`.
    pub(crate) fn missing_for(&self, size: u64) -> u64 {
        needed(size).saturating_sub(self.chunks.borrow().owned)
    }

    /// Takes in memory that was reserved.
    pub(crate) fn add(&self, stretch: Stretch) {
        let mut chunks = self.chunks.borrow_mut();
        chunks.owned += stretch.len() as u64;
        chunks.fresh.push(stretch);
        chunks.shed();
    }

    /// Wants memory for BABs of `size` bytes. What is more than that goes as soon as it is not used.
    pub(crate) fn resize(&self, size: u64) {
        self.chunks.borrow_mut().wanted = needed(size);
        self.settle();
    }

    fn settle(&self) {
        let mut chunks = self.chunks.borrow_mut();
        if chunks.owned > chunks.wanted {
            chunks.reclaim();
            chunks.shed();
        }
    }

    fn writer(&self) -> Option<Writer> {
        self.settle();
        let mut chunks = self.chunks.borrow_mut();
        chunks.reclaim();
        let chunk = chunks.free.pop().or_else(|| chunks.fresh())?;
        Some(Writer::new(chunk, chunks.home.clone()))
    }
}

impl Chunks {
    fn fresh(&mut self) -> Option<Stretch> {
        let mut fresh = self.fresh.pop()?;
        let chunk = fresh.split_to(CHUNK);
        if fresh.len() > 0 {
            self.fresh.push(fresh);
        }
        Some(chunk)
    }

    fn reclaim(&mut self) {
        self.free.extend(self.back.try_iter());
    }

    /// Lets go of what is more than is wanted, as far as nobody uses it.
    fn shed(&mut self) {
        let mut gone = Vec::new();
        while self.owned > self.wanted {
            let surplus = self.owned - self.wanted;
            let stretch = match self.fresh.pop() {
                Some(fresh) if fresh.len() as u64 > surplus => {
                    let mut rest = fresh;
                    let kept = rest.len() - surplus as usize;
                    self.fresh.push(rest.split_to(kept));
                    rest
                }
                Some(fresh) => fresh,
                None => match self.free.pop() {
                    Some(free) => free,
                    None => break,
                },
            };
            self.owned -= stretch.len() as u64;
            gone.push(stretch);
        }
        if !gone.is_empty() {
            aside(move || gone.into_iter().for_each(Stretch::discard));
        }
    }
}

/// One channel's way into the pool. Each writes to chunks of its own, so that one lane's backlog keeps no
/// chunk of another's.
#[derive(Debug)]
pub(crate) struct Room {
    pool: Rc<Pool>,
    writer: Option<Writer>,
}

impl Room {
    pub(crate) fn new(pool: Rc<Pool>) -> Room {
        Room { pool, writer: None }
    }

    /// Copies the first of `bytes`, up to a chunk's end. `None`: there is no chunk. That is rare (see
    /// [`SPARE`]), and little then: they are better kept in ordinary memory than not read.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Option<Mapped> {
        if self.writer.as_ref().is_none_or(Writer::is_full) {
            self.writer = self.pool.writer();
        }
        let span = self.writer.as_mut()?.write(bytes);
        Some(Mapped::new(span, self.pool.summed))
    }

    /// Some of what was kept was let go.
    pub(super) fn settle(&self) {
        self.pool.settle();
    }
}

/// What BABs of `size` bytes take in chunks.
fn needed(size: u64) -> u64 {
    size.next_multiple_of(CHUNK as u64) + SPARE
}

/// A whole number of pages on every machine (at most 64 KiB each), and the largest read.
const CHUNK: usize = 256 * 1024;
/// Chunks that are not filled with unacknowledged bytes: for each of two lanes the one that is begun, the
/// one whose first bytes are acknowledged, and two that a link's queue may still hold (512 KiB).
const SPARE: u64 = 2 * 4 * CHUNK as u64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bab::kept::Kept;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn pool(size: u64) -> Rc<Pool> {
        let pool = Rc::new(Pool::new(size, true));
        pool.add(Stretch::anonymous(pool.missing() as usize).unwrap());
        pool
    }

    #[derive(Clone, Debug)]
    enum Step {
        Keep { lane: usize, length: usize },
        LetGo { lane: usize, pieces: usize },
        Resize { size: u64 },
        Leave { lane: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0usize..2, 1usize..CHUNK + 9).prop_map(|(lane, length)| Step::Keep { lane, length }),
            3 => (0usize..2, 1usize..9).prop_map(|(lane, pieces)| Step::LetGo { lane, pieces }),
            1 => (1u64..5 << 20).prop_map(|size| Step::Resize { size }),
            1 => (0usize..2).prop_map(|lane| Step::Leave { lane }),
        ]
    }

    proptest! {
        /// Whatever is kept, let go and resized: what is held does not change, there is no more memory
        /// than is wanted and used, and there is enough for what the budget allows.
        #[test]
        fn what_is_held_does_not_change(steps in prop::collection::vec(step(), 1..150)) {
            let mut size = 2u64 << 20;
            let pool = pool(size);
            let mut rooms = [0, 1].map(|_| Room::new(Rc::clone(&pool)));
            let mut held = [0, 1].map(|_| VecDeque::<(Bytes, u8)>::new());
            let unchanged = |(bytes, stamp): &(Bytes, u8)| bytes.iter().all(|byte| byte == stamp);
            let mut stamp = 0u8;
            for step in steps {
                match step {
                    Step::Keep { lane, length } => {
                        let before: usize = held.iter().flatten().map(|(bytes, _)| bytes.len()).sum();
                        if (before + length) as u64 > size {
                            continue;
                        }
                        stamp = stamp.wrapping_add(1);
                        let mut left = length;
                        while left > 0 {
                            let mapped = rooms[lane].keep(&vec![stamp; left]);
                            prop_assert!(mapped.is_some(), "{before} of {size} are held, and there is no chunk");
                            let mut kept = Kept::Mapped(mapped.unwrap());
                            left -= kept.len();
                            let bytes = kept.slice(0, kept.len());
                            held[lane].push_back((bytes, stamp));
                        }
                    }
                    Step::LetGo { lane, pieces } => {
                        let pieces = pieces.min(held[lane].len());
                        prop_assert!(held[lane].drain(..pieces).all(|held| unchanged(&held)));
                    }
                    Step::Resize { size: new } => {
                        size = new;
                        pool.resize(size);
                        if pool.missing() > 0 {
                            pool.add(Stretch::anonymous(pool.missing() as usize).unwrap());
                        }
                    }
                    Step::Leave { lane } => {
                        rooms[lane] = Room::new(Rc::clone(&pool));
                        held[lane].clear();
                    }
                }
            }
            prop_assert!(held.iter().flatten().all(unchanged));
            drop((rooms, held));
            pool.resize(size);
            let mut chunks = pool.chunks.borrow_mut();
            chunks.reclaim();
            prop_assert_eq!(chunks.owned, needed(size));
            let here: usize = chunks.fresh.iter().chain(&chunks.free).map(Stretch::len).sum();
            prop_assert_eq!(here as u64, chunks.owned);
        }
    }

    #[test]
    fn what_a_socket_holds_is_not_written_over() {
        let pool = pool(1);
        let chunks = needed(1) / CHUNK as u64;
        let mut room = Room::new(Rc::clone(&pool));
        let mut fill = |byte: u8| Some(Kept::Mapped(room.keep(&[byte; CHUNK])?).slice(0, CHUNK));
        let mut sending: Vec<Bytes> = (0..chunks).map(|_| fill(1).unwrap()).collect();
        assert!(fill(2).is_none(), "nothing is left, so the bytes stay where they were read");
        let first = sending.swap_remove(0);
        drop(sending);
        let again: Vec<Bytes> = (1..chunks).map(|_| fill(3).unwrap()).collect();
        assert!(fill(4).is_none());
        assert!(first.iter().all(|byte| *byte == 1));
        assert!(again.iter().flatten().all(|byte| *byte == 3));
    }
}
