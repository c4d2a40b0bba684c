//! The restart policy: when a channel that ended is brought back, and when it is not.
//!
//! Two counters that do not mix. A lost link or a refused dial is ordinary: it is retried for ever,
//! ever more slowly. A panic or a broken invariant is a fault of the relay: a few in a short time, and
//! the channel stays stopped until an operator acts.

use std::collections::VecDeque;
use std::time::Duration;

/// What `[restart]` of the configuration says, not yet checked; [`Policy::new`] does that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The first delay of a back-off.
    pub initial: Duration,
    /// No delay is longer.
    pub max: Duration,
    /// What each delay is multiplied by for the next one, at least 1.
    pub factor: f64,
    /// The share of a delay by which chance makes it longer or shorter, from 0 to below 1.
    pub jitter: f64,
    /// Established that long: the next delay is `initial` again.
    pub stable_after: Duration,
    /// The failure of this number within `window` is the last one, 1 to [`MOST_FAILURES`].
    pub max_failures: u32,
    /// How long a failure counts.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(10),
            factor: 2.0,
            jitter: 0.2,
            stable_after: Duration::from_secs(30),
            max_failures: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// Settings that were found to make sense.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    settings: Settings,
}

impl Policy {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of its range, with what would be right.
    pub fn new(settings: Settings) -> Result<Policy, PolicyError> {
        let Settings { initial, max, factor, jitter, stable_after, max_failures, window } = settings;
        let times = [("initial", initial), ("max", max), ("stable_after", stable_after), ("window", window)];
        if let Some((key, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(PolicyError::Zero(key));
        }
        if initial > max {
            return Err(PolicyError::InitialAboveMax { initial, max });
        }
        // Written so that NaN is refused too.
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(PolicyError::Factor(factor));
        }
        if !(0.0..1.0).contains(&jitter) {
            return Err(PolicyError::Jitter(jitter));
        }
        if !(1..=MOST_FAILURES).contains(&max_failures) {
            return Err(PolicyError::MaxFailures(max_failures));
        }
        Ok(Policy { settings })
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The delay after `delay`, before chance has its say.
    fn next(&self, delay: Duration) -> Duration {
        let longer = delay.as_secs_f64() * self.settings.factor;
        // What a Duration cannot hold is above any maximum.
        Duration::try_from_secs_f64(longer).map_or(self.settings.max, |longer| longer.min(self.settings.max))
    }

    /// Spreads `delay` evenly over what `jitter` leaves on both sides of it, below `max`.
    ///
    /// Cutting at `max` afterwards would send half of all channels off at the very same moment.
    fn spread(&self, delay: Duration, random: f64) -> Duration {
        let middle = delay.as_secs_f64();
        let shortest = middle * (1.0 - self.settings.jitter);
        let longest = (middle * (1.0 + self.settings.jitter)).min(self.settings.max.as_secs_f64());
        let random = if random.is_nan() { 0.5 } else { random.clamp(0.0, 1.0) };
        let chosen = shortest + (longest - shortest) * random;
        Duration::try_from_secs_f64(chosen).map_or(self.settings.max, |chosen| chosen.min(self.settings.max))
    }
}

/// A setting that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A time that may not be zero; its key.
    #[error("{0}: a time of zero makes no sense here; it must be positive")]
    Zero(&'static str),
    /// The back-off would begin above its end.
    #[error("initial: {initial:?} is above max, which is {max:?}; it must be at most max")]
    InitialAboveMax {
        /// The first delay.
        initial: Duration,
        /// The longest delay.
        max: Duration,
    },
    /// A factor that makes delays shorter, or is no number.
    #[error("factor: {0} does not make delays longer; it must be a number of at least 1")]
    Factor(f64),
    /// A jitter outside of its range.
    #[error("jitter: {0} is out of range; it must be from 0 to below 1")]
    Jitter(f64),
    /// No failures allowed, or more than are remembered.
    #[error("max_failures: {0} is out of range; it must be from 1 to {MOST_FAILURES}")]
    MaxFailures(u32),
}

/// What becomes of a channel that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again after this delay.
    After(Duration),
    /// It stays `failed` until [`Restarts::reset`].
    GiveUp,
}

/// The two counters of one channel, and its back-off. Owned by the channel's supervisor.
///
/// `now` is the time since any fixed start, the same for all calls; `random` is evenly chosen from
/// 0 to below 1. Memory is bounded: at most `max_failures` times are remembered.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Policy,
    next_delay: Duration,
    recent_failures: VecDeque<Duration>,
    given_up: bool,
    losses: u64,
    failures: u64,
    restarts: u64,
    last: Option<Duration>,
}

impl Restarts {
    /// Counters of a channel that has not been restarted yet.
    pub fn new(policy: Policy) -> Restarts {
        Restarts {
            policy,
            next_delay: policy.settings.initial,
            recent_failures: VecDeque::new(),
            given_up: false,
            losses: 0,
            failures: 0,
            restarts: 0,
            last: None,
        }
    }

    /// A lost link or a refused dial: how long to wait before the next try.
    ///
    /// Never gives up. The delays grow from `initial` by `factor` up to `max`; chance moves each of them
    /// by `jitter`, never above `max`.
    pub fn lost(&mut self, now: Duration, random: f64) -> Duration {
        self.losses = self.losses.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        self.last = Some(now);
        let delay = self.next_delay;
        self.next_delay = self.policy.next(delay);
        self.policy.spread(delay, random)
    }

    /// A panic or a broken invariant: whether, and when, to try again.
    ///
    /// The `max_failures`-th failure within `window` gives up, so with 1 the first one does. "Within" is
    /// less than `window` ago. Having given up, only [`reset`](Restarts::reset) changes the answer, not
    /// the passing of time. The delay grows with the failures within the window, and is not made
    /// longer by losses: a long outage of the link says nothing about the relay's own health.
    pub fn failed(&mut self, now: Duration, random: f64) -> Verdict {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        if self.given_up {
            return Verdict::GiveUp;
        }
        let window = self.policy.settings.window;
        self.recent_failures.retain(|&then| now.saturating_sub(then) < window);
        let delay = self
            .recent_failures
            .iter()
            .fold(self.policy.settings.initial, |delay, _| self.policy.next(delay));
        self.recent_failures.push_back(now);
        if self.recent_failures.len() >= self.policy.settings.max_failures as usize {
            self.given_up = true;
            self.recent_failures.clear();
            return Verdict::GiveUp;
        }
        self.restarts = self.restarts.saturating_add(1);
        Verdict::After(self.policy.spread(delay, random))
    }

    /// The channel ended after being established for `held_for`: if that was `stable_after` or more,
    /// the back-off of losses begins at `initial` again. Failures age by `window` alone.
    pub fn stable(&mut self, held_for: Duration) {
        if held_for >= self.policy.settings.stable_after {
            self.next_delay = self.policy.settings.initial;
        }
    }

    /// An operator acted: as new, except for the totals.
    pub fn reset(&mut self) {
        self.next_delay = self.policy.settings.initial;
        self.recent_failures.clear();
        self.given_up = false;
    }

    /// Whether the channel stays stopped until an operator acts.
    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// Lost links and refused dials since the relay started.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Panics and broken invariants since the relay started.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// How often a delay was given, whatever for, since the relay started.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// When the last loss or failure was told.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }
}

/// The most that `max_failures` may be: 16 bytes each, 16 KiB a channel at worst.
pub const MOST_FAILURES: u32 = 1000;
