//! The running relay: actors, their supervision, and the sockets they drive.
//!
//! What can be right or wrong without a socket is decided in `drx-protocol`; here it meets time,
//! memory and the network.

pub mod api;
mod bab;
mod budget;
pub mod child;
mod counters;
mod link;
mod local;
pub mod net;
mod segment;
