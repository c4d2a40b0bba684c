//! The programs that people use with a volume, on one that is replicated through relays. One that is not installed is
//! skipped, and says so; with `REQUIRE_TOOLS=1` that is a failure.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use drx_integration::node::first_difference;

use crate::relayed::{Plan, Relayed};

const BYTES: usize = 24 << 20;

/// Runs a program for at most 60 s; none if there is no such program.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new("timeout").arg("60").arg(program).args(arguments).output().unwrap();
    if output.status.code() == Some(127) {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no {program}");
        println!("skipped: no {program}");
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{errors}", output.status);
    Some(output)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Blocks, some of them zeros, so that programs have something to skip.
fn image(path: &Path, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; BYTES];
    for chunk in bytes.chunks_mut(64 * 1024) {
        if random.u8(..4) != 0 {
            random.fill(chunk);
        }
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_image_is_copied_through() {
    let relayed = Relayed::new(&Plan { bytes: BYTES as u64, ..Plan::default() });
    let uri = format!("nbd+unix:///?socket={}", relayed.nodes[0].nbd_path().display());
    let directory = tempfile::tempdir().unwrap();
    let [source, copy] = ["source", "copy"].map(|name| directory.path().join(name));
    let replicated = |program: &str| {
        relayed.until_both("calm", |report| report.requests == 0 && report.in_flight == 0);
        for volume in relayed.volumes() {
            assert_eq!(first_difference(&volume, &source), None, "{program}, {volume:?}");
        }
    };

    image(&source, 1);
    if run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", text(&source), &uri]).is_some() {
        run("qemu-img", &["compare", "-f", "raw", "-F", "raw", text(&source), &uri]);
        replicated("qemu-img");
    }
    image(&source, 2);
    if run("nbdcopy", &[text(&source), &uri]).is_some() {
        run("nbdcopy", &[&uri, text(&copy)]);
        assert_eq!(first_difference(&copy, &source), None);
        replicated("nbdcopy");
    }
    let job = [
        "--name=kills",
        "--ioengine=nbd",
        "--rw=randwrite",
        "--bsrange=512-128k",
        "--iodepth=16",
        "--size=24m",
        "--io_size=48m",
        "--verify=crc32c",
        "--do_verify=1",
        "--minimal",
        &format!("--uri={uri}"),
        // It keeps a file of what it has verified.
        &format!("--aux-path={}", text(source.parent().unwrap())),
    ];
    run("fio", &job);
    relayed.until_both("calm", |report| report.requests == 0 && report.in_flight == 0);
    let [one, two] = relayed.volumes();
    assert_eq!(first_difference(&one, &two), None, "fio");
    assert!(!relayed.has_lost());
}
