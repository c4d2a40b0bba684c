//! A bsr in user space, as far as a relay can see one: it opens data and meta the way BSR does, fills
//! both with traffic that can be verified, and starts over when it loses one of them.
//!
//! What it does on the wire is in docs/bsr-wire.md, A.1 to A.4, A.7 and C.2. Instead of a disk's blocks
//! it sends random ones on data, and acknowledges on meta those that it verified.
//!
//! ```text
//! opening   until both connections stand: dial, listen, first packets, crossing
//! session   both connections, until one of them ends
//! blocks    what is sent
//! ```

mod blocks;
mod opening;
mod session;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drx_protocol::names::ChannelType;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What a peer is to be.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Its number: tells which of the two opens data first, and is in everything it sends.
    pub node_id: u32,
    /// The other peer's number: everything it receives must come from there.
    pub peer_id: u32,
    /// Where it listens. Its own dials come from this IP.
    pub bsr: SocketAddr,
    /// Where it dials its relay. It takes connections from this IP only.
    pub inside: SocketAddr,
    /// The stream that it opens while it holds none. [`PeerSettings::bsr`] does as BSR does.
    pub first: ChannelType,
    /// The most content in a block, at most 1 MiB.
    pub largest_block: u32,
    /// How many blocks it sends ahead of their acknowledgements: so data stands still when meta does.
    pub most_under_way: u64,
    /// The most content a second that it sends; none: as much as the relay takes.
    pub bytes_per_second: Option<u64>,
    /// How long it waits for what.
    pub pace: Pace,
}

impl PeerSettings {
    /// A BSR: of the two the one with the higher number opens data, the other meta (bsr-wire A.1).
    pub fn bsr(node_id: u32, peer_id: u32, bsr: SocketAddr, inside: SocketAddr) -> PeerSettings {
        let first = if node_id > peer_id { ChannelType::Data } else { ChannelType::Meta };
        PeerSettings {
            node_id,
            peer_id,
            bsr,
            inside,
            first,
            largest_block: 128 * 1024,
            most_under_way: 256,
            bytes_per_second: None,
            pace: Pace::BSR,
        }
    }
}

/// How long a peer waits for what (bsr-wire A.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For a dial; and, give or take a seventh, on the listener before the next one: connect-int.
    pub dial: Duration,
    /// The same after it opened one of the two connections: the other peer has so long to open the other.
    pub cross: Duration,
    /// For the first packet on a connection that it accepted.
    pub first_packet: Duration,
    /// With both connections, before it uses them: socket-check-timeout.
    pub check: Duration,
    /// For the other peer's first block.
    pub greeting: Duration,
    /// After a session that got no greeting, with nothing listening.
    pub failed: Duration,
}

impl Pace {
    /// BSR's own, with its defaults.
    pub const BSR: Pace = Pace {
        dial: Duration::from_secs(3),
        cross: Duration::from_secs(3),
        first_packet: Duration::from_secs(2),
        check: Duration::from_millis(500),
        greeting: Duration::from_secs(2),
        failed: Duration::from_secs(1),
    };

    /// Fast where BSR waits without need, and as patient as BSR where it waits for others.
    pub const BRISK: Pace = Pace {
        dial: Duration::from_millis(100),
        check: Duration::from_millis(50),
        failed: Duration::from_millis(200),
        ..Pace::BSR
    };
}

/// What a peer has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whether both connections stand and the other peer's first block was verified.
    pub connected: bool,
    /// How often that came to be.
    pub sessions: u64,
    /// Blocks sent.
    pub blocks_sent: u64,
    /// Bytes of content in them.
    pub bytes_sent: u64,
    /// Blocks of the other peer verified.
    pub blocks_verified: u64,
    /// Bytes of content in them.
    pub bytes_verified: u64,
    /// Own blocks that the other peer has verified.
    pub blocks_acknowledged: u64,
    /// Own blocks sent in the present session and not acknowledged yet.
    pub blocks_under_way: u64,
    /// Dials that the relay refused or did not answer.
    pub dials_refused: u64,
    /// Sessions that were given up because the other peer's first block did not come.
    pub greetings_missed: u64,
    /// Accepted connections that ended, or stayed silent, before their first packet was whole.
    pub first_packets_missed: u64,
    /// What must never happen, the first ones in full.
    pub violations: Vec<Violation>,
    /// How many there were.
    pub violation_count: u64,
}

