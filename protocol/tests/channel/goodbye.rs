//! `close_pending` and `stopping`: what else may happen before the goodbye is said.

use drx_protocol::channel::{Action::*, Close::*, Event, Finish::*, Kept, Place};
use drx_protocol::ending::EndReason::*;
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::Role;
use drx_protocol::state::State::*;

use crate::story::{Story, abort, ended, fin, offer, partner_ended};

fn flushing(role: Role) -> Story {
    let mut data = Story::established(role, Data);
    data.hears(Event::LocalClosed).stands(ClosePending);
    data
}

fn delivering(role: Role) -> Story {
    let mut data = Story::established(role, Data);
    data.hears(fin(1, BsrClosed)).stands(ClosePending);
    data
}

/// A meta channel whose data channel is not through yet.
fn held(role: Role) -> Story {
    let mut meta = Story::established(role, Meta);
    meta.hears(fin(1, BsrClosed)).stands(Stopping);
    meta
}

#[test]
fn close_pending_waits_for_the_acknowledgement_of_everything() {
    let mut data = flushing(Role::Acceptor);
    data.hears(Event::LocalGone).stays();
    data.hears(Event::Delivered).stays();
    data.hears(fin(1, BsrClosed)).stays();
    data.hears(Event::Flushed).goes([Stopping, Stopped, Waiting]);
}

#[test]
fn close_pending_the_time_is_over() {
    for role in Role::ALL {
        let mut data = flushing(role);
        data.hears(Event::TimedOut).goes([Stopping]);
        data.does([Abort(ended(FlushTimeout)), CloseLocal(Hard)]);
        // What ended the round is told, not what ended its goodbye.
        data.because("the local bsr disconnected").will_go(Place::SameLink);
        data.hears(Event::LocalGone).stands(if role == Role::Acceptor { Waiting } else { Connecting });

        // bsr does not take what was received.
        let mut data = delivering(role);
        data.hears(Event::TimedOut).goes([Stopping]);
        data.does([Abort(ended(FlushTimeout)), CloseLocal(Hard)]);
    }
}

#[test]
fn close_pending_the_other_side_gives_up() {
    let mut data = flushing(Role::Acceptor);
    data.hears(Event::LocalGone);
    data.hears(abort(1, FlushTimeout)).goes([Stopping, Stopped, Waiting]).does([]);

    let mut data = delivering(Role::Connector);
    data.hears(abort(1, FlushTimeout)).goes([Stopping]).does([CloseLocal(Gently)]);
    data.hears(Event::LocalGone).goes([Stopped, Connecting]);
}

/// An ABORT for a reason that leaves bytes behind ends the talk between the relays, not what bsr is still given.
#[test]
fn close_pending_the_other_drx_aborts_while_the_rest_is_written_to_bsr() {
    for reason in [LinkLost, Partner, Operator] {
        let mut data = delivering(Role::Connector);
        data.hears(abort(1, reason)).stays().does([]);
        data.hears(Event::Delivered).goes([Stopping]).does([CloseLocal(Gently)]);
        data.hears(Event::LocalGone).goes([Stopped, Connecting]);
    }
}

#[test]
fn close_pending_bsr_leaves_while_the_rest_is_written_to_it() {
    let mut data = delivering(Role::Acceptor);
    data.hears(Event::LocalClosed).goes([Stopping]);
    // It is closed once as it leaves, once more on the way on: closing twice is closing.
    let cut = Finish(Cut, ended(BsrClosed));
    data.does([Discard, CloseLocal(Gently), CloseLocal(Gently), cut]);
    data.ignores(Event::LocalClosed);
    data.hears(Event::LocalGone).hears(Event::Flushed).stands(Waiting);
}

#[test]
fn close_pending_the_partner_ends_as_well() {
    for kept in [Kept::Outbound, Kept::Inbound, Kept::Received] {
        flushing(Role::Acceptor).hears(partner_ended(kept)).stays().does([]).will_go(Place::SameLink);
        held(Role::Acceptor).hears(partner_ended(kept)).stays().does([]);
    }
}

#[test]
fn close_pending_the_other_drx_is_in_another_round_already() {
    let mut data = flushing(Role::Connector);
    data.hears(offer(2, Data)).stands(Stopping);
    data.hears(Event::LocalGone).goes([Stopped, Connecting]).does([DialLocal(Data)]).is_in_attempt(2);
}

#[test]
fn close_pending_is_for_data_only() {
    flushing(Role::Acceptor).ignores(Event::Released);
}

#[test]
fn stopping_waits_for_bsrs_connection_to_be_gone() {
    let mut data = delivering(Role::Acceptor);
    data.hears(Event::Delivered).hears(Event::Flushed).stands(Stopping);
    data.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn stopping_waits_for_both_goodbyes() {
    let mut data = flushing(Role::Acceptor);
    data.hears(Event::LocalGone).hears(Event::Flushed).stands(Stopping);
    data.hears(Event::Delivered).stays();
    data.hears(fin(1, Partner)).goes([Stopped, Waiting]);
}

#[test]
fn stopping_the_time_is_over() {
    let mut data = flushing(Role::Connector);
    data.hears(Event::LocalGone).hears(Event::Flushed).stands(Stopping);
    data.hears(Event::TimedOut).goes([Stopped, Connecting]).does([Abort(ended(FlushTimeout))]);

    // bsr's own end does not come: it is closed at once.
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(abort(1, Failure)).stands(Stopping);
    data.hears(Event::TimedOut).stays().does([CloseLocal(Hard)]);
    data.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn stopping_the_link_is_lost() {
    for lost in [Event::LinkLost, Event::LinkBroken] {
        let mut data = flushing(Role::Acceptor);
        data.hears(Event::LocalGone).hears(Event::Flushed).stands(Stopping);
        data.hears(lost).goes([Stopped, Bridging]).does([Restart]);
        data.because("the local bsr disconnected");
    }
}

#[test]
fn held_meta_waits_for_its_release_whatever_else_is_over() {
    let mut meta = held(Role::Acceptor);
    meta.hears(Event::Delivered).stays();
    meta.hears(Event::LocalClosed).stays().does([Discard, CloseLocal(Gently)]);
    meta.hears(Event::LocalGone).stays();
    meta.hears(Event::LinkLost).stays();
    meta.hears(Event::Released).goes([Stopped, Bridging]).does([StartTimer, Restart]);
}

#[test]
fn held_meta_is_released_once() {
    let mut meta = held(Role::Connector);
    meta.hears(Event::Released).stands(Stopping);
    meta.ignores(Event::Released);
}

#[test]
fn held_meta_the_other_side_gives_up() {
    let mut meta = held(Role::Acceptor);
    meta.hears(abort(1, Failure)).stays().does([]);
    meta.hears(Event::Released).stays().does([StartTimer, CloseLocal(Gently), Discard]);
    meta.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn released_meta_the_time_is_over() {
    let mut meta = held(Role::Acceptor);
    meta.hears(Event::Released);
    meta.hears(Event::TimedOut).stays().does([Abort(ended(FlushTimeout)), CloseLocal(Hard)]);
    meta.hears(Event::LocalGone).goes([Stopped, Waiting]);
}
