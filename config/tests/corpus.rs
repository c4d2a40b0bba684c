//! Everything that fuzzing found worth keeping, once more (docs/testing.md, "Fuzzing").
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/checks/config/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[test]
fn resource_file() {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/resource_file"));
    let entries = fs::read_dir(corpus).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 3, "{} holds next to nothing", corpus.display());
    let mut accepted = 0;
    for name in names {
        let input = fs::read(corpus.join(&name)).unwrap();
        let checked = std::panic::catch_unwind(|| checks::resource_file::resource_file(&input));
        accepted += checked.unwrap_or_else(|_| panic!("the input {name} breaks a promise"));
    }
    assert!(accepted > 0, "no input of the corpus is a good resource file");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What nobody would write, from the pieces that everybody does.
    #[test]
    fn pieces_in_any_order(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..80)) {
        checks::resource_file::resource_file(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        checks::resource_file::resource_file(&bytes);
    }
}

const PIECES: &[&str] = &[
    "resource ",
    "common ",
    "global ",
    "skip ",
    "include ",
    "on ",
    "proxy ",
    "proxy on ",
    "inside ",
    "address ",
    "connection ",
    "host ",
    "via ",
    "net ",
    "volume ",
    "disk ",
    "device ",
    "minor ",
    "meta-disk ",
    "options ",
    "plugin ",
    "floating ",
    "stacked-on-top-of ",
    "hosts ",
    "protocol ",
    "memlimit ",
    "ipv6 ",
    "r0 ",
    "node1 ",
    "10.0.0.1",
    "fe80::1%eth0",
    "::",
    "7789",
    "0 ",
    "64M ",
    "{",
    "{ ",
    "}",
    "}\n",
    ";",
    ";\n",
    "; ",
    "[",
    "]",
    ":",
    "\"",
    "\\",
    "\"a\\\"b\" ",
    "#",
    "\n",
    "\r\n",
    " ",
    "\t",
    "=",
    "%",
    ",",
    "ä",
    "\0",
    "\u{1b}",
    "\u{feff}",
];
