//! What must hold for any bytes that another node sends: as in `fuzz/checks`, for the package `drx-bsr`. Replayed by
//! `bsr/tests/corpus.rs`.

pub mod bitmap;
pub mod node;
pub mod packets;
#[path = "../pieces.rs"]
mod pieces;

pub use pieces::pieces;
