//! Content that can be told anywhere from its seed alone: what `fill` writes and `check` compares.

/// Fills `buffer` with what belongs at `offset`. Both are in whole words of 8 bytes; what is beyond the last whole
/// word is left as it is.
///
/// Each word depends on the seed and its place only, so that any part can be written and compared by itself.
pub fn fill(seed: u64, offset: u64, buffer: &mut [u8]) {
    let (words, _) = buffer.as_chunks_mut::<8>();
    for (place, word) in (offset / 8..).zip(words) {
        *word = mix(seed ^ mix(place)).to_le_bytes();
    }
}

/// Where `bytes`, read at `offset`, first differ from the pattern; none: nowhere.
pub fn difference(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut expected = [0; PIECE];
    let places = (offset..).step_by(PIECE);
    places.zip(bytes.chunks(PIECE)).find_map(|(at, piece)| {
        let expected = &mut expected[..piece.len()];
        fill(seed, at, expected);
        let differs = piece.iter().zip(&*expected).position(|(one, other)| one != other)?;
        Some(at + differs as u64)
    })
}

/// splitmix64's: every bit of the answer depends on every bit of the question.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

const PIECE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_as_in_the_whole() {
        let mut whole = vec![0; 3 * 4096 + 512];
        fill(7, 0, &mut whole);
        let mut part = vec![0; 4096];
        fill(7, 512, &mut part);
        assert_eq!(part, whole[512..4608]);
        assert_eq!(difference(7, 512, &part), None);
        part[4001] ^= 1;
        assert_eq!(difference(7, 512, &part), Some(512 + 4001));
        assert_eq!(difference(8, 512, &part), Some(512));
    }
}
