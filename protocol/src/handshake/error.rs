//! What can be wrong with a handshake, and which message it is.

use std::fmt;

use super::{BadName, MAGIC, MAX_CODECS, MAX_MESSAGE, Versions};
use crate::first_packet::Excerpt;
use crate::names::{Attempt, UnknownLane};

/// A message's kind, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Message {
    /// From the connector.
    Hello = 1,
    /// The acceptor's yes.
    Welcome = 2,
    /// The acceptor's no.
    Refused = 3,
}

impl TryFrom<u8> for Message {
    type Error = HandshakeError;

    fn try_from(number: u8) -> Result<Message, HandshakeError> {
        match number {
            1 => Ok(Message::Hello),
            2 => Ok(Message::Welcome),
            3 => Ok(Message::Refused),
            other => Err(HandshakeError::UnknownMessage(other)),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Message::Hello => "HELLO",
            Message::Welcome => "WELCOME",
            Message::Refused => "REFUSED",
        })
    }
}

/// Why bytes are not the handshake message that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Whoever connected does not speak this protocol.
    #[error("this is no DRX: it began with {0}, where {magic} was expected", magic = Excerpt::of(&MAGIC))]
    NotDrx(Excerpt),
    /// A message that this version does not know.
    #[error("the handshake has the unknown message {0}")]
    UnknownMessage(u8),
    /// A known message where it does not belong: perhaps both relays dialled, or both accepted.
    #[error("{expected} was expected, but a {got} came")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// What came.
        got: Message,
    },
    /// The length leaves no room for the checksum.
    #[error("the handshake claims {0} bytes after its length, fewer than its checksum has")]
    NoChecksum(usize),
    /// The message would be longer than [`MAX_MESSAGE`].
    #[error("the handshake claims {0} bytes, at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// The message is not whole.
    #[error("the handshake was cut off: at least {0} bytes are missing")]
    CutOff(usize),
    /// There are bytes behind the message.
    #[error("{0} bytes follow the handshake that do not belong to it")]
    Excess(usize),
    /// Bytes changed on the way.
    #[error(
        "the handshake was damaged on the way: its checksum is {carried:08x}, its bytes give {computed:08x}"
    )]
    Checksum {
        /// What the message says.
        carried: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The versions do not meet: to be answered with [`super::Refusal::Version`].
    #[error("the other DRX speaks {0}, this one {ours}", ours = Versions::OURS)]
    Version(Versions),
    /// The acceptor chose a version that was not offered.
    #[error("the other DRX chose version {0}, this one offered {ours}", ours = Versions::OURS)]
    ChosenVersion(u16),
    /// A reserved place is not 0.
    #[error("the {0} has reserved bits set")]
    Reserved(Message),
    /// No such lane.
    #[error(transparent)]
    Lane(UnknownLane),
    /// A flag that this version does not know.
    #[error("the handshake has unknown flags: {0:#04x}")]
    UnknownFlag(u8),
    /// A resume of attempt 0, which is none.
    #[error("the {0} is about a resume, but of no attempt")]
    ResumeWithoutAttempt(Message),
    /// An attempt without the flag that says what for.
    #[error("the {message} names attempt {attempt}, but is not about a resume")]
    AttemptWithoutResume {
        /// Of this kind.
        message: Message,
        /// The one it names.
        attempt: Attempt,
    },
    /// The body ends within a field.
    #[error("the handshake's body is too short: a field needs {needed} bytes where {left} are left")]
    BodyCut {
        /// What the field has, bytes.
        needed: usize,
        /// What the body still has, bytes.
        left: usize,
    },
    /// The body goes on where nothing is defined.
    #[error("the handshake's body has {0} bytes too many")]
    Trailing(usize),
    /// A name or sentence breaks a rule.
    #[error("the {field} in the handshake is not usable: {wrong}")]
    Text {
        /// What it is of.
        field: &'static str,
        /// The rule.
        wrong: BadName,
    },
    /// A known option came twice.
    #[error("the handshake has option {0} more than once")]
    RepeatedOption(u16),
    /// More codecs than there can be.
    #[error("the {0} names {1} codecs, at most {MAX_CODECS} are allowed")]
    TooManyCodecs(Message, usize),
}
