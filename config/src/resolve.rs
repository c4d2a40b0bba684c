//! The layers, merged by `config`, as typed values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use config::{ConfigError, Map, Source, Value, ValueKind};

use crate::checks;
use crate::error::{Errors, Place};
use crate::from_files::FromFiles;
use crate::kinds::{Checked, Kind};
use crate::layers::Layers;
use crate::model::{
    Bab, Backing, Checksum, Compression, Config, CongestionControl, Control, Defaults, Level, Link, Log,
    Node, Proxy, Reserve, Resource, Restart,
};
use crate::schema::{self, RESOURCE_SECTIONS};
use crate::sources::Sources;
use crate::spots::{Spot, SpotId, Spots};

/// Merges, types and checks.
pub(crate) fn resolve(sources: &Sources, mut layers: Layers) -> Result<Config, Errors> {
    let values = std::mem::take(&mut layers.values);
    let Ok(mut merged) = merge(values) else { return Err(lost(layers.spots)) };
    let items = merged.0.remove("resource");
    let items = items.and_then(|items| items.into_array().ok()).unwrap_or_default();
    let name = node_name(sources, &merged, &mut layers);
    let own = items.into_iter().zip(&layers.resources).map(|(item, header)| {
        let mut values = item.into_table().unwrap_or_default();
        values.insert(LOCAL.to_owned(), name.clone().into());
        (header.clone(), values)
    });
    let mut candidates: Vec<_> = own.collect();
    let from_files = FromFiles::read(sources, &merged, &mut layers, name.as_deref());
    let written = candidates.len();
    candidates.extend(from_files.candidates());
    let mut resources = Vec::new();
    for (header, values) in candidates {
        match merge(vec![merged.sections(), values]) {
            Ok(view) => resources.push((header, view)),
            Err(_) => return Err(lost(layers.spots)),
        }
    }
    checks::check(&merged, &resources, sources.is_local, &mut layers.spots);
    if let Some(name) = &name {
        layers.warnings.extend(checks::remote_is_self(name, &resources, &layers.spots));
    }
    let mut config = typed(name, &merged, &resources, layers.warnings);
    if let Some(config) = &mut config {
        let Config { resources, defaults, warnings, .. } = config;
        let default = defaults.link.compression;
        let own = resources.iter().take(written).map(|own| (own.name.as_str(), own.link.compression));
        let slow = own.filter(|(_, own)| *own != default).chain([("default", default)]);
        warnings.extend(
            slow.filter_map(|(of, with)| Some(format!("link.compression ({of}): {}", with.slowness()?))),
        );
        from_files.complete(resources.get_mut(written..).unwrap_or_default(), warnings);
    }
    let errors = layers.spots.into_errors();
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        _ if errors.is_empty() => Err(lost(Spots::default())),
        _ => Err(Errors(errors)),
    }
}

/// Merged values: sections by name, in them values by name, and in a resource its own keys.
#[derive(Debug)]
pub(crate) struct View(Map<String, Value>);

/// A merged value and where it came from; no spot: a default.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) spot: Option<SpotId>,
}

impl View {
    /// The value of a key; none where an error was already reported for it.
    pub(crate) fn find<T: FromChecked>(&self, section: &str, name: &str) -> Option<Found<T>> {
        let key = schema::find(section, name)?;
        let value = match (section, self.0.get(section).map(|section| &section.kind)) {
            ("resource" | "", _) => self.0.get(name)?,
            (_, Some(ValueKind::Table(section))) => section.get(name)?,
            _ => return None,
        };
        let checked = key.kind.read(&value.kind).ok()?;
        Some(Found { value: T::from_checked(checked)?, spot: Spots::of(value) })
    }

    /// This node's name on a resource; no source sets it by this key.
    pub(crate) fn local(&self) -> Option<String> {
        self.0.get(LOCAL)?.clone().into_string().ok()
    }

    /// A list's texts, each with its place; none where an error was already reported for it.
    pub(crate) fn texts(&self, section: &str, name: &str) -> Vec<Found<String>> {
        let (Some(list), Some(texts)) = (self.find::<Vec<String>>(section, name), self.0.get(name)) else {
            return Vec::new();
        };
        let places: Vec<Option<SpotId>> = match &texts.kind {
            ValueKind::Array(items) => items.iter().map(Spots::of).collect(),
            _ => Vec::new(),
        };
        let spot = |index: usize| places.get(index).copied().flatten().or(list.spot);
        list.value.into_iter().enumerate().map(|(index, value)| Found { value, spot: spot(index) }).collect()
    }

    fn value<T: FromChecked>(&self, section: &str, name: &str) -> Option<T> {
        self.find(section, name).map(|found| found.value)
    }

    /// Whether a source says something, be it right or wrong.
    fn mentions(&self, section: &str, name: &str) -> bool {
        match self.0.get(section).map(|section| &section.kind) {
            Some(ValueKind::Table(section)) => section.contains_key(name),
            _ => false,
        }
    }

    /// What a resource inherits.
    fn sections(&self) -> Map<String, Value> {
        let inherited = self.0.iter().filter(|(name, _)| RESOURCE_SECTIONS.contains(&name.as_str()));
        inherited.map(|(name, section)| (name.clone(), section.clone())).collect()
    }
}

