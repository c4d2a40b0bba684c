//! What a running relay is told and asked from outside: its settings, and the messages to `Relay`.
//!

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix::Message;
use drx_protocol::codec::Compression;
use drx_protocol::report::{RelayReport, size};
use drx_protocol::restart::Policy;
use drx_protocol::session::Slot;

use crate::net::Congestion;

/// Everything a relay needs to know, checked before.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name, as the other relays know it.
    pub node: String,
    /// What it carries.
    pub resources: Vec<ResourceSettings>,
    /// The most bytes that all resources' BABs may take together, each with 4 MiB for its meta channel.
    pub bab_total: u64,
    /// Threads to spread the resources over; one resource stays on one of them.
    pub arbiters: usize,
}

/// One resource towards one peer relay.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSettings {
    /// The resource's name.
    pub name: String,
    /// The other relay's node name.
    pub remote: String,
    /// This relay's name on this connection: the node's own, unless whoever added it said otherwise.
    pub local: String,
    /// Where the local bsr listens: the connector dials it.
    pub bsr: SocketAddr,
    /// Where the local bsr connects, and the source IP of our dial to it.
    pub inside: SocketAddr,
    /// Where the other relay connects.
    pub outside: SocketAddr,
    /// The other relay's `outside`.
    pub peer: SocketAddr,
    /// The data channel's BAB; the meta channel's has 4 MiB.
    pub bab: BabSettings,
    /// How the link behaves.
    pub link: LinkSettings,
    /// How failed channels are brought back.
    pub restart: Policy,
    /// What `bsr-proxy-ctl` set, or a resource file's `proxy` section says, beside the BAB's size.
    pub proxy: Proxy,
}

impl ResourceSettings {
    /// The connection's name, `RESOURCE-REMOTE-LOCAL`. The two DRX have it in either order.
    pub fn connection(&self) -> String {
        let ResourceSettings { name, remote, local, .. } = self;
        format!("{name}-{remote}-{local}")
    }

    /// Whether a name that an operator gave is this resource's or this connection's, matched whole; or `all`.
    pub fn is_named(&self, name: &str) -> bool {
        name == "all" || name == self.name || name == self.connection()
    }

    /// Whether it is the same connection, with whatever addresses.
    pub fn is_same_connection(&self, other: &ResourceSettings) -> bool {
        (&self.name, &self.remote, &self.local) == (&other.name, &other.remote, &other.local)
    }

    /// `inside`, `outside`, `peer`, `bsr` for people, each with its name.
    pub fn addresses(&self) -> String {
        let ResourceSettings { inside, outside, peer, bsr, .. } = self;
        format!("inside {inside}, outside {outside}, peer {peer}, bsr {bsr}")
    }
}

/// Proxy settings as they were written. The relay keeps them for whoever asks (`show proxy-settings`): what of them
/// is in force stands in the other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Options and their values, such as `sndbuf-size` and `10M`, in the order in which they were first set.
    pub options: Vec<(String, String)>,
    /// The lines of `plugin`, such as `zstd level 4`, in their order.
    pub plugins: Vec<String>,
}

/// A BAB's size, and where its bytes live.
#[derive(Clone, Debug, PartialEq)]
pub struct BabSettings {
    /// In bytes.
    pub size: u64,
    /// The share of it that bsr gets only in drips.
    pub reserve: Reserve,
    /// Where the bytes live.
    pub backing: Backing,
}

/// The part of a BAB that is kept for a far side that stalls (docs/link.md 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// The larger of 10 % and 16 MiB, at most half the BAB.
    Auto,
    /// So much of the BAB, 0 to 50.
    Percent(u8),
    /// In bytes, at most half the BAB.
    Bytes(u64),
}

impl Reserve {
    /// Its bytes in a BAB of `size` bytes, at most half of them: a meta channel's BAB is smaller than the
    /// one that an operator had in mind.
    pub fn of(self, size: u64) -> u64 {
        let reserve = match self {
            Reserve::Auto => (size / 10).max(LEAST_RESERVE),
            Reserve::Percent(percent) => (u128::from(size) * u128::from(percent) / 100) as u64,
            Reserve::Bytes(bytes) => bytes,
        };
        reserve.min(size / 2)
    }
}

/// Where the bytes of a BAB live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// In ordinary memory, as they were read.
    Memory,
    /// In memory that is never swapped out.
    Locked,
    /// In mapped files in this directory, for sizes beyond the memory.
    File(PathBuf),
}

/// The link's clocks and sizes (docs/link.md).
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettings {
    /// How long a broken link may be resumed; zero: not at all.
    pub resume_timeout: Duration,
    /// Whether bsr's pings are answered here while the other side cannot answer.
    pub hold_pings: bool,
    /// How long a goodbye may take.
    pub close_pending_timeout: Duration,
    /// A ping is sent after so much silence of ours.
    pub keepalive_interval: Duration,
    /// Silent for so long: dead.
    pub keepalive_timeout: Duration,
    /// How long a dial to the other relay may take, its handshake included.
    pub connect_timeout: Duration,
    /// Bytes granted to the other relay beyond what is written to bsr.
    pub window: u32,
    /// Congestion control of the link's sockets.
    pub congestion: Congestion,
    /// Whether this side wants a CRC-32C per frame.
    pub checksum: bool,
    /// What this side's payloads are packed with.
    pub compression: Compression,
}

