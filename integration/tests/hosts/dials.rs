//! A line on which only one side can open connections, as a firewall or a NAT makes it.

use drx_protocol::names::Role;
use drx_protocol::report::ResourceReport;
use drx_protocol::{Standing, State};

use crate::on_both_families;
use crate::world::{Plan, World};

/// The first relay's dials vanish. So only its acceptors are linked, and only its bsr can open: it opens both, on a lane
/// each, and everything goes over these.
#[test]
fn only_one_side_can_dial() {
    on_both_families(|family| {
        // As BSR and as DRBD do it: either one opens both if it must.
        for drbd in [false, true] {
            let plan = Plan { family, drbd, ..Plan::default() };
            // What leads to the second site.
            let mut world =
                World::with(&plan, |network, _| network.line.change(1, |way| way.drops_syns = true));
            world.sync(plan.bytes);
            for (site, role) in [(0, Role::Acceptor), (1, Role::Connector)] {
                world.until_resource(site, "both channels of one kind are established", |report| {
                    report.session && all_in(report, role, State::Established)
                });
                let other = if role == Role::Acceptor { Role::Connector } else { Role::Acceptor };
                let report = world.resource(site).unwrap();
                assert!(all_in(&report, other, State::Bridging), "{report:?}");
                assert_eq!(report.situation, "everything is connected");
            }
            world.start_load();
            world.write(200);
            world.stop_load();
            world.compare();
            assert!(!world.has_lost());

            let trouble = format!("the other DRX at {} cannot be reached: no answer", world.places[0].peer);
            world.relays[0].until_logged(0, &["trying again and again", &trouble]);
            assert!(world.network.line.counts()[1].syns > 0, "nothing was dropped");

            // The other way opens, and nobody takes notice but the lanes that were missing.
            world.network.line.change(1, |way| way.drops_syns = false);
            world.until_linked();
            assert!(!world.has_lost());
        }
    });
}

/// The same before any bsr is there: each relay says which of the two cannot reach the other.
#[test]
fn who_cannot_reach_whom_is_said() {
    on_both_families(|family| {
        let plan = Plan { family, ..Plan::default() };
        let mut world = World::with(&plan, |network, _| network.line.change(1, |way| way.drops_syns = true));
        world.nodes.iter_mut().for_each(|node| node.kill());
        let [first, second] =
            ["the local DRX cannot reach the remote DRX", "the remote DRX cannot reach the local DRX"];
        for (site, situation) in [(0, first), (1, second)] {
            world.until_resource(site, situation, |report| report.situation == situation);
        }
        let trouble =
            format!("the other DRX at {} cannot be reached: no answer within 5.0s", world.places[0].peer);
        world.until_resource(0, &trouble, |report| report.trouble.contains(&trouble));
        let status = world.relays[0].ctl(&["status", "r0"]);
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains(first) && status.contains(&trouble), "{status}");
    });
}

/// Both lanes.
fn all_in(report: &ResourceReport, role: Role, state: State) -> bool {
    let mut of = report.channels.iter().filter(|channel| channel.role == role);
    of.all(|channel| channel.standing == Standing::In(state))
}
