//! `drx-ctl`, which talks to a running daemon.
fn main() {}
