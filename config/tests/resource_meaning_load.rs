//! The key `resources`: resource files as part of a configuration. Exact messages and warnings.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::pairs;
use drx_config::{Backing, Compression, Proxy, Sources, load};
use tempfile::TempDir;

/// Two hosts, and what else stands in the resource.
fn r0(more: &str) -> String {
    format!(
        "resource r0 {{
  {more}
  on node1 {{ address 10.77.1.2:7789;
    proxy on node1 {{ inside 10.77.1.1:7788; outside 10.77.9.1:7780; }} }}
  on node2 {{ address 10.77.2.2:7789;
    proxy on node2 {{ inside 10.77.2.1:7788; outside 10.77.9.2:7780; }} }}
}}
"
    )
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn sources(folder: &TempDir) -> Sources {
    Sources::new("node1").file(folder.path().join("drx.toml"))
}

/// Without the folder's name.
fn plain(text: &str, folder: &TempDir) -> String {
    text.replace(&format!("{}/", folder.path().display()), "")
}

fn errors(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let errors = load(&sources(&folder)).expect_err("this configuration is wrong");
    plain(&errors.to_string(), &folder)
}

/// What is warned of with this resource file alone.
fn warnings(text: &str) -> Vec<String> {
    warnings_with("", text)
}

fn warnings_with(toml: &str, text: &str) -> Vec<String> {
    let folder = folder(&[("drx.toml", &format!("resources = [\"r0.res\"]\n{toml}")), ("r0.res", text)]);
    let config = load(&sources(&folder)).unwrap_or_else(|errors| panic!("{errors}"));
    config.warnings.iter().map(|warning| plain(warning, &folder)).collect()
}

#[test]
fn a_resource_file_is_all_that_is_needed() {
    let toml = "resources = [\"bsr.d/*.res\"]\n[bab]\nsize = \"1MiB\"\nbacking = \"locked\"\n[link]\nhold_pings = true\n";
    let more = "proxy { memlimit 128M; ping-timeout 5; plugin { zstd level 4; lz4; } }";
    let folder = folder(&[
        ("drx.toml", toml),
        ("bsr.d/b.res", &r0("").replace("r0", "r1").replace(":77", ":87")),
        ("bsr.d/a.res", &r0(more)),
        ("bsr.d/.hidden.res", "nonsense"),
        ("bsr.d/notes.txt", "nonsense"),
    ]);
    let config = load(&sources(&folder)).unwrap_or_else(|errors| panic!("{errors}"));
    let [r0, r1] = &config.resources[..] else { panic!("{:?}", config.resources) };
    assert_eq!((&*r0.name, &*r0.remote, &*r0.local), ("r0", "node2", "node1"));
    let addresses = [r0.bsr, r0.inside, r0.outside, r0.peer].map(|address| address.to_string());
    assert_eq!(addresses, ["10.77.1.2:7789", "10.77.1.1:7788", "10.77.9.1:7780", "10.77.9.2:7780"]);
    assert_eq!((r0.bab.size, r0.bab.backing, r0.link.hold_pings), (128 << 20, Backing::Locked, true));
    let proxy = Proxy {
        options: vec![("ping-timeout".to_owned(), "5".to_owned())],
        plugins: vec!["lz4".to_owned(), "zstd level 4".to_owned()],
    };
    assert_eq!(r0.proxy, proxy);
    assert_eq!(r0.link.compression, Compression::Lz4);
    assert_eq!((&*r1.name, r1.bab.size, &r1.proxy), ("r1", 1 << 20, &Proxy::default()));
    assert_eq!(
        config.warnings.iter().map(|warning| plain(warning, &folder)).collect::<Vec<_>>(),
        [
            "bsr.d/a.res:2:39: resource r0 > proxy > ping-timeout: ping-timeout 5 is kept and has no effect yet; leave it for tools that read it back, or take it out",
            "bsr.d/a.res:2:51: resource r0 > proxy > plugin: \"zstd level 4\" does nothing: another plugin compresses already; leave it as it is, or write zstd level N or lz4",
        ]
    );
}

