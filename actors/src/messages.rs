//! The messages between a resource supervisor and its channels. Requests go down, events go up; only
//! [`Snapshot`](crate::api::Snapshot) asks for an answer, so no circle can wait for itself.

use actix::Message;
use drx_protocol::State;
use drx_protocol::channel::{EndedBy, Place};
use drx_protocol::handshake::Hello;
use drx_protocol::names::{ChannelType, Epoch, Round};
use drx_protocol::report::ChannelReport;
use drx_protocol::session::{Order, Slot};

use crate::net::{Detached, Stream};

/// A channel's report to its resource supervisor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ChannelEvent {
    pub(crate) slot: Slot,
    /// Which of the channel's generations: reports of an older one are ignored.
    pub(crate) generation: u64,
    pub(crate) what: ChannelNews,
}

#[derive(Debug)]
pub(crate) enum ChannelNews {
    /// It changed its state; what bsr opened, if it has said so.
    Moved { to: State, channel_type: Option<ChannelType> },
    /// It became established.
    Established { channel_type: ChannelType, round: Round },
    /// It left `established`.
    Ended(EndedBy),
    /// The other relay's life, as a handshake said it.
    Peer(Epoch),
    /// It was refused, or could not be reached: what is wrong, or that nothing is any more.
    Trouble(Option<String>),
    /// This generation is over.
    Over { place: Place, why: String, held_link: Option<std::time::Duration>, unflushed: u64 },
    /// This generation is over, because something in it is broken.
    Failed(String),
}

/// What a resource supervisor orders a channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum ChannelOrder {
    /// What its session wants of one of its rounds.
    Session(Order),
    /// The other relay has a new life: a link from an older one is lost.
    PeerIs(Epoch),
    /// Connector: dial again now instead of later.
    Hurry(Hurry),
    /// The memory of the BAB is reserved.
    Allocated,
    /// The BAB may hold more now, or less.
    Resized,
    /// Flush, then stop.
    Stop,
}

/// Who can be reached again, as it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hurry {
    /// The other DRX has dialled us.
    Drx,
    /// bsr has connected to us: after a restart it listens as well.
    Bsr,
}

/// bsr connected to `inside`, and this acceptor is to take it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BsrConnected(pub(crate) Box<dyn Stream>);

/// The other DRX dialled, and its handshake names this resource and lane.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrxDialled {
    pub(crate) stream: Detached,
    pub(crate) hello: Hello,
    /// From where, for the log.
    pub(crate) from: String,
}

/// Asks a channel for its report.
#[derive(Message)]
#[rtype(result = "ChannelReport")]
pub(crate) struct Report;
