//! Each source against the schema. What passes goes to `config`; what does not is reported and leaves a
//! hole, so that no later check takes a default for what the operator wrote.

use std::ops::Range;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::{Document, read_file, without_mark};
use crate::error::Place;
use crate::kinds::display;
use crate::schema::{self, Key, LATER_SECTION, RESOURCE_SECTIONS, SECTIONS, join, nearest};
use crate::sources::{File, Sources};
use crate::spots::{Spot, Spots, Text};

/// What the sources say, the weakest first.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// Values by path, as `config` takes them; the origin of each is its spot.
    pub(crate) values: Vec<Map<String, Value>>,
    /// Where each resource begins.
    pub(crate) resources: Vec<Spot>,
    /// Where `[node]` stands, or the first file.
    pub(crate) node: Option<Spot>,
    /// Resource files that were given in place of configurations, each with its spot.
    pub(crate) resource_files: Vec<(PathBuf, Spot)>,
    pub(crate) spots: Spots,
    pub(crate) warnings: Vec<String>,
}

/// Reads all sources.
pub(crate) fn read(sources: &Sources) -> Layers {
    let mut layers = Layers::default();
    layers.values.push(defaults());
    for (index, file) in sources.files.iter().enumerate() {
        let source = index + 1;
        let text = match file {
            File::Path(path) if is_resource_file(path) => {
                let place = Place::File { name: path.display().to_string(), line: 1, column: 1 };
                layers.resource_files.push((path.clone(), Spot::outside(place, "file", (source, 0))));
                None
            }
            File::Path(path) => read_file(path, source, &mut layers.spots),
            File::Text { name, text } => Some(Text::new(name.clone(), without_mark(text.clone()), source)),
        };
        if let Some(text) = text {
            let document = Document::new(text, &mut layers.spots);
            layers.read_document(&document);
        }
    }
    let source = sources.files.len() + 1;
    layers.read_environment(&sources.environment, source);
    layers.read_command_line(&sources.command_line, source + 1);
    layers
}

/// Whether a file is bsr's by its name: `NAME.res`, or the one that `drbdadm` or `bsradm` begins with.
fn is_resource_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "res")
        || path.file_name().is_some_and(|name| name == "drbd.conf" || name == "bsr.conf")
}

fn defaults() -> Map<String, Value> {
    let mut values = Map::new();
    for key in &schema::KEYS {
        if let Some(default) = key.default {
            put(&mut values, key.section, key.name, key.kind.interpret(default).into());
        }
    }
    values
}

impl Layers {
    fn read_document(&mut self, document: &Document) {
        let text = &document.text;
        let mut values = Map::new();
        let first = self.resources.len();
        for (key, value) in document.tree() {
            let name = key.get_ref().as_ref();
            let header = text.spot(value.span().start, name);
            match value.get_ref() {
                DeValue::Array(items) if name == "resource" => {
                    for item in items {
                        self.read_resource(document, item, first, &mut values);
                    }
                }
                _ if name == "resource" => {
                    self.spots.report(
                        &header,
                        "is no list of resources",
                        "write [[resource]], in two brackets",
                    );
                }
                DeValue::Table(table) if SECTIONS.contains(&name) => {
                    if name == "node" {
                        self.node = Some(header.clone());
                    }
                    if name == LATER_SECTION {
                        self.spots.report(&header, "TLS is not available yet", "leave the section out");
                    }
                    let table = self.read_section(text, table, name, false);
                    values.insert(name.to_owned(), table.into());
                }
                _ if SECTIONS.contains(&name) => {
                    let right = format!("write [{name}] on a line of its own, and the keys below");
                    self.spots.report(&header, "is a section", right);
                }
                value_there => match schema::find("", name) {
                    Some(key) => {
                        let value = self.read_value(text, key, false, value_there, value.span());
                        values.insert(name.to_owned(), value);
                    }
                    None => self.unknown_key(text, &key.span(), "", name, false),
                },
            }
        }
        self.node.get_or_insert_with(|| text.spot(0, "node"));
        self.hide(document, first, &mut values);
        self.values.push(values);
    }

