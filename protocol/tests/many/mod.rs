//! The world of one resource: two relays with four channels each, and both bsr.
//!
//! Links are whole or lost for good, and handshakes take no time: `pair` is about those.

mod bsr;
mod end;
mod nameless;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use drx_protocol::channel::{Action, EndedBy, Event};
use drx_protocol::ending::Ending;
use drx_protocol::names::{ChannelType, LinkId, Role};
use drx_protocol::rules::Rules;
use drx_protocol::session::{Order, Sessions, Slot, Told, open_lane};
use drx_protocol::state::State;

use crate::search::World;
use bsr::{Bsr, Held, TYPES};
use end::{End, Local, Message};
use nameless::Nameless;

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

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub way: Way,
    /// How many things may go wrong in one story.
    pub faults: u8,
    pub lag: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// bsr opens what the other one was to open.
    Duplicate(Side, ChannelType),
    /// bsr closes all it has.
    Drop(Side),
    /// bsr closes one, while it does not need both yet.
    Lose(Side, ChannelType),
    /// A's channel and its other end lose their link.
    Cut(Slot),
    /// A channel's actor is gone.
    Fail(Side, Slot),
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
        };
        for slot in Slot::ALL {
            resource.link(slot).unwrap();
        }
        resource
    }

    fn relay(&mut self, side: Side) -> &mut Relay {
        &mut self.relays[side as usize]
    }

    fn bsr(&mut self, side: Side) -> &mut Bsr {
        &mut self.bsrs[side as usize]
    }

    fn end(&self, side: Side, slot: Slot) -> &End {
        &self.relays[side as usize].ends[slot.index()]
    }

    fn end_mut(&mut self, side: Side, slot: Slot) -> &mut End {
        Rc::make_mut(&mut self.relays[side as usize].ends[slot.index()])
    }

    fn link(&mut self, slot: Slot) -> Result<(), String> {
        self.links += 1;
        let link = LinkId(self.links << 96);
        self.step(Side::A, slot, Event::LinkUp(link))?;
        self.step(Side::B, across(slot), Event::LinkUp(link))
    }

    /// Whether both ends still have the same link, as far as they know.
    fn is_linked(&self, side: Side, slot: Slot) -> bool {
        let (here, there) = (self.end(side, slot), self.end(side.other(), across(slot)));
        let whole = |end: &End| !end.inbox.contains(&Message::Closed);
        here.link().is_some() && here.link() == there.link() && whole(here) && whole(there)
    }

    fn send(&mut self, side: Side, slot: Slot, message: Message) {
        if self.is_linked(side, slot) {
            self.end_mut(side.other(), across(slot)).inbox.push(message);
        }
    }

    /// One event in, all its actions done, then what follows from it.
    fn step(&mut self, side: Side, slot: Slot, event: Event) -> Result<(), String> {
        let before = self.end(side, slot).channel.state();
        let Some(actions) = self.end_mut(side, slot).channel.step(event) else { return Ok(()) };
        let mut gone = false;
        for action in actions {
            for message in self.end_mut(side, slot).act(action)? {
                self.send(side, slot, message);
            }
            match action {
                Action::CloseLocal(_) => {
                    self.promise_flushed(side, slot)?;
                    gone |= self.close_local(side, slot);
                }
                Action::Tell(by) => {
                    self.tell(side, |sessions| sessions.ended(slot, by));
                    self.promise_meant(side, by)?;
                }
                _ => {}
            }
        }
        let channel = &self.end(side, slot).channel;
        let after = channel.state();
        let data = channel.channel_type() == Some(ChannelType::Data);
        if before != State::Established && after == State::Established {
            let (channel_type, round) = (channel.channel_type().unwrap(), channel.round().unwrap());
            self.relay(side).sessions.established(slot, channel_type, round);
        }
        let in_session = |state| matches!(state, State::Established | State::ClosePending);
        if data && in_session(before) && !in_session(after) || before != after && after == State::Stopped {
            self.tell(side, |sessions| sessions.left(slot));
        }
        if after == State::Stopped {
            self.end_mut(side, slot).timed = false;
        }
        if gone {
            self.step(side, slot, Event::LocalGone)?;
        }
        self.settle(side, slot)
    }

    /// Everything that happens by itself at once: passing states, what delivery notices.
    fn settle(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let end = self.end_mut(side, slot);
        if end.channel.passes() {
            return self.step(side, slot, Event::Next);
        }
        match end.notice() {
            Some(event) => self.step(side, slot, event),
            None => Ok(()),
        }
    }

    fn tell(&mut self, side: Side, what: impl Fn(&mut Sessions) -> Vec<Order>) {
        let relay = self.relay(side);
        let orders = what(&mut relay.sessions);
        relay.orders.extend(orders);
    }

    /// The relay closes its connection to bsr; `true` if it is gone at once.
    fn close_local(&mut self, side: Side, slot: Slot) -> bool {
        let end = self.end_mut(side, slot);
        match end.local {
            Local::Open => end.local = Local::Closing,
            Local::BsrGone => end.local = Local::None,
            Local::None | Local::Closing => {}
        }
        end.local == Local::None
    }

    /// bsr closes its connection to this channel.
    fn bsr_closes(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let end = self.end_mut(side, slot);
        match end.local {
            Local::Open => end.local = Local::BsrGone,
            Local::Closing => {
                end.local = Local::None;
                return self.step(side, slot, Event::LocalGone);
            }
            Local::None | Local::BsrGone => {}
        }
        Ok(())
    }

    fn all_close(&mut self, side: Side, slots: Vec<Slot>) -> Result<(), String> {
        slots.into_iter().try_for_each(|slot| self.bsr_closes(side, slot))
    }

    fn open_lane(&self, side: Side) -> Option<Slot> {
        let channels = Slot::ALL.map(|slot| (slot, self.end(side, slot).channel.state(), false));
        open_lane(&channels, self.rules).map(|lane| Slot { role: Role::Acceptor, lane })
    }

    /// Whether relay and bsr have noticed of each other what there is to notice. That takes them no
    /// time, compared with the second after which a bsr tries again.
    fn is_settled(&self, side: Side) -> bool {
        let noticed = |end: &End| !matches!(end.local, Local::BsrGone | Local::Closing);
        let relay = &self.relays[side as usize];
        let bsr = &self.bsrs[side as usize];
        relay.orders.is_empty()
            && relay.ends.iter().all(|end| noticed(end))
            && TYPES.iter().all(|&channel_type| bsr.held(channel_type) != Some(Held::Dead))
    }

    /// Whether nothing is under way between the relays.
    fn is_quiet(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.is_settled(side))
            && self.relays.iter().flat_map(|relay| &relay.ends).all(|end| end.inbox.is_empty())
    }

    fn open(&mut self, side: Side, channel_type: ChannelType) -> Result<(), String> {
        let slot = self.open_lane(side).unwrap();
        let closing = Slot::ALL.into_iter().find(|&slot| self.end(side, slot).is(State::ClosePending));
        if let Some(closing) = closing {
            return Err(format!("bsr is let in while {closing:?} is in close_pending"));
        }
        self.bsr(side).waits = false;
        self.bsr(side).hold(channel_type, slot);
        self.end_mut(side, slot).local = Local::Open;
        self.step(side, slot, Event::Accepted)?;
        self.relay(side).sessions.connected(slot);
        self.step(side, slot, Event::FirstPacket(channel_type))
    }

    fn dial(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let channel_type = self.end(side, slot).channel.channel_type().unwrap();
        let older = self.bsr(side).hold(channel_type, slot);
        let end = self.end_mut(side, slot);
        end.dials_bsr = false;
        end.local = Local::Open;
        end.begin();
        self.relay(side).sessions.connected(slot);
        self.step(side, slot, Event::Dialled)?;
        self.all_close(side, older.into_iter().collect())
    }

    fn fail(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        if self.is_linked(side, slot) {
            self.end_mut(side.other(), across(slot)).inbox.push(Message::Closed);
        }
        self.bsr(side).forgotten(slot);
        self.tell(side, |sessions| sessions.ended(slot, EndedBy::Failure));
        self.tell(side, |sessions| sessions.left(slot));
        self.relay(side).ends[slot.index()] = Rc::new(End::new(slot, self.rules));
        Ok(())
    }

    /// Nobody can promise that what was in the BAB arrives: a link, an actor or the time is gone.
    fn forgive(&mut self) {
        for end in self.relays.iter_mut().flat_map(|relay| &mut relay.ends).filter(|end| end.owed.is_some()) {
            let end = Rc::make_mut(end);
            end.owed = end.owed.map(|_| false);
        }
    }

    /// The far bsr never loses its meta before the flushed data of that session is through.
    fn promise_flushed(&self, side: Side, slot: Slot) -> Result<(), String> {
        let bsr = &self.bsrs[side as usize];
        let Some(data) =
            bsr.at(ChannelType::Data).filter(|_| bsr.connected && bsr.at(ChannelType::Meta) == Some(slot))
        else {
            return Ok(());
        };
        let stands = matches!(self.end(side, data).channel.state(), State::Established | State::ClosePending);
        if stands && self.end(side.other(), across(data)).owed == Some(true) {
            return Err(format!("{side:?}'s bsr loses meta {slot:?} before the data at {data:?} is through"));
        }
        Ok(())
    }

    /// A stop that names the partner does no harm to a connection that two bsr hold at its ends.
    fn promise_meant(&self, side: Side, by: EndedBy) -> Result<(), String> {
        let EndedBy::Remote(Ending { partner: Some(named), .. }) = by else { return Ok(()) };
        for order in &self.relays[side as usize].orders {
            let (Told::End(_), true) = (order.told, order.round != named) else { continue };
            let at_a = if side == Side::A { order.slot } else { across(order.slot) };
            if TYPES.into_iter().any(|channel_type| self.is_joined(at_a, channel_type)) {
                return Err(format!(
                    "{side:?} ends {:?}, which two bsr hold, for a stop that means another",
                    order.slot
                ));
            }
        }
        Ok(())
    }

    fn is_joined(&self, slot: Slot, channel_type: ChannelType) -> bool {
        let (a, b) = (self.end(Side::A, slot), self.end(Side::B, across(slot)));
        self.is_linked(Side::A, slot)
            && a.is(State::Established)
            && b.is(State::Established)
            && a.channel.round() == b.channel.round()
            && a.local == Local::Open
            && b.local == Local::Open
            && self.bsrs[0].at(channel_type) == Some(slot)
            && self.bsrs[1].at(channel_type) == Some(across(slot))
    }

    /// Once all is well the two bsr replicate: each has written something that the other must get.
    fn meet(&mut self) {
        if self.are_together()
            && let Some([data, _]) = self.session_at_a()
        {
            for (side, slot) in [(Side::A, data), (Side::B, across(data))] {
                if self.end(side, slot).owed.is_none() {
                    self.end_mut(side, slot).owed = Some(true);
                }
            }
        }
    }

    fn session_at_a(&self) -> Option<[Slot; 2]> {
        self.relays[0].sessions.newest().map(|(data, meta)| [data, meta])
    }

    /// Both bsr hold data and meta, joined to each other, and both relays know it for one session.
    fn are_together(&self) -> bool {
        let Some([data, meta]) = self.session_at_a() else { return false };
        self.relays[1].sessions.newest() == Some((across(data), across(meta)))
            && self.bsrs.iter().all(|bsr| bsr.connected)
            && self.is_joined(data, ChannelType::Data)
            && self.is_joined(meta, ChannelType::Meta)
    }

    fn happen(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Link(slot) => self.link(slot),
            Step::Receive(side, slot) => {
                let end = self.end_mut(side, slot);
                let message = end.inbox.remove(0);
                let (event, answer) = end.hear(message);
                if let Some(answer) = answer {
                    self.send(side, slot, answer);
                }
                match event {
                    Some(event) => self.step(side, slot, event),
                    None => self.settle(side, slot),
                }
            }
            Step::Obey(side) => {
                let order = self.relay(side).orders.remove(0);
                match order.event(&self.end(side, order.slot).channel) {
                    Some(event) => self.step(side, order.slot, event),
                    None => Ok(()),
                }
            }
            Step::Open(side, channel_type) | Step::Duplicate(side, channel_type) => {
                self.open(side, channel_type)
            }
            Step::Dial(side, slot) => self.dial(side, slot),
            Step::Agree(side) => {
                self.bsr(side).connected = true;
                Ok(())
            }
            Step::Notice(side, slot) => self.step(side, slot, Event::LocalClosed),
            Step::BsrNotices(side, channel_type) | Step::Lose(side, channel_type) => {
                let lost = self.bsr(side).lose(channel_type);
                self.all_close(side, lost)
            }
            Step::Write(side, slot) => {
                let ack = self.end_mut(side, slot).write();
                self.send(side, slot, ack);
                let writer = self.end_mut(side.other(), across(slot));
                writer.owed = writer.owed.map(|_| false);
                self.settle(side, slot)
            }
            Step::Drop(side) | Step::GiveUp(side) => {
                let lost = self.bsr(side).drop_all();
                self.all_close(side, lost)
            }
            Step::Cut(slot) => {
                self.forgive();
                for (side, slot) in [(Side::A, slot), (Side::B, across(slot))] {
                    self.end_mut(side, slot).inbox = vec![Message::Closed];
                }
                Ok(())
            }
            Step::Fail(side, slot) => {
                self.forgive();
                self.fail(side, slot)
            }
            Step::TimedOut(side, slot) => {
                self.forgive();
                self.end_mut(side, slot).timed = false;
                self.step(side, slot, Event::TimedOut)
            }
        }
    }
}

