//! Payloads that say much with few bytes, from another DRX that does what none should.
#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::by_hand::Dialled;
use common::{resource, simulated, site};
use drx_actors::net::MemoryNet;
use drx_protocol::codec::{Compression, Packer};
use drx_protocol::frame::{Credit, MAX_PAYLOAD, data_header};
use drx_protocol::names::{Lane, Role};
use tokio::io::AsyncWriteExt;

/// Zeros are packed 256 KiB in 34 bytes: what one read of the link brings is hundreds of MiB.
#[test]
fn what_is_unpacked_at_a_time_is_bounded() {
    simulated(async {
        let one = site(&Arc::new(MemoryNet::new()), "node1", vec![resource("r0", 1, 2, 7789)]);
        let mut link = Dialled::to(&one, 1).await;
        let zeros = Bytes::from(vec![0; MAX_PAYLOAD]).into();
        let (codec, body) = Packer::new(&[2]).pack(&zeros, Compression::Zstd(1)).unwrap().unwrap();
        let credit = Credit { acknowledged: 0, window: 1 << 20 };
        // Of a round that never was: so no window bounds it.
        let header = data_header(77, credit, 0, codec, std::slice::from_ref(&body), true);
        let frame = [&header[..], &body].concat();
        let before = most_memory();
        let frames = 4000;
        link.stream.write_all(&frame.repeat(frames)).await.unwrap();
        one.eventually("all of them came", async |one| {
            one.channel(Role::Acceptor, Lane::Zero).await.stale_frames == frames as u64
        })
        .await;
        let grown = most_memory() - before;
        assert!(grown < 32 << 20, "{} MiB at once", grown >> 20);
    });
}

/// The most that this process has had resident.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
