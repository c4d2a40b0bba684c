//! `drx-ctl`, which talks to a running daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    drx::ctl::run(std::env::args_os())
}
