//! What an operator and the system want of a real `drxd`: down, up, restart, stop; and what is flushed
//! before, or said to be lost.
#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::{end_of, until_read};
use drx_integration::forwarder::End;
use drx_integration::pair::{Opening, Pair, Session};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::names::{Lane, Role};
use drx_protocol::{Standing, State};
use serde_json::Value;

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Bytes that bsr at site two sent, and the other bsr does not read yet: the relays hold them. The far
/// end of data comes first.
struct Waiting {
    far: TcpStream,
    near: TcpStream,
    meta: [TcpStream; 2],
}

impl Waiting {
    fn new(pair: &mut Pair<Process>) -> Waiting {
        pair.one.bsr.bound_receive_buffer(32 * 1024);
        let Session { data: [far, near], meta } = pair.establish(Opening::DataByTwo);
        Pattern::new(5).send(&near, 0, VOLUME).unwrap();
        until_read(&near);
        until_ok(LIMIT, || {
            let held = pair.two.channel(Role::Acceptor, Lane::Zero)?.bab.used;
            (held > 0).then_some(()).ok_or_else(|| "nothing waits".to_owned())
        });
        Waiting { far, near, meta }
    }

    /// The far bsr reads: everything is there, and then both connections end, at both sides.
    #[track_caller]
    fn arrives(self) {
        let Waiting { far, near, meta: [meta_far, meta_near] } = self;
        assert_eq!(Pattern::new(5).check_to_end(&far, 0, PIECE), Ok(VOLUME));
        for end in [far, near, meta_far, meta_near] {
            assert_eq!(end_of(&end).1, 0);
        }
    }
}

#[test]
fn down_flushes_and_up_begins_anew() {
    let mut pair = Pair::of_processes(&["restart.max=200ms"]);
    for (command, comes_back) in [("down", false), ("restart", true)] {
        let waiting = Waiting::new(&mut pair);
        let mut done = pair.two.node.ctl_begin(&[command, "--wait", "--json", "r0"]);
        pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
        assert_eq!(done.try_wait().unwrap(), None, "{command} --wait does not wait for the flush");
        waiting.arrives();
        let done = done.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(json(&done)["finished"], true);
        assert_eq!(json(&done)["command"], command);
        if !comes_back {
            for (role, lane) in CHANNELS {
                pair.two.until_standing(role, lane, Standing::Down);
            }
            pair.one.until(Role::Acceptor, Lane::Zero, State::Bridging);
            assert!(pair.two.bsr.is_refused());
            assert!(pair.two.node.ctl(&["up", "r0-node1-node2"]).status.success());
        }
        pair.until_quiet();
        pair.establish(Opening::DataByTwo);
        pair.until_quiet();
    }
}

#[test]
fn a_command_without_wait_answers_at_once() {
    let mut pair = Pair::of_processes(&["restart.max=200ms"]);
    let waiting = Waiting::new(&mut pair);
    let begun = pair.two.node.ctl(&["down", "--json"]);
    assert!(begun.status.success(), "{begun:?}");
    assert_eq!(json(&begun)["finished"], false);
    pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
    waiting.arrives();
    pair.two.until_standing(Role::Acceptor, Lane::Zero, Standing::Down);
}

