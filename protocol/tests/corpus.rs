//! Everything that fuzzing found worth keeping, once more (docs/testing.md, "Fuzzing").
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn frames() {
    replay("frames", checks::frames::frames);
}

#[test]
fn handshake() {
    replay("handshake", checks::handshake::handshake);
}

#[test]
fn first_packet() {
    replay("first_packet", checks::first_packet::first_packet);
}

#[test]
fn meta() {
    replay("meta", checks::meta::meta);
}

#[test]
fn pings() {
    replay("pings", checks::pings::pings);
}

/// Every target of the fuzzer is replayed here, or by `bsr/tests/corpus.rs` or `config/tests/corpus.rs`.
#[test]
fn no_target_is_forgotten() {
    let replayed = ["first_packet", "frames", "handshake", "meta", "pings"];
    let ours = |directory| {
        let mut names = names(&fuzz().join(directory));
        names.retain(|name| !name.starts_with("bsr_") && !name.starts_with("resource_file"));
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
