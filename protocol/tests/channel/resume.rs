//! A link that breaks and may come back: bsr keeps its connection meanwhile.

use drx_protocol::channel::{Action::*, Close::*, EndedBy, Event, Finish::*, Kept, LinkState, Place};
use drx_protocol::ending::EndReason::*;
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::Role;
use drx_protocol::state::State::*;

use crate::story::{LINK, Story, ended, fin, partner_ended};

#[test]
fn established_the_link_breaks_and_is_resumed() {
    for role in Role::ALL {
        for channel_type in [Data, Meta] {
            let mut story = Story::established(role, channel_type);
            assert!(story.channel.resumable());
            story.hears(Event::LinkBroken).stays().does([Redial]);
            assert_eq!(story.channel.link(), LinkState::Suspended(LINK));
            story.hears(Event::LinkResumed).stays().does([]).is_in_attempt(1);
            assert_eq!(story.channel.link(), LinkState::Up(LINK));
            story.ignores(Event::LinkResumed).stands(Established);
        }
    }
}

#[test]
fn established_the_link_does_not_come_back() {
    let mut data = Story::established(Role::Connector, Data);
    data.hears(Event::LinkBroken);
    data.hears(Event::LinkLost).goes([ClosePending]);
    data.does([Tell(EndedBy::LinkLost), StopReading, StartTimer]).will_go(Place::Bridging);
    assert_eq!(data.channel.link(), LinkState::Down);
    assert!(data.channel.round().is_none());
    data.hears(Event::Delivered).hears(Event::LocalGone).goes([Stopped, Bridging]);
}

/// What bsr sent is kept for the other side: it goes out when the link is back.
#[test]
fn established_bsr_leaves_while_the_link_is_broken() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::LinkBroken);
    data.hears(Event::LocalClosed).goes([ClosePending]);
    data.does([
        Tell(EndedBy::Local),
        Discard,
        CloseLocal(Gently),
        StartTimer,
        Finish(Flush, ended(BsrClosed)),
    ]);
    assert!(data.channel.resumable());
    data.hears(Event::LocalGone).stays();
    data.hears(Event::LinkResumed).stays();
    data.hears(Event::Flushed).stands(Stopping);
    data.hears(fin(1, BsrClosed)).goes([Stopped, Waiting]);
}

#[test]
fn close_pending_the_link_breaks_and_is_resumed() {
    for role in Role::ALL {
        let mut data = Story::established(role, Data);
        data.hears(Event::LocalClosed).hears(Event::LocalGone).stands(ClosePending);
        assert!(data.channel.resumable());
        data.hears(Event::LinkBroken).stays().does([Redial]);
        data.hears(Event::LinkResumed).stays().does([]);
        data.hears(Event::Flushed).goes([Stopping]);
    }
}

/// The first of `resume_timeout` and `close_pending_timeout` ends it, and both lead to `bridging`.
#[test]
fn close_pending_on_a_broken_link_is_bounded() {
    for over in [Event::LinkLost, Event::TimedOut] {
        let mut data = Story::established(Role::Acceptor, Data);
        data.hears(Event::LocalClosed).hears(Event::LocalGone).hears(Event::LinkBroken).stands(ClosePending);
        data.hears(over).will_go(Place::SameLink).stands(Bridging).does([Restart]);
    }
}

/// Everything is written to bsr, but the goodbye needs the link.
#[test]
fn close_pending_does_not_pass_a_broken_link() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(fin(1, BsrClosed)).hears(Event::LinkBroken).stays();
    data.hears(Event::Delivered).stays();
    data.hears(Event::LinkResumed).goes([Stopping]);
    data.does([CloseLocal(Gently), Finish(Cut, ended(BsrClosed))]);
}

#[test]
fn held_meta_may_be_resumed_as_its_data_channel_may() {
    let mut meta = Story::established(Role::Connector, Meta);
    meta.hears(Event::LocalClosed).hears(Event::LocalGone).stands(Stopping);
    assert!(meta.channel.resumable());
    meta.hears(Event::LinkBroken).stays().does([Redial]);
    meta.hears(Event::LinkResumed).stays();
    meta.hears(Event::Released).does([StartTimer, Finish(Flush, ended(BsrClosed))]);
    // Released, it says its last words: nothing is worth a resume any more.
    assert!(!meta.channel.resumable());
    meta.hears(Event::LinkBroken).goes([Stopped, Bridging]).does([Restart]);
}

/// A round that was aborted is over for the other side.
#[test]
fn an_aborted_round_is_not_resumed() {
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(partner_ended(Kept::Received)).stands(ClosePending);
    assert!(!data.channel.resumable());
    data.hears(Event::LinkBroken).stays().does([]).will_go(Place::Bridging);
    data.hears(Event::Delivered).stands(Stopping);
    data.hears(Event::LocalGone).goes([Stopped, Bridging]);
}

/// Data and meta are resumed together or not at all: the other one could not be.
#[test]
fn established_the_partner_could_not_be_resumed() {
    for channel_type in [Data, Meta] {
        let mut story = Story::established(Role::Acceptor, channel_type);
        story.hears(Event::LinkBroken);
        story.hears(partner_ended(Kept::Received)).will_go(Place::Bridging);
        // There is no link to say it on: the resume that is refused says it.
        assert_eq!(story.channel.link(), LinkState::Down);
    }
}

#[test]
fn only_a_round_that_stands_is_resumable() {
    for story in [Story::waiting(), Story::connecting(), Story::offering(Data), Story::dialling(Data)] {
        assert!(!story.channel.resumable(), "{}", story.channel.state());
    }
    let mut data = Story::established(Role::Acceptor, Data);
    data.hears(Event::LocalClosed).hears(Event::Flushed).stands(Stopping);
    assert!(!data.channel.resumable());
}
