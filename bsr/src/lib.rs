//! A replication peer in user space: one volume, kept identical with that of one other node, over the wire
//! protocol of BSR and DRBD, version 86 to 101 (docs/bsr.md).
//!
//! ```text
//! wire      packets and their bytes
//! core      what a node does: states, handshake, replication, resync, verify. No socket, file, clock or log
//! bitmap, uuid, activity, metadata     what a node knows of its volume, and keeps over a crash
//! shell     sockets, files, timers, log, control socket, NBD server (feature `shell`)
//! ```
//!
//! Facts of the protocol are those of `bsr-wire.md`, cited by section.

pub mod activity;
pub mod bitmap;
pub mod core;
pub mod digest;
pub mod metadata;
#[cfg(feature = "shell")]
pub mod shell;
pub mod uuid;
pub mod wire;
