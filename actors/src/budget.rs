//! How many bytes a resource's BABs may hold: one budget for its data, one for its meta channels.
//!
//! The budget belongs to the session, not to a channel: of two lanes the one that turns out to be data
//! draws on the data budget (docs/channels.md).

use std::cell::Cell;

/// Shared by the channels of one resource, on one arbiter. `promised + held ≤ size`, always.
#[derive(Debug)]
pub(crate) struct Budget {
    size: u64,
    /// Bytes that a connection to bsr may still read.
    promised: Cell<u64>,
    /// Bytes in BABs.
    held: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(size: u64) -> Budget {
        Budget { size, promised: Cell::new(0), held: Cell::new(0) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
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
        let promised = bytes.min(self.size - self.held.get() - self.promised.get());
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
