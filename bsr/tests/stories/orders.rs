//! Orders, and the changes of state that both nodes make together (bsr-wire B.9).

use drx_bsr::core::{Order, Settings};
use drx_bsr::wire::{Connection, Packet, Role, StateChange, Stream};

use crate::stage::{Stage, good};

#[test]
fn a_disconnect_is_agreed_upon() {
    let mut stage = Stage::connected(Settings::default());
    let order = stage.order(Order::Disconnect);
    assert_eq!(stage.next(), Packet::ConnectionChange(StateChange { mask: 0x1f0, value: 0x10 }));
    stage.is(Connection::Connected);
    stage.gets(Packet::ConnectionChangeReply(1));
    stage.is(Connection::StandAlone);
    assert_eq!(stage.result(order), Some(Ok(())));
    assert!(stage.closed && stage.opening.is_none());
}

#[test]
fn the_others_disconnect_is_granted_and_then_it_is_looked_for_again() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(Packet::ConnectionChange(StateChange { mask: 0x1f0, value: 0x10 }));
    assert_eq!(stage.next(), Packet::ConnectionChangeReply(1));
    stage.is(Connection::TearDown);
    stage.breaks(Stream::Data);
    stage.is(Connection::WFConnection);
}

#[test]
fn a_disconnect_that_is_lost_on_its_way_is_a_disconnect() {
    let mut stage = Stage::connected(Settings::default());
    let order = stage.order(Order::Disconnect);
    stage.breaks(Stream::Data);
    stage.is(Connection::StandAlone);
    assert_eq!(stage.result(order), Some(Ok(())));
}

#[test]
fn there_is_one_primary() {
    let mut stage = Stage::primary(Settings::default());
    stage.gets(Packet::StateChange(StateChange { mask: 3, value: 1 }));
    assert_eq!(stage.next(), Packet::StateChangeReply(-1));

    let mut stage = Stage::connected(Settings::default());
    stage.gets(Packet::StateChange(StateChange { mask: 3, value: 1 }));
    assert_eq!((stage.next(), stage.state().peer), (Packet::StateChangeReply(1), Role::Primary));
    let order = stage.order(Order::Primary { force: true });
    assert!(matches!(stage.result(order), Some(Err(why)) if why.contains("the other node is primary")));
}

#[test]
fn what_the_other_node_refuses_is_refused() {
    let mut stage = Stage::connected(Settings::default());
    let order = stage.order(Order::Primary { force: false });
    stage.gets(Packet::StateChangeReply(-1));
    assert!(matches!(stage.result(order), Some(Err(_))));
    assert_eq!(stage.state().role, Role::Secondary);
}

#[test]
fn an_answer_to_nothing_is_an_error() {
    let mut stage = Stage::connected(Settings::default());
    stage.gets(Packet::StateChangeReply(1));
    stage.told("this node has asked nothing");
    assert!(stage.closed);
}

#[test]
fn verify_needs_an_algorithm_and_a_connection() {
    let mut stage = Stage::connected(Settings::default());
    let order = stage.order(Order::Verify);
    assert!(matches!(stage.result(order), Some(Err(why)) if why.contains("no verify-alg is set")));
    let mut alone = Stage::new(Settings::default(), good());
    let order = alone.order(Order::Verify);
    assert!(matches!(alone.result(order), Some(Err(why)) if why.contains("there is no connection")));
}

#[test]
fn who_steps_down_waits_until_the_other_node_has_everything() {
    let mut stage = Stage::primary(Settings::default());
    stage.write(0, 1);
    stage.all_done();
    let block = stage.next_write();
    let busy = stage.order(Order::Secondary);
    assert!(matches!(stage.result(busy), Some(Err(why)) if why.contains("in use")));
    stage.gets(Packet::Ack(drx_bsr::wire::AckKind::Written, crate::stage::ack(&block)));
    let order = stage.order(Order::Secondary);
    assert_eq!(stage.result(order), None);
    stage.gets(Packet::BarrierAck { barrier: 0, set_size: 1 });
    assert_eq!(stage.result(order), Some(Ok(())));
    assert_eq!(stage.state().role, Role::Secondary);
}

#[test]
fn a_primary_that_loses_the_other_node_begins_a_generation() {
    let mut stage = Stage::primary(Settings::default());
    let before = stage.node.status().generations;
    stage.breaks(Stream::Data);
    let after = stage.node.status().generations;
    assert_eq!(after.bitmap | 1, before.current | 1);
    assert_ne!(after.current | 1, before.current | 1);

    let mut secondary = Stage::connected(Settings::default());
    let before = secondary.node.status().generations;
    secondary.breaks(Stream::Data);
    assert_eq!(secondary.node.status().generations, before);
}

#[test]
fn down_disconnects_saves_and_ends() {
    let mut stage = Stage::primary(Settings::default());
    let order = stage.order(Order::Down);
    stage.gets(Packet::ConnectionChangeReply(1));
    stage.all_done();
    assert_eq!(stage.result(order), Some(Ok(())));
    stage.is(Connection::StandAlone);
    let write = stage.write(0, 1);
    assert!(matches!(stage.result(write), Some(Err(why)) if why.contains("going down")));
}
