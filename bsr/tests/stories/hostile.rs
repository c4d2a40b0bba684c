//! A peer that says what no good node would say, or more than it should.

use std::time::Duration;

use drx_bsr::core::{Order, Settings};
use drx_bsr::digest::Algorithm;
use drx_bsr::wire::{
    AckKind, BlockAck, BlockDescriptor, Connection, DataBlock, Disk, ID_SYNCER, Packet, Role, StateChange,
    Stream, Uuids,
};

use crate::stage::{GENERATION, Stage, VOLUME, good, uuids};

fn verifying() -> Settings {
    Settings { verify: Some(Algorithm::Crc32c), ..Settings::default() }
}

fn whole_resync() -> Uuids {
    // The other one has been primary without this one since.
    Uuids { current: 0x42, bitmap: GENERATION, ..Uuids::default() }
}

/// Connected as the target of a resync, all of it asked for.
fn target(settings: Settings) -> Stage {
    let mut stage = Stage::opened(settings, good());
    stage.greet(101);
    stage.report(Role::Primary, Disk::UpToDate, whole_resync());
    stage.gets(Packet::Bitmap(vec![0xff; 8].into()));
    stage.gets(Packet::Bitmap(Vec::new().into()));
    stage.gets(Packet::SyncUuid(0x43));
    stage.all_done();
    stage.is(Connection::SyncTarget);
    stage
}

fn block(sector: u64, bytes: usize) -> DataBlock {
    let payload = vec![1; bytes].into();
    DataBlock { sector, block_id: ID_SYNCER, payload, ..DataBlock::default() }
}

#[test]
fn what_the_disk_still_does_for_sessions_that_are_over_counts() {
    let mut stage = Stage::connected(Settings::default());
    for _ in 0..4 {
        stage.gets(Packet::StateChange(StateChange { mask: 3, value: Role::Primary as u32 }));
        stage.gets(Packet::Data(block(0, 128 << 10)));
        stage.breaks(Stream::Data);
        stage.open();
        stage.greet(101);
        stage.report(Role::Primary, Disk::UpToDate, uuids(GENERATION));
        stage.is(Connection::Connected);
    }
    assert!(stage.node.backlog() >= 4 * (128 << 10), "{}", stage.node.backlog());
    stage.all_done();
    assert_eq!(stage.node.backlog(), 0);
}

#[test]
fn what_is_to_be_saved_because_of_what_a_peer_says_counts() {
    let mut stage = Stage::connected(Settings::default());
    for n in 0..1000 {
        let role = if n % 2 == 0 { Role::Primary } else { Role::Secondary };
        stage.says(role, Connection::Connected, Disk::Diskless, Disk::UpToDate);
    }
    assert!(stage.disk.len() > 500, "each is a change to be saved");
    assert!(stage.node.backlog() >= stage.disk.len() as u64 * 512, "{}", stage.node.backlog());
    stage.all_done();
    assert_eq!(stage.node.backlog(), 0);
}

#[test]
fn writes_for_a_peer_without_a_disk_count_with_what_they_save() {
    let mut stage = Stage::connected(Settings::default());
    stage.says(Role::Primary, Connection::Connected, Disk::Diskless, Disk::UpToDate);
    stage.all_done();
    for n in 0..16 {
        stage.gets(Packet::Data(block(n * 8, 512)));
    }
    let memory: u64 = stage
        .disk
        .iter()
        .map(|action| match action {
            drx_bsr::core::Action::Save(save) => save.pages.len() as u64 * 4096,
            _ => 512,
        })
        .sum();
    assert!(memory > 16 * 4096 && stage.node.backlog() >= memory, "{memory}, {}", stage.node.backlog());
    stage.all_done();
    assert_eq!(stage.node.backlog(), 0);
}

#[test]
fn reports_that_never_end_are_not_waited_for() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.greet(101);
    stage.is(Connection::WFReportParams);
    for _ in 0..40 {
        stage.wait(Duration::from_secs(1));
        if stage.closed {
            break;
        }
        stage.taken();
        stage.gets(Packet::Ping);
    }
    stage.is(Connection::WFConnection);
    stage.told("the other node did not say what it has in 30 s");
    assert!(stage.now <= Duration::from_secs(31));
}

#[test]
fn two_targets_of_one_resync_stand_alone() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, whole_resync());
    stage.is(Connection::WFBitMapT);
    stage.says(Role::Secondary, Connection::WFBitMapT, Disk::Outdated, Disk::UpToDate);
    stage.is(Connection::StandAlone);
    stage.told("both nodes would be the resync's target");
}

#[test]
fn nobody_is_ahead_of_a_primary_or_without_being_one() {
    let mut stage = Stage::primary(Settings::default());
    stage.says(Role::Secondary, Connection::Ahead, Disk::UpToDate, Disk::Consistent);
    stage.told("the other node is ahead, but not the one that is written to");
    assert_eq!(stage.state().disk, Disk::UpToDate, "its data is as good as before");
    let mut stage = Stage::connected(Settings::default());
    stage.says(Role::Secondary, Connection::Ahead, Disk::UpToDate, Disk::Consistent);
    stage.is(Connection::WFConnection);
}

