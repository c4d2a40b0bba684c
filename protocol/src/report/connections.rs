//! The table of `drx-ctl connections` (seed 000, "Structure").

use crate::report::columns::{Column, Columns};
use crate::report::{ChannelReport, ResourceReport, arrow, one_line, shown_channels, type_word, units};

/// The table as `drx-ctl connections` prints it, each line with its newline.
///
/// Rows stand by resource (its peer relays by name); data, meta, then undefined; acceptor before
/// connector; then by lane. Lane 1 is shown while in use. `verbose` shows it always, prints addresses, and
/// adds the lane, since when the channel is in its state, the attempt, and why it last stopped. The
/// footer counts the rows shown; a row whose link is being resumed is established, as its first State says.
pub fn connections_table(resources: &[ResourceReport], verbose: bool) -> String {
    let mut resources: Vec<_> = resources.iter().collect();
    resources.sort_by(|a, b| (&a.name, &a.remote, &a.local).cmp(&(&b.name, &b.remote, &b.local)));
    let channels: Vec<_> =
        resources.into_iter().flat_map(|resource| shown_channels(resource, verbose)).collect();

    let mut heads = HEADS.to_vec();
    if verbose {
        heads.extend(VERBOSE_HEADS);
    }
    let mut table = Columns::new(heads, 1);
    for channel in &channels {
        table.push(row(channel, verbose));
    }
    let established = channels.iter().filter(|channel| channel.is_established()).count();

    let rule = "-".repeat(table.width() + RULE_OVERHANG);
    let (head, rows) = table.lines();
    let mut lines = vec![rule.clone(), head, rule.clone()];
    lines.extend(rows);
    lines.push(rule);
    lines.push(format!(" All connections : {}, Established : {established}", channels.len()));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn row(channel: &ChannelReport, verbose: bool) -> Vec<String> {
    let place = |literal: &str, address: &Option<String>| match address {
        _ if !verbose => format!("({literal})"),
        Some(address) => one_line(address),
        None => "-".to_owned(),
    };
    let mut row = vec![
        one_line(&channel.connection),
        type_word(channel),
        place("local-bsr", &channel.bsr_address),
        arrow::local_side(channel),
        place("local-drx", &channel.local_address),
        arrow::link_side(channel),
        place("remote-drx", &channel.remote_address),
    ];
    if verbose {
        row.extend([
            channel.lane.to_string(),
            units::time(channel.since_seconds),
            channel.attempt.to_string(),
            channel.last_stop.as_deref().map_or("-".to_owned(), one_line),
        ]);
    }
    row
}

/// The seed's columns; a name of 14 characters, `r0-node2-node1`, is the shortest column it has.
const HEADS: [Column; 7] = [
    Column { head: "Name", width: 14 },
    Column { head: "Type", width: 4 },
    Column { head: "local-bsr-ip", width: 12 },
    Column { head: "State", width: arrow::WIDTH },
    Column { head: "local-drx-ip", width: 12 },
    Column { head: "State", width: arrow::WIDTH },
    Column { head: "remote-drx-ip", width: 13 },
];

const VERBOSE_HEADS: [Column; 4] = [
    Column { head: "Lane", width: 4 },
    Column { head: "Since", width: 6 },
    Column { head: "Attempt", width: 7 },
    Column { head: "Last stop", width: 9 },
];

/// The seed's rules are 91 characters over columns of 89.
const RULE_OVERHANG: usize = 2;
