//! Barriers: where an application saw a write completed, what follows must not come to stand before it on the other disk
//! (bsr-wire B.6).

use std::collections::VecDeque;

use super::{Node, Time};
use crate::wire::{Packet, Stream};

/// The epochs of this node's writes.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// The number of the open epoch.
    pub(super) epoch: u32,
    /// Writes in it.
    writes: u32,
    /// Closed ones: number, writes, since when.
    waiting: VecDeque<(u32, u32, Time)>,
}

impl Outbound {
    /// Whether nothing is unacknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.writes == 0 && self.waiting.is_empty()
    }

    /// Since when an acknowledgement is waited for.
    pub(super) fn since(&self) -> Option<Time> {
        self.waiting.front().map(|waiting| waiting.2)
    }
}

impl Node {
    /// Another write was sent; its epoch.
    pub(super) fn count_write(&mut self) -> u32 {
        let most = self.settings.max_epoch_size.max(1);
        if self.session.as_ref().is_some_and(|session| session.outbound.writes >= most) {
            self.end_epoch();
        }
        let Some(session) = &mut self.session else { return 0 };
        session.outbound.writes += 1;
        session.outbound.epoch
    }

    /// Ends the open epoch, if there is anything in it.
    pub(super) fn end_epoch(&mut self) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        let outbound = &mut session.outbound;
        if outbound.writes == 0 {
            return;
        }
        let (epoch, writes) = (outbound.epoch, std::mem::take(&mut outbound.writes));
        outbound.waiting.push_back((epoch, writes, now));
        outbound.epoch = outbound.epoch.wrapping_add(1);
        self.send(Stream::Data, Packet::Barrier(epoch));
    }

    /// P_BARRIER_ACK: all writes of the oldest epoch are on the other disk.
    pub(super) fn epoch_acknowledged(&mut self, barrier: u32, set_size: u32) {
        let Some(session) = &mut self.session else { return };
        match session.outbound.waiting.pop_front() {
            Some((epoch, writes, _)) if epoch == barrier && writes == set_size => {
                self.epoch_is_stable(epoch);
                self.consider_return();
            }
            Some((epoch, writes, _)) => self.violated(format!(
                "{set_size} writes of epoch {barrier} are acknowledged, but {writes} of epoch {epoch} were to be"
            )),
            None => self.violated(format!("epoch {barrier} is acknowledged, but none waits for it")),
        }
    }
}