/// Files can be given in place of a configuration, too, and beside one; and by the environment.
#[test]
fn resource_files_without_the_key() {
    let folder = folder(&[("drx.toml", "[bab]\nsize = \"2MiB\"\n"), ("r0.res", &r0(""))]);
    let file = folder.path().join("r0.res");
    let alone = load(&Sources::new("node2").file(&file)).unwrap();
    assert_eq!((&*alone.resources[0].remote, alone.resources[0].bab.size), ("node1", 64 << 20));
    let both = load(&sources(&folder).file(&file)).unwrap();
    assert_eq!((&*both.resources[0].remote, both.resources[0].bab.size), ("node2", 2 << 20));
    let list = format!("{0},{0}", file.display());
    let environment = Sources::new("node1").environment(pairs(&[("DRX_RESOURCES", &list)]));
    assert_eq!(load(&environment).unwrap().resources.len(), 1, "a file counts once");
}

/// So is what the tools begin with, which need not be called `.res`.
#[test]
fn the_tools_own_files_without_the_key() {
    for name in ["drbd.conf", "bsr.conf"] {
        let folder = folder(&[(name, "include \"r0.res\";\n"), ("r0.res", &r0(""))]);
        let alone = load(&Sources::new("node2").file(folder.path().join(name)));
        assert_eq!(alone.unwrap_or_else(|errors| panic!("{errors}")).resources.len(), 1);
    }
    let folder = folder(&[("drx.conf", "[node]\nname = \"node7\"\n")]);
    let toml = load(&Sources::new("node1").file(folder.path().join("drx.conf"))).unwrap();
    assert_eq!(toml.node.name, "node7", "every other file is a configuration");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = folder(&[
        ("drx.toml", "resources = [\n  \"none/*.res\",\n  \"gone.res\", \"sub\",\n]\n"),
        ("sub/x", ""),
    ]);
    let found = plain(&load(&sources(&folder)).unwrap_err().to_string(), &folder);
    let expected = r#"drx.toml:2:3: resources: "none/*.res" matches no file; name resource files that are there
  "none/*.res",
  ^
drx.toml:3:3: resources: gone.res cannot be read: No such file or directory (os error 2); name resource files that this user may read
  "gone.res", "sub",
  ^
drx.toml:3:15: resources: sub is no regular file; name resource files that this user may read
  "gone.res", "sub",
              ^"#;
    assert_eq!(found, expected);
    let missing = load(&Sources::new("node1").file("/nowhere/r0.res")).unwrap_err().to_string();
    let expected = "/nowhere/r0.res:1:1: file: cannot be read: No such file or directory (os error 2); name resource files that this user may read";
    assert_eq!(missing, expected);
}

/// The checks of `[[resource]]` see these resources, too, and know where they come from.
#[test]
fn clashes_within_and_between_files() {
    let toml = r#"resources = ["r0.res", "r1.res"]
[bab]
total = "64MiB"
[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7799"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let r1 = "resource r1 {
  proxy { memlimit 5k; }
  on node1 { address 10.77.1.9:7709;
    proxy on node1 { inside ipv6 [fd00::1]:7780; outside 10.77.1.2:7789; } }
  on node2 { address 10.77.2.2:7709;
    proxy on node2 { inside 10.77.2.1:7708; outside 10.77.9.2:7780; } }
}
resource \"a b\" {
  on node1 { address 10.77.1.9:7719;
    proxy on node1 { inside 10.77.1.9:7718; outside 10.77.9.1:7780; } }
  on node2 { address 10.77.2.2:7719;
    proxy on node2 { inside 10.77.2.1:7718; outside 10.77.9.1:7780; options { memlimit 5x; } } }
}
";
    let expected = r#"drx.toml:3:9: bab.total: the BABs of all resources need 268MiB (size and 4MiB each), bab.total = 64MiB is less; make total at least 268MiB, or sizes smaller
total = "64MiB"
        ^
r0.res:1:10: resource r0: "r0" with remote "node2" stands here a second time, first at drx.toml:5:8; give it another name or remote, or take it out
resource r0 {
         ^
r0.res:4:29: resource r0 > on node1 > proxy on node1 > inside: inside = 10.77.1.1:7788 and inside = 10.77.1.1:7788 (at drx.toml:8:10) are both listened on, and only one can be; give each an address or a port of its own
    proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }
                            ^
r1.res:2:20: resource r1 > proxy > memlimit: is too small for a BAB; write a memlimit of 64k to 1024G
  proxy { memlimit 5k; }
                   ^
r1.res:4:34: resource r1 > on node1 > proxy on node1 > inside: bsr = 10.77.1.9:7709 (at r1.res:3:22) is dialled from inside = [fd00::1]:7780, which is of the other address family; make both IPv4 or both IPv6
    proxy on node1 { inside ipv6 [fd00::1]:7780; outside 10.77.1.2:7789; } }
                                 ^
