//! What must hold all the time, and what must come when the faults stop.

use std::rc::Rc;
use std::time::Duration;

use drx_actors::api::{Shutdown, Snapshot};
use drx_actors::net::Weather;
use drx_protocol::names::ChannelType::{self, Data, Meta};
use drx_protocol::report::ResourceReport;
use tokio::time::{Instant, sleep, timeout};

use super::world::World;

impl World {
    /// Looks again and again, for the whole run.
    pub async fn watch(self: Rc<Self>) {
        let mut looks = 0u64;
        loop {
            let pause = self.rng.borrow_mut().u64(5..50);
            sleep(Duration::from_millis(pause)).await;
            looks += 1;
            self.watch_doors().await;
            self.watch_connections();
            if looks.is_multiple_of(8) {
                for node in 0..2 {
                    self.watch_memory(node).await;
                }
            }
        }
    }

    /// bsr is let in only while an acceptor waits, and nothing is being flushed.
    async fn watch_doors(&self) {
        for (node, resource) in (0..2).flat_map(|node| (0..self.plan.resources).map(move |r| (node, r))) {
            let inside = self.settings(node, resource).inside;
            let name = &self.nodes[node].name;
            let wrong = || {
                let flushes = self.trace.any_in(name, &format!("r{resource}"), None, "close_pending");
                self.net.is_listening(inside) && (flushes || !self.waits(node, resource))
            };
            let since = Instant::now();
            while wrong() && since.elapsed() < DOOR_CLOSES {
                sleep(Duration::from_millis(1)).await;
            }
            if wrong() {
                self.trace.fail(format!("{name} r{resource} lets bsr in when nobody waits for it"));
            }
        }
    }

    fn watch_connections(&self) {
        let (wires, listeners) = (self.net.wires().len(), self.net.listeners().len());
        if wires > MOST_WIRES * self.plan.resources || listeners > 2 + 4 * self.plan.resources {
            self.trace.fail(format!("{wires} connections and {listeners} listeners"));
        }
    }

    async fn watch_memory(&self, node: usize) {
        for report in self.reports(node).await {
            for kind in [Data, Meta] {
                let of_kind = report.channels.iter().filter(|channel| channel.channel_type == Some(kind));
                let used: u64 = of_kind.map(|channel| channel.bab.used).sum();
                let size = if kind == Data { self.plan.bab } else { META_BAB };
                if used > size {
                    self.trace.fail(format!(
                        "node{} {}: BAB {kind}: {used} of {size}",
                        node + 1,
                        report.name
                    ));
                }
            }
        }
    }

    pub async fn reports(&self, node: usize) -> Vec<ResourceReport> {
        let Some(relay) = self.nodes[node].relay() else { return Vec::new() };
        match timeout(Duration::from_secs(4), relay.send(Snapshot)).await {
            Ok(Ok(report)) => report.resources,
            Ok(Err(_)) => Vec::new(), // it was killed meanwhile
            Err(_) => {
                self.trace.fail(format!("node{} does not answer", node + 1));
                Vec::new()
            }
        }
    }

    /// No more faults: a whole session stands again, bytes flow, nothing is left over.
    pub async fn settle(self: &Rc<Self>) {
        let calm = Instant::now();
        self.line(Weather { slice: 0, detour: Duration::ZERO, ..self.plan.line });
        self.local(Weather::default());
        self.trickle.set(true);
        self.swap_all(true);
        let before: Vec<u64> = self.books.borrow().all().map(|(_, conn)| conn.read).collect();
        // A session whose links are dead stands too, until that is noticed.
        let flows = |id: usize| self.read(id) > before.get(id).unwrap_or(&0) + ENOUGH;
        let mut last = (Vec::new(), calm);
        let stands = || {
            let session = self.session();
            if session != last.0 {
                last = (session, Instant::now());
            }
            // Duplicates are sorted out meanwhile.
            self.whole() && last.0.iter().copied().all(flows) && last.1.elapsed() > STEADY
        };
        let within = SETTLED + STEADY;
        let took = self.until("a whole session carries bytes both ways", within, stands).await;
        self.trace.say(format!("---- whole after {took:.3?}"));
        let session = self.session();
        self.finish(&session).await;
        // What a broken link left behind has been noticed by then.
        sleep((Duration::from_secs(15)).saturating_sub(calm.elapsed()).max(Duration::from_secs(5))).await;
        if self.session() != session {
            self.take_stock().await;
            self.trace.fail("a session that stood did not last");
        }
        if session.iter().any(|id| self.books.borrow().conn(*id).doomed) {
            self.trace.fail("a session outlived the kill of a relay");
        }
        // Two directions of two lanes; four connections of bsr, each to its own relay.
        let exactly = || self.net.wires().len() == 8 * self.plan.resources;
        self.until("every link is there, and nothing else is left", SETTLED, exactly).await;
        self.babs_are_empty().await;
        self.end().await;
    }

