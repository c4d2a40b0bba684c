//! What becomes of replication when the line between the sites is long, bad, or away.

use std::thread;
use std::time::{Duration, Instant};

use drx_integration::hosts::way::Passage;

use crate::on_both_families;
use crate::world::{Plan, SLACK, World};

/// 25 ms each way, and of 200 packets one is lost.
#[test]
fn a_long_line_that_loses_packets() {
    on_both_families(|family| {
        let plan = Plan { family, protocol: 'A', ..Plan::default() };
        let mut world = World::with(&plan, |network, _| {
            network.line.change_both(|weather| {
                weather.delay = Duration::from_millis(25);
                weather.loss = 0.005;
            });
        });
        world.sync(plan.bytes);
        world.start_load();
        world.write(500);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());
        assert_eq!(world.resumes(), 0, "TCP sends again what is lost: no link breaks");
        for way in world.network.line.counts() {
            assert!(way.lost > 0, "{way:?}");
        }
        for channel in world.channels() {
            // Twice 25 ms, and what is lost takes longer.
            let rtt = channel.rtt_seconds.expect("every link has a PING");
            assert!((0.05..2.0).contains(&rtt), "{rtt} s");
        }
    });
}

/// 2 MB/s with a short queue before it: it overflows, and the BAB takes what comes meanwhile.
#[test]
fn a_narrow_line_whose_queue_overflows() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, protocol: 'A', ..Plan::default() });
        world.network.line.change_both(|weather| {
            weather.rate = 2_000_000;
            weather.delay = Duration::from_millis(10);
        });
        world.start_load();
        world.write(1000);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());
        let overflowed: u64 = world.network.line.counts().iter().map(|way| way.overflowed).sum();
        assert!(overflowed > 0);
    });
}

/// With clocks shorter than the cut, a link is given up and resumed; with those of the default, TCP waits, and nobody
/// even notices. Either way the nodes see a pause.
#[test]
fn a_cut_of_3_s_is_not_noticed_by_the_nodes() {
    on_both_families(|family| {
        for (relays, resumed) in [(HASTY, true), (&[][..], false)] {
            let mut world = World::synced(&Plan { family, relays, ..Plan::default() });
            world.start_load();
            world.write(100);
            let since = [0, 1].map(|site| world.relays[site].log_lines());
            world.network.line.cut();
            thread::sleep(Duration::from_secs(3));
            world.network.line.open();
            world.write(100);
            world.stop_load();
            world.compare();
            assert!(!world.has_lost(), "{resumed}");
            assert_eq!(world.resumes() > 0, resumed);
            for (relay, since) in world.relays.iter().zip(since) {
                let log = relay.log().since(since);
                assert_eq!(log.says(&["from: resuming, to: established"]), resumed, "{log}");
                assert!(!log.says(&["lane: 0", "to: stopping"]), "{log}");
            }
        }
    });
}

/// Only one way: who hears nothing says so, and the other one hears that.
#[test]
fn one_way_of_the_line_is_cut() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, relays: HASTY, ..Plan::default() });
        for deaf in [0, 1] {
            world.start_load();
            world.write(50);
            let since = [0, 1].map(|site| world.relays[site].log_lines());
            world.network.line.change(deaf, |way| way.passage = Passage::Cut);
            world.relays[deaf].until_logged(since[deaf], &["to: resuming", "the other DRX was silent for"]);
            world.relays[1 - deaf].until_logged(since[1 - deaf], &["to: resuming"]);
            thread::sleep(Duration::from_secs(1));
            world.network.line.open();
            world.write(50);
            world.stop_load();
            world.compare();
            assert!(!world.has_lost());
        }
    });
}

/// Packets wait and none is lost, as when a line is switched over.
#[test]
fn a_line_that_stands_still_for_a_moment() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, ..Plan::default() });
        world.start_load();
        for _ in 0..3 {
            world.write(50);
            world.network.line.freeze();
            thread::sleep(Duration::from_millis(1500));
            world.network.line.open();
        }
        world.write(50);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());
        assert_eq!(world.resumes(), 0, "shorter than keepalive_timeout");
    });
}

