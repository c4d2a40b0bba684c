//! The running relay: actors, their supervision, and the sockets they drive.
//!
//! What can be right or wrong without a socket is decided in `drx-protocol`; here it meets time,
//! memory and the network.

pub mod api;
mod bab;
mod budget;
mod channel;
pub mod child;
mod counters;
mod frames;
mod handshake;
mod inside;
mod link;
mod local;
mod messages;
pub mod net;
mod outside;
mod packing;
mod pieces;
mod quiet;
pub mod relay;
mod resource;
mod segment;
mod task;
