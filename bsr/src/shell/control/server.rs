//! Serving the control socket: clients side by side, requests of one client in turn, several of them under way.

use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slog::{Logger, debug, warn};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::line::{Line, read_line};
use super::{
    Answer, ControlSocket, IN_FLIGHT, Kind, MAX_CLIENTS, MAX_LENGTH, MAX_LINE, MAX_WAIT, Problem, Request,
};
use crate::core::{self, Refusal, RequestError, Status};
use crate::shell::node::Handle;
use crate::shell::requests::Ask;
use crate::shell::status::{Condition, Named, Pair, is_verify};

/// Serves the socket until the node has ended and the answers about that are fetched. The socket's file goes as soon
/// as the node has ended.
///
/// # Errors
/// The socket cannot be used at all; what goes wrong with a client ends that client.
pub async fn serve(socket: ControlSocket, node: Handle, log: Logger) -> io::Result<()> {
    let listener = socket.listener()?;
    let server = Arc::new(Server { node: node.clone(), log: log.clone() });
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            _ = node.ended() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely no file descriptors are left; it would fail again at once.
                warn!(log, "cannot accept a control client"; "error" => %error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let server = Arc::clone(&server);
                clients.spawn(async move {
                    server.attend(stream).await;
                    drop(place);
                });
            }
            Err(_) => turn_away(&stream),
        }
    }
    drop(listener);
    drop(socket);
    // A client that does not fetch its answer has that time, too.
    let _ = timeout(LAST_ANSWERS, clients.join_all()).await;
    Ok(())
}

struct Server {
    node: Handle,
    log: Logger,
}

/// An answer, as soon as it is there.
enum Coming {
    Now(Answer),
    Status,
    Order(oneshot::Receiver<Result<(), Refusal>>),
    /// Whether the bytes belong to the answer.
    Request(oneshot::Receiver<Result<Bytes, RequestError>>, bool),
    Wait(Condition, Option<bool>, Duration),
}

impl Server {
    /// Answers a client's requests until it goes, misbehaves, or the node has ended.
    async fn attend(&self, stream: UnixStream) {
        let (from, to) = stream.into_split();
        let (coming, answers) = mpsc::channel(IN_FLIGHT);
        tokio::join!(self.take(from, coming), self.answer(answers, to));
    }

    /// Takes requests, until no more come or what comes is none.
    async fn take(&self, from: OwnedReadHalf, coming: mpsc::Sender<Coming>) {
        let mut from = BufReader::new(from);
        loop {
            let line = tokio::select! {
                line = read_line(&mut from, MAX_LINE) => line,
                _ = self.node.ended() => return,
                // Its answers cannot be sent any more.
                () = coming.closed() => return,
            };
            let taken = match line {
                Ok(Line::Whole(line)) => self.request(&line, &mut from).await,
                Ok(Line::End) | Err(_) => return,
                Ok(Line::CutShort) => Err("the request ends in the midst of its line".to_owned()),
                Ok(Line::TooLong) => Err(format!("the request has more than {MAX_LINE} bytes")),
            };
            let (next, last) = match taken {
                Ok(next) => (next, false),
                Err(why) => {
                    debug!(self.log, "a control request that is none"; "why" => &why);
                    (Coming::Now(Answer::Error(Problem::bad_request(why))), true)
                }
            };
            if coming.send(next).await.is_err() || last {
                return;
            }
        }
    }

