//! The volume of a primary for other programs: a server for the NBD protocol, fixed newstyle.
//!
//! The protocol is <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>. It is written here because no
//! library fits: of those on crates.io one is under the GPL, the others are blocking or know only the handshake.
//!
//! ```text
//! door           where it listens
//! handshake      which export, and what it can do
//! transmission   requests and replies
//! ```
//!
//! A stranger costs no more than a connection for ten seconds. A client costs at most 64 requests and 64 MiB.

mod door;
mod handshake;
mod transmission;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::door::{Door, Stream};
use super::requests::Requests;
use crate::core::api::Severity;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// At this path, for this user alone.
    Unix(PathBuf),
    /// At this address, for everybody who gets there.
    Tcp(SocketAddr),
}

/// What there is for clients at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Export {
    /// Only a primary's volume is there. A client is turned away while it is false, and dropped when it becomes so.
    pub primary: bool,
    /// The volume's size in bytes, a multiple of 512. A client sees that of when it came.
    pub bytes: u64,
}

/// A line for the log.
pub type Note = Arc<dyn Fn(Severity, String) + Send + Sync>;

/// How many clients use the volume at the moment.
#[derive(Clone, Debug, Default)]
pub struct InUse(Arc<AtomicUsize>);

impl InUse {
    /// Those that have chosen the export and are still connected.
    pub fn clients(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn one_more(&self) -> User {
        self.0.fetch_add(1, Ordering::SeqCst);
        User(self.clone())
    }
}

/// A client, as long as it lives.
struct User(InUse);

impl Drop for User {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The server. It listens from [`Server::bind`] on, and serves while [`Server::serve`] is polled; dropping that
/// drops all clients, and a socket's path with them.
pub struct Server {
    door: Door,
    service: Service,
}

/// What every connection gets.
#[derive(Clone)]
struct Service {
    name: Arc<str>,
    requests: Requests,
    export: watch::Receiver<Export>,
    in_use: InUse,
    note: Note,
}

impl Server {
    /// Listens. The export is called `name`, and is the default one as well. `requests` lead to the node.
    ///
    /// A socket that a dead process has left at the path is replaced.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AddrInUse`] if another process listens there.
    pub fn bind(
        address: &Address,
        name: &str,
        requests: Requests,
        export: watch::Receiver<Export>,
        note: Note,
    ) -> io::Result<Server> {
        let door = Door::open(address)?;
        let service = Service { name: name.into(), requests, export, in_use: InUse::default(), note };
        Ok(Server { door, service })
    }

    /// Where it listens, with the port that it got for port 0.
    pub fn address(&self) -> &Address {
        self.door.address()
    }

    /// Who uses the volume; also while it serves.
    pub fn in_use(&self) -> InUse {
        self.service.in_use.clone()
    }

    /// Serves for ever.
    pub async fn serve(self) {
        let Server { door, service } = self;
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = door.accept() => match accepted {
                    Ok((_, who)) if clients.len() >= CLIENTS => {
                        service.note(Severity::Warning, format!("{who} turned away: there are {CLIENTS} already"));
                    }
                    Ok((stream, who)) => {
                        let service = service.clone();
                        clients.spawn(async move {
                            match stream {
                                Stream::Unix(stream) => service.connection(stream, who).await,
                                Stream::Tcp(stream) => service.connection(stream, who).await,
                            }
                        });
                    }
                    Err(error) => {
                        service.note(Severity::Warning, format!("cannot accept a client: {error}"));
                        sleep(ACCEPT_AGAIN).await; // too few descriptors, probably
                    }
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

impl Service {
    async fn connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
        mut stream: S,
        who: String,
    ) {
        let chosen = match timeout(HANDSHAKE, handshake::handshake(&mut stream, &self)).await {
            Ok(chosen) => chosen,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it has not chosen an export in time")),
        };
        match chosen {
            Ok(Some((user, export))) => {
                self.note(Severity::Info, format!("{who} uses the volume"));
                let ended =
                    transmission::serve(stream, export, self.requests.clone(), self.export.clone()).await;
                drop(user);
                match ended {
                    Ok(()) => self.note(Severity::Info, format!("{who} has ended")),
                    Err(error) => self.note(Severity::Warning, format!("{who} dropped: {error}")),
                }
            }
            Ok(None) => {} // it only wanted to know something
            Err(error) => {
                self.note(Severity::Warning, format!("{who} dropped before it chose an export: {error}"))
            }
        }
    }

    fn note(&self, severity: Severity, line: String) {
        (self.note)(severity, format!("nbd: {line}"));
    }
}

/// Connections at a time: programs that use several seldom use more than 16.
const CLIENTS: usize = 32;
const HANDSHAKE: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