impl World for Resource {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let quiet = self.is_quiet();
        for slot in Slot::ALL {
            if self.end(Side::A, slot).is(State::Bridging)
                && self.end(Side::B, across(slot)).is(State::Bridging)
            {
                steps.push(Step::Link(slot));
            }
        }
        for side in Side::BOTH {
            let bsr = &self.bsrs[side as usize];
            let settled = self.is_settled(side);
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
                    } else if self.faults_left > 0 {
                        steps.push(Step::Duplicate(side, channel_type));
                    }
                }
            }
            if settled && !bsr.connected && TYPES.iter().all(|&channel_type| bsr.at(channel_type).is_some()) {
                steps.push(Step::Agree(side));
            }
            let untaken = |slot: Slot| self.end(side, slot).is(State::Establishing);
            if quiet
                && bsr.connected
                && TYPES.iter().any(|&channel_type| bsr.at(channel_type).is_some_and(untaken))
            {
                steps.push(Step::GiveUp(side));
            }
        }
        if self.faults_left == 0 {
            return steps;
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
            while !self.bounds.lag && !self.relays[side as usize].orders.is_empty() {
                self.happen(Step::Obey(side))?;
            }
        }
        if together && !Resource::is_fault(step) && !self.are_together() {
            return Err("what was well is well no more".into());
        }
        self.meet();
        for side in Side::BOTH {
            if Slot::ALL.into_iter().any(|slot| self.end(side, slot).channel.attempt() > 4) {
                return Err("rounds follow each other again and again".into());
            }
        }
        Ok(())
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
            {
                for (side, slot) in ends {
                    self.relay(side).ends[slot.index()] = Rc::new(End::new(slot, self.rules));
                }
                self.link(slot).expect("a fresh link changes nothing else");
            }
        }
    }
}

/// Links are counted for ever; only which are equal matters.
impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut nameless = Nameless::default();
        (self.faults_left, &self.relays, &self.bsrs).hash(&mut nameless);
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
