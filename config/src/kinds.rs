//! What a key's value may be: from what stands in a source to the value the relay uses.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use config::{Value, ValueKind};

use crate::model::{Compression, Reserve};
use crate::units::{parse_size, parse_time, print_size, print_time};

/// The type of a key, with its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Of a resource or node: becomes part of file names and log lines.
    Name,
    /// IP and port. `dialled`: an address that stands for all others is none.
    Address {
        dialled: bool,
        example: &'static str,
    },
    /// An address, or empty.
    MaybeAddress,
    Time {
        zero: bool,
    },
    Size {
        min: u64,
        max: u64,
    },
    Count {
        min: u32,
        max: u32,
    },
    Real {
        min: f64,
        max: f64,
    },
    Flag,
    Word(&'static [&'static str]),
    Congestion,
    Compression,
    Reserve,
    /// At most so many bytes.
    Path {
        most: usize,
    },
    /// A path, or empty.
    MaybePath {
        most: usize,
    },
    /// A list of texts.
    Words,
}

/// A value that is of its key's kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Checked {
    Text(String),
    Address(SocketAddr),
    Time(Duration),
    Size(u64),
    Count(u32),
    Real(f64),
    Flag(bool),
    Reserve(Reserve),
    Compression(Compression),
    Words(Vec<String>),
}

impl Kind {
    /// A value from a file, or one made by [`Kind::interpret`].
    ///
    /// # Errors
    /// What is wrong with it; [`Kind::wanted`] says what would be right.
    pub(crate) fn read(self, value: &ValueKind) -> Result<Checked, String> {
        let checked = self.read_type(value).ok_or_else(|| self.mistyped(value))?;
        match (self, &checked) {
            (Kind::Name, Checked::Text(name)) => name_fault(name)?,
            (Kind::Address { .. }, Checked::Address(address)) if address.port() == 0 => {
                return Err(format!("{address} has port 0, which is none"));
            }
            (Kind::Address { .. }, Checked::Address(SocketAddr::V6(address)))
                if lacks_interface(*address) =>
            {
                let with = SocketAddrV6::new(*address.ip(), address.port(), 0, 3);
                return Err(format!(
                    "{address} is link-local and lacks the number of its interface, as in {with}"
                ));
            }
            (Kind::Address { dialled: true, .. }, Checked::Address(address))
                if address.ip().is_unspecified() =>
            {
                return Err(format!("{} is every address of a machine, nothing to dial", address.ip()));
            }
            (Kind::Time { zero: false }, Checked::Time(Duration::ZERO)) => {
                return Err("must not be zero".to_owned());
            }
            (Kind::Time { .. }, Checked::Time(time)) if !time.is_zero() && *time < MIN_TIME => {
                return Err(format!("{} is too short", print_time(*time)));
            }
            (Kind::Time { .. }, Checked::Time(time)) if *time > MAX_TIME => {
                return Err(format!("{} is too long", display(value)));
            }
            (Kind::Size { min, .. }, Checked::Size(size)) if *size < min => {
                return Err(format!("{} is too small", display(value)));
            }
            (Kind::Size { max, .. }, Checked::Size(size)) if *size > max => {
                return Err(format!("{} is too large", display(value)));
            }
            (Kind::Count { min, max }, Checked::Count(count)) if !(min..=max).contains(count) => {
                return Err(format!("{} is out of range", display(value)));
            }
            (Kind::Real { min, max }, Checked::Real(real)) if !(min..=max).contains(real) => {
                return Err(format!("{real} is out of range"));
            }
            (Kind::Path { .. }, Checked::Text(path)) if path.is_empty() => {
                return Err("is empty".to_owned());
            }
            (Kind::Path { most } | Kind::MaybePath { most }, Checked::Text(path)) if path.len() > most => {
                return Err(format!("has {} bytes, more than the system takes", path.len()));
            }
            (Kind::Path { .. } | Kind::MaybePath { .. }, Checked::Text(path)) if path.contains('\0') => {
                return Err(format!("{} holds a zero byte", display(value)));
            }
            _ => {}
        }
        Ok(checked)
    }

