//! Resources that are removed while the relay runs, and added again, under a paused clock.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the test plays both bsr")]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::members::{carries, full, two_empty_sites};
use common::{Session, Site, empty_site, establish, resource, simulated};
use drx_actors::api::{
    Add, Added, Operate, Panic, Refusal, Remove, Resize, SetProxy, Shutdown, Snapshot, Verb, Victim,
};
use drx_actors::net::{MemoryNet, Stream};
use drx_protocol::State;
use drx_protocol::names::{Lane, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

#[test]
fn what_is_removed_is_gone_from_everything() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let session = establish(&one, &two).await;
        assert_eq!(one.remove().await, Ok(()));
        let [mut near, mut far] = session.data;
        near.shutdown().await.unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        one.until_gone().await;
        assert_eq!(one.described("all").await, []);
        let settings = one.settings();
        assert!(!one.net.is_listening(settings.inside) && !one.net.is_listening(settings.outside));
        assert_eq!(one.remove().await, Err(Refusal::UnknownName("r0-node2-node1".into())));
        let removed = one.logged(&["INFO removed a connection"]);
        assert_eq!(removed.len(), 1, "{removed:?}");
        assert!(removed[0].contains("peer=10.77.9.2:7780") && removed[0].contains("why=it was asked for"));
        assert_eq!(one.logged(&["unflushed"]), [""; 0]);
    });
}

/// Neither does the resource beside it notice, nor is anything left of it.
#[test]
fn added_and_removed_a_hundred_times_beside_one_that_is_busy() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let [one, two] = [("node1", 1, 2), ("node2", 2, 1)].map(|(node, here, there)| {
            let meant = vec![resource("r0", here, there, 7789), resource("r1", here, there, 7799)];
            empty_site(&net, node, meant, 2 * (64 << 20) + 2 * (4 << 20))
        });
        let beside = (one.beside(1), two.beside(1));
        beside.0.add().await;
        beside.1.add().await;
        let moved = busy(&beside.0, &beside.1).await;
        // Two bsr, two insides with a free lane, two outsides; both ways of r1's two lanes, and what its bsr have.
        let (listeners, wires) = (6, 8);
        for round in 0..100 {
            one.add().await;
            two.add().await;
            match round % 4 {
                0 => carries(&one, &two, b"once more").await,
                1 => {
                    one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
                }
                _ => {}
            }
            let before = moved.get();
            one.remove().await.unwrap();
            two.remove().await.unwrap();
            one.until_gone().await;
            two.until_gone().await;
            one.eventually("r1's bytes flow", async |_: &Site| moved.get() > before).await;
            // At the latest when all news has travelled nothing is left but what r1 has.
            one.eventually("its connections are closed", async |_: &Site| net.wires().len() <= wires).await;
            assert_eq!(net.listeners().len(), listeners);
        }
        for site in [&beside.0, &beside.1] {
            let report = site.report().await;
            assert!(report.session);
            assert_eq!(report.restarts, 0);
            assert!(
                site.logged(&["unflushed"]).is_empty() && site.logged(&["resource=r1", "WARN"]).is_empty()
            );
        }
    });
}

#[test]
fn what_the_bab_holds_is_flushed_before_it_is_gone() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, sent) = full(&one, &two).await;
        two.remove().await.unwrap();
        two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
        assert!(!two.net.is_listening(two.settings().inside), "bsr is refused from now on");
        let mut got = 0;
        let [mut far, near] = session.data;
        let mut bytes = vec![0; 1 << 16];
        loop {
            match far.read(&mut bytes).await.unwrap() {
                0 => break,
                read => got += read,
            }
        }
        assert_eq!(got, sent);
        drop((near, far, session.meta));
        two.until_gone().await;
        assert_eq!(two.logged(&["unflushed"]), [""; 0]);
        // Its memory is free: `bab.total` is just enough for one.
        two.add().await;
    });
}

/// The far side reads nothing for longer than a flush may take.
#[test]
fn a_flush_that_takes_too_long_ends_and_what_was_lost_is_said() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, _) = full(&one, &two).await;
        let began = Instant::now();
        two.remove().await.unwrap();
        two.until_gone().await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(60) && took < Duration::from_secs(70), "{took:?}");
        let lost = two.logged(&["WARN", "left unflushed", "connection=r0-node1-node2"]);
        assert_eq!(lost.len(), 1, "{lost:?}");
        drop(session);
    });
}

#[test]
fn an_add_of_the_same_cuts_the_flush_short() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, _) = full(&one, &two).await;
        two.remove().await.unwrap();
        two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
        let held = two.channel(Role::Acceptor, Lane::Zero).await.bab.used;
        assert!(held > 0);
        let began = Instant::now();
        two.add().await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let lost = two.logged(&["WARN", "left unflushed", "connection=r0-node1-node2"]);
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(lost[0].contains(&format!("bytes={held}")), "{held}: {lost:?}");
        assert_eq!(two.logged(&["removed a connection", "why=another one takes its place"]).len(), 1);
        drop(session);
        carries(&one, &two, b"the next one").await;
    });
}

#[test]
fn an_add_that_wants_its_inside_cuts_the_flush_short() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, _) = full(&one, &two).await;
        two.remove().await.unwrap();
        let mut other = two.settings().clone();
        other.name = "r9".into();
        assert_eq!(two.try_add(other.clone()).await, Ok(Added::New));
        assert_eq!(two.logged(&["WARN", "left unflushed"]).len(), 1);
        drop(session);
        two.eventually("r9 is alone and listens", async |two| {
            let reports = two.relay.send(Snapshot).await.unwrap().resources;
            reports.len() == 1
                && reports[0].name == "r9"
                && reports[0].trouble.iter().all(|t| !t.contains("listen"))
        })
        .await;
    });
}

