//! Everything that fuzzing found worth keeping, once more (docs/testing.md, "Fuzzing").
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/checks/bsr/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn bitmap() {
    replay("bsr_bitmap", checks::bitmap::bitmap);
}

#[test]
fn node() {
    replay("bsr_node", checks::node::node);
}

#[test]
fn packets() {
    replay("bsr_packets", checks::packets::packets);
}

/// Every target of the fuzzer that is about this package is replayed here.
#[test]
fn no_target_is_forgotten() {
    let replayed = ["bsr_bitmap", "bsr_node", "bsr_packets"];
    let ours = |directory| {
        let mut names = names(&fuzz().join(directory));
        names.retain(|name| name.starts_with("bsr_"));
        names
    };
    assert_eq!(ours("fuzz_targets"), replayed.map(|name| format!("{name}.rs")));
    assert_eq!(ours("corpus"), replayed);
}

/// Checks each input of a corpus; one that fails is named.
fn replay(target: &str, check: impl Fn(&[u8]) -> usize + std::panic::RefUnwindSafe) {
    let corpus = fuzz().join("corpus").join(target);
    let inputs = names(&corpus);
    assert!(inputs.len() >= 3, "{} holds next to nothing", corpus.display());
    let mut accepted = 0;
    for name in inputs {
        let input = fs::read(corpus.join(&name)).unwrap();
        let checked = std::panic::catch_unwind(|| check(&input));
        accepted += checked.unwrap_or_else(|_| panic!("{target}: the input {name} breaks a promise"));
    }
    println!("{target}: {accepted} accepted");
    assert!(accepted > 0, "{target}: no input of the corpus gets past the first check");
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
