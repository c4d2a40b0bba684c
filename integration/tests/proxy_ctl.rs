//! `bsr-proxy-ctl` against a real `drxd`: commands, exit statuses, the interactive mode, and whatever else may come.
#![allow(clippy::unwrap_used)]

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::block::Block;
use drx_integration::process::Process;
use drx_integration::programs::{bsr_proxy_ctl, directory, drx_ctl};
use drx_integration::seed::seed;
use drx_integration::wait::LIMIT;
use fastrand::Rng;

/// What a run said, and its exit status.
#[derive(Debug, PartialEq)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// What a success printed.
    #[track_caller]
    fn text(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The one line of a failure with this status.
    #[track_caller]
    fn failure(self, status: i32) -> String {
        assert_eq!((self.status, self.out.as_str()), (status, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err
    }
}

/// The program, for at most a minute.
fn program(path: &Path, socket: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("timeout");
    command.env_clear().env("DRX_CONTROL__SOCKET", socket).arg("60").arg(path).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(relay: &Process, arguments: &[&str]) -> Said {
    program(&bsr_proxy_ctl(), &relay.socket(), arguments).output().unwrap().into()
}

/// With these lines as its standard input.
fn converse(relay: &Process, lines: &[u8]) -> Said {
    let mut command = program(&bsr_proxy_ctl(), &relay.socket(), [""; 0]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // One that ends early reads no more; and one that says much must be listened to meanwhile.
        scope.spawn(move || stdin.write_all(lines));
        child.wait_with_output().unwrap().into()
    })
}

/// `add connection` of a connection of its own block.
fn addition(block: &Block, name: &str) -> String {
    let [inside, peer, outside, bsr] =
        [(1, 7788), (22, 7780), (21, 7780), (11, 7789)].map(|(host, port)| block.address(host, port));
    format!("add connection {name} {inside} {peer} {outside} {bsr}")
}

#[test]
fn what_is_added_is_shown_changed_and_removed() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let name = "r0-node2-node1";
    let add = addition(&block, name);
    assert_eq!(run(&relay, &["-c", "show"]).text(), "");
    assert_eq!(run(&relay, &["-c", &format!("{add} --memlimit=128M --sndbuf-size=10M")]).text(), "");
    let settings = |name| run(&relay, &["-c", &format!("show proxy-settings {name}")]);
    assert_eq!(settings(name).text(), "proxy {\n    memlimit 128M;\n    sndbuf-size 10M;\n}\n");
    // As the tools write it: the last one without its mark.
    let plugin = |number, words: &str| format!("set plugin {name} {number} {words}");
    let changes =
        [format!("set memlimit {name} 96M"), plugin(0, "zlib level 9"), plugin(1, "lz4"), plugin(2, "END")];
    let [memlimit, first, second, end] = &changes;
    assert_eq!(run(&relay, &["-c", memlimit, "-c", first, "-c", second, end]).text(), "");
    let section = "proxy {\n    memlimit 96M;\n    sndbuf-size 10M;\n    plugin {\n        zlib level 9;\n        \
                   lz4;\n    }\n}\n";
    assert_eq!(settings(name).text(), section);

    // The same again changes nothing, other addresses are refused.
    let lines = relay.log_lines();
    assert_eq!(run(&relay, &["-c", &add]).text(), "");
    assert_eq!(settings(name).text(), section);
    assert!(!relay.log().since(lines).says(&["INFO"]), "{}", relay.log());
    let other = add.replace(":7780", ":7781");
    let refused = run(&relay, &["-c", &other]).failure(1);
    assert!(refused.starts_with(&format!("bsr-proxy-ctl: \"{}", &other[..40])), "{refused}");

    // What is shown is what would do it again.
    let shown = run(&relay, &["show"]).text();
    assert_eq!(shown.lines().next(), Some(add.as_str()));
    let empty = Process::start_empty("node1", &[]);
    assert_eq!(converse(&empty, shown.as_bytes()).text(), "");
    assert_eq!(run(&empty, &["show"]).text(), shown);

    assert_eq!(run(&relay, &["-c", &plugin(0, "end")]).text(), "");
    assert_eq!(settings(name).text(), "proxy {\n    memlimit 96M;\n    sndbuf-size 10M;\n}\n");
    for _ in 0..2 {
        assert_eq!(run(&relay, &["-c", &format!("del connection {name}")]).text(), "");
        assert_eq!(run(&relay, &["show"]).text(), "");
    }
    let unknown = settings(name).failure(1);
    assert!(unknown.contains("there is no resource or connection \"r0-node2-node1\""), "{unknown}");
    let unknown = run(&relay, &["-c", memlimit]).failure(1);
    assert!(unknown.contains("there is no resource or connection"), "{unknown}");
}

#[test]
fn ipv6_is_understood_without_brackets() {
    let relay = Process::start_empty("node1", &[]);
    let add = "add connection r0-node2-node1 ::1:7788 2001:db8::2:7780 ::1:7780 ::1:7789";
    assert_eq!(run(&relay, &["-c", add]).text(), "");
    let shown = "add connection r0-node2-node1 [::1]:7788 [2001:db8::2]:7780 [::1]:7780 [::1]:7789\n";
    assert!(run(&relay, &["show"]).text().starts_with(shown));
    assert_eq!(run(&relay, &["-c", shown]).text(), "", "it is the same one");
    let mixed = add.replace("2001:db8::2", "10.77.9.2").replace("r0", "r1");
    assert!(run(&relay, &["-c", &mixed]).failure(1).contains("r1-node2-node1"));
}

#[test]
fn figures_are_for_people_and_for_programs() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let name = "r0-node2-node1";
    run(&relay, &["-c", &addition(&block, name), "-c", &format!("set memlimit {name} 64M")]).text();
    let columns = |command: &str| -> Vec<Vec<String>> {
        let text = run(&relay, &["-c", command]).text();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    };
    let connections = columns("show connections");
    assert_eq!(connections[0][..2], ["name", "status"]);
    assert_eq!(connections[1][..6], [name, "Connecting", "0", "0", "0", "67108864"]);
    assert_eq!(connections.len(), 2);
    let subconnections = columns("show subconnections");
    assert_eq!(subconnections[1][..3], [name, "acceptor", "0"]);
    assert_eq!(subconnections[2][..3], [name, "connector", "0"]);
    assert!(subconnections.iter().all(|row| row.len() == 12), "{subconnections:?}");
    let human = run(&relay, &["show", "hconnections"]).text();
    assert!(human.contains("64.0 MiB") && !human.contains('\t'), "{human}");
    assert!(run(&relay, &["list", "hsubconnections"]).text().contains("connector"));
    assert!(run(&relay, &["show", "memusage"]).text().contains("64.0 MiB"));

    let statistics = run(&relay, &["print", "statistics"]).text();
    let mut lines = statistics.lines();
    assert!(lines.next().unwrap().starts_with("relay=node1 version="), "{statistics}");
    let channels: Vec<_> = lines.collect();
    assert_eq!(channels.len(), 4, "two roles, two lanes: {statistics}");
    for pair in channels.iter().flat_map(|line| line.split(' ')) {
        let (key, value) = pair.split_once('=').unwrap();
        assert!(!key.is_empty() && !value.is_empty(), "{pair}");
        assert!(CHANNEL_KEYS.contains(&key), "{key}");
    }
    assert!(channels.iter().all(|line| line.split(' ').count() == CHANNEL_KEYS.len()), "{statistics}");
}

