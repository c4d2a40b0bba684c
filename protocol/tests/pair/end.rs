//! One relay's end of the lane: the real channel, the real delivery, and a bsr that sends one byte
//! per connection.

use drx_protocol::admission::Admission;
use drx_protocol::channel::{Action, Channel, Event, Finish};
use drx_protocol::delivery::{Inbound, Outbound};
use drx_protocol::names::{LinkId, Role};
use drx_protocol::rules::Rules;
use drx_protocol::state::State;

use super::Side;
use super::wire::Message;

/// One byte each way is enough to see where it goes; two would only be more of the same.
const BYTES: u64 = 1;
const WINDOW: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub channel: Channel,
    pub admission: Admission,
    pub epoch: u8,
    /// The link connection in use.
    pub wire: Option<u8>,
    /// Connector: the one that is being dialled.
    pub dialling: Option<u8>,
    pub dials_bsr: bool,
    /// Which bsr connection stands; each has a tag of its own.
    pub bsr: Option<u8>,
    pub bsr_gone: bool,
    /// Whose bytes it was given.
    pub fed_by: Option<u8>,
    pub closing: bool,
    pub timed: bool,
    pub held: bool,
    /// Whose byte waits to be written.
    pub waiting_tag: Option<u8>,
    out: Outbound,
    inbound: Inbound,
    reading: bool,
    relaying: bool,
    discarding: bool,
    /// Nothing more is taken from the other DRX: it was lost, or told so.
    shut: bool,
    flushed_told: bool,
    delivered_told: bool,
    ending: Option<drx_protocol::ending::Ending>,
}

impl End {
    pub fn new(side: Side, rules: Rules) -> End {
        let role = if side == Side::A { Role::Acceptor } else { Role::Connector };
        End {
            channel: Channel::with_rules(role, rules),
            admission: Admission::with_rules(rules),
            epoch: 1,
            wire: None,
            dialling: None,
            dials_bsr: false,
            bsr: None,
            bsr_gone: false,
            fed_by: None,
            closing: false,
            timed: false,
            held: false,
            waiting_tag: None,
            out: Outbound::default(),
            inbound: Inbound::default(),
            reading: false,
            relaying: false,
            discarding: false,
            shut: false,
            flushed_told: false,
            delivered_told: false,
            ending: None,
        }
    }

    /// bsr connected, or took our dial.
    pub fn connected(&mut self, tag: u8) {
        self.bsr = Some(tag);
        self.bsr_gone = false;
        self.fed_by = None;
        if self.channel.role() == Role::Connector {
            self.dials_bsr = false;
            self.begin();
        }
    }

    /// A new round: offsets start at 0.
    pub fn begin(&mut self) {
        self.out = Outbound::new(WINDOW);
        self.inbound = Inbound::new(WINDOW);
        self.reading = true;
        self.relaying = false;
        self.discarding = false;
        self.shut = false;
        self.flushed_told = false;
        self.delivered_told = false;
        self.ending = None;
        self.waiting_tag = None;
    }

    /// Does an action. `Some` is sent on the link, `None` closes it.
    pub fn act(&mut self, action: Action) -> Result<Vec<Option<Message>>, String> {
        let attempt = self.channel.attempt();
        let mut said = Vec::new();
        match action {
            Action::OpenLink | Action::Redial | Action::ReadFirstPacket | Action::Leave => {}
            Action::DropLink => said.push(None),
            Action::Offer => {
                said.push(Some(Message::Offer(attempt, self.channel.channel_type().unwrap())));
            }
            Action::DialLocal(_) => self.dials_bsr = true,
            Action::CancelDial => self.dials_bsr = false,
            Action::SayEstablished => said.push(Some(Message::Established(attempt))),
            Action::Relay => self.relaying = true,
            Action::StopReading => self.reading = false,
            Action::Discard => {
                self.reading = false;
                self.discarding = true;
                let pending = self.inbound.pending();
                self.inbound.wrote(pending);
                self.waiting_tag = None;
                said.extend(self.acknowledge().map(Some));
            }
            Action::Finish(finish, ending) => {
                self.reading = false;
                self.ending = Some(ending);
                match finish {
                    Finish::Flush => self.out.finish(),
                    Finish::Cut => {
                        self.out.cut();
                    }
                }
            }
            Action::Abort(ending) => {
                self.shut = true;
                said.push(Some(Message::Abort { attempt, ending }));
            }
            Action::CloseLocal(_) => {
                if self.bsr.is_none() {
                    return Err("a connection is closed that does not stand".into());
                }
                self.closing = true;
                self.reading = false;
            }
            Action::Tell(_) => self.held = self.channel.channel_type() == Some(drx_protocol::names::ChannelType::Meta),
            Action::StartTimer => self.timed = true,
            Action::Restart => {
                said.push(None);
                self.relaying = false;
            }
        }
        if self.channel.state() == State::Stopped || self.channel.state() == State::Waiting {
            self.timed = false;
        }
        Ok(said)
    }

