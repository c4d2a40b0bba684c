//! A network in memory, for tests: no sockets, no threads, faults on demand, and a clock only for lines that take time.
//!
//! It behaves like TCP where the relay could tell: bounded buffers, refused dials, backlogs, a reset for who
//! closes with unread bytes. Where TCP leaves a choice it is the harsh one: a reset loses every byte that
//! the other end had not read.

#![expect(
    clippy::disallowed_types,
    reason = "a network is shared by the arbiters of all its relays; no lock is held while waiting"
)]

mod pipe;
mod state;
mod weather;

use std::fmt;
use std::io;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Detached, Listener, LocalBoxFuture, Net, SocketOptions, Stream};
use state::{ACCEPTOR, DIALLER, Dial, End, Read, State, WireId};
pub use weather::Weather;

/// A network of its own: clones are the same network, two of `new` know nothing of each other.
///
/// Everything in it happens in the turn that causes it, so under a paused clock a test is deterministic. It may be used
/// from several arbiters.
#[derive(Clone)]
pub struct MemoryNet {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// A dial that waits may have a chance now.
    changed: Notify,
}

impl MemoryNet {
    /// A network whose connections hold 64 KiB in each direction.
    pub fn new() -> Self {
        MemoryNet::with_buffer(64 * 1024)
    }

    /// A network whose connections hold so many bytes in each direction (1 at least): what the send buffer of
    /// one end and the receive buffer of the other are in TCP.
    pub fn with_buffer(bytes: usize) -> Self {
        let state = Mutex::new(State::new(bytes.max(1)));
        MemoryNet { shared: Arc::new(Shared { state, changed: Notify::new() }) }
    }

    /// The addresses listened on now, in order.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.with(|state| state.listeners())
    }

    /// Whether a dial to this address would meet a listener now.
    pub fn is_listening(&self, at: SocketAddr) -> bool {
        self.with(|state| state.listener_for(at).is_some())
    }

    /// The connections of which at least one end is still held, oldest first. A test that ends with none left
    /// none open.
    pub fn wires(&self) -> Vec<Wire> {
        let ids = self.with(|state| state.wires());
        ids.into_iter().map(|(id, from, to)| Wire { net: self.clone(), id, from, to }).collect()
    }

    /// Puts the line to this address out: its connections fall silent (see [`Wire::silence`]), dials hang.
    pub fn take_down(&self, to: SocketAddr) {
        self.with(|state| state.take_down(to));
    }

    /// The line is back: held bytes arrive and hanging dials go on, as with TCP's retransmissions, only at once.
    pub fn bring_up(&self, to: SocketAddr) {
        self.with(|state| state.bring_up(to));
        self.shared.changed.notify_waiters();
    }

    /// A black hole one way, for these and all later connections: nothing that `from` sends arrives at `to`,
    /// and dials between the two hang.
    pub fn lose(&self, from: IpAddr, to: IpAddr) {
        self.with(|state| state.lose(from, to));
    }

    /// Ends [`MemoryNet::lose`]: what was held back arrives.
    pub fn find(&self, from: IpAddr, to: IpAddr) {
        self.with(|state| state.find(from, to));
        self.shared.changed.notify_waiters();
    }

    /// How what `from` sends gets to `to`, from now on. It needs tokio's clock, best a paused one.
    pub fn set_weather(&self, from: IpAddr, to: IpAddr, weather: Weather) {
        self.with(|state| state.set_weather(from, to, weather));
    }

    /// Begins the row of chances that jitter, detours and slices are drawn from.
    pub fn set_chance(&self, seed: u64) {
        self.with(|state| state.set_chance(seed));
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // A test may panic on purpose: what one panic left is still whole, no step of the state unwinds half done.
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state);
        let wakers = state.take_wakers();
        drop(state); // a waker is foreign code: it may come back here
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

impl Default for MemoryNet {
    fn default() -> Self {
        MemoryNet::new()
    }
}

impl fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNet").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

