//! What a node says of itself, for people and for programs (docs/bsr.md).

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::{Protocol, State, Status};
use crate::wire::{Connection, Disk, Role};

/// A node's status, as `status --json` prints it. Fields may be added; none is renamed or taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The node's name.
    pub name: String,
    /// The program's version.
    pub program: String,
    /// The connection's state.
    pub connection: String,
    /// This node's role.
    pub role: String,
    /// The other node's.
    pub peer_role: String,
    /// This node's disk.
    pub disk: String,
    /// The other node's.
    pub peer_disk: String,
    /// A, B or C.
    pub protocol: String,
    /// The protocol's version that both nodes speak; none before they have agreed.
    pub version: Option<u32>,
    /// Of the volume, in bytes.
    pub size: u64,
    /// What may differ from the other disk, in bytes.
    pub out_of_sync: u64,
    /// The resync that is under way.
    pub resync: Option<Progress>,
    /// The online verify that is under way, or was the last one since the node came up.
    pub verify: Option<Verify>,
    /// The generations of this node's data, in hexadecimal digits.
    pub generations: Generations,
    /// Written by applications here.
    pub written: Traffic,
    /// Written by the other node's applications, and received.
    pub received: Traffic,
    /// Sent by resyncs, in bytes.
    pub resync_sent: u64,
    /// Received by resyncs, in bytes.
    pub resync_received: u64,
    /// Resyncs that were begun.
    pub resyncs: u64,
    /// Requests of applications that are not done.
    pub requests: u64,
    /// Sent to the other node and not acknowledged, in bytes.
    pub in_flight: u64,
    /// Clients of the NBD server that use the volume.
    pub nbd_clients: u64,
    /// Attempts to connect, since the nodes were last connected.
    pub attempts: u64,
    /// Why the last connection ended.
    pub last_break: Option<String>,
}

/// How far something is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// All of it.
    pub total: u64,
    /// What is left.
    pub left: u64,
}

/// How far an online verify is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// Whether it is under way.
    pub running: bool,
    /// All of it.
    pub total: u64,
    /// What is left.
    pub left: u64,
    /// What was found to differ.
    pub different: u64,
}

/// Generations, in hexadecimal digits: JSON's numbers have 53 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    /// Of the data as it is.
    pub current: String,
    /// Since which the bitmap tells the differences.
    pub bitmap: String,
    /// The two before.
    pub history: [String; 2],
}

/// Writes of applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// How many.
    pub writes: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// The report of a node with this name and protocol.
    pub fn new(name: &str, protocol: Protocol, nbd_clients: u64, status: &Status) -> Report {
        let Status { state, generations, counters, .. } = status;
        let uuid = |number: u64| format!("{number:016X}");
        let blocks = |count: u64| count.saturating_mul(BLOCK);
        let resync = counters.resync_total > 0 && is_resync(state.connection);
        let verify = Verify {
            running: is_verify(state.connection),
            total: blocks(counters.verify_total),
            left: blocks(counters.verify_total.saturating_sub(counters.verify_done)),
            different: blocks(counters.verify_different),
        };
        Report {
            name: name.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            connection: state.connection.to_string(),
            role: state.role.to_string(),
            peer_role: state.peer.to_string(),
            disk: state.disk.to_string(),
            peer_disk: state.peer_disk.to_string(),
            protocol: format!("{protocol:?}"),
            version: status.version,
            size: status.size,
            out_of_sync: status.out_of_sync,
            resync: resync
                .then(|| Progress { total: blocks(counters.resync_total), left: status.out_of_sync }),
            verify: (verify.total > 0).then_some(verify),
            generations: Generations {
                current: uuid(generations.current),
                bitmap: uuid(generations.bitmap),
                history: generations.history.map(uuid),
            },
            written: Traffic { writes: counters.writes, bytes: counters.written },
            received: Traffic { writes: counters.peer_writes, bytes: counters.peer_written },
            resync_sent: counters.resync_sent,
            resync_received: counters.resync_received,
            resyncs: counters.resyncs,
            requests: status.requests,
            in_flight: status.in_flight,
            nbd_clients,
            attempts: status.attempts,
            last_break: status.last_break.clone(),
        }
    }
}

/// Whether an online verify is under way.
pub fn is_verify(connection: Connection) -> bool {
    matches!(connection, Connection::VerifyS | Connection::VerifyT)
}

fn is_resync(connection: Connection) -> bool {
    use Connection::{PausedSyncS, PausedSyncT, SyncSource, SyncTarget};
    matches!(connection, SyncSource | SyncTarget | PausedSyncS | PausedSyncT)
}

impl Progress {
    /// How much of it is done, in tenths of a percent: 1000 is all.
    pub fn done(&self) -> u64 {
        let done = u128::from(self.total.saturating_sub(self.left)) * 1000;
        // At most 1000; nothing of nothing is all.
        done.checked_div(self.total.into()).map_or(1000, |done| done as u64)
    }
}

