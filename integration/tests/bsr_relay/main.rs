//! `drx-bsr` nodes that replicate through two real `drxd`: as kernels do, they know nothing of relays.
#![allow(clippy::unwrap_used)]

mod relayed;
mod tools;

use std::thread;
use std::time::Duration;

use drx_bsr::shell::control::Request;
use drx_integration::application::End;
use drx_integration::nbd::Ask;
use drx_integration::pair::Pair;
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until};
use relayed::{Plan, Relayed};

#[test]
fn every_protocol_opened_as_bsr_does() {
    ['A', 'B', 'C'].into_iter().for_each(|protocol| replicate(protocol, false));
}

#[test]
fn every_protocol_opened_as_drbd_does() {
    ['A', 'B', 'C'].into_iter().for_each(|protocol| replicate(protocol, true));
}

/// A first resync, writes each way, a verify after each, an orderly end.
fn replicate(protocol: char, drbd: bool) {
    let mut relayed = Relayed::new(&Plan { protocol, drbd, ..Plan::default() });
    for primary in [0, 1] {
        relayed.start_load();
        relayed.write(300);
        relayed.stop_load(End::Told);
        relayed.compare();
        if primary == 0 {
            assert_eq!(relayed.nodes[0].order(&Request::Secondary {}), Ok(()));
            relayed.nodes[1].until("both secondary", |report| report.peer_role == "Secondary");
            assert_eq!(relayed.nodes[1].order(&Request::Primary { force: false }), Ok(()));
            relayed.primary = 1;
        }
    }
    assert!(!relayed.has_lost(), "one session for all of it");
    relayed.nodes.iter_mut().for_each(|node| node.down());
    relayed.pair.until_quiet();
}

/// Writes wait, or go on; no session ends, neither the nodes' nor the relays'.
#[test]
fn a_line_that_is_away_for_a_moment_is_not_noticed() {
    for protocol in ['A', 'C'] {
        let mut relayed = Relayed::new(&Plan { protocol, ..Plan::default() });
        relayed.start_load();
        relayed.write(50);
        for _ in 0..2 {
            relayed.cut_line();
            thread::sleep(AWAY);
            relayed.mend_line();
            relayed.write(100);
        }
        relayed.stop_load(End::Told);
        relayed.until_well();
        assert!(!relayed.has_lost());
        let resumes: u64 = channels(&relayed.pair).map(|channel| channel.resumes).sum();
        assert!(resumes > 0, "the line was away");
        relayed.compare();
    }
}

/// For longer than `resume_timeout`: the nodes part, the primary goes on, and what it wrote meanwhile is all that is
/// resynced.
#[test]
fn a_line_that_is_away_for_longer_costs_a_resync_by_bitmap() {
    for drbd in [false, true] {
        let relays = ["restart.max=200ms", "link.resume_timeout=1s"];
        let mut relayed = Relayed::new(&Plan { relays: &relays, drbd, ..Plan::default() });
        relayed.start_load();
        relayed.write(50);
        relayed.cut_line();
        relayed.until_both("apart", |report| report.connection == "WFConnection");
        relayed.write(50);
        relayed.stop_load(End::Told);
        let missing = relayed.nodes[0].status().unwrap().out_of_sync;
        relayed.mend_line();
        relayed.until_well();
        let by_bitmap = || relayed.nodes[0].log().says(&["rule 70", "Source { full: false }"]).then_some(());
        until("a resync by bitmap is told", LIMIT, by_bitmap);
        let resynced = relayed.nodes[1].status().unwrap().resync_received;
        assert_eq!(resynced - Plan::default().bytes, missing, "after the first resync, that of all");
        relayed.compare();
    }
}

/// In the midst of a resync the line goes away for a moment: it goes on.
#[test]
fn a_resync_outlives_a_moment_without_a_line() {
    let mut relayed = Relayed::new(&Plan { bytes: 96 << 20, ..Plan::default() });
    assert_eq!(relayed.nodes[0].order(&Request::InvalidateRemote {}), Ok(()));
    relayed.nodes[1].until("in the midst of it", |report| {
        report.resync.is_some_and(|resync| resync.left < resync.total && resync.left > resync.total / 4)
    });
    relayed.cut_line();
    thread::sleep(AWAY);
    let left = relayed.nodes[1].status().unwrap().resync.map(|resync| resync.left);
    assert!(left.is_some_and(|left| left > 0), "it was over before the line went away");
    relayed.mend_line();
    relayed.until_well();
    assert!(!relayed.has_lost());
    relayed.compare();
}

