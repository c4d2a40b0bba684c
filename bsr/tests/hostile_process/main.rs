//! The program, attacked: from the wire, by operators' mistakes, and with files that are not as they were.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

mod attacker;
mod files;
mod flood;
mod operators;
mod program;
mod wire;

use std::net::{SocketAddr, TcpListener};

use program::Program;

/// The address of a victim, and of its peer.
fn addresses() -> [SocketAddr; 2] {
    let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    ports.each_ref().map(|listener| listener.local_addr().unwrap())
}

/// A node with a good disk that looks for its peer, and where it does. It is primary: so what a peer says of its own
/// data is no reason to stop looking.
fn victim(more: &str) -> (Program, [SocketAddr; 2]) {
    let [here, there] = addresses();
    let mut victim = Program::new(0, here, there, more);
    victim.done(&["create", "--size", "4M"]);
    victim.up(&["--standalone"]);
    victim.done(&["primary", "--force"]);
    victim.done(&["fill", "--seed", "3"]);
    victim.done(&["connect"]);
    (victim, [here, there])
}

/// A good peer comes: both become the same within seconds.
#[track_caller]
fn gets_on(victim: &Program, [here, there]: [SocketAddr; 2], more: &str) {
    let mut peer = Program::new(1, there, here, more);
    peer.done(&["create", "--size", "4M"]);
    peer.up(&[]);
    if victim.status()["connection"] == "StandAlone" {
        victim.done(&["connect"]);
    }
    for node in [victim, &peer] {
        node.done(&["wait", "--connection", "Connected", "--disk", "UpToDate/UpToDate", "--timeout", "30"]);
    }
    assert_eq!(victim.done(&["check", "--seed", "3"]), "4194304 bytes are as filled\n");
    peer.done(&["down"]);
    let [one, two] = [victim, &peer].map(|node| std::fs::read(node.path("disk.img")).unwrap());
    assert!(one == two, "both disks are the same");
}
