//! Why a channel last stopped: what began its end, whatever came after that.
#![allow(clippy::unwrap_used)]

mod common;

use actix_rt::System;
use common::{establish, two_sites};
use drx_protocol::names::ChannelType;

#[test]
fn a_lost_links_reason_outlives_the_flush_that_follows_it() {
    let clock =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(clock).block_on(async {
        let (one, two) = two_sites();
        let session = establish(&one, &two).await;
        let report = two.report().await;
        let data = report.channels.iter().find(|c| c.channel_type == Some(ChannelType::Data)).unwrap();
        let link = data.remote_address.clone().unwrap();
        let wires = two.net.wires();
        let wire = wires.iter().find(|w| w.from().to_string() == link || w.to().to_string() == link).unwrap();
        wire.cut();
        two.until_session(false).await;
        drop(session);
        let report = two.report().await;
        let same = |c: &&drx_protocol::report::ChannelReport| (c.role, c.lane) == (data.role, data.lane);
        let why = report.channels.iter().find(same).unwrap().last_stop.clone().unwrap();
        let (began, flush) = why.split_once("; ").unwrap();
        assert!(began.starts_with("the link to the other DRX is lost: the "), "{why}");
        assert_eq!(flush, "everything is written to bsr");
    });
}
