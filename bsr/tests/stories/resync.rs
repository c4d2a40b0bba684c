//! Resyncs and verifies, from both ends (bsr-wire B.5, B.7, B.8).

use bytes::Bytes;
use drx_bsr::core::{Order, Request, Settings};
use drx_bsr::digest::Algorithm;
use drx_bsr::metadata::Head;
use drx_bsr::wire::{
    self, AckKind, BlockAck, BlockRequest, Connection, DataBlock, Disk, Packet, Role, Stream, Uuids,
};

use crate::stage::{GENERATION, Stage, ack, good, uuids};

const NEWER: u64 = 0x7777_8888_9999_0000;

/// One that has newer data: the other one is to get blocks 0 to 2.
fn source() -> Stage {
    source_of(Settings::default())
}

fn source_of(settings: Settings) -> Stage {
    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (NEWER, GENERATION);
    let mut stage = Stage::opened(settings, head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
    stage.is(Connection::WFBitMapS);
    stage
}

/// One that has older data.
fn target(settings: Settings) -> Stage {
    let mut stage = Stage::opened(settings, good());
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, Uuids { bitmap: GENERATION, ..uuids(NEWER) });
    stage.is(Connection::WFBitMapT);
    stage
}

/// Three blocks, as plain words.
fn three_blocks() -> [Packet; 2] {
    [Packet::Bitmap(Bytes::copy_from_slice(&7u64.to_le_bytes())), Packet::Bitmap(Bytes::new())]
}

fn is_bitmap(packet: &Packet) -> bool {
    matches!(packet, Packet::Bitmap(_) | Packet::CompressedBitmap(..))
}

#[test]
fn the_source_sends_its_bitmap_at_once_and_begins_when_it_has_the_other() {
    let mut stage = source();
    assert!(stage.sent.iter().any(|(_, packet)| is_bitmap(packet)));
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.is(Connection::SyncSource);
    assert!(
        !stage.sent.iter().any(|(_, packet)| matches!(packet, Packet::SyncUuid(_))),
        "not before it is kept"
    );
    stage.all_done();
    let last = stage.sent.pop_back();
    assert_eq!(last, Some((Stream::Data, Packet::SyncUuid(GENERATION.wrapping_add(1 << 48)))));
    assert_eq!(stage.node.status().out_of_sync, 3 * 4096);

    stage.gets(Packet::ResyncRequest(BlockRequest { sector: 0, block_id: wire::ID_SYNCER, size: 12288 }));
    stage.all_done();
    let reply = stage.sent.pop_back();
    assert!(matches!(reply, Some((_, Packet::ResyncReply(block))) if block.payload.len() == 12288));
    stage.gets(Packet::Ack(
        AckKind::ResyncWritten,
        BlockAck { sector: 0, block_id: wire::ID_SYNCER, size: 12288, sequence: 0 },
    ));
    stage.is(Connection::SyncSource);
    stage.says(Role::Secondary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.is(Connection::Connected);
    assert_eq!(stage.node.status().generations.bitmap, 0);
}

#[test]
fn the_target_sends_its_bitmap_second_and_asks() {
    let mut stage = target(Settings::default());
    assert!(!stage.sent.iter().any(|(_, packet)| is_bitmap(packet)));
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.is(Connection::WFSyncUUID);
    assert!(stage.sent.iter().any(|(_, packet)| is_bitmap(packet)));
    stage.sent.clear();
    stage.gets(Packet::SyncUuid(4711 << 20));
    stage.is(Connection::SyncTarget);
    assert_eq!(stage.state().disk, Disk::Inconsistent);
    let asked = BlockRequest { sector: 0, block_id: wire::ID_SYNCER, size: 12288 };
    assert_eq!(stage.next(), Packet::ResyncRequest(asked));
    let payload = Bytes::from(vec![5; 12288]);
    stage.gets(Packet::ResyncReply(DataBlock { block_id: wire::ID_SYNCER, payload, ..DataBlock::default() }));
    stage.all_done();
    assert!(matches!(stage.next(), Packet::Ack(AckKind::ResyncWritten, ack) if ack.size == 12288));
    assert_eq!(stage.next(), Packet::Ping, "its answer says that the source has the acknowledgement");
    stage.is(Connection::SyncTarget);
    stage.gets(Packet::PingAck);
    stage.all_done();
    stage.is(Connection::Connected);
    assert!(matches!(stage.next(), Packet::State(word) if word.connection() == Some(Connection::Connected)));
    assert_eq!(stage.node.status().generations.current, NEWER);
}

#[test]
fn equal_digests_save_the_data() {
    let mut stage = target(Settings { checksum: Some(Algorithm::Md5), ..Settings::default() });
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.gets(Packet::SyncUuid(4711 << 20));
    stage.sent.clear();
    stage.all_done();
    let Packet::ChecksumRequest(request, digest) = stage.next() else { panic!("a digest") };
    assert_eq!(digest, Algorithm::Md5.digest(&[0; 12288]));
    let ack =
        BlockAck { sector: request.sector, block_id: request.block_id, size: request.size, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::InSync, ack));
    assert_eq!(stage.node.status().out_of_sync, 0);
}

