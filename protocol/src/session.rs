//! Sessions: which data and which meta channel of a resource belong together.
//!
//! A session is the newest established channel of each type, on whatever lanes and directions they
//! came (docs/channels.md 1). Losing one of them ends both; losing an older duplicate ends nothing.

use crate::channel::{Channel, EndedBy, Event, Kept, Partner};
use crate::ending::EndReason;
use crate::names::{ChannelType, Lane, Role, Round};
use crate::rules::Rules;
use crate::state::State;

/// One of a resource's four channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The direction, as seen from here.
    pub role: Role,
    /// Its first or second channel.
    pub lane: Lane,
}

impl Slot {
    /// All four: acceptors first.
    pub const ALL: [Slot; 4] = [
        Slot { role: Role::Acceptor, lane: Lane::Zero },
        Slot { role: Role::Acceptor, lane: Lane::One },
        Slot { role: Role::Connector, lane: Lane::Zero },
        Slot { role: Role::Connector, lane: Lane::One },
    ];

    /// Its place in [`Slot::ALL`].
    pub fn index(self) -> usize {
        2 * (self.role as usize) + self.lane as usize
    }
}

/// What a channel is to be told about one of its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Which channel.
    pub slot: Slot,
    /// Which of its rounds.
    pub round: Round,
    /// What.
    pub told: Told,
}

/// What an [`Order`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// [`Event::PartnerEnded`].
    End(Partner),
    /// [`Event::Released`].
    Release,
}

impl Order {
    /// The event for the channel, unless it has gone on to another round: an order that comes late
    /// must not touch that one.
    pub fn event(self, channel: &Channel) -> Option<Event> {
        let same_link = channel.link().id().is_none_or(|link| link == self.round.link);
        (same_link && channel.attempt() == self.round.attempt).then_some(match self.told {
            Told::End(partner) => Event::PartnerEnded(partner),
            Told::Release => Event::Released,
        })
    }
}

/// The sessions of one resource, by its own sight. Owned by the resource supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sessions {
    channels: [Option<Member>; 4],
    /// The channels that bsr's connections came to, the newest last.
    order: Vec<Slot>,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    channel_type: ChannelType,
    round: Round,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Established,
    /// It left `established`, or was told to; `with` is the other channel of its session.
    Leaving {
        with: Option<Slot>,
    },
}

impl Sessions {
    /// Nothing is established.
    pub fn new() -> Sessions {
        Sessions::with_rules(Rules::ALL)
    }

    #[doc(hidden)] // for the search that shows what each rule is for
    pub fn with_rules(rules: Rules) -> Sessions {
        Sessions { channels: [None; 4], order: Vec::new(), rules }
    }

    /// bsr connected to this channel, or took its dial: the newest connection is the one that bsr
    /// keeps, whichever becomes established first.
    pub fn connected(&mut self, slot: Slot) {
        self.order.retain(|&known| known != slot);
        self.order.push(slot);
    }

    /// A channel became established.
    pub fn established(&mut self, slot: Slot, channel_type: ChannelType, round: Round) {
        self.channels[slot.index()] = Some(Member { channel_type, round, phase: Phase::Established });
    }

    /// A channel left `established`: its partner ends with it, and meta waits for data.
    pub fn ended(&mut self, slot: Slot, by: EndedBy) -> Vec<Order> {
        let Some(member) = self.channels[slot.index()].filter(|member| member.phase == Phase::Established)
        else {
            return Vec::new(); // it was told to end, and says that it did
        };
        let partner = self.partner(slot).filter(|&partner| self.is_meant(partner, by));
        self.leave(slot, partner);
        let mut orders = Vec::new();
        if let Some(partner) = partner {
            let target = self.leave(partner, Some(slot));
            let kept = match by {
                EndedBy::Local | EndedBy::Operator => Kept::Outbound,
                EndedBy::Remote(ending) if ending.reason == EndReason::LinkLost => Kept::Received,
                EndedBy::Remote(_) => Kept::Inbound,
                EndedBy::LinkLost | EndedBy::Failure | EndedBy::Partner => Kept::Received,
            };
            let told = Told::End(Partner { round: member.round, kept });
            orders.extend(target.map(|round| Order { slot: partner, round, told }));
        }
        self.release(&mut orders);
        orders
    }

