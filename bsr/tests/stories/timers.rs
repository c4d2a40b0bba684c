//! How long a node waits for what (bsr-wire A.4, B.9, D.2).

use std::time::Duration;

use drx_bsr::core::{Order, Settings};
use drx_bsr::wire::{Connection, Packet, Stream};

use crate::stage::{Stage, good};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn features_are_waited_for_four_socket_checks() {
    let mut stage = Stage::opened(Settings::default(), good());
    stage.wait(ms(1999));
    assert!(!stage.closed);
    stage.wait(ms(1));
    assert!(stage.closed);
    stage.told("did not say what it speaks in time");
    assert_eq!(stage.opening, Some(ms(1000)));
}

#[test]
fn silence_is_asked_about_after_ping_int_and_ends_after_ping_timeout() {
    let mut stage = Stage::connected(Settings::default());
    stage.wait(ms(2999));
    assert!(stage.sent.is_empty());
    stage.wait(ms(1));
    assert_eq!(stage.sent.pop_front(), Some((Stream::Meta, Packet::Ping)));
    stage.wait(ms(2999));
    stage.is(Connection::Connected);
    stage.wait(ms(1));
    stage.is(Connection::WFConnection);
    stage.told("no answer to a ping in 3 s");
    assert_eq!(stage.opening, Some(ms(0)), "a session that worked is opened again at once");
}

#[test]
fn an_answer_and_a_ping_are_signs_of_life() {
    let mut stage = Stage::connected(Settings::default());
    for _ in 0..5 {
        stage.wait(ms(3000));
        assert_eq!(stage.next(), Packet::Ping);
        stage.wait(ms(2000));
        stage.gets(Packet::PingAck);
    }
    stage.gets(Packet::Ping);
    assert_eq!(stage.next(), Packet::PingAck);
    stage.is(Connection::Connected);
}

#[test]
fn anything_that_comes_extends_the_wait_for_a_ping() {
    let mut stage = Stage::connected(Settings::default());
    stage.wait(ms(3000));
    assert_eq!(stage.next(), Packet::Ping);
    stage.wait(ms(2500));
    stage.gets(Packet::UnplugRemote);
    stage.wait(ms(2500));
    stage.is(Connection::Connected);
    stage.wait(ms(500));
    stage.is(Connection::WFConnection);
}

#[test]
fn a_write_without_an_answer_ends_it_after_timeout_times_ko_count() {
    let mut stage = Stage::primary(Settings::default());
    let write = stage.write(0, 1);
    stage.all_done();
    stage.taken();
    for _ in 0..15 {
        stage.wait(ms(1900));
        stage.gets(Packet::Ping); // alive, but it does not write
    }
    stage.is(Connection::Connected);
    stage.wait(ms(1499));
    assert_eq!(stage.result(write), None);
    stage.wait(ms(1));
    stage.is(Connection::WFConnection);
    stage.told("a write was not acknowledged in 30 s");
    assert_eq!(stage.result(write), Some(Ok(())), "this disk has it, and the bitmap knows");
    assert_eq!(stage.node.status().out_of_sync, 4096);
}

#[test]
fn ko_count_0_waits_for_ever() {
    let mut stage = Stage::primary(Settings { ko_count: 0, ..Settings::default() });
    stage.write(0, 1);
    stage.all_done();
    for _ in 0..100 {
        stage.wait(ms(2900));
        stage.gets(Packet::Ping);
    }
    stage.is(Connection::Connected);
}

#[test]
fn a_peer_that_reads_nothing_counts_as_gone() {
    let mut stage = Stage::connected(Settings::default());
    stage.taken();
    stage.gets(Packet::Barrier(1)); // nothing to be acknowledged
    stage.order(Order::Primary { force: false }); // a packet on data that is never taken
    stage.gets(Packet::StateChangeReply(1));
    for _ in 0..10 {
        stage.wait(ms(2900));
        stage.gets(Packet::Ping);
    }
    stage.is(Connection::Connected);
    stage.wait(ms(2900));
    stage.told("has read nothing from data for 30 s");
}

#[test]
fn an_order_that_is_not_answered_is_interrupted() {
    let mut stage = Stage::connected(Settings::default());
    let order = stage.order(Order::Primary { force: false });
    stage.wait(ms(2000));
    stage.gets(Packet::Ping);
    stage.wait(ms(2500));
    stage.gets(Packet::Ping);
    stage.wait(ms(1499));
    assert_eq!(stage.result(order), None);
    stage.wait(ms(1));
    let result = stage.result(order);
    assert!(matches!(&result, Some(Err(why)) if why.contains("did not answer")), "{result:?}");
}