    /// Everything is acknowledged, too, and the session stands.
    pub async fn babs_are_empty(&self) {
        for node in 0..2 {
            for report in self.reports(node).await {
                let used: u64 = report.channels.iter().map(|channel| channel.bab.used).sum();
                if used > 0 || !report.session {
                    let session = report.session;
                    self.trace.fail(format!("node{}: {used} bytes held, session: {session}", node + 1));
                }
            }
        }
    }

    /// Nobody writes any more, and everything that was written arrives.
    pub async fn finish(&self, session: &[usize]) {
        self.silent.set(true);
        self.fair_weather();
        let through = || {
            let books = self.books.borrow();
            session.iter().all(|id| {
                let conn = books.conn(*id);
                conn.peer.is_some_and(|peer| books.conn(peer).written == conn.read)
            })
        };
        self.until("all bytes are through", Duration::from_secs(10), through).await;
    }

    pub async fn end(&self) {
        use super::books::Harm;
        self.excuse(None, Harm::Any, Instant::now() + Duration::from_secs(60));
        for node in 0..2 {
            self.bsrs.iter().for_each(|pair| pair[node].dials.set((false, false)));
        }
        for node in 0..2 {
            let Some(relay) = self.nodes[node].relay() else { continue };
            // At once, it is the budgets that are asked: what they hold is nothing, if they add up.
            let at_once = self.rng.borrow_mut().bool();
            match timeout(Duration::from_secs(30), relay.send(Shutdown { at_once })).await {
                Ok(Ok(unflushed)) if unflushed.bytes == 0 => {}
                other => self.trace.fail(format!("node{} shut down: {other:?}", node + 1)),
            }
        }
        let gone = || self.net.wires().is_empty();
        self.until("every connection is closed", Duration::from_secs(30), gone).await;
        for node in &self.nodes {
            node.kill();
        }
    }

    pub fn read(&self, id: usize) -> u64 {
        self.books.borrow().conn(id).read
    }

    /// The connections that stand, of every bsr.
    pub fn session(&self) -> Vec<usize> {
        let books = self.books.borrow();
        let places = (0..self.plan.resources).flat_map(|resource| [(0, resource), (1, resource)]);
        places.flat_map(|(node, resource)| books.standing(node, resource)).collect()
    }

    /// Each bsr has one data and one meta, each joined to one that stands.
    pub fn whole(&self) -> bool {
        let standing = self.session();
        let books = self.books.borrow();
        let one = |node: usize, resource: usize, kind: ChannelType| {
            let mut meant = standing
                .iter()
                .map(|id| books.conn(*id))
                .filter(|conn| (conn.node, conn.resource, conn.kind) == (node, resource, kind));
            let conn = meant.next();
            meant.next().is_none()
                && conn.is_some_and(|conn| conn.peer.is_some_and(|peer| standing.contains(&peer)))
        };
        (0..self.plan.resources).all(|r| (0..2).all(|node| one(node, r, Data) && one(node, r, Meta)))
    }
}

/// Of one resource: two lanes each way, the last words of the links before them, dials under way and refused, and
/// what its two bsr hold or have not closed yet.
const MOST_WIRES: usize = 64;
/// Silence is noticed (5 s), a dial may have gone into it (5 s), half a session is given up by bsr (6 s),
/// a frozen bsr is waited for (5 s); then everybody dials again, within a second or two.
const SETTLED: Duration = Duration::from_secs(30);
/// Who dials meanwhile is reset before any byte, which may be so for a second.
const DOOR_CLOSES: Duration = Duration::from_secs(1);
/// Unchanged for so long: duplicates are sorted out, however late they came.
const STEADY: Duration = Duration::from_secs(4);
/// So many bytes more, and a session is said to carry them.
const ENOUGH: u64 = 64;
const META_BAB: u64 = 4 << 20;
