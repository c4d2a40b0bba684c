//! The channel's transition matrix and its diagram, generated from the code: the real [`Channel`] is
//! walked through every state with every event. A transition that changes is a visible difference in
//! `docs/`.
//!
//! [`Channel`]: drx_protocol::channel::Channel
#![allow(clippy::unwrap_used)]

mod always;
mod arrows;
mod kept;
mod render;
mod situations;
mod walk;
mod words;

use std::collections::BTreeSet;

use drx_protocol::channel::{Cause, Kept, Partner};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::names::{LinkId, Round};
use drx_protocol::state::Standing;
use walk::Walk;
use words::ROWS;

#[test]
fn the_matrix_in_the_docs_is_the_one_of_the_code() {
    let text: Vec<String> = Walk::both().iter().map(render::matrix).collect();
    kept::part("channels.md", "matrix", &text.join("\n"));
}

#[test]
fn the_diagram_in_the_docs_is_the_one_of_the_code() {
    kept::part("channels.md", "diagram", &render::mermaid(Walk::both()));
    kept::file("generated/channel.dot", &render::dot(Walk::both()));
}

#[test]
fn the_transitions_in_the_docs_are_those_of_the_code() {
    let text: String = Walk::both().iter().map(render::transitions).collect();
    kept::file("generated/transitions.txt", &text);
}

#[test]
fn the_situations_in_the_docs_are_those_of_the_code() {
    kept::part("channels.md", "situations", &situations::table());
}

/// A row that was never fed would look like an event that never says anything.
#[test]
fn every_event_was_fed() {
    for walk in Walk::both() {
        let fed: BTreeSet<_> = walk.cells.keys().map(|(_, row)| *row).collect();
        assert_eq!(fed, BTreeSet::from(ROWS), "{}", walk.role);
    }
}

/// An operator who reads a word in a table or a log finds it.
#[test]
fn every_standing_is_explained() {
    let (channels, lexicon) = (kept::text("channels.md"), kept::text("lexicon.md"));
    for standing in Standing::ALL {
        let row = format!("| `{standing}` |");
        assert!(channels.contains(&row), "docs/channels.md explains no {row}");
        assert!(lexicon.contains(&format!("**{standing}**")), "docs/lexicon.md has no {standing}");
    }
}

#[test]
fn every_cause_and_every_reason_is_explained() {
    let ending = Ending::new(EndReason::Failure);
    let partner = Partner { round: Round { link: LinkId(1), attempt: 1 }, kept: Kept::Inbound };
    let causes = [
        Cause::LocalBsr,
        Cause::FirstPacket,
        Cause::RemoteFin(ending),
        Cause::Remote(ending),
        Cause::Partner(partner),
        Cause::LinkLost,
        Cause::TimedOut,
        Cause::Operator,
    ];
    // What a cause adds to its sentence differs from case to case.
    let causes = causes.map(|cause| cause.to_string().split([':', '(']).next().unwrap().trim().to_owned());
    let reasons = EndReason::ALL.map(|reason| reason.to_string());
    let channels = kept::text("channels.md");
    for sentence in causes.iter().chain(&reasons) {
        let row = format!("| {sentence} |");
        assert!(channels.contains(&row), "docs/channels.md explains no {row}");
    }
}
