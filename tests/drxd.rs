//! The real `drxd`: command line, configuration, what keeps it from starting.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use drx::control::ControlSocket;

/// Exit status, standard output, standard error.
fn drxd(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drxd"));
    let output = command.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

const RESOURCE: &str = r#"
[[resource]]
name    = "r0"
remote  = "node2"
bsr     = "10.77.1.2:7789"
inside  = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer    = "10.77.9.2:7780"
"#;

#[test]
fn a_good_configuration_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let node = file(dir.path(), "node.toml", "[node]\nname = \"node1\"\n");
    let resource = file(dir.path(), "resource.toml", RESOURCE);
    let ok = |line: &str| (0, format!("{line}\n"), String::new());
    assert_eq!(drxd(&["check", &node]), ok("OK: node node1, no resources"));
    assert_eq!(drxd(&["check", &node, &resource]), ok("OK: node node1, 1 resource"));
    assert_eq!(drxd(&["check", &resource, "--set", "node.name=n"]), ok("OK: node n, 1 resource"));
}

#[test]
fn all_errors_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = file(dir.path(), "wrong.toml", "[log]\nlevel = \"loud\"\n[link]\nwindow = \"1\"\n");
    let set = ["--set", "control.sockett=/x"];
    for arguments in [vec!["check", &wrong], vec!["run", "--config", &wrong], vec!["-c", &wrong]] {
        let (status, out, err) = drxd(&[&arguments[..], &set].concat());
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        for part in ["wrong.toml:2:9: log.level: ", "wrong.toml:4:10: link.window: ", "control.sockett: "] {
            assert!(err.contains(part), "{arguments:?}: {err}");
        }
    }
    let missing = dir.path().join("missing.toml");
    let (status, _, err) = drxd(&["check", missing.to_str().unwrap()]);
    assert!(status == 2 && err.contains("missing.toml"), "{err}");
}

#[test]
fn usage_is_status_2() {
    for arguments in [&["check"][..], &["frobnicate"], &["--set", "x"], &["run", "file"]] {
        let (status, out, err) = drxd(arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
    assert_eq!(drxd(&["--version"]).1, format!("drxd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_second_daemon_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.sock");
    let _first = ControlSocket::claim(&path).unwrap();
    let config = file(dir.path(), "drx.toml", &format!("[control]\nsocket = {path:?}\n"));
    let (status, _, err) = drxd(&["-c", &config]);
    assert_eq!(status, 1, "{err}");
    assert!(err.contains(&format!("another daemon has the control socket {path:?}")), "{err}");
}

#[test]
fn a_log_that_cannot_be_written_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("drx.sock");
    let log = dir.path().join("missing/drx.log");
    let text = format!("[control]\nsocket = {socket:?}\n[log]\nfile = {log:?}\n");
    let (status, _, err) = drxd(&["-c", &file(dir.path(), "drx.toml", &text)]);
    assert_eq!(status, 1, "{err}");
    assert!(err.contains(&format!("cannot open the log file {log:?}")), "{err}");
    assert!(!socket.exists(), "the control socket goes with the daemon");
}
