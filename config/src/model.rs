//! The configuration as the programs use it: typed, complete, checked.
//!
//! Serialised it has the shape of `drx.toml` (per-resource values written out in full), so that what a
//! program shows as the configuration in force can be read back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::units::{serialize_size, serialize_time};

/// What a session's meta channel gets beside `bab.size` (docs/architecture.md, "The BAB").
pub const META_BAB: u64 = 4 << 20;

/// Everything `drxd` needs to run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// This relay.
    pub node: Node,
    /// What it relays, in the order of the files; may be empty.
    #[serde(rename = "resource")]
    pub resources: Vec<Resource>,
    /// What a resource has that says nothing of its own; for those that are added at run time.
    #[serde(skip)]
    pub defaults: Defaults,
    /// The most bytes that all resources' BABs may take together; already checked against them.
    #[serde(rename = "bab", serialize_with = "serialize_total")]
    pub bab_total: u64,
    /// How operators reach it.
    pub control: Control,
    /// Where it writes its log.
    pub log: Log,
    /// What is odd but no error, one line each: to be logged at start.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// `[node]`: this relay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Its name, for the other side's `remote`. At most 255 bytes, without blanks or `/`.
    pub name: String,
}

/// `[[resource]]`: one replication pair through one other DRX.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resource {
    /// Its name, as in bsr's configuration. Only together with `remote` and `local` it is unique.
    pub name: String,
    /// The other side's node name.
    pub remote: String,
    /// This side's name on it: the node's own, unless a resource file calls the host of this proxy otherwise.
    #[serde(skip)]
    pub local: String,
    /// Where the local bsr listens: the connector dials it.
    pub bsr: SocketAddr,
    /// Where the local bsr connects; its IP is also the source of dials to bsr.
    pub inside: SocketAddr,
    /// Where the other DRX connects. Several resources may share one.
    pub outside: SocketAddr,
    /// The other DRX's `outside`.
    pub peer: SocketAddr,
    /// Its buffer, `[bab]` with `resource.bab` over it.
    pub bab: Bab,
    /// Its link, `[link]` with `resource.link` over it.
    pub link: Link,
    /// Its restart policy, `[restart]` with `resource.restart` over it.
    pub restart: Restart,
    /// What the `proxy` sections of a resource file say beside `memlimit`; empty for a `[[resource]]`.
    #[serde(skip)]
    pub proxy: Proxy,
}

/// `[bab]`, `[link]` and `[restart]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// `[bab]`.
    pub bab: Bab,
    /// `[link]`.
    pub link: Link,
    /// `[restart]`.
    pub restart: Restart,
}

/// Options of a `proxy` section as they are written there, whether they have a meaning for this relay or not
/// (bsr-wire A.8): `bsr-proxy-ctl show proxy-settings` answers with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Options and their values, such as `sndbuf-size` and `10M`.
    pub options: Vec<(String, String)>,
    /// The lines of `plugin`, words joined by blanks, such as `zstd level 4`.
    pub plugins: Vec<String>,
}

/// `[bab]`: the buffer of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bab {
    /// Bytes for the data channel, 64 KiB to 1 TiB. The meta channel has [`META_BAB`] besides.
    #[serde(serialize_with = "serialize_size")]
    pub size: u64,
    /// Its last part, which bsr gets only in drips.
    pub reserve: Reserve,
    /// Where the data channel's bytes live.
    pub backing: Backing,
    /// Where the files of [`Backing::File`] are made.
    pub directory: PathBuf,
}

/// `bab.backing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backing {
    /// In ordinary memory.
    Memory,
    /// In memory that is never swapped out.
    Locked,
    /// In a mapped file, for sizes beyond the memory.
    File,
}

/// `bab.reserve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// The larger of 10 % and 16 MiB, at most half of the size.
    Auto,
    /// So many hundredths of the size, 0 to 50.
    Percent(u8),
    /// In bytes, at most half of the size; already checked against it.
    Bytes(u64),
}

