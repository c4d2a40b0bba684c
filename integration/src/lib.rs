//! A bench for whole relays: two of them over the sockets of this machine, and bsr played by hand, or `drx-bsr` nodes.
//!
//! ```text
//! programs    drxd, drx-ctl and drx-bsr, beside the test, and fresh
//! block       addresses of this machine that nobody else uses
//! pair        two relays that face each other, and the bsr of each
//! process     a relay as a process: drxd
//! in_process  a relay in this process, whose actors can be made to panic
//! bsr         bsr, played by hand
//! node        a replicating node as a process: drx-bsr
//! nbd         a client of a node's volume
//! forwarder   a way between the relays that can be cut
//! hosts       namespaces with real addresses and routes, and a line that can be bad
//! stranger    who is neither bsr nor a relay
//! hello       the other relay's handshake, played by hand
//! application who uses a volume: writes without end, and what must be there
//! log         what the relays wrote
//! pattern     bytes that say where they belong
//! figures     what /proc says of a process
//! wait        waiting for a condition, never for time
//! ```
//!
//! A bench is for tests, so it panics where something is not as it must be. Nothing in it waits
//! without a bound.
#![allow(clippy::unwrap_used)]

pub mod application;
pub mod block;
pub mod bsr;
pub mod figures;
pub mod forwarder;
pub mod hello;
pub mod hosts;
pub mod in_process;
pub mod log;
pub mod nbd;
pub mod node;
pub mod pair;
pub mod pattern;
pub mod process;
pub mod programs;
pub mod seed;
pub mod stranger;
pub mod wait;
