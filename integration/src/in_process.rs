//! A relay in this process, over the kernel's TCP, whose actors can be made to panic.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix::{Actor, Addr, System};
use drx_actors::api::{
    BabSettings, Backing, LinkSettings, Panic, Proxy, Reserve, ResourceSettings, Settings, Snapshot, Victim,
};
use drx_actors::net::{Congestion, TcpNet};
use drx_actors::relay::Relay;
use drx_protocol::codec::Compression;
use drx_protocol::report::RelayReport;
use drx_protocol::restart::{Policy, Settings as RestartSettings};
use slog::{Drain, KV, Key, Logger, Never, OwnedKVList, Record, Serializer};

use crate::log::Log;
use crate::pair::{Node, Places};

/// One relay with threads of its own. Dropped, it ends.
#[derive(Debug)]
pub struct InProcess {
    name: String,
    settings: Settings,
    life: Option<Life>,
    log: Arc<Mutex<String>>,
}

/// A relay from its start to its end.
#[derive(Debug)]
struct Life {
    relay: Addr<Relay>,
    system: System,
    thread: JoinHandle<()>,
}

impl InProcess {
    /// Starts a relay whose actors may be struck.
    pub fn start_new(places: &Places, restart: RestartSettings, resume_timeout: Duration) -> InProcess {
        let settings = settings(places, restart, resume_timeout);
        let mut relay = InProcess { name: places.node.clone(), settings, life: None, log: Arc::default() };
        relay.start();
        relay
    }

    /// Starts it: another life, with another epoch.
    pub fn start(&mut self) {
        assert!(self.life.is_none(), "{} runs already", self.name);
        let root = Logger::root(Lines(Arc::clone(&self.log)), slog::o!());
        let settings = self.settings.clone();
        let (started, relay) = mpsc::channel();
        let thread = thread::spawn(move || {
            let system = System::new();
            system.block_on(async {
                let relay = Relay::new(settings, Arc::new(TcpNet), root).with_faults().start();
                started.send((relay, System::current())).unwrap();
            });
            system.run().unwrap();
        });
        let (relay, system) = relay.recv().expect("the relay starts");
        self.life = Some(Life { relay, system, thread });
    }

    /// Ends it as a power failure would: its actors are dropped in the midst of what they do.
    pub fn kill(&mut self) {
        if let Some(Life { system, thread, .. }) = self.life.take() {
            system.stop();
            let _ = thread.join();
        }
    }

    fn relay(&self) -> &Addr<Relay> {
        &self.life.as_ref().expect("the relay runs").relay
    }

    /// Makes an actor of the resource panic.
    pub fn strike(&self, resource: &str, victim: Victim) {
        let panic = Panic { resource: resource.to_owned(), victim };
        wait_for(self.relay().send(panic)).expect("the relay answers").expect("faults are allowed");
    }

    /// What it has logged, the end of it: the process is to stay small however long it runs.
    pub fn log(&self) -> Log {
        Log::new(self.log.lock().unwrap().clone())
    }
}

impl Node for InProcess {
    fn report(&self) -> Result<RelayReport, String> {
        wait_for(self.relay().send(Snapshot)).map_err(|error| error.to_string())
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("--- the last lines of {} ---\n{}", self.name, self.log().tail(60));
        }
        self.kill();
    }
}

/// An answer of an actor on another thread.
fn wait_for<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(answer)
}

fn settings(places: &Places, restart: RestartSettings, resume_timeout: Duration) -> Settings {
    let Places { node, resource, remote, bsr, inside, outside, peer } = places.clone();
    let link = LinkSettings {
        resume_timeout,
        hold_pings: false,
        close_pending_timeout: Duration::from_secs(5),
        keepalive_interval: Duration::from_secs(1),
        keepalive_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        window: 1 << 20,
        congestion: Congestion::System,
        checksum: true,
        compression: Compression::None,
    };
    let restart = Policy::new(restart).unwrap();
    let bab = BabSettings { size: 4 << 20, reserve: Reserve::Auto, backing: Backing::Memory };
    let (local, proxy) = (node.clone(), Proxy::default());
    let name = resource;
    let resource =
        ResourceSettings { name, remote, local, bsr, inside, outside, peer, bab, link, restart, proxy };
    Settings { node, resources: vec![resource], bab_total: 8 << 30, arbiters: 1 }
}

/// Writes lines as `drxd` does, as far as [`Log`] reads them.
#[derive(Debug)]
struct Lines(Arc<Mutex<String>>);

impl Drain for Lines {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut line = Line(format!("{} {}", record.level().as_short_str(), record.msg()));
        // Writing to a string does not fail.
        let _ = values.serialize(record, &mut line);
        let _ = record.kv().serialize(record, &mut line);
        // A panic elsewhere must not take the log along.
        let mut log = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        log.push_str(&line.0.replace('\n', " "));
        log.push('\n');
        if log.len() > MOST_LOG {
            let half = log.len() / 2;
            let line = log.as_bytes()[half..].iter().position(|&byte| byte == b'\n');
            let end = line.map_or(log.len(), |line| half + line + 1);
            log.drain(..end);
        }
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!(", {key}: {value}"));
        Ok(())
    }
}

/// Bytes of log that are kept, half of them at least.
const MOST_LOG: usize = 1 << 20;
