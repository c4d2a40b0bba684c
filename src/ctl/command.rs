//! `drx-ctl`'s command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

/// Talks to a running drxd.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "drx-ctl", version, after_help = AFTER_HELP)]
pub(super) struct Cli {
    /// The daemon's control socket [default: $DRX_CONTROL__SOCKET, else /run/drx/drx.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print more: addresses, lanes, since when, attempts, why a channel last stopped
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// With up, down and restart: return when it is done; a flush may take its time
    #[arg(long, global = true)]
    pub(super) wait: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// The table of connections
    #[command(visible_alias = "co")]
    Connections {
        /// A resource or connection, or all
        name: Option<String>,
    },
    /// What is the matter with each resource, and its figures
    Status {
        /// A resource or connection, or all
        name: Option<String>,
    },
    /// Start, or start again what has failed
    Up {
        /// A resource or connection, or all [default: all]
        name: Option<String>,
    },
    /// Flush, then stop
    Down {
        /// A resource or connection, or all [default: all]
        name: Option<String>,
    },
    /// Flush and stop, then start
    Restart {
        /// A resource or connection, or all [default: all]
        name: Option<String>,
    },
    /// Change a setting while the daemon runs, without dropping bsr: bab.size, link.compression, log.level
    Set {
        /// A resource or connection, or all
        name: String,
        /// bab.size or link.compression, or log.level of all
        key: String,
        /// As in the configuration; until the daemon ends or is set again
        value: String,
    },
    /// The versions of this program and of the daemon
    Version,
    /// Flush, then end the daemon
    Shutdown,
}

impl Cli {
    /// Where the daemon is expected.
    pub(super) fn socket(&self) -> PathBuf {
        socket(self.socket.clone())
    }
}

/// Where the daemon is expected, if the command line says so or not.
pub(super) fn socket(option: Option<PathBuf>) -> PathBuf {
    choose(option, std::env::var_os(VARIABLE).as_deref())
}

/// A command line that cannot be carried out, or asks for help.
#[derive(Debug)]
pub(super) enum Usage {
    /// What the parser says.
    Parser(clap::Error),
    /// A command that is planned.
    NotYet(String),
}

impl Usage {
    /// Prints it. The exit status: 2, or 0 for help.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Usage::Parser(error) => {
                // There is nobody left to tell if this fails.
                let _ = error.print();
                if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
            }
            Usage::NotYet(command) => {
                eprintln!("drx-ctl: {command} is not available yet");
                ExitCode::from(2)
            }
        }
    }
}

/// Reads the command line, the program's name first.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Usage> {
    let cli = Cli::try_parse_from(arguments).map_err(|error| {
        let later = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
            (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => {
                LATER.iter().find(|later| *later == word)
            }
            _ => None,
        };
        later.map_or(Usage::Parser(error), |later| Usage::NotYet((*later).to_owned()))
    })?;
    // Known to the parser with every command, so that it may stand before one.
    let can_wait = matches!(cli.command, Command::Up { .. } | Command::Down { .. } | Command::Restart { .. });
    if cli.wait && !can_wait {
        let why = "--wait goes with up, down and restart";
        return Err(Usage::Parser(Cli::command().error(ErrorKind::ArgumentConflict, why)));
    }
    Ok(cli)
}

fn choose(option: Option<PathBuf>, variable: Option<&OsStr>) -> PathBuf {
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    option.or(variable).unwrap_or_else(|| PathBuf::from(SOCKET))
}

const VARIABLE: &str = "DRX_CONTROL__SOCKET";
/// The configuration's default for `control.socket`.
const SOCKET: &str = "/run/drx/drx.sock";

const AFTER_HELP: &str = "\
NAME is a resource (r0) or a connection (r0-node2-node1). Options may stand before or after the command.
Exit status: 0 done; 1 the daemon said no or did not answer within 5 s; 2 usage; 3 no daemon there.";

/// Commands that come with later features.
const LATER: [&str; 11] =
    ["watch", "events", "memusage", "mem", "statistics", "st", "reset", "adjust", "log", "show", "dump"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parsed(line: &str) -> Result<Cli, Usage> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn refused(line: &str) -> String {
        match parsed(line).unwrap_err() {
            Usage::Parser(error) => {
                assert!(error.use_stderr(), "{line}");
                error.to_string()
            }
            Usage::NotYet(command) => format!("not yet: {command}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        let r0 = || Some("r0".to_owned());
        let everything = Cli {
            socket: Some(PathBuf::from("/s")),
            json: true,
            verbose: true,
            wait: true,
            command: Command::Up { name: r0() },
        };
        for line in [
            "drx-ctl --socket /s --json -v --wait up r0",
            "drx-ctl up r0 --wait -v --json --socket /s",
            "drx-ctl -v up --socket=/s r0 --json --wait",
        ] {
            assert_eq!(parsed(line).unwrap(), everything, "{line}");
        }
        let cases = [
            ("connections", Command::Connections { name: None }),
            ("connections all", Command::Connections { name: Some("all".to_owned()) }),
            ("co r0", Command::Connections { name: r0() }),
            ("status", Command::Status { name: None }),
            ("status r0", Command::Status { name: r0() }),
            ("up", Command::Up { name: None }),
            ("down", Command::Down { name: None }),
            ("restart r0", Command::Restart { name: r0() }),
            (
                "set r0 bab.size 1GiB",
                Command::Set { name: "r0".to_owned(), key: "bab.size".to_owned(), value: "1GiB".to_owned() },
            ),
            ("version", Command::Version),
            ("shutdown", Command::Shutdown),
        ];
        let plain = |command| Cli { socket: None, json: false, verbose: false, wait: false, command };
        for (line, command) in cases {
            assert_eq!(parsed(&format!("drx-ctl {line}")).unwrap(), plain(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_usage() {
        for line in [
            "",
            "frobnicate",
            "up r0 r1",
            "status --wait",
            "--wait shutdown",
            "shutdown r0",
            "set r0 bab.size",
            "set bab.size 1GiB",
            "co -x",
            "UP r0",
        ] {
            let said = refused(&format!("drx-ctl {line}"));
            assert!(said.contains("Usage: drx-ctl"), "{line}: {said}");
        }
        assert!(refused("drx-ctl conections").contains("connections"), "a near word is offered");
    }

    #[test]
    fn what_comes_later_says_so() {
        for later in LATER {
            assert_eq!(refused(&format!("drx-ctl {later} r0")), format!("not yet: {later}"));
        }
    }

    #[test]
    fn the_option_wins_over_the_environment_over_the_default() {
        let option = || Some(PathBuf::from("/option"));
        let variable = Some(OsStr::new("/variable"));
        assert_eq!(choose(option(), variable), PathBuf::from("/option"));
        assert_eq!(choose(None, variable), PathBuf::from("/variable"));
        assert_eq!(choose(None, Some(OsStr::new(""))), PathBuf::from(SOCKET));
        assert_eq!(choose(None, None), PathBuf::from(SOCKET));
    }

    #[test]
    fn the_default_socket_is_the_daemons() {
        let config = drx_config::load(&drx_config::Sources::new("node1")).unwrap();
        assert_eq!(config.control.socket, PathBuf::from(SOCKET));
    }
}
