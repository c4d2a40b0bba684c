//! What two nodes have to agree upon.

use drx_bsr::core::{Event, Order, Protocol, Settings};
use drx_bsr::digest::Algorithm;
use drx_bsr::wire::{Connection, Disk, Packet, ProtocolSettings, Role, Sizes, SyncParameters, Uuids};

use crate::stage::{GENERATION, Stage, VOLUME, good, uuids};

fn secret() -> Settings {
    Settings { secret: Some((Algorithm::Sha1, b"geheim".to_vec())), ..Settings::default() }
}

#[test]
fn the_highest_version_of_both_is_spoken() {
    for (theirs, agreed) in [(101, 101), (100, 100), (86, 86), (118, 101)] {
        let mut stage = Stage::opened(Settings::default(), good());
        assert!(
            matches!(stage.next(), Packet::Features(features) if features.min == 86 && features.max == 101)
        );
        stage.greet(theirs);
        assert_eq!(stage.version, agreed);
        stage.is(Connection::WFReportParams);
    }
}

#[test]
fn without_a_common_version_it_stands_alone() {
    let mut stage = Stage::opened(Settings { versions: (95, 101), ..Settings::default() }, good());
    stage.greet(94);
    stage.is(Connection::StandAlone);
    stage.told("no common version: the other node speaks 86 to 94, this one 95 to 101");
    assert!(stage.closed && stage.opening.is_none());
}

#[test]
fn all_reports_go_at_once() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.sent.clear();
    stage.greet(101);
    let kinds: Vec<String> = stage.sent.iter().map(|(_, packet)| format!("{packet:?}")).collect();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.split('(').next().expect("a name")).collect();
    assert_eq!(names, ["Protocol", "SyncParameters", "Sizes", "Uuids", "State"]);
}

#[test]
fn the_secret_is_proved_both_ways() {
    let mut stage = Stage::opened(secret(), good());
    stage.greet(101);
    stage.sent.pop_front();
    assert!(matches!(stage.next(), Packet::AuthChallenge(challenge) if *challenge == [1; 64]));
    stage.gets(Packet::AuthChallenge(Box::new([2; 64])));
    let response = |challenge: [u8; 64]| Algorithm::Sha1.hmac(b"geheim", &challenge).expect("a hash");
    assert_eq!(stage.next(), Packet::AuthResponse(response([2; 64])));
    stage.gets(Packet::AuthResponse(response([1; 64])));
    stage.is(Connection::WFReportParams);
}

#[test]
fn a_wrong_secret_ends_alone() {
    let mut stage = Stage::opened(secret(), good());
    stage.greet(101);
    stage.gets(Packet::AuthChallenge(Box::new([2; 64])));
    stage.gets(Packet::AuthResponse(Algorithm::Sha1.hmac(b"anders", &[1; 64]).expect("a hash")));
    stage.is(Connection::StandAlone);
    stage.told("another shared-secret");
}

#[test]
fn its_own_challenge_is_a_loop() {
    let mut stage = Stage::opened(secret(), good());
    stage.greet(101);
    stage.gets(Packet::AuthChallenge(Box::new([1; 64])));
    stage.is(Connection::StandAlone);
    stage.told("leads back here");
}

#[test]
fn a_secret_on_one_side_only() {
    let mut here = Stage::opened(secret(), good());
    here.greet(101);
    here.gets(Packet::Protocol(ProtocolSettings::default()));
    here.is(Connection::StandAlone);
    here.told("no cram-hmac-alg is set there");

    let mut there = Stage::opened(Settings::default(), good());
    there.greet(101);
    there.gets(Packet::AuthChallenge(Box::new([2; 64])));
    there.is(Connection::StandAlone);
    there.told("no cram-hmac-alg is set here");
}

