//! What a run is told from outside: chance that can be had again, and how long it is to be.

/// The seed of this run: `DRX_SEED`, or a new one. It is printed, so that a run can be repeated.
///
/// # Panics
/// `DRX_SEED` is not a number.
pub fn seed() -> u64 {
    let seed = number("DRX_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DRX_SEED={seed}");
    seed
}

/// A number that the environment has under this name.
///
/// # Panics
/// It has something else.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
