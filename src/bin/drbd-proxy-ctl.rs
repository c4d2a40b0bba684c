//! `drbd-proxy-ctl`, which `drbdadm proxy-up` and the like run.

use std::process::ExitCode;

fn main() -> ExitCode {
    drx::ctl::proxy::run("drbd-proxy-ctl", std::env::args_os().skip(1))
}
