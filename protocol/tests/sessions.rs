//! Sessions, in full.
#![allow(clippy::unwrap_used)]

mod many;
mod search;

use drx_protocol::rules::Rules;
use many::{Bounds, Resource, Side, Way};
use search::{Found, explore};

fn faults() -> u8 {
    std::env::var("DRX_SEARCH_FAULTS").map_or(1, |faults| faults.parse().unwrap())
}

fn sound(name: &str, way: Way) {
    let bounds = Bounds { way, faults: faults(), lag: std::env::var("LAG").is_ok() };
    let found = explore(Resource::new(bounds, Rules::ALL), 20_000_000);
    println!(
        "{name}, {} faults: {} worlds, {} well, {} stuck",
        bounds.faults, found.worlds, found.well, found.stuck
    );
    assert!(found.story.is_none(), "{name}: {} stuck\n{}", found.stuck, found.story.unwrap());
    assert!(found.well > 0);
}

fn hole(name: &str, bounds: Bounds, rules: Rules) {
    let Found { worlds, stuck, story, .. } = explore(Resource::new(bounds, rules), 20_000_000);
    let story = story.unwrap_or_else(|| panic!("without \"{name}\" nothing goes wrong in {worlds} worlds"));
    let last = story.lines().find(|line| line.starts_with("broken")).unwrap_or("");
    println!("{story}\nwithout \"{name}\": {stuck} of {worlds} worlds stuck {last}");
}

#[test]
fn no_world_is_stuck_apart() {
    sound("apart", Way::Apart);
}

#[test]
fn no_world_is_stuck_both() {
    sound("both", Way::Both(Side::A));
}

#[test]
fn rule_6_x() {
    let bounds = Bounds { way: Way::Apart, faults: faults(), lag: std::env::var("LAG").is_ok() };
    hole("stops name the partner", bounds, Rules { stops_name_the_partner: false, ..Rules::ALL });
}

#[test]
fn rule_6_y() {
    let bounds = Bounds { way: Way::Both(Side::A), faults: faults(), lag: std::env::var("LAG").is_ok() };
    hole("stops name the partner", bounds, Rules { stops_name_the_partner: false, ..Rules::ALL });
}

#[test]
fn rule_7_x() {
    let bounds = Bounds { way: Way::Apart, faults: faults(), lag: std::env::var("LAG").is_ok() };
    hole("goodbyes close the door", bounds, Rules { goodbyes_close_the_door: false, ..Rules::ALL });
}
