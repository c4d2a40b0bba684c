//! The programs under test, beside the test itself, and of the same sources.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `drxd`.
pub fn drxd() -> PathBuf {
    directory().join("drxd")
}

/// `drx-ctl`.
pub fn drx_ctl() -> PathBuf {
    directory().join("drx-ctl")
}

/// `bsr-proxy-ctl`.
pub fn bsr_proxy_ctl() -> PathBuf {
    directory().join("bsr-proxy-ctl")
}

/// `drx-bsr`.
pub fn drx_bsr() -> PathBuf {
    directory().join("drx-bsr")
}

/// Where the programs are, for a `PATH`: built once per test process, because cargo builds a test without the
/// programs of another package.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // target/PROFILE/deps/TEST-HASH
        let test = env::current_exe().expect("this test is a file");
        let profile = test.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
        if let Some(cargo) = env::var_os("CARGO") {
            build(Command::new(cargo), profile);
        }
        for program in ["drxd", "drx-ctl", "bsr-proxy-ctl", "drbd-proxy-ctl", "drx-bsr"] {
            assert!(
                profile.join(program).is_file(),
                "{program} is not in {profile:?}: run this test with cargo, or build it with \
                 `cargo build -p drx -p drx-bsr --bins` in the same profile"
            );
        }
        profile.to_owned()
    })
}

fn build(mut cargo: Command, profile: &Path) {
    let name = profile.file_name().and_then(|name| name.to_str()).expect("a profile has a name");
    let target = profile.parent().expect("a profile is in a target directory");
    cargo.args(["build", "--quiet", "-p", "drx", "-p", "drx-bsr", "--bins", "--target-dir"]).arg(target);
    if name != "debug" {
        cargo.args(["--profile", name]);
    }
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let built = cargo.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{cargo:?} failed:\n{said}");
}
