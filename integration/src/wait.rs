//! Waiting for a condition, never for time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// What a condition on this machine may take when other tests keep its cores busy.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The first value that `condition` has, or a panic that says what was waited for.
#[track_caller]
pub fn until<T>(what: impl Display, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(BETWEEN);
    }
}

/// The same with a condition that says what stands in its way.
#[track_caller]
pub fn until_ok<T>(limit: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(obstacle) => assert!(began.elapsed() < limit, "not within {limit:?}: {obstacle}"),
        }
        thread::sleep(BETWEEN);
    }
}

/// Between two looks at a condition.
const BETWEEN: Duration = Duration::from_millis(3);
