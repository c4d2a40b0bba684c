//! The keys there are: where they stand, what they hold, what they hold by default.

use crate::kinds::{Checked, Kind};

/// One key of `drx.toml`.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its section: empty at the top, `resource` for what only a resource has.
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As the environment would give it. A key of a resource has none: it must be there.
    pub(crate) default: Option<&'static str>,
    /// The feature comes later: nothing but the default is accepted.
    pub(crate) later: bool,
}

impl Key {
    /// `section.name`, as errors and the command line name it.
    pub(crate) fn path(&self) -> String {
        join(self.section, self.name)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("DRX_{}", self.path().replace('.', "__").to_uppercase())
    }

    /// Whether a resource may have its own.
    pub(crate) fn per_resource(&self) -> bool {
        RESOURCE_SECTIONS.contains(&self.section) && self.path() != "bab.total"
    }

    const fn new(section: &'static str, name: &'static str, kind: Kind) -> Key {
        Key { section, name, kind, default: None, later: false }
    }

    const fn default(mut self, default: &'static str) -> Key {
        self.default = Some(default);
        self
    }

    const fn later(mut self) -> Key {
        self.later = true;
        self
    }
}

/// A section and a name as one path.
pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The key of that name in that section.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    in_section(section).find(|key| key.name == name)
}

