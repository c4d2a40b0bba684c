//! The writes of the other node: in epochs, acknowledged as they were asked to be (bsr-wire B.6).

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::disk::{Job, Operation, PeerJob};
use super::{Node, Protocol};
use crate::wire::{
    self, AckKind, BlockAck, BlockDescriptor, Connection, DataBlock, Disk, Packet, Role, Stream,
};

/// The epochs of the other node's writes. What comes after a barrier is not begun before what came before it is on
/// stable storage: a crash of this node leaves its disk as some moment of the other one's.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The last one is open, the others wait for their writes. Never empty.
    epochs: VecDeque<Epoch>,
    /// What belongs to a later epoch than the first.
    held: VecDeque<Held>,
    flushing: bool,
    /// Writes of which a part has failed, and not all parts are done, by their block id.
    failed: BTreeSet<u64>,
    /// Bytes that are not on disk yet, or not answered.
    pub(super) backlog: u64,
}

#[derive(Debug)]
struct Held {
    epoch: u64,
    weight: u64,
    job: PeerJob,
    operation: Operation,
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    size: u32,
    active: u32,
    barrier: Option<u32>,
}

impl Inbound {
    /// Whether something waits for its epoch.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}

impl Default for Inbound {
    fn default() -> Inbound {
        let epochs = VecDeque::from([Epoch { number: 0, size: 0, active: 0, barrier: None }]);
        Inbound { epochs, held: VecDeque::new(), flushing: false, failed: BTreeSet::new(), backlog: 0 }
    }
}

/// A write of the other node.
#[derive(Debug)]
pub(super) struct PeerWrite {
    epoch: u64,
    offset: u64,
    ack: BlockAck,
    /// P_RECV_ACK, when it is begun: with protocol B its application takes it for kept then, and what waits for its
    /// epoch is lost with the session.
    wants_received: bool,
    wants_ack: bool,
    may_set_in_sync: bool,
    /// It has more parts; only the last one answers.
    more: bool,
}

impl Node {
    /// Lets a disk operation for the other node wait for its epoch.
    pub(super) fn peer_disk(&mut self, job: PeerJob, operation: Operation) {
        let flushes = self.settings.disk_flushes;
        let Some(session) = &mut self.session else { return };
        let inbound = &mut session.inbound;
        let weight = operation.weight();
        inbound.backlog += weight;
        let (first, last) = (inbound.epochs.front(), inbound.epochs.back());
        match (first, last) {
            (Some(first), Some(last)) if flushes && first.number != last.number => {
                let epoch = last.number;
                inbound.held.push_back(Held { epoch, weight, job, operation });
            }
            _ => {
                let session = session.number;
                self.begin_peer_disk(session, weight, job, operation);
            }
        }
    }

    fn begin_peer_disk(&mut self, session: u64, weight: u64, job: PeerJob, operation: Operation) {
        if let PeerJob::Write(PeerWrite { wants_received: true, ack, .. }) = &job {
            let ack = *ack;
            self.send(Stream::Meta, Packet::Ack(AckKind::Received, ack));
        }
        self.disk(Job::Peer { session, weight, job }, operation);
    }

    pub(super) fn peer_writes(&mut self, mut block: DataBlock) {
        let digest = self.session.as_ref().and_then(|session| session.agreed.integrity);
        if let Some(algorithm) = digest {
            let whole = block.split_digest(algorithm.len());
            if !whole || algorithm.digest(&block.payload) != block.digest {
                let name = algorithm.name();
                self.violated(format!(
                    "the {name} of a write at sector {} is wrong: it was changed on its way",
                    block.sector
                ));
                return;
            }
        }
        let Ok(length) = u32::try_from(block.payload.len()) else { return };
        let operation =
            |offset, data| if length == 0 { Operation::Flush } else { Operation::Write { offset, data } };
        let payload = std::mem::take(&mut block.payload);
        let Some(offset) = self.peer_may_write(&block, length) else { return };
        self.count_in_epoch();
        self.counters.received(length);
        self.begin_peer_write(&block, offset, length, vec![operation(offset, payload)]);
    }

    pub(super) fn peer_zeroes(&mut self, block: DataBlock, size: u32, discard: bool) {
        let Some(offset) = self.peer_may_write(&block, size) else { return };
        self.count_in_epoch();
        // P_ZEROES with DP_DISCARD: a hole will do, too.
        let discard = discard || block.flags & wire::DP_DISCARD != 0;
        self.begin_peer_write(&block, offset, size, vec![Operation::Zero { offset, length: size, discard }]);
    }

