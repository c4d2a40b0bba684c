//! Reads: from this disk where it is good, from the other one where it is not.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};

use super::disk::{Job, Operation};
use super::{Action, Id, Node, RequestError, SECTOR};
use crate::wire::{BlockAck, BlockRequest, Connection, DataBlock, Disk, Packet, Stream};

/// Reads that the other node answers.
#[derive(Debug, Default)]
pub(super) struct RemoteReads {
    reads: BTreeMap<Id, Gathering>,
    /// What was asked for, by its block id: as much as the other node sends at once.
    parts: HashMap<u64, Part>,
}

#[derive(Debug)]
struct Gathering {
    offset: u64,
    data: BytesMut,
    /// Parts that have not come.
    missing: u32,
}

#[derive(Debug)]
struct Part {
    id: Id,
    offset: u64,
    length: u32,
}

impl RemoteReads {
    pub(super) fn len(&self) -> usize {
        self.reads.len()
    }
}

impl Node {
    /// False: not yet.
    pub(super) fn begin_read(&mut self, id: Id, offset: u64, length: u32) -> bool {
        let here = self.state.disk == Disk::UpToDate
            || self.state.connection == Connection::SyncTarget
                && !self.bitmap.out_of_sync_in(offset, length.into());
        if here {
            self.requests.local_reads += 1;
            self.disk(Job::Read(id), Operation::Read { offset, length });
            return true;
        }
        if !self.takes_requests() {
            return false;
        }
        if self.state.is_connected() && self.state.peer_disk == Disk::UpToDate {
            self.read_there(id, offset, length);
        } else {
            self.push(Action::Complete { id, result: Err(RequestError::NoData) });
        }
        true
    }

    fn read_there(&mut self, id: Id, offset: u64, length: u32) {
        let most = self.most_block();
        let data = BytesMut::zeroed(length as usize);
        self.requests.remote.reads.insert(id, Gathering { offset, data, missing: length.div_ceil(most) });
        for at in (0..length).step_by(most as usize) {
            self.requests.numbers += 1;
            let (block_id, part_offset) = (self.requests.numbers, offset + u64::from(at));
            let part = Part { id, offset: part_offset, length: most.min(length - at) };
            let request = BlockRequest { sector: part_offset / SECTOR, block_id, size: part.length };
            self.requests.remote.parts.insert(block_id, part);
            self.send(Stream::Data, Packet::DataRequest(request));
        }
    }

    /// P_DATA_REPLY.
    pub(super) fn data_came(&mut self, mut block: DataBlock) {
        let algorithm = self.session.as_ref().and_then(|session| session.agreed.integrity);
        let whole = algorithm.is_none_or(|algorithm| {
            block.split_digest(algorithm.len()) && algorithm.digest(&block.payload) == block.digest
        });
        if !whole {
            self.violated("the digest of data that an application reads is wrong: it was changed on its way");
            return;
        }
        let remote = &mut self.requests.remote;
        let asked = remote.parts.get(&block.block_id).is_some_and(|part| {
            block.payload.len() as u64 == u64::from(part.length) && block.sector == part.offset / SECTOR
        });
        let Some(part) = remote.parts.remove(&block.block_id).filter(|_| asked) else {
            self.violated("data came which nobody asked for");
            return;
        };
        // A part that was refused has ended the whole read.
        let Some(read) = remote.reads.get_mut(&part.id) else { return };
        let at = (part.offset - read.offset) as usize; // less than the length of a request
        read.data[at..][..block.payload.len()].copy_from_slice(&block.payload);
        read.missing -= 1;
        if read.missing == 0
            && let Some(read) = remote.reads.remove(&part.id)
        {
            self.counters.read_done();
            self.push(Action::Complete { id: part.id, result: Ok(read.data.freeze()) });
        }
    }

    /// P_NEG_DREPLY.
    pub(super) fn data_refused(&mut self, ack: &BlockAck) {
        let Some(part) = self.requests.remote.parts.remove(&ack.block_id) else {
            self.violated(format!("{ack:?} refuses what nobody asked for"));
            return;
        };
        if self.requests.remote.reads.remove(&part.id).is_some() {
            self.push(Action::Complete { id: part.id, result: Err(RequestError::NoData) });
        }
    }

    pub(super) fn reads_lost_peer(&mut self) {
        let RemoteReads { reads, .. } = std::mem::take(&mut self.requests.remote);
        for id in reads.into_keys() {
            self.push(Action::Complete { id, result: Err(RequestError::NoData) });
        }
    }

    /// A local read or a flush is done.
    pub(super) fn complete(&mut self, id: Id, result: Result<Bytes, RequestError>) {
        self.requests.local_reads -= 1;
        self.push(Action::Complete { id, result });
    }
}
