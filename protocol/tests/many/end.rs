//! One relay's end of one lane: the real channel, and as much of delivery as endings need: one byte
//! of bsr's that is still in the BAB when it leaves, and FIN behind it.

use std::fmt;

use drx_protocol::channel::{Action, Channel, Event, Finish};
use drx_protocol::ending::Ending;
use drx_protocol::names::{Attempt, ChannelType, LinkId};
use drx_protocol::rules::Rules;
use drx_protocol::session::Slot;
use drx_protocol::state::State;

/// What a link carries, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Offer(Attempt, ChannelType),
    Established(Attempt),
    Data(Attempt),
    Ack(Attempt),
    Fin(Attempt, Ending),
    Abort(Attempt, Ending),
    /// The link is gone for good.
    Closed,
}

/// The connection to bsr, as the two of them see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Local {
    None,
    Open,
    /// bsr closed it; the relay has not noticed yet.
    BsrGone,
    /// The relay closed it; bsr has not noticed yet.
    Closing,
}

/// Whether what bsr wrote must still reach the other bsr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Debt {
    /// It has not written anything that matters.
    None,
    Due,
    Paid,
    /// A link, an actor or the time is gone.
    Forgiven,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct End {
    pub channel: Channel,
    pub inbox: Vec<Message>,
    pub local: Local,
    pub dials_bsr: bool,
    pub timed: bool,
    /// A byte of the other bsr is here, and is not written yet.
    pub waiting: bool,
    /// The byte that bsr writes as soon as the two bsr are together.
    pub debt: Debt,
    discarding: bool,
    /// FIN is said and not everything before it is acknowledged; `None` before.
    unacknowledged: Option<bool>,
    heard: bool,
    /// Nothing more is taken from the other DRX: it was lost, or told so.
    shut: bool,
    flushed_told: bool,
    delivered_told: bool,
}

impl End {
    /// Its memory is there, and it looks for a link.
    pub fn new(slot: Slot, rules: Rules) -> End {
        let mut channel = Channel::with_rules(slot.role, rules);
        channel.step(Event::Allocated).unwrap();
        End {
            channel,
            inbox: Vec::new(),
            local: Local::None,
            dials_bsr: false,
            timed: false,
            waiting: false,
            debt: Debt::None,
            discarding: false,
            unacknowledged: None,
            heard: false,
            shut: false,
            flushed_told: false,
            delivered_told: false,
        }
    }

    pub fn link(&self) -> Option<LinkId> {
        self.channel.link().id()
    }

    pub fn is(&self, state: State) -> bool {
        self.channel.state() == state
    }

    /// Whether its link stands and no round does, nor is one on its way.
    pub fn is_idle(&self) -> bool {
        let idle =
            self.is(State::Waiting) || self.is(State::Connecting) && self.channel.channel_type().is_none();
        idle && self.inbox.is_empty()
    }

    /// Whether it is idle, and its link has not had a round yet: such ends differ in nothing else.
    pub fn is_fresh(&self) -> bool {
        self.channel.attempt() == 0 && self.is_idle()
    }

    /// A new round: nothing is owed yet.
    pub fn begin(&mut self) {
        self.waiting = false;
        self.debt = Debt::None;
        self.discarding = false;
        self.unacknowledged = None;
        self.heard = false;
        self.shut = false;
        self.flushed_told = false;
        self.delivered_told = false;
    }

