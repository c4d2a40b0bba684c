//! What is wrong with resource files, and where: exact messages.
#![allow(clippy::unwrap_used)]

#[path = "resource_meaning/mod.rs"]
mod words;

use proptest::prelude::*;
use words::errors;

#[track_caller]
fn wrong(text: &str, expected: &str) {
    for node in ["node1", "node2", "somebody"] {
        let found = errors(text, node);
        assert!(found == expected, "for {node}\n--- found\n{found}\n--- expected\n{expected}");
    }
}

#[test]
fn a_proxy_without_its_addresses() {
    wrong(
        "resource r0 {
  on node1 { address 10.77.1.2:7789; proxy on node1 { outside 10.77.9.1:7780; } }
  on node2 { proxy on node2 { inside 10.77.2.1:7788; } }
}",
        "r.res:2:38: resource r0 > on node1 > proxy on node1 > inside: is missing; add inside 10.77.1.1:7788; where the local bsr connects
  on node1 { address 10.77.1.2:7789; proxy on node1 { outside 10.77.9.1:7780; } }
                                     ^
r.res:3:3: resource r0 > on node2 > address: is missing; add address 10.77.1.2:7789; where bsr listens
  on node2 { proxy on node2 { inside 10.77.2.1:7788; } }
  ^
r.res:3:14: resource r0 > on node2 > proxy on node2 > outside: is missing; add outside 10.77.9.1:7780; where the other relay connects
  on node2 { proxy on node2 { inside 10.77.2.1:7788; } }
             ^",
    );
}

#[test]
fn a_proxy_on_one_side_only() {
    wrong(
        "resource r0 {
  on node1 { address 10.77.1.2:7789; proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
  on node2 { address 10.77.2.2:7789; }
}
resource r1 {
  on node1 { address 10.77.1.2:7790; }
  on node2 { address 10.77.2.2:7790; }
  connection {
    host node1;
    host node2 via proxy on node2 { inside 10.77.2.1:7791; outside 10.77.9.2:7780; }
  }
}",
        "r.res:3:3: resource r0 > on node2: has no proxy, and on node1 has one; add proxy on HOST { inside …; outside …; }, or take the other one out
  on node2 { address 10.77.2.2:7789; }
  ^
r.res:9:5: resource r1 > connection > host node1: has no proxy, and host node2 has one; add via proxy on HOST { inside …; outside …; }, or take the other one out
    host node1;
    ^",
    );
}

#[test]
fn addresses_that_cannot_be_read() {
    wrong(
        "resource r0 {
  on node1 { address 10.77.1.1:7789; proxy on node1 { inside 10.77.1.300:7788; outside ipv4 10.77.9.1:7780; } }
  on node2 { address 10.77.2.2:7789; proxy on node2 { inside ipv6 [fd00::2::1]:7788; outside 10.77.9.2:7780; } }
}",
        r#"r.res:2:62: resource r0 > on node1 > proxy on node1 > inside: "10.77.1.300:7788" is no IPv4 address with a port; write an IP address with a port, such as 10.77.1.2:7789 or ipv6 [fd00::2]:7789
  on node1 { address 10.77.1.1:7789; proxy on node1 { inside 10.77.1.300:7788; outside ipv4 10.77.9.1:7780; } }
                                                             ^
r.res:3:67: resource r0 > on node2 > proxy on node2 > inside: "[fd00::2::1]:7788" is no IPv6 address with a port; write an IP address with a port, such as 10.77.1.2:7789 or ipv6 [fd00::2]:7789
  on node2 { address 10.77.2.2:7789; proxy on node2 { inside ipv6 [fd00::2::1]:7788; outside 10.77.9.2:7780; } }
                                                                  ^"#,
    );
}

