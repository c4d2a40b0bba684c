//! A daemon with everything but the relay, which is a fake that does what the test says; or with a real one
//! over a network in memory.
#![allow(dead_code, reason = "each test program uses its part")]

use std::future::pending;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler, ResponseFuture};
use drx::control::{Additions, ControlSocket, Identity, Limits, Server};
use drx::daemon::{Failure, RelayHandle, WISHES, Wish, serve};
use drx::{logging, signals};
use drx_actors::api::{Compress, Operate, Refusal, Resize, Resized, Settings, Shutdown, Snapshot, Unflushed};
use drx_actors::net::MemoryNet;
use drx_actors::relay::Relay;
use drx_protocol::report::{
    BabReport, ChannelReport, CompressionReport, RelayReport, ResourceReport, select,
};
use drx_protocol::{ChannelType, Lane, LinkId, Role, State};
use serde_json::Value;
use slog::{Logger, o};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// How the fake behaves, and what it was told.
pub struct Script {
    pub operated: Mutex<Vec<Operate>>,
    pub shutdowns: Mutex<Vec<Shutdown>>,
    /// Says nothing any more.
    pub mute: AtomicBool,
    /// Panics at the next `Snapshot`.
    pub dying: AtomicBool,
    /// Whether what waits may be answered: commands with `wait`, and a shutdown's flush.
    pub done: watch::Sender<bool>,
    /// Left behind by a shutdown.
    pub unflushed: Mutex<u64>,
}

struct Fake(Arc<Script>);

impl Actor for Fake {
    type Context = Context<Fake>;
}

impl Handler<Snapshot> for Fake {
    type Result = ResponseFuture<RelayReport>;

    fn handle(&mut self, _: Snapshot, _: &mut Context<Fake>) -> ResponseFuture<RelayReport> {
        assert!(!self.0.dying.load(Ordering::SeqCst), "told to die");
        if self.0.mute.load(Ordering::SeqCst) {
            return Box::pin(pending());
        }
        Box::pin(async { report() })
    }
}

impl Handler<Operate> for Fake {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(&mut self, operate: Operate, _: &mut Context<Fake>) -> Self::Result {
        let script = Arc::clone(&self.0);
        script.operated.lock().unwrap().push(operate.clone());
        let known = operate.name == "all" || report().resources.iter().any(|r| r.is_named(&operate.name));
        Box::pin(async move {
            if !known {
                return Err(Refusal::UnknownName(operate.name));
            }
            if operate.wait {
                script.done.subscribe().wait_for(|done| *done).await.unwrap();
            }
            Ok(())
        })
    }
}

impl Handler<Compress> for Fake {
    type Result = Result<Vec<String>, Refusal>;

    fn handle(&mut self, Compress { name, .. }: Compress, _: &mut Context<Fake>) -> Self::Result {
        let chosen = select(report().resources, &name);
        if chosen.is_empty() {
            return Err(Refusal::UnknownName(name));
        }
        Ok(chosen.iter().map(ResourceReport::connection).collect())
    }
}

/// r0 holds 3 MiB, and there is no room for more than 1 GiB.
impl Handler<Resize> for Fake {
    type Result = Result<Vec<Resized>, Refusal>;

    fn handle(&mut self, Resize { name, size }: Resize, _: &mut Context<Fake>) -> Self::Result {
        let chosen = select(report().resources, &name);
        if chosen.is_empty() {
            return Err(Refusal::UnknownName(name));
        }
        let needed = size * chosen.len() as u64 + (8 << 20);
        if needed > 1 << 30 {
            return Err(Refusal::OverTotal { needed, total: 1 << 30 });
        }
        let held = |resource: &ResourceReport| if resource.name == "r0" { 3 << 20 } else { 0 };
        let resized = |resource: ResourceReport| Resized {
            connection: resource.connection(),
            size,
            held: held(&resource),
        };
        Ok(chosen.into_iter().map(resized).collect())
    }
}