#[test]
fn the_exit_status_is_that_of_the_first_failure() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let add = addition(&block, "r0-node2-node1");
    // What is not understood is said before anything is done.
    let usage = run(&relay, &["-c", &add, "-c", "frobnicate"]).failure(2);
    assert_eq!(
        usage,
        "bsr-proxy-ctl: \"frobnicate\": there is no such command; help lists those that there are\n"
    );
    for arguments in [&["-c"][..], &["-x"], &["-c", ""], &["-c", "del connection"], &["set", "memlimit", "x"]]
    {
        run(&relay, arguments).failure(2);
    }
    assert_eq!(run(&relay, &["show"]).text(), "");

    // What follows a refusal is done nevertheless.
    let said = run(&relay, &["-c", "set memlimit r9 1M", "-c", &add, "-c", "set memlimit r0-node2-node1 1"]);
    assert_eq!((said.status, said.err.lines().count()), (1, 2), "{}", said.err);
    assert!(run(&relay, &["show"]).text().contains(&add));
    // Nothing follows the wish to end.
    let quit = run(&relay, &["-c", "quit", "-c", "del connection r0-node2-node1"]);
    assert_eq!(quit.text(), "");
    assert!(run(&relay, &["show"]).text().contains(&add));

    // Without a daemon the first one says it for all.
    let nobody = relay.socket().with_extension("nobody");
    let arguments = ["-c", "show", "-c", "show", "del connection x"];
    let said = Said::from(program(&bsr_proxy_ctl(), &nobody, arguments).output().unwrap());
    let said = said.failure(3);
    assert!(said.starts_with("bsr-proxy-ctl: \"show\": no daemon answers on "), "{said}");
    let said = Said::from(program(&bsr_proxy_ctl(), &nobody, ["help"]).output().unwrap());
    assert!(said.text().contains("set memlimit NAME SIZE"), "help needs no daemon");
}

