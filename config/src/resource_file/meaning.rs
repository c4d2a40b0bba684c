//! What resource files say of proxies: the connections whose proxy is this node's (bsr-wire A.8).
//!
//! ```text
//! sections   common, resource, on, connection, host, proxy on: as they are written
//! pairs      the two sides of each connection
//! options    what a proxy is run with, inherited as the tools do it
//! facts      options of bsr's own that matter to a relay
//! advice     which of those will hurt
//! kept       what of a proxy's options has no effect
//! ```

mod addresses;
mod advice;
mod at;
mod facts;
mod findings;
mod kept;
mod names;
mod options;
mod pairs;
mod sections;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

pub use at::Located;
pub use facts::Facts;

pub(crate) use advice::{Relay, advice};
pub(crate) use kept::kept;

use crate::kinds::quote;

use super::files::Fault;
use super::include::Reading;
use super::tree::{Span, Word};
use addresses::Address;
use findings::Findings;
use names::joined;
use options::{Inherited, Options};
use pairs::{End, Pair, pairs};
use sections::{Resource, Sections};

/// What files say.
#[derive(Debug, Default)]
pub struct Meaning {
    /// This node's connections, in the order of the files.
    pub connections: Vec<Connection>,
    /// What is wrong. What could be understood in spite of it is among the connections.
    pub faults: Vec<Fault>,
    /// What is odd: `right` says what to do about it.
    pub remarks: Vec<Fault>,
    /// The files that have resources.
    pub parts: Vec<Part>,
}

/// What one file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Which file, as in a [`Span`].
    pub file: usize,
    /// Its first resource.
    pub span: Span,
    /// How many of the connections are from it.
    pub connections: usize,
    /// The names behind `proxy on`.
    pub hosts: BTreeSet<String>,
}

/// A connection through proxies, one of which is this node. Its addresses are those that `bsradm proxy-up` passes to
/// `bsr-proxy-ctl`; one that is missing is among the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The resource's name, or the connection's own.
    pub name: Located<String>,
    /// The name of the other side.
    pub remote: Located<String>,
    /// The name of this side; may differ from the node's.
    pub local: Located<String>,
    /// `address` or `public-address`: where the local bsr is dialled.
    pub bsr: Option<Located<SocketAddr>>,
    /// This proxy's `inside`.
    pub inside: Option<Located<SocketAddr>>,
    /// This proxy's `outside`.
    pub outside: Option<Located<SocketAddr>>,
    /// The other proxy's `outside`, or its `public-outside`.
    pub peer: Option<Located<SocketAddr>>,
    /// In bytes.
    pub memlimit: Option<Located<u64>>,
    /// The proxy's other options.
    pub options: Vec<(String, Located<String>)>,
    /// Lines of `plugin`, words joined by blanks.
    pub plugins: Vec<Located<String>>,
    /// Options of bsr's own that a relay has to live with.
    pub facts: Facts,
}

/// Takes this node's connections out of what was read. `interface` answers the number of an interface of this machine,
/// for addresses such as `[fe80::1%eth0]:7789`.
pub fn meaning(reading: &Reading, node: &str, interface: fn(&str) -> Option<u32>) -> Meaning {
    let mut meaning = Meaning::default();
    let mut found = Findings::new(&reading.files, &reading.faults, interface);
    let sections = Sections::read(&reading.statements, &mut found);
    let common = sections.common.as_ref().map(Facts::of).unwrap_or_default();
    for resource in &sections.resources {
        let pairs = pairs(resource, node, &mut found);
        let mut names: HashMap<_, usize> = HashMap::new();
        for pair in &pairs {
            *names.entry(by_proxies(pair)).or_default() += 1;
        }
        meaning.note(resource, &pairs);
        let facts = Facts::of(&resource.at).or(&common);
        for pair in &pairs {
            // Read both: what is wrong with the other side is wrong, too.
            let own = pair.ends.iter().position(|end| end.is_of(node));
            let side = |index| own.map(|own| if own == index { Side::Own } else { Side::Peer });
            let read = [0, 1].map(|index| addresses(&pair.ends[index], side(index), &mut found));
            let Some(own) = own else { continue };
            let options = Options::inherit(
                &pair.ends[own].proxy.options,
                resource.options.as_ref(),
                sections.common_options.as_ref(),
                &mut found,
            );
            let part = meaning.parts.iter_mut().find(|part| part.file == resource.at.statement.span().file);
            if let Some(part) = part {
                part.connections += 1;
            }
            let [one, other] = read;
            let (own_read, peer_read) = if own == 0 { (one, other) } else { (other, one) };
            let own_facts = if pair.explicit { Facts::of(&pair.at) } else { Facts::default() };
            let facts = own_facts.or(&facts);
            let alone = names.get(&by_proxies(pair)) == Some(&1);
            let [remote, local] = names_of(&pair.ends[1 - own], &pair.ends[own], alone);
            let name = pair.name.unwrap_or(resource.name);
            let Inherited { memlimit, settings, plugins } = options;
            meaning.connections.push(Connection {
                name: Located { value: name.text.clone(), span: name.span, key: pair.at.key.clone() },
                remote,
                local,
                bsr: own_read.bsr,
                inside: own_read.inside,
                outside: own_read.outside,
                peer: peer_read.reached,
                memlimit,
                options: settings,
                plugins,
                facts,
            });
        }
    }
    meaning.faults = found.faults;
    meaning
}