impl fmt::Display for Report {
    /// As /proc/drbd has it: cs, ro and ds on the first line; amounts in KiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { connection, role, peer_role, disk, peer_disk, .. } = self;
        let kib = |bytes: u64| bytes.div_ceil(1 << 10);
        write!(
            f,
            "{}: cs:{connection} ro:{role}/{peer_role} ds:{disk}/{peer_disk} {}",
            self.name, self.protocol
        )?;
        writeln!(f, " oos:{}", kib(self.out_of_sync))?;
        let resynced = self.resync_sent.saturating_add(self.resync_received);
        write!(f, "    ns:{} nr:{} rs:{}", kib(self.written.bytes), kib(self.received.bytes), kib(resynced))?;
        write!(f, " ap:{} if:{}", self.requests, kib(self.in_flight))?;
        if let Some(version) = self.version {
            write!(f, " pv:{version}")?;
        }
        f.write_char('\n')?;
        if let Some(resync) = &self.resync {
            let done = resync.done();
            write!(f, "    sync'ed: {}.{}%", done / 10, done % 10)?;
            writeln!(f, " ({}/{} KiB left)", kib(resync.left), kib(resync.total))?;
        }
        if let Some(verify) = &self.verify {
            let progress = Progress { total: verify.total, left: verify.left };
            let (done, word) = (progress.done(), if verify.running { "verified" } else { "last verify" });
            writeln!(f, "    {word}: {}.{}% different: {} bytes", done / 10, done % 10, verify.different)?;
        }
        if let Some(why) = &self.last_break {
            let clean: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "    last break: {clean}")?;
        }
        Ok(())
    }
}

/// What somebody waits for. What is not given is of no interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The connection.
    pub connection: Option<Connection>,
    /// The role, and the other node's.
    pub role: Option<Pair<Role>>,
    /// The disk, and the other node's.
    pub disk: Option<Pair<Disk>>,
}

/// A state of this node, and the other node's where that matters: `UpToDate`, `UpToDate/Inconsistent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<T> {
    mine: T,
    peer: Option<T>,
}

impl Condition {
    /// Whether it is so.
    pub fn met(&self, state: &State) -> bool {
        self.connection.is_none_or(|connection| connection == state.connection)
            && self.role.is_none_or(|role| role.met(state.role, state.peer))
            && self.disk.is_none_or(|disk| disk.met(state.disk, state.peer_disk))
    }
}

impl<T: PartialEq> Pair<T> {
    fn met(&self, mine: T, peer: T) -> bool {
        self.mine == mine && self.peer.as_ref().is_none_or(|expected| *expected == peer)
    }
}

/// A state's name, read.
pub trait Named: Copy {
    /// The state of this name.
    fn named(name: &str) -> Option<Self>;
}

impl Named for Role {
    fn named(name: &str) -> Option<Role> {
        (0..3).filter_map(Role::of).find(|role| role.to_string() == name)
    }
}

impl Named for Disk {
    fn named(name: &str) -> Option<Disk> {
        (0..9).filter_map(Disk::of).find(|disk| disk.to_string() == name)
    }
}

impl Named for Connection {
    fn named(name: &str) -> Option<Connection> {
        (0..24).filter_map(Connection::of).find(|connection| connection.to_string() == name)
    }
}

impl<T: Named> FromStr for Pair<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair<T>, String> {
        let (mine, peer) = match text.split_once('/') {
            Some((mine, peer)) => (mine, Some(peer)),
            None => (text, None),
        };
        let named = |name: &str| T::named(name).ok_or_else(|| format!("{name:?} is no such state"));
        Ok(Pair { mine: named(mine)?, peer: peer.map(named).transpose()? })
    }
}

impl<T: fmt::Display> fmt::Display for Pair<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Some(peer) => write!(f, "{}/{peer}", self.mine),
            None => write!(f, "{}", self.mine),
        }
    }
}

/// Bytes of a bit.
const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn state() -> State {
        State {
            role: Role::Primary,
            peer: Role::Secondary,
            connection: Connection::SyncSource,
            disk: Disk::UpToDate,
            peer_disk: Disk::Inconsistent,
        }
    }

    #[test]
    fn a_condition_is_about_what_it_names() {
        assert!(Condition::default().met(&state()));
        let disk = |text: &str| Condition { disk: Some(text.parse().unwrap()), ..Condition::default() };
        assert!(disk("UpToDate").met(&state()));
        assert!(disk("UpToDate/Inconsistent").met(&state()));
        assert!(!disk("UpToDate/UpToDate").met(&state()));
        assert!(!disk("Inconsistent").met(&state()));
        let role = Condition { role: Some("Primary/Secondary".parse().unwrap()), ..Condition::default() };
        assert!(role.met(&state()));
        let connection = |name| Condition { connection: Connection::named(name), ..Condition::default() };
        assert!(connection("SyncSource").met(&state()));
        assert!(!connection("Connected").met(&state()));
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for number in 0..24 {
            let connection = Connection::of(number).unwrap();
            assert_eq!(Connection::named(&connection.to_string()), Some(connection));
        }
        for text in ["UpToDate/DUnknown", "Diskless"] {
            assert_eq!(text.parse::<Pair<Disk>>().unwrap().to_string(), text);
        }
        for wrong in ["", "uptodate", "UpToDate/", "UpToDate/UpToDate/UpToDate", "Primary"] {
            assert!(wrong.parse::<Pair<Disk>>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_text_has_the_words_of_proc_drbd() {
        let report = Report {
            name: "n1".to_owned(),
            connection: "SyncTarget".to_owned(),
            role: "Secondary".to_owned(),
            peer_role: "Primary".to_owned(),
            disk: "Inconsistent".to_owned(),
            peer_disk: "UpToDate".to_owned(),
            protocol: "C".to_owned(),
            version: Some(101),
            out_of_sync: 4096,
            resync: Some(Progress { total: 3 << 20, left: 1 << 20 }),
            last_break: Some("it was\nso".to_owned()),
            ..Report::default()
        };
        let text = "n1: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C oos:4\n    \
            ns:0 nr:0 rs:0 ap:0 if:0 pv:101\n    sync'ed: 66.6% (1024/3072 KiB left)\n    last break: it was so\n";
        assert_eq!(report.to_string(), text);
        assert_eq!(Progress::default().done(), 1000);
    }
}