/// Longer than `resume_timeout`: the nodes part, the first goes on, and what it wrote meanwhile is resynced.
#[test]
fn a_long_cut_costs_a_resync_by_bitmap() {
    on_both_families(|family| {
        let relays = [HASTY, &["link.resume_timeout=1s"]].concat();
        let plan = Plan { family, relays: &relays, ..Plan::default() };
        let mut world = World::synced(&plan);
        world.start_load();
        world.write(50);
        world.network.line.cut();
        world.until_both("apart", |report| report.connection == "WFConnection");
        world.write(50);
        world.stop_load();
        let missing = world.nodes[0].status().unwrap().out_of_sync;
        assert!(missing > 0 && missing < plan.bytes, "{missing}");
        for site in [0, 1] {
            let cannot = "the remote DRX is off, or the two DRX cannot reach each other";
            world.until_resource(site, cannot, |report| report.situation == cannot);
        }
        world.network.line.open();
        world.until_well();
        assert!(world.nodes[0].log().says(&["rule 70", "Source { full: false }"]));
        let resynced = world.nodes[1].status().unwrap().resync_received;
        assert_eq!(resynced - plan.bytes, missing, "after the first resync, that of all");
        world.compare();
    });
}

/// No RST, no ICMP: only silence tells.
#[test]
fn a_black_hole_is_noticed_within_keepalive_timeout() {
    on_both_families(|family| {
        let relays = ["link.keepalive_interval=500ms", "link.keepalive_timeout=2s"];
        let mut world = World::synced(&Plan { family, relays: &relays, ..Plan::default() });
        let since = [0, 1].map(|site| world.relays[site].log_lines());
        world.network.line.cut();
        let began = Instant::now();
        for (relay, since) in world.relays.iter().zip(since) {
            relay.until_logged(since, &["to: resuming", "the other DRX was silent for 2."]);
        }
        let took = began.elapsed();
        // The last PING's answer may have come just before the cut, or an interval before it.
        let [least, most] = [Duration::from_millis(1500), Duration::from_millis(2500)];
        assert!(took > least && took < most + SLACK, "{took:?}");
        println!("{family:?}: noticed after {took:?}");
        world.network.line.open();
        world.start_load();
        world.write(50);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());
    });
}

/// A relay that dies while nobody can tell the other one so: it finds out from the next life.
#[test]
fn a_relay_that_dies_behind_a_cut_line() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, ..Plan::default() });
        for victim in [1, 0] {
            world.start_load();
            world.write(50);
            world.network.line.cut();
            world.relays[victim].kill();
            world.start_relay(victim);
            let since = world.relays[1 - victim].log_lines();
            world.network.line.open();
            world.until_lost();
            world.until_well();
            world.write(50);
            world.stop_load();
            world.compare();
            let log = world.relays[1 - victim].log().since(since);
            assert!(!log.says(&["from: resuming, to: established"]), "what it held is lost:\n{log}");
            world.forget_ends();
        }
    });
}

/// Its kernel closes what it had: the other one hears of it at once, and waits for it as long as it may come back.
#[test]
fn a_relay_that_is_started_again_under_load() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, ..Plan::default() });
        for victim in [1, 0] {
            world.start_load();
            world.write(50);
            let since = world.relays[1 - victim].log_lines();
            world.relays[victim].kill();
            world.relays[1 - victim].until_logged(since, &["from: established, to: resuming"]);
            world.start_relay(victim);
            world.until_lost();
            world.until_well();
            world.write(50);
            world.stop_load();
            world.compare();
            world.forget_ends();
        }
    });
}

/// Silence is noticed soon.
pub const HASTY: &[&str] = &["link.keepalive_interval=200ms", "link.keepalive_timeout=1s"];
