//! A BAB in ordinary memory, in locked memory and in a file: reserved, filled, resized, given back.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Session, Site, establish, resource, simulated, site};
use drx_actors::api::{Backing, Operate, Panic, Refusal, Resize, Resized, ResourceSettings, Verb, Victim};
use drx_actors::net::MemoryNet;
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::BabReport;
use drx_protocol::{Standing, State};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One site with this backing, and another with ordinary memory; the line between them is narrow.
fn sites(backing: Backing) -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let settings = |here, there| {
        let mut settings = resource("r0", here, there, 7789);
        settings.bab.size = MIB;
        settings.link.window = 64 << 10;
        settings
    };
    let mut one: ResourceSettings = settings(1, 2);
    one.bab.backing = backing;
    (site(&net, "node1", vec![one]), site(&net, "node2", vec![settings(2, 1)]))
}

async fn resize(site: &Site, size: u64) -> Result<Resized, Refusal> {
    let mut resized = site.relay.send(Resize { name: "r0".into(), size }).await.unwrap()?;
    assert_eq!(resized.len(), 1);
    Ok(resized.remove(0))
}

async fn operate(site: &Site, verb: Verb) {
    site.relay.send(Operate { verb, name: "r0".into(), wait: true }).await.unwrap().unwrap();
}

/// Of the data channel that stands.
async fn bab(site: &Site) -> BabReport {
    let report = site.report().await;
    let data =
        |channel: &&drx_protocol::report::ChannelReport| channel.channel_type == Some(ChannelType::Data);
    report.channels.iter().find(data).unwrap().bab.clone()
}

async fn is_full(site: &Site, size: u64) -> bool {
    bab(site).await.used == size
}

/// A session, and its end: until both sites wait for the next one.
async fn establish_and_leave(one: &Site, two: &Site) {
    drop(establish(one, two).await);
    for site in [one, two] {
        site.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
        site.until(Role::Connector, Lane::Zero, State::Connecting).await;
    }
}

/// Whether all channels wait for their memory, with this among the reasons.
async fn waits_for_memory(site: &Site, why: &str) -> bool {
    let report = site.report().await;
    report.channels.iter().all(|channel| channel.standing == Standing::In(State::Allocating))
        && report.trouble.iter().any(|trouble| trouble.contains(why))
}

/// The bytes of this process's mappings of files in `directory`.
fn mapped(directory: &Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let here = maps.lines().filter(|line| line.contains(directory.to_str().unwrap()));
    here.map(|line| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap()
    })
    .sum()
}

/// A backlog that fills the BAB, more of it as the BAB grows, and none lost as it shrinks under it.
async fn bytes_are_exact_while_it_is_resized(backing: Backing) {
    let (one, two) = sites(backing);
    let Session { data: [mut writer, mut reader], meta, listeners } = establish(&one, &two).await;
    let sent: Vec<u8> = (0..9_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let send = async {
        // Large and small pieces.
        for (index, piece) in sent.chunks(50_000).enumerate() {
            for part in piece.chunks(if index % 4 == 0 { 100 } else { 50_000 }) {
                writer.write_all(part).await.unwrap();
            }
        }
    };
    let operate = async {
        one.eventually("the BAB is full", async |one| is_full(one, MIB).await).await;
        assert_eq!(resize(&one, 3 * MIB).await.unwrap().size, 3 * MIB);
        one.eventually("the larger BAB is full", async |one| is_full(one, 3 * MIB).await).await;
        let smaller = resize(&one, MIB / 2).await.unwrap();
        assert_eq!((smaller.size, smaller.held), (MIB / 2, 3 * MIB));
        assert_eq!(bab(&one).await.size, MIB / 2);

        let mut got = vec![0; sent.len()];
        let (backlog, rest) = got.split_at_mut(5 << 20);
        reader.read_exact(backlog).await.unwrap();
        one.eventually("the smaller BAB is full", async |one| is_full(one, MIB / 2).await).await;
        assert_eq!(resize(&one, 2 * MIB).await.unwrap().size, 2 * MIB);
        one.eventually("it is larger once more", async |one| is_full(one, 2 * MIB).await).await;
        reader.read_exact(rest).await.unwrap();
        assert!(got == sent, "every byte, in order");
        one.eventually("nothing is left", async |one| is_full(one, 0).await).await;
    };
    tokio::join!(send, operate);
    for site in [&one, &two] {
        let report = site.report().await;
        assert!(report.session && report.restarts == 0, "bsr was never dropped: {report:?}");
    }
    drop((meta, listeners));
}

#[test]
fn ordinary_memory() {
    simulated(bytes_are_exact_while_it_is_resized(Backing::Memory));
}

/// 3 MiB and what chunks take besides is less than everybody may lock (8 MiB).
#[test]
fn locked_memory() {
    simulated(bytes_are_exact_while_it_is_resized(Backing::Locked));
}

#[test]
fn a_file() {
    let directory = TempDir::new().unwrap();
    simulated(bytes_are_exact_while_it_is_resized(Backing::File(directory.path().into())));
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[test]
fn channels_wait_for_memory_and_go_on_by_themselves() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("bab");
    simulated(async move {
        let (one, two) = sites(Backing::File(directory.clone()));
        let why = format!("the BAB's memory is not there: no file can be made in {}", directory.display());
        one.eventually("it waits, and says for what", async |one| waits_for_memory(one, &why).await).await;
        two.until(Role::Connector, Lane::Zero, State::Bridging).await;
        assert_eq!(
            one.report().await.situation,
            "the BAB is very large, or in virtual memory, and is being allocated"
        );

        fs::create_dir(&directory).unwrap();
        establish_and_leave(&one, &two).await;
        assert!(one.report().await.trouble.is_empty());
        assert!(mapped(&directory) >= MIB);

        // Down, it needs no memory; and up, it has to be there again.
        operate(&one, Verb::Down).await;
        one.eventually("the memory is given back", async |_| mapped(&directory) == 0).await;
        fs::remove_dir(&directory).unwrap();
        operate(&one, Verb::Up).await;
        one.eventually("it waits again", async |one| waits_for_memory(one, &why).await).await;
        operate(&one, Verb::Down).await;
        assert!(one.report().await.trouble.is_empty(), "who is down misses nothing");
        fs::create_dir(&directory).unwrap();
        operate(&one, Verb::Up).await;
        one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
        establish(&one, &two).await;
    });
}

/// One resource's missing memory holds up no other, though they share an arbiter.
#[test]
fn other_resources_do_not_wait() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let two_of = |here, there| {
            let mut second = resource("r1", here, there, 7799);
            second.bab.size = MIB;
            vec![resource("r0", here, there, 7789), second]
        };
        let mut ones = two_of(1, 2);
        ones[0].bab.backing = Backing::File("/nowhere/at/all".into());
        let (one, two) = (site(&net, "node1", ones), site(&net, "node2", two_of(2, 1)));
        establish(&one.beside(1), &two.beside(1)).await;
        assert!(waits_for_memory(&one, "No such file").await);
    });
}