impl Net for MemoryNet {
    /// `backlog` is exact, 1 at least: a dial beyond it hangs until there is room. The options mean nothing here.
    fn listen(
        &self,
        at: SocketAddr,
        backlog: u32,
        _options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Listener>>> {
        let net = self.clone();
        Box::pin(async move {
            let at = net.with(|state| state.listen(at, backlog.max(1) as usize))?;
            Ok(Box::new(MemoryListener { net, at }) as Box<dyn Listener>)
        })
    }

    /// Without `from` the source is the loopback address.
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        _options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Stream>>> {
        let net = self.clone();
        Box::pin(async move {
            let way = from.and_then(|from| net.with(|state| state.way(from, to.ip())));
            if let Some(there) = way {
                sleep(there).await;
            }
            loop {
                // Made before looking, so that a change in between is not missed.
                let changed = net.shared.changed.notified();
                match net.with(|state| state.dial(to, from)) {
                    Dial::Connected(end) => {
                        let stream: Box<dyn Stream> = Box::new(MemoryStream::new(net.clone(), end));
                        if let Some(back) = way {
                            sleep(back).await; // the other side may take it before this one knows
                        }
                        return Ok(stream);
                    }
                    Dial::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
                    Dial::Wait => changed.await,
                }
            }
        })
    }
}

/// One connection, as its fault injector. It keeps nothing alive, and does nothing once both ends are gone.
#[derive(Clone, Debug)]
pub struct Wire {
    net: MemoryNet,
    id: WireId,
    from: SocketAddr,
    to: SocketAddr,
}

impl Wire {
    /// The end that dialled.
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// The end that listened.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Whether one end at least is still held.
    pub fn is_open(&self) -> bool {
        self.net.with(|state| state.has(self.id))
    }

    /// Resets the connection: both ends get `ConnectionReset`, and every byte not read yet is lost.
    pub fn cut(&self) {
        self.net.with(|state| state.cut(self.id));
    }

    /// A black hole: neither bytes nor an end reach the other side, and nobody is told. Writes succeed until the
    /// buffer is full. Dropping one end now leaves the other half-open.
    pub fn silence(&self) {
        self.net.with(|state| state.set_silent(self.id, [true; 2]));
    }

    /// A black hole one way: what the end that dialled sends does not arrive, the rest does.
    pub fn silence_dialler(&self) {
        let silent = std::array::from_fn(|side| side == DIALLER);
        self.net.with(|state| state.set_silent(self.id, silent));
    }

    /// A black hole the other way.
    pub fn silence_acceptor(&self) {
        let silent = std::array::from_fn(|side| side == ACCEPTOR);
        self.net.with(|state| state.set_silent(self.id, silent));
    }

    /// Ends the connection in order, as a box on the way may: both ends read what was sent, then an end of file.
    pub fn hang_up(&self) {
        self.net.with(|state| state.hang_up(self.id));
    }

    /// Ends [`Wire::silence`]: what was held back arrives, an end or a reset included.
    pub fn resume(&self) {
        self.net.with(|state| state.set_silent(self.id, [false; 2]));
    }
}

struct MemoryListener {
    net: MemoryNet,
    at: SocketAddr,
}

impl Listener for MemoryListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let turn = ready!(poll_proceed(cx));
        let (end, peer) = ready!(self.net.with(|state| state.poll_accept(self.at, cx)));
        turn.made_progress();
        self.net.shared.changed.notify_waiters();
        let stream = MemoryStream::new(self.net.clone(), end);
        Poll::Ready(Ok((Box::new(stream), peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryListener").field(&self.at).finish()
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.net.with(|state| state.close_listener(self.at));
        self.net.shared.changed.notify_waiters();
    }
}

struct MemoryStream {
    net: MemoryNet,
    end: End,
    /// Until something arrives that is on its way.
    arrival: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl MemoryStream {
    fn new(net: MemoryNet, end: End) -> MemoryStream {
        MemoryStream { net, end, arrival: None }
    }
}

impl Stream for MemoryStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.net.with(|state| state.address(self.end.other()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.net.with(|state| state.address(self.end))
    }

    fn abort(self: Box<Self>) {
        self.net.with(|state| state.reset(self.end));
    }

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        Ok(Detached::new(move || Ok(self)))
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStream").field(&self.end).finish()
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.net.with(|state| state.close(self.end));
    }
}

/// Reads and writes use up the task's budget like those of a socket: a task that only talks to a ready
/// connection must not starve the others here either.
impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = ready!(poll_proceed(cx));
        loop {
            let until = match self.net.with(|state| state.poll_read(self.end, cx, buf)) {
                Read::Done(result) => {
                    turn.made_progress();
                    return Poll::Ready(result);
                }
                Read::Wait => return Poll::Pending,
                Read::Until(until) => until,
            };
            if self.arrival.as_ref().is_none_or(|(at, _)| *at != until) {
                self.arrival = Some((until, Box::pin(sleep_until(until))));
            }
            let Some((_, arrival)) = &mut self.arrival else { return Poll::Pending };
            ready!(arrival.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let result = ready!(self.net.with(|state| state.poll_write(self.end, cx, bufs)));
        turn.made_progress();
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.net.with(|state| state.finish(self.end)))
    }
}