/// Asks for everything that `drx-ctl` shows.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "RelayReport")]
pub struct Snapshot;

/// What an operator may do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start it, or clear `failed`.
    Up,
    /// Flush, then stop it.
    Down,
    /// Down, then up.
    Restart,
}

/// An operator's command to one resource or connection, or to `all`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Operate {
    /// What to do.
    pub verb: Verb,
    /// A resource's or connection's name, matched whole, or `all`.
    pub name: String,
    /// Answer when it is done instead of at once.
    pub wait: bool,
}

/// Makes data BABs larger or smaller, without dropping bsr: answered when that is in force, with every
/// resource that it is for. A refusal changes nothing of the resources that it names.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<Resized>, Refusal>")]
pub struct Resize {
    /// A resource's or connection's name, matched whole, or `all`.
    pub name: String,
    /// In bytes, within the limits of `bab.size`.
    pub size: u64,
}

/// A data BAB after a [`Resize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The connection's name.
    pub connection: String,
    /// Bytes that it may hold.
    pub size: u64,
    /// Bytes that it holds. Where they are more, bsr is not read until they are fewer.
    pub held: u64,
}

/// Changes what links pack with, from the next payload on: answered with the connections that it is for, once it is in
/// force there.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<String>, Refusal>")]
pub struct Compress {
    /// A resource's or connection's name, matched whole, or `all`.
    pub name: String,
    /// From now on.
    pub compression: Compression,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such resource or connection.
    #[error("there is no resource or connection \"{0}\"")]
    UnknownName(String),
    /// The relay is shutting down.
    #[error("the relay is shutting down")]
    ShuttingDown,
    /// The BABs would be larger together than `bab.total`.
    #[error("the BABs of all resources would need {} (size and 4 MiB each), bab.total is {}", size(*.needed), size(*.total))]
    OverTotal {
        /// What they would need.
        needed: u64,
        /// What they may.
        total: u64,
    },
    /// Some BABs were not resized.
    #[error("{0}")]
    NotResized(String),
    /// It is being flushed, and then it is gone.
    #[error("\"{0}\" is being removed")]
    BeingRemoved(String),
    /// A connection of that name is there.
    #[error("{connection} is there already, with {present}; asked for was {wanted}")]
    OtherAddresses {
        /// Its name.
        connection: String,
        /// Its addresses.
        present: String,
        /// Those that it should have had.
        wanted: String,
    },
    /// Another connection has this `inside`.
    #[error("inside {inside} is {owner}'s already")]
    InsideTaken {
        /// The address.
        inside: SocketAddr,
        /// Whose it is.
        owner: String,
    },
}

/// Adds a resource while the relay runs. The same one again changes nothing; one of the same connection with other
/// addresses is refused. Answered when its channels have begun.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Added, Refusal>")]
pub struct Add(pub Box<ResourceSettings>);

/// What an [`Add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is there now.
    New,
    /// It was there, with these addresses.
    Same,
}

/// Removes one connection: its session is flushed, and then it is gone. Answered at once; again, while it is being
/// flushed, it changes nothing. Its addresses are free when it is gone; an [`Add`] that wants its name or its `inside`
/// earlier cuts the flush short.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Remove {
    /// The connection's name, matched whole; nothing else.
    pub connection: String,
}

/// Asks for the settings that are in force of one resource or connection, or of `all`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Vec<ResourceSettings>")]
pub struct Describe {
    /// A resource's or connection's name, matched whole, or `all`. Nothing matches: an empty answer.
    pub name: String,
}

/// Replaces what is kept of a connection's proxy settings.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct SetProxy {
    /// The connection's name, matched whole.
    pub connection: String,
    /// From now on.
    pub proxy: Proxy,
}

/// Stops the relay: sessions are flushed within `close_pending_timeout`, then everything is closed.
/// Answers when that is done. A second one, with `at_once`, cuts the first short.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Unflushed")]
pub struct Shutdown {
    /// Close without flushing.
    pub at_once: bool,
}

/// What a shutdown left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unflushed {
    /// Bytes from bsr that the other relays have not acknowledged.
    pub bytes: u64,
}

/// Which actor of a resource a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The resource's supervisor.
    Resource,
    /// An acceptor or a connector.
    Channel(Slot),
    /// The actor of a channel's connection to bsr.
    Local(Slot),
    /// The actor of a channel's link.
    Link(Slot),
    /// A channel's BAB.
    Bab(Slot),
}

/// Makes an actor panic: for the demo and for tests. A relay that was started to work refuses it
/// (see `Relay::with_faults`).
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Panic {
    /// The resource.
    pub resource: String,
    /// The actor.
    pub victim: Victim,
}

/// What [`Reserve::Auto`] takes at least: 30 s of drips, and a third more (docs/link.md 9).
const LEAST_RESERVE: u64 = 16 << 20;