impl Tally {
    /// Adds what an earlier or later life of the same peer has done; the present is `other`'s.
    pub fn then(mut self, other: Tally) -> Tally {
        self.violations.extend(other.violations);
        self.violations.truncate(VIOLATIONS_KEPT);
        Tally {
            connected: other.connected,
            sessions: self.sessions + other.sessions,
            blocks_sent: self.blocks_sent + other.blocks_sent,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            blocks_verified: self.blocks_verified + other.blocks_verified,
            bytes_verified: self.bytes_verified + other.bytes_verified,
            blocks_acknowledged: self.blocks_acknowledged + other.blocks_acknowledged,
            blocks_under_way: other.blocks_under_way,
            dials_refused: self.dials_refused + other.dials_refused,
            greetings_missed: self.greetings_missed + other.greetings_missed,
            first_packets_missed: self.first_packets_missed + other.first_packets_missed,
            violations: self.violations,
            violation_count: self.violation_count + other.violation_count,
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }
}

/// What a relay must never do to its bsr.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A block was lost, repeated, changed, or came out of another stream.
    #[error("block {sequence}: {what}")]
    Block {
        /// The number that was expected next.
        sequence: u64,
        /// What is wrong with it.
        what: String,
    },
    /// An acknowledgement that the other peer cannot have made.
    #[error("acknowledgement: {what}")]
    Acknowledgement {
        /// What is wrong with it.
        what: String,
    },
    /// A connection from another IP than `inside`: BSR closes it (bsr-wire A.5).
    #[error("a connection came from {from}, not from inside, {inside}")]
    Source {
        /// Where it came from.
        from: IpAddr,
        /// Where it should have come from.
        inside: IpAddr,
    },
    /// An accepted connection began with other bytes than a first packet.
    #[error("first packet: {0}")]
    FirstPacket(String),
}

/// A running peer. Dropping it kills it: its sockets are closed as those of a process that dies.
#[derive(Debug)]
pub struct Peer {
    task: JoinHandle<()>,
    tally: watch::Receiver<Tally>,
    hold: watch::Sender<bool>,
}

impl Peer {
    /// Starts it on the current tokio runtime. It goes on until it is killed or dropped.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(settings: PeerSettings) -> Peer {
        let (tally, seen) = watch::channel(Tally::default());
        let (hold, held) = watch::channel(false);
        let task = tokio::spawn(live(settings, tally, held));
        Peer { task, tally: seen, hold }
    }

    /// What it has done so far.
    pub fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Waits until `reached` is true of its tally, and returns that. Bounded by the caller, or by the end
    /// of the peer.
    pub async fn until(&self, reached: impl FnMut(&Tally) -> bool) -> Tally {
        let mut tally = self.tally.clone();
        match tally.wait_for(reached).await {
            Ok(tally) => tally.clone(),
            Err(_) => self.tally(), // it has ended
        }
    }

    /// Whether it is to send no further blocks for now. A new session still sends its first one.
    pub fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    /// Kills it, and returns what it has done when its sockets are closed.
    pub async fn kill(mut self) -> Tally {
        self.task.abort();
        let _ = (&mut self.task).await; // it was aborted, which is what this says
        let tally = self.tally();
        Tally { connected: false, blocks_under_way: 0, ..tally }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects, talks, starts over, for ever.
async fn live(settings: PeerSettings, tally: watch::Sender<Tally>, hold: watch::Receiver<bool>) {
    let mut random = fastrand::Rng::new();
    loop {
        let connections = opening::open(&settings, &tally, &mut random).await;
        let ending = session::talk(&settings, connections, &tally, hold.clone(), random.fork()).await;
        tally.send_modify(|tally| {
            tally.connected = false;
            tally.blocks_under_way = 0;
            match &ending {
                session::Ending::Violated(violation) => tally.violated(violation.clone()),
                session::Ending::NoGreeting => tally.greetings_missed += 1,
                session::Ending::Lost => {}
            }
        });
        // BSR connects again at once, but for a handshake that failed (bsr-wire C.2).
        if !matches!(ending, session::Ending::Lost) {
            sleep(settings.pace.failed).await;
        }
    }
}

/// One violation is enough; a few show a pattern.
const VIOLATIONS_KEPT: usize = 16;

#[cfg(test)]
mod tests;
