//! How fast a buffer fills, and when it will be full.

use std::collections::VecDeque;
use std::time::Duration;

/// A buffer's level over the last seconds.
///
/// Times count from any beginning, and never go back. Between two observations the level stays as it was:
/// who observes every change needs no clock of its own.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// From when on it was at which level, the oldest first: one that was so [`SPAN`] ago, and what came
    /// since.
    steps: VecDeque<(Duration, u64)>,
}

impl Filling {
    /// The level is this from now on.
    pub fn observe(&mut self, now: Duration, level: u64) {
        let before = self.steps.len().checked_sub(2).map(|index| self.steps[index].0);
        match (before, self.steps.back_mut()) {
            // Many changes in a short time are one step.
            (Some(before), Some(last)) if now.saturating_sub(before) < STEP => *last = (now, level),
            _ => self.steps.push_back((now, level)),
        }
        while self.steps.get(1).is_some_and(|(since, _)| *since + SPAN <= now) {
            self.steps.pop_front();
        }
    }

    /// When a buffer of `size` bytes is full if it goes on like this. `None`: it does not fill, or so slowly
    /// that the figure says nothing, or was not observed long enough.
    pub fn full_in(&self, now: Duration, size: u64) -> Option<Duration> {
        let (_, level) = *self.steps.back()?;
        if level >= size {
            return Some(Duration::ZERO);
        }
        let begin = now.saturating_sub(SPAN);
        let was = self.steps.iter().rfind(|(since, _)| *since <= begin).or(self.steps.front())?;
        let time = now.saturating_sub(was.0.max(begin));
        if time < LEAST {
            return None;
        }
        let rate = level.checked_sub(was.1)? as f64 / time.as_secs_f64();
        let full_in = (size - level) as f64 / rate;
        // Not a time if the rate is 0.
        (full_in <= FARTHEST.as_secs_f64()).then(|| Duration::from_secs_f64(full_in))
    }
}

/// The rate is that of so long: a burst does not alarm, and a stall shows soon.
const SPAN: Duration = Duration::from_secs(5);
/// Levels closer together than this are not told apart: 11 of them are kept at most, whatever happens.
const STEP: Duration = Duration::from_millis(500);
/// A rate of less than this is none.
const LEAST: Duration = Duration::from_secs(1);
/// Nobody acts on what is farther away.
const FARTHEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A level that changes so many times a second by `rate` bytes a second, from 0.
    fn steady(rate: u64, seconds: u64, times: u64) -> Filling {
        let mut filling = Filling::default();
        for n in 0..=seconds * times {
            filling.observe(at(n as f64 / times as f64), rate * n / times);
        }
        filling
    }

    fn seconds(full_in: Option<Duration>) -> f64 {
        full_in.expect("it fills").as_secs_f64()
    }

    #[test]
    fn a_steady_rate_gives_the_time_that_is_left() {
        for times in [1, 3, 10, 1000] {
            let filling = steady(MIB, 20, times);
            let left = seconds(filling.full_in(at(20.0), 64 * MIB));
            assert!((left - 44.0).abs() < 44.0 * 0.12, "{left} s at {times} changes a second");
        }
    }

    #[test]
    fn what_stops_filling_is_soon_said_not_to_be_filling() {
        let filling = steady(MIB, 20, 10);
        let left = seconds(filling.full_in(at(22.5), 64 * MIB));
        assert!((75.0..100.0).contains(&left), "half of the span was still: {left}");
        assert_eq!(filling.full_in(at(25.5), 64 * MIB), None);
    }

    #[test]
    fn what_empties_does_not_fill() {
        let mut filling = steady(MIB, 20, 10);
        filling.observe(at(20.5), 10 * MIB);
        assert_eq!(filling.full_in(at(20.5), 64 * MIB), None);
    }

    #[test]
    fn a_level_that_stood_for_long_is_remembered() {
        let mut filling = Filling::default();
        filling.observe(at(0.0), 0);
        filling.observe(at(0.1), 8 * MIB);
        filling.observe(at(100.0), 9 * MIB);
        filling.observe(at(102.0), 10 * MIB);
        // 2 MiB in 5 s.
        let left = seconds(filling.full_in(at(102.0), 20 * MIB));
        assert!((left - 25.0).abs() < 0.1, "{left}");
    }

    #[test]
    fn what_began_just_now_has_no_rate() {
        let mut filling = Filling::default();
        assert_eq!(filling.full_in(at(1.0), MIB), None);
        filling.observe(at(1.0), 10);
        filling.observe(at(1.9), 20);
        assert_eq!(filling.full_in(at(1.9), MIB), None);
        assert!(filling.full_in(at(2.0), 1000).is_some());
    }

    #[test]
    fn full_is_now_and_far_away_is_never() {
        let mut filling = Filling::default();
        filling.observe(at(0.0), MIB);
        assert_eq!(filling.full_in(at(0.0), MIB), Some(Duration::ZERO));
        // It was made smaller.
        assert_eq!(filling.full_in(at(0.0), 10), Some(Duration::ZERO));
        filling.observe(at(2.0), MIB + 1);
        assert_eq!(filling.full_in(at(2.0), 1 << 40), None);
    }

    #[test]
    fn it_keeps_little_however_often_it_is_told() {
        let filling = steady(1000 * MIB, 60, 997);
        assert!(filling.steps.len() <= 13, "{}", filling.steps.len());
    }
}