/// `[link]`: the connection between the two DRX.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// How long a lost link may take to be resumed; zero: it ends the session at once.
    #[serde(serialize_with = "serialize_time")]
    pub resume_timeout: Duration,
    /// How long a closing channel may flush its BAB; zero: not at all.
    #[serde(serialize_with = "serialize_time")]
    pub close_pending_timeout: Duration,
    /// Between two pings; shorter than `keepalive_timeout`.
    #[serde(serialize_with = "serialize_time")]
    pub keepalive_interval: Duration,
    /// So long silent: dead.
    #[serde(serialize_with = "serialize_time")]
    pub keepalive_timeout: Duration,
    /// For a dial and its handshake.
    #[serde(serialize_with = "serialize_time")]
    pub connect_timeout: Duration,
    /// Bytes that may be on the way, 64 KiB to 1 GiB.
    #[serde(serialize_with = "serialize_size")]
    pub window: u32,
    /// The kernel's congestion control for the link alone.
    pub congestion_control: CongestionControl,
    /// CRC-32C per frame.
    pub checksum: Checksum,
    /// What payloads are packed with.
    pub compression: Compression,
    /// Whether bsr's pings are answered here while the other side cannot.
    pub hold_pings: bool,
}

/// `link.congestion_control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CongestionControl {
    /// bbr where the kernel has it, else the system's.
    Auto,
    /// Whatever the system uses.
    System,
    /// The kernel's one of this name: at most 15 bytes of `a-z`, `0-9`, `_` and `-`.
    Named(String),
}

/// `link.checksum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// On without TLS, which has its own.
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// `link.compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Payloads go as they are.
    None,
    /// lz4.
    Lz4,
    /// zstd with this level, 1 to 22.
    Zstd(u8),
    /// Whatever the line and the core allow.
    Auto,
}

impl Compression {
    /// zstd's level where none is said.
    pub const LEVEL: u8 = 3;

    /// What every connection on the same core feels of it, if that is much (docs/performance.md).
    pub fn slowness(self) -> Option<String> {
        let Compression::Zstd(level @ 10..) = self else { return None };
        Some(format!(
            "zstd:{level} takes up to 0.2 s for a payload, in which every connection on the same core waits, bsr's pings \
             among them; 9 takes a tenth of that"
        ))
    }
}

/// `[restart]`: how a failed channel is brought back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restart {
    /// The first delay; at most `max`.
    #[serde(serialize_with = "serialize_time")]
    pub initial: Duration,
    /// The longest delay.
    #[serde(serialize_with = "serialize_time")]
    pub max: Duration,
    /// Each delay is the last one times this, 1 to 100.
    pub factor: f64,
    /// The share of a delay that is left to chance, 0 to 1.
    pub jitter: f64,
    /// Established so long: back to `initial`.
    #[serde(serialize_with = "serialize_time")]
    pub stable_after: Duration,
    /// So many panics and broken invariants within `window`: failed. 1 to 1000.
    pub max_failures: u32,
    /// See `max_failures`.
    #[serde(serialize_with = "serialize_time")]
    pub window: Duration,
}

/// `[control]`: how operators reach the daemon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// The Unix socket of `drx-ctl`; at most 107 bytes, as the kernel wants it.
    pub socket: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// Where to; none: standard error.
    #[serde(serialize_with = "serialize_file")]
    pub file: Option<PathBuf>,
}

/// `log.level`, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The relay cannot go on.
    Critical,
    /// Something failed and needs a look.
    Error,
    /// Something is odd.
    Warning,
    /// Transitions.
    Info,
    /// What a developer asks first.
    Debug,
    /// Everything.
    Trace,
}

impl Serialize for CongestionControl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            CongestionControl::Auto => "auto",
            CongestionControl::System => "system",
            CongestionControl::Named(name) => name,
        })
    }
}

impl Serialize for Compression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Compression::None => serializer.serialize_str("none"),
            Compression::Lz4 => serializer.serialize_str("lz4"),
            Compression::Zstd(level) => serializer.collect_str(&format_args!("zstd:{level}")),
            Compression::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl Serialize for Reserve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reserve::Auto => serializer.serialize_str("auto"),
            Reserve::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
            Reserve::Bytes(bytes) => serialize_size(bytes, serializer),
        }
    }
}

fn serialize_total<S: Serializer>(total: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let mut section = serializer.serialize_map(Some(1))?;
    section.serialize_entry("total", &crate::print_size(*total))?;
    section.end()
}

fn serialize_file<S: Serializer>(file: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    file.clone().unwrap_or_default().serialize(serializer)
}
