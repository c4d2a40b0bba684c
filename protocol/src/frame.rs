//! What travels on a link once its handshake is done: frames.
//!
//! A frame is a header of 36 bytes, big endian, and a body (docs/link.md, "Shape"):
//!
//! | at | field | |
//! | --- | --- | --- |
//! | 0 | u8 type | [`FrameType`] |
//! | 1 | u8 flags | bit 0: the checksum is there; the others are reserved, 0 |
//! | 2 | u8 codec | DATA: how the body is packed ([`Codec`](crate::codec::Codec)); otherwise 0 |
//! | 3 | u8 | reserved, 0 |
//! | 4 | u32 length | of the body |
//! | 8 | u32 attempt | 0: belongs to no attempt; in ABORT: only this connection ends |
//! | 12 | u32 checksum | CRC-32C over header (this field 0) and body; 0 without the flag |
//! | 16 | u64 offset | DATA, FIN, PING, PONG; otherwise 0 |
//! | 24 | u64 acknowledged | OFFER, ESTABLISHED, DATA, ACK, FIN; otherwise 0 |
//! | 32 | u32 window | as `acknowledged` |
//!
//! | type | body |
//! | --- | --- |
//! | 1 OFFER | bsr's first packet, 8 bytes |
//! | 2 ESTABLISHED, 4 ACK, 7 PING, 8 PONG | none |
//! | 3 DATA | 1 byte to 256 KiB of the stream; or those packed, and then fewer |
//! | 5 FIN, 6 ABORT | [`Ending`]: u16 reason, u8 whether a partner follows, u8 0, and then u128 link id, u32 attempt |
//! | 9 STATE | u8 state code, u8 type (0 unknown, 1 data, 2 meta), u16 0 |
//!
//! What a frame does not use must be 0: a stray value is an error, so that every frame has exactly
//! one encoding and a later version can give the places a meaning.

mod decoder;
mod ending;
mod error;
mod header;
mod payload;
mod wire;

pub use decoder::Decoder;
pub use error::FrameError;
pub use header::{FrameType, HEADER_LEN, MAX_PAYLOAD};
pub use payload::Payload;
pub use wire::{Head, data_header};

use crate::ending::Ending;
use crate::names::{Attempt, ChannelType};

/// One frame, as it was decoded or is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The acceptor's bsr connected: a new attempt begins, and the connector may dial its own bsr.
    Offer {
        /// The attempt that begins.
        attempt: Attempt,
        /// What the sender grants.
        credit: Credit,
        /// What bsr's first packet said; the frame carries those 8 bytes.
        channel: ChannelType,
    },
    /// The connector's bsr accepted: bytes may flow.
    Established {
        /// The attempt that is established.
        attempt: Attempt,
        /// What the sender grants.
        credit: Credit,
    },
    /// A piece of the stream.
    Data {
        /// The attempt the stream belongs to.
        attempt: Attempt,
        /// What the sender grants for the other direction.
        credit: Credit,
        /// Stream offset of the first byte, counted from 0 in each attempt.
        offset: u64,
        /// 1 byte to [`MAX_PAYLOAD`].
        payload: Payload,
    },
    /// Nothing but what the sender grants.
    Ack {
        /// The attempt the stream belongs to.
        attempt: Attempt,
        /// What the sender grants.
        credit: Credit,
    },
    /// The sender's stream is complete.
    Fin {
        /// The attempt that ends.
        attempt: Attempt,
        /// What the sender grants for the other direction, which may still flow.
        credit: Credit,
        /// How many bytes the stream had: the offset after its last one.
        offset: u64,
        /// Why it ends.
        ending: Ending,
    },
    /// The attempt ends at once; nothing of it is left to save.
    Abort {
        /// The attempt that ends. 0: none does, but this connection is closed; the link may be resumed on
        /// another one.
        attempt: Attempt,
        /// Why it ends.
        ending: Ending,
    },
    /// Asks for a PONG with the same number.
    Ping {
        /// Chosen by the sender.
        number: u64,
    },
    /// Answers a PING.
    Pong {
        /// The PING's number.
        number: u64,
    },
    /// Where the sender's channel on this lane stands.
    State {
        /// Its state.
        state: StateCode,
        /// Its type, once bsr has said it.
        channel: Option<ChannelType>,
    },
}

impl Frame {
    /// The frame's type.
    pub fn frame_type(&self) -> FrameType {
        match self {
            Frame::Offer { .. } => FrameType::Offer,
            Frame::Established { .. } => FrameType::Established,
            Frame::Data { .. } => FrameType::Data,
            Frame::Ack { .. } => FrameType::Ack,
            Frame::Fin { .. } => FrameType::Fin,
            Frame::Abort { .. } => FrameType::Abort,
            Frame::Ping { .. } => FrameType::Ping,
            Frame::Pong { .. } => FrameType::Pong,
            Frame::State { .. } => FrameType::State,
        }
    }

    /// The attempt the frame belongs to: never `Some(0)` in a decoded frame, `None` for PING, PONG
    /// and STATE.
    pub fn attempt(&self) -> Option<Attempt> {
        match *self {
            Frame::Offer { attempt, .. }
            | Frame::Established { attempt, .. }
            | Frame::Data { attempt, .. }
            | Frame::Ack { attempt, .. }
            | Frame::Fin { attempt, .. }
            | Frame::Abort { attempt, .. } => Some(attempt),
            Frame::Ping { .. } | Frame::Pong { .. } | Frame::State { .. } => None,
        }
    }

    /// What the sender grants with this frame, where its type carries that.
    pub fn credit(&self) -> Option<Credit> {
        match *self {
            Frame::Offer { credit, .. }
            | Frame::Established { credit, .. }
            | Frame::Data { credit, .. }
            | Frame::Ack { credit, .. }
            | Frame::Fin { credit, .. } => Some(credit),
            Frame::Abort { .. } | Frame::Ping { .. } | Frame::Pong { .. } | Frame::State { .. } => None,
        }
    }
}

/// How far the receiver of a stream is, and how far its sender may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Credit {
    /// Every byte below this stream offset was written to bsr's socket.
    pub acknowledged: u64,
    /// Bytes that may be sent beyond `acknowledged`.
    pub window: u32,
}

impl Credit {
    /// The stream offset before which the sender must stop. A decoded frame's never overflows.
    pub fn limit(self) -> u64 {
        self.acknowledged.saturating_add(u64::from(self.window))
    }
}

/// A channel's state as a number on the wire; the channel's own module knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateCode(pub u8);
