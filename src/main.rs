//! `drxd`, the relay daemon.
fn main() {}