#[test]
fn what_the_source_cannot_read_leaves_the_disk_inconsistent() {
    let mut stage = target(Settings::default());
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.gets(Packet::SyncUuid(4711 << 20));
    let ack = BlockAck { sector: 0, block_id: wire::ID_SYNCER, size: 12288, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::NegativeResync, ack));
    stage.gets(Packet::PingAck);
    stage.is(Connection::Connected);
    assert_eq!(stage.state().disk, Disk::Inconsistent);
    stage.told("could not be resynced");
}

#[test]
fn a_bitmap_that_nobody_waits_for_is_an_error() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(Packet::Bitmap(Bytes::new()));
    stage.told("a bitmap came while Connected");
    assert!(stage.closed);
}

#[test]
fn a_fresh_pair_waits_for_a_primary_by_force() {
    let fresh = Head { size: good().size, ..Head::default() };
    let fresh = Head { generations: drx_bsr::uuid::Generations::just_created(), ..fresh };
    let mut stage = Stage::opened(Settings::default(), fresh);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::Inconsistent, uuids(4));
    stage.is(Connection::Connected);
    let weak = stage.order(Order::Primary { force: false });
    assert!(matches!(stage.result(weak), Some(Err(_))));
    stage.sent.clear();
    let order = stage.order(Order::Primary { force: true });
    assert!(
        matches!(stage.next(), Packet::StateChange(change) if change.mask == 0x1e03 && change.value == 0x1001)
    );
    stage.gets(Packet::StateChangeReply(1));
    stage.all_done();
    assert_eq!(stage.result(order), Some(Ok(())));
    assert!(matches!(stage.next(), Packet::Uuids(uuids) if uuids.current != 4 && uuids.bitmap == 4));
    stage.gets(Packet::Uuids(uuids(4)));
    stage.says(Role::Secondary, Connection::WFBitMapT, Disk::Inconsistent, Disk::UpToDate);
    stage.is(Connection::WFBitMapS);
    assert_eq!(stage.node.status().out_of_sync, crate::stage::VOLUME);
}

#[test]
fn a_verify_finds_what_differs() {
    let settings = Settings { verify: Some(Algorithm::Crc32c), ..Settings::default() };
    let mut stage = Stage::connected(settings);
    stage.order(Order::Verify);
    assert!(
        matches!(stage.next(), Packet::StateChange(change) if change.mask == 0x1f0 && change.value == 0x120)
    );
    stage.gets(Packet::StateChangeReply(1));
    stage.is(Connection::VerifyS);
    for place in 0..64 {
        let Packet::VerifyRequest(request) = stage.next() else { panic!("a request") };
        assert_eq!((request.sector, request.size), (place * 8, 4096));
        let theirs = if place == 5 { [1; 4096] } else { [0; 4096] };
        stage.gets(Packet::VerifyReply(request, Algorithm::Crc32c.digest(&theirs)));
    }
    stage.all_done();
    let results: Vec<u64> = stage
        .sent
        .iter()
        .filter_map(|(_, packet)| match packet {
            Packet::Ack(AckKind::VerifyResult, ack) => Some(ack.block_id),
            _ => None,
        })
        .collect();
    let expected: Vec<u64> = (0..64)
        .map(|place| if place == 5 { wire::VERIFY_OUT_OF_SYNC } else { wire::VERIFY_IN_SYNC })
        .collect();
    assert_eq!(results, expected);
    stage.is(Connection::VerifyS);
    assert_eq!(stage.sent.pop_back(), Some((Stream::Meta, Packet::Ping)));
    stage.gets(Packet::PingAck);
    stage.is(Connection::Connected);
    assert_eq!(stage.node.status().out_of_sync, 4096);
    stage.told("4 KiB differ");
}

