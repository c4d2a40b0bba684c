//! The channel: the state machine that joins one local connection to one link.
//!
//! ```text
//!  allocating ─> bridging ─> bridged ─┬─> waiting ─> connected ─> establishing ─┬─> established
//!                   ^                 └─> connecting ───────────> establishing ─┘        │
//!                   │ link lost                ^ link kept                   data: close_pending
//!                   └──────────── stopped <────┴──────────────── stopping <──────────────┘
//! ```
//!
//! The contract of [`Channel::step`]: *one event in, all its actions done, then the next.* A state
//! that waits for nothing ([`Channel::passes`]) is left by [`Event::Next`], which the shell feeds as
//! soon as the actions are done. `None` means that the event says nothing here: the shell logs it.
//!
//! Source: seed 000, "Connection States" and "State Changes"; docs/channels.md has the generated
//! matrix. The endings are those of docs/link.md 4.

mod ending;
mod words;

pub use words::{Action, Cause, Close, EndedBy, Event, Finish, Kept, LinkState, Partner, Place};

use crate::ending::{EndReason, Ending};
use crate::names::{Attempt, ChannelType, LinkId, Role, Round};
use crate::rules::Rules;
use crate::state::State;
use ending::Farewell;

/// One lane of one direction at one relay. Owned by its acceptor or connector actor; cloned and
/// compared by the exhaustive search.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    role: Role,
    state: State,
    link: LinkState,
    /// The round on this link: the present one, or the last one while none is.
    attempt: Attempt,
    channel_type: Option<ChannelType>,
    /// Whether a connection to bsr stands, or is being closed.
    local: bool,
    /// Connector: the newest round that the other DRX has offered, until it is dialled for.
    offer: Option<(Attempt, ChannelType)>,
    farewell: Farewell,
    cause: Option<Cause>,
    place: Place,
    /// It went where no generation follows.
    over: bool,
    rules: Rules,
}

impl Channel {
    /// A channel that has nothing yet: the first event is [`Event::Allocated`].
    pub fn new(role: Role) -> Channel {
        Channel::with_rules(role, Rules::ALL)
    }

    /// A channel whose memory is there already: how a new generation starts after its link was lost.
    pub fn bridging(role: Role) -> Channel {
        Channel { state: State::Bridging, ..Channel::new(role) }
    }

    #[doc(hidden)] // for the search that shows what each rule is for
    pub fn with_rules(role: Role, rules: Rules) -> Channel {
        Channel {
            role,
            state: State::Allocating,
            link: LinkState::Down,
            attempt: 0,
            channel_type: None,
            local: false,
            offer: None,
            farewell: Farewell::default(),
            cause: None,
            place: Place::SameLink,
            over: false,
            rules,
        }
    }

