//! Everything about the relay that can be right or wrong without a socket.
//!
//! No I/O, no clock, no logging: time and random numbers are arguments, what happened is a return
//! value. That is why the tests can explore two ends exhaustively.

pub mod first_packet;
pub mod frame;
pub mod handshake;
pub mod names;

pub use names::{Attempt, ChannelType, Epoch, Lane, LinkId, Role, Round, UnknownLane};