r1.res:4:58: resource r1 > on node1 > proxy on node1 > outside: outside = 10.77.1.2:7789 and bsr = 10.77.1.2:7789 (at r0.res:3:22) want the same port of this machine, where bsr takes it on every address; give one of them another port
    proxy on node1 { inside ipv6 [fd00::1]:7780; outside 10.77.1.2:7789; } }
                                                         ^
r1.res:8:10: resource a b: "a b" holds a blank; write a name of 1 to 255 bytes, without blanks, control characters or `/`
resource "a b" {
         ^
r1.res:12:53: resource a b > on node2 > proxy on node2 > outside: outside = 10.77.9.1:7780 (at r1.res:10:53) is the same as peer = 10.77.9.1:7780: this relay would dial itself; make peer the other DRX's outside
    proxy on node2 { inside 10.77.2.1:7718; outside 10.77.9.1:7780; options { memlimit 5x; } } }
                                                    ^
r1.res:12:88: resource a b > on node2 > proxy on node2 > options > memlimit: "5x" is no number; write a whole number, if need be with k, M or G, such as 128M
    proxy on node2 { inside 10.77.2.1:7718; outside 10.77.9.1:7780; options { memlimit 5x; } } }
                                                                                       ^"#;
    assert_eq!(
        errors(&[("drx.toml", toml), ("r0.res", &r0("proxy { memlimit 128M; }")), ("r1.res", r1)]),
        expected
    );
}

#[test]
fn a_file_for_others() {
    let expected = "r0.res:1:1: resource: no proxy of this file is on this node, only on node3, node4; make one of these node.name, if this node is it";
    assert_eq!(warnings(&r0("").replace("on node1", "on node3").replace("on node2", "on node4")), [expected]);
    let direct = "resource r0 { on node1 { address 10.0.0.1:7; } on node2 { address 10.0.0.2:7; } }";
    let expected =
        "r0.res:1:1: resource: no resource of this file has a proxy; add proxy on HOST { … } to its hosts";
    assert_eq!(warnings(direct), [expected]);
    assert_eq!(warnings("common { }"), [""; 0]);
}

/// A file of theirs is no error of this one: an unused proxy, plugins that nobody knows.
#[test]
fn what_has_no_effect() {
    let text = r0("proxy { plugin { lzma contexts 4; frobnicate; } }
  connection { host node1 via proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; options { bwlimit 9M; } }
    host node2 via proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; } }");
    assert_eq!(
        warnings(&text),
        [
            "r0.res:2:20: resource r0 > proxy > plugin: \"lzma contexts 4\" is not spoken here: zstd:9 is used in its place; leave it as it is, or write zstd level N or lz4",
            "r0.res:2:37: resource r0 > proxy > plugin: \"frobnicate\" is no plugin of this relay: nothing is done for it; leave it as it is, or write zstd level N or lz4",
            "r0.res:3:113: resource r0 > connection > host node1 > proxy > options > bwlimit: bwlimit 9M is kept and has no effect yet; leave it for tools that read it back, or take it out",
            "r0.res:6:5: resource r0 > on node1 > proxy on node1: has no effect, because the resource has connection sections; write it behind via in the line of a connection",
        ]
    );
}

