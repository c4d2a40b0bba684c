//! Two relays, their bsr and a hostile network, simulated: one thread, a clock that only moves when everybody
//! waits, and all chance drawn from a seed. The same seed is the same run, byte for byte.
//!
//! `DRX_SEED=N` replays one; `DRX_SEEDS=10000` runs so many (docs/testing.md).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests play the world around the actors"
)]
#![allow(clippy::unwrap_used)]

#[path = "simulation/books.rs"]
mod books;
#[path = "simulation/bsr.rs"]
mod bsr;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/runs.rs"]
mod runs;
#[path = "simulation/saturation.rs"]
mod saturation;
#[path = "simulation/storm.rs"]
mod storm;
#[path = "simulation/stream.rs"]
mod stream;
#[path = "simulation/tap.rs"]
mod tap;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/watch.rs"]
mod watch;
#[path = "simulation/world.rs"]
mod world;

use runs::{run, run_all, saturate};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_fails_no_byte_does_and_nothing_is_stuck() {
    match number("DRX_SEED") {
        Some(seed) => {
            let run = run(seed, usize::MAX);
            run.lines.iter().for_each(|line| println!("{line}"));
            assert_eq!(run.problem, None, "seed {seed}");
        }
        None => run_all(0..number("DRX_SEEDS").unwrap_or(256), |seed| run(seed, LINES)),
    }
}

/// `DRX_FRAMES` in all, 20,000 to a seed.
#[test]
fn both_directions_full_and_readers_that_stall_are_no_deadlock() {
    let frames = number("DRX_FRAMES").unwrap_or(50_000);
    let seeds = (frames / 20_000).max(16);
    let one = number("DRX_SEED").map_or(0..seeds, |seed| seed..seed + 1);
    run_all(one, |seed| saturate(seed, frames / seeds));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1000..1008 {
        let [one, two] = [0, 1].map(|_| run(seed, LINES));
        assert_eq!((one.hash, one.bytes, one.lines), (two.hash, two.bytes, two.lines), "seed {seed}");
    }
}

/// Of a run that fails, the last of its trace.
const LINES: usize = 150;
