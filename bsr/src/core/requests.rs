//! What applications want: a write goes to the activity log, to this disk, and to the other node, and is done when the
//! protocol says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::disk::{Job, Operation};
use super::flushes::Flushes;
use super::reads::RemoteReads;
use super::{Id, MAX_REQUEST, Node, Protocol, Request, RequestError, SECTOR, Time};
use crate::activity::{Begin, extents_of, offset_of};
use crate::wire::{self, BlockDescriptor, Connection, Disk, Packet, Role, Stream};

/// Requests that are not done, and writes that may not have arrived.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// In their order: a write that has to wait keeps those behind it waiting.
    pub(super) waiting: VecDeque<(Id, Request)>,
    /// The extents of the first waiting write, once they were asked for. Before they are stable the other node must not
    /// have the write either: after a crash nobody would know that the disks differ there.
    pub(super) activation: Option<Activation>,
    /// Writes by their number, which is their block id, until both disks have them or the bitmap knows.
    pub(super) log: BTreeMap<u64, Write>,
    /// Of them, those that the application waits for.
    pub(super) open: BTreeSet<u64>,
    pub(super) numbers: u64,
    /// Requests that were too large for the other node: how many further parts are not done, and why one failed.
    pub(super) parts: HashMap<Id, (u32, Option<RequestError>)>,
    pub(super) remote: RemoteReads,
    /// Writes of protocol A that TCP does not have yet: the packet's number and the write's.
    pub(super) unsent: VecDeque<(u64, u64)>,
    pub(super) in_flight: u64,
    pub(super) local_reads: u64,
    pub(super) flushes: Flushes,
}

/// A write of this node's.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) id: Id,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) fua: bool,
    pub(super) local: Local,
    pub(super) remote: Remote,
    pub(super) epoch: u32,
    pub(super) since: Time,
    /// It is on no disk that is up to date: the application has to hear that.
    pub(super) nowhere: bool,
}

/// Extents that are being made hot, or are.
#[derive(Debug)]
pub(super) struct Activation {
    extents: Range<u32>,
    stable: bool,
}

/// How far it is on this disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Local {
    Pending,
    Done,
    Failed(String),
}

/// How far it is on the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    /// It is not sent there: the bitmap has it.
    Absent,
    /// What the protocol waits for has not happened.
    Pending,
    /// It has; but until its epoch is acknowledged a crash there may lose it.
    Done,
    /// Its epoch is acknowledged.
    Stable,
    /// It could not be written there: the bitmap has it.
    Failed,
}

impl Requests {
    /// Whether a write that its application waits for touches this range.
    pub(super) fn touch(&self, offset: u64, length: u32) -> bool {
        let end = offset + u64::from(length);
        self.open
            .iter()
            .filter_map(|number| self.log.get(number))
            .any(|write| write.offset < end && offset < write.offset + u64::from(write.length))
    }

    pub(super) fn activated(&mut self) {
        if let Some(activation) = &mut self.activation {
            activation.stable = true;
        }
    }

    /// Bytes that were sent and are not acknowledged.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Requests of applications that are not done.
    pub(super) fn under_way(&self) -> u64 {
        let writes = self.waiting.len() + self.open.len() + self.remote.len();
        writes as u64 + self.local_reads + self.flushes.under_way()
    }

    /// Whether every write is on both disks for good, or known to the bitmap.
    pub(super) fn is_stable(&self) -> bool {
        self.log.is_empty()
    }

    /// Whether an application waits for something.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way() == 0
    }
}

impl Node {
    pub(super) fn request(&mut self, id: Id, request: Request) {
        if let Err(error) = self.may(&request) {
            self.push(super::Action::Complete { id, result: Err(error) });
            return;
        }
        self.requests.waiting.push_back((id, request));
    }

