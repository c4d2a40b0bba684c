//! The world of one resource: two relays with four channels each, and both bsr.
//!
//! Links are whole or lost for good, and handshakes take no time: `pair` is about those. What the
//! clocks of bsr say is taken for granted: a bsr that lost a connection tries again after a second,
//! when nothing is under way any more. Where it does not wait, that is a fault.

mod bsr;
mod end;
mod happen;
mod nameless;
mod promises;
mod sight;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use drx_protocol::names::ChannelType;
use drx_protocol::rules::Rules;
use drx_protocol::session::{Order, Sessions, Slot};
use drx_protocol::state::State;

use crate::search::World;
use bsr::{Bsr, Held, TYPES};
use end::{End, Local};
use nameless::Nameless;
pub use promises::Seen;

/// Which of the two nodes: its bsr and its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    const BOTH: [Side; 2] = [Side::A, Side::B];

    fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// Who opens what, when nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// A opens data, B meta: BSR.
    Apart,
    /// This one opens both: DRBD.
    Both(Side),
}

impl Way {
    fn opens(self, side: Side, channel_type: ChannelType) -> bool {
        match self {
            Way::Apart => (side == Side::A) == (channel_type == ChannelType::Data),
            Way::Both(opener) => opener == side,
        }
    }
}

/// What may go wrong: fewer kinds, and more worlds of them can be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    Anything,
    /// bsr come and go; links, actors and clocks do not fail, and each waits for the other.
    OnlyLosses,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub way: Way,
    /// How many things may go wrong in one story.
    pub faults: u8,
    pub wrong: Wrong,
    /// Whether a channel may hear late what its resource tells it.
    pub late_orders: bool,
    /// Whether relay and bsr may notice each other's closes later than anything else happens.
    pub late_notices: bool,
}

#[derive(Clone)]
struct Relay {
    sessions: Sessions,
    /// Shared between worlds until one of them changes it.
    ends: [Rc<End>; 4],
    /// What the resource has told its channels, and they have not heard yet.
    orders: Vec<Order>,
}

#[derive(Clone)]
pub struct Resource {
    bounds: Bounds,
    rules: Rules,
    faults_left: u8,
    relays: [Relay; 2],
    bsrs: [Bsr; 2],
    /// How many links there have been.
    links: u128,
    seen: Rc<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A's channel and its other end get a link.
    Link(Slot),
    /// The next frame on a link is taken.
    Receive(Side, Slot),
    /// A channel hears what the resource has told it.
    Obey(Side),
    /// bsr connects and says its first packet.
    Open(Side, ChannelType),
    /// bsr takes the connector's dial.
    Dial(Side, Slot),
    /// bsr has both, and starts.
    Agree(Side),
    /// The other bsr does not take one of them: bsr's own clocks end it.
    GiveUp(Side),
    /// The relay notices that bsr closed.
    Notice(Side, Slot),
    /// bsr notices that the relay closed.
    BsrNotices(Side, ChannelType),
    /// A byte from the other DRX is written to bsr.
    Write(Side, Slot),
    // What may go wrong.
    /// bsr opens what it has not got, without waiting.
    Duplicate(Side, ChannelType),
    /// bsr closes all it has.
    Drop(Side),
    /// bsr closes one, while it does not need both yet.
    Lose(Side, ChannelType),
    /// A's channel and its other end lose their link.
    Cut(Slot),
    /// A channel's actor is gone.
    Fail(Side, Slot),
    /// `close_pending_timeout` is over.
    TimedOut(Side, Slot),
}

fn across(slot: Slot) -> Slot {
    Slot { role: slot.role.other(), ..slot }
}

impl Resource {
    /// All links stand.
    pub fn new(bounds: Bounds, rules: Rules) -> Resource {
        let relay = || Relay {
            sessions: Sessions::with_rules(rules),
            ends: Slot::ALL.map(|slot| Rc::new(End::new(slot, rules))),
            orders: Vec::new(),
        };
        let mut resource = Resource {
            bounds,
            rules,
            faults_left: bounds.faults,
            relays: [relay(), relay()],
            bsrs: Default::default(),
            links: 0,
            seen: Rc::default(),
        };
        for slot in Slot::ALL {
            resource.link(slot).unwrap();
        }
        resource
    }

    /// How often its promises were put to the test, in this world and all that came of it.
    pub fn seen(&self) -> Rc<Seen> {
        self.seen.clone()
    }
}

