//! What a request is answered: the way to the relay and back.

use std::future::Future;
use std::time::Duration;

use actix::MailboxError;
use drx_actors::api::{Operate, Refusal, Resize, Resized, Snapshot, Verb};
use drx_protocol::report::{RelayReport, select};
use serde::Serialize;
use serde_json::value::to_raw_value;
use slog::{Logger, info};
use tokio::time::timeout;

use crate::control::connections;
use crate::control::server::Server;
use crate::control::{
    ALL, Accepted, InForce, Kind, Problem, Request, Response, Set, Setting, Target, Version, compression,
    configuration, level,
};
use crate::daemon::Wish;

/// Answers the request on `line`.
pub(super) async fn answer(server: &Server, line: &[u8], log: &Logger) -> Response {
    let answered = match Request::parse(line) {
        Ok(request) => carry_out(server, request, log).await,
        Err(error) => Err(Problem::bad_request(format!("this is not a request: {error}"))),
    };
    answered.unwrap_or_else(Response::Error)
}

async fn carry_out(server: &Server, request: Request, log: &Logger) -> Result<Response, Problem> {
    match request {
        Request::Report { name } => result(&report(server, &name).await?),
        Request::Up(target) => operate(server, Verb::Up, "up", target, log).await,
        Request::Down(target) => operate(server, Verb::Down, "down", target, log).await,
        Request::Restart(target) => operate(server, Verb::Restart, "restart", target, log).await,
        Request::Set { name, key, value } => set(server, name, key, &value, log).await,
        Request::AddConnection(addition) => connections::add(server, addition, log).await,
        Request::RemoveConnection { name } => connections::remove(server, name, log).await,
        Request::ProxySettings { name } => connections::proxy_settings(server, name).await,
        Request::SetOption { .. } | Request::SetPlugin { .. } => {
            connections::change(server, request, log).await
        }
        Request::Configuration {} => result(&configuration::answer(server).await?),
        Request::Version {} => {
            result(&Version { version: server.identity.version.clone(), node: server.identity.node.clone() })
        }
        Request::Shutdown {} => {
            info!(log, "operator's command"; "command" => "shutdown");
            // A full queue holds a wish to stop, or such a crowd of others that one more is lost; then
            // the operator is told.
            let wish = server.wishes.try_send(Wish::Stop { why: "drx-ctl shutdown" });
            wish.map_err(|_| Problem::new(Kind::Failed, "the daemon does not take commands"))?;
            accepted("shutdown", ALL.to_owned(), false)
        }
    }
}

async fn report(server: &Server, name: &str) -> Result<RelayReport, Problem> {
    let report = within(server.limits.answer, server.relay.snapshot.send(Snapshot)).await?;
    let mut resources = select(report.resources, name);
    if resources.is_empty() && name != ALL {
        return Err(Refusal::UnknownName(name.to_owned()).into());
    }
    // The relay's order is that of its tasks; a reader of two answers in turn wants to compare them.
    resources.sort_by(|a, b| (&a.name, &a.remote, &a.local).cmp(&(&b.name, &b.remote, &b.local)));
    for resource in &mut resources {
        resource.channels.sort_by_key(|channel| (channel.role, channel.lane));
    }
    Ok(RelayReport { resources, ..report })
}

async fn operate(
    server: &Server,
    verb: Verb,
    command: &str,
    target: Target,
    log: &Logger,
) -> Result<Response, Problem> {
    let Target { name, wait } = target;
    info!(log, "operator's command"; "command" => command, "name" => &name, "wait" => wait);
    let asked = server.relay.operate.send(Operate { verb, name: name.clone(), wait });
    let done =
        if wait { asked.await.map_err(Problem::from)? } else { within(server.limits.answer, asked).await? };
    if let Err(refusal) = done {
        info!(log, "operator's command refused"; "command" => command, "name" => &name, "why" => %refusal);
        return Err(refusal.into());
    }
    accepted(command, name, wait)
}

async fn set(
    server: &Server,
    name: String,
    key: String,
    value: &str,
    log: &Logger,
) -> Result<Response, Problem> {
    if key == level::KEY {
        return result(&level::set(server, &name, value, log)?);
    }
    if key == compression::KEY || key == compression::SHORT {
        return result(&compression::set(server, name, value, log).await?);
    }
    if key != SIZE {
        return Err(match LATER.contains(&key.as_str()) {
            true => Problem::new(Kind::NotAvailable, format!("{key} cannot be set yet; {CAN} can")),
            false => Problem::new(Kind::BadValue, format!("there is no {key:?} to be set; {CAN} can be")),
        });
    }
    let size = drx_config::bab_size(value).map_err(|wrong| Problem::new(Kind::BadValue, wrong))?;
    info!(log, "operator's command"; "command" => "set", "name" => &name, "key" => &key, "value" => value);
    let asked = server.relay.resize.send(Resize { name: name.clone(), size });
    match within(server.limits.answer, asked).await? {
        Ok(resized) => {
            let in_force = resized.into_iter().map(|Resized { connection, size, held }| InForce {
                connection,
                value: Setting::Bytes(size),
                used: Some(held),
            });
            result(&Set { command: "set".to_owned(), name, key, in_force: in_force.collect() })
        }
        Err(refusal) => {
            info!(log, "operator's command refused"; "command" => "set", "name" => &name, "why" => %refusal);
            Err(refusal.into())
        }
    }
}

/// Bounds the relay's time.
pub(super) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, MailboxError>>,
) -> Result<T, Problem> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(Problem::from),
        Err(_) => Err(Problem::new(Kind::NoAnswer, format!("the relay did not answer within {limit:?}"))),
    }
}

pub(super) fn accepted(command: &str, name: String, finished: bool) -> Result<Response, Problem> {
    result(&Accepted { command: command.to_owned(), name, finished })
}

pub(super) fn result(value: &impl Serialize) -> Result<Response, Problem> {
    let raw = to_raw_value(value);
    raw.map(Response::Result).map_err(|error| Problem::new(Kind::Failed, error.to_string()))
}

impl Problem {
    pub(super) fn new(kind: Kind, reason: impl Into<String>) -> Problem {
        Problem { kind, reason: reason.into() }
    }

    pub(super) fn bad_request(reason: impl Into<String>) -> Problem {
        Problem::new(Kind::BadRequest, reason)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let kind = match refusal {
            Refusal::UnknownName(_) => Kind::UnknownName,
            Refusal::ShuttingDown => Kind::ShuttingDown,
            Refusal::OverTotal { .. }
            | Refusal::NotResized(_)
            | Refusal::BeingRemoved(_)
            | Refusal::OtherAddresses { .. }
            | Refusal::InsideTaken { .. } => Kind::Refused,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<MailboxError> for Problem {
    fn from(error: MailboxError) -> Problem {
        match error {
            MailboxError::Closed => Problem::new(Kind::Failed, "the relay has ended"),
            MailboxError::Timeout => Problem::new(Kind::NoAnswer, "the relay did not answer"),
        }
    }
}

/// What can be set of a resource while it runs.
const SIZE: &str = "bab.size";
/// What will be.
const LATER: [&str; 1] = ["link.bandwidth"];
/// In words.
const CAN: &str = "bab.size, link.compression and log.level";
