//! What can be wrong with a frame. Each closes the link; the sentence goes to both logs.

use super::FrameType;
use crate::codec::UnpackError;
use crate::first_packet::StrangeFirstPacket;

/// Why bytes on a link are not a frame. The decoder that found it stays failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The type is none of [`FrameType`].
    #[error("a frame has the unknown type {0}")]
    UnknownType(u8),
    /// A flag that this version does not know.
    #[error("the {frame} frame has unknown flags: {flags:#04x}")]
    UnknownFlag {
        /// Of this type.
        frame: FrameType,
        /// All of its flags.
        flags: u8,
    },
    /// The body is packed in a way that is not known here.
    #[error("the {frame} frame has the unknown codec {number}")]
    UnknownCodec {
        /// The frame's type.
        frame: FrameType,
        /// The codec's number.
        number: u8,
    },
    /// The body is packed, and cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A reserved place of the header is not 0.
    #[error("the {0} frame's header has reserved bits set")]
    ReservedBits(FrameType),
    /// The claimed body is longer than any body of this type.
    #[error("the {frame} frame claims a body of {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// Of this type.
        frame: FrameType,
        /// Claimed, bytes.
        length: u32,
        /// Allowed, bytes.
        limit: u32,
    },
    /// No body of this type has this length.
    #[error("the {frame} frame claims a body of {length} bytes, which no such frame has")]
    WrongLength {
        /// Of this type.
        frame: FrameType,
        /// Claimed, bytes.
        length: u32,
    },
    /// A frame that must belong to an attempt has attempt 0.
    #[error("the {0} frame belongs to no attempt")]
    AttemptMissing(FrameType),
    /// A frame that belongs to no attempt names one.
    #[error("the {frame} frame names attempt {attempt}, but such frames belong to none")]
    AttemptUnexpected {
        /// Of this type.
        frame: FrameType,
        /// The one it names.
        attempt: u32,
    },
    /// The handshake agreed on checksums, the frame has none.
    #[error("the {0} frame has no checksum, though this link uses them")]
    ChecksumMissing(FrameType),
    /// The handshake agreed on no checksums, the frame has one.
    #[error("the {0} frame has a checksum, though this link uses none")]
    ChecksumUnexpected(FrameType),
    /// Bytes changed on the way.
    #[error(
        "the {frame} frame was damaged on the way: its checksum is {carried:08x}, its bytes give {computed:08x}"
    )]
    Checksum {
        /// Of this type.
        frame: FrameType,
        /// What the frame says.
        carried: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A header field that this type does not use is not 0.
    #[error("the {frame} frame has {field} {value}, where 0 must be")]
    StrayField {
        /// Of this type.
        frame: FrameType,
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A stream would end past the largest offset there is.
    #[error("the DATA frame's {length} bytes from offset {offset} reach beyond the end of all offsets")]
    OffsetOverflow {
        /// Of the first byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// A window would end past the largest offset there is.
    #[error(
        "the {frame} frame's window of {window} bytes from {acknowledged} reaches beyond the end of all offsets"
    )]
    WindowOverflow {
        /// Of this type.
        frame: FrameType,
        /// Where the window begins.
        acknowledged: u64,
        /// Bytes.
        window: u32,
    },
    /// An OFFER does not carry bsr's first packet.
    #[error("the OFFER frame is not an offer: {0}")]
    OfferBody(StrangeFirstPacket),
    /// A FIN's or ABORT's reason that this version does not know.
    #[error("the {frame} frame gives the unknown reason {reason}")]
    UnknownReason {
        /// Of this type.
        frame: FrameType,
        /// The reason's code.
        reason: u16,
    },
    /// Whether an ending names a partner is said with 0 or 1, and the length must agree.
    #[error("the {frame} frame's partner mark is {mark}, which its length of {length} bytes contradicts")]
    PartnerMark {
        /// Of this type.
        frame: FrameType,
        /// What the body says.
        mark: u8,
        /// Of the body, bytes.
        length: usize,
    },
    /// A reserved place of the body is not 0.
    #[error("the {0} frame's body has reserved bits set")]
    BodyReservedBits(FrameType),
    /// A STATE frame's channel type is none of unknown, data and meta.
    #[error("the STATE frame gives the unknown channel type {0}")]
    UnknownChannelType(u8),
}

impl FrameError {
    pub(super) fn stray(frame: FrameType, field: &'static str, value: impl Into<u64>) -> FrameError {
        FrameError::StrayField { frame, field, value: value.into() }
    }
}
