//! What is no packet, or none that may be there: said as soon as the header is there, in words that tell what came.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use drx_bsr::wire::command::{CONTROL, MAX_PACKET};
use drx_bsr::wire::*;

/// Version, stream, the bytes, and what is said of them. Features: all.
const REFUSED: &[(u32, Stream, &str, &str)] = &[
    // -- headers
    (
        80,
        DATA,
        "8374 0268 fffe 0048",
        "no packet header of version 80: 83 74 02 68 ff fe 00 48; expected 83 74 02 67",
    ),
    (
        80,
        DATA,
        "835a fffe 0000 0048",
        "no packet header of version 80: 83 5a ff fe 00 00 00 48; expected 83 74 02 67",
    ),
    (
        94,
        DATA,
        "4745 5420 2f20 4854",
        "no packet header of version 94: 47 45 54 20 2f 20 48 54; expected 83 74 02 67 or 83 5a",
    ),
    (
        101,
        DATA,
        "83740267 000e 0004 000088aa 00000000",
        "no packet header of version 101: 83 74 02 67 00 0e 00 04 00 00 88 aa 00 00 00 00; expected 86 20 ec 20",
    ),
    (
        101,
        META,
        "8620ec20 0000 0013 00000000 00000001",
        "packet header with a pad: 86 20 ec 20 00 00 00 13 00 00 00 00 00 00 00 01; expected four zeros at its end",
    ),
    // -- commands
    (101, DATA, "8620ec20 0000 0042 00000130 00000000", "unknown command 0x0042"),
    (101, DATA, "8620ec20 0000 fff2 00000000 00000000", "unknown command 0xfff2"),
    (101, DATA, "8620ec20 0000 0013 00000000 00000000", "P_PING does not belong on the data connection"),
    (101, META, "8620ec20 0000 0000 00000218 00000000", "P_DATA does not belong on the meta connection"),
    (80, DATA, "83740267 000b 0019", "P_PROTOCOL is not spoken with version 80 and features 0x0"),
    (
        101,
        DATA,
        "8620ec20 0000 fffe 00000048 00000000",
        "P_CONNECTION_FEATURES is not spoken with version 101 and features 0xf",
    ),
    (89, DATA, "83740267 000a 0004", "P_SYNC_PARAM is not spoken with version 89 and features 0xf"),
    (88, DATA, "83740267 0023 0084", "P_SYNC_PARAM89 is not spoken with version 88 and features 0xf"),
    (99, DATA, "83740267 002a 0008", "P_CONN_ST_CHG_REQ is not spoken with version 99 and features 0xf"),
    (101, DATA, "8620ec20 0001 0000 00000218 00000000", "P_DATA for volume 1; expected volume 0"),
    (101, META, "8620ec20 ffff 0016 00000018 00000000", "P_WRITE_ACK for volume 65535; expected volume 0"),
    // -- lengths
    (80, DATA, "83740267 fffe 0047", "P_CONNECTION_FEATURES of 71 bytes; expected 72 to 72"),
    (101, DATA, "8620ec20 0000 0000 00000017 00000000", "P_DATA of 23 bytes; expected 24 to 1048664"),
    (101, DATA, "8620ec20 0000 0000 00100059 00000000", "P_DATA of 1048665 bytes; expected 24 to 1048664"),
    (101, DATA, "8620ec20 0000 0000 ffffffff 00000000", "P_DATA of 4294967295 bytes; expected 24 to 1048664"),
    (99, DATA, "835a 0000 00020059", "P_DATA of 131161 bytes; expected 24 to 131160"),
    (94, DATA, "83740267 0000 8059", "P_DATA of 32857 bytes; expected 24 to 32856"),
    (
        101,
        DATA,
        "8620ec20 0000 0002 00000018 00000000",
        "P_RS_DATA_REPLY of 24 bytes; expected 536 to 1048664",
    ),
    (101, DATA, "8620ec20 0000 0004 00000ff8 00000000", "P_BITMAP of 4088 bytes; expected 0 to 4080"),
    (99, DATA, "83740267 0004 1000", "P_BITMAP of 4096 bytes; expected 0 to 4088"),
    (101, DATA, "8620ec20 0000 0024 00000001 00000000", "P_COMPRESSED_BITMAP of 1 bytes; expected 2 to 4080"),
    (
        101,
        DATA,
        "8620ec20 0000 0024 00000ff1 00000000",
        "P_COMPRESSED_BITMAP of 4081 bytes; expected 2 to 4080",
    ),
    (101, META, "8620ec20 0000 0013 00000004 00000000", "P_PING of 4 bytes; expected 0 to 0"),
    (101, DATA, "8620ec20 0000 000c 00000130 00000000", "P_UUIDS of 304 bytes; expected 48 to 48"),
    (101, DATA, "8620ec20 0000 000d 00000020 00000000", "P_SIZES of 32 bytes; expected 56 to 56"),
    (101, DATA, "8620ec20 0000 0010 00000080 00000000", "P_AUTH_CHALLENGE of 128 bytes; expected 64 to 64"),
    (101, DATA, "8620ec20 0000 0011 00000000 00000000", "P_AUTH_RESPONSE of 0 bytes; expected 1 to 64"),
    (101, DATA, "8620ec20 0000 0011 00000041 00000000", "P_AUTH_RESPONSE of 65 bytes; expected 1 to 64"),
    (101, DATA, "8620ec20 0000 0021 00000018 00000000", "P_CSUM_RS_REQUEST of 24 bytes; expected 25 to 88"),
    (101, DATA, "8620ec20 0000 000b 00000018 00000000", "P_PROTOCOL of 24 bytes; expected 25 to 88"),
    (86, DATA, "83740267 000b 0019", "P_PROTOCOL of 25 bytes; expected 24 to 24"),
    (101, DATA, "8620ec20 0000 0023 00000084 00000000", "P_SYNC_PARAM89 of 132 bytes; expected 148 to 156"),
    // -- values
    (
        101,
        DATA,
        "8620ec20 0000 0004 00000004 00000000 00000000",
        "P_BITMAP with a length of 4; expected whole words of 8 bytes",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 0009 00000018 00000000 0000000000000008 ffffffffffffffff 00000000 00000000",
        "P_RS_DATA_REQUEST with size 0; expected whole sectors, up to 1 MiB",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 0008 00000018 00000000 0000000000000008 ffffffffffffffff 00000201 00000000",
        "P_DATA_REQUEST with size 513; expected whole sectors, up to 1 MiB",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 001e 00000018 00000000 0000000000000008 ffffffffffffffff 00100200 00000000",
        "P_OV_REQUEST with size 1049088; expected whole sectors, up to 1 MiB",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 0009 00000018 00000000 0020000000000001 ffffffffffffffff 00001000 00000000",
        "P_RS_DATA_REQUEST with sector 9007199254740993; expected no more than 2^53",
    ),
    (
        101,
        META,
        "8620ec20 0000 0016 00000018 00000000 0000000000000008 ffffffffffffffff 08000001 00000000",
        "P_WRITE_ACK with size 134217729; expected up to 128 MiB",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 0031 0000001c 00000000 0000000000000008 ffffffffffffffff 00000001 00000040 08000200",
        "P_TRIM with size 134218240; expected whole sectors, up to 128 MiB",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 000b 0000001b 00000000 00000003 00000000 00000000 00000000 00000000 00000000 6d6435",
        "P_PROTOCOL with the name 6d 64 35; expected UTF-8 that ends with a NUL",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 000b 0000001c 00000000 00000003 00000000 00000000 00000000 00000000 00000000 6d003500",
        "P_PROTOCOL with the name 6d 00 35 00; expected UTF-8 that ends with a NUL",
    ),
    (
        101,
        DATA,
        "8620ec20 0000 000b 0000001a 00000000 00000003 00000000 00000000 00000000 00000000 00000000 ff00",
        "P_PROTOCOL with the name ff 00; expected UTF-8 that ends with a NUL",
    ),
];