    pub fn acknowledge(&mut self) -> Option<Message> {
        let (acknowledged, _) = self.inbound.tell();
        let attempt = self.channel.attempt();
        Some(Message::Ack { attempt, acknowledged })
    }

    /// What the link is given now: bytes, then FIN.
    pub fn pump(&mut self) -> Vec<Message> {
        let mut said = Vec::new();
        let attempt = self.channel.attempt();
        let ending = matches!(self.channel.state(), State::Established | State::ClosePending | State::Stopping);
        if !self.relaying || self.wire.is_none() || !self.channel.link().is_up() || !ending || self.shut {
            return said;
        }
        while let (offset, 1..) = self.out.sendable() {
            self.out.advance(1);
            let from = self.bsr.or(self.fed_by).unwrap_or(0);
            said.push(Message::Data { attempt, offset, from });
        }
        if self.inbound.untold() > 0 {
            said.extend(self.acknowledge());
        }
        if let (Some(offset), Some(ending)) = (self.out.fin_due(), self.ending) {
            self.out.fin_sent();
            said.push(Message::Fin { attempt, offset, ending });
        }
        said
    }

    /// What delivery tells the channel by itself, once each.
    pub fn notice(&mut self) -> Option<Event> {
        if !self.relaying {
            return None;
        }
        if !self.flushed_told && self.out.flushed() {
            self.flushed_told = true;
            return Some(Event::Flushed);
        }
        let ending = matches!(self.channel.state(), State::ClosePending | State::Stopping);
        let over = self.inbound.delivered() || self.shut || self.channel.link().id().is_none();
        if ending && !self.delivered_told && over && self.inbound.pending() == 0 {
            self.delivered_told = true;
            return Some(Event::Delivered);
        }
        None
    }

    /// A frame from the other DRX.
    pub fn hear(&mut self, message: Message) -> Result<Option<Event>, String> {
        let present = self.channel.attempt();
        Ok(match message {
            Message::Offer(attempt, channel_type) => Some(Event::Offered { attempt, channel_type }),
            Message::Established(attempt) => Some(Event::PeerEstablished(attempt)),
            Message::Abort { attempt, ending } => {
                if attempt == present {
                    self.shut = true;
                }
                Some(Event::PeerAbort { attempt, ending })
            }
            Message::Data { attempt, offset, from } => {
                if attempt == present && self.relaying && !self.shut {
                    let take = self.inbound.data(offset, BYTES).map_err(|violation| violation.to_string())?;
                    if self.discarding {
                        self.inbound.wrote(take.new);
                    } else if take.new > 0 {
                        self.waiting_tag = Some(from);
                    }
                }
                None
            }
            Message::Ack { attempt, acknowledged } => {
                if attempt == present && self.relaying {
                    self.out.acknowledged(acknowledged, WINDOW).map_err(|violation| violation.to_string())?;
                }
                None
            }
            Message::Fin { attempt, offset, ending } => {
                if attempt == present && self.relaying && !self.shut {
                    self.inbound.fin(offset).map_err(|violation| violation.to_string())?;
                }
                Some(Event::PeerFin { attempt, ending })
            }
            Message::Hello(..) | Message::Welcome { .. } | Message::Refused | Message::Closed => None,
        })
    }

    /// The next byte that this end expects: what a resume asks for.
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    /// Goes on from what the other side has received. `false`: that is not held any more.
    pub fn resume(&mut self, next: u64) -> bool {
        self.out.resume(next, WINDOW).is_ok()
    }

    pub fn can_read(&self) -> bool {
        self.bsr.is_some() && self.reading && !self.bsr_gone && self.relaying && self.out.tail() < BYTES
    }

    pub fn read(&mut self) {
        self.out.append(BYTES);
    }

    pub fn can_write(&self) -> bool {
        self.waiting_tag.is_some() && !self.discarding && self.bsr.is_some() && !self.bsr_gone
    }

    pub fn write(&mut self) -> Result<(), String> {
        let from = self.waiting_tag.take().unwrap();
        if self.fed_by.is_some_and(|fed_by| fed_by != from) {
            return Err(format!("bsr {:?} gets bytes of two connections", self.bsr));
        }
        self.fed_by = Some(from);
        self.inbound.wrote(BYTES);
        Ok(())
    }

    pub fn local_gone(&mut self) {
        self.bsr = None;
        self.bsr_gone = false;
        self.fed_by = None;
        self.closing = false;
        self.reading = false;
        self.waiting_tag = None;
    }

    pub fn links(&self) -> Vec<LinkId> {
        self.channel.link().id().into_iter().collect()
    }

    pub fn rename(&mut self, link: &impl Fn(LinkId) -> LinkId, tag: &impl Fn(u8) -> u8) {
        self.channel.rename_link(link);
        for name in [&mut self.bsr, &mut self.fed_by, &mut self.waiting_tag].into_iter().flatten() {
            *name = tag(*name);
        }
    }
}