#[test]
fn different_settings_are_named() {
    let own = ProtocolSettings { protocol: Protocol::C as u32, ..ProtocolSettings::default() };
    let cases = [
        (ProtocolSettings { protocol: 1, ..own.clone() }, "protocol is C here and A there"),
        (ProtocolSettings { after_sb_0p: 3, ..own.clone() }, "after-sb-0pri is 0 here and 3 there"),
        (ProtocolSettings { after_sb_1p: 3, ..own.clone() }, "after-sb-1pri"),
        (ProtocolSettings { after_sb_2p: 3, ..own.clone() }, "after-sb-2pri"),
        (
            ProtocolSettings { two_primaries: 1, ..own.clone() },
            "allow-two-primaries is no here and yes there",
        ),
        (
            ProtocolSettings { integrity: "crc32c".into(), ..own.clone() },
            "data-integrity-alg is not set here and crc32c there",
        ),
    ];
    for (theirs, words) in cases {
        let mut stage = Stage::opened(Settings::default(), good());
        stage.greet(101);
        stage.gets(Packet::Protocol(theirs));
        stage.is(Connection::StandAlone);
        stage.told(words);
    }
}

#[test]
fn different_digests_are_named() {
    for (theirs, words) in [
        (
            SyncParameters { verify: "md5".into(), ..SyncParameters::default() },
            "verify-alg is not set here and md5 there",
        ),
        (
            SyncParameters { checksum: "sha1".into(), ..SyncParameters::default() },
            "csums-alg is not set here and sha1 there",
        ),
    ] {
        let mut stage = Stage::opened(Settings::default(), good());
        stage.greet(101);
        stage.gets(Packet::Protocol(ProtocolSettings { protocol: 3, ..ProtocolSettings::default() }));
        stage.gets(Packet::SyncParameters(theirs));
        stage.is(Connection::StandAlone);
        stage.told(words);
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused_by_who_has_the_data() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.greet(101);
    stage.gets(Packet::Protocol(ProtocolSettings { protocol: 3, ..ProtocolSettings::default() }));
    stage.gets(Packet::Sizes(Sizes { disk: VOLUME / 1024, ..Sizes::default() }));
    stage.is(Connection::StandAlone);
    stage.told("the other disk is too small: 131072 bytes, and 262144 are in use here");
}

#[test]
fn the_same_data_needs_no_resync() {
    let stage = Stage::connected(Settings::default());
    assert_eq!((stage.state().disk, stage.state().peer_disk), (Disk::UpToDate, Disk::UpToDate));
}

#[test]
fn unrelated_data_and_split_brain_end_alone() {
    let mut head = good();
    head.generations.history = [0x1000, 0x2000];
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, Uuids { history: [0x3000, 0x4000], ..uuids(0x5550) });
    stage.is(Connection::StandAlone);
    stage.told("no generation of data in common");

    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (0x7777_0000, GENERATION);
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, Uuids { bitmap: GENERATION, ..uuids(0x9999_0000) });
    stage.is(Connection::StandAlone);
    stage.told("split brain");
}

#[test]
fn who_was_told_to_give_in_is_the_target() {
    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (0x7777_0000, GENERATION);
    let mut stage = Stage::new(Settings::default(), head);
    stage.order(Order::Connect { discard_my_data: true });
    stage.open();
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, Uuids { bitmap: GENERATION, ..uuids(0x9999_0000) });
    stage.is(Connection::WFBitMapT);
}

#[test]
fn two_primaries_are_refused() {
    let mut stage = Stage::new(Settings::default(), good());
    stage.order(Order::Primary { force: false });
    stage.order(Order::Connect { discard_my_data: false });
    stage.open();
    stage.greet(101);
    stage.report(Role::Primary, Disk::UpToDate, uuids(GENERATION));
    stage.is(Connection::StandAlone);
}

#[test]
fn what_comes_out_of_turn_ends_the_session() {
    for packet in [
        Packet::State(drx_bsr::wire::StateWord(0)),
        Packet::Barrier(1),
        Packet::BarrierAck { barrier: 1, set_size: 1 },
        Packet::Protocol(ProtocolSettings::default()),
    ] {
        let mut stage = Stage::opened(Settings::default(), good());
        stage.gets(packet);
        stage.is(Connection::WFConnection);
        stage.told("came while Features was waited for");
        assert_eq!(stage.opening, Some(std::time::Duration::from_secs(1)), "a failed handshake pauses");
    }
}

#[test]
fn a_second_pair_of_connections_is_turned_away() {
    let mut stage = Stage::connected(Settings::default());
    stage.handle(Event::Opened { resolve_conflicts: true, challenge: Box::new([3; 64]) });
    assert!(stage.closed);
}
