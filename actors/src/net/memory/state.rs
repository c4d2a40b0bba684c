//! The whole of a network in memory, as one value: who listens, what is connected, what is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::io::IoSlice;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::Weather;
use super::pipe::Pipe;

pub(super) type WireId = u64;

/// One end of a wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) wire: WireId,
    pub(super) side: usize,
}

impl End {
    pub(super) fn other(self) -> End {
        End { wire: self.wire, side: 1 - self.side }
    }
}

/// What becomes of a dial now.
pub(super) enum Dial {
    Connected(End),
    Refused,
    /// Nobody answers: the line is down, or the backlog full.
    Wait,
}

pub(super) struct State {
    buffer: usize,
    listeners: BTreeMap<SocketAddr, Backlog>,
    wires: BTreeMap<WireId, Wire>,
    down: BTreeSet<SocketAddr>,
    /// From where nothing arrives where.
    holes: BTreeSet<(IpAddr, IpAddr)>,
    weather: BTreeMap<(IpAddr, IpAddr), Weather>,
    chance: Rng,
    next_wire: WireId,
    next_port: u16,
    /// To be woken when the lock is released.
    wakers: Vec<Waker>,
}

struct Backlog {
    limit: usize,
    waiting: VecDeque<WireId>,
    acceptor: Option<Waker>,
}

struct Wire {
    ends: [SocketAddr; 2],
    held: [bool; 2],
    /// Each written by the side of its index.
    pipes: [Pipe; 2],
    /// Takes so much longer than its line, until then.
    detour: Option<(Duration, Instant)>,
}

/// What becomes of a read now.
pub(super) enum Read {
    Done(io::Result<()>),
    Wait,
    /// Something is on its way, and here by then.
    Until(Instant),
}

impl State {
    pub(super) fn new(buffer: usize) -> Self {
        State {
            buffer,
            listeners: BTreeMap::new(),
            wires: BTreeMap::new(),
            down: BTreeSet::new(),
            holes: BTreeSet::new(),
            weather: BTreeMap::new(),
            chance: Rng::with_seed(0),
            next_wire: 0,
            next_port: FIRST_FREE_PORT,
            wakers: Vec::new(),
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        mem::take(&mut self.wakers)
    }

    pub(super) fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.keys().copied().collect()
    }

    pub(super) fn wires(&self) -> Vec<(WireId, SocketAddr, SocketAddr)> {
        self.wires.iter().map(|(id, wire)| (*id, wire.ends[DIALLER], wire.ends[ACCEPTOR])).collect()
    }

    pub(super) fn has(&self, wire: WireId) -> bool {
        self.wires.contains_key(&wire)
    }

    pub(super) fn address(&self, end: End) -> io::Result<SocketAddr> {
        self.wires.get(&end.wire).map(|wire| wire.ends[end.side]).ok_or(io::ErrorKind::NotConnected.into())
    }

    /// The listener a dial to this address meets: of the address itself, or of all addresses.
    pub(super) fn listener_for(&self, to: SocketAddr) -> Option<SocketAddr> {
        [to, SocketAddr::new(any(to), to.port())].into_iter().find(|at| self.listeners.contains_key(at))
    }

    pub(super) fn listen(&mut self, mut at: SocketAddr, limit: usize) -> io::Result<SocketAddr> {
        if at.port() == 0 {
            at.set_port(self.free_port());
        }
        let overlaps = |other: &SocketAddr| {
            other.port() == at.port()
                && other.is_ipv4() == at.is_ipv4()
                && (other.ip() == at.ip() || other.ip().is_unspecified() || at.ip().is_unspecified())
        };
        if self.listeners.keys().any(overlaps) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert(at, Backlog { limit, waiting: VecDeque::new(), acceptor: None });
        Ok(at)
    }

    pub(super) fn close_listener(&mut self, at: SocketAddr) {
        let Some(backlog) = self.listeners.remove(&at) else { return };
        for wire in backlog.waiting {
            let end = End { wire, side: ACCEPTOR };
            self.reset(end);
            self.close(end);
        }
    }

