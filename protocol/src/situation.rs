//! The situation table: what a resource's pair of states means, in a sentence (seed 000, "Situation
//! according to connection states").

use std::fmt;

use crate::state::{Standing, State};

/// How the other DRX says that its own two channels stand.
///
/// Names mirror: its acceptor is joined to our connector, its connector to our acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteStanding {
    /// Their acceptor, which lets the remote bsr in.
    pub acceptor: Standing,
    /// Their connector, which dials the remote bsr.
    pub connector: Standing,
}

/// What is the matter with a resource, or that nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Situation {
    /// A channel waits for its BAB.
    Allocating,
    /// Neither link comes up.
    RelaysApart,
    /// Only our link to them is up.
    RemoteDrxCannotReachLocalDrx,
    /// Only their link to us is up.
    LocalDrxCannotReachRemoteDrx,
    /// One direction has its bsr, the other waits for their link.
    SecondLinkFromRemoteMissing,
    /// One direction has its bsr, the other waits for our link.
    SecondLinkToRemoteMissing,
    /// A link came up a moment ago.
    JustBridged,
    /// Both links are up, no bsr is there.
    LocalBsrAbsent,
    /// Our bsr came in and has not said what its connection carries.
    FirstPacketAwaited,
    /// Our bsr came in, theirs does not answer.
    RemoteBsrUnreachable,
    /// Our bsr came in and is through; our dial to it fails.
    LocalBsrUnreachable,
    /// Our bsr came in and is through; theirs does not come in.
    RemoteBsrStaysOut,
    /// One of the two before; the other DRX has not said which.
    EitherBsrHalf,
    /// Their bsr came in and is through; their dial to it fails.
    RemoteBsrHalf,
    /// Their bsr came in and is through; ours does not come in.
    LocalBsrStaysOut,
    /// A connection is about to be established.
    Finishing,
    /// Nothing is the matter.
    Connected,
    /// A link of the session broke and may come back.
    Resuming,
    /// A session ended and its BAB is being emptied.
    Flushing,
    /// A session ended and its connections are being closed.
    Closing,
    /// An operator stopped the resource.
    Down,
    /// An operator is about to have stopped or started the resource.
    PartlyDown,
    /// The relay gave the resource up.
    Failed,
    /// A channel in a state that only the other role has.
    Impossible,
}

impl Situation {
    /// The situation of a resource.
    ///
    /// `acceptor` and `connector` are the standings of our channels: those that carry the session, else
    /// those of lane 0. `whole` says that a data and a meta channel stand established, on whatever lanes
    /// and from whichever side. `remote` is what the other DRX says of its own, if it said anything.
    pub fn of(
        acceptor: Standing,
        connector: Standing,
        whole: bool,
        remote: Option<RemoteStanding>,
    ) -> Situation {
        let pair = [acceptor, connector];
        let any = |standing: Standing| pair.contains(&standing);
        // What only an operator can change is said first: it stays true whatever the rest does.
        if any(Standing::Failed) {
            return Situation::Failed;
        }
        if any(Standing::Down) {
            return if acceptor == connector { Situation::Down } else { Situation::PartlyDown };
        }
        // A whole session on the other lanes is no worse for a channel that still cleans up.
        if any(State::ClosePending.into()) && !whole {
            return Situation::Flushing;
        }
        match (acceptor, connector) {
            (Standing::In(acceptor), Standing::In(connector)) => {
                if whole {
                    return Situation::Connected;
                }
                of_states(acceptor, connector, remote)
            }
            _ => Situation::Resuming,
        }
    }

