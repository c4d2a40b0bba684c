//! The relay: the root of the actors. It spreads the resources over the arbiters, restarts a
//! supervisor that panics, and answers the operator.
//!
//! ```text
//! members    resources that are added and removed while it runs
//! outsides   the listeners for other DRX, which come and go with them
//! operator   what an operator, a shutdown or a test wants of them
//! resizing   their BABs made larger or smaller
//! ```

mod members;
mod operator;
mod outsides;
mod resizing;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use actix_rt::Arbiter;
use drx_protocol::names::Epoch;
use drx_protocol::report::RelayReport;
use drx_protocol::restart::{Restarts, Verdict};
use futures_util::future::join_all;
use slog::{Logger, error};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::api::{ResourceSettings, Settings, Snapshot};
use crate::child::{Child, ChildExited, spawn, spawn_on};
use crate::net::Net;
use crate::resource::{ReportAll, Resource, Seed};
use members::Leaving;
use outsides::Listening;

/// One relay. Started on the system's arbiter; ends when it is dropped with its system.
pub struct Relay {
    settings: Settings,
    net: Arc<dyn Net>,
    log: Logger,
    epoch: Epoch,
    dials: Arc<AtomicU64>,
    started: Instant,
    arbiters: Vec<Arbiter>,
    /// Resources are told apart by numbers that are used once: what is said of one that was removed must
    /// not be taken for another one's.
    last_id: Id,
    resources: BTreeMap<Id, Supervised>,
    /// Removed, and not gone yet.
    leaving: BTreeMap<Id, Leaving>,
    outsides: BTreeMap<SocketAddr, Listening>,
    faults_allowed: bool,
    shutting_down: bool,
}

type Id = u64;

/// A resource supervisor across its generations.
struct Supervised {
    settings: ResourceSettings,
    /// Which of the relay's arbiters it is on; none: the relay's own.
    arbiter: Option<usize>,
    child: Option<Child<Resource>>,
    generation: u64,
    restarts: Restarts,
    /// What an operator said last.
    up: bool,
    /// The BAB is being resized; `settings` claims the larger size until that is done.
    resizing: bool,
    /// Whose addresses it waits for, before it begins.
    waits_for: Vec<Id>,
    /// Who added it, and wants to hear when it begins.
    announced: Option<oneshot::Sender<()>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ResourceExited {
    id: Id,
    exited: ChildExited,
}

impl Relay {
    /// A relay that works as soon as it is started. With no arbiters in `settings` everything runs on
    /// the arbiter that it is started on, as a simulation needs it. `log` says which node this is.
    pub fn new(settings: Settings, net: Arc<dyn Net>, log: Logger) -> Relay {
        Relay {
            settings,
            net,
            log,
            epoch: new_epoch(),
            dials: Arc::default(),
            started: Instant::now(),
            arbiters: Vec::new(),
            last_id: 0,
            resources: BTreeMap::new(),
            leaving: BTreeMap::new(),
            outsides: BTreeMap::new(),
            faults_allowed: false,
            shutting_down: false,
        }
    }

    /// The same with [`Panic`](crate::api::Panic) allowed: for the demo and for tests only.
    pub fn with_faults(mut self) -> Relay {
        self.faults_allowed = true;
        self
    }

    /// The same with a life that is told, not taken from the clock: for simulations.
    pub fn with_epoch(mut self, epoch: Epoch) -> Relay {
        self.epoch = epoch;
        self
    }

    /// Takes a resource in, without starting it.
    fn enroll(&mut self, settings: ResourceSettings) -> Id {
        self.last_id += 1;
        let supervised = Supervised {
            arbiter: self.idlest_arbiter(),
            child: None,
            generation: 0,
            restarts: Restarts::new(settings.restart),
            up: true,
            resizing: false,
            waits_for: Vec::new(),
            announced: None,
            settings,
        };
        self.resources.insert(self.last_id, supervised);
        self.last_id
    }

    /// The arbiter with the fewest resources on it.
    fn idlest_arbiter(&self) -> Option<usize> {
        let load = |arbiter| self.members().filter(|one| one.arbiter == Some(arbiter)).count();
        (0..self.arbiters.len()).min_by_key(|&arbiter| load(arbiter))
    }

