//! What no value shows alone: two keys, or two resources, that cannot both be meant.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::model::{META_BAB, Reserve};
use crate::resolve::{Found, View};
use crate::spots::{Spot, SpotId, Spots};
use crate::units::{print_size, print_time};

/// Checks the sections, each resource, and the resources against each other.
pub(crate) fn check(
    merged: &View,
    resources: &[(Spot, View)],
    is_local: fn(IpAddr) -> bool,
    spots: &mut Spots,
) {
    for view in std::iter::once(merged).chain(resources.iter().map(|(_, view)| view)) {
        check_times(view, spots);
        check_reserve(view, spots);
    }
    let addresses: Vec<Addresses> = resources.iter().map(|(_, view)| Addresses::of(view)).collect();
    check_addresses(&addresses, is_local, spots);
    check_names(resources, spots);
    check_sum(merged, resources, spots);
}

/// Checks the addresses of resources, each by itself and all together.
pub(crate) fn check_addresses(addresses: &[Addresses], is_local: fn(IpAddr) -> bool, spots: &mut Spots) {
    for own in addresses {
        own.check_families(spots);
    }
    check_listeners(addresses, spots);
    check_bsr_ports(addresses, is_local, spots);
}

/// Resources whose other side would be this node: it works for nobody but somebody who tests.
pub(crate) fn remote_is_self(name: &str, resources: &[(Spot, View)], spots: &Spots) -> Vec<String> {
    let remotes = resources.iter().filter_map(|(_, view)| view.find::<String>("resource", "remote"));
    remotes
        .filter(|remote| remote.value == name)
        .map(|remote| {
            format!("resource.remote {}: \"{name}\" is this node's own name", spots.name(remote.spot))
        })
        .collect()
}

fn check_times(view: &View, spots: &mut Spots) {
    let time = |section, name| view.find::<Duration>(section, name);
    if let (Some(initial), Some(max)) = (time("restart", "initial"), time("restart", "max"))
        && initial.value > max.value
    {
        let at = spots.later(initial.spot, max.spot);
        let initial = shown("initial", print_time(initial.value), initial.spot, at, spots);
        let max = shown("max", print_time(max.value), max.spot, at, spots);
        spots.wrong(at, format!("{initial} is longer than {max}"), "make initial at most max");
    }
    let interval = time("link", "keepalive_interval");
    if let (Some(interval), Some(timeout)) = (interval, time("link", "keepalive_timeout"))
        && interval.value >= timeout.value
    {
        let at = spots.later(interval.spot, timeout.spot);
        let interval = shown("keepalive_interval", print_time(interval.value), interval.spot, at, spots);
        let timeout = shown("keepalive_timeout", print_time(timeout.value), timeout.spot, at, spots);
        spots.wrong(
            at,
            format!("{interval} is not shorter than {timeout}, so every link would count as dead"),
            "make keepalive_timeout several times keepalive_interval",
        );
    }
}

/// Commands name resources and connections, matched whole: whatever such a name is, it has to be one thing.
fn check_names(resources: &[(Spot, View)], spots: &mut Spots) {
    let mut first: HashMap<(String, String, Option<String>), Option<SpotId>> = HashMap::new();
    let mut connections: HashMap<String, Option<SpotId>> = HashMap::new();
    let mut names = Vec::new();
    for (_, view) in resources {
        let name = view.find::<String>("resource", "name");
        let (Some(name), Some(remote)) = (name, view.find::<String>("resource", "remote")) else { continue };
        if name.value == ALL {
            spots.wrong(
                name.spot,
                format!("\"{ALL}\" is what commands call all of them"),
                "give it another name",
            );
        }
        let pair = format!("\"{}\" with remote \"{}\"", name.value, remote.value);
        let key = (name.value.clone(), remote.value.clone(), view.local());
        if let Some(first) = first.get(&key) {
            let first = spots.name(*first);
            let wrong = format!("{pair} stands here a second time, first {first}");
            spots.wrong(name.spot, wrong, "give it another name or remote, or take it out");
            continue;
        }
        let local = view.local().unwrap_or_default();
        let connection = connection_name(&name.value, &remote.value, &local);
        match connections.get(&connection) {
            Some(other) => {
                let other = spots.name(*other);
                let wrong = format!("{pair} would be the connection \"{connection}\", as the one {other} is");
                spots.wrong(name.spot, wrong, "give one of them another name");
            }
            None => {
                connections.insert(connection, name.spot);
            }
        }
        first.insert(key, name.spot);
        names.push(name);
    }
    for name in names {
        if let Some(other) = connections.get(&name.value) {
            let wrong =
                format!("\"{}\" is the name of the connection {}, too", name.value, spots.name(*other));
            spots.wrong(name.spot, wrong, "give it another name");
        }
    }
}

