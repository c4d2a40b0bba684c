//! The arrows of the specification, by hand: the machine has these, and no other.

use std::collections::{BTreeMap, BTreeSet};

use drx_protocol::channel::{Action, Channel};
use drx_protocol::names::{ChannelType, Role};
use drx_protocol::state::State::{self, *};

use crate::walk::Walk;
use crate::words;
use Who::*;

/// Who goes along an arrow.
#[derive(Clone, Copy)]
enum Who {
    Both,
    Acceptor,
    Connector,
    Data,
    Meta,
}

impl Who {
    fn roles(self) -> Vec<Role> {
        match self {
            Acceptor => vec![Role::Acceptor],
            Connector => vec![Role::Connector],
            Both | Data | Meta => Role::ALL.to_vec(),
        }
    }

    fn channel_type(self) -> Option<ChannelType> {
        match self {
            Data => Some(ChannelType::Data),
            Meta => Some(ChannelType::Meta),
            Both | Acceptor | Connector => None,
        }
    }
}

/// The table of states: what each state waits for, and where it goes then.
const STATES: [(Who, State, &str, State); 17] = [
    (Both, Allocating, "Allocated", Bridging),
    (Both, Bridging, "LinkUp", Bridged),
    (Acceptor, Bridged, "Next", Waiting),
    (Connector, Bridged, "Next", Connecting),
    (Acceptor, Waiting, "Accepted", Connected),
    // The type comes first: the offer is taken, and bsr is dialled.
    (Connector, Connecting, "Offered", Connecting),
    (Connector, Connecting, "Dialled", Establishing),
    (Acceptor, Connected, "FirstPacket", Establishing),
    (Connector, Establishing, "Next", Established),
    (Acceptor, Establishing, "PeerEstablished", Established),
    (Data, ClosePending, "Next", Stopping),
    (Data, ClosePending, "TimedOut", Stopping),
    (Both, Stopping, "Next", Stopped),
    (Acceptor, Stopped, "Next", Waiting),
    (Connector, Stopped, "Next", Connecting),
    (Both, Stopped, "Next", Bridging),
    // Down: it says `Leave` and is at its end; `up`, or a reload, starts another in `allocating`.
    (Both, Stopped, "Next", Stopped),
];

/// The table of endings, for a channel that is established, and what stands below it for one that is
/// not yet.
const ENDINGS: [(Who, State, &str, State); 32] = [
    // The local bsr disconnected; the session's other channel ends with it.
    (Data, Established, "LocalClosed", ClosePending),
    (Meta, Established, "LocalClosed", Stopping),
    (Data, Established, "PartnerEnded", ClosePending),
    (Meta, Established, "PartnerEnded", Stopping),
    // The remote bsr disconnected, told by the other DRX.
    (Data, Established, "PeerFin", ClosePending),
    (Meta, Established, "PeerFin", Stopping),
    // The other DRX, or the way to it, is lost: first `resume_timeout`.
    (Both, Established, "LinkBroken", Established),
    (Data, ClosePending, "LinkBroken", ClosePending),
    (Data, Established, "LinkLost", ClosePending),
    (Meta, Established, "LinkLost", Stopping),
    // The operator.
    (Data, Established, "Stop", ClosePending),
    (Meta, Established, "Stop", Stopping),
    (Both, Allocating, "Stop", Stopping),
    (Both, Bridging, "Stop", Stopping),
    (Both, Bridged, "Stop", Stopping),
    (Acceptor, Waiting, "Stop", Stopping),
    (Connector, Connecting, "Stop", Stopping),
    (Acceptor, Connected, "Stop", Stopping),
    (Both, Establishing, "Stop", Stopping),
    // Not established: bsr is gone.
    (Acceptor, Connected, "LocalClosed", Stopping),
    (Acceptor, Connected, "NoFirstPacket", Stopping),
    (Acceptor, Establishing, "LocalClosed", Stopping),
    // Not established: the link is lost, and nothing is worth resuming.
    (Both, Bridged, "LinkLost", Stopping),
    (Acceptor, Waiting, "LinkLost", Stopping),
    (Connector, Connecting, "LinkLost", Stopping),
    (Acceptor, Connected, "LinkLost", Stopping),
    (Both, Establishing, "LinkLost", Stopping),
    (Both, Bridged, "LinkBroken", Stopping),
    (Acceptor, Waiting, "LinkBroken", Stopping),
    (Connector, Connecting, "LinkBroken", Stopping),
    (Acceptor, Connected, "LinkBroken", Stopping),
    (Both, Establishing, "LinkBroken", Stopping),
];

