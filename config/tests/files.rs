//! Files as they are found on disks, and this machine's own answers.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use common::{errors_of, good};
use drx_config::{File, Level, Place, Sources, is_local, load, system_host_name};

fn sample(name: &str) -> Sources {
    Sources::new("node1").file(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name))
}

#[test]
fn the_two_sample_nodes_fit_each_other() {
    let [node1, node2] = ["node1.toml", "node2.toml"].map(|name| good(&sample(name)));
    assert_eq!((node1.warnings.len(), node2.warnings.len()), (0, 0));
    let ([one], [two]) = (&node1.resources[..], &node2.resources[..]) else { panic!("one resource each") };
    assert_eq!(one.name, two.name);
    assert_eq!((&one.remote, &two.remote), (&node2.node.name, &node1.node.name));
    assert_eq!((one.peer, two.peer), (two.outside, one.outside));
    // The addresses that were run with real bsr.
    assert_eq!(one.bsr, "10.77.1.2:7789".parse().unwrap());
    assert_eq!(one.inside, "10.77.1.1:7788".parse().unwrap());
    assert_eq!(two.bsr, "10.77.2.2:7789".parse().unwrap());
    assert_eq!(two.inside, "10.77.2.1:7788".parse().unwrap());
}

#[test]
fn the_sample_of_all_keys_is_the_defaults() {
    assert_eq!(good(&sample("all-keys.toml")), good(&Sources::new("node1")));
}

#[test]
fn the_sample_of_all_keys_is_right_without_its_comment_marks() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/all-keys.toml")).unwrap();
    let live: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c != ' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(good(&Sources::new("host").text("live", live)).resources.len(), 1);
}

/// What is shown as the configuration in force can be read back.
#[test]
fn a_printed_configuration_is_the_same_configuration() {
    let text = r#"
[node]
name = "n"
[bab]
total = 4294967297
[log]
level = "trace"
file = "/tmp/log"
[control]
socket = "/tmp/s"
[[resource]]
name = "r0"
remote = "node2"
bsr = "[::1]:7789"
inside = "[::1]:7788"
outside = "[::]:7780"
peer = "10.77.9.2:7780"
bab = { size = 1000001 }
link = { congestion_control = "bbr", checksum = "off", close_pending_timeout = "0", window = 65537 }
restart = { initial = "1.000001ms", max = "90s", factor = 1.5, jitter = 0.9, max_failures = 1000 }
"#;
    let config = good(&Sources::new("host").text("drx.toml", text));
    let printed = toml::to_string(&config).unwrap();
    assert_eq!(good(&Sources::new("other").text("printed", printed)), config);
}

#[test]
fn a_configuration_is_shown_in_the_units_of_its_file() {
    let json = serde_json::to_value(good(&sample("node1.toml"))).unwrap();
    assert_eq!(json["bab"]["total"], "8GiB");
    assert_eq!(json["resource"][0]["bab"]["size"], "256MiB");
    assert_eq!(json["resource"][0]["link"]["keepalive_interval"], "1s");
    assert_eq!(json["resource"][0]["inside"], "10.77.1.1:7788");
    assert_eq!(json["log"]["level"], "info");
    assert_eq!(json["log"]["file"], "");
    assert!(json.get("warnings").is_none());
}

#[test]
fn files_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let name = |file: &str| dir.path().join(file).display().to_string();
    fs::write(name("latin1"), b"[log]\nfile = \"h\xe4\"\n").unwrap();
    fs::write(name("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let sources = ["missing", "latin1", "large", ""]
        .into_iter()
        .fold(Sources::new("n"), |all, file| all.file(name(file)));
    let expected = [
        format!(
            "{}:1:1: file: cannot be read: No such file or directory (os error 2); name a file that this user may read",
            name("missing")
        ),
        format!(
            "{}:2:10: file: this byte is no UTF-8; save the file as UTF-8\nfile = \"h\u{fffd}\"\n         ^",
            name("latin1")
        ),
        format!("{}:1:1: file: is larger than 1MiB; name a configuration file", name("large")),
        format!(
            "{}:1:1: file: cannot be read: Is a directory (os error 21); name a file that this user may read",
            name("")
        ),
    ];
    assert_eq!(errors_of(&sources), expected.join("\n"));
}

#[test]
fn a_file_without_an_end_ends() {
    let errors = errors_of(&Sources::new("n").file("/dev/zero"));
    assert_eq!(errors, "/dev/zero:1:1: file: is larger than 1MiB; name a configuration file");
}

#[test]
fn a_file_that_is_something_else_is_given_up() {
    let prose = "It was a bright cold day in April, and the clocks were striking thirteen.\n".repeat(10_000);
    let errors = load(&Sources::new("n").text("novel", prose)).unwrap_err();
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100].wrong, "too much of this file is no TOML");
    assert_eq!(errors[100].place, Place::File { name: "novel".to_owned(), line: 101, column: 4 });
}

#[test]
fn a_byte_order_mark_is_no_column() {
    let sources = Sources::new("n").text("drx.toml", "\u{feff}[log]\nlevel = \"debug\"\n");
    assert_eq!(good(&sources).log.level, Level::Debug);
    let sources = Sources::new("n").text("drx.toml", "\u{feff}[lag]\n");
    assert!(errors_of(&sources).starts_with("drx.toml:1:2: lag: unknown key; did you mean log?"));
}

#[test]
fn this_process_is_a_source() {
    let sources = Sources::from_process(["/etc/drx.toml".into()]);
    assert!(matches!(&sources.files[..], [File::Path(path)] if path == Path::new("/etc/drx.toml")));
    assert_eq!(sources.host_name, system_host_name());
    assert!(system_host_name().is_some_and(|name| !name.is_empty() && !name.contains('\n')));
    // cargo sets it for every test.
    assert!(sources.environment.iter().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
}

#[test]
fn addresses_of_this_machine_are_told_from_others() {
    for ip in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"] {
        assert!(is_local(ip.parse().unwrap()), "{ip}");
    }
    // Documentation's addresses: nobody has them.
    for ip in ["192.0.2.1", "2001:db8::1"] {
        assert!(!is_local(ip.parse().unwrap()), "{ip}");
    }
    // Whatever this machine would send from is its own.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        let own: IpAddr = socket.local_addr().unwrap().ip();
        assert!(is_local(own), "{own}");
    }
}
