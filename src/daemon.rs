//! The daemon: starts the relay, hands on what operators and the system want, stops the relay.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, MailboxError, Recipient};
use drx_actors::api::{
    Add, Compress, Describe, Operate, Remove, Resize, SetProxy, Settings, Shutdown, Snapshot, Unflushed,
};
use drx_actors::net::TcpNet;
use drx_actors::relay::Relay;
use drx_config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, info, o, warn};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::control::{Additions, ControlSocket, Identity, Limits, Server};
use crate::settings::{SettingsError, settings};
use crate::{logging, signals};

/// The running relay, as the daemon sees it.
#[derive(Clone, Debug)]
pub struct RelayHandle {
    /// Asks for its state.
    pub snapshot: Recipient<Snapshot>,
    /// Carries out operators' commands.
    pub operate: Recipient<Operate>,
    /// Makes its BABs larger or smaller.
    pub resize: Recipient<Resize>,
    /// Changes what its links pack with.
    pub compress: Recipient<Compress>,
    /// Adds a connection.
    pub add: Recipient<Add>,
    /// Removes one.
    pub remove: Recipient<Remove>,
    /// Tells the settings in force.
    pub describe: Recipient<Describe>,
    /// Keeps proxy settings.
    pub set_proxy: Recipient<SetProxy>,
    /// Stops it.
    pub shutdown: Recipient<Shutdown>,
}

impl RelayHandle {
    /// The handle of a relay, or of what stands in for one.
    pub fn of<A>(relay: Addr<A>) -> RelayHandle
    where
        A: Actor<Context = Context<A>>
            + Handler<Snapshot>
            + Handler<Operate>
            + Handler<Resize>
            + Handler<Compress>
            + Handler<Add>
            + Handler<Remove>
            + Handler<Describe>
            + Handler<SetProxy>
            + Handler<Shutdown>,
    {
        RelayHandle {
            snapshot: relay.clone().recipient(),
            operate: relay.clone().recipient(),
            resize: relay.clone().recipient(),
            compress: relay.clone().recipient(),
            add: relay.clone().recipient(),
            remove: relay.clone().recipient(),
            describe: relay.clone().recipient(),
            set_proxy: relay.clone().recipient(),
            shutdown: relay.recipient(),
        }
    }

    /// Whether there still is a relay.
    fn lives(&self) -> bool {
        self.snapshot.connected()
    }
}

/// Starts the relay, over the kernel's network. Called within the actix system, on its first arbiter.
fn start(settings: Settings, log: &Logger) -> RelayHandle {
    RelayHandle::of(Relay::new(settings, Arc::new(TcpNet), log.clone()).start())
}

/// What somebody wants of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Flush, then end. Wished again, it changes nothing.
    Stop {
        /// For the log.
        why: &'static str,
    },
    /// End without flushing any further.
    StopNow {
        /// For the log.
        why: &'static str,
    },
    /// Read the configuration again.
    Reload,
}

/// Runs the relay until it is told to stop. The control socket is there for as long as this runs.
///
/// # Errors
/// Everything that keeps it from running, or ends it without being told; it is in the log, too, if
/// there is one by then.
pub fn run(config: &Config) -> Result<(), Failure> {
    let settings = settings(config)?;
    let socket = ControlSocket::claim(&config.control.socket).map_err(Failure::start)?;
    let (root, flush) = logging::open(&config.log).map_err(Failure::start)?;
    let log = root.new(o!("node" => settings.node.clone()));
    logging::log_panics(log.clone());
    announce(config, &settings, socket.path(), &log);
    raise_limits(&log);

    let ran = actix::System::new().block_on(async {
        let (wish, wishes) = mpsc::channel(WISHES);
        signals::forward(wish.clone()).map_err(|error| Failure::start(Signals(error)))?;
        let identity = Identity { version: VERSION.to_owned(), node: settings.node.clone() };
        let relay = start(settings, &log);
        let limits = Limits::default();
        let additions = Additions::new(config.defaults.clone(), drx_config::is_local);
        let server = Server {
            identity,
            limits,
            relay: relay.clone(),
            additions,
            wishes: wish,
            log: log.clone(),
            threshold: flush.threshold(),
        };
        serve(&socket, server, relay, wishes, &log).await
    });
    match &ran {
        Ok(()) => info!(log, "drxd has stopped"),
        Err(failure) => slog::crit!(log, "drxd has failed"; "why" => %failure),
    }
    ran
}

/// Strangers may hold some hundred descriptors for seconds; bsr and `drx-ctl` must not go short for it.
/// And `bab.backing = "locked"` may use what the administrator allows.
fn raise_limits(log: &Logger) {
    for (resource, what) in [(Resource::Nofile, "open files"), (Resource::Memlock, "locked memory")] {
        let limit = getrlimit(resource);
        let raised = Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(resource, raised) {
            warn!(log, "cannot raise the limit of {what}"; "error" => %error, "limit" => ?limit.current);
        }
    }
}

