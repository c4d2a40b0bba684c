//! Which blocks may differ: one bit for 4 KiB.

/// Bytes of a page, as kept in the metadata.
pub const PAGE: usize = 4096;

/// The bitmap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {}
