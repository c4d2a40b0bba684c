//! What a node keeps beside its volume, so that it knows after any crash which blocks may differ.

use crate::uuid::Generations;

/// Generations and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// The data's generations.
    pub generations: Generations,
    /// The volume's size in bytes, when this was saved.
    pub size: u64,
    /// The volume's size in sectors that both nodes agreed upon; 0: never yet.
    pub agreed: u64,
    /// The data is consistent: not in the middle of a resync to this disk.
    pub consistent: bool,
    /// It was up to date, as far as this node knew.
    pub was_up_to_date: bool,
    /// This node was primary, or its peer was with nothing but this disk.
    pub primary: bool,
    /// It was so when it crashed, and no resync came since.
    pub crashed_primary: bool,
    /// The nodes were connected.
    pub connected: bool,
    /// The other disk was outdated or inconsistent.
    pub peer_outdated: bool,
    /// Every block may differ, whatever the bitmap says.
    pub full_sync: bool,
}

/// What was found of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Generations and flags.
    pub head: Head,
    /// The bitmap.
    pub bitmap: crate::bitmap::Bitmap,
    /// Extents that may have been written to when it was last saved.
    pub activity: Vec<u32>,
}
