//! The restart policy: delays, giving up, and what brings a channel back.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use drx_protocol::restart::{MOST_FAILURES, Policy, PolicyError, Restarts, Settings, Verdict};
use proptest::prelude::*;

const NO_CHANCE: f64 = 0.5;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn policy(change: impl FnOnce(&mut Settings)) -> Result<Policy, PolicyError> {
    let mut settings = Settings::default();
    change(&mut settings);
    Policy::new(settings)
}

/// The default without jitter.
fn exact() -> Restarts {
    Restarts::new(policy(|s| s.jitter = 0.0).unwrap())
}

#[test]
fn the_default_is_the_documented_one_and_valid() {
    let default = Policy::default();
    assert_eq!(Policy::new(Settings::default()), Ok(default));
    let Settings { initial, max, factor, jitter, stable_after, max_failures, window } = *default.settings();
    assert_eq!((initial, max, stable_after, window), (millis(100), secs(10), secs(30), secs(60)));
    assert_eq!((factor, jitter, max_failures), (2.0, 0.2, 5));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Settings)| policy(change).unwrap_err().to_string();
    let zero = "a time of zero makes no sense here; it must be positive";
    assert_eq!(refused(|s| s.initial = Duration::ZERO), format!("initial: {zero}"));
    assert_eq!(refused(|s| s.max = Duration::ZERO), format!("max: {zero}"));
    assert_eq!(refused(|s| s.stable_after = Duration::ZERO), format!("stable_after: {zero}"));
    assert_eq!(refused(|s| s.window = Duration::ZERO), format!("window: {zero}"));
    assert_eq!(
        refused(|s| s.initial = secs(11)),
        "initial: 11s is above max, which is 10s; it must be at most max"
    );
    for factor in [0.0, 0.999, -2.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(policy(|s| s.factor = factor), Err(PolicyError::Factor(_))), "{factor}");
    }
    for jitter in [-0.1, 1.0, 2.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(policy(|s| s.jitter = jitter), Err(PolicyError::Jitter(_))), "{jitter}");
    }
    for count in [0, MOST_FAILURES + 1, u32::MAX] {
        assert_eq!(policy(|s| s.max_failures = count), Err(PolicyError::MaxFailures(count)));
    }
}

#[test]
fn settings_at_their_limits_are_taken() {
    assert!(policy(|s| s.initial = s.max).is_ok());
    assert!(policy(|s| s.factor = 1.0).is_ok());
    assert!(policy(|s| s.jitter = 0.0).is_ok());
    assert!(policy(|s| s.jitter = 0.999).is_ok());
    assert!(policy(|s| s.max_failures = 1).is_ok());
    assert!(policy(|s| s.max_failures = MOST_FAILURES).is_ok());
    assert!(policy(|s| s.max = Duration::MAX).is_ok());
}

#[test]
fn losses_back_off_to_the_maximum_and_never_give_up() {
    let mut restarts = exact();
    let delays: Vec<_> = (0..10).map(|n| restarts.lost(secs(n), NO_CHANCE).as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    for n in 10..100_000 {
        assert_eq!(restarts.lost(secs(n), NO_CHANCE), secs(10));
    }
    assert_eq!((restarts.losses(), restarts.failures(), restarts.restarts()), (100_000, 0, 100_000));
    assert_eq!(restarts.last(), Some(secs(99_999)));
    assert!(!restarts.given_up());
}

#[test]
fn jitter_reaches_both_sides_and_stays_below_the_maximum() {
    let mut restarts = Restarts::new(Policy::default());
    assert_eq!(restarts.lost(secs(0), 0.0), millis(80));
    assert_eq!(restarts.lost(secs(0), 0.5), millis(200));
    assert_eq!(restarts.lost(secs(0), 1.0), millis(480));
    for _ in 0..10 {
        restarts.lost(secs(0), NO_CHANCE);
    }
    // At the maximum the delays still differ.
    assert_eq!(restarts.lost(secs(0), 0.0), secs(8));
    assert_eq!(restarts.lost(secs(0), 0.5), secs(9));
    assert_eq!(restarts.lost(secs(0), 1.0), secs(10));
}

#[test]
fn only_a_channel_that_held_long_enough_starts_over() {
    let mut restarts = exact();
    restarts.lost(secs(0), NO_CHANCE);
    restarts.lost(secs(1), NO_CHANCE);
    restarts.stable(secs(30) - Duration::from_nanos(1));
    assert_eq!(restarts.lost(secs(2), NO_CHANCE), millis(400));
    restarts.stable(secs(30));
    assert_eq!(restarts.lost(secs(3), NO_CHANCE), millis(100));
    assert_eq!(restarts.losses(), 4);
}

#[test]
fn the_last_failure_of_a_full_window_gives_up_for_good() {
    let mut restarts = exact();
    let verdicts: Vec<_> = (0..5).map(|n| restarts.failed(secs(10 * n), NO_CHANCE)).collect();
    let after = |ms| Verdict::After(millis(ms));
    assert_eq!(verdicts, [after(100), after(200), after(400), after(800), Verdict::GiveUp]);
    assert!(restarts.given_up());
    assert_eq!((restarts.failures(), restarts.restarts()), (5, 4));

    // Not time, and not a channel that once held, brings it back.
    restarts.stable(secs(1000));
    assert_eq!(restarts.failed(secs(100_000), NO_CHANCE), Verdict::GiveUp);
    restarts.reset();
    assert!(!restarts.given_up());
    assert_eq!(restarts.failed(secs(100_000), NO_CHANCE), after(100));
    assert_eq!((restarts.failures(), restarts.restarts()), (7, 5));
}

#[test]
fn a_failure_leaves_the_window_when_it_is_as_old_as_the_window() {
    for (fifth, verdict) in [
        (secs(60) - Duration::from_nanos(1), Verdict::GiveUp),
        // Four are left in the window, so it is not the fifth.
        (secs(60), Verdict::After(millis(800))),
    ] {
        let mut restarts = exact();
        for then in [0, 1, 2, 3] {
            assert_ne!(restarts.failed(secs(then), NO_CHANCE), Verdict::GiveUp);
        }
        assert_eq!(restarts.failed(fifth, NO_CHANCE), verdict, "{fifth:?}");
    }
}

#[test]
fn with_one_failure_allowed_the_first_gives_up() {
    let mut restarts = Restarts::new(policy(|s| s.max_failures = 1).unwrap());
    assert_eq!(restarts.failed(secs(0), NO_CHANCE), Verdict::GiveUp);
}

#[test]
fn the_two_counters_do_not_mix() {
    let mut restarts = exact();
    for n in 0..1000 {
        restarts.lost(secs(n), NO_CHANCE);
    }
    assert_eq!(restarts.failed(secs(1000), NO_CHANCE), Verdict::After(millis(100)));
    restarts.reset();
    restarts.failed(secs(1000), NO_CHANCE);
    assert_eq!(restarts.lost(secs(1000), NO_CHANCE), millis(100));
    // A stable time forgets losses, not failures.
    restarts.stable(secs(30));
    assert_eq!(restarts.failed(secs(1001), NO_CHANCE), Verdict::After(millis(200)));
}

#[test]
fn extreme_times_and_numbers_do_no_harm() {
    let mut restarts = Restarts::new(
        policy(|s| {
            s.max = Duration::MAX;
            s.factor = f64::MAX;
            s.jitter = 0.5;
        })
        .unwrap(),
    );
    for random in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 2.0] {
        assert!(restarts.lost(Duration::MAX, random) >= millis(50));
        assert_ne!(restarts.failed(Duration::MAX, random), Verdict::After(Duration::ZERO));
        restarts.reset();
    }
    // A clock that went back: the failures still count as recent.
    for then in [100, 80, 60, 40] {
        assert_ne!(restarts.failed(secs(then), 0.0), Verdict::GiveUp);
    }
    assert_eq!(restarts.failed(secs(20), 0.0), Verdict::GiveUp);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Lost(f64),
    Failed(f64),
    Stable(u64),
    Reset,
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        6 => (0.0..1.0).prop_map(Event::Lost),
        6 => (0.0..1.0).prop_map(Event::Failed),
        2 => (0_u64..60_000).prop_map(Event::Stable),
        1 => Just(Event::Reset),
    ];
    prop::collection::vec((0_u64..30_000, event), 0..200)
}

