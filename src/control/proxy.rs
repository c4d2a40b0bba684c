//! Options and plugins as `proxy-up` sets them (bsr-wire A.8): what of them is understood, and what is only kept.

use drx_actors::api::Proxy;

use crate::control::{Kind, Problem};

/// The option that is in force: the size of the data BAB.
pub(super) const MEMLIMIT: &str = "memlimit";

/// The size that a `memlimit` means, within the limits of `bab.size`. Numbers are written as in a resource file:
/// plain, or with k, M or G of 1024, or s for sectors of 512 bytes.
pub(super) fn memlimit(value: &str) -> Result<u64, Problem> {
    let sectors = value.strip_suffix(['s', 'S']).filter(|number| !number.is_empty());
    let bytes = sectors.map(|number| match number.parse::<u64>() {
        Ok(sectors) => sectors.saturating_mul(512).to_string(),
        Err(_) => value.to_owned(),
    });
    drx_config::bab_size(bytes.as_deref().unwrap_or(value))
        .map_err(|wrong| Problem::new(Kind::BadValue, format!("{MEMLIMIT} {value:?}: {wrong}")))
}

/// Sets an option that is only kept. Whether that changes anything.
pub(super) fn set_option(proxy: &mut Proxy, option: &str, value: &str) -> Result<bool, Problem> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if option.is_empty() || option.len() > MOST_BYTES || !option.bytes().all(is_name) {
        return Err(bad(format!("{option:?} is no name of an option")));
    }
    let value = words(value)?;
    if let Some((_, present)) = proxy.options.iter_mut().find(|(name, _)| name == option) {
        let changes = *present != value;
        *present = value;
        return Ok(changes);
    }
    if proxy.options.len() >= MOST_OPTIONS {
        return Err(bad(format!("there are {MOST_OPTIONS} options already, that is all there may be")));
    }
    proxy.options.push((option.to_owned(), value));
    Ok(true)
}

/// Sets a line of `plugin`. Whether that changes anything.
pub(super) fn set_plugin(proxy: &mut Proxy, position: usize, line: &str) -> Result<bool, Problem> {
    let lines = &mut proxy.plugins;
    if line.trim() == END {
        let changes = position < lines.len();
        lines.truncate(position);
        return Ok(changes);
    }
    let line = words(line)?;
    let count = lines.len();
    if position >= MOST_PLUGINS {
        return Err(bad(format!("plugin {position}: there may be {MOST_PLUGINS} at most, counted from 0")));
    }
    match lines.get_mut(position) {
        Some(present) => {
            let changes = *present != line;
            *present = line;
            Ok(changes)
        }
        None if position == count => {
            lines.push(line);
            Ok(true)
        }
        None => Err(bad(format!("plugin {position}: there are {count} so far, the next one is {count}"))),
    }
}

/// Words as they can stand in a resource file without quotes, joined by single blanks.
fn words(text: &str) -> Result<String, Problem> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let strange = |c: char| c.is_control() || matches!(c, ';' | '{' | '}' | '"' | '#');
    if words.is_empty() {
        return Err(bad("there is no value".to_owned()));
    }
    if words.len() > MOST_BYTES {
        return Err(bad(format!("the value has {} bytes, more than {MOST_BYTES}", words.len())));
    }
    match words.chars().find(|c| strange(*c)) {
        Some(c) => Err(bad(format!("the value holds {c:?}, which cannot stand in a resource file"))),
        None => Ok(words),
    }
}

fn bad(reason: String) -> Problem {
    Problem::new(Kind::BadValue, reason)
}

/// No lines from here on.
const END: &str = "END";
/// Of a name or a value.
const MOST_BYTES: usize = 255;
/// There are 7 that the tools know.
const MOST_OPTIONS: usize = 32;
const MOST_PLUGINS: usize = 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_memlimit_is_written_as_in_a_resource_file() {
        for (value, bytes) in [
            ("500M", 500 << 20),
            ("500m", 500 << 20),
            ("1G", 1 << 30),
            ("128000k", 128_000 << 10),
            ("200000000", 200_000_000),
            ("100000s", 51_200_000),
        ] {
            assert_eq!(memlimit(value).unwrap(), bytes, "{value}");
        }
        for value in
            ["", "s", "0", "1k", "2000G", "100MB", "-1", "1.5G", "99999999999999999999s", "x", "12 M"]
        {
            let problem = memlimit(value).unwrap_err();
            assert_eq!(problem.kind, Kind::BadValue);
            assert!(problem.reason.starts_with(&format!("memlimit {value:?}: ")), "{problem}");
        }
    }

    #[test]
    fn an_option_keeps_its_place() {
        let mut proxy = Proxy::default();
        assert!(set_option(&mut proxy, "sndbuf-size", "10M").unwrap());
        assert!(set_option(&mut proxy, "bwlimit", "1M").unwrap());
        assert!(!set_option(&mut proxy, "sndbuf-size", " 10M ").unwrap());
        assert!(set_option(&mut proxy, "sndbuf-size", "20M").unwrap());
        let options: Vec<_> = proxy.options.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(options, ["sndbuf-size 20M", "bwlimit 1M"]);
    }

    #[test]
    fn plugins_are_set_one_after_the_other() {
        let mut proxy = Proxy::default();
        let mut set = |position, line| set_plugin(&mut proxy, position, line);
        assert!(!set(0, "END").unwrap());
        assert!(set(0, "zstd level 4").unwrap());
        assert!(!set(0, "zstd  level 4 ").unwrap());
        assert!(set(1, "lz4").unwrap());
        assert!(!set(2, "END").unwrap() && !set(7, "END").unwrap());
        assert_eq!(set(3, "lz4").unwrap_err().reason, "plugin 3: there are 2 so far, the next one is 2");
        assert!(set(1, "END").unwrap());
        assert!(set(0, "lz4").unwrap());
        assert_eq!(proxy.plugins, ["lz4"]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let mut proxy = Proxy::default();
        let long = "x".repeat(MOST_BYTES + 1);
        for (option, value) in [
            ("", "1"),
            ("a b", "1"),
            ("é", "1"),
            (&long, "1"),
            ("a", ""),
            ("a", "1; b"),
            ("a", "1\u{1b}"),
            ("a", &long),
        ] {
            assert_eq!(
                set_option(&mut proxy, option, value).unwrap_err().kind,
                Kind::BadValue,
                "{option} {value}"
            );
        }
        for line in ["", "}", "zstd # level", &long] {
            assert_eq!(set_plugin(&mut proxy, 0, line).unwrap_err().kind, Kind::BadValue, "{line}");
        }
        assert_eq!(proxy, Proxy::default());
        for number in 0..MOST_OPTIONS {
            set_option(&mut proxy, &format!("o{number}"), "1").unwrap();
        }
        assert!(set_option(&mut proxy, "more", "1").is_err() && set_option(&mut proxy, "o3", "2").unwrap());
        for number in 0..MOST_PLUGINS {
            set_plugin(&mut proxy, number, "lz4").unwrap();
        }
        assert!(set_plugin(&mut proxy, MOST_PLUGINS, "lz4").is_err());
        assert!(set_plugin(&mut proxy, usize::MAX, "lz4").is_err());
    }
}