impl World for Resource {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let quiet = self.is_quiet();
        // While it lasts a bsr may try and give up any number of times: one try is enough to see.
        let flushing = self.relays.iter().flat_map(|relay| &relay.ends).any(|end| end.can_write());
        for slot in Slot::ALL {
            if self.end(Side::A, slot).is(State::Bridging)
                && self.end(Side::B, across(slot)).is(State::Bridging)
            {
                steps.push(Step::Link(slot));
            }
        }
        for side in Side::BOTH {
            let bsr = &self.bsrs[side as usize];
            let settled = self.bounds.late_notices || self.is_settled(side);
            if !self.relays[side as usize].orders.is_empty() {
                steps.push(Step::Obey(side));
            }
            for slot in Slot::ALL {
                let end = self.end(side, slot);
                if !end.inbox.is_empty() {
                    steps.push(Step::Receive(side, slot));
                }
                if end.dials_bsr && !bsr.connected && settled {
                    steps.push(Step::Dial(side, slot));
                }
                if end.local == Local::BsrGone {
                    steps.push(Step::Notice(side, slot));
                }
                if end.can_write() {
                    steps.push(Step::Write(side, slot));
                }
            }
            for channel_type in TYPES {
                let gone = match bsr.held(channel_type) {
                    Some(Held::At(slot)) => self.end(side, slot).local == Local::Closing,
                    Some(Held::Dead) => true,
                    None => false,
                };
                if gone {
                    steps.push(Step::BsrNotices(side, channel_type));
                }
                if settled
                    && !bsr.connected
                    && bsr.held(channel_type).is_none()
                    && self.open_lane(side).is_some()
                {
                    if self.bounds.way.opens(side, channel_type) && (!bsr.waits || quiet) {
                        steps.push(Step::Open(side, channel_type));
                    } else {
                        steps.push(Step::Duplicate(side, channel_type));
                    }
                }
            }
            if settled && !bsr.connected && TYPES.iter().all(|&channel_type| bsr.at(channel_type).is_some()) {
                steps.push(Step::Agree(side));
            }
            let untaken = |slot: Slot| self.end(side, slot).is(State::Establishing);
            let refused = TYPES.iter().any(|&channel_type| bsr.at(channel_type).is_some_and(untaken));
            if quiet && !flushing && bsr.connected && refused {
                steps.push(Step::GiveUp(side));
            }
        }
        for side in Side::BOTH {
            let bsr = &self.bsrs[side as usize];
            if TYPES.iter().any(|&channel_type| bsr.held(channel_type).is_some()) {
                steps.push(Step::Drop(side));
            }
            if !bsr.connected {
                let held = TYPES.into_iter().filter(|&channel_type| bsr.at(channel_type).is_some());
                steps.extend(held.map(|channel_type| Step::Lose(side, channel_type)));
            }
            for slot in Slot::ALL {
                let end = self.end(side, slot);
                if !end.is(State::Bridging) {
                    steps.push(Step::Fail(side, slot));
                }
                if end.timed {
                    steps.push(Step::TimedOut(side, slot));
                }
                if side == Side::A && self.is_linked(side, slot) {
                    steps.push(Step::Cut(slot));
                }
            }
        }
        if self.faults_left == 0 {
            steps.retain(|&step| !Resource::is_fault(step));
        } else if self.bounds.wrong == Wrong::OnlyLosses {
            steps.retain(|&step| !Resource::is_fault(step) || matches!(step, Step::Drop(_) | Step::Lose(..)));
        }
        steps
    }

    fn is_fault(step: Step) -> bool {
        use Step::*;
        matches!(step, Duplicate(..) | Drop(_) | Lose(..) | Cut(_) | Fail(..) | TimedOut(..))
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        if Resource::is_fault(step) {
            self.faults_left -= 1;
        }
        let together = self.are_together();
        self.happen(step)?;
        for side in Side::BOTH {
            while !self.bounds.late_orders && !self.relays[side as usize].orders.is_empty() {
                self.happen(Step::Obey(side))?;
            }
        }
        self.replicate();
        if together && !Resource::is_fault(step) {
            self.promise_together()?;
        }
        self.promise_rest()
    }

    /// The two bsr are together, and no other lane is busy with anything.
    fn is_well(&self) -> bool {
        let busy = |(slot, end): (Slot, &End)| {
            !end.is_idle() && self.session_at_a().is_none_or(|pair| !pair.contains(&slot))
        };
        let of_a = Slot::ALL.into_iter().map(|slot| (slot, self.end(Side::A, slot)));
        let of_b = Slot::ALL.into_iter().map(|slot| (slot, self.end(Side::B, across(slot))));
        self.are_together() && self.is_quiet() && !of_a.chain(of_b).any(busy)
    }

    /// A lane without a round forgets the rounds it had: whoever still names one of them means
    /// none that is to come.
    fn canonical(&mut self) {
        for slot in Slot::ALL {
            let ends = [(Side::A, slot), (Side::B, across(slot))];
            for (side, slot) in ends {
                if self.end(side, slot).is(State::Bridging) && self.end(side, slot).inbox.is_empty() {
                    self.relay(side).ends[slot.index()] = Rc::new(End::new(slot, self.rules));
                }
            }
            if self.is_linked(Side::A, slot)
                && ends.iter().all(|&(side, slot)| self.end(side, slot).is_idle())
                && ends.iter().any(|&(side, slot)| !self.end(side, slot).is_fresh())
            {
                for (side, slot) in ends {
                    self.relay(side).ends[slot.index()] = Rc::new(End::new(slot, self.rules));
                }
                self.link(slot).expect("a fresh link changes nothing else");
            }
        }
    }
}

/// Links are counted for ever; only which are equal matters. Most lanes are fresh most of the time.
impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut nameless = Nameless::default();
        (self.faults_left, &self.bsrs).hash(&mut nameless);
        for relay in &self.relays {
            (&relay.sessions, &relay.orders).hash(&mut nameless);
            for end in &relay.ends {
                match end.is_fresh() {
                    true => end.link().hash(&mut nameless),
                    false => (true, end).hash(&mut nameless),
                }
            }
        }
        nameless.sums().hash(state);
    }
}

/// One line for each channel: a story is read by people.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for side in Side::BOTH {
            let (relay, bsr) = (&self.relays[side as usize], &self.bsrs[side as usize]);
            writeln!(
                f,
                "{side:?}: {bsr:?}, orders {:?}, newest {:?}",
                relay.orders,
                relay.sessions.newest()
            )?;
            for slot in Slot::ALL {
                writeln!(f, "  {slot:?} {:?}", self.end(side, slot))?;
            }
        }
        Ok(())
    }
}
