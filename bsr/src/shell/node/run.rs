//! The task that a node is: one event in, all its actions done, then the next.

use std::collections::HashMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slog::{Logger, crit, info};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::random::Random;
use super::{End, Wish};
use crate::core::{Event, Id, Node, Order, Refusal, Request, RequestError, State, Status, Time};
use crate::shell::nbd::{self, Address, Export, InUse};
use crate::shell::opening::{Connections, OpeningSettings};
use crate::shell::requests::{Ask, Requests};
use crate::shell::settings::Settings;
use crate::shell::volume::{Completion, Completions, Volume};
use crate::shell::wires::Wires;
use crate::wire::Role;

mod actions;

use actions::tell;

/// Everything of a node.
pub(super) struct Runner {
    node: Node,
    line: Line,
    /// Connections that are given up, as soon as what was sent on them is out.
    finishing: JoinSet<()>,
    volume: Volume,
    completions: Completions,
    wishes: mpsc::Receiver<Wish>,
    asks: mpsc::Receiver<Ask>,
    asked: HashMap<Id, Asked>,
    /// The bytes of all that are asked for.
    asked_bytes: u64,
    ordered: HashMap<Id, Ordered>,
    next: Id,
    /// What there is for NBD clients, and how many there are.
    export: watch::Sender<Export>,
    nbd: Option<(InUse, JoinHandle<()>)>,
    network: OpeningSettings,
    send_timeout: Duration,
    random: Random,
    status: watch::Sender<Status>,
    /// The state that was told last, and when figures are to be told, if there may be new ones.
    told: State,
    untold: Option<Instant>,
    begin: Instant,
    /// How it is to end, and who is to be told.
    end: Option<(End, Option<Reply<(), Refusal>>)>,
    log: Logger,
}

/// The connections, as they are.
enum Line {
    Closed,
    Opening(Pin<Box<dyn Future<Output = Connections> + Send>>),
    Open(Box<Wires>),
}

type Reply<T, E> = oneshot::Sender<Result<T, E>>;

struct Asked {
    reply: Reply<Bytes, RequestError>,
    bytes: u64,
}

struct Ordered {
    reply: Reply<(), Refusal>,
    down: bool,
}

/// What there is to do next.
enum Turn {
    Due,
    Wires,
    Opened(Connections),
    Disk(Option<Completion>),
    Ask(Ask),
    Wish(Option<Wish>),
    Finished,
}

