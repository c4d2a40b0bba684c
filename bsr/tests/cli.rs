//! The program: its commands, what they print, and their exit statuses.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A node: its files, and the process that runs it. It is killed with its test.
struct Node {
    dir: TempDir,
    config: PathBuf,
    running: Option<Child>,
}

impl Node {
    fn new(name: &str, id: u32, address: SocketAddr, peer: SocketAddr, more: &str) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("node.toml");
        let text = format!(
            r#"
name = "{name}"
node-id = {id}
peer-node-id = {}
volume = "disk.img"
metadata = "disk.meta"
socket = "sock"
address = "{address}"
peer = "{peer}"
{more}
[net]
verify-alg = "crc32c"
connect-int = 1
socket-check-timeout = 1
"#,
            1 - id
        );
        fs::write(&config, text).unwrap();
        Node { dir, config, running: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drx-bsr"));
        command.arg("-c").arg(&self.config).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments))
    }

    /// What it prints when it succeeds.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{complained}{}", self.log());
        said
    }

    /// What it complains of when it fails with this status.
    fn fails(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complained = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complained}{}", self.log());
        assert_eq!(text(&output.stdout), "");
        complained
    }

    /// Returns when it says that it is ready.
    fn up(&mut self, options: &[&str]) {
        let mut command = self.command(&["up", "--log", self.path("log").to_str().unwrap()]);
        let mut child = command.args(options).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        self.running = Some(child);
        let (said, saying) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = out.read_line(&mut line);
            let _ = said.send(line);
        });
        assert_eq!(saying.recv_timeout(LIMIT).unwrap(), "ready\n", "{}", self.log());
    }

    /// Its exit status.
    fn ended(&mut self) -> Option<i32> {
        let mut child = self.running.take().unwrap();
        let end = Instant::now() + LIMIT;
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > end => {
                    child.kill().unwrap();
                    panic!("it does not end: {}", self.log());
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Two nodes that dial each other.
fn pair(more: &str) -> (Node, Node) {
    let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two] = ports.each_ref().map(|listener| listener.local_addr().unwrap());
    (Node::new("n0", 0, one, two, more), Node::new("n1", 1, two, one, ""))
}

/// A node that stands alone.
fn alone(more: &str) -> Node {
    let (mut node, _) = pair(more);
    node.done(&["create", "--size", "4M"]);
    node.up(&["--standalone"]);
    node
}

fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_pair_from_creation_to_its_end() {
    let (mut one, mut two) = pair("");
    for node in [&mut one, &mut two] {
        node.done(&["create", "--size", "8M"]);
        node.up(&[]);
    }
    one.done(&["wait", "--connection", "Connected", "--role", "Secondary/Secondary"]);
    assert!(one.fails(1, &["primary"]).contains("no disk that is up to date"));
    one.done(&["primary", "--force"]);
    one.done(&["wait", "--connection", "Connected", "--disk", "UpToDate/UpToDate"]);
    two.done(&["wait", "--disk", "UpToDate/UpToDate", "--role", "Secondary/Primary"]);

    one.done(&["fill", "--seed", "5"]);
    assert_eq!(one.done(&["check", "--seed", "5"]), "8388608 bytes are as filled\n");
    assert!(one.fails(1, &["check", "--seed", "6"]).contains("differs first at byte 0"));
    assert_eq!(one.done(&["verify", "--wait"]), "0 bytes differ\n");

    let image = one.path("image");
    fs::write(&image, [0x5a; 3 * 512]).unwrap();
    one.done(&["write", "--at", "1M", image.to_str().unwrap()]);
    let back = one.path("back");
    one.done(&["read", "--at", "1M", "--length", "1536", back.to_str().unwrap()]);
    assert_eq!(fs::read(&back).unwrap(), [0x5a; 3 * 512]);
    assert!(one.fails(1, &["check", "--seed", "5"]).contains("differs first at byte 1048576"));
    assert!(two.fails(1, &["read", "--at", "0", "--length", "512"]).contains("this node is not primary"));
    assert!(two.fails(1, &["primary"]).contains("the other node is primary"));

    // Apart, and together again.
    one.done(&["disconnect"]);
    one.done(&["wait", "--connection", "StandAlone"]);
    one.done(&["fill", "--seed", "9", "--at", "512k", "--length", "64k"]);
    let status = one.status();
    assert_eq!((&status["connection"], &status["out_of_sync"]), (&"StandAlone".into(), &65536.into()));
    let late = one.fails(1, &["wait", "--connection", "Connected", "--timeout", "0.05"]);
    assert!(late.starts_with("drx-bsr: not in time: n0: cs:StandAlone ro:Primary/Unknown"), "{late}");
    one.done(&["connect"]);
    one.done(&["wait", "--connection", "Connected", "--disk", "UpToDate/UpToDate"]);

    // The other way round.
    one.done(&["secondary"]);
    two.done(&["wait", "--role", "Secondary/Secondary"]);
    two.done(&["primary"]);
    two.done(&["check", "--seed", "9", "--at", "512k", "--length", "64k"]);
    two.done(&["invalidate-remote"]);
    two.done(&["wait", "--connection", "Connected", "--disk", "UpToDate/UpToDate"]);

    let said = two.done(&["status"]);
    assert!(
        said.starts_with("n1: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C oos:0\n"),
        "{said}"
    );
    two.done(&["down"]);
    one.done(&["down"]);
    assert_eq!((one.ended(), two.ended()), (Some(0), Some(0)));
    assert!(fs::read(one.path("disk.img")).unwrap() == fs::read(two.path("disk.img")).unwrap());
    assert!(one.log().contains("connection: WFConnection -> WFReportParams"), "{}", one.log());
}

#[test]
fn the_status_has_all_that_is_promised() {
    let node = alone("nbd = \"unix:nbd\"");
    let Value::Object(status) = node.status() else { panic!() };
    let keys: Vec<&str> = status.keys().map(String::as_str).collect();
    let expected = [
        "attempts",
        "connection",
        "disk",
        "generations",
        "in_flight",
        "last_break",
        "name",
        "nbd_clients",
        "out_of_sync",
        "peer_disk",
        "peer_role",
        "program",
        "protocol",
        "received",
        "requests",
        "resync",
        "resync_received",
        "resync_sent",
        "resyncs",
        "role",
        "size",
        "verify",
        "version",
        "written",
    ];
    assert_eq!(keys, expected);
    assert_eq!(status["size"], 4 << 20);
    assert_eq!(status["generations"]["current"], "0000000000000004");
    assert_eq!(status["disk"], "Inconsistent");
    assert_eq!(status["peer_disk"], "DUnknown");
    assert_eq!(status["version"], Value::Null);
    assert!(node.path("nbd").exists());
}

#[test]
fn a_node_is_there_once() {
    let mut node = alone("");
    let mode = fs::metadata(node.path("sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(node.fails(1, &["up"]).contains("another node runs with the control socket"));
    // Under another name it is still the same volume.
    let other = node.path("other.toml");
    fs::write(&other, fs::read_to_string(&node.config).unwrap().replace("\"sock\"", "\"other\"")).unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_drx-bsr"));
    second.arg("-c").arg(&other).arg("up");
    let said = output(second);
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("is in use by another process"), "{}", text(&said.stderr));
    assert!(!node.path("other").exists(), "its socket goes with it");

    // Killed, it leaves a socket that nobody has.
    node.running.as_mut().unwrap().kill().unwrap();
    node.ended();
    assert!(node.path("sock").exists());
    assert!(node.fails(3, &["status"]).contains("no node answers on"));
    node.up(&["--standalone"]);
    node.done(&["down"]);
    assert_eq!(node.ended(), Some(0));
    assert!(!node.path("sock").exists());
    assert!(node.fails(3, &["down"]).contains("no node answers on"));
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        let mut node = alone("nbd = \"unix:nbd\"");
        node.done(&["primary", "--force"]);
        node.done(&["fill", "--seed", "1"]);
        let id = node.running.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(node.ended(), Some(0), "{}", node.log());
        assert!(node.log().contains(&format!("SIG{signal}: going down")), "{}", node.log());
        assert!(!node.path("sock").exists() && !node.path("nbd").exists());
        node.up(&["--standalone"]);
        assert_eq!(node.status()["disk"], "UpToDate");
        assert!(!node.log().contains("was primary when it ended"), "{}", node.log());
    }
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let (mut node, _) = pair("");
    assert!(node.fails(3, &["status"]).contains("no node answers on"));
    let said = node.fails(1, &["up"]);
    assert!(said.contains("disk."), "{said}");
    node.done(&["create", "--size", "4M"]);
    assert!(node.fails(1, &["create"]).contains("is there already"));
    node.done(&["create", "--force"]);
    node.up(&["--standalone"]);
    node.done(&["primary", "--force"]);

    assert!(node.fails(2, &["frobnicate"]).contains("unrecognized subcommand"));
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_drx-bsr"));
    nowhere.args(["-c", "/nowhere/x.toml", "status"]);
    let said = output(nowhere);
    assert_eq!((said.status.code(), said.stdout), (Some(2), Vec::new()));
    assert!(text(&said.stderr).contains("/nowhere/x.toml: cannot be read"));
    assert!(node.fails(1, &["verify"]).contains("there is no connection"));
    assert_eq!(node.done(&["write", "--at", "1"]), "", "nothing is written anywhere");
    let odd = node.path("odd");
    fs::write(&odd, [1; 700]).unwrap();
    let said = node.fails(1, &["write", "--at", "0", odd.to_str().unwrap()]);
    assert!(said.contains("700 bytes are no whole sectors of 512"), "{said}");
    let whole = node.path("whole");
    fs::write(&whole, [1; 512]).unwrap();
    for at in ["1", "4M"] {
        let said = node.fails(1, &["write", "--at", at, whole.to_str().unwrap()]);
        assert!(said.contains("not within the volume, or not in whole sectors"), "{at}: {said}");
    }
    assert!(node.fails(1, &["read", "--at", "4M", "--length", "512"]).contains("not within the volume"));
    assert!(
        node.fails(1, &["fill", "--seed", "1", "--at", "5M"]).contains("the volume ends at byte 4194304")
    );
    assert!(node.fails(1, &["read", "--at", "0", "--length", "512", "/nowhere/x"]).contains("/nowhere/x"));
}

#[test]
fn clients_cost_no_more_than_they_may() {
    let node = alone("");
    let connect = || UnixStream::connect(node.path("sock")).unwrap();
    let ask = |bytes: &[u8]| {
        let mut stream = connect();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // It may close before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        answer
    };
    let cases: [(&[u8], &str); 8] = [
        (b"hello\n", "bad_request"),
        (b"{\"command\":\"explode\"}\n", "unknown variant `explode`"),
        (b"{\"command\":\"status\",\"more\":1}\n", "unknown field `more`"),
        (b"{\"command\":\"read\",\"offset\":0,\"length\":4294967296}\n", "bad_request"),
        (b"{\"command\":\"write\",\"offset\":0,\"length\":2097152}\n", "2097152 bytes are more than 1048576"),
        (b"{\"command\":\"wait\",\"disk\":\"Fine\",\"milliseconds\":1}\n", "no such state"),
        (&[b'x'; 5000], "more than 4096 bytes"),
        (b"{\"command\":\"read\",\"offset\":0,\"length\":512}\n", "\"kind\":\"not_primary\""),
    ];
    for (request, expected) in cases {
        let answer = ask(request);
        assert!(answer.contains(expected), "{}: {answer}", String::from_utf8_lossy(request));
    }
    // No more of them than there are places; who goes leaves his.
    let end = Instant::now() + LIMIT;
    let place = || loop {
        let mut stream = connect();
        let _ = stream.write_all(b"{\"command\":\"status\"}\n");
        let mut answer = String::new();
        let _ = BufReader::new(&stream).read_line(&mut answer);
        if answer.starts_with("{\"status\"") {
            return stream;
        }
        assert!(Instant::now() < end, "{answer}");
    };
    let crowd: Vec<UnixStream> = (0..16).map(|_| place()).collect();
    assert!(node.fails(1, &["status"]).contains("16 clients are connected already"));
    drop(crowd);
    drop(place());
}

#[test]
fn a_write_from_a_pipe_goes_on_as_it_comes() {
    let node = alone("");
    node.done(&["primary", "--force"]);
    let mut command = node.command(&["write", "--at", "0"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    for part in 0..48 {
        to.write_all(&vec![part; 64 << 10]).unwrap();
    }
    drop(to);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let read = node.run(&["read", "--at", "0", "--length", "3M"]).stdout;
    assert_eq!(read.len(), 3 << 20);
    assert!(read.chunks(64 << 10).zip(0..).all(|(chunk, part)| chunk.iter().all(|byte| *byte == part)));
}
