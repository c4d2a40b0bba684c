//! Resource files like those of real clusters, one construct or one mistake each: `resource_files/good` is read
//! without an error, printed and read again; each file of `bad` has exactly the messages beside it. `drbdadm` agrees
//! about all of them, but for those whose first line says `# tools:` and why.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use drx_config::resource_file::tree::Statement;
use drx_config::resource_file::{Reading, parse_text, print, read};

#[test]
fn good_files_are_read_and_printed() {
    for path in corpus("good") {
        let reading = reading(&path);
        assert_eq!(messages(&reading), "", "{}", path.display());
        let printed = print(&reading.statements);
        let again = parse_text("printed", &printed);
        assert_eq!(messages(&again), "", "{}:\n{printed}", path.display());
        assert_eq!(again.statements, reading.statements, "{}:\n{printed}", path.display());
        assert_eq!(print(&again.statements), printed, "{}", path.display());
    }
}

#[test]
fn bad_files_have_their_messages() {
    for path in corpus("bad") {
        let messages = messages(&reading(&path));
        assert_ne!(messages, "", "{}", path.display());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("resource_files/bad");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), messages));
    }
}

/// Line ends, a byte order mark and the letters of comments are no matter.
#[test]
fn the_same_text_in_other_clothes() {
    let plain = reading(Path::new("tests/resource_files/good/two-nodes-8.4.res"));
    for other in ["line-ends-windows.res", "byte-order-mark.res"] {
        let other = reading(&Path::new("tests/resource_files/good").join(other));
        assert_eq!(plain.statements, other.statements);
    }
}

/// Where the real tools read a file, it is good here, and where they do not, it is bad.
#[test]
fn drbdadm_agrees() {
    if !has_tools() {
        return;
    }
    for folder in ["good", "bad"] {
        for path in corpus(folder) {
            let (accepted, said) = ask_drbdadm(&path);
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let excepted = text.trim_start_matches('\u{feff}').starts_with("# tools:");
            let agreed = accepted == (folder == "good");
            assert!(agreed != excepted, "{}: drbdadm accepted: {accepted}\n{said}", path.display());
        }
    }
}

/// Whether `drbdadm` reads a file to its end, on a host that the file names, and what it says.
fn ask_drbdadm(path: &Path) -> (bool, String) {
    let script = format!("hostname '{}' && exec timeout 20 drbdadm -c '{}' dump", host(path), path.display());
    let output = Command::new("unshare").args(["--uts", "sh", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It looks for its addresses when it has read and understood everything else.
    let only_addresses =
        said.contains("not found on this host.") && !said.contains("rror") && !said.contains("eyword");
    (output.status.success() || only_addresses, said)
}

/// The first host of a file that has an address; the tools want to be on one.
fn host(path: &Path) -> String {
    let reading = reading(path);
    let resources = reading.statements.iter().filter(|statement| statement.keyword() == "resource");
    let mut hosts = resources.flat_map(Statement::statements).filter(|statement| statement.keyword() == "on");
    hosts.find_map(|on| on.arguments().first()).map_or("node1".to_owned(), |host| host.text.clone())
}

/// Whether the tools and the right to give a host another name are here.
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

fn reading(path: &Path) -> Reading {
    read(path).unwrap_or_else(|error| panic!("{} {error}", path.display()))
}

fn messages(reading: &Reading) -> String {
    let messages = reading.faults.iter().map(|fault| reading.files.error(fault).to_string());
    messages.collect::<Vec<_>>().join("\n")
}

fn corpus(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new("tests/resource_files").join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "res"));
    paths.sort();
    assert!(paths.len() > 15, "{folder} holds next to nothing");
    paths
}