    fn read_resource(
        &mut self,
        document: &Document,
        item: &Spanned<DeValue<'_>>,
        first: usize,
        values: &mut Map<String, Value>,
    ) {
        let text = &document.text;
        let header = text.spot(item.span().start, "resource");
        let DeValue::Table(table) = item.get_ref() else {
            self.spots.report(&header, "is no resource", "write [[resource]] and its keys below");
            return;
        };
        let index = self.resources.len() - first;
        let mut resource = Map::new();
        let mut own = DeTable::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(section) if RESOURCE_SECTIONS.contains(&name) => {
                    let section = self.read_section(text, section, name, true);
                    resource.insert(name.to_owned(), section.into());
                }
                _ if RESOURCE_SECTIONS.contains(&name) => {
                    let spot = text.spot(value.span().start, join("resource", name));
                    let right = format!("write [resource.{name}] on a line of its own, and the keys below");
                    self.spots.report(&spot, "is a section", right);
                }
                _ => {
                    own.insert(key.clone(), value.clone());
                }
            }
        }
        let hidden =
            |key: &Key| document.hidden.contains(&(vec!["resource".to_owned(), key.name.to_owned()], index));
        for key in schema::in_section("resource") {
            if !table.contains_key(key.name) && !document.incomplete && !hidden(key) {
                let spot = text.spot(item.span().start, key.path());
                let right = match key.kind.wanted().split_once("such as ") {
                    Some((_, example)) => format!("add {} = {example}", key.name),
                    None => {
                        format!("add {} = \"{}\"", key.name, if key.name == "name" { "r0" } else { "node2" })
                    }
                };
                self.spots.report(&spot, "is missing", right);
            }
        }
        resource.extend(self.read_section(text, &own, "resource", false));
        values.insert(format!("resource[{}]", self.resources.len()), Value::from(resource));
        self.resources.push(header);
    }

    fn read_section(
        &mut self,
        text: &Text,
        table: &DeTable<'_>,
        section: &str,
        of_resource: bool,
    ) -> Map<String, Value> {
        let mut values = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match schema::find(section, name) {
                Some(found) if of_resource && !found.per_resource() => {
                    let spot = text.spot(key.span().start, format!("resource.{section}.{name}"));
                    let right = format!("set it in [{section}]");
                    self.spots.report(&spot, "cannot differ between resources", right);
                }
                Some(found) => {
                    let value = self.read_value(text, found, of_resource, value.get_ref(), value.span());
                    values.insert(name.to_owned(), value);
                }
                None => self.unknown_key(text, &key.span(), section, name, of_resource),
            }
        }
        values
    }

    fn read_value(
        &mut self,
        text: &Text,
        key: &Key,
        of_resource: bool,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Value {
        let prefix = if of_resource { "resource" } else { "" };
        let spot = text.spot(span.start, join(prefix, &key.path()));
        match plain_value(value) {
            // A section's own error says it already.
            Ok(kind) if key.section == LATER_SECTION => match key.kind.read(&kind) {
                Ok(_) => hole(),
                Err(wrong) => {
                    self.spots.report(&spot, wrong, key.kind.wanted());
                    hole()
                }
            },
            Ok(kind) => {
                let mut checked = self.check(key, spot, kind);
                // Each text of a list has its own place.
                if let (DeValue::Array(items), ValueKind::Array(values)) = (value, &mut checked.kind) {
                    for (item, value) in items.iter().zip(values) {
                        let spot = text.spot(item.span().start, join(prefix, &key.path()));
                        *value = self.spots.value(spot, std::mem::replace(&mut value.kind, ValueKind::Nil));
                    }
                }
                checked
            }
            Err(wrong) => {
                self.spots.report(&spot, wrong, key.kind.wanted());
                hole()
            }
        }
    }

    /// A value for the merge: as it is, or a hole where it is wrong.
    fn check(&mut self, key: &Key, spot: Spot, kind: ValueKind) -> Value {
        let checked = match key.kind.read(&kind) {
            Ok(checked) => checked,
            Err(wrong) => {
                self.spots.report(&spot, wrong, key.kind.wanted());
                return hole();
            }
        };
        if key.later {
            let default = key.default.map(|default| key.kind.interpret(default));
            if default.as_ref().and_then(|default| key.kind.read(default).ok()) != Some(checked) {
                let right = match &default {
                    Some(ValueKind::Array(_)) => "leave the list empty".to_owned(),
                    Some(default) => format!("leave it at {}", display(default)),
                    None => format!("leave [{}] out", key.section),
                };
                self.spots.report(&spot, format!("{} is not available yet", display(&kind)), right);
                return hole();
            }
        }
        self.spots.value(spot, kind)
    }

    fn unknown_key(
        &mut self,
        text: &Text,
        span: &Range<usize>,
        section: &str,
        name: &str,
        of_resource: bool,
    ) {
        let prefix = if of_resource { "resource" } else { "" };
        let spot = text.spot(span.start, join(prefix, &join(section, name)));
        let sections: &[&str] = match section {
            "" => &SECTIONS,
            "resource" => &RESOURCE_SECTIONS,
            _ => &[],
        };
        let keys = schema::in_section(section).filter(|key| !of_resource || key.per_resource());
        let known: Vec<&str> = keys.map(|key| key.name).chain(sections.iter().copied()).collect();
        let elsewhere = schema::KEYS.iter().find(|key| key.name == name && key.section != "resource");
        let right = match (elsewhere, nearest(name, known.iter().copied())) {
            (Some(key), _) if key.section.is_empty() => {
                format!("write {} before the first section, which is where it belongs", key.name)
            }
            (Some(key), _) => format!("there is {} in [{}]", key.name, key.section),
            (None, Some(near)) => format!("did you mean {near}?"),
            (None, None) => format!("known here: {}", known.join(", ")),
        };
        self.spots.report(&spot, "unknown key", right);
    }

    /// Leaves holes where a syntax error hides values.
    fn hide(&self, document: &Document, first: usize, values: &mut Map<String, Value>) {
        for (path, index) in &document.hidden {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["resource", rest @ ..] => {
                    let resource = values.get_mut(&format!("resource[{}]", first + index));
                    let Some(ValueKind::Table(resource)) = resource.map(|value| &mut value.kind) else {
                        continue;
                    };
                    match rest {
                        [name] => put(resource, "", name, hole()),
                        [section, name] => put(resource, section, name, hole()),
                        _ => {}
                    }
                }
                [section, name] if schema::find(section, name).is_some() => {
                    put(values, section, name, hole())
                }
                _ => {}
            }
        }
    }

    fn read_environment(&mut self, environment: &[(String, String)], source: usize) {
        let mut values = Map::new();
        let mut ours: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        // The environment has no order of its own; the messages should.
        ours.sort_by_key(|(name, _)| name);
        for (index, (name, text)) in ours.into_iter().enumerate() {
            let settable = || schema::KEYS.iter().filter(|key| key.section != "resource");
            match settable().find(|key| key.variable() == *name) {
                Some(key) => {
                    let spot = Spot::outside(Place::Environment(name.clone()), &key.path(), (source, index));
                    let value = self.check(key, spot, key.kind.interpret(text));
                    put(&mut values, key.section, key.name, value);
                }
                None => {
                    let variables: Vec<String> = settable().map(Key::variable).collect();
                    let lower: Vec<String> = variables.iter().map(|known| known.to_lowercase()).collect();
                    let near = nearest(name, lower.iter().map(String::as_str));
                    let hint = near.map(|near| format!("; did you mean {}?", near.to_uppercase()));
                    self.warnings.push(format!(
                        "{}: unknown variable, ignored{}",
                        name.escape_debug(),
                        hint.unwrap_or_default()
                    ));
                }
            }
        }
        self.values.push(values);
    }

    fn read_command_line(&mut self, keys: &[(String, String)], source: usize) {
        let mut values = Map::new();
        for (index, (path, text)) in keys.iter().enumerate() {
            let settable = || schema::KEYS.iter().filter(|key| key.section != "resource");
            let shown: String = path.chars().filter(|c| !c.is_control()).collect();
            let spot = Spot::outside(Place::CommandLine(shown.clone()), &shown, (source, index));
            match settable().find(|key| key.path() == *path) {
                Some(key) => {
                    let value = self.check(key, spot, key.kind.interpret(text));
                    put(&mut values, key.section, key.name, value);
                }
                None if path.starts_with("resource.") => {
                    self.spots.report(&spot, "cannot be set here", "set it at the resource, in a file");
                }
                None => {
                    let paths: Vec<String> = settable().map(Key::path).collect();
                    let right = match nearest(path, paths.iter().map(String::as_str)) {
                        Some(near) => format!("did you mean {near}?"),
                        None => "name a key of drx.toml with its section, such as log.level".to_owned(),
                    };
                    self.spots.report(&spot, "unknown key", right);
                }
            }
        }
        self.values.push(values);
    }
}