    pub(super) fn peer_repeats(&mut self, block: DataBlock, size: u32) {
        let pattern = &block.payload;
        let length = u32::try_from(pattern.len()).unwrap_or(0);
        if length == 0 || length > MOST_PATTERN || !size.is_multiple_of(length) {
            self.violated(format!("a write of {size} bytes repeats {length} bytes"));
            return;
        }
        let Some(offset) = self.peer_may_write(&block, size) else { return };
        self.count_in_epoch();
        // The same piece of memory for all parts, however long the range is.
        let piece = (super::MAX_REQUEST / length * length).min(size);
        let mut data = BytesMut::with_capacity(piece as usize);
        while data.len() < piece as usize {
            data.extend_from_slice(pattern);
        }
        let data = data.freeze();
        let parts = (0..size).step_by(piece as usize).map(|at| {
            let length = piece.min(size - at) as usize;
            Operation::Write { offset: offset + u64::from(at), data: data.slice(..length) }
        });
        let parts: Vec<Operation> = parts.collect();
        self.begin_peer_write(&block, offset, size, parts);
    }

    /// Where, in bytes, if it may be written.
    fn peer_may_write(&mut self, block: &DataBlock, length: u32) -> Option<u64> {
        if self.state.role == Role::Primary {
            self.violated("a write came, but this node is primary");
            return None;
        }
        if !self.state.is_connected() {
            self.violated("a write came before both nodes had said what they have");
            return None;
        }
        let place = self.within(block.sector, length);
        if place.is_none() {
            let (sector, size) = (block.sector, self.size);
            self.violated(format!("a write of {length} bytes at sector {sector} is not within {size} bytes"));
        }
        place
    }

    fn count_in_epoch(&mut self) {
        if let Some(session) = &mut self.session
            && let Some(epoch) = session.inbound.epochs.back_mut()
        {
            epoch.size += 1;
        }
    }

    fn begin_peer_write(&mut self, block: &DataBlock, offset: u64, length: u32, mut parts: Vec<Operation>) {
        if block.flags & (wire::DP_FUA | wire::DP_FLUSH) != 0 && length > 0 && self.settings.disk_flushes {
            // To stable storage before it is acknowledged.
            parts.push(Operation::Flush);
        }
        let old = self.version() < VERSION_ACK_FLAGS;
        let wants =
            |protocol, flag| if old { self.settings.protocol == protocol } else { block.flags & flag != 0 };
        let wants_received = wants(Protocol::B, wire::DP_SEND_RECEIVE_ACK);
        let wants_ack = wants(Protocol::C, wire::DP_SEND_WRITE_ACK);
        if self.state.peer_disk < Disk::Inconsistent && length > 0 {
            // The other node has no disk: this is the only copy, and differs from what that disk had.
            self.bitmap.set_out_of_sync(offset, u64::from(length));
            self.save_all(false);
        }
        let Some(session) = &mut self.session else { return };
        session.sequence = session.sequence.wrapping_add(1);
        let ack = BlockAck {
            sector: block.sector,
            block_id: block.block_id,
            size: length,
            sequence: session.sequence,
        };
        let Some(epoch) = session.inbound.epochs.back_mut() else { return };
        let number = epoch.number;
        let count = parts.len();
        epoch.active += u32::try_from(count).unwrap_or(u32::MAX);
        for (place, part) in parts.into_iter().enumerate() {
            let write = PeerWrite {
                epoch: number,
                offset,
                ack,
                wants_received: wants_received && place == 0,
                wants_ack,
                may_set_in_sync: block.flags & wire::DP_MAY_SET_IN_SYNC != 0,
                more: place + 1 < count,
            };
            self.peer_disk(PeerJob::Write(write), part);
        }
    }

    pub(super) fn peer_job_done(&mut self, job: PeerJob, result: Result<Bytes, String>) {
        match job {
            PeerJob::Write(write) => self.peer_write_done(&write, result.is_ok()),
            PeerJob::EpochFlush => self.epoch_flushed(result.is_ok()),
            PeerJob::Serve(serve) => self.served(serve, result.ok()),
            PeerJob::Resync { offset, length, round } => {
                self.resync_written(offset, length, round, result.is_ok());
            }
            PeerJob::OwnChecksum { offset, length, round } => {
                self.checksum_read(offset, length, round, result.ok());
            }
            PeerJob::OwnVerify { offset, length, theirs } => {
                self.verify_read(offset, length, &theirs, result.ok())
            }
        }
    }

