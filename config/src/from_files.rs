//! The key `resources`: finds resource files, and makes each connection through a proxy on this node what a
//! `[[resource]]` would be.

use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};

use crate::error::Place;
use crate::kinds::{Kind, quote};
use crate::layers::{Layers, hole};
use crate::model::Resource;
use crate::plugins::Plugins;
use crate::resolve::{Found, LOCAL, View};
use crate::resource_file::{
    Connection, Fault, Located, Meaning, Reading, Relay, advice, expand, kept, meaning,
};
use crate::schema;
use crate::sources::Sources;
use crate::spots::{Spot, Spots};

/// What resource files say.
#[derive(Debug, Default)]
pub(crate) struct FromFiles {
    reading: Reading,
    meaning: Meaning,
    /// For each connection, where it begins and its keys.
    resources: Vec<(Spot, Map<String, Value>)>,
}

impl FromFiles {
    /// Reads all resource files that the sources name.
    pub(crate) fn read(
        sources: &Sources,
        merged: &View,
        layers: &mut Layers,
        node: Option<&str>,
    ) -> FromFiles {
        let mut files = FromFiles::default();
        let spots = &mut layers.spots;
        for (path, spot) in &layers.resource_files {
            files.read_file(path, spot, spots);
        }
        for pattern in merged.texts("", "resources") {
            files.read_all(&pattern, spots);
        }
        // Behind all sources: files, environment, command line.
        let before = sources.files.len() + 3;
        files.reading.files.report(&files.reading.faults, before, spots);
        // Without a name of its own, which is an error, nothing here is this node's.
        files.meaning = meaning(&files.reading, node.unwrap_or_default(), sources.interface);
        files.reading.files.report(&files.meaning.faults, before, spots);
        for connection in &files.meaning.connections {
            files.resources.push(values(connection, &files.reading, before, spots));
        }
        files
    }

    /// The connections' keys, each with the spot where it begins.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (Spot, Map<String, Value>)> {
        self.resources.iter().cloned()
    }

    /// Adds what no key says to the resources that came of the candidates, and warns of what is odd.
    pub(crate) fn complete(&self, resources: &mut [Resource], warnings: &mut Vec<String>) {
        let Meaning { connections, remarks, .. } = &self.meaning;
        let mut odd: Vec<Fault> = remarks.clone();
        for (connection, resource) in connections.iter().zip(resources) {
            let options = connection.options.iter().map(|(name, value)| (name.clone(), value.value.clone()));
            resource.proxy.options = options.collect();
            resource.proxy.plugins = connection.plugins.iter().map(|line| line.value.clone()).collect();
            let plugins = Plugins::read(&resource.proxy.plugins);
            resource.link.compression = plugins.compression.unwrap_or(resource.link.compression);
            let relay = Relay {
                bab: resource.bab.size,
                resume_timeout: resource.link.resume_timeout,
                hold_pings: resource.link.hold_pings,
            };
            odd.extend(kept(connection, &plugins));
            odd.extend(advice(connection, relay));
        }
        odd.extend(self.of_others());
        odd.sort_by_key(|fault| fault.span);
        // What several connections inherit is odd once.
        odd.dedup();
        warnings.extend(odd.iter().take(MAX_WARNINGS).map(|fault| {
            let Fault { span, key, wrong, right } = fault;
            format!("{}: {key}: {wrong}; {right}", self.reading.files.place(*span))
        }));
        if odd.len() > MAX_WARNINGS {
            warnings.push(format!("resource files: {} more warnings of this kind", odd.len() - MAX_WARNINGS));
        }
    }

    /// Files that have nothing for this node: perhaps its name is not what they call it.
    fn of_others(&self) -> impl Iterator<Item = Fault> {
        let parts = &self.meaning.parts;
        let none_at_all = parts.iter().all(|part| part.hosts.is_empty());
        let of_others = parts.iter().filter(move |part| match part.hosts.is_empty() {
            true => none_at_all,
            false => part.connections == 0,
        });
        of_others.map(|part| {
            let hosts: Vec<&str> = part.hosts.iter().map(String::as_str).take(MAX_HOSTS).collect();
            let more = if part.hosts.len() > MAX_HOSTS { ", …" } else { "" };
            let (wrong, right) = match hosts.is_empty() {
                true => (
                    "no resource of this file has a proxy".to_owned(),
                    "add proxy on HOST { … } to its hosts",
                ),
                false => (
                    format!("no proxy of this file is on this node, only on {}{more}", hosts.join(", ")),
                    "make one of these node.name, if this node is it",
                ),
            };
            Fault { span: part.span, key: "resource".to_owned(), wrong, right: right.to_owned() }
        })
    }

    /// Reads the files of one pattern.
    fn read_all(&mut self, pattern: &Found<String>, spots: &mut Spots) {
        let spot = match pattern.spot {
            Some(id) => spots.spot(id).clone(),
            None => Spot::outside(Place::Default, "resources", (0, 0)),
        };
        let folder = match &spot.place {
            Place::File { name, .. } => Path::new(name).parent().unwrap_or(Path::new("")).to_owned(),
            _ => PathBuf::new(),
        };
        let shown = quote(&pattern.value);
        match expand(&folder, &pattern.value) {
            Err(wrong) => {
                spots.report(&spot, format!("{shown}: {wrong}"), "write one such as \"/etc/bsr.d/*.res\"")
            }
            Ok(paths) if paths.is_empty() => {
                spots.report(&spot, format!("{shown} matches no file"), "name resource files that are there");
            }
            Ok(paths) => {
                for path in paths {
                    self.read_file(&path, &spot, spots);
                }
            }
        }
    }

    fn read_file(&mut self, path: &Path, spot: &Spot, spots: &mut Spots) {
        if let Err(wrong) = self.reading.read(path) {
            let named = matches!(&spot.place, Place::File { name, .. } if Path::new(name) == path);
            let wrong = if named { wrong } else { format!("{} {wrong}", path.display()) };
            spots.report(spot, wrong, "name resource files that this user may read");
        }
    }
}

