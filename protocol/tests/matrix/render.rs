//! The walk as text: the matrix, the list of transitions, the diagram.

use std::collections::{BTreeMap, BTreeSet};

use drx_protocol::names::{ChannelType, Role};
use drx_protocol::state::State;

use crate::walk::{Cell, Outcome, Outcomes, Walk};
use crate::words::{self, ROWS, Row};

/// One role's matrix in Markdown: a column for each state, a row for each event, the next state in
/// each cell.
pub fn matrix(walk: &Walk) -> String {
    let states: Vec<State> = State::ALL.into_iter().filter(|state| state.suits(walk.role)).collect();
    let heads: Vec<&str> = states.iter().map(|state| state.word()).collect();
    let mut text = format!("| {} | {} |\n", walk.role, heads.join(" | "));
    text += &format!("|{}\n", " --- |".repeat(states.len() + 1));
    let mut silent = Vec::new();
    for row in ROWS {
        let cells: Vec<String> = states.iter().map(|&state| next_states(walk, state, row)).collect();
        if cells.iter().all(String::is_empty) {
            silent.push(format!("`{row}`"));
        } else {
            text += &format!("| `{row}` | {} |\n", cells.join(" | "));
        }
    }
    text + &format!("\nNever says anything to this role: {}.\n", silent.join(", "))
}

/// Every transition with its actions.
pub fn transitions(walk: &Walk) -> String {
    let mut text = String::new();
    for state in State::ALL.into_iter().filter(|state| state.suits(walk.role)) {
        text += &format!("{}, {state}\n", walk.role);
        let mut silent = Vec::new();
        for row in ROWS {
            let Some(cell) = walk.cells.get(&(state, row)) else { continue };
            if cell.values().flatten().all(Option::is_none) {
                silent.push(row);
                continue;
            }
            let mut head = row;
            for (types, outcomes) in by_type(cell, |outcomes| outcomes.clone()) {
                for outcome in outcomes {
                    let said = outcome.map_or("says nothing".into(), |outcome| sentence(&outcome, state));
                    text += &format!("  {head:<24} {types:<5} {said}\n");
                    head = "";
                }
            }
        }
        text += &format!("  says nothing: {}\n\n", silent.join(", "));
    }
    text
}

/// Both roles in one Mermaid diagram.
pub fn mermaid(walks: &[Walk]) -> String {
    let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> allocating\n".to_owned();
    for ((from, to), label) in labels(walks) {
        let to = if leaves(from, to) { "[*]" } else { to.word() };
        text += &format!("    {from} --> {to} : {}\n", label.join("<br/>"));
    }
    text + "```\n"
}

/// The same for Graphviz.
pub fn dot(walks: &[Walk]) -> String {
    let mut text =
        "digraph channel {\n    node [shape=box, style=rounded];\n    end [shape=point];\n".to_owned();
    for ((from, to), label) in labels(walks) {
        let to = if leaves(from, to) { "end" } else { to.word() };
        text += &format!("    {from} -> {to} [label=\"{}\"];\n", label.join("\\n"));
    }
    text + "}\n"
}

/// The one way out: an operator's stop ends in `Leave`.
fn leaves(from: State, to: State) -> bool {
    (from, to) == (State::Stopped, State::Stopped)
}

fn next_states(walk: &Walk, state: State, row: Row) -> String {
    let Some(cell) = walk.cells.get(&(state, row)) else { return String::new() };
    let goes = |outcomes: &Outcomes| {
        let next: BTreeSet<State> = outcomes.iter().flatten().map(|outcome| outcome.to).collect();
        let words = next.into_iter().map(|to| if to == state { "*stays*" } else { to.word() });
        words.collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    for (types, next) in by_type(cell, goes) {
        match (types, next) {
            (_, next) if next.is_empty() => {}
            ("", next) => parts.push(next),
            (types, next) => parts.push(format!("{types}: {next}")),
        }
    }
    parts.join("; ")
}

/// What `view` shows of a cell, for data and for meta apart where that differs. A channel without a
/// type counts for both.
fn by_type<T: PartialEq>(cell: &Cell, view: impl Fn(&Outcomes) -> T) -> Vec<(&'static str, T)> {
    let of = |channel_type| {
        let types = [None, Some(channel_type)];
        view(&types.iter().filter_map(|key| cell.get(key)).flatten().cloned().collect())
    };
    if !cell.contains_key(&Some(ChannelType::Data)) && !cell.contains_key(&Some(ChannelType::Meta)) {
        return vec![("", of(ChannelType::Data))];
    }
    if !cell.contains_key(&Some(ChannelType::Meta)) {
        return vec![("data", of(ChannelType::Data))];
    }
    let (data, meta) = (of(ChannelType::Data), of(ChannelType::Meta));
    if data == meta { vec![("", data)] } else { vec![("data", data), ("meta", meta)] }
}

fn sentence(outcome: &Outcome, from: State) -> String {
    let mut text = if outcome.to == from { "stays".to_owned() } else { outcome.to.word().to_owned() };
    if !outcome.notes.is_empty() {
        text += &format!(" [{}]", outcome.notes.join(", "));
    }
    if !outcome.actions.is_empty() {
        text += &format!(": {}", outcome.actions.join(", "));
    }
    text
}

/// Who goes along an arrow.
type Goers = BTreeSet<(Role, Option<ChannelType>)>;

/// Every arrow with its events, told apart by role and type where only one of them goes that way.
fn labels(walks: &[Walk]) -> BTreeMap<(State, State), Vec<String>> {
    let mut arrows: BTreeMap<(State, State), BTreeMap<usize, Goers>> = BTreeMap::new();
    for walk in walks {
        for (&arrow, leads) in &walk.arrows {
            for &(row, channel_type) in leads {
                let event = words::event(row);
                let place = ROWS.iter().position(|known| words::event(known) == event).unwrap();
                let who = arrows.entry(arrow).or_default().entry(place).or_default();
                who.insert((walk.role, channel_type));
            }
        }
    }
    let label = |((from, to), events): ((State, State), BTreeMap<usize, Goers>)| {
        let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (place, who) in events {
            lines.entry(whose(from, to, &who)).or_default().push(words::event(ROWS[place]));
        }
        let lines = lines.into_iter().map(|(whose, events)| format!("{whose}{}", events.join(", ")));
        ((from, to), lines.collect())
    };
    arrows.into_iter().map(label).collect()
}

fn whose(from: State, to: State, who: &Goers) -> String {
    let roles: BTreeSet<Role> = who.iter().map(|(role, _)| *role).collect();
    let types: BTreeSet<Option<ChannelType>> = who.iter().map(|(_, channel_type)| *channel_type).collect();
    let both_could = Role::ALL.into_iter().all(|role| from.suits(role) && to.suits(role));
    let role = roles.first().filter(|_| both_could && roles.len() == 1).map(Role::to_string);
    let only = |channel_type| types.iter().all(|one| *one == Some(channel_type));
    let of_type = match from {
        State::ClosePending => None, // always data
        _ if only(ChannelType::Data) => Some("data".to_owned()),
        _ if only(ChannelType::Meta) => Some("meta".to_owned()),
        _ => None,
    };
    let words: Vec<String> = role.into_iter().chain(of_type).collect();
    if words.is_empty() { String::new() } else { format!("{}: ", words.join(", ")) }
}
