//! `bsr-proxy-ctl` and `drbd-proxy-ctl`: what `bsradm` and `drbdadm` run to talk to a proxy, understood by drxd
//! (operating.md 3, docs/proxy-ctl.md).

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::control::{ALL, Configuration, Kind, ProxySettings, Request, Response};
use crate::ctl::client::{CallError, call};
use crate::ctl::command::socket;
use crate::ctl::proxy::arguments::Task;
use crate::ctl::proxy::command::Command;
use crate::ctl::proxy::lines::{Line, Lines};

mod address;
mod arguments;
mod command;
mod figures;
mod help;
mod lines;
mod settings;

/// The names under which it is called.
const NAMES: [&str; 2] = ["bsr-proxy-ctl", "drbd-proxy-ctl"];

/// The name that this program's path has, if it is one of ours.
pub(super) fn name_of(program: &OsString) -> Option<&'static str> {
    let name = Path::new(program).file_name()?;
    NAMES.into_iter().find(|known| name == *known)
}

/// Runs the program of this name with these arguments, its own name not among them. Its exit status is that of the
/// first command that failed:
///
/// | | |
/// | --- | --- |
/// | 0 | done |
/// | 1 | the daemon said no, or did not answer |
/// | 2 | usage: nothing was done, if the command line had it |
/// | 3 | there is no daemon |
pub fn run(program: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match arguments::read(arguments) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            complain(program, &wrong);
            return ExitCode::from(USAGE);
        }
    };
    let mut session = Session { program, socket: socket(arguments.socket), deaf: false, status: 0 };
    match arguments.task {
        Task::Help => session.print(&help::text(program)),
        Task::Version => session.print(&format!("{program} of DRX {}\n", crate::daemon::VERSION)),
        Task::Commands(texts) => session.batch(&texts),
        Task::Interactive => session.converse(),
    }
    ExitCode::from(session.status)
}

/// One run of the program.
struct Session<'a> {
    program: &'a str,
    socket: PathBuf,
    /// Nobody reads what we print any more.
    deaf: bool,
    /// Of the first command that failed.
    status: u8,
}

/// What comes after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The next one.
    GoOn,
    /// The next one would fail, too.
    Hopeless,
    /// The end.
    Quit,
}

