//! Which connections resource files make, for which node: every example of bsr-wire A.8, and what the tools do besides.
#![allow(clippy::unwrap_used)]

#[path = "resource_meaning/mod.rs"]
mod words;

use words::{added, good};

/// The example that was run with real kernels.
const EXAMPLE: &str = "
resource r0 {
    proxy { memlimit 64M; plugin { zlib level 9; } }
    volume 0 { device minor 0; disk /dev/vdb; meta-disk internal; }
    on node1 { node-id 0; address 10.77.1.2:7789;
               proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
    on node2 { node-id 1; address 10.77.2.2:7789;
               proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; } }
}";

#[test]
fn the_worked_example() {
    assert_eq!(
        added(EXAMPLE, "node1"),
        [
            "r0-node2-node1 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 10.77.1.2:7789 | memlimit 67108864 | zlib level 9"
        ]
    );
    assert_eq!(
        added(EXAMPLE, "node2"),
        [
            "r0-node1-node2 10.77.2.1:7788 10.77.9.1:7780 10.77.9.2:7780 10.77.2.2:7789 | memlimit 67108864 | zlib level 9"
        ]
    );
    assert_eq!(added(EXAMPLE, "node3"), [""; 0]);
    let parts = good(EXAMPLE, "node3").parts;
    assert_eq!((parts.len(), parts[0].connections), (1, 0));
    assert_eq!(parts[0].hosts.iter().map(String::as_str).collect::<Vec<_>>(), ["node1", "node2"]);
}

/// bsr-wire A.8: public-outside replaces the peer's outside, public-address the own address. The relay itself listens
/// on `inside`, and `public-inside` is where bsr finds that.
#[test]
fn public_addresses() {
    let text = "
resource r0 {
    on node1 { address 10.77.1.2:7789; public-address 192.0.2.1:17789;
        proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780;
                         public-inside 192.0.2.1:17788; public-outside 192.0.2.1:17780; } }
    on node2 { address 10.77.2.2:7789;
        proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; public-outside ipv4 192.0.2.2:17780; } }
}";
    let node1 = "r0-node2-node1 10.77.1.1:7788 192.0.2.2:17780 10.77.9.1:7780 192.0.2.1:17789 |  | ";
    assert_eq!(added(text, "node1"), [node1]);
    let node2 = "r0-node1-node2 10.77.2.1:7788 192.0.2.1:17780 10.77.9.2:7780 10.77.2.2:7789 |  | ";
    assert_eq!(added(text, "node2"), [node2]);
    let text = "
resource r0 {
    on node1 { address 10.77.1.2:7789; }
    on node2 { address 10.77.2.2:7789; public-address 192.0.2.2:7789; }
    connection {
        host node1 address 10.77.1.3:7790 public-address 192.0.2.1:17789 via proxy on node1
            { inside 10.77.1.1:7788; outside 10.77.9.1:7780; };
        host node2 via proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; }
    }
}";
    let node1 = "r0-node2-node1 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 192.0.2.1:17789 |  | ";
    assert_eq!(added(text, "node1"), [node1]);
    let node2 = "r0-node1-node2 10.77.2.1:7788 10.77.9.1:7780 10.77.9.2:7780 192.0.2.2:7789 |  | ";
    assert_eq!(added(text, "node2"), [node2]);
}

#[test]
fn a_connections_own_name_replaces_the_resources() {
    let text = "
resource r0 {
    on node1 { address 10.77.1.2:7789; }
    on node2 { address 10.77.2.2:7789; }
    connection east {
        host node1 via proxy on p1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; }
        host node2 via proxy on p2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; }
    }
}";
    let p1 = "east-p2-p1 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 10.77.1.2:7789 |  | ";
    assert_eq!(added(text, "p1"), [p1]);
}

