//! A link that breaks costs bsr a pause, not its connections (docs/link.md 5).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Session, Site, establish, resource, simulated, site};
use drx_actors::net::{MemoryNet, Stream, Wire};
use drx_protocol::names::{Lane, Role};
use drx_protocol::{Standing, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Two sites whose links may be resumed for so long.
fn sites_with(resume_timeout: Duration) -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let settings = |here, there| {
        let mut settings = resource("r0", here, there, 7789);
        settings.link.resume_timeout = resume_timeout;
        settings
    };
    (site(&net, "node1", vec![settings(1, 2)]), site(&net, "node2", vec![settings(2, 1)]))
}

fn sites() -> (Site, Site) {
    sites_with(10 * SECOND)
}

/// The links between the two relays that stand now.
fn links(site: &Site) -> Vec<Wire> {
    site.net.wires().into_iter().filter(|wire| wire.to().port() == 7780).collect()
}

fn take_line_down(site: &Site) {
    OUTSIDES.iter().for_each(|at| site.net.take_down(at.parse().unwrap()));
}

fn bring_line_up(site: &Site) {
    OUTSIDES.iter().for_each(|at| site.net.bring_up(at.parse().unwrap()));
}

const OUTSIDES: [&str; 2] = ["10.77.9.1:7780", "10.77.9.2:7780"];

fn byte(offset: usize) -> u8 {
    (offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

/// Both bsr send as much on both connections while something happens to the links.
async fn exchange_through(session: &mut Session, length: usize, faults: impl Future<Output = ()>) {
    let [data_one, data_two] = &mut session.data;
    let [meta_one, meta_two] = &mut session.meta;
    let (mut d1r, mut d1w) = tokio::io::split(data_one);
    let (mut d2r, mut d2w) = tokio::io::split(data_two);
    let (mut m1r, mut m1w) = tokio::io::split(meta_one);
    let (mut m2r, mut m2w) = tokio::io::split(meta_two);
    macro_rules! flows {
        ($($from:ident => $to:ident),*) => { tokio::join!(faults, $(pump(&mut $from, length), check(&mut $to, length)),*) };
    }
    async fn pump(to: &mut (impl AsyncWriteExt + Unpin), length: usize) {
        for start in (0..length).step_by(10_000) {
            let piece: Vec<u8> = (start..length.min(start + 10_000)).map(byte).collect();
            to.write_all(&piece).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    }
    async fn check(from: &mut (impl AsyncReadExt + Unpin), length: usize) {
        let mut got = vec![0; length];
        from.read_exact(&mut got).await.unwrap();
        let wrong = got.iter().enumerate().find(|(offset, got)| byte(*offset) != **got);
        assert_eq!(wrong, None, "the first byte that is not the stream's");
    }
    flows!(d1w => d2r, d2w => d1r, m1w => m2r, m2w => m1r);
}

/// The relay closes the connection so soon, and bsr its own side when it sees that.
async fn ends_within(limit: Duration, stream: &mut Box<dyn Stream>) {
    let mut rest = Vec::new();
    timeout(limit, stream.read_to_end(&mut rest)).await.expect("it is closed in time").unwrap();
    let _ = stream.shutdown().await; // it may be closed already
}

async fn resumes(site: &Site) -> u64 {
    site.report().await.channels.iter().map(|channel| channel.resumes).sum()
}

#[test]
fn bytes_go_on_where_they_were_when_the_links_are_cut() {
    simulated(async {
        let (one, two) = sites();
        let mut session = establish(&one, &two).await;
        let faults = async {
            for _ in 0..20 {
                sleep(Duration::from_millis(601)).await;
                links(&one).iter().for_each(Wire::cut);
            }
        };
        exchange_through(&mut session, 2_000_000, faults).await;
        one.eventually("each cut was resumed, on both lanes", async |site| resumes(site).await == 40).await;
        for site in [&one, &two] {
            let channels = site.report().await.channels;
            let busy = channels.iter().filter(|channel| channel.lane == Lane::Zero);
            assert_eq!(busy.map(|channel| channel.restarts).sum::<u64>(), 0);
        }
    });
}

#[test]
fn a_black_hole_is_left_on_another_connection() {
    simulated(async {
        let (one, two) = sites();
        let mut session = establish(&one, &two).await;
        let started = Instant::now();
        let faults = async {
            sleep(Duration::from_millis(50)).await;
            links(&one).iter().for_each(Wire::silence);
        };
        exchange_through(&mut session, 1_000_000, faults).await;
        // Silence is noticed within keepalive_timeout, 5 s.
        assert!(started.elapsed() < Duration::from_millis(5_200), "{:?}", started.elapsed());
    });
}

/// One side has lost its end and dials again; the other still takes the old connection for alive.
#[test]
fn a_half_open_link_is_taken_over() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let settings = |here, there, keepalive_timeout| {
            let mut settings = resource("r0", here, there, 7789);
            settings.link.resume_timeout = 10 * SECOND;
            settings.link.keepalive_timeout = keepalive_timeout;
            settings
        };
        let one = site(&net, "node1", vec![settings(1, 2, SECOND)]);
        let two = site(&net, "node2", vec![settings(2, 1, 3600 * SECOND)]);
        let mut session = establish(&one, &two).await;
        // Data goes from two's acceptor over the link that one's connector dialled on lane 0.
        let dialled_by_one = |wire: &Wire| wire.from().ip() == one_outside();
        links(&one).iter().filter(|wire| dialled_by_one(wire)).for_each(Wire::silence);
        let started = Instant::now();
        session.data[1].write_all(&[7; 50_000]).await.unwrap();
        let mut got = vec![0; 50_000];
        session.data[0].read_exact(&mut got).await.unwrap();
        assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
        assert_eq!(resumes(&two).await, 1);
    });
}

