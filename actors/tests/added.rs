//! Resources that are added while the relay runs, under a paused clock.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::members::{carries, two_empty_sites};
use common::{Site, empty_site, establish, resource, simulated, site};
use drx_actors::api::{Added, Refusal, Resize, ResourceSettings, Shutdown};
use drx_actors::net::{MemoryNet, Net, SocketOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn what_is_added_on_both_sides_ends_up_established() {
    simulated(async {
        let (one, two) = two_empty_sites();
        assert!(!one.net.is_listening(one.settings().outside));
        one.add().await;
        two.add().await;
        carries(&one, &two, b"added").await;
        let added = one.logged(&["adding a connection", "connection=r0-node2-node1"]);
        assert_eq!(added.len(), 1, "{added:?}");
        for address in
            ["inside=10.77.1.1:7788", "outside=10.77.9.1:7780", "peer=10.77.9.2:7780", "bsr=10.77.1.2:7789"]
        {
            assert!(added[0].contains(address), "{added:?}");
        }
    });
}

#[test]
fn the_same_again_changes_nothing() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        two.add().await;
        let _session = establish(&one, &two).await;
        let mut again = one.settings().clone();
        again.bab.size = 1 << 20;
        assert_eq!(one.try_add(again).await, Ok(Added::Same));
        assert_eq!(one.described("all").await[0].bab.size, 64 << 20, "what is in force stays");
        let report = one.report().await;
        assert!(report.session && report.restarts == 0);
        assert_eq!(one.logged(&["adding a connection"]).len(), 1);
    });
}

#[test]
fn many_share_an_outside_and_the_last_one_closes_it() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let meant = |here, there| vec![resource("r0", here, there, 7789), resource("r1", here, there, 7799)];
        let one = empty_site(&net, "node1", meant(1, 2), 1 << 40);
        let two = empty_site(&net, "node2", meant(2, 1), 1 << 40);
        let beside = (one.beside(1), two.beside(1));
        for site in [&one, &two, &beside.0, &beside.1] {
            site.add().await;
        }
        let _session = establish(&beside.0, &beside.1).await;
        let outside = one.settings().outside;
        one.remove().await.unwrap();
        one.until_gone().await;
        assert!(net.is_listening(outside));
        // It goes on being heard: a new link finds r1.
        assert!(one.logged(&["closed to other DRX"]).is_empty());
        beside.0.remove().await.unwrap();
        drop(_session);
        beside.0.until_gone().await;
        one.eventually("the last one has closed it", async |_: &Site| !net.is_listening(outside)).await;
        one.add().await;
        beside.0.add().await;
        carries(&one, &two, b"r0").await;
        carries(&beside.0, &beside.1, b"r1").await;
    });
}

/// `proxy on` may name a machine that is not called as the node is: that name counts for this connection.
#[test]
fn a_connection_may_have_a_name_of_its_own_for_this_node() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let relay_machine = empty_site(&net, "relay-a", vec![resource("r0", 1, 2, 7789)], 1 << 40);
        let peer = site(&net, "node2", vec![resource("r0", 2, 1, 7789)]);
        relay_machine.add().await;
        carries(&relay_machine, &peer, b"by another name").await;
        let report = relay_machine.report().await;
        assert_eq!(report.connection(), "r0-node2-node1");
        assert!(report.channels.iter().all(|channel| channel.connection == "r0-node2-node1"));
        assert_eq!(peer.logged(&["names do not match"]), [""; 0]);
    });
}

