//! A resync to this disk: it asks for what differs, so much at a time (bsr-wire B.7).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::disk::{Operation, PeerJob};
use super::source::BLOCK;
use super::{Node, SECTOR, Severity, Time};
use crate::wire::{
    self, AckKind, BlockAck, BlockDescriptor, BlockRequest, Connection, DataBlock, Disk, Packet, Stream,
};

/// A resync to this disk.
#[derive(Debug)]
pub(super) struct Resync {
    /// The next bit to be looked at.
    cursor: u64,
    /// Which one of this node's: of an earlier one something may still be under way to the disk.
    round: u64,
    /// What was asked for and is not written, by where it begins, in bytes.
    flights: BTreeMap<u64, Flight>,
    in_flight: u64,
    /// c-max-rate allows the next request when this is at most [`BURST`] ahead.
    pace: Time,
    paced: bool,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    /// Bytes.
    length: u32,
    /// It has come, and is about to be written: nothing else may come in its place.
    here: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Not,
    /// A ping is on its way: its answer says that the other node has all that was sent on meta.
    Pinged,
    Answered,
}

impl Resync {
    /// When the rate allows the next request; none: it is not the rate that is waited for.
    pub(super) fn next(&self, _now: Time) -> Option<Time> {
        self.paced.then(|| self.pace.saturating_sub(BURST))
    }

    pub(super) fn overlaps(&self, offset: u64, length: u32) -> bool {
        let end = offset + u64::from(length);
        self.flights
            .range(..end)
            .next_back()
            .is_some_and(|(begin, flight)| begin + u64::from(flight.length) > offset)
    }
}

impl Node {
    /// P_SYNC_UUID: the source begins.
    pub(super) fn sync_uuid_came(&mut self, uuid: u64) {
        if self.state.connection == Connection::Connected && self.orders.invalidates() {
            if let Some(session) = &mut self.session {
                session.early_sync_uuid = Some(uuid);
            }
            return;
        }
        if !matches!(self.state.connection, Connection::WFSyncUUID | Connection::Behind) {
            self.violated(format!("P_SYNC_UUID came while {}", self.state.connection));
            return;
        }
        self.generations.receive_sync_uuid(uuid);
        self.change("the source begins", |state| {
            state.connection = Connection::SyncTarget;
            state.disk = Disk::Inconsistent;
        });
    }

    pub(super) fn begin_target(&mut self) {
        let now = self.now;
        self.counters.resync_begins(self.bitmap.weight());
        let (bits, kib) = (self.bitmap.weight(), self.bitmap.weight() * 4);
        if let Some(session) = &mut self.session {
            session.resync = Some(Resync {
                round: self.counters.resyncs,
                cursor: 0,
                flights: BTreeMap::new(),
                in_flight: 0,
                pace: now,
                paced: false,
                ending: Ending::Not,
            });
        }
        self.note(Severity::Info, format!("resync to here begins: {kib} KiB, {bits} blocks of 4 KiB"));
        // The source forgets each block as soon as it is acknowledged. Until all are on stable storage, this node has to
        // know them over any crash.
        self.save_all(false);
    }

    /// Asks for as much as window and rate allow.
    pub(super) fn feed_target(&mut self) {
        while let Some((offset, length)) = self.next_resync() {
            let Some(session) = &mut self.session else { return };
            let Some(resync) = &mut session.resync else { return };
            resync.flights.insert(offset, Flight { length, here: false });
            resync.ending = Ending::Not; // an answer to an earlier ping says nothing about this one
            resync.in_flight += u64::from(length);
            let round = resync.round;
            if self.settings.checksum.is_some() && session.agreed.version >= VERSION_CHECKSUM {
                self.peer_disk(
                    PeerJob::OwnChecksum { offset, length, round },
                    Operation::Read { offset, length },
                );
            } else {
                self.send(Stream::Data, Packet::ResyncRequest(request(offset, length)));
            }
        }
    }

