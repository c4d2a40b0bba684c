//! What a network of namespaces needs of the machine.

use std::path::Path;
use std::process::Command;

/// Whether hosts can be made here. If not, the test that asked is skipped and says why.
///
/// # Panics
/// They cannot, and `REQUIRE_TOOLS` is set.
pub fn are_met() -> bool {
    match missing() {
        None => true,
        Some(missing) => {
            assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "{missing}");
            println!("skipped: {missing}");
            false
        }
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces need root");
    }
    if !Path::new(super::tun::CONTROL).exists() {
        return Some("no /dev/net/tun");
    }
    let there = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
    (!there).then_some("no ip, which is in iproute2")
}
