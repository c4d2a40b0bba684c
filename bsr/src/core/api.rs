//! What goes into a [`Node`](super::Node), and what comes out of it.
//!
//! One event in, all its actions done, in their order, then the next.

use std::time::Duration;

use bytes::Bytes;

use crate::wire::{Connection, Disk, Packet, Role, Stream};

pub use super::settings::{AfterSplitBrain, OnCongestion, Protocol, Settings};

/// A time, from any beginning that stays the same.
pub type Time = Duration;

/// The number of an application's request, and of an operator's order: given by the shell, echoed by the core.
pub type Id = u64;

/// The number of a disk operation: given by the core, echoed by the shell.
pub type Token = u64;

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// Both connections stand and the socket check is over. Nothing was sent on them but first packets.
    Opened {
        /// This node accepted meta (bsr-wire A.3): it breaks ties.
        resolve_conflicts: bool,
        /// 64 fresh random bytes, for authentication.
        challenge: Box<[u8; 64]>,
    },
    /// A packet came. Those that came after a [`Action::Close`] are left out by the shell.
    Packet {
        /// On which connection.
        stream: Stream,
        /// It.
        packet: Packet,
    },
    /// Both connections are of no use any more: one of them ended, or what came on it was no packet.
    Broken(Breakage),
    /// So many packets of the data connection, counted from [`Event::Opened`], are in TCP's hands.
    Sent {
        /// All so far.
        packets: u64,
    },
    /// A [`Action::Read`], [`Action::Write`], [`Action::Zero`], [`Action::Flush`] or [`Action::Save`] is done. They are
    /// done in their order, but for a flush: it may be overtaken, and covers all writes before it.
    DiskDone {
        /// Which.
        token: Token,
        /// What was read (otherwise empty), or why not.
        result: Result<Bytes, String>,
    },
    /// An application's request.
    Request {
        /// Echoed by [`Action::Complete`].
        id: Id,
        /// What it wants.
        request: Request,
    },
    /// An operator's order.
    Order {
        /// Echoed by [`Action::Done`].
        id: Id,
        /// What is to be done.
        order: Order,
    },
    /// The time of [`Node::deadline`](super::Node::deadline) has come.
    Timer,
}

/// Why connections are of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// The other side closed, or TCP gave up.
    Lost {
        /// Which of the two.
        stream: Stream,
        /// What the system said.
        what: String,
    },
    /// It was no packet, or one that must not be on this connection.
    Undecodable {
        /// Which of the two.
        stream: Stream,
        /// What was wrong with it.
        what: String,
    },
}

/// What an application may ask of its volume. Offsets and lengths are in bytes, multiples of 512.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// At most 1 MiB.
    Read {
        /// From here.
        offset: u64,
        /// So much.
        length: u32,
    },
    /// At most 1 MiB.
    Write {
        /// To here.
        offset: u64,
        /// This.
        data: Bytes,
        /// And to stable storage before it is completed.
        fua: bool,
    },
    /// Makes a range zero; `discard` allows the space to be given up. At most 1 MiB.
    Zero {
        /// From here.
        offset: u64,
        /// So much.
        length: u32,
        /// Whether a hole will do.
        discard: bool,
    },
    /// All that was completed, to stable storage.
    Flush,
}

