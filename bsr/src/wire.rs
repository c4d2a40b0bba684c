//! What travels between two nodes: packets, and the bytes they are (bsr-wire B.1 to B.3).

pub mod body;
pub mod command;
pub mod decode;
pub mod encode;
pub mod header;
pub mod packet;
pub mod state;

pub use body::*;
pub use packet::{AckKind, Packet, Stream};
pub use state::{Connection, Disk, Role, StateWord};
