//! The operator's stop, in every state: flushed where there is something to flush, and then down.

use drx_protocol::channel::{Action::*, Close::*, EndedBy, Event, Finish::*, LinkState, Place};
use drx_protocol::ending::EndReason::*;
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::Role;
use drx_protocol::state::State::*;

use crate::story::{Story, abort, ended, fin};

const OPERATOR: &str = "the operator stopped it";

#[test]
fn allocating_and_bridging() {
    for role in Role::ALL {
        let mut story = Story::of(role);
        story.hears(Event::Stop).goes([Stopping, Stopped]).does([DropLink, Leave]).because(OPERATOR);

        let mut story = Story::of(role);
        story.hears(Event::Allocated);
        story.hears(Event::Stop).goes([Stopping, Stopped]).does([DropLink, Leave]).because(OPERATOR);
    }
}

#[test]
fn waiting_and_connected() {
    let mut acceptor = Story::waiting();
    acceptor.hears(Event::Stop).goes([Stopping, Stopped]).does([DropLink, Leave]);
    assert_eq!(acceptor.channel.link(), LinkState::Down);

    let mut acceptor = Story::waiting();
    acceptor.hears(Event::Accepted);
    acceptor.hears(Event::Stop).goes([Stopping]).does([CloseLocal(Hard)]).will_go(Place::Down);
    acceptor.hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]);
}

#[test]
fn connecting() {
    Story::connecting().hears(Event::Stop).goes([Stopping, Stopped]).does([DropLink, Leave]);
    let mut dialling = Story::dialling(Data);
    dialling.hears(Event::Stop).goes([Stopping, Stopped]).does([CancelDial, DropLink, Leave]);
}

#[test]
fn establishing() {
    let mut acceptor = Story::offering(Meta);
    acceptor.hears(Event::Stop).goes([Stopping]).does([Abort(ended(Operator)), CloseLocal(Hard)]);
    acceptor.hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]);
}

#[test]
fn established_data_is_flushed_both_ways() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(Event::Stop).goes([ClosePending]);
        data.does([Tell(EndedBy::Operator), StopReading, StartTimer, Finish(Flush, ended(Operator))]);
        data.because(OPERATOR).will_go(Place::Down);
        // bsr still gets what the other side had sent.
        data.hears(Event::Flushed).stays();
        data.hears(fin(1, BsrClosed)).stays();
        data.hears(Event::Delivered).goes([Stopping]).does([CloseLocal(Gently)]);
        data.hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]);
    }
}

#[test]
fn established_meta_follows_its_data_channel() {
    let mut meta = Story::established(Role::Acceptor, Meta);
    meta.hears(Event::Stop).goes([Stopping]).does([Tell(EndedBy::Operator), StopReading]);
    meta.hears(Event::Released).stays();
    meta.does([StartTimer, CloseLocal(Gently), Discard, Finish(Flush, ended(Operator))]);
    meta.hears(Event::LocalGone).hears(Event::Flushed).stands(Stopping);
    meta.hears(fin(1, BsrClosed)).goes([Stopped]).does([DropLink, Leave]);
}

#[test]
fn the_flush_is_bounded() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::Stop);
    data.hears(Event::TimedOut).goes([Stopping]).does([Abort(ended(FlushTimeout)), CloseLocal(Hard)]);
    data.hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]).because(OPERATOR);
}

/// A goodbye that is under way goes on, and leads down.
#[test]
fn close_pending_and_stopping() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::LocalClosed).hears(Event::LocalGone);
    data.hears(Event::Stop).stays().does([]).will_go(Place::Down);
    data.because("the local bsr disconnected");
    data.hears(Event::Flushed).stands(Stopping);
    data.hears(Event::Stop).stays().does([]);
    data.hears(fin(1, BsrClosed)).goes([Stopped]).does([DropLink, Leave]);

    let mut meta = Story::established(Role::Connector, Meta);
    meta.hears(abort(1, Failure)).stands(Stopping);
    meta.hears(Event::Stop).stays().does([]).will_go(Place::Down);
    meta.hears(Event::Released).hears(Event::LocalGone).does([DropLink, Leave]);
}

/// Down is farther than bridging, whichever came first.
#[test]
fn a_lost_link_does_not_bring_it_back() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::Stop).hears(Event::LinkLost).stays().will_go(Place::Down);
    data.hears(Event::Delivered).hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]);

    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::LinkLost).hears(Event::Stop).stays().will_go(Place::Down);
    data.hears(Event::Delivered).hears(Event::LocalGone).goes([Stopped]).does([DropLink, Leave]);
}

/// With its link broken, what can be flushed waits for the link, as long as the time allows.
#[test]
fn established_on_a_broken_link() {
    let mut data = Story::established(Role::Connector, Data);
    data.hears(Event::LinkBroken).hears(Event::Stop).stands(ClosePending);
    assert!(data.channel.resumable());
    data.hears(Event::LinkResumed).hears(Event::Flushed).hears(fin(1, BsrClosed)).stands(ClosePending);
    data.hears(Event::Delivered).hears(Event::LocalGone).does([DropLink, Leave]);
}
