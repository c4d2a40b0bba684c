//! What a channel hears, does and says.

use std::fmt;

use crate::ending::Ending;
use crate::names::{Attempt, ChannelType, LinkId, Round};

/// What happens to a channel. Events that carry an attempt are dropped when it is not the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The memory for the BAB is there.
    Allocated,
    /// A handshake that did not resume is done.
    LinkUp(LinkId),
    /// The link's transport is gone, and may be resumed if [`Channel::resumable`](super::Channel::resumable).
    LinkBroken,
    /// The link is gone for good.
    LinkLost,
    /// A new transport carries the same round on.
    LinkResumed,
    /// Acceptor: bsr connected to `inside`.
    Accepted,
    /// Acceptor: bsr's first packet said what it opens.
    FirstPacket(ChannelType),
    /// Acceptor: no first packet in time, or a strange one.
    NoFirstPacket,
    /// Connector: the other DRX has a bsr that waits.
    Offered {
        /// The new round's number.
        attempt: Attempt,
        /// What the bsr there opened.
        channel_type: ChannelType,
    },
    /// Connector: our bsr took the connection.
    Dialled,
    /// Acceptor: the other side stands.
    PeerEstablished(Attempt),
    /// bsr disconnected: end of file or an error in either direction.
    LocalClosed,
    /// Both ends of the connection to bsr are closed.
    LocalGone,
    /// After FIN was ordered: everything before it is acknowledged.
    Flushed,
    /// Everything that will ever come from the other DRX is written to bsr.
    Delivered,
    /// The other DRX says goodbye.
    PeerFin {
        /// The round it ends.
        attempt: Attempt,
        /// Why.
        ending: Ending,
    },
    /// The other DRX ends at once.
    PeerAbort {
        /// The round it ends.
        attempt: Attempt,
        /// Why.
        ending: Ending,
    },
    /// The session's other channel ended.
    PartnerEnded(Partner),
    /// Meta: the data channel's flush is over, so its close may be passed on.
    Released,
    /// The time for saying goodbye is over.
    TimedOut,
    /// The operator wants the channel down, or the relay shuts down.
    Stop,
    /// The state waits for nothing.
    Next,
}

impl Event {
    /// The round that the event speaks of.
    pub fn attempt(&self) -> Option<Attempt> {
        match *self {
            Event::PeerEstablished(attempt)
            | Event::PeerFin { attempt, .. }
            | Event::PeerAbort { attempt, .. } => Some(attempt),
            _ => None,
        }
    }
}

/// What a shell does for a channel. None of them fails: what goes wrong comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Acceptor: take a link; connector: dial one, again and again.
    OpenLink,
    /// Connector: dial to resume the round; acceptor: wait for that dial. Both: start its timeout.
    Redial,
    /// The link is not needed any more: close it.
    DropLink,
    /// Acceptor: read bsr's first 8 bytes within their time.
    ReadFirstPacket,
    /// Acceptor: tell the other DRX the new round and its type.
    Offer,
    /// Connector: dial bsr until it answers or the offer is withdrawn.
    DialLocal(ChannelType),
    /// Connector: stop dialling bsr.
    CancelDial,
    /// Connector: tell the other DRX that both bsr are connected now.
    SayEstablished,
    /// Move bytes, both ways.
    Relay,
    /// Read no more from bsr.
    StopReading,
    /// Throw away what the other DRX sends, acknowledging it as written (rule 5).
    Discard,
    /// Send FIN.
    Finish(Finish, Ending),
    /// Send ABORT, and nothing after it.
    Abort(Ending),
    /// Close the connection to bsr; [`Event::LocalGone`] follows.
    CloseLocal(Close),
    /// Tell the resource that this channel left `established`.
    Tell(EndedBy),
    /// Bound the goodbye by `close_pending_timeout`; [`Event::TimedOut`] follows.
    StartTimer,
    /// Say what happens to this generation: another one follows, in `bridging`.
    Restart,
    /// Say what happens to this generation: none follows.
    Leave,
}

