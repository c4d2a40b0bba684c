//! Why a round ends, as one relay tells the other in FIN and ABORT.

use std::fmt;

use crate::names::Round;

/// The reason that travels in FIN and ABORT (docs/link.md 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// bsr disconnected.
    BsrClosed,
    /// The other channel of the session ended; [`Ending::partner`] names it.
    Partner,
    /// What was buffered could not be delivered within `close_pending_timeout`.
    FlushTimeout,
    /// An operator stopped the channel.
    Operator,
    /// A fault inside the relay.
    Failure,
    /// The session's other link is gone for good.
    LinkLost,
    /// The receiver of this broke the link's protocol; the link is closed behind it.
    Protocol,
}

impl EndReason {
    /// Every reason, in the order of the codes.
    pub const ALL: [EndReason; 7] = [
        EndReason::BsrClosed,
        EndReason::Partner,
        EndReason::FlushTimeout,
        EndReason::Operator,
        EndReason::Failure,
        EndReason::LinkLost,
        EndReason::Protocol,
    ];

    /// The number on the wire, from 1.
    pub fn code(self) -> u16 {
        self as u16 + 1
    }

    /// The reason with this number.
    pub fn from_code(code: u16) -> Option<EndReason> {
        EndReason::ALL.into_iter().find(|reason| reason.code() == code)
    }
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
            EndReason::Protocol => "it was sent what the link's protocol forbids",
        })
    }
}

/// A round's ending as it is told: why, and, if its partner is the reason, which one that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// The partner that ended first (docs/link.md 6, rule 6).
    pub partner: Option<Round>,
}

impl Ending {
    /// An ending that is the channel's own.
    pub fn new(reason: EndReason) -> Ending {
        Ending { reason, partner: None }
    }

    /// An ending because the partner channel ended.
    pub fn because_of(partner: Round) -> Ending {
        Ending { reason: EndReason::Partner, partner: Some(partner) }
    }
}

impl From<EndReason> for Ending {
    fn from(reason: EndReason) -> Ending {
        Ending::new(reason)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partner {
            None => self.reason.fmt(f),
            Some(partner) => {
                write!(f, "{} (link {}, attempt {})", self.reason, partner.link, partner.attempt)
            }
        }
    }
}
