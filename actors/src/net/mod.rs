//! The seam between the relay's actors and the network.
//!
//! An actor listens and dials through a [`Net`] that it was given, and knows its connections only as
//! [`Stream`]s. So the same actors run over the kernel's TCP ([`TcpNet`]), over a network in memory with
//! faults on demand and a paused clock ([`MemoryNet`]), or over a simulator's.

mod memory;
mod options;
mod tcp;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::{MemoryNet, Weather, Wire};
pub use options::{Congestion, Kind, SocketOptions, congestion_control_available};
pub use tcp::TcpNet;

/// A future that stays on the arbiter it was made on, and borrows nothing.
pub type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A network: listens and dials. Shared by all actors as `Arc<dyn Net>`.
pub trait Net: Send + Sync + 'static {
    /// Listens at `at` (port 0: one that is free, see [`Listener::local_addr`]).
    ///
    /// `backlog` bounds the connections that are complete but not accepted yet; the kernel has a lower
    /// bound of its own (`net.core.somaxconn`) and lets in one more than asked for. Accepted connections
    /// get `options`, too. Errors: those of socket(2), bind(2), listen(2), or an option that was refused.
    fn listen(
        &self,
        at: SocketAddr,
        backlog: u32,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Listener>>>;

    /// Dials `to`, from the address `from` (any port of it) if one is given.
    ///
    /// It takes as long as it takes: minutes, if nobody answers. Who waits less drops the future, which ends
    /// the attempt. Errors: those of bind(2) and connect(2), or an option that was refused.
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Stream>>>;
}

/// A listening socket. Dropping it closes it at once: from then on dials are refused, and connections
/// that were complete but not accepted are reset.
pub trait Listener: fmt::Debug + Send + Unpin {
    /// The next connection, and where it comes from.
    ///
    /// An error is about one connection, or about a shortage (file descriptors): the listener itself goes on.
    /// After a shortage the next call may fail at once again, so a caller pauses before it.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>>;

    /// Where it listens, with the real port.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

impl dyn Listener {
    /// [`Listener::poll_accept`] as a future. Dropping it loses no connection.
    pub async fn accept(&mut self) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

/// A connection. Dropping it closes it: what was written still arrives, unless bytes that came in were
/// left unread; then TCP resets the connection and what was on its way may be lost.
pub trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {
    /// The other end's address. Fails when the connection is gone.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// This end's address.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Closes with a reset (RST), so that the other end can not take it for an orderly end. Unsent bytes are
    /// thrown away.
    fn abort(self: Box<Self>);

    /// Takes the connection off this arbiter's reactor, to be attached on another arbiter. No byte is lost.
    ///
    /// On an error the connection is closed.
    fn detach(self: Box<Self>) -> io::Result<Detached>;
}

/// A connection between two arbiters. Dropping it closes the connection.
pub struct Detached(Box<dyn FnOnce() -> io::Result<Box<dyn Stream>> + Send>);

impl Detached {
    /// For implementations of [`Stream::detach`]: `attach` is what [`Detached::attach`] does.
    pub fn new(attach: impl FnOnce() -> io::Result<Box<dyn Stream>> + Send + 'static) -> Self {
        Detached(Box::new(attach))
    }

    /// Registers the connection with the current arbiter's reactor. On an error it is closed.
    ///
    /// # Panics
    /// For a TCP connection, outside of an arbiter (or another tokio runtime with I/O).
    pub fn attach(self) -> io::Result<Box<dyn Stream>> {
        (self.0)()
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached")
    }
}
