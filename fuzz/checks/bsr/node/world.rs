//! The victim, a good peer, and an attacker who has got hold of the line between them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drx_bsr::core::{Event, Order, Request, Settings, Time};
use drx_bsr::wire::{Connection, Features, Packet, Role, StateWord, Stream};

use super::packets;
use super::side::{STREAMS, Side};
use super::tape::Tape;

pub struct World {
    pub settings: Settings,
    /// The victim, and the good peer.
    pub sides: [Side; 2],
    pub now: Time,
    /// The good peer is cut off: the attacker has the line.
    pub seized: bool,
    /// Nothing is claimed that only the good peer can know.
    pub strict: bool,
    pub injected: usize,
    /// What the good peer sent last.
    heard: Vec<(usize, BytesMut)>,
    pub seeds: u64,
    tags: u8,
}

impl World {
    /// Both up to date, the victim primary if `strict`, otherwise as far as `begin` says.
    pub fn new(settings: Settings, strict: bool, begin: u8, volume: usize, loud: bool) -> World {
        // What is on a disk that was just created may be anything.
        let sides = [0, 0x55].map(|fill| Side::new(settings.clone(), vec![fill; volume], loud));
        let now = Time::ZERO;
        let (seized, injected, heard) = (false, 0, Vec::new());
        let mut world = World { settings, sides, now, seized, strict, injected, heard, seeds: 1, tags: 0 };
        if !strict && begin < 32 {
            return world; // both StandAlone, just created
        }
        world.connect();
        world.calm(Duration::from_secs(60), |world| {
            world.sides.iter().all(|side| side.node.state().is_connected())
        });
        if !strict && begin < 64 {
            return world; // both inconsistent
        }
        let first = usize::from(!strict && begin & 1 != 0);
        world.sides[first].order(now, Order::Primary { force: true });
        if strict || begin >= 96 {
            world.calm(Duration::from_secs(60), |world| world.sides.iter().all(Side::is_well));
        }
        world
    }

    pub fn connect(&mut self) {
        let now = self.now;
        for side in &mut self.sides {
            side.order(now, Order::Connect { discard_my_data: false });
        }
    }

