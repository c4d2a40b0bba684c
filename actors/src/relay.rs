//! The relay: the root of the actors. It spreads the resources over the arbiters, restarts a
//! supervisor that panics, and answers the operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, ResponseFuture,
    WrapFuture,
};
use actix_rt::{Arbiter, ArbiterHandle};
use drx_protocol::names::Epoch;
use drx_protocol::report::{RelayReport, size as shown};
use drx_protocol::restart::{Restarts, Verdict};
use futures_util::future::join_all;
use slog::{Logger, error, info};
use tokio::time::{Instant, timeout};

use crate::api::{
    Operate, Panic, Refusal, Resize, Resized, ResourceSettings, Settings, Shutdown, Snapshot, Unflushed, Verb,
};
use crate::budget::META_BAB;
use crate::child::{Child, ChildExited, spawn, spawn_on};
use crate::net::{Net, SocketOptions};
use crate::outside::{ListenTrouble, Outside, Route, Routes};
use crate::resource::{Held, ReportAll, Resource, Seed, SetSize, SizeInForce, StrikeIn, Want};

/// One relay. Started on the system's arbiter; ends when it is dropped with its system.
pub struct Relay {
    settings: Settings,
    net: Arc<dyn Net>,
    log: Logger,
    epoch: Epoch,
    dials: Arc<AtomicU64>,
    started: Instant,
    arbiters: Vec<Arbiter>,
    resources: Vec<Supervised>,
    outsides: BTreeMap<SocketAddr, Listening>,
    faults_allowed: bool,
    shutting_down: bool,
}

/// A resource supervisor across its generations.
struct Supervised {
    settings: ResourceSettings,
    arbiter: Option<ArbiterHandle>,
    child: Option<Child<Resource>>,
    generation: u64,
    restarts: Restarts,
    /// What an operator said last.
    up: bool,
    /// The BAB is being resized; `settings` claims the larger size until that is done.
    resizing: bool,
}

