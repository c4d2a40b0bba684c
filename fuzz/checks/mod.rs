//! What must hold for any bytes whatever: one function for each fuzz target, called by the fuzzer with
//! what it makes up and by `protocol/tests/corpus.rs` with what it has found worth keeping.
//!
//! Each panics when a promise is broken, and returns how much it accepted, so that a corpus which has come to
//! reach nothing is found out. The first bytes of an input say how the rest is to be read.

pub mod first_packet;
pub mod frames;
pub mod handshake;
pub mod meta;
pub mod pings;

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
