//! Two ends of one lane, in full: an acceptor and a connector over links that break, half-open
//! connections, dials that overtake each other, relays that crash, bsr that come and go.
//!
//! No world is stuck; no byte goes to a bsr connection that it was not meant for; and each rule of
//! docs/link.md 2a that concerns a lane, taken out, shows its hole.
#![allow(clippy::unwrap_used)]

mod pair;
mod search;

use drx_protocol::names::ChannelType::{Data, Meta};
use drx_protocol::rules::Rules;
use pair::{Bounds, Pair};
use search::{Found, explore};

fn bounds() -> Bounds {
    Bounds { faults: 3, ..Bounds::default() }
}

fn sound(name: &str, bounds: Bounds) -> usize {
    let found = explore(Pair::new(bounds, Rules::ALL), 20_000_000);
    println!("{name}: {} worlds, {} well, {} stuck", found.worlds, found.well, found.stuck);
    assert_eq!(found.stuck, 0, "{name}:\n{}", found.story.unwrap());
    assert!(found.story.is_none(), "{name}:\n{}", found.story.unwrap());
    assert!(found.well > 0);
    found.worlds
}

fn hole(name: &str, bounds: Bounds, rules: Rules) {
    let Found { worlds, stuck, story, .. } = explore(Pair::new(bounds, rules), 20_000_000);
    println!("without \"{name}\": {worlds} worlds, {stuck} stuck");
    assert!(story.is_some(), "without \"{name}\" nothing goes wrong in {worlds} worlds");
}

#[test]
fn no_world_is_stuck() {
    let mut worlds = 0;
    for channel_type in [Data, Meta] {
        for resume in [false, true] {
            let name = format!("{channel_type}, resume {}", if resume { "on" } else { "off" });
            worlds += sound(&name, Bounds { channel_type, resume, ..bounds() });
        }
    }
    println!("{worlds} worlds in all");
}

#[test]
fn rule_1_fresh_links_only_when_idle() {
    hole("fresh links only when idle", bounds(), Rules { fresh_links_only_when_idle: false, ..Rules::ALL });
}

#[test]
fn rule_2_resume_only_the_same_round() {
    let bounds = Bounds { resume: true, ..bounds() };
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
