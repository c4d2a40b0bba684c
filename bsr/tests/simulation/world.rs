//! Two sides and what is between them.

use std::time::Duration;

use bytes::Bytes;
use drx_bsr::core::{Node, Order, Protocol, Request, SECTOR, Settings, State, Time};
use drx_bsr::wire::{Connection, Disk, Role};

use crate::model::{Lost, Model};
use crate::node::Side;

const VOLUME: usize = 24 << 20;

pub struct World {
    settings: Settings,
    random: fastrand::Rng,
    sides: [Side; 2],
    now: Time,
    model: Model,
    tags: u64,
    /// Which side's applications the model speaks of.
    primary: Option<usize>,
    /// Connections cannot be opened.
    line_down: bool,
    /// Sectors that both disks have.
    sectors: usize,
    /// What was not flushed may have gone with the power.
    may_lose: bool,
    /// How often a secondary became primary in place of one that was killed.
    pub takeovers: u64,
}

impl World {
    pub fn new(settings: Settings, mut random: fastrand::Rng, loud: bool) -> World {
        // Of any sizes: two of three end within a block of 4 KiB.
        let mut size = || VOLUME - random.usize(..3) * random.usize(..20) * SECTOR as usize;
        let sizes = [size(), size()];
        let sectors = sizes[0].min(sizes[1]) / SECTOR as usize;
        let mut sides = [Side::new("left", sizes[0], loud), Side::new("right", sizes[1], loud)];
        if loud {
            eprintln!("{settings:?}");
        }
        for side in &mut sides {
            side.start(settings.clone(), random.u64(..), Time::ZERO);
        }
        let model = Model::new(sectors);
        let mut world = World {
            settings,
            random,
            sides,
            now: Time::ZERO,
            model,
            tags: 0,
            primary: None,
            line_down: false,
            sectors,
            may_lose: false,
            takeovers: 0,
        };
        world.connect();
        world.settle("the first connection", |world| {
            world.states().iter().all(|s| s.connection == Connection::Connected)
        });
        // Nobody has data yet: one side has to be called good.
        let now = world.now;
        world.sides[0].order(now, Order::Primary { force: true });
        world.primary = Some(0);
        world.settle("the first resync", |world| {
            let good = |state: &State| state.disk == Disk::UpToDate && state.peer_disk == Disk::UpToDate;
            world.states().iter().all(good) && !world.sides.iter().any(|side| side.disk.is_busy())
        });
        world
    }

    fn states(&self) -> Vec<State> {
        self.sides.iter().filter_map(|side| side.node.as_ref().map(Node::state)).collect()
    }

    fn state(&self, side: usize) -> Option<State> {
        self.sides[side].node.as_ref().map(Node::state)
    }

    fn connect(&mut self) {
        let now = self.now;
        for side in &mut self.sides {
            if side.node.as_ref().is_some_and(|node| node.state().connection == Connection::StandAlone) {
                side.order(now, Order::Connect { discard_my_data: false });
            }
        }
    }

