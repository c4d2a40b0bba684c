//! How a daemon ends.
#![allow(clippy::unwrap_used)]

use drx::control::Limits;
use drx::daemon::Wish;

mod support;

use support::{Daemon, wait_for};

#[test]
fn it_flushes_before_it_stops_and_is_reachable_meanwhile() {
    let daemon = Daemon::start(Limits::default());
    let socket = daemon.socket.clone();
    daemon.wishes.try_send(Wish::Stop { why: "SIGTERM" }).unwrap();
    wait_for("the shutdown", || daemon.shutdowns() == [false]);
    assert!(daemon.ask(r#"{"command":"report"}"#)["result"].is_object());
    // A second polite wish changes nothing.
    daemon.wishes.try_send(Wish::Stop { why: "drx-ctl shutdown" }).unwrap();
    wait_for("the second wish", || {
        daemon.log().contains("stopping already, node: node1, why: drx-ctl shutdown")
    });
    assert_eq!(daemon.shutdowns(), [false]);

    daemon.script.done.send_replace(true);
    let (ended, log) = daemon.join();
    ended.unwrap();
    assert!(
        log.contains("stopping: what the BABs hold is being flushed, node: node1, why: SIGTERM"),
        "{log}"
    );
    assert!(!log.contains("unflushed"), "{log}");
    assert!(!socket.exists());
}

#[test]
fn what_was_left_unflushed_is_a_warning_with_its_bytes() {
    let daemon = Daemon::start(Limits::default());
    *daemon.script.unflushed.lock().unwrap() = 123_456;
    daemon.script.done.send_replace(true);
    daemon.wishes.try_send(Wish::Stop { why: "SIGTERM" }).unwrap();
    let (ended, log) = daemon.join();
    ended.unwrap();
    let warning = log.lines().find(|line| line.contains("unflushed")).unwrap();
    assert!(warning.contains(" WARN ") && warning.ends_with("bytes: 123456"), "{warning}");
}

#[test]
fn a_second_signal_cuts_the_flush_short() {
    let daemon = Daemon::start(Limits::default());
    let script = std::sync::Arc::clone(&daemon.script);
    *script.unflushed.lock().unwrap() = 7;
    daemon.wishes.try_send(Wish::Stop { why: "SIGTERM" }).unwrap();
    daemon.wishes.try_send(Wish::StopNow { why: "SIGINT" }).unwrap();
    let (ended, log) = daemon.join();
    ended.unwrap();
    assert!(log.contains("stopping at once, node: node1, why: SIGINT"), "{log}");
    assert!(log.contains("bytes: 7"), "{log}");
    let shutdowns: Vec<_> = script.shutdowns.lock().unwrap().iter().map(|s| s.at_once).collect();
    assert_eq!(shutdowns, [false, true]);
}

#[test]
fn a_reload_is_refused_and_changes_nothing() {
    let daemon = Daemon::start(Limits::default());
    daemon.wishes.try_send(Wish::Reload).unwrap();
    wait_for("the warning", || daemon.log().contains("WARN reload is not available yet"));
    assert!(daemon.ask(r#"{"command":"report"}"#)["result"].is_object());
    assert!(daemon.shutdowns().is_empty());
}

#[test]
fn an_operator_can_stop_it() {
    let daemon = Daemon::start(Limits::default());
    let answer = daemon.ask(r#"{"command":"shutdown"}"#);
    assert_eq!(answer["result"]["finished"], false);
    wait_for("the shutdown", || daemon.shutdowns() == [false]);
    daemon.script.done.send_replace(true);
    let (ended, log) = daemon.join();
    ended.unwrap();
    assert!(log.contains("why: drx-ctl shutdown"), "{log}");
}
