//! Both channels of a session at one relay: data came in at the acceptor, meta is the connector's.

use drx_protocol::channel::{Action, EndedBy, Event};
use drx_protocol::ending::EndReason::*;
use drx_protocol::ending::Ending;
use drx_protocol::names::ChannelType::*;
use drx_protocol::names::{Lane, Role};
use drx_protocol::session::{Sessions, Slot, Told};
use drx_protocol::state::State::*;

use crate::story::{Story, abort, fin};

const DATA: Slot = Slot { role: Role::Acceptor, lane: Lane::Zero };
const META: Slot = Slot { role: Role::Connector, lane: Lane::Zero };

/// A relay, as far as it pairs its channels.
struct Relay {
    data: Story,
    meta: Story,
    sessions: Sessions,
}

impl Relay {
    fn with_a_whole_session() -> Relay {
        let data = Story::established(Role::Acceptor, Data);
        let meta = Story::established(Role::Connector, Meta);
        let mut sessions = Sessions::new();
        sessions.established(DATA, Data, data.channel.round().unwrap());
        sessions.established(META, Meta, meta.channel.round().unwrap());
        Relay { data, meta, sessions }
    }

    fn story(&mut self, slot: Slot) -> &mut Story {
        if slot == DATA { &mut self.data } else { &mut self.meta }
    }

    /// Something happens to a channel; the resource hears of it and tells the other one.
    fn hears(&mut self, slot: Slot, event: Event) {
        let before = self.story(slot).channel.state();
        self.story(slot).hears(event);
        let now = self.story(slot).channel.state();
        let told = self.story(slot).done().iter().find_map(|action| match *action {
            Action::Tell(by) => Some(by),
            _ => None,
        });
        let mut orders = told.map_or_else(Vec::new, |by| self.sessions.ended(slot, by));
        let ends = |state| matches!(state, ClosePending | Stopping);
        if slot == DATA && ends(before) && !ends(now) {
            orders.extend(self.sessions.left(slot));
        }
        for order in orders {
            match order.told {
                Told::End(partner) => self.hears(order.slot, Event::PartnerEnded(partner)),
                Told::Release => self.hears(order.slot, Event::Released),
            }
        }
    }

    fn stand(&self, data: drx_protocol::State, meta: drx_protocol::State) {
        assert_eq!((self.data.channel.state(), self.meta.channel.state()), (data, meta));
    }
}

/// Both channels of the session stop, the data channel through `close_pending`, and the links are
/// kept. The close of meta is passed on after the data is through.
#[test]
fn the_local_bsr_disconnects() {
    for first in [DATA, META] {
        let mut relay = Relay::with_a_whole_session();
        relay.hears(first, Event::LocalClosed);
        relay.stand(ClosePending, Stopping);
        relay.hears(DATA, Event::LocalGone);
        relay.hears(META, Event::LocalGone);
        relay.stand(ClosePending, Stopping);
        // The other side's meta is not closed before this:
        assert!(relay.meta.channel.resumable());
        relay.hears(DATA, Event::Flushed);
        relay.stand(Stopping, Stopping);
        assert!(relay.meta.channel.resumable());
        relay.hears(DATA, fin(1, BsrClosed));
        relay.stand(Waiting, Stopping);
        assert!(!relay.meta.channel.resumable());
        relay.hears(META, Event::Flushed);
        relay.hears(META, fin(1, BsrClosed));
        relay.stand(Waiting, Connecting);
    }
}

#[test]
fn the_remote_bsr_disconnects() {
    let mut relay = Relay::with_a_whole_session();
    relay.hears(DATA, fin(1, BsrClosed));
    relay.stand(ClosePending, Stopping);
    relay.hears(DATA, Event::Delivered);
    relay.hears(DATA, Event::Flushed);
    relay.stand(Stopping, Stopping);
    // It is written, and bsr may not have read it yet: its close says that it has.
    assert!(relay.meta.channel.resumable());
    relay.hears(DATA, Event::LocalGone);
    relay.stand(Waiting, Stopping);
    assert!(!relay.meta.channel.resumable());
    relay.hears(META, fin(1, BsrClosed));
    relay.hears(META, Event::LocalGone);
    relay.hears(META, Event::Flushed);
    relay.stand(Waiting, Connecting);
}

/// One link is lost for good: the other channel ends too, and keeps its own link.
#[test]
fn one_link_is_lost() {
    let mut relay = Relay::with_a_whole_session();
    relay.hears(META, Event::LinkLost);
    relay.stand(ClosePending, Stopping);
    relay.hears(DATA, Event::Delivered);
    relay.hears(DATA, Event::LocalGone);
    relay.hears(META, Event::LocalGone);
    relay.stand(Waiting, Bridging);
}

#[test]
fn both_links_are_lost() {
    let mut relay = Relay::with_a_whole_session();
    relay.hears(DATA, Event::LinkLost);
    relay.hears(META, Event::LinkLost);
    relay.hears(DATA, Event::Delivered);
    relay.hears(DATA, Event::LocalGone);
    relay.hears(META, Event::LocalGone);
    relay.stand(Bridging, Bridging);
}

/// The other DRX paired its channels differently: a stop that names another partner ends only the
/// channel that it came on (docs/link.md 6, rule 6).
#[test]
fn a_stop_because_of_another_partner_ends_one_channel() {
    let mut relay = Relay::with_a_whole_session();
    let ending = crate::story::because_of_partner(Partner);
    relay.hears(META, Event::PeerFin { attempt: 1, ending });
    relay.stand(Established, Stopping);
}

/// Before the session is whole, the loss of one channel is its own affair.
#[test]
fn half_a_session_ends_alone() {
    let mut sessions = Sessions::new();
    let mut data = Story::established(Role::Acceptor, Data);
    sessions.established(DATA, Data, data.channel.round().unwrap());
    data.hears(abort(1, BsrClosed)).stands(Stopping);
    let ending = Ending::new(BsrClosed);
    assert_eq!(sessions.ended(DATA, EndedBy::Remote(ending)), []);
}
