//! Writes of either node (bsr-wire B.6).

use bytes::Bytes;
use drx_bsr::core::{Action, OnCongestion, Order, Protocol, Request, Settings};
use drx_bsr::digest::Algorithm;
use drx_bsr::wire::{self, AckKind, Connection, DataBlock, Disk, Packet, Role, Stream};

use crate::stage::{GENERATION, Stage, ack, good, uuids};

fn protocol(protocol: Protocol) -> Settings {
    Settings { protocol, ..Settings::default() }
}

fn block(block: u64, id: u64, flags: u32) -> Packet {
    let payload = Bytes::from(vec![9; 4096]);
    Packet::Data(DataBlock { sector: block * 8, block_id: id, flags, payload, ..DataBlock::default() })
}

#[test]
fn c_waits_for_both_disks() {
    let mut stage = Stage::primary(Settings::default());
    let write = stage.write(3, 1);
    assert!(stage.sent.is_empty(), "not before the activity log has it");
    assert!(matches!(stage.done(), Action::Save(save) if save.activity.is_some()));
    let block = stage.next_write();
    assert_eq!((block.sector, block.flags), (24, wire::DP_SEND_WRITE_ACK));
    stage.all_done();
    stage.taken();
    assert_eq!(stage.result(write), None);
    stage.gets(Packet::Ack(AckKind::Written, ack(&block)));
    assert_eq!(stage.result(write), Some(Ok(())));
    assert_eq!(stage.next(), Packet::Barrier(0), "an application has seen it: what follows comes after it");
}

#[test]
fn b_waits_for_the_other_nodes_memory_and_a_for_tcp() {
    let mut stage = Stage::primary(protocol(Protocol::B));
    let write = stage.write(3, 1);
    stage.all_done();
    let block = stage.next_write();
    assert_eq!(block.flags, wire::DP_SEND_RECEIVE_ACK);
    stage.gets(Packet::Ack(AckKind::Received, ack(&block)));
    assert_eq!(stage.result(write), Some(Ok(())));

    let mut stage = Stage::primary(protocol(Protocol::A));
    let write = stage.write(3, 1);
    stage.all_done();
    assert_eq!(stage.next_write().flags, 0);
    assert_eq!(stage.result(write), None);
    stage.taken();
    assert_eq!(stage.result(write), Some(Ok(())));
}

#[test]
fn until_its_epoch_is_acknowledged_a_write_may_be_lost() {
    for (acknowledged, differs) in [(false, 4096), (true, 0)] {
        let mut stage = Stage::primary(Settings::default());
        stage.write(3, 1);
        stage.all_done();
        let block = stage.next_write();
        stage.gets(Packet::Ack(AckKind::Written, ack(&block)));
        if acknowledged {
            stage.gets(Packet::BarrierAck { barrier: 0, set_size: 1 });
        }
        stage.breaks(Stream::Meta);
        assert_eq!(stage.node.status().out_of_sync, differs);
    }
}

#[test]
fn an_epoch_with_another_number_of_writes_is_an_error() {
    let mut stage = Stage::primary(Settings::default());
    stage.write(3, 1);
    stage.all_done();
    let block = stage.next_write();
    stage.gets(Packet::Ack(AckKind::Written, ack(&block)));
    stage.gets(Packet::BarrierAck { barrier: 0, set_size: 2 });
    stage.told("2 writes of epoch 0 are acknowledged, but 1 of epoch 0 were to be");
    assert!(stage.closed);
}

#[test]
fn a_refused_write_is_done_here_and_known_to_differ() {
    let mut stage = Stage::primary(Settings::default());
    let write = stage.write(3, 2);
    stage.all_done();
    let block = stage.next_write();
    stage.gets(Packet::Ack(AckKind::Negative, ack(&block)));
    assert_eq!(stage.result(write), Some(Ok(())));
    assert_eq!(stage.node.status().out_of_sync, 8192);
}

