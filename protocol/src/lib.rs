//! Everything about the relay that can be right or wrong without a socket.
//!
//! No I/O, no clock, no logging: time and random numbers are arguments, what happened is a return
//! value. That is why the tests can explore two ends exhaustively.
//!
//! - [`channel`]: the state machine of one lane's end; [`session`]: which of them belong together.
//! - [`admission`]: which dials are taken; [`delivery`]: offsets, acknowledgements, windows.
//! - [`first_packet`], [`handshake`], [`frame`], [`codec`]: the bytes; [`meta`], [`pings`]: which of bsr's pings are held.
//! - [`restart`], [`situation`], [`report`], [`filling`]: how it comes back, and what people are told.

pub mod admission;
pub mod channel;
pub mod codec;
pub mod delivery;
pub mod ending;
pub mod filling;
pub mod first_packet;
pub mod frame;
pub mod handshake;
pub mod meta;
pub mod names;
pub mod pings;
pub mod report;
pub mod restart;
#[doc(hidden)]
pub mod rules;
pub mod session;
pub mod situation;
pub mod state;

pub use names::{Attempt, ChannelType, Epoch, Lane, LinkId, Role, Round, UnknownLane};
pub use state::{Standing, State};
