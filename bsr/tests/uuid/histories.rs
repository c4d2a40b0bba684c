//! Two nodes through many histories.

use std::collections::BTreeMap;

use super::pair::{Habit, Pair};

const SEEDS: u64 = 5000;
const STEPS: usize = 200;

/// How often each rule came to each decision.
fn run(habits: [Habit; 2]) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut pair = Pair::new(seed, habits);
        for _ in 0..STEPS {
            if pair.broken.is_none() {
                pair.step();
            }
        }
        if let Some(what) = pair.broken.filter(|_| habits == [Habit::Careful; 2]) {
            panic!("seed {seed}: {what}: {:#?}", pair.nodes);
        }
        for (comparison, decision) in &pair.log {
            *seen
                .entry(format!("{:?} by {}: {decision:?}", comparison.code, comparison.rule))
                .or_default() += 1;
        }
    }
    seen
}

/// Nothing is lost, both always decide alike, and only two nodes that both were primary alone are a split brain.
#[test]
fn nothing_is_lost() {
    let seen = run([Habit::Careful; 2]);
    for rule in [34, 35, 36, 37, 40, 50, 51, 60, 70, 71, 80, 90, 100] {
        assert!(
            seen.keys().any(|key| key.contains(&format!("by {rule}:"))),
            "rule {rule} was never needed: {seen:#?}"
        );
    }
}

/// What the kernel does may lose something, but never the agreement of both.
#[test]
fn both_decide_alike() {
    run([Habit::Kernel, Habit::Kernel]);
    run([Habit::Kernel, Habit::Careful]);
}
