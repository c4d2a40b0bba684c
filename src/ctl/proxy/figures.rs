//! Tables of states and bytes: with tabs for programs, in columns for people; and all figures for monitoring.

use drx_protocol::names::{ChannelType, Lane};
use drx_protocol::report::{ChannelReport, RelayReport, ResourceReport, size};

/// The answer to `show connections`: a row per connection.
pub(super) fn connections(report: &RelayReport, human: bool) -> String {
    let heads = ["name", "status", "sent", "received", "held", "memlimit", "situation"];
    let rows = report.resources.iter().map(|resource| {
        let [sent, received] = [total(resource, |c| c.bytes_out), total(resource, |c| c.bytes_in)];
        let (held, limit) = memory(resource);
        let bytes = [sent, received, held, limit].map(|bytes| figure(bytes, human));
        [
            vec![resource.connection(), status(resource).to_owned()],
            bytes.to_vec(),
            vec![resource.situation.clone()],
        ]
        .concat()
    });
    table(&heads, rows, human)
}

/// The answer to `show subconnections`: a row per channel that has its bsr, or could have it next.
pub(super) fn subconnections(report: &RelayReport, human: bool) -> String {
    let heads = [
        "name",
        "role",
        "lane",
        "type",
        "state",
        "bsr",
        "drx",
        "remote-drx",
        "sent",
        "received",
        "held",
        "rtt-ms",
    ];
    let shown = |channel: &&ChannelReport| channel.lane == Lane::Zero || channel.in_use;
    let channels = report.resources.iter().flat_map(|resource| &resource.channels).filter(shown);
    let rows = channels.map(|channel| {
        let bytes = [channel.bytes_out, channel.bytes_in, channel.bab.used].map(|bytes| figure(bytes, human));
        let place = |address: &Option<String>| address.clone().unwrap_or_else(|| "-".to_owned());
        let places = [&channel.bsr_address, &channel.local_address, &channel.remote_address].map(place);
        let words = [
            channel.connection.clone(),
            channel.role.to_string(),
            channel.lane.to_string(),
            kind(channel),
            channel.standing.to_string(),
        ];
        let rtt = channel.rtt_seconds.map_or("-".to_owned(), |rtt| format!("{:.3}", rtt * 1e3));
        [&words[..], &places, &bytes, &[rtt]].concat()
    });
    table(&heads, rows, human)
}

/// The answer to `show memusage`: a row per connection, for people.
pub(super) fn memusage(report: &RelayReport) -> String {
    let heads = ["name", "memlimit", "held", "%", "oldest", "full in"];
    let seconds = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
    let rows = report.resources.iter().map(|resource| {
        let (held, limit) = memory(resource);
        let among = |value: fn(&ChannelReport) -> Option<f64>| resource.channels.iter().filter_map(value);
        let oldest = among(|c| c.bab.oldest_unacknowledged_seconds).reduce(f64::max);
        let full = among(|c| c.bab.full_in_seconds).reduce(f64::min);
        // 128 bits: the product has more than 64 above some hundred petabytes.
        let percent = u128::from(held) * 100 / u128::from(limit.max(1));
        vec![
            resource.connection(),
            size(limit),
            size(held),
            percent.to_string(),
            seconds(oldest),
            seconds(full),
        ]
    });
    table(&heads, rows, true)
}

/// The answer to `print statistics`: a line of the relay, then one of each channel, all lanes among them. The keys are
/// a promise to scripts: some may be added, none is renamed or taken away. What is not known is `-`.
pub(super) fn statistics(report: &RelayReport) -> String {
    let mut lines = vec![line(&[
        ("relay", report.node.clone()),
        ("version", report.version.clone()),
        ("uptime", format!("{:.1}", report.uptime_seconds)),
        ("connections", report.resources.len().to_string()),
    ])];
    for resource in &report.resources {
        for channel in &resource.channels {
            lines.push(line(&[
                ("connection", channel.connection.clone()),
                ("status", status(resource).to_owned()),
                ("role", channel.role.to_string()),
                ("lane", channel.lane.to_string()),
                ("type", kind(channel)),
                ("state", channel.standing.to_string()),
                ("link_up", u8::from(channel.link_up).to_string()),
                ("since", format!("{:.1}", channel.since_seconds)),
                ("sent", channel.bytes_out.to_string()),
                ("received", channel.bytes_in.to_string()),
                ("memlimit", channel.bab.size.to_string()),
                ("held", channel.bab.used.to_string()),
                ("oldest", seconds(channel.bab.oldest_unacknowledged_seconds)),
                ("rtt", seconds(channel.rtt_seconds)),
                ("restarts", channel.restarts.to_string()),
                ("failures", channel.failures.to_string()),
                ("resumes", channel.resumes.to_string()),
                ("stale_frames", channel.stale_frames.to_string()),
                ("held_pings", channel.held_pings.to_string()),
            ]));
        }
    }
    lines.concat()
}

/// The three words of DRBD Proxy 4 for a connection.
fn status(resource: &ResourceReport) -> &'static str {
    let mut both = resource.channels.iter().filter(|channel| channel.lane == Lane::Zero);
    match () {
        () if resource.session => "Connected",
        () if both.clone().next().is_some() && both.all(|channel| channel.link_up) => "ProxyConnected",
        () => "Connecting",
    }
}

/// What the data BABs of a connection hold, and may hold together.
fn memory(resource: &ResourceReport) -> (u64, u64) {
    let data = || resource.channels.iter().filter(|channel| channel.channel_type != Some(ChannelType::Meta));
    // The budget is the resource's: each channel says what it could have of it.
    (data().map(|c| c.bab.used).fold(0, u64::saturating_add), data().map(|c| c.bab.size).max().unwrap_or(0))
}

fn total(resource: &ResourceReport, of: fn(&ChannelReport) -> u64) -> u64 {
    resource.channels.iter().map(of).fold(0, u64::saturating_add)
}

fn kind(channel: &ChannelReport) -> String {
    channel.channel_type.map_or("-".to_owned(), |kind| kind.to_string())
}

fn figure(bytes: u64, human: bool) -> String {
    if human { size(bytes) } else { bytes.to_string() }
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.6}"))
}

/// `KEY=VALUE KEY=VALUE`. A blank in a value would begin another key: there is none in a name or a state.
fn line(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={}", one_word(value))).collect();
    format!("{}\n", pairs.join(" "))
}

fn one_word(value: &str) -> String {
    value.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect()
}

/// Rows under their heads: with tabs in between, or aligned.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>, aligned: bool) -> String {
    // Nothing that another program said may begin a line or a column.
    let clean = |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let heads = heads.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> =
        [heads].into_iter().chain(rows).map(|row| row.into_iter().map(clean).collect()).collect();
    if !aligned {
        return rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect();
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let padded = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(padded).collect()
}
