//! What a channel's actors count, read by its report: shared on one arbiter, so plain cells do.

use std::cell::Cell;
use std::time::Duration;

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
    /// The link's last round trip.
    pub(crate) rtt: Cell<Option<Duration>>,
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().saturating_add(more));
}
