//! The world of one lane: two relays' ends, the connections between them, and both bsr.

mod end;
mod wire;

use drx_protocol::admission::{Dial, Verdict};
use drx_protocol::channel::{Action, Event, Kept, Partner};
use drx_protocol::names::{ChannelType, Epoch, LinkId, Round};
use drx_protocol::rules::Rules;
use drx_protocol::state::State;

use crate::search::World;
use end::End;
use wire::{Message, Wire};

/// Which of the two relays: A has the acceptor, B the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub channel_type: ChannelType,
    pub resume: bool,
    /// How many things may go wrong in one story.
    pub faults: u8,
    /// Only what a flapping line and a bsr that leaves do: fewer worlds, longer stories.
    pub only_flapping: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { channel_type: ChannelType::Data, resume: false, faults: 2, only_flapping: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    bounds: Bounds,
    faults_left: u8,
    a: End,
    b: End,
    wires: Vec<Wire>,
    dials: u64,
    next_link: u128,
    next_tag: u8,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The connector dials, afresh or to resume.
    Dial,
    /// The next message on a wire is taken.
    Receive(Side, u8),
    /// bsr connects and says its first packet (A), or takes the dial (B).
    BsrConnects(Side),
    BsrSays(Side),
    BsrSends(Side),
    /// Bytes from the other DRX are written to bsr.
    Write(Side),
    LocalGone(Side),
    Release(Side),
    // What may go wrong.
    BsrCloses(Side),
    NoFirstPacket,
    Break(u8),
    AbandonDial,
    Crash(Side),
    TimedOut(Side),
    ResumeTimedOut(Side),
    PartnerEnds(Side, Kept),
}