    /// What the environment and the command line give, which know only texts, as a file would hold it.
    pub(crate) fn interpret(self, text: &str) -> ValueKind {
        let other = match self {
            Kind::Count { .. } => text.parse().ok().map(ValueKind::I64),
            Kind::Real { .. } => text.parse().ok().map(ValueKind::Float),
            Kind::Flag => text.parse().ok().map(ValueKind::Boolean),
            Kind::Words if text.is_empty() => Some(ValueKind::Array(Vec::new())),
            Kind::Words => {
                Some(ValueKind::Array(text.split(',').map(|word| Value::from(word.trim())).collect()))
            }
            _ => None,
        };
        other.unwrap_or_else(|| ValueKind::String(text.to_owned()))
    }

    /// What would be right.
    pub(crate) fn wanted(self) -> String {
        match self {
            Kind::Name => {
                "write a name of 1 to 255 bytes, without blanks, control characters or `/`".to_owned()
            }
            Kind::Address { example, .. } => {
                format!("write an IP address with a port, such as \"{example}\"")
            }
            Kind::MaybeAddress => "write \"\" or an IP address with a port".to_owned(),
            Kind::Time { zero: true } => "write 0 or a time of 1ms to 8760h, such as \"10s\"".to_owned(),
            Kind::Time { zero: false } => "write a time of 1ms to 8760h, such as \"5s\"".to_owned(),
            Kind::Size { min: 0, .. } => "write 0 (no limit) or bytes a second, such as \"10MiB\"".to_owned(),
            Kind::Size { min, max } => format!("write a size of {} to {}", print_size(min), print_size(max)),
            Kind::Count { min, max } => format!("write a whole number from {min} to {max}"),
            Kind::Real { min, max } => format!("write a number from {min:?} to {max:?}"),
            Kind::Flag => "write true or false".to_owned(),
            Kind::Word(words) => format!("write {}", alternatives(words)),
            Kind::Congestion => {
                "write \"auto\", \"system\" or a name that the kernel knows, such as \"bbr\"".to_owned()
            }
            Kind::Compression => {
                "write \"none\", \"lz4\", \"zstd\", \"zstd:LEVEL\" (1 to 22) or \"auto\"".to_owned()
            }
            Kind::Reserve => "write \"auto\", a size or a percentage up to \"50%\"".to_owned(),
            Kind::Path { most } => format!("write a path of 1 to {most} bytes"),
            Kind::MaybePath { most } => format!("write \"\" or a path of at most {most} bytes"),
            Kind::Words => "write a list of texts, such as [\"one\", \"two\"]".to_owned(),
        }
    }

    fn read_type(self, value: &ValueKind) -> Option<Checked> {
        let text = match value {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        };
        let number = match *value {
            ValueKind::I64(number) => Some(number),
            _ => None,
        };
        let same = |text: &str| Checked::Text(text.to_owned());
        match self {
            Kind::Name | Kind::Path { .. } | Kind::MaybePath { .. } => text.map(same),
            Kind::Address { .. } => text?.parse().ok().map(Checked::Address),
            Kind::MaybeAddress => {
                text.filter(|text| text.is_empty() || text.parse::<SocketAddr>().is_ok()).map(same)
            }
            Kind::Time { .. } if number == Some(0) => Some(Checked::Time(Duration::ZERO)),
            Kind::Time { .. } => parse_time(text?).map(Checked::Time),
            Kind::Size { .. } => match number {
                Some(number) => u64::try_from(number).ok(),
                None => parse_size(text?),
            }
            .map(Checked::Size),
            // What does not fit is out of range, not of another type.
            Kind::Count { .. } => Some(Checked::Count(number?.clamp(0, u32::MAX.into()) as u32)),
            Kind::Real { .. } => match (value, number) {
                (ValueKind::Float(real), _) => Some(Checked::Real(*real)),
                (_, Some(number)) => Some(Checked::Real(number as f64)),
                _ => None,
            },
            Kind::Flag => match value {
                ValueKind::Boolean(flag) => Some(Checked::Flag(*flag)),
                _ => None,
            },
            Kind::Word(words) => text.filter(|text| words.contains(text)).map(same),
            Kind::Congestion => text.filter(|text| is_congestion_control(text)).map(same),
            Kind::Compression => parse_compression(text?).map(Checked::Compression),
            Kind::Reserve => match number {
                // A size without a unit, as everywhere.
                Some(number) => u64::try_from(number).ok().map(Reserve::Bytes),
                None => parse_reserve(text?),
            }
            .map(Checked::Reserve),
            Kind::Words => match value {
                ValueKind::Array(items) => items
                    .iter()
                    .map(|item| match &item.kind {
                        ValueKind::String(word) => Some(word.clone()),
                        _ => None,
                    })
                    .collect::<Option<_>>()
                    .map(Checked::Words),
                _ => None,
            },
        }
    }

