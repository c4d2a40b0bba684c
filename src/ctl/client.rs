//! One request to the daemon, one response.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::control::{Request, Response};

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nobody listens.
    #[error("no daemon answers on {path:?}: {error}")]
    NoDaemon { path: PathBuf, error: io::Error },
    /// Somebody listens, and says nothing.
    #[error("the daemon on {path:?} did not answer within {limit:?}")]
    NoAnswer { path: PathBuf, limit: Duration },
    /// Anything else.
    #[error("cannot talk to the daemon on {path:?}: {error}")]
    Failed { path: PathBuf, error: io::Error },
}

/// Sends the request and waits for its response: `limit` in all, or for ever (once connected) if
/// `waits`.
pub(super) fn call(
    path: &Path,
    request: &Request,
    limit: Duration,
    waits: bool,
) -> Result<Response, CallError> {
    let failed = |error: io::Error| {
        let path = path.to_owned();
        match error.kind() {
            // A timeout of a Unix socket is EAGAIN.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::NoAnswer { path, limit },
            _ => CallError::Failed { path, error },
        }
    };
    let deadline = Deadline(Instant::now().checked_add(limit));
    let mut stream = connect(path, limit)?;
    let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    match stream.write_all(&line) {
        // Turned away: it says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(failed)?,
    }
    let deadline = if waits { Deadline(None) } else { deadline };
    let answer = read_line(&mut stream, &deadline).map_err(failed)?;
    serde_json::from_slice(&answer).map_err(|error| failed(error.into()))
}

struct Deadline(Option<Instant>);

impl Deadline {
    /// What is left; an error if nothing is. `None`: for ever.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.0.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// A blocking connect with a limit: the kernel waits for a place in the listener's queue as long as
/// the socket's send timeout says.
fn connect(path: &Path, limit: Duration) -> Result<UnixStream, CallError> {
    let connected = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(Some(limit))?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(UnixStream::from(OwnedFd::from(socket)))
    };
    connected().map_err(|error: io::Error| {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                CallError::NoDaemon { path, error }
            }
            io::ErrorKind::WouldBlock => CallError::NoAnswer { path, limit },
            _ => CallError::Failed { path, error },
        }
    })
}

fn read_line(stream: &mut UnixStream, deadline: &Deadline) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        stream.set_read_timeout(deadline.left()?)?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Err(io::Error::other("it closed the connection without an answer")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(end) = piece[..count].iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&piece[..end]);
            return Ok(line);
        }
        line.extend_from_slice(&piece[..count]);
        if line.len() > ANSWER_SIZE {
            return Err(io::Error::other("its answer does not end"));
        }
    }
}

/// Ten thousand resources need some 60 MiB.
const ANSWER_SIZE: usize = 256 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    /// Calls a daemon that sends `answer` and closes.
    fn answered(answer: &'static [u8]) -> Result<Response, CallError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8(request[..count].to_vec()).unwrap()
        });
        let answered = call(&path, &Request::Version {}, LONG, false);
        assert_eq!(daemon.join().unwrap(), "{\"command\":\"version\"}\n");
        answered
    }

    #[test]
    fn an_answer_is_one_line() {
        let Ok(Response::Result(result)) = answered(b"{\"result\":{\"a\":1}}\nmore") else { panic!() };
        assert_eq!(result.get(), r#"{"a":1}"#);
    }

    #[test]
    fn a_strange_answer_is_a_failure() {
        for answer in [&b"hello\n"[..], b"", b"{\"result\":{}}", b"{\"result\":1,\"error\":2}\n", b"\xff\n"] {
            let error = answered(answer).unwrap_err();
            assert!(matches!(error, CallError::Failed { .. }), "{error}");
        }
    }

    #[test]
    fn silence_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = call(&path, &Request::Version {}, SHORT, false).unwrap_err();
        assert!(matches!(error, CallError::NoAnswer { .. }), "{error}");
    }

    #[test]
    fn a_trickle_does_not_stretch_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b" ").is_ok() {
                thread::yield_now();
            }
        });
        let error = call(&path, &Request::Version {}, SHORT, false).unwrap_err();
        assert!(matches!(error, CallError::NoAnswer { .. }), "{error}");
        daemon.join().unwrap();
    }

    #[test]
    fn a_crowd_before_us_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let error = call(&path, &Request::Version {}, SHORT, false).unwrap_err();
        assert!(matches!(error, CallError::NoAnswer { .. }), "{error}");
    }

    #[test]
    fn nobody_there_is_no_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let stale = dir.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [stale, dir.path().join("missing"), file.join("below"), file] {
            let error = call(&path, &Request::Version {}, LONG, false).unwrap_err();
            assert!(matches!(error, CallError::NoDaemon { .. }), "{error}");
        }
    }
}