impl Pair {
    pub fn new(bounds: Bounds, rules: Rules) -> Pair {
        let mut pair = Pair {
            bounds,
            faults_left: bounds.faults,
            a: End::new(Side::A, rules),
            b: End::new(Side::B, rules),
            wires: Vec::new(),
            dials: 0,
            next_link: 1,
            next_tag: 1,
            rules,
        };
        for side in [Side::A, Side::B] {
            pair.step(side, Event::Allocated).unwrap();
        }
        pair
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    fn wire(&mut self, id: u8) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.id == id)
    }

    fn send(&mut self, from: Side, message: Message) {
        if let Some(id) = self.end(from).wire
            && let Some(wire) = self.wire(id)
        {
            wire.send(from, message);
        }
    }

    /// One event in, all its actions done, then what follows from it.
    fn step(&mut self, side: Side, event: Event) -> Result<(), String> {
        let Some(actions) = self.end_mut(side).channel.step(event) else { return Ok(()) };
        let channel = &self.end(side).channel;
        let wanted = channel.state() == State::Bridging || channel.link().is_suspended();
        if side == Side::B && (!wanted || actions.contains(&Action::Restart)) {
            self.stop_dialling();
        }
        for action in actions {
            for message in self.end_mut(side).act(action)? {
                match message {
                    Some(message) => self.send(side, message),
                    None => self.hang_up(side),
                }
            }
        }
        self.settle(side)
    }

    /// Everything that happens by itself at once: passing states, sending, what delivery notices.
    fn settle(&mut self, side: Side) -> Result<(), String> {
        let end = self.end(side);
        if end.channel.passes() {
            return self.step(side, Event::Next);
        }
        for message in self.end_mut(side).pump() {
            self.send(side, message);
        }
        match self.end_mut(side).notice() {
            Some(event) => self.step(side, event),
            None => Ok(()),
        }
    }

    /// A dial that is not wanted any more is not answered either.
    fn stop_dialling(&mut self) {
        if let Some(id) = self.b.dialling.take()
            && let Some(wire) = self.wire(id)
        {
            wire.close(Side::B);
        }
    }

    fn hang_up(&mut self, side: Side) {
        if let Some(id) = self.end_mut(side).wire.take()
            && let Some(wire) = self.wire(id)
        {
            wire.close(side);
        }
    }

    fn dial(&mut self) {
        self.dials += 1;
        let channel = &self.b.channel;
        let resume = channel.link().is_suspended().then(|| channel.attempt());
        let link = match channel.link().id().filter(|_| resume.is_some()) {
            Some(link) => link,
            None => {
                self.next_link += 1;
                LinkId(self.next_link)
            }
        };
        let epoch = Epoch { started: u64::from(self.b.epoch), counter: 0 };
        let id = (0..).find(|id| self.wires.iter().all(|wire| wire.id != *id)).unwrap();
        let dial = Dial { link, epoch, number: self.dials, resume };
        self.wires.push(Wire::dialled(id, Message::Hello(dial, self.b.received())));
        self.b.dialling = Some(id);
    }

    fn receive(&mut self, side: Side, id: u8) -> Result<(), String> {
        let Some(message) = self.wire(id).and_then(|wire| wire.receive(side)) else { return Ok(()) };
        match message {
            Message::Hello(dial, next) => self.admit(id, dial, next),
            Message::Welcome { link, next } => self.welcomed(id, link, next),
            Message::Refused => {
                self.wire(id).unwrap().close(Side::B);
                self.b.dialling = None;
                if self.b.channel.link().is_suspended() { self.lose(Side::B) } else { Ok(()) }
            }
            Message::Closed => {
                self.wire(id).unwrap().close(side);
                if side == Side::B && self.b.dialling == Some(id) {
                    self.b.dialling = None;
                }
                if self.end(side).wire != Some(id) {
                    return Ok(());
                }
                self.end_mut(side).wire = None;
                if self.bounds.resume && self.end(side).channel.resumable() {
                    self.step(side, Event::LinkBroken)
                } else {
                    self.lose(side)
                }
            }
            _ if self.end(side).wire != Some(id) => Ok(()),
            message => match self.end_mut(side).hear(message)? {
                Some(event) => self.step(side, event),
                None => self.settle(side),
            },
        }
    }

    fn admit(&mut self, id: u8, dial: Dial, next: u64) -> Result<(), String> {
        let verdict = self.a.admission.admit(&dial, &self.a.channel);
        let refused = |pair: &mut Pair| {
            let wire = pair.wire(id).unwrap();
            wire.send(Side::A, Message::Refused);
            wire.close(Side::A);
        };
        match verdict {
            Verdict::Unknown | Verdict::Overtaken => {
                refused(self);
                Ok(())
            }
            Verdict::Busy | Verdict::Ended => {
                refused(self);
                self.hang_up(Side::A);
                self.lose(Side::A)
            }
            Verdict::Fresh | Verdict::Resume => {
                self.hang_up(Side::A);
                self.a.wire = Some(id);
                let next_here = self.a.received();
                self.wire(id).unwrap().send(Side::A, Message::Welcome { link: dial.link, next: next_here });
                if verdict == Verdict::Fresh {
                    // Without rule 1 the link is put under whatever the channel is doing.
                    return self.step(Side::A, Event::LinkUp(dial.link));
                }
                self.resumed(Side::A, next)
            }
        }
    }

    fn welcomed(&mut self, id: u8, link: LinkId, next: u64) -> Result<(), String> {
        if self.b.dialling != Some(id) {
            self.wire(id).unwrap().close(Side::B);
            return Ok(());
        }
        self.b.dialling = None;
        self.b.wire = Some(id);
        if self.b.channel.link().is_suspended() {
            return self.resumed(Side::B, next);
        }
        self.step(Side::B, Event::LinkUp(link))
    }

    fn resumed(&mut self, side: Side, next: u64) -> Result<(), String> {
        if self.end_mut(side).resume(next) {
            // A side that had not noticed the break yet is suspended for a moment.
            let channel = &self.end(side).channel;
            if !channel.link().is_suspended() && channel.resumable() {
                self.step(side, Event::LinkBroken)?;
            }
            // An acknowledgement may have been lost with the old transport: it is told again.
            if let Some(message) = self.end_mut(side).acknowledge() {
                self.send(side, message);
            }
            return self.step(side, Event::LinkResumed);
        }
        self.hang_up(side);
        self.lose(side)
    }

    fn lose(&mut self, side: Side) -> Result<(), String> {
        self.step(side, Event::LinkLost)
    }

    fn crash(&mut self, side: Side) -> Result<(), String> {
        for wire in &mut self.wires {
            wire.close(side);
        }
        let epoch = self.end(side).epoch + 1;
        *self.end_mut(side) = End::new(side, self.rules);
        self.end_mut(side).epoch = epoch;
        if side == Side::B {
            self.dials = 0; // a new life counts its dials afresh
        }
        self.step(side, Event::Allocated)
    }
}