#[test]
fn a_daemon_that_hangs_is_not_waited_for_longer_than_the_tools_wait() {
    let relay = Process::start_empty("node1", &[]);
    relay.hang();
    let began = Instant::now();
    let said = run(&relay, &["-c", "show proxy-settings r0-node2-node1", "-c", "show"]);
    let took = began.elapsed();
    relay.go_on();
    assert!(said.failure(1).contains("did not answer within 4.5s"));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(run(&relay, &["show"]).text(), "");
}

#[test]
fn the_log_level_is_changed_while_it_runs() {
    let relay = Process::start_empty("node1", &["log.level=error"]);
    // What is asked in vain is logged at debug.
    let set = |level: &str| {
        let lines = relay.log_lines();
        assert_eq!(run(&relay, &["set", "loglevel", level]).text(), "");
        run(&relay, &["-c", "set memlimit x 1M"]).failure(1);
        lines
    };
    relay.until_logged(set("debug"), &["DEBG", "no resource or connection", "\"x\""]);
    // The log is behind, but in order: what is not before the next line does not come.
    let quiet = set("crit");
    let lines = set("debug");
    relay.until_logged(lines, &["DEBG", "no resource or connection"]);
    let log = relay.log().since(quiet);
    let commands: Vec<_> = log.lines().map(|line| line.contains("INFO operator's command")).collect();
    assert_eq!(commands, [true, true, false], "to critical, to debug, and what was asked in vain:\n{log}");
    assert!(log.says(&["log.level, value: critical"]) && log.says(&["log.level, value: debug"]), "{log}");
    assert!(run(&relay, &["set", "loglevel", "loud"]).failure(1).contains("\"loud\" is no level"));
    let set = relay.ctl(&["set", "all", "log.level", "info"]);
    assert_eq!(String::from_utf8_lossy(&set.stdout), "log.level is info\n", "{set:?}");
}

#[test]
fn it_can_be_ended_from_here() {
    let mut relay = Process::start_empty("node1", &[]);
    assert_eq!(run(&relay, &["shutdown"]).text(), "");
    assert_eq!(relay.ended(LIMIT).code(), Some(0));
    run(&relay, &["shutdown"]).failure(3);
}

#[test]
fn lines_are_commands_too() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let add = addition(&block, "r0-node2-node1");
    let said = converse(&relay, format!("\n  \n{add}\nshow\nquit\nshow\n").as_bytes());
    assert_eq!(
        said.text().lines().filter(|line| *line == add).count(),
        1,
        "no prompt, and nothing after quit"
    );
    // The last line needs no end; a failure ends nothing.
    let said = converse(&relay, b"frobnicate\nset memlimit x 1M\nshow");
    assert_eq!((said.status, said.err.lines().count()), (2, 2), "{}", said.err);
    assert!(said.out.starts_with(&add), "{}", said.out);
    assert_eq!(converse(&relay, b"").text(), "");

    let mut chance = Rng::with_seed(seed());
    let mut garbage: Vec<u8> = (0..1 << 20).map(|_| chance.u8(..)).collect();
    garbage.extend_from_slice(b"\nshow\n");
    let said = converse(&relay, &garbage);
    assert_eq!(said.status, 2);
    assert!(said.out.ends_with(&run(&relay, &["show"]).text()), "{}", said.out);
    assert!(said.err.lines().all(|line| line.starts_with("bsr-proxy-ctl: ") && line.len() < 1000));
    assert!(!said.err.contains(|c: char| c.is_control() && c != '\n'), "garbage commands no terminal");
    let endless = vec![b'x'; 3 << 20];
    assert!(converse(&relay, &endless).failure(2).contains("too long for a command"));
}

#[test]
fn on_a_terminal_it_asks() {
    let relay = Process::start_empty("node1", &[]);
    let mut script = Command::new("timeout");
    script
        .env_clear()
        .env("DRX_CONTROL__SOCKET", relay.socket())
        .env("PATH", "/usr/bin:/bin")
        .args(["60", "script"]);
    script.args(["-qec", &bsr_proxy_ctl().display().to_string(), "/dev/null"]);
    let piped = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"frobnicate\nshow\nquit\n");
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(127) {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no script");
        println!("skipped: no script");
        return;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.matches("bsr-proxy-ctl> ").count(), 3, "{text}");
    assert!(text.contains("there is no such command"), "{text}");
    assert_eq!(output.status.code(), Some(0), "what was mistyped is forgotten: {text}");
}

