//! Keys and resources that cannot both be meant: exact messages.

mod common;

use common::{R0, errors};

#[test]
fn same_name_and_remote_twice() {
    let text = &format!(
        "{R0}{}",
        r#"
[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7790"
inside = "10.77.1.1:7791"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#
    );
    let expected = r#"drx.toml:10:8: resource.name: "r0" with remote "node2" stands here a second time, first at drx.toml:2:8; give it another name or remote, or take it out
name = "r0"
       ^"#;
    assert_eq!(errors(text), expected);
}

/// Commands match names whole, of resources and of connections: each has to be one thing.
#[test]
fn names_that_commands_could_take_for_others() {
    let more = |names: [(&str, &str); 3]| {
        let resource = |(number, (name, remote)): (usize, (&str, &str))| {
            let (bsr, inside) = (8000 + 10 * number, 8001 + 10 * number);
            format!(
                "[[resource]]\nname = \"{name}\"\nremote = \"{remote}\"\nbsr = \"10.77.1.2:{bsr}\"\ninside = \"10.77.1.1:{inside}\"\noutside = \"10.77.9.1:7780\"\npeer = \"10.77.9.2:7780\"\n"
            )
        };
        names.into_iter().enumerate().map(resource).collect::<String>()
    };
    let expected = r#"drx.toml:9:8: resource.name: "a" with remote "b-c" would be the connection "a-b-c-node1", as the one at drx.toml:2:8 is; give one of them another name
name = "a"
       ^
drx.toml:16:8: resource.name: "a-b-c-node1" is the name of the connection at drx.toml:2:8, too; give it another name
name = "a-b-c-node1"
       ^"#;
    assert_eq!(errors(&more([("a-b", "c"), ("a", "b-c"), ("a-b-c-node1", "x")])), expected);
    let expected = r#"drx.toml:16:8: resource.name: "all" is what commands call all of them; give it another name
name = "all"
       ^"#;
    assert_eq!(errors(&more([("a-b", "c"), ("a-b", "d"), ("all", "c")])), expected);
}

#[test]
fn same_inside_twice() {
    let text = &format!(
        "{R0}{}",
        r#"
[[resource]]
name = "r1"
remote = "node2"
bsr = "10.77.1.2:7790"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#
    );
    let expected = r#"drx.toml:13:10: resource.inside: inside = 10.77.1.1:7788 and inside = 10.77.1.1:7788 (at drx.toml:5:10) are both listened on, and only one can be; give each an address or a port of its own
inside = "10.77.1.1:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn every_address_and_one_of_them() {
    let text = &format!(
        "{R0}{}",
        r#"
[[resource]]
name = "r1"
remote = "node2"
bsr = "10.77.1.2:7790"
inside = "0.0.0.0:7788"
outside = "[::]:7780"
peer = "10.77.9.2:7780"
"#
    );
    let expected = r#"drx.toml:13:10: resource.inside: inside = 0.0.0.0:7788 and inside = 10.77.1.1:7788 (at drx.toml:5:10) are both listened on, and only one can be; give each an address or a port of its own
inside = "0.0.0.0:7788"
         ^
drx.toml:14:11: resource.outside: outside = [::]:7780 and outside = 10.77.9.1:7780 (at drx.toml:6:11) are both listened on, and only one can be; give each an address or a port of its own
outside = "[::]:7780"
          ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn inside_and_outside_alike() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7789"
outside = "10.77.1.1:7788"
inside = "10.77.1.1:7788"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:6:10: resource.inside: outside = 10.77.1.1:7788 (at drx.toml:5:11) and inside = 10.77.1.1:7788 are both listened on, and only one can be; give each an address or a port of its own
inside = "10.77.1.1:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn inside_with_the_port_of_bsr_on_one_address() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.99.0.1:7788"
inside = "10.99.0.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:5:10: resource.inside: inside = 10.99.0.1:7788 and bsr = 10.99.0.1:7788 (at drx.toml:4:7) want the same port of this machine, where bsr takes it on every address; give one of them another port
inside = "10.99.0.1:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn inside_with_the_port_of_bsr_on_loopback() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "127.0.0.1:7788"
inside = "127.0.0.2:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:5:10: resource.inside: inside = 127.0.0.2:7788 and bsr = 127.0.0.1:7788 (at drx.toml:4:7) want the same port of this machine, where bsr takes it on every address; give one of them another port
inside = "127.0.0.2:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn inside_with_the_port_of_bsr_on_this_machine() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7788"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:5:10: resource.inside: inside = 10.77.1.1:7788 and bsr = 10.77.1.2:7788 (at drx.toml:4:7) want the same port of this machine, where bsr takes it on every address; give one of them another port
inside = "10.77.1.1:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn outside_with_the_port_of_bsr_on_this_machine() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7780"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:6:11: resource.outside: outside = 10.77.9.1:7780 and bsr = 10.77.1.2:7780 (at drx.toml:4:7) want the same port of this machine, where bsr takes it on every address; give one of them another port
outside = "10.77.9.1:7780"
          ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn families_of_bsr_and_inside() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "[fd00::2]:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:5:10: resource.inside: bsr = [fd00::2]:7789 (at drx.toml:4:7) is dialled from inside = 10.77.1.1:7788, which is of the other address family; make both IPv4 or both IPv6
inside = "10.77.1.1:7788"
         ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn families_of_outside_and_peer() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "[fd00::2]:7780"
"#;
    let expected = r#"drx.toml:7:8: resource.peer: outside = 10.77.9.1:7780 (at drx.toml:6:11) and peer = [fd00::2]:7780 are of different address families; make both IPv4 or both IPv6
peer = "[fd00::2]:7780"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn peer_is_this_relay() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.1:7780"
"#;
    let expected = r#"drx.toml:7:8: resource.peer: outside = 10.77.9.1:7780 (at drx.toml:6:11) is the same as peer = 10.77.9.1:7780: this relay would dial itself; make peer the other DRX's outside
peer = "10.77.9.1:7780"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sum_of_babs_over_the_given_total() {
    let text = &format!(
        "{}{R0}{}",
        r#"[bab]
total = "64MiB"
size = "32MiB"
"#,
        r#"[resource.bab]
size = "61MiB"
"#
    );
    let expected = r#"drx.toml:12:8: resource.bab.size: the BABs of all resources need 65MiB (size and 4MiB each), bab.total = 64MiB (at drx.toml:2:9) is less; make total at least 65MiB, or sizes smaller
size = "61MiB"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sum_of_babs_and_a_later_total() {
    let text = &format!(
        "{R0}{}",
        r#"[resource.bab]
size = "61MiB"
[bab]
total = "64MiB"
"#
    );
    let expected = r#"drx.toml:11:9: bab.total: the BABs of all resources need 65MiB (size and 4MiB each), bab.total = 64MiB is less; make total at least 65MiB, or sizes smaller
total = "64MiB"
        ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn sum_of_babs_over_the_default_total() {
    let text = &format!(
        "{R0}{}",
        r#"[resource.bab]
size = "8GiB"
"#
    );
    let expected = r#"drx.toml:9:8: resource.bab.size: the BABs of all resources need 8196MiB (size and 4MiB each), bab.total = 8GiB (by default) is less; make total at least 8196MiB, or sizes smaller
size = "8GiB"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn reserve_over_half_of_the_bab() {
    let text = &format!(
        "{}{R0}{}",
        r#"[bab]
reserve = "16MiB"
"#,
        r#"[resource.bab]
size = "31MiB"
"#
    );
    let expected = r#"drx.toml:11:8: resource.bab.size: reserve = 16MiB (at drx.toml:2:11) is over half of size = 31MiB; make reserve at most 15872KiB, or write a percentage up to "50%"
size = "31MiB"
       ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn reserve_over_half_of_the_default_bab() {
    let text = r#"[bab]
reserve = 33554433
"#;
    let expected = r#"drx.toml:2:11: bab.reserve: reserve = 33554433 is over half of size = 64MiB (by default); make reserve at most 32MiB, or write a percentage up to "50%"
reserve = 33554433
          ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn back_off_that_begins_above_its_end() {
    let text = r#"[restart]
max = "1s"
initial = "2s"
"#;
    let expected = r#"drx.toml:3:11: restart.initial: initial = 2s is longer than max = 1s (at drx.toml:2:7); make initial at most max
initial = "2s"
          ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn back_off_against_a_default() {
    let text = r#"[restart]
max = "50ms"
"#;
    let expected = r#"drx.toml:2:7: restart.max: initial = 100ms (by default) is longer than max = 50ms; make initial at most max
max = "50ms"
      ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn back_off_of_a_resource_against_the_section() {
    let text = &format!(
        "{}{R0}{}",
        r#"[restart]
max = "1s"
"#,
        r#"[resource.restart]
initial = "2s"
"#
    );
    let expected = r#"drx.toml:11:11: resource.restart.initial: initial = 2s is longer than max = 1s (at drx.toml:2:7); make initial at most max
initial = "2s"
          ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn keepalive_that_cannot_be_answered() {
    let text = &format!(
        "{}{R0}{}",
        r#"[link]
keepalive_timeout = "1s"
"#,
        r#"[resource.link]
keepalive_interval = "3s"
"#
    );
    let expected = r#"drx.toml:2:21: link.keepalive_timeout: keepalive_interval = 1s (by default) is not shorter than keepalive_timeout = 1s, so every link would count as dead; make keepalive_timeout several times keepalive_interval
keepalive_timeout = "1s"
                    ^
drx.toml:11:22: resource.link.keepalive_interval: keepalive_interval = 3s is not shorter than keepalive_timeout = 1s (at drx.toml:2:21), so every link would count as dead; make keepalive_timeout several times keepalive_interval
keepalive_interval = "3s"
                     ^"#;
    assert_eq!(errors(text), expected);
}
