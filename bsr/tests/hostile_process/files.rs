//! Files that are not as the node has left them: it says what is wrong, and changes nothing.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use crate::addresses;
use crate::program::Program;

/// A node that is down, with data on its disk.
fn stopped() -> Program {
    let [here, there] = addresses();
    let mut node = Program::new(0, here, there, "");
    node.done(&["create", "--size", "4M"]);
    node.up(&["--standalone"]);
    node.done(&["primary", "--force"]);
    node.done(&["fill", "--seed", "3"]);
    node.done(&["down"]);
    node
}

/// Neither file is touched by an attempt to go up, which fails; what it complains of.
#[track_caller]
fn refused(node: &mut Program) -> String {
    let paths = ["disk.img", "disk.meta"].map(|name| node.path(name));
    let read = || paths.each_ref().map(|path| fs::read(path).unwrap_or_default());
    let before = read();
    let before_log = node.log().len();
    let complaint = node.tries_up(&["--standalone"]);
    let complaint = complaint.unwrap_or_else(|| panic!("it is up: {}", &node.log()[before_log..]));
    assert!(before == read(), "{complaint}");
    complaint
}

#[test]
fn metadata_that_are_none() {
    let mut node = stopped();
    let meta = node.path("disk.meta");
    let good = fs::read(&meta).unwrap();
    for (bytes, words) in [
        (Vec::new(), "no record that is whole"),
        (vec![0; good.len()], "no record that is whole"),
        (good[..100].to_vec(), "it has been cut off: 100 bytes"),
        (b"#!/bin/sh\n".to_vec(), "no record that is whole"),
    ] {
        fs::write(&meta, bytes).unwrap();
        let complaint = refused(&mut node);
        assert!(complaint.contains(words) && complaint.contains("disk.meta"), "{complaint}");
    }
    fs::remove_file(&meta).unwrap();
    assert!(refused(&mut node).contains("create them first"));
    fs::create_dir(&meta).unwrap();
    assert!(refused(&mut node).contains("disk.meta"));
}

/// Whatever bit is flipped: the node goes up with what it knows for sure, or says why not. What the bitmap or the
/// generations cannot tell any more counts as different, so nothing is lost either way.
#[test]
fn metadata_with_a_flipped_bit() {
    let mut node = stopped();
    let meta = node.path("disk.meta");
    let good = fs::read(&meta).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    // Mostly where something is: most of the file is room for extents.
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let mut ups = 0;
    for round in 0..40 {
        let mut bad = good.clone();
        let at = if round % 4 == 0 { random.usize(..bad.len()) } else { used[random.usize(..used.len())] };
        bad[at] ^= 1 << random.u8(..8);
        fs::write(&meta, &bad).unwrap();
        match node.tries_up(&["--standalone"]) {
            Some(complaint) => assert!(complaint.contains("disk.meta"), "{complaint}"),
            None => {
                ups += 1;
                let status = node.status();
                assert_eq!(status["size"], 4 << 20);
                assert!(["UpToDate", "Inconsistent", "Outdated"].contains(&status["disk"].as_str().unwrap()));
                node.done(&["primary", "--force"]);
                assert_eq!(node.done(&["check", "--seed", "3"]), "4194304 bytes are as filled\n");
                node.done(&["down"]);
                node.kill();
            }
        }
    }
    println!("{ups} of 40 went up");
    assert!(ups > 10, "one of two records is enough");
}

#[test]
fn volumes_that_are_not_the_one() {
    let mut node = stopped();
    let volume = node.path("disk.img");
    let good = fs::read(&volume).unwrap();
    OpenOptions::new().write(true).open(&volume).unwrap().set_len((4 << 20) - 512).unwrap();
    let complaint = refused(&mut node);
    assert!(
        complaint.contains("has 4193792 bytes") && complaint.contains("must not get smaller"),
        "{complaint}"
    );
    OpenOptions::new().write(true).open(&volume).unwrap().set_len(0).unwrap();
    assert!(refused(&mut node).contains("must not get smaller"));
    fs::remove_file(&volume).unwrap();
    assert!(refused(&mut node).contains("disk.img"));
    assert!(!volume.exists(), "nobody makes an empty one");
    fs::create_dir(&volume).unwrap();
    assert!(refused(&mut node).contains("disk.img"));
    fs::remove_dir(&volume).unwrap();
    fs::write(&volume, good).unwrap();
    // It is as it was.
    node.up(&["--standalone"]);
    node.done(&["primary"]);
    assert_eq!(node.done(&["check", "--seed", "3"]), "4194304 bytes are as filled\n");
}

#[test]
fn metadata_of_another_volume() {
    let (mut node, mut other) = (stopped(), stopped());
    let smaller = fs::read(node.path("disk.meta")).unwrap();
    other.done(&["create", "--size", "8M", "--force"]);
    fs::copy(other.path("disk.meta"), node.path("disk.meta")).unwrap();
    assert!(refused(&mut node).contains("8388608 bytes"));
    // Those of a smaller one: the rest is new, and counts as different.
    fs::write(other.path("disk.meta"), smaller).unwrap();
    other.up(&["--standalone"]);
    let status = other.status();
    assert_eq!(status["size"], 8 << 20);
    assert!(status["out_of_sync"].as_u64().unwrap() >= 4 << 20, "{status}");
}

/// The room for metadata is taken when they are made; a volume without blocks is another matter.
#[test]
fn a_write_that_fails_is_told() {
    let mut node = stopped();
    // A hole beyond what the system allows to be written: the file's size limit of the process.
    node.up(&["--standalone"]);
    node.done(&["primary"]);
    let file = OpenOptions::new().write(true).open(node.path("disk.img")).unwrap();
    file.set_len(1 << 20).unwrap(); // somebody cuts it off while it is in use
    drop(file);
    let complaint = node.complaint(&["check", "--seed", "3"]);
    assert!(complaint.contains("input/output error"), "{complaint}");
    assert!(node.status()["size"] == 4 << 20, "it is still there");
    let mut bytes = [0; 512];
    let disk = OpenOptions::new().read(true).open(node.path("disk.img")).unwrap();
    disk.read_exact_at(&mut bytes, 0).unwrap();
}
