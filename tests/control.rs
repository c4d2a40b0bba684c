//! The control socket's protocol (docs/control.md), spoken by hand.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use drx::control::Limits;
use drx::daemon::Failure;
use drx_protocol::report::RelayReport;
use serde_json::{Value, json};

mod support;

use support::{Daemon, wait_for};

fn error_of(response: &Value) -> (&str, &str) {
    (response["error"]["kind"].as_str().unwrap(), response["error"]["reason"].as_str().unwrap())
}

#[test]
fn a_report_is_sorted_and_can_be_of_one_name() {
    let daemon = Daemon::start(Limits::default());
    let names = |request| {
        let report: RelayReport = serde_json::from_value(daemon.ask(request)["result"].take()).unwrap();
        assert_eq!((report.node.as_str(), report.version.as_str()), ("node1", "1.2.3"));
        report
            .resources
            .iter()
            .map(|resource| {
                let roles: Vec<_> =
                    resource.channels.iter().map(|channel| channel.role.to_string()).collect();
                format!("{}: {}", resource.name, roles.join(" "))
            })
            .collect::<Vec<_>>()
    };
    let both = ["r0: acceptor connector", "r1: acceptor connector"];
    assert_eq!(names(r#"{"command":"report"}"#), both);
    assert_eq!(names(r#"{"command":"report","name":"all"}"#), both);
    assert_eq!(names(r#"{"command":"report","name":"r1"}"#), both[1..]);
    assert_eq!(names(r#"{"command":"report","name":"r0-node2-node1"}"#), both[..1]);

    let unknown = daemon.ask(r#"{"command":"report","name":"r"}"#);
    assert_eq!(error_of(&unknown), ("unknown_name", r#"there is no resource or connection "r""#));
}

#[test]
fn commands_reach_the_relay() {
    let daemon = Daemon::start(Limits::default());
    let accepted = |command: &str, name: &str| json!({ "result": { "command": command, "name": name, "finished": false } });
    assert_eq!(daemon.ask(r#"{"command":"up","name":"r0"}"#), accepted("up", "r0"));
    assert_eq!(daemon.ask(r#"{"command":"down","name":"all"}"#), accepted("down", "all"));
    assert_eq!(
        daemon.ask(r#"{"command":"restart","name":"r0-node2-node1"}"#),
        accepted("restart", "r0-node2-node1")
    );
    assert_eq!(error_of(&daemon.ask(r#"{"command":"up","name":"r7"}"#)).0, "unknown_name");
    assert_eq!(
        daemon.operated(),
        ["Up r0 false", "Down all false", "Restart r0-node2-node1 false", "Up r7 false"]
    );
    assert_eq!(
        daemon.ask(r#"{"command":"version"}"#),
        json!({ "result": { "version": "1.2.3", "node": "node1" } })
    );
    let logged = "command: down, name: all, wait: false";
    wait_for("the log", || daemon.log().contains(logged));
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(logged)).unwrap();
    assert!(line.contains(" INFO operator's command, node: node1, uid: "), "{line}");
}

#[test]
fn who_waits_is_answered_when_it_is_done() {
    let daemon = Daemon::start(Limits { answer: Duration::from_millis(20), ..Limits::default() });
    let mut client = daemon.connect();
    client.send(r#"{"command":"down","name":"r0","wait":true}"#);
    wait_for("the command", || !daemon.operated().is_empty());
    // No time is too long for it, and others are served meanwhile.
    client.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut byte = [0];
    assert!(std::io::Read::read(client.stream(), &mut byte).is_err());
    assert!(daemon.ask(r#"{"command":"report"}"#)["result"].is_object());

    client.stream().set_read_timeout(Some(support::PATIENCE)).unwrap();
    daemon.script.done.send_replace(true);
    assert_eq!(client.receive(), json!({ "result": { "command": "down", "name": "r0", "finished": true } }));
    assert_eq!(daemon.operated(), ["Down r0 true"]);
}

#[test]
fn requests_of_one_client_are_answered_in_turn() {
    let daemon = Daemon::start(Limits::default());
    let mut client = daemon.connect();
    let requests =
        "{\"command\":\"version\"}\n{\"command\":\"nonsense\"}\r\n{\"command\":\"up\",\"name\":\"r0\"}\n";
    client.stream().write_all(requests.as_bytes()).unwrap();
    assert!(client.receive()["result"]["version"].is_string());
    assert_eq!(error_of(&client.receive()).0, "bad_request");
    assert_eq!(client.receive()["result"]["command"], "up");
}

#[test]
fn garbage_is_answered_and_disturbs_nothing() {
    let daemon = Daemon::start(Limits::default());
    let mut client = daemon.connect();
    let nested = "[".repeat(60_000);
    let deep = format!("{{\"command\":{}", "[".repeat(60_000));
    let garbage: [&[u8]; 8] = [
        b"",
        b"hello",
        b"\x00\xff\xfe\x80",
        b"{\"command\":\"up\"",
        b"{\"command\":\"down\"}",
        b"{\"command\":\"down\",\"name\":\"r0\",\"force\":true}",
        nested.as_bytes(),
        deep.as_bytes(),
    ];
    for line in garbage {
        client.stream().write_all(line).unwrap();
        client.stream().write_all(b"\n").unwrap();
        let response = client.receive();
        let (kind, reason) = error_of(&response);
        assert_eq!(kind, "bad_request");
        assert!(reason.starts_with("this is not a request: "), "{reason}");
        assert!(reason.len() < 300, "{reason}");
    }
    assert!(daemon.operated().is_empty());
    client.send(r#"{"command":"up","name":"r0"}"#);
    assert_eq!(client.receive()["result"]["command"], "up");
}

#[test]
fn a_request_has_an_end() {
    let daemon = Daemon::start(Limits { request: 100, ..Limits::default() });
    let longest = format!("{:<100}", r#"{"command":"version"}"#);
    assert!(daemon.ask(&longest)["result"].is_object());

    for (request, ends, reason) in [
        (format!("{longest} \n"), false, "the request has more than 100 bytes"),
        ("x".repeat(100_000), false, "the request has more than 100 bytes"),
        (r#"{"command":"version"}"#.to_owned(), true, "the request ends in the midst of its line"),
    ] {
        let mut client = daemon.connect();
        // The daemon may close before it has all of it.
        let _ = client.stream().write_all(request.as_bytes());
        if ends {
            client.stream().shutdown(Shutdown::Write).unwrap();
        }
        let response = client.receive();
        assert_eq!(error_of(&response), ("bad_request", reason));
        assert_eq!(client.line(), None, "the daemon closes");
    }
    assert!(daemon.ask(r#"{"command":"version"}"#)["result"].is_object());
}

#[test]
fn a_slow_request_is_given_up() {
    let daemon = Daemon::start(Limits { read: Duration::from_millis(50), ..Limits::default() });
    let mut client = daemon.connect();
    client.stream().write_all(br#"{"command":"#).unwrap();
    let response = client.receive();
    assert_eq!(error_of(&response), ("bad_request", "no whole request within 50ms"));
    assert_eq!(client.line(), None);
}

#[test]
fn clients_beyond_the_limit_are_told() {
    let daemon = Daemon::start(Limits { clients: 2, ..Limits::default() });
    let mut first = daemon.connect();
    let mut second = daemon.connect();
    for client in [&mut first, &mut second] {
        client.send(r#"{"command":"version"}"#);
        client.receive();
    }
    let mut third = daemon.connect();
    let response = third.receive();
    assert_eq!(error_of(&response), ("busy", "2 clients are connected already, that is all there may be"));
    assert_eq!(third.line(), None);

    drop(first);
    wait_for("a place", || daemon.ask_if_open(r#"{"command":"version"}"#));
    second.send(r#"{"command":"version"}"#);
    assert!(second.receive()["result"].is_object());
}

#[test]
fn who_goes_while_waiting_leaves_its_place() {
    let daemon = Daemon::start(Limits { clients: 1, ..Limits::default() });
    let mut client = daemon.connect();
    client.send(r#"{"command":"down","name":"r0","wait":true}"#);
    wait_for("the command", || !daemon.operated().is_empty());
    drop(client);
    wait_for("a place", || daemon.ask_if_open(r#"{"command":"version"}"#));
}

#[test]
fn who_only_ends_its_requests_is_still_answered() {
    let daemon = Daemon::start(Limits::default());
    let mut client = daemon.connect();
    client.send(r#"{"command":"down","name":"r0","wait":true}"#);
    client.stream().shutdown(Shutdown::Write).unwrap();
    wait_for("the command", || !daemon.operated().is_empty());
    daemon.script.done.send_replace(true);
    assert_eq!(client.receive()["result"]["finished"], true);
    assert_eq!(client.line(), None);
}

#[test]
fn a_mute_relay_is_reported() {
    let daemon = Daemon::start(Limits { answer: Duration::from_millis(20), ..Limits::default() });
    daemon.script.mute.store(true, Ordering::SeqCst);
    let response = daemon.ask(r#"{"command":"report"}"#);
    assert_eq!(error_of(&response), ("no_answer", "the relay did not answer within 20ms"));
    assert!(daemon.ask(r#"{"command":"version"}"#)["result"].is_object());
}

#[test]
fn a_relay_that_died_is_reported_and_ends_the_daemon() {
    let daemon = Daemon::start(Limits::default());
    daemon.script.dying.store(true, Ordering::SeqCst);
    let response = daemon.ask(r#"{"command":"report"}"#);
    assert_eq!(error_of(&response), ("failed", "the relay has ended"));
    let (ended, _) = daemon.join();
    assert!(matches!(ended, Err(Failure::RelayEnded)), "{ended:?}");
}
