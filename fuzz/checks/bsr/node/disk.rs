//! A disk that does what it is told in its order, or fails, and keeps what it did when its node is killed.

use std::collections::VecDeque;

use bytes::Bytes;
use drx_bsr::bitmap::Bitmap;
use drx_bsr::core::{Action, Event, Save, Token};
use drx_bsr::metadata::{Head, Loaded};
use drx_bsr::uuid::Generations;

/// What outlives a node: the volume, and what is known of it.
pub struct Disk {
    pub volume: Vec<u8>,
    head: Head,
    bitmap: Bitmap,
    activity: Vec<u32>,
    queue: VecDeque<Action>,
    flushes: VecDeque<Token>,
}

impl Disk {
    pub fn new(volume: Vec<u8>) -> Disk {
        let bytes = volume.len() as u64;
        let head = Head { generations: Generations::just_created(), size: bytes, ..Head::default() };
        let (queue, flushes) = (VecDeque::new(), VecDeque::new());
        Disk { volume, head, bitmap: Bitmap::new(bytes), activity: Vec::new(), queue, flushes }
    }

    pub fn load(&self) -> Loaded {
        Loaded { head: self.head, bitmap: self.bitmap.clone(), activity: self.activity.clone() }
    }

    /// Takes a disk action, which has to be about what there is.
    pub fn submit(&mut self, action: Action) {
        let within = |offset: u64, length: u64| {
            let end = offset.checked_add(length).expect("an end");
            assert!(end <= self.volume.len() as u64, "{length} bytes at {offset} are beyond the volume");
            assert_eq!((offset % 512, length % 512), (0, 0), "whole sectors");
        };
        match &action {
            Action::Read { offset, length, .. } => {
                within(*offset, (*length).into());
                assert!((1..=1 << 20).contains(length), "{length} bytes in one read");
            }
            Action::Write { offset, data, .. } => within(*offset, data.len() as u64),
            Action::Zero { offset, length, .. } => within(*offset, (*length).into()),
            _ => {}
        }
        self.queue.push_back(action);
    }

    /// What waits to be done.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.flushes.len()
    }

    /// What was not done is lost with the node.
    pub fn crash(&mut self) {
        self.queue.clear();
        self.flushes.clear();
    }

    /// Does the next thing, if it is none that cannot fail; otherwise a `failure` is one.
    pub fn step(&mut self, flush: bool, failure: bool) -> Option<Event> {
        let failed = |token| Some(Event::DiskDone { token, result: Err("a bad sector".to_owned()) });
        if (flush || self.queue.is_empty())
            && let Some(token) = self.flushes.pop_front()
        {
            return if failure { failed(token) } else { done(token, Bytes::new()) };
        }
        match self.queue.pop_front()? {
            Action::Read { token, .. } | Action::Write { token, .. } | Action::Zero { token, .. }
                if failure =>
            {
                failed(token)
            }
            Action::Read { token, offset, length } => {
                let from = offset as usize;
                done(token, Bytes::copy_from_slice(&self.volume[from..from + length as usize]))
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
            // What was saved for a smaller volume may be larger than this one.
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

fn done(token: Token, bytes: Bytes) -> Option<Event> {
    Some(Event::DiskDone { token, result: Ok(bytes) })
}
