//! How much is logged, which an operator may change while the daemon runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drx_config::Level;
use slog::{Drain, OwnedKVList, Record};

/// The least severe level that is written, shared by the log and by who changes it.
#[derive(Clone, Debug)]
pub struct Threshold(Arc<AtomicUsize>);

impl Threshold {
    pub(super) fn new(level: Level) -> Threshold {
        Threshold(Arc::new(AtomicUsize::new(place(level))))
    }

    /// The level at the moment.
    pub fn level(&self) -> Level {
        LEVELS[self.0.load(Ordering::Relaxed)]
    }

    /// Changes it, for every record from now on.
    pub fn set(&self, level: Level) {
        self.0.store(place(level), Ordering::Relaxed);
    }

    fn lets_through(&self, level: slog::Level) -> bool {
        level.is_at_least(slog_level(self.level()))
    }
}

/// Passes on what the threshold lets through. `slog::LevelFilter` has a level for life.
#[derive(Debug)]
pub(super) struct Sieve<D> {
    pub(super) drain: D,
    pub(super) threshold: Threshold,
}

impl<D: Drain<Ok = ()>> Drain for Sieve<D> {
    type Ok = ();
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), D::Err> {
        if self.threshold.lets_through(record.level()) { self.drain.log(record, values) } else { Ok(()) }
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        self.threshold.lets_through(level) && self.drain.is_enabled(level)
    }
}

fn place(level: Level) -> usize {
    // Each is in the list; trace is the last.
    LEVELS.iter().position(|known| *known == level).unwrap_or(LEVELS.len() - 1)
}

fn slog_level(level: Level) -> slog::Level {
    match level {
        Level::Critical => slog::Level::Critical,
        Level::Error => slog::Level::Error,
        Level::Warning => slog::Level::Warning,
        Level::Info => slog::Level::Info,
        Level::Debug => slog::Level::Debug,
        Level::Trace => slog::Level::Trace,
    }
}

const LEVELS: [Level; 6] =
    [Level::Critical, Level::Error, Level::Warning, Level::Info, Level::Debug, Level::Trace];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_kept_as_it_was_set() {
        let threshold = Threshold::new(Level::Info);
        assert_eq!(threshold.level(), Level::Info);
        for level in LEVELS {
            threshold.clone().set(level);
            assert_eq!(threshold.level(), level);
        }
    }
}
