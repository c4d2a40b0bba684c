//! A command's side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Answer, MAX_LENGTH, Request};

/// A connection to a running node.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// How long the node may take for one answer.
    limit: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no node answers on {path:?}: {error}")]
    NoNode {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody listens, and says nothing.
    #[error("the node on {path:?} did not answer within {limit:?}")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// How long.
        limit: Duration,
    },
    /// Anything else.
    #[error("cannot talk to the node on {path:?}: {error}")]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

impl Client {
    /// Connects. `limit` is for this, and for each answer.
    ///
    /// # Errors
    /// There is no node, or none that takes clients.
    pub fn connect(path: &Path, limit: Duration) -> Result<Client, CallError> {
        let connected = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // The kernel waits for a place in the listener's queue as long as that.
            socket.set_write_timeout(Some(limit))?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(UnixStream::from(OwnedFd::from(socket)))
        };
        let connected: io::Result<UnixStream> = connected();
        let path = path.to_owned();
        match connected {
            Ok(stream) => Ok(Client { stream: BufReader::new(stream), path, limit }),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                    CallError::NoNode { path, error }
                }
                io::ErrorKind::WouldBlock => CallError::NoAnswer { path, limit },
                _ => CallError::Failed { path, error },
            }),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// There is none.
    pub fn call(&mut self, request: &Request) -> Result<Answer, CallError> {
        self.send(request, &[])?;
        self.receive().map(|(answer, _)| answer)
    }

    /// Asks. `data` are a write's bytes.
    ///
    /// # Errors
    /// The node does not take it.
    pub fn send(&mut self, request: &Request, data: &[u8]) -> Result<(), CallError> {
        let mut bytes = serde_json::to_vec(request).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(data);
        match self.stream.get_mut().write_all(&bytes) {
            // Turned away: it says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| self.failed(error)),
        }
    }

    /// The next answer, and the bytes that belong to it.
    ///
    /// # Errors
    /// None comes in time, or nothing that could be one.
    pub fn receive(&mut self) -> Result<(Answer, Vec<u8>), CallError> {
        let end = Instant::now() + self.limit;
        let received = self.line(end).and_then(|line| {
            let answer: Answer = serde_json::from_slice(&line)?;
            let data = match answer {
                Answer::Data { length } if length > MAX_LENGTH => {
                    return Err(io::Error::other(format!("its answer has {length} bytes")));
                }
                Answer::Data { length } => self.data(length as usize, end)?,
                _ => Vec::new(),
            };
            Ok((answer, data))
        });
        received.map_err(|error| self.failed(error))
    }

    /// Waits until the node has closed the connection.
    ///
    /// # Errors
    /// It does not within the limit.
    pub fn wait_closed(mut self) -> Result<(), CallError> {
        let end = Instant::now() + self.limit;
        loop {
            match self.fill(end) {
                Ok(0) => return Ok(()),
                Ok(more) => self.stream.consume(more),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn line(&mut self, end: Instant) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let count = self.fill(end)?;
            let piece = self.stream.buffer();
            let (taken, whole) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at, true),
                None if count == 0 => {
                    return Err(io::Error::other("it closed the connection without an answer"));
                }
                None => (piece.len(), false),
            };
            line.extend_from_slice(&piece[..taken]);
            self.stream.consume(taken + usize::from(whole));
            if whole {
                return Ok(line);
            }
            if line.len() > MAX_ANSWER {
                return Err(io::Error::other("its answer does not end"));
            }
        }
    }

    fn data(&mut self, length: usize, end: Instant) -> io::Result<Vec<u8>> {
        let mut data = vec![0; length];
        let mut so_far = 0;
        while so_far < length {
            if self.fill(end)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            so_far += self.stream.read(&mut data[so_far..])?;
        }
        Ok(data)
    }

    /// Makes sure that there are bytes in the buffer; 0: there will be none any more.
    fn fill(&mut self, end: Instant) -> io::Result<usize> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            match self.stream.fill_buf() {
                Ok(bytes) => return Ok(bytes.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn failed(&self, error: io::Error) -> CallError {
        let path = self.path.clone();
        match error.kind() {
            // A timeout of a Unix socket is EAGAIN.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                CallError::NoAnswer { path, limit: self.limit }
            }
            _ => CallError::Failed { path, error },
        }
    }
}

/// Bytes of an answer's line: a status has some hundreds.
const MAX_ANSWER: usize = 1 << 20;
