//! Addresses and interfaces that go away and come back, as a host's own administration makes them.

use std::thread;
use std::time::Duration;

use drx_integration::wait::{LIMIT, until};
use drx_protocol::names::Role;

use crate::line::HASTY;
use crate::on_both_families;
use crate::world::{Plan, World};

/// Shorter than `resume_timeout`, and longer than the relays' patience with silence.
const AWAY: Duration = Duration::from_secs(3);

/// The address at which a relay is known, and from which it dials, is taken from its host and given back.
#[test]
fn outside_is_away_for_a_moment() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, relays: HASTY, ..Plan::default() });
        for site in [0, 1] {
            world.start_load();
            world.write(50);
            let since = [0, 1].map(|site| world.relays[site].log_lines());
            world.network.sites[site].remove_outside();
            thread::sleep(AWAY);
            world.network.sites[site].add_outside();
            world.write(50);
            world.stop_load();
            world.compare();
            world.until_linked();
            assert!(!world.has_lost(), "{family:?} {site}");
            for (relay, since) in world.relays.iter().zip(since) {
                let log = relay.log().since(since);
                assert!(log.says(&["from: resuming, to: established"]), "{log}");
            }
            // Why it did not come back earlier is told by who could not dial.
            let log = world.relays[site].log().since(since[site]);
            assert!(log.says(&["Cannot assign requested address"]), "{log}");
        }
    });
}

#[test]
fn the_interface_is_down_for_a_moment() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, relays: HASTY, ..Plan::default() });
        for site in [0, 1] {
            world.start_load();
            world.write(50);
            world.network.sites[site].take_wan_down();
            thread::sleep(AWAY);
            world.network.sites[site].bring_wan_up();
            world.write(50);
            world.stop_load();
            world.compare();
            world.until_linked();
            assert!(!world.has_lost(), "{family:?} {site}");
        }
    });
}

/// A relay that is started before its host has the address waits for it, says so, and needs nobody then.
#[test]
fn outside_comes_later_than_the_relay() {
    on_both_families(|family| {
        let plan = Plan { family, ..Plan::default() };
        let mut world = World::with(&plan, |network, _| network.sites[1].remove_outside());
        let trouble = format!("cannot listen on outside {}", world.places[1].outside);
        world.until_resource(1, &trouble, |report| {
            report.trouble.iter().any(|said| said.starts_with(&trouble))
        });
        let unknown = "Cannot assign requested address";
        world.relays[1].until_logged(0, &["no other DRX can connect", &trouble, unknown]);
        let dial = format!("the other DRX at {} cannot be reached: {unknown}", world.places[1].peer);
        world.relays[1].until_logged(0, &["trying again and again", &dial]);
        world.network.sites[1].add_outside();
        world.sync(plan.bytes);
        world.until_linked();
        let listens = format!("outside: {}", world.places[1].outside);
        assert!(world.relays[1].log().says(&["listening for other DRX", &listens]));
        assert_eq!(world.resource(1).unwrap().trouble, Vec::<String>::new());
    });
}

/// The same towards bsr: the nodes are together as soon as the address is there again.
#[test]
fn inside_is_away_for_a_moment() {
    on_both_families(|family| {
        let plan = Plan { family, ..Plan::default() };
        let mut world = World::synced(&plan);
        world.start_load();
        world.write(50);
        let since = world.relays[0].log_lines();
        world.network.sites[0].remove_inside();
        until("the nodes part", LIMIT, || {
            world.nodes.iter().all(|node| node.status().unwrap().connection != "Connected").then_some(())
        });
        // Its old connections hear nothing; it can neither listen nor dial.
        world.relays[0].until_logged(since, &["bsr cannot connect", "cannot listen on inside"]);
        world.network.sites[0].add_inside();
        world.until_well();
        world.write(50);
        world.stop_load();
        world.compare();
        world.until_resource(0, "no trouble", |report| report.trouble.is_empty());
        let dialled = |report: &drx_protocol::report::ResourceReport| {
            report.channels.iter().any(|channel| channel.role == Role::Connector && channel.in_use)
        };
        world.until_resource(0, "bsr is dialled, too", dialled);
    });
}