/// All keys of a section.
pub(crate) fn in_section(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// A size that stands alone, as the environment would give it.
pub(crate) fn read(section: &str, name: &str, text: &str) -> Result<u64, String> {
    let key = find(section, name).ok_or_else(|| format!("there is no key {}", join(section, name)))?;
    let wrong = |wrong| format!("{}: {wrong}; {}", key.path(), key.kind.wanted());
    match key.kind.read(&key.kind.interpret(text)).map_err(wrong)? {
        Checked::Size(size) => Ok(size),
        _ => Err(wrong("is no size".to_owned())),
    }
}

/// The word that a misspelt one was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.to_lowercase().replace('-', "_").chars().take(MAX_WORD).collect();
    among
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The sections of a file, `resource` among them.
pub(crate) const SECTIONS: [&str; 8] =
    ["node", "resource", "bab", "link", "restart", "control", "log", "tls"];

/// What a resource may have its own of.
pub(crate) const RESOURCE_SECTIONS: [&str; 3] = ["bab", "link", "restart"];

/// The section whose mere presence asks for something that comes later.
pub(crate) const LATER_SECTION: &str = "tls";

/// In the order of the reference in docs/operating.md.
pub(crate) static KEYS: [Key; 41] = {
    use Kind::*;
    [
        Key::new("", "resources", Words).default(""),
        // No default here: it is the host's name.
        Key::new("node", "name", Name),
        Key::new("node", "bandwidth", Size { min: 0, max: MAX_SIZE }).default("0").later(),
        Key::new("resource", "name", Name),
        Key::new("resource", "remote", Name),
        Key::new("resource", "bsr", Address { dialled: true, example: "10.77.1.2:7789" }),
        Key::new("resource", "inside", Address { dialled: false, example: "10.77.1.1:7788" }),
        Key::new("resource", "outside", Address { dialled: false, example: "10.77.9.1:7780" }),
        Key::new("resource", "peer", Address { dialled: true, example: "10.77.9.2:7780" }),
        Key::new("bab", "size", Size { min: 64 << 10, max: 1 << 40 }).default("64MiB"),
        Key::new("bab", "reserve", Reserve).default("auto"),
        Key::new("bab", "backing", Word(&["memory", "locked", "file"])).default("memory"),
        Key::new("bab", "directory", Path { most: MAX_PATH }).default("/var/lib/drx"),
        Key::new("bab", "total", Size { min: 64 << 10, max: MAX_SIZE }).default("8GiB"),
        Key::new("link", "resume_timeout", Time { zero: true }).default("10s"),
        Key::new("link", "close_pending_timeout", Time { zero: true }).default("60s"),
        Key::new("link", "keepalive_interval", Time { zero: false }).default("1s"),
        Key::new("link", "keepalive_timeout", Time { zero: false }).default("5s"),
        Key::new("link", "connect_timeout", Time { zero: false }).default("5s"),
        Key::new("link", "window", Size { min: 64 << 10, max: 1 << 30 }).default("16MiB"),
        Key::new("link", "congestion_control", Congestion).default("auto"),
        Key::new("link", "checksum", Word(&["auto", "on", "off"])).default("auto"),
        Key::new("link", "hold_pings", Flag).default("false"),
        Key::new("link", "compression", Compression).default("none"),
        Key::new("link", "bandwidth", Size { min: 0, max: MAX_SIZE }).default("0").later(),
        Key::new("restart", "initial", Time { zero: false }).default("100ms"),
        Key::new("restart", "max", Time { zero: false }).default("10s"),
        Key::new("restart", "factor", Real { min: 1.0, max: 100.0 }).default("2.0"),
        Key::new("restart", "jitter", Real { min: 0.0, max: 0.99 }).default("0.2"),
        Key::new("restart", "stable_after", Time { zero: false }).default("30s"),
        Key::new("restart", "max_failures", Count { min: 1, max: 1000 }).default("5"),
        Key::new("restart", "window", Time { zero: false }).default("60s"),
        Key::new("control", "socket", Path { most: MAX_SOCKET }).default("/run/drx/drx.sock"),
        Key::new("control", "http", MaybeAddress).default("").later(),
        Key::new("log", "level", Word(&["critical", "error", "warning", "info", "debug", "trace"]))
            .default("info"),
        Key::new("log", "format", Word(&["term", "json"])).default("term").later(),
        Key::new("log", "file", MaybePath { most: MAX_PATH }).default(""),
        Key::new("log", "per_resource", Flag).default("false").later(),
        Key::new("tls", "certificate", Path { most: MAX_PATH }).later(),
        Key::new("tls", "key", Path { most: MAX_PATH }).later(),
        Key::new("tls", "trust", Words).later(),
    ]
};

/// 1024 TiB: more than a machine has, and far from every overflow in a sum.
const MAX_SIZE: u64 = 1 << 50;
/// Linux's PATH_MAX and `sun_path`, each without the closing zero.
const MAX_PATH: usize = 4095;
const MAX_SOCKET: usize = 107;
/// Longer words are like nothing; comparing takes the square of their length.
const MAX_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::de::{DeTable, DeValue};

    use super::*;

    #[test]
    fn defaults_are_values_of_their_keys() {
        for key in &KEYS {
            if let Some(default) = key.default {
                let value = key.kind.interpret(default);
                key.kind.read(&value).unwrap_or_else(|wrong| panic!("{}: {wrong}", key.path()));
            }
        }
    }

    #[test]
    fn no_key_stands_here_twice() {
        let paths: BTreeSet<String> = KEYS.iter().map(Key::path).collect();
        assert_eq!(paths.len(), KEYS.len());
    }

    /// Every key that can be used stands in the sample with its default, and no other does.
    #[test]
    fn the_sample_shows_every_key() {
        let sample = include_str!("../samples/all-keys.toml");
        let tree = DeTable::parse(sample).expect("the sample is TOML").into_inner();
        let mut shown = BTreeSet::new();
        let mut values = Vec::new();
        for (name, value) in &tree {
            match value.get_ref() {
                DeValue::Table(keys) => {
                    values.extend(keys.iter().map(|(key, value)| (name.get_ref().as_ref(), key, value)));
                }
                _ => values.push(("", name, value)),
            }
        }
        for (section, name, value) in values {
            let key = find(section, name.get_ref()).expect("the sample knows the keys");
            let value = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(real) => real.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Array(items) if items.is_empty() => String::new(),
                other => panic!("{} is a {}", key.path(), other.type_str()),
            };
            assert_eq!(key.default, Some(value.as_str()), "{}", key.path());
            shown.insert(key.path());
        }
        let usable = KEYS.iter().filter(|key| key.default.is_some() && !key.later);
        assert_eq!(shown, usable.map(Key::path).collect());
        // What has no default is shown as a comment.
        for key in KEYS.iter().filter(|key| key.default.is_none() && !key.later) {
            assert!(sample.contains(&format!("\n#{} ", key.name)), "{}", key.path());
        }
    }

    #[test]
    fn words_are_corrected_only_if_they_are_near() {
        let known = ["level", "format", "file", "per_resource"];
        let near = |word| nearest(word, known.into_iter());
        assert_eq!(near("levle"), Some("level"));
        assert_eq!(near("Level"), Some("level"));
        assert_eq!(near("per-resource"), Some("per_resource"));
        assert_eq!(near("formta"), Some("format"));
        assert_eq!(near("size"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"x".repeat(1_000_000)), None);
    }
}
