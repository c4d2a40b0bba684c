//! The socket's file: whose it is, and who may use it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A node's own control socket. Dropping it removes its file, so that the next command is told at once that there
/// is no node.
///
/// A lock on the file `SOCKET.lock` keeps a second node away, for as long as this value lives: without it two that
/// start together could each take the other's new socket for a stale one. The lock's file stays: removing it would let a
/// third node lock another file of that name.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode: what tells our file from another's of the same name.
    identity: (u64, u64),
    _lock: File,
}

impl ControlSocket {
    /// Makes the socket and listens on it, for this user. A file that a dead node left is replaced.
    ///
    /// # Errors
    /// Another node has it, or the system refuses.
    pub fn claim(path: &Path) -> Result<ControlSocket, ClaimError> {
        let failed =
            |what: &'static str| move |error| ClaimError::System { what, path: path.to_owned(), error };
        let taken = || ClaimError::Taken(path.to_owned());

        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let options = || File::options().write(true).create(true).truncate(false).open(&lock_path);
        let lock = options().map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken()),
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }

        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ClaimError::NotASocket(path.to_owned()));
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err(taken()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed("remove the stale"))?;
                }
                Err(error) => return Err(failed("try the existing")(error)),
            },
        }

        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("make"))?;
        let address = SockAddr::unix(path).map_err(failed("make"))?;
        socket.bind(&address).map_err(failed("make"))?;
        // Before it listens: nobody is let in under the permissions that it was born with.
        let listening = fs::set_permissions(path, Permissions::from_mode(MODE))
            .and_then(|()| socket.listen(BACKLOG))
            .and_then(|()| socket.set_nonblocking(true))
            .and_then(|()| identity(path));
        match listening {
            Ok(identity) => {
                let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
                Ok(ControlSocket { path: path.to_owned(), listener, identity, _lock: lock })
            }
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(failed("listen on")(error))
            }
        }
    }

    /// Another handle of the listener, for the server.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Somebody may have replaced it: then it is not ours to remove.
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is a node already.
    #[error("another node runs with the control socket {0:?}")]
    Taken(PathBuf),
    /// The file is something else, and may be precious.
    #[error("cannot make the control socket: {0:?} is there and is not a socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot {what} control socket {path:?}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

/// Whoever may write to the socket may write to the volume: its user.
const MODE: u32 = 0o600;
/// Clients that wait to be accepted.
const BACKLOG: i32 = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_node_has_it_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = ControlSocket::claim(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert!(matches!(ControlSocket::claim(&path), Err(ClaimError::Taken(_))));
        drop(first);
        assert!(!path.exists());
        ControlSocket::claim(&path).unwrap();
    }

    #[test]
    fn what_a_dead_node_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let socket = ControlSocket::claim(&path).unwrap();
        // And what somebody put in its place is left alone.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(socket);
        assert!(matches!(ControlSocket::claim(&path), Err(ClaimError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x".repeat(150));
        assert!(matches!(ControlSocket::claim(&path), Err(ClaimError::System { .. })));
    }
}