    fn next_resync(&mut self) -> Option<(u64, u32)> {
        if self.state.connection != Connection::SyncTarget {
            return None;
        }
        let (now, size) = (self.now, self.size);
        let most_request = MOST_REQUEST.min(self.most_block());
        let (window, rate) =
            (u64::from(self.settings.resync_window.max(most_request)), self.settings.resync_rate);
        let session = self.session.as_mut()?;
        let resync = session.resync.as_mut()?;
        resync.paced = false;
        if session.peer_pauses || resync.in_flight + u64::from(most_request) > window {
            return None;
        }
        let Some(first) = self.bitmap.next_set(resync.cursor) else {
            // What was set behind the cursor meanwhile comes in another round, but not what failed.
            if resync.flights.is_empty()
                && self.bitmap.weight() > self.counters.resync_failed
                && resync.cursor > 0
            {
                resync.cursor = 0;
                return self.next_resync();
            }
            return None;
        };
        if resync.pace > now + BURST {
            resync.paced = true;
            return None;
        }
        let offset = first * BLOCK;
        // Aligned to its own length, so that it never crosses an extent.
        let aligned = if first == 0 {
            u64::from(most_request)
        } else {
            BLOCK << first.trailing_zeros().min(ALIGN_BITS)
        };
        let most = aligned.min(u64::from(most_request)).min(size - offset);
        let run = self.bitmap.next_clear(first).unwrap_or(self.bitmap.bits()) - first;
        let blocks = run.min(most.div_ceil(BLOCK));
        // The last block of the volume may be a part of one.
        let length = u32::try_from((blocks * BLOCK).min(size - offset)).ok()?;
        if self.requests.touch(offset, length) {
            return None; // its end will bring this node here again
        }
        resync.cursor = first + blocks;
        if let Some(nanoseconds) = u64::from(length).saturating_mul(1_000_000_000).checked_div(rate) {
            resync.pace = resync.pace.max(now) + Duration::from_nanos(nanoseconds);
        }
        Some((offset, length))
    }

    pub(super) fn checksum_read(&mut self, offset: u64, length: u32, round: u64, read: Option<Bytes>) {
        let flies = self.round() == Some(round) && self.flies(offset, length);
        let packet = match (read, self.settings.checksum) {
            _ if !flies => return,
            (Some(read), Some(algorithm)) => {
                Packet::ChecksumRequest(request(offset, length), algorithm.digest(&read))
            }
            _ => Packet::ResyncRequest(request(offset, length)),
        };
        self.send(Stream::Data, packet);
    }

    /// P_RS_DATA_REPLY.
    pub(super) fn resync_came(&mut self, mut block: DataBlock) {
        if let Some(algorithm) = self.session.as_ref().and_then(|session| session.agreed.integrity) {
            let whole = block.split_digest(algorithm.len());
            if !whole || algorithm.digest(&block.payload) != block.digest {
                let sector = block.sector;
                self.violated(format!("the {} of a resync at sector {sector} is wrong", algorithm.name()));
                return;
            }
        }
        let length = u32::try_from(block.payload.len()).unwrap_or(0);
        let Some((offset, round)) = self.wanted(block.sector, length) else { return };
        self.counters.resync_received(length);
        let job = PeerJob::Resync { offset, length, round };
        self.peer_disk(job, Operation::Write { offset, data: block.payload });
    }

    /// P_RS_DEALLOCATED.
    pub(super) fn deallocated_came(&mut self, range: BlockDescriptor) {
        let Some((offset, round)) = self.wanted(range.sector, range.size) else { return };
        let length = range.size;
        self.peer_disk(
            PeerJob::Resync { offset, length, round },
            Operation::Zero { offset, length, discard: true },
        );
    }

    /// Where, and for which resync, if this node has asked for it. What comes for an earlier resync of the same session
    /// is dropped.
    fn wanted(&mut self, sector: u64, length: u32) -> Option<(u64, u64)> {
        let offset = self.within(sector, length);
        let session = self.session.as_mut()?;
        let resync = session.resync.as_mut()?;
        let round = resync.round;
        let flight = offset.and_then(|offset| resync.flights.get_mut(&offset));
        match flight.filter(|flight| flight.length == length && !flight.here) {
            Some(flight) => {
                flight.here = true;
                offset.map(|offset| (offset, round))
            }
            None => {
                self.violated(format!(
                    "a resync of {length} bytes at sector {sector} came, which nobody asked for"
                ));
                None
            }
        }
    }

    /// Whether it was asked for, and no answer has come.
    fn flies(&self, offset: u64, length: u32) -> bool {
        let resync = self.session.as_ref().and_then(|session| session.resync.as_ref());
        let flight = resync.and_then(|resync| resync.flights.get(&offset));
        flight.is_some_and(|flight| flight.length == length && !flight.here)
    }

    fn round(&self) -> Option<u64> {
        self.session.as_ref()?.resync.as_ref().map(|resync| resync.round)
    }

    pub(super) fn resync_written(&mut self, offset: u64, length: u32, round: u64, written: bool) {
        let present = self.round() == Some(round);
        if written && present {
            self.bitmap.set_in_sync(offset, u64::from(length));
        } else {
            // What was said to be out of sync since that resync was broken off must stay so: the next one has it.
            self.bitmap.set_out_of_sync(offset, u64::from(length));
        }
        if !written && present {
            self.counters.resync_failed += u64::from(length).div_ceil(BLOCK);
        }
        let written = written && present;
        let kind = if written { AckKind::ResyncWritten } else { AckKind::Negative };
        let BlockRequest { sector, block_id, size } = request(offset, length);
        self.send(Stream::Meta, Packet::Ack(kind, BlockAck { sector, block_id, size, sequence: 0 }));
        if present {
            self.landed(offset, length);
        }
    }

