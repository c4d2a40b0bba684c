//! The program's commands (docs/bsr.md).

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::shell::control::client::{CallError, Client};
use crate::shell::control::{Answer, MAX_WAIT, Problem, Request};
use crate::shell::settings::{self, Settings};
use crate::shell::status::Report;
use crate::shell::store;

mod command;
mod transfer;
mod up;

use command::{Cli, Command, SHORT, WaitArgs};

/// Runs the program with these arguments, its own name first. Its exit status:
///
/// | | |
/// | --- | --- |
/// | 0 | done |
/// | 1 | the node said no, or did not answer in time |
/// | 2 | usage, configuration |
/// | 3 | there is no node |
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // There is nobody left to tell if this fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    match carry_out(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.reason.is_empty() {
                let _ = writeln!(io::stderr(), "drx-bsr: {}", failure.reason);
            }
            ExitCode::from(failure.status)
        }
    }
}

/// Why a command is not done.
#[derive(Debug)]
struct Failure {
    status: u8,
    /// For standard error.
    reason: String,
}

impl Failure {
    fn new(reason: impl Display) -> Failure {
        Failure { status: 1, reason: reason.to_string() }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let status = if matches!(error, CallError::NoNode { .. }) { NO_NODE } else { 1 };
        Failure { status, reason: error.to_string() }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::new(problem.reason)
    }
}

fn carry_out(cli: &Cli) -> Result<(), Failure> {
    let settings = settings::read(&cli.config)
        .map_err(|error| Failure { status: CONFIGURATION, reason: error.to_string() })?;
    let order = |request: Request| {
        let mut client = connect(cli, &settings)?;
        expect_done(client.call(&request)?)
    };
    match &cli.command {
        Command::Create { size, force } => {
            let (volume, metadata) = (&settings.volume, &settings.metadata);
            store::create(volume, metadata, *size, settings.core.al_extents, *force).map_err(Failure::new)
        }
        Command::Up { standalone, log } => up::up(&settings, *standalone, log.as_deref()),
        Command::Down => {
            let mut client = connect(cli, &settings)?;
            expect_done(client.call(&Request::Down {})?)?;
            // The next node can be started when this returns.
            Ok(client.wait_closed()?)
        }
        Command::Primary { force } => order(Request::Primary { force: *force }),
        Command::Secondary => order(Request::Secondary {}),
        Command::Connect { discard_my_data } => order(Request::Connect { discard_my_data: *discard_my_data }),
        Command::Disconnect => order(Request::Disconnect {}),
        Command::Verify { wait } => {
            order(Request::Verify {})?;
            if *wait { verified(cli, &settings) } else { Ok(()) }
        }
        Command::Invalidate => order(Request::Invalidate {}),
        Command::InvalidateRemote => order(Request::InvalidateRemote {}),
        Command::Status { json } => {
            let report = status(&mut connect(cli, &settings)?)?;
            match json {
                true => print(&serde_json::to_string(&report).map_err(Failure::new)?, "\n"),
                false => print(&report.to_string(), ""),
            }
        }
        Command::Wait(WaitArgs { connection, disk, role }) => {
            let mut client = connect_for(cli.limit().max(SHORT), &settings)?;
            let reached = wait(&mut client, cli, |milliseconds| Request::Wait {
                connection: connection.map(|connection| connection.to_string()),
                role: role.map(|role| role.to_string()),
                disk: disk.map(|disk| disk.to_string()),
                verifying: None,
                milliseconds,
            })?;
            reached
                .map(|_| ())
                .map_err(|report| Failure::new(format!("not in time: {}", report.to_string().trim_end())))
        }
        Command::Write { at, file } => transfer::write(&mut connect(cli, &settings)?, *at, file),
        Command::Read { at, length, file } => {
            transfer::read(&mut connect(cli, &settings)?, *at, *length, file)
        }
        Command::Fill(args) => transfer::fill(&mut connect(cli, &settings)?, *args),
        Command::Check(args) => transfer::check(&mut connect(cli, &settings)?, *args),
    }
}

fn connect(cli: &Cli, settings: &Settings) -> Result<Client, Failure> {
    connect_for(cli.limit(), settings)
}

/// With this limit for each answer.
fn connect_for(limit: Duration, settings: &Settings) -> Result<Client, Failure> {
    let socket = settings.socket.as_deref().unwrap_or(Path::new(""));
    Ok(Client::connect(socket, limit)?)
}

fn expect_done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Done {} => Ok(()),
        other => Err(strange(other)),
    }
}

fn status(client: &mut Client) -> Result<Report, Failure> {
    match client.call(&Request::Status {})? {
        Answer::Status(report) => Ok(*report),
        other => Err(strange(other)),
    }
}

fn strange(answer: Answer) -> Failure {
    match answer {
        Answer::Error(problem) => problem.into(),
        other => Failure::new(format!("the node's answer is not understood: {other:?}")),
    }
}

/// Asks again and again, until it is so or the time is over: then the error is how it is instead.
fn wait(
    client: &mut Client,
    cli: &Cli,
    request: impl Fn(u64) -> Request,
) -> Result<Result<Report, Box<Report>>, Failure> {
    let end = Instant::now() + cli.limit();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let milliseconds = u64::try_from(left.as_millis()).unwrap_or(MAX_WAIT).min(MAX_WAIT);
        match client.call(&request(milliseconds))? {
            Answer::Waited { reached: true, status } => return Ok(Ok(*status)),
            Answer::Waited { status, .. } if left.is_zero() => return Ok(Err(status)),
            Answer::Waited { .. } => {}
            other => return Err(strange(other)),
        }
    }
}

/// Waits for the end of a verify, however long it takes: only silence has a limit.
fn verified(cli: &Cli, settings: &Settings) -> Result<(), Failure> {
    let mut client = connect_for(cli.limit().max(SHORT), settings)?;
    let request = |milliseconds| Request::Wait {
        connection: None,
        role: None,
        disk: None,
        verifying: Some(false),
        milliseconds,
    };
    let report = loop {
        if let Ok(report) = wait(&mut client, cli, request)? {
            break report;
        }
    };
    match report.verify {
        Some(verify) if verify.left == 0 => print(&format!("{} bytes differ", verify.different), "\n"),
        Some(verify) => Err(Failure::new(format!(
            "the verify was broken off with {} bytes left; {} bytes differ so far",
            verify.left, verify.different
        ))),
        None => Err(Failure::new("the node knows of no verify")),
    }
}

fn print(text: &str, end: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush())
    {
        // `drx-bsr status | head -1`: who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new(format!("cannot write the answer: {error}"))),
    }
}

const CONFIGURATION: u8 = 2;
const NO_NODE: u8 = 3;