/// How commands call a connection.
pub(crate) fn connection_name(name: &str, remote: &str, local: &str) -> String {
    format!("{name}-{remote}-{local}")
}

/// What commands call every resource.
pub(crate) const ALL: &str = "all";

/// A resource's addresses, as far as they could be read.
pub(crate) struct Addresses {
    pub(crate) bsr: Option<Found<SocketAddr>>,
    pub(crate) inside: Option<Found<SocketAddr>>,
    pub(crate) outside: Option<Found<SocketAddr>>,
    pub(crate) peer: Option<Found<SocketAddr>>,
}

impl Addresses {
    fn of(view: &View) -> Addresses {
        let find = |name| view.find("resource", name);
        Addresses { bsr: find("bsr"), inside: find("inside"), outside: find("outside"), peer: find("peer") }
    }

    /// What this relay listens on.
    fn listeners(&self) -> impl Iterator<Item = Listener> {
        let inside = self.inside.as_ref().map(|found| ("inside", found));
        let outside = self.outside.as_ref().map(|found| ("outside", found));
        let listener = |(name, found): (&'static str, &Found<SocketAddr>)| Listener {
            name,
            address: found.value,
            spot: found.spot,
        };
        inside.into_iter().chain(outside).map(listener)
    }

    fn check_families(&self, spots: &mut Spots) {
        if let (Some(bsr), Some(inside)) = (&self.bsr, &self.inside)
            && bsr.value.is_ipv4() != inside.value.is_ipv4()
        {
            let at = spots.later(bsr.spot, inside.spot);
            let bsr = shown("bsr", bsr.value, bsr.spot, at, spots);
            let inside = shown("inside", inside.value, inside.spot, at, spots);
            let wrong = format!("{bsr} is dialled from {inside}, which is of the other address family");
            spots.wrong(at, wrong, "make both IPv4 or both IPv6");
        }
        let (Some(outside), Some(peer)) = (&self.outside, &self.peer) else { return };
        let at = spots.later(outside.spot, peer.spot);
        let outside_shown = shown("outside", outside.value, outside.spot, at, spots);
        let peer_shown = shown("peer", peer.value, peer.spot, at, spots);
        // [::] takes both families.
        let takes_both = outside.value.is_ipv6() && outside.value.ip().is_unspecified();
        if outside.value.is_ipv4() != peer.value.is_ipv4() && !takes_both {
            let wrong = format!("{outside_shown} and {peer_shown} are of different address families");
            spots.wrong(at, wrong, "make both IPv4 or both IPv6");
        }
        if outside.value == peer.value {
            let wrong = format!("{outside_shown} is the same as {peer_shown}: this relay would dial itself");
            spots.wrong(at, wrong, "make peer the other DRX's outside");
        }
    }
}

struct Listener {
    name: &'static str,
    address: SocketAddr,
    spot: Option<SpotId>,
}

impl Listener {
    /// Whether the kernel refuses the second of the two; one `outside` may serve many.
    fn clashes(&self, other: &Listener) -> bool {
        if self.address == other.address {
            return (self.name, other.name) != ("outside", "outside");
        }
        let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
        let (own, others) = (self.address.ip(), other.address.ip());
        self.address.port() == other.address.port()
            && (own == others || covers(own, others) || covers(others, own))
    }
}

fn check_listeners(addresses: &[Addresses], spots: &mut Spots) {
    let mut seen: HashMap<u16, Vec<Listener>> = HashMap::new();
    for listener in addresses.iter().flat_map(Addresses::listeners) {
        let known = seen.entry(listener.address.port()).or_default();
        match known.iter().find(|known| known.clashes(&listener)) {
            Some(other) => {
                let at = spots.later(other.spot, listener.spot);
                let one = shown(listener.name, listener.address, listener.spot, at, spots);
                let other = shown(other.name, other.address, other.spot, at, spots);
                let wrong = format!("{one} and {other} are both listened on, and only one can be");
                spots.wrong(at, wrong, "give each an address or a port of its own");
            }
            // One of many that share an `outside` is enough to compare with.
            None if known.iter().any(|known| known.address == listener.address) => {}
            None => known.push(listener),
        }
    }
}