    fn mistyped(self, value: &ValueKind) -> String {
        let shown = display(value);
        let what = match self {
            Kind::Name | Kind::Path { .. } | Kind::MaybePath { .. } => "no text",
            Kind::Address { .. } | Kind::MaybeAddress => match value {
                ValueKind::String(text) if text.parse::<IpAddr>().is_ok() => "an address without a port",
                _ => "no IP address with a port",
            },
            Kind::Time { .. } => match value {
                ValueKind::I64(1..) => "a time without a unit",
                ValueKind::String(text) if text.parse::<f64>().is_ok() => "a time without a unit",
                _ => "no time",
            },
            Kind::Size { .. } => "no size",
            Kind::Count { .. } => "no whole number",
            Kind::Real { .. } => "no number",
            Kind::Flag => "neither true nor false",
            Kind::Word(_) | Kind::Congestion | Kind::Compression => "unknown here",
            Kind::Reserve => "no reserve",
            Kind::Words => "no list of texts",
        };
        format!("{shown} is {what}")
    }
}

/// A value for people, on one line and not longer than they would read.
pub(crate) fn display(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => quote(text),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::Float(real) => format!("{real:?}"),
        ValueKind::Array(items) => {
            let shown: Vec<String> = items.iter().take(MAX_ITEMS).map(|item| display(&item.kind)).collect();
            let more = if items.len() > MAX_ITEMS { ", …" } else { "" };
            format!("[{}{more}]", shown.join(", "))
        }
        ValueKind::Table(_) => "a section".to_owned(),
        // TOML's dates, and numbers that no key is large enough for, never get here as values.
        _ => "this".to_owned(),
    }
}

/// A text for people: without control characters, and not longer than they would read.
pub(crate) fn shorten(text: &str) -> String {
    shorten_to(MAX_SHOWN, text)
}

/// The same for a text that may be longer than a value.
pub(crate) fn shorten_to(most: usize, text: &str) -> String {
    let shown = text.chars().take(most);
    let mut shown: String =
        shown.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether an address says nothing without an interface, and has none: bind(2) and connect(2) answer EINVAL.
pub(crate) fn lacks_interface(address: SocketAddrV6) -> bool {
    address.ip().is_unicast_link_local() && address.scope_id() == 0
}

/// The same as TOML would have it.
pub(crate) fn quote(text: &str) -> String {
    let start: String = text.chars().take(MAX_SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", start.escape_debug())
}

fn name_fault(name: &str) -> Result<(), String> {
    let shown = quote(name);
    match name.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
        _ if name.is_empty() => Err("is empty".to_owned()),
        _ if name.len() > 255 => Err(format!("has {} bytes", name.len())),
        Some('/') => Err(format!("{shown} holds a `/`")),
        Some(c) if c.is_control() => Err(format!("{shown} holds a control character")),
        Some(_) => Err(format!("{shown} holds a blank")),
        None => Ok(()),
    }
}

/// Linux's names of congestion controls have at most 15 bytes (TCP_CA_NAME_MAX).
fn is_congestion_control(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=15).contains(&name.len()) && name.bytes().all(good)
}

pub(crate) fn parse_compression(text: &str) -> Option<Compression> {
    Some(match (text, text.strip_prefix("zstd:")) {
        ("none", _) => Compression::None,
        ("lz4", _) => Compression::Lz4,
        ("zstd", _) => Compression::Zstd(Compression::LEVEL),
        ("auto", _) => Compression::Auto,
        (_, level) => Compression::Zstd(number(level?).filter(|level| (1..=22).contains(level))?),
    })
}

fn parse_reserve(text: &str) -> Option<Reserve> {
    match text.strip_suffix('%') {
        Some(percent) => number(percent).filter(|percent| *percent <= 50).map(Reserve::Percent),
        None if text == "auto" => Some(Reserve::Auto),
        None => parse_size(text).map(Reserve::Bytes),
    }
}

/// Digits only: Rust reads a sign as well.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Timers are no finer.
const MIN_TIME: Duration = Duration::from_millis(1);
/// A year: nobody waits longer, and no sum of times comes near an overflow.
const MAX_TIME: Duration = Duration::from_secs(8760 * 3600);
/// Characters of a value that an error shows.
const MAX_SHOWN: usize = 60;
/// Items of a list that an error shows.
const MAX_ITEMS: usize = 3;