impl Runner {
    pub(super) fn new(
        settings: &Settings,
        (volume, loaded, completions): (Volume, crate::metadata::Loaded, Completions),
        mut random: Random,
        wishes: mpsc::Receiver<Wish>,
        asks: mpsc::Receiver<Ask>,
        log: Logger,
    ) -> std::io::Result<Runner> {
        let seed = random.number()?;
        let node = Node::new(settings.core.clone(), volume.bytes(), loaded, seed, Time::ZERO);
        let begin = Instant::now();
        let state = node.state();
        Ok(Runner {
            export: watch::Sender::new(Export { primary: false, bytes: volume.bytes() }),
            nbd: None,
            status: watch::Sender::new(node.status()),
            told: state,
            untold: None,
            node,
            line: Line::Closed,
            finishing: JoinSet::new(),
            volume,
            completions,
            wishes,
            asks,
            asked: HashMap::new(),
            asked_bytes: 0,
            ordered: HashMap::new(),
            next: 0,
            network: settings.network.clone(),
            send_timeout: settings.core.timeout,
            random,
            begin,
            end: None,
            log,
        })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Listens for NBD clients, on the current runtime.
    pub(super) fn serve_nbd(
        &mut self,
        address: &Address,
        name: &str,
        requests: Requests,
    ) -> std::io::Result<(Address, InUse)> {
        let log = self.log.clone();
        let note: nbd::Note = Arc::new(move |severity, line| tell(&log, severity, &line));
        let server = nbd::Server::bind(address, name, requests, self.export.subscribe(), note)?;
        let (address, in_use) = (server.address().clone(), server.in_use());
        self.nbd = Some((in_use.clone(), tokio::spawn(server.serve())));
        Ok((address, in_use))
    }

    pub(super) async fn run(mut self) -> End {
        // What it wants before anything happens.
        self.act();
        loop {
            if let Some((end, reply)) = self.end.take() {
                return self.finish(end, reply).await;
            }
            self.tell();
            // Here, and not only in turn: with much to do a deadline would come late.
            if self.node.deadline().is_some_and(|deadline| deadline <= self.now()) {
                self.handle(Event::Timer);
            }
            self.push();
            match self.turn().await {
                // What is due is done above.
                Turn::Due | Turn::Finished => {}
                Turn::Wires => self.packets(),
                Turn::Opened(connections) => self.opened(connections),
                Turn::Disk(done) => self.disk(done),
                Turn::Ask(ask) => self.ask(ask),
                Turn::Wish(wish) => self.wish(wish),
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let data = self.takes_data();
        let takes_asks = self.asked.len() < ASKED && self.asked_bytes < ASKED_BYTES;
        let deadline = self.node.deadline().and_then(|deadline| self.begin.checked_add(deadline));
        let due = deadline.into_iter().chain(self.untold).min();
        tokio::select! {
            () = at(due) => Turn::Due,
            turn = progress(&mut self.line, data) => turn,
            done = self.completions.recv() => Turn::Disk(done),
            Some(ask) = self.asks.recv(), if takes_asks => Turn::Ask(ask),
            wish = self.wishes.recv() => Turn::Wish(wish),
            Some(_) = self.finishing.join_next() => Turn::Finished,
        }
    }

    /// What the peer sends is read only as fast as it can be written.
    fn takes_data(&self) -> bool {
        self.node.backlog() < BACKLOG
    }

    fn now(&self) -> Time {
        self.begin.elapsed()
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        self.untold.get_or_insert(now + FIGURES);
        self.node.handle(now.duration_since(self.begin), event);
        self.act();
    }

    fn disk(&mut self, first: Option<Completion>) {
        self.completed(first);
        for _ in 1..COMPLETIONS {
            match self.completions.try_recv() {
                Ok(next) => self.completed(Some(next)),
                Err(_) => return,
            }
        }
    }

    fn completed(&mut self, done: Option<Completion>) {
        match done {
            Some(Completion::Done(event)) => self.handle(event),
            Some(Completion::Fatal(what)) => self.fail(what),
            None => self.fail("the volume's threads have ended".to_owned()),
        }
    }

    fn ask(&mut self, ask: Ask) {
        let bytes = match &ask.request {
            Request::Read { length, .. } | Request::Zero { length, .. } => u64::from(*length),
            Request::Write { data, .. } => data.len() as u64,
            Request::Flush => 0,
        };
        let id = self.id();
        self.asked_bytes += bytes;
        self.asked.insert(id, Asked { reply: ask.reply, bytes });
        self.handle(Event::Request { id, request: ask.request });
    }

    fn wish(&mut self, wish: Option<Wish>) {
        match wish {
            Some(Wish::Order(order, reply)) => {
                info!(self.log, "ordered: {:?}", order);
                if order == Order::Secondary
                    && self.nbd.as_ref().is_some_and(|(in_use, _)| in_use.clients() > 0)
                {
                    // A client that was told of a write would be told of an error for the next one.
                    let _ = reply.send(Err(Refusal::InUse));
                    return;
                }
                if order == Order::Down
                    && let Some((_, server)) = &self.nbd
                {
                    server.abort();
                }
                let id = self.id();
                self.ordered.insert(id, Ordered { reply, down: order == Order::Down });
                self.handle(Event::Order { id, order });
            }
            Some(Wish::Tell(told)) => {
                self.untold = Some(self.begin);
                self.tell();
                // Who asked may have gone.
                let _ = told.send(());
            }
            Some(Wish::Kill) => self.end = Some((End::Killed, None)),
            // Nobody could ever order anything again, not even to go down.
            None => self.end = Some((End::Killed, None)),
        }
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    fn fail(&mut self, what: String) {
        crit!(self.log, "the node ends: {}", what);
        self.end = Some((End::Failed(what), None));
    }

    /// Tells how the node is: a state at once, figures from time to time.
    fn tell(&mut self) {
        let state = self.node.state();
        if state == self.told && self.untold.is_none_or(|due| Instant::now() < due) {
            return;
        }
        (self.told, self.untold) = (state, None);
        let status = self.node.status();
        let export = Export { primary: state.role == Role::Primary, bytes: status.size };
        self.export.send_if_modified(|told| std::mem::replace(told, export) != export);
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
    }

    async fn finish(mut self, end: End, reply: Option<Reply<(), Refusal>>) -> End {
        self.line = Line::Closed;
        if let Some((_, server)) = self.nbd.take() {
            server.abort();
            // Its path is free when the next node comes.
            let _ = server.await;
        }
        if end == End::Down {
            // Each is over within the send timeout.
            while self.finishing.join_next().await.is_some() {}
            self.volume.close();
        } else {
            self.finishing.abort_all();
            self.volume.abandon();
        }
        let mut end = end;
        // They end when the files are free.
        while let Some(done) = self.completions.recv().await {
            if let (Completion::Fatal(what), End::Down) = (done, &end) {
                crit!(self.log, "not everything was saved: {}", what);
                end = End::Failed(what);
            }
        }
        if let Some(reply) = reply {
            let _ = reply.send(match &end {
                End::Failed(what) => Err(Refusal::Interrupted(what.clone())),
                _ => Ok(()),
            });
        }
        end
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn progress(line: &mut Line, data: bool) -> Turn {
    match line {
        Line::Closed => pending().await,
        Line::Opening(opening) => Turn::Opened(opening.await),
        Line::Open(wires) => {
            wires.progress(data).await;
            Turn::Wires
        }
    }
}

/// Figures are told so long after they may have changed.
const FIGURES: Duration = Duration::from_millis(20);
/// Of what the peer wants done, so much may wait: as long as a slow disk needs a second for.
const BACKLOG: u64 = 64 << 20;
/// Requests of applications that the core has at a time, and their bytes.
const ASKED: usize = 1024;
const ASKED_BYTES: u64 = 64 << 20;
/// Disk actions that are done, in one turn.
const COMPLETIONS: usize = 64;
