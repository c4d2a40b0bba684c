//! Two relays over a network in memory, under a paused clock.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{establish, resource, simulated, site, two_sites};
use drx_actors::net::MemoryNet;
use drx_protocol::State;
use drx_protocol::names::{ChannelType, Lane, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

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

/// bsr closes both of its connections at once; which end of file is seen first is chance, and with a
/// backlog on data it is meta's.
#[test]
fn what_bsr_sent_before_it_left_arrives_though_its_meta_is_seen_to_close_first() {
    simulated(async {
        // As much as the kernel takes for a bsr that is faster than the relay.
        let net = Arc::new(MemoryNet::with_buffer(4 << 20));
        let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789)]);
        let two = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
        let mut session = establish(&one, &two).await;
        let block = vec![7; 3_000_000];
        session.data[1].write_all(&block).await.unwrap();
        session.data[1].shutdown().await.unwrap();
        session.meta[1].shutdown().await.unwrap();
        let mut got = Vec::new();
        session.data[0].read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), block.len());
    });
}

/// What lies in bsr's own receive buffer it throws away when it sees the end of meta: so meta ends after data does,
/// and data when bsr says that it has read it all.
#[test]
fn meta_ends_when_bsr_has_read_its_data_not_when_they_are_written_to_it() {
    simulated(async {
        let net = Arc::new(MemoryNet::with_buffer(4 << 20));
        let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789)]);
        let two = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
        let mut session = establish(&one, &two).await;
        let block = vec![7; 1_000_000];
        session.data[1].write_all(&block).await.unwrap();
        session.data[1].shutdown().await.unwrap();
        session.meta[1].shutdown().await.unwrap();
        let [data, _] = &mut session.data;
        let [meta, _] = &mut session.meta;
        let slowly = async {
            let mut got = vec![0; 10_000];
            for _ in 0..100 {
                sleep(Duration::from_millis(30)).await;
                data.read_exact(&mut got).await.unwrap();
            }
            assert_eq!(data.read(&mut got).await.unwrap(), 0, "nothing more comes");
            let read = Instant::now();
            data.shutdown().await.unwrap();
            read
        };
        let ends = async {
            assert_eq!(meta.read(&mut [0; 1]).await.unwrap(), 0);
            Instant::now()
        };
        let (read, ended) = tokio::join!(slowly, ends);
        assert!(ended >= read, "meta ended {:?} before data were read", read - ended);
        assert!(ended - read < Duration::from_secs(1));
    });
}

/// The other bsr is so slow that the BAB is full: then the relay is what the last bytes wait for.
#[test]
fn what_bsr_sent_before_it_left_waits_for_room_in_the_bab() {
    simulated(async {
        let net = Arc::new(MemoryNet::with_buffer(1 << 20));
        let small = |here, there| {
            let mut settings = resource("r0", here, there, 7789);
            settings.bab.size = 256 * 1024;
            settings.link.window = 64 * 1024;
            settings
        };
        let one = site(&net, "node1", vec![small(1, 2)]);
        let two = site(&net, "node2", vec![small(2, 1)]);
        let mut session = establish(&one, &two).await;
        let mut sent = 0;
        // Until nothing on the way takes any more.
        while let Ok(taken) = timeout(Duration::from_secs(1), session.data[1].write(&[7; 10_000])).await {
            sent += taken.unwrap();
        }
        session.data[1].shutdown().await.unwrap();
        session.meta[1].shutdown().await.unwrap();
        // Longer than a bsr that is frozen is waited for.
        sleep(Duration::from_secs(20)).await;
        let mut got = Vec::new();
        session.data[0].read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), sent);
    });
}

/// A bsr that closes only its meta, and then does nothing, does not hold up the goodbye.
#[test]
fn a_bsr_that_does_not_close_its_data_is_not_waited_for() {
    simulated(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        session.data[1].write_all(b"the last").await.unwrap();
        session.meta[1].shutdown().await.unwrap();
        let ended = async {
            let mut got = Vec::new();
            session.data[0].read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"the last");
        };
        timeout(Duration::from_secs(6), ended).await.expect("within the time for a frozen bsr");
    });
}

/// bsr here does not take what the other one opened: that is wrong for as long as the other one wants it, and no longer.
/// The log says it once, however often it is tried.
#[test]
fn what_is_not_dialled_any_more_is_no_trouble() {
    simulated(async {
        let (one, two) = two_sites();
        let says = |report: &drx_protocol::report::ResourceReport| {
            report.trouble.iter().any(|trouble| trouble.contains("does not take our connection"))
        };
        for _ in 0..2 {
            let opened = two.open(ChannelType::Data).await;
            one.eventually("bsr is dialled in vain", async |site| says(&site.report().await)).await;
            drop(opened);
            one.eventually("nothing is wrong", async |site| site.report().await.trouble.is_empty()).await;
        }
        assert_eq!(one.logged(&["trying again and again", "does not take our connection"]).len(), 1);
    });
}
