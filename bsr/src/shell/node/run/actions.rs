//! What the core wants done, and what comes of it.

use std::time::Duration;

use slog::{Logger, error, info, warn};
use tokio::time::sleep;

use super::{Line, Ordered, Runner};
use crate::core::{Action, Event, Severity, What};
use crate::shell::node::End;
use crate::shell::opening::{self, Connections};
use crate::shell::wires::Wires;

impl Runner {
    pub(super) fn act(&mut self) {
        while let Some(action) = self.node.action() {
            self.do_action(action);
        }
    }

    fn do_action(&mut self, action: Action) {
        match action {
            Action::Open { after } => self.open(after),
            Action::Close { flush } => {
                let line = std::mem::replace(&mut self.line, Line::Closed);
                if let (Line::Open(wires), true) = (line, flush) {
                    self.finishing.spawn(wires.finish(self.send_timeout));
                }
            }
            Action::Speak { version, features } => {
                if let Line::Open(wires) = &mut self.line {
                    wires.speak(version, features);
                }
            }
            Action::Send { stream, packet } => {
                if let Line::Open(wires) = &mut self.line {
                    wires.send(stream, &packet);
                }
            }
            Action::Complete { id, result } => {
                if let Some(asked) = self.asked.remove(&id) {
                    self.asked_bytes -= asked.bytes;
                    // Who asked may have gone.
                    let _ = asked.reply.send(result);
                }
            }
            Action::Done { id, result } => match self.ordered.remove(&id) {
                Some(Ordered { reply, down: true }) if result.is_ok() => {
                    self.end.get_or_insert((End::Down, Some(reply)));
                }
                Some(Ordered { reply, .. }) => {
                    let _ = reply.send(result);
                }
                None => {}
            },
            Action::Changed(change) => {
                let what = match change.what {
                    What::Connection => "connection",
                    What::Role => "role",
                    What::PeerRole => "peer's role",
                    What::Disk => "disk",
                    What::PeerDisk => "peer's disk",
                };
                let (from, to, why) = (change.from, change.to, change.why);
                info!(self.log, "{}: {} -> {}; {}", what, from, to, why; "from" => &from, "to" => &to, "why" => &why);
            }
            Action::Note(severity, note) => tell(&self.log, severity, &note),
            disk => {
                if let Err(strange) = self.volume.submit(disk) {
                    error!(self.log, "an action that nobody does: {:?}", strange);
                }
            }
        }
    }

    fn open(&mut self, after: Duration) {
        let (settings, log) = (self.network.clone(), self.log.clone());
        // How two that cross get apart need not be unforeseeable, only different.
        let seed = self.random.number().unwrap_or_default();
        self.line = Line::Opening(Box::pin(async move {
            sleep(after).await;
            let mut random = fastrand::Rng::with_seed(seed);
            opening::open(&settings, &mut random, |severity, note| tell(&log, severity, &note)).await
        }));
    }

    pub(super) fn opened(&mut self, connections: Connections) {
        let Connections { data, meta, resolve_conflicts } = connections;
        match self.random.bytes() {
            Ok(challenge) => {
                self.line =
                    Line::Open(Box::new(Wires::new(data, meta, self.volume.bytes() / BYTES_OF_BITMAP)));
                self.handle(Event::Opened { resolve_conflicts, challenge: Box::new(challenge) });
            }
            Err(error) => self.fail(format!("no randomness is to be had: {error}")),
        }
    }

    /// Packets that have come, some of them: then it is somebody else's turn.
    pub(super) fn packets(&mut self) {
        for _ in 0..PACKETS {
            let data = self.takes_data();
            let Line::Open(wires) = &mut self.line else { return };
            match wires.packet(data) {
                Ok(Some((stream, packet))) => self.handle(Event::Packet { stream, packet }),
                Ok(None) => break,
                Err(breakage) => self.handle(Event::Broken(breakage)),
            }
        }
    }

    /// What the turn has brought forth goes out, and the core hears how much of it did.
    pub(super) fn push(&mut self) {
        if let Line::Open(wires) = &mut self.line {
            wires.push();
            if let Some(packets) = wires.sent() {
                self.handle(Event::Sent { packets });
            }
        }
    }
}

/// A note of the core's, or of one who works for it.
pub(super) fn tell(log: &Logger, severity: Severity, note: &str) {
    match severity {
        Severity::Info => info!(log, "{}", note),
        Severity::Warning => warn!(log, "{}", note),
        Severity::Error => error!(log, "{}", note),
    }
}

/// A byte of a bitmap stands for 8 blocks of 4 KiB.
const BYTES_OF_BITMAP: u64 = 8 * 4096;
/// Packets in one turn.
const PACKETS: usize = 64;
