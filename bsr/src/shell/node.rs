//! A running node: its core, between two connections, a disk, applications and an operator.

use std::sync::Arc;

use bytes::Bytes;
use slog::{Logger, o};
use tokio::sync::{mpsc, oneshot, watch};

use crate::core::{Order, Protocol, Refusal, Request, RequestError, Status};
use crate::shell::nbd::{Address, InUse};
use crate::shell::requests::{self, Requests};
use crate::shell::settings::Settings;
use crate::shell::status::Report;
use crate::shell::store::StoreError;
use crate::shell::volume::Volume;

mod random;
mod run;

use random::Random;
use run::Runner;

/// A running node. All clones are of the same one; without any of them it ends as by [`Handle::kill`].
#[derive(Clone, Debug)]
pub struct Handle {
    wishes: mpsc::Sender<Wish>,
    requests: Requests,
    status: watch::Receiver<Status>,
    end: watch::Receiver<Option<End>>,
    identity: Arc<Identity>,
}

/// What of a node never changes.
#[derive(Debug)]
struct Identity {
    name: String,
    protocol: Protocol,
    /// The NBD server, if there is one.
    nbd: Option<(Address, InUse)>,
}

/// How a node has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was ordered: everything is saved.
    Down,
    /// By [`Handle::kill`]: nothing was saved for it.
    Killed,
    /// It could not go on.
    Failed(String),
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its volume, or what is kept beside it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Its NBD server cannot listen.
    #[error("cannot serve NBD: {0}")]
    Nbd(#[source] std::io::Error),
    /// What else it needs.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

/// What comes from the handles.
#[derive(Debug)]
enum Wish {
    Order(Order, oneshot::Sender<Result<(), Refusal>>),
    /// The status is to be told as it is now.
    Tell(oneshot::Sender<()>),
    Kill,
}

/// Starts a node on the current runtime: a task that owns everything of it. It is StandAlone until it is ordered to
/// connect, unless `connect`.
///
/// # Errors
/// Its volume or metadata cannot be used.
pub async fn start(settings: &Settings, connect: bool, log: &Logger) -> Result<Handle, StartError> {
    let log = log.new(o!("node" => settings.name.clone()));
    let random = Random::open().map_err(|error| StartError::System { what: "open /dev/urandom", error })?;
    let disk = Volume::open(&settings.volume, &settings.metadata)?;
    let (wishes, wishes_queue) = mpsc::channel(WISHES);
    let (requests, requests_queue) = mpsc::channel(requests::WAITING);
    let mut runner = Runner::new(settings, disk, random, wishes_queue, requests_queue, log)
        .map_err(|error| StartError::System { what: "read /dev/urandom", error })?;
    let nbd = match &settings.nbd {
        Some(address) => {
            Some(runner.serve_nbd(address, &settings.name, requests.clone()).map_err(StartError::Nbd)?)
        }
        None => None,
    };
    let identity = Arc::new(Identity { name: settings.name.clone(), protocol: settings.core.protocol, nbd });
    let status = runner.subscribe();
    let (ended, end) = watch::channel(None);
    tokio::spawn(async move {
        let how = runner.run().await;
        ended.send_replace(Some(how));
    });
    let handle = Handle { wishes, requests, status, end, identity };
    if connect {
        // It is refused by nobody: the node has only just begun.
        let _ = handle.order(Order::Connect { discard_my_data: false }).await;
    }
    Ok(handle)
}

impl Handle {
    /// Gives an order, and waits until it is done. Dropping the future does not take it back.
    ///
    /// # Errors
    /// The node's refusal; [`Refusal::Interrupted`] if it ended meanwhile.
    pub async fn order(&self, order: Order) -> Result<(), Refusal> {
        let gone = |_| Err(Refusal::Interrupted("the node has ended".to_owned()));
        self.begin(order).await.await.unwrap_or_else(gone)
    }

    /// Gives an order, and returns where it will be told when it is done. Nothing is told if the node ended meanwhile.
    pub async fn begin(&self, order: Order) -> oneshot::Receiver<Result<(), Refusal>> {
        let (reply, answer) = oneshot::channel();
        // If nobody takes it, the other end goes with it.
        let _ = self.wishes.send(Wish::Order(order, reply)).await;
        answer
    }

    /// Asks for a part of the volume, and waits until it is done.
    ///
    /// # Errors
    /// The node's; [`RequestError::Down`] if it has ended.
    pub async fn request(&self, request: Request) -> Result<Bytes, RequestError> {
        requests::ask(&self.requests, request).await
    }

    /// The way for those who have many requests.
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// How it is: its state as of now, its figures as of some 20 ms ago at most.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How it is, all of it as of now.
    pub async fn status_now(&self) -> Status {
        let (told, telling) = oneshot::channel();
        // Without a node it stays as it was last.
        let _ = self.wishes.send(Wish::Tell(told)).await;
        let _ = telling.await;
        self.status()
    }

    /// How it is, in words: as [`Handle::status`].
    pub fn report(&self) -> Report {
        let Identity { name, protocol, nbd } = &*self.identity;
        let clients = nbd.as_ref().map_or(0, |(_, in_use)| in_use.clients() as u64);
        Report::new(name, *protocol, clients, &self.status.borrow())
    }

    /// Where its NBD server listens, if it has one: with the port that it got for port 0.
    pub fn nbd(&self) -> Option<&Address> {
        self.identity.nbd.as_ref().map(|(address, _)| address)
    }

    /// Waits until it is so; false if the node ended before. States that come and go within a turn of the node may be
    /// missed.
    pub async fn until(&self, met: impl FnMut(&Status) -> bool) -> bool {
        self.status.clone().wait_for(met).await.is_ok()
    }

    /// Ends it as SIGKILL would: the connections are closed, nothing is saved. Completes when its files are free.
    pub async fn kill(&self) -> End {
        // If nobody takes it any more, it has ended.
        let _ = self.wishes.send(Wish::Kill).await;
        self.ended().await
    }

    /// Waits until it has ended, and its files are free.
    pub async fn ended(&self) -> End {
        match self.end.clone().wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Killed),
            Err(_) => End::Failed("the node has panicked".to_owned()),
        }
    }
}

/// Orders that may wait.
const WISHES: usize = 64;
