//! `drx-bsr`, a replication peer in user space.

use std::process::ExitCode;

fn main() -> ExitCode {
    drx_bsr::shell::cli::run(std::env::args_os())
}