    /// Begins to do what is asked for. An error: it is not known where the next request begins, or was never meant to be.
    async fn request(&self, line: &[u8], from: &mut BufReader<OwnedReadHalf>) -> Result<Coming, String> {
        let request: Request = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let request = match request {
            Request::Wait { connection, role, disk, verifying, milliseconds } => {
                let condition = Condition {
                    connection: connection.map(|name| named(&name)).transpose()?,
                    role: role.map(|pair| Pair::from_str(&pair)).transpose()?,
                    disk: disk.map(|pair| Pair::from_str(&pair)).transpose()?,
                };
                let limit = Duration::from_millis(milliseconds.min(MAX_WAIT));
                return Ok(Coming::Wait(condition, verifying, limit));
            }
            Request::Read { length, .. } | Request::Write { length, .. } if length > MAX_LENGTH => {
                return Err(format!("{length} bytes are more than {MAX_LENGTH}"));
            }
            Request::Read { offset, length } => core::Request::Read { offset, length },
            Request::Write { offset, length } => {
                let mut data = vec![0; length as usize];
                let read = timeout(PAYLOAD, from.read_exact(&mut data)).await;
                match read {
                    Ok(Ok(_)) => core::Request::Write { offset, data: data.into(), fua: false },
                    _ => return Err(format!("its {length} bytes did not come")),
                }
            }
            Request::Flush {} => core::Request::Flush,
            other => match other.order() {
                Some(order) => return Ok(Coming::Order(self.node.begin(order).await)),
                None => return Ok(Coming::Status),
            },
        };
        let reads = matches!(request, core::Request::Read { .. });
        let (reply, answer) = oneshot::channel();
        // If there is no node any more, the answer's other end is dropped with the request, and that is an answer, too.
        let _ = self.node.requests().send(Ask { request, reply }).await;
        Ok(Coming::Request(answer, reads))
    }

    /// Gives answers, in the order of their requests.
    async fn answer(&self, mut answers: mpsc::Receiver<Coming>, mut to: OwnedWriteHalf) {
        while let Some(coming) = answers.recv().await {
            let (answer, data) = self.come(coming).await;
            // An answer is strings and numbers: there is nothing that can fail.
            let mut line = serde_json::to_vec(&answer).unwrap_or_default();
            line.push(b'\n');
            let sent = timeout(ANSWER, async {
                to.write_all(&line).await?;
                to.write_all(&data).await
            });
            match sent.await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    }

    async fn come(&self, coming: Coming) -> (Answer, Bytes) {
        let answer = match coming {
            Coming::Now(answer) => answer,
            Coming::Status => {
                self.node.status_now().await;
                Answer::Status(Box::new(self.node.report()))
            }
            Coming::Order(done) => match done.await {
                Ok(Ok(())) => Answer::Done {},
                Ok(Err(refusal)) => Answer::Error(refusal.into()),
                Err(_) => Answer::Error(Problem::ending()),
            },
            Coming::Request(done, reads) => match done.await {
                Ok(Ok(data)) if reads => {
                    // A read is never longer than what was asked for, and that was at most 1 MiB.
                    let length = u32::try_from(data.len()).unwrap_or(0);
                    return (Answer::Data { length }, data);
                }
                Ok(Ok(_)) => Answer::Done {},
                Ok(Err(error)) => Answer::Error(error.into()),
                Err(_) => Answer::Error(Problem::ending()),
            },
            Coming::Wait(condition, verifying, limit) => {
                let met = |status: &Status| {
                    let verifies = is_verify(status.state.connection);
                    condition.met(&status.state) && verifying.is_none_or(|wanted| wanted == verifies)
                };
                let reached = timeout(limit, self.node.until(met)).await == Ok(true);
                Answer::Waited { reached, status: Box::new(self.node.report()) }
            }
        };
        (answer, Bytes::new())
    }
}

fn named<T: Named>(name: &str) -> Result<T, String> {
    T::named(name).ok_or_else(|| format!("{name:?} is no such state"))
}

/// Says why, if that is possible without waiting, and closes.
fn turn_away(stream: &UnixStream) {
    let reason = format!("{MAX_CLIENTS} clients are connected already, that is all there may be");
    let mut line =
        serde_json::to_vec(&Answer::Error(Problem { kind: Kind::Busy, reason })).unwrap_or_default();
    line.push(b'\n');
    // A new socket has room for a line.
    let _ = stream.try_write(&line);
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// For a write's bytes, once its line is there.
const PAYLOAD: Duration = Duration::from_secs(10);
/// For fetching an answer.
const ANSWER: Duration = Duration::from_secs(10);
const LAST_ANSWERS: Duration = Duration::from_secs(1);
