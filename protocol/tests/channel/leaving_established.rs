//! What ends an established channel: data by way of `close_pending`, meta held in `stopping` until
//! its data channel is through. Both roles alike.

use drx_protocol::channel::{Action::*, Close::*, EndedBy, Event, Finish::*, Kept, Place};
use drx_protocol::ending::EndReason::{self, *};
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::Role;
use drx_protocol::state::State::{self, *};

use crate::story::{Story, abort, because_of_partner, ended, ended_by_remote, fin, partner_ended};

/// Where a channel waits for the next bsr, its link kept.
fn idle(role: Role) -> State {
    match role {
        Role::Acceptor => Waiting,
        Role::Connector => Connecting,
    }
}

#[test]
fn data_the_local_bsr_disconnects() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(Event::LocalClosed).goes([ClosePending]).does([
            Tell(EndedBy::Local),
            Discard,
            CloseLocal(Gently),
            StartTimer,
            Finish(Flush, ended(BsrClosed)),
        ]);
        data.because("the local bsr disconnected").will_go(Place::SameLink);
        assert!(data.channel.discards());
        data.hears(Event::LocalGone).stays();
        // The BAB is empty: what is left is the other side's goodbye.
        data.hears(Event::Flushed).goes([Stopping]).does([]);
        data.hears(fin(1, BsrClosed)).goes([Stopped, idle(role)]).does([]);
        assert!(!data.channel.discards());
    }
}

#[test]
fn data_the_remote_bsr_disconnects() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(fin(1, BsrClosed)).goes([ClosePending]);
        // bsr is still there: it gets what was received. Nothing is left to flush the other way.
        data.does([ended_by_remote(BsrClosed), StopReading, StartTimer]);
        data.because("the other DRX ended the session: bsr disconnected").will_go(Place::SameLink);
        assert!(!data.channel.discards());
        data.hears(Event::Delivered).goes([Stopping]);
        data.does([CloseLocal(Gently), Finish(Cut, ended(BsrClosed))]);
        data.hears(Event::LocalGone).stays();
        data.hears(Event::Flushed).goes([Stopped, idle(role)]).does([]);
    }
}

#[test]
fn data_the_link_is_lost() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(Event::LinkLost).goes([ClosePending]);
        data.does([Tell(EndedBy::LinkLost), StopReading, StartTimer]);
        data.because("the link to the other DRX is lost").will_go(Place::Bridging);
        // What was already received is still written to bsr.
        data.hears(Event::Delivered).goes([Stopping]).does([CloseLocal(Gently)]);
        data.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]).is_in_attempt(0);
    }
}

#[test]
fn data_the_other_drx_aborts() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(abort(1, FlushTimeout)).goes([Stopping]);
        data.does([ended_by_remote(FlushTimeout), StopReading, StartTimer, CloseLocal(Gently)]);
        data.will_go(Place::SameLink);
        data.hears(Event::LocalGone).goes([Stopped, idle(role)]).does([]);
    }
}

#[test]
fn data_its_meta_channel_ended_because_the_local_bsr_left() {
    let because = because_of_partner(Partner);
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(partner_ended(Kept::Outbound)).goes([ClosePending]).does([
        Tell(EndedBy::Partner),
        Discard,
        CloseLocal(Gently),
        StartTimer,
        Finish(Flush, because),
    ]);
    data.hears(Event::LocalGone).hears(Event::Flushed).stands(Stopping);
    data.hears(fin(1, BsrClosed)).goes([Stopped, Waiting]);
}

#[test]
fn data_its_meta_channel_ended_because_the_remote_bsr_left() {
    let mut data = Story::established(Role::Connector, Data);
    data.hears(partner_ended(Kept::Inbound)).goes([ClosePending]);
    let because = because_of_partner(Partner);
    data.does([Tell(EndedBy::Partner), StopReading, StartTimer, Finish(Cut, because)]);
    // Their data is still on its way, and then their goodbye.
    data.hears(Event::Flushed).stays();
    data.hears(fin(1, BsrClosed)).stays();
    data.hears(Event::Delivered).goes([Stopping]).does([CloseLocal(Gently)]);
    data.hears(Event::LocalGone).goes([Stopped, Connecting]);
}

