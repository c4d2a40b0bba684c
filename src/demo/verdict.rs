//! What came out.

use std::time::Duration;

use super::application::Work;
use super::bsr::Tally;
use super::disks::Comparison;
use super::frame::{DIRECTIONS, seconds, size};

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
    /// What the two bsr have done; node1's first.
    pub(super) bsrs: [Tally; 2],
    /// What the application has done.
    pub(super) work: Work,
    /// Both volumes; none: it did not come to that.
    pub(super) volumes: Option<Comparison>,
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
    /// Whether everything recovered, and both volumes are what they have to be.
    pub(super) fn passed(&self) -> bool {
        let same = self.volumes.as_ref().is_some_and(Comparison::is_good);
        self.recovered() == self.planned && same && self.work.image && self.errors().is_empty()
    }

    fn recovered(&self) -> usize {
        self.recoveries.iter().filter(|recovery| recovery.took.is_some()).count()
    }

    /// All that went wrong, but for a fault that was not got over, and volumes that are not the same.
    fn errors(&self) -> Vec<String> {
        let violations = (1..).zip(&self.bsrs).flat_map(|(number, bsr)| {
            bsr.violations.iter().map(move |violation| format!("bsr{number}: {violation}"))
        });
        self.errors.iter().cloned().chain(self.work.error.clone()).chain(violations).collect()
    }

    /// In words, the last line being the verdict itself.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for (name, _, to) in DIRECTIONS {
            let Tally { writes, written, resynced, .. } = &self.bsrs[to];
            let (written, resynced) = (size(*written as f64), size(*resynced as f64));
            lines.push(format!(" {name}   {writes} writes ({written}) replicated, {resynced} resynced"));
        }
        let sessions = self.bsrs.iter().map(|bsr| bsr.sessions).max().unwrap_or_default();
        lines.push(format!(" sessions       {sessions}"));
        let Work { writes, written, repeated, checked, .. } = &self.work;
        lines.push(format!(
            " writes         {writes} ({}) acknowledged; on the new primary {checked} blocks were right, {repeated} \
             writes made again",
            size(*written as f64)
        ));
        for Recovery { fault, since, took } in &self.recoveries {
            lines.push(match took {
                Some(took) => format!(" recovered      {} {since}: {fault}", seconds(*took)),
                None => format!(" NOT RECOVERED  {fault}"),
            });
        }
        lines.push(match &self.volumes {
            Some(volumes) => format!(" volumes        {}", volumes.describe()),
            None => " volumes        NOT COMPARED".to_owned(),
        });
        let errors = self.errors();
        if errors.is_empty() {
            lines.push(" errors         none".to_owned());
        }
        lines.extend(errors.iter().map(|error| format!(" ERROR          {error}")));
        let same = self.volumes.as_ref().is_some_and(Comparison::is_good);
        lines.push(format!(
            "Verdict: {}: {} of {} faults recovered, errors: {}, both volumes {}, in {:.1} s",
            if self.passed() { "passed" } else { "FAILED" },
            self.recovered(),
            self.planned,
            errors.len(),
            if same { "the same bit for bit" } else { "NOT known to be the same" },
            self.took.as_secs_f64(),
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::disks::VOLUME;
    use super::*;

    fn good() -> Verdict {
        let bsr = Tally { sessions: 2, writes: 3, written: 4096, ..Tally::default() };
        let recovery =
            Recovery { fault: "it broke".into(), since: "later", took: Some(Duration::from_secs(1)) };
        Verdict {
            bsrs: [bsr.clone(), bsr],
            work: Work { image: true, ended: true, ..Work::default() },
            volumes: Some(Comparison { bytes: VOLUME, crc: [7; 2], different: 0, wrong: [0; 2] }),
            recoveries: vec![recovery],
            planned: 1,
            errors: Vec::new(),
            took: Duration::from_secs(9),
        }
    }

    #[test]
    fn all_is_well_only_if_everything_recovered_and_every_bit_is_what_it_has_to_be() {
        assert!(good().passed());
        let broken: [fn(&mut Verdict); 8] = [
            |verdict| verdict.recoveries[0].took = None,
            |verdict| verdict.recoveries.clear(),
            |verdict| verdict.errors.push("odd".into()),
            |verdict| verdict.bsrs[0].violations.push("odd".into()),
            |verdict| verdict.work.error = Some("odd".into()),
            |verdict| verdict.work.image = false,
            |verdict| verdict.volumes = None,
            |verdict| verdict.volumes.iter_mut().for_each(|volumes| volumes.wrong[1] = 1),
        ];
        for (number, spoil) in broken.into_iter().enumerate() {
            let mut verdict = good();
            spoil(&mut verdict);
            assert!(!verdict.passed(), "case {number}");
            let last = verdict.lines().pop().unwrap_or_default();
            assert!(last.starts_with("Verdict: FAILED: "), "case {number}: {last}");
        }
    }

    #[test]
    fn the_last_line_says_it_all() {
        assert_eq!(
            good().lines().pop().as_deref(),
            Some(
                "Verdict: passed: 1 of 1 faults recovered, errors: 0, both volumes the same bit for bit, in 9.0 s"
            )
        );
        let mut verdict = good();
        verdict.recoveries[0].took = None;
        verdict.bsrs[0].violations.push("strange".into());
        verdict.volumes = None;
        let lines = verdict.lines();
        assert!(lines.contains(&" NOT RECOVERED  it broke".to_owned()), "{lines:?}");
        assert!(lines.contains(&" ERROR          bsr1: strange".to_owned()), "{lines:?}");
        assert!(lines.contains(&" volumes        NOT COMPARED".to_owned()), "{lines:?}");
        assert!(lines.last().is_some_and(|last| last.starts_with("Verdict: FAILED: 0 of 1")), "{lines:?}");
    }
}
