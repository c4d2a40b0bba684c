//! Serving the control socket: clients side by side, requests of one client in turn.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, debug, o, warn};
use tokio::io::{AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::control::answer::answer;
use crate::control::line::{Line, read_line};
use crate::control::{Additions, ControlSocket, Kind, Problem, Response};
use crate::daemon::{RelayHandle, Wish};
use crate::logging::Threshold;

/// Who answers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The daemon's version.
    pub version: String,
    /// The node's name.
    pub node: String,
}

/// What a client may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients at a time.
    pub clients: usize,
    /// Bytes of a request, without its line's end.
    pub request: usize,
    /// The time from a response, or the beginning, to the end of the next request.
    pub read: Duration,
    /// The time that a client may take to fetch its response.
    pub write: Duration,
    /// The time that the relay has for an answer, except where the client waits for the command's end.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 64,
            request: 64 << 10,
            read: Duration::from_secs(10),
            write: Duration::from_secs(10),
            answer: Duration::from_secs(4),
        }
    }
}

/// Everything that answering takes.
#[derive(Debug)]
pub struct Server {
    /// Who answers.
    pub identity: Identity,
    /// What a client may cost.
    pub limits: Limits,
    /// The relay.
    pub relay: RelayHandle,
    /// What is added to it over the socket.
    pub additions: Additions,
    /// To the daemon's main loop.
    pub wishes: mpsc::Sender<Wish>,
    /// The log.
    pub log: Logger,
    /// How much of it is written.
    pub threshold: Threshold,
}

impl Server {
    /// Serves the socket for ever, on this arbiter.
    ///
    /// # Errors
    /// The socket cannot be used at all; what goes wrong with a client ends that client.
    pub async fn serve(self, socket: &ControlSocket) -> io::Result<Infallible> {
        let listener = socket.listener()?;
        let server = Rc::new(self);
        let places = Arc::new(Semaphore::new(server.limits.clients));
        let mut complained: Option<Instant> = None;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most likely no file descriptors are left; it would fail again at once.
                    if complained.is_none_or(|then| then.elapsed() >= COMPLAIN_AGAIN) {
                        warn!(server.log, "cannot accept a control client"; "error" => %error);
                        complained = Some(Instant::now());
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let server = Rc::clone(&server);
                    actix::spawn(async move {
                        server.attend(stream).await;
                        drop(place);
                    });
                }
                Err(_) => server.turn_away(&stream),
            }
        }
    }

    /// Answers a client's requests until it goes, or misbehaves.
    async fn attend(&self, stream: UnixStream) {
        let log = match stream.peer_cred() {
            Ok(peer) => self.log.new(o!("uid" => peer.uid(), "pid" => peer.pid())),
            Err(_) => self.log.clone(),
        };
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::new(from);
        loop {
            let limit = self.limits.request;
            let (response, last) = match timeout(self.limits.read, read_line(&mut from, limit)).await {
                Ok(Ok(Line::Whole(line))) => tokio::select! {
                    response = answer(self, &line, &log) => (response, false),
                    // A command that has begun goes on in the relay.
                    () = gone(&to) => return,
                },
                Ok(Ok(Line::End) | Err(_)) => return,
                Ok(Ok(Line::CutShort)) => (bad("the request ends in the midst of its line"), true),
                Ok(Ok(Line::TooLong)) => (bad(format!("the request has more than {limit} bytes")), true),
                Err(_) => (bad(format!("no whole request within {:?}", self.limits.read)), true),
            };
            if let Response::Error(problem) = &response {
                debug!(log, "control request not carried out"; "why" => %problem);
            }
            match timeout(self.limits.write, to.write_all(&encode(&response))).await {
                Ok(Ok(())) if !last => {}
                _ => return,
            }
        }
    }

    /// Says why, if that is possible without waiting, and closes.
    fn turn_away(&self, stream: &UnixStream) {
        let reason =
            format!("{} clients are connected already, that is all there may be", self.limits.clients);
        let response = encode(&Response::Error(Problem::new(Kind::Busy, reason)));
        // A new socket has room for a line.
        let _ = stream.try_write(&response);
    }
}

/// Completes when the client has closed its socket as a whole. One that has only ended its requests, as
/// `nc -N` does, still waits for its response.
async fn gone(to: &OwnedWriteHalf) {
    loop {
        match to.ready(Interest::WRITABLE).await {
            Ok(ready) if ready.is_write_closed() => return,
            Ok(_) => sleep(GONE_INTERVAL).await,
            // The reactor is gone: so is all this, soon.
            Err(_) => pending().await,
        }
    }
}

fn bad(reason: impl Into<String>) -> Response {
    Response::Error(Problem::bad_request(reason))
}

/// The response's line.
fn encode(response: &Response) -> Vec<u8> {
    // A response is strings and what was JSON before: there is nothing that can fail.
    let mut line = serde_json::to_vec(response).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Between two complaints that clients cannot be accepted.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A client that went away in the midst of a long command keeps its place this much longer.
const GONE_INTERVAL: Duration = Duration::from_millis(500);