fn settings() -> impl Strategy<Value = Settings> {
    let times = (1_u64..2000, 0_u64..60_000, 1_u64..60_000, 1_u64..120_000);
    (times, 1.0..5.0, 0.0..1.0, 1_u32..10).prop_map(
        |((initial, more, stable_after, window), factor, jitter, max_failures)| Settings {
            initial: millis(initial),
            max: millis(initial + more),
            factor,
            jitter,
            stable_after: millis(stable_after),
            max_failures,
            window: millis(window),
        },
    )
}

/// `delay` is about `middle`, as far as jitter and the maximum allow.
fn assert_spread(delay: Duration, middle: f64, settings: &Settings) -> Result<(), TestCaseError> {
    let rounding = 1e-6;
    prop_assert!(delay <= settings.max, "{delay:?} is above the maximum");
    prop_assert!(delay.as_secs_f64() >= middle * (1.0 - settings.jitter) - rounding, "{delay:?}: {middle}");
    prop_assert!(delay.as_secs_f64() <= middle * (1.0 + settings.jitter) + rounding, "{delay:?}: {middle}");
    Ok(())
}

proptest! {
    /// Against a model that remembers everything since the operator's last act.
    #[test]
    fn any_history_is_judged_as_documented(settings in settings(), history in events()) {
        let mut restarts = Restarts::new(Policy::new(settings).unwrap());
        let (mut losses_in_a_row, mut failures, mut given_up) = (0_i32, Vec::<Duration>::new(), false);
        let mut now = Duration::ZERO;
        let middle = |n: i32| {
            let grown = settings.initial.as_secs_f64() * settings.factor.powi(n);
            grown.min(settings.max.as_secs_f64())
        };
        for (pause, event) in history {
            now += millis(pause);
            match event {
                Event::Lost(random) => {
                    assert_spread(restarts.lost(now, random), middle(losses_in_a_row), &settings)?;
                    losses_in_a_row += 1;
                }
                Event::Failed(random) => {
                    failures.push(now);
                    let recent = failures.iter().filter(|&&then| now - then < settings.window).count();
                    given_up |= recent >= settings.max_failures as usize;
                    match restarts.failed(now, random) {
                        Verdict::GiveUp => prop_assert!(given_up),
                        Verdict::After(delay) => {
                            prop_assert!(!given_up);
                            assert_spread(delay, middle(recent as i32 - 1), &settings)?;
                        }
                    }
                }
                Event::Stable(held_for) => {
                    restarts.stable(millis(held_for));
                    if millis(held_for) >= settings.stable_after {
                        losses_in_a_row = 0;
                    }
                }
                Event::Reset => {
                    restarts.reset();
                    (losses_in_a_row, given_up) = (0, false);
                    failures.clear();
                }
            }
            prop_assert_eq!(restarts.given_up(), given_up);
            prop_assert!(restarts.restarts() <= restarts.losses() + restarts.failures());
        }
    }
}
