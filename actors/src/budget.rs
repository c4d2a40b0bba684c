//! How many bytes a resource's BABs may hold: one budget for its data, one for its meta channels.
//!
//! The budget belongs to the session, not to a channel: of two lanes the one that turns out to be data
//! draws on the data budget (docs/channels.md 1).

use std::cell::Cell;

/// Shared by the channels of one resource, on one arbiter.
#[derive(Debug)]
pub(crate) struct Budget {
    size: u64,
    used: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(size: u64) -> Budget {
        Budget { size, used: Cell::new(0) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes up to `bytes`; returns how many there were.
    pub(crate) fn reserve(&self, bytes: u64) -> u64 {
        let taken = bytes.min(self.size - self.used.get());
        self.used.set(self.used.get() + taken);
        taken
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: u64) {
        debug_assert!(bytes <= self.used.get(), "only what was reserved is given back");
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}
