//! Which disk operation was for what. The shell does them in their order, so that no block is read or written out of
//! turn; what must not be overtaken by requests of applications is locked meanwhile.

use bytes::Bytes;

use super::replica::PeerWrite;
use super::source::Serve;
use super::{Action, Id, Node, Token};
use crate::wire::{Packet, Stream};

/// What a disk operation is for.
#[derive(Debug)]
pub(super) enum Job {
    /// A write of this node's, by its number in the log.
    Write(u64),
    /// The flush that a write with FUA waits for.
    WriteThrough(u64),
    /// An application's read.
    Read(Id),
    /// An application's flush.
    Flush(Id),
    /// The save that the first of the waiting writes needs.
    Activate,
    /// The save that makes this node primary; whose order it was.
    Promote(Id),
    /// A save that nobody waits for, and its bytes.
    Save(u64),
    /// What the other node may hear when it is stable here, in the session with this number: else a crash would make it
    /// know of a generation that this node has never heard of.
    Announce(u64, Announcement),
    /// Something for the other node, in the session with this number; and how many bytes of its backlog that is.
    Peer { session: u64, weight: u64, job: PeerJob },
}

/// What the other node is to hear, once it is stable here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Announcement {
    /// P_SYNC_UUID.
    SyncUuid(u64),
    /// P_STATE.
    State,
}

/// What a disk operation for the other node is for.
#[derive(Debug)]
pub(super) enum PeerJob {
    /// A write of the other node.
    Write(PeerWrite),
    /// The end of an epoch.
    EpochFlush,
    /// A read that it asked for.
    Serve(Serve),
    /// A block of a resync to this disk; of which resync.
    Resync { offset: u64, length: u32, round: u64 },
    /// This disk's block, before a checksum request.
    OwnChecksum { offset: u64, length: u32, round: u64 },
    /// This disk's block, to be compared with the other one's digest.
    OwnVerify { offset: u64, length: u32, theirs: Bytes },
}

/// A disk operation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Read { offset: u64, length: u32 },
    Write { offset: u64, data: Bytes },
    Zero { offset: u64, length: u32, discard: bool },
    Flush,
}

impl Operation {
    /// How many bytes of memory it stands for, at least a sector's: nothing is free.
    pub(super) fn weight(&self) -> u64 {
        let bytes = match self {
            Operation::Read { length, .. } => u64::from(*length),
            Operation::Write { data, .. } => data.len() as u64,
            Operation::Zero { .. } | Operation::Flush => 0,
        };
        bytes.max(super::SECTOR)
    }
}

/// Ranges, in bytes, that writes of applications have to wait for.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<(u64, u64)>);

impl Locks {
    pub(super) fn lock(&mut self, offset: u64, length: u32) {
        self.0.push((offset, offset + u64::from(length)));
    }

    /// Whether it was locked: it no longer is.
    pub(super) fn unlock(&mut self, offset: u64, length: u32) -> bool {
        let range = (offset, offset + u64::from(length));
        match self.0.iter().position(|locked| *locked == range) {
            Some(place) => {
                self.0.swap_remove(place);
                true
            }
            None => false,
        }
    }

    pub(super) fn overlap(&self, offset: u64, length: u32) -> bool {
        self.0.iter().any(|(begin, end)| *begin < offset + u64::from(length) && offset < *end)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Node {
    pub(super) fn disk(&mut self, job: Job, operation: Operation) {
        self.tokens += 1;
        let token = self.tokens;
        self.jobs.insert(token, job);
        self.push(match operation {
            Operation::Read { offset, length } => Action::Read { token, offset, length },
            Operation::Write { offset, data } => Action::Write { token, offset, data },
            Operation::Zero { offset, length, discard } => Action::Zero { token, offset, length, discard },
            Operation::Flush => Action::Flush { token },
        });
    }

    /// The token for a save that something waits for.
    pub(super) fn saving(&mut self, job: Job) -> Token {
        self.tokens += 1;
        self.jobs.insert(self.tokens, job);
        self.tokens
    }

    pub(super) fn disk_done(&mut self, token: Token, result: Result<Bytes, String>) {
        let Some(job) = self.jobs.remove(&token) else { return };
        if let Err(what) = &result {
            self.note(super::Severity::Error, format!("disk: {what}"));
        }
        match job {
            Job::Write(number) => self.write_done(number, result.map(|_| ())),
            Job::WriteThrough(number) => self.write_through_done(number, result.map(|_| ())),
            Job::Read(id) => {
                self.counters.read_done();
                self.complete(id, result.map_err(super::RequestError::Disk));
            }
            Job::Flush(id) => self.flush_done(id, result.map(|_| ())),
            Job::Save(weight) => self.late -= weight,
            Job::Activate => self.requests.activated(),
            Job::Promote(id) => self.done(id, Ok(())),
            Job::Announce(session, announcement) => {
                if let Some(present) = self.session.as_mut().filter(|present| present.number == session) {
                    present.announcing -= 1;
                    match announcement {
                        Announcement::SyncUuid(uuid) => self.send(Stream::Data, Packet::SyncUuid(uuid)),
                        // As it is by now.
                        Announcement::State => self.send_state(),
                    }
                }
            }
            Job::Peer { session, weight, job } => match &mut self.session {
                Some(present) if present.number == session => {
                    present.inbound.backlog -= weight;
                    self.peer_job_done(job, result);
                }
                _ => self.late(weight, &job, &result),
            },
        }
    }

    /// The session is over: what it has under way is still there, and whoever connects again and again must not get
    /// more and more of it.
    pub(super) fn jobs_lost_peer(&mut self, over: u64) {
        let weights = self.jobs.values().map(|job| match job {
            Job::Peer { session, weight, .. } if *session == over => *weight,
            _ => 0,
        });
        self.late += weights.sum::<u64>();
    }

    /// What was for a session that is over: nobody waits for it, but the disk has it.
    fn late(&mut self, weight: u64, job: &PeerJob, result: &Result<Bytes, String>) {
        self.late -= weight;
        if let (PeerJob::Resync { offset, length, .. }, Err(_)) = (job, result) {
            self.bitmap.set_out_of_sync(*offset, u64::from(*length));
        }
    }

    /// Whether these are sectors of the volume.
    pub(super) fn within(&self, sector: u64, length: u32) -> Option<u64> {
        let offset = sector.checked_mul(super::SECTOR)?;
        let end = offset.checked_add(u64::from(length))?;
        (end <= self.size && u64::from(length) % super::SECTOR == 0).then_some(offset)
    }
}