#[test]
fn the_relays_host_may_have_several_names_and_a_domain() {
    let text = EXAMPLE.replace("proxy on node1", "proxy on relay1 Relay1b.example.com");
    let expected = "r0-node2-relay1_Relay1b.example.com 10.77.1.1:7788 10.77.9.2:7780 10.77.9.1:7780 10.77.1.2:7789 \
                    | memlimit 67108864 | zlib level 9";
    for node in
        ["relay1", "RELAY1", "relay1.example.org", "relay1b", "relay1b.example.com", "relay1B.EXAMPLE.com"]
    {
        assert_eq!(added(&text, node), [expected], "{node}");
    }
    for node in ["node1", "relay1b.example.org", "relay1.", "relay", "relay10", ""] {
        let expected = if node == "relay1." { 1 } else { 0 };
        assert_eq!(added(&text, node).len(), expected, "{node}");
    }
    let remote = added(&text, "node2").remove(0);
    assert!(remote.starts_with("r0-relay1_Relay1b.example.com-node2 "), "{remote}");
}

/// One relay connection for each pair, which only this node's part of the file makes.
#[test]
fn one_to_many() {
    let text = "
resource r0 {
    on a { address 10.0.1.2:7789; }
    on b { address 10.0.2.2:7789; }
    on c { address ipv6 [fd00:3::2]:7789; }
    connection { host a; host b; net { protocol C; } }
    connection {
        host a port 7790 via proxy on a { inside 127.0.0.1:7791; outside 192.0.2.1:7780; }
        host c address 10.0.3.2:7790 via proxy on c { inside 127.0.0.1:7791; outside 192.0.2.3:7780; }
    }
    connection { path {
        host c via proxy on c { inside ipv6 [::1]:7792; outside 192.0.2.3:7781; }
        host b via proxy on b { inside 127.0.0.1:7792; outside 192.0.2.2:7780; options { memlimit 2G; } }
    } }
}";
    assert_eq!(added(text, "a"), ["r0-c-a 127.0.0.1:7791 192.0.2.3:7780 192.0.2.1:7780 10.0.1.2:7790 |  | "]);
    assert_eq!(
        added(text, "b"),
        ["r0-c-b 127.0.0.1:7792 192.0.2.3:7781 192.0.2.2:7780 10.0.2.2:7789 | memlimit 2147483648 | "]
    );
    assert_eq!(
        added(text, "c"),
        [
            "r0-a-c 127.0.0.1:7791 192.0.2.1:7780 192.0.2.3:7780 10.0.3.2:7790 |  | ",
            "r0-b-c [::1]:7792 192.0.2.2:7780 192.0.2.3:7781 [fd00:3::2]:7789 |  | ",
        ]
    );
}

/// A relay that serves two hosts of one resource would have two connections of one name: both sides name bsr's hosts.
#[test]
fn a_relay_for_several_hosts() {
    let text = "
resource r0 {
    on a { address 10.0.1.2:7789; }
    on b { address 10.0.2.2:7789; }
    on c { address 10.0.3.2:7789; }
    connection {
        host a via proxy on site1 { inside 10.0.1.1:7791; outside 192.0.2.1:7780; }
        host c via proxy on site2 { inside 10.0.3.1:7791; outside 192.0.2.3:7780; }
    }
    connection {
        host c via proxy on site2 { inside 10.0.3.1:7792; outside 192.0.2.3:7781; }
        host b via proxy on site1 { inside 10.0.1.1:7792; outside 192.0.2.1:7781; }
    }
}";
    let names = |node: &str| good(text, node).connections.iter().map(words::name).collect::<Vec<_>>();
    assert_eq!(names("site1"), ["r0-c-a", "r0-c-b"]);
    assert_eq!(names("site2"), ["r0-a-c", "r0-b-c"]);
}

#[test]
fn floating_stacked_and_grouped_hosts() {
    let floating = "
resource r0 {
    floating 10.77.1.2:7789 { proxy on p1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
    floating ipv6 [fd00::2]:7789 { proxy on p2 { inside ipv6 [fd00::1]:7788; outside 10.77.9.2:7780; } }
}";
    assert_eq!(
        added(floating, "p2"),
        ["r0-p1-p2 [fd00::1]:7788 10.77.9.1:7780 10.77.9.2:7780 [fd00::2]:7789 |  | "]
    );
    let by_address = "
resource r0 {
    floating 10.77.1.2:7789;
    floating 10.77.2.2:7789;
    connection {
        address 10.77.1.2:7789 via proxy on p1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; }
        address 10.77.2.2:7789 via proxy on p2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; }
    }
}";
    assert_eq!(
        added(by_address, "p2"),
        ["r0-p1-p2 10.77.2.1:7788 10.77.9.1:7780 10.77.9.2:7780 10.77.2.2:7789 |  | "]
    );
    let stacked = "
