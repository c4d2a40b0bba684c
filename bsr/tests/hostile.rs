//! A node and a peer that sends whatever it likes (`fuzz/checks/bsr/node.rs`), from seeds.
//!
//! `DRX_SEED=N` replays one run and prints all of it, `DRX_SEEDS=N` tries so many.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/checks/bsr/mod.rs"]
#[allow(dead_code)] // the checks of other tests
mod checks;

#[test]
fn whatever_comes_the_node_stays_sound() {
    if let Some(seed) = number("DRX_SEED") {
        println!("{} packets", checks::node::run(&tape(seed), true));
        return;
    }
    let seeds = number("DRX_SEEDS").unwrap_or(300);
    let mut packets = 0;
    for seed in 0..seeds {
        match std::panic::catch_unwind(|| checks::node::run(&tape(seed), false)) {
            Ok(injected) => packets += injected,
            Err(panic) => {
                eprintln!("seed {seed} failed: DRX_SEED={seed} replays it");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{seeds} runs, {packets} hostile packets");
}

fn tape(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let most = [200, 1000, 4000][random.usize(..3)];
    let length = random.usize(8..most);
    (0..length).map(|_| random.u8(..)).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}