impl World for Pair {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let b = &self.b.channel;
        if self.b.dialling.is_none() && (b.state() == State::Bridging || b.link().is_suspended()) {
            steps.push(Step::Dial);
        }
        for wire in &self.wires {
            for side in [Side::A, Side::B] {
                if wire.pending(side) {
                    steps.push(Step::Receive(side, wire.id));
                }
            }
        }
        if self.a.channel.state() == State::Waiting {
            steps.push(Step::BsrConnects(Side::A));
        }
        if self.a.channel.state() == State::Connected {
            steps.push(Step::BsrSays(Side::A));
        }
        if self.b.dials_bsr {
            steps.push(Step::BsrConnects(Side::B));
        }
        for side in [Side::A, Side::B] {
            let end = self.end(side);
            if end.can_read() {
                steps.push(Step::BsrSends(side));
            }
            if end.can_write() {
                steps.push(Step::Write(side));
            }
            if end.closing {
                steps.push(Step::LocalGone(side));
            }
            if end.held {
                steps.push(Step::Release(side));
            }
        }
        if self.faults_left == 0 {
            return steps;
        }
        for side in [Side::A, Side::B] {
            let end = self.end(side);
            if end.bsr.is_some() && !end.bsr_gone {
                steps.push(Step::BsrCloses(side));
            }
            if end.timed {
                steps.push(Step::TimedOut(side));
            }
            if end.channel.link().is_suspended() {
                steps.push(Step::ResumeTimedOut(side));
            }
            if end.channel.state() == State::Established {
                let kept = [Kept::Outbound, Kept::Inbound, Kept::Received];
                steps.extend(kept.map(|kept| Step::PartnerEnds(side, kept)));
            }
            steps.push(Step::Crash(side));
        }
        if self.a.channel.state() == State::Connected {
            steps.push(Step::NoFirstPacket);
        }
        if self.b.dialling.is_some() {
            steps.push(Step::AbandonDial);
        }
        steps.extend(self.wires.iter().filter(|wire| wire.is_whole()).map(|wire| Step::Break(wire.id)));
        if self.bounds.only_flapping {
            let flapping = |step: &Step| matches!(step, Step::Break(_) | Step::BsrCloses(_) | Step::TimedOut(_));
            steps.retain(|step| !Pair::is_fault(*step) || flapping(step));
        }
        steps
    }

    fn is_fault(step: Step) -> bool {
        use Step::*;
        matches!(
            step,
            BsrCloses(_)
                | NoFirstPacket
                | Break(_)
                | AbandonDial
                | Crash(_)
                | TimedOut(_)
                | ResumeTimedOut(_)
                | PartnerEnds(..)
                | BsrSends(_)
        )
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        if Pair::is_fault(step) && !matches!(step, Step::BsrSends(_)) {
            self.faults_left -= 1;
        }
        let channel_type = self.bounds.channel_type;
        match step {
            Step::Dial => {
                self.dial();
                Ok(())
            }
            Step::Receive(side, id) => self.receive(side, id),
            Step::BsrConnects(side) => {
                self.next_tag += 1;
                let tag = self.next_tag;
                self.end_mut(side).connected(tag);
                self.step(side, if side == Side::A { Event::Accepted } else { Event::Dialled })
            }
            Step::BsrSays(_) => {
                self.a.begin();
                self.step(Side::A, Event::FirstPacket(channel_type))
            }
            Step::BsrSends(side) => {
                self.end_mut(side).read();
                self.settle(side)
            }
            Step::Write(side) => {
                self.end_mut(side).write()?;
                self.settle(side)
            }
            Step::LocalGone(side) => {
                self.end_mut(side).local_gone();
                self.step(side, Event::LocalGone)
            }
            Step::Release(side) => {
                self.end_mut(side).held = false;
                self.step(side, Event::Released)
            }
            Step::BsrCloses(side) => {
                self.end_mut(side).bsr_gone = true;
                self.step(side, Event::LocalClosed)
            }
            Step::NoFirstPacket => self.step(Side::A, Event::NoFirstPacket),
            Step::Break(id) => {
                self.wire(id).unwrap().snap();
                Ok(())
            }
            Step::AbandonDial => {
                self.stop_dialling();
                Ok(())
            }
            Step::Crash(side) => self.crash(side),
            Step::TimedOut(side) => {
                self.end_mut(side).timed = false;
                self.step(side, Event::TimedOut)
            }
            Step::ResumeTimedOut(side) => self.lose(side),
            Step::PartnerEnds(side, kept) => {
                let round = Round { link: LinkId(0), attempt: 1 }; // on a link that is not searched
                self.step(side, Event::PartnerEnded(Partner { round, kept }))
            }
        }?;
        self.check()
    }

    fn is_well(&self) -> bool {
        let (a, b) = (&self.a.channel, &self.b.channel);
        a.state() == State::Established
            && b.state() == State::Established
            && a.round() == b.round()
            && a.link().is_up()
            && b.link().is_up()
            && self.a.wire.is_some()
            && self.a.wire == self.b.wire
            && self.wires.iter().any(|wire| Some(wire.id) == self.a.wire && wire.is_whole())
    }

    /// Links, dials and bsr connections are counted for ever: only which are equal, and which came
    /// later, matters.
    fn canonical(&mut self) {
        self.wires.retain(|wire| !wire.is_over());
        self.wires.sort_by_key(|wire| wire.id);
        let mut links = self.a.links();
        links.extend(self.b.links());
        links.extend(self.wires.iter().flat_map(Wire::links));
        links.sort_unstable();
        links.dedup();
        let link = |id: LinkId| LinkId(links.binary_search(&id).unwrap() as u128 + 1);
        let mut tags: Vec<u8> = [self.a.bsr, self.b.bsr, self.a.fed_by, self.b.fed_by].into_iter().flatten().collect();
        tags.extend(self.wires.iter().flat_map(Wire::tags));
        tags.extend(self.a.waiting_tag.iter().chain(&self.b.waiting_tag));
        tags.sort_unstable();
        tags.dedup();
        let tag = |tag: u8| tags.binary_search(&tag).unwrap() as u8 + 1;
        for end in [&mut self.a, &mut self.b] {
            end.rename(&link, &tag);
        }
        for wire in &mut self.wires {
            wire.rename(&link, &tag);
        }
        self.next_link = links.len() as u128 + 1;
        self.next_tag = tags.len() as u8 + 1;
        self.renumber_dials();
    }
}

