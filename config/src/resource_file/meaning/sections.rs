//! `common`, `resource`, `on`, `connection`, `host` and `proxy on`, as far as they matter for proxies. Everything else
//! in them is passed over.

use std::collections::HashMap;

use crate::kinds::quote;

use super::super::tree::{Statement, Word};
use super::addresses::Address;
use super::at::At;
use super::findings::Findings;
use super::options::Options;

/// Everything that counts of all files.
#[derive(Debug, Default)]
pub(super) struct Sections<'a> {
    pub(super) common: Option<At<'a>>,
    /// The options of its `proxy`.
    pub(super) common_options: Option<Options>,
    pub(super) resources: Vec<Resource<'a>>,
}

/// `resource NAME { … }`
#[derive(Debug)]
pub(super) struct Resource<'a> {
    pub(super) at: At<'a>,
    pub(super) name: &'a Word,
    pub(super) hosts: Vec<Host<'a>>,
    pub(super) connections: Vec<Connection<'a>>,
    /// A mesh makes connections, too, and none of them has a proxy.
    pub(super) mesh: Option<At<'a>>,
    /// The options of its `proxy`.
    pub(super) options: Option<Options>,
}

/// `on HOST … { … }`, `floating ADDRESS { … }` or `stacked-on-top-of RESOURCE { … }`
#[derive(Clone, Debug)]
pub(super) struct Host<'a> {
    pub(super) at: At<'a>,
    /// What stands behind `on`; of a stacked host, all hosts of the resource below.
    pub(super) names: Vec<&'a Word>,
    /// The resource below.
    pub(super) below: Option<&'a Word>,
    /// `floating`: its address names it.
    pub(super) floating: bool,
    /// Hosts of one group are one side of a connection, one at a time.
    pub(super) group: Option<&'a Word>,
    pub(super) address: Option<Address<'a>>,
    pub(super) public: Option<Address<'a>>,
    /// `proxy on … { … }` in the style of 8.4.
    pub(super) proxy: Option<Proxy<'a>>,
}

/// `connection { … }`
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) at: At<'a>,
    pub(super) name: Option<&'a Word>,
    /// Each with the lines of its two sides; those that stand in no `path` are the first one's.
    pub(super) paths: Vec<(At<'a>, Vec<Line<'a>>)>,
}

/// `host H … via proxy on … { … }`, `group G …`, or `address A …` for a floating host.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) at: At<'a>,
    pub(super) who: Who<'a>,
    pub(super) address: Option<Address<'a>>,
    pub(super) port: Option<&'a Word>,
    pub(super) public: Option<Address<'a>>,
    pub(super) proxy: Option<Proxy<'a>>,
}

/// Whom a line means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who<'a> {
    Host(&'a Word),
    Group(&'a Word),
    /// The one with the line's address.
    Floating,
}

/// `proxy on HOST … { … }`
#[derive(Clone, Debug)]
pub(super) struct Proxy<'a> {
    pub(super) at: At<'a>,
    pub(super) on: Vec<&'a Word>,
    pub(super) inside: Option<Address<'a>>,
    pub(super) outside: Option<Address<'a>>,
    pub(super) public_outside: Option<Address<'a>>,
    pub(super) options: Options,
}

