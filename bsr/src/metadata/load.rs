//! Reading it all back.

use super::record::{self, Found, PREFIX, Record};
use super::{Loaded, PAGE_SLOT, page, record_offset};
use crate::bitmap::Bitmap;

/// Why there is no metadata to be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// The file cannot be read.
    #[error("{0}")]
    Read(E),
    /// There is no record that was written to its end: not one was ever saved, or both have been damaged since.
    #[error("no record that is whole: not metadata of this program, or damaged")]
    NoRecord,
    /// The newest record is not of this program's version.
    #[error("written by a program with metadata version {0}")]
    Version(u32),
    /// A volume larger than the one that there is.
    #[error("metadata of a volume of {size} bytes, beside one of {most}")]
    Larger {
        /// Bytes, as the record says.
        size: u64,
        /// Bytes, as the caller says.
        most: u64,
    },
}

/// What a node kept, and the sequence number of its record. `read` fills a buffer from a place in the file, with zeros
/// beyond the file's end. `most`: bytes of the volume; of a larger one nothing is loaded, as its bitmap might not fit
/// into the memory.
///
/// # Errors
/// As [`LoadError`] says. A damaged page of the bitmap is none: its blocks count as different.
pub fn load<E>(
    most: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<(Loaded, u64), LoadError<E>> {
    let Record { sequence, head, activity } = newest(&mut read)?;
    if head.size > most {
        return Err(LoadError::Larger { size: head.size, most });
    }
    let mut bitmap = Bitmap::new(head.size);
    let mut slot = [0; PAGE_SLOT];
    for number in 0..bitmap.pages() {
        read(page::offset(number), &mut slot).map_err(LoadError::Read)?;
        let known = bitmap.load_page(number, &page::decode(number, &slot));
        debug_assert!(known, "page {number} is none of the bitmap's");
    }
    Ok((Loaded { head, bitmap, activity }, sequence))
}

/// The record with the highest sequence number, of those that are whole.
fn newest<E>(read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>) -> Result<Record, LoadError<E>> {
    let mut newest = None;
    for place in 0..2 {
        let mut prefix = [0; PREFIX];
        read(record_offset(place), &mut prefix).map_err(LoadError::Read)?;
        let Some(length) = record::length(&prefix) else { continue };
        let mut bytes = vec![0; length];
        read(record_offset(place), &mut bytes).map_err(LoadError::Read)?;
        let (sequence, found) = match record::decode(&bytes) {
            Found::Nothing => continue,
            Found::Unknown { version, sequence } => (sequence, Err(LoadError::Version(version))),
            Found::Record(record) => (record.sequence, Ok(record)),
        };
        if newest.as_ref().is_none_or(|(known, _)| sequence > *known) {
            newest = Some((sequence, found));
        }
    }
    newest.map_or(Err(LoadError::NoRecord), |(_, found)| found)
}
