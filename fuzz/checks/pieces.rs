//! How a stream is cut.

/// Pieces of `bytes`, 1 to 64 bytes or sometimes thousands long, as `seed` has it: the same seed, the same cuts.
pub fn pieces(bytes: &[u8], seed: u32) -> impl Iterator<Item = &[u8]> {
    let (mut left, mut state) = (bytes, seed | 1);
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let most = if state & 7 == 0 { 8192 } else { 64 };
        let (piece, rest) = left.split_at(left.len().min(1 + (state >> 3) as usize % most));
        left = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