#[test]
fn data_its_meta_channel_is_gone_with_its_link() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(partner_ended(Kept::Received)).goes([ClosePending]);
    // Its own link lives: the other side is told, and the link is kept.
    let because = because_of_partner(EndReason::LinkLost);
    data.does([Tell(EndedBy::Partner), StopReading, Abort(because), StartTimer]);
    data.will_go(Place::SameLink);
    data.hears(Event::Delivered).goes([Stopping]).does([CloseLocal(Gently)]);
    data.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

#[test]
fn meta_the_local_bsr_disconnects() {
    for role in Role::ALL {
        let mut meta = Story::established(role, Meta);
        meta.hears(Event::LocalClosed).goes([Stopping]);
        meta.does([Tell(EndedBy::Local), Discard, CloseLocal(Gently)]);
        meta.because("the local bsr disconnected").will_go(Place::SameLink);
        meta.hears(Event::LocalGone).stays();
        meta.hears(Event::Released).stays().does([StartTimer, Finish(Flush, ended(BsrClosed))]);
        meta.hears(Event::Flushed).stays();
        meta.hears(fin(1, BsrClosed)).goes([Stopped, idle(role)]).does([]);
    }
}

/// docs/channels.md, rule 5: bsr here keeps its meta connection until the data is through.
#[test]
fn meta_the_remote_bsr_disconnects() {
    for role in Role::ALL {
        let mut meta = Story::established(role, Meta);
        meta.hears(fin(1, BsrClosed)).goes([Stopping]).does([ended_by_remote(BsrClosed), StopReading]);
        meta.hears(Event::Delivered).stays().does([]);
        meta.hears(Event::Released).stays();
        meta.does([StartTimer, CloseLocal(Gently), Discard, Finish(Cut, ended(BsrClosed))]);
        meta.hears(Event::LocalGone).stays();
        meta.hears(Event::Flushed).goes([Stopped, idle(role)]).does([]);
    }
}

#[test]
fn meta_the_link_is_lost() {
    for role in Role::ALL {
        let mut meta = Story::established(role, Meta);
        meta.hears(Event::LinkLost).goes([Stopping]).does([Tell(EndedBy::LinkLost), StopReading]);
        meta.will_go(Place::Bridging);
        meta.hears(Event::Released).stays().does([StartTimer, CloseLocal(Gently), Discard]);
        meta.hears(Event::LocalGone).goes([Stopped, Bridging]).does([Restart]);
    }
}

#[test]
fn meta_the_other_drx_aborts() {
    let mut meta = Story::established(Role::Connector, Meta);
    meta.hears(abort(1, EndReason::LinkLost)).goes([Stopping]);
    meta.does([ended_by_remote(EndReason::LinkLost), StopReading]);
    meta.hears(Event::Released).stays().does([StartTimer, CloseLocal(Gently), Discard]);
    meta.hears(Event::LocalGone).goes([Stopped, Connecting]);
}

#[test]
fn meta_its_data_channel_ended() {
    let because = because_of_partner(Partner);
    let mut meta = Story::established(Role::Acceptor, Meta);
    meta.hears(partner_ended(Kept::Outbound)).goes([Stopping]);
    meta.does([Tell(EndedBy::Partner), Discard, CloseLocal(Gently)]);
    meta.hears(Event::LocalGone).stays();
    meta.hears(Event::Released).does([StartTimer, Finish(Flush, because)]);

    let mut meta = Story::established(Role::Acceptor, Meta);
    meta.hears(partner_ended(Kept::Inbound)).does([Tell(EndedBy::Partner), StopReading]);
    meta.hears(Event::Released).does([StartTimer, CloseLocal(Gently), Discard, Finish(Cut, because)]);

    let mut meta = Story::established(Role::Acceptor, Meta);
    let because = because_of_partner(EndReason::LinkLost);
    meta.hears(partner_ended(Kept::Received)).does([Tell(EndedBy::Partner), StopReading, Abort(because)]);
    meta.hears(Event::Released).does([StartTimer, CloseLocal(Gently), Discard]);
    meta.hears(Event::LocalGone).goes([Stopped, Waiting]);
}

/// The reasons that the other side reads in its log.
#[test]
fn the_partner_is_named() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(partner_ended(Kept::Received));
    data.because("the session's other channel ended (link 00000000, attempt 7)");
    let because = because_of_partner(Partner);
    assert_eq!(because.to_string(), "its partner channel ended (link 00000000, attempt 7)");
}
