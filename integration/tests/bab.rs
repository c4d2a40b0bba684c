//! BABs of real `drxd`: where their bytes live, what is committed of them, and how they are resized.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use drx_integration::pair::{Opening, Pair, Session, Site};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::names::ChannelType;
use drx_protocol::report::BabReport;
use drx_protocol::{Standing, State};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Of the data channel that stands.
fn bab(site: &Site<Process>) -> Result<BabReport, String> {
    let channels = site.resource()?.channels;
    let data = channels.iter().find(|channel| channel.channel_type == Some(ChannelType::Data));
    data.map(|data| data.bab.clone()).ok_or_else(|| "no data channel".to_owned())
}

#[track_caller]
fn until_full(site: &Site<Process>) -> BabReport {
    until_ok(LIMIT, || {
        let bab = bab(site)?;
        (bab.used == bab.size).then(|| bab.clone()).ok_or_else(|| format!("{bab:?} is not full"))
    })
}

/// Bytes wait at site one, more than the sockets hold; then the far bsr reads, and all of them are there.
fn backlog(pair: &mut Pair<Process>, volume: u64, while_it_waits: impl FnOnce(&Site<Process>)) {
    pair.two.bsr.bound_receive_buffer(32 * 1024);
    let Session { data: [near, far], meta: _meta } = pair.establish(Opening::DataByTwo);
    let pattern = Pattern::new(3);
    thread::scope(|scope| {
        scope.spawn(|| pattern.send(&near, 0, volume).expect("everything is taken"));
        while_it_waits(&pair.one);
        pattern.check(Read(&far), 0, volume, PIECE).expect("everything arrives");
    });
    assert!(pair.one.resource().unwrap().session, "bsr was not dropped");
}

/// A reader of a shared stream.
struct Read<'a>(&'a TcpStream);

impl std::io::Read for Read<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let mut stream = self.0;
        stream.read(bytes)
    }
}

fn until_held(site: &Site<Process>, least: u64) {
    until_ok(LIMIT, || {
        let held = bab(site)?.used;
        (held >= least).then_some(()).ok_or_else(|| format!("{held} bytes are held"))
    });
}

#[test]
fn memory_is_committed_as_it_is_used() {
    let settings = ["bab.size=64GiB", "bab.reserve=0", "bab.total=1TiB", "link.window=1MiB"];
    let mut pair = Pair::of_processes(&settings);
    assert_eq!(pair.one.node.figures().resident / MARGIN, 0, "nothing is used yet");
    backlog(&mut pair, 96 << 20, |one| {
        until_held(one, 64 << 20);
        let figures = one.node.figures();
        assert!(figures.peak < (96 << 20) + MARGIN, "{figures}");
    });
}

#[test]
fn a_file_takes_more_than_the_memory_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let at = format!("bab.directory={}", directory.path().display());
    let settings = ["bab.size=160MiB", "bab.reserve=0", "bab.backing=file", &at, "link.window=1MiB"];
    let mut pair = Pair::of_processes(&settings);
    backlog(&mut pair, 128 << 20, |one| {
        until_held(one, 96 << 20);
        // What the kernel can take back any time is not the relay's.
        let anonymous = status(&one.node, "RssAnon:");
        assert!(anonymous < MARGIN, "{anonymous} bytes");
    });
    assert_eq!(files(directory.path()), 0);
    pair.one.node.kill();
    assert_eq!(files(directory.path()), 0);
    pair.one.node.start();
    pair.one.until_session(false);
    pair.establish_again(Opening::DataByTwo, LIMIT);
}

/// 2 MiB, and what chunks take besides, is what everybody may lock.
#[test]
fn locked_memory_is_locked() {
    let settings = ["bab.size=2MiB", "bab.reserve=0", "bab.backing=locked", "link.window=64KiB"];
    let mut pair = Pair::of_processes(&settings);
    backlog(&mut pair, 16 << 20, |one| {
        until_full(one);
        let locked = status(&one.node, "VmLck:");
        assert!(locked >= 2 << 20, "{locked} bytes");
    });
}

#[test]
fn it_is_resized_while_bsr_goes_on() {
    let mut pair =
        Pair::of_processes(&["bab.size=1MiB", "bab.reserve=0", "link.window=64KiB", "bab.total=1GiB"]);
    backlog(&mut pair, 48 << 20, |one| {
        until_full(one);
        let answer = set(one, "32MiB", 0);
        assert_eq!(answer["in_force"][0]["value"], 32 << 20);
        assert_eq!(until_full(one).size, 32 << 20);
        let answer = set(one, "64KiB", 0);
        let used = 32 << 20;
        assert_eq!(
            answer["in_force"],
            json!([{ "connection": "r0-node2-node1", "value": 65536, "used": used }])
        );
        assert_eq!(set(one, "1020MiB", 0)["in_force"][0]["value"], 1020u64 << 20);
        let answer = set(one, "1GiB", 1);
        assert_eq!(answer["error"]["kind"], "refused");
        assert_eq!(bab(one).unwrap().size, 1020 << 20, "a refusal changes nothing");
    });
}

fn set(site: &Site<Process>, size: &str, status: i32) -> Value {
    let output = site.node.ctl(&["--json", "set", "r0", "bab.size", size]);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is missing is said in `status`, in the log once, and everything goes on when it is there.
#[test]
fn channels_wait_for_a_directory() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("bab");
    let at = format!("bab.directory={}", directory.display());
    let pair = Pair::new(|places| Process::start_new(places, &["bab.size=1MiB", "bab.backing=file", &at]));
    let why = format!("the BAB's memory is not there: no file can be made in {}", directory.display());
    for site in [&pair.one, &pair.two] {
        until("what is missing is said", LIMIT, || {
            let resource = site.resource().unwrap();
            let waits = |standing| standing == Standing::In(State::Allocating);
            let said = resource.trouble.iter().any(|trouble| trouble.starts_with(&why));
            (said && resource.channels.iter().all(|channel| waits(channel.standing))).then_some(())
        });
        let status = site.node.ctl(&["status", "r0"]);
        assert!(String::from_utf8(status.stdout).unwrap().contains(&why));
    }
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    pair.until_quiet();
    pair.establish(Opening::DataByTwo);
    let log = pair.one.node.log();
    let complaints = log.lines().filter(|line| line.contains("the BAB's memory cannot be reserved")).count();
    assert_eq!(complaints, 1);
    assert!(log.says(&["the BAB's memory is reserved"]));
}

fn files(directory: &Path) -> usize {
    directory.read_dir().unwrap().count()
}

/// A figure in /proc/PID/status, in bytes.
fn status(process: &Process, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says it");
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// What a relay takes beside its BABs.
const MARGIN: u64 = 64 << 20;