    pub(super) fn dial(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Dial {
        let source = SocketAddr::new(from.unwrap_or(loopback(to)), self.free_port());
        let lines = [(source.ip(), to.ip()), (to.ip(), source.ip())];
        if self.down.contains(&to) || lines.iter().any(|line| self.holes.contains(line)) {
            return Dial::Wait;
        }
        let detour = self.weather.get(&lines[0]).map_or(Duration::ZERO, |weather| weather.detour);
        let detour = part(detour, &mut self.chance);
        let detour = (!detour.is_zero()).then(|| (detour, Instant::now() + 2 * detour));
        let Some(backlog) = self.listener_for(to).and_then(|at| self.listeners.get_mut(&at)) else {
            return Dial::Refused;
        };
        if backlog.waiting.len() >= backlog.limit {
            return Dial::Wait;
        }
        let id = self.next_wire;
        self.next_wire += 1;
        backlog.waiting.push_back(id);
        self.wakers.extend(backlog.acceptor.take());
        let pipes = [Pipe::default(), Pipe::default()];
        let wire = Wire { ends: [source, to], held: [true; 2], pipes, detour };
        self.wires.insert(id, wire);
        Dial::Connected(End { wire: id, side: DIALLER })
    }

    pub(super) fn poll_accept(&mut self, at: SocketAddr, cx: &Context<'_>) -> Poll<(End, SocketAddr)> {
        let Some(backlog) = self.listeners.get_mut(&at) else { return Poll::Pending };
        let Some(id) = backlog.waiting.pop_front() else {
            remember(&mut backlog.acceptor, cx);
            return Poll::Pending;
        };
        match self.wires.get(&id) {
            Some(wire) => Poll::Ready((End { wire: id, side: ACCEPTOR }, wire.ends[DIALLER])),
            None => Poll::Pending, // not reached: the backlog itself holds the acceptor's end
        }
    }

    pub(super) fn poll_read(&mut self, end: End, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        let lost = self.loses(end.other());
        let slice = self.slice(end.other());
        let Some(wire) = self.wires.get_mut(&end.wire) else { return Read::Done(Err(gone())) };
        let pipe = &mut wire.pipes[end.other().side];
        if !lost && pipe.reset {
            return Read::Done(Err(gone()));
        }
        let (here, next) = if lost { (0, None) } else { pipe.arrived() };
        if here == 0 && (lost || !pipe.ended()) {
            pipe.read_later(cx);
            return next.map_or(Read::Wait, Read::Until);
        }
        if pipe.take(here.min(slice), buf) > 0 {
            self.wakers.extend(pipe.writer.take());
        }
        Read::Done(Ok(()))
    }

    pub(super) fn poll_write(
        &mut self,
        end: End,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let unheard = self.loses(end.other());
        let answered = !unheard && !self.loses(end);
        let (slice, buffer) = (self.slice(end), self.buffer(end));
        let due = self.arrival(end);
        let Some(wire) = self.wires.get_mut(&end.wire) else { return Poll::Ready(Err(gone())) };
        if !unheard && wire.pipes[end.other().side].reset {
            return Poll::Ready(Err(gone()));
        }
        let nobody_reads = answered && !wire.held[end.other().side];
        let pipe = &mut wire.pipes[end.side];
        if pipe.finished || nobody_reads {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let room = buffer.saturating_sub(pipe.len()).min(slice);
        let count = pipe.put(bufs, room, due);
        if count == 0 {
            pipe.write_later(cx);
            return Poll::Pending;
        }
        self.wakers.extend(pipe.reader.take());
        Poll::Ready(Ok(count))
    }

    /// This end writes no more; what it wrote still arrives.
    pub(super) fn finish(&mut self, end: End) -> io::Result<()> {
        let unheard = self.loses(end.other());
        let due = self.arrival(end);
        let wire = self.wires.get_mut(&end.wire).ok_or_else(gone)?;
        if wire.pipes[end.other().side].reset && !unheard {
            return Err(gone());
        }
        let pipe = &mut wire.pipes[end.side];
        pipe.finish(due);
        self.wakers.extend(pipe.reader.take());
        Ok(())
    }

    /// This end is let go. As with TCP, the other is reset if bytes for this one were left unread.
    pub(super) fn close(&mut self, end: End) {
        let due = self.arrival(end);
        let Some(wire) = self.wires.get_mut(&end.wire) else { return };
        wire.held[end.side] = false;
        wire.pipes[end.side].finish(due);
        let unread = wire.pipes[end.other().side].len() > 0;
        if wire.held == [false, false] {
            self.wires.remove(&end.wire);
        } else if unread {
            self.reset(end);
        } else {
            self.wake(end.wire);
        }
    }

    /// A reset by one end, at once: where what it sends gets lost it is held back like everything.
    pub(super) fn reset(&mut self, end: End) {
        let Some(wire) = self.wires.get_mut(&end.wire) else { return };
        wire.pipes[end.side].reset = true;
        wire.pipes.iter_mut().for_each(Pipe::clear);
        self.wake(end.wire);
    }

    /// A reset from outside, which both ends see.
    pub(super) fn cut(&mut self, id: WireId) {
        self.set_silent(id, [false; 2]);
        for side in [DIALLER, ACCEPTOR] {
            self.reset(End { wire: id, side });
        }
    }

    /// An end of file from outside, which both ends see.
    pub(super) fn hang_up(&mut self, id: WireId) {
        for side in [DIALLER, ACCEPTOR] {
            // One that is reset already has ended.
            let _ = self.finish(End { wire: id, side });
        }
        self.wake(id);
    }

    /// From which sides nothing arrives.
    pub(super) fn set_silent(&mut self, id: WireId, silent: [bool; 2]) {
        if let Some(wire) = self.wires.get_mut(&id) {
            for (pipe, silent) in wire.pipes.iter_mut().zip(silent) {
                pipe.silent = silent;
            }
            self.wake(id);
        }
    }

    pub(super) fn lose(&mut self, from: IpAddr, to: IpAddr) {
        self.holes.insert((from, to));
    }

    pub(super) fn find(&mut self, from: IpAddr, to: IpAddr) {
        self.holes.remove(&(from, to));
        let ids: Vec<WireId> = self.wires.keys().copied().collect();
        ids.into_iter().for_each(|id| self.wake(id));
    }

    pub(super) fn set_weather(&mut self, from: IpAddr, to: IpAddr, weather: Weather) {
        self.weather.insert((from, to), weather);
    }

    pub(super) fn set_chance(&mut self, seed: u64) {
        self.chance = Rng::with_seed(seed);
    }

    /// How long a packet from here takes there, if that is any time at all.
    pub(super) fn way(&mut self, from: IpAddr, to: IpAddr) -> Option<Duration> {
        let weather = self.weather.get(&(from, to)).filter(|weather| weather.takes_time())?;
        Some(weather.delay + part(weather.jitter, &mut self.chance))
    }

    /// When what this end sends now arrives, if not at once.
    fn arrival(&mut self, end: End) -> Option<Instant> {
        if self.weather.is_empty() {
            return None; // and there may be no clock
        }
        let wire = self.wires.get(&end.wire)?;
        let (from, to, detour) = (wire.ends[end.side].ip(), wire.ends[end.other().side].ip(), wire.detour);
        let now = Instant::now();
        let detour = detour.filter(|(_, until)| *until > now).map_or(Duration::ZERO, |(longer, _)| longer);
        let way = self.way(from, to).unwrap_or_default() + detour;
        (!way.is_zero()).then(|| now + way)
    }

    /// Whether what this end sends gets lost.
    fn loses(&self, end: End) -> bool {
        let Some(wire) = self.wires.get(&end.wire) else { return false };
        let line = (wire.ends[end.side].ip(), wire.ends[end.other().side].ip());
        wire.pipes[end.side].silent || self.down.contains(&wire.ends[ACCEPTOR]) || self.holes.contains(&line)
    }

    /// What the way of what this end sends is like.
    fn weather(&self, end: End) -> Weather {
        let Some(wire) = self.wires.get(&end.wire).filter(|_| !self.weather.is_empty()) else {
            return Weather::default();
        };
        let line = (wire.ends[end.side].ip(), wire.ends[end.other().side].ip());
        self.weather.get(&line).copied().unwrap_or_default()
    }

    /// How many bytes of what this end sends go at a time.
    fn slice(&mut self, end: End) -> usize {
        match self.weather(end).slice {
            0 => usize::MAX,
            most => self.chance.usize(1..=most),
        }
    }

    /// How many bytes of what this end sends may be under way.
    fn buffer(&self, end: End) -> usize {
        match self.weather(end).buffer {
            0 => self.buffer,
            bytes => bytes,
        }
    }

    pub(super) fn take_down(&mut self, to: SocketAddr) {
        self.down.insert(to);
    }

    pub(super) fn bring_up(&mut self, to: SocketAddr) {
        self.down.remove(&to);
        let met = |wire: &&Wire| wire.ends[ACCEPTOR] == to;
        let ids: Vec<WireId> = self.wires.iter().filter(|(_, wire)| met(wire)).map(|(id, _)| *id).collect();
        for id in ids {
            self.set_silent(id, [false; 2]);
        }
    }

    fn wake(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        for pipe in &mut wire.pipes {
            self.wakers.extend(pipe.reader.take());
            self.wakers.extend(pipe.writer.take());
        }
    }

    /// Ports in order, round and round, past those that are listened on (far fewer than there are).
    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if self.listeners.keys().all(|at| at.port() != port) {
                return port;
            }
        }
    }
}

pub(super) fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// Some part of it, by chance.
fn part(most: Duration, chance: &mut Rng) -> Duration {
    if most.is_zero() { most } else { most.mul_f64(chance.f64()) }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn loopback(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

pub(super) const DIALLER: usize = 0;
pub(super) const ACCEPTOR: usize = 1;
/// The first of the ports that are nobody's by right (RFC 6335, 6).
const FIRST_FREE_PORT: u16 = 49152;
