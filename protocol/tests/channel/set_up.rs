//! The way up, and offers.

use drx_protocol::channel::{Action::*, Event, LinkState};
use drx_protocol::ending::EndReason::*;
use drx_protocol::names::ChannelType::{self, *};
use drx_protocol::names::Role;
use drx_protocol::names::Round;
use drx_protocol::state::State::*;

use crate::story::{ANOTHER_LINK, LINK, Story, abort, ended_by_remote, fin, offer};

const TYPES: [ChannelType; 2] = [Data, Meta];

#[test]
fn an_acceptor_comes_up() {
    for channel_type in TYPES {
        let mut acceptor = Story::of(Role::Acceptor);
        acceptor.stands(Allocating);
        acceptor.hears(Event::Allocated).goes([Bridging]).does([OpenLink]);
        acceptor.hears(Event::LinkUp(LINK)).goes([Bridged, Waiting]).does([]);
        acceptor.hears(Event::Accepted).goes([Connected]).does([ReadFirstPacket]).is_in_attempt(0);
        acceptor.hears(Event::FirstPacket(channel_type)).goes([Establishing]).does([Offer]).is_in_attempt(1);
        acceptor.hears(Event::PeerEstablished(1)).goes([Established]).does([Relay]);
        assert_eq!(acceptor.channel.channel_type(), Some(channel_type));
        assert_eq!(acceptor.channel.round(), Some(Round { link: LINK, attempt: 1 }));
    }
}

#[test]
fn a_connector_comes_up() {
    for channel_type in TYPES {
        let mut connector = Story::of(Role::Connector);
        connector.hears(Event::Allocated).goes([Bridging]).does([OpenLink]);
        connector.hears(Event::LinkUp(LINK)).goes([Bridged, Connecting]).does([]);
        connector.hears(offer(1, channel_type)).stays().does([DialLocal(channel_type)]);
        connector.hears(Event::Dialled).goes([Establishing, Established]).does([SayEstablished, Relay]);
        assert_eq!(connector.channel.channel_type(), Some(channel_type));
        assert_eq!(connector.channel.round(), Some(Round { link: LINK, attempt: 1 }));
    }
}

/// A new generation, after its link was lost, has its memory already.
#[test]
fn a_new_generation_begins_in_bridging() {
    let channel = drx_protocol::channel::Channel::bridging(Role::Acceptor);
    let mut acceptor = Story::of(Role::Acceptor);
    acceptor.channel = channel;
    acceptor.stands(Bridging).ignores(Event::Allocated);
    acceptor.hears(Event::LinkUp(LINK)).goes([Bridged, Waiting]);
}

/// bsr is let in while `waiting` and at no other time.
#[test]
fn bsr_is_let_in_only_while_waiting() {
    let mut acceptor = Story::of(Role::Acceptor);
    acceptor.ignores(Event::Accepted);
    acceptor.hears(Event::Allocated).ignores(Event::Accepted);
    Story::waiting().hears(Event::Accepted).ignores(Event::Accepted);
    Story::offering(Data).ignores(Event::Accepted);
    Story::established(Role::Acceptor, Data)
        .ignores(Event::Accepted)
        .hears(Event::LocalClosed)
        .stands(ClosePending)
        .ignores(Event::Accepted);
    Story::connecting().ignores(Event::Accepted);
}

/// The connector dials bsr for an offer, never before.
#[test]
fn a_connector_without_an_offer_dials_nobody() {
    Story::connecting().ignores(Event::Dialled);
    let mut early = Story::of(Role::Connector);
    early.ignores(offer(1, Data)).hears(Event::Allocated).ignores(offer(1, Data));
}

#[test]
fn an_acceptor_takes_no_offers_and_a_connector_no_bsr() {
    Story::waiting().ignores(offer(1, Data));
    Story::offering(Data).ignores(offer(2, Data)).ignores(Event::Dialled);
    Story::connecting().ignores(Event::FirstPacket(Data)).ignores(Event::PeerEstablished(1));
}

/// The other DRX lost the link without our noticing, and dials again.
#[test]
fn a_waiting_acceptor_takes_a_fresh_link() {
    let mut acceptor = Story::offering(Data);
    acceptor.hears(Event::LocalClosed).stands(Stopping).hears(Event::LocalGone).stands(Waiting);
    acceptor.is_in_attempt(1);
    acceptor.hears(Event::LinkUp(ANOTHER_LINK)).goes([Bridged, Waiting]).does([]).is_in_attempt(0);
    assert_eq!(acceptor.channel.link(), LinkState::Up(ANOTHER_LINK));
    // Attempts count from 1 on it: they belong to the link.
    acceptor.hears(Event::Accepted).hears(Event::FirstPacket(Meta)).is_in_attempt(1);
}

#[test]
fn no_other_state_takes_a_fresh_link() {
    let another = Event::LinkUp(ANOTHER_LINK);
    Story::of(Role::Acceptor).ignores(another);
    Story::waiting().hears(Event::Accepted).ignores(another);
    Story::offering(Data).ignores(another);
    Story::connecting().ignores(another);
    for role in Role::ALL {
        Story::established(role, Data).ignores(another).hears(Event::LocalClosed).ignores(another);
        Story::established(role, Meta).hears(Event::LocalClosed).stands(Stopping).ignores(another);
    }
}

#[test]
fn a_newer_offer_replaces_the_one_that_is_dialled_for() {
    let mut connector = Story::dialling(Data);
    connector.hears(offer(2, Meta)).stays().does([CancelDial, DialLocal(Meta)]).is_in_attempt(2);
    connector.hears(Event::Dialled).stands(Established);
    assert_eq!(connector.channel.channel_type(), Some(Meta));
}

