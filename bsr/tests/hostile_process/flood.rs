//! Who sends for ever, and takes nothing.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use drx_bsr::wire::{BlockRequest, Packet, Role, StateChange};

use crate::attacker::{Attacker, Stage};
use crate::program::Program;
use crate::{gets_on, victim};

/// Sends the same again and again without reading anything, until the victim takes no more for a while, or closes.
fn flood(mut stream: &TcpStream, packet: &[u8], victim: &Program, before: u64) {
    let many = packet.repeat((1 << 20) / packet.len() + 1);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end && stream.write_all(&many).is_ok() {
        let now = victim.resident();
        assert!(now < before + MOST, "{before} KiB were enough before, and {now} are not");
    }
}

#[test]
fn pings_whose_answers_nobody_takes() {
    let (victim, addresses) = victim("");
    let before = victim.resident();
    let attacker = Attacker::at(Stage::Connected, addresses[0], None);
    flood(&attacker.meta, &attacker.bytes(&Packet::Ping), &victim, before);
    attacker.thrown_out();
    gets_on(&victim, addresses, "");
}

#[test]
fn reads_whose_data_nobody_takes() {
    let (victim, addresses) = victim("");
    let before = victim.resident();
    let attacker = Attacker::at(Stage::Connected, addresses[0], None);
    let request = BlockRequest { sector: 0, block_id: 1, size: 1 << 20 };
    flood(&attacker.data, &attacker.bytes(&Packet::DataRequest(request)), &victim, before);
    drop(attacker);
    gets_on(&victim, addresses, "");
}

#[test]
fn wishes_whose_answers_nobody_takes() {
    let (victim, addresses) = victim("");
    let before = victim.resident();
    let attacker = Attacker::at(Stage::Connected, addresses[0], None);
    let wish = StateChange { mask: 3, value: Role::Primary as u32 };
    flood(&attacker.data, &attacker.bytes(&Packet::StateChange(wish)), &victim, before);
    drop(attacker);
    gets_on(&victim, addresses, "");
}

/// Each change of the other node's state is saved: no faster than the disk can.
#[test]
fn states_that_change_for_ever() {
    let (victim, addresses) = victim("");
    let before = victim.resident();
    let attacker = Attacker::at(Stage::Connected, addresses[0], None);
    let word = |disk| {
        let connected = drx_bsr::wire::Connection::Connected;
        let word = drx_bsr::wire::StateWord::new(Role::Secondary, Role::Primary, connected, disk, disk);
        attacker.bytes(&Packet::State(word))
    };
    use drx_bsr::wire::Disk;
    let both = [word(Disk::Diskless), word(Disk::Outdated)].concat();
    flood(&attacker.data, &both, &victim, before);
    drop(attacker);
    gets_on(&victim, addresses, "");
}

/// KiB: 64 MiB that wait for the disk, in small pieces, 64 MiB of answers that wait to be taken, 128 MiB of data.
const MOST: u64 = 400 << 10;
