//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::shell::settings::size;
use crate::shell::status::{Named, Pair};
use crate::wire::{Connection, Disk, Role};

/// A replication peer in user space: it keeps one volume identical with another node's, as BSR and DRBD do.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "drx-bsr", version, after_help = AFTER_HELP)]
pub(super) struct Cli {
    /// The node's configuration
    #[arg(short, long, global = true, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: PathBuf,
    /// How long one answer of the node may take [default: 5; 60 where data are moved or something is waited for]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// Make the node's metadata, and its volume if a size is given
    Create {
        /// Make the volume, a plain file, or extend it to this size: 65536, 64M, 1G
        #[arg(long, value_name = "BYTES", value_parser = bytes)]
        size: Option<u64>,
        /// Overwrite metadata that are there
        #[arg(long)]
        force: bool,
    },
    /// Run the node, in the foreground, until down, SIGTERM or SIGINT; says "ready" when it can be reached
    Up {
        /// Do not connect
        #[arg(long)]
        standalone: bool,
        /// Append the log to FILE instead of writing it to standard error
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
    /// Save everything and end the node
    Down,
    /// Let applications use the volume
    Primary {
        /// Even if the disk is not up to date: it counts as such from now on
        #[arg(long)]
        force: bool,
    },
    /// Let nobody use the volume any more
    Secondary,
    /// Leave StandAlone
    Connect {
        /// In a split brain, give up the changes of this node
        #[arg(long)]
        discard_my_data: bool,
    },
    /// Go StandAlone
    Disconnect,
    /// Compare both disks; differences are marked, to be resynced at the next connect
    Verify {
        /// Until it is done; prints how much differs
        #[arg(long)]
        wait: bool,
    },
    /// Fill this disk anew from the other one
    Invalidate,
    /// Fill the other disk anew from this one
    InvalidateRemote,
    /// How the node is
    Status {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Wait until the node is as described, for --timeout at most
    Wait(WaitArgs),
    /// Write to the volume; the node must be primary
    Write {
        /// Where: 65536, 64M, 1G
        #[arg(long, value_name = "OFFSET", value_parser = bytes)]
        at: u64,
        /// What; - is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Read from the volume; the node must be primary
    Read {
        /// From where
        #[arg(long, value_name = "OFFSET", value_parser = bytes)]
        at: u64,
        /// How much
        #[arg(long, value_name = "BYTES", value_parser = bytes)]
        length: u64,
        /// To where; - is standard output
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Write content that follows from a seed; the node must be primary
    Fill(PatternArgs),
    /// Compare with what fill wrote; the node must be primary
    Check(PatternArgs),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitArgs {
    /// Such as Connected
    #[arg(long, value_name = "STATE", value_parser = known::<Connection>)]
    pub(super) connection: Option<Connection>,
    /// Such as UpToDate, or UpToDate/Inconsistent
    #[arg(long, value_name = "MINE[/PEER]")]
    pub(super) disk: Option<Pair<Disk>>,
    /// Such as Primary, or Primary/Secondary
    #[arg(long, value_name = "MINE[/PEER]")]
    pub(super) role: Option<Pair<Role>>,
}

#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PatternArgs {
    /// Any number
    #[arg(long)]
    pub(super) seed: u64,
    /// From where
    #[arg(long, value_name = "OFFSET", value_parser = bytes, default_value = "0")]
    pub(super) at: u64,
    /// How much [default: to the end of the volume]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(super) length: Option<u64>,
}

impl Cli {
    /// How long one answer may take.
    pub(super) fn limit(&self) -> Duration {
        use Command::*;
        self.timeout.unwrap_or(match self.command {
            Write { .. } | Read { .. } | Fill(_) | Check(_) | Wait(_) | Verify { wait: true } | Down => LONG,
            _ => SHORT,
        })
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| "write a number of bytes, or a size such as 64M".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("write seconds, 0.001 to {MAX_SECONDS}"))
}

fn known<T: Named>(text: &str) -> Result<T, String> {
    T::named(text).ok_or_else(|| "no such state".to_owned())
}

const CONFIG: &str = "drx-bsr.toml";
/// For one answer.
pub(super) const SHORT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);
const MAX_SECONDS: f64 = 1e6;
const AFTER_HELP: &str = "\
All commands but create and up talk to the running node.
Exit status: 0 done; 1 the node said no, or did not answer in time; 2 usage or configuration; 3 no node there.";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in
            ["drx-bsr -c a --timeout 2 read --at 1k --length 2M", "drx-bsr read --at 1k --length 2M f"]
        {
            let cli = parsed(line).unwrap();
            let Command::Read { at, length, file } = &cli.command else { panic!("{line}") };
            assert_eq!((*at, *length), (1024, 2 << 20));
            match line.ends_with('f') {
                true => assert_eq!((file, cli.limit()), (&PathBuf::from("f"), LONG)),
                false => assert_eq!((cli.config.to_str(), cli.limit()), (Some("a"), Duration::from_secs(2))),
            }
        }
        assert_eq!(parsed("drx-bsr status").unwrap().limit(), SHORT);
    }

    #[test]
    fn what_makes_no_sense_is_usage() {
        for line in [
            "drx-bsr",
            "drx-bsr frobnicate",
            "drx-bsr write",
            "drx-bsr write --at -1",
            "drx-bsr write --at 1x",
            "drx-bsr read --at 0",
            "drx-bsr fill",
            "drx-bsr fill --seed x",
            "drx-bsr status --timeout 0",
            "drx-bsr status --timeout NaN",
            "drx-bsr wait --connection connected",
            "drx-bsr wait --disk UpToDate/",
            "drx-bsr up here",
        ] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