struct Listening {
    child: Option<Child<Outside>>,
    generation: u64,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ResourceExited {
    index: usize,
    exited: ChildExited,
}

#[derive(Message)]
#[rtype(result = "()")]
struct OutsideExited {
    at: SocketAddr,
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
            resources: Vec::new(),
            outsides: BTreeMap::new(),
            faults_allowed: false,
            shutting_down: false,
        }
    }

    /// The same with [`Panic`] allowed: for the demo and for tests only.
    pub fn with_faults(mut self) -> Relay {
        self.faults_allowed = true;
        self
    }

    /// The same with a life that is told, not taken from the clock: for simulations.
    pub fn with_epoch(mut self, epoch: Epoch) -> Relay {
        self.epoch = epoch;
        self
    }

    fn start_resource(&mut self, index: usize, ctx: &mut Context<Self>) {
        if self.shutting_down {
            return; // it was in its back-off when that began
        }
        let supervised = &mut self.resources[index];
        supervised.generation += 1;
        let generation = supervised.generation;
        let seed = Seed {
            node: self.settings.node.clone(),
            settings: supervised.settings.clone(),
            net: Arc::clone(&self.net),
            epoch: self.epoch,
            dials: Arc::clone(&self.dials),
            log: self.log.clone(),
            up: supervised.up,
        };
        let relay = ctx.address();
        let on_exit = move |exited| relay.do_send(ResourceExited { index, exited });
        let child = match &supervised.arbiter {
            Some(arbiter) => spawn_on(arbiter, generation, on_exit, move |_| Resource::new(seed)),
            None => spawn(generation, on_exit, move |_| Resource::new(seed)),
        };
        supervised.child = Some(child);
    }

    fn start_outside(&mut self, at: SocketAddr, ctx: &mut Context<Self>) {
        if self.shutting_down {
            return;
        }
        let generation = self.outsides.get(&at).map_or(0, |listening| listening.generation) + 1;
        let (node, net, log) = (self.settings.node.clone(), Arc::clone(&self.net), self.log.clone());
        let congestion = self
            .resources
            .iter()
            .find(|supervised| supervised.settings.outside == at)
            .map(|supervised| supervised.settings.link.congestion.clone());
        let mut options = SocketOptions::link();
        if let Some(congestion) = congestion {
            options.congestion = congestion;
        }
        let (relay, owner) = (ctx.address(), ctx.address().recipient());
        let child = spawn(
            generation,
            move |exited| relay.do_send(OutsideExited { at, exited }),
            move |_| Outside::new(at, node, net, options, log, owner),
        );
        self.outsides.insert(at, Listening { child: Some(child), generation });
        self.route(at);
    }

    fn resized(&mut self, answers: Vec<(usize, SizeInForce)>) -> Result<Vec<Resized>, Refusal> {
        let (mut resized, mut refused) = (Vec::new(), Vec::new());
        for (index, SizeInForce { size, held, refused: why }) in answers {
            let Some(supervised) = self.resources.get_mut(index) else { continue };
            supervised.settings.bab.size = size;
            supervised.resizing = false;
            let connection = self.connection(&self.resources[index].settings);
            match why {
                Some(why) => refused.push(format!("{connection} keeps {}: {why}", shown(size))),
                None => resized.push(Resized { connection, size, held }),
            }
        }
        if refused.is_empty() { Ok(resized) } else { Err(Refusal::NotResized(refused.join("; "))) }
    }

    fn route(&self, at: SocketAddr) {
        let routes = self
            .resources
            .iter()
            .filter(|supervised| supervised.settings.outside == at)
            .filter_map(|supervised| {
                Some(Route {
                    resource: supervised.settings.name.clone(),
                    remote: supervised.settings.remote.clone(),
                    supervisor: supervised.child.as_ref()?.addr().clone().recipient(),
                })
            })
            .collect();
        if let Some(child) = self.outsides.get(&at).and_then(|listening| listening.child.as_ref()) {
            child.addr().do_send(Routes(routes));
        }
    }

    fn connection(&self, settings: &ResourceSettings) -> String {
        format!("{}-{}-{}", settings.name, settings.remote, self.settings.node)
    }

    /// What all BABs take if the `chosen` ones have `size`.
    fn total_with(&self, chosen: &[usize], size: u64) -> u64 {
        let sizes = self.resources.iter().enumerate().map(|(index, supervised)| {
            let own = supervised.settings.bab.size;
            if chosen.contains(&index) { size } else { own }
        });
        sizes.fold(0, |sum: u64, size| sum.saturating_add(size).saturating_add(META_BAB))
    }

    fn chosen(&self, name: &str) -> Vec<usize> {
        let named = |settings: &ResourceSettings| {
            name == "all" || name == settings.name || name == self.connection(settings)
        };
        (0..self.resources.len()).filter(|&index| named(&self.resources[index].settings)).collect()
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.arbiters = (0..self.settings.arbiters).map(|_| Arbiter::new()).collect();
        for (index, settings) in self.settings.resources.clone().into_iter().enumerate() {
            let arbiter =
                (!self.arbiters.is_empty()).then(|| self.arbiters[index % self.arbiters.len()].handle());
            let restarts = Restarts::new(settings.restart);
            let supervised = Supervised {
                settings,
                arbiter,
                child: None,
                generation: 0,
                restarts,
                up: true,
                resizing: false,
            };
            self.resources.push(supervised);
            self.start_resource(index, ctx);
        }
        let mut outsides: Vec<_> =
            self.resources.iter().map(|supervised| supervised.settings.outside).collect();
        outsides.sort_unstable();
        outsides.dedup();
        for at in outsides {
            self.start_outside(at, ctx);
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.resources.clear();
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

impl Handler<ResourceExited> for Relay {
    type Result = ();

    fn handle(&mut self, ResourceExited { index, exited }: ResourceExited, ctx: &mut Context<Self>) {
        let now = self.started.elapsed();
        let Some(supervised) = self.resources.get_mut(index) else { return };
        if supervised.child.as_ref().map(Child::generation) != Some(exited.generation) || self.shutting_down {
            return;
        }
        supervised.child = None;
        let (name, outside) = (supervised.settings.name.clone(), supervised.settings.outside);
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
        ctx.run_later(delay, move |relay, ctx| {
            relay.start_resource(index, ctx);
            relay.route(outside);
        });
    }
}

impl Handler<OutsideExited> for Relay {
    type Result = ();

    fn handle(&mut self, OutsideExited { at, exited }: OutsideExited, ctx: &mut Context<Self>) {
        let Some(listening) =
            self.outsides.get_mut(&at).filter(|listening| listening.generation == exited.generation)
        else {
            return;
        };
        listening.child = None;
        if !self.shutting_down {
            error!(self.log, "restarting the listener for other DRX"; "outside" => %at, "failed" => %exited.exit);
            ctx.run_later(OUTSIDE_AGAIN, move |relay, ctx| relay.start_outside(at, ctx));
        }
    }
}

impl Handler<ListenTrouble> for Relay {
    type Result = ();

    fn handle(&mut self, trouble: ListenTrouble, _: &mut Context<Self>) {
        for supervised in self.resources.iter().filter(|supervised| supervised.settings.outside == trouble.at)
        {
            if let Some(child) = &supervised.child {
                child.addr().do_send(trouble.clone());
            }
        }
    }
}

impl Handler<Snapshot> for Relay {
    type Result = ResponseFuture<RelayReport>;

    fn handle(&mut self, _: Snapshot, _: &mut Context<Self>) -> ResponseFuture<RelayReport> {
        let (node, uptime_seconds) = (self.settings.node.clone(), self.started.elapsed().as_secs_f64());
        let asked: Vec<_> = self
            .resources
            .iter()
            .filter_map(|supervised| Some(supervised.child.as_ref()?.addr().send(ReportAll)))
            .collect();
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

impl Handler<Operate> for Relay {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(&mut self, operate: Operate, _: &mut Context<Self>) -> ResponseFuture<Result<(), Refusal>> {
        let chosen = self.chosen(&operate.name);
        let refusal = if self.shutting_down {
            Some(Refusal::ShuttingDown)
        } else if chosen.is_empty() && operate.name != "all" {
            Some(Refusal::UnknownName(operate.name))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Box::pin(async { Err(refusal) });
        }
        let mut asked = Vec::new();
        for index in chosen {
            let supervised = &mut self.resources[index];
            supervised.up = operate.verb != Verb::Down;
            if operate.verb != Verb::Down {
                supervised.restarts.reset();
            }
            if let Some(child) = &supervised.child {
                asked.push(child.addr().send(Want { verb: operate.verb, wait: operate.wait }));
            }
        }
        Box::pin(async move {
            join_all(asked).await; // a supervisor that panics meanwhile comes back as it was wanted
            Ok(())
        })
    }
}

impl Handler<Resize> for Relay {
    type Result = ResponseActFuture<Self, Result<Vec<Resized>, Refusal>>;

    fn handle(&mut self, Resize { name, size }: Resize, _: &mut Context<Self>) -> Self::Result {
        let chosen = self.chosen(&name);
        let (needed, total) = (self.total_with(&chosen, size), self.settings.bab_total);
        let grows = chosen.iter().any(|&index| self.resources[index].settings.bab.size < size);
        let refusal = if self.shutting_down {
            Some(Refusal::ShuttingDown)
        } else if chosen.is_empty() && name != "all" {
            Some(Refusal::UnknownName(name))
        } else if grows && needed > total {
            Some(Refusal::OverTotal { needed, total })
        } else if chosen.iter().any(|&index| self.resources[index].resizing) {
            Some(Refusal::NotResized("its size is being changed already".to_owned()))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Box::pin(async { Err(refusal) }.into_actor(self));
        }
        let mut asked = Vec::new();
        for index in chosen {
            let supervised = &mut self.resources[index];
            // Claimed before it is there, so that two at a time cannot pass the total together.
            supervised.settings.bab.size = size;
            supervised.resizing = true;
            let answer = supervised.child.as_ref().map(|child| child.addr().send(SetSize(size)));
            asked.push(async move {
                // A supervisor that is away comes back with what is claimed.
                let away = SizeInForce { size, held: 0, refused: None };
                let in_force = match answer {
                    Some(answer) => answer.await.unwrap_or(away),
                    None => away,
                };
                (index, in_force)
            });
        }
        Box::pin(join_all(asked).into_actor(self).map(|answers, relay, _| relay.resized(answers)))
    }
}

impl Handler<Shutdown> for Relay {
    type Result = ResponseFuture<Unflushed>;

    fn handle(&mut self, Shutdown { at_once }: Shutdown, _: &mut Context<Self>) -> ResponseFuture<Unflushed> {
        if !std::mem::replace(&mut self.shutting_down, true) {
            info!(self.log, "shutting down"; "at_once" => at_once);
        }
        self.outsides.clear();
        let children: Vec<_> = self
            .resources
            .iter()
            .filter_map(|supervised| Some(supervised.child.as_ref()?.addr().clone()))
            .collect();
        if at_once {
            let ending = std::mem::take(&mut self.resources);
            return Box::pin(async move {
                let held =
                    join_all(children.iter().map(|child| timeout(ANSWERS_WITHIN, child.send(Held)))).await;
                // Not before: who is let go answers nothing any more.
                drop(ending);
                Unflushed { bytes: held.into_iter().filter_map(|held| held.ok()?.ok()).sum() }
            });
        }
        Box::pin(async move {
            let down = children.iter().map(|child| child.send(Want { verb: Verb::Down, wait: true }));
            Unflushed { bytes: join_all(down).await.into_iter().filter_map(Result::ok).sum() }
        })
    }
}

impl Handler<Panic> for Relay {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Panic { resource, victim }: Panic, _: &mut Context<Self>) -> Result<(), Refusal> {
        let chosen = self.chosen(&resource);
        if !self.faults_allowed || chosen.is_empty() {
            return Err(Refusal::UnknownName(resource));
        }
        for child in chosen.into_iter().filter_map(|index| self.resources[index].child.as_ref()) {
            child.addr().do_send(StrikeIn(victim));
        }
        Ok(())
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
/// After the listener for other relays broke.
const OUTSIDE_AGAIN: Duration = Duration::from_secs(1);
/// A supervisor that is stuck does not hold up what is said of the others.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
