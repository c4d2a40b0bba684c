//! Connections in the words of `proxy-up`.
#![allow(dead_code)] // each test program uses its part

use std::net::SocketAddr;

use drx_config::resource_file::{Connection, Located, Meaning, Reading, meaning, parse_text};

/// What a text means to a node; nothing may be wrong with it.
pub(crate) fn good(text: &str, node: &str) -> Meaning {
    let reading = parse_text("r.res", text);
    let meaning = meaning(&reading, node, interface);
    let faults: Vec<String> = faults(&reading, &meaning);
    assert!(faults.is_empty(), "{}\n{text}", faults.join("\n"));
    meaning
}

/// What is wrong with a text, as it is displayed.
pub(crate) fn errors(text: &str, node: &str) -> String {
    let reading = parse_text("r.res", text);
    let meaning = meaning(&reading, node, interface);
    faults(&reading, &meaning).join("\n")
}

/// An interface that there is.
pub(crate) fn interface(name: &str) -> Option<u32> {
    (name == "eth0").then_some(7)
}

fn faults(reading: &Reading, meaning: &Meaning) -> Vec<String> {
    let mut faults: Vec<_> = reading.faults.iter().chain(&meaning.faults).collect();
    faults.sort_by_key(|fault| (fault.span, &fault.wrong));
    faults.into_iter().map(|fault| reading.files.error(fault).to_string()).collect()
}

/// Each connection as `proxy-up` adds it, with what it sets behind a bar.
pub(crate) fn added(text: &str, node: &str) -> Vec<String> {
    good(text, node).connections.iter().map(line).collect()
}

/// `NAME INSIDE PEER_OUTSIDE MY_OUTSIDE MY_BSR | memlimit 1048576, bwlimit 3 | zlib level 9, lz4`
pub(crate) fn line(connection: &Connection) -> String {
    let Connection { inside, peer, outside, bsr, memlimit, options, plugins, .. } = connection;
    let memlimit = memlimit.iter().map(|memlimit| format!("memlimit {}", memlimit.value));
    let options = options.iter().map(|(name, value)| format!("{name} {}", value.value));
    let options: Vec<String> = memlimit.chain(options).collect();
    let plugins: Vec<&str> = plugins.iter().map(|line| line.value.as_str()).collect();
    let addresses = [inside, peer, outside, bsr].map(address).join(" ");
    format!("{} {addresses} | {} | {}", name(connection), options.join(", "), plugins.join(", "))
}

/// As the tools call it.
pub(crate) fn name(connection: &Connection) -> String {
    let Connection { name, remote, local, .. } = connection;
    format!("{}-{}-{}", name.value, remote.value, local.value)
}

fn address(address: &Option<Located<SocketAddr>>) -> String {
    address.as_ref().map_or("none".to_owned(), |address| address.value.to_string())
}
