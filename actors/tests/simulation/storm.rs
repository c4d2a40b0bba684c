//! The faults, as the seed has them come.

use std::rc::Rc;
use std::time::Duration;

use drx_actors::api::{Add, Operate, Panic, Remove, Resize, Shutdown, Verb, Victim};
use drx_actors::net::{Net, SocketOptions, Wire};
use drx_protocol::session::Slot;
use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use super::books::Harm;
use super::plan::{Fault, KEEPALIVE, OUTSIDE};
use super::trace::STRANGER;
use super::world::World;

impl World {
    pub async fn storm(self: Rc<Self>) {
        let until = Instant::now() + self.plan.storm;
        let mut under_way = Vec::new();
        while Instant::now() < until {
            let (pause, fault) = {
                let mut rng = self.rng.borrow_mut();
                let pause = self.plan.pace.mul_f64(2.0 * rng.f64());
                (pause, self.plan.faults[rng.usize(..self.plan.faults.len())])
            };
            sleep(pause).await;
            let rng = self.rng.borrow_mut().fork();
            under_way.push(actix_rt::spawn(Rc::clone(&self).strike(fault, rng)));
        }
        for fault in under_way {
            if let Err(error) = fault.await {
                self.trace.fail(format!("a fault did not end: {error}"));
            }
        }
    }

