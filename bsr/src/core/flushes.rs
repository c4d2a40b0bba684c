//! Flushes of applications. On a good disk its own flush is all there is to do; what the other one has is its business.
//! But a primary whose own disk is not up to date has its data on the other one alone: there a flush is done when that
//! disk has acknowledged every epoch before it, and fails if nobody can say any more whether it has.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::disk::{Job, Operation};
use super::requests::Remote;
use super::{Id, Node, RequestError};
use crate::wire::Disk;

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    open: BTreeMap<Id, Flush>,
    /// Acknowledged writes went with the connection, and no flush has said so yet.
    lost: bool,
}

#[derive(Debug)]
struct Flush {
    /// The last write before it.
    number: u64,
    /// Of this disk; none: it is under way.
    result: Option<Result<(), String>>,
    lost: bool,
}

impl Flushes {
    pub(super) fn under_way(&self) -> u64 {
        self.open.len() as u64
    }

    /// The other disk, the only good one, is out of reach, and may have lost what it had not flushed.
    pub(super) fn lost_peer(&mut self) {
        self.lost = true;
        for flush in self.open.values_mut() {
            flush.lost = true;
        }
    }
}

impl Node {
    pub(super) fn begin_flush(&mut self, id: Id) {
        self.end_epoch();
        let lost = std::mem::take(&mut self.requests.flushes.lost);
        let flush = Flush { number: self.requests.numbers, result: None, lost };
        self.requests.flushes.open.insert(id, flush);
        self.disk(Job::Flush(id), Operation::Flush);
    }

    pub(super) fn flush_done(&mut self, id: Id, result: Result<(), String>) {
        if let Some(flush) = self.requests.flushes.open.get_mut(&id) {
            flush.result = Some(result);
        }
    }

    /// Completes those that are done.
    pub(super) fn feed_flushes(&mut self) {
        let good = self.state.disk == Disk::UpToDate;
        // Numbers grow: the oldest write that only a cache of the other node may have is the first.
        let unsure = |remote| matches!(remote, Remote::Pending | Remote::Done);
        let log = &self.requests.log;
        let oldest = log.iter().find(|(_, write)| unsure(write.remote)).map(|(number, _)| *number);
        let done: Vec<(Id, Result<Bytes, RequestError>)> = self
            .requests
            .flushes
            .open
            .iter()
            .filter_map(|(id, flush)| {
                let result = flush.result.as_ref()?;
                let waits = !good && !flush.lost && oldest.is_some_and(|oldest| oldest <= flush.number);
                let result = match result {
                    Err(what) => Err(RequestError::Disk(what.clone())),
                    Ok(()) if waits => return None,
                    Ok(()) if flush.lost => Err(RequestError::NoData),
                    Ok(()) => Ok(Bytes::new()),
                };
                Some((*id, result))
            })
            .collect();
        for (id, result) in done {
            self.requests.flushes.open.remove(&id);
            self.push(super::Action::Complete { id, result });
        }
    }
}
