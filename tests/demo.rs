//! `drxd demo`, as its users run it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn drxd(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drxd"));
    command.env("TMPDIR", temporary).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, but not beyond the limit.
fn run(mut command: Command, limit: Duration) -> (ExitStatus, String, String) {
    let mut child = command.spawn().unwrap();
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let status = end_of(&mut child, limit);
    (status, out.join().unwrap(), err.join().unwrap())
}

fn end_of(child: &mut Child, limit: Duration) -> ExitStatus {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= end {
            child.kill().unwrap();
            return child.wait().unwrap(); // by signal: not a success
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The directory that the demo has made, if it has.
fn directory(temporary: &Path) -> Option<PathBuf> {
    fs::read_dir(temporary).unwrap().next().map(|entry| entry.unwrap().path())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn everything_recovers_and_both_volumes_are_the_same_bit_for_bit() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = drxd(temporary.path());
    command.arg("demo");
    let (status, out, err) = run(command, Duration::from_secs(200));
    let directory = directory(temporary.path()).unwrap();
    let log = directory.join("relays.log");
    let log_text = fs::read_to_string(&log).unwrap();
    let bsr_log = fs::read_to_string(directory.join("bsr.log")).unwrap();

    assert!(status.success(), "{status}\n{out}\n{err}\n{log_text}\n{bsr_log}");
    let verdict = out.lines().last().unwrap();
    let passed =
        "Verdict: passed: 6 of 6 faults recovered, errors: 0, both volumes the same bit for bit, in ";
    assert!(verdict.starts_with(passed), "{out}");
    assert_eq!(err, "", "panics belong in the log");
    assert!(!out.contains('\x1b'), "not a terminal: {out}");
    assert!(out.contains(log.to_str().unwrap()), "where the log is: {out}");
    for shown in [
        "[[resource]]",
        "name = \"node2\"",
        "Name           Type local-bsr-ip State ",
        " All connections : 2, Established : 2",
        " node1: everything is connected",
        "64.0 MiB are resynced",
        "its 16.0 MiB are written, and replicated to bsr2",
        "the line between the two relays flaps",
        "both bsr kept their connections",
        "the line between the two relays is cut for longer than resume_timeout",
        "bsr2 is killed",
        "bsr1, the primary, is killed",
        "bsr2 is primary now; every write that was acknowledged is there",
        "that carries data panics",
        "the BAB of node2's data channel panics",
    ] {
        assert!(out.contains(shown), "{shown}: {out}");
    }
    assert_eq!(out.matches("everything is connected again").count(), 6, "{out}");
    assert_eq!(log_text.matches(" panic: struck: ").count(), 2, "{log_text}");
    assert_eq!(bsr_log.matches("was primary when it ended").count(), 1, "{bsr_log}");
    assert_eq!(names(&directory), ["bsr.log", "relays.log"], "the volumes are gone");
}

#[test]
fn who_ends_it_early_keeps_no_volumes() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = drxd(temporary.path()).arg("demo").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Its own time is bounded, so this is, too.
    let begun = lines.any(|line| line.unwrap().contains("an ext4 file system is copied"));
    assert!(begun, "{:?}", child.wait_with_output());
    let directory = directory(temporary.path()).unwrap();
    assert_eq!(names(&directory).len(), 6);

    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest = thread::spawn(move || lines.count()); // it must not wait for a reader
    let status = end_of(&mut child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(1));
    rest.join().unwrap();
    assert_eq!(names(&directory), ["bsr.log", "relays.log"]);
}

#[test]
fn its_configurations_are_those_of_two_daemons() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("a new \"pair\"");
    let mut command = drxd(temporary.path());
    command.args(["demo", "--save"]).arg(&directory);
    let (status, out, err) = run(command, Duration::from_secs(20));
    assert!(status.success(), "{status}\n{out}\n{err}");
    for node in ["node1", "node2"] {
        let file = directory.join(format!("{node}.toml"));
        assert!(out.contains(&format!("drxd run --config {}", file.display())), "{out}");
        let mut command = drxd(temporary.path());
        command.arg("check").arg(&file);
        let (status, out, err) = run(command, Duration::from_secs(20));
        assert!(status.success(), "{status}\n{out}\n{err}");
        assert_eq!((out, err), (format!("OK: node {node}, 1 resource\n"), String::new()));
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("a file");
    fs::write(&file, "").unwrap();
    let mut command = drxd(temporary.path());
    command.args(["demo", "--save"]).arg(&file);
    let (status, _, err) = run(command, Duration::from_secs(20));
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.starts_with("drxd: demo: cannot write to "), "{err}");
}
