//! `drx-ctl`: asks the daemon, and says what it answered. Under other names it is what `bsradm` and `drbdadm` expect.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::control::{ALL, ANSWER_LIMIT, Kind, Request, Response, Target, Version};
use crate::ctl::client::{CallError, call};
use crate::ctl::command::{Cli, Command};

mod client;
mod command;
mod print;
pub mod proxy;

/// Runs the program with these arguments, its own name first. Its exit status:
///
/// | | |
/// | --- | --- |
/// | 0 | done |
/// | 1 | the daemon said no, or did not answer |
/// | 2 | usage |
/// | 3 | there is no daemon |
///
/// Called as `bsr-proxy-ctl` or `drbd-proxy-ctl` it is that program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    if let Some(program) = arguments.peek().and_then(proxy::name_of) {
        return proxy::run(program, arguments.skip(1));
    }
    match command::parse(arguments) {
        Ok(cli) => {
            let outcome = carry_out(&cli);
            outcome.write(cli.json)
        }
        Err(usage) => usage.report(),
    }
}

fn carry_out(cli: &Cli) -> Outcome {
    let all = |name: &Option<String>| name.clone().unwrap_or_else(|| ALL.to_owned());
    let target = |name| Target { name: all(name), wait: cli.wait };
    let request = match &cli.command {
        Command::Connections { name } | Command::Status { name } => Request::Report { name: all(name) },
        Command::Up { name } => Request::Up(target(name)),
        Command::Down { name } => Request::Down(target(name)),
        Command::Restart { name } => Request::Restart(target(name)),
        Command::Set { name, key, value } => {
            Request::Set { name: name.clone(), key: key.clone(), value: value.clone() }
        }
        Command::Version => Request::Version {},
        Command::Shutdown => Request::Shutdown {},
    };
    let answered = call(&cli.socket(), &request, ANSWER_LIMIT, cli.wait);
    match (&cli.command, answered) {
        (Command::Version, answered) => version(cli, answered),
        // As it is, so that what a newer daemon says is there, too.
        (_, Ok(Response::Result(result))) if cli.json => Outcome::done(String::new(), result.get()),
        (command, Ok(Response::Result(result))) => match print::text(command, &result, cli.verbose) {
            Ok(text) => Outcome::done(text, result.get()),
            Err(error) => Outcome::strange(&error),
        },
        (_, Ok(Response::Error(problem))) => Outcome::failed(1, word(problem.kind), problem.reason),
        (_, Err(error)) => Outcome::of(&error),
    }
}

/// Our own version is known without a daemon, and that there is none is an answer, too.
fn version(cli: &Cli, answered: Result<Response, CallError>) -> Outcome {
    let own = crate::daemon::VERSION;
    let (daemon, text) = match answered {
        Ok(Response::Result(result)) => match serde_json::from_str::<Version>(result.get()) {
            Ok(daemon) => {
                let text = format!("drxd {} on {}", daemon.version, daemon.node);
                (Some(daemon), text)
            }
            Err(error) => return Outcome::strange(&error),
        },
        Ok(Response::Error(problem)) => return Outcome::failed(1, word(problem.kind), problem.reason),
        Err(CallError::NoDaemon { .. }) => (None, format!("no daemon answers on {}", cli.socket().display())),
        Err(error) => return Outcome::of(&error),
    };
    let json = serde_json::json!({ "version": own, "daemon": daemon });
    Outcome::done(format!("drx-ctl {own}\n{text}\n"), &json.to_string())
}

/// What is to be printed, and the exit status.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u8,
    /// For standard output; for standard error, if the status is not 0.
    text: String,
    /// For standard output, in place of the text.
    json: String,
}

impl Outcome {
    fn done(text: String, json: &str) -> Outcome {
        Outcome { status: 0, text, json: json.to_owned() }
    }

    fn failed(status: u8, kind: &str, reason: String) -> Outcome {
        let json = serde_json::json!({ "error": { "kind": kind, "reason": reason } }).to_string();
        Outcome { status, text: format!("drx-ctl: {reason}\n"), json }
    }

    fn strange(error: &serde_json::Error) -> Outcome {
        Outcome::failed(1, "failed", format!("the daemon's answer is not understood: {error}"))
    }

    fn of(error: &CallError) -> Outcome {
        let (status, kind) = match error {
            CallError::NoDaemon { .. } => (3, "no_daemon"),
            CallError::NoAnswer { .. } => (1, "no_answer"),
            CallError::Failed { .. } => (1, "failed"),
        };
        Outcome::failed(status, kind, error.to_string())
    }

    /// The reason of a failure is always on standard error; standard output has the result, or with
    /// `--json` exactly one JSON object, whatever happened.
    fn write(&self, json: bool) -> ExitCode {
        let out = match (json, self.status) {
            (true, _) => format!("{}\n", self.json),
            (false, 0) => self.text.clone(),
            (false, _) => String::new(),
        };
        if self.status != 0 {
            // There is nobody left to tell if this fails.
            let _ = io::stderr().write_all(self.text.as_bytes());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => ExitCode::from(self.status),
            // `drx-ctl connections | head -1`: who reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(self.status),
            Err(error) => {
                let _ = writeln!(io::stderr(), "drx-ctl: cannot write the answer: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// A kind as it stands in JSON.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::BadRequest => "bad_request",
        Kind::UnknownName => "unknown_name",
        Kind::BadValue => "bad_value",
        Kind::NotAvailable => "not_available",
        Kind::Refused => "refused",
        Kind::ShuttingDown => "shutting_down",
        Kind::Busy => "busy",
        Kind::NoAnswer => "no_answer",
        Kind::Failed => "failed",
        Kind::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_way_to_have_no_answer_has_its_status() {
        let path = || std::path::PathBuf::from("/s");
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let cases = [
            (CallError::NoDaemon { path: path(), error: error() }, 3, "no_daemon"),
            (CallError::NoAnswer { path: path(), limit: ANSWER_LIMIT }, 1, "no_answer"),
            (CallError::Failed { path: path(), error: error() }, 1, "failed"),
        ];
        for (error, status, kind) in cases {
            let outcome = Outcome::of(&error);
            assert_eq!(outcome.status, status, "{error}");
            assert_eq!(outcome.text, format!("drx-ctl: {error}\n"));
            let json: serde_json::Value = serde_json::from_str(&outcome.json).unwrap();
            assert_eq!(json["error"]["kind"], kind);
            assert_eq!(json["error"]["reason"], error.to_string());
        }
    }

    #[test]
    fn words_are_those_of_the_protocol() {
        use Kind::*;
        let all = [
            BadRequest,
            UnknownName,
            BadValue,
            NotAvailable,
            Refused,
            ShuttingDown,
            Busy,
            NoAnswer,
            Failed,
            Other,
        ];
        for kind in all {
            assert_eq!(serde_json::to_value(kind).unwrap(), word(kind));
        }
    }
}
