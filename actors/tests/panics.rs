//! Panics: any actor in any state costs one restart of its channel and, if that was part of a whole
//! session, that session. The resource beside it notices nothing.
#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{Session, Site, establish, resource, simulated, site, take};
use drx_actors::api::{Panic, Victim};
use drx_actors::net::{MemoryNet, Stream};
use drx_protocol::State;
use drx_protocol::names::ChannelType::{Data, Meta};
use drx_protocol::names::{Lane, Role};
use drx_protocol::session::Slot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ACCEPTOR: Slot = Slot { role: Role::Acceptor, lane: Lane::Zero };
const CONNECTOR: Slot = Slot { role: Role::Connector, lane: Lane::Zero };

/// Two relays with two resources each: r1's session is busy all the time.
struct World {
    one: Site,
    two: Site,
    beside: (Site, Site),
    moved: Rc<Cell<u64>>,
}

async fn world() -> World {
    let net = Arc::new(MemoryNet::new());
    let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789), resource("r1", 1, 2, 7799)]);
    let two = site(&net, "node2", vec![resource("r0", 2, 1, 7789), resource("r1", 2, 1, 7799)]);
    let beside = (one.beside(1), two.beside(1));
    let session = establish(&beside.0, &beside.1).await;
    let moved = Rc::new(Cell::new(0));
    let Session { data: [mut data_one, mut data_two], meta, listeners } = session;
    let counted = Rc::clone(&moved);
    actix_rt::spawn(async move {
        let _kept = (meta, listeners);
        // Ends, and the count stands still, if r1's session is disturbed.
        for number in 0u64.. {
            data_two.write_all(&number.to_be_bytes()).await.unwrap();
            let mut got = [0; 8];
            data_one.read_exact(&mut got).await.unwrap();
            assert_eq!(u64::from_be_bytes(got), number);
            counted.set(number);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    World { one, two, beside, moved }
}

impl World {
    /// Strikes at node1's r0; it comes back by itself, and r1 never noticed.
    async fn strike(&self, victim: Victim, restarted: &[Slot]) {
        let before = self.one.report().await;
        let sent = Panic { resource: "r0".into(), victim };
        self.one.relay.send(sent).await.unwrap().unwrap();
        let failures = |report: &drx_protocol::report::ResourceReport, slot: Slot| {
            report.channels.iter().find(|c| (c.role, c.lane) == (slot.role, slot.lane)).unwrap().failures
        };
        for slot in restarted {
            self.one
                .eventually("its failure is counted", async |site: &Site| {
                    failures(&site.report().await, *slot) == failures(&before, *slot) + 1
                })
                .await;
        }
        for slot in Slot::ALL.into_iter().filter(|slot| !restarted.contains(slot)) {
            let after = self.one.report().await;
            assert_eq!(failures(&after, slot), failures(&before, slot), "{slot:?} was not struck");
        }
    }

    /// A new session can be made, and carries bytes.
    async fn works_again(&self) {
        let mut session = establish(&self.one, &self.two).await;
        session.data[0].write_all(b"again").await.unwrap();
        let mut got = [0; 5];
        session.data[1].read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"again");
    }

    async fn beside_noticed_nothing(&self) {
        let moved = self.moved.get();
        self.one.eventually("r1's bytes flow", async |_: &Site| self.moved.get() > moved + 3).await;
        for site in [&self.beside.0, &self.beside.1] {
            let report = site.report().await;
            assert!(report.session);
            assert_eq!(report.restarts, 0);
        }
    }
}

/// Brings r0 somewhere, strikes, and sees it come back.
fn struck<Held: 'static>(
    victim: Victim,
    restarted: &'static [Slot],
    bring: impl AsyncFnOnce(&World) -> Held + 'static,
) {
    simulated(async move {
        let world = world().await;
        let held = bring(&world).await;
        world.strike(victim, restarted).await;
        drop(held);
        world.works_again().await;
        world.beside_noticed_nothing().await;
    });
}

async fn idle(world: &World) {
    world.one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
    world.one.until(Role::Connector, Lane::Zero, State::Connecting).await;
}