    /// A data channel went on from `close_pending`, or any channel came to its end: it is a member
    /// of nothing any more.
    pub fn left(&mut self, slot: Slot) -> Vec<Order> {
        let mut orders = Vec::new();
        self.order.retain(|&known| known != slot);
        if self.channels[slot.index()].take().is_some() {
            self.release(&mut orders);
        }
        orders
    }

    /// The channel that stands or falls with this one.
    pub fn partner(&self, slot: Slot) -> Option<Slot> {
        let member = self.channels[slot.index()]?;
        let (data, meta) = self.newest()?;
        match member.channel_type {
            ChannelType::Data => (data == slot).then_some(meta),
            ChannelType::Meta => (meta == slot).then_some(data),
        }
    }

    /// The whole session, data first, if there is one.
    pub fn newest(&self) -> Option<(Slot, Slot)> {
        Some((self.newest_of(ChannelType::Data)?, self.newest_of(ChannelType::Meta)?))
    }

    fn newest_of(&self, channel_type: ChannelType) -> Option<Slot> {
        self.order.iter().copied().rev().find(|slot| {
            self.channels[slot.index()].is_some_and(|member| {
                member.channel_type == channel_type && member.phase == Phase::Established
            })
        })
    }

    /// A stop that the other DRX explains by a partner means that one only (rule 6): the two relays
    /// may have paired the channels differently.
    fn is_meant(&self, partner: Slot, by: EndedBy) -> bool {
        let EndedBy::Remote(ending) = by else { return by != EndedBy::Partner };
        match ending.partner {
            Some(named) if self.rules.stops_name_the_partner => {
                self.channels[partner.index()].is_some_and(|member| member.round == named)
            }
            _ => true,
        }
    }

    /// Lets every leaving meta channel go whose data channel is through.
    fn release(&mut self, orders: &mut Vec<Order>) {
        for slot in Slot::ALL {
            let Some(Member { channel_type: ChannelType::Meta, phase: Phase::Leaving { with }, round }) =
                self.channels[slot.index()]
            else {
                continue;
            };
            if with.is_none_or(|data| self.channels[data.index()].is_none()) {
                self.channels[slot.index()] = None;
                orders.push(Order { slot, round, told: Told::Release });
            }
        }
    }

    fn leave(&mut self, slot: Slot, with: Option<Slot>) -> Option<Round> {
        let member = self.channels[slot.index()].as_mut()?;
        member.phase = Phase::Leaving { with };
        Some(member.round)
    }
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions::new()
    }
}

/// The acceptor lane that takes bsr's next connection, if bsr is let in at all: `inside` is listened
/// on while there is one.
///
/// Refused otherwise (docs/channels.md 2, rule 1): with both lanes taken; while a lane of that
/// direction says goodbye (docs/link.md 2a, rule 7); while any lane of the resource is in
/// `close_pending`, because the other bsr still holds its old connection.
pub fn open_lane(channels: &[(Slot, State, bool)], rules: Rules) -> Option<Lane> {
    let blocked = rules.goodbyes_close_the_door
        && channels.iter().any(|&(slot, state, leaving)| match slot.role {
            Role::Acceptor => leaving || matches!(state, State::ClosePending | State::Stopping),
            Role::Connector => state == State::ClosePending,
        });
    if blocked {
        return None;
    }
    channels
        .iter()
        .filter(|(slot, state, _)| slot.role == Role::Acceptor && *state == State::Waiting)
        .map(|(slot, ..)| slot.lane)
        .min()
}