impl Handler<Shutdown> for Fake {
    type Result = ResponseFuture<Unflushed>;

    fn handle(&mut self, shutdown: Shutdown, _: &mut Context<Fake>) -> ResponseFuture<Unflushed> {
        let script = Arc::clone(&self.0);
        script.shutdowns.lock().unwrap().push(shutdown);
        Box::pin(async move {
            if !shutdown.at_once {
                script.done.subscribe().wait_for(|done| *done).await.unwrap();
            }
            Unflushed { bytes: *script.unflushed.lock().unwrap() }
        })
    }
}

/// node1's, with 1 GiB for its BABs.
fn empty_relay(log: &Logger) -> Relay {
    let settings =
        Settings { node: "node1".to_owned(), resources: Vec::new(), bab_total: 1 << 30, arbiters: 0 };
    Relay::new(settings, Arc::new(MemoryNet::new()), log.clone())
}

/// What the fake reports: r1, then r0, channels in disorder.
pub fn report() -> RelayReport {
    let resource = |name: &str| ResourceReport {
        name: name.to_owned(),
        remote: "node2".to_owned(),
        local: "node1".to_owned(),
        session: true,
        situation: "everything is connected".to_owned(),
        trouble: Vec::new(),
        restarts: 0,
        channels: vec![
            channel(name, Role::Connector, ChannelType::Meta),
            channel(name, Role::Acceptor, ChannelType::Data),
        ],
    };
    RelayReport {
        node: "node1".to_owned(),
        version: "1.2.3".to_owned(),
        uptime_seconds: 17.0,
        resources: vec![resource("r1"), resource("r0")],
    }
}

fn channel(resource: &str, role: Role, channel_type: ChannelType) -> ChannelReport {
    ChannelReport {
        connection: format!("{resource}-node2-node1"),
        role,
        lane: Lane::Zero,
        channel_type: Some(channel_type),
        standing: State::Established.into(),
        link_up: true,
        in_use: true,
        link: Some(LinkId(1)),
        attempt: 4,
        since_seconds: 192.0,
        last_stop: None,
        restarts: 0,
        failures: 0,
        bsr_address: Some("10.77.1.2:7789".to_owned()),
        local_address: Some("10.77.1.1:7788".to_owned()),
        remote_address: Some("10.77.9.2:7780".to_owned()),
        bab: BabReport { size: 64 << 20, high_mark: 48 << 20, ..BabReport::default() },
        rtt_seconds: Some(0.0512),
        remote: Some(State::Established.into()),
        bytes_out: 1 << 30,
        bytes_in: 4096,
        compression: CompressionReport::default(),
        stale_frames: 0,
        resumes: 0,
        strays: 0,
        held_pings: 0,
    }
}

/// A daemon in a thread of its own. It is stopped when this is dropped.
pub struct Daemon {
    pub socket: PathBuf,
    pub script: Arc<Script>,
    pub wishes: mpsc::Sender<Wish>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
    dir: TempDir,
}

impl Daemon {
    pub fn start(limits: Limits) -> Daemon {
        Daemon::start_with(limits, false)
    }

    /// One that obeys signals, as `drxd` does.
    pub fn with_signals() -> Daemon {
        Daemon::start_with(Limits::default(), true)
    }

    /// One whose relay is real and carries nothing yet.
    pub fn with_relay() -> Daemon {
        Daemon::start_as(Limits::default(), false, false)
    }

    fn start_with(limits: Limits, with_signals: bool) -> Daemon {
        Daemon::start_as(limits, with_signals, true)
    }