/// What TOML and `config` both know. Dates, nested sections and numbers beyond 64 bits are no key's value.
fn plain_value(value: &DeValue<'_>) -> Result<ValueKind, String> {
    Ok(match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => return Err("the number is out of range".to_owned()),
        },
        DeValue::Float(real) => match real.as_str().parse() {
            Ok(real) => ValueKind::Float(real),
            Err(_) => return Err("the number is out of range".to_owned()),
        },
        DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
        DeValue::Datetime(_) => return Err("stands here as a date".to_owned()),
        DeValue::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| plain_value(item.get_ref())).collect();
            ValueKind::Array(items?.into_iter().map(|kind| Value::new(None, kind)).collect())
        }
        DeValue::Table(_) => ValueKind::Table(Map::new()),
    })
}

fn put(values: &mut Map<String, Value>, section: &str, name: &str, value: Value) {
    if section.is_empty() {
        values.insert(name.to_owned(), value);
        return;
    }
    let table = values.entry(section.to_owned()).or_insert_with(|| Value::from(Map::<String, Value>::new()));
    if let ValueKind::Table(table) = &mut table.kind {
        table.insert(name.to_owned(), value);
    }
}

/// What stands for a value that is wrong.
pub(crate) fn hole() -> Value {
    Value::new(None, ValueKind::Nil)
}

/// Of the environment's variables that are ours.
const PREFIX: &str = "DRX_";
