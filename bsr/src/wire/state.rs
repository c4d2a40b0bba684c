//! The state word: what a node says of itself and of what it sees of the other (bsr-wire B.3, C.1).

use std::fmt;

/// A node's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Not known: the other node is not connected.
    Unknown = 0,
    /// Applications may use its volume.
    Primary = 1,
    /// They may not.
    Secondary = 2,
}

/// The connection's state, of both streams together (seed 001; numbers of DRBD 8.4, bsr-wire C.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the field's own names
pub enum Connection {
    StandAlone = 0,
    Disconnecting = 1,
    Unconnected = 2,
    Timeout = 3,
    BrokenPipe = 4,
    NetworkFailure = 5,
    ProtocolError = 6,
    TearDown = 7,
    WFConnection = 8,
    WFReportParams = 9,
    Connected = 10,
    StartingSyncS = 11,
    StartingSyncT = 12,
    WFBitMapS = 13,
    WFBitMapT = 14,
    WFSyncUUID = 15,
    SyncSource = 16,
    SyncTarget = 17,
    VerifyS = 18,
    VerifyT = 19,
    PausedSyncS = 20,
    PausedSyncT = 21,
    Ahead = 22,
    Behind = 23,
}

/// A disk's state (numbers of DRBD 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the field's own names
pub enum Disk {
    Diskless = 0,
    Attaching = 1,
    Failed = 2,
    Negotiating = 3,
    Inconsistent = 4,
    Outdated = 5,
    Unknown = 6,
    Consistent = 7,
    UpToDate = 8,
}

impl Role {
    /// The role with this number.
    pub fn of(number: u32) -> Option<Role> {
        [Role::Unknown, Role::Primary, Role::Secondary].get(number as usize).copied()
    }
}

impl Connection {
    const ALL: [Connection; 24] = [
        Connection::StandAlone,
        Connection::Disconnecting,
        Connection::Unconnected,
        Connection::Timeout,
        Connection::BrokenPipe,
        Connection::NetworkFailure,
        Connection::ProtocolError,
        Connection::TearDown,
        Connection::WFConnection,
        Connection::WFReportParams,
        Connection::Connected,
        Connection::StartingSyncS,
        Connection::StartingSyncT,
        Connection::WFBitMapS,
        Connection::WFBitMapT,
        Connection::WFSyncUUID,
        Connection::SyncSource,
        Connection::SyncTarget,
        Connection::VerifyS,
        Connection::VerifyT,
        Connection::PausedSyncS,
        Connection::PausedSyncT,
        Connection::Ahead,
        Connection::Behind,
    ];

    /// The state with this number.
    pub fn of(number: u32) -> Option<Connection> {
        Connection::ALL.get(number as usize).copied()
    }
}

impl Disk {
    const ALL: [Disk; 9] = [
        Disk::Diskless,
        Disk::Attaching,
        Disk::Failed,
        Disk::Negotiating,
        Disk::Inconsistent,
        Disk::Outdated,
        Disk::Unknown,
        Disk::Consistent,
        Disk::UpToDate,
    ];

    /// The state with this number.
    pub fn of(number: u32) -> Option<Disk> {
        Disk::ALL.get(number as usize).copied()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disk::Unknown => f.pad("DUnknown"), // as /proc/drbd has it: a role can be unknown, too
            known => f.pad(&format!("{known:?}")),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// P_STATE's word: fields counted from the least significant bit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct StateWord(pub u32);

impl StateWord {
    /// All that a node says at once. The suspensions are never set by this side.
    pub fn new(role: Role, peer: Role, connection: Connection, disk: Disk, peer_disk: Disk) -> StateWord {
        StateWord(
            role as u32
                | (peer as u32) << 2
                | (connection as u32) << 4
                | (disk as u32) << 9
                | (peer_disk as u32) << 13,
        )
    }

    /// The sender's role; none if the number is no role's.
    pub fn role(self) -> Option<Role> {
        Role::of(self.0 & 3)
    }

    /// What it takes the receiver's role for.
    pub fn peer(self) -> Option<Role> {
        Role::of(self.0 >> 2 & 3)
    }

    /// The connection, as it sees it.
    pub fn connection(self) -> Option<Connection> {
        Connection::of(self.0 >> 4 & 31)
    }

    /// Its disk.
    pub fn disk(self) -> Option<Disk> {
        Disk::of(self.0 >> 9 & 15)
    }

    /// What it takes the receiver's disk for.
    pub fn peer_disk(self) -> Option<Disk> {
        Disk::of(self.0 >> 13 & 15)
    }

    /// Whether its user, or a resync that has to come first, keeps the resync waiting.
    pub fn pauses_sync(self) -> bool {
        self.0 & (AFTER_DEPENDENCY | USER_PAUSE) != 0
    }
}

impl fmt::Debug for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StateWord({:08x}: {:?} {:?}/{:?} {:?}/{:?})",
            self.0,
            self.connection(),
            self.role(),
            self.peer(),
            self.disk(),
            self.peer_disk()
        )
    }
}

/// The bits of a [`StateChange`](super::StateChange)'s role.
pub const ROLE_MASK: u32 = 3;
/// Of the peer's role.
pub const PEER_MASK: u32 = 3 << 2;
/// Of the connection.
pub const CONNECTION_MASK: u32 = 31 << 4;
/// Of the disk.
pub const DISK_MASK: u32 = 15 << 9;
/// Of the peer's disk.
pub const PEER_DISK_MASK: u32 = 15 << 13;
const AFTER_DEPENDENCY: u32 = 1 << 18;
const USER_PAUSE: u32 = 1 << 20;
