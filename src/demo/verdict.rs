//! What came out.

use std::time::Duration;

use super::frame::{DIRECTIONS, seconds, size};
use super::peer::Tally;

/// A fault, and how it was got over.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    /// What broke.
    pub(super) fault: String,
    /// What the time is counted from.
    pub(super) since: &'static str,
    /// How long until everything was connected again; none: it never was.
    pub(super) took: Option<Duration>,
}

/// The result of the show.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The peers' tallies; node1's first.
    pub(super) peers: [Tally; 2],
    /// Every fault there was.
    pub(super) recoveries: Vec<Recovery>,
    /// How many faults there should have been.
    pub(super) planned: usize,
    /// What went wrong besides.
    pub(super) errors: Vec<String>,
    /// How long all of it took.
    pub(super) took: Duration,
}

impl Verdict {
    /// Whether everything recovered and every byte was verified.
    pub(super) fn passed(&self) -> bool {
        let recovered = self.recoveries.iter().filter(|recovery| recovery.took.is_some()).count();
        let talked = self.peers.iter().all(|peer| peer.bytes_verified > 0);
        let clean = self.peers.iter().all(|peer| peer.violation_count == 0);
        recovered == self.planned && talked && clean && self.errors.is_empty()
    }

    /// In words, the last line being the verdict itself.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for (name, from, to) in DIRECTIONS {
            let (sender, receiver) = (&self.peers[from], &self.peers[to]);
            lines.push(format!(
                " {name}   {} blocks, {} bytes ({}) verified; {} blocks cut off with their sessions",
                receiver.blocks_verified,
                receiver.bytes_verified,
                size(receiver.bytes_verified as f64),
                sender.blocks_sent.saturating_sub(receiver.blocks_verified),
            ));
        }
        lines.push(format!(" sessions       {}", self.peers[0].sessions.max(self.peers[1].sessions)));
        for Recovery { fault, since, took } in &self.recoveries {
            lines.push(match took {
                Some(took) => format!(" recovered      {} {since}: {fault}", seconds(*took)),
                None => format!(" NOT RECOVERED  {fault}"),
            });
        }
        let violations = self.peers.iter().enumerate().flat_map(|(side, peer)| {
            let hidden = peer.violation_count.saturating_sub(peer.violations.len() as u64);
            let shown = peer.violations.iter().map(move |violation| format!("bsr{}: {violation}", side + 1));
            shown.chain((hidden > 0).then(|| format!("bsr{}: {hidden} more like these", side + 1)))
        });
        let errors: Vec<_> = self.errors.iter().cloned().chain(violations).collect();
        if errors.is_empty() {
            lines.push(" errors         none".to_owned());
        }
        lines.extend(errors.iter().map(|error| format!(" ERROR          {error}")));
        let recovered = self.recoveries.iter().filter(|recovery| recovery.took.is_some()).count();
        lines.push(format!(
            "Verdict: {}: {recovered} of {} faults recovered, errors: {}, {} verified, in {:.1} s",
            if self.passed() { "passed" } else { "FAILED" },
            self.planned,
            errors.len(),
            size(self.peers.iter().map(|peer| peer.bytes_verified as f64).sum()),
            self.took.as_secs_f64(),
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::Violation;
    use super::*;

    fn good() -> Verdict {
        let peer = Tally { sessions: 2, blocks_verified: 3, bytes_verified: 4096, ..Tally::default() };
        let recovery =
            Recovery { fault: "it broke".into(), since: "later", took: Some(Duration::from_secs(1)) };
        Verdict {
            peers: [peer.clone(), peer],
            recoveries: vec![recovery],
            planned: 1,
            errors: Vec::new(),
            took: Duration::from_secs(9),
        }
    }

    #[test]
    fn all_is_well_only_if_everything_recovered_and_every_byte_was_verified() {
        assert!(good().passed());
        let broken: [fn(&mut Verdict); 5] = [
            |verdict| verdict.recoveries[0].took = None,
            |verdict| verdict.recoveries.clear(),
            |verdict| verdict.errors.push("odd".into()),
            |verdict| verdict.peers[1].bytes_verified = 0,
            |verdict| verdict.peers[0].violation_count = 1,
        ];
        for (number, spoil) in broken.into_iter().enumerate() {
            let mut verdict = good();
            spoil(&mut verdict);
            assert!(!verdict.passed(), "case {number}");
        }
    }

    #[test]
    fn the_last_line_says_it_all() {
        assert_eq!(
            good().lines().pop().as_deref(),
            Some("Verdict: passed: 1 of 1 faults recovered, errors: 0, 8.0 KiB verified, in 9.0 s")
        );
        let mut verdict = good();
        verdict.recoveries[0].took = None;
        verdict.peers[0].violations.push(Violation::FirstPacket("strange".into()));
        verdict.peers[0].violation_count = 3;
        let lines = verdict.lines();
        assert!(lines.contains(&" NOT RECOVERED  it broke".to_owned()), "{lines:?}");
        assert!(lines.contains(&" ERROR          bsr1: first packet: strange".to_owned()), "{lines:?}");
        assert!(lines.contains(&" ERROR          bsr1: 2 more like these".to_owned()), "{lines:?}");
        assert!(lines.last().is_some_and(|last| last.starts_with("Verdict: FAILED: 0 of 1")), "{lines:?}");
    }
}
