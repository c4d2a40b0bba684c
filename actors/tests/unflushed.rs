//! What a shutdown says it left behind.
#![allow(clippy::unwrap_used)]

mod common;

use actix_rt::System;
use common::{establish, two_sites};
use drx_actors::api::{Shutdown, Unflushed};
use drx_protocol::names::ChannelType;
use drx_protocol::report::ChannelReport;
use tokio::io::AsyncWriteExt;

fn data(channel: &ChannelReport) -> bool {
    channel.channel_type == Some(ChannelType::Data)
}

#[test]
fn bytes_that_an_earlier_lost_link_has_cost_are_not_left_unflushed_by_a_shutdown() {
    let clock =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(clock).block_on(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        // The data channel's link falls silent, so that what bsr sends stays in the BAB. Then it breaks.
        let report = two.report().await;
        let link =
            report.channels.iter().find(|channel| data(channel)).unwrap().remote_address.clone().unwrap();
        let wires = two.net.wires();
        let carries = |at: String| at == link;
        let wire =
            wires.iter().find(|w| carries(w.from().to_string()) || carries(w.to().to_string())).unwrap();
        wire.silence();
        session.data[1].write_all(&[7; 10_000]).await.unwrap();
        let mut held = 0;
        for _ in 0..10_000 {
            let report = two.report().await;
            held =
                report.channels.iter().filter(|channel| data(channel)).map(|channel| channel.bab.used).sum();
            if held == 10_000 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(held, 10_000);
        wire.cut();
        two.until_session(false).await;
        drop(session);
        // A link again, and nothing in it.
        let _session = establish(&one, &two).await;
        assert_eq!(two.relay.send(Shutdown { at_once: false }).await.unwrap(), Unflushed { bytes: 0 });
    });
}