#[test]
fn refused() {
    for (version, stream, hex, said) in REFUSED {
        let mut buffer = bytes(hex);
        let answer = speaking(*version).decode(*stream, &mut buffer);
        assert_eq!(answer.map_err(|wrong| wrong.to_string()), Err((*said).to_owned()), "{hex}");
    }
}

/// A name that fills its field has no NUL; and what is quoted of it stays short.
#[test]
fn a_name_without_an_end() {
    let header = "83740267 0023 0084  000000fa";
    let mut buffer = bytes(&[header, &"61".repeat(64), &"00".repeat(64)].concat());
    let quoted = ["61"; 16].join(" ");
    assert_eq!(
        speaking(94).decode(DATA, &mut buffer).unwrap_err().to_string(),
        format!("P_SYNC_PARAM89 with the name {quoted} ... (64 bytes); expected UTF-8 that ends with a NUL")
    );
}

#[test]
fn features_that_were_not_agreed_upon() {
    for (number, feature) in [
        (0x31_u16, FEATURE_TRIM),
        (0x32, FEATURE_THIN_RESYNC),
        (0x33, FEATURE_THIN_RESYNC),
        (0x34, FEATURE_WRITE_SAME),
        (0x36, FEATURE_ZEROES),
    ] {
        let header = [&[0x86, 0x20, 0xec, 0x20, 0, 0][..], &number.to_be_bytes(), &[0; 8]].concat();
        let mut decoder = Decoder::new();
        decoder.speak(101, 0xf & !feature);
        let wrong = decoder.decode(DATA, &mut BytesMut::from(&header[..])).unwrap_err();
        assert!(matches!(wrong, DecodeError::NotSpoken { .. }), "{wrong}");
        decoder.speak(101, feature);
        let wrong = decoder.decode(DATA, &mut BytesMut::from(&header[..])).unwrap_err();
        assert!(matches!(wrong, DecodeError::Length { .. }), "{wrong}");
    }
}

