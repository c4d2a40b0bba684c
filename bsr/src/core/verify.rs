//! Online verify: digests of all blocks are compared; what differs is set in both bitmaps (bsr-wire B.8).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::disk::{Operation, PeerJob};
use super::source::BLOCK;
use super::target::Ending;
use super::{Node, SECTOR, Severity};
use crate::wire::{
    AckKind, BlockAck, BlockRequest, Connection, Packet, Stream, VERIFY_IN_SYNC, VERIFY_OUT_OF_SYNC,
};

/// A verify under way.
#[derive(Debug)]
pub(super) enum Verify {
    /// This node asks and compares.
    Source {
        /// The next byte to be asked for.
        cursor: u64,
        /// Where, in bytes, to how long.
        flights: BTreeMap<u64, u32>,
        /// The last result is on its way: the other node has it when it answers a ping.
        ending: Ending,
        /// The other node could not read some of it: so many results it will not count.
        refused: bool,
    },
    /// It answers: so many blocks have no result yet. None: nothing was asked yet.
    Target {
        /// Blocks of 4 KiB.
        left: Option<u64>,
    },
}

impl Node {
    pub(super) fn begin_verify(&mut self, verify: Verify) {
        let source = matches!(verify, Verify::Source { .. });
        if let Some(session) = &mut self.session {
            session.verify = Some(verify);
        }
        self.counters.verify_begins(self.bitmap.bits());
        self.change("an operator wants both disks compared", |state| {
            state.connection = if source { Connection::VerifyS } else { Connection::VerifyT };
        });
    }

    /// Asks for the next digests.
    pub(super) fn feed_verify(&mut self) {
        while let Some((offset, length)) = self.next_verify() {
            let request = BlockRequest { sector: offset / SECTOR, block_id: offset, size: length };
            self.send(Stream::Data, Packet::VerifyRequest(request));
        }
    }

    fn next_verify(&mut self) -> Option<(u64, u32)> {
        if self.state.connection != Connection::VerifyS {
            return None;
        }
        let session = self.session.as_mut()?;
        let Some(Verify::Source { cursor, flights, ending, refused }) = &mut session.verify else {
            return None;
        };
        if *cursor >= self.size {
            match *ending {
                _ if !flights.is_empty() => {}
                Ending::Not => self.verify_ends(),
                Ending::Pinged => {}
                // The other node ends it by its own count. A kernel that is told so, too, while it is at it, ends it
                // twice, and with it what came after it: it is told only if it cannot know.
                Ending::Answered => {
                    let refused = *refused;
                    self.verify_finished();
                    if refused {
                        self.send_state();
                    }
                }
            }
            return None;
        }
        // One block at a time: the other side counts results, not bytes.
        let length = u32::try_from(BLOCK.min(self.size - *cursor)).ok()?;
        if flights.len() >= WINDOW || self.requests.touch(*cursor, length) {
            return None;
        }
        let offset = *cursor;
        flights.insert(offset, length);
        session.serving.locks.lock(offset, length);
        *cursor += u64::from(length);
        Some((offset, length))
    }

    fn verify_ends(&mut self) {
        if self.ping()
            && let Some(Verify::Source { ending, .. }) = self.session.as_mut().and_then(|s| s.verify.as_mut())
        {
            *ending = Ending::Pinged;
        }
    }

    pub(super) fn verify_pinged(&mut self) {
        if let Some(Verify::Source { ending: ending @ Ending::Pinged, .. }) =
            self.session.as_mut().and_then(|session| session.verify.as_mut())
        {
            *ending = Ending::Answered;
        }
    }

    /// P_OV_REPLY.
    pub(super) fn verify_came(&mut self, request: BlockRequest, digest: Bytes) {
        let offset = self.within(request.sector, request.size);
        let Some(session) = &self.session else { return };
        let flies = match (&session.verify, offset) {
            (Some(Verify::Source { flights, .. }), Some(offset)) => {
                flights.get(&offset) == Some(&request.size)
            }
            (None, Some(_)) => return, // of a verify that is over
            _ => false,
        };
        let Some(offset) = offset.filter(|_| flies) else {
            self.violated(format!("a digest of {request:?} came, which nobody asked for"));
            return;
        };
        let length = request.size;
        self.peer_disk(
            PeerJob::OwnVerify { offset, length, theirs: digest },
            Operation::Read { offset, length },
        );
    }

    pub(super) fn verify_read(&mut self, offset: u64, length: u32, theirs: &Bytes, read: Option<Bytes>) {
        let Some(session) = &mut self.session else { return };
        let Some(Verify::Source { flights, .. }) = &mut session.verify else { return };
        flights.remove(&offset);
        session.serving.locks.unlock(offset, length);
        let algorithm = self.settings.verify;
        let same = read.zip(algorithm).is_some_and(|(read, algorithm)| algorithm.digest(&read) == *theirs);
        if !same {
            self.bitmap.set_out_of_sync(offset, u64::from(length));
        }
        self.counters.verified(!same);
        let block_id = if same { VERIFY_IN_SYNC } else { VERIFY_OUT_OF_SYNC };
        let ack = BlockAck { sector: offset / SECTOR, block_id, size: length, sequence: 0 };
        self.send(Stream::Meta, Packet::Ack(AckKind::VerifyResult, ack));
    }

    /// P_OV_REQUEST, the first of which says where the verify begins.
    pub(super) fn verify_begins(&mut self, sector: u64) {
        let bits = self.bitmap.bits();
        if let Some(session) = &mut self.session
            && let Some(Verify::Target { left: left @ None }) = &mut session.verify
        {
            *left = Some(bits.saturating_sub(sector.saturating_mul(SECTOR) / BLOCK));
        }
    }

    /// P_OV_RESULT.
    pub(super) fn verify_result(&mut self, ack: &BlockAck) {
        let Some(offset) = self.within(ack.sector, ack.size) else {
            self.violated(format!("{ack:?} is not within the volume"));
            return;
        };
        let Some(session) = &mut self.session else { return };
        if !session.serving.locks.unlock(offset, ack.size) {
            return; // of a verify that is over
        }
        let differs = ack.block_id == VERIFY_OUT_OF_SYNC;
        if differs {
            self.bitmap.set_out_of_sync(offset, u64::from(ack.size));
        }
        self.counters.verified(differs);
        let Some(Verify::Target { left: Some(left) }) = &mut session.verify else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.verify_finished();
        }
    }

    /// The other node could not read what was to be compared.
    pub(super) fn verify_refused(&mut self, ack: &BlockAck) {
        let Some(offset) = self.within(ack.sector, ack.size) else { return };
        let Some(session) = &mut self.session else { return };
        if let Some(Verify::Source { flights, refused, .. }) = &mut session.verify
            && flights.remove(&offset).is_some()
        {
            *refused = true;
            session.serving.locks.unlock(offset, ack.size);
            self.bitmap.set_out_of_sync(offset, u64::from(ack.size));
            self.counters.verified(true);
        }
    }

    pub(super) fn verify_finished(&mut self) {
        let kib = self.counters.verify_different * 4;
        let severity = if kib == 0 { Severity::Info } else { Severity::Error };
        let advice =
            if kib == 0 { "" } else { "; they are resynced when a primary disconnects and connects" };
        self.note(severity, format!("verify is done: {kib} KiB differ{advice}"));
        if let Some(session) = &mut self.session {
            session.serving.locks = super::disk::Locks::default();
        }
        self.change("the verify is done", |state| state.connection = Connection::Connected);
        self.save_all(false);
    }
}

/// Blocks that are asked for and not compared yet.
const WINDOW: usize = 512;