/// Options of bsr's own: what is written, and what is warned of behind the value that is marked; or nothing.
#[test]
fn advice() {
    let cases = [
        // Stock files.
        ("", ""),
        ("net { protocol A; }", ""),
        ("net { protocol A; } proxy { memlimit 100M; }", ""),
        ("net { protocol C; } proxy { memlimit 64M; }", ""),
        (
            "net { protocol A; ko-count 7; timeout 60; ping-int 10; ping-timeout 10; connect-int 10; verify-alg sha1; }",
            "",
        ),
        // The request timer.
        (
            "net { protocol A; } proxy { memlimit 512M; }",
            "512M resource r0 > proxy > memlimit: a full BAB of 512MiB takes 43s on a line of 100 Mbit/s, and bsr disconnects when a write is not acknowledged within timeout × ko-count, here 30s; write ko-count 8 or more in net",
        ),
        ("net { protocol A; ko-count 3; }  ", ""),
        (
            "net { protocol A; ko-count 3; } proxy { memlimit 300M; }",
            "3 resource r0 > net > ko-count: a full BAB of 300MiB takes 26s on a line of 100 Mbit/s, and bsr disconnects when a write is not acknowledged within timeout × ko-count, here 18s; write ko-count 5 or more in net",
        ),
        (
            "net { protocol A; timeout 10; sndbuf-size 100M; }",
            "10 resource r0 > net > timeout: a full BAB and bsr's own send buffer, together 164MiB, take 14s on a line of 100 Mbit/s, and bsr disconnects when a write is not acknowledged within timeout × ko-count, here 5s; write ko-count 14 or more in net",
        ),
        ("net { protocol A; ko-count 0; } proxy { memlimit 7G; }", ""),
        ("net { protocol A; ko-count 200; timeout 600; } proxy { memlimit 7G; }", ""),
        // Room that stays empty.
        (
            "net { protocol C; } proxy { memlimit 1G; }",
            "C resource r0 > net > protocol: with protocol C each write waits for the other side, so that a BAB of 1GiB stays empty; write protocol A, or a smaller memlimit",
        ),
        // Pings.
        (
            "net { ping-timeout 5; }",
            "5 resource r0 > net > ping-timeout: bsr disconnects when its ping is not answered from the other side within 500ms, which one lost packet of the line can take; write ping-timeout 30 or more",
        ),
        (
            "net { ping-int 1; ping-timeout 20; }",
            "1 resource r0 > net > ping-int: bsr gives up a broken link after ping-int and ping-timeout, 3s, and resume_timeout is 10s; write longer ones, or hold_pings = true in [link] of drx.toml",
        ),
        ("net { ping-int 3; ping-timeout 30; }", ""),
        // Full BABs.
        (
            "net { tcp_ack_timeout 1; }",
            "1 resource r0 > net > tcp_ack_timeout: bsr resets a connection that takes nothing for 250ms (at HZ=250), as a full BAB does; leave it at 5, or write tcp_ack_timeout 300",
        ),
        ("net { tcp_ack_timeout 5; }", ""),
        (
            "net { protocol A; on-congestion pull-ahead; congestion-fill 1G; }",
            "1G resource r0 > net > congestion-fill: bsr pulls ahead only with 1GiB in flight, and a BAB of 64MiB is full before: bsr's writers wait then, or it disconnects; write congestion-fill 57M, a little less than memlimit",
        ),
        ("net { protocol A; on-congestion pull-ahead; congestion-fill 57M; }", ""),
        // Sectors to one and bytes to the other: 128 MiB or 256 KiB.
        ("net { protocol A; on-congestion pull-ahead; congestion-fill 262144; }", ""),
        ("net { protocol A; on-congestion disconnect; congestion-fill 262144; }", ""),
        (
            "net { protocol A; on-congestion disconnect; congestion-fill 10M; }",
            "10M resource r0 > net > congestion-fill: bsr disconnects with 10MiB in flight, which a BAB of 64MiB has room for; write on-congestion pull-ahead, or congestion-fill 64MiB or more",
        ),
        ("net { protocol A; on-congestion disconnect; }", ""),
        (
            "net { protocol A; } options { max-req-write-count 10000; }",
            "10000 resource r0 > options > max-req-write-count: bsr disconnects with 10000 writes under way: at 4KiB each that is 40000KiB of a BAB of 64MiB; write on-req-write-congestion block, or a larger count",
        ),
        ("net { protocol A; } options { max-req-write-count 10000; on-req-write-congestion block; }", ""),
        // Resyncs.
        (
            "disk { c-plan-ahead 0; resync-rate 100M; }",
            "0 resource r0 > disk > c-plan-ahead: without it a resync sends 100MiB a second whatever the line takes, and new writes wait behind a full BAB of 64MiB; write c-plan-ahead 20, or a resync-rate that the line takes",
        ),
        ("disk { c-plan-ahead 0; resync-rate 1000; }", ""),
        ("disk { c-plan-ahead 20; resync-rate 100M; }", ""),
        (
            "volume 0 { disk { c-fill-target 100000; } }",
            "100000 resource r0 > volume 0 > disk > c-fill-target: a resync keeps 50000KiB under way, more than half of a BAB of 64MiB, and new writes wait behind it; write what the line holds: its bytes a second times its round trip",
        ),
        ("disk { c-fill-target 1M; }", ""),
        // The first connection.
        (
            "net { connect-int 1; }",
            "1 resource r0 > net > connect-int: bsr waits only 1s for what comes through two relays and a long line; write connect-int 3 or more",
        ),
    ];
    for (more, expected) in cases {
        let line = r0(more).lines().nth(1).unwrap().to_owned();
        let shown = |warning: String| {
            let (column, rest) = warning.strip_prefix("r0.res:2:").unwrap().split_once(": ").unwrap();
            let marked = &line[column.parse::<usize>().unwrap() - 1..];
            format!("{} {rest}", marked.split(';').next().unwrap())
        };
        let found: Vec<String> = warnings(&r0(more)).into_iter().map(shown).collect();
        let expected: Vec<String> = if expected.is_empty() { Vec::new() } else { vec![expected.to_owned()] };
        assert_eq!(found, expected, "{more}");
    }
}