impl Session<'_> {
    /// Carries out commands of the command line. All are understood before the first is begun, and those after one
    /// that was refused are tried nevertheless: a tool that sets five options wants the four that there are.
    fn batch(&mut self, texts: &[String]) {
        let mut commands = Vec::with_capacity(texts.len());
        for text in texts {
            match Command::read(text) {
                Ok(command) => commands.push(command),
                Err(wrong) => return self.fail(USAGE, text, &wrong),
            }
        }
        for (text, command) in texts.iter().zip(&commands) {
            if self.carry_out(text, command) != Next::GoOn {
                return;
            }
        }
    }

    /// Carries out commands from standard input, a line each. On a terminal it asks for them, and no failure ends it.
    fn converse(&mut self) {
        let asks = io::stdin().is_terminal();
        let mut lines = Lines::new(io::stdin().lock());
        loop {
            if asks {
                self.print(&format!("{}> ", self.program));
            }
            let next = match lines.next() {
                Line::Text(text) => match Command::read(&text) {
                    _ if text.trim().is_empty() => Next::GoOn,
                    Ok(command) => self.carry_out(&text, &command),
                    Err(wrong) => {
                        self.fail(USAGE, &text, &wrong);
                        Next::GoOn
                    }
                },
                Line::Garbage { begins, why } => {
                    self.fail(USAGE, &begins, why);
                    Next::GoOn
                }
                Line::End => {
                    if asks {
                        self.print("\n");
                    }
                    return;
                }
                Line::Failed(error) => {
                    complain(self.program, &format!("cannot read standard input: {error}"));
                    self.status = 1;
                    return;
                }
            };
            match next {
                Next::Quit => return,
                Next::GoOn | Next::Hopeless if asks => self.status = 0,
                Next::GoOn => {}
                Next::Hopeless => return,
            }
        }
    }

    fn carry_out(&mut self, text: &str, command: &Command) -> Next {
        match self.answer(command) {
            Ok(answer) => {
                self.print(&answer);
                if *command == Command::Quit { Next::Quit } else { Next::GoOn }
            }
            Err(Failure { status, reason, next }) => {
                self.fail(status, text, &reason);
                next
            }
        }
    }

    /// What is to be printed for a command, once it is done.
    fn answer(&self, command: &Command) -> Result<String, Failure> {
        let quietly = |request| self.ask::<serde::de::IgnoredAny>(&request).map(|_| String::new());
        let report = || self.ask(&Request::Report { name: ALL.to_owned() });
        match command {
            Command::Add(addition) => quietly(Request::AddConnection(addition.clone())),
            Command::Delete { name } => quietly(Request::RemoveConnection { name: name.clone() }),
            Command::Set { option, name, value } => quietly(Request::SetOption {
                name: name.clone(),
                option: option.clone(),
                value: value.clone(),
            }),
            Command::Plugin { name, position, line } => {
                quietly(Request::SetPlugin { name: name.clone(), position: *position, line: line.clone() })
            }
            Command::LogLevel { level } => quietly(Request::Set {
                name: ALL.to_owned(),
                key: "log.level".to_owned(),
                value: level.clone(),
            }),
            Command::Configuration => {
                let configuration: Configuration = self.ask(&Request::Configuration {})?;
                Ok(settings::commands(&configuration.connections))
            }
            Command::ProxySettings { name } => {
                let settings: ProxySettings = self.ask(&Request::ProxySettings { name: name.clone() })?;
                Ok(settings::section(&settings))
            }
            Command::Memory => Ok(figures::memusage(&report()?)),
            Command::Connections { human } => Ok(figures::connections(&report()?, *human)),
            Command::Subconnections { human } => Ok(figures::subconnections(&report()?, *human)),
            Command::Statistics => Ok(figures::statistics(&report()?)),
            Command::Shutdown => quietly(Request::Shutdown {}),
            Command::Help => Ok(help::text(self.program)),
            Command::Quit => Ok(String::new()),
        }
    }

    /// Asks the daemon.
    fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        match call(&self.socket, request, LIMIT, false) {
            Ok(Response::Result(result)) => serde_json::from_str(result.get()).map_err(|error| {
                Failure::hopeless(1, format!("the daemon's answer is not understood: {error}"))
            }),
            Ok(Response::Error(problem)) => Err(match problem.kind {
                // It would not answer the next one either.
                Kind::NoAnswer | Kind::ShuttingDown => Failure::hopeless(1, problem.reason),
                _ => Failure { status: 1, reason: problem.reason, next: Next::GoOn },
            }),
            Err(error @ CallError::NoDaemon { .. }) => Err(Failure::hopeless(3, error.to_string())),
            Err(error) => Err(Failure::hopeless(1, error.to_string())),
        }
    }

    fn print(&mut self, text: &str) {
        if self.deaf {
            return;
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            // `… | head -1`: who reads has enough. The commands that follow are carried out all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.deaf = true,
            Err(error) => {
                self.deaf = true;
                complain(self.program, &format!("cannot write the answer: {error}"));
                self.status = if self.status == 0 { 1 } else { self.status };
            }
        }
    }

    /// Says why a command failed: one line.
    fn fail(&mut self, status: u8, text: &str, reason: &str) {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        complain(self.program, &format!("{shown:?}: {reason}"));
        self.status = if self.status == 0 { status } else { self.status };
    }
}

/// Why a command was not done.
struct Failure {
    /// For the exit status.
    status: u8,
    /// For people.
    reason: String,
    /// What comes after it.
    next: Next,
}

impl Failure {
    fn hopeless(status: u8, reason: String) -> Failure {
        Failure { status, reason, next: Next::Hopeless }
    }
}

fn complain(program: &str, what: &str) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "{program}: {what}");
}

const USAGE: u8 = 2;
/// For one answer. The tools give a whole run 5 s (drbd-utils: `cmd-timeout-short`), and what we have to say is clearer
/// than what they say then; the daemon gives the relay 4 s.
const LIMIT: Duration = Duration::from_millis(4500);
/// Characters of a command that an error repeats.
const SHOWN: usize = 120;
