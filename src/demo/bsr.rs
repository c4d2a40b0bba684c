//! One side's bsr: a node of drx-bsr, over all its lives.

use std::time::Duration;

use drx_bsr::core::{self, Order, Refusal, State, Status};
use drx_bsr::digest::Algorithm;
use drx_bsr::shell::node::{self, End, Handle};
use drx_bsr::shell::opening::{Opening, OpeningSettings};
use drx_bsr::shell::requests::Requests;
use drx_bsr::shell::settings::Settings;
use drx_bsr::wire::{Connection, Disk as DiskState};
use slog::Logger;
use tokio::time::timeout;

use super::background::Background;
use super::disks::Disk;
use super::embedded::Side;

/// What a bsr has done in all its lives, and how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How it is, if it is alive.
    pub(super) now: Option<Status>,
    /// Pairs of connections that stood.
    pub(super) sessions: u64,
    /// Writes that came from the other bsr.
    pub(super) writes: u64,
    /// Their bytes.
    pub(super) written: u64,
    /// Bytes of resyncs that came from there.
    pub(super) resynced: u64,
    /// What must never happen.
    pub(super) violations: Vec<String>,
}

impl Tally {
    fn and(&self, now: Option<Status>) -> Tally {
        let (sessions, counters) = now.as_ref().map(|now| (now.sessions, now.counters)).unwrap_or_default();
        Tally {
            now,
            sessions: self.sessions + sessions,
            writes: self.writes + counters.peer_writes,
            written: self.written + counters.peer_written,
            resynced: self.resynced + counters.resync_received,
            violations: self.violations.clone(),
        }
    }

    /// Bytes that came from the other bsr.
    pub(super) fn received(&self) -> u64 {
        self.written + self.resynced
    }

    /// Its states, if it is alive.
    pub(super) fn state(&self) -> Option<State> {
        self.now.as_ref().map(|now| now.state)
    }

    /// Whether it is connected with the other one, be it to resync.
    pub(super) fn is_connected(&self) -> bool {
        self.state().is_some_and(|state| state.is_connected())
    }

    /// Whether nothing is left to be resynced.
    pub(super) fn is_in_sync(&self) -> bool {
        self.state().is_some_and(|state| {
            let disks = [state.disk, state.peer_disk];
            state.connection == Connection::Connected && disks == [DiskState::UpToDate; 2]
        })
    }

    /// Whether nothing is under way from it.
    pub(super) fn is_quiet(&self) -> bool {
        self.now.as_ref().is_some_and(|now| now.requests == 0 && now.in_flight == 0 && now.out_of_sync == 0)
    }
}

/// One side's bsr, dead or alive.
#[derive(Debug)]
pub(super) struct Bsr {
    settings: Settings,
    log: Logger,
    node: Option<Handle>,
    /// Of former lives.
    before: Tally,
    /// The end of a session that was looked at last.
    last_break: Option<String>,
}

impl Bsr {
    /// One that is not alive yet. Of the two, `number` 0 and 1, the second one opens data (bsr-wire A.1).
    pub(super) fn new(number: u32, side: &Side, disk: &Disk, log: Logger) -> Bsr {
        let core = core::Settings {
            // What comes is compared with its checksum, block by block.
            integrity: Some(Algorithm::Crc32c),
            resync_rate: RESYNC_RATE,
            ..core::Settings::default()
        };
        let network = OpeningSettings {
            address: side.bsr,
            peer: side.inside,
            first: Opening::NodeId { mine: number, peer: 1 - number },
            verify_ip: true,
            connect_int: CONNECT_INT,
            socket_check_timeout: CHECK,
            tcp_ack_timeout: TCP_ACK_TIMEOUT,
            sndbuf: None,
            rcvbuf: None,
        };
        let settings = Settings {
            name: format!("bsr{}", number + 1),
            volume: disk.volume.clone(),
            metadata: disk.metadata.clone(),
            socket: None,
            network,
            nbd: None,
            core,
        };
        Bsr { settings, log, node: None, before: Tally::default(), last_break: None }
    }

    /// Brings it to life.
    ///
    /// # Errors
    /// In words: its files cannot be used.
    pub(super) async fn start(&mut self, place: &Background) -> Result<(), String> {
        let (settings, log) = (self.settings.clone(), self.log.clone());
        let started = place.spawn(async move { node::start(&settings, true, &log).await }).await;
        let node =
            started.map_err(|panic| panic.to_string()).and_then(|node| node.map_err(|e| e.to_string()));
        self.node = Some(node.map_err(|what| format!("{} cannot start: {what}", self.settings.name))?);
        self.last_break = None;
        Ok(())
    }

    /// What it has done, and how it is.
    pub(super) async fn look(&mut self) -> Tally {
        let Some(node) = &self.node else { return self.before.clone() };
        let status = node.status();
        if self.last_break != status.last_break {
            self.last_break.clone_from(&status.last_break);
            if let Some(why) = self.last_break.as_ref().filter(|why| why.starts_with(PROTOCOL_ERROR)) {
                self.before.violations.push(why.clone());
            }
        }
        // Only looked at, not waited for.
        if let Ok(end) = timeout(Duration::ZERO, node.ended()).await {
            self.died(&end);
        } else {
            return self.before.and(Some(status));
        }
        self.before.clone()
    }

    /// Where its volume is reached; none: it is dead.
    pub(super) fn requests(&self) -> Option<Requests> {
        self.node.as_ref().map(Handle::requests)
    }

    /// Gives it an order, and waits until it is done.
    ///
    /// # Errors
    /// Its refusal.
    pub(super) async fn order(&self, order: Order) -> Result<(), Refusal> {
        match &self.node {
            Some(node) => node.order(order).await,
            None => Err(Refusal::State("it is dead".to_owned())),
        }
    }

    /// Lets it go down in order.
    ///
    /// # Errors
    /// Its refusal.
    pub(super) async fn down(&mut self) -> Result<(), Refusal> {
        self.order(Order::Down).await?;
        if let Some(node) = &self.node {
            let end = node.ended().await;
            self.died(&end);
        }
        Ok(())
    }

    /// Kills it, if it is alive: as SIGKILL would. Its files are free then.
    pub(super) async fn kill(&mut self) {
        if let Some(node) = &self.node {
            let end = node.kill().await;
            self.died(&end);
        }
    }

    fn died(&mut self, end: &End) {
        let last = self.node.take().map(|node| node.status());
        self.before = Tally { now: None, ..self.before.and(last) };
        if let End::Failed(what) = end {
            self.before.violations.push(format!("it ended by itself: {what}"));
        }
    }
}

/// How the end of a session begins whose packets were not those of the other bsr: a relay must not do that.
const PROTOCOL_ERROR: &str = "ProtocolError";
/// So slow that a resync can be seen.
const RESYNC_RATE: u64 = 40 << 20;
// Faster than BSR where it waits without need (bsr-wire A.4): 3 s, 0.5 s. What it gives others is BSR's.
const CONNECT_INT: Duration = Duration::from_millis(100);
const CHECK: Duration = Duration::from_millis(150);
const TCP_ACK_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
