//! Keys that are unknown, missing or not available yet: exact messages.

mod common;

use common::{R0, errors};

#[test]
fn unknown_keys() {
    let text = r#"colour = 1
[log]
levle = "info"
size = "1MiB"
window = 1
zebra = 1
[lgo]
level = "x"
[node]
resources = ["r0.res"]
"#;
    let expected = r#"drx.toml:1:1: colour: unknown key; known here: resources, node, resource, bab, link, restart, control, log, tls
colour = 1
^
drx.toml:3:1: log.levle: unknown key; did you mean level?
levle = "info"
^
drx.toml:4:1: log.size: unknown key; there is size in [bab]
size = "1MiB"
^
drx.toml:5:1: log.window: unknown key; there is window in [link]
window = 1
^
drx.toml:6:1: log.zebra: unknown key; known here: level, format, file, per_resource
zebra = 1
^
drx.toml:7:2: lgo: unknown key; did you mean log?
[lgo]
 ^
drx.toml:10:1: node.resources: unknown key; write resources before the first section, which is where it belongs
resources = ["r0.res"]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn unknown_keys_of_a_resource() {
    let text = &format!(
        "{R0}{}",
        r#"insight = "x"
size = 1
[resource.link]
windw = 1
[resource.log]
level = "info"
[resource.bab]
total = "1GiB"
"#
    );
    let expected = r#"drx.toml:8:1: resource.insight: unknown key; known here: name, remote, bsr, inside, outside, peer, bab, link, restart
insight = "x"
^
drx.toml:9:1: resource.size: unknown key; there is size in [bab]
size = 1
^
drx.toml:11:1: resource.link.windw: unknown key; did you mean window?
windw = 1
^
drx.toml:12:11: resource.log: unknown key; known here: name, remote, bsr, inside, outside, peer, bab, link, restart
[resource.log]
          ^
drx.toml:15:1: resource.bab.total: cannot differ between resources; set it in [bab]
total = "1GiB"
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn missing_keys() {
    let text = r#"[[resource]]
name = "r0"

[[resource]]
remote = "node2"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
"#;
    let expected = r#"drx.toml:1:1: resource.remote: is missing; add remote = "node2"
[[resource]]
^
drx.toml:1:1: resource.bsr: is missing; add bsr = "10.77.1.2:7789"
[[resource]]
^
drx.toml:1:1: resource.inside: is missing; add inside = "10.77.1.1:7788"
[[resource]]
^
drx.toml:1:1: resource.outside: is missing; add outside = "10.77.9.1:7780"
[[resource]]
^
drx.toml:1:1: resource.peer: is missing; add peer = "10.77.9.2:7780"
[[resource]]
^
drx.toml:4:1: resource.name: is missing; add name = "r0"
[[resource]]
^
drx.toml:4:1: resource.peer: is missing; add peer = "10.77.9.2:7780"
[[resource]]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn wrong_sections() {
    let text = r#"resource = 3
[[log]]
level = "info"
"#;
    let expected = r#"drx.toml:1:12: resource: is no list of resources; write [[resource]], in two brackets
resource = 3
           ^
drx.toml:2:1: log: is a section; write [log] on a line of its own, and the keys below
[[log]]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn resource_in_one_bracket() {
    let text = r#"[resource]
name = "r0"
"#;
    let expected = r#"drx.toml:1:1: resource: is no list of resources; write [[resource]], in two brackets
[resource]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn resources_that_are_no_tables() {
    let text = r#"resource = ["r0", 3]
"#;
    let expected = r#"drx.toml:1:13: resource: is no resource; write [[resource]] and its keys below
resource = ["r0", 3]
            ^
drx.toml:1:19: resource: is no resource; write [[resource]] and its keys below
resource = ["r0", 3]
                  ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sections_of_a_resource_that_are_no_tables() {
    let text = &format!(
        "{R0}{}",
        r#"bab = "64MiB"
link = 3
"#
    );
    let expected = r#"drx.toml:8:7: resource.bab: is a section; write [resource.bab] on a line of its own, and the keys below
bab = "64MiB"
      ^
drx.toml:9:8: resource.link: is a section; write [resource.link] on a line of its own, and the keys below
link = 3
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn not_available_yet() {
    let text = r#"
[node]
bandwidth = "1MiB"
[link]
compression = "zstd:3"
bandwidth = 1000
[control]
http = "127.0.0.1:7700"
[log]
format = "json"
per_resource = true
[tls]
certificate = "node1.pem"
"#;
    let expected = r#"drx.toml:3:13: node.bandwidth: "1MiB" is not available yet; leave it at "0"
bandwidth = "1MiB"
            ^
drx.toml:6:13: link.bandwidth: 1000 is not available yet; leave it at "0"
bandwidth = 1000
            ^
drx.toml:8:8: control.http: "127.0.0.1:7700" is not available yet; leave it at ""
http = "127.0.0.1:7700"
       ^
drx.toml:10:10: log.format: "json" is not available yet; leave it at "term"
format = "json"
         ^
drx.toml:11:16: log.per_resource: true is not available yet; leave it at false
per_resource = true
               ^
drx.toml:12:1: tls: TLS is not available yet; leave the section out
[tls]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn not_available_yet_in_a_resource() {
    let text = &format!(
        "{R0}{}",
        r#"[resource.link]
resume_timeout = 1000
compression = "lz4"
bandwidth = "1M"
"#
    );
    let expected = r#"drx.toml:9:18: resource.link.resume_timeout: 1000 is a time without a unit; write 0 or a time of 1ms to 8760h, such as "10s"
resume_timeout = 1000
                 ^
drx.toml:11:13: resource.link.bandwidth: "1M" is not available yet; leave it at "0"
bandwidth = "1M"
            ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn what_is_wrong_is_not_called_unavailable() {
    let text = r#"[bab]
reserve = "60%"
backing = "disk"
directory = ""
[link]
hold_pings = "yes"
compression = "zstd:99"
bandwidth = "fast"
[control]
http = "localhost"
[log]
format = "xml"
[tls]
key = 3
keys = "x"
"#;
    let expected = r#"drx.toml:2:11: bab.reserve: "60%" is no reserve; write "auto", a size or a percentage up to "50%"
reserve = "60%"
          ^
drx.toml:3:11: bab.backing: "disk" is unknown here; write "memory", "locked" or "file"
backing = "disk"
          ^
drx.toml:4:13: bab.directory: is empty; write a path of 1 to 4095 bytes
directory = ""
            ^
drx.toml:6:14: link.hold_pings: "yes" is neither true nor false; write true or false
hold_pings = "yes"
             ^
drx.toml:7:15: link.compression: "zstd:99" is unknown here; write "none", "lz4", "zstd", "zstd:LEVEL" (1 to 22) or "auto"
compression = "zstd:99"
              ^
drx.toml:8:13: link.bandwidth: "fast" is no size; write 0 (no limit) or bytes a second, such as "10MiB"
bandwidth = "fast"
            ^
drx.toml:10:8: control.http: "localhost" is no IP address with a port; write "" or an IP address with a port
http = "localhost"
       ^
drx.toml:12:10: log.format: "xml" is unknown here; write "term" or "json"
format = "xml"
         ^
drx.toml:13:1: tls: TLS is not available yet; leave the section out
[tls]
^
drx.toml:14:7: tls.key: 3 is no text; write a path of 1 to 4095 bytes
key = 3
      ^
drx.toml:15:1: tls.keys: unknown key; did you mean key?
keys = "x"
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn everything_at_once() {
    let text = r#"resources = 3
[log]
level = "loud"
levle = 1
[[resource]]
name = "r0"
remote = node2
bsr = "10.77.1.2:7788"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
[link]
window = "1k"
[restart]
max = "50ms"
max = "1s"
"#;
    let expected = r#"drx.toml:1:13: resources: 3 is no list of texts; write a list of texts, such as ["one", "two"]
resources = 3
            ^
drx.toml:3:9: log.level: "loud" is unknown here; write "critical", "error", "warning", "info", "debug" or "trace"
level = "loud"
        ^
drx.toml:4:1: log.levle: unknown key; did you mean level?
levle = 1
^
drx.toml:5:1: resource.peer: is missing; add peer = "10.77.9.2:7780"
[[resource]]
^
drx.toml:7:10: resource.remote: node2 is not quoted; write "node2"
remote = node2
         ^
drx.toml:9:10: resource.inside: inside = 10.77.1.1:7788 and bsr = 10.77.1.2:7788 (at drx.toml:8:7) want the same port of this machine, where bsr takes it on every address; give one of them another port
inside = "10.77.1.1:7788"
         ^
drx.toml:12:10: link.window: "1k" is too small; write a size of 64KiB to 1GiB
window = "1k"
         ^
drx.toml:14:7: restart.max: initial = 100ms (by default) is longer than max = 50ms; make initial at most max
max = "50ms"
      ^
drx.toml:15:1: restart.max: stands here a second time, first at drx.toml:14:1; keep one of them
max = "1s"
^"#;
    assert_eq!(errors(text), expected);
}