    fn peer_write_done(&mut self, write: &PeerWrite, written: bool) {
        let Some(session) = &mut self.session else { return };
        // A write of several parts is written if all of them are.
        let parts = &mut session.inbound.failed;
        let failed = if write.more {
            !written && parts.insert(write.ack.block_id)
        } else {
            parts.remove(&write.ack.block_id)
        };
        let written = written && !failed;
        if !written {
            self.bitmap.set_out_of_sync(write.offset, u64::from(write.ack.size));
            self.disk_is_bad();
        }
        if !write.more {
            let resyncs = (Connection::SyncSource..=Connection::PausedSyncT).contains(&self.state.connection);
            // Both have to know: without an acknowledgement the source would not.
            let in_sync = written && write.wants_ack && write.may_set_in_sync && resyncs;
            if in_sync {
                self.bitmap.set_in_sync(write.offset, u64::from(write.ack.size));
            }
            let kind = match (written, in_sync) {
                (false, _) => Some(AckKind::Negative),
                (true, true) => Some(AckKind::ResyncWritten),
                (true, _) if write.wants_ack => Some(AckKind::Written),
                _ => None,
            };
            if let Some(kind) = kind {
                self.send(Stream::Meta, Packet::Ack(kind, write.ack));
            }
        }
        let Some(session) = &mut self.session else { return };
        if let Some(epoch) = session.inbound.epochs.iter_mut().find(|epoch| epoch.number == write.epoch) {
            epoch.active -= 1;
        }
        self.finish_epochs();
    }

    /// A write of the other node is not on this disk, but its application may hear that it is done: nobody must take this
    /// disk for a good one before the next resync.
    fn disk_is_bad(&mut self) {
        use Connection::{Connected, VerifyS, VerifyT};
        let bad = matches!(self.state.connection, Connected | VerifyS | VerifyT)
            && self.state.disk > Disk::Inconsistent
            && self.state.peer_disk == Disk::UpToDate;
        if bad {
            self.change_unsaved("a write to it failed", |state| {
                (state.connection, state.disk) = (Connected, Disk::Inconsistent);
            });
            self.save_all(false);
            self.send_state();
        }
    }

    /// P_BARRIER.
    pub(super) fn epoch_ends(&mut self, barrier: u32) {
        let Some(session) = &mut self.session else { return };
        let Some(epoch) = session.inbound.epochs.back_mut() else { return };
        if epoch.size == 0 {
            return; // nothing to acknowledge
        }
        epoch.barrier = Some(barrier);
        let next = Epoch { number: epoch.number + 1, size: 0, active: 0, barrier: None };
        session.inbound.epochs.push_back(next);
        self.finish_epochs();
    }

    /// Acknowledges what is done, and begins what waited for it.
    fn finish_epochs(&mut self) {
        loop {
            let flushes = self.settings.disk_flushes;
            let Some(session) = &mut self.session else { return };
            let (session, inbound) = (session.number, &mut session.inbound);
            let Some(epoch) = inbound.epochs.front() else { return };
            let (Some(barrier), 0, false) = (epoch.barrier, epoch.active, inbound.flushing) else { return };
            if flushes {
                inbound.flushing = true;
                self.disk(Job::Peer { session, weight: 0, job: PeerJob::EpochFlush }, Operation::Flush);
                return;
            }
            self.acknowledge_epoch(barrier);
        }
    }

    fn epoch_flushed(&mut self, flushed: bool) {
        if !flushed {
            // It cannot promise that the epoch is stable: the other node has to keep its writes as unsure.
            self.end_session(Connection::NetworkFailure, "the disk could not be flushed", false);
            return;
        }
        let Some(session) = &mut self.session else { return };
        session.inbound.flushing = false;
        if let Some(barrier) = session.inbound.epochs.front().and_then(|epoch| epoch.barrier) {
            self.acknowledge_epoch(barrier);
        }
        self.finish_epochs();
    }

    fn acknowledge_epoch(&mut self, barrier: u32) {
        let Some(session) = &mut self.session else { return };
        let (session, inbound) = (session.number, &mut session.inbound);
        let Some(epoch) = inbound.epochs.pop_front() else { return };
        let mut ready = Vec::new();
        if let Some(first) = inbound.epochs.front().map(|epoch| epoch.number) {
            while inbound.held.front().is_some_and(|held| held.epoch == first) {
                ready.extend(inbound.held.pop_front());
            }
        }
        self.send(Stream::Meta, Packet::BarrierAck { barrier, set_size: epoch.size });
        for Held { weight, job, operation, .. } in ready {
            self.begin_peer_disk(session, weight, job, operation);
        }
    }

    /// P_OUT_OF_SYNC: the other node is ahead, and keeps this block's data for later.
    pub(super) fn out_of_sync_came(&mut self, range: BlockDescriptor) {
        let behind = matches!(
            self.state.connection,
            Connection::Behind | Connection::WFBitMapT | Connection::WFSyncUUID | Connection::SyncTarget
        );
        match self.within(range.sector, range.size) {
            Some(offset) if behind => {
                self.bitmap.set_out_of_sync(offset, u64::from(range.size));
            }
            Some(_) => {
                self.violated(format!("a block is out of sync, but this node is {}", self.state.connection))
            }
            None => self.violated(format!("{range:?} is not within the volume")),
        }
    }
}

/// What is repeated is a logical block.
const MOST_PATTERN: u32 = 4096;
/// Data blocks say which acknowledgement they want; before, it was the protocol that said it.
const VERSION_ACK_FLAGS: u32 = 100;
