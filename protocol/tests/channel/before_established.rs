//! What ends a channel before it is established: there is nothing to flush and nothing to resume.

use drx_protocol::channel::{Action::*, Close, Event, Place};
use drx_protocol::ending::EndReason::*;
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::Role;
use drx_protocol::state::State::*;

use crate::story::{Story, abort, ended};

const LOST: [Event; 2] = [Event::LinkLost, Event::LinkBroken];

#[test]
fn connected_bsr_says_nothing_usable_in_time() {
    let mut acceptor = Story::waiting();
    acceptor.hears(Event::Accepted);
    acceptor.hears(Event::NoFirstPacket).goes([Stopping]).does([CloseLocal(Close::Hard)]);
    acceptor.because("no usable first packet from the local bsr").will_go(Place::SameLink);
    acceptor.hears(Event::LocalGone).goes([Stopped, Waiting]).does([]);
    // Nothing went over the link: the next round is the first.
    acceptor.hears(Event::Accepted).hears(Event::FirstPacket(Data)).is_in_attempt(1);
}

/// Real kernels open connections that they close at once.
#[test]
fn connected_bsr_closes_before_its_first_packet() {
    let mut acceptor = Story::waiting();
    acceptor.hears(Event::Accepted);
    acceptor.hears(Event::LocalClosed).goes([Stopping]).does([CloseLocal(Close::Hard)]);
    acceptor.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn establishing_bsr_closes_and_the_offer_is_withdrawn() {
    let mut acceptor = Story::offering(Data);
    acceptor.hears(Event::LocalClosed).goes([Stopping]);
    acceptor.does([Abort(ended(BsrClosed)), CloseLocal(Close::Hard)]);
    acceptor.because("the local bsr disconnected").will_go(Place::SameLink);
    acceptor.hears(Event::LocalGone).goes([Stopped, Waiting]).does([]);
    acceptor.hears(Event::Accepted).hears(Event::FirstPacket(Data)).is_in_attempt(2);
}

/// `established` crosses the withdrawal on the way: too late.
#[test]
fn establishing_the_answer_comes_after_bsr_left() {
    let mut acceptor = Story::offering(Meta);
    acceptor.hears(Event::LocalClosed).ignores(Event::PeerEstablished(1));
    acceptor.hears(Event::LocalGone).stands(Waiting).ignores(Event::PeerEstablished(1));
}

#[test]
fn establishing_the_other_drx_gives_up() {
    let mut acceptor = Story::offering(Data);
    acceptor.hears(abort(1, Operator)).goes([Stopping]).does([CloseLocal(Close::Hard)]);
    acceptor.because("the other DRX aborted the session: stopped by the operator");
    acceptor.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn a_link_that_breaks_is_lost() {
    for lost in LOST {
        let mut acceptor = Story::waiting();
        acceptor.hears(lost).goes([Stopping, Stopped, Bridging]).does([Restart]);
        acceptor.because("the link to the other DRX is lost");

        let mut acceptor = Story::waiting();
        acceptor.hears(Event::Accepted).hears(lost).goes([Stopping]).does([CloseLocal(Close::Hard)]);
        acceptor.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]);

        let mut acceptor = Story::offering(Data);
        acceptor.hears(lost).goes([Stopping]).does([CloseLocal(Close::Hard)]).will_go(Place::Bridging);
        acceptor.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]).is_in_attempt(0);

        let mut connector = Story::connecting();
        connector.hears(lost).goes([Stopping, Stopped, Bridging]).does([Restart]);

        let mut connector = Story::dialling(Data);
        connector.hears(lost).goes([Stopping, Stopped, Bridging]).does([CancelDial, Restart]);
    }
}

/// The farther place wins, and the first cause is told.
#[test]
fn a_link_lost_while_bsr_is_being_closed_leads_to_bridging() {
    let mut acceptor = Story::offering(Data);
    acceptor.hears(Event::LocalClosed).will_go(Place::SameLink);
    acceptor.hears(Event::LinkBroken).stays().does([]).will_go(Place::Bridging);
    acceptor.because("the local bsr disconnected");
    acceptor.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]);
}

#[test]
fn what_concerns_a_session_says_nothing_yet() {
    use crate::story::partner_ended;
    use drx_protocol::channel::Kept::Received;
    for story in [Story::waiting(), Story::offering(Data), Story::connecting(), Story::dialling(Meta)] {
        let mut story = story;
        story.ignores(partner_ended(Received)).ignores(Event::Released).ignores(Event::TimedOut);
        story.ignores(Event::Flushed).ignores(Event::Delivered).ignores(Event::LinkResumed);
        assert!(!story.channel.resumable());
    }
    Story::of(Role::Acceptor).ignores(Event::LinkLost).ignores(Event::LinkBroken);
}
