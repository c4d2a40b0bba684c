//! The text of `drx-ctl status`: one resource, for people.

use crate::codec::Compression;
use crate::report::columns::{Column, Columns};
use crate::report::{
    BabReport, ChannelReport, ResourceReport, arrow, one_line, shown_channels, type_word, units,
};

/// One resource as `drx-ctl status` prints it, each line with its newline.
///
/// Its situation in a sentence and what troubles it; its six connections, three a channel: local bsr to
/// local DRX, the link, remote DRX to remote bsr, the last as the other DRX tells; then the figures. The age
/// of the oldest unacknowledged byte is what the loss of this node would cost at this moment.
pub fn status_text(resource: &ResourceReport) -> String {
    let channels = shown_channels(resource, false);
    let mut lines = vec![format!("{}: {}", one_line(&resource.connection()), one_line(&resource.situation))];
    lines.extend(resource.trouble.iter().map(|trouble| format!("  trouble: {}", one_line(trouble))));
    let session = if resource.session { "whole" } else { "none" };
    lines.push(format!("  session: {session}, restarts: {}", resource.restarts));

    if !channels.is_empty() {
        lines.push(String::new());
        lines.extend(channels.iter().map(|channel| six_connections_half(channel)));
        lines.push(String::new());
        let mut figures = Columns::new(FIGURES.to_vec(), 2);
        for channel in &channels {
            figures.push(figures_row(channel));
        }
        let (head, rows) = figures.lines();
        lines.push(format!("  {head}"));
        lines.extend(rows.iter().map(|row| format!("  {row}")));
        lines.extend(channels.iter().filter_map(|channel| filling(channel)));
        lines.extend(channels.iter().filter_map(|channel| packing(channel)));
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The three connections of one direction, as they lie between the two bsr.
fn six_connections_half(channel: &ChannelReport) -> String {
    format!(
        "  {:<11}  {:<4}  local bsr {} local DRX {} remote DRX {} remote bsr",
        name(channel),
        type_word(channel),
        arrow::local_side(channel),
        arrow::link_side(channel),
        arrow::remote_side(channel),
    )
}

fn figures_row(channel: &ChannelReport) -> Vec<String> {
    let optional_time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), units::time);
    vec![
        name(channel),
        type_word(channel),
        channel.standing.to_string(),
        units::time(channel.since_seconds),
        channel.attempt.to_string(),
        optional_time(channel.rtt_seconds),
        fill(&channel.bab),
        optional_time(channel.bab.oldest_unacknowledged_seconds),
        channel.restarts.to_string(),
        channel.failures.to_string(),
    ]
}

fn name(channel: &ChannelReport) -> String {
    format!("{} {}", channel.role, channel.lane)
}

fn fill(bab: &BabReport) -> String {
    if bab.size == 0 {
        return "-".to_owned();
    }
    // A share of 100 means full, one of 0 empty: nothing is rounded to either.
    let share = (bab.used as f64 / bab.size as f64 * 100.0).ceil();
    let share = if bab.used < bab.size { share.min(99.0) } else { share };
    format!("{} of {} ({share} %)", units::size(bab.used), units::size(bab.size))
}

/// What an operator should know of a BAB that fills.
fn filling(channel: &ChannelReport) -> Option<String> {
    let bab = &channel.bab;
    let slowly = match (bab.dripping, bab.used < bab.size) {
        (true, true) => {
            format!(", above its high mark of {}: bsr is read in drips", units::size(bab.high_mark))
        }
        (true, false) => ": bsr is not read until there is room".to_owned(),
        _ => String::new(),
    };
    let full = match bab.full_in_seconds {
        Some(seconds) if seconds > 0.0 => format!("full in {}", units::time(seconds)),
        Some(_) => "full".to_owned(),
        None if bab.dripping => "not filling".to_owned(),
        None => return None,
    };
    Some(format!("  {} {}: the BAB is {full}{slowly}", name(channel), type_word(channel)))
}

/// What packing does and gains, where it is wanted or was.
fn packing(channel: &ChannelReport) -> Option<String> {
    let compression = &channel.compression;
    let wanted = match compression.wanted {
        Compression::None if compression.payload == compression.wire => return None,
        Compression::Auto => format!("auto, now {}", compression.with),
        wanted => wanted.to_string(),
    };
    let gain = compression.ratio().map_or("nothing sent yet".to_owned(), |ratio| {
        let (payload, wire) = (units::size(compression.payload), units::size(compression.wire));
        format!("{payload} sent as {wire}, {ratio:.2} times smaller")
    });
    Some(format!("  {} {}: compression {wanted}: {gain}", name(channel), type_word(channel)))
}

const FIGURES: [Column; 10] = [
    Column { head: "channel", width: 11 },
    Column { head: "type", width: 4 },
    Column { head: "state", width: 13 },
    Column { head: "since", width: 8 },
    Column { head: "attempt", width: 7 },
    Column { head: "RTT", width: 8 },
    Column { head: "BAB", width: 28 },
    Column { head: "oldest unacknowledged", width: 21 },
    Column { head: "restarts", width: 8 },
    Column { head: "failures", width: 8 },
];
