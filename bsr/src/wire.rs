//! What travels between two nodes: packets, and the bytes they are (bsr-wire B.1 to B.3).

pub mod body;
pub mod command;
pub mod decode;
pub mod encode;
pub mod error;
pub mod header;
pub mod packet;
mod parse;
pub mod state;

pub use body::*;
pub use command::Command;
pub use decode::Decoder;
pub use encode::{Encoded, Encoder};
pub use error::DecodeError;
pub use packet::{AckKind, Packet, Stream};
pub use state::{Connection, Disk, Role, StateWord};
