//! What makes a node the node it is.

use std::time::Duration;

use crate::digest::Algorithm;

/// What makes a node the node it is; names and defaults of bsr-wire A.4 and C.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// protocol.
    pub protocol: Protocol,
    /// The versions that it speaks, within 86 to 101.
    pub versions: (u32, u32),
    /// cram-hmac-alg and shared-secret.
    pub secret: Option<(Algorithm, Vec<u8>)>,
    /// data-integrity-alg.
    pub integrity: Option<Algorithm>,
    /// verify-alg.
    pub verify: Option<Algorithm>,
    /// csums-alg.
    pub checksum: Option<Algorithm>,
    /// after-sb-0pri, after-sb-1pri, after-sb-2pri.
    pub after_split_brain: (AfterSplitBrain, AfterSplitBrain, AfterSplitBrain),
    /// use-rle.
    pub use_rle: bool,
    /// ping-int.
    pub ping_int: Duration,
    /// ping-timeout.
    pub ping_timeout: Duration,
    /// socket-check-timeout.
    pub socket_check_timeout: Duration,
    /// timeout.
    pub timeout: Duration,
    /// ko-count; 0: never.
    pub ko_count: u32,
    /// max-epoch-size.
    pub max_epoch_size: u32,
    /// al-extents.
    pub al_extents: u32,
    /// on-congestion; for protocol A.
    pub on_congestion: OnCongestion,
    /// congestion-fill, in bytes; 0: off.
    pub congestion_fill: u64,
    /// congestion-extents; 0: off.
    pub congestion_extents: u32,
    /// c-max-rate, in bytes a second; 0: as fast as it goes.
    pub resync_rate: u64,
    /// The most bytes of a resync that are asked for and not written yet.
    pub resync_window: u32,
    /// disk-flushes: an epoch is acknowledged when it is on stable storage.
    pub disk_flushes: bool,
}

/// When a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// When it is on this disk, and in TCP's hands.
    A = 1,
    /// When it is on this disk, and the other node has it.
    B = 2,
    /// When it is on both disks.
    C = 3,
}

/// What to do after a split brain; numbers of bsr-wire C.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // the options' own names
pub enum AfterSplitBrain {
    Disconnect = 0,
    DiscardYoungerPrimary = 1,
    DiscardOlderPrimary = 2,
    DiscardZeroChanges = 3,
    DiscardLeastChanges = 4,
    DiscardLocal = 5,
    DiscardRemote = 6,
    Consensus = 7,
    DiscardSecondary = 8,
    CallPriLost = 9,
    Violently = 10,
}

/// What to do when the other side does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCongestion {
    /// Nothing: writes wait.
    Block,
    /// Go Ahead: tell only what is out of sync, and resync later.
    PullAhead,
    /// Disconnect.
    Disconnect,
}

impl Default for Settings {
    /// BSR's on Linux.
    fn default() -> Settings {
        Settings {
            protocol: Protocol::C,
            versions: (86, 101),
            secret: None,
            integrity: None,
            verify: None,
            checksum: None,
            after_split_brain: (
                AfterSplitBrain::Disconnect,
                AfterSplitBrain::Disconnect,
                AfterSplitBrain::Disconnect,
            ),
            use_rle: true,
            ping_int: Duration::from_secs(3),
            ping_timeout: Duration::from_secs(3),
            socket_check_timeout: Duration::from_millis(500),
            timeout: Duration::from_secs(6),
            ko_count: 5,
            max_epoch_size: 16_000,
            al_extents: 6001,
            on_congestion: OnCongestion::Block,
            congestion_fill: 0,
            congestion_extents: 6001,
            resync_rate: 100 << 20,
            resync_window: 4 << 20,
            disk_flushes: true,
        }
    }
}
