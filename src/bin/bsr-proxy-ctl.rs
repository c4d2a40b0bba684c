//! `bsr-proxy-ctl`, which `bsradm proxy-up` and the like run.

use std::process::ExitCode;

fn main() -> ExitCode {
    drx::ctl::proxy::run("bsr-proxy-ctl", std::env::args_os().skip(1))
}