/// BSR listens on 0.0.0.0 whatever its address says (docs/bsr-wire.md), so that a port that it has on
/// this machine is taken on every address.
fn check_bsr_ports(addresses: &[Addresses], is_local: fn(IpAddr) -> bool, spots: &mut Spots) {
    let mut ports: HashMap<u16, Vec<Found<SocketAddr>>> = HashMap::new();
    for bsr in addresses.iter().filter_map(|own| own.bsr.clone()) {
        let known = ports.entry(bsr.value.port()).or_default();
        if !known.iter().any(|known| known.value == bsr.value) {
            known.push(bsr);
        }
    }
    let same_host = |a: IpAddr, b: IpAddr| {
        let here = |ip: IpAddr| ip.is_unspecified() || is_local(ip);
        a == b || (a.is_loopback() && b.is_loopback()) || (here(a) && here(b))
    };
    for listener in addresses.iter().flat_map(Addresses::listeners) {
        let taken = ports.get(&listener.address.port());
        let bsr = taken.into_iter().flatten().find(|bsr| same_host(bsr.value.ip(), listener.address.ip()));
        if let Some(bsr) = bsr {
            let at = spots.later(bsr.spot, listener.spot);
            let wanted = shown(listener.name, listener.address, listener.spot, at, spots);
            let bsr = shown("bsr", bsr.value, bsr.spot, at, spots);
            let wrong = format!(
                "{wanted} and {bsr} want the same port of this machine, where bsr takes it on every address"
            );
            spots.wrong(at, wrong, "give one of them another port");
        }
    }
}

/// A percentage was checked by itself.
fn check_reserve(view: &View, spots: &mut Spots) {
    let (Some(size), Some(reserve)) = (view.find::<u64>("bab", "size"), view.find("bab", "reserve")) else {
        return;
    };
    let Reserve::Bytes(bytes) = reserve.value else { return };
    if bytes > size.value / 2 {
        let at = spots.later(size.spot, reserve.spot);
        let bytes = shown("reserve", print_size(bytes), reserve.spot, at, spots);
        let half = print_size(size.value / 2);
        let size = shown("size", print_size(size.value), size.spot, at, spots);
        let right = format!("make reserve at most {half}, or write a percentage up to \"50%\"");
        spots.wrong(at, format!("{bytes} is over half of {size}"), right);
    }
}

fn check_sum(merged: &View, resources: &[(Spot, View)], spots: &mut Spots) {
    let Some(total) = merged.find::<u64>("bab", "total") else { return };
    let mut sum = 0_u64;
    let mut crossed = None;
    for (header, view) in resources {
        let Some(size) = view.find::<u64>("bab", "size") else { continue };
        sum = sum.saturating_add(size.value).saturating_add(META_BAB);
        if sum > total.value && crossed.is_none() {
            crossed = Some((header, size.spot));
        }
    }
    let Some((header, size)) = crossed else { return };
    let at = spots.later(size, total.spot);
    let total_shown = shown("bab.total", print_size(total.value), total.spot, at, spots);
    let wrong = format!(
        "the BABs of all resources need {} (size and 4MiB each), {total_shown} is less",
        print_size(sum)
    );
    let right = format!("make total at least {}, or sizes smaller", print_size(sum));
    match at {
        Some(_) => spots.wrong(at, wrong, right),
        // Both are defaults: the resource that is one too many.
        None => {
            let mut spot = header.clone();
            spot.key = "resource.bab.size".to_owned();
            spots.report(&spot, wrong, right);
        }
    }
}

/// A value as an error names it, with its place where that is not the error's own.
fn shown(
    name: &str,
    value: impl std::fmt::Display,
    spot: Option<SpotId>,
    at: Option<SpotId>,
    spots: &Spots,
) -> String {
    if spot == at { format!("{name} = {value}") } else { format!("{name} = {value} ({})", spots.name(spot)) }
}