/// A connection's keys as a `[[resource]]` would have them, holes where something is wrong.
fn values(
    connection: &Connection,
    reading: &Reading,
    before: usize,
    spots: &mut Spots,
) -> (Spot, Map<String, Value>) {
    let Connection { name, remote, local, bsr, inside, outside, peer, memlimit, .. } = connection;
    let mut values = Map::new();
    let mut put = |key: &str, written: Option<&Located<String>>| {
        let Some(written) = written else {
            values.insert(key.to_owned(), hole());
            return;
        };
        // `local` is of the kind of `remote`.
        let known = schema::find("resource", if key == LOCAL { "remote" } else { key });
        let kind = ValueKind::String(written.value.clone());
        let spot = reading.files.spot(written.span, &written.key, before);
        let value = match known.map(|known| (known.kind.read(&kind), known.kind)) {
            Some((Ok(_), _)) => spots.value(spot, kind),
            Some((Err(wrong), known)) => {
                spots.report(&spot, wrong, known.wanted());
                hole()
            }
            None => return,
        };
        values.insert(key.to_owned(), value);
    };
    for (key, text) in [("name", name), ("remote", remote), (LOCAL, local)] {
        put(key, Some(text));
    }
    for (key, address) in [("bsr", bsr), ("inside", inside), ("outside", outside), ("peer", peer)] {
        match address {
            Some(address) => put(key, Some(&address.with(address.value.to_string()))),
            None => put(key, None),
        }
    }
    if let Some(memlimit) = memlimit {
        let spot = reading.files.spot(memlimit.span, &memlimit.key, before);
        let mut bab: Map<String, Value> = Map::new();
        bab.insert("size".to_owned(), size(memlimit.value, spot, spots));
        values.insert("bab".to_owned(), bab.into());
    }
    (reading.files.spot(name.span, &name.key, before), values)
}

/// `memlimit` as `bab.size`, or a hole.
fn size(bytes: u64, spot: Spot, spots: &mut Spots) -> Value {
    let Some(Kind::Size { min, max }) = schema::find("bab", "size").map(|key| key.kind) else {
        return hole();
    };
    if (min..=max).contains(&bytes) {
        return spots.value(spot, ValueKind::String(bytes.to_string()));
    }
    let wrong = if bytes < min { "is too small for a BAB" } else { "is too large for a BAB" };
    let right = format!("write a memlimit of {}k to {}G", min >> 10, max >> 30);
    spots.report(&spot, wrong, right);
    hole()
}

/// Names that a warning shows.
const MAX_HOSTS: usize = 8;
/// Nobody reads more.
const MAX_WARNINGS: usize = 1000;