    fn start_as(limits: Limits, with_signals: bool, with_fake: bool) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("drx.sock");
        let log_file = dir.path().join("drx.log");
        let script = Arc::new(Script {
            operated: Mutex::default(),
            shutdowns: Mutex::default(),
            mute: AtomicBool::new(false),
            dying: AtomicBool::new(false),
            done: watch::Sender::new(false),
            unflushed: Mutex::new(0),
        });
        let (wishes, wished) = mpsc::channel(WISHES);
        let (ready, started) = std::sync::mpsc::channel();
        let claimed = ControlSocket::claim(&socket).unwrap();
        let (fake, wish) = (Fake(Arc::clone(&script)), wishes.clone());
        let thread = thread::spawn(move || {
            let log_settings = drx_config::Log { level: drx_config::Level::Debug, file: Some(log_file) };
            let (root, flush) = logging::open(&log_settings).unwrap();
            let log = root.new(o!("node" => "node1"));
            actix::System::new().block_on(async {
                if with_signals {
                    signals::forward(wish.clone()).unwrap();
                }
                ready.send(()).unwrap();
                let mut relay = RelayHandle::of(empty_relay(&log).start());
                if with_fake {
                    let fake = fake.start();
                    relay = RelayHandle {
                        snapshot: fake.clone().recipient(),
                        operate: fake.clone().recipient(),
                        resize: fake.clone().recipient(),
                        compress: fake.clone().recipient(),
                        shutdown: fake.recipient(),
                        ..relay
                    };
                }
                let identity = Identity { version: "1.2.3".to_owned(), node: "node1".to_owned() };
                let defaults = drx_config::load(&drx_config::Sources::new("node1")).unwrap().defaults;
                let additions = Additions::new(defaults, |_| false);
                let server = Server {
                    identity,
                    limits,
                    relay: relay.clone(),
                    additions,
                    wishes: wish,
                    log: log.clone(),
                    threshold: flush.threshold(),
                };
                serve(&claimed, server, relay, wished, &log).await
            })
        });
        started.recv_timeout(PATIENCE).unwrap();
        Daemon { socket, script, wishes, thread: Some(thread), dir }
    }

    pub fn connect(&self) -> Client {
        Client::new(UnixStream::connect(&self.socket).unwrap())
    }

    /// A connection's one request and its answer.
    pub fn ask(&self, request: &str) -> Value {
        let mut client = self.connect();
        client.send(request);
        client.receive()
    }

    /// Whether there was a place for this request.
    pub fn ask_if_open(&self, request: &str) -> bool {
        let mut client = self.connect();
        // Turned away, it may be closed already.
        let _ = client.stream().write_all(format!("{request}\n").as_bytes());
        client.receive()["result"].is_object()
    }

    /// Waits until the daemon has ended; what it said in the end, and its log.
    pub fn join(mut self) -> (Result<(), Failure>, String) {
        let thread = self.thread.take().unwrap();
        wait_for("the daemon to end", || thread.is_finished());
        let ended = thread.join().unwrap();
        (ended, self.log())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("drx.log")).unwrap()
    }

    pub fn operated(&self) -> Vec<String> {
        let operated = self.script.operated.lock().unwrap();
        operated.iter().map(|o| format!("{:?} {} {}", o.verb, o.name, o.wait)).collect()
    }

    pub fn shutdowns(&self) -> Vec<bool> {
        self.script.shutdowns.lock().unwrap().iter().map(|shutdown| shutdown.at_once).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.wishes.try_send(Wish::StopNow { why: "the test is over" });
            let _ = thread.join();
        }
    }
}

/// A connection to the control socket.
pub struct Client(BufReader<UnixStream>);

impl Client {
    fn new(stream: UnixStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn stream(&mut self) -> &mut UnixStream {
        self.0.get_mut()
    }

    pub fn send(&mut self, request: &str) {
        self.stream().write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    pub fn receive(&mut self) -> Value {
        self.line().expect("a response")
    }

    /// The next response, or none if the daemon closed.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                assert!(line.ends_with('\n'), "{line:?}");
                Some(serde_json::from_str(&line).unwrap())
            }
            // Bytes of ours were left unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits for a condition, which must come.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

pub const PATIENCE: Duration = Duration::from_secs(20);
