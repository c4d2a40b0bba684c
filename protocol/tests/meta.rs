//! bsr's packets on meta: exact headers, and that they are followed however they are cut.
#![allow(clippy::unwrap_used)]

use drx_protocol::meta::{Family, Format, Packet, Parser, Strange};
use proptest::prelude::*;

/// The headers that were seen on real wires (bsr-wire B.1, B.4).
#[test]
fn headers() {
    let read = |hex: &str| one(&bytes(hex));
    let packet = |format, volume, command, length| Ok(Packet { format, command, volume, length });
    assert_eq!(read("83740267 0013 0000"), packet(Format::H80, 0, Packet::PING, 0));
    assert_eq!(read("83740267 0015 0018"), packet(Format::H80, 0, 0x15, 24));
    assert_eq!(read("835a 0014 00000000"), packet(Format::H95, 0, Packet::PING_ACK, 0));
    assert_eq!(
        read("8620ec20 ffff fffe 00000048 00000000"),
        packet(Format::H100, 0xffff, Packet::FEATURES, 72)
    );
    assert_eq!(read("8620ec20 0001 0016 00000018 00000000"), packet(Format::H100, 1, 0x16, 24));
}

#[test]
fn what_is_not_understood() {
    let read = |hex: &str| one(&bytes(hex)).unwrap_err();
    assert_eq!(read("00"), Strange::NoPacket { at: 0 });
    assert_eq!(read("83740268 0013 0000"), Strange::NoPacket { at: 0 });
    assert_eq!(read("8620ec20 0000 0016 00000018 00000001"), Strange::Padding { at: 0 });
    assert_eq!(read("83740267 0013 0001"), Strange::LongPing { at: 0 });
    assert_eq!(read("83740267 0015 ffff"), Strange::TooLong { at: 0, length: 0xffff });
    assert_eq!(read("835a 0015 ffffffff"), Strange::TooLong { at: 0, length: u32::MAX });
    assert_eq!(read("8620ec20 0000 0015 80000000 00000000"), Strange::TooLong { at: 0, length: 1 << 31 });
    // The longest that there is, 4096 bytes with its header, and one byte more.
    assert!(one(&bytes("83740267 0015 0ff8")).is_ok());
    assert!(one(&bytes("8620ec20 0000 0015 00000ff0 00000000")).is_ok());
    assert_eq!(read("8620ec20 0000 0015 00000ff1 00000000"), Strange::TooLong { at: 0, length: 0xff1 });
}

#[test]
fn bsr_does_not_go_over_to_another_format() {
    let old = "83740267 0013 0000";
    let new = "8620ec20 ffff 0013 00000000 00000000";
    assert_eq!(all(&bytes(&format!("{old} {new}"))).1, Err(Strange::Changed { at: 8 }));
    assert_eq!(all(&bytes(&format!("{new} {old}"))).1, Err(Strange::Changed { at: 16 }));
    // Below version 100 the length decides.
    let (packets, end) = all(&bytes(&format!("{old} 835a 0013 00000000 {old}")));
    assert_eq!((packets.len(), end), (3, Ok(true)));
}

#[test]
fn nothing_is_followed_behind_what_is_not_understood() {
    let mut parser = Parser::default();
    let junk = bytes("83740267 0014 0000 cafe");
    let mut rest = &junk[..];
    assert!(parser.next(&mut rest).unwrap().is_some());
    let strange = Strange::NoPacket { at: 8 };
    assert_eq!(parser.next(&mut rest), Err(strange));
    let ping = bytes("83740267 0013 0000");
    assert_eq!(parser.next(&mut &ping[..]), Err(strange));
    assert_eq!(strange.to_string(), "no packet that is known begins at byte 8");
}

proptest! {
    /// Packets of any formats that may follow one another come out as they went in, wherever they are cut.
    #[test]
    fn packets_are_followed_however_they_are_cut(
        (family, packets) in stream(),
        cuts in prop::collection::vec(1usize..100, 1..20),
        ending in 0usize..40,
    ) {
        let mut bytes = Vec::new();
        for packet in &packets {
            bytes.extend_from_slice(packet.header().as_ref());
            // A body that looks like a packet itself.
            bytes.extend(packet.header().as_ref().iter().cycle().take(packet.length as usize));
        }
        let whole = bytes.len();
        bytes.truncate(whole.saturating_sub(ending).max(1));
        let mut parser = Parser::default();
        let (mut seen, mut left, mut cuts) = (Vec::new(), &bytes[..], cuts.iter().cycle());
        while !left.is_empty() {
            let (mut piece, rest) = left.split_at(left.len().min(*cuts.next().unwrap()));
            while let Some(packet) = parser.next(&mut piece).unwrap() {
                prop_assert_eq!(parser.family(), Some(family));
                seen.push(packet);
            }
            prop_assert!(piece.is_empty());
            left = rest;
        }
        prop_assert!(packets.starts_with(&seen));
        if bytes.len() == whole {
            prop_assert!(parser.at_boundary() && seen.len() == packets.len());
        }
    }

    #[test]
    fn garbage_is_given_up_and_never_more_than_the_packets_before_it(
        (_, packets) in stream(),
        garbage in prop::collection::vec(any::<u8>().prop_filter("no magic", |byte| !matches!(byte, 0x83 | 0x86)), 1..50),
    ) {
        let mut bytes = Vec::new();
        for packet in &packets {
            bytes.extend_from_slice(packet.header().as_ref());
            bytes.resize(bytes.len() + packet.length as usize, 0x83);
        }
        let at = bytes.len() as u64;
        bytes.extend(garbage);
        prop_assert_eq!(all(&bytes), (packets, Err(Strange::NoPacket { at })));
    }
}

fn stream() -> impl Strategy<Value = (Family, Vec<Packet>)> {
    let packet = |formats: &'static [Format]| {
        let length = prop_oneof![Just(0u32), 0u32..64, Just(4080)];
        (prop::sample::select(formats), any::<u16>(), any::<u16>(), length).prop_map(
            |(format, command, volume, length)| {
                let length = if command == Packet::PING { 0 } else { length };
                let volume = if format == Format::H100 { volume } else { 0 };
                Packet { format, command, volume, length }
            },
        )
    };
    let packets = move |formats| prop::collection::vec(packet(formats), 1..20);
    prop_oneof![
        packets(&[Format::H80, Format::H95]).prop_map(|packets| (Family::Below100, packets)),
        packets(&[Format::H100]).prop_map(|packets| (Family::From100, packets)),
    ]
}

/// All packets, and whether their end is the stream's.
fn all(mut bytes: &[u8]) -> (Vec<Packet>, Result<bool, Strange>) {
    let (mut parser, mut packets) = (Parser::default(), Vec::new());
    loop {
        match parser.next(&mut bytes) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, Ok(parser.at_boundary())),
            Err(strange) => return (packets, Err(strange)),
        }
    }
}

fn one(header: &[u8]) -> Result<Packet, Strange> {
    let packet = Parser::default().next(&mut &header[..])?.unwrap();
    assert_eq!(packet.header().as_ref(), header);
    Ok(packet)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
