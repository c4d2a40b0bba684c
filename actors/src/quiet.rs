//! Keeps a stranger from filling the log: a few lines per address and minute, the rest is counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Whether a line about a peer may be written. Bounded: remembers [`MOST_PEERS`] addresses.
#[derive(Debug)]
pub(crate) struct Quiet {
    peers: HashMap<IpAddr, Peer>,
}

#[derive(Debug)]
struct Peer {
    since: Instant,
    said: u32,
    unsaid: u64,
}

impl Quiet {
    pub(crate) fn new() -> Quiet {
        Quiet { peers: HashMap::new() }
    }

    /// `Some(n)`: say it, and that `n` lines before it were not said.
    pub(crate) fn may_say(&mut self, peer: IpAddr) -> Option<u64> {
        let now = Instant::now();
        if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&peer) {
            self.peers.retain(|_, peer| now - peer.since < WINDOW);
            if self.peers.len() >= MOST_PEERS {
                return None;
            }
        }
        let peer = self.peers.entry(peer).or_insert(Peer { since: now, said: 0, unsaid: 0 });
        if now - peer.since >= WINDOW {
            peer.since = now;
            peer.said = 0;
        }
        if peer.said >= LINES {
            peer.unsaid += 1;
            return None;
        }
        peer.said += 1;
        Some(std::mem::take(&mut peer.unsaid))
    }
}

/// Lines about one address in one [`WINDOW`].
const LINES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered: 64 KiB at most.
const MOST_PEERS: usize = 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stranger_gets_five_lines_a_minute() {
        let mut quiet = Quiet::new();
        let stranger = "192.0.2.1".parse().unwrap();
        let said = (0..100).filter(|_| quiet.may_say(stranger).is_some()).count();
        assert_eq!(said, 5);
        assert_eq!(quiet.may_say("192.0.2.2".parse().unwrap()), Some(0), "another one is another matter");
        tokio::time::advance(WINDOW).await;
        assert_eq!(quiet.may_say(stranger), Some(95), "what was not said is counted");
    }
}
