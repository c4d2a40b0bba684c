//! What is configured, in the words of a resource file and in those of the commands.

use std::fmt::Write;

use crate::control::{Configured, ProxySettings};

/// The answer to `show proxy-settings`, which `drbdadm adjust` reads as it reads a resource file
/// (operating.md 3).
pub(super) fn section(settings: &ProxySettings) -> String {
    let mut text = format!("proxy {{\n    memlimit {};\n", memory(settings.memlimit));
    for (option, value) in &settings.options {
        // A String takes whatever is written to it; so below.
        let _ = writeln!(text, "    {option} {value};");
    }
    if !settings.plugins.is_empty() {
        text.push_str("    plugin {\n");
        for line in &settings.plugins {
            let _ = writeln!(text, "        {line};");
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    text
}

/// The answer to `show`: commands that would make an empty daemon what this one is.
pub(super) fn commands(configured: &[Configured]) -> String {
    let mut text = String::new();
    for Configured { inside, peer, outside, bsr, settings } in configured {
        let ProxySettings { name, memlimit, options, plugins } = settings;
        let _ = writeln!(text, "add connection {name} {inside} {peer} {outside} {bsr}");
        let _ = writeln!(text, "set memlimit {name} {}", memory(*memlimit));
        for (option, value) in options {
            let _ = writeln!(text, "set {option} {name} {value}");
        }
        for (position, line) in plugins.iter().enumerate() {
            let _ = writeln!(text, "set plugin {name} {position} {line}");
        }
        if !plugins.is_empty() {
            let _ = writeln!(text, "set plugin {name} {} END", plugins.len());
        }
    }
    text
}

/// A size as resource files write it, to the byte: in the largest unit that divides it.
fn memory(bytes: u64) -> String {
    let unit = [("G", 30), ("M", 20), ("K", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(name, shift)| format!("{}{name}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(memlimit: u64, options: &[(&str, &str)], plugins: &[&str]) -> ProxySettings {
        ProxySettings {
            name: "r0-node2-node1".to_owned(),
            memlimit,
            options: options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            plugins: plugins.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_section_is_one_of_a_resource_file() {
        // The one of operating.md 3.
        assert_eq!(
            section(&settings(128 << 20, &[], &["zstd level 4"])),
            "proxy {\n    memlimit 128M;\n    plugin {\n        zstd level 4;\n    }\n}\n"
        );
        assert_eq!(section(&settings(65537, &[], &[])), "proxy {\n    memlimit 65537;\n}\n");
        assert_eq!(
            section(&settings(
                1 << 30,
                &[("sndbuf-size", "10M"), ("bwlimit", "7")],
                &["lz4", "zlib level 9"]
            )),
            "proxy {\n    memlimit 1G;\n    sndbuf-size 10M;\n    bwlimit 7;\n    plugin {\n        lz4;\n        \
             zlib level 9;\n    }\n}\n"
        );
    }

    #[test]
    fn sizes_are_exact() {
        for (bytes, text) in [(0, "0"), (1023, "1023"), (1024, "1K"), (1536, "1536"), (3 << 40, "3072G")] {
            assert_eq!(memory(bytes), text);
        }
    }

    #[test]
    fn what_is_shown_is_what_would_be_said_again() {
        let configured = Configured {
            inside: ([10, 77, 1, 1], 7788).into(),
            peer: ([10, 77, 9, 2], 7780).into(),
            outside: ([10, 77, 9, 1], 7780).into(),
            bsr: ([10, 77, 1, 2], 7789).into(),
            settings: settings(500 << 20, &[("sndbuf-size", "10M")], &["zstd level 4"]),
        };
        let shown = commands(std::slice::from_ref(&configured));
        assert_eq!(
            shown,
            "add connection r0-node2-node1 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 10.77.1.2:7789\n\
             set memlimit r0-node2-node1 500M\n\
             set sndbuf-size r0-node2-node1 10M\n\
             set plugin r0-node2-node1 0 zstd level 4\n\
             set plugin r0-node2-node1 1 END\n"
        );
        for line in shown.lines() {
            assert!(crate::ctl::proxy::command::Command::read(line).is_ok(), "{line}");
        }
        assert_eq!(commands(&[]), "");
    }
}