    /// P_RS_IS_IN_SYNC, P_NEG_RS_DREPLY, P_RS_CANCEL.
    pub(super) fn resync_answered(&mut self, kind: AckKind, ack: &BlockAck) {
        let Some(offset) = self.within(ack.sector, ack.size) else {
            self.violated(format!("{ack:?} is not within the volume"));
            return;
        };
        if !self.flies(offset, ack.size) {
            return; // of a resync that is over
        }
        match kind {
            AckKind::InSync => {
                self.bitmap.set_in_sync(offset, u64::from(ack.size));
            }
            AckKind::NegativeResync => {
                self.note(
                    Severity::Warning,
                    format!("the other node cannot read {} bytes at {offset}", ack.size),
                );
                // A write that came meanwhile may have brought some of it: those blocks have not failed.
                self.counters.resync_failed += self.bitmap.weight_of(offset, u64::from(ack.size));
            }
            _ => {} // cancelled: it stays set, for the next resync
        }
        self.landed(offset, ack.size);
    }

    fn landed(&mut self, offset: u64, length: u32) {
        if let Some(resync) = self.session.as_mut().and_then(|session| session.resync.as_mut())
            && resync.flights.remove(&offset).is_some()
        {
            resync.in_flight -= u64::from(length);
        }
    }

    /// The end: nothing under way, nothing set but what failed.
    pub(super) fn finish_resync(&mut self) {
        let old_source =
            self.state.connection == Connection::SyncSource && self.version() <= VERSION_SOURCE_ENDS;
        if old_source && self.bitmap.weight() <= self.counters.resync_failed {
            self.source_finished();
            return;
        }
        if self.state.connection != Connection::SyncTarget
            || self.bitmap.weight() > self.counters.resync_failed
        {
            return;
        }
        let Some(resync) = self.session.as_mut().and_then(|session| session.resync.as_mut()) else { return };
        match resync.ending {
            _ if !resync.flights.is_empty() => {}
            Ending::Not => {
                if self.ping()
                    && let Some(resync) = self.session.as_mut().and_then(|session| session.resync.as_mut())
                {
                    resync.ending = Ending::Pinged;
                }
            }
            Ending::Pinged => {}
            Ending::Answered => self.target_finished(),
        }
    }

    pub(super) fn resync_pinged(&mut self) {
        if let Some(resync) = self.session.as_mut().and_then(|session| session.resync.as_mut()) {
            match resync.ending {
                Ending::Pinged => resync.ending = Ending::Answered,
                // The ping was on its way before the last block: it says nothing yet.
                Ending::Not | Ending::Answered => {}
            }
        }
    }

    fn target_finished(&mut self) {
        let clean = self.counters.resync_failed == 0;
        if clean {
            let uuids = self.session.as_ref().and_then(|session| session.peer_uuids);
            if let Some(uuids) = uuids {
                self.generations.finish_as_target(&uuids);
            }
        } else {
            let failed = self.counters.resync_failed * 4;
            self.note(
                Severity::Error,
                format!("{failed} KiB could not be resynced: this disk stays inconsistent"),
            );
        }
        self.resync_over(clean);
    }

    /// A resync or a verify is over, or its connection is.
    pub(super) fn resync_left(&mut self, from: Connection) {
        if matches!(from, Connection::VerifyS | Connection::VerifyT) && self.bitmap.is_dirty() {
            self.save_all(false); // what was found so far
        }
        if let Some(session) = &mut self.session {
            session.serving.locks = super::disk::Locks::default();
            session.resync = None;
            session.verify = None;
            session.ahead_until = None;
        }
        self.counters.resync_ends();
    }
}

fn request(offset: u64, length: u32) -> BlockRequest {
    BlockRequest { sector: offset / SECTOR, block_id: wire::ID_SYNCER, size: length }
}

/// Bytes of a request: of the sizes that DRBD itself asks for.
const MOST_REQUEST: u32 = 128 << 10;
/// 128 KiB are 2^5 blocks.
const ALIGN_BITS: u32 = 5;
/// How far ahead of c-max-rate requests may be.
const BURST: Duration = Duration::from_millis(100);
/// P_CSUM_RS_REQUEST exists.
const VERSION_CHECKSUM: u32 = 89;
/// Up to here a source ends a resync by itself; later, when the target says so.
const VERSION_SOURCE_ENDS: u32 = 95;