    /// The situation in words, without capital and full stop, to follow a resource's name.
    pub fn sentence(self) -> &'static str {
        match self {
            Situation::Allocating => "the BAB is very large, or in virtual memory, and is being allocated",
            Situation::RelaysApart => "the remote DRX is off, or the two DRX cannot reach each other",
            Situation::RemoteDrxCannotReachLocalDrx => "the remote DRX cannot reach the local DRX",
            Situation::LocalDrxCannotReachRemoteDrx => "the local DRX cannot reach the remote DRX",
            Situation::SecondLinkFromRemoteMissing => {
                "the remote bsr is connected, but for its other connection the remote DRX cannot reach the \
                 local DRX"
            }
            Situation::SecondLinkToRemoteMissing => {
                "the local bsr is connected, but for its other connection the local DRX cannot reach the \
                 remote DRX"
            }
            Situation::JustBridged => "the two DRX have just connected and turn to bsr now",
            Situation::LocalBsrAbsent => {
                "the local bsr is not connecting this resource, or cannot reach the local DRX"
            }
            Situation::FirstPacketAwaited => {
                "the local bsr is connected; its first packet, which tells the channel type, is awaited"
            }
            Situation::RemoteBsrUnreachable => {
                "the local bsr is connected; the remote DRX cannot reach the remote bsr"
            }
            Situation::LocalBsrUnreachable => {
                "the local bsr reaches the local DRX, but the local DRX cannot reach the local bsr"
            }
            Situation::RemoteBsrStaysOut => {
                "the remote DRX reaches the remote bsr, but the remote bsr cannot reach the remote DRX"
            }
            Situation::EitherBsrHalf => {
                "local: the local bsr reaches the local DRX, but the local DRX cannot reach the local bsr; \
                 or remote: the remote DRX reaches the remote bsr, but the remote bsr cannot reach the \
                 remote DRX"
            }
            Situation::RemoteBsrHalf => {
                "the remote bsr reaches the remote DRX, but the remote DRX cannot reach the remote bsr"
            }
            Situation::LocalBsrStaysOut => {
                "the local DRX reaches the local bsr, but the local bsr cannot reach the local DRX"
            }
            Situation::Finishing => "a connection of bsr is through and is about to be established",
            Situation::Connected => "everything is connected",
            Situation::Resuming => {
                "the link to the remote DRX is lost and is being resumed; bsr stays connected meanwhile"
            }
            Situation::Flushing => {
                "bsr's connection ended; what the BAB still holds is being delivered, and bsr is let in \
                 again after that"
            }
            Situation::Closing => {
                "bsr's connection ended and is being closed; bsr is let in again after that"
            }
            Situation::Down => "the operator took this resource down; `up` starts it",
            Situation::PartlyDown => "the operator is taking this resource down, or bringing it up",
            Situation::Failed => {
                "a channel failed too often in a short time and stays stopped; the log says why, `restart` \
                 starts it again"
            }
            Situation::Impossible => {
                "a channel is in a state that its role does not have: this is a fault in the local DRX"
            }
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.sentence())
    }
}

/// The table itself. No wildcard decides for a state: a new one does not compile until it has its rows.
fn of_states(acceptor: State, connector: State, remote: Option<RemoteStanding>) -> Situation {
    use State::{
        Allocating, Bridged, Bridging, ClosePending, Connected, Connecting, Established, Establishing,
        Stopped, Stopping, Waiting,
    };
    match (acceptor, connector) {
        (Connecting, _) | (_, Waiting | Connected) => Situation::Impossible,
        (ClosePending, _) | (_, ClosePending) => Situation::Flushing,
        (Stopping | Stopped, _) | (_, Stopping | Stopped) => Situation::Closing,
        (Allocating, _) | (_, Allocating) => Situation::Allocating,

        (Bridging, Bridging) => Situation::RelaysApart,
        (Bridging, Bridged | Connecting) => Situation::RemoteDrxCannotReachLocalDrx,
        (Bridging, Establishing | Established) => Situation::SecondLinkFromRemoteMissing,
        (Bridged | Waiting, Bridging) => Situation::LocalDrxCannotReachRemoteDrx,
        (Connected | Establishing | Established, Bridging) => Situation::SecondLinkToRemoteMissing,
        (Bridged, _) | (_, Bridged) => Situation::JustBridged,

        (Waiting, Connecting) => Situation::LocalBsrAbsent,
        (Connected, Connecting | Establishing | Established) => Situation::FirstPacketAwaited,
        (Establishing, Connecting) => Situation::RemoteBsrUnreachable,
        (Established, Connecting) => half_from_here(remote),
        (Establishing, Established) => Situation::RemoteBsrHalf,
        (Waiting, Established) => Situation::LocalBsrStaysOut,
        (Waiting | Establishing | Established, Establishing) => Situation::Finishing,
        (Established, Established) => Situation::Connected,
    }
}

/// Seed 000 lists established / connecting twice. Our connector is idle either because the remote bsr
/// made no offer yet, or because the local bsr does not take our dial: their acceptor knows which.
fn half_from_here(remote: Option<RemoteStanding>) -> Situation {
    match remote.map(|remote| remote.acceptor) {
        Some(Standing::In(State::Waiting)) => Situation::RemoteBsrStaysOut,
        Some(Standing::In(State::Connected | State::Establishing)) => Situation::LocalBsrUnreachable,
        _ => Situation::EitherBsrHalf,
    }
}