    fn may(&self, request: &Request) -> Result<(), RequestError> {
        if self.down {
            return Err(RequestError::Down);
        }
        if self.state.role != Role::Primary {
            return Err(RequestError::NotPrimary);
        }
        let (offset, length) = match request {
            Request::Read { offset, length } | Request::Zero { offset, length, .. } => {
                (*offset, u64::from(*length))
            }
            Request::Write { offset, data, .. } => (*offset, data.len() as u64),
            Request::Flush => return Ok(()),
        };
        let whole =
            offset % SECTOR == 0 && length % SECTOR == 0 && length > 0 && length <= u64::from(MAX_REQUEST);
        if !whole || offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(RequestError::Range);
        }
        Ok(())
    }

    /// Begins what may begin, in the order of arrival.
    pub(super) fn feed_requests(&mut self) {
        while let Some((id, request)) = self.requests.waiting.pop_front() {
            let request = self.first_part(id, request);
            let begun = match &request {
                Request::Flush => {
                    self.begin_flush(id);
                    true
                }
                Request::Read { offset, length } => self.begin_read(id, *offset, *length),
                Request::Write { offset, data, fua } => {
                    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    self.begin_write(id, *offset, length, Some(data.clone()), *fua, false)
                }
                Request::Zero { offset, length, discard } => {
                    self.begin_write(id, *offset, *length, None, false, *discard)
                }
            };
            if !begun {
                self.requests.waiting.push_front((id, request));
                return;
            }
        }
    }

    /// As much of it as the other node takes at once; the rest comes next.
    fn first_part(&mut self, id: Id, request: Request) -> Request {
        let most = self.most_block();
        let (first, rest) = match request {
            Request::Write { offset, mut data, fua } if data.len() > most as usize => {
                let rest = data.split_off(most as usize);
                let rest = Request::Write { offset: offset + u64::from(most), data: rest, fua };
                (Request::Write { offset, data, fua }, rest)
            }
            Request::Zero { offset, length, discard } if length > most => {
                let rest = Request::Zero { offset: offset + u64::from(most), length: length - most, discard };
                (Request::Zero { offset, length: most, discard }, rest)
            }
            whole => return whole,
        };
        self.requests.waiting.push_front((id, rest));
        self.requests.parts.entry(id).or_default().0 += 1;
        first
    }

    /// A write is done, or a part of one.
    pub(super) fn write_complete(&mut self, id: Id, result: Result<Bytes, RequestError>) {
        let result = match self.requests.parts.get_mut(&id) {
            None => result,
            Some((0, failed)) => {
                let failed = failed.take();
                self.requests.parts.remove(&id);
                failed.map_or(result, Err)
            }
            Some((left, failed)) => {
                *left -= 1;
                *failed = failed.take().or(result.err());
                return;
            }
        };
        self.push(super::Action::Complete { id, result });
    }

    /// Applications wait while both nodes find out who has which data (bsr-wire B.5; seed 001).
    pub(super) fn takes_requests(&self) -> bool {
        !matches!(
            self.state.connection,
            Connection::WFReportParams
                | Connection::StartingSyncS
                | Connection::StartingSyncT
                | Connection::WFBitMapS
                | Connection::WFBitMapT
                | Connection::WFSyncUUID
        )
    }

    fn begin_write(
        &mut self,
        id: Id,
        offset: u64,
        length: u32,
        data: Option<Bytes>,
        fua: bool,
        discard: bool,
    ) -> bool {
        let here = self.state.disk == Disk::UpToDate;
        let there = self.state.is_connected() && self.state.peer_disk == Disk::UpToDate;
        if !self.takes_requests() {
            return false;
        }
        if !here && !there {
            match self.requests.activation.take() {
                None => {}
                Some(Activation { extents, stable: true }) => self.activity.end(extents),
                saving => {
                    self.requests.activation = saving;
                    return false;
                }
            }
            self.write_complete(id, Err(RequestError::NoData));
            return true;
        }
        let locked = self.session.as_ref().is_some_and(|session| {
            session.serving.locks.overlap(offset, length)
                || session.resync.as_ref().is_some_and(|resync| resync.overlaps(offset, length))
        });
        // Two writes to the same place at the same time have no order on the other disk.
        if locked || self.requests.touch(offset, length) || !self.activate(offset, length) {
            return false;
        }
        self.counters.written(length);
        self.consider_congestion();
        self.requests.numbers += 1;
        let number = self.requests.numbers;
        let operation = match &data {
            Some(data) => Operation::Write { offset, data: data.clone() },
            None => Operation::Zero { offset, length, discard },
        };
        let remote = self.replicates();
        let write = Write {
            id,
            offset,
            length,
            fua,
            local: Local::Pending,
            remote: if remote { Remote::Pending } else { Remote::Absent },
            epoch: 0,
            since: self.now,
            nowhere: false,
        };
        self.requests.log.insert(number, write);
        self.requests.open.insert(number);
        if remote {
            self.replicate(number, offset, length, data, fua, discard);
        } else {
            self.bitmap.set_out_of_sync(offset, length.into());
            if self.state.connection == Connection::Ahead {
                let range = BlockDescriptor { sector: offset / SECTOR, size: length };
                self.send(Stream::Data, Packet::OutOfSync(range));
            }
        }
        self.disk(Job::Write(number), operation);
        true
    }

    /// Makes its extents hot. False: not yet; there is no room before another write ends, or a save is on its way.
    fn activate(&mut self, offset: u64, length: u32) -> bool {
        let wanted = extents_of(offset, length.into());
        match self.requests.activation.take() {
            None => {}
            Some(Activation { extents, stable: true }) if extents == wanted => return true,
            // It was cut into parts meanwhile, for another node.
            Some(Activation { extents, stable: true }) => self.activity.end(extents),
            saving => {
                self.requests.activation = saving;
                return false;
            }
        }
        match self.activity.begin(wanted.clone()) {
            Begin::Hot => true,
            Begin::Full => false,
            Begin::NeedsSave { evicted } => {
                let mut pages = Vec::new();
                for extent in &evicted {
                    pages.extend(self.bitmap.take_dirty_of(offset_of(*extent), super::EXTENT));
                }
                // What was written to the evicted ones is known nowhere else any more: it has to be on the disk.
                let flush_volume = self.settings.disk_flushes && !evicted.is_empty();
                let activity = Some(self.activity.extents());
                let token = self.saving(Job::Activate);
                self.requests.activation = Some(Activation { extents: wanted, stable: false });
                self.push(super::Action::Save(super::Save {
                    token,
                    flush_volume,
                    pages,
                    head: None,
                    activity,
                }));
                false
            }
        }
    }

    /// Whether the other node gets writes.
    fn replicates(&self) -> bool {
        let state = &self.state;
        state.is_connected()
            && (state.peer_disk == Disk::UpToDate
                || state.peer_disk >= Disk::Inconsistent
                    && state.connection >= Connection::WFBitMapT
                    && state.connection < Connection::Ahead)
    }

    fn replicate(
        &mut self,
        number: u64,
        offset: u64,
        length: u32,
        data: Option<Bytes>,
        fua: bool,
        discard: bool,
    ) {
        let Some(session) = &self.session else { return };
        let (version, features) = (session.agreed.version, session.agreed.features);
        let mut flags = 0;
        if version >= VERSION_ACK_FLAGS {
            flags |= match self.settings.protocol {
                Protocol::A => 0,
                Protocol::B => wire::DP_SEND_RECEIVE_ACK,
                Protocol::C => wire::DP_SEND_WRITE_ACK,
            };
        }
        if (Connection::SyncSource..=Connection::PausedSyncT).contains(&self.state.connection) {
            // Whoever resyncs wants to know, whatever the protocol.
            flags |= wire::DP_MAY_SET_IN_SYNC;
            if version >= VERSION_ACK_FLAGS {
                flags |= wire::DP_SEND_WRITE_ACK;
            }
        }
        if fua {
            flags |= wire::DP_FUA;
        }
        let sector = offset / SECTOR;
        let packet = match data {
            Some(data) => Packet::Data(self.block(sector, number, flags, data)),
            // Zeros even for a discard: two disks that discard need not read the same afterwards.
            None if features & wire::FEATURE_ZEROES != 0 => {
                flags |= wire::DP_ZEROES | if discard { wire::DP_DISCARD } else { 0 };
                Packet::Zeroes(self.block(sector, number, flags, Bytes::new()).without_digest(), length)
            }
            None => Packet::Data(self.block(sector, number, flags, Bytes::from(vec![0; length as usize]))),
        };
        let epoch = self.count_write();
        self.send(Stream::Data, packet);
        let packets = self.session.as_ref().map_or(0, |session| session.packets);
        if let Some(write) = self.requests.log.get_mut(&number) {
            write.epoch = epoch;
        }
        self.requests.in_flight += u64::from(length);
        if self.state.disk != Disk::UpToDate {
            // The other disk is the only good one: the write has to be there, whatever the protocol says.
            self.end_epoch();
        } else if self.settings.protocol == Protocol::A {
            self.requests.unsent.push_back((packets, number));
        }
    }
}

/// Data blocks say which acknowledgement they want.
const VERSION_ACK_FLAGS: u32 = 100;