    /// Applications and operators only; nothing breaks.
    pub fn use_for(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.u32(..1000) {
                0..10 => self.switch(),
                10..20 => {
                    let (side, now) = (self.random.usize(..2), self.now);
                    self.sides[side].order(now, Order::Verify);
                }
                20..400 => self.apply(),
                _ => {}
            }
            for _ in 0..self.random.usize(..6) {
                self.step();
            }
        }
    }

    /// Things happen, in any order.
    pub fn storm(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.u32(..1000) {
                0..6 => self.kill(),
                6..12 => self.cut(),
                12..16 => self.line_down = !self.line_down,
                16..26 => self.operate(),
                26..40 => self.restart(),
                40..400 => self.apply(),
                _ => {}
            }
            for _ in 0..self.random.usize(..6) {
                self.step();
            }
        }
    }

    /// One thing goes on.
    fn step(&mut self) {
        let (side, now) = (self.random.usize(..2), self.now);
        match self.random.u32(..12) {
            0..3 => self.carry(side, 0),
            3..6 => self.carry(side, 1),
            6 | 7 => self.sides[side].read(now, 0),
            8 => {
                for _ in 0..self.random.usize(..8) {
                    self.sides[side].read(now, 1);
                }
            }
            9 | 10 => {
                let flush = self.random.bool();
                if let Some(event) = self.sides[side].disk.step(flush) {
                    self.sides[side].handle(now, event);
                }
            }
            _ => self.pass_time(),
        }
        self.open();
        self.collect();
    }

    fn carry(&mut self, from: usize, stream: usize) {
        let now = self.now;
        for _ in 0..self.random.usize(1..8) {
            if let Some(packet) = self.sides[from].take(now, stream)
                && self.sides[1 - from].linked
            {
                self.sides[1 - from].inbox[stream].extend_from_slice(&packet);
            }
        }
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_millis(self.random.u64(1..20));
        let now = self.now;
        for side in &mut self.sides {
            if side.node.as_ref().and_then(Node::deadline).is_some_and(|deadline| deadline <= now) {
                side.handle(now, drx_bsr::core::Event::Timer);
            }
        }
    }

    /// One side's end becomes known to the other; two that look for each other find each other.
    fn open(&mut self) {
        let now = self.now;
        for side in 0..2 {
            let other = 1 - side;
            if self.sides[side].linked
                && !self.sides[other].linked
                && self.sides[side].inbox.iter().all(|i| i.is_empty())
            {
                self.broken(side, "closed by the other side");
            }
        }
        let ready = |side: &Side| side.opening.is_some_and(|at| at <= now);
        if !self.line_down && self.sides.iter().all(ready) {
            let first = self.random.usize(..2);
            for side in 0..2 {
                let mut challenge = [0; 64];
                self.random.fill(&mut challenge);
                self.sides[side].link(now, side == first, challenge);
            }
        }
    }

    fn broken(&mut self, side: usize, what: &str) {
        let now = self.now;
        self.sides[side].unlink();
        let stream = [drx_bsr::wire::Stream::Data, drx_bsr::wire::Stream::Meta][self.random.usize(..2)];
        let what = what.to_owned();
        self.sides[side]
            .handle(now, drx_bsr::core::Event::Broken(drx_bsr::core::Breakage::Lost { stream, what }));
    }

    fn collect(&mut self) {
        for side in 0..2 {
            for (id, done) in std::mem::take(&mut self.sides[side].completed) {
                if self.primary == Some(side) {
                    if let Some(read) = &done {
                        self.model.end_read(id, &tags(read), self.may_lose);
                    }
                    self.model.end(id, done.is_some());
                }
            }
        }
    }

    fn kill(&mut self) {
        let side = self.random.usize(..2);
        let before = self.state(side);
        // A disk that need not flush never loses anything.
        let power = self.settings.disk_flushes && self.random.bool();
        // What the other one has written itself stays, unless its disk is being overwritten from this one, the only
        // good one.
        let other = 1 - side;
        let kept = self.primary == Some(other)
            && self.state(other).is_some_and(|state| state.disk == Disk::UpToDate);
        let lost_before = self.may_lose;
        self.may_lose |= power && !kept;
        self.sides[side].kill(&mut self.random, power);
        if self.random.u32(..4) == 0 {
            // Both at once.
            self.may_lose |= power;
            self.sides[1 - side].kill(&mut self.random, power);
            self.model.abandon();
            self.primary = None;
            return;
        }
        self.broken_if_linked(1 - side);
        if self.primary == Some(side) {
            self.model.abandon();
            self.primary = None;
            // The other one may take over if it had everything.
            let complete = before
                .is_some_and(|s| s.connection >= Connection::Connected && s.peer_disk == Disk::UpToDate);
            if complete && self.settings.protocol == Protocol::C && self.random.bool() {
                self.take_over(1 - side, lost_before);
            }
        }
    }

    /// What the one that was killed has lost is of no account then: what it wrote, the other one has.
    fn take_over(&mut self, side: usize, lost_before: bool) {
        // What it was about to write, it still writes.
        self.drain(side);
        if self
            .state(side)
            .is_none_or(|state| state.disk != Disk::UpToDate || state.connection >= Connection::Connected)
        {
            return;
        }
        let now = self.now;
        let order = self.sides[side].order(now, Order::Primary { force: false });
        // It is primary when its disk knows that.
        self.drain(side);
        if self.sides[side].orders.contains(&(order, Ok(()))) {
            self.sides[side].say("takes over");
            self.takeovers += 1;
            self.may_lose = lost_before;
            let tags = tags(&self.sides[side].disk.volume[..self.sectors * SECTOR as usize]);
            self.model.check(&tags, self.lost(), self.sides[side].name);
            self.primary = Some(side);
        }
    }

    /// Until its disk has nothing left to do.
    fn drain(&mut self, side: usize) {
        while self.sides[side].disk.is_busy() {
            let now = self.now;
            if let Some(event) = self.sides[side].disk.step(true) {
                self.sides[side].handle(now, event);
            }
        }
    }

    /// What may be missing on a disk that is good.
    fn lost(&self) -> Lost {
        match (self.settings.protocol, self.may_lose) {
            (Protocol::C, false) => Lost::Nothing,
            (Protocol::C, true) => Lost::Unflushed,
            (Protocol::A | Protocol::B, _) => Lost::Anything,
        }
    }

    fn broken_if_linked(&mut self, side: usize) {
        if self.sides[side].linked {
            self.broken(side, "reset");
        }
    }

    fn cut(&mut self) {
        self.sides[0].say("the line is cut");
        self.broken_if_linked(0);
        self.broken_if_linked(1);
    }

    fn restart(&mut self) {
        let now = self.now;
        for side in 0..2 {
            if self.sides[side].node.is_none() && self.random.bool() {
                let (settings, seed) = (self.settings.clone(), self.random.u64(..));
                self.sides[side].start(settings, seed, now);
                self.sides[side].order(now, Order::Connect { discard_my_data: false });
            }
        }
    }

    fn operate(&mut self) {
        let (side, now) = (self.random.usize(..2), self.now);
        match self.random.u32(..6) {
            0 => {
                self.sides[side].order(now, Order::Disconnect);
            }
            1 => self.connect(),
            2 => {
                self.sides[side].order(now, Order::Verify);
            }
            3 => {
                // Not the only disk that has everything: that would be what the operator wanted.
                let both =
                    self.states().iter().filter(|s| s.is_connected() && s.disk == Disk::UpToDate).count();
                let order =
                    if both == 2 && self.random.bool() { Order::Invalidate } else { Order::InvalidateRemote };
                self.sides[side].order(now, order);
            }
            _ => self.switch(),
        }
    }

    /// The primary steps back, and another takes its place.
    fn switch(&mut self) {
        let now = self.now;
        if let Some(primary) = self.primary {
            let order = self.sides[primary].order(now, Order::Secondary);
            self.until_done(primary, order);
            if self.sides[primary].orders.contains(&(order, Ok(()))) {
                assert!(self.model.is_idle(), "a secondary has requests under way");
                self.primary = None;
            }
            return;
        }
        let side = self.random.usize(..2);
        let connected = self.states().iter().filter(|state| state.is_connected()).count() == 2;
        if connected && self.state(side).is_some_and(|state| state.disk == Disk::UpToDate) {
            let order = self.sides[side].order(now, Order::Primary { force: false });
            self.until_done(side, order);
            if self.sides[side].orders.contains(&(order, Ok(())))
                && self.state(side).is_some_and(|s| s.role == Role::Primary)
            {
                self.primary = Some(side);
            }
        }
    }

    fn until_done(&mut self, side: usize, order: u64) {
        for _ in 0..1_000_000 {
            if self.sides[side].orders.iter().any(|(id, _)| *id == order) {
                return;
            }
            self.step();
        }
        panic!("an order is not done");
    }

    /// An application writes.
    fn apply(&mut self) {
        let Some(side) = self.primary else { return };
        if self.sides[side]
            .node
            .as_ref()
            .is_none_or(|node| node.state().role != Role::Primary || node.status().requests > 32)
        {
            return;
        }
        let now = self.now;
        // Mostly in a few places, so that writes meet each other and the resync.
        let most = [1, 8, 16, 64, 700][self.random.usize(..5)];
        let count = self.random.usize(1..=most);
        let spread = [64, 4096, self.sectors - 700][self.random.usize(..3)];
        let first = self.random.usize(..spread.min(self.sectors - count));
        let (offset, length) = (first as u64 * SECTOR, count * SECTOR as usize);
        self.tags += 1;
        let id = self.sides[side].next_id();
        if self.random.u32(..4) == 0 {
            self.model.begin_read(id, first, count);
            self.sides[side].request(now, Request::Read { offset, length: length as u32 });
            self.collect();
            return;
        }
        if self.random.u32(..12) == 0 {
            self.model.begin_flush(id);
            self.sides[side].say(&format!("request {id}: flush"));
            self.sides[side].request(now, Request::Flush);
            self.collect();
            return;
        }
        let (tag, request) = if self.random.u32(..10) == 0 {
            let discard = self.random.bool();
            (0, Request::Zero { offset, length: length as u32, discard })
        } else {
            let data = Bytes::from(self.tags.to_be_bytes().repeat(length / 8));
            (self.tags, Request::Write { offset, data, fua: self.random.u32(..8) == 0 })
        };
        self.sides[side].say(&format!("request {id}: tag {tag}, {count} sectors at {first}"));
        let fua = matches!(request, Request::Write { fua: true, .. });
        self.model.begin(id, tag, first, count, fua);
        self.sides[side].request(now, request);
        self.collect();
    }

    /// No further faults: everything has to become well by itself.
    pub fn calm(&mut self) {
        self.sides[0].say("--- calm");
        self.line_down = false;
        for _ in 0..64 {
            self.restart();
        }
        self.connect();
        self.settle("both disks to be the same", |world| {
            let well = |s: &State| {
                s.connection == Connection::Connected
                    && s.disk == Disk::UpToDate
                    && s.peer_disk == Disk::UpToDate
            };
            let idle = |side: &Side| {
                !side.disk.is_busy() && side.node.as_ref().is_none_or(|n| n.status().in_flight == 0)
            };
            world.states().iter().all(well) && world.model.is_idle() && world.sides.iter().all(idle)
        });
        for side in &self.sides {
            let node = side.node.as_ref().expect("it was restarted");
            assert_eq!(node.status().out_of_sync, 0, "{}", side.name);
        }
        let current = |side: &Side| side.node.as_ref().map(|n| n.status().generations.current & !1);
        assert_eq!(current(&self.sides[0]), current(&self.sides[1]), "both have the same data");
        let bytes = self.sectors * SECTOR as usize;
        let left = &self.sides[0].disk.volume[..bytes];
        let right = &self.sides[1].disk.volume[..bytes];
        if let Some(place) =
            (0..self.sectors).find(|sector| left[sector * 512..][..512] != right[sector * 512..][..512])
        {
            let tags = [tags(left)[place], tags(right)[place]];
            panic!(
                "sector {place} differs: {tags:?}, {}",
                self.primary.map_or("no primary", |side| self.sides[side].name)
            );
        }
        let tags = tags(left);
        self.model.check(&tags, self.lost(), "both");
        self.may_lose = false;
        if self.primary.is_none() {
            self.switch();
        }
    }

    fn settle(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        for round in 0..2_000_000 {
            if round % 16 == 0 && done(self) {
                return;
            }
            if round % 10_000 == 9_999 {
                self.connect(); // a disconnect that was ordered in the storm may have been carried out only now
            }
            self.step();
        }
        if let Some(node) = self.sides[0].node.as_ref()
            && std::env::var_os("DRX_SEED").is_some()
        {
            eprintln!("{:?}", node.status());
            eprintln!("{:?} {}", self.sides[1].node.as_ref().map(Node::status), self.model.is_idle());
        }
        panic!("waited for {what} in vain: {:?}", self.states());
    }
}

/// What is written in each sector; all of a sector is one write's.
fn tags(volume: &[u8]) -> Vec<u64> {
    volume
        .chunks(SECTOR as usize)
        .map(|sector| {
            let tag = u64::from_be_bytes(sector[..8].try_into().expect("8 bytes"));
            assert!(sector.chunks(8).all(|word| word == &sector[..8]), "a sector of two writes");
            tag
        })
        .collect()
}
