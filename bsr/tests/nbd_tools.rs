//! The NBD server and the programs that people use with it. One that is not installed is skipped, and it says so; with
//! `REQUIRE_TOOLS=1` that is a failure.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

#[path = "nbd/memory.rs"]
#[allow(dead_code)] // the other tests need the rest
mod memory;

use std::path::Path;
use std::process::{Command, Output};

use drx_bsr::shell::nbd::Address;
use memory::{Fixture, until};

const SIZE: usize = 48 << 20;

/// Runs a program for at most 60 s; none if there is no such program.
async fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    if output.status.code() == Some(127) {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no {program}");
        println!("skipped: no {program}");
        return None;
    }
    Some(output)
}

/// It must succeed: its output.
async fn succeed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = run(program, arguments).await?;
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}\n{err}", output.status);
    Some(out)
}

fn uri(fixture: &Fixture) -> String {
    format!("nbd+unix:///?socket={}", fixture.path().display())
}

/// Blocks, some of them zeros, so that programs have something to skip.
fn content(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; SIZE];
    for chunk in bytes.chunks_mut(64 * 1024) {
        if random.u8(..4) != 0 {
            random.fill(chunk);
        }
    }
    bytes
}

async fn nobody_left(fixture: &Fixture) {
    until("all clients have ended", || fixture.in_use.clients() == 0).await;
    let log = fixture.log.lock().unwrap();
    assert!(!log.iter().any(|line| line.contains("dropped")), "{log:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn qemu_img_reads_writes_and_compares() {
    let fixture = Fixture::start(SIZE);
    let uri = uri(&fixture);
    let Some(info) = succeed("qemu-img", &["info", "--output=json", &uri]).await else { return };
    assert!(info.contains(&format!("\"virtual-size\": {SIZE}")), "{info}");

    let [source, copy] = ["source", "copy"].map(|name| fixture.directory.path().join(name));
    let bytes = content(1);
    std::fs::write(&source, &bytes).unwrap();
    succeed("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", text(&source), &uri]).await;
    assert!(fixture.memory.lock().unwrap().volume == bytes);
    succeed("qemu-img", &["compare", "-f", "raw", "-F", "raw", text(&source), &uri]).await;
    succeed("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, text(&copy)]).await;
    succeed("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", text(&source), text(&copy)]).await;

    // One bit of difference is found.
    fixture.memory.lock().unwrap().volume[SIZE / 2] ^= 1;
    let output = run("qemu-img", &["compare", "-f", "raw", "-F", "raw", text(&source), &uri]).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    nobody_left(&fixture).await;
}

#[tokio::test]
async fn qemu_io_trims_zeroes_and_flushes() {
    let fixture = Fixture::start(SIZE);
    fixture.memory.lock().unwrap().volume.fill(0x77);
    let commands =
        ["write -P 0x11 0 3M", "write -f -P 0x22 3M 512", "discard 1M 1M", "write -z 5M 2M", "flush"];
    let uri = uri(&fixture);
    let mut arguments = vec!["-f", "raw"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.extend(["-c", "read -P 0x11 0 1M", "-c", "read -P 0 5M 2M", &uri]);
    let Some(out) = succeed("qemu-io", &arguments).await else { return };
    assert!(!out.contains("failed"), "{out}");
    let memory = fixture.memory.lock().unwrap();
    assert!(memory.volume[3 << 20..][..512].iter().all(|byte| *byte == 0x22));
    assert_eq!(memory.volume[(3 << 20) + 512], 0x77);
    assert!(memory.volume[5 << 20..7 << 20].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn nbdinfo_sees_what_is_offered() {
    let fixture = Fixture::start(SIZE);
    let Some(info) = succeed("nbdinfo", &["--json", &uri(&fixture)]).await else { return };
    for expected in [
        "\"protocol\": \"newstyle-fixed\"",
        &format!("\"export-size\": {SIZE}"),
        "\"is_read_only\": false",
        "\"can_flush\": true",
        "\"can_fua\": true",
        "\"can_multi_conn\": true",
        "\"can_trim\": true",
        "\"can_zero\": true",
        "\"block_size_minimum\": 512",
        "\"block_size_preferred\": 4096",
        "\"block_size_maximum\": 33554432",
    ] {
        assert!(info.contains(expected), "{expected}: {info}");
    }
    let list = succeed("nbdinfo", &["--list", &uri(&fixture)]).await.unwrap();
    assert!(list.contains("export=\"node1\""), "{list}");

    fixture.export.send_modify(|export| export.primary = false);
    let refused = run("nbdinfo", &[&uri(&fixture)]).await.unwrap();
    assert!(!refused.status.success());
}

#[tokio::test]
async fn nbdcopy_copies_there_and_back_over_several_connections() {
    let fixture = Fixture::start(SIZE);
    let uri = uri(&fixture);
    let [source, copy] = ["source", "copy"].map(|name| fixture.directory.path().join(name));
    let bytes = content(2);
    std::fs::write(&source, &bytes).unwrap();
    std::fs::write(&copy, vec![0xff; SIZE]).unwrap();
    fixture.memory.lock().unwrap().volume.fill(0xff);
    let Some(_) = succeed("nbdcopy", &["--flush", "--connections=4", text(&source), &uri]).await else {
        return;
    };
    assert!(fixture.memory.lock().unwrap().volume == bytes);
    succeed("nbdcopy", &["--connections=4", "--requests=64", &uri, text(&copy)]).await;
    assert!(std::fs::read(&copy).unwrap() == bytes);
    nobody_left(&fixture).await;
}

#[tokio::test]
async fn fio_writes_and_verifies() {
    let fixture = Fixture::start(SIZE);
    let uri = format!("--uri={}", uri(&fixture));
    let state = format!("--aux-path={}", fixture.directory.path().display());
    let arguments = [
        "--name=verify",
        "--ioengine=nbd",
        &uri,
        "--rw=randwrite",
        "--bsrange=512-1M",
        "--iodepth=32",
        "--size=48M",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--fsync=50",
        &state,
    ];
    let Some(out) = succeed("fio", &arguments).await else { return };
    assert!(out.contains("err= 0"), "{out}");
    nobody_left(&fixture).await;
}

#[tokio::test]
async fn they_get_in_at_a_port_too() {
    let at = Address::Tcp("127.0.0.1:0".parse().unwrap());
    let fixture = Fixture::start_at(SIZE, &at, tempfile::tempdir().unwrap());
    let Address::Tcp(at) = fixture.address else { panic!() };
    let Some(size) = succeed("nbdinfo", &["--size", &format!("nbd://{at}/node1")]).await else { return };
    assert_eq!(size.trim(), SIZE.to_string());
}