/// Serves the control socket and waits for wishes, until one of them stops the relay.
///
/// # Errors
/// The relay ended by itself, or nobody can be served.
pub async fn serve(
    socket: &ControlSocket,
    server: Server,
    relay: RelayHandle,
    mut wishes: mpsc::Receiver<Wish>,
    log: &Logger,
) -> Result<(), Failure> {
    let operations = async {
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Reload) => warn_of_reload(log),
                    Some(Wish::Stop { why }) => return stop(&relay, &mut wishes, why, log).await,
                    Some(Wish::StopNow { why }) => return stop_now(&relay, why, log).await,
                    // Only our own end drops the last sender, which is the server's.
                    None => return Err(Failure::RelayEnded),
                },
                // While it is being stopped its end is no failure.
                () = end_of(&relay) => return Err(Failure::RelayEnded),
            }
        }
    };
    tokio::select! {
        stopped = operations => stopped,
        Err(error) = server.serve(socket) => Err(Failure::Control(error)),
    }
}

/// Why the daemon ends without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration asks for what the relay cannot do.
    #[error(transparent)]
    Configuration(#[from] SettingsError),
    /// It cannot start.
    #[error("{0}")]
    Start(String),
    /// The control socket broke.
    #[error("the control socket cannot be served: {0}")]
    Control(io::Error),
    /// The relay's actor is gone.
    #[error("the relay has ended by itself, which is a fault in it; the log says more")]
    RelayEnded,
}

impl Failure {
    fn start(error: impl std::error::Error) -> Failure {
        Failure::Start(error.to_string())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot wait for signals: {0}")]
struct Signals(io::Error);

/// The first lines of the log.
fn announce(config: &Config, settings: &Settings, socket: &Path, log: &Logger) {
    info!(log, "drxd starts";
        "version" => VERSION,
        "resources" => settings.resources.len(),
        "arbiters" => settings.arbiters,
        "control" => %socket.display());
    for warning in &config.warnings {
        warn!(log, "configuration: {warning}");
    }
    warn!(log, "the link is plain TCP: whoever can reach it can read and change what is replicated");
    if settings.resources.is_empty() {
        warn!(log, "the configuration names no resources: nothing is relayed until a connection is added");
    }
}

/// Stops the relay, flushing what it holds; a second signal cuts that short.
async fn stop(
    relay: &RelayHandle,
    wishes: &mut mpsc::Receiver<Wish>,
    why: &'static str,
    log: &Logger,
) -> Result<(), Failure> {
    info!(log, "stopping: what the BABs hold is being flushed"; "why" => why);
    let stopping = relay.shutdown.send(Shutdown { at_once: false });
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            left = &mut stopping => return stopped(left, log),
            wish = wishes.recv() => match wish {
                Some(Wish::StopNow { why }) => return stop_now(relay, why, log).await,
                Some(Wish::Reload) => warn_of_reload(log),
                Some(Wish::Stop { why }) => info!(log, "stopping already"; "why" => why),
                None => return stopped(stopping.await, log),
            },
        }
    }
}

async fn stop_now(relay: &RelayHandle, why: &'static str, log: &Logger) -> Result<(), Failure> {
    info!(log, "stopping at once"; "why" => why);
    match timeout(AT_ONCE_LIMIT, relay.shutdown.send(Shutdown { at_once: true })).await {
        Ok(left) => stopped(left, log),
        Err(_) => {
            warn!(log, "the relay does not stop: its sockets are closed with the process";
                "unflushed" => "not known");
            Ok(())
        }
    }
}

fn stopped(left: Result<Unflushed, MailboxError>, log: &Logger) -> Result<(), Failure> {
    let Unflushed { bytes } = left.map_err(|_| Failure::RelayEnded)?;
    if bytes > 0 {
        warn!(log, "bytes of bsr's were left unflushed: the other relays have not acknowledged them";
            "bytes" => bytes);
    }
    Ok(())
}

fn warn_of_reload(log: &Logger) {
    warn!(log, "reload is not available yet; restart drxd to change its configuration");
}

/// Completes when the relay's actor is gone: a panic ends one without a word to anybody.
async fn end_of(relay: &RelayHandle) {
    let mut turns = interval(LIFE_INTERVAL);
    while relay.lives() {
        turns.tick().await;
    }
}

/// This program's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Signals and shutdown commands that wait for the main loop.
pub const WISHES: usize = 16;
/// What the relay has to close its sockets at once.
const AT_ONCE_LIMIT: Duration = Duration::from_secs(2);
const LIFE_INTERVAL: Duration = Duration::from_secs(1);