/// The other relay cannot be reached: the line between the two is down.
async fn bridging(world: &World) {
    idle(world).await;
    world.one.net.take_down("10.77.9.2:7780".parse().unwrap());
    let wires = world.one.net.wires();
    let link = |wire: &&drx_actors::net::Wire| wire.to() == "10.77.9.2:7780".parse().unwrap();
    wires.iter().filter(link).for_each(|wire| wire.cut());
    // It dials in vain: so there is an actor, not only a restart to come.
    world.one.eventually("the dials fail", async |site: &Site| !site.report().await.trouble.is_empty()).await;
    world.one.until(Role::Connector, Lane::Zero, State::Bridging).await;
}

async fn connected(world: &World) -> Box<dyn Stream> {
    idle(world).await;
    let stream = world.one.connect().await;
    world.one.until(Role::Acceptor, Lane::Zero, State::Connected).await;
    stream
}

async fn establishing(world: &World) -> Box<dyn Stream> {
    idle(world).await;
    let stream = world.one.open(Data).await;
    world.one.until(Role::Acceptor, Lane::Zero, State::Establishing).await;
    stream
}

async fn established(world: &World) -> Session {
    establish(&world.one, &world.two).await
}

/// node1's bsr has left while node2's does not read.
async fn close_pending(world: &World) -> Vec<Box<dyn Stream>> {
    let mut listener = world.two.listen().await;
    let mut data = world.one.open(Data).await;
    let (_, stalled) = take(&mut listener).await;
    let meta = world.one.open(Meta).await;
    let (_, far_meta) = take(&mut listener).await;
    world.one.until_session(true).await;
    // More than the far bsr's socket takes without reading.
    data.write_all(&vec![7; 4 << 20]).await.unwrap();
    drop(data);
    world.one.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
    vec![stalled, meta, far_meta]
}

#[test]
fn an_acceptor_that_waits() {
    struck(Victim::Channel(ACCEPTOR), &[ACCEPTOR], idle);
}

#[test]
fn a_connector_that_waits() {
    struck(Victim::Channel(CONNECTOR), &[CONNECTOR], idle);
}

#[test]
fn a_link_that_waits() {
    struck(Victim::Link(ACCEPTOR), &[ACCEPTOR], idle);
    struck(Victim::Link(CONNECTOR), &[CONNECTOR], idle);
}

#[test]
fn a_bab_that_waits() {
    struck(Victim::Bab(ACCEPTOR), &[ACCEPTOR], idle);
}

#[test]
fn a_connector_in_bridging() {
    simulated(async {
        let world = world().await;
        bridging(&world).await;
        world.strike(Victim::Channel(CONNECTOR), &[CONNECTOR]).await;
        world.one.net.bring_up("10.77.9.2:7780".parse().unwrap());
        world.works_again().await;
    });
}

#[test]
fn an_acceptor_whose_bsr_is_silent() {
    struck(Victim::Channel(ACCEPTOR), &[ACCEPTOR], connected);
    struck(Victim::Local(ACCEPTOR), &[ACCEPTOR], connected);
    struck(Victim::Link(ACCEPTOR), &[ACCEPTOR], connected);
    struck(Victim::Bab(ACCEPTOR), &[ACCEPTOR], connected);
}

#[test]
fn an_acceptor_that_establishes() {
    struck(Victim::Channel(ACCEPTOR), &[ACCEPTOR], establishing);
    struck(Victim::Local(ACCEPTOR), &[ACCEPTOR], establishing);
    struck(Victim::Link(ACCEPTOR), &[ACCEPTOR], establishing);
    struck(Victim::Bab(ACCEPTOR), &[ACCEPTOR], establishing);
}

#[test]
fn every_actor_of_an_established_session() {
    for slot in [ACCEPTOR, CONNECTOR] {
        for victim in [Victim::Channel(slot), Victim::Local(slot), Victim::Link(slot), Victim::Bab(slot)] {
            let restarted: &[Slot] = if slot == ACCEPTOR { &[ACCEPTOR] } else { &[CONNECTOR] };
            struck(victim, restarted, established);
        }
    }
}

#[test]
fn every_actor_while_the_bab_is_flushed() {
    for victim in [Victim::Channel(ACCEPTOR), Victim::Link(ACCEPTOR), Victim::Bab(ACCEPTOR)] {
        struck(victim, &[ACCEPTOR], close_pending);
    }
}