    async fn strike(self: Rc<Self>, fault: Fault, mut rng: Rng) {
        let rng = &mut rng;
        let resource = rng.usize(..self.plan.resources);
        let node = rng.usize(..2);
        let bsr = Rc::clone(&self.bsrs[resource][node]);
        let seconds = |rng: &mut Rng, most: u64| Duration::from_millis(rng.u64(1..most * 1000));
        match fault {
            // What is to be resumed has a line for a while within any `resume_timeout`.
            Fault::CutLinks | Fault::Partition if !self.line_may_fail() => {}
            Fault::CutLinks => self.cut_links(rng),
            Fault::Partition => self.partition(rng).await,
            Fault::Weather => {
                let weather = self.plan.squall(rng);
                self.line(weather);
                self.trace.say(format!("fault weather: {weather:?}"));
            }
            Fault::CutLocal => {
                let wires = self.wires(|wire| wire.to().port() != OUTSIDE);
                if let Some(wire) = pick(rng, &wires) {
                    self.trace.say(format!("fault bsr's {} - {} is cut", wire.from(), wire.to()));
                    self.excuse(None, Harm::Any, Instant::now());
                    wire.cut();
                }
            }
            Fault::Leave => {
                self.trace.say(format!("fault r{resource}: bsr of node{} leaves", node + 1));
                let away = if rng.bool() { Duration::ZERO } else { seconds(rng, 3) };
                let between = if rng.bool() { 0 } else { 150 };
                bsr.leave(self, away, between).await;
            }
            Fault::LeaveFull => {
                let far = &self.bsrs[resource][1 - node];
                let last = far.stalled_until.get().max(far.deaf_until.get());
                if Instant::now() < last + BETWEEN_STALLS {
                    return;
                }
                self.trace
                    .say(format!("fault r{resource}: bsr of node{} leaves, the other is deaf", node + 1));
                far.deaf_until.set(Instant::now() + seconds(rng, LONGEST_STALL));
                far.changed.notify_waiters();
                self.flood();
                sleep(seconds(rng, 2)).await;
                bsr.leave(Rc::clone(&self), seconds(rng, 3), 150).await;
            }
            Fault::Stall | Fault::Deaf => {
                let last = bsr.stalled_until.get().max(bsr.deaf_until.get());
                if Instant::now() < last + BETWEEN_STALLS {
                    return;
                }
                let until = Instant::now() + seconds(rng, LONGEST_STALL);
                let cell = if fault == Fault::Stall { &bsr.stalled_until } else { &bsr.deaf_until };
                cell.set(cell.get().max(until));
                bsr.changed.notify_waiters();
                self.trace.say(format!("fault r{resource}: bsr of node{}: {fault:?}", node + 1));
                tokio::time::sleep_until(until).await;
            }
            Fault::Swap => self.swap(resource, false),
            Fault::Kill => {
                self.trace.say(format!("fault node{} is killed", node + 1));
                self.kill(node);
                sleep(seconds(rng, 4)).await;
                self.start(node).await;
            }
            Fault::Shutdown => {
                let (at_once, patience) = (rng.bool(), seconds(rng, 10));
                self.stop(node, at_once, patience).await;
                sleep(seconds(rng, 2)).await;
                self.start(node).await;
            }
            Fault::Panic => {
                let slot = Slot::ALL[rng.usize(..4)];
                let victims =
                    [Victim::Channel(slot), Victim::Local(slot), Victim::Link(slot), Victim::Bab(slot)];
                let victim = if rng.u8(..16) == 0 { Victim::Resource } else { victims[rng.usize(..4)] };
                let Some(relay) = self.nodes[node].relay() else { return };
                self.trace.say(format!("fault r{resource}: node{}: {victim:?} panics", node + 1));
                // It is struck within this moment, and its supervisor is back within a second.
                self.excuse(Some(resource), Harm::Any, Instant::now() + Duration::from_secs(1));
                relay.do_send(Panic { resource: format!("r{resource}"), victim });
            }
            Fault::Operate => {
                let Some(relay) = self.nodes[node].relay() else { return };
                let verb = if rng.bool() { Verb::Down } else { Verb::Restart };
                self.trace.say(format!("fault r{resource}: operator at node{}: {verb:?}", node + 1));
                let pause = seconds(rng, 5);
                let name = format!("r{resource}");
                self.excuse(Some(resource), Harm::Any, Instant::now() + pause);
                relay.do_send(Operate { verb, name: name.clone(), wait: false });
                if verb == Verb::Down {
                    sleep(pause).await;
                    // Whoever runs by then.
                    if let Some(relay) = self.nodes[node].relay() {
                        relay.do_send(Operate { verb: Verb::Up, name, wait: false });
                    }
                }
                self.excuse(Some(resource), Harm::Any, Instant::now() + Duration::from_secs(1));
            }
            Fault::Resize => {
                let Some(relay) = self.nodes[node].relay() else { return };
                let size = rng.u64(super::plan::LEAST..=self.plan.bab);
                self.trace.say(format!("fault r{resource}: operator at node{}: BAB of {size}", node + 1));
                relay.do_send(Resize { name: format!("r{resource}"), size });
            }
            Fault::Remove => {
                let Some(relay) = self.nodes[node].relay() else { return };
                let pause = if rng.bool() { Duration::ZERO } else { seconds(rng, 5) };
                let settings = self.settings(node, resource).clone();
                let connection = settings.connection();
                self.trace.say(format!("fault {connection} is removed, and added after {pause:?}"));
                self.excuse(Some(resource), Harm::Any, Instant::now() + pause);
                relay.do_send(Remove { connection });
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                // To whoever runs by then.
                if let Some(relay) = self.nodes[node].relay() {
                    relay.do_send(Add(Box::new(settings)));
                }
                self.excuse(Some(resource), Harm::Any, Instant::now() + Duration::from_secs(1));
            }
            Fault::Stranger => self.stranger(node, resource, rng).await,
        }
    }

    fn wires(&self, meant: impl Fn(&Wire) -> bool) -> Vec<Wire> {
        self.net.wires().into_iter().filter(meant).collect()
    }

    /// A fault of links: without resuming it ends whatever they carry.
    fn links_fail(&self, until: Instant) {
        let harm = if self.plan.resume.is_zero() { Harm::Any } else { Harm::Unestablished };
        self.excuse(None, harm, until);
    }

    fn line_may_fail(&self) -> bool {
        let cycle = self.trace.elapsed().as_secs_f64() % 8.0;
        self.plan.resume.is_zero() || cycle < 3.0
    }

