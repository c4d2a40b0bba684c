//! The two sides of each connection, from `connection` sections or, where a resource has none, from its hosts.

use crate::kinds::quote;

use super::super::tree::Word;
use super::addresses::Address;
use super::at::At;
use super::findings::Findings;
use super::names::names;
use super::sections::{Connection, Host, Line, Proxy, Resource, Who};

/// A connection that runs through two proxies.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// The connection, or the resource itself.
    pub(super) at: At<'a>,
    /// Whether it is a connection's section.
    pub(super) explicit: bool,
    /// The connection's own name.
    pub(super) name: Option<&'a Word>,
    pub(super) ends: [End<'a>; 2],
}

/// One side of a connection.
#[derive(Clone, Debug)]
pub(super) struct End<'a> {
    pub(super) at: At<'a>,
    pub(super) proxy: Proxy<'a>,
    /// The host; of a group all its hosts, the one that is meant first.
    pub(super) hosts: Vec<Host<'a>>,
    /// What the line of a connection says itself.
    pub(super) address: Option<Address<'a>>,
    pub(super) port: Option<&'a Word>,
    pub(super) public: Option<Address<'a>>,
}

impl End<'_> {
    /// Whether this relay is the proxy of this side.
    pub(super) fn is_of(&self, node: &str) -> bool {
        // A group's proxy runs on whichever of its hosts is the active one.
        names(&self.proxy.on, node)
            || (self.hosts.len() > 1 && self.hosts.iter().any(|host| names(&host.names, node)))
    }
}

/// The connections of a resource that run through proxies.
pub(super) fn pairs<'a>(resource: &Resource<'a>, node: &str, found: &mut Findings<'_>) -> Vec<Pair<'a>> {
    one_style(resource, found);
    if !resource.connections.is_empty() {
        let all = resource.connections.iter();
        return all.filter_map(|connection| explicit(resource, connection, node, found)).collect();
    }
    if let Some(mesh) = &resource.mesh {
        if let Some(proxy) = resource.hosts.iter().find_map(|host| host.proxy.as_ref()) {
            let wrong =
                format!("a connection-mesh has no proxies, and {} has one in its section", proxy_of(proxy));
            found.gap(
                mesh.fault(wrong, "write a connection { host … via proxy on … { … } } for that pair instead"),
            );
        }
        return Vec::new();
    }
    implicit(resource, node, found).into_iter().collect()
}

/// Either all hosts have a proxy or none has.
fn one_style(resource: &Resource<'_>, found: &mut Findings<'_>) {
    let Some(with) = resource.hosts.iter().find(|host| host.proxy.is_some()) else { return };
    for without in resource.hosts.iter().filter(|host| host.proxy.is_none()) {
        let wrong = format!("has no proxy, and {} has one", host_name(with));
        found.gap(
            without.at.fault(wrong, "add proxy on HOST { inside …; outside …; }, or take the other one out"),
        );
    }
}

fn explicit<'a>(
    resource: &Resource<'a>,
    connection: &Connection<'a>,
    node: &str,
    found: &mut Findings<'_>,
) -> Option<Pair<'a>> {
    let has_proxy = |(_, lines): &&(At<'a>, Vec<Line<'a>>)| lines.iter().any(|line| line.proxy.is_some());
    let (at, lines) = connection.paths.iter().find(has_proxy)?;
    if connection.paths.len() > 1 {
        let wrong = format!("has {} paths, and one of them has a proxy", connection.paths.len());
        found.gap(connection.at.fault(wrong, "give a connection through proxies a single path"));
        return None;
    }
    let [one, other] = &lines[..] else {
        let wrong = format!("has {} side{}, not two", lines.len(), if lines.len() == 1 { "" } else { "s" });
        found.gap(at.fault(wrong, "write two lines, host … via proxy on … { … }"));
        return None;
    };
    for (line, other) in [(one, other), (other, one)] {
        if line.proxy.is_none() {
            let wrong = format!(
                "has no proxy, and {} has one",
                other.at.key.rsplit(" > ").next().unwrap_or_default()
            );
            let right = "add via proxy on HOST { inside …; outside …; }, or take the other one out";
            found.gap(line.at.fault(wrong, right));
        }
    }
    let ends = [one, other].map(|line| end(resource, line, node, found));
    let [Some(one), Some(other)] = ends else { return None };
    Some(Pair { at: connection.at.clone(), explicit: true, name: connection.name, ends: [one, other] })
}

