//! What is in a sector: in every 16 bytes of it, which write it is of, and which sector it is.

/// Bytes.
pub const SECTOR: usize = 512;

/// Fills whole sectors with a write's tag.
pub fn fill(first: usize, tag: u64, bytes: &mut [u8]) {
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        let word = word(first + number, tag);
        sector.chunks_mut(WORD).for_each(|piece| piece.copy_from_slice(&word));
    }
}

/// Which write a sector is of; 0: of none, or of one that made it zero.
///
/// # Errors
/// It is of more than one, or it belongs elsewhere.
pub fn tag_of(place: usize, bytes: &[u8]) -> Result<u64, String> {
    let tag = u64::from_be_bytes(bytes[..8].try_into().expect("a sector has 512 bytes"));
    let expected = if tag == 0 { [0; WORD] } else { word(place, tag) };
    match bytes.chunks(WORD).find(|piece| *piece != expected) {
        None => Ok(tag),
        Some(piece) => Err(format!("begins with {:x?}, and has {piece:x?}", &bytes[..WORD])),
    }
}

fn word(place: usize, tag: u64) -> [u8; WORD] {
    let mut word = [0; WORD];
    word[..8].copy_from_slice(&tag.to_be_bytes());
    word[8..].copy_from_slice(&(place as u64).to_be_bytes());
    word
}

const WORD: usize = 16;
