//! What a channel's actors count, read by its report: shared on one arbiter, so plain cells do.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use drx_protocol::filling::Filling;
use drx_protocol::report::CompressionReport;
use tokio::time::Instant;

/// One channel's counters. Written by its BAB and link actors, read by the channel.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes from bsr that were handed to the link.
    pub(crate) bytes_out: Cell<u64>,
    /// Bytes from the other DRX that were taken.
    pub(crate) bytes_in: Cell<u64>,
    /// Frames of past attempts that were dropped.
    pub(crate) stale_frames: Cell<u64>,
    /// bsr's pings that were answered here.
    pub(crate) held_pings: Cell<u64>,
    /// Bytes in the BAB.
    pub(crate) held: Cell<u64>,
    /// When the oldest byte in the BAB came.
    pub(crate) oldest: Cell<Option<Instant>>,
    /// A frame came over the present link.
    pub(crate) heard: Cell<bool>,
    /// The link's last round trip.
    pub(crate) rtt: Cell<Option<Duration>>,
    /// How the link packs, and what it gains.
    pub(crate) compression: Cell<CompressionReport>,
    /// Whether bsr is read in drips.
    pub(crate) dripping: Cell<bool>,
    /// How the budget fills that the BAB draws on.
    pub(crate) forecast: Forecast,
}

/// How fast a budget fills, on tokio's clock.
#[derive(Debug)]
pub(crate) struct Forecast {
    since: Instant,
    filling: RefCell<Filling>,
}

impl Forecast {
    /// So much of the budget is held from now on.
    pub(crate) fn observe(&self, held: u64) {
        self.filling.borrow_mut().observe(self.since.elapsed(), held);
    }

    /// See [`Filling::full_in`].
    pub(crate) fn full_in(&self, size: u64) -> Option<Duration> {
        self.filling.borrow().full_in(self.since.elapsed(), size)
    }

    /// What comes is another round's.
    pub(crate) fn forget(&self) {
        self.filling.take();
    }
}

impl Default for Forecast {
    fn default() -> Forecast {
        Forecast { since: Instant::now(), filling: RefCell::default() }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().saturating_add(more));
}
