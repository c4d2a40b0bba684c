//! A disk that does what it is told in its order, some time later, and keeps what it did when its node is killed.

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
    head: Head,
    bitmap: Bitmap,
    activity: Vec<u32>,
    queue: VecDeque<Action>,
    flushes: VecDeque<Token>,
}

impl Disk {
    pub fn new(bytes: usize) -> Disk {
        let head = Head { generations: Generations::just_created(), size: bytes as u64, ..Head::default() };
        Disk {
            volume: vec![0; bytes],
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

    /// What was not done is lost with the node.
    pub fn crash(&mut self) {
        self.queue.clear();
        self.flushes.clear();
    }

    /// Does the next thing.
    pub fn step(&mut self, flush: bool) -> Option<Event> {
        if flush && let Some(token) = self.flushes.pop_front() {
            return Some(Event::DiskDone { token, result: Ok(Bytes::new()) });
        }
        let done = |token, bytes| Some(Event::DiskDone { token, result: Ok(bytes) });
        match self.queue.pop_front()? {
            Action::Read { token, offset, length } => {
                let range = offset as usize..offset as usize + length as usize;
                done(token, Bytes::copy_from_slice(&self.volume[range]))
            }
            Action::Write { token, offset, data } => {
                self.volume[offset as usize..][..data.len()].copy_from_slice(&data);
                done(token, Bytes::new())
            }
            Action::Zero { token, offset, length, .. } => {
                self.volume[offset as usize..][..length as usize].fill(0);
                done(token, Bytes::new())
            }
            Action::Flush { token } => {
                self.flushes.push_back(token);
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
