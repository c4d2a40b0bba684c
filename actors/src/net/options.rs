//! What every socket of the relay is set to, and what link and local sockets differ in.

use std::io;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Between the relay and its bsr.
    Local,
    /// Between the relay and the other DRX.
    Link,
}

/// Which congestion control a socket uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// bbr on the link: on a line with 0.1 % loss it carries ten times of what cubic does. cubic on local
    /// sockets, where the pacing of bbr costs a third of the throughput (docs/data-plane.md, 9). Where the
    /// kernel has no such, the socket is left as it is.
    Auto,
    /// What the system uses (`net.ipv4.tcp_congestion_control`).
    System,
    /// This one, or an error.
    Named(String),
}

/// How a socket is set up. `TCP_NODELAY` is always on: the relay sends what is ready and never waits for
/// company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// What the socket is for: decides what [`Congestion::Auto`] means.
    pub kind: Kind,
    /// The congestion control.
    pub congestion: Congestion,
    /// `SO_RCVBUF` in bytes as requested; the kernel doubles it, bounds it by `net.core.rmem_max`, and stops
    /// tuning it. `None`: the kernel tunes it. A bound on local sockets keeps bsr from resetting its connection
    /// while the BAB is full (docs/link.md, 9).
    pub receive_buffer: Option<usize>,
}

impl SocketOptions {
    /// For sockets between the relay and bsr.
    pub fn local() -> Self {
        SocketOptions {
            kind: Kind::Local,
            congestion: Congestion::Auto,
            receive_buffer: Some(LOCAL_RECEIVE_BUFFER),
        }
    }

    /// For sockets between the relay and the other DRX.
    pub fn link() -> Self {
        SocketOptions { kind: Kind::Link, congestion: Congestion::Auto, receive_buffer: None }
    }

    /// Sets the socket up. Before it connects or listens: TCP settles the scale of its window from the
    /// receive buffer while connecting.
    pub(super) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(|e| refused("SO_RCVBUF", e))?;
        }
        self.apply_congestion(socket)
    }

    fn apply_congestion(&self, socket: &SockRef<'_>) -> io::Result<()> {
        match (&self.congestion, self.kind) {
            // Trying says more than the kernel's lists: a module that is not loaded yet is in neither.
            (Congestion::Auto, Kind::Link) => drop(socket.set_tcp_congestion(b"bbr")),
            (Congestion::Auto, Kind::Local) => drop(socket.set_tcp_congestion(b"cubic")),
            (Congestion::System, _) => {}
            (Congestion::Named(name), _) => socket
                .set_tcp_congestion(name.as_bytes())
                .map_err(|e| refused(&format!("congestion control {name:?}"), e))?,
        }
        Ok(())
    }
}

/// Whether this process may use the congestion control of that name, here and now.
///
/// Asked of the kernel with a socket made for it: its lists (`net.ipv4.tcp_available_congestion_control`,
/// `tcp_allowed_congestion_control`) know neither this process's privileges nor the modules that can still be
/// loaded. Errors: no socket to be had.
pub fn congestion_control_available(name: &str) -> io::Result<bool> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    Ok(socket.set_tcp_congestion(name.as_bytes()).is_ok())
}

fn refused(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the kernel refuses {what}: {error}"))
}

/// With it a drip opens the window far enough to keep bsr's connection (docs/link.md 9, where the
/// measurements are). 64 KiB is too little for a bsr that sends small pieces, 208 KiB needs larger drips,
/// more is refused by the default of `net.core.rmem_max`.
const LOCAL_RECEIVE_BUFFER: usize = 128 * 1024;
