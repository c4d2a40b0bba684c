//! One run: two relays, their bsr, the network between them, and its course from calm through storm to calm.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use drx_actors::api::ResourceSettings;
use drx_actors::net::{MemoryNet, Weather};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::books::{Books, Conn, Harm};
use super::bsr::Bsr;
use super::node::Node;
use super::plan::Plan;
use super::tap::{Frames, Tap};
use super::trace::Trace;

pub struct World {
    pub plan: Plan,
    pub net: Arc<MemoryNet>,
    pub tap: Tap,
    pub trace: Trace,
    pub books: RefCell<Books>,
    pub nodes: [Node; 2],
    /// By resource, then by node.
    pub bsrs: Vec<[Rc<Bsr>; 2]>,
    pub rng: RefCell<Rng>,
    /// No bsr writes.
    pub silent: Cell<bool>,
    /// Everybody only trickles.
    pub trickle: Cell<bool>,
    written: Cell<u64>,
    floods: Cell<u32>,
    pub frames: Frames,
}

impl World {
    pub fn new(plan: Plan, trace: Trace) -> Rc<World> {
        let net = Arc::new(MemoryNet::with_buffer(plan.buffer));
        let frames = Frames::default();
        let mut rng = Rng::with_seed(plan.seed ^ 0x5EED);
        net.set_chance(rng.u64(..));
        let tap = Tap::new(Arc::clone(&net), trace.clone());
        let tap = if plan.traffic.saturates { tap.counting(Arc::clone(&frames)) } else { tap };
        let bsrs = (0..plan.resources)
            .map(|resource| [0, 1].map(|node| Rc::new(Bsr::new(node, resource, rng.u64(..)))))
            .collect();
        let nodes = [0, 1].map(|node| {
            let resources = (0..plan.resources).map(|resource| plan.settings(node, resource)).collect();
            Node::new(node, resources)
        });
        let world = Rc::new(World {
            plan,
            net,
            tap,
            trace,
            books: RefCell::default(),
            nodes,
            bsrs,
            rng: RefCell::new(rng),
            silent: Cell::new(false),
            trickle: Cell::new(false),
            written: Cell::new(0),
            floods: Cell::new(FLOODS),
            frames,
        });
        world.books.borrow_mut().lag = world.plan.longest_news();
        world.line(world.plan.line);
        world.local(world.plan.local);
        world
    }

    /// The whole course. It ends with everything closed, or with a problem in the trace.
    pub async fn run(self: Rc<Self>) {
        self.begin().await;
        self.trace.say("---- storm");
        Rc::clone(&self).storm().await;
        self.trace.say("---- calm");
        self.settle().await;
    }

    /// Everybody is there, and bsr connects.
    pub async fn begin(self: &Rc<Self>) {
        self.trace.say(format!("---- {:?}", self.plan));
        for node in 0..2 {
            self.start(node).await;
        }
        for bsr in self.bsrs.iter().flatten() {
            bsr.start(self);
        }
        self.swap_all(true);
        actix_rt::spawn(Rc::clone(self).watch());
    }

    pub fn settings(&self, node: usize, resource: usize) -> &ResourceSettings {
        &self.nodes[node].resources[resource]
    }

    /// The weather between the relays.
    pub fn line(&self, weather: Weather) {
        let [one, two] = [0, 1].map(|node| self.settings(node, 0).outside.ip());
        self.net.set_weather(one, two, weather);
        self.net.set_weather(two, one, weather);
    }

    /// The weather between each bsr and its relay.
    pub fn local(&self, weather: Weather) {
        for settings in self.nodes.iter().flat_map(|node| &node.resources) {
            let (bsr, inside) = (settings.bsr.ip(), settings.inside.ip());
            self.net.set_weather(bsr, inside, weather);
            self.net.set_weather(inside, bsr, weather);
        }
    }

    /// Nothing takes any time.
    pub fn fair_weather(&self) {
        self.line(Weather { buffer: self.plan.line.buffer, ..Weather::default() });
        self.local(Weather::default());
    }

    /// Both bsr of the resource dial the same type.
    pub fn crossing(&self, resource: usize) -> bool {
        let [one, two] = [0, 1].map(|node| self.bsrs[resource][node].dials.get());
        one.0 && two.0 || one.1 && two.1
    }

    /// Who dials what, drawn anew.
    pub fn swap(&self, resource: usize, calm: bool) {
        let ways = [
            [(true, false), (false, true)],
            [(false, true), (true, false)],
            [(true, true), (false, false)],
            [(false, false), (true, true)],
            [(true, true), (true, true)],
            [(true, true), (false, true)],
        ];
        let count = if calm { 4 } else { ways.len() };
        let way = ways[self.rng.borrow_mut().usize(..count)];
        self.trace.say(format!("fault r{resource}: who dials (data, meta): {way:?}"));
        for (bsr, dials) in self.bsrs[resource].iter().zip(way) {
            bsr.dials.set(dials);
        }
    }

    pub fn swap_all(&self, calm: bool) {
        (0..self.plan.resources).for_each(|resource| self.swap(resource, calm));
    }

    /// Whether an acceptor waits for bsr there.
    pub fn waits(&self, node: usize, resource: usize) -> bool {
        self.trace.any_in(&self.nodes[node].name, &format!("r{resource}"), Some("acceptor"), "waiting")
    }

    /// Bytes of the stream that a relay has written to this connection.
    pub fn arrived(&self, conn: &Conn) -> u64 {
        let written = self.tap.written(conn.ends.1, conn.ends.0);
        // The first packet is the relay's own where it dialled.
        if conn.dialled { written } else { written.saturating_sub(8) }
    }

    /// How long a bsr waits after having written so much.
    pub fn pause(&self, rng: &mut Rng, count: usize) -> Duration {
        self.written.set(self.written.get() + count as u64);
        let tired = self.trickle.get() || self.written.get() > self.plan.traffic.bytes;
        match rng.u8(..16) {
            _ if self.plan.traffic.saturates => Duration::ZERO,
            _ if tired => Duration::from_millis(rng.u64(200..1000)),
            0 => Duration::from_millis(rng.u64(1..500)),
            1..4 => Duration::from_millis(rng.u64(1..20)),
            _ => Duration::ZERO,
        }
    }

    /// Everybody writes much again, a few times in a run.
    pub fn flood(&self) {
        if self.floods.get() > 0 {
            self.floods.set(self.floods.get() - 1);
            self.written.set(0);
        }
    }

    /// What may end connections of this resource, or of all.
    pub fn excuse(&self, resource: Option<usize>, harm: Harm, until: Instant) {
        for index in (0..self.plan.resources).filter(|index| resource.is_none_or(|meant| meant == *index)) {
            self.books.borrow_mut().excuse(index, harm, until);
        }
    }

    /// For who reads the trace of a run that failed.
    pub async fn take_stock(&self) {
        self.books.borrow().lines().iter().for_each(|line| self.trace.say(line));
        for node in 0..2 {
            for channel in self.reports(node).await.iter().flat_map(|report| &report.channels) {
                self.trace.say(format!("node{}: {channel:?}", node + 1));
            }
        }
    }

    /// Waits until it is so; a problem if that takes longer than `within`.
    pub async fn until(&self, what: &str, within: Duration, mut so: impl FnMut() -> bool) -> Duration {
        let since = Instant::now();
        while !so() {
            if since.elapsed() > within {
                self.take_stock().await;
                self.trace.fail(format!("it never was so that {what}"));
                return std::future::pending().await;
            }
            sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }
}

/// Each may move [`Traffic::bytes`](super::plan::Traffic::bytes).
const FLOODS: u32 = 3;
