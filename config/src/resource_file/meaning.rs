//! What resource files say of proxies: the connections whose proxy is this node's (bsr-wire A.8).
//!
//! ```text
//! sections   common, resource, on, connection, host, proxy on: as they are written
//! pairs      the two sides of each connection
//! options    what a proxy is run with, inherited as the tools do it
//! facts      options of bsr's own that matter to a relay
//! advice     which of those will hurt
//! ```

mod addresses;
mod advice;
mod at;
mod facts;
mod names;
mod options;
mod pairs;
mod sections;

use std::collections::BTreeSet;
use std::net::SocketAddr;

pub use at::Located;
pub use facts::Facts;

pub(crate) use advice::{Relay, advice};

use crate::kinds::quote;

use super::files::{Fault, Files};
use super::include::Reading;
use super::tree::{Span, Word};
use addresses::Address;
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
/// `bsr-proxy-ctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The resource's name, or the connection's own.
    pub name: Located<String>,
    /// The name of the other side.
    pub remote: Located<String>,
    /// The name of this side; may differ from the node's.
    pub local: Located<String>,
    /// `address` or `public-address`: where the local bsr is dialled.
    pub bsr: Located<SocketAddr>,
    /// This proxy's `inside`.
    pub inside: Located<SocketAddr>,
    /// This proxy's `outside`.
    pub outside: Located<SocketAddr>,
    /// The other proxy's `outside`, or its `public-outside`.
    pub peer: Located<SocketAddr>,
    /// In bytes.
    pub memlimit: Option<Located<u64>>,
    /// The proxy's other options.
    pub options: Vec<(String, Located<String>)>,
    /// Lines of `plugin`, words joined by blanks.
    pub plugins: Vec<Located<String>>,
    /// Options of bsr's own that a relay has to live with.
    pub facts: Facts,
}

/// Takes this node's connections out of what was read.
pub fn meaning(reading: &Reading, node: &str) -> Meaning {
    let mut meaning = Meaning::default();
    let sections = Sections::read(&reading.statements, &reading.files, &mut meaning.faults);
    for resource in &sections.resources {
        let pairs = pairs(resource, node, &mut meaning.faults);
        meaning.note(resource, &pairs);
        for pair in &pairs {
            meaning.read(&sections, resource, pair, &pairs, node, &reading.files);
        }
    }
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

    fn read(
        &mut self,
        sections: &Sections<'_>,
        resource: &Resource<'_>,
        pair: &Pair<'_>,
        pairs: &[Pair<'_>],
        node: &str,
        files: &Files,
    ) {
        // Read both: what is wrong with the other side is wrong, too.
        let [one, other] = &pair.ends;
        let [one_read, other_read] = [one, other].map(|end| self.addresses(end));
        let (own, own_read, peer, peer_read) = match (one.is_of(node), other.is_of(node)) {
            (true, _) => (one, one_read, other, other_read),
            (false, true) => (other, other_read, one, one_read),
            (false, false) => return,
        };
        let options = Options::inherit(
            &own.proxy.options,
            resource.options.as_ref(),
            sections.common_options.as_ref(),
            files,
            &mut self.faults,
        );
        let part = self.parts.iter_mut().find(|part| part.file == resource.at.statement.span().file);
        if let Some(part) = part {
            part.connections += 1;
        }
        let (Some(own_read), Some(peer_read)) = (own_read, peer_read) else { return };
        let name = pair.name.unwrap_or(resource.name);
        let [remote, local] = names_of(peer, own, pair, pairs);
        let Inherited { memlimit, settings, plugins } = options;
        self.connections.push(Connection {
            name: Located { value: name.text.clone(), span: name.span, key: pair.at.key.clone() },
            remote: place(peer, remote),
            local: place(own, local),
            bsr: own_read.bsr,
            inside: own_read.inside,
            outside: own_read.outside,
            peer: peer_read.reached,
            memlimit,
            options: settings,
            plugins,
            facts: Facts::of(&pair.at, &resource.at, sections.common.as_ref()),
        });
    }

    fn addresses(&mut self, end: &End<'_>) -> Option<Read> {
        let faults = &mut self.faults;
        let proxy = &end.proxy;
        let mut read =
            |address: &Option<Address<'_>>| address.as_ref().and_then(|address| address.read(faults));
        let (inside, outside) = (read(&proxy.inside), read(&proxy.outside));
        // Where the network between the relays turns addresses, the other one is reached there.
        let reached =
            if proxy.public_outside.is_some() { read(&proxy.public_outside) } else { outside.clone() };
        let host = end.hosts.first();
        let [public, address] = [
            end.public.as_ref().or(host.and_then(|host| host.public.as_ref())),
            end.address.as_ref().or(host.and_then(|host| host.address.as_ref())),
        ];
        let bsr = match public.or(address) {
            Some(written) => {
                let mut bsr = written.read(faults);
                if let (None, Some(port)) = (public, end.port) {
                    bsr = self.with_port(end, bsr?, port);
                }
                bsr
            }
            None => {
                let at = host.map_or(&end.at, |host| &host.at);
                faults.push(at.lacks("address", "add address 10.77.1.2:7789; where bsr listens"));
                None
            }
        };
        Some(Read { bsr: bsr?, inside: inside?, outside: outside?, reached: reached? })
    }

    fn with_port(
        &mut self,
        end: &End<'_>,
        mut address: Located<SocketAddr>,
        port: &Word,
    ) -> Option<Located<SocketAddr>> {
        match port.text.parse() {
            Ok(number @ 1..) => {
                address.value.set_port(number);
                Some(Located { span: port.span, key: format!("{} > port", end.at.key), ..address })
            }
            _ => {
                let wrong = format!("{} is no port", quote(&port.text));
                self.faults.push(end.at.fault_at(port.span, wrong, "write a number from 1 to 65535"));
                None
            }
        }
    }
}

/// What could be read of one side.
struct Read {
    bsr: Located<SocketAddr>,
    inside: Located<SocketAddr>,
    outside: Located<SocketAddr>,
    /// Where the other side reaches `outside`.
    reached: Located<SocketAddr>,
}

/// The names of the two sides: those of the hosts that the proxies run on.
///
/// Where a proxy serves several hosts, those alone would make two connections one. Both relays see that in the file,
/// and call such connections by bsr's hosts, as newer tools do with all of them.
fn names_of(peer: &End<'_>, own: &End<'_>, pair: &Pair<'_>, pairs: &[Pair<'_>]) -> [String; 2] {
    let proxies = |pair: &Pair<'_>| {
        let name = pair.name.map(|name| name.text.clone());
        let sides: BTreeSet<String> = pair.ends.iter().map(|end| joined(&end.proxy.on)).collect();
        (name, sides)
    };
    let this = proxies(pair);
    let alone = pairs.iter().filter(|other| proxies(other) == this).count() == 1;
    [peer, own].map(|end| match end.hosts.first() {
        Some(host) if !alone => joined(&host.names),
        _ => joined(&end.proxy.on),
    })
}

fn place(end: &End<'_>, name: String) -> Located<String> {
    let span = end.proxy.on.first().map_or(end.proxy.at.statement.span(), |word| word.span);
    Located { value: name, span, key: end.proxy.at.key.clone() }
}