#[test]
fn meta_that_is_held() {
    const SECOND: Slot = Slot { role: Role::Acceptor, lane: Lane::One };
    for victim in [Victim::Channel(SECOND), Victim::Link(SECOND), Victim::Bab(SECOND)] {
        struck(victim, &[SECOND], close_pending);
    }
}

#[test]
fn the_supervisor() {
    simulated(async {
        let world = world().await;
        let session = established(&world).await;
        let struck = Panic { resource: "r0".into(), victim: Victim::Resource };
        world.one.relay.send(struck).await.unwrap().unwrap();
        world.two.until_session(false).await;
        drop(session);
        world.works_again().await;
        world.beside_noticed_nothing().await;
    });
}

#[test]
fn too_many_failures_wait_for_an_operator() {
    use drx_actors::api::{Operate, Verb};
    use drx_protocol::Standing;
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let mut settings = resource("r0", 1, 2, 7789);
        let policy = drx_protocol::restart::Settings { max_failures: 3, ..*settings.restart.settings() };
        settings.restart = drx_protocol::restart::Policy::new(policy).unwrap();
        let one = site(&net, "node1", vec![settings]);
        let two = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
        for failure in 1..=3 {
            one.until(Role::Connector, Lane::Zero, State::Connecting).await;
            let victim = Victim::Channel(CONNECTOR);
            one.relay.send(Panic { resource: "r0".into(), victim }).await.unwrap().unwrap();
            one.eventually("the failure is counted", async |site: &Site| {
                site.channel(Role::Connector, Lane::Zero).await.failures == failure
            })
            .await;
        }
        one.eventually("everything of it has failed", async |site: &Site| {
            site.report().await.channels.iter().all(|channel| channel.standing == Standing::Failed)
        })
        .await;
        let up = Operate { verb: Verb::Up, name: "r0".into(), wait: false };
        one.relay.send(up).await.unwrap().unwrap();
        establish(&one, &two).await;
    });
}

#[test]
fn a_restart_by_an_operator_forgives_as_well() {
    use drx_actors::api::{Operate, Verb};
    use drx_protocol::Standing;
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let mut settings = resource("r0", 1, 2, 7789);
        let policy = drx_protocol::restart::Settings { max_failures: 2, ..*settings.restart.settings() };
        settings.restart = drx_protocol::restart::Policy::new(policy).unwrap();
        let one = site(&net, "node1", vec![settings]);
        let _two = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
        let strike = async |failures| {
            one.until(Role::Connector, Lane::Zero, State::Connecting).await;
            let victim = Victim::Channel(CONNECTOR);
            one.relay.send(Panic { resource: "r0".into(), victim }).await.unwrap().unwrap();
            one.eventually("the failure is counted", async |site: &Site| {
                site.channel(Role::Connector, Lane::Zero).await.failures == failures
            })
            .await;
        };
        strike(1).await;
        strike(2).await;
        one.eventually("it has failed", async |site: &Site| {
            site.channel(Role::Acceptor, Lane::Zero).await.standing == Standing::Failed
        })
        .await;
        let restart = Operate { verb: Verb::Restart, name: "r0".into(), wait: false };
        one.relay.send(restart).await.unwrap().unwrap();
        strike(3).await;
        one.until(Role::Connector, Lane::Zero, State::Connecting).await;
    });
}

/// A supervisor that is to be restarted when the relay shuts down stays away.
#[test]
fn a_shutdown_during_the_back_off_of_a_supervisor() {
    use drx_actors::api::{Shutdown, Snapshot};
    for at_once in [false, true] {
        simulated(async move {
            let net = Arc::new(MemoryNet::new());
            let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789)]);
            one.until(Role::Acceptor, Lane::Zero, State::Bridging).await;
            let victim = Victim::Resource;
            one.relay.send(Panic { resource: "r0".into(), victim }).await.unwrap().unwrap();
            // Its end is noticed: nobody answers for it any more.
            while !one.relay.send(Snapshot).await.unwrap().resources.is_empty() {
                actix_rt::task::yield_now().await;
            }
            one.relay.send(Shutdown { at_once }).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            let report = one.relay.send(Snapshot).await.expect("the relay is well");
            assert_eq!(report.resources, []);
            assert_eq!(net.listeners(), []);
        });
    }
}
