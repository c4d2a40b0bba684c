//! Two relays over a network in memory, under a paused clock.
#![allow(clippy::unwrap_used)]

mod common;

use common::{establish, simulated, two_sites};
use drx_protocol::State;
use drx_protocol::names::{Lane, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn a_session_carries_bytes_both_ways() {
    simulated(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        session.data[0].write_all(b"from one").await.unwrap();
        session.data[1].write_all(b"from two").await.unwrap();
        session.meta[0].write_all(b"ping").await.unwrap();
        let mut got = [0; 8];
        session.data[1].read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"from one");
        session.data[0].read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"from two");
        let mut got = [0; 4];
        session.meta[1].read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
    });
}

#[test]
fn what_bsr_sent_before_it_left_arrives_before_its_meta_closes() {
    simulated(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        let block = vec![7; 1_000_000];
        session.data[1].write_all(&block).await.unwrap();
        session.data[1].shutdown().await.unwrap();
        let mut got = Vec::new();
        session.data[0].read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), block.len());
        drop(session);
        one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
        two.until(Role::Connector, Lane::Zero, State::Connecting).await;
        establish(&one, &two).await;
    });
}

/// What was written to bsr's socket is acknowledged as delivered: closing must not take it back, however
/// long bsr's disk makes it wait.
#[test]
fn what_was_flushed_to_a_bsr_that_stalls_is_there_when_it_reads_on() {
    simulated(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        let block = vec![7; 50_000];
        session.data[1].write_all(&block).await.unwrap();
        session.data[1].shutdown().await.unwrap();
        // It reads nothing until the relay has given up waiting for its close.
        one.until(Role::Connector, Lane::Zero, State::Connecting).await;
        let mut got = Vec::new();
        session.data[0].read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), block.len());
    });
}