/// Two nodes behind one relay replicate the same resource to a third one.
#[test]
fn two_local_nodes_may_share_a_relay() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let named = |name: &str, here, there, port, remote: &str, local: &str| ResourceSettings {
            remote: remote.into(),
            local: local.into(),
            ..resource(name, here, there, port)
        };
        let ours = vec![named("r0", 1, 2, 7789, "c", "a"), named("r0", 1, 2, 7799, "c", "b")];
        let theirs = vec![named("r0", 2, 1, 7789, "a", "c"), named("r0", 2, 1, 7799, "b", "c")];
        let one = empty_site(&net, "node1", ours.clone(), 1 << 40);
        let two = empty_site(&net, "node2", theirs.clone(), 1 << 40);
        for (site, all) in [(&one, ours), (&two, theirs)] {
            for settings in all {
                assert_eq!(site.try_add(settings).await, Ok(Added::New));
            }
        }
        for index in 0..2 {
            let (one, two) = (one.beside(index), two.beside(index));
            let mut listener = one.listen().await;
            let mut sender = two.open(drx_protocol::names::ChannelType::Data).await;
            let (_, mut receiver) = common::take(&mut listener).await;
            sender.write_all(&[index as u8; 9]).await.unwrap();
            let mut got = [9; 9];
            receiver.read_exact(&mut got).await.unwrap();
            assert_eq!(got, [index as u8; 9]);
        }
        // A third name is none of them.
        let mut strange = named("r0", 2, 1, 7809, "x", "c");
        strange.outside = "10.77.9.2:7781".parse().unwrap();
        assert_eq!(two.try_add(strange).await, Ok(Added::New));
        two.eventually("it is told", async |two| {
            !two.logged(&["refused, names do not match: this node is a, b, not x"]).is_empty()
        })
        .await;
    });
}

#[test]
fn what_cannot_be_added_is_refused_with_the_reason() {
    simulated(async {
        let (one, two) = two_empty_sites();
        one.add().await;
        let settings = one.settings().clone();
        let mut moved = settings.clone();
        moved.peer = "10.77.9.3:7780".parse().unwrap();
        let refused = one.try_add(moved).await.unwrap_err().to_string();
        assert!(
            refused.starts_with("r0-node2-node1 is there already, with inside 10.77.1.1:7788"),
            "{refused}"
        );
        assert!(
            refused.contains("peer 10.77.9.2:7780") && refused.contains("peer 10.77.9.3:7780"),
            "{refused}"
        );
        let taken = ResourceSettings { name: "r1".into(), ..settings.clone() };
        let refused = one.try_add(taken).await.unwrap_err().to_string();
        assert_eq!(refused, "inside 10.77.1.1:7788 is r0-node2-node1's already");
        let refused = one.try_add(resource("r1", 1, 2, 7799)).await.unwrap_err();
        assert_eq!(refused, Refusal::OverTotal { needed: 2 * (68 << 20), total: 68 << 20 });
        assert_eq!(one.described("all").await, [settings]);
        // As `set` has made it smaller.
        let size = 1 << 20;
        one.relay.send(Resize { name: "r0".into(), size }).await.unwrap().unwrap();
        let mut small = resource("r1", 1, 2, 7799);
        small.bab.size = (68 << 20) - (4 << 20) - size - (4 << 20);
        assert_eq!(one.try_add(small).await, Ok(Added::New));
        one.relay.send(Shutdown { at_once: false }).await.unwrap();
        assert_eq!(one.try_add(resource("r2", 1, 2, 7809)).await, Err(Refusal::ShuttingDown));
        assert_eq!(one.remove().await, Err(Refusal::ShuttingDown));
        drop(two);
    });
}

/// Whoever cannot be listened for hears it, also if it comes later than the trouble.
#[test]
fn a_resource_that_is_added_hears_of_the_trouble_at_its_outside() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let meant = vec![resource("r0", 1, 2, 7789), resource("r1", 1, 2, 7799)];
        let one = empty_site(&net, "node1", meant, 1 << 40);
        let outside = one.settings().outside;
        let taken = net.listen(outside, 1, &SocketOptions::local()).await.unwrap();
        let in_trouble = async |site: &Site| {
            site.report().await.trouble.iter().any(|trouble| trouble.contains("cannot listen on outside"))
        };
        one.add().await;
        one.eventually("r0 is in trouble", in_trouble).await;
        one.beside(1).add().await;
        one.beside(1).eventually("r1 is in trouble", in_trouble).await;
        drop(taken);
        one.eventually("it is over", async |site| {
            !in_trouble(site).await && !in_trouble(&site.beside(1)).await
        })
        .await;
    });
}
