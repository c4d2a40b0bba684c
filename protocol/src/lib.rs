//! Everything about the relay that can be right or wrong without a socket.
//!
//! No I/O, no clock, no logging: time and random numbers are arguments, what happened is a return
//! value. That is why the tests can explore two ends exhaustively.

pub mod admission;
pub mod channel;
pub mod delivery;
pub mod ending;
pub mod names;
#[doc(hidden)]
pub mod rules;
pub mod session;
pub mod state;

pub use names::{Attempt, ChannelType, Epoch, Lane, LinkId, Role, Round, UnknownLane};