impl Pair {
    /// Two bsr connections that hear each other hear nobody else.
    fn check(&self) -> Result<(), String> {
        for (here, there) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let heard = here.fed_by.filter(|_| here.bsr.is_some());
            if heard.is_some() && heard == there.bsr && there.fed_by.is_some_and(|fed_by| Some(fed_by) != here.bsr) {
                return Err(format!("bsr {:?} is joined to {:?} and to {:?}", heard, here.bsr, there.fed_by));
            }
        }
        Ok(())
    }

    fn renumber_dials(&mut self) {
        let epoch = u64::from(self.b.epoch);
        let mut numbers: Vec<u64> = self.wires.iter().flat_map(|wire| wire.dial_numbers(epoch)).collect();
        let counts_this_life = self.a.admission.peer().is_some_and(|peer| peer.started == epoch);
        if counts_this_life {
            numbers.push(self.a.admission.highest());
        }
        numbers.push(self.dials);
        numbers.sort_unstable();
        numbers.dedup();
        let rank = |number: u64| numbers.binary_search(&number).unwrap() as u64 + 1;
        for wire in &mut self.wires {
            wire.renumber(epoch, &rank);
        }
        if counts_this_life {
            let highest = rank(self.a.admission.highest());
            self.a.admission.renumber(highest);
        }
        self.dials = rank(self.dials);
    }
}
