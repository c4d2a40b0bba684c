//! What must hold for any bytes whatever: one function for each fuzz target, called by the fuzzer with
//! what it makes up and by `protocol/tests/corpus.rs` with what it has found worth keeping. Those of the package
//! `drx-bsr`, which that of the protocol does not know, are in `bsr`.
//!
//! Each panics when a promise is broken, and returns how much it accepted, so that a corpus which has come to
//! reach nothing is found out. The first bytes of an input say how the rest is to be read.

pub mod first_packet;
pub mod frames;
pub mod handshake;
pub mod meta;
mod pieces;
pub mod pings;

pub use pieces::pieces;
