//! The log of this node's writes: until both disks have one for good, or the bitmap knows that they may differ.

use bytes::Bytes;

use super::disk::{Job, Operation};
use super::requests::{Local, Remote, Write};
use super::{Node, Protocol, RequestError, SECTOR, Severity, Time};
use crate::activity::extents_of;
use crate::wire::{self, AckKind, BlockAck, Connection, Disk};

impl Node {
    /// So many packets are in TCP's hands: that is all that protocol A waits for.
    pub(super) fn writes_sent(&mut self, packets: u64) {
        while let Some((packet, number)) = self.requests.unsent.front().copied()
            && packet <= packets
        {
            self.requests.unsent.pop_front();
            self.advance(number, |write| {
                if write.remote == Remote::Pending {
                    write.remote = Remote::Done;
                }
            });
        }
    }

    pub(super) fn write_done(&mut self, number: u64, result: Result<(), String>) {
        let fua = self.requests.log.get(&number).is_some_and(|write| write.fua);
        if fua && result.is_ok() {
            self.disk(Job::WriteThrough(number), Operation::Flush);
            return;
        }
        self.write_through_done(number, result);
    }

    pub(super) fn write_through_done(&mut self, number: u64, result: Result<(), String>) {
        self.advance(number, |write| {
            write.local = match result {
                Ok(()) => Local::Done,
                Err(what) => Local::Failed(what),
            }
        });
    }

    /// The acknowledgements of single blocks, on meta.
    pub(super) fn acknowledged(&mut self, kind: AckKind, ack: BlockAck) {
        let resync = ack.block_id == wire::ID_SYNCER;
        match kind {
            AckKind::VerifyResult => self.verify_result(&ack),
            AckKind::InSync | AckKind::ResyncCancel => self.resync_answered(kind, &ack),
            AckKind::NegativeResync if self.state.connection == Connection::VerifyS => {
                self.verify_refused(&ack)
            }
            AckKind::NegativeResync => self.resync_answered(kind, &ack),
            AckKind::NegativeData => self.data_refused(&ack),
            AckKind::ResyncWritten if resync => self.resync_acknowledged(&ack),
            AckKind::Negative if resync => self.resync_refused(&ack),
            AckKind::Received | AckKind::Written | AckKind::ResyncWritten | AckKind::Negative => {
                self.write_acknowledged(kind, &ack);
            }
            AckKind::Superseded | AckKind::RetryWrite => {
                self.violated(format!("{kind:?} came: that is for two primaries"));
            }
        }
    }

    fn write_acknowledged(&mut self, kind: AckKind, ack: &BlockAck) {
        let Some(write) = self.requests.log.get(&ack.block_id) else {
            self.violated(format!("{ack:?} acknowledges no write of this node"));
            return;
        };
        let (offset, length) = (write.offset, write.length);
        if ack.sector != offset / SECTOR || ack.size != length || write.remote == Remote::Absent {
            self.violated(format!("{ack:?} is not what was written"));
            return;
        }
        match kind {
            AckKind::ResyncWritten => {
                self.bitmap.set_in_sync(offset, length.into());
            }
            AckKind::Negative => {
                self.note(
                    Severity::Warning,
                    format!("the other node could not write {length} bytes at {offset}"),
                );
                self.bitmap.set_out_of_sync(offset, length.into());
            }
            _ => {}
        }
        let enough = kind != AckKind::Received || self.state.disk == Disk::UpToDate;
        self.advance(ack.block_id, |write| {
            write.remote = match (kind, write.remote) {
                (AckKind::Negative, _) => Remote::Failed,
                (_, Remote::Pending) if !enough => Remote::Pending,
                (_, Remote::Pending) => Remote::Done,
                (_, remote) => remote,
            }
        });
    }