    /// What happens next; what it is about, the tape says.
    pub fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.below(32) {
            0..=4 => {
                for _ in 0..tape.below(16) {
                    self.go_on();
                }
            }
            5..=7 => self.carry_one(tape.below(8)),
            8 | 9 => {
                let (flush, failure) = (tape.flag(), !self.strict && tape.byte() < 24);
                self.disk(tape.below(2), flush, failure);
            }
            10 => self.pass(Duration::from_millis(tape.of(&[1, 10, 100, 1000, 7000, 31_000]))),
            11 => self.order(tape),
            12..=14 => self.request(tape),
            15 if tape.byte() < 128 => self.seize(),
            16 | 20 | 21 if !self.sides[VICTIM].linked => self.meet(tape),
            17 if tape.byte() < 64 => {
                // The victim would be primary no more, and believe in writes.
                let side = if self.strict { PEER } else { tape.below(2) };
                self.restart(side);
            }
            18 => self.replay(tape),
            19 if tape.byte() < 64 => {
                let bytes: [u8; 24] = tape.bytes();
                let length = tape.below(24);
                self.inject(tape.below(2), &bytes[..length]);
            }
            _ => self.lie(tape),
        }
        self.open();
    }

    /// Everything that is there to be done is done once.
    pub fn go_on(&mut self) -> bool {
        let mut busy = false;
        for side in 0..2 {
            for stream in 0..2 {
                busy |= self.carry(side, stream);
                busy |= self.sides[side].read(self.now, stream);
            }
            for flush in [false, true] {
                busy |= self.disk(side, flush, false);
            }
        }
        self.open();
        busy
    }

    /// Nothing bad happens any more, and time passes where nothing else does; until it is so, or for so long.
    pub fn calm(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            for _ in 0..100_000 {
                if !self.go_on() {
                    break;
                }
            }
            if done(self) {
                return true;
            }
            let sides = self.sides.iter();
            let next = sides.flat_map(|side| [side.opening, side.node.deadline()]).flatten().min();
            let next = next.map_or(Duration::from_secs(1), |next| next.saturating_sub(self.now));
            self.pass(next.clamp(Duration::from_millis(1), Duration::from_secs(1)));
        }
        false
    }

    fn carry_one(&mut self, what: usize) {
        let (side, stream) = (what & 1, what >> 1 & 1);
        if what & 4 == 0 {
            self.carry(side, stream);
        } else {
            self.sides[side].read(self.now, stream);
        }
    }

    fn carry(&mut self, from: usize, stream: usize) -> bool {
        let Some(packet) = self.sides[from].take(self.now, stream) else { return false };
        if self.sides[1 - from].linked && !self.seized {
            if from == PEER {
                self.heard.truncate(HEARD);
                self.heard.insert(0, (stream, packet.clone()));
            }
            self.sides[1 - from].inbox[stream].extend_from_slice(&packet);
        }
        true
    }

    fn disk(&mut self, side: usize, flush: bool, failure: bool) -> bool {
        let busy = self.sides[side].disk.waiting() > 0;
        if let Some(event) = self.sides[side].disk.step(flush, failure) {
            self.sides[side].handle(self.now, event);
        }
        busy
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        for side in &mut self.sides {
            // As the shell has it: what is due after that has its own time.
            for _ in 0..8 {
                if side.node.deadline().is_some_and(|deadline| deadline <= now) {
                    side.handle(now, Event::Timer);
                }
            }
        }
    }

    /// One side's end becomes known to the other; two that look for each other find each other.
    fn open(&mut self) {
        let now = self.now;
        for side in 0..2 {
            let alone = self.sides[side].linked && !self.sides[1 - side].linked;
            let empty = self.sides[side].inbox.iter().all(|bytes| bytes.is_empty());
            if alone && empty && !(self.seized && side == VICTIM) {
                self.sides[side].broken(now, side);
            }
        }
        let ready = |side: &Side| side.opening.is_some_and(|at| at <= now);
        if !self.seized && self.sides.iter().all(ready) {
            self.seeds += 1;
            for side in 0..2 {
                let challenge = [self.seeds as u8 ^ side as u8; 64];
                self.sides[side].link(now, (self.seeds & 1 == 0) == (side == 0), challenge);
            }
        }
    }

    fn seize(&mut self) {
        self.seized = !self.seized;
        if self.seized && self.sides[PEER].linked {
            self.sides[PEER].broken(self.now, 0);
        } else if !self.seized && self.sides[VICTIM].linked && !self.sides[PEER].linked {
            self.sides[VICTIM].broken(self.now, 0);
        }
    }

    pub fn restart(&mut self, side: usize) {
        self.seeds += 1;
        self.sides[side].restart(self.seeds << 8, self.now);
        self.sides[side].order(self.now, Order::Connect { discard_my_data: false });
    }

    /// Nothing can be attacked where nothing is.
    fn meet(&mut self, tape: &mut Tape<'_>) {
        if self.seized && !self.strict {
            let ready = self.sides[VICTIM].opening.map_or(Time::ZERO, |at| at.saturating_sub(self.now));
            self.pass(ready);
            self.greet(tape);
            return;
        }
        self.seized = false;
        let order = Order::Connect { discard_my_data: false };
        for side in &mut self.sides {
            if side.node.state().connection == Connection::StandAlone {
                side.order(self.now, order.clone());
            }
        }
        self.calm(Duration::from_secs(4), |world| {
            world.sides.iter().all(|side| side.node.state().is_connected())
        });
    }

    /// The attacker knows how to begin.
    fn greet(&mut self, tape: &mut Tape<'_>) {
        let victim = &mut self.sides[VICTIM];
        if !self.seized || victim.opening.is_none_or(|at| at > self.now) {
            return;
        }
        victim.link(self.now, tape.flag(), [0xaa; 64]);
        let max = self.settings.versions.1;
        self.tell(Packet::Features(Features { min: 86, max, flags: 0xf }));
        if let Some((algorithm, secret)) = self.settings.secret.clone() {
            self.tell(Packet::AuthChallenge(Box::new([1; 64])));
            self.tell(Packet::AuthResponse(algorithm.hmac(&secret, &[0xaa; 64]).unwrap_or_default()));
        }
        let mut said: Vec<Packet> = self.sides[VICTIM]
            .said
            .iter()
            .filter(|(on, _)| *on == Stream::Data)
            .map(|(_, packet)| packet.clone())
            .collect();
        said.truncate(5);
        said.reverse();
        for packet in said {
            let lies = tape.byte();
            match packet {
                Packet::State(_) if self.strict => {}
                Packet::State(_) => {
                    self.tell(Packet::State(StateWord(tape.of(&[0xc882, 0x1_0889, 0x1_1089, 0x8882]))))
                }
                Packet::Uuids(mut uuids) if !self.strict => {
                    uuids.bitmap = if lies < 32 { uuids.current } else { uuids.bitmap };
                    uuids.current = if lies < 64 { 0x42 } else { uuids.current };
                    uuids.flags = if lies < 96 { lies.into() } else { 0 };
                    self.tell(Packet::Uuids(uuids));
                }
                own => self.tell(own),
            }
        }
    }

    fn tell(&mut self, packet: Packet) {
        let bytes = self.sides[VICTIM].bytes_of(Stream::Data, &packet);
        self.inject(0, &bytes);
    }

    /// Something of what the good peer sent, again, or with a byte changed.
    fn replay(&mut self, tape: &mut Tape<'_>) {
        if self.heard.is_empty() {
            return;
        }
        let (stream, mut packet) = self.heard[tape.below(self.heard.len())].clone();
        let meant = self.sides[VICTIM].understood(STREAMS[stream], packet.clone());
        if self.strict && meant.is_none_or(|packet| packets::claims(&packet)) {
            return;
        }
        if !self.strict && tape.flag() {
            let place = tape.below(packet.len().min(64));
            packet[place] ^= 1 << tape.below(8);
        }
        self.inject(stream, &packet);
    }

    fn lie(&mut self, tape: &mut Tape<'_>) {
        if !self.sides[VICTIM].linked {
            return;
        }
        let (stream, packet) = packets::any(tape, &self.sides[VICTIM]);
        if self.strict && packets::claims(&packet) {
            return;
        }
        let bytes = self.sides[VICTIM].bytes_of(stream, &packet);
        for _ in 0..tape.of(&[1, 1, 1, 2, 40]) {
            self.inject(usize::from(stream == Stream::Meta), &bytes);
        }
    }

    fn inject(&mut self, stream: usize, bytes: &[u8]) {
        let victim = &mut self.sides[VICTIM];
        if !victim.linked {
            return;
        }
        self.injected += 1;
        victim.inbox[stream].extend_from_slice(bytes);
        victim.read(self.now, stream);
    }

    fn order(&mut self, tape: &mut Tape<'_>) {
        let order = match tape.below(8) {
            _ if self.strict => Order::Verify,
            0 => Order::Primary { force: tape.flag() },
            1 => Order::Secondary,
            2 => Order::Connect { discard_my_data: tape.flag() },
            3 => Order::Disconnect,
            4 => Order::Invalidate,
            5 => Order::InvalidateRemote,
            _ => Order::Verify,
        };
        self.sides[tape.below(2)].order(self.now, order);
    }

    fn request(&mut self, tape: &mut Tape<'_>) {
        let side = tape.below(2);
        let primary = self.sides[side].node.state().role == Role::Primary;
        if self.sides[side].asked() > 16 || self.strict && (side == PEER || !primary) {
            return;
        }
        self.tags = self.tags.wrapping_add(1);
        let sectors = self.sides[side].disk.volume.len() as u64 / 512;
        let offset = 512 * tape.of(&[0, 0, 1, 7, 8, 64, 1024, 8192, sectors - 1]);
        let length = tape.of(&[512u32, 4096, 4096, 8192, 65_536, 1 << 20]);
        let request = match tape.below(8) {
            0 | 1 => Request::Read { offset, length },
            2 => Request::Zero { offset, length, discard: tape.flag() },
            3 => Request::Flush,
            _ => Request::Write {
                offset,
                data: Bytes::from(vec![self.tags; length as usize]),
                fua: tape.flag(),
            },
        };
        self.sides[side].request(self.now, request);
    }
}

pub const VICTIM: usize = 0;
pub const PEER: usize = 1;
/// The second one has two extents of the activity log; both end in the midst of a block.
pub const VOLUMES: [usize; 2] = [(256 << 10) + 512, (4 << 20) + 4096 + 512];
const HEARD: usize = 16;