/// An interface of another machine is nobody's error but its own.
#[test]
fn addresses_that_only_their_own_machine_can_read() {
    let text = "resource r0 {
  on node1 { address sdp 10.77.1.1:7789;
    proxy on node1 { inside ipv6 [fe80::1%eth1]:7788; outside ipv6 [fe80::1%3]:7780; } }
  on node2 { address 10.77.2.2:7789;
    proxy on node2 { inside 10.77.2.1:7788; outside ipv6 [fe80::2%eth0]:7780; } }
}";
    let node2 = "r0-node1-node2 10.77.2.1:7788 [fe80::1%3]:7780 [fe80::2%7]:7780 10.77.2.2:7789 |  | ";
    assert_eq!(words::added(text, "node2"), [node2]);
    assert_eq!(errors(text, "node3"), "");
    let expected = r#"r.res:2:26: resource r0 > on node1 > address: sdp 10.77.1.1:7789 is no address of TCP over IP, which is all that is relayed; write an IP address with a port, such as 10.77.1.2:7789 or ipv6 [fd00::2]:7789
  on node1 { address sdp 10.77.1.1:7789;
                         ^
r.res:3:34: resource r0 > on node1 > proxy on node1 > inside: there is no interface "eth1"; name an interface of this machine, or write its number
    proxy on node1 { inside ipv6 [fe80::1%eth1]:7788; outside ipv6 [fe80::1%3]:7780; } }
                                 ^"#;
    assert_eq!(errors(text, "node1"), expected);
}

/// A link-local address without its interface is none that could be listened on or dialled.
#[test]
fn link_local_addresses_without_an_interface() {
    let text = "resource r0 {
  on node1 { address ipv6 [fe80::2]:7789;
    proxy on node1 { inside ipv6 [fe80::1%3]:7788; outside 10.77.9.1:7780; } }
  on node2 { address ipv6 [fe80::2]:7789;
    proxy on node2 { inside ipv6 [fe80::1%0]:7788; outside 10.77.9.2:7780; } }
}";
    assert_eq!(errors(text, "node3"), "");
    let expected = r#"r.res:2:27: resource r0 > on node1 > address: [fe80::2]:7789 is link-local and lacks its interface; write ipv6 [ADDRESS%INTERFACE]:PORT, such as ipv6 [fe80::2%eth0]:7789
  on node1 { address ipv6 [fe80::2]:7789;
                          ^"#;
    assert_eq!(errors(text, "node1"), expected);
    let places: Vec<String> =
        errors(text, "node2").lines().map(|line| line.chars().take(10).collect()).collect();
    assert!(
        places.iter().any(|line| line == "r.res:4:27") && places.iter().any(|line| line == "r.res:5:34"),
        "{places:?}"
    );
}

/// What is no statement gets one error, not a second for what it does not say.
#[test]
fn what_is_broken_is_not_called_missing() {
    let text = "resource r0 {
  proxy { memlmit 5M; }
  on node1 { address 10.77.1.2:7789; proxy on node1 { inside; outside 10.77.9.1:7780; } }
  on node2 { address; proxy on node2 { insode 10.77.2.1:7788; outside ipv6 10.77.9.2:7780; } }
}";
    let errors = errors(text, "node1");
    let places: Vec<&str> =
        errors.lines().filter_map(|line| line.strip_prefix("r.res:")?.split(": ").next()).collect();
    assert_eq!(places, ["2:11", "3:61", "4:21", "4:40", "4:76"], "{errors}");
}

