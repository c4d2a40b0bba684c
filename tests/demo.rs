//! `drxd demo`, as its users run it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

#[test]
fn everything_recovers_and_every_byte_is_verified() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = drxd(temporary.path());
    command.arg("demo");
    let (status, out, err) = run(command, Duration::from_secs(60));
    let log = fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path().join("relays.log");
    let log_text = fs::read_to_string(&log).unwrap();

    assert!(status.success(), "{status}\n{out}\n{err}\n{log_text}");
    let verdict = out.lines().last().unwrap();
    assert!(verdict.starts_with("Verdict: passed: 5 of 5 faults recovered, errors: 0, "), "{out}");
    assert_eq!(err, "", "panics belong in the log");
    assert!(!out.contains('\x1b'), "not a terminal: {out}");
    assert!(out.contains(log.to_str().unwrap()), "where the log is: {out}");
    for shown in [
        "[[resource]]",
        "name = \"node2\"",
        "Name           Type local-bsr-ip State ",
        " All connections : 2, Established : 2",
        " node1: everything is connected",
        "the line between the two relays flaps",
        "both bsr kept their connections",
        "the line between the two relays is cut for longer than resume_timeout",
        "bsr2 is killed",
        "that carries data panics",
        "the BAB of node2's data channel panics",
    ] {
        assert!(out.contains(shown), "{shown}: {out}");
    }
    assert_eq!(out.matches("everything is connected again").count(), 5, "{out}");
    assert_eq!(log_text.matches(" panic: struck: ").count(), 2, "{log_text}");
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