#[test]
fn two_writes_to_one_place_go_one_after_the_other() {
    let mut stage = Stage::primary(Settings::default());
    stage.write(3, 2);
    stage.all_done();
    let first = stage.next_write();
    let second = stage.write(4, 1);
    stage.all_done();
    assert!(stage.sent.is_empty());
    stage.gets(Packet::Ack(AckKind::Written, ack(&first)));
    stage.all_done();
    assert_eq!(stage.next(), Packet::Barrier(0));
    let block = stage.next_write();
    stage.gets(Packet::Ack(AckKind::Written, ack(&block)));
    assert_eq!(stage.result(second), Some(Ok(())));
}

#[test]
fn the_digest_goes_with_the_data() {
    let mut stage = Stage::primary(Settings { integrity: Some(Algorithm::Crc32c), ..Settings::default() });
    stage.write(3, 1);
    stage.all_done();
    let block = stage.next_write();
    assert_eq!(block.digest, Algorithm::Crc32c.digest(&block.payload));
}

#[test]
fn a_changed_write_ends_the_session() {
    let mut stage = Stage::connected(Settings { integrity: Some(Algorithm::Crc32c), ..Settings::default() });
    stage.gets(block(1, 77, wire::DP_SEND_WRITE_ACK));
    stage.told("the crc32c of a write at sector 8 is wrong");
    assert!(stage.closed && stage.disk.iter().all(|action| !matches!(action, Action::Write { .. })));
}

#[test]
fn a_peers_write_is_acknowledged_as_it_wants() {
    for (flags, early, late) in [
        (0, None, None),
        (wire::DP_SEND_RECEIVE_ACK, Some(AckKind::Received), None),
        (wire::DP_SEND_WRITE_ACK, None, Some(AckKind::Written)),
    ] {
        let mut stage = Stage::connected(Settings::default());
        stage.gets(block(1, 77, flags));
        let kind = |packet: Option<(Stream, Packet)>| match packet {
            Some((Stream::Meta, Packet::Ack(kind, ack)))
                if ack.block_id == 77 && ack.sector == 8 && ack.size == 4096 =>
            {
                Some(kind)
            }
            None => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(stage.sent.pop_front()), early);
        stage.all_done();
        assert_eq!(kind(stage.sent.pop_front()), late);
    }
}

#[test]
fn an_epoch_is_acknowledged_when_it_is_stable_and_the_next_one_waits_for_it() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(block(1, 1, 0));
    stage.gets(block(2, 2, 0));
    stage.gets(Packet::Barrier(0xabcd));
    stage.gets(block(3, 3, 0));
    let kinds: Vec<Action> = (0..3).map(|_| stage.done()).collect();
    assert!(
        matches!(&kinds[..], [Action::Write { .. }, Action::Write { .. }, Action::Flush { .. }]),
        "{kinds:?}"
    );
    assert_eq!(
        stage.sent.pop_front(),
        Some((Stream::Meta, Packet::BarrierAck { barrier: 0xabcd, set_size: 2 }))
    );
    assert!(matches!(stage.done(), Action::Write { .. }));
}

/// With protocol B an application takes it for kept then: if the session ends now, this disk has to get it.
#[test]
fn what_waits_for_its_epoch_is_not_received_yet() {
    let mut stage = Stage::connected(protocol(Protocol::B));
    stage.gets(block(1, 1, wire::DP_SEND_RECEIVE_ACK));
    stage.gets(Packet::Barrier(0));
    stage.gets(block(2, 2, wire::DP_SEND_RECEIVE_ACK));
    let received = |stage: &mut Stage| {
        let ids = stage.sent.drain(..).filter_map(|(_, packet)| match packet {
            Packet::Ack(AckKind::Received, ack) => Some(ack.block_id),
            _ => None,
        });
        ids.collect::<Vec<_>>()
    };
    assert_eq!(received(&mut stage), [1]);
    stage.done();
    stage.done();
    assert_eq!(received(&mut stage), [2], "the first epoch is stable, the second one is begun");
    stage.breaks(Stream::Data);
    assert!(stage.disk.iter().any(|action| matches!(action, Action::Write { offset: 8192, .. })));
}

#[test]
fn a_write_through_is_acknowledged_when_it_is_stable() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(block(1, 77, wire::DP_SEND_WRITE_ACK | wire::DP_FUA));
    assert!(matches!(stage.done(), Action::Write { .. }));
    assert!(stage.sent.is_empty());
    assert!(matches!(stage.done(), Action::Flush { .. }));
    assert!(matches!(stage.next(), Packet::Ack(AckKind::Written, ack) if ack.block_id == 77));
}

