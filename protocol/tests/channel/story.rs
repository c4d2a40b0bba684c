//! How a story is told.

use drx_protocol::channel::{Action, Cause, Channel, EndedBy, Event, Kept, Partner, Place};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::names::{Attempt, ChannelType, LinkId, Role, Round};
use drx_protocol::state::State;

pub const LINK: LinkId = LinkId(0x11);
pub const ANOTHER_LINK: LinkId = LinkId(0x22);

/// The other channel of the session, on a link of its own.
pub const PARTNER: Round = Round { link: LinkId(0x33), attempt: 7 };

/// One channel and what it did last.
pub struct Story {
    pub channel: Channel,
    way: Vec<State>,
    done: Vec<Action>,
}

impl Story {
    /// A channel that nothing has happened to.
    pub fn of(role: Role) -> Story {
        Story { channel: Channel::new(role), way: Vec::new(), done: Vec::new() }
    }

    /// An acceptor that waits for bsr.
    pub fn waiting() -> Story {
        let mut story = Story::of(Role::Acceptor);
        story.hears(Event::Allocated).hears(Event::LinkUp(LINK)).stands(State::Waiting);
        story
    }

    /// An acceptor whose bsr has said what it opens: attempt 1.
    pub fn offering(channel_type: ChannelType) -> Story {
        let mut story = Story::waiting();
        story.hears(Event::Accepted).hears(Event::FirstPacket(channel_type)).stands(State::Establishing);
        story
    }

    /// A connector that waits for an offer.
    pub fn connecting() -> Story {
        let mut story = Story::of(Role::Connector);
        story.hears(Event::Allocated).hears(Event::LinkUp(LINK)).stands(State::Connecting);
        story
    }

    /// A connector that dials bsr for attempt 1.
    pub fn dialling(channel_type: ChannelType) -> Story {
        let mut story = Story::connecting();
        story.hears(offer(1, channel_type)).stands(State::Connecting);
        story
    }

    /// An established channel, in attempt 1.
    pub fn established(role: Role, channel_type: ChannelType) -> Story {
        let mut story = match role {
            Role::Acceptor => Story::offering(channel_type),
            Role::Connector => Story::dialling(channel_type),
        };
        match role {
            Role::Acceptor => story.hears(Event::PeerEstablished(1)),
            Role::Connector => story.hears(Event::Dialled),
        };
        story.stands(State::Established);
        story
    }

    /// Something happens to it, and what follows from that by itself.
    pub fn hears(&mut self, event: Event) -> &mut Story {
        let from = self.channel.state();
        self.done = self.channel.step(event).unwrap_or_else(|| panic!("{event:?} says nothing in {from}"));
        self.way = vec![from, self.channel.state()];
        while self.channel.passes() && !self.done.contains(&Action::Leave) {
            assert!(self.way.len() < 8, "it passes for ever: {:?}", self.way);
            self.done.extend(self.channel.step(Event::Next).unwrap());
            self.way.push(self.channel.state());
        }
        self.way.dedup();
        self.way.remove(0);
        self
    }

    /// What the other DRX or anybody else says here says nothing.
    pub fn ignores(&mut self, event: Event) -> &mut Story {
        let before = self.channel.clone();
        let said = self.channel.step(event);
        assert_eq!((said, &self.channel), (None, &before), "{event:?} in {}", before.state());
        self
    }

    /// The whole way that it just went from where it stood, passing states included.
    pub fn goes<const N: usize>(&mut self, way: [State; N]) -> &mut Story {
        assert_eq!(self.way, way);
        self
    }

    /// It stays where it is.
    pub fn stays(&mut self) -> &mut Story {
        assert!(self.way.is_empty(), "it went {:?}", self.way);
        self
    }

    /// Everything that it is to do, in order.
    pub fn does<const N: usize>(&mut self, actions: [Action; N]) -> &mut Story {
        assert_eq!(self.done, actions);
        self
    }

    /// What it was to do last.
    pub fn done(&self) -> &[Action] {
        &self.done
    }

    pub fn stands(&mut self, state: State) -> &mut Story {
        assert_eq!(self.channel.state(), state);
        self
    }

    pub fn is_in_attempt(&mut self, attempt: Attempt) -> &mut Story {
        assert_eq!(self.channel.attempt(), attempt);
        self
    }

    /// Why it ends, in the words of the log.
    pub fn because(&mut self, cause: &str) -> &mut Story {
        assert_eq!(self.channel.cause().map(Cause::to_string).as_deref(), Some(cause));
        self
    }

    pub fn will_go(&mut self, place: Place) -> &mut Story {
        assert_eq!(self.channel.place(), place);
        self
    }
}

pub fn offer(attempt: Attempt, channel_type: ChannelType) -> Event {
    Event::Offered { attempt, channel_type }
}

pub fn fin(attempt: Attempt, reason: EndReason) -> Event {
    Event::PeerFin { attempt, ending: Ending::new(reason) }
}

pub fn abort(attempt: Attempt, reason: EndReason) -> Event {
    Event::PeerAbort { attempt, ending: Ending::new(reason) }
}

pub fn partner_ended(kept: Kept) -> Event {
    Event::PartnerEnded(Partner { round: PARTNER, kept })
}

pub fn because_of_partner(reason: EndReason) -> Ending {
    Ending { reason, partner: Some(PARTNER) }
}

pub fn ended_by_remote(reason: EndReason) -> Action {
    Action::Tell(EndedBy::Remote(Ending::new(reason)))
}

pub fn ended(reason: EndReason) -> Ending {
    Ending::new(reason)
}
