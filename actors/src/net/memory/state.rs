//! The whole of a network in memory, as one value: who listens, what is connected, what is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::io::IoSlice;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

pub(super) type WireId = u64;

/// One end of a wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) wire: WireId,
    side: usize,
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
    reset: bool,
    silent: bool,
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    pub(super) fn new(buffer: usize) -> Self {
        State {
            buffer,
            listeners: BTreeMap::new(),
            wires: BTreeMap::new(),
            down: BTreeSet::new(),
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
            self.reset(wire);
            self.close(End { wire, side: ACCEPTOR });
        }
    }

    pub(super) fn dial(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Dial {
        if self.down.contains(&to) {
            return Dial::Wait;
        }
        let source = SocketAddr::new(from.unwrap_or(loopback(to)), self.free_port());
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
        let wire = Wire { ends: [source, to], held: [true; 2], pipes, reset: false, silent: false };
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

    pub(super) fn poll_read(
        &mut self,
        end: End,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(wire) = self.wires.get_mut(&end.wire) else { return Poll::Ready(Err(gone())) };
        let (silent, reset) = (wire.silent, wire.reset);
        let pipe = &mut wire.pipes[end.other().side];
        if !silent && reset {
            return Poll::Ready(Err(gone()));
        }
        if silent || (pipe.bytes.is_empty() && !pipe.finished) {
            remember(&mut pipe.reader, cx);
            return Poll::Pending;
        }
        let mut count = 0;
        let (head, tail) = pipe.bytes.as_slices();
        for part in [head, tail] {
            let fits = part.len().min(buf.remaining());
            buf.put_slice(&part[..fits]);
            count += fits;
        }
        pipe.bytes.drain(..count);
        if count > 0 {
            self.wakers.extend(pipe.writer.take());
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(
        &mut self,
        end: End,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(wire) = self.wires.get_mut(&end.wire) else { return Poll::Ready(Err(gone())) };
        if !wire.silent && wire.reset {
            return Poll::Ready(Err(gone()));
        }
        let nobody_reads = !wire.silent && !wire.held[end.other().side];
        let pipe = &mut wire.pipes[end.side];
        if pipe.finished || nobody_reads {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let before = pipe.bytes.len();
        for buf in bufs {
            let room = self.buffer - pipe.bytes.len();
            pipe.bytes.extend(&buf[..buf.len().min(room)]);
        }
        let count = pipe.bytes.len() - before;
        if count == 0 {
            remember(&mut pipe.writer, cx);
            return Poll::Pending;
        }
        self.wakers.extend(pipe.reader.take());
        Poll::Ready(Ok(count))
    }

    /// This end writes no more; what it wrote still arrives.
    pub(super) fn finish(&mut self, end: End) -> io::Result<()> {
        let wire = self.wires.get_mut(&end.wire).ok_or_else(gone)?;
        if wire.reset && !wire.silent {
            return Err(gone());
        }
        let pipe = &mut wire.pipes[end.side];
        pipe.finished = true;
        self.wakers.extend(pipe.reader.take());
        Ok(())
    }

    /// This end is let go. As with TCP, the other is reset if bytes for this one were left unread.
    pub(super) fn close(&mut self, end: End) {
        let Some(wire) = self.wires.get_mut(&end.wire) else { return };
        wire.held[end.side] = false;
        wire.pipes[end.side].finished = true;
        let unread = !wire.pipes[end.other().side].bytes.is_empty();
        if wire.held == [false, false] {
            self.wires.remove(&end.wire);
        } else if unread {
            self.reset(end.wire);
        } else {
            self.wake(end.wire);
        }
    }

    /// A reset by one end: on a silent wire it is held back like everything.
    pub(super) fn reset(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.reset = true;
        for pipe in &mut wire.pipes {
            pipe.bytes.clear();
        }
        self.wake(id);
    }

    /// A reset from outside, which both ends see.
    pub(super) fn cut(&mut self, id: WireId) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.silent = false;
        }
        self.reset(id);
    }

    pub(super) fn set_silent(&mut self, id: WireId, silent: bool) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.silent = silent;
            self.wake(id);
        }
    }

    pub(super) fn take_down(&mut self, to: SocketAddr) {
        self.down.insert(to);
        self.set_silent_all(to, true);
    }

    pub(super) fn bring_up(&mut self, to: SocketAddr) {
        self.down.remove(&to);
        self.set_silent_all(to, false);
    }

    fn set_silent_all(&mut self, to: SocketAddr, silent: bool) {
        let ids: Vec<WireId> =
            self.wires.iter().filter(|(_, w)| w.ends[ACCEPTOR] == to).map(|(id, _)| *id).collect();
        for id in ids {
            self.set_silent(id, silent);
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

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
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

const DIALLER: usize = 0;
const ACCEPTOR: usize = 1;
/// The first of the ports that are nobody's by right (RFC 6335, 6).
const FIRST_FREE_PORT: u16 = 49152;
