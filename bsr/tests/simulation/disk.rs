//! A disk that does what it is told in its order, some time later, and keeps what it did when its node is killed. When
//! the power fails it keeps what was flushed, and of the rest whatever chance wants.

use std::collections::VecDeque;

use bytes::Bytes;
use drx_bsr::bitmap::Bitmap;
use drx_bsr::core::{Action, Event, Save, Token};
use drx_bsr::metadata::{Head, Loaded};
use drx_bsr::uuid::Generations;

/// What outlives a node: the volume, and what is known of it.
#[derive(Clone)]
pub struct Disk {
    pub volume: Vec<u8>,
    /// As it is on stable storage, and what was written since.
    stable: Vec<u8>,
    unstable: VecDeque<Unstable>,
    written: u64,
    head: Head,
    bitmap: Bitmap,
    activity: Vec<u32>,
    queue: VecDeque<Action>,
    /// And how many writes there were before each.
    flushes: VecDeque<(Token, u64)>,
}

/// A write that the power may still take: its number, where and what.
#[derive(Clone)]
struct Unstable {
    number: u64,
    offset: usize,
    data: Bytes,
}

impl Disk {
    pub fn new(bytes: usize) -> Disk {
        let head = Head { generations: Generations::just_created(), size: bytes as u64, ..Head::default() };
        Disk {
            volume: vec![0; bytes],
            stable: vec![0; bytes],
            unstable: VecDeque::new(),
            written: 0,
            head,
            bitmap: Bitmap::new(bytes as u64),
            activity: Vec::new(),
            queue: VecDeque::new(),
            flushes: VecDeque::new(),
        }
    }

    pub fn load(&self) -> Loaded {
        Loaded { head: self.head, bitmap: self.bitmap.clone(), activity: self.activity.clone() }
    }

    pub fn submit(&mut self, action: Action) {
        self.queue.push_back(action);
    }

    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.flushes.is_empty()
    }

    /// What was not done is lost with the node. A save may have been under way.
    pub fn crash(&mut self, random: &mut fastrand::Rng) {
        if let Some(Action::Save(save)) = self.queue.pop_front() {
            if save.flush_volume {
                self.flushed(self.written);
            }
            for (number, page) in save.pages.iter().take(random.usize(..=save.pages.len())) {
                assert!(self.bitmap.load_page(*number, page), "page {number} fits");
            }
        }
        self.queue.clear();
        self.flushes.clear();
    }

    /// Of what was not flushed, any sector may be there or not.
    pub fn lose_power(&mut self, random: &mut fastrand::Rng) {
        for Unstable { offset, data, .. } in std::mem::take(&mut self.unstable) {
            for (sector, bytes) in data.chunks(512).enumerate() {
                if random.bool() {
                    self.stable[offset + sector * 512..][..bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        self.volume.copy_from_slice(&self.stable);
    }

    fn write(&mut self, offset: u64, data: Bytes) {
        let offset = offset as usize;
        self.volume[offset..][..data.len()].copy_from_slice(&data);
        self.written += 1;
        self.unstable.push_back(Unstable { number: self.written, offset, data });
    }

    fn flushed(&mut self, up_to: u64) {
        while self.unstable.front().is_some_and(|write| write.number <= up_to) {
            if let Some(Unstable { offset, data, .. }) = self.unstable.pop_front() {
                self.stable[offset..][..data.len()].copy_from_slice(&data);
            }
        }
    }

    /// Does the next thing.
    pub fn step(&mut self, flush: bool) -> Option<Event> {
        if flush && let Some((token, up_to)) = self.flushes.pop_front() {
            self.flushed(up_to);
            return Some(Event::DiskDone { token, result: Ok(Bytes::new()) });
        }
        let done = |token, bytes| Some(Event::DiskDone { token, result: Ok(bytes) });
        match self.queue.pop_front()? {
            Action::Read { token, offset, length } => {
                let range = offset as usize..offset as usize + length as usize;
                done(token, Bytes::copy_from_slice(&self.volume[range]))
            }
            Action::Write { token, offset, data } => {
                self.write(offset, data);
                done(token, Bytes::new())
            }
            Action::Zero { token, offset, length, .. } => {
                self.write(offset, vec![0; length as usize].into());
                done(token, Bytes::new())
            }
            Action::Flush { token } => {
                self.flushes.push_back((token, self.written));
                None
            }
            Action::Save(save) => {
                let token = save.token;
                self.save(save);
                if token == 0 { None } else { done(token, Bytes::new()) }
            }
            other => panic!("{other:?} is nothing for a disk"),
        }
    }

    fn save(&mut self, save: Save) {
        if save.flush_volume {
            self.flushed(self.written);
        }
        for (number, page) in save.pages {
            assert!(self.bitmap.load_page(number, &page), "page {number} fits");
        }
        if let Some(head) = save.head {
            self.head = head;
        }
        if let Some(activity) = save.activity {
            self.activity = activity;
        }
    }
}
