//! Two relays over a network in memory, and bsr played by hand.
#![allow(dead_code, clippy::unwrap_used)]
#![allow(clippy::disallowed_types, reason = "a log is one for all threads; nobody waits for it here")]

pub mod by_hand;
pub mod members;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr};
use drx_actors::api::{
    BabSettings, Backing, LinkSettings, Proxy, Reserve, ResourceSettings, Settings, Snapshot,
};
use drx_actors::net::{Congestion, Listener, MemoryNet, Net, SocketOptions, Stream};
use drx_actors::relay::Relay;
use drx_protocol::codec::Compression;
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::{ChannelReport, ResourceReport};
use drx_protocol::restart::{Policy, Settings as RestartSettings};
use drx_protocol::{Standing, State, first_packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Site {
    /// Which of the relay's resources is meant.
    index: usize,
    pub resources: Vec<ResourceSettings>,
    pub lines: Lines,
    pub node: &'static str,
    pub relay: Addr<Relay>,
    pub net: Arc<MemoryNet>,
    pub inside: SocketAddr,
    pub bsr: SocketAddr,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn resource(name: &str, here: u8, there: u8, port: u16) -> ResourceSettings {
    let restart =
        RestartSettings { max: Duration::from_millis(200), max_failures: 1000, ..Default::default() };
    ResourceSettings {
        name: name.into(),
        remote: format!("node{there}"),
        local: format!("node{here}"),
        proxy: Proxy::default(),
        bsr: address(&format!("10.77.{here}.2:{port}")),
        inside: address(&format!("10.77.{here}.1:{}", port - 1)),
        outside: address(&format!("10.77.9.{here}:7780")),
        peer: address(&format!("10.77.9.{there}:7780")),
        bab: BabSettings { size: 64 << 20, reserve: Reserve::Auto, backing: Backing::Memory },
        link: LinkSettings {
            resume_timeout: Duration::ZERO,
            hold_pings: false,
            close_pending_timeout: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(1),
            keepalive_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            window: 16 << 20,
            congestion: Congestion::System,
            checksum: true,
            compression: Compression::None,
        },
        restart: Policy::new(restart).unwrap(),
    }
}

pub fn site(net: &Arc<MemoryNet>, node: &'static str, resources: Vec<ResourceSettings>) -> Site {
    started(net, node, resources, true, 1 << 40)
}

/// A relay that has no resource yet; the one that is meant is still to be added.
pub fn empty_site(
    net: &Arc<MemoryNet>,
    node: &'static str,
    meant: Vec<ResourceSettings>,
    total: u64,
) -> Site {
    started(net, node, meant, false, total)
}

fn started(
    net: &Arc<MemoryNet>,
    node: &'static str,
    resources: Vec<ResourceSettings>,
    at_once: bool,
    bab_total: u64,
) -> Site {
    let lines = Lines::default();
    let log = slog::Logger::root(TestDrain(Arc::clone(&lines)), slog::o!());
    let (inside, bsr) = (resources[0].inside, resources[0].bsr);
    let configured = if at_once { resources.clone() } else { Vec::new() };
    let settings = Settings { node: node.into(), resources: configured, bab_total, arbiters: 0 };
    let relay = Relay::new(settings, Arc::clone(net) as Arc<dyn Net>, log).with_faults().start();
    Site { index: 0, resources, lines, node, relay, net: Arc::clone(net), inside, bsr }
}

pub fn two_sites() -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789)]);
    let two = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
    (one, two)
}

/// What a relay has logged.
pub type Lines = Arc<Mutex<Vec<String>>>;

/// Prints every line, which is shown when a test fails, and keeps it.
struct TestDrain(Lines);

impl slog::Drain for TestDrain {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        use slog::KV;
        struct Text(String);
        impl slog::Serializer for Text {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut text = Text(String::new());
        let _ = record.kv().serialize(record, &mut text);
        let _ = values.serialize(record, &mut text);
        let line = format!("{} {}{}", record.level().as_short_str(), record.msg(), text.0);
        println!("{line}");
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

impl Site {
    /// The same relay, meaning another resource.
    pub fn beside(&self, index: usize) -> Site {
        let settings = &self.resources[index];
        Site {
            index,
            resources: self.resources.clone(),
            lines: Arc::clone(&self.lines),
            node: self.node,
            relay: self.relay.clone(),
            net: Arc::clone(&self.net),
            inside: settings.inside,
            bsr: settings.bsr,
        }
    }

