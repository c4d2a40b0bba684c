//! Payloads are packed on the way, whatever happens to the link, and bsr gets what bsr sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Session, Site, establish, resource, simulated, site};
use drx_actors::api::Compress;
use drx_actors::net::{MemoryNet, Weather, Wire};
use drx_protocol::ChannelType;
use drx_protocol::codec::Compression;
use drx_protocol::report::CompressionReport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

fn sites(compression: Compression) -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let settings = |here, there| {
        let mut settings = resource("r0", here, there, 7789);
        settings.link.compression = compression;
        settings.link.resume_timeout = Duration::from_secs(10);
        settings
    };
    (site(&net, "node1", vec![settings(1, 2)]), site(&net, "node2", vec![settings(2, 1)]))
}

async fn sent(site: &Site) -> CompressionReport {
    let channels = site.report().await.channels;
    let data = channels.into_iter().find(|channel| channel.channel_type == Some(ChannelType::Data));
    data.unwrap().compression
}

/// Like a disk: numbered sectors of which most is zero.
fn image(sectors: u64) -> Vec<u8> {
    let mut image = vec![0; sectors as usize * 512];
    for (number, sector) in image.chunks_mut(512).enumerate() {
        let word = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        sector[..64].copy_from_slice(&word.repeat(8));
    }
    image
}

async fn carry(session: &mut Session, bytes: &[u8]) {
    let [one, two] = &mut session.data;
    let mut got = vec![0; bytes.len()];
    let written = async {
        for piece in bytes.chunks(40_000) {
            one.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let ((), read) = tokio::join!(written, two.read_exact(&mut got));
    read.unwrap();
    assert!(got == bytes, "what came is not what was sent");
}

#[test]
fn a_disk_image_becomes_smaller_on_the_link_and_only_there() {
    for compression in [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3)] {
        simulated(async move {
            let (one, two) = sites(compression);
            let mut session = establish(&one, &two).await;
            carry(&mut session, &image(8192)).await;
            let report = sent(&one).await;
            assert_eq!((report.wanted, report.with), (compression, compression));
            assert!(report.ratio().unwrap() > 4.0, "{report:?}");
            // bsr's first packet is in an OFFER.
            assert_eq!(report.payload, 8192 * 512);
        });
    }
}

#[test]
fn it_is_changed_while_bytes_flow() {
    simulated(async {
        let (one, two) = sites(Compression::None);
        let mut session = establish(&one, &two).await;
        let image = image(512);
        let mut before = CompressionReport::default();
        for compression in
            [Compression::None, Compression::Lz4, Compression::None, Compression::Zstd(9), Compression::Lz4]
        {
            let compress = Compress { name: "r0".to_owned(), compression };
            assert_eq!(one.relay.send(compress).await.unwrap().unwrap(), ["r0-node2-node1"]);
            carry(&mut session, &image).await;
            let now = sent(&one).await;
            let (payload, wire) = (now.payload - before.payload, now.wire - before.wire);
            assert_eq!(payload, image.len() as u64);
            assert_eq!(wire < payload, compression != Compression::None, "{compression}: {wire}");
            assert_eq!(now.wanted, compression);
            before = now;
        }
        let unknown = Compress { name: "r1".to_owned(), compression: Compression::Lz4 };
        assert!(one.relay.send(unknown).await.unwrap().is_err());
    });
}

#[test]
fn a_resume_sends_again_what_it_packs_anew() {
    simulated(async {
        let (one, two) = sites(Compression::Zstd(1));
        let weather = Weather { delay: Duration::from_millis(5), ..Weather::default() };
        let outsides: [IpAddr; 2] = ["10.77.9.1", "10.77.9.2"].map(|ip| ip.parse().unwrap());
        one.net.set_weather(outsides[0], outsides[1], weather);
        one.net.set_weather(outsides[1], outsides[0], weather);
        let mut session = establish(&one, &two).await;
        let image = image(2048);
        for round in 0..20 {
            let cut = async {
                sleep(Duration::from_millis(round)).await;
                one.net.wires().iter().filter(|wire| wire.to().port() == 7780).for_each(Wire::cut);
            };
            tokio::join!(carry(&mut session, &image), cut);
        }
        let resumes: u64 = one.report().await.channels.iter().map(|channel| channel.resumes).sum();
        assert!(resumes >= 20, "{resumes} resumes");
        let report = sent(&one).await;
        assert!(report.payload > 20 * image.len() as u64, "some was sent again: {report:?}");
    });
}

#[test]
fn each_side_packs_as_it_wants() {
    simulated(async {
        let (one, two) = sites(Compression::None);
        let compress = Compress { name: "all".to_owned(), compression: Compression::Lz4 };
        two.relay.send(compress).await.unwrap().unwrap();
        let mut session = establish(&one, &two).await;
        let image = image(1024);
        carry(&mut session, &image).await;
        session.data.reverse();
        carry(&mut session, &image).await;
        let (plain, packed) = (sent(&one).await, sent(&two).await);
        assert_eq!(plain.payload, plain.wire);
        assert!(packed.ratio().unwrap() > 4.0, "{packed:?}");
    });
}
