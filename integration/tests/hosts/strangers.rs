//! Who comes from elsewhere: a host of the wide area, and another one beside the node.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use drx_integration::hello::{answer_to, connect_from, hello_to, name};
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::first_packet;
use drx_protocol::handshake::{Answer, Hello, Refusal};
use drx_protocol::names::ChannelType;

use crate::on_both_families;
use crate::world::{Plan, World};

/// It gets nothing from either entrance, the log says where it came from, and nobody else notices.
#[test]
fn a_stranger_gets_nothing_and_is_named() {
    on_both_families(|family| {
        let mut world = World::synced(&Plan { family, ..Plan::default() });
        world.start_load();
        world.write(20);
        let since = world.relays[0].log_lines();
        let relay = &world.relays[0];
        let from = world.network.sites[0].addresses.router;
        let outside = world.places[0].outside;
        let stranger = |bytes: &[u8]| {
            world.network.wan.enter(|| answer_to(&connect_from(from, outside).unwrap(), bytes))
        };

        assert_eq!(stranger(b"GET / HTTP/1.0\r\n\r\n"), None);
        relay.until_logged(since, &["refused: no usable handshake", &format!("from: {}", of(from))]);

        let hello = hello_to(&world.places[0]);
        let elsewhere = Hello { resource: name("r9"), ..hello.clone() };
        let refusal = refused(stranger(&elsewhere.encode()));
        assert_eq!(refusal, Refusal::UnknownResource);
        relay.until_logged(since, &["refused a dial", &of(from), "unknown resource"]);

        let somebody = Hello { from: name("node3"), ..hello };
        assert_eq!(refused(stranger(&somebody.encode())), Refusal::NamesDoNotMatch);
        relay.until_logged(since, &["refused a dial", &of(from), "names do not match"]);

        beside_the_node(&world);
        world.write(20);
        world.stop_load();
        world.compare();
        assert!(!world.has_lost());
    });
}

/// A host in the node's own network that speaks no bsr.
fn beside_the_node(world: &World) {
    let site = &world.network.sites[0];
    let beside: IpAddr = match site.addresses.node {
        IpAddr::V4(_) => "10.77.1.99",
        IpAddr::V6(_) => "fd77:1::99",
    }
    .parse()
    .unwrap();
    site.node.add_address("lan", beside);
    let since = world.relays[0].log_lines();
    let mut stream = site.node.enter(|| connect_from(beside, world.places[0].inside)).unwrap();
    stream.write_all(b"SSH-2.0-").unwrap();
    assert_eq!(rest(&mut stream), Vec::<u8>::new());
    world.relays[0].until_logged(since, &["refused: not a bsr", &of(beside), "53 53 48 2d 32 2e 30 2d"]);
    drop(stream);

    // One that does is let in by the relay, as the address says nothing there; the other node decides.
    let again = || {
        site.node.enter(|| connect_from(beside, world.places[0].inside)).map_err(|error| error.to_string())
    };
    let mut stream = until_ok(LIMIT, again);
    stream.write_all(&first_packet::bytes(ChannelType::Data)).unwrap();
    world.relays[0].until_logged(since, &["from: waiting, to: connected", &of(beside)]);
}

fn refused(answer: Option<Answer>) -> Refusal {
    match answer {
        Some(Answer::Refused(refused)) => refused.refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn rest(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    rest
}

/// As it stands in a log, up to the port.
fn of(ip: IpAddr) -> String {
    if ip.is_ipv4() { format!("{ip}:") } else { format!("[{ip}]:") }
}