    /// The resource that is meant.
    pub fn settings(&self) -> &ResourceSettings {
        &self.resources[self.index]
    }

    /// The lines of the log with all of these words.
    pub fn logged(&self, words: &[&str]) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).cloned().collect()
    }

    /// Once its supervisor answers: while it is being restarted there is none.
    pub async fn report(&self) -> ResourceReport {
        let name = &self.resources[self.index].name;
        for _ in 0..60_000 {
            let resources = self.relay.send(Snapshot).await.unwrap().resources;
            if let Some(report) = resources.into_iter().find(|report| report.name == *name) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: {name} never reported", self.node);
    }

    /// Waits until it is so.
    pub async fn eventually(&self, what: &str, mut so: impl AsyncFnMut(&Site) -> bool) {
        for _ in 0..60_000 {
            if so(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: it never was so that {what}", self.node);
    }

    pub async fn channel(&self, role: Role, lane: Lane) -> ChannelReport {
        let report = self.report().await;
        report.channels.into_iter().find(|c| c.role == role && c.lane == lane).unwrap()
    }

    /// Waits until a channel stands there; the test's own clock bounds it.
    pub async fn until(&self, role: Role, lane: Lane, state: State) -> ChannelReport {
        let mut last = None;
        for _ in 0..60_000 {
            let channel = self.channel(role, lane).await;
            if channel.standing == Standing::In(state) {
                return channel;
            }
            last = Some(channel.standing);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: {role} {lane} never came to {state}, it is {last:?}", self.node);
    }

    /// Waits until the whole session stands, or does not.
    pub async fn until_session(&self, whole: bool) {
        for _ in 0..60_000 {
            if self.report().await.session == whole {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: session never became {whole}", self.node);
    }

    /// bsr of this site connects, as soon as it is let in.
    pub async fn connect(&self) -> Box<dyn Stream> {
        for _ in 0..60_000 {
            let dial = self.net.connect(self.inside, Some(self.bsr.ip()), &SocketOptions::local()).await;
            if let Ok(stream) = dial {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: inside never let bsr in", self.node);
    }

    /// bsr of this site opens a connection and says its first packet.
    pub async fn open(&self, channel_type: ChannelType) -> Box<dyn Stream> {
        let mut stream = self.connect().await;
        stream.write_all(&first_packet::bytes(channel_type)).await.unwrap();
        stream
    }

    pub async fn listen(&self) -> Box<dyn Listener> {
        self.net.listen(self.bsr, 8, &SocketOptions::local()).await.unwrap()
    }
}

/// bsr takes a connection, whose first packet is read.
pub async fn take(listener: &mut Box<dyn Listener>) -> (ChannelType, Box<dyn Stream>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut packet = [0; 8];
    stream.read_exact(&mut packet).await.unwrap();
    (first_packet::parse(packet).unwrap(), stream)
}

/// A whole session, the BSR way: site one opens meta, site two data.
pub struct Session {
    pub data: [Box<dyn Stream>; 2],
    pub meta: [Box<dyn Stream>; 2],
    pub listeners: [Box<dyn Listener>; 2],
}

pub async fn establish(one: &Site, two: &Site) -> Session {
    let mut listeners = [one.listen().await, two.listen().await];
    let data_two = two.open(ChannelType::Data).await;
    let (kind, data_one) = take(&mut listeners[0]).await;
    assert_eq!(kind, ChannelType::Data);
    let meta_one = one.open(ChannelType::Meta).await;
    let (kind, meta_two) = take(&mut listeners[1]).await;
    assert_eq!(kind, ChannelType::Meta);
    one.until_session(true).await;
    two.until_session(true).await;
    Session { data: [data_one, data_two], meta: [meta_one, meta_two], listeners }
}

/// Runs on an arbiter of its own whose clock moves only when everything waits.
pub fn simulated(test: impl Future<Output = ()> + 'static) {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(test);
}
