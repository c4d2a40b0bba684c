//! `resource_files/quirks.txt`: what may be written and what may not, down to single signs, as `drbdadm` itself has it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use drx_config::resource_file::read;

struct Quirk {
    line: usize,
    verdict: String,
    text: String,
}

#[test]
fn quirks_are_read_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for quirk in quirks() {
        let path = folder.path().join("quirk.res");
        fs::write(&path, &quirk.text).unwrap();
        let reading = read(&path).unwrap();
        let expected = matches!(quirk.verdict.as_str(), "both" | "ours");
        if reading.faults.is_empty() != expected {
            let messages = reading.faults.iter().map(|fault| reading.files.error(fault).to_string());
            let messages = messages.collect::<Vec<_>>().join("\n");
            wrong += &format!("line {}: {}:\n{}\n{messages}\n", quirk.line, quirk.verdict, quirk.text);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn drbdadm_has_these_quirks() {
    if !has_tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for quirk in quirks() {
        let (accepted, said) = ask_drbdadm(folder.path(), &quirk.text);
        if accepted != matches!(quirk.verdict.as_str(), "both" | "theirs") {
            wrong += &format!("line {}: {}:\n{}\n{said}\n", quirk.line, quirk.verdict, quirk.text);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn quirks() -> Vec<Quirk> {
    let table = fs::read_to_string("tests/resource_files/quirks.txt").unwrap();
    let lines = table.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let quirks: Vec<_> = lines.map(|(number, line)| quirk(number + 1, line)).collect();
    assert!(quirks.len() > 100, "the table is read");
    quirks
}

fn quirk(line: usize, text: &str) -> Quirk {
    let (verdict, rest) = text.split_once(' ').unwrap();
    assert!(["both", "none", "ours", "theirs"].contains(&verdict), "line {line}");
    let (place, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    // Behind four blanks: why.
    let piece = if matches!(verdict, "ours" | "theirs") { rest.split("    ").next().unwrap() } else { rest };
    let piece = piece.replace("\\n", "\n").replace("\\r", "\r").replace("\\f", "\u{c}");
    let at = |wanted| if place == wanted { piece.as_str() } else { "" };
    let connection = if place == "C" { format!("connection {{ {piece} }}") } else { String::new() };
    let proxies = if place == "P" {
        let inner = "inside 127.0.0.1:7788; outside 127.0.0.1:7780;";
        [
            format!("proxy on node1 {{ {inner} {piece} }}"),
            "proxy on node2 { inside 127.0.0.1:1; outside 127.0.0.1:2; }".to_owned(),
        ]
    } else {
        [String::new(), String::new()]
    };
    let text = if place == "FILE" {
        piece.clone()
    } else {
        assert!(["R", "H", "P", "C"].contains(&place), "line {line}");
        format!(
            "resource r0 {{\n    on node1 {{ node-id 0; address 10.0.0.1:7789; {host} {proxy1} }}\n    \
             on node2 {{ node-id 1; address 10.0.0.2:7789; {proxy2} }}\n    {connection}\n    device minor 0; {resource}\n}}\n",
            host = at("H"),
            proxy1 = proxies[0],
            proxy2 = proxies[1],
            resource = at("R"),
        )
    };
    Quirk { line, verdict: verdict.to_owned(), text }
}

/// Whether `drbdadm` reads a file to its end, and what it says. It goes on to look for volumes and for addresses of
/// this host, which is none of syntax.
fn ask_drbdadm(folder: &Path, text: &str) -> (bool, String) {
    fs::write(folder.join("quirk.res"), text).unwrap();
    let script = "hostname node1 && exec timeout 20 drbdadm -c quirk.res dump";
    let output =
        Command::new("unshare").args(["--uts", "sh", "-c", script]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_syntax = |line: &str| {
        ["Parse error", "expected", "nterminated", "Missing", "reached eof", "Failed to open", "out of range"]
            .iter()
            .any(|sign| line.contains(sign))
    };
    (!said.lines().any(is_syntax), said)
}

fn has_tools() -> bool {
    let script = "hostname drx-test && command -v drbdadm";
    let output = Command::new("unshare").args(["--uts", "sh", "-c", script]).output();
    let there = output.is_ok_and(|output| output.status.success());
    if !there {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no drbdadm, or not root");
        println!("skipped: no drbdadm, or not root");
    }
    there
}
