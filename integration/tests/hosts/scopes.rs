//! IPv6 addresses that mean something on one interface only.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use drx_integration::hosts::needs;
use drx_integration::hosts::sockets::established;
use drx_integration::hosts::topology::Family;

use crate::world::{Plan, World};

/// Between each node and its relay there is nothing but link-local addresses: `inside = "[fe80::77:1%3]:7788"`.
#[test]
fn inside_and_bsr_may_be_link_local() {
    if !needs::are_met() {
        return;
    }
    let plan = Plan { family: Family::V6, ..Plan::default() };
    let mut world = World::with(&plan, |network, scenes| {
        for (site, scene) in network.sites.iter().zip(scenes) {
            site.relay.add_address("lan", RELAY.into());
            site.node.add_address("lan", NODE.into());
            let [relays, nodes] = [site.relay.index("lan"), site.node.index("lan")];
            let scoped = |ip, old: SocketAddr, scope| SocketAddrV6::new(ip, old.port(), 0, scope).into();
            scene.address = scoped(NODE, scene.address, nodes);
            scene.peer = scoped(RELAY, scene.peer, nodes);
            scene.places.bsr = scoped(NODE, scene.places.bsr, relays);
            scene.places.inside = scoped(RELAY, scene.places.inside, relays);
        }
    });
    world.sync(plan.bytes);
    world.start_load();
    world.write(100);
    world.stop_load();
    world.compare();
    assert!(!world.has_lost());
    for site in &world.network.sites {
        let seen = established(&site.node);
        assert!(seen.iter().all(|one| one.local.ip() == NODE && one.remote.ip() == RELAY), "{seen:?}");
        assert_eq!(seen.len(), 2);
    }
}

/// Two relays on one cable, which know each other by link-local addresses only.
#[test]
fn outside_and_peer_may_be_link_local() {
    if !needs::are_met() {
        return;
    }
    let plan = Plan { family: Family::V4, ..Plan::default() };
    let mut world = World::with(&plan, |network, scenes| {
        let [one, two] = &network.sites;
        one.relay.wire("cable", &two.relay, "cable");
        let address = |site: usize| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x99, [1, 2][site]);
        for (number, scene) in scenes.iter_mut().enumerate() {
            let relay = &network.sites[number].relay;
            relay.add_address("cable", address(number).into());
            let scoped = |site| SocketAddrV6::new(address(site), 7780, 0, relay.index("cable")).into();
            (scene.places.outside, scene.places.peer) = (scoped(number), scoped(1 - number));
        }
        network.line.cut();
    });
    world.sync(plan.bytes);
    world.until_linked();
    let seen = world.connections(0);
    let links = seen.iter().filter(|one| one.local.is_ipv6() && one.remote.is_ipv6());
    assert_eq!(links.count(), 4, "{seen:?}");
}

const RELAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 1);
const NODE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 2);