impl<'a> Sections<'a> {
    /// Takes out of the statements what counts.
    pub(super) fn read(statements: &'a [Statement], found: &mut Findings<'_>) -> Sections<'a> {
        let mut sections = Sections::default();
        let mut known: HashMap<&str, At<'a>> = HashMap::new();
        for at in statements.iter().map(At::root) {
            match at.keyword() {
                "common" => match &sections.common {
                    Some(first) => repeated(&at, first, found, "put all of it into one"),
                    None => {
                        sections.common_options = options(&at, found);
                        sections.common = Some(at);
                    }
                },
                "resource" => {
                    let Some(name) = at.arguments().first() else { continue };
                    match known.get(name.text.as_str()) {
                        Some(first) => {
                            repeated(&at, first, found, "give it another name, or take it out");
                        }
                        None => {
                            known.insert(&name.text, at.clone());
                            sections.resources.push(Resource::read(at, name, found));
                        }
                    }
                }
                _ => {}
            }
        }
        sections.name_stacked(found);
        sections
    }

    /// A stacked host is on every host of the resource below.
    fn name_stacked(&mut self, found: &mut Findings<'_>) {
        let names = |resource: &Resource<'a>| -> Vec<&'a Word> {
            let own = resource.hosts.iter().filter(|host| host.below.is_none());
            own.flat_map(|host| host.names.iter().copied()).collect()
        };
        let known: HashMap<&'a str, Vec<&'a Word>> =
            self.resources.iter().map(|resource| (resource.name.text.as_str(), names(resource))).collect();
        for host in self.resources.iter_mut().flat_map(|resource| &mut resource.hosts) {
            let Some(below) = host.below else { continue };
            match known.get(below.text.as_str()) {
                Some(names) => host.names.clone_from(names),
                None => {
                    let wrong = format!("there is no resource {}", quote(&below.text));
                    found.wrong(host.at.fault_at(below.span, wrong, "name the resource below"));
                }
            }
        }
    }
}

impl<'a> Resource<'a> {
    fn read(at: At<'a>, name: &'a Word, found: &mut Findings<'_>) -> Resource<'a> {
        let mut resource = Resource {
            options: options(&at, found),
            hosts: Vec::new(),
            connections: Vec::new(),
            mesh: None,
            name,
            at,
        };
        for at in resource.at.statements() {
            match at.keyword() {
                "on"
                | "on-linux"
                | "on-windows"
                | "floating"
                | "floating-on-linux"
                | "floating-on-windows"
                | "stacked-on-top-of" => {
                    resource.hosts.push(Host::read(at, found));
                }
                "connection" => resource.connections.push(Connection::read(at, found)),
                "connection-mesh" => resource.mesh = Some(at),
                _ => {}
            }
        }
        resource.limit(found);
        resource
    }

    /// Each side of each connection is looked up among the hosts: nobody shall wait for that.
    fn limit(&mut self, found: &mut Findings<'_>) {
        if self.hosts.len() > MAX_HOSTS || self.connections.len() > MAX_CONNECTIONS {
            let [hosts, connections] = [self.hosts.len(), self.connections.len()];
            let wrong = format!("has {hosts} hosts and {connections} connections");
            let right = format!("bsr has at most 32 hosts; {MAX_HOSTS} and {MAX_CONNECTIONS} are read here");
            found.wrong(self.at.fault(wrong, right));
            self.hosts.clear();
            self.connections.clear();
        }
    }
}

impl<'a> Host<'a> {
    fn read(at: At<'a>, found: &mut Findings<'_>) -> Host<'a> {
        let mut host = Host {
            names: Vec::new(),
            below: None,
            floating: false,
            group: None,
            address: None,
            public: None,
            proxy: None,
            at,
        };
        match host.at.keyword() {
            "on" | "on-linux" | "on-windows" => host.names = host.at.arguments().iter().collect(),
            "stacked-on-top-of" => host.below = host.at.arguments().first(),
            _ => {
                host.floating = true;
                host.address = Address::of(&host.at);
                host.names = host.at.arguments().last().into_iter().collect();
            }
        }
        let mut first: Option<At<'a>> = None;
        for at in host.at.statements() {
            match at.keyword() {
                "address" => match &first {
                    Some(first) => repeated(&at, first, found, "keep one of them"),
                    None => {
                        host.address = Address::of(&at);
                        first = Some(at);
                    }
                },
                "public-address" => host.public = Address::of(&at),
                "group" => host.group = at.arguments().first(),
                "proxy" => {
                    let hosts = at.arguments().get(1..).unwrap_or_default();
                    host.proxy = Some(Proxy::read(at, hosts, found));
                }
                _ => {}
            }
        }
        host
    }
}

