//! `drxd demo`.

use std::process::ExitCode;

/// Runs the demo.
pub fn run() -> ExitCode {
    eprintln!("drxd: demo: not built in yet");
    ExitCode::FAILURE
}