resource low { on a { address 10.0.0.1:7789; } on b { address 10.0.0.2:7789; } }
resource high {
    stacked-on-top-of low { device minor 10; address 10.0.0.9:7790;
        proxy on a b { inside 10.0.0.9:7788; outside 10.77.9.1:7780; } }
    on far { address 10.0.9.2:7790; proxy on far { inside 10.0.9.1:7788; outside 10.77.9.2:7780; } }
}";
    for node in ["a", "b"] {
        assert_eq!(
            added(stacked, node),
            ["high-far-a_b 10.0.0.9:7788 10.77.9.2:7780 10.77.9.1:7780 10.0.0.9:7790 |  | "]
        );
    }
    let group = "
resource r0 {
    on a { group site1; address 10.0.0.1:7789; }
    on b { group site1; address 10.0.0.2:7789; }
    on far { address 10.0.9.2:7789; }
    connection {
        group site1 via proxy on site1 { inside 10.0.0.9:7788; outside 10.77.9.1:7780; }
        host far via proxy on far { inside 10.0.9.1:7788; outside 10.77.9.2:7780; }
    }
}";
    for (node, bsr) in [("a", "10.0.0.1:7789"), ("b", "10.0.0.2:7789"), ("site1", "10.0.0.1:7789")] {
        let expected = format!("r0-far-site1 10.0.0.9:7788 10.77.9.2:7780 10.77.9.1:7780 {bsr} |  | ");
        assert_eq!(added(group, node), [expected], "{node}");
    }
    let far = "r0-site1-far 10.0.9.1:7788 10.77.9.1:7780 10.77.9.2:7780 10.0.9.2:7789 |  | ";
    assert_eq!(added(group, "far"), [far]);
}

#[test]
fn what_has_no_proxy_is_passed_over() {
    let text = "
global { usage-count no; }
common { net { protocol A; } handlers { split-brain \"/x y; z\"; } startup { wfc-timeout 3; } }
skip resource r9 { on x { proxy on node1 { } } }
resource direct { on node1 { address 10.0.0.1:7789; } on node2 { address sdp 10.0.0.2:7789; } }
resource mesh { on node1 { address 10.0.0.1:7790; } on node2 { address 10.0.0.2:7790; }
    connection-mesh { hosts node1 node2; } }
resource r0 { disk { on-io-error detach; } skip x { on node1 { proxy on node1 { } } }
    on node1 { address 10.77.1.2:7789; } on node2 { address 10.77.2.2:7789; } on node3 { address 10.0.0.3:1; }
    connection { host node1; host node2; path { host node1; host node2; } path { host node1; host node3; } }
    connection { skip x { host a via proxy on node1 { } } host node1; host node3 address ssocks 10.0.0.3:7; }
}";
    assert_eq!(added(text, "node1"), [""; 0]);
}

/// As `drbdadm` was seen to do it: of options the innermost counts; of plugins each outer one that is new goes to the
/// front, one by one.
#[test]
fn who_inherits_what() {
    let text = "
common { proxy { memlimit 1M; read-loops 3; plugin { zstd level 4; lz4; } } }
resource r0 {
    proxy { memlimit 100M; sndbuf-size 1M; plugin { \"zlib\" level 9; foo bar 3 \"x y\"; } }
    on node1 { address 10.77.1.2:7789;
        proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; options { memlimit 7M; memlimit 8M; bwlimit 3; } } }
    on node2 { address 10.77.2.2:7789;
        proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; options { plugin { one two; lz4; } } } }
}";
    let behind = |node| added(text, node)[0].split_once(" | ").unwrap().1.to_owned();
    assert_eq!(
        behind("node1"),
        "memlimit 8388608, read-loops 3, bwlimit 3, sndbuf-size 1M | foo bar 3 x y, zlib level 9, zstd level 4, lz4"
    );
    assert_eq!(
        behind("node2"),
        "memlimit 104857600, read-loops 3, sndbuf-size 1M | foo bar 3 x y, zlib level 9, zstd level 4, one two, lz4"
    );
}