/// What is not for us is what is about a volume: about the connection, any number will do.
#[test]
fn volumes_of_what_is_about_the_connection() {
    for volume in ["0000", "0007", "ffff"] {
        let mut buffer = bytes(&format!("8620ec20 {volume} 0013 00000000 00000000"));
        assert_eq!(speaking(101).decode(META, &mut buffer), Ok(Some(Packet::Ping)));
    }
}

/// What newer ones send, and what real ones leave in their pads.
#[test]
fn taken_nevertheless() {
    let mut longer = bytes(&["8620ec20 0000 0023 0000009c 00000000  000000fa", &"00".repeat(152)].concat());
    let parameters = SyncParameters { rate: 250, ..SyncParameters::default() };
    assert_eq!(speaking(101).decode(DATA, &mut longer), Ok(Some(Packet::SyncParameters(parameters))));

    let request = "8620ec20 0000 001e 00000018 00000000  0000000000000008 00000000deadbeef 00001000 cafebabe";
    let expected = BlockRequest { sector: 8, block_id: 0xdead_beef, size: 4096 };
    assert_eq!(speaking(101).decode(DATA, &mut bytes(request)), Ok(Some(Packet::VerifyRequest(expected))));

    let ack = "8620ec20 0000 0015 00000018 00000000  0000000000000008 0000000000000001 08000000 00000001";
    let expected = BlockAck { sector: 8, block_id: 1, size: 128 << 20, sequence: 1 };
    let expected = Packet::Ack(AckKind::Received, expected);
    assert_eq!(speaking(101).decode(META, &mut bytes(ack)), Ok(Some(expected)), "of a trim");
}

/// The other node may have agreed before this one: what it then sends on meta waits, if it is not too much.
#[test]
fn meta_before_the_agreement() {
    let mut decoder = Decoder::new();
    let mut buffer = bytes("8620ec20 0000 0013 00000000 00000000");
    assert_eq!(decoder.decode(META, &mut buffer), Ok(None));
    assert_eq!((buffer.len(), decoder.wanted()), (16, 0));
    decoder.speak(101, 0);
    assert_eq!(decoder.decode(META, &mut buffer), Ok(Some(Packet::Ping)));

    let mut flood = BytesMut::zeroed(CONTROL);
    assert_eq!(Decoder::new().decode(META, &mut flood), Ok(None));
    flood.extend_from_slice(&[0]);
    let wrong = Decoder::new().decode(META, &mut flood).unwrap_err();
    assert_eq!(wrong.to_string(), "4097 bytes on the meta connection before any version was agreed upon");
}

/// What is wanted is known and bounded before it comes: first the header, then what it says.
#[test]
fn wanted() {
    let mut decoder = speaking(101);
    assert_eq!(decoder.decode(DATA, &mut BytesMut::new()), Ok(None));
    assert_eq!(decoder.wanted(), 16);
    let mut buffer = bytes("8620ec20 0000 0034 0010005c 000000");
    assert_eq!(decoder.decode(DATA, &mut buffer), Ok(None));
    assert_eq!(decoder.wanted(), 1);
    buffer.extend_from_slice(&[0]);
    assert_eq!(decoder.decode(DATA, &mut buffer), Ok(None));
    assert_eq!(decoder.wanted(), MAX_PACKET - 16, "the largest there is");
}

fn speaking(version: u32) -> Decoder {
    let mut decoder = Decoder::new();
    decoder.speak(version, if version == 80 { 0 } else { 0xf });
    decoder
}

fn bytes(hex: &str) -> BytesMut {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

const DATA: Stream = Stream::Data;
const META: Stream = Stream::Meta;
