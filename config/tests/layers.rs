//! Defaults < files < environment < command line, and what each source's errors look like.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{R0, errors_of, file, good, pairs};
use drx_config::{CongestionControl, Level, Reserve, Sources};

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = good(&Sources::new("node1"));
    assert_eq!(config.node.name, "node1");
    assert_eq!(config.resources, []);
    assert_eq!(config.bab_total, 8 << 30);
    assert_eq!(config.control.socket.to_str(), Some("/run/drx/drx.sock"));
    assert_eq!(config.log.level, Level::Info);
    assert_eq!(config.log.file, None);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn each_layer_wins_over_the_ones_before() {
    let mut sources = Sources::new("node1");
    let mut levels = vec![good(&sources).log.level];
    sources = sources.text("a.toml", "[log]\nlevel = \"warning\"\n");
    levels.push(good(&sources).log.level);
    sources = sources.text("b.toml", "[log]\nlevel = \"error\"\n");
    levels.push(good(&sources).log.level);
    sources = sources.environment(pairs(&[("DRX_LOG__LEVEL", "debug")]));
    levels.push(good(&sources).log.level);
    sources = sources.command_line(pairs(&[("log.level", "critical")]));
    levels.push(good(&sources).log.level);
    sources = sources.command_line(pairs(&[("log.level", "trace")]));
    levels.push(good(&sources).log.level);
    assert_eq!(
        levels,
        [Level::Info, Level::Warning, Level::Error, Level::Debug, Level::Critical, Level::Trace]
    );
}

#[test]
fn a_layer_leaves_alone_what_it_does_not_name() {
    let sources = Sources::new("host")
        .text("a.toml", "[log]\nlevel = \"warning\"\nfile = \"/tmp/a\"\n[node]\nname = \"node1\"\n")
        .text("b.toml", "[log]\nfile = \"/tmp/b\"\n")
        .environment(pairs(&[("DRX_LINK__WINDOW", "1MiB"), ("PATH", "/bin"), ("DRXX", "1")]))
        .command_line(pairs(&[("log.file", "")]));
    let config = good(&sources);
    assert_eq!(config.node.name, "node1");
    assert_eq!(config.log.level, Level::Warning);
    assert_eq!(config.log.file, None);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_resource_inherits_what_it_does_not_override() {
    let text = format!(
        "[link]\nwindow = \"2MiB\"\n{R0}{}",
        r#"
[resource.bab]
size = "1MiB"
reserve = "512KiB"
[resource.link]
congestion_control = "cubic"
connect_timeout = "1.5s"
[resource.restart]
max_failures = 9
factor = 3

[[resource]]
name = "r1"
remote = "node2"
bsr = "10.77.1.2:7799"
inside = "10.77.1.1:7798"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#
    );
    let environment = [
        ("DRX_BAB__SIZE", "2MiB"),
        ("DRX_BAB__RESERVE", "20%"),
        ("DRX_RESTART__JITTER", "0"),
        ("DRX_RESTART__MAX_FAILURES", "7"),
    ];
    let config = good(&file(&text).environment(pairs(&environment)));
    let [r0, r1] = &config.resources[..] else { panic!("{:?}", config.resources) };
    assert_eq!((r0.bab.size, r1.bab.size), (1 << 20, 2 << 20));
    assert_eq!((r0.bab.reserve, r1.bab.reserve), (Reserve::Bytes(512 << 10), Reserve::Percent(20)));
    assert_eq!((r0.link.window, r1.link.window), (2 << 20, 2 << 20));
    assert_eq!(r0.link.congestion_control, CongestionControl::Named("cubic".to_owned()));
    assert_eq!(r1.link.congestion_control, CongestionControl::Auto);
    assert_eq!(r0.link.connect_timeout, Duration::from_millis(1500));
    assert_eq!(r1.link.connect_timeout, Duration::from_secs(5));
    assert_eq!((r0.restart.max_failures, r1.restart.max_failures), (9, 7));
    assert_eq!((r0.restart.factor, r1.restart.factor), (3.0, 2.0));
    assert_eq!((r0.restart.jitter, r1.restart.jitter), (0.0, 0.0));
}

#[test]
fn resources_of_several_files_add_up_in_their_order() {
    let r1 = R0.replace("r0", "r1").replace(":7788", ":7798").replace(":7789", ":7799");
    let config =
        good(&file(R0).text("more.toml", r1.clone()).text("none.toml", "[log]\nlevel = \"debug\"\n"));
    let names: Vec<&str> = config.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["r0", "r1"]);
    assert_eq!(
        errors_of(&file(R0).text("more.toml", r1.replace("r1", "r0"))),
        r#"more.toml:2:8: resource.name: "r0" with remote "node2" stands here a second time, first at drx.toml:2:8; give it another name or remote, or take it out
name = "r0"
       ^"#
    );
}

#[test]
fn one_name_with_several_remotes_is_a_resource_of_many_nodes() {
    let to_node3 = R0.replace("node2", "node3").replace(":7788", ":7798").replace("77.9.2", "77.9.3");
    let config = good(&file(&format!("{R0}{to_node3}")));
    assert_eq!(config.resources.len(), 2);
    assert_eq!(config.resources[0].bsr, config.resources[1].bsr);
    assert_eq!(config.resources[0].outside, config.resources[1].outside);
}

#[test]
fn what_comes_later_is_accepted_at_its_default() {
    let text = r#"resources = []
[node]
bandwidth = 0
[bab]
[link]
compression = "none"
bandwidth = "0"
[control]
http = ""
[log]
format = "term"
per_resource = false
"#;
    assert_eq!(good(&file(text)), good(&Sources::new("node1")));
    let environment = [("DRX_RESOURCES", ""), ("DRX_LINK__BANDWIDTH", "0")];
    assert_eq!(good(&Sources::new("node1").environment(pairs(&environment))), good(&Sources::new("node1")));
}

