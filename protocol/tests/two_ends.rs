//! Two ends of one lane, in full: an acceptor and a connector over links that break, half-open
//! connections, dials that overtake each other, relays that crash, bsr that come and go.
//!
//! No world is stuck; no byte goes to a bsr connection that it was not meant for; and each rule of
//! docs/link.md 6 that concerns a lane, taken out, shows its hole.
#![allow(clippy::unwrap_used)]

mod pair;
mod search;

use drx_protocol::names::ChannelType::Meta;
use drx_protocol::rules::Rules;
use pair::{Bounds, Pair};
use search::{Found, explore};

/// Two faults in one story take seconds; `DRX_SEARCH_FAULTS=3` (15 million worlds) takes minutes.
fn bounds() -> Bounds {
    let faults = std::env::var("DRX_SEARCH_FAULTS").map_or(2, |faults| faults.parse().unwrap());
    Bounds { faults, ..Bounds::default() }
}

fn sound(bounds: Bounds) {
    let found = explore(Pair::new(bounds, Rules::ALL), 20_000_000);
    let name = format!("{} with resume {}", bounds.channel_type, if bounds.resume { "on" } else { "off" });
    println!(
        "{name}, {} faults: {} worlds, {} well, {} stuck",
        bounds.faults, found.worlds, found.well, found.stuck
    );
    assert!(found.story.is_none(), "{name}: {} stuck\n{}", found.stuck, found.story.unwrap());
    assert!(found.well > 0);
}

fn hole(name: &str, bounds: Bounds, rules: Rules) {
    let Found { worlds, stuck, story, .. } = explore(Pair::new(bounds, rules), 20_000_000);
    let story = story.unwrap_or_else(|| panic!("without \"{name}\" nothing goes wrong in {worlds} worlds"));
    let last = story.lines().find(|line| line.starts_with("broken")).unwrap_or("");
    println!("without \"{name}\": {stuck} of {worlds} worlds stuck {last}");
}

#[test]
fn no_world_is_stuck_data() {
    sound(bounds());
}

#[test]
fn no_world_is_stuck_data_with_resume() {
    sound(Bounds { resume: true, ..bounds() });
}

#[test]
fn no_world_is_stuck_meta() {
    sound(Bounds { channel_type: Meta, ..bounds() });
}

#[test]
fn no_world_is_stuck_meta_with_resume() {
    sound(Bounds { channel_type: Meta, resume: true, ..bounds() });
}

#[test]
fn rule_1_fresh_links_only_when_idle() {
    hole("fresh links only when idle", bounds(), Rules { fresh_links_only_when_idle: false, ..Rules::ALL });
}

#[test]
fn rule_2_resume_only_the_same_round() {
    let bounds = Bounds { resume: true, faults: 3, only_flapping: true, ..bounds() };
    hole("resume only the same round", bounds, Rules { resume_only_the_same_round: false, ..Rules::ALL });
}

#[test]
fn rule_3_rounds_belong_to_a_link() {
    hole("rounds belong to a link", bounds(), Rules { rounds_belong_to_a_link: false, ..Rules::ALL });
}

#[test]
fn rule_4_late_dials_change_nothing() {
    hole("late dials change nothing", bounds(), Rules { late_dials_change_nothing: false, ..Rules::ALL });
}

#[test]
fn rule_5_gone_ends_discard() {
    hole("gone ends discard", bounds(), Rules { gone_ends_discard: false, ..Rules::ALL });
}