/// How much is said before FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// Everything in the BAB, and what bsr sent before it left.
    Flush,
    /// Nothing more: there is nobody left to hear it.
    Cut,
}

/// How the connection to bsr is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// What was written arrives: end of file after it, then wait (bounded) for bsr's own. What bsr sent
    /// before that is still taken, unless it was to be read no more.
    Gently,
    /// At once, unwritten bytes are dropped.
    Hard,
}

/// Who ended an established channel, as the resource needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Our bsr.
    Local,
    /// The other DRX said FIN or ABORT, for this reason.
    Remote(Ending),
    /// Its link is gone for good.
    LinkLost,
    /// Its partner ended first.
    Partner,
    /// The operator.
    Operator,
    /// A fault in the channel: its actor is gone.
    Failure,
}

/// The partner that ended, as its survivor hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partner {
    /// Which round that was.
    pub round: Round,
    /// What becomes of this channel's own bytes.
    pub kept: Kept,
}

/// What can still be saved when a session ends by its other channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Our bsr is leaving: what it sent is flushed to the other side.
    Outbound,
    /// The other bsr has left: what it sent is written to ours.
    Inbound,
    /// A link or an actor is gone: what was received is written, the rest is aborted.
    Received,
}

/// The link as the channel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// None.
    Down,
    /// It carries frames.
    Up(LinkId),
    /// Its transport broke; the round may be resumed on a new one.
    Suspended(LinkId),
}

impl LinkState {
    /// The link's name, while there is one.
    pub fn id(self) -> Option<LinkId> {
        match self {
            LinkState::Down => None,
            LinkState::Up(id) | LinkState::Suspended(id) => Some(id),
        }
    }

    /// Whether frames can be sent.
    pub fn is_up(self) -> bool {
        matches!(self, LinkState::Up(_))
    }

    /// Whether it waits to be resumed.
    pub fn is_suspended(self) -> bool {
        matches!(self, LinkState::Suspended(_))
    }

    pub(super) fn suspend(&mut self) {
        if let LinkState::Up(id) = *self {
            *self = LinkState::Suspended(id);
        }
    }

    pub(super) fn resume(&mut self) {
        if let LinkState::Suspended(id) = *self {
            *self = LinkState::Up(id);
        }
    }
}

/// Where a channel goes after `stopped`: the farther one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// `waiting` or `connecting`: the link is kept.
    SameLink,
    /// `bridging`, in a new generation.
    Bridging,
    /// Nowhere, until the operator says `up`.
    Down,
}

/// Why a round stops. Stopping always takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// bsr disconnected from us.
    LocalBsr,
    /// bsr did not say what it opens, or said something strange.
    FirstPacket,
    /// The other DRX said goodbye.
    RemoteFin(Ending),
    /// The other DRX ended at once.
    Remote(Ending),
    /// The session's other channel ended.
    Partner(Partner),
    /// The link, or the other DRX, is lost.
    LinkLost,
    /// `close_pending_timeout` is over.
    TimedOut,
    /// The operator.
    Operator,
}

impl Cause {
    /// Where the channel goes after `stopped` if nothing worse follows.
    pub fn place(&self) -> Place {
        match self {
            Cause::LinkLost => Place::Bridging,
            Cause::Operator => Place::Down,
            _ => Place::SameLink,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::LocalBsr => f.write_str("the local bsr disconnected"),
            Cause::FirstPacket => f.write_str("no usable first packet from the local bsr"),
            Cause::RemoteFin(ending) => write!(f, "the other DRX ended the session: {ending}"),
            Cause::Remote(ending) => write!(f, "the other DRX aborted the session: {ending}"),
            Cause::Partner(partner) => write!(
                f,
                "the session's other channel ended (link {}, attempt {})",
                partner.round.link, partner.round.attempt
            ),
            Cause::LinkLost => f.write_str("the link to the other DRX is lost"),
            Cause::TimedOut => f.write_str("the goodbye took longer than close_pending_timeout"),
            Cause::Operator => f.write_str("the operator stopped it"),
        }
    }
}
