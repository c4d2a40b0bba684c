//! At every stage of a connection: garbage, truncated, oversized, misplaced, silent. The reason is in the log, and a good
//! peer gets on with the node afterwards.

use std::io::Write;

use drx_bsr::wire::header::Header;
use drx_bsr::wire::{AckKind, BlockAck, Command, DataBlock, Packet};

use crate::attacker::{Attacker, Stage, dial};
use crate::program::Program;
use crate::{gets_on, victim};

/// What is done, and the words of the line that tells of it.
type Blow = (&'static str, fn(&mut Attacker), &'static [&'static str]);

/// Strikes a node again and again, always at the same stage.
fn strike(stage: Stage, secret: Option<&str>, blows: &[Blow]) {
    let more = secret
        .map_or(String::new(), |secret| format!("cram-hmac-alg = \"sha1\"\nshared-secret = \"{secret}\""));
    let (victim, addresses) = victim(&more);
    let before = victim.resident();
    for (name, blow, words) in blows {
        println!("{stage:?}: {name}");
        let end = victim.log().len();
        let mut attacker = Attacker::at(stage, addresses[0], secret);
        blow(&mut attacker);
        attacker.thrown_out();
        victim.tells(end, words);
        assert_ne!(victim.status()["connection"], "StandAlone", "{name}");
    }
    small(&victim, before);
    gets_on(&victim, addresses, &more);
}

pub fn small(victim: &Program, before: u64) {
    let now = victim.resident();
    assert!(now < before + MOST, "{before} KiB were enough before, and {now} are not");
}

fn header(attacker: &Attacker, command: Command, length: u32) -> Vec<u8> {
    let version = if attacker.bytes(&Packet::Ping).len() == 16 { 101 } else { 80 };
    let (bytes, size) = Header { command: command.number(), length, volume: 0 }.write(version);
    bytes[16 - size..].to_vec()
}

fn garbage(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..5000).map(|_| random.u8(..)).collect()
}

/// A write that fails is one that was noticed already.
fn on(mut stream: &std::net::TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn garbage_on_data(attacker: &mut Attacker) {
    on(&attacker.data, &garbage(1));
}

fn garbage_on_meta(attacker: &mut Attacker) {
    on(&attacker.meta, &garbage(2));
}

fn silence(_: &mut Attacker) {}

fn half_a_packet_and_silence(attacker: &mut Attacker) {
    on(&attacker.data, &header(attacker, Command::Protocol, 40)[..7]);
}

fn half_a_packet_and_the_end(attacker: &mut Attacker) {
    let block = DataBlock { payload: vec![0; 4096].into(), ..DataBlock::default() };
    let bytes = attacker.bytes(&Packet::Data(block));
    on(&attacker.data, &bytes[..bytes.len() / 2]);
    let _ = attacker.data.shutdown(std::net::Shutdown::Write);
}

fn an_ack_on_data(attacker: &mut Attacker) {
    let ack = Packet::Ack(AckKind::Written, BlockAck::default());
    on(&attacker.data, &attacker.bytes(&ack));
}

fn a_packet_of_256_megabytes(attacker: &mut Attacker) {
    on(&attacker.data, &header(attacker, Command::Data, 256 << 20));
}

const SPOKEN: &[Blow] = &[
    ("garbage on data", garbage_on_data, &["protocol error: data: no packet header of version 101"]),
    ("garbage on meta", garbage_on_meta, &["protocol error: meta: no packet header of version 101"]),
    ("a packet of 256 MiB", a_packet_of_256_megabytes, &["P_DATA of 268435456 bytes; expected 24 to"]),
    ("half a packet, then the end", half_a_packet_and_the_end, &["data: the other side has closed it"]),
    ("an acknowledgement on data", an_ack_on_data, &["P_WRITE_ACK does not belong on the data connection"]),
    (
        "a header of another version",
        |attacker| on(&attacker.meta, b"\x83\x74\x02\x67\x00\x13\0\0\0\0\0\0\0\0\0\0"),
        &["no packet header of version 101: 83 74 02 67", "expected 86 20 ec 20"],
    ),
    (
        "a command that nobody knows",
        |attacker| on(&attacker.data, b"\x86\x20\xec\x20\0\0\x77\x77\0\0\0\0\0\0\0\0"),
        &["unknown command 0x7777"],
    ),
    (
        "another volume",
        |attacker| on(&attacker.data, b"\x86\x20\xec\x20\0\x05\0\x0e\0\0\0\x04\0\0\0\0"),
        &["P_STATE for volume 5; expected volume 0"],
    ),
];

#[test]
fn before_anything_is_said() {
    strike(
        Stage::Opened,
        None,
        &[
            ("garbage on data", garbage_on_data, &["data: no packet header of version 80"]),
            (
                "garbage on meta",
                garbage_on_meta,
                &["bytes on the meta connection before any version was agreed"],
            ),
            ("silence", silence, &["the other node did not say what it speaks in time"]),
            ("half a packet", half_a_packet_and_silence, &["did not say what it speaks in time"]),
            (
                "half a packet, then the end",
                half_a_packet_and_the_end,
                &["P_DATA is not spoken with version 80"],
            ),
            (
                "features of 64 KiB",
                |attacker| on(&attacker.data, &header(attacker, Command::Features, 65_535)),
                &["P_CONNECTION_FEATURES of 65535 bytes; expected 72 to 72"],
            ),
            (
                "an acknowledgement on data",
                an_ack_on_data,
                &["P_WRITE_ACK does not belong on the data connection"],
            ),
            (
                "a header of another version",
                |attacker| on(&attacker.data, b"\x86\x20\xec\x20\0\0\xff\xfe\0\0\0\x48\0\0\0\0"),
                &["no packet header of version 80: 86 20 ec 20", "expected 83 74 02 67"],
            ),
        ],
    );
}

#[test]
fn before_the_secret() {
    strike(Stage::Greeted, Some("geheim"), SPOKEN);
}

#[test]
fn a_wrong_secret_stands_alone() {
    let more = "cram-hmac-alg = \"sha1\"\nshared-secret = \"geheim\"";
    let (victim, addresses) = victim(more);
    let mut attacker = Attacker::at(Stage::Greeted, addresses[0], None);
    attacker.say(&Packet::AuthChallenge(Box::new([3; 64])));
    attacker.say(&Packet::AuthResponse(vec![0; 20].into()));
    attacker.thrown_out();
    victim.tells(0, &["authentication failed: the other node has another shared-secret"]);
    victim.done(&["wait", "--connection", "StandAlone"]);
    gets_on(&victim, addresses, more);
}

#[test]
fn before_the_reports() {
    let blows = [
        ("silence", silence as fn(&mut Attacker), &["no answer to a ping in 0.5 s"][..]),
        ("half a packet", half_a_packet_and_silence, &["no answer to a ping in 0.5 s"]),
        (
            "a write",
            |attacker| {
                attacker
                    .say(&Packet::Data(DataBlock { payload: vec![0; 512].into(), ..DataBlock::default() }))
            },
            &["Data came while Settings was waited for"],
        ),
    ];
    strike(Stage::Authenticated, Some("geheim"), &[SPOKEN, &blows].concat());
}

#[test]
fn while_connected() {
    let blows = [
        ("silence", silence as fn(&mut Attacker), &["no answer to a ping in 0.5 s"][..]),
        ("half a packet", half_a_packet_and_silence, &["no answer to a ping in 0.5 s"]),
        (
            "a write to a primary",
            |attacker| {
                attacker
                    .say(&Packet::Data(DataBlock { payload: vec![0; 512].into(), ..DataBlock::default() }))
            },
            &["a write came, but this node is primary"],
        ),
        (
            "a bitmap",
            |attacker| attacker.say(&Packet::Bitmap(vec![0xff; 128].into())),
            &["a bitmap came while Connected"],
        ),
        (
            "an acknowledgement of nothing",
            |attacker| {
                let ack = BlockAck { sector: 8, block_id: 77, size: 4096, sequence: 0 };
                on(&attacker.meta, &attacker.bytes(&Packet::Ack(AckKind::Written, ack)));
            },
            &["acknowledges no write of this node"],
        ),
        (
            "a second handshake",
            |attacker| attacker.say(&Packet::AuthChallenge(Box::new([0; 64]))),
            &["a packet of the handshake on Data, after it"],
        ),
    ];
    strike(Stage::Connected, None, &[SPOKEN, &blows].concat());
}

/// What comes instead of a first packet, and many connections that say nothing.
#[test]
fn thousands_of_strangers() {
    let (victim, addresses) = victim("");
    let (before, files) = (victim.resident(), victim.files());
    let strangers: [&[u8]; 5] =
        [b"", b"GET / HTTP/1.0\r\n\r\n", b"\x83\x74\x02", &[0; 8], b"\x83\x74\x02\x67\xff\xf3\0\0"];
    let mut open = Vec::new();
    for n in 0..2000 {
        let Ok(stream) = dial(addresses[0], strangers[n % strangers.len()]) else { continue };
        open.push(stream);
        if open.len() > 300 {
            open.drain(..100);
        }
        assert!(victim.files() < files + 64, "it holds few of them at a time");
    }
    drop(open);
    victim.tells(0, &["error receiving initial packet from 127.0.0.1"]);
    victim.tells(0, &["more like it are not told until the next attempt"]);
    small(&victim, before);
    gets_on(&victim, addresses, "");
}

/// One connection only, again and again.
#[test]
fn whoever_opens_half_of_it() {
    let (victim, addresses) = victim("");
    let before = victim.resident();
    let channels: [&[u8]; 2] = [b"\x83\x74\x02\x67\xff\xf2\0\0", b"\x83\x74\x02\x67\xff\xf1\0\0"];
    for n in 0..500 {
        let _ = dial(addresses[0], channels[usize::from(n % 7 == 0)]);
    }
    small(&victim, before);
    gets_on(&victim, addresses, "");
}

/// KiB: of what a peer sends 64 MiB may wait to be written, and 64 MiB of answers to be sent; nothing of it here.
const MOST: u64 = 32 << 10;