    /// Does what only this end is about, and says what goes over the link.
    pub fn act(&mut self, action: Action) -> Result<Vec<Message>, String> {
        let attempt = self.channel.attempt();
        let mut said = Vec::new();
        match action {
            Action::Offer => {
                self.begin();
                said.extend(
                    self.channel.channel_type().map(|channel_type| Message::Offer(attempt, channel_type)),
                );
            }
            Action::DialLocal(_) => self.dials_bsr = true,
            Action::CancelDial => self.dials_bsr = false,
            Action::SayEstablished => said.push(Message::Established(attempt)),
            Action::Discard => {
                self.discarding = true;
                if std::mem::take(&mut self.waiting) {
                    said.push(Message::Ack(attempt));
                }
            }
            Action::Finish(finish, ending) => {
                let flush = finish == Finish::Flush && self.channel.channel_type() == Some(ChannelType::Data);
                self.unacknowledged = Some(flush);
                if flush {
                    said.push(Message::Data(attempt));
                }
                said.push(Message::Fin(attempt, ending));
            }
            Action::Abort(ending) => {
                self.shut = true;
                said.push(Message::Abort(attempt, ending));
            }
            Action::CloseLocal(_) if self.local == Local::None => {
                return Err("a connection is closed that does not stand".into());
            }
            Action::StartTimer => self.timed = true,
            Action::OpenLink
            | Action::Redial
            | Action::DropLink
            | Action::ReadFirstPacket
            | Action::Relay
            | Action::StopReading
            | Action::CloseLocal(_)
            | Action::Tell(_)
            | Action::Restart
            | Action::Leave => {}
        }
        Ok(said)
    }

    /// A frame from the other DRX: what it tells the channel, and what is answered.
    pub fn hear(&mut self, message: Message) -> (Option<Event>, Option<Message>) {
        let present = self.channel.attempt();
        match message {
            Message::Offer(attempt, channel_type) => (Some(Event::Offered { attempt, channel_type }), None),
            Message::Established(attempt) => (Some(Event::PeerEstablished(attempt)), None),
            Message::Data(attempt) if attempt == present && !self.shut && self.relays() => {
                self.waiting = !self.discarding;
                (None, self.discarding.then_some(Message::Ack(attempt)))
            }
            Message::Ack(attempt) if attempt == present && self.unacknowledged.is_some() => {
                self.unacknowledged = Some(false);
                (None, None)
            }
            Message::Data(_) | Message::Ack(_) => (None, None),
            Message::Fin(attempt, ending) => {
                self.heard |= attempt == present && !self.shut;
                (Some(Event::PeerFin { attempt, ending }), None)
            }
            Message::Abort(attempt, ending) => {
                self.shut |= attempt == present;
                (Some(Event::PeerAbort { attempt, ending }), None)
            }
            Message::Closed => {
                self.inbox.clear();
                (Some(Event::LinkLost), None)
            }
        }
    }

    /// What delivery tells the channel by itself, once each.
    pub fn notice(&mut self) -> Option<Event> {
        if !self.relays() {
            return None;
        }
        if self.unacknowledged == Some(false) && !self.flushed_told {
            self.flushed_told = true;
            return Some(Event::Flushed);
        }
        let over = (self.heard || self.shut || self.link().is_none()) && !self.waiting;
        if over && !self.delivered_told && !self.is(State::Established) {
            self.delivered_told = true;
            return Some(Event::Delivered);
        }
        None
    }

    pub fn relays(&self) -> bool {
        matches!(self.channel.state(), State::Established | State::ClosePending | State::Stopping)
    }

    pub fn can_write(&self) -> bool {
        self.waiting && self.local == Local::Open
    }

    /// The byte is written to bsr.
    pub fn write(&mut self) -> Message {
        self.waiting = false;
        Message::Ack(self.channel.attempt())
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = &self.channel;
        write!(
            f,
            "{:?} {:?} {:?} {:?}",
            channel.state(),
            channel.channel_type(),
            channel.round(),
            self.local
        )?;
        let flags = [
            (self.dials_bsr, "dials bsr"),
            (self.timed, "timed"),
            (self.waiting, "waiting"),
            (self.debt == Debt::Due, "owed"),
            (self.discarding, "discarding"),
            (self.shut, "shut"),
        ];
        for (_, flag) in flags.into_iter().filter(|&(set, _)| set) {
            write!(f, ", {flag}")?;
        }
        write!(f, " <- {:?}", self.inbox)
    }
}