#[test]
fn an_old_offer_says_nothing() {
    let mut connector = Story::dialling(Data);
    connector.hears(offer(3, Data)).is_in_attempt(3);
    connector.ignores(offer(3, Data)).ignores(offer(2, Meta));
    connector.hears(Event::Dialled).ignores(offer(1, Data)).ignores(offer(3, Data)).stands(Established);
}

#[test]
fn a_withdrawn_offer_stops_the_dial() {
    let mut connector = Story::dialling(Data);
    connector.hears(abort(1, BsrClosed)).stays().does([CancelDial]);
    // bsr answered in the same moment: nobody waits for it.
    connector.ignores(Event::Dialled);
    assert_eq!(connector.channel.channel_type(), None);
    connector.hears(offer(2, Meta)).does([DialLocal(Meta)]).is_in_attempt(2);
}

/// bsr there comes back faster than bsr here is gone: the offer waits, or both ends would.
#[test]
fn an_offer_is_remembered_while_the_last_round_is_cleaned_up() {
    let mut connector = Story::established(Role::Connector, Data);
    connector.hears(abort(1, BsrClosed)).stands(Stopping);
    connector.hears(offer(2, Data)).stays().does([]).is_in_attempt(1);
    connector.hears(Event::LocalGone).goes([Stopped, Connecting]).does([DialLocal(Data)]).is_in_attempt(2);
    connector.hears(Event::Dialled).stands(Established);
}

#[test]
fn the_newest_of_the_remembered_offers_counts() {
    let mut connector = Story::established(Role::Connector, Data);
    connector.hears(abort(1, BsrClosed));
    connector.hears(offer(2, Data)).hears(offer(3, Meta)).ignores(offer(2, Data));
    connector.hears(Event::LocalGone).does([DialLocal(Meta)]).is_in_attempt(3);
}

#[test]
fn a_remembered_offer_can_be_withdrawn() {
    let mut connector = Story::established(Role::Connector, Data);
    connector.hears(abort(1, BsrClosed)).hears(offer(2, Data));
    connector.hears(abort(2, BsrClosed)).stays().does([]);
    connector.hears(Event::LocalGone).goes([Stopped, Connecting]).does([]);
    connector.hears(offer(3, Data)).does([DialLocal(Data)]);
}

/// An offer that was followed by another is not withdrawn with it.
#[test]
fn only_the_offer_that_is_meant_is_withdrawn() {
    let mut connector = Story::established(Role::Connector, Data);
    connector.hears(abort(1, BsrClosed)).hears(offer(2, Data)).hears(offer(3, Data));
    connector.ignores(abort(2, BsrClosed));
    connector.hears(Event::LocalGone).does([DialLocal(Data)]).is_in_attempt(3);
}

/// The offer belonged to the link that is lost (docs/link.md 6, rule 3).
#[test]
fn a_remembered_offer_is_lost_with_its_link() {
    let mut connector = Story::established(Role::Connector, Data);
    connector.hears(abort(1, BsrClosed)).hears(offer(2, Data));
    connector.hears(Event::LinkLost).stays();
    connector.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]).is_in_attempt(0);
    connector.hears(Event::LinkUp(ANOTHER_LINK)).goes([Bridged, Connecting]).does([]);
    connector.hears(offer(1, Meta)).does([DialLocal(Meta)]);
}

/// The other DRX went on without a word that was heard here: this round is over as well.
#[test]
fn an_offer_for_the_next_round_ends_the_present_one() {
    for channel_type in TYPES {
        let mut connector = Story::established(Role::Connector, channel_type);
        connector
            .hears(offer(2, Data))
            .goes([Stopping])
            .does([ended_by_remote(Failure), StopReading, CloseLocal(drx_protocol::channel::Close::Gently)])
            .because("the other DRX aborted the session: a fault inside the relay");
        connector.hears(Event::LocalGone).goes([Stopped, Connecting]).does([DialLocal(Data)]);
        connector.is_in_attempt(2);
    }
}

/// docs/channels.md, rule 6: what speaks of a past round touches no later one.
#[test]
fn what_comes_late_from_a_past_round_is_dropped() {
    let late = |story: &mut Story| {
        story.ignores(abort(1, Failure)).ignores(fin(1, BsrClosed)).ignores(Event::PeerEstablished(1));
    };
    let mut acceptor = Story::offering(Data);
    acceptor.hears(abort(1, BsrClosed)).hears(Event::LocalGone).stands(Waiting);
    late(&mut acceptor);
    acceptor.hears(Event::Accepted);
    late(&mut acceptor);
    acceptor.hears(Event::FirstPacket(Data)).is_in_attempt(2);
    late(&mut acceptor);
    acceptor.hears(Event::PeerEstablished(2)).stands(Established);
    late(&mut acceptor);
    acceptor.hears(Event::LocalClosed).stands(ClosePending);
    late(&mut acceptor);

    let mut connector = Story::dialling(Data);
    connector.hears(abort(1, BsrClosed)).hears(offer(2, Data));
    late(&mut connector);
    connector.hears(Event::Dialled).stands(Established);
    late(&mut connector);
}

/// A frame of a round that this side never heard of is no better.
#[test]
fn what_speaks_of_a_round_to_come_is_dropped_too() {
    Story::offering(Data).ignores(Event::PeerEstablished(2)).ignores(abort(2, Failure));
    Story::established(Role::Acceptor, Data).ignores(fin(2, BsrClosed)).ignores(abort(2, Failure));
    Story::connecting().ignores(abort(1, Failure)).ignores(fin(1, BsrClosed));
}
