//! Two `drxd` that are told of no resource: connections come and go over their control sockets, as `proxy-up` and
//! `proxy-down` have it.
#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use drx_integration::bsr::{end_of, until_read};
use drx_integration::figures::Figures;
use drx_integration::pair::{Node, Opening, Pair, Places, Session, Site};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::State;
use drx_protocol::names::{Lane, Role};
use serde_json::{Value, json};

#[test]
fn what_is_added_carries_and_comes_again() {
    let mut pair = pair(&[], |places| places.node.clone());
    for round in 0..3 {
        for site in [&pair.one, &pair.two] {
            assert!(reports(site).is_empty(), "round {round}");
            assert!(site.bsr.is_refused());
            add(site).unwrap();
            add(site).expect("again it changes nothing");
        }
        pair.until_quiet();
        let Session { data: [one, two], meta: [meta_one, meta_two] } = pair.establish(Opening::DataByTwo);
        Pattern::new(round).send(&two, 0, VOLUME).unwrap();
        std::thread::scope(|scope| {
            let checked = scope.spawn(|| Pattern::new(round).check_to_end(&one, 0, PIECE));
            // What is still in the kernel is not the relay's to flush.
            until_read(&two);
            remove(&pair.two);
            assert_eq!(checked.join().unwrap(), Ok(VOLUME), "all of it arrives, then the connection ends");
        });
        for end in [&two, &meta_one, &meta_two] {
            assert_eq!(end_of(end).1, 0);
        }
        drop((one, two, meta_one, meta_two));
        remove(&pair.one);
        for site in [&pair.one, &pair.two] {
            until_gone(site);
        }
    }
    for site in [&mut pair.one, &mut pair.two] {
        // By then everything is written.
        site.node.terminate();
        assert_eq!(site.node.ended(LIMIT).code(), Some(0));
        let log = site.node.log();
        assert!(!log.says(&["ERRO"]) && !log.says(&["unflushed"]), "{log}");
        let count =
            |words: &[&str]| log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        assert_eq!(count(&["INFO adding a connection"]), 3, "{log}");
        assert_eq!(count(&["INFO removed a connection"]), 3, "{log}");
        assert_eq!(site.node.errors(), "");
    }
}

/// The machine with the relay has another name than the node that it serves; the other side is as always.
#[test]
fn a_connection_has_its_own_name_for_the_node() {
    let pair = pair(&[], |places| format!("relay-of-{}", places.node));
    add(&pair.one).unwrap();
    add(&pair.two).unwrap();
    pair.until_quiet();
    pair.establish(Opening::BothByOne);
    assert_eq!(pair.one.resource().unwrap().connection(), "r0-node2-node1");
    let log = pair.one.node.log();
    assert!(!log.says(&["names do not match"]), "{log}");
}

/// While the far side does not read: what was sent is lost, and said to be.
#[test]
fn added_again_in_the_midst_of_a_flush() {
    let mut pair = pair(&[], |places| places.node.clone());
    pair.one.bsr.bound_receive_buffer(32 * 1024);
    add(&pair.one).unwrap();
    add(&pair.two).unwrap();
    pair.until_quiet();
    let session = pair.establish(Opening::DataByTwo);
    let [_, near]: &[TcpStream; 2] = &session.data;
    Pattern::new(5).send(near, 0, VOLUME).unwrap();
    until_read(near);
    let since = pair.two.node.log_lines();
    remove(&pair.two);
    pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
    let refused = pair.two.node.ask(&json!({ "command": "restart", "name": "r0" })).unwrap_err();
    assert!(refused.contains("is being removed"), "{refused}");
    let began = Instant::now();
    add(&pair.two).unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    pair.two.node.until_logged(since, &["WARN bytes of bsr's were left unflushed"]);
    let log = pair.two.node.log();
    let lost = log.lines().find(|line| line.contains("left unflushed")).unwrap();
    let bytes: u64 = lost.rsplit_once("bytes: ").unwrap().1.trim().parse().unwrap();
    assert!(bytes > 0 && bytes <= VOLUME, "{lost}");
    drop(session);
    pair.until_quiet();
    pair.establish(Opening::DataByTwo);
    assert!(!pair.two.node.log().says(&["cannot listen"]));
}

/// Every tenth time with a session, and now and then without waiting for anything.
#[test]
fn two_hundred_times_and_nothing_is_left() {
    let pair = pair(&["log.level=info"], |places| places.node.clone());
    let sites = [&pair.one, &pair.two];
    let cycle = |number: u32| {
        for site in sites {
            add(site).unwrap();
        }
        if number.is_multiple_of(10) {
            pair.until_quiet();
            drop(pair.establish(Opening::DataByOne));
        }
        sites.into_iter().for_each(remove);
        if !number.is_multiple_of(3) {
            sites.into_iter().for_each(until_gone);
        }
    };
    // What a thread keeps once it has been used is there by then.
    (0..20).for_each(cycle);
    let settled = || {
        sites.into_iter().for_each(until_gone);
        sites.map(|site| Figures::settled(site.node.pid()))
    };
    let before = settled();
    (0..200).for_each(cycle);
    let after = settled();
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!(
            (after.files, after.sockets, after.threads),
            (before.files, before.sockets, before.threads)
        );
        let grown = after.resident.saturating_sub(before.resident);
        assert!(grown < 16 << 20, "from {before} to {after}");
    }
    for site in sites {
        let log = site.node.log();
        assert!(!log.says(&["ERRO"]) && !log.says(&["cannot listen"]), "{log}");
    }
    pair.one.node.ask(&json!({ "command": "report" })).unwrap();
}

/// Two relays without resources, by these names.
fn pair(settings: &[&str], name: impl Fn(&Places) -> String) -> Pair<Process> {
    let settings: Vec<&str> = ["restart.max=200ms"].iter().chain(settings).copied().collect();
    Pair::new(|places| Process::start_empty(&name(places), &settings))
}

fn connection(site: &Site<Process>) -> String {
    let Places { node, resource, remote, .. } = &site.places;
    format!("{resource}-{remote}-{node}")
}

fn add(site: &Site<Process>) -> Result<Value, String> {
    let Places { bsr, inside, outside, peer, .. } = &site.places;
    let request = json!({ "command": "add_connection", "name": connection(site),
        "inside": inside, "peer": peer, "outside": outside, "bsr": bsr });
    site.node.ask(&request)
}

#[track_caller]
fn remove(site: &Site<Process>) {
    let began = Instant::now();
    site.node.ask(&json!({ "command": "remove_connection", "name": connection(site) })).unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

fn reports(site: &Site<Process>) -> Vec<String> {
    let report = until_ok(LIMIT, || site.node.report());
    report.resources.iter().map(|resource| resource.connection()).collect()
}

#[track_caller]
fn until_gone(site: &Site<Process>) {
    until(format_args!("{} is gone", connection(site)), LIMIT, || reports(site).is_empty().then_some(()));
}

/// More than all kernels on the way hold, less than the BAB does.
const VOLUME: u64 = 32 << 20;
const AT_ONCE: Duration = Duration::from_secs(3);
