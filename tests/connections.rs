//! Connections over the control socket, as `proxy-up` and `proxy-down` ask for them (docs/control.md 4), of a real
//! relay.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use drx::control::{Addition, Request};
use serde_json::{Value, json};

mod support;

use support::{Daemon, wait_for};

const R0: &str = "r0-node2-node1";

#[test]
fn a_connection_is_added_once() {
    let daemon = Daemon::with_relay();
    assert_eq!(add(&daemon, &addition(R0, 7788)), accepted("add_connection", R0, true));
    assert_eq!(connections(&daemon), [R0]);
    let report = daemon.ask(r#"{"command":"report"}"#);
    let r0 = &report["result"]["resources"][0];
    assert_eq!([&r0["name"], &r0["remote"], &r0["local"]], ["r0", "node2", "node1"]);
    assert_eq!(r0["channels"][0]["connection"], R0);
    let lines = said(&daemon, &["operator's command", "command: add_connection", "name: r0-node2-node1"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("uid: "), "{lines:?}");
    assert_eq!(said(&daemon, &["INFO adding a connection", "inside: 10.77.1.1:7788"]).len(), 1);

    let before = info_lines(&daemon);
    assert_eq!(add(&daemon, &addition(R0, 7788)), accepted("add_connection", R0, true));
    assert_eq!(connections(&daemon), [R0]);
    let other = Addition { peer: address("10.77.9.3:7780"), ..addition(R0, 7788) };
    let (kind, reason) = error(&add(&daemon, &other));
    assert_eq!(kind, "refused");
    assert!(reason.contains("is there already") && reason.contains("peer 10.77.9.3:7780"), "{reason}");
    // Of the two only the refusal is worth a line.
    let new = new_lines(&daemon, &before);
    assert_eq!(new.len(), 1, "{new:?}");
    assert!(new[0].contains("operator's command refused") && new[0].contains("10.77.9.3:7780"), "{new:?}");
}

#[test]
fn what_clashes_is_refused_with_the_rules_of_a_configuration() {
    let daemon = Daemon::with_relay();
    add(&daemon, &addition(R0, 7788));
    let r1 = |change: Change<'_>| {
        let mut addition = addition("r1-node2-node1", 7798);
        change(&mut addition);
        error(&add(&daemon, &addition))
    };
    let cases: [(Change<'_>, &[&str]); 7] = [
        (&|r1| r1.inside = address("10.77.1.1:7788"), &["inside = 10.77.1.1:7788 (of r0-node2-node1)"]),
        (&|r1| r1.inside = address("10.77.9.1:7780"), &["outside = 10.77.9.1:7780", "only one can be"]),
        (&|r1| r1.inside = address("[fd77::1]:7798"), &["of the other address family"]),
        (&|r1| r1.peer = address("[fd77::2]:7780"), &["of different address families"]),
        (&|r1| r1.inside = address("10.77.1.2:7799"), &["want the same port of this machine"]),
        (&|r1| r1.bsr = address("0.0.0.0:7799"), &["bsr: ", "nothing to dial"]),
        (&|r1| r1.peer = r1.outside, &["would dial itself"]),
    ];
    for (change, words) in cases {
        let (kind, reason) = r1(change);
        assert_eq!(kind, "refused");
        for word in words {
            assert!(reason.contains(word), "{word} is not in {reason}");
        }
    }
    let (kind, reason) = r1(&|r1| r1.options = vec![option("memlimit", "1020M")]);
    assert_eq!(kind, "refused");
    assert!(reason.contains("bab.total is 1.0 GiB"), "{reason}");
    let (kind, reason) = r1(&|r1| r1.options = vec![option("memlimit", "1k")]);
    assert_eq!((kind.as_str(), reason.starts_with("memlimit \"1k\": ")), ("bad_value", true), "{reason}");
    let (kind, reason) = r1(&|r1| r1.name = "r1-node1".to_owned());
    assert_eq!(kind, "bad_value");
    assert!(reason.contains("RESOURCE-REMOTE-LOCAL"), "{reason}");
    let (kind, _) = r1(&|r1| r1.name = "r 1-node2-node1".to_owned());
    assert_eq!(kind, "refused");
    assert_eq!(connections(&daemon), [R0]);
    assert!(daemon.ask(r#"{"command":"version"}"#)["result"].is_object());
}

/// Names with a `-` of their own: what is known of the nodes decides.
#[test]
fn names_are_taken_apart_by_what_is_known() {
    let daemon = Daemon::with_relay();
    for (name, port, names) in [
        ("r0-site-b-node1", 7788, ["r0-site", "b", "node1"]),
        ("db-1-b-node1", 7798, ["db-1", "b", "node1"]),
        ("x-y-z-w", 7808, ["x-y", "z", "w"]),
    ] {
        assert_eq!(add(&daemon, &addition(name, port)), accepted("add_connection", name, true));
        let report = daemon.ask(&json!({ "command": "report", "name": name }).to_string());
        let resource = &report["result"]["resources"][0];
        assert_eq!([&resource["name"], &resource["remote"], &resource["local"]], names);
    }
}

#[test]
fn removing_is_harmless_for_who_is_not_there() {
    let daemon = Daemon::with_relay();
    add(&daemon, &addition(R0, 7788));
    let remove =
        |name: &str| daemon.ask(&json!({ "command": "remove_connection", "name": name }).to_string());
    let before = info_lines(&daemon);
    for unknown in ["r1-node2-node1", "r0", "all", ""] {
        assert_eq!(remove(unknown), accepted("remove_connection", unknown, true));
    }
    assert_eq!(new_lines(&daemon, &before), [""; 0]);
    assert_eq!(connections(&daemon), [R0], "a resource's name and `all` remove nothing");
    assert_eq!(remove(R0), accepted("remove_connection", R0, false));
    wait_for("it to be gone", || reported(&daemon).is_empty());
    assert_eq!(said(&daemon, &["INFO removed a connection", "inside: 10.77.1.1:7788", R0]).len(), 1);
    assert_eq!(remove(R0), accepted("remove_connection", R0, true));
    assert_eq!(
        add(&daemon, &addition(R0, 7798)),
        accepted("add_connection", R0, true),
        "with other addresses"
    );
}

#[test]
fn proxy_settings_are_set_and_shown() {
    let daemon = Daemon::with_relay();
    let mut r0 = addition(R0, 7788);
    r0.options = vec![option("sndbuf-size", "10M"), option("memlimit", "128M")];
    add(&daemon, &r0);
    let settings =
        || daemon.ask(&json!({ "command": "proxy_settings", "name": R0 }).to_string())["result"].take();
    let expected = |memlimit: u64, options: Value, plugins: Value| {
        json!({ "name": R0, "memlimit": memlimit,
            "options": options, "plugins": plugins })
    };
    assert_eq!(settings(), expected(128 << 20, json!([["sndbuf-size", "10M"]]), json!([])));
    let set = |option: &str, value: &str| {
        let request = json!({ "command": "set_option", "name": R0, "option": option, "value": value });
        daemon.ask(&request.to_string())
    };
    let plugin = |position: usize, line: &str| {
        let request = json!({ "command": "set_plugin", "name": R0, "position": position, "line": line });
        daemon.ask(&request.to_string())
    };
    // As drbdadm does it.
    assert_eq!(set("memlimit", "500M"), accepted("set_option", R0, true));
    assert_eq!(set("sndbuf-size", "20M"), accepted("set_option", R0, true));
    assert_eq!(plugin(0, "zstd level 4"), accepted("set_plugin", R0, true));
    assert_eq!(plugin(1, "END"), accepted("set_plugin", R0, true));
    assert_eq!(settings(), expected(500 << 20, json!([["sndbuf-size", "20M"]]), json!(["zstd level 4"])));
    let report = daemon.ask(r#"{"command":"report"}"#);
    assert_eq!(report["result"]["resources"][0]["channels"][0]["bab"]["size"], 500 << 20);
    let compression = || {
        let report = daemon.ask(r#"{"command":"report"}"#);
        report["result"]["resources"][0]["channels"][0]["compression"]["wanted"].clone()
    };
    assert_eq!(compression(), "zstd:4");
    let words = ["WARN kept, but not in force", "option: sndbuf-size", "value: 20M"];
    assert_eq!(said(&daemon, &words).len(), 1, "{words:?}");

    // The same again does nothing, and is no news.
    let before = info_lines(&daemon);
    set("memlimit", "512000k");
    set("sndbuf-size", "20M");
    plugin(0, "zstd  level 4");
    plugin(1, "END");
    assert_eq!(new_lines(&daemon, &before), [""; 0]);

    assert_eq!(error(&set("memlimit", "1048577M")).0, "bad_value");
    assert_eq!(error(&set("memlimit", "1021M")).0, "refused", "over bab.total");
    assert_eq!(error(&set("sndbuf size", "1")).0, "bad_value");
    assert_eq!(
        error(&plugin(5, "lz4")),
        ("bad_value".into(), "plugin 5: there are 1 so far, the next one is 1".into())
    );
    plugin(0, "END");
    assert_eq!(compression(), "none", "as the configuration has it");
    assert_eq!(plugin(0, "zlib level 6"), accepted("set_plugin", R0, true));
    assert_eq!(compression(), "zstd:6");
    let words = ["WARN plugin 0: \"zlib level 6\" is not spoken here: zstd:6 is used in its place"];
    assert_eq!(said(&daemon, &words).len(), 1);
    plugin(0, "END");
    assert_eq!(settings(), expected(500 << 20, json!([["sndbuf-size", "20M"]]), json!([])));
}

#[test]
fn names_are_matched_whole() {
    let daemon = Daemon::with_relay();
    add(&daemon, &addition(R0, 7788));
    for name in ["r0", "all", "r0-node2", "r0-node2-node1-", "r9-node2-node1"] {
        for request in [
            json!({ "command": "proxy_settings", "name": name }),
            json!({ "command": "set_option", "name": name, "option": "memlimit", "value": "1M" }),
            json!({ "command": "set_option", "name": name, "option": "bwlimit", "value": "1M" }),
            json!({ "command": "set_plugin", "name": name, "position": 0, "line": "lz4" }),
        ] {
            let (kind, reason) = error(&daemon.ask(&request.to_string()));
            assert_eq!((kind.as_str(), reason.contains(name)), ("unknown_name", true), "{request}: {reason}");
        }
    }
}

/// Each looks at what is there before it adds: two that clash never get in together.
#[test]
fn many_at_once_are_taken_in_turn() {
    let daemon = Daemon::with_relay();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let daemon = &daemon;
                // All want the same port of one address, in ways that only the configuration's rules tell.
                let inside = if number % 2 == 0 { "10.77.1.1:7788" } else { "0.0.0.0:7788" };
                let name = format!("r{number}-node2-node1");
                let addition = Addition { inside: address(inside), ..addition(&name, 7788) };
                scope.spawn(move || add(daemon, &addition))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let added = answers.iter().filter(|answer| answer["result"].is_object()).count();
    assert_eq!(added, 1, "{answers:?}");
    assert_eq!(connections(&daemon).len(), 1);
}

/// What docs/control.md shows is what is understood.
#[test]
fn the_documented_requests_are_requests() {
    let page = include_str!("../docs/control.md");
    let shown: Vec<&str> =
        page.lines().map(str::trim).filter(|line| line.starts_with(r#"{"command":"#)).collect();
    let mut commands: Vec<String> = shown
        .iter()
        .map(|line| {
            Request::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
            let request: Value = serde_json::from_str(line).unwrap();
            request["command"].as_str().unwrap().to_owned()
        })
        .collect();
    commands.sort();
    commands.dedup();
    for command in ["add_connection", "remove_connection", "proxy_settings", "set_option", "set_plugin"] {
        assert!(commands.iter().any(|shown| shown == command), "{command} is not shown");
    }
}

type Change<'a> = &'a dyn Fn(&mut Addition);

/// Towards node2; bsr has the port after `port`.
fn addition(name: &str, port: u16) -> Addition {
    Addition {
        name: name.to_owned(),
        inside: address(&format!("10.77.1.1:{port}")),
        peer: address("10.77.9.2:7780"),
        outside: address("10.77.9.1:7780"),
        bsr: address(&format!("10.77.1.2:{}", port + 1)),
        options: Vec::new(),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn option(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn add(daemon: &Daemon, addition: &Addition) -> Value {
    daemon.ask(&serde_json::to_string(&Request::AddConnection(addition.clone())).unwrap())
}

fn accepted(command: &str, name: &str, finished: bool) -> Value {
    json!({ "result": { "command": command, "name": name, "finished": finished } })
}

fn error(response: &Value) -> (String, String) {
    let error = &response["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("no error: {response}")).to_owned();
    (text("kind"), text("reason"))
}

/// The connections in force.
fn connections(daemon: &Daemon) -> Vec<String> {
    let configuration = daemon.ask(r#"{"command":"configuration"}"#);
    let connections = configuration["result"]["connections"].as_array().unwrap().iter();
    connections.map(|connection| connection["name"].as_str().unwrap().to_owned()).collect()
}

fn reported(daemon: &Daemon) -> Vec<Value> {
    daemon.ask(r#"{"command":"report"}"#)["result"]["resources"].as_array().unwrap().clone()
}

/// The lines of the log with all of these words, once there are any.
fn said(daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let lines = || -> Vec<String> {
        let log = daemon.log();
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    };
    wait_for(&format!("{words:?} in the log"), || !lines().is_empty());
    lines()
}

/// What the log has at `info` and above, once it is all written: up to a line of our own.
fn info_lines(daemon: &Daemon) -> Vec<String> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let marker = format!("marker{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let refused = daemon.ask(&json!({ "command": "down", "name": marker }).to_string());
    assert_eq!(error(&refused).0, "unknown_name");
    said(daemon, &["operator's command refused", &marker]);
    let log = daemon.log();
    let loud =
        |line: &&str| [" INFO ", " WARN ", " ERRO ", " CRIT "].iter().any(|level| line.contains(level));
    // What the channels say of themselves comes by itself.
    let own = |line: &&str| !line.contains("marker") && !line.contains("channel: ");
    log.lines().filter(loud).filter(own).map(str::to_owned).collect()
}

fn new_lines(daemon: &Daemon, before: &[String]) -> Vec<String> {
    info_lines(daemon).split_off(before.len())
}