/// The state that ends the resync would end the verify.
#[test]
fn a_verify_right_after_a_resync_is_asked_for_after_the_resyncs_end_is_told() {
    let mut stage = source_of(Settings { verify: Some(Algorithm::Crc32c), ..Settings::default() });
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.all_done();
    let written = BlockAck { sector: 0, block_id: wire::ID_SYNCER, size: 12288, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::ResyncWritten, written));
    stage.says(Role::Secondary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.is(Connection::Connected);
    stage.sent.clear();
    stage.order(Order::Verify);
    stage.all_done();
    assert!(matches!(stage.next(), Packet::State(_)), "first what ends the resync");
    assert!(matches!(stage.next(), Packet::StateChange(_)), "then what begins the verify");
}

#[test]
fn a_verify_of_the_others_is_answered_and_counted() {
    let settings = Settings { verify: Some(Algorithm::Crc32c), ..Settings::default() };
    let mut stage = Stage::connected(settings);
    stage.gets(Packet::StateChange(wire::StateChange { mask: 0x1f0, value: 0x120 }));
    assert_eq!(stage.sent.pop_front(), Some((Stream::Meta, Packet::StateChangeReply(1))));
    stage.is(Connection::VerifyT);
    for place in 0..64 {
        let request = BlockRequest { sector: place * 8, block_id: 0xffff, size: 4096 };
        stage.gets(Packet::VerifyRequest(request));
        stage.all_done();
        assert_eq!(stage.next(), Packet::VerifyReply(request, Algorithm::Crc32c.digest(&[0; 4096])));
        let block_id = if place == 9 { wire::VERIFY_OUT_OF_SYNC } else { wire::VERIFY_IN_SYNC };
        stage.gets(Packet::Ack(
            AckKind::VerifyResult,
            BlockAck { sector: place * 8, block_id, size: 4096, sequence: 0 },
        ));
    }
    stage.is(Connection::Connected);
    assert_eq!(stage.node.status().out_of_sync, 4096);
}

/// A primary whose own disk is being overwritten from the other one.
fn primary_target() -> Stage {
    let mut stage = target(Settings::default());
    for packet in three_blocks() {
        stage.gets(packet);
    }
    stage.gets(Packet::SyncUuid(4711 << 20));
    stage.all_done();
    let order = stage.order(Order::Primary { force: false });
    stage.gets(Packet::StateChangeReply(1));
    stage.all_done();
    assert_eq!(stage.result(order), Some(Ok(())));
    assert_eq!(stage.state().disk, Disk::Inconsistent);
    stage.sent.clear();
    stage
}

/// A write is acknowledged by the other node, and a flush has begun that this node's disk has done.
fn written_and_flushed(stage: &mut Stage) -> u64 {
    let write = stage.write(9, 1);
    stage.all_done();
    let sent = stage.next_write();
    stage.gets(Packet::Ack(AckKind::ResyncWritten, ack(&sent)));
    assert_eq!(stage.result(write), Some(Ok(())));
    let flush = stage.request(Request::Flush);
    stage.all_done();
    flush
}

#[test]
fn a_flush_on_a_disk_that_is_not_up_to_date_waits_for_the_other_one() {
    let mut stage = primary_target();
    let flush = written_and_flushed(&mut stage);
    assert_eq!(stage.result(flush), None, "it may be in the other node's cache alone");
    stage.gets(Packet::BarrierAck { barrier: 0, set_size: 1 });
    assert_eq!(stage.result(flush), Some(Ok(())));
    let next = stage.request(Request::Flush);
    stage.all_done();
    assert_eq!(stage.result(next), Some(Ok(())), "nothing was written since");
}

#[test]
fn a_flush_fails_if_the_only_good_disk_is_gone() {
    let mut stage = primary_target();
    let flush = written_and_flushed(&mut stage);
    stage.breaks(Stream::Data);
    assert!(stage.result(flush).is_some_and(|result| result.is_err()), "it may have lost the write");
}