#[test]
fn which_pairs_there_are() {
    let two = |more: &str| {
        format!(
            "resource r0 {{
  on node1 {{ address 10.77.1.2:7789; }}
  on node2 {{ address 10.77.2.2:7789; }}
  {more}
}}"
        )
    };
    const P1: &str = "proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; }";
    const P2: &str = "proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; }";
    wrong(
        &two(&format!("connection {{ host node1 via {P1} }}")),
        "r.res:4:3: resource r0 > connection: has 1 side, not two; write two lines, host … via proxy on … { … }
  connection { host node1 via proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
  ^",
    );
    wrong(
        &two(&format!("connection {{ host node1 via {P1} host node3 via {P2} }}")),
        "r.res:4:102: resource r0 > connection > host node3: the resource has no host \"node3\"; add on node3 { … } to the resource
  connection { host node1 via proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } host node3 via proxy on node2 { inside 10.77.2.1:7788; outside 10
                                                                                                     ^",
    );
    wrong(
        &two(&format!("connection {{ path {{ host node1; host node2; }}\n  path {{ host node1 via {P1} host node2 via {P2} }} }}")),
        "r.res:4:3: resource r0 > connection: has 2 paths, and one of them has a proxy; give a connection through proxies a single path
  connection { path { host node1; host node2; }
  ^",
    );
    wrong(
        &format!("resource r0 {{ on node1 {{ address 10.77.1.2:7789; {P1} }} }}"),
        "r.res:1:1: resource r0: has 1 host, not two, and proxies; write connection { host … via proxy on … { … } } for each pair that has proxies
resource r0 { on node1 { address 10.77.1.2:7789; proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } } }
^",
    );
    wrong(
        &format!("resource r0 {{
  on node1 {{ address 10.77.1.2:7789; {P1} }}
  on node2 {{ address 10.77.2.2:7789; {P2} }}
  connection-mesh {{ hosts node1 node2; }}
}}"),
        "r.res:4:3: resource r0 > connection-mesh: a connection-mesh has no proxies, and on node1 has one in its section; write a connection { host … via proxy on … { … } } for that pair instead
  connection-mesh { hosts node1 node2; }
  ^",
    );
}

#[test]
fn what_stands_there_twice() {
    wrong(
        "common { proxy { memlimit 1M; } proxy { } }
common { }
resource r0 {
  on node1 { address 10.77.1.2:7789; address 10.77.1.3:7789; }
}
resource \"r0\" { }",
        "r.res:1:33: common > proxy: stands here a second time, first at r.res:1:10; put all of it into one
common { proxy { memlimit 1M; } proxy { } }
                                ^
r.res:2:1: common: stands here a second time, first at r.res:1:1; put all of it into one
common { }
^
r.res:4:38: resource r0 > on node1 > address: stands here a second time, first at r.res:4:14; keep one of them
  on node1 { address 10.77.1.2:7789; address 10.77.1.3:7789; }
                                     ^
r.res:6:1: resource r0: stands here a second time, first at r.res:3:1; give it another name, or take it out
resource \"r0\" { }
^",
    );
}

#[test]
fn options_that_are_none() {
    let text = "common { proxy { bwlimit 3; bwlimit 3; bwlimit 0x4; } }
resource r0 {
  proxy { memlimit 5T; read-loops; ping-timeout 1; ping-timeout 2; }
  on node1 { address 10.77.1.2:7789; proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
  on node2 { address 10.77.2.2:7789; proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780;
    options { ping-timeout 5; frobnicate 3; } } }
}";
    let first = "r.res:1:48: common > proxy > bwlimit: \"0x4\" is no number; write a whole number, if need be with k, M or G, such as 128M
common { proxy { bwlimit 3; bwlimit 3; bwlimit 0x4; } }
                                               ^
r.res:3:20: resource r0 > proxy > memlimit: \"5T\" is no number; write a whole number, if need be with k, M or G, such as 128M
  proxy { memlimit 5T; read-loops; ping-timeout 1; ping-timeout 2; }
                   ^
r.res:3:24: resource r0 > proxy > read-loops: has no value; write read-loops NUMBER;
  proxy { memlimit 5T; read-loops; ping-timeout 1; ping-timeout 2; }
                       ^
r.res:6:31: resource r0 > on node2 > proxy on node2 > options > frobnicate: \"frobnicate\" is no option of a proxy; known here: memlimit, read-loops, compression, bwlimit, sndbuf-size, rcvbuf-size, ping-timeout, plugin
    options { ping-timeout 5; frobnicate 3; } } }
                              ^";
    assert_eq!(errors(text, "node2"), first);
    // Only who inherits both is told.
    let both = "
r.res:3:65: resource r0 > proxy > ping-timeout: stands here a second time, first at r.res:3:49; keep one of them
  proxy { memlimit 5T; read-loops; ping-timeout 1; ping-timeout 2; }
                                                                ^";
    let (before, after) = first.split_at(first.find("\nr.res:6:31").unwrap());
    assert_eq!(errors(text, "node1"), format!("{before}{both}{after}"));
}