/// The nearest value counts, and drx.toml has its part.
#[test]
fn advice_looks_at_what_is_in_force() {
    let toml = "[bab]\nsize = \"1GiB\"\n";
    let common = |text: &str| format!("common {{ {text} }}\n{}", r0("net { protocol A; }"));
    assert_eq!(warnings_with(toml, &common("net { ko-count 20; }")), [""; 0]);
    let found = warnings_with(toml, &common(""));
    assert!(found[0].starts_with("r0.res:2:10: resource r0: a full BAB of 1GiB takes 86s"), "{found:?}");
    let quick = "net { ping-int 1; }";
    assert_eq!(warnings_with("[link]\nhold_pings = true\n", &r0(quick)), [""; 0]);
    assert_eq!(warnings_with("[link]\nresume_timeout = \"2s\"\n", &r0(quick)), [""; 0]);
    assert_eq!(warnings(&r0(quick)).len(), 1);
    let inner = r0("net { ping-timeout 1; }
  connection { net { ping-timeout 40; } host node1 via proxy on node1 { inside 10.77.1.1:7788; outside 10.77.9.1:7780; }
    host node2 via proxy on node2 { inside 10.77.2.1:7788; outside 10.77.9.2:7780; } }");
    let inner = inner.replace("\n    proxy on node1", "\n").replace("\n    proxy on node2", "\n");
    let inner = inner.replace("\n { inside 10.77.1.1:7788; outside 10.77.9.1:7780; } }", "}");
    let inner = inner.replace("\n { inside 10.77.2.1:7788; outside 10.77.9.2:7780; } }", "}");
    assert_eq!(warnings(&inner), [""; 0]);
}

#[test]
fn the_sample_resource_file_fits_the_sample_nodes() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for node in ["node1", "node2"] {
        let of_file = load(&Sources::new(node).file(samples.join("r0.res"))).unwrap();
        let of_toml = load(&Sources::new(node).file(samples.join(format!("{node}.toml")))).unwrap();
        assert_eq!(of_file.resources, of_toml.resources);
        assert_eq!(of_file.warnings, [""; 0]);
    }
}
