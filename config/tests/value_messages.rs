//! Values: exact messages.

mod common;

use common::errors;

#[test]
fn wrong_types() {
    let text = r#"node = "node1"
log = 3
[link]
window = true
close_pending_timeout = 1.5
connect_timeout = []
checksum = 1
keepalive_timeout = 2026-01-01
[restart]
factor = "2"
max_failures = 2.5
[control]
socket = { path = "x" }
"#;
    let expected = r#"drx.toml:1:8: node: is a section; write [node] on a line of its own, and the keys below
node = "node1"
       ^
drx.toml:2:7: log: is a section; write [log] on a line of its own, and the keys below
log = 3
      ^
drx.toml:4:10: link.window: true is no size; write a size of 64KiB to 1GiB
window = true
         ^
drx.toml:5:25: link.close_pending_timeout: 1.5 is no time; write 0 or a time of 1ms to 8760h, such as "10s"
close_pending_timeout = 1.5
                        ^
drx.toml:6:19: link.connect_timeout: [] is no time; write a time of 1ms to 8760h, such as "5s"
connect_timeout = []
                  ^
drx.toml:7:12: link.checksum: 1 is unknown here; write "auto", "on" or "off"
checksum = 1
           ^
drx.toml:8:21: link.keepalive_timeout: stands here as a date; write a time of 1ms to 8760h, such as "5s"
keepalive_timeout = 2026-01-01
                    ^
drx.toml:10:10: restart.factor: "2" is no number; write a number from 1.0 to 100.0
factor = "2"
         ^
drx.toml:11:16: restart.max_failures: 2.5 is no whole number; write a whole number from 1 to 1000
max_failures = 2.5
               ^
drx.toml:13:10: control.socket: a section is no text; write a path of 1 to 107 bytes
socket = { path = "x" }
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn times() {
    let text = r#"[link]
close_pending_timeout = 60
keepalive_interval = "1 s"
keepalive_timeout = "5"
connect_timeout = 0
[restart]
initial = "0.5ms"
max = "9000h"
stable_after = "-1s"
window = "0s"
"#;
    let expected = r#"drx.toml:2:25: link.close_pending_timeout: 60 is a time without a unit; write 0 or a time of 1ms to 8760h, such as "10s"
close_pending_timeout = 60
                        ^
drx.toml:3:22: link.keepalive_interval: "1 s" is no time; write a time of 1ms to 8760h, such as "5s"
keepalive_interval = "1 s"
                     ^
drx.toml:4:21: link.keepalive_timeout: "5" is a time without a unit; write a time of 1ms to 8760h, such as "5s"
keepalive_timeout = "5"
                    ^
drx.toml:5:19: link.connect_timeout: must not be zero; write a time of 1ms to 8760h, such as "5s"
connect_timeout = 0
                  ^
drx.toml:7:11: restart.initial: 0.5ms is too short; write a time of 1ms to 8760h, such as "5s"
initial = "0.5ms"
          ^
drx.toml:8:7: restart.max: "9000h" is too long; write a time of 1ms to 8760h, such as "5s"
max = "9000h"
      ^
drx.toml:9:16: restart.stable_after: "-1s" is no time; write a time of 1ms to 8760h, such as "5s"
stable_after = "-1s"
               ^
drx.toml:10:10: restart.window: must not be zero; write a time of 1ms to 8760h, such as "5s"
window = "0s"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sizes() {
    let text = r#"[bab]
size = "63KiB"
total = "64MB"
[link]
window = "1025MiB"
"#;
    let expected = r#"drx.toml:2:8: bab.size: "63KiB" is too small; write a size of 64KiB to 1TiB
size = "63KiB"
       ^
drx.toml:3:9: bab.total: "64MB" is no size; write a size of 64KiB to 1024TiB
total = "64MB"
        ^
drx.toml:5:10: link.window: "1025MiB" is too large; write a size of 64KiB to 1GiB
window = "1025MiB"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sizes_beyond_every_number() {
    let text = r#"[bab]
size = 99999999999999999999
total = "99999999999999999999999999999999999999999999999T"
[link]
window = -1
"#;
    let expected = r#"drx.toml:2:8: bab.size: the number is out of range; write a size of 64KiB to 1TiB
size = 99999999999999999999
       ^
drx.toml:3:9: bab.total: "99999999999999999999999999999999999999999999999T" is too large; write a size of 64KiB to 1024TiB
total = "99999999999999999999999999999999999999999999999T"
        ^
drx.toml:5:10: link.window: -1 is no size; write a size of 64KiB to 1GiB
window = -1
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn numbers() {
    let text = r#"[restart]
factor = 0.5
jitter = nan
max_failures = 0
"#;
    let expected = r#"drx.toml:2:10: restart.factor: 0.5 is out of range; write a number from 1.0 to 100.0
factor = 0.5
         ^
drx.toml:3:10: restart.jitter: NaN is out of range; write a number from 0.0 to 0.99
jitter = nan
         ^
drx.toml:4:16: restart.max_failures: 0 is out of range; write a whole number from 1 to 1000
max_failures = 0
               ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn numbers_beyond() {
    let text = r#"[restart]
factor = inf
jitter = 1.5
max_failures = 5000000000
"#;
    let expected = r#"drx.toml:2:10: restart.factor: inf is out of range; write a number from 1.0 to 100.0
factor = inf
         ^
drx.toml:3:10: restart.jitter: 1.5 is out of range; write a number from 0.0 to 0.99
jitter = 1.5
         ^
drx.toml:4:16: restart.max_failures: 5000000000 is out of range; write a whole number from 1 to 1000
max_failures = 5000000000
               ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn words() {
    let text = r#"[log]
level = "INFO"
[link]
checksum = "maybe"
congestion_control = "B B R"
"#;
    let expected = r#"drx.toml:2:9: log.level: "INFO" is unknown here; write "critical", "error", "warning", "info", "debug" or "trace"
level = "INFO"
        ^
drx.toml:4:12: link.checksum: "maybe" is unknown here; write "auto", "on" or "off"
checksum = "maybe"
           ^
drx.toml:5:22: link.congestion_control: "B B R" is unknown here; write "auto", "system" or a name that the kernel knows, such as "bbr"
congestion_control = "B B R"
                     ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn names() {
    let text = r#"[node]
name = ""
[[resource]]
name = "a/b"
remote = "node 2"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
[[resource]]
name = "a\u0007"
remote = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7787"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:2:8: node.name: is empty; write a name of 1 to 255 bytes, without blanks, control characters or `/`
name = ""
       ^
drx.toml:4:8: resource.name: "a/b" holds a `/`; write a name of 1 to 255 bytes, without blanks, control characters or `/`
name = "a/b"
       ^
drx.toml:5:10: resource.remote: "node 2" holds a blank; write a name of 1 to 255 bytes, without blanks, control characters or `/`
remote = "node 2"
         ^
drx.toml:11:8: resource.name: "a\u{7}" holds a control character; write a name of 1 to 255 bytes, without blanks, control characters or `/`
name = "a\u0007"
       ^
drx.toml:12:10: resource.remote: has 256 bytes; write a name of 1 to 255 bytes, without blanks, control characters or `/`
remote = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn addresses() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "0.0.0.0:7789"
inside = "10.77.1.1"
outside = "node1:7780"
peer = "10.77.9.2:0"
"#;
    let expected = r#"drx.toml:4:7: resource.bsr: 0.0.0.0 is every address of a machine, nothing to dial; write an IP address with a port, such as "10.77.1.2:7789"
bsr = "0.0.0.0:7789"
      ^
drx.toml:5:10: resource.inside: "10.77.1.1" is an address without a port; write an IP address with a port, such as "10.77.1.1:7788"
inside = "10.77.1.1"
         ^
drx.toml:6:11: resource.outside: "node1:7780" is no IP address with a port; write an IP address with a port, such as "10.77.9.1:7780"
outside = "node1:7780"
          ^
drx.toml:7:8: resource.peer: 10.77.9.2:0 has port 0, which is none; write an IP address with a port, such as "10.77.9.2:7780"
peer = "10.77.9.2:0"
       ^"#;
    assert_eq!(errors(text), expected);
}

/// bind(2) and connect(2) know such an address with its interface only.
#[test]
fn link_local_addresses() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "[fe80::2]:7789"
inside = "[fe80::1%3]:7788"
outside = "[fd00::1]:7780"
peer = "[fe80::9]:7780"
"#;
    let expected = r#"drx.toml:4:7: resource.bsr: [fe80::2]:7789 is link-local and lacks the number of its interface, as in [fe80::2%3]:7789; write an IP address with a port, such as "10.77.1.2:7789"
bsr = "[fe80::2]:7789"
      ^
drx.toml:7:8: resource.peer: [fe80::9]:7780 is link-local and lacks the number of its interface, as in [fe80::9%3]:7780; write an IP address with a port, such as "10.77.9.2:7780"
peer = "[fe80::9]:7780"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn paths() {
    let text = r#"[control]
socket = ""
[log]
file = "a\u0000b"
"#;
    let expected = r#"drx.toml:2:10: control.socket: is empty; write a path of 1 to 107 bytes
socket = ""
         ^
drx.toml:4:8: log.file: "a\0b" holds a zero byte; write "" or a path of at most 4095 bytes
file = "a\u0000b"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn a_socket_that_the_kernel_cannot_have() {
    let text = r#"[control]
socket = "/sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
"#;
    let expected = r#"drx.toml:2:10: control.socket: has 108 bytes, more than the system takes; write a path of 1 to 107 bytes
socket = "/sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
         ^"#;
    assert_eq!(errors(text), expected);
}
