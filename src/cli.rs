//! `drxd`'s command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use drx_config::{Config, Sources, load};

use crate::daemon::{self, Failure};
use crate::demo;
use crate::settings::settings;

/// Runs the program with these arguments, its own name first. Its exit status:
///
/// | | |
/// | --- | --- |
/// | 0 | stopped |
/// | 1 | failed |
/// | 2 | configuration, usage |
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // There is nobody left to tell if this fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run_daemon(args),
        Command::Check(args) => check(args),
        Command::Demo(DemoArgs { save, log }) => demo::run(&demo::Options { save, log }),
    }
}

/// A relay for block replication over long distances.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "drxd", version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Command {
    /// Run the relay; the default
    Run(RunArgs),
    /// Report all errors of a configuration at once, and run nothing
    Check(CheckArgs),
    /// Show two relays at work on this machine, and what supervision does
    Demo(DemoArgs),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct RunArgs {
    /// The configuration; may be repeated, keys of a later file win
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: Vec<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct CheckArgs {
    /// The configuration; keys of a later file win. FILE.res is a resource file
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct DemoArgs {
    /// Write its two configurations to DIR, for two real daemons, and show nothing
    #[arg(long, value_name = "DIR", conflicts_with = "log")]
    save: Option<PathBuf>,
    /// Write the relays' log to standard error instead of a file
    #[arg(long)]
    log: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct SetArgs {
    /// Override a key of the configuration, such as log.level=debug; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, such as log.level=debug".to_owned()),
    }
}

fn run_daemon(args: RunArgs) -> ExitCode {
    let config = match read(&args.config, args.set.set) {
        Ok(config) => config,
        Err(status) => return status,
    };
    match daemon::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(format_args!("drxd: {failure}"));
            match failure {
                Failure::Configuration(_) => ExitCode::from(CONFIGURATION),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn check(args: CheckArgs) -> ExitCode {
    let config = match read(&args.files, args.set.set) {
        Ok(config) => config,
        Err(status) => return status,
    };
    if let Err(error) = settings(&config) {
        complain(error);
        return ExitCode::from(CONFIGURATION);
    }
    for warning in &config.warnings {
        complain(format_args!("warning: {warning}"));
    }
    let resources = match config.resources.len() {
        0 => "no resources".to_owned(),
        1 => "1 resource".to_owned(),
        count => format!("{count} resources"),
    };
    // The exit status says the same.
    let _ = writeln!(io::stdout(), "OK: node {}, {resources}", config.node.name);
    ExitCode::SUCCESS
}

/// Reads the configuration, or prints all of its errors.
fn read(files: &[PathBuf], set: Vec<(String, String)>) -> Result<Config, ExitCode> {
    load(&Sources::from_process(files.iter().cloned()).command_line(set)).map_err(|errors| {
        complain(errors);
        ExitCode::from(CONFIGURATION)
    })
}

/// Standard error may be gone: then there is nobody to tell.
fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "{what}");
}

const CONFIG: &str = "/etc/drx/drx.toml";
const CONFIGURATION: u8 = 2;
const AFTER_HELP: &str = "\
Exit status: 0 stopped; 1 failed; 2 configuration or usage.
SIGTERM and SIGINT flush and stop, a second one stops at once.";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn run_args(line: &str) -> RunArgs {
        let cli = parsed(line).unwrap();
        match cli.command {
            None => cli.run,
            Some(Command::Run(args)) => args,
            Some(other) => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default() {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (line, files) in [
            ("drxd", &[CONFIG][..]),
            ("drxd run", &[CONFIG]),
            ("drxd --config a", &["a"]),
            ("drxd run --config a", &["a"]),
            ("drxd -c a --config=b", &["a", "b"]),
            ("drxd run -c a -c b", &["a", "b"]),
        ] {
            assert_eq!(run_args(line).config, paths(files), "{line}");
        }
    }

    #[test]
    fn keys_are_set_up_to_the_first_equals_sign() {
        let set = run_args("drxd --set log.level=debug --set log.file=/a=b --set log.file=").set.set;
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(set, [pair("log.level", "debug"), pair("log.file", "/a=b"), pair("log.file", "")]);
        for wrong in ["drxd --set log.level", "drxd --set =debug", "drxd --set"] {
            assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_usage() {
        for line in ["drxd check", "drxd frobnicate", "drxd demo x", "drxd -x", "drxd -c a check b"] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parsed("drxd --version").unwrap_err().exit_code(), 0);
        assert!(matches!(parsed("drxd demo").unwrap().command, Some(Command::Demo(_))));
    }
}
