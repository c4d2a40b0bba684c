//! Resource files that `drbdadm` can read, and how many connections they must make.

use std::fmt::Write;

use proptest::prelude::*;

/// Some resources, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    common: Section,
    resources: Vec<Resource>,
}

#[derive(Clone, Debug)]
struct Resource {
    style: Style,
    section: Section,
    hosts: Vec<Host>,
    /// For each pair of hosts in turn: whether and how they are connected, in the style of version 9.
    links: Vec<Option<Link>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `proxy on` within `on`, two hosts.
    Eight,
    /// `connection` sections.
    Nine,
}

#[derive(Clone, Debug)]
struct Host {
    /// A second name behind `on`.
    alias: bool,
    domain: bool,
    ipv6: bool,
    /// `ipv4` before the address.
    says_family: bool,
    /// Where its proxy runs: on itself, on a host of its own, on either of two.
    proxy: u8,
    outside_ipv6: bool,
    section: Section,
}

#[derive(Clone, Debug)]
struct Link {
    proxied: bool,
    path: bool,
    /// Which side comes first.
    turned: bool,
    /// What the line says itself: nothing, an address, a port.
    says: [u8; 2],
    sections: [Section; 2],
    noise: bool,
}

/// `proxy { … }` or `options { … }`; none: there is no such section.
type Section = Option<(Vec<(&'static str, String)>, Option<Vec<&'static str>>)>;

pub(crate) fn configuration() -> impl Strategy<Value = Configuration> {
    (section(), prop::collection::vec(resource(), 1..3))
        .prop_map(|(common, resources)| Configuration { common, resources })
}

fn resource() -> impl Strategy<Value = Resource> {
    let style = prop_oneof![Just(Style::Eight), Just(Style::Nine)];
    let links = prop::collection::vec(prop::option::of(link()), 6);
    (style, section(), prop::collection::vec(host(), 2..5), links).prop_map(
        |(style, section, mut hosts, links)| {
            if style == Style::Eight {
                hosts.truncate(2);
            }
            Resource { style, section, hosts, links }
        },
    )
}

fn host() -> impl Strategy<Value = Host> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0..3_u8, section()).prop_map(
        |((alias, domain, ipv6, says_family, outside_ipv6), proxy, section)| Host {
            alias,
            domain,
            ipv6,
            says_family,
            proxy,
            outside_ipv6,
            section,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, [0..3_u8, 0..3_u8], [section(), section()]).prop_map(
        |((unproxied, path, turned, noise), says, sections)| Link {
            proxied: !unproxied,
            path,
            turned,
            says,
            sections,
            noise,
        },
    )
}

fn section() -> impl Strategy<Value = Section> {
    let value = (1..999_u32, prop::sample::select(vec!["", "k", "K", "m", "M", "g", "G", "s"]))
        .prop_map(|(number, unit)| format!("{number}{unit}"));
    // The others have ranges that the tool checks.
    let option = (prop::sample::select(vec!["memlimit", "read-loops", "compression", "bwlimit"]), value);
    let lines = vec!["zstd level 4", "zlib level 9", "lz4", "lzma contexts 4", "\"a b\" c"];
    let options = prop::collection::vec(option, 0..3).prop_map(|mut options| {
        // Twice is refused where it is inherited.
        options.sort();
        options.dedup_by(|one, other| one.0 == other.0);
        options
    });
    let plugins = prop::sample::subsequence(lines, 0..3).prop_shuffle();
    prop::option::weighted(0.6, (options, prop::option::of(plugins)))
}

impl Configuration {
    /// How many pairs run through proxies.
    pub(crate) fn pairs(&self) -> usize {
        self.resources.iter().map(Resource::pairs).sum()
    }

    /// Names under which the tool might be asked.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts = vec!["somebody".to_owned()];
        for (number, resource) in self.resources.iter().enumerate() {
            hosts.extend((0..resource.hosts.len()).map(|host| format!("host{number}{host}")));
        }
        hosts
    }

    pub(crate) fn text(&self) -> String {
        let mut text = "global { usage-count no; }\ncommon {\n".to_owned();
        put(&mut text, "  proxy", &self.common);
        text.push_str("  net { protocol A; }\n}\n");
        for (number, resource) in self.resources.iter().enumerate() {
            resource.put(number, &mut text);
        }
        text
    }
}

impl Resource {
    fn pairs(&self) -> usize {
        match self.style {
            Style::Eight => 1,
            Style::Nine => self.links().filter(|(_, _, link)| link.proxied).count(),
        }
    }

