//! The bitmap's pages: each sector stands for itself, so that a write that was cut in two leaves two halves that count.

use bytes::{BufMut, Bytes, BytesMut};

use super::RECORD;
use crate::bitmap::PAGE;

/// Bytes that a page takes in the file.
pub const PAGE_SLOT: usize = SECTORS * SECTOR;

const SECTOR: usize = 512;
/// 57 words; then the page's number 4, the sector's number 4, zeros, checksum 4.
const PAYLOAD: usize = 456;
const SECTORS: usize = PAGE.div_ceil(PAYLOAD);
const CHECKSUM_AT: usize = SECTOR - 4;

/// Where a page goes, and its bytes there. `page`: [`PAGE`] bytes; what is missing counts as set, what is too much is
/// left out.
pub fn encode_page(number: u32, page: &[u8]) -> (u64, Bytes) {
    let mut slot = BytesMut::with_capacity(PAGE_SLOT);
    for sector in 0..SECTORS {
        let payload = page.get(sector * PAYLOAD..).unwrap_or_default();
        slot.put_slice(&payload[..payload.len().min(PAYLOAD)]);
        slot.put_bytes(0xff, PAYLOAD.saturating_sub(payload.len()));
        slot.put_slice(&trailer(number, sector));
        let checksum = crc32c::crc32c(&slot[sector * SECTOR..]);
        slot.put_u32_le(checksum);
    }
    (offset(number), slot.freeze())
}

/// Where a page begins in the file.
pub(super) fn offset(number: u32) -> u64 {
    2 * RECORD as u64 + u64::from(number) * PAGE_SLOT as u64
}

/// The page in its place in the file. Where a sector is not what was written, all its bits are set.
pub(super) fn decode(number: u32, slot: &[u8; PAGE_SLOT]) -> [u8; PAGE] {
    let mut page = [0xff; PAGE];
    let pieces = page.chunks_mut(PAYLOAD);
    for (n, (sector, piece)) in slot.as_chunks::<SECTOR>().0.iter().zip(pieces).enumerate() {
        let whole = sector[CHECKSUM_AT..] == crc32c::crc32c(&sector[..CHECKSUM_AT]).to_le_bytes();
        if whole && sector[PAYLOAD..CHECKSUM_AT] == trailer(number, n) {
            piece.copy_from_slice(&sector[..piece.len()]);
        }
    }
    page
}

/// Which sector of which page it is: one that was written to the wrong place counts as not written.
fn trailer(number: u32, sector: usize) -> [u8; CHECKSUM_AT - PAYLOAD] {
    let mut trailer = [0; CHECKSUM_AT - PAYLOAD];
    trailer[..4].copy_from_slice(&number.to_le_bytes());
    trailer[4..8].copy_from_slice(&(sector as u32).to_le_bytes());
    trailer
}