impl<'a> Connection<'a> {
    fn read(at: At<'a>, found: &mut Findings<'_>) -> Connection<'a> {
        let mut own = Vec::new();
        let mut paths = Vec::new();
        for at in at.statements() {
            match at.keyword() {
                "host" | "group" | "address" => own.extend(Line::read(at, found)),
                "path" => {
                    let lines = at.statements().filter_map(|at| match at.keyword() {
                        "host" | "group" | "address" => Line::read(at, found),
                        _ => None,
                    });
                    let lines = lines.collect();
                    paths.push((at, lines));
                }
                _ => {}
            }
        }
        if !own.is_empty() {
            paths.insert(0, (at.clone(), own));
        }
        Connection { name: at.arguments().first(), at, paths }
    }
}

impl<'a> Line<'a> {
    fn read(at: At<'a>, found: &mut Findings<'_>) -> Option<Line<'a>> {
        let keyword = at.statement.words.first()?;
        let mut words = at.arguments();
        let mut line =
            Line { who: Who::Floating, address: None, port: None, public: None, proxy: None, at: at.clone() };
        if at.keyword() == "address" {
            line.address = Some(Address::take(&at, keyword, &mut words));
        } else {
            let (name, rest) = words.split_first()?;
            line.who = if at.keyword() == "host" { Who::Host(name) } else { Who::Group(name) };
            words = rest;
        }
        while let Some((word, rest)) = words.split_first() {
            words = rest;
            match word.text.as_str() {
                "address" => line.address = Some(Address::take(&at, word, &mut words)),
                "public-address" => line.public = Some(Address::take(&at, word, &mut words)),
                "port" => {
                    line.port = words.first();
                    words = words.get(1..).unwrap_or_default();
                }
                "via" => {
                    // Or an outside-address, where another network sees a host: nothing to a relay.
                    if let [proxy, _, hosts @ ..] = words
                        && proxy.text == "proxy"
                    {
                        let key = format!("{} > proxy", at.key);
                        line.proxy = Some(Proxy::read(At { statement: at.statement, key }, hosts, found));
                    }
                    break;
                }
                // The grammar has nothing else.
                _ => break,
            }
        }
        Some(line)
    }
}

impl<'a> Proxy<'a> {
    /// `at`: the statement whose braces hold what is said of the proxy.
    fn read(at: At<'a>, hosts: &'a [Word], found: &mut Findings<'_>) -> Proxy<'a> {
        let mut proxy = Proxy {
            on: hosts.iter().collect(),
            inside: None,
            outside: None,
            public_outside: None,
            options: Options::default(),
            at,
        };
        for at in proxy.at.statements() {
            match at.keyword() {
                "inside" => proxy.inside = Address::of(&at),
                "outside" => proxy.outside = Address::of(&at),
                "public-outside" => proxy.public_outside = Address::of(&at),
                "options" => proxy.options = Options::read(&at, found),
                // `public-inside`, where bsr sees this relay: bsr dials that, and the network between turns it into
                // `inside`.
                _ => {}
            }
        }
        if proxy.inside.is_none() {
            found.gap(proxy.at.lacks("inside", "add inside 10.77.1.1:7788; where the local bsr connects"));
        }
        if proxy.outside.is_none() {
            found
                .gap(proxy.at.lacks("outside", "add outside 10.77.9.1:7780; where the other relay connects"));
        }
        proxy
    }
}

/// The options of a section's own `proxy`.
fn options(section: &At<'_>, found: &mut Findings<'_>) -> Option<Options> {
    let mut all = section.all("proxy");
    let first = all.next()?;
    for at in all {
        repeated(&at, &first, found, "put all of it into one");
    }
    Some(Options::read(&first, found))
}

fn repeated(at: &At<'_>, first: &At<'_>, found: &mut Findings<'_>, right: &str) {
    let place = found.place(first.statement.span());
    found.wrong(at.fault(format!("stands here a second time, first at {place}"), right));
}

/// Many times what bsr can do: hosts on either side of a failover, and every pair of 32 twice.
const MAX_HOSTS: usize = 256;
const MAX_CONNECTIONS: usize = 1024;
