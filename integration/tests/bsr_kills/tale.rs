//! What happened in a run.

use std::collections::BTreeMap;
use std::fmt;

/// How often what happened.
#[derive(Default)]
pub struct Tale {
    counts: BTreeMap<&'static str, u64>,
}

impl Tale {
    /// It happened once more, or so often.
    pub fn count(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    pub fn add(&mut self, other: &Tale) {
        for (what, times) in &other.counts {
            self.count(what, *times);
        }
    }
}

impl fmt::Display for Tale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.counts.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&all.join(", "))
    }
}