    #[doc(hidden)] // for the search: a link's name is only a name
    pub fn rename_link(&mut self, name: impl Fn(LinkId) -> LinkId) {
        self.link = match self.link {
            LinkState::Down => LinkState::Down,
            LinkState::Up(id) => LinkState::Up(name(id)),
            LinkState::Suspended(id) => LinkState::Suspended(name(id)),
        };
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Acceptor or connector.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What bsr's connection carries, once its first packet has said so.
    pub fn channel_type(&self) -> Option<ChannelType> {
        self.channel_type
    }

    /// The present round's number, or the last one's; 0 before the first on this link.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The link to the other DRX.
    pub fn link(&self) -> LinkState {
        self.link
    }

    /// Why the present round is ending, or why the last one ended.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Where the channel goes after `stopped`.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The present round, as both relays name it.
    pub fn round(&self) -> Option<Round> {
        let link = self.link.id()?;
        (self.attempt != 0).then_some(Round { link, attempt: self.attempt })
    }

    /// Whether the round survives a broken transport: only once established, and until nothing is
    /// left to say (docs/link.md 6, rule 2).
    pub fn resumable(&self) -> bool {
        match self.state {
            State::Established => true,
            State::ClosePending => !self.farewell.aborted,
            State::Stopping => self.farewell.held && !self.farewell.aborted,
            _ => false,
        }
    }

    /// Whether bytes that the other DRX sends are thrown away, because bsr is gone.
    pub fn discards(&self) -> bool {
        self.farewell.discarding
    }

    /// Meta: whether it is held open, with its bsr still there, until this bsr has the data that the other
    /// one left behind.
    pub fn outlives_the_other_bsr(&self) -> bool {
        let other_left = matches!(self.cause, Some(Cause::Partner(Partner { kept: Kept::Inbound, .. })));
        self.state == State::Stopping && self.farewell.held && other_left && !self.farewell.discarding
    }

    /// Whether the channel has nothing to wait for: feed [`Event::Next`].
    pub fn passes(&self) -> bool {
        match self.state {
            State::Bridged => true,
            State::Stopped => !self.over,
            State::Establishing => self.role == Role::Connector,
            State::ClosePending => self.flushed(),
            State::Stopping => self.parted(),
            _ => false,
        }
    }

    /// Takes one event; the actions are to be done in order, before the next event.
    pub fn step(&mut self, event: Event) -> Option<Vec<Action>> {
        use Action as A;
        use Event as E;
        use Role::{Acceptor, Connector};
        use State::*;

        if let E::Offered { attempt, channel_type } = event {
            return self.offered(attempt, channel_type);
        }
        if let Some(attempt) = event.attempt()
            && attempt != self.attempt
        {
            return self.of_another_round(attempt, &event);
        }
        let actions = match (self.role, self.state, event) {
            (_, Allocating, E::Allocated) => self.go(Bridging, [A::OpenLink]),

            (_, Bridging, E::LinkUp(link)) => self.bridged(link),
            (Acceptor, Waiting, E::LinkUp(link)) => self.bridged(link),
            (Acceptor, Bridged, E::Next) => self.go(Waiting, []),
            (Connector, Bridged, E::Next) => self.go(Connecting, []),

            (Acceptor, Waiting, E::Accepted) => {
                self.local = true;
                self.go(Connected, [A::ReadFirstPacket])
            }
            (Acceptor, Connected, E::FirstPacket(channel_type)) => {
                self.attempt += 1;
                self.channel_type = Some(channel_type);
                self.go(Establishing, [A::Offer])
            }
            (Acceptor, Connected, E::NoFirstPacket | E::LocalClosed) => {
                self.give_up(Cause::FirstPacket, None)
            }
            (Acceptor, Establishing, E::PeerEstablished(_)) => self.go(Established, [A::Relay]),
            (Acceptor, Establishing, E::LocalClosed) => {
                self.give_up(Cause::LocalBsr, Some(Ending::new(EndReason::BsrClosed)))
            }
            (Acceptor, Establishing, E::PeerAbort { ending, .. }) => {
                self.give_up(Cause::Remote(ending), None)
            }

            (Connector, Connecting, E::PeerAbort { .. }) => {
                self.channel_type = None;
                self.go(Connecting, [A::CancelDial])
            }
            (Connector, Connecting, E::Dialled) if self.channel_type.is_some() => {
                self.local = true;
                self.go(Establishing, [])
            }
            (Connector, Establishing, E::Next) => self.go(Established, [A::SayEstablished, A::Relay]),

            (_, Established, E::LinkBroken) => self.suspend(),
            (_, ClosePending | Stopping, E::LinkBroken) if self.resumable() => self.suspend(),
            (_, _, E::LinkResumed) if self.link.is_suspended() => {
                self.link.resume();
                self.go(self.state, [])
            }

            (_, Established, E::LocalClosed) => self.end(Cause::LocalBsr),
            (_, Established, E::PeerFin { ending, .. }) => self.end(Cause::RemoteFin(ending)),
            (_, Established, E::PeerAbort { ending, .. }) => self.end(Cause::Remote(ending)),
            (_, Established, E::PartnerEnded(partner)) => self.end(Cause::Partner(partner)),
            (_, Established, E::LinkLost) => self.end(Cause::LinkLost),
            (_, Established, E::Stop) => self.end(Cause::Operator),

            (_, ClosePending | Stopping, event) => self.part(event)?,

            (_, Allocating | Bridging, E::Stop) => self.give_up(Cause::Operator, None),
            (_, Bridged | Waiting | Connecting | Connected, E::Stop) => self.give_up(Cause::Operator, None),
            (_, Establishing, E::Stop) => {
                self.give_up(Cause::Operator, Some(Ending::new(EndReason::Operator)))
            }
            (_, Bridged | Waiting | Connecting | Connected | Establishing, E::LinkLost | E::LinkBroken) => {
                self.give_up(Cause::LinkLost, None)
            }

            (_, Stopped, E::Next) if !self.over => self.begin_again(),
            (_, Stopped, E::LinkLost | E::LinkBroken) => {
                self.lose_link();
                self.go(Stopped, [])
            }
            (_, Stopped, E::Stop) => {
                self.place = Place::Down;
                self.go(Stopped, [])
            }
            _ => return None,
        };
        Some(actions)
    }

    fn go<const N: usize>(&mut self, state: State, actions: [Action; N]) -> Vec<Action> {
        self.state = state;
        actions.into()
    }

    /// A fresh link: what was counted and remembered belonged to the old one (rule 3).
    fn bridged(&mut self, link: LinkId) -> Vec<Action> {
        self.link = LinkState::Up(link);
        if self.rules.rounds_belong_to_a_link {
            self.attempt = 0;
            self.offer = None;
        }
        self.channel_type = None;
        self.go(State::Bridged, [])
    }

    fn suspend(&mut self) -> Vec<Action> {
        self.link.suspend();
        self.go(self.state, [Action::Redial])
    }

    /// An offer is taken when nothing stands in its way, and remembered while the last round is
    /// being cleaned up: otherwise both ends would wait for ever.
    fn offered(&mut self, attempt: Attempt, channel_type: ChannelType) -> Option<Vec<Action>> {
        let newest = self.offer.map_or(self.attempt, |(offered, _)| offered.max(self.attempt));
        if self.role == Role::Acceptor || attempt <= newest || !self.link.is_up() {
            return None;
        }
        match self.state {
            State::Connecting => {
                let dialling = self.channel_type.is_some();
                self.attempt = attempt;
                self.channel_type = Some(channel_type);
                let cancel = dialling.then_some(Action::CancelDial);
                Some(cancel.into_iter().chain([Action::DialLocal(channel_type)]).collect())
            }
            State::Establishing | State::Established | State::ClosePending => {
                // The other DRX has left this round without a word: so has this one now.
                self.offer = Some((attempt, channel_type));
                Some(self.leave_at_once(Cause::Remote(Ending::new(EndReason::Failure))))
            }
            State::Stopping | State::Stopped => {
                self.offer = Some((attempt, channel_type));
                Some(Vec::new())
            }
            _ => None,
        }
    }

    /// A frame of a past round is dropped and counted; one may withdraw the offer that is remembered.
    fn of_another_round(&mut self, attempt: Attempt, event: &Event) -> Option<Vec<Action>> {
        let withdrawn = self.offer.is_some_and(|(offered, _)| offered == attempt);
        if withdrawn && matches!(event, Event::PeerAbort { .. }) {
            self.offer = None;
            return Some(Vec::new());
        }
        None
    }

    /// What follows `stopped`: the same link again, or another generation.
    fn begin_again(&mut self) -> Vec<Action> {
        let place = std::mem::replace(&mut self.place, Place::SameLink);
        self.farewell = Farewell::default();
        self.channel_type = None;
        match (place, self.role) {
            (Place::SameLink, Role::Acceptor) => self.go(State::Waiting, []),
            (Place::SameLink, Role::Connector) => {
                self.state = State::Connecting;
                match self.offer.take() {
                    Some((attempt, channel_type)) => {
                        self.attempt = attempt;
                        self.channel_type = Some(channel_type);
                        vec![Action::DialLocal(channel_type)]
                    }
                    None => Vec::new(),
                }
            }
            (Place::Bridging, _) => {
                if self.rules.rounds_belong_to_a_link {
                    self.attempt = 0;
                    self.offer = None;
                }
                self.go(State::Bridging, [Action::Restart])
            }
            (Place::Down, _) => {
                (self.over, self.place) = (true, Place::Down);
                self.link = LinkState::Down;
                self.go(State::Stopped, [Action::DropLink, Action::Leave])
            }
        }
    }
}