/// What an operator may order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Applications may use the volume.
    Primary {
        /// Even if this makes an inconsistent disk count as up to date.
        force: bool,
    },
    /// They no longer may.
    Secondary,
    /// Leaves StandAlone. Done at once; being connected is seen from the state.
    Connect {
        /// In a split brain, this side's changes are given up.
        discard_my_data: bool,
    },
    /// Ends in StandAlone.
    Disconnect,
    /// Compares both disks; the differences are set in the bitmap. Done when it has begun.
    Verify,
    /// This disk counts as inconsistent, and is filled anew from the other one.
    Invalidate,
    /// All of the other disk counts as different.
    InvalidateRemote,
    /// Disconnects, saves everything; afterwards the node does nothing any more.
    Down,
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open both connections, for as long as it takes, from `after` on.
    Open {
        /// Not before.
        after: Duration,
    },
    /// Close both, or stop opening them.
    Close {
        /// Let what was sent get out first, for at most the send timeout.
        flush: bool,
    },
    /// From the next packet on, both ways, headers and bodies are those of this version.
    Speak {
        /// What both nodes can.
        version: u32,
        /// Features that both have.
        features: u32,
    },
    /// Send it. In order on each connection.
    Send {
        /// On which.
        stream: Stream,
        /// What.
        packet: Packet,
    },
    /// Read from the volume.
    Read {
        /// Echoed.
        token: Token,
        /// Bytes.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Write to the volume.
    Write {
        /// Echoed.
        token: Token,
        /// Bytes.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// Make a range of the volume zero.
    Zero {
        /// Echoed.
        token: Token,
        /// Bytes.
        offset: u64,
        /// Bytes.
        length: u32,
        /// Whether a hole will do.
        discard: bool,
    },
    /// Everything written so far, to stable storage.
    Flush {
        /// Echoed.
        token: Token,
    },
    /// Keep this over any crash. Disk actions after it are begun when it is stable.
    Save(Save),
    /// A request is done.
    Complete {
        /// Whose.
        id: Id,
        /// What was read (otherwise empty), or why not.
        result: Result<Bytes, RequestError>,
    },
    /// An order is done.
    Done {
        /// Whose.
        id: Id,
        /// Or why not.
        result: Result<(), Refusal>,
    },
    /// A state has changed. For the log: nothing changes silently.
    Changed(Change),
    /// For the log.
    Note(Severity, String),
}

/// What is to be kept over any crash: each part that is there replaces what was kept of it, in this order. After all
/// pages are stable the rest is written, as one: either all of it is found after a crash, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Save {
    /// Echoed by [`Event::DiskDone`], when it is stable; 0: nobody waits for it.
    pub token: Token,
    /// First, what was written to the volume goes to stable storage.
    pub flush_volume: bool,
    /// Pages of the bitmap: their number, and [`PAGE`](crate::bitmap::PAGE) bytes each.
    pub pages: Vec<(u32, Bytes)>,
    /// Generations and flags.
    pub head: Option<crate::metadata::Head>,
    /// The extents that may be written to.
    pub activity: Option<Vec<u32>>,
}

/// A change of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which.
    pub what: What,
    /// Its name before.
    pub from: String,
    /// Its name now.
    pub to: String,
    /// The reason.
    pub why: String,
}

/// What a [`Change`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// [`State::connection`].
    Connection,
    /// [`State::role`].
    Role,
    /// [`State::peer`].
    PeerRole,
    /// [`State::disk`].
    Disk,
    /// [`State::peer_disk`].
    PeerDisk,
}

/// A node's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// This node's role.
    pub role: Role,
    /// The other node's.
    pub peer: Role,
    /// The connection.
    pub connection: Connection,
    /// This node's disk.
    pub disk: Disk,
    /// The other node's.
    pub peer_disk: Disk,
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// What an operator may want to know.
    Info,
    /// What an operator ought to look at.
    Warning,
    /// What went wrong.
    Error,
}

/// Why an application's request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The node is secondary.
    #[error("this node is not primary")]
    NotPrimary,
    /// Beyond the volume's end, not a multiple of 512 bytes, or too large.
    #[error("not within the volume, or not in whole sectors")]
    Range,
    /// There is no data that is up to date within reach.
    #[error("no disk that is up to date is within reach")]
    NoData,
    /// The disk failed.
    #[error("input/output error: {0}")]
    Disk(String),
    /// The node goes down.
    #[error("the node is going down")]
    Down,
}

/// Why an order was refused; as DRBD's state changes are (bsr-wire B.9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only one may be.
    #[error("the other node is primary")]
    TwoPrimaries,
    /// Neither side's.
    #[error("there is no disk that is up to date")]
    NoUpToDateDisk,
    /// Of this kind for that order.
    #[error("not in this state: {0}")]
    State(String),
    /// It needs one.
    #[error("there is no connection")]
    NotConnected,
    /// Of the settings.
    #[error("no {0} is set")]
    NotSet(&'static str),
    /// The other node said so.
    #[error("the other node refused: {0}")]
    Peer(String),
    /// Requests are under way.
    #[error("the volume is in use")]
    InUse,
    /// It took too long, or the connection was lost meanwhile.
    #[error("interrupted: {0}")]
    Interrupted(String),
}
