//! What must not happen to data, whatever happens to nodes.

use bytes::Bytes;
use drx_bsr::core::{Action, Event, OnCongestion, Order, Protocol, Settings};
use drx_bsr::wire::{self, Sizes};
use drx_bsr::wire::{AckKind, BlockAck, BlockDescriptor, Connection, DataBlock, Disk, Packet, Role, Stream};

use crate::stage::{GENERATION, Stage, VOLUME, good, uuids};

fn write(block: u64, id: u64, flags: u32) -> Packet {
    let payload = Bytes::from(vec![9; 4096]);
    Packet::Data(DataBlock { sector: block * 8, block_id: id, flags, payload, ..DataBlock::default() })
}

/// The first thing that the disk was told fails.
fn fails(stage: &mut Stage) {
    let Some(Action::Write { token, .. }) = stage.disk.pop_front() else { panic!("no write") };
    stage.handle(Event::DiskDone { token, result: Err("input/output error".to_owned()) });
}

#[test]
fn a_disk_that_missed_a_write_does_not_count_as_good() {
    let mut stage = Stage::connected(Settings::default());
    stage.says(Role::Primary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.gets(write(3, 1, wire::DP_SEND_WRITE_ACK));
    fails(&mut stage);
    assert!(stage.sent.iter().any(|(_, packet)| matches!(packet, Packet::Ack(AckKind::Negative, _))));
    assert_eq!(stage.state().disk, Disk::Inconsistent);
    stage.breaks(Stream::Data);
    let order = stage.order(Order::Primary { force: false });
    assert!(stage.result(order).is_some_and(|result| result.is_err()), "it would show what was overwritten");
}

#[test]
fn an_invalid_disk_is_kept_with_all_blocks_different() {
    let mut stage = Stage::new(Settings::default(), good());
    stage.order(Order::Invalidate);
    for action in &stage.disk {
        let Action::Save(save) = action else { continue };
        let inconsistent = save.head.is_some_and(|head| !head.consistent);
        assert!(
            !inconsistent || !save.pages.is_empty(),
            "a crash would leave a bad disk without a difference"
        );
    }
}

#[test]
fn who_is_ahead_does_not_step_down() {
    let mut settings = Settings { protocol: Protocol::A, ..Settings::default() };
    (settings.on_congestion, settings.congestion_fill) = (OnCongestion::PullAhead, 4096);
    let mut stage = Stage::primary(settings);
    stage.write(3, 1);
    stage.all_done();
    let first = stage.next_write();
    stage.taken();
    stage.write(9, 1);
    stage.all_done();
    stage.is(Connection::Ahead);
    stage.gets(Packet::BarrierAck { barrier: 0, set_size: 1 });
    assert!(stage.node.status().requests == 0, "{first:?}");
    let order = stage.order(Order::Secondary);
    assert_eq!(stage.result(order), None, "the other node has not everything");
    stage.breaks(Stream::Data);
    assert_ne!(stage.node.status().generations.bitmap, 0, "the next connection has to know");
}

#[test]
fn who_goes_ahead_with_nothing_under_way_comes_back() {
    let mut settings = Settings { protocol: Protocol::A, ..Settings::default() };
    (settings.on_congestion, settings.congestion_extents) = (OnCongestion::PullAhead, 1);
    let mut stage = Stage::primary(settings);
    stage.write(3, 1);
    stage.all_done();
    stage.is(Connection::Ahead);
    stage.wait(std::time::Duration::from_secs(2));
    stage.is(Connection::SyncSource);
}

#[test]
fn a_primary_without_a_disk_begins_a_generation_here() {
    let mut stage = Stage::connected(Settings::default());
    stage.says(Role::Primary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.says(Role::Primary, Connection::Connected, Disk::Diskless, Disk::UpToDate);
    let generations = stage.node.status().generations;
    assert_eq!(generations.bitmap, GENERATION, "when it attaches its old disk again, that one is older");
    assert!(
        stage.sent.iter().any(|(_, p)| matches!(p, Packet::Uuids(u) if u.current == generations.current))
    );
}

#[test]
fn a_resync_ends_with_the_targets_disk() {
    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (0x7777_8888_9999_0000, GENERATION);
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
    stage.gets(Packet::Bitmap(Bytes::copy_from_slice(&7u64.to_le_bytes())));
    stage.gets(Packet::Bitmap(Bytes::new()));
    stage.is(Connection::SyncSource);
    stage.says(Role::Secondary, Connection::Connected, Disk::Diskless, Disk::UpToDate);
    stage.is(Connection::Connected);
    assert_eq!(stage.state().peer_disk, Disk::Diskless);
}

#[test]
fn a_resync_that_failed_in_part_ends_on_both_nodes() {
    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (0x7777_8888_9999_0000, GENERATION);
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
    stage.gets(Packet::Bitmap(Bytes::copy_from_slice(&1u64.to_le_bytes())));
    stage.gets(Packet::Bitmap(Bytes::new()));
    stage.all_done();
    let refused = BlockAck { sector: 0, block_id: wire::ID_SYNCER, size: 4096, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::Negative, refused));
    stage.says(Role::Secondary, Connection::Connected, Disk::Inconsistent, Disk::UpToDate);
    stage.is(Connection::Connected);
    assert_eq!((stage.state().peer_disk, stage.node.status().out_of_sync), (Disk::Inconsistent, 4096));
}

#[test]
fn a_primary_to_be_lets_the_last_ones_writes_pass() {
    let mut stage = Stage::connected(Settings { protocol: Protocol::A, ..Settings::default() });
    stage.says(Role::Primary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.gets(write(3, 1, 0));
    stage.gets(Packet::Barrier(0));
    stage.gets(write(3, 2, 0));
    stage.says(Role::Secondary, Connection::Connected, Disk::UpToDate, Disk::UpToDate);
    stage.sent.clear();
    stage.order(Order::Primary { force: false });
    assert!(stage.sent.is_empty(), "the second write is not even begun");
    stage.all_done();
    assert!(stage.sent.iter().any(|(_, packet)| matches!(packet, Packet::StateChange(_))));
}

#[test]
fn what_grew_differs_before_the_size_is_kept() {
    let mut head = good();
    head.agreed = VOLUME / 512 - 80;
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    let half = Sizes { disk: head.agreed, current: head.agreed, max_block: 1 << 20, ..Sizes::default() };
    stage.gets(Packet::Protocol(drx_bsr::wire::ProtocolSettings { protocol: 3, ..Default::default() }));
    stage.gets(Packet::SyncParameters(drx_bsr::wire::SyncParameters::default()));
    stage.gets(Packet::Sizes(half));
    stage.gets(Packet::Uuids(uuids(GENERATION)));
    stage.says(Role::Secondary, Connection::WFConnection, Disk::UpToDate, Disk::Unknown);
    stage.all_done();
    stage.is(Connection::Connected);
    stage.gets(Packet::Sizes(Sizes { disk: VOLUME / 512, ..half }));
    let kept = stage.disk.iter().find_map(|action| match action {
        Action::Save(save) if save.head.is_some_and(|head| head.agreed == VOLUME / 512) => {
            Some(save.pages.len())
        }
        _ => None,
    });
    assert_eq!(kept, Some(1));
}

#[test]
fn a_disk_in_use_is_not_cut_by_one_that_it_never_met() {
    let head = drx_bsr::metadata::Head { agreed: 0, ..good() };
    let mut stage = Stage::opened(Settings::default(), head);
    stage.greet(101);
    stage.gets(Packet::Protocol(drx_bsr::wire::ProtocolSettings { protocol: 3, ..Default::default() }));
    stage.gets(Packet::SyncParameters(drx_bsr::wire::SyncParameters::default()));
    stage.gets(Packet::Sizes(Sizes { disk: VOLUME / 1024, max_block: 1 << 20, ..Sizes::default() }));
    stage.is(Connection::StandAlone);
}

#[test]
fn a_block_written_late_stays_different() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.greet(101);
    let newer = wire::Uuids { bitmap: GENERATION, ..uuids(0x7777_8888_9999_0000) };
    stage.report(Role::Primary, Disk::UpToDate, newer);
    stage.gets(Packet::Bitmap(Bytes::copy_from_slice(&1u64.to_le_bytes())));
    stage.gets(Packet::Bitmap(Bytes::new()));
    stage.gets(Packet::SyncUuid(0x1234_5678_0000));
    stage.is(Connection::SyncTarget);
    stage.all_done();
    let payload = Bytes::from(vec![5; 4096]);
    stage.gets(Packet::ResyncReply(DataBlock { block_id: wire::ID_SYNCER, payload, ..DataBlock::default() }));
    stage.says(Role::Primary, Connection::Ahead, Disk::UpToDate, Disk::Inconsistent);
    stage.gets(Packet::OutOfSync(BlockDescriptor { sector: 0, size: 4096 }));
    stage.all_done();
    assert_eq!(stage.node.status().out_of_sync, 4096, "what came is older than what the source has by now");
}

#[test]
fn a_target_keeps_what_differs_before_it_acknowledges_any_of_it() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.greet(101);
    let newer = wire::Uuids { bitmap: GENERATION, ..uuids(0x7777_8888_9999_0000) };
    stage.report(Role::Secondary, Disk::UpToDate, newer);
    stage.gets(Packet::Bitmap(Bytes::copy_from_slice(&7u64.to_le_bytes())));
    stage.gets(Packet::Bitmap(Bytes::new()));
    stage.gets(Packet::SyncUuid(0x1234_5678_0000));
    let kept = stage.disk.iter().find_map(|action| match action {
        Action::Save(save) => save.pages.first().map(|(_, page)| page[0]),
        _ => None,
    });
    assert_eq!(kept, Some(7), "if the power takes a block that it has acknowledged, nobody else knows of it");
}
