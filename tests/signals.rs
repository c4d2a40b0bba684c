//! Signals. One test, because they go to the whole process.
#![allow(clippy::unwrap_used)]

use std::process::Command;

mod support;

use support::{Daemon, wait_for};

fn raise(signal: &str) {
    let kill = format!("kill -{signal} {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn signals_reload_stop_and_stop_at_once() {
    let daemon = Daemon::with_signals();
    raise("HUP");
    wait_for("the warning", || daemon.log().contains("reload is not available yet"));
    raise("INT");
    wait_for("the shutdown", || daemon.shutdowns() == [false]);
    raise("HUP");
    wait_for("the warning", || daemon.log().matches("reload is not available yet").count() == 2);
    raise("TERM");
    let (ended, log) = daemon.join();
    ended.unwrap();
    assert!(log.contains("being flushed, node: node1, why: SIGINT"), "{log}");
    assert!(log.contains("at once, node: node1, why: SIGTERM"), "{log}");
}