impl Meaning {
    fn note(&mut self, resource: &Resource<'_>, pairs: &[Pair<'_>]) {
        let span = resource.at.statement.span();
        let part = match self.parts.iter_mut().find(|part| part.file == span.file) {
            Some(part) => part,
            None => {
                self.parts.push(Part { file: span.file, span, ..Part::default() });
                let Some(part) = self.parts.last_mut() else { return };
                part
            }
        };
        let proxies = pairs.iter().flat_map(|pair| &pair.ends).map(|end| &end.proxy);
        part.hosts.extend(proxies.flat_map(|proxy| &proxy.on).map(|word| word.text.clone()));
        let unused = resource.hosts.iter().find_map(|host| host.proxy.as_ref());
        if let (Some(proxy), false) = (unused, resource.connections.is_empty()) {
            let wrong = "has no effect, because the resource has connection sections";
            self.remarks.push(proxy.at.fault(wrong, "write it behind via in the line of a connection"));
        }
    }
}

fn addresses(end: &End<'_>, side: Option<Side>, found: &mut Findings<'_>) -> Read {
    let proxy = &end.proxy;
    let (own, peer) = (side == Some(Side::Own), side == Some(Side::Peer));
    let mut read = |address: &Option<Address<'_>>, used| address.as_ref()?.read(used, found);
    let inside = read(&proxy.inside, own);
    // Where the network between the relays turns addresses, the other one is reached at another.
    let (outside, reached) = match proxy.public_outside {
        Some(_) => (read(&proxy.outside, own), read(&proxy.public_outside, peer)),
        None => {
            let outside = read(&proxy.outside, own || peer);
            (outside.clone(), outside)
        }
    };
    let host = end.hosts.first();
    let public = end.public.as_ref().or(host.and_then(|host| host.public.as_ref()));
    let address = end.address.as_ref().or(host.and_then(|host| host.address.as_ref()));
    let bsr = match (public.or(address), end.port) {
        (Some(written), Some(port)) if public.is_none() => {
            written.read(own, found).and_then(|bsr| with_port(bsr, port, end, found))
        }
        (Some(written), _) => written.read(own, found),
        (None, _) => {
            let at = host.map_or(&end.at, |host| &host.at);
            found.gap(at.lacks("address", "add address 10.77.1.2:7789; where bsr listens"));
            None
        }
    };
    Read { bsr, inside, outside, reached }
}

fn with_port(
    address: Located<SocketAddr>,
    port: &Word,
    end: &End<'_>,
    found: &mut Findings<'_>,
) -> Option<Located<SocketAddr>> {
    let key = format!("{} > port", end.at.key);
    match port.text.parse() {
        Ok(number @ 1..) => {
            let mut value = address.value;
            value.set_port(number);
            Some(Located { value, span: port.span, key })
        }
        _ => {
            let (wrong, right) =
                (format!("{} is no port", quote(&port.text)), "write a number from 1 to 65535");
            found.wrong(Fault { span: port.span, key, wrong, right: right.to_owned() });
            None
        }
    }
}

/// Whose side of a connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Own,
    Peer,
}

/// What could be read of one side.
struct Read {
    bsr: Option<Located<SocketAddr>>,
    inside: Option<Located<SocketAddr>>,
    outside: Option<Located<SocketAddr>>,
    /// Where the other side reaches `outside`.
    reached: Option<Located<SocketAddr>>,
}

/// The names of the two sides: those of the hosts that the proxies run on, if that makes a name of the connection
/// `alone`.
///
/// Where a proxy serves several hosts, those alone would make two connections one. Both relays see that in the file,
/// and call such connections by bsr's hosts, as newer tools do with all of them.
fn names_of(peer: &End<'_>, own: &End<'_>, alone: bool) -> [Located<String>; 2] {
    [peer, own].map(|end| {
        let value = match end.hosts.first() {
            Some(host) if !alone => joined(&host.names),
            _ => joined(&end.proxy.on),
        };
        let span = end.proxy.on.first().map_or(end.proxy.at.statement.span(), |word| word.span);
        Located { value, span, key: end.proxy.at.key.clone() }
    })
}

/// What the names of two connections are made of, if the proxies' hosts make them.
fn by_proxies(pair: &Pair<'_>) -> (Option<String>, BTreeSet<String>) {
    let name = pair.name.map(|name| name.text.clone());
    (name, pair.ends.iter().map(|end| joined(&end.proxy.on)).collect())
}