/// An answer that comes when it holds no longer: an inconsistent disk would become one that is up to date.
#[test]
fn a_verify_that_is_agreed_to_too_late_does_not_begin() {
    let mut stage = Stage::connected(verifying());
    let order = stage.order(Order::Verify);
    stage.gets(Packet::StateChange(StateChange { mask: 0x1f0, value: 11 << 4 })); // it wants to be the source
    stage.is(Connection::WFSyncUUID);
    stage.gets(Packet::StateChangeReply(1));
    assert_eq!(stage.state().disk, Disk::Inconsistent);
    stage.told("it agrees to Verify, but this node is WFSyncUUID now");
    assert!(stage.result(order).is_some_and(|result| result.is_err()));
}

#[test]
fn a_peer_without_good_data_is_no_source() {
    let mut stage = Stage::connected(Settings::default());
    stage.says(Role::Secondary, Connection::Connected, Disk::Inconsistent, Disk::UpToDate);
    stage.gets(Packet::StateChange(StateChange { mask: 0x1f0, value: 11 << 4 }));
    stage.is(Connection::Connected);
    assert_eq!(stage.state().disk, Disk::UpToDate);
    stage.told("refused the other node's wish");
}

#[test]
fn only_a_source_believes_that_its_blocks_were_written() {
    let mut stage = Stage::connected(verifying());
    stage.says(Role::Secondary, Connection::Connected, Disk::Diskless, Disk::UpToDate);
    stage.gets(Packet::StateChange(StateChange { mask: 3, value: Role::Primary as u32 }));
    stage.gets(Packet::Data(block(0, 4096)));
    assert_eq!(stage.node.status().out_of_sync, 4096);
    let ack = BlockAck { sector: 0, block_id: ID_SYNCER, size: 4096, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::ResyncWritten, ack));
    assert_eq!(stage.node.status().out_of_sync, 4096);
}

#[test]
fn a_resync_that_failed_on_the_other_disk_is_not_done() {
    let settings = Settings { versions: (86, 95), ..Settings::default() };
    let mut head = good();
    (head.generations.current, head.generations.bitmap) = (0x42, GENERATION);
    let mut stage = Stage::opened(settings, head);
    stage.greet(95);
    stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
    stage.is(Connection::WFBitMapS);
    stage.gets(Packet::Bitmap(vec![1, 0, 0, 0, 0, 0, 0, 0].into()));
    stage.gets(Packet::Bitmap(Vec::new().into()));
    stage.is(Connection::SyncSource);
    let ack = BlockAck { sector: 0, block_id: ID_SYNCER, size: 4096, sequence: 0 };
    stage.gets(Packet::Ack(AckKind::Negative, ack));
    stage.is(Connection::Connected);
    let status = stage.node.status();
    assert_eq!((status.state.peer_disk, status.out_of_sync), (Disk::Inconsistent, 4096));
    assert_ne!(status.generations.bitmap, 0, "the bitmap still tells the differences");
}

/// A source that does not keep up goes ahead in the midst of a resync: what it says is out of sync from then on must not
/// be cleared by what this node still writes of that resync.
#[test]
fn two_resyncs_of_a_session_do_not_mix() {
    let mut stage = target(Settings::default());
    stage.gets(Packet::ResyncReply(block(0, 128 << 10)));
    stage.says(Role::Primary, Connection::Ahead, Disk::UpToDate, Disk::Consistent);
    stage.is(Connection::Behind);
    stage.gets(Packet::OutOfSync(BlockDescriptor { sector: 0, size: 4096 }));
    stage.gets(Packet::ResyncReply(block(256, 128 << 10))); // sent before it heard of that
    stage.is(Connection::Behind);
    stage.gets(Packet::SyncUuid(0x44));
    stage.is(Connection::SyncTarget);
    stage.sent.clear();
    stage.all_done();
    assert_eq!(stage.node.status().out_of_sync, VOLUME, "nothing is in sync before it is asked for again");
    let ack = BlockAck { sector: 0, block_id: ID_SYNCER, size: 128 << 10, sequence: 0 };
    assert!(stage.sent.contains(&(Stream::Meta, Packet::Ack(AckKind::Negative, ack))));
    stage.gets(Packet::ResyncReply(block(0, 128 << 10)));
    stage.all_done();
    assert_eq!(stage.node.status().out_of_sync, VOLUME / 2);
}

/// The second one might overwrite what was written there since.
#[test]
fn an_answer_of_a_resync_comes_once() {
    let mut stage = target(Settings::default());
    stage.gets(Packet::ResyncReply(block(0, 128 << 10)));
    stage.gets(Packet::ResyncReply(block(0, 128 << 10)));
    stage.told("a resync of 131072 bytes at sector 0 came, which nobody asked for");
}
