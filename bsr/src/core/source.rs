//! What the other node reads from this disk: blocks of a resync to its own, blocks to be compared, blocks that its
//! applications want (bsr-wire B.7, B.8).

use std::collections::VecDeque;

use bytes::Bytes;

use super::disk::{Announcement, Locks, Operation, PeerJob};
use super::{Node, Severity};
use crate::digest::Algorithm;
use crate::wire::{
    AckKind, BlockAck, BlockDescriptor, BlockRequest, Connection, DataBlock, Disk, Packet, Stream,
};

/// What the other node reads. A range that is read for a resync is locked until the answer is sent, one that is to be
/// compared until the result is here: else a write of an application might come to stand before, and lose.
#[derive(Debug, Default)]
pub(super) struct Serving {
    pub(super) locks: Locks,
    /// Answers that are not in TCP's hands yet: the number of the packet, and bytes.
    unsent: VecDeque<(u64, u64)>,
}

/// A read for the other node.
#[derive(Debug)]
pub(super) struct Serve {
    pub(super) request: BlockRequest,
    offset: u64,
    what: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Data,
    Resync { thin: bool },
    Checksum(Bytes),
    Verify,
}

impl Node {
    /// This disk is the source of a resync: its generation becomes the other one's, step by step.
    pub(super) fn begin_source(&mut self) {
        let random = self.random.next();
        let uuid = self.generations.start_sync_source(random);
        self.announce(Announcement::SyncUuid(uuid));
        self.counters.resync_begins(self.bitmap.weight());
        let (bits, kib) = (self.bitmap.weight(), self.bitmap.weight() * 4);
        self.note(Severity::Info, format!("resync from here begins: {kib} KiB, {bits} blocks of 4 KiB"));
    }

    /// The other node says that its disk is as this one.
    pub(super) fn source_finished(&mut self) {
        if self.bitmap.weight() > self.counters.resync_failed {
            return; // not as far as this node knows: an acknowledgement is missing
        }
        let clean = self.counters.resync_failed == 0;
        if clean {
            self.generations.finish_as_source();
        }
        self.resync_over(clean);
    }

    /// What both roles do at its end.
    pub(super) fn resync_over(&mut self, clean: bool) {
        let own = self.generations;
        if let Some(uuids) = self.session.as_mut().and_then(|session| session.peer_uuids.as_mut())
            && clean
        {
            (uuids.current, uuids.bitmap, uuids.history) = (own.current, own.bitmap, own.history);
        }
        let (kib, failed) = (self.counters.resync_total * 4, self.counters.resync_failed * 4);
        if clean {
            self.note(Severity::Info, format!("resync is done: {kib} KiB"));
        } else {
            let text = format!(
                "resync has ended, but {failed} KiB of {kib} could not be copied: they are tried again when both nodes connect again"
            );
            self.note(Severity::Error, text);
        }
        let source = self.state.connection == Connection::SyncSource;
        self.change("the resync is done", |state| {
            state.connection = Connection::Connected;
            if clean {
                (state.disk, state.peer_disk) = (Disk::UpToDate, Disk::UpToDate);
            }
        });
        self.save_all(!source);
        self.announce(Announcement::State);
    }

    /// P_DATA_REQUEST: an application of the other node reads here.
    pub(super) fn data_wanted(&mut self, request: BlockRequest) {
        let good = self.state.disk == Disk::UpToDate;
        self.serve(request, Wanted::Data, good, AckKind::NegativeData);
    }

    /// P_RS_DATA_REQUEST, P_RS_THIN_REQ.
    pub(super) fn resync_wanted(&mut self, request: BlockRequest, thin: bool) {
        self.resync_read(request, Wanted::Resync { thin });
    }

    /// P_CSUM_RS_REQUEST.
    pub(super) fn checksum_wanted(&mut self, request: BlockRequest, digest: Bytes) {
        self.resync_read(request, Wanted::Checksum(digest));
    }

    fn resync_read(&mut self, request: BlockRequest, wanted: Wanted) {
        match self.state.connection {
            Connection::Ahead => {
                let ack = self.ack(&request);
                self.send(Stream::Meta, Packet::Ack(AckKind::ResyncCancel, ack));
            }
            Connection::SyncSource | Connection::PausedSyncS => {
                let good = self.state.disk == Disk::UpToDate;
                self.serve(request, wanted, good, AckKind::NegativeResync);
            }
            // It was sent before the other node knew that the resync was over, or interrupted.
            _ if self.state.is_connected() => {
                let ack = self.ack(&request);
                self.send(Stream::Meta, Packet::Ack(AckKind::NegativeResync, ack));
            }
            other => self.violated(format!("a resync request came while {other}")),
        }
    }

    /// P_OV_REQUEST.
    pub(super) fn verify_wanted(&mut self, request: BlockRequest) {
        if self.state.connection != Connection::VerifyT {
            if !self.state.is_connected() {
                self.violated("a verify request came before both nodes had said what they have");
            }
            return; // the verify ended meanwhile
        }
        self.verify_begins(request.sector);
        self.serve(request, Wanted::Verify, true, AckKind::NegativeResync);
    }