fn end<'a>(
    resource: &Resource<'a>,
    line: &Line<'a>,
    node: &str,
    found: &mut Findings<'_>,
) -> Option<End<'a>> {
    let hosts: Vec<Host<'a>> = match line.who {
        Who::Host(name) => {
            resource.hosts.iter().filter(|host| names(&host.names, &name.text)).take(1).cloned().collect()
        }
        Who::Group(name) => members(resource, name, node),
        Who::Floating => {
            let same =
                |host: &&Host<'a>| matches!((&host.address, &line.address), (Some(a), Some(b)) if a.is(b));
            resource.hosts.iter().filter(same).take(1).cloned().collect()
        }
    };
    let proxy = line.proxy.clone()?;
    if hosts.is_empty() {
        let (name, right) = match line.who {
            Who::Host(name) => (name, format!("add on {} {{ … }} to the resource", name.text)),
            Who::Group(name) => (name, format!("add group {}; to the sections of its hosts", name.text)),
            Who::Floating => {
                (line.at.arguments().last()?, "add a floating host with this address".to_owned())
            }
        };
        let shown = match line.who {
            Who::Floating => line.address.as_ref().map_or("", |address| address.text()),
            _ => &name.text,
        };
        found.gap(line.at.fault_at(name.span, format!("the resource has no host {}", quote(shown)), right));
        return None;
    }
    let (address, public) = (line.address.clone(), line.public.clone());
    Some(End { at: line.at.clone(), proxy, hosts, address, port: line.port, public })
}

/// Without a `connection` section the two hosts of a resource are connected.
fn implicit<'a>(resource: &Resource<'a>, node: &str, found: &mut Findings<'_>) -> Option<Pair<'a>> {
    let mut sides: Vec<Vec<Host<'a>>> = Vec::new();
    for host in &resource.hosts {
        match host.group {
            Some(group) if sides.iter().any(|side| side.iter().any(|host| is_in(host, group))) => {}
            Some(group) => sides.push(members(resource, group, node)),
            None => sides.push(vec![host.clone()]),
        }
    }
    if !resource.hosts.iter().any(|host| host.proxy.is_some()) {
        return None;
    }
    if sides.len() != 2 {
        let wrong = format!(
            "has {} host{}, not two, and proxies",
            sides.len(),
            if sides.len() == 1 { "" } else { "s" }
        );
        let right = "write connection { host … via proxy on … { … } } for each pair that has proxies";
        found.gap(resource.at.fault(wrong, right));
        return None;
    }
    let mut ends = sides.into_iter().map(|hosts| {
        let first = hosts.first()?;
        let (at, proxy) = (first.at.clone(), first.proxy.clone()?);
        Some(End { at, proxy, hosts, address: None, port: None, public: None })
    });
    let (Some(Some(one)), Some(Some(other))) = (ends.next(), ends.next()) else { return None };
    Some(Pair { at: resource.at.clone(), explicit: false, name: None, ends: [one, other] })
}

/// The hosts of a group: this node first, if it is one of them.
fn members<'a>(resource: &Resource<'a>, group: &Word, node: &str) -> Vec<Host<'a>> {
    let mut members: Vec<Host<'a>> =
        resource.hosts.iter().filter(|host| is_in(host, group)).cloned().collect();
    let here = |host: &Host<'a>| {
        names(&host.names, node) || host.proxy.as_ref().is_some_and(|proxy| names(&proxy.on, node))
    };
    members.sort_by_key(|host| !here(host));
    members
}

fn is_in(host: &Host<'_>, group: &Word) -> bool {
    host.group.is_some_and(|known| known.text == group.text)
}

fn host_name(host: &Host<'_>) -> String {
    host.at.key.rsplit(" > ").next().unwrap_or_default().to_owned()
}

fn proxy_of(proxy: &Proxy<'_>) -> String {
    proxy.at.key.rsplit(" > ").nth(1).unwrap_or_default().to_owned()
}
