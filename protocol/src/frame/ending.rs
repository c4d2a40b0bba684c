//! Why an attempt ends: the body of FIN and ABORT.

use std::fmt;

use bytes::{Buf, BufMut};

use super::{FrameError, FrameType};
use crate::names::{LinkId, Round};

/// Why an attempt ends, as one relay tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    /// The reason.
    pub reason: EndReason,
    /// The partner's round, where the partner is why: the receiver ends its own partner channel only
    /// if it is that very round (docs/link.md, rule 6).
    pub partner: Option<Round>,
}

impl Ending {
    /// Writes the body to the beginning of `out`; returns how many bytes it has.
    pub(super) fn write(&self, mut out: &mut [u8]) -> usize {
        out.put_u16(self.reason as u16);
        out.put_u8(u8::from(self.partner.is_some()));
        out.put_u8(0);
        let Some(Round { link, attempt }) = self.partner else {
            return ALONE;
        };
        out.put_u128(link.0);
        out.put_u32(attempt);
        WITH_PARTNER
    }

    /// Reads a body; its length is one of the two that the header's check lets through.
    pub(super) fn read(frame: FrameType, body: &[u8]) -> Result<Ending, FrameError> {
        let length = body.len();
        let mut fields = body;
        let code = fields.get_u16();
        let known = EndReason::ALL.into_iter().find(|reason| *reason as u16 == code);
        let reason = known.ok_or(FrameError::UnknownReason { frame, reason: code })?;
        let mark = fields.get_u8();
        if fields.get_u8() != 0 {
            return Err(FrameError::BodyReservedBits(frame));
        }
        let partner = match (mark, length) {
            (0, ALONE) => None,
            (1, WITH_PARTNER) => Some(Round { link: LinkId(fields.get_u128()), attempt: fields.get_u32() }),
            _ => return Err(FrameError::PartnerMark { frame, mark, length }),
        };
        Ok(Ending { reason, partner })
    }
}

impl From<EndReason> for Ending {
    fn from(reason: EndReason) -> Ending {
        Ending { reason, partner: None }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match self.partner {
            Some(Round { link, attempt }) => write!(f, " (link {link}, attempt {attempt})"),
            None => Ok(()),
        }
    }
}

/// The reasons, with their codes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum EndReason {
    /// The sender's bsr closed its connection.
    BsrClosed = 1,
    /// The partner channel of the session ended; [`Ending::partner`] names it.
    Partner = 2,
    /// Not everything was acknowledged within `close_pending_timeout`.
    FlushTimeout = 3,
    /// An operator's command: down, reload or shutdown.
    Operator = 4,
    /// A panic or a broken invariant in the sender.
    Failure = 5,
    /// The session's other link is lost and was not resumed.
    LinkLost = 6,
}

impl EndReason {
    /// All reasons, in the order of their codes.
    pub const ALL: [EndReason; 6] = [
        EndReason::BsrClosed,
        EndReason::Partner,
        EndReason::FlushTimeout,
        EndReason::Operator,
        EndReason::Failure,
        EndReason::LinkLost,
    ];
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::BsrClosed => "bsr disconnected",
            EndReason::Partner => "its partner channel ended",
            EndReason::FlushTimeout => "the flush did not end within close_pending_timeout",
            EndReason::Operator => "stopped by the operator",
            EndReason::Failure => "a fault inside the relay",
            EndReason::LinkLost => "the session's other link is gone for good",
        })
    }
}

/// Bytes of an ending that names no partner.
pub(super) const ALONE: usize = 2 + 1 + 1;
/// Bytes of an ending that names one.
pub(super) const WITH_PARTNER: usize = ALONE + 16 + 4;