/// Files that make much out of little, or that would take for ever.
#[test]
fn too_much_of_everything() {
    let lines = "memlimit 1M; ".repeat(100);
    let plugins: String = (0..100).map(|line| format!("p{line}; ")).collect();
    let found = errors(&format!("common {{ proxy {{ {lines} plugin {{ {plugins} }} }} }}"), "node1");
    assert!(
        found.contains(
            "r.res:1:850: common > proxy > memlimit: this is too much; at most 64 options are read"
        ),
        "{found}"
    );
    let found = errors(&format!("common {{ proxy {{ plugin {{ {plugins} }} }} }}"), "node1");
    assert!(
        found.contains("common > proxy > plugin: this is too much; at most 64 lines are read"),
        "{found}"
    );
    let hosts: String = (0..300).map(|host| format!("on n{host} {{ address 10.0.0.1:7; }} ")).collect();
    let found = errors(&format!("resource r0 {{ {hosts} connection {{ host n1; host n2; }} }}"), "node1");
    let expected = "r.res:1:1: resource r0: has 300 hosts and 1 connections; bsr has at most 32 hosts; 256 and 1024 are read here";
    assert!(found.starts_with(expected), "{found}");
    // As many words as are read at all.
    let resources: String = (0..40_000)
        .map(|number| format!("resource r{number} {{ on a {{ address 10.0.0.1:7; proxy on x {{ }} }} }} "))
        .collect();
    let started = std::time::Instant::now();
    let found = errors(&resources, "a");
    assert_eq!(found.lines().filter(|line| line.starts_with("r.res:1:")).count(), 1000);
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

/// Words that mean something, in any order.
const WORDS: [&str; 44] = [
    "common",
    "resource",
    "r0",
    "on",
    "node1",
    "node2",
    "floating",
    "stacked-on-top-of",
    "address",
    "public-address",
    "ipv4",
    "ipv6",
    "sdp",
    "10.77.1.2:7789",
    "[fd00::2]:7789",
    "[fe80::1%eth0]:0",
    "proxy",
    "inside",
    "outside",
    "public-outside",
    "options",
    "plugin",
    "memlimit",
    "5M",
    "99999999999999999999G",
    "connection",
    "connection-mesh",
    "path",
    "host",
    "group",
    "via",
    "port",
    "7",
    "net",
    "ko-count",
    "disk",
    "volume",
    "{",
    "{",
    "}",
    "}",
    ";",
    ";",
    ";",
];

proptest! {
    /// Whatever stands in a file: no panic, and every fault is at a place of it.
    #[test]
    fn nonsense_is_survived(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..80)) {
        let text = words.join(" ");
        for node in ["node1", "10.77.1.2:7789", ""] {
            errors(&text, node);
        }
    }

    /// A good file with a few words taken out, put in or changed.
    #[test]
    fn damage_is_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&WORDS[..]), 0..3_u8), 1..4)
    ) {
        const GOOD: &str = "common { proxy { memlimit 1M ; } net { ko-count 7 ; } } resource r0 { options { a b ; } \
            on node1 { group g ; address 10.77.1.2:7789 ; proxy on node1 { inside 10.77.1.1:7788 ; \
            outside 10.77.9.1:7780 ; options { plugin { lz4 ; } } } } on node2 { address ipv6 [fd00::2]:7789 ; \
            proxy on node2 { inside ipv6 [fd00::1]:7788 ; outside 10.77.9.2:7780 ; } } connection c { path { \
            group g port 7790 via proxy on node1 { inside 10.77.1.1:7788 ; outside 10.77.9.1:7780 ; } \
            host node2 via proxy on node2 { inside 10.77.2.1:7788 ; outside 10.77.9.2:7780 ; } } } }";
        let mut words: Vec<&str> = GOOD.split_whitespace().collect();
        for (at, word, how) in damage {
            let at = at.index(words.len());
            match how {
                0 => drop(words.remove(at)),
                1 => words.insert(at, word),
                _ => words[at] = word,
            }
        }
        for node in ["node1", "node2"] {
            errors(&words.join(" "), node);
        }
    }
}