    /// The pairs that are connected. Without any, the first two are, without proxies.
    fn links(&self) -> impl Iterator<Item = (usize, usize, &Link)> {
        let count = self.hosts.len();
        let pairs = (0..count).flat_map(move |one| (one + 1..count).map(move |other| (one, other)));
        pairs.zip(&self.links).filter_map(|((one, other), link)| Some((one, other, link.as_ref()?)))
    }

    fn put(&self, number: usize, text: &mut String) {
        writeln!(text, "resource r{number} {{").unwrap();
        put(text, "  proxy", &self.section);
        writeln!(text, "  device minor {number}; disk /dev/sd{number}; meta-disk internal;").unwrap();
        for (index, host) in self.hosts.iter().enumerate() {
            let name = format!("host{number}{index}");
            let domain = if host.domain { ".example.com" } else { "" };
            let alias = if host.alias { format!(" alias{number}{index}") } else { String::new() };
            writeln!(text, "  on {name}{domain}{alias} {{ node-id {index};").unwrap();
            writeln!(text, "    address {};", host.address(number, index, 7000)).unwrap();
            if self.style == Style::Eight {
                text.push_str("    ");
                host.put_proxy(number, index, 0, &host.section, text);
            }
            text.push_str("  }\n");
        }
        let mut any = self.style == Style::Eight;
        if self.style == Style::Nine {
            for (turn, (one, other, link)) in self.links().enumerate() {
                any = true;
                text.push_str("  connection {\n");
                if link.noise {
                    text.push_str("    net { ping-timeout 30; } skip { host nobody; }\n");
                }
                text.push_str(if link.path { "    path {\n" } else { "" });
                let sides = if link.turned { [other, one] } else { [one, other] };
                for (side, index) in sides.into_iter().enumerate() {
                    self.put_line(number, turn, index, link, side, text);
                }
                text.push_str(if link.path { "    }\n" } else { "" });
                text.push_str("  }\n");
            }
        }
        if !any {
            writeln!(text, "  connection {{ host host{number}0; host host{number}1; }}").unwrap();
        }
        text.push_str("}\n");
    }

    fn put_line(
        &self,
        number: usize,
        turn: usize,
        index: usize,
        link: &Link,
        side: usize,
        text: &mut String,
    ) {
        let host = &self.hosts[index];
        write!(text, "    host host{number}{index}").unwrap();
        let port = 7100 + turn;
        match link.says[side] {
            1 => write!(text, " address {}", host.address(number, index, port)).unwrap(),
            2 => write!(text, " port {port}").unwrap(),
            _ => {}
        }
        if link.proxied {
            text.push_str(" via ");
            host.put_proxy(number, index, turn, &link.sections[side], text);
        } else {
            text.push_str(";\n");
        }
    }
}

impl Host {
    fn address(&self, number: usize, index: usize, port: usize) -> String {
        address(self.ipv6, self.says_family, &format!("{number}.{index}.2"), port)
    }

    fn put_proxy(&self, number: usize, index: usize, turn: usize, section: &Section, text: &mut String) {
        let on = match self.proxy {
            0 => format!("host{number}{index}"),
            1 => format!("Relay{number}{index}"),
            _ => format!("relay{number}{index} spare{number}{index}.example.com"),
        };
        let inside = address(self.ipv6, self.says_family, &format!("{number}.{index}.1"), 7200 + turn);
        let outside = address(self.outside_ipv6, false, &format!("{number}.{index}.9"), 7300 + turn);
        writeln!(text, "proxy on {on} {{ inside {inside}; outside {outside};").unwrap();
        put(text, "      options", section);
        text.push_str("    }\n");
    }
}

fn address(ipv6: bool, says_family: bool, host: &str, port: usize) -> String {
    match (ipv6, says_family) {
        (true, _) => format!("ipv6 [fd00::{}]:{port}", host.replace('.', ":")),
        (false, true) => format!("ipv4 10.{host}:{port}"),
        (false, false) => format!("10.{host}:{port}"),
    }
}

fn put(text: &mut String, keyword: &str, section: &Section) {
    let Some((options, plugins)) = section else { return };
    write!(text, "{keyword} {{").unwrap();
    for (name, value) in options {
        write!(text, " {name} {value};").unwrap();
    }
    if let Some(lines) = plugins {
        text.push_str(" plugin {");
        for line in lines {
            write!(text, " {line};").unwrap();
        }
        text.push_str(" }");
    }
    text.push_str(" }\n");
}
