//! What a bsr writes: every byte says to which connection it belongs, and where in it. Of every second connection three
//! quarters of the bytes repeat themselves, so that they can be packed; the others show where those belong.

/// Fills `bytes` with those of connection `id` from `offset` on. The first eight are the id itself.
pub fn fill(id: u64, offset: u64, bytes: &mut [u8]) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = word(id, at / 8).to_be_bytes();
        let skip = (at % 8) as usize;
        let count = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(&word[skip..skip + count]);
        at += count as u64;
        rest = later;
    }
}

fn word(id: u64, number: u64) -> u64 {
    if number == 0 {
        return id;
    }
    let number = if id % 2 == 1 && number % 128 >= 32 { number / 128 * 128 } else { number };
    // splitmix64's last steps: neighbours have nothing in common.
    let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The first byte of `bytes` that is not connection `id`'s at `offset`.
pub fn strange(id: u64, offset: u64, bytes: &[u8], scratch: &mut Vec<u8>) -> Option<u64> {
    scratch.resize(bytes.len(), 0);
    fill(id, offset, scratch);
    if scratch[..] == *bytes {
        return None;
    }
    let good = scratch.iter().zip(bytes).take_while(|(expected, came)| expected == came).count();
    Some(offset + good as u64)
}
