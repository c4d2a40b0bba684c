//! The record: all that has to change at once.

use bytes::{BufMut, Bytes, BytesMut};

use super::Head;
use crate::uuid::Generations;

/// Bytes that are there for a record. A record takes as many of them as it needs, in whole sectors.
pub const RECORD: usize = (PREFIX + MOST_EXTENTS * 4).next_multiple_of(4096);
/// The most extents that an activity log can have.
pub const MOST_EXTENTS: usize = 65_536;

/// Before the extents: magic 8, version 4, length of all 4, sequence 8, generations 32, size 8, agreed 8, flags 4,
/// number of extents 4, checksum 4, zero 4.
pub(super) const PREFIX: usize = 88;
const CHECKSUM_AT: usize = 80;
const MAGIC: &[u8; 8] = b"DRXBSRMD";
const VERSION: u32 = 1;
const SECTOR: usize = 512;
/// Of the flags: [`Generations::shared`].
const SHARED: u32 = 1 << 7;

/// Where the record with this sequence number goes. It is not where the one before it is.
pub fn record_offset(sequence: u64) -> u64 {
    sequence % 2 * RECORD as u64
}

/// More than a record has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} extents: the metadata has room for {MOST_EXTENTS}")]
pub struct TooManyExtents(pub usize);

/// The record's bytes. Its sequence number is one more than that of the newest one, which begins with 1.
///
/// # Errors
/// More than [`MOST_EXTENTS`] extents.
pub fn encode_record(head: &Head, activity: &[u32], sequence: u64) -> Result<Bytes, TooManyExtents> {
    if activity.len() > MOST_EXTENTS {
        return Err(TooManyExtents(activity.len()));
    }
    let length = (PREFIX + activity.len() * 4).next_multiple_of(SECTOR);
    let mut record = BytesMut::with_capacity(length);
    record.put_slice(MAGIC);
    record.put_u32_le(VERSION);
    record.put_u32_le(length as u32); // at most RECORD
    record.put_u64_le(sequence);
    let Generations { current, bitmap, history, shared: _ } = head.generations;
    for number in [current, bitmap, history[0], history[1], head.size, head.agreed] {
        record.put_u64_le(number);
    }
    record.put_u32_le(flags(head));
    record.put_u32_le(activity.len() as u32);
    record.put_u64_le(0);
    for &extent in activity {
        record.put_u32_le(extent);
    }
    record.resize(length, 0);
    let checksum = crc32c::crc32c(&record);
    record[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    Ok(record.freeze())
}

/// A record that is whole.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) head: Head,
    pub(super) activity: Vec<u32>,
}

/// What is where a record could be.
pub(super) enum Found {
    /// None, or one that was not written to its end.
    Nothing,
    /// One that another version of this program wrote.
    Unknown { version: u32, sequence: u64 },
    /// One.
    Record(Record),
}

/// How many bytes the record has that begins so, if it is one.
pub(super) fn length(prefix: &[u8; PREFIX]) -> Option<usize> {
    let mut fields = Fields(prefix.get(12..)?);
    let length = fields.u32()? as usize;
    (prefix.starts_with(MAGIC) && (PREFIX..=RECORD).contains(&length)).then_some(length)
}

/// Reads a record from its bytes, all that [`length`] told.
pub(super) fn decode(bytes: &[u8]) -> Found {
    try_decode(bytes).unwrap_or(Found::Nothing)
}

fn try_decode(bytes: &[u8]) -> Option<Found> {
    let mut fields = Fields(bytes.strip_prefix(MAGIC)?);
    let (version, _length, sequence) = (fields.u32()?, fields.u32()?, fields.u64()?);
    let checksum = u32::from_le_bytes(*bytes.get(CHECKSUM_AT..)?.first_chunk()?);
    let before = crc32c::crc32c(bytes.get(..CHECKSUM_AT)?);
    let with_zero = crc32c::crc32c_append(before, &[0; 4]);
    if crc32c::crc32c_append(with_zero, bytes.get(CHECKSUM_AT + 4..)?) != checksum {
        return None;
    }
    if version != VERSION {
        return Some(Found::Unknown { version, sequence });
    }
    let generations = Generations {
        current: fields.u64()?,
        bitmap: fields.u64()?,
        history: [fields.u64()?, fields.u64()?],
        shared: false,
    };
    let (size, agreed) = (fields.u64()?, fields.u64()?);
    let (flags, count) = (fields.u32()?, fields.u32()? as usize);
    let generations = Generations { shared: flags & SHARED != 0, ..generations };
    fields.u64()?;
    let extents = fields.0.get(..count.checked_mul(4)?)?;
    let activity = extents.as_chunks::<4>().0.iter().map(|extent| u32::from_le_bytes(*extent)).collect();
    let head = Head { generations, size, agreed, ..with_flags(flags) };
    Some(Found::Record(Record { sequence, head, activity }))
}

fn flags(head: &Head) -> u32 {
    u32::from(head.consistent)
        | u32::from(head.was_up_to_date) << 1
        | u32::from(head.primary) << 2
        | u32::from(head.crashed_primary) << 3
        | u32::from(head.connected) << 4
        | u32::from(head.peer_outdated) << 5
        | u32::from(head.full_sync) << 6
        | if head.generations.shared { SHARED } else { 0 }
}

fn with_flags(flags: u32) -> Head {
    let is = |bit: u32| flags >> bit & 1 != 0;
    Head {
        consistent: is(0),
        was_up_to_date: is(1),
        primary: is(2),
        crashed_primary: is(3),
        connected: is(4),
        peer_outdated: is(5),
        full_sync: is(6),
        ..Head::default()
    }
}

/// Numbers, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }
}