#[test]
fn a_resize_that_cannot_be_changes_nothing() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("bab");
    fs::create_dir(&directory).unwrap();
    simulated(async move {
        let (one, two) = sites(Backing::File(directory.clone()));
        let session = establish(&one, &two).await;
        let unknown = one.relay.send(Resize { name: "r7".into(), size: MIB }).await.unwrap();
        assert_eq!(unknown, Err(Refusal::UnknownName("r7".into())));
        let (needed, total) = ((1 << 40) + 4 * MIB, 1 << 40);
        assert_eq!(resize(&one, 1 << 40).await, Err(Refusal::OverTotal { needed, total }));

        fs::remove_dir(&directory).unwrap();
        let refused = resize(&one, 9 * MIB).await.unwrap_err().to_string();
        let expected =
            format!("r0-node2-node1 keeps 1.0 MiB: no file can be made in {}", directory.display());
        assert!(refused.starts_with(&expected), "{refused}");
        assert_eq!(bab(&one).await.size, MIB);
        // Smaller needs nothing, and what is there already is there again.
        assert_eq!(resize(&one, MIB / 2).await.unwrap().size, MIB / 2);
        fs::create_dir(&directory).unwrap();
        assert_eq!(resize(&one, 9 * MIB).await.unwrap().size, 9 * MIB);
        assert!(one.report().await.session && one.report().await.restarts == 0);
        drop(session);
    });
}

#[test]
fn the_size_that_was_set_outlives_the_supervisor_and_is_reserved_when_the_resource_comes_up() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("bab");
    simulated(async move {
        let (one, two) = sites(Backing::File(directory.clone()));
        one.eventually("it waits", async |one| waits_for_memory(one, "No such file").await).await;
        assert_eq!(resize(&one, 5 * MIB).await.unwrap().size, 5 * MIB, "while it waits for its memory");
        fs::create_dir(&directory).unwrap();
        establish_and_leave(&one, &two).await;
        assert!(mapped(&directory) >= 5 * MIB);

        operate(&one, Verb::Down).await;
        assert_eq!(resize(&one, 7 * MIB).await.unwrap().size, 7 * MIB, "while it is down");
        operate(&one, Verb::Up).await;
        establish_and_leave(&one, &two).await;
        assert!(mapped(&directory) >= 7 * MIB);

        let strike = Panic { resource: "r0".into(), victim: Victim::Resource };
        one.relay.send(strike).await.unwrap().unwrap();
        let acceptor = one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
        assert_eq!(acceptor.bab.size, 7 * MIB);
        assert!(mapped(&directory) >= 7 * MIB);
    });
}

const MIB: u64 = 1 << 20;