#[test]
fn ten_thousand_arguments_are_no_matter() {
    let relay = Process::start_empty("node1", &[]);
    let many = |command: &'static str| [["-c", command]; 10_000].concat();
    assert_eq!(run(&relay, &many("del connection x")).text(), "");
    run(&relay, &many("frobnicate")).failure(2);
    assert_eq!(run(&relay, &many("")[..1]).failure(2).lines().count(), 1);
    let words = vec!["word"; 10_000];
    assert!(run(&relay, &words).failure(2).len() < 400);
    let long = format!("add connection {}", "x".repeat(120_000));
    run(&relay, &["-c", &long]).failure(2);
    // A request that is too long for the daemon.
    let long = format!("del connection {}", "x".repeat(120_000));
    assert!(run(&relay, &["-c", &long]).failure(1).len() < 1000);
}

#[test]
fn nobody_needs_to_listen() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let add = addition(&block, "r0-node2-node1");
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let arguments = ["-c", "help", "-c", &add, "-c", "show", "-c", "del connection y"];
    let output = program(&bsr_proxy_ctl(), &relay.socket(), arguments).stdout(gone()).output().unwrap();
    assert_eq!(Said::from(output).text(), "");
    assert!(run(&relay, &["show"]).text().contains(&add), "what follows a closed pipe is done");
    let output = program(&bsr_proxy_ctl(), &relay.socket(), ["frobnicate"]).stderr(gone()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    // A full disk is said.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&bsr_proxy_ctl(), &relay.socket(), ["show"]).stdout(full).output().unwrap();
    assert!(Said::from(output).failure(1).contains("cannot write the answer"));
}

#[test]
fn it_is_the_same_program_under_every_name() {
    let (relay, links) = (Process::start_empty("node1", &[]), tempfile::tempdir().unwrap());
    for name in ["bsr-proxy-ctl", "drbd-proxy-ctl"] {
        let link = links.path().join(name);
        symlink(drx_ctl(), &link).unwrap();
        for path in [directory().join(name), link] {
            let said =
                |arguments: &[&str]| Said::from(program(&path, &relay.socket(), arguments).output().unwrap());
            assert!(said(&["-c", "help"]).text().starts_with(&format!("Usage: {name} ")), "{path:?}");
            assert_eq!(said(&["--help"]).text(), said(&["help"]).text());
            assert!(said(&["--version"]).text().starts_with(&format!("{name} of DRX ")));
            assert!(said(&["-c", "x"]).failure(2).starts_with(&format!("{name}: ")));
        }
    }
    let nobody = relay.socket().with_extension("nobody");
    let socket = relay.socket();
    let arguments = [OsStr::new("--socket"), socket.as_os_str(), OsStr::new("show")];
    let said = Said::from(program(&bsr_proxy_ctl(), &nobody, arguments).output().unwrap());
    assert_eq!(said.text(), "", "the option wins over the environment");
}

/// Words that make sense somewhere, and some that never do.
#[test]
fn no_words_do_harm() {
    let (relay, block) = (Process::start_empty("node1", &[]), Block::take());
    let add = addition(&block, "r0-node2-node1");
    run(&relay, &["-c", &add]).text();
    let mut chance = Rng::with_seed(seed());
    let known = "add del set show list print connection memlimit plugin loglevel proxy-settings memusage connections \
                 hconnections subconnections statistics details help quit r0-node2-node1 0 1 END 64M zstd level 4 \
                 127.0.0.1:1 [::1]:1 ::1:1 --memlimit=1M -c -- { } ; \" ' \\ $(id) %s%n \u{1b}[2J \u{202e} info";
    let known: Vec<_> = known.split(' ').map(OsString::from).collect();
    for _ in 0..300 {
        let words = (0..chance.usize(..9)).map(|_| match chance.u8(..12) {
            0 => OsString::from_vec((0..chance.usize(..20)).map(|_| chance.u8(1..)).collect()),
            _ => chance.choice(&known).unwrap().clone(),
        });
        let text = words.collect::<Vec<_>>().join(OsStr::new(if chance.bool() { " " } else { "\n" }));
        let output = program(&bsr_proxy_ctl(), &relay.socket(), [OsStr::new("-c"), &text]).output().unwrap();
        let status = output.status.code();
        assert!(matches!(status, Some(0..=2)), "{text:?}: {output:?}");
        let lines = output.stderr.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, usize::from(status != Some(0)), "{text:?}: {output:?}");
    }
    assert!(run(&relay, &["print", "statistics"]).text().starts_with("relay=node1 "));
}

/// What `print statistics` promises of a channel.
const CHANNEL_KEYS: [&str; 19] = [
    "connection",
    "status",
    "role",
    "lane",
    "type",
    "state",
    "link_up",
    "since",
    "sent",
    "received",
    "memlimit",
    "held",
    "oldest",
    "rtt",
    "restarts",
    "failures",
    "resumes",
    "stale_frames",
    "held_pings",
];
