//! What is no TOML: exact messages, and what is still checked beside them.

mod common;

use common::{R0, errors};

#[test]
fn text_without_quotes() {
    let text = r#"[log]
level = debug # why not
file = "x"
"#;
    let expected = r#"drx.toml:2:9: log.level: debug is not quoted; write "debug"
level = debug # why not
        ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn address_without_quotes() {
    let text = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = 10.77.1.2:7789
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;
    let expected = r#"drx.toml:4:7: resource.bsr: 10.77.1.2:7789 is not quoted; write "10.77.1.2:7789"
bsr = 10.77.1.2:7789
      ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn open_quote() {
    let text = r#"[log]
level = "debug
file = "x"
"#;
    let expected = r#"drx.toml:2:15: log.level: invalid basic string; expected `"`
level = "debug
              ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn no_equals_sign() {
    let text = r#"[log]
level "debug"
file: "x"
[link]
window
"#;
    let expected = r#"drx.toml:2:1: log.level: has no value; write level = VALUE
level "debug"
^
drx.toml:3:1: log.file: has no value; write file = VALUE
file: "x"
^
drx.toml:5:1: link.window: has no value; write window = VALUE
window
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn no_value() {
    let text = r#"[log]
level =
"#;
    let expected = r#"drx.toml:2:1: log.level: has no value; write level = VALUE
level =
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn broken_section_header_hides_its_keys() {
    let text = r#"[bab
total = "64KiB"
[log]
level = "loud"
"#;
    let expected = r#"drx.toml:1:5: bab: unclosed table; expected `]`
[bab
    ^
drx.toml:4:9: log.level: "loud" is unknown here; write "critical", "error", "warning", "info", "debug" or "trace"
level = "loud"
        ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn broken_resource_header_hides_its_sections() {
    let text = &format!(
        "{R0}{}",
        r#"[[resource]
name = "r1"
[resource.bab]
size = "1MiB"
[resource.link]
window = "1MiB"
[[resource]]
name = "r2"
"#
    );
    let expected = r#"drx.toml:8:12: resource: unclosed array table; expected `]`
[[resource]
           ^
drx.toml:14:1: resource.remote: is missing; add remote = "node2"
[[resource]]
^
drx.toml:14:1: resource.bsr: is missing; add bsr = "10.77.1.2:7789"
[[resource]]
^
drx.toml:14:1: resource.inside: is missing; add inside = "10.77.1.1:7788"
[[resource]]
^
drx.toml:14:1: resource.outside: is missing; add outside = "10.77.9.1:7780"
[[resource]]
^
drx.toml:14:1: resource.peer: is missing; add peer = "10.77.9.2:7780"
[[resource]]
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn open_list_takes_what_follows() {
    let text = r#"resources = [
[[resource]]
name = "r0"
"#;
    let expected = r#"drx.toml:1:13: resources: is not closed: string values must be quoted at drx.toml:2:3; close the value, or correct it there
resources = [
            ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn key_twice() {
    let text = r#"[log]
level = "info"
file = ""
level = "debug"
"#;
    let expected = r#"drx.toml:4:1: log.level: stands here a second time, first at drx.toml:2:1; keep one of them
level = "debug"
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn section_twice() {
    let text = r#"[log]
level = "info"
[link]
[log]
file = ""
"#;
    let expected = r#"drx.toml:4:2: log: stands here a second time, first at drx.toml:1:2; keep one of them
[log]
 ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn section_of_a_resource_twice() {
    let text = &format!(
        "{R0}{}",
        r#"[resource.bab]
size = "1MiB"
[resource.link]
[resource.bab]
size = "2MiB"
"#
    );
    let expected = r#"drx.toml:11:11: resource.bab: stands here a second time, first at drx.toml:8:11; keep one of them
[resource.bab]
          ^
drx.toml:12:1: resource.bab.size: stands here a second time, first at drx.toml:9:1; keep one of them
size = "2MiB"
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn key_twice_in_braces() {
    let text = r#"log = { level = "info", level = "debug" }
"#;
    let expected = r#"drx.toml:1:25: log: stands here a second time; keep one of them
log = { level = "info", level = "debug" }
                        ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn key_without_a_section() {
    let text = r#"= 3
"#;
    let expected = r#"drx.toml:1:1: TOML: unquoted keys cannot be empty; expected letters, numbers, `-`, `_`
= 3
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn errors_behind_a_broken_line_are_found_too() {
    let text = r#"[log]
level
levle = 3
[link]
window = 5 MiB
checksum = "perhaps"
checksum = "on"
"#;
    let expected = r#"drx.toml:2:1: log.level: has no value; write level = VALUE
level
^
drx.toml:3:1: log.levle: unknown key; did you mean level?
levle = 3
^
drx.toml:5:10: link.window: 5 MiB is not quoted; write "5 MiB"
window = 5 MiB
         ^
drx.toml:6:12: link.checksum: "perhaps" is unknown here; write "auto", "on" or "off"
checksum = "perhaps"
           ^
drx.toml:7:1: link.checksum: stands here a second time, first at drx.toml:6:1; keep one of them
checksum = "on"
^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn a_broken_value_is_not_checked_with_the_default() {
    let text = r#"[restart]
max = 50
initial = 20s
[bab]
total = 3G
"#;
    let expected = r#"drx.toml:2:7: restart.max: 50 is a time without a unit; write a time of 1ms to 8760h, such as "5s"
max = 50
      ^
drx.toml:3:11: restart.initial: 20s is not quoted; write "20s"
initial = 20s
          ^
drx.toml:5:9: bab.total: 3G is not quoted; write "3G"
total = 3G
        ^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn columns_are_characters() {
    let text = "[log]\n\"ü\" = 1\nfile = { ü = \"ü\" }\n\tlevel = \"loud\"\r\n";
    let expected = "drx.toml:2:1: log.ü: unknown key; known here: level, format, file, per_resource\n\"ü\" = 1\n^\ndrx.toml:3:10: log.file: invalid unquoted key; expected letters, numbers, `-`, `_`\nfile = { ü = \"ü\" }\n         ^\ndrx.toml:4:10: log.level: \"loud\" is unknown here; write \"critical\", \"error\", \"warning\", \"info\", \"debug\" or \"trace\"\n\tlevel = \"loud\"\n\t        ^";
    assert_eq!(errors(text), expected);
}

#[test]
fn long_lines_are_cut() {
    let text = r#"[log]
file = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" y
"#;
    let expected = r#"drx.toml:2:311: log.file: unexpected key or value; expected newline, `#`
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" y
                                                                                ^"#;
    assert_eq!(errors(text), expected);
}
