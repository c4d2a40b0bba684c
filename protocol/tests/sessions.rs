//! Sessions of one resource, in full: two relays with two lanes in each direction, data and meta on
//! whatever lanes and directions they come, and both bsr as bsr-wire A has them: newest wins, losing
//! one drops both.
//!
//! No world is stuck, and no lane either; what is well stays well; and the rules of docs/link.md 6
//! that concern sessions, taken out, show their holes.
#![allow(clippy::unwrap_used)]

mod many;
mod search;

use drx_protocol::rules::Rules;
use many::{Bounds, Resource, Side, Way, Wrong};
use search::{Found, explore};

/// One fault in one story takes seconds. `DRX_SEARCH_FAULTS=2` takes minutes for losses; with
/// everything that may go wrong there are more than 40 million worlds, and 10 GB are not enough.
fn bounds(way: Way) -> Bounds {
    let faults = std::env::var("DRX_SEARCH_FAULTS").map_or(1, |faults| faults.parse().unwrap());
    Bounds { way, faults, wrong: Wrong::Anything, late_orders: false, late_notices: false }
}

fn sound(bounds: Bounds) -> usize {
    let start = Resource::new(bounds, Rules::ALL);
    let seen = start.seen();
    let Found { worlds, well, stuck, story } = explore(start, 150_000_000);
    println!("{bounds:?}: {worlds} worlds, {well} well, {stuck} stuck; {seen:?}");
    assert!(story.is_none(), "{bounds:?}: {stuck} stuck\n{}", story.unwrap());
    assert!(well > 0);
    assert!(bounds.faults == 0 || seen.flushes.get() > 0, "nothing was ever flushed");
    if bounds.faults > 0 && bounds.wrong == Wrong::Anything {
        assert!(seen.strangers.get() > 0, "no stop ever meant another partner");
    }
    if bounds.faults > 0 && bounds.late_notices {
        assert!(seen.duplicates.get() > 0, "no duplicate was ever lost beside a session");
    }
    worlds
}

fn hole(name: &str, bounds: Bounds, rules: Rules) {
    let Found { worlds, stuck, story, .. } = explore(Resource::new(bounds, rules), 150_000_000);
    let story = story.unwrap_or_else(|| panic!("without \"{name}\" nothing goes wrong in {worlds} worlds"));
    let last = story.lines().find(|line| line.starts_with("broken")).unwrap_or("");
    println!("without \"{name}\": {stuck} of {worlds} worlds stuck {last}");
}

#[test]
fn no_world_is_stuck_one_from_each_node() {
    sound(bounds(Way::Apart));
}

#[test]
fn no_world_is_stuck_both_from_one_node() {
    sound(bounds(Way::Both(Side::A)));
}

#[test]
fn no_world_is_stuck_after_another_loss() {
    let bounds = bounds(Way::Apart);
    sound(Bounds { wrong: Wrong::OnlyLosses, faults: bounds.faults + 1, ..bounds });
}

#[test]
fn no_world_is_stuck_when_orders_come_late() {
    sound(Bounds { wrong: Wrong::OnlyLosses, late_orders: true, ..bounds(Way::Apart) });
}

#[test]
fn no_world_is_stuck_when_closes_are_noticed_late() {
    sound(Bounds { wrong: Wrong::OnlyLosses, late_notices: true, ..bounds(Way::Apart) });
}

#[test]
fn it_does_not_matter_which_node_opens_both() {
    let losses = |side| Bounds { wrong: Wrong::OnlyLosses, ..bounds(Way::Both(side)) };
    assert_eq!(sound(losses(Side::A)), sound(losses(Side::B)));
}

#[test]
fn rule_6_stops_name_the_partner() {
    hole("stops name the partner", bounds(Way::Apart), Rules { stops_name_the_partner: false, ..Rules::ALL });
}

#[test]
fn rule_7_goodbyes_close_the_door() {
    hole(
        "goodbyes close the door",
        bounds(Way::Apart),
        Rules { goodbyes_close_the_door: false, ..Rules::ALL },
    );
}