    /// P_BARRIER_ACK for this epoch came.
    pub(super) fn epoch_is_stable(&mut self, epoch: u32) {
        // Of those that are not stable, the oldest epoch's come first.
        let numbers: Vec<u64> = self
            .requests
            .log
            .iter()
            .filter(|(_, write)| matches!(write.remote, Remote::Pending | Remote::Done))
            .take_while(|(_, write)| write.epoch == epoch)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.advance(number, |write| write.remote = Remote::Stable);
        }
    }

    /// Changes a write, and does what follows: completed, no longer under way, forgotten.
    fn advance(&mut self, number: u64, change: impl FnOnce(&mut Write)) {
        let Some(write) = self.requests.log.get_mut(&number) else { return };
        let before = write.remote;
        change(write);
        let counted = |remote| match self.settings.protocol {
            // What counts as under way: A, until its epoch is acknowledged; B and C, until it is (bsr-wire D.4).
            Protocol::A => matches!(remote, Remote::Pending | Remote::Done),
            Protocol::B | Protocol::C => remote == Remote::Pending,
        };
        if counted(before) && !counted(write.remote) {
            self.requests.in_flight -= u64::from(write.length);
        }
        let (offset, length, id, epoch) = (write.offset, write.length, write.id, write.epoch);
        let (local, remote, nowhere) = (write.local.clone(), write.remote, write.nowhere);
        if local == Local::Pending {
            return;
        }
        if remote != Remote::Pending && self.requests.open.remove(&number) {
            let result = match &local {
                Local::Failed(what) => Err(RequestError::Disk(what.clone())),
                _ if nowhere => Err(RequestError::NoData),
                _ => Ok(Bytes::new()),
            };
            self.write_complete(id, result);
            let same = self.session.as_ref().is_some_and(|session| session.outbound.epoch == epoch);
            if same && remote != Remote::Absent {
                self.end_epoch();
            }
        }
        if matches!(remote, Remote::Pending | Remote::Done) {
            return;
        }
        if matches!(local, Local::Failed(_)) || remote == Remote::Failed {
            self.bitmap.set_out_of_sync(offset, length.into());
        }
        self.requests.log.remove(&number);
        self.activity.end(extents_of(offset, length.into()));
    }

    /// The connection is lost: whatever is not stable on the other disk may differ.
    pub(super) fn writes_lost_peer(&mut self) {
        self.requests.unsent.clear();
        let unsure: Vec<u64> = self
            .requests
            .log
            .iter()
            .filter(|(_, write)| matches!(write.remote, Remote::Pending | Remote::Done))
            .map(|(number, _)| *number)
            .collect();
        if !unsure.is_empty() && self.state.disk != Disk::UpToDate {
            self.requests.flushes.lost_peer();
        }
        for number in unsure {
            if let Some(write) = self.requests.log.get(&number) {
                let (offset, length) = (write.offset, write.length);
                self.bitmap.set_out_of_sync(offset, length.into());
            }
            // This disk alone counts only if it is one that counts: the next resync would take it back.
            let alone = self.state.disk == Disk::UpToDate;
            self.advance(number, |write| {
                if !alone && write.remote == Remote::Pending {
                    write.nowhere = true;
                }
                write.remote = Remote::Absent;
            });
        }
    }

    /// timeout x ko-count after a write that is not acknowledged, the other node counts as gone (bsr-wire D.2).
    pub(super) fn request_timer(&mut self) {
        if self.request_deadline().is_some_and(|deadline| deadline <= self.now) {
            let limit = self.settings.timeout * self.settings.ko_count;
            let why =
                format!("a write was not acknowledged in {} s (timeout x ko-count)", limit.as_secs_f32());
            self.end_session(Connection::Timeout, &why, false);
        }
    }

    pub(super) fn request_deadline(&self) -> Option<Time> {
        let limit = self.settings.timeout * self.settings.ko_count;
        if limit.is_zero() {
            return None;
        }
        let session = self.session.as_ref()?;
        let pending = self.requests.open.iter().filter_map(|number| self.requests.log.get(number));
        let write = pending.filter(|write| write.remote == Remote::Pending).map(|write| write.since).next();
        [write, session.outbound.since()].into_iter().flatten().min().map(|since| since + limit)
    }
}
