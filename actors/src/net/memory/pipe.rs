//! One direction of a connection: bytes in order, those that have arrived before those on their way.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::{Context, Waker};

use tokio::io::ReadBuf;
use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// The last of the bytes, as they were written: when they arrive, and how many.
    flying: VecDeque<(Instant, usize)>,
    aloft: usize,
    /// When the end of file arrives, if not at once.
    ends: Option<Instant>,
    /// Its writer has ended it.
    pub(super) finished: bool,
    /// Its writer has reset the connection.
    pub(super) reset: bool,
    /// Nothing of it arrives.
    pub(super) silent: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Pipe {
    /// Bytes written and not read.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes can be read now, and when that changes, if none can.
    pub(super) fn arrived(&mut self) -> (usize, Option<Instant>) {
        if self.flying.is_empty() && self.ends.is_none() {
            return (self.bytes.len(), None);
        }
        let now = Instant::now();
        while let Some((_, count)) = self.flying.front().copied().filter(|(at, _)| *at <= now) {
            self.aloft -= count;
            self.flying.pop_front();
        }
        self.ends = self.ends.filter(|at| *at > now);
        (self.bytes.len() - self.aloft, self.flying.front().map(|(at, _)| *at).or(self.ends))
    }

    /// Whether the end of file is here, all bytes being read.
    pub(super) fn ended(&self) -> bool {
        self.finished && self.ends.is_none() && self.bytes.is_empty()
    }

    pub(super) fn put(&mut self, bufs: &[IoSlice<'_>], most: usize, due: Option<Instant>) -> usize {
        let mut room = most;
        for buf in bufs {
            let fits = buf.len().min(room);
            self.bytes.extend(&buf[..fits]);
            room -= fits;
        }
        let count = most - room;
        if let Some(at) = self.in_order(due).filter(|_| count > 0) {
            self.flying.push_back((at, count));
            self.aloft += count;
        }
        count
    }

    pub(super) fn take(&mut self, most: usize, buf: &mut ReadBuf<'_>) -> usize {
        let mut count = 0;
        let (head, tail) = self.bytes.as_slices();
        for part in [head, tail] {
            let fits = part.len().min(buf.remaining()).min(most - count);
            buf.put_slice(&part[..fits]);
            count += fits;
        }
        self.bytes.drain(..count);
        count
    }

    pub(super) fn finish(&mut self, due: Option<Instant>) {
        if !self.finished {
            self.ends = self.in_order(due);
        }
        self.finished = true;
    }

    /// A reset takes along what was not read.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.flying.clear();
        self.aloft = 0;
    }

    pub(super) fn read_later(&mut self, cx: &Context<'_>) {
        super::state::remember(&mut self.reader, cx);
    }

    pub(super) fn write_later(&mut self, cx: &Context<'_>) {
        super::state::remember(&mut self.writer, cx);
    }

    /// What is written later does not arrive before.
    fn in_order(&self, due: Option<Instant>) -> Option<Instant> {
        due.max(self.flying.back().map(|(at, _)| *at))
    }
}