/// All of it before anything has had a turn.
#[test]
fn removed_and_added_in_the_same_moment() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let _first = establish(&one, &two).await;
        for _ in 0..5 {
            one.relay.do_send(Remove { connection: one.settings().connection() });
            one.relay.do_send(Add(Box::new(one.settings().clone())));
        }
        assert_eq!(one.try_add(one.settings().clone()).await, Ok(Added::Same));
        drop(_first);
        carries(&one, &two, b"after all").await;
        assert_eq!(one.relay.send(Snapshot).await.unwrap().resources.len(), 1);
        assert_eq!(one.logged(&["cannot listen"]), [""; 0]);
        // One that has not begun yet can be removed, too.
        one.relay.do_send(Remove { connection: one.settings().connection() });
        one.relay.do_send(Add(Box::new(one.settings().clone())));
        one.remove().await.unwrap();
        one.until_gone().await;
        one.eventually("nothing listens", async |one| !one.net.is_listening(one.settings().outside)).await;
    });
}

#[test]
fn nothing_else_can_be_done_with_one_that_is_being_removed() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, _) = full(&one, &two).await;
        two.remove().await.unwrap();
        let being_removed = |name: &str| Err(Refusal::BeingRemoved(name.into()));
        for name in ["r0", "r0-node1-node2"] {
            for verb in [Verb::Up, Verb::Down, Verb::Restart] {
                let operate = Operate { verb, name: name.into(), wait: false };
                assert_eq!(two.relay.send(operate).await.unwrap(), being_removed(name));
            }
            let resize = Resize { name: name.into(), size: 1 << 20 };
            assert_eq!(two.relay.send(resize).await.unwrap().unwrap_err(), being_removed(name).unwrap_err());
        }
        let set = SetProxy { connection: "r0-node1-node2".into(), proxy: Default::default() };
        assert_eq!(two.relay.send(set).await.unwrap(), being_removed("r0-node1-node2"));
        // All the others, of which there are none.
        let all = Operate { verb: Verb::Restart, name: "all".into(), wait: false };
        assert_eq!(two.relay.send(all).await.unwrap(), Ok(()));
        assert_eq!(two.remove().await, Ok(()), "it is under way already");
        two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
        drop(session);
        two.until_gone().await;
    });
}

#[test]
fn a_shutdown_waits_for_what_is_being_removed_and_counts_it() {
    for at_once in [false, true] {
        simulated(async move {
            let (one, two) = two_empty_sites();
            one.add().await;
            two.add().await;
            let (session, _) = full(&one, &two).await;
            two.remove().await.unwrap();
            two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
            let held = two.channel(Role::Acceptor, Lane::Zero).await.bab.used;
            let began = Instant::now();
            let left = two.relay.send(Shutdown { at_once }).await.unwrap();
            assert_eq!(left.bytes, held, "at once: {at_once}");
            let took = began.elapsed();
            let range = if at_once { 0..2 } else { 50..70 };
            assert!(range.contains(&took.as_secs()), "at once: {at_once}: {took:?}");
            drop(session);
        });
    }
}

/// A supervisor that breaks in the midst of it, or is in its back-off, does not stay for ever.
#[test]
fn a_supervisor_that_panics_while_it_is_removed_is_gone() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let (session, _) = full(&one, &two).await;
        let struck = || Panic { resource: "r0".into(), victim: Victim::Resource };
        two.remove().await.unwrap();
        two.relay.send(struck()).await.unwrap().unwrap();
        two.until_gone().await;
        assert_eq!(two.logged(&["ERRO", "that is being removed broke"]).len(), 1);
        assert_eq!(two.logged(&["WARN", "may have been left unflushed", "bytes=not known"]).len(), 1);
        drop(session);
        two.add().await;
        two.relay.send(struck()).await.unwrap().unwrap();
        two.eventually("it is in its back-off", async |two| {
            two.relay.send(Snapshot).await.unwrap().resources.is_empty()
        })
        .await;
        two.remove().await.unwrap();
        assert_eq!(two.described("all").await, []);
        sleep(Duration::from_secs(5)).await;
        two.until_gone().await;
        two.add().await;
        carries(&one, &two, b"again").await;
    });
}
/// A session that is used every 5 ms, as long as it is not disturbed: the count of uses.
async fn busy(one: &Site, two: &Site) -> Rc<Cell<u64>> {
    let Session { data, meta, listeners } = establish(one, two).await;
    let [mut data_one, mut data_two]: [Box<dyn Stream>; 2] = data;
    let moved = Rc::new(Cell::new(0));
    let counted = Rc::clone(&moved);
    actix_rt::spawn(async move {
        let _kept = (meta, listeners);
        for number in 0u64.. {
            data_two.write_all(&number.to_be_bytes()).await.unwrap();
            let mut got = [0; 8];
            let came = timeout(Duration::from_millis(100), data_one.read_exact(&mut got)).await;
            came.expect("nothing holds it up").unwrap();
            assert_eq!(u64::from_be_bytes(got), number);
            counted.set(number);
            sleep(Duration::from_millis(5)).await;
        }
    });
    moved
}
