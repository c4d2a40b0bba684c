//! Two sites, each a node and its relay, and the wide area between: with the addresses of bsr-wire A.8.
//!
//! ```text
//!  node1          relay1                      wan                      relay2          node2
//! 10.77.1.2 ── 10.77.1.1  10.77.9.1 ── 10.77.91.1 ~line~ 10.77.92.1 ── 10.77.9.2  10.77.2.1 ── 10.77.2.2
//! ```
//!
//! `inside` and `outside` are second addresses: the relays' own in these networks are 10.77.1.3 and 10.77.91.2, and
//! 10.77.2.3 and 10.77.92.2, and from there goes what is dialled from no particular address. The relays pass no packets on: a node reaches its relay
//! and nobody else. A packet from relay to relay goes through the router `wan`, and there through the line.

use std::net::{IpAddr, SocketAddr};

use fastrand::Rng;

use super::line::Line;
use super::namespace::Namespace;
use super::tun::Tun;
use crate::pair::Places;

/// Which IP is spoken where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// Between a node and its relay.
    pub lan: Family,
    /// Between the relays.
    pub wan: Family,
}

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

/// A node and its relay.
#[derive(Debug)]
pub struct Site {
    /// Where bsr runs. Its interface is `lan`.
    pub node: Namespace,
    /// Where the relay runs. Its interfaces are `lan` and `wan`.
    pub relay: Namespace,
    /// Their addresses.
    pub addresses: Addresses,
}

/// The addresses of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The node's.
    pub node: IpAddr,
    /// The relay's, by which the node knows it.
    pub inside: IpAddr,
    /// The relay's own in that network.
    pub lan: IpAddr,
    /// The relay's, by which the other relay knows it.
    pub outside: IpAddr,
    /// The relay's own in the network that joins it to the wide area.
    pub transit: IpAddr,
    /// The router there.
    pub router: IpAddr,
}

/// All hosts.
#[derive(Debug)]
pub struct Topology {
    /// `node1` and its relay, `node2` and its relay.
    pub sites: [Site; 2],
    /// The router between them. Its interfaces are `to1`, `to2` and `line`.
    pub wan: Namespace,
    /// What is between the sites.
    pub line: Line,
}

impl Topology {
    /// All of them, wired up.
    ///
    /// # Panics
    /// The machine has not what is needed: see [`super::needs`].
    #[track_caller]
    pub fn new(families: Families, chance: Rng) -> Topology {
        let wan = Namespace::new();
        wan.forward();
        let sites = [1, 2].map(|number| site(families, number, &wan));
        let tun = wan.enter(|| Tun::new("line")).unwrap();
        wan.ip("link set line up mtu 1500 txqueuelen 10000");
        let version = if families.wan == Family::V4 { "-4" } else { "-6" };
        // What comes from a relay goes into the line; what comes out of it goes on to a relay.
        for from in ["to1", "to2"] {
            wan.ip(&format!("{version} rule add iif {from} lookup {LINE}"));
        }
        wan.ip(&format!("{version} route add default dev line table {LINE}"));
        let to = sites.each_ref().map(|site| vec![site.addresses.outside, site.addresses.transit]);
        Topology { sites, wan, line: Line::new(tun, to, chance) }
    }

    /// What the relay of a site is told.
    pub fn places(&self, site: usize) -> Places {
        let Addresses { node, inside, outside, .. } = self.sites[site].addresses;
        Places {
            node: format!("node{}", site + 1),
            resource: "r0".to_owned(),
            remote: format!("node{}", 2 - site),
            bsr: SocketAddr::new(node, BSR),
            inside: SocketAddr::new(inside, INSIDE),
            outside: SocketAddr::new(outside, OUTSIDE),
            peer: SocketAddr::new(self.sites[1 - site].addresses.outside, OUTSIDE),
        }
    }
}

impl Site {
    /// The relay's address `inside` is there no more.
    #[track_caller]
    pub fn remove_inside(&self) {
        self.relay.remove_service("lan", self.addresses.inside);
    }

    /// It is there again.
    #[track_caller]
    pub fn add_inside(&self) {
        self.relay.add_service("lan", self.addresses.inside);
    }

    /// The relay's address `outside` is there no more.
    #[track_caller]
    pub fn remove_outside(&self) {
        self.relay.remove_service("wan", self.addresses.outside);
    }

    /// It is there again.
    #[track_caller]
    pub fn add_outside(&self) {
        self.relay.add_service("wan", self.addresses.outside);
    }

    /// The relay's interface to the wide area goes down.
    #[track_caller]
    pub fn take_wan_down(&self) {
        self.relay.ip("link set wan down");
    }

    /// It is up again, with the addresses and the route that whoever manages the host gives it.
    #[track_caller]
    pub fn bring_wan_up(&self) {
        self.relay.ip("link set wan up");
        // IPv4 addresses stay on an interface that is down, those of IPv6 do not.
        self.relay.ip("addr flush dev wan scope global");
        self.set_wan_up();
    }

    #[track_caller]
    fn set_wan_up(&self) {
        let Addresses { transit, router, .. } = self.addresses;
        self.relay.add_address("wan", transit);
        self.add_outside();
        self.relay.ip(&format!("route add default via {router}"));
    }
}

impl Family {
    /// Each.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// An address in a network of the documentation.
    fn ip(self, network: u8, host: u8) -> IpAddr {
        match self {
            Family::V4 => format!("10.77.{network}.{host}"),
            Family::V6 => format!("fd77:{network}::{host}"),
        }
        .parse()
        .expect("an address")
    }
}

fn site(families: Families, number: u8, router: &Namespace) -> Site {
    let Families { lan, wan } = families;
    let (node, relay) = (Namespace::new(), Namespace::new());
    let addresses = Addresses {
        node: lan.ip(number, 2),
        inside: lan.ip(number, 1),
        lan: lan.ip(number, 3),
        outside: wan.ip(9, number),
        transit: wan.ip(90 + number, 2),
        router: wan.ip(90 + number, 1),
    };
    node.wire("lan", &relay, "lan");
    node.add_address("lan", addresses.node);
    relay.add_address("lan", addresses.lan);
    let to = format!("to{number}");
    relay.wire("wan", router, &to);
    router.add_address(&to, addresses.router);
    let site = Site { node, relay, addresses };
    site.add_inside();
    site.set_wan_up();
    router.ip(&format!("route add {} via {}", addresses.outside, addresses.transit));
    site
}

// The ports of the documentation.
const BSR: u16 = 7789;
const INSIDE: u16 = 7788;
const OUTSIDE: u16 = 7780;

/// The routes into the line.
const LINE: u32 = 77;
