//! How many bytes a resource's BABs may hold: one budget for its data, one for its meta channels.
//!
//! The budget belongs to the session, not to a channel: of two lanes the one that turns out to be data
//! draws on the data budget (docs/channels.md).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::api::Backing;
use crate::bab::pool::{Pool, Room};

/// Shared by the channels of one resource, on one arbiter. `promised + held ≤ size`, except after it was
/// made smaller: then nothing more is promised until it is so again.
#[derive(Debug)]
pub(crate) struct Budget {
    size: Cell<u64>,
    /// Where the bytes live, if not where they were read.
    pool: Option<RefCell<Rc<Pool>>>,
    /// Whether the pool's memory comes from a disk.
    summed: bool,
    /// Bytes that a connection to bsr may still read.
    promised: Cell<u64>,
    /// Bytes in BABs.
    held: Cell<u64>,
}

impl Budget {
    /// Of ordinary memory.
    pub(crate) fn new(size: u64) -> Budget {
        Budget::backed(size, &Backing::Memory)
    }

    /// Of memory that is still to be reserved (see [`Budget::pool`]).
    pub(crate) fn backed(size: u64, backing: &Backing) -> Budget {
        let summed = matches!(backing, Backing::File(_));
        let pool = (*backing != Backing::Memory).then(|| RefCell::new(Rc::new(Pool::new(size, summed))));
        Budget { size: Cell::new(size), pool, summed, promised: Cell::new(0), held: Cell::new(0) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.get()
    }

    /// What is held stays, also where it is more than that.
    pub(crate) fn resize(&self, size: u64) {
        self.size.set(size);
        if let Some(pool) = self.pool() {
            pool.resize(size);
        }
    }

    /// What the memory is taken from; ordinary memory is from no pool.
    pub(crate) fn pool(&self) -> Option<Rc<Pool>> {
        self.pool.as_ref().map(|pool| Rc::clone(&pool.borrow()))
    }

    /// A channel's way to the memory.
    pub(crate) fn room(&self) -> Option<Room> {
        self.pool().map(Room::new)
    }

    /// Whether the memory is there.
    pub(crate) fn stands(&self) -> bool {
        self.pool().is_none_or(|pool| pool.missing() == 0)
    }

    /// Gives the memory back to the system: what is still held, when it is let go.
    pub(crate) fn give_back(&self) {
        if let Some(pool) = &self.pool {
            pool.replace(Rc::new(Pool::new(self.size.get(), self.summed)));
        }
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.get()
    }

    /// Bytes that are held or promised.
    pub(crate) fn used(&self) -> u64 {
        self.held.get() + self.promised.get()
    }

    /// Promises up to `bytes`; returns how many there were.
    pub(crate) fn promise(&self, bytes: u64) -> u64 {
        let promised = bytes.min(self.size.get().saturating_sub(self.held.get() + self.promised.get()));
        self.promised.set(self.promised.get() + promised);
        promised
    }

    /// Promised bytes came and are held.
    pub(crate) fn hold(&self, bytes: u64) {
        self.take_back(bytes);
        self.held.set(self.held.get() + bytes);
    }

    /// Promised bytes will not come, or are not kept.
    pub(crate) fn take_back(&self, bytes: u64) {
        debug_assert!(bytes <= self.promised.get(), "only what was promised is taken back");
        self.promised.set(self.promised.get().saturating_sub(bytes));
    }

    /// Held bytes are let go.
    pub(crate) fn release(&self, bytes: u64) {
        debug_assert!(bytes <= self.held.get(), "only what is held is let go");
        self.held.set(self.held.get().saturating_sub(bytes));
    }
}

/// A session's meta channel has this much (docs/channels.md 1).
pub(crate) const META_BAB: u64 = 4 * 1024 * 1024;