#[test]
fn an_empty_epoch_is_not_acknowledged() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(Packet::Barrier(1));
    assert!(stage.sent.is_empty() && stage.disk.is_empty());
}

#[test]
fn a_primary_takes_no_writes() {
    let mut stage = Stage::primary(Settings::default());
    stage.gets(block(1, 1, 0));
    stage.told("a write came, but this node is primary");
    assert!(stage.closed);
}

#[test]
fn a_write_beyond_the_end_ends_the_session() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(block(64, 1, 0));
    stage.told("is not within 262144 bytes");
    assert!(stage.closed && stage.disk.iter().all(|action| matches!(action, Action::Save(_))));
}

#[test]
fn only_a_primary_is_written_to() {
    let mut stage = Stage::connected(Settings::default());
    let write = stage.write(0, 1);
    assert!(matches!(stage.result(write), Some(Err(why)) if why.contains("not primary")));
    let mut stage = Stage::primary(Settings::default());
    for offset in [64 * 4096, 100, u64::MAX - 511] {
        let data = Bytes::from(vec![0; 512]);
        let write = stage.request(Request::Write { offset, data, fua: false });
        assert!(matches!(stage.result(write), Some(Err(why)) if why.contains("whole sectors")));
    }
}

#[test]
fn a_bad_disk_reads_from_the_other_one() {
    let mut head = good();
    (head.consistent, head.was_up_to_date) = (false, false);
    let mut stage = Stage::opened(Settings { resync_window: 4096, ..Settings::default() }, head);
    stage.greet(101);
    stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
    stage.is(Connection::WFBitMapT);
    for packet in [Packet::Bitmap(Bytes::copy_from_slice(&7u64.to_le_bytes())), Packet::Bitmap(Bytes::new())]
    {
        stage.gets(packet);
    }
    stage.gets(Packet::SyncUuid(4711 << 20));
    stage.order(Order::Primary { force: false });
    stage.gets(Packet::StateChangeReply(1));
    stage.all_done();
    stage.sent.clear();
    let read = stage.request(Request::Read { offset: 8192, length: 4096 });
    let Packet::DataRequest(request) = stage.next() else { panic!("a request") };
    assert_eq!((request.sector, request.size), (16, 4096));
    let payload = Bytes::from(vec![3; 4096]);
    stage.gets(Packet::DataReply(DataBlock {
        sector: 16,
        block_id: request.block_id,
        payload,
        ..DataBlock::default()
    }));
    assert_eq!(stage.result(read), Some(Ok(())));
    // What is the same on both is read here.
    stage.request(Request::Read { offset: 8 * 4096, length: 4096 });
    assert!(stage.sent.is_empty() && matches!(stage.done(), Action::Read { .. }));
}

#[test]
fn what_is_under_way_too_long_makes_it_pull_ahead() {
    let settings =
        Settings { on_congestion: OnCongestion::PullAhead, congestion_fill: 8192, ..protocol(Protocol::A) };
    let mut stage = Stage::primary(settings);
    for place in 0..2 {
        stage.write(place, 1);
        stage.all_done();
    }
    stage.taken();
    stage.is(Connection::Connected);
    let write = stage.write(2, 1);
    stage.all_done();
    stage.is(Connection::Ahead);
    assert_eq!(stage.result(write), Some(Ok(())), "nobody waits for it");
    let last = stage.sent.pop_back().expect("a packet").1;
    assert!(matches!(last, Packet::OutOfSync(range) if range.sector == 16 && range.size == 4096), "{last:?}");
    // All that was sent has arrived: after a second, a resync.
    stage.gets(Packet::BarrierAck { barrier: 0, set_size: 2 });
    stage.is(Connection::Ahead);
    stage.wait(std::time::Duration::from_secs(1));
    stage.all_done();
    stage.is(Connection::SyncSource);
    assert!(matches!(stage.sent.pop_back(), Some((Stream::Data, Packet::SyncUuid(_)))));
}