    fn serve(&mut self, request: BlockRequest, what: Wanted, good: bool, refusal: AckKind) {
        if !self.state.is_connected() {
            self.violated("a request came before both nodes had said what they have");
            return;
        }
        let Some(offset) = self.within(request.sector, request.size).filter(|_| request.size > 0) else {
            self.violated(format!("{request:?} is not within {} bytes", self.size));
            return;
        };
        if !good {
            let ack = self.ack(&request);
            self.send(Stream::Meta, Packet::Ack(refusal, ack));
            return;
        }
        let Some(session) = &mut self.session else { return };
        if !matches!(what, Wanted::Data) {
            if session.serving.locks.len() >= MOST_LOCKS {
                self.violated(format!("more than {MOST_LOCKS} requests of a resync or a verify at once"));
                return;
            }
            session.serving.locks.lock(offset, request.size);
        }
        let length = request.size;
        self.peer_disk(PeerJob::Serve(Serve { request, offset, what }), Operation::Read { offset, length });
    }

    pub(super) fn served(&mut self, serve: Serve, read: Option<Bytes>) {
        let Serve { request, offset, what } = serve;
        let Some(payload) = read else {
            if matches!(what, Wanted::Resync { .. } | Wanted::Checksum(_)) {
                self.counters.resync_failed += u64::from(request.size).div_ceil(BLOCK);
            }
            let kind = if matches!(what, Wanted::Data) {
                AckKind::NegativeData // nothing was locked for it
            } else {
                self.unlock(offset, request.size);
                AckKind::NegativeResync
            };
            let ack = self.ack(&request);
            self.send(Stream::Meta, Packet::Ack(kind, ack));
            return;
        };
        match what {
            Wanted::Data => {
                let block = self.block(request.sector, request.block_id, 0, payload);
                self.answer(Packet::DataReply(block), request.size);
            }
            Wanted::Resync { thin: true } if payload.iter().all(|byte| *byte == 0) => {
                self.counters.resync_sent(0);
                self.answer(
                    Packet::Deallocated(BlockDescriptor { sector: request.sector, size: request.size }),
                    0,
                );
                self.unlock(offset, request.size);
            }
            Wanted::Resync { .. } => self.answer_resync(&request, offset, payload),
            Wanted::Checksum(theirs) => {
                match self.settings.checksum.map(|algorithm| algorithm.digest(&payload)) {
                    Some(own) if own == theirs => {
                        self.bitmap.set_in_sync(offset, u64::from(request.size));
                        let ack = self.ack(&request);
                        self.send(Stream::Meta, Packet::Ack(AckKind::InSync, ack));
                        self.unlock(offset, request.size);
                    }
                    _ => self.answer_resync(&request, offset, payload),
                }
            }
            // Locked until the result is here.
            Wanted::Verify => match self.settings.verify {
                Some(algorithm) => {
                    let digest = algorithm.digest(&payload);
                    self.answer(Packet::VerifyReply(request, digest), 0);
                }
                None => self.violated("a verify request came, but no verify-alg is set"),
            },
        }
    }

    fn answer_resync(&mut self, request: &BlockRequest, offset: u64, payload: Bytes) {
        self.counters.resync_sent(request.size);
        let block = self.block(request.sector, request.block_id, 0, payload);
        self.answer(Packet::ResyncReply(block), request.size);
        self.unlock(offset, request.size);
    }

    /// Sends it on data; what has so many bytes counts as backlog until TCP has it.
    fn answer(&mut self, packet: Packet, bytes: u32) {
        self.send(Stream::Data, packet);
        if let Some(session) = &mut self.session {
            session.serving.unsent.push_back((session.packets, u64::from(bytes)));
            session.inbound.backlog += u64::from(bytes);
        }
    }

    pub(super) fn answers_sent(&mut self, packets: u64) {
        let Some(session) = &mut self.session else { return };
        while let Some((number, bytes)) = session.serving.unsent.front().copied()
            && number <= packets
        {
            session.serving.unsent.pop_front();
            session.inbound.backlog -= bytes;
        }
    }

    pub(super) fn unlock(&mut self, offset: u64, length: u32) {
        if let Some(session) = &mut self.session {
            session.serving.locks.unlock(offset, length);
        }
    }

    /// A block of data with its digest.
    pub(super) fn block(&mut self, sector: u64, block_id: u64, flags: u32, payload: Bytes) -> DataBlock {
        let digest =
            self.settings.integrity.map_or(Bytes::new(), |algorithm: Algorithm| algorithm.digest(&payload));
        DataBlock { sector, block_id, sequence: 0, flags, digest, payload }
    }

    pub(super) fn ack(&mut self, request: &BlockRequest) -> BlockAck {
        BlockAck { sector: request.sector, block_id: request.block_id, size: request.size, sequence: 0 }
    }

    /// P_RS_WRITE_ACK for a block of a resync.
    pub(super) fn resync_acknowledged(&mut self, ack: &BlockAck) {
        match self.within(ack.sector, ack.size) {
            Some(offset) if self.is_source() => {
                self.bitmap.set_in_sync(offset, u64::from(ack.size));
            }
            Some(_) => {} // of a resync that is over: what is set since then counts
            None => self.violated(format!("{ack:?} is not within the volume")),
        }
    }

    fn is_source(&self) -> bool {
        matches!(self.state.connection, Connection::SyncSource | Connection::PausedSyncS)
    }

    /// P_NEG_ACK for a block of a resync: the other disk could not write it.
    pub(super) fn resync_refused(&mut self, ack: &BlockAck) {
        if let Some(offset) = self.within(ack.sector, ack.size).filter(|_| self.is_source()) {
            self.bitmap.set_out_of_sync(offset, u64::from(ack.size));
            self.counters.resync_failed += u64::from(ack.size).div_ceil(BLOCK);
        }
    }
}

/// Requests of a resync or a verify under way; a window of 4 KiB blocks has fewer, in DRBD and here.
const MOST_LOCKS: usize = 16_384;
/// Bytes of a bit.
pub(super) const BLOCK: u64 = 4096;