/// One source for `config`: values that were read and checked before.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Lets `config` lay one over the other.
fn merge(layers: Vec<Map<String, Value>>) -> Result<View, ConfigError> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(Layer(layer));
    }
    builder.build()?.collect().map(View)
}

/// The configured name, or the host's; none where an error says why.
fn node_name(sources: &Sources, merged: &View, layers: &mut Layers) -> Option<String> {
    if merged.mentions("node", "name") {
        return merged.value("node", "name");
    }
    let wrong = match &sources.host_name {
        None => "is missing, and the host has no name".to_owned(),
        Some(host) => match Kind::Name.read(&ValueKind::String(host.clone())) {
            Ok(_) => return Some(host.clone()),
            Err(wrong) => format!("is missing, and the host's name {wrong}"),
        },
    };
    let mut spot = layers.node.clone().unwrap_or_else(|| Spot::outside(Place::Default, "", (0, 0)));
    spot.key = "node.name".to_owned();
    layers.spots.report(&spot, wrong, "add name = \"node1\" to [node]");
    None
}

fn typed(
    name: Option<String>,
    merged: &View,
    resources: &[(Spot, View)],
    warnings: Vec<String>,
) -> Option<Config> {
    Some(Config {
        node: Node { name: name? },
        resources: resources.iter().map(|(_, view)| resource(view)).collect::<Option<_>>()?,
        defaults: Defaults { bab: bab(merged)?, link: link(merged)?, restart: restart(merged)? },
        bab_total: merged.value("bab", "total")?,
        control: Control { socket: PathBuf::from(merged.value::<String>("control", "socket")?) },
        log: Log {
            level: level(&merged.value::<String>("log", "level")?)?,
            file: Some(merged.value::<String>("log", "file")?)
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
        },
        warnings,
    })
}

fn resource(view: &View) -> Option<Resource> {
    Some(Resource {
        name: view.value("resource", "name")?,
        remote: view.value("resource", "remote")?,
        bsr: view.value("resource", "bsr")?,
        inside: view.value("resource", "inside")?,
        outside: view.value("resource", "outside")?,
        peer: view.value("resource", "peer")?,
        bab: bab(view)?,
        link: link(view)?,
        restart: restart(view)?,
        local: view.local()?,
        proxy: Proxy::default(),
    })
}

fn bab(view: &View) -> Option<Bab> {
    Some(Bab {
        size: view.value("bab", "size")?,
        reserve: view.value("bab", "reserve")?,
        backing: match view.value::<String>("bab", "backing")?.as_str() {
            "memory" => Backing::Memory,
            "locked" => Backing::Locked,
            "file" => Backing::File,
            _ => return None,
        },
        directory: PathBuf::from(view.value::<String>("bab", "directory")?),
    })
}

fn link(view: &View) -> Option<Link> {
    Some(Link {
        resume_timeout: view.value("link", "resume_timeout")?,
        close_pending_timeout: view.value("link", "close_pending_timeout")?,
        keepalive_interval: view.value("link", "keepalive_interval")?,
        keepalive_timeout: view.value("link", "keepalive_timeout")?,
        connect_timeout: view.value("link", "connect_timeout")?,
        window: u32::try_from(view.value::<u64>("link", "window")?).ok()?,
        congestion_control: match view.value::<String>("link", "congestion_control")?.as_str() {
            "auto" => CongestionControl::Auto,
            "system" => CongestionControl::System,
            name => CongestionControl::Named(name.to_owned()),
        },
        checksum: match view.value::<String>("link", "checksum")?.as_str() {
            "auto" => Checksum::Auto,
            "on" => Checksum::On,
            "off" => Checksum::Off,
            _ => return None,
        },
        compression: view.value("link", "compression")?,
        hold_pings: view.value("link", "hold_pings")?,
    })
}

fn restart(view: &View) -> Option<Restart> {
    Some(Restart {
        initial: view.value("restart", "initial")?,
        max: view.value("restart", "max")?,
        factor: view.value("restart", "factor")?,
        jitter: view.value("restart", "jitter")?,
        stable_after: view.value("restart", "stable_after")?,
        max_failures: view.value("restart", "max_failures")?,
        window: view.value("restart", "window")?,
    })
}

/// A level of its name.
pub(crate) fn level(name: &str) -> Option<Level> {
    Some(match name {
        "critical" => Level::Critical,
        "error" => Level::Error,
        "warning" => Level::Warning,
        "info" => Level::Info,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => return None,
    })
}

/// A fault of ours, not of the configuration: a value vanished without an error. Better said than ended
/// by a panic.
fn lost(mut spots: Spots) -> Errors {
    let spot = Spot::outside(Place::Default, "drx.toml", (0, 0));
    spots.report(&spot, "a value was lost while the sources were merged", "report this as a fault of drxd");
    Errors(spots.into_errors())
}

/// A resource's name of this node among its values.
pub(crate) const LOCAL: &str = "local";

/// The type inside of a checked value.
pub(crate) trait FromChecked: Sized {
    fn from_checked(checked: Checked) -> Option<Self>;
}

macro_rules! from_checked {
    ($($variant:ident $type:ty),*) => {
        $(impl FromChecked for $type {
            fn from_checked(checked: Checked) -> Option<$type> {
                match checked {
                    Checked::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

from_checked!(
    Text String, Address SocketAddr, Time Duration, Size u64, Count u32, Real f64, Reserve Reserve, Compression Compression,
    Flag bool, Words Vec<String>
);