/// What the tables leave out, each with its reason.
const BESIDES: [(Who, State, &str, State, &str); 14] = [
    (Acceptor, Waiting, "LinkUp", Bridged, "the other DRX dials afresh before its loss was noticed (rule 1)"),
    (Connector, Connecting, "PeerAbort", Connecting, "the offer is withdrawn: the dial to bsr stops"),
    (Acceptor, Establishing, "PeerAbort", Stopping, "the other DRX ends the round before it stands"),
    (
        Data,
        Established,
        "PeerAbort",
        Stopping,
        "ABORT: nothing is left to save, so there is nothing to flush",
    ),
    (Meta, Established, "PeerAbort", Stopping, "the same, held until data is through"),
    (Data, ClosePending, "PeerAbort", Stopping, "the other DRX does not wait any more"),
    (Connector, Establishing, "Offered", Stopping, "the other DRX is in another round already"),
    (Connector, Established, "Offered", Stopping, "the same"),
    (Connector, ClosePending, "Offered", Stopping, "the same"),
    (
        Data,
        ClosePending,
        "LocalClosed",
        ClosePending,
        "bsr goes while the rest is written to it: thrown away",
    ),
    (Both, Stopping, "LocalClosed", Stopping, "the same"),
    (Meta, Stopping, "Released", Stopping, "data is through: the close is passed on"),
    (Meta, Stopping, "LinkBroken", Stopping, "while held it may still be resumed, as its data channel may"),
    (Both, Stopping, "TimedOut", Stopping, "what is not said by now is cut off"),
];

fn has(walk: &Walk, who: Who, from: State, event: &str, to: State) -> bool {
    let Some(leads) = walk.arrows.get(&(from, to)) else { return false };
    leads.iter().any(|&(row, channel_type)| {
        words::event(row) == event && who.channel_type().is_none_or(|only| channel_type == Some(only))
    })
}

fn walk(role: Role) -> &'static Walk {
    Walk::both().iter().find(|walk| walk.role == role).unwrap()
}

#[test]
fn every_arrow_of_the_tables_is_there() {
    let besides = BESIDES.map(|(who, from, event, to, _)| (who, from, event, to));
    for (who, from, event, to) in STATES.into_iter().chain(ENDINGS).chain(besides) {
        for role in who.roles() {
            assert!(has(walk(role), who, from, event, to), "{role}: {from} --{event}--> {to} is missing");
        }
    }
}

/// Data does not leave `established` by the short way where the tables send it the long one, and meta
/// never flushes.
#[test]
fn only_what_is_listed_is_there() {
    let mut listed: BTreeSet<(Role, State, &str, State, Option<ChannelType>)> = BTreeSet::new();
    let besides = BESIDES.map(|(who, from, event, to, _)| (who, from, event, to));
    for (who, from, event, to) in STATES.into_iter().chain(ENDINGS).chain(besides) {
        let types = match who.channel_type() {
            Some(only) => vec![Some(only)],
            None => vec![None, Some(ChannelType::Data), Some(ChannelType::Meta)],
        };
        for role in who.roles() {
            listed.extend(types.iter().map(|&channel_type| (role, from, event, to, channel_type)));
        }
    }
    for walk in Walk::both() {
        for (&(from, to), leads) in &walk.arrows {
            for &(row, channel_type) in leads {
                let arrow = (walk.role, from, words::event(row), to, channel_type);
                assert!(listed.contains(&arrow), "not in the tables, and no reason is given: {arrow:?}");
            }
        }
    }
}

/// Where each role can go from each state: the picture at the top of the channel's code.
#[test]
fn the_picture() {
    let mut text = String::new();
    for walk in Walk::both() {
        let mut next: BTreeMap<State, Vec<&str>> = BTreeMap::new();
        for &(from, to) in walk.arrows.keys().filter(|(from, to)| from != to) {
            next.entry(from).or_default().push(to.word());
        }
        for (from, to) in next {
            text += &format!("{:<9} {from:<13} {}\n", walk.role.to_string(), to.join(" "));
        }
    }
    insta::assert_snapshot!(text, @r"
    acceptor  allocating    bridging stopping
    acceptor  bridging      bridged stopping
    acceptor  bridged       waiting stopping
    acceptor  waiting       bridged connected stopping
    acceptor  connected     establishing stopping
    acceptor  establishing  established stopping
    acceptor  established   close_pending stopping
    acceptor  close_pending stopping
    acceptor  stopping      stopped
    acceptor  stopped       bridging waiting
    connector allocating    bridging stopping
    connector bridging      bridged stopping
    connector bridged       connecting stopping
    connector connecting    establishing stopping
    connector establishing  established stopping
    connector established   close_pending stopping
    connector close_pending stopping
    connector stopping      stopped
    connector stopped       bridging connecting
    ");
}

/// No arrow leads back to `allocating`: a channel that starts anew is a new one.
#[test]
fn a_new_channel_is_allocating() {
    for role in Role::ALL {
        assert_eq!(Channel::new(role).state(), Allocating);
        assert_eq!(Channel::bridging(role).state(), Bridging);
        let back = walk(role).arrows.keys().find(|(_, to)| *to == Allocating);
        assert_eq!(back, None);
        // Nothing follows `Leave`, and nothing but a round that is over says it.
        let leaving = walk(role).cells.iter().filter(|(_, cell)| {
            let leave = words::action(&Action::Leave);
            cell.values().flatten().flatten().any(|outcome| outcome.actions.contains(&leave))
        });
        let leaving: Vec<_> = leaving.map(|(key, _)| *key).collect();
        assert_eq!(leaving, [(Stopped, "Next")]);
    }
}
