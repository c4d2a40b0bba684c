//! Where clients come in.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use super::Address;

pub(super) struct Door {
    listener: Listener,
    address: Address,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Door {
    pub(super) fn open(address: &Address) -> io::Result<Door> {
        match address {
            Address::Unix(path) => {
                Ok(Door { listener: Listener::Unix(unix(path)?), address: address.clone() })
            }
            Address::Tcp(at) => {
                let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.set_reuseaddr(true)?;
                socket.bind(*at)?;
                let listener = socket.listen(BACKLOG)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok(Door { listener: Listener::Tcp(listener), address })
            }
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The next one, and what to call it in the log.
    pub(super) async fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.listener {
            Listener::Unix(listener) => {
                static NUMBER: AtomicU64 = AtomicU64::new(1);
                let (stream, _) = listener.accept().await?;
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                Ok((Stream::Unix(stream), format!("local client {number}")))
            }
            Listener::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                let _ = stream.set_nodelay(true); // without it, it is only slower
                Ok((Stream::Tcp(stream), format!("client {from}")))
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path); // somebody may have been faster
        }
    }
}

/// Nobody can connect before its mode is right: until it listens, connections are refused.
fn unix(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let name = SockAddr::unix(path)?;
    match socket.bind(&name) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&name)?;
        }
        bound => bound?,
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG.cast_signed())?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

/// A socket at which nobody listens: its process has gone without removing it. Any other file refuses in the same
/// words, and is somebody's.
fn is_dead(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let connected = StdUnixStream::connect(path);
    is_socket && matches!(connected, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

const BACKLOG: u32 = 64;