fn one_outside() -> std::net::IpAddr {
    "10.77.9.1".parse().unwrap()
}

#[test]
fn a_line_that_is_away_for_long_ends_both_connections_of_each_bsr() {
    simulated(async {
        let (one, two) = sites();
        let mut session = establish(&one, &two).await;
        take_line_down(&one);
        let started = Instant::now();
        for stream in session.data.iter_mut().chain(&mut session.meta) {
            ends_within(20 * SECOND, stream).await;
        }
        let silent_for = started.elapsed();
        assert!(silent_for > 14 * SECOND, "resume_timeout was not used: {silent_for:?}");
        assert!(silent_for < 17 * SECOND, "{silent_for:?}");
        drop(session);
        bring_line_up(&one);
        let mut again = establish(&one, &two).await;
        exchange_through(&mut again, 10_000, async {}).await;
    });
}

#[test]
fn without_a_resume_timeout_a_lost_link_ends_the_session() {
    simulated(async {
        let (one, two) = sites_with(Duration::ZERO);
        let mut session = establish(&one, &two).await;
        session.data[1].write_all(&[7; 30_000]).await.unwrap();
        let mut got = vec![0; 30_000];
        session.data[0].read_exact(&mut got).await.unwrap();
        links(&one).iter().for_each(Wire::cut);
        for stream in session.data.iter_mut().chain(&mut session.meta) {
            ends_within(SECOND, stream).await;
        }
        drop(session);
        establish(&one, &two).await;
        assert_eq!(resumes(&one).await + resumes(&two).await, 0);
        assert!(one.report().await.restarts >= 2);
    });
}

/// What is shown meanwhile, on both sides.
#[test]
fn a_link_that_is_being_resumed_is_shown_so() {
    simulated(async {
        let (one, two) = sites();
        let mut session = establish(&one, &two).await;
        take_line_down(&one);
        links(&one).iter().for_each(Wire::cut);
        for (site, role) in [(&one, Role::Connector), (&one, Role::Acceptor), (&two, Role::Acceptor)] {
            site.eventually("it is being resumed", async |site| {
                site.channel(role, Lane::Zero).await.standing == Standing::Resuming
            })
            .await;
        }
        let report = one.report().await;
        assert!(report.situation.contains("is being resumed"), "{}", report.situation);
        assert!(report.session, "bsr's connections still belong together");
        session.data[0].write_all(&[1; 20_000]).await.unwrap();
        sleep(2 * SECOND).await;
        bring_line_up(&one);
        one.until(Role::Connector, Lane::Zero, State::Established).await;
        two.until(Role::Connector, Lane::Zero, State::Established).await;
        let mut got = vec![0; 20_000];
        session.data[1].read_exact(&mut got).await.unwrap();
    });
}

/// bsr leaves while its link is being resumed: what it sent is still delivered, then its meta closes.
#[test]
fn a_flush_waits_for_the_resume() {
    simulated(async {
        let (one, two) = sites();
        let mut session = establish(&one, &two).await;
        take_line_down(&one);
        links(&one).iter().for_each(Wire::cut);
        let mut sent = session.data[1].write(&[7; 50_000]).await.unwrap();
        while let Ok(more) = timeout(SECOND / 10, session.data[1].write(&[7; 50_000])).await {
            sent += more.unwrap();
            if sent > 3_000_000 {
                break;
            }
        }
        session.data[1].shutdown().await.unwrap();
        session.meta[1].shutdown().await.unwrap();
        two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
        sleep(2 * SECOND).await;
        bring_line_up(&one);
        let mut got = Vec::new();
        let [data_one, _] = &mut session.data;
        let [meta_one, _] = &mut session.meta;
        tokio::select! {
            biased;
            read = data_one.read_to_end(&mut got) => { read.unwrap(); }
            _ = async { let mut rest = Vec::new(); meta_one.read_to_end(&mut rest).await } => {
                panic!("meta closed before the data was through");
            }
        }
        assert_eq!(got.len(), sent);
        drop(session);
        establish(&one, &two).await;
    });
}

/// A relay that was restarted has lost its BAB: bsr must see that, and resync.
#[test]
fn a_relay_that_was_restarted_is_not_resumed() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let settings = |here, there| {
            let mut settings = resource("r0", here, there, 7789);
            settings.link.resume_timeout = 60 * SECOND;
            settings
        };
        let one = site(&net, "node1", vec![settings(1, 2)]);
        let two = site(&net, "node2", vec![settings(2, 1)]);
        let mut session = establish(&one, &two).await;
        two.relay.send(drx_actors::api::Shutdown { at_once: true }).await.unwrap();
        links(&one).iter().for_each(Wire::cut);
        one.eventually("it is being resumed", async |site| {
            site.channel(Role::Acceptor, Lane::Zero).await.standing == Standing::Resuming
        })
        .await;
        two.eventually("its listeners are gone", async |site| {
            !site.net.is_listening("10.77.9.2:7780".parse().unwrap())
        })
        .await;
        let started = Instant::now();
        let two = site(&net, "node2", vec![settings(2, 1)]);
        for stream in [&mut session.data[0], &mut session.meta[0]] {
            ends_within(2 * SECOND, stream).await;
        }
        assert!(started.elapsed() < 2 * SECOND);
        drop(session);
        establish(&one, &two).await;
        assert_eq!(resumes(&one).await, 0);
    });
}