/// What it held is lost: the nodes hear of it, and begin again.
#[test]
fn a_relay_that_is_killed_costs_a_resync() {
    for victim in [0, 1] {
        let mut relayed = Relayed::new(&Plan::default());
        relayed.start_load();
        relayed.write(50);
        relayed.pair.site_mut(victim).node.kill();
        relayed.nodes[victim].until("apart", |report| report.connection != "Connected");
        relayed.pair.site_mut(victim).node.start();
        until("both nodes have parted", LIMIT, || {
            relayed.nodes.iter().all(|node| node.status().unwrap().last_break.is_some()).then_some(())
        });
        relayed.until_well();
        relayed.write(50);
        relayed.stop_load(End::Told);
        relayed.compare();
    }
}

#[test]
fn a_node_that_is_killed_comes_back() {
    let mut relayed = Relayed::new(&Plan::default());
    relayed.start_load();
    relayed.write(50);
    relayed.nodes[1].kill();
    relayed.write(50);
    relayed.nodes[1].start();
    relayed.until_well();
    relayed.write(50);

    relayed.nodes[0].kill();
    relayed.stop_load(End::Broken);
    // The other one has all that was acknowledged, and goes on with it.
    relayed.nodes[1].until("alone", |report| report.connection == "WFConnection");
    assert_eq!(relayed.nodes[1].order(&Request::Primary { force: false }), Ok(()));
    relayed.primary = 1;
    let volume = relayed.nodes[1].nbd().read_all().unwrap();
    {
        let mut model = relayed.model.lock().unwrap();
        assert_eq!(model.check(0, &volume, model.now()), Ok(()));
        model.settle(&volume);
    }
    relayed.start_load();
    relayed.write(50);
    relayed.nodes[0].start();
    relayed.until_well();
    relayed.write(50);
    relayed.stop_load(End::Told);
    relayed.compare();
}

/// What a node that was killed had sent may still be in the relays: none of it comes to the next session.
#[test]
fn nothing_of_a_dead_session_comes_to_the_next() {
    let mut relayed = Relayed::new(&Plan { protocol: 'A', ..Plan::default() });
    for round in 0..4 {
        relayed.start_load();
        relayed.write(30);
        // With data under way, and both relays holding some of it.
        relayed.cut_line();
        relayed.write(10);
        relayed.nodes[0].kill();
        relayed.stop_load(End::Broken);
        relayed.nodes[0].start();
        relayed.mend_line();
        relayed.until_well();
        assert_eq!(relayed.nodes[0].order(&Request::Primary { force: false }), Ok(()), "round {round}");
        relayed.compare();
    }
    assert!(!relayed.nodes.iter().any(|node| node.log().says(&["protocol error"])));
}

/// A single write is on the other disk when it is acknowledged, however many processes it went through.
#[test]
fn protocol_c_writes_are_there_when_they_are_acknowledged() {
    let relayed = Relayed::new(&Plan::default());
    let mut nbd = relayed.nodes[0].nbd();
    for number in 1..=50u8 {
        let (at, data) = (usize::from(number) * 8192, [number; 4096]);
        nbd.send(Ask::Write(at as u64, &data, false)).unwrap();
        assert_eq!(nbd.reply().unwrap().error, 0);
        let there = std::fs::read(relayed.nodes[1].volume()).unwrap();
        assert_eq!(there[at..at + 4096], data, "write {number}");
    }
}

fn channels(pair: &Pair<Process>) -> impl Iterator<Item = drx_protocol::report::ChannelReport> {
    [&pair.one, &pair.two].into_iter().flat_map(|site| site.resource().unwrap().channels)
}

/// Shorter than any patience of a node, or of a relay.
const AWAY: Duration = Duration::from_millis(1500);
