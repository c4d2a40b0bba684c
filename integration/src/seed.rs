//! Chance that can be had again.

/// The seed of this run: `DRX_SEED`, or a new one. It is printed, so that a run can be repeated.
///
/// # Panics
/// `DRX_SEED` is not a number.
pub fn seed() -> u64 {
    let seed = match std::env::var("DRX_SEED") {
        Ok(text) => text.parse().expect("DRX_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("DRX_SEED={seed}");
    seed
}
