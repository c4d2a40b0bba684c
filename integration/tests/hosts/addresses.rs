//! Who speaks to whom, from which address.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use drx_integration::hosts::sockets::{established, listening};
use drx_integration::hosts::topology::Family;
use drx_integration::wait::{LIMIT, until};

use crate::on_both_families;
use crate::world::{Plan, World};

/// A first resync and writes, and then every connection is looked at: by the kernels, and by `drx-ctl`.
#[test]
fn every_connection_comes_from_the_address_it_should() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, ..Plan::default() });
        world.start_load();
        world.write(200);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());

        for site in [0, 1] {
            check_links(&world, site);
            check_insides(&world, site);
            check_table(&world, site);
        }
        check_nobody_else_is_near(&world);
    });
}

/// Nodes that speak IPv4 at both ends of a line that speaks IPv6, and the other way round.
#[test]
fn the_line_may_speak_another_ip_than_the_nodes() {
    on_both_families(|family| {
        let wan = if family == Family::V4 { Family::V6 } else { Family::V4 };
        let mut world = World::synced(&Plan { family, wan: Some(wan), ..Plan::default() });
        world.start_load();
        world.write(50);
        world.stop_load();
        world.compare();
        for site in [0, 1] {
            check_links(&world, site);
            check_insides(&world, site);
            check_table(&world, site);
        }
    });
}

/// Listening everywhere, a relay is found at each address of its host, and dials from where the kernel would.
#[test]
fn outside_may_be_any_address() {
    on_both_families(|family| {
        let plan = Plan { family, ..Plan::default() };
        let any: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut world = World::with(&plan, |_, scenes| {
            scenes.iter_mut().for_each(|scene| scene.places.outside.set_ip(any));
        });
        world.sync(plan.bytes);
        world.until_linked();
        for site in [0, 1] {
            let (own, peer) = (world.network.sites[site].addresses, world.places[site].peer);
            let dialled: Vec<_> =
                world.connections(site).into_iter().filter(|seen| seen.remote == peer).collect();
            assert_eq!(dialled.len(), 2, "{dialled:?}");
            assert!(dialled.iter().all(|seen| seen.local.ip() == own.transit), "{dialled:?}");
            check_insides(&world, site);
            check_table(&world, site);
        }
    });
}

/// Between the relays: from `outside` to `outside`, whoever dials. The kernel alone would dial from elsewhere.
fn check_links(world: &World, site: usize) {
    let [own, other] = [site, 1 - site].map(|site| world.network.sites[site].addresses);
    assert_ne!(own.outside, own.transit);
    let links: Vec<_> =
        world.connections(site).into_iter().filter(|seen| seen.remote.ip() == other.outside).collect();
    // Four lanes, two of them dialled from each side.
    assert_eq!(links.len(), 4, "{links:?}");
    assert!(links.iter().all(|seen| seen.local.ip() == own.outside), "{links:?}");
    let port = world.places[site].outside.port();
    assert_eq!(links.iter().filter(|seen| seen.local.port() == port).count(), 2, "{links:?}");
    assert_eq!(links.iter().filter(|seen| seen.remote.port() == port).count(), 2, "{links:?}");
    // There is nobody else whom the relay speaks to but its bsr.
    let known = BTreeSet::from([other.outside, own.node]);
    assert!(world.connections(site).iter().all(|seen| known.contains(&seen.remote.ip())));
}

/// Between a relay and its bsr: one each way, and bsr sees `inside` whoever dials. It would refuse another address.
fn check_insides(world: &World, site: usize) {
    let own = &world.network.sites[site];
    let (node, inside) = (world.places[site].bsr, world.places[site].inside);
    let seen = established(&own.node);
    assert_eq!(seen.len(), 2, "{seen:?}");
    let both = |seen: SocketAddr, address: SocketAddr| seen.ip() == address.ip();
    assert!(seen.iter().all(|one| both(one.local, node) && both(one.remote, inside)), "{seen:?}");
    assert_eq!(seen.iter().filter(|one| one.remote == inside).count(), 1, "bsr dialled inside: {seen:?}");
    assert_eq!(seen.iter().filter(|one| one.local == node).count(), 1, "the relay dialled bsr: {seen:?}");
    // Lane 1 lets bsr in yet.
    assert!(listening(&own.relay).contains(&inside));
    assert!(listening(&own.relay).contains(&world.places[site].outside));
}

/// `drx-ctl connections all -v`: each address in its column is one that the kernel has.
fn check_table(world: &World, site: usize) {
    let output = world.relays[site].ctl(&["connections", "all", "-v"]);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    let kernel = world.connections(site);
    let stands = |local: SocketAddr, remote: SocketAddr| {
        kernel.iter().any(|seen| (seen.local, seen.remote) == (local, remote))
    };
    let mut shown = BTreeSet::new();
    for line in table.lines().filter(|line| line.contains("established")) {
        // Name, type, bsr, how it stands, this relay, how the link stands, the other relay.
        let words: Vec<_> = line.split_whitespace().collect();
        let address = |at: usize| words[at].parse::<SocketAddr>().unwrap_or_else(|_| panic!("{table}"));
        let (bsr, drx, other) = (address(2), address(4), address(6));
        assert!(stands(drx, bsr), "{bsr} and {drx} are not connected:\n{table}\n{kernel:?}");
        let linked = kernel.iter().any(|seen| seen.remote == other);
        assert!(linked, "there is no link with {other}:\n{table}\n{kernel:?}");
        // Who dialled whom shows in the heads of the arrows, and in the ports.
        let places = &world.places[site];
        let (bsr_dialled, link_came) = (words[3].ends_with('>'), words[5].starts_with('<'));
        assert_eq!((bsr_dialled, link_came), (drx == places.inside, other != places.peer), "{table}");
        assert_eq!(bsr_dialled, bsr != places.bsr, "{table}");
        shown.insert(words[1].to_owned());
    }
    assert_eq!(shown, BTreeSet::from(["data".to_owned(), "meta".to_owned()]), "{table}");
    assert!(table.contains(" All connections : 4, Established : 2"), "{table}");
}

/// What the other tests rely on: there is no way around the relays.
fn check_nobody_else_is_near(world: &World) {
    let sites = &world.network.sites;
    let other = &world.places[1];
    for (from, to) in
        [(&sites[0].node, other.bsr), (&sites[0].node, other.outside), (&sites[0].relay, other.bsr)]
    {
        let error = from.enter(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)));
        assert!(error.is_err(), "{to} can be reached");
    }
    let local = |ip: IpAddr| TcpListener::bind((ip, 0)).map(drop);
    for ip in [sites[1].addresses.outside, sites[1].addresses.inside] {
        let error = sites[0].relay.enter(|| local(ip)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{ip} is no address of this host");
    }
    until("the line carries", LIMIT, || {
        world.network.line.counts().iter().all(|way| way.carried > 0).then_some(())
    });
}
