//! What a node shows of itself.

use super::source::BLOCK;
use super::{Node, State};
use crate::uuid::Generations;

/// A node's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The five states.
    pub state: State,
    /// The generations of its data.
    pub generations: Generations,
    /// Bytes of the volume, as both nodes agreed.
    pub size: u64,
    /// Bytes that may differ.
    pub out_of_sync: u64,
    /// The version that both nodes speak; none while they do not.
    pub version: Option<u32>,
    /// Pairs of connections that stood so far, since the node was started.
    pub sessions: u64,
    /// Attempts to connect since the nodes were last connected.
    pub attempts: u64,
    /// What ended the last connection.
    pub last_break: Option<String>,
    /// Bytes that were sent and are not acknowledged.
    pub in_flight: u64,
    /// Requests of applications that are not done.
    pub requests: u64,
    /// What was done so far.
    pub counters: Counters,
}

/// What was done since the node was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes of applications on this node.
    pub writes: u64,
    /// Their bytes.
    pub written: u64,
    /// Reads of applications.
    pub reads: u64,
    /// Writes that came from the other node.
    pub peer_writes: u64,
    /// Their bytes.
    pub peer_written: u64,
    /// Blocks of 4 KiB that the last resync had to do.
    pub resync_total: u64,
    /// Of them, those that could not be done.
    pub resync_failed: u64,
    /// Resyncs that were begun.
    pub resyncs: u64,
    /// Bytes of resyncs that were sent.
    pub resync_sent: u64,
    /// Bytes of resyncs that were received.
    pub resync_received: u64,
    /// Blocks of 4 KiB that the last verify has to compare.
    pub verify_total: u64,
    /// Of them, those that are compared.
    pub verify_done: u64,
    /// Of those, the ones that differ.
    pub verify_different: u64,
}

impl Counters {
    pub(super) fn written(&mut self, bytes: u32) {
        self.writes += 1;
        self.written += u64::from(bytes);
    }

    pub(super) fn read_done(&mut self) {
        self.reads += 1;
    }

    pub(super) fn received(&mut self, bytes: u32) {
        self.peer_writes += 1;
        self.peer_written += u64::from(bytes);
    }

    pub(super) fn resync_begins(&mut self, bits: u64) {
        (self.resync_total, self.resync_failed) = (bits, 0);
        self.resyncs += 1;
    }

    pub(super) fn resync_ends(&mut self) {
        self.resync_failed = 0;
    }

    pub(super) fn resync_sent(&mut self, bytes: u32) {
        self.resync_sent += u64::from(bytes);
    }

    pub(super) fn resync_received(&mut self, bytes: u32) {
        self.resync_received += u64::from(bytes);
    }

    pub(super) fn verify_begins(&mut self, bits: u64) {
        (self.verify_total, self.verify_done, self.verify_different) = (bits, 0, 0);
    }

    pub(super) fn verified(&mut self, different: bool) {
        self.verify_done += 1;
        self.verify_different += u64::from(different);
    }
}

impl Node {
    /// What it is, and what it has done.
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            generations: self.generations,
            size: self.size,
            out_of_sync: (self.bitmap.weight() * BLOCK).min(self.size),
            version: self
                .session
                .as_ref()
                .filter(|_| self.state.is_connected())
                .map(|session| session.agreed.version),
            sessions: self.sessions,
            attempts: self.attempts,
            last_break: self.last_break.clone(),
            in_flight: self.requests.in_flight(),
            requests: self.requests.under_way(),
            counters: self.counters,
        }
    }

    /// Bytes of the other node's writes that are not on disk yet, and of its requests that are not answered; of
    /// earlier sessions, too; and of what is being saved. Whoever reads from data only while this is small, bounds what a node holds in memory.
    pub fn backlog(&self) -> u64 {
        self.late + self.session.as_ref().map_or(0, |session| session.inbound.backlog)
    }
}