    fn cut_links(&self, rng: &mut Rng) {
        let share = rng.f64();
        for wire in self.wires(|wire| wire.to().port() == OUTSIDE) {
            if rng.f64() > share {
                continue;
            }
            let way = rng.usize(..5);
            let name =
                ["reset", "ended", "silent", "silent from its dialler", "silent from its acceptor"][way];
            self.trace.say(format!("fault link {} - {}: {name}", wire.from(), wire.to()));
            // What falls silent is noticed later.
            let notice = if way < 2 { Duration::from_secs(1) } else { KEEPALIVE * 2 };
            self.links_fail(Instant::now() + notice);
            match way {
                0 => wire.cut(),
                1 => wire.hang_up(),
                2 => wire.silence(),
                3 => wire.silence_dialler(),
                _ => wire.silence_acceptor(),
            }
        }
    }

    async fn partition(&self, rng: &mut Rng) {
        let most = if self.plan.only_links { 1500 } else { 12_000 };
        let time =
            Duration::from_millis(1 << rng.u32(..14).min(20)).min(Duration::from_millis(rng.u64(1..most)));
        let [one, two] = [0, 1].map(|node| self.settings(node, 0).outside.ip());
        let ways = [vec![(one, two)], vec![(two, one)], vec![(one, two), (two, one)]];
        let ways = &ways[rng.usize(..3)];
        self.trace.say(format!("fault partition {ways:?} for {time:?}"));
        ways.iter().for_each(|(from, to)| self.net.lose(*from, *to));
        // Held back for a short while is late, not lost: that ends nothing.
        if time > Duration::from_secs(3) {
            self.excuse(None, Harm::Any, Instant::now() + time + KEEPALIVE * 2 + self.plan.resume);
        }
        sleep(time).await;
        ways.iter().for_each(|(from, to)| self.net.find(*from, *to));
        self.trace.say(format!("fault partition {ways:?} is over"));
    }

    /// SIGKILL.
    pub fn kill(&self, node: usize) {
        // The other relay hears of it at once, or where the line is broken too, late.
        self.excuse(None, Harm::Any, Instant::now() + KEEPALIVE * 2 + self.plan.resume);
        self.books.borrow_mut().doom();
        self.nodes[node].kill();
    }

    async fn stop(&self, node: usize, at_once: bool, patience: Duration) {
        let Some(relay) = self.nodes[node].relay() else { return };
        self.trace.say(format!("fault node{} shuts down, at once: {at_once}", node + 1));
        self.excuse(None, Harm::Any, Instant::now() + patience);
        let unflushed = timeout(patience, relay.send(Shutdown { at_once })).await;
        self.trace.say(format!("fault node{} was shut down: {unflushed:?}", node + 1));
        self.kill(node);
    }

    async fn stranger(&self, node: usize, resource: usize, rng: &mut Rng) {
        let (inside, outside) = {
            let settings = self.settings(node, resource);
            (settings.inside, settings.outside)
        };
        let at = if rng.bool() { inside } else { outside };
        self.trace.say(format!("fault a stranger at {at}"));
        let from = STRANGER.parse().ok();
        let dial = self.net.connect(at, from, &SocketOptions::local());
        let Ok(Ok(mut stream)) = timeout(Duration::from_secs(1), dial).await else { return };
        let said: Vec<u8> = (0..rng.usize(..12)).map(|_| rng.u8(..)).collect();
        let _ = stream.write_all(&said).await; // it may not be listened to
        sleep(Duration::from_millis(rng.u64(..8000))).await;
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> Option<&'a T> {
    (!from.is_empty()).then(|| &from[rng.usize(..from.len())])
}

/// In seconds: more than a frozen bsr is waited for, less than a goodbye may take.
const LONGEST_STALL: u64 = 8;
/// Long enough for whatever waits.
const BETWEEN_STALLS: Duration = Duration::from_secs(3);
