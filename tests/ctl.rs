//! The real `drx-ctl` against a daemon whose relay is a fake.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use drx::control::Limits;
use serde_json::{Value, json};

mod support;

use support::{Daemon, wait_for};

fn command(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drx-ctl"));
    command.args(line.split_whitespace()).env("DRX_CONTROL__SOCKET", socket);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Said {
    status: i32,
    out: String,
    err: String,
}

fn said(output: Output) -> Said {
    Said {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn ctl(socket: &Path, line: &str) -> Said {
    said(command(socket, line).output().unwrap())
}

impl Said {
    /// The text of a success.
    fn text(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The one object of `--json`.
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

#[test]
fn connections_are_a_table() {
    let daemon = Daemon::start(Limits::default());
    let table = "\
-------------------------------------------------------------------------------------------
Name           Type local-bsr-ip State          local-drx-ip State          remote-drx-ip
-------------------------------------------------------------------------------------------
r0-node2-node1 data (local-bsr)  -established-> (local-drx)  <-bridged----- (remote-drx)
r0-node2-node1 meta (local-bsr)  <-established- (local-drx)  -----bridged-> (remote-drx)
-------------------------------------------------------------------------------------------
 All connections : 2, Established : 2
";
    for line in ["connections r0", "co r0", "connections r0-node2-node1"] {
        assert_eq!(ctl(&daemon.socket, line).text(), table, "{line}");
    }
    for line in ["connections", "connections all"] {
        assert!(ctl(&daemon.socket, line).text().contains("All connections : 4"), "{line}");
    }
    assert!(ctl(&daemon.socket, "-v co r0").text().contains("10.77.9.2:7780"));
}

#[test]
fn status_says_what_is_the_matter() {
    let daemon = Daemon::start(Limits::default());
    let text = ctl(&daemon.socket, "status r1").text();
    assert!(text.starts_with("r1-node2-node1: everything is connected\n"), "{text}");
    let text = ctl(&daemon.socket, "status").text();
    let places = ["\nr1-node2-node1: ", "r0-node2-node1: "].map(|name| text.find(name).unwrap());
    assert!(places[1] < places[0], "{text}");
    let text = ctl(&daemon.socket, "status -v").text();
    assert!(text.starts_with("node1: drxd 1.2.3, running for 17 s\n\nr0-node2-node1: "), "{text}");
}

#[test]
fn json_is_the_daemons_answer() {
    let daemon = Daemon::start(Limits::default());
    for line in ["connections --json", "--json status", "co all --json -v"] {
        let answer = ctl(&daemon.socket, line);
        assert_eq!((answer.status, answer.err.as_str()), (0, ""));
        let json = answer.json();
        assert_eq!(json["node"], "node1");
        let names: Vec<_> = json["resources"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
        assert_eq!(names, ["r0", "r1"]);
        assert_eq!(json["resources"][0]["channels"][0]["standing"], "established", "{json:#}");
    }
    let json = |line| ctl(&daemon.socket, line).json();
    assert_eq!(json("up r0 --json"), json!({ "command": "up", "name": "r0", "finished": false }));
    assert_eq!(
        json("version --json"),
        json!({ "version": env!("CARGO_PKG_VERSION"), "daemon": { "version": "1.2.3", "node": "node1" } })
    );
    let refused = ctl(&daemon.socket, "down r7 --json");
    assert_eq!(refused.status, 1);
    assert_eq!(
        refused.json(),
        json!({ "error": { "kind": "unknown_name", "reason": "there is no resource or connection \"r7\"" } })
    );
    assert_eq!(refused.err, "drx-ctl: there is no resource or connection \"r7\"\n");
    assert_eq!(json("shutdown --json"), json!({ "command": "shutdown", "name": "all", "finished": false }));
}

#[test]
fn commands_are_carried_out() {
    let daemon = Daemon::start(Limits::default());
    assert_eq!(ctl(&daemon.socket, "up r0").text(), "up r0: begun\n");
    assert_eq!(ctl(&daemon.socket, "down").text(), "down all: begun\n");
    assert_eq!(ctl(&daemon.socket, "restart all").text(), "restart all: begun\n");
    assert_eq!(daemon.operated(), ["Up r0 false", "Down all false", "Restart all false"]);
    for line in ["status r7", "connections r0-node2", "up r7", "restart r7 --wait"] {
        let refused = ctl(&daemon.socket, line);
        assert_eq!((refused.status, refused.out.as_str()), (1, ""), "{line}");
        assert!(refused.err.starts_with("drx-ctl: there is no resource or connection"), "{}", refused.err);
    }
    assert_eq!(ctl(&daemon.socket, "shutdown").text(), "shutdown: begun\n");
    wait_for("the shutdown", || daemon.shutdowns() == [false]);
}

#[test]
fn wait_waits() {
    let daemon = Daemon::start(Limits { answer: Duration::from_millis(20), ..Limits::default() });
    let mut waiting: Child = command(&daemon.socket, "--wait down r0").spawn().unwrap();
    wait_for("the command", || daemon.operated() == ["Down r0 true"]);
    assert!(waiting.try_wait().unwrap().is_none());
    daemon.script.done.send_replace(true);
    assert_eq!(said(waiting.wait_with_output().unwrap()).text(), "down r0: done\n");
}

#[test]
fn without_a_daemon_the_status_is_3() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("drx.sock");
    for line in ["connections", "status r0", "up", "down r0 --wait", "restart", "shutdown"] {
        let refused = ctl(&socket, line);
        assert_eq!((refused.status, refused.out.as_str()), (3, ""), "{line}");
        assert!(refused.err.starts_with("drx-ctl: no daemon answers on "), "{}", refused.err);
    }
    let refused = ctl(&socket, "status --json");
    assert_eq!((refused.status, &refused.json()["error"]["kind"]), (3, &json!("no_daemon")));

    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("drx-ctl {version}\nno daemon answers on {}\n", socket.display());
    assert_eq!(ctl(&socket, "version").text(), expected);
    assert_eq!(ctl(&socket, "version --json").json(), json!({ "version": version, "daemon": null }));
}

#[test]
fn with_a_daemon_version_has_both() {
    let daemon = Daemon::start(Limits::default());
    let expected = format!("drx-ctl {}\ndrxd 1.2.3 on node1\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(ctl(&daemon.socket, "version").text(), expected);
    // The option wins over the environment.
    let elsewhere = daemon.socket.with_extension("elsewhere");
    let line = format!("version --socket {}", daemon.socket.display());
    assert_eq!(ctl(&elsewhere, &line).text(), expected);
}

#[test]
fn a_mute_relay_is_status_1() {
    let daemon = Daemon::start(Limits { answer: Duration::from_millis(20), ..Limits::default() });
    daemon.script.mute.store(true, Ordering::SeqCst);
    let refused = ctl(&daemon.socket, "status");
    assert_eq!(
        (refused.status, refused.err.as_str()),
        (1, "drx-ctl: the relay did not answer within 20ms\n")
    );
}

#[test]
fn usage_is_status_2() {
    let dir = tempfile::tempdir().unwrap();
    for line in ["", "frobnicate", "up r0 r1", "connections --wait", "--socket", "watch", "set r0 bab.size"] {
        let refused = ctl(&dir.path().join("s"), line);
        assert_eq!((refused.status, refused.out.as_str()), (2, ""), "{line}");
        assert!(!refused.err.is_empty());
    }
    assert_eq!(ctl(dir.path(), "watch").err, "drx-ctl: watch is not available yet\n");
    assert!(ctl(dir.path(), "--help").text().contains("connections"));
    assert_eq!(ctl(dir.path(), "--version").text(), format!("drx-ctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let daemon = Daemon::start(Limits::default());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&daemon.socket, "connections").stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_documented_fields_are_those_there_are() {
    let daemon = Daemon::start(Limits::default());
    let document = include_str!("../docs/control.md");
    let (_, rows) = document.split_once("## 3. The report").unwrap();
    // The first cell of a row names fields; the second one those within `bab`.
    let named = |dots: usize| -> Vec<String> {
        let cells = rows.lines().filter_map(|row| row.strip_prefix("| ")?.split_once(" | "));
        let cells = cells.filter(|(cell, _)| cell.matches('·').count() == dots && cell.contains('`'));
        let mut fields: Vec<_> = cells
            .flat_map(|(cell, _)| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        fields.sort();
        fields
    };
    let keys = |value: &Value| {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let report = ctl(&daemon.socket, "status --json").json();
    assert_eq!(named(0), keys(&report));
    assert_eq!(named(1), keys(&report["resources"][0]));
    assert_eq!(named(2), keys(&report["resources"][0]["channels"][0]));
    for part in ["bab", "compression"] {
        for field in keys(&report["resources"][0]["channels"][0][part]) {
            assert!(rows.contains(&format!("`{field}`")), "{field}");
        }
    }
}

#[test]
fn what_is_set_is_said_with_what_it_means_now() {
    let daemon = Daemon::start(Limits::default());
    let said = ctl(&daemon.socket, "set r0 bab.size 64MiB");
    assert_eq!(said.text(), "r0-node2-node1: bab.size is 64.0 MiB\n");
    let said = ctl(&daemon.socket, "set r0 bab.size 2MiB");
    assert_eq!(
        said.text(),
        "r0-node2-node1: bab.size is 2.0 MiB; 3.0 MiB are held, so bsr waits until they are fewer\n"
    );
    assert_eq!(ctl(&daemon.socket, "set all bab.size 64k").text().lines().count(), 2);
    assert_eq!(
        ctl(&daemon.socket, "set r0 compression zstd").text(),
        "r0-node2-node1: link.compression is zstd:3\n"
    );
    let said = ctl(&daemon.socket, "--json set r0 link.compression auto").json();
    assert_eq!(said["in_force"], json!([{ "connection": "r0-node2-node1", "value": "auto" }]));
    let said = ctl(&daemon.socket, "--json set r1-node2-node1 bab.size 1m");
    assert_eq!(said.status, 0);
    let in_force = json!([{ "connection": "r1-node2-node1", "value": 1 << 20, "used": 0 }]);
    let expected =
        json!({ "command": "set", "name": "r1-node2-node1", "key": "bab.size", "in_force": in_force });
    assert_eq!(said.json(), expected);
}

#[test]
fn what_cannot_be_set_says_why() {
    let daemon = Daemon::start(Limits::default());
    for (line, kind, reason) in [
        (
            "set r0 bab.size 1KiB",
            "bad_value",
            "bab.size: \"1KiB\" is too small; write a size of 64KiB to 1TiB",
        ),
        (
            "set r0 bab.size 2TiB",
            "bad_value",
            "bab.size: \"2TiB\" is too large; write a size of 64KiB to 1TiB",
        ),
        ("set r0 bab.size much", "bad_value", "bab.size: \"much\" is no size; write a size of 64KiB to 1TiB"),
        (
            "set r0 bab.sice 1GiB",
            "bad_value",
            "there is no \"bab.sice\" to be set; bab.size, link.compression and log.level can be",
        ),
        (
            "set r0 link.bandwidth 1M",
            "not_available",
            "link.bandwidth cannot be set yet; bab.size, link.compression and log.level can",
        ),
        (
            "set r0 compression gzip",
            "bad_value",
            "link.compression: \"gzip\" is unknown here; write \"none\", \"lz4\", \"zstd\", \"zstd:LEVEL\" (1 to 22) or \"auto\"",
        ),
        ("set r7 compression lz4", "unknown_name", "there is no resource or connection \"r7\""),
        ("set r0 log.level debug", "bad_value", "log.level is the whole daemon's: set it for \"all\""),
        (
            "set all log.level loud",
            "bad_value",
            "log.level: \"loud\" is no level; write critical, error, warning, info, debug or trace",
        ),
        (
            "set r0 bab.size 1GiB",
            "refused",
            "the BABs of all resources would need 1.0 GiB (size and 4 MiB each), bab.total is 1.0 GiB",
        ),
        ("set r7 bab.size 1MiB", "unknown_name", "there is no resource or connection \"r7\""),
    ] {
        let said = ctl(&daemon.socket, &format!("--json {line}"));
        assert_eq!(said.status, 1, "{line}");
        assert_eq!(said.json(), json!({ "error": { "kind": kind, "reason": reason } }), "{line}");
        assert_eq!(said.err, format!("drx-ctl: {reason}\n"), "{line}");
    }
}
