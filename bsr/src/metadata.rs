//! What a node keeps beside its volume, so that it knows after any crash which blocks may differ.
//!
//! ```text
//! 0                record with an even sequence number ┐ generations, flags and activity, with one checksum;
//! RECORD           record with an odd one              ┘ a new one never replaces the newest
//! 2 * RECORD       the bitmap's pages, 9 sectors of 512 bytes each, every sector with its checksum
//! ```
//!
//! All numbers are little-endian. Nothing here reads or writes: the caller does, in the order of
//! [`Save`](crate::core::api::Save).
//!
//! Pages are made stable before the record that goes with them is written. So a crash leaves each sector of a page old or
//! new, and both are right: what is not in the old one is in an extent of the old record. A sector that is neither
//! counts as all set, as does one that was never written; so a file that is created anew has to be emptied first, and
//! needs nothing but a record.

use crate::uuid::Generations;

mod load;
mod page;
mod record;

pub use load::{LoadError, load};
pub use page::{PAGE_SLOT, encode_page};
pub use record::{MOST_EXTENTS, RECORD, TooManyExtents, encode_record, record_offset};

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
    /// The bitmap, for a volume of [`Head::size`] bytes. Nothing in it is to be saved.
    pub bitmap: crate::bitmap::Bitmap,
    /// Extents that may have been written to when it was last saved.
    pub activity: Vec<u32>,
}

/// Bytes of the whole file, for a volume of so many bytes.
pub fn file_size(volume_bytes: u64) -> u64 {
    page::offset(0)
        .saturating_add(volume_bytes.div_ceil(crate::bitmap::PAGE_SPAN).saturating_mul(PAGE_SLOT as u64))
}