#[test]
fn sigterm_flushes_and_ends() {
    let mut pair = Pair::of_processes(&[]);
    let waiting = Waiting::new(&mut pair);
    pair.two.node.terminate();
    pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
    let refused = pair.two.node.ctl(&["--json", "restart", "r0"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(json(&refused)["error"]["kind"], "shutting_down");
    waiting.arrives();
    let status = pair.two.node.ended(LIMIT);
    assert_eq!(status.code(), Some(0));
    let log = pair.two.node.log();
    assert!(log.says(&["stopping: what the BABs hold is being flushed", "why: SIGTERM"]), "{log}");
    assert!(log.says(&["drxd has stopped"]) && !log.says(&["unflushed"]), "{log}");
    assert_eq!(pair.two.node.errors(), "", "nothing is said where nobody reads it");

    // It comes back as if nothing had been.
    pair.two.node.start();
    pair.establish(Opening::DataByTwo);
}

#[test]
fn a_second_sigterm_does_not_wait_for_the_flush() {
    let mut pair = Pair::of_processes(&[]);
    let waiting = Waiting::new(&mut pair);
    pair.two.node.terminate();
    pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
    let began = Instant::now();
    pair.two.node.terminate();
    let status = pair.two.node.ended(LIMIT);
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let lost = unflushed(&pair);
    assert!(lost > 0 && lost <= VOLUME, "{lost} bytes");
    // What did arrive is what was sent, as far as it goes.
    let came = Pattern::new(5).check_to_end(&waiting.far, 0, PIECE).unwrap();
    assert!(came + lost >= VOLUME, "{came} came, {lost} are said to be lost");
}

#[test]
fn a_flush_is_bounded_and_what_is_lost_is_said() {
    let mut pair = Pair::of_processes(&["link.close_pending_timeout=1s"]);
    let waiting = Waiting::new(&mut pair);
    let began = Instant::now();
    pair.two.node.terminate();
    let status = pair.two.node.ended(LIMIT);
    assert_eq!(status.code(), Some(0));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(1) + AT_ONCE, "{took:?}");
    assert!(unflushed(&pair) > 0);
    drop(waiting);
}

/// What was lost with a link has been lost then: a stop later on says nothing of it.
#[test]
fn a_stop_speaks_of_its_own_losses_only() {
    let mut pair = Pair::of_processes(&["restart.max=200ms", "link.resume_timeout=0"]);
    let waiting = Waiting::new(&mut pair);
    pair.way_to_one.cut(End::Finish);
    pair.way_to_two.cut(End::Finish);
    drop(waiting);
    pair.until_quiet();
    pair.two.node.terminate();
    assert_eq!(pair.two.node.ended(LIMIT).code(), Some(0));
    let log = pair.two.node.log();
    assert!(!log.says(&["unflushed"]), "{log}");
}

/// The bytes that the log warns of.
#[track_caller]
fn unflushed(pair: &Pair<Process>) -> u64 {
    let log = pair.two.node.log();
    let line = log.lines().find(|line| line.contains("WARN bytes of bsr's were left unflushed"));
    let line = line.unwrap_or_else(|| panic!("no warning:\n{log}"));
    line.split_once("bytes: ").unwrap().1.trim().parse().unwrap()
}

#[test]
fn exit_statuses_are_as_documented() {
    let mut pair = Pair::of_processes(&[]);
    let node = &pair.one.node;
    let cases: [(&[&str], i32); 9] = [
        (&["connections"], 0),
        (&["status", "r0"], 0),
        (&["--json", "co", "r0-node2-node1"], 0),
        (&["version"], 0),
        (&["down", "r9"], 1),
        (&["status", "r9"], 1),
        (&["frobnicate"], 2),
        (&["down", "a", "b"], 2),
        (&[], 2),
    ];
    for (arguments, status) in cases {
        let done = node.ctl(arguments);
        assert_eq!(done.status.code(), Some(status), "{arguments:?}: {done:?}");
        assert_eq!(done.stderr.is_empty(), status == 0, "{arguments:?}: {done:?}");
    }
    let unknown = node.ctl(&["--json", "up", "r9"]);
    assert_eq!(json(&unknown)["error"]["kind"], "unknown_name");
    let table = String::from_utf8(node.ctl(&["connections"]).stdout).unwrap();
    assert!(table.contains("r0-node2-node1") && table.contains("Established : 0"), "{table}");

    // Shutdown is what SIGTERM is.
    assert!(node.ctl(&["shutdown"]).status.success());
    assert_eq!(pair.one.node.ended(LIMIT).code(), Some(0));
    let nobody = pair.one.node.ctl(&["status"]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    assert_eq!(pair.one.node.ctl(&["version"]).status.code(), Some(0));
}

/// Again and again, with a session in between: nothing is left behind of it.
#[test]
fn a_resource_can_be_restarted_for_ever() {
    let pair = Pair::of_processes(&["restart.max=200ms"]);
    let mut files = None;
    for _ in 0..10 {
        let session = pair.establish(Opening::DataByTwo);
        let restart = pair.two.node.ctl_begin(&["restart", "--wait", "all"]);
        thread::scope(|scope| {
            let Session { data, meta } = session;
            for end in data.into_iter().chain(meta) {
                scope.spawn(move || end_of(&end));
            }
        });
        assert!(restart.wait_with_output().unwrap().status.success());
        pair.until_quiet();
        let first = *files.get_or_insert_with(|| pair.two.node.figures().files);
        until("files are closed", LIMIT, || (pair.two.node.figures().files <= first).then_some(()));
    }
}

const CHANNELS: [(Role, Lane); 4] = [
    (Role::Acceptor, Lane::Zero),
    (Role::Acceptor, Lane::One),
    (Role::Connector, Lane::Zero),
    (Role::Connector, Lane::One),
];
/// More than all kernels on the way hold, less than the BAB does.
const VOLUME: u64 = 32 << 20;
const AT_ONCE: Duration = Duration::from_secs(3);