    /// Every resource that has channels, also those that are being removed.
    fn members(&self) -> impl Iterator<Item = &Supervised> {
        let leaving = self.leaving.values().filter(|leaving| !leaving.is_cut_short());
        self.resources.values().chain(leaving.map(|leaving| &leaving.supervised))
    }

    fn start_resource(&mut self, id: Id, ctx: &mut Context<Self>) {
        let Some(supervised) = self.resources.get_mut(&id) else { return }; // removed in its back-off
        if self.shutting_down {
            return; // it was in its back-off when that began
        }
        supervised.generation += 1;
        let generation = supervised.generation;
        let seed = Seed {
            settings: supervised.settings.clone(),
            net: Arc::clone(&self.net),
            epoch: self.epoch,
            dials: Arc::clone(&self.dials),
            log: self.log.clone(),
            up: supervised.up,
        };
        let relay = ctx.address();
        let on_exit = move |exited| relay.do_send(ResourceExited { id, exited });
        let arbiter = supervised.arbiter.and_then(|arbiter| self.arbiters.get(arbiter));
        let child = match arbiter {
            Some(arbiter) => spawn_on(&arbiter.handle(), generation, on_exit, move |_| Resource::new(seed)),
            None => spawn(generation, on_exit, move |_| Resource::new(seed)),
        };
        let outside = supervised.settings.outside;
        supervised.child = Some(child);
        if let Some(announced) = supervised.announced.take() {
            let _ = announced.send(()); // who asked may have gone away
        }
        self.listen_or_route(outside, ctx);
        self.tell_trouble(id, outside);
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.arbiters = (0..self.settings.arbiters).map(|_| Arbiter::new()).collect();
        for settings in std::mem::take(&mut self.settings.resources) {
            let id = self.enroll(settings);
            self.start_resource(id, ctx);
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.resources.clear();
        self.leaving.clear();
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

impl Handler<ResourceExited> for Relay {
    type Result = ();

    fn handle(&mut self, ResourceExited { id, exited }: ResourceExited, ctx: &mut Context<Self>) {
        if self.shutting_down {
            return;
        }
        if self.leaving.contains_key(&id) {
            return self.left(id, &exited, ctx);
        }
        let now = self.started.elapsed();
        let Some(supervised) = self.resources.get_mut(&id) else { return };
        if supervised.child.as_ref().map(Child::generation) != Some(exited.generation) {
            return;
        }
        supervised.child = None;
        let name = supervised.settings.name.clone();
        let delay = match supervised.restarts.failed(now, fastrand::f64()) {
            Verdict::After(delay) => delay,
            Verdict::GiveUp => {
                error!(self.log, "failed too often, waiting for an operator"; "resource" => &name, "failed" => %exited.exit);
                // Its supervisor comes back to say so, with its channels down.
                supervised.up = false;
                FAILED_AGAIN
            }
        };
        error!(self.log, "restarting the resource's supervisor"; "resource" => name, "failed" => %exited.exit,
            "delay" => format!("{delay:.1?}"));
        ctx.run_later(delay, move |relay, ctx| relay.start_resource(id, ctx));
    }
}

impl Handler<Snapshot> for Relay {
    type Result = ResponseFuture<RelayReport>;

    fn handle(&mut self, _: Snapshot, _: &mut Context<Self>) -> ResponseFuture<RelayReport> {
        let (node, uptime_seconds) = (self.settings.node.clone(), self.started.elapsed().as_secs_f64());
        let children = self.members().filter_map(|supervised| supervised.child.as_ref());
        let asked: Vec<_> = children.map(|child| child.addr().send(ReportAll)).collect();
        Box::pin(async move {
            let answers = join_all(asked.into_iter().map(|asked| timeout(ANSWERS_WITHIN, asked))).await;
            RelayReport {
                node,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                uptime_seconds,
                resources: answers.into_iter().filter_map(|answer| answer.ok()?.ok()).collect(),
            }
        })
    }
}

/// The life of a relay that starts now.
fn new_epoch() -> Epoch {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let started = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64);
    Epoch { started, counter: COUNTER.fetch_add(1, Ordering::Relaxed) }
}

/// Before a supervisor that failed too often comes back: not at once, or one that cannot even be built
/// would keep an arbiter and the log busy.
const FAILED_AGAIN: Duration = Duration::from_secs(1);
/// A supervisor that is stuck does not hold up what is said of the others.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
