//! Load for a chain of relays, of which every byte is checked.
//!
//! ```text
//! loadgen serve ADDRESS                          the far end, for all that follows
//! loadgen bulk  ADDRESS --bytes 2G --streams 8   as fast as it goes
//! loadgen ping  ADDRESS --count 10000 --size 32  one round trip after the other
//! loadgen codecs FILE                            what each codec makes of it, no network
//! ```
//!
//! With `--bsr data` or `--bsr meta` each connection begins with bsr's first packet, on both ends: so it
//! passes two drxd, which want to know what they carry. Each prints one line of JSON; exit status 1 when a
//! byte was lost, doubled, changed or in the wrong place.

// Threads and their clocks are right here: this stands where bsr does, outside the relay.
mod bulk;
mod codecs;
mod ping;
mod request;
mod serve;
mod stream;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use drx_protocol::ChannelType;
use drx_protocol::frame::MAX_PAYLOAD;

use bulk::Bulk;
use ping::Ping;
use request::Target;

/// Load for a chain of relays, of which every byte is checked
#[derive(Debug, Parser)]
#[command(name = "loadgen")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The far end
    Serve {
        /// Where to listen
        address: std::net::SocketAddr,
        /// Every connection begins with bsr's first packet
        #[arg(long)]
        bsr: bool,
    },
    /// As many bytes as asked for, as fast as it goes
    Bulk {
        #[command(flatten)]
        to: TargetArgs,
        /// How many, over all streams; K, M, G are of 1024
        #[arg(long, default_value = "1G", value_parser = size)]
        bytes: u64,
        /// Connections at the same time
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        streams: u16,
        /// Bytes given to the kernel at a time
        #[arg(long, default_value = "256K", value_parser = size)]
        chunk: u64,
    },
    /// What each codec makes of a file
    Codecs {
        /// Such as an image of a disk
        file: std::path::PathBuf,
        /// Bytes of a payload, at most 256K
        #[arg(long, default_value = "256K", value_parser = size)]
        payload: u64,
        /// Turns
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
    },
    /// One round trip after the other
    Ping {
        #[command(flatten)]
        to: TargetArgs,
        /// Round trips that are measured
        #[arg(long, default_value = "10000", value_parser = size)]
        count: u64,
        /// Round trips before them
        #[arg(long, default_value = "1000", value_parser = size)]
        warmup: u64,
        /// Bytes each way, 1 to 64K
        #[arg(long, default_value = "32", value_parser = size)]
        size: u64,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct TargetArgs {
    /// The chain's near end
    address: std::net::SocketAddr,
    /// Begin with bsr's first packet, of this channel type
    #[arg(long)]
    bsr: Option<Channel>,
    /// Each further stream goes to a port that much higher: a resource takes one data channel
    #[arg(long, default_value_t = 0)]
    port_step: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Channel {
    Data,
    Meta,
}

impl From<TargetArgs> for Target {
    fn from(args: TargetArgs) -> Target {
        let bsr = args.bsr.map(|channel| match channel {
            Channel::Data => ChannelType::Data,
            Channel::Meta => ChannelType::Meta,
        });
        Target { address: args.address, bsr, port_step: args.port_step }
    }
}

fn main() -> ExitCode {
    let ran = match Cli::parse().command {
        Command::Serve { address, bsr } => serve::serve(address, bsr),
        Command::Bulk { to, bytes, streams, chunk } => {
            Bulk { to: to.into(), bytes, streams, chunk: chunk as usize }.run()
        }
        Command::Codecs { file, payload, rounds } => {
            codecs::run(&file, payload.clamp(1, MAX_PAYLOAD as u64) as usize, rounds.into())
        }
        Command::Ping { to, count, warmup, size } => {
            Ping { to: to.into(), count, warmup, size: size as usize }.run()
        }
    };
    match ran {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A number with K, M or G behind it.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number such as 512, 64K, 2G".to_owned())?;
    match number.checked_mul(unit) {
        Some(size) if size > 0 => Ok(size),
        _ => Err("out of range".to_owned()),
    }
}