#[test]
fn environment_and_command_line_are_places_too() {
    let sources = file("[restart]\nmax = \"50s\"\n[bab]\ntotal = 1\n")
        .environment(pairs(&[
            ("DRX_LINK__WINDOW", "5"),
            ("DRX_LINK__HOLD_PINGS", "true"),
            ("DRX_RESTART__INITIAL", "60s"),
            ("DRX_RESTART__MAX_FAILURES", "many"),
            ("DRX_TLS__KEY", "node1.key"),
            ("DRX_RESOURCES", "/nowhere/a.res, /nowhere/*.res"),
        ]))
        .command_line(pairs(&[
            ("log.levle", "debug"),
            ("log.format", "json"),
            ("restart.max", "55s"),
            ("resource.bab.size", "1MiB"),
            ("whatever", "1"),
        ]));
    assert_eq!(
        errors_of(&sources),
        r#"drx.toml:4:9: bab.total: 1 is too small; write a size of 64KiB to 1024TiB
total = 1
        ^
DRX_LINK__WINDOW: link.window: "5" is too small; write a size of 64KiB to 1GiB
DRX_RESOURCES: resources: "/nowhere/*.res" matches no file; name resource files that are there
DRX_RESOURCES: resources: /nowhere/a.res cannot be read: No such file or directory (os error 2); name resource files that this user may read
DRX_RESTART__MAX_FAILURES: restart.max_failures: "many" is no whole number; write a whole number from 1 to 1000
DRX_TLS__KEY: tls.key: "node1.key" is not available yet; leave [tls] out
--log.levle: log.levle: unknown key; did you mean log.level?
--log.format: log.format: "json" is not available yet; leave it at "term"
--restart.max: restart.max: initial = 1m (from DRX_RESTART__INITIAL) is longer than max = 55s; make initial at most max
--resource.bab.size: resource.bab.size: cannot be set here; set it at the resource, in a file
--whatever: whatever: unknown key; name a key of drx.toml with its section, such as log.level"#
    );
}

#[test]
fn a_wrong_value_is_an_error_even_where_another_layer_wins() {
    let sources = file("[log]\nlevel = \"loud\"\n").environment(pairs(&[("DRX_LOG__LEVEL", "debug")]));
    assert!(errors_of(&sources).starts_with("drx.toml:2:9: log.level: \"loud\" is unknown here;"));
}

#[test]
fn unknown_variables_are_warnings() {
    let variables = [
        ("DRX_PATH", "C:\\drx"),
        ("DRX_LOG__LEVLE", "debug"),
        ("DRX_log__level", "debug"),
        ("DRX_RESOURCE__NAME", "r0"),
        ("DRX_", ""),
        ("drx_log__level", "debug"),
    ];
    let config = good(&Sources::new("node1").environment(pairs(&variables)));
    assert_eq!(config.log.level, Level::Info);
    assert_eq!(
        config.warnings,
        [
            "DRX_: unknown variable, ignored",
            "DRX_LOG__LEVLE: unknown variable, ignored; did you mean DRX_LOG__LEVEL?",
            "DRX_PATH: unknown variable, ignored",
            "DRX_RESOURCE__NAME: unknown variable, ignored",
            "DRX_log__level: unknown variable, ignored; did you mean DRX_LOG__LEVEL?",
        ]
    );
}

#[test]
fn a_remote_of_the_own_name_is_a_warning() {
    let sources = file(&format!("[node]\nname = \"node2\"\n{R0}"));
    let warning = "resource.remote at drx.toml:5:10: \"node2\" is this node's own name";
    assert_eq!(good(&sources).warnings, [warning]);
}

#[test]
fn the_host_name_stands_in_and_must_be_a_name() {
    let mut sources = file("\n[node]\n");
    sources.host_name = Some("my host".to_owned());
    assert_eq!(
        errors_of(&sources),
        r#"drx.toml:2:1: node.name: is missing, and the host's name "my host" holds a blank; add name = "node1" to [node]
[node]
^"#
    );
    sources.files.clear();
    sources.host_name = None;
    assert_eq!(
        errors_of(&sources),
        r#"default: node.name: is missing, and the host has no name; add name = "node1" to [node]"#
    );
    assert_eq!(good(&sources.command_line(pairs(&[("node.name", "n")]))).node.name, "n");
}

/// Once for the section, and once for each resource that has its own.
#[test]
fn a_compression_that_others_would_wait_for_is_a_warning() {
    let own = "[[resource]]\nname = \"r0\"\nremote = \"node2\"\nbsr = \"10.77.1.2:7789\"\ninside = \"10.77.1.1:7788\"\noutside = \"10.77.9.1:7780\"\npeer = \"10.77.9.2:7780\"\n";
    let warnings = |text: &str| good(&file(text)).warnings;
    assert_eq!(warnings(&format!("{own}[link]\ncompression = \"zstd:9\"\n")), [""; 0]);
    let [default] = &warnings(&format!("{own}[link]\ncompression = \"zstd:10\"\n"))[..] else {
        panic!("one")
    };
    assert!(default.starts_with("link.compression (default): zstd:10 takes up to 0.2 s"), "{default}");
    let both = warnings(&format!("{own}[resource.link]\ncompression = \"zstd:19\"\n"));
    assert!(both.len() == 1 && both[0].starts_with("link.compression (r0): zstd:19 takes"), "{both:?}");
}
