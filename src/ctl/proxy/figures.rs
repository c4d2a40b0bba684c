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

#[cfg(test)]
mod tests {
    use drx_protocol::names::{Attempt, Role};
    use drx_protocol::report::BabReport;
    use drx_protocol::{Standing, State};

    use super::*;

    fn channel(role: Role, kind: Option<ChannelType>, state: State) -> ChannelReport {
        ChannelReport {
            connection: "r0-node2-node1".to_owned(),
            role,
            lane: Lane::Zero,
            channel_type: kind,
            standing: Standing::In(state),
            link_up: state != State::Bridging,
            in_use: kind.is_some(),
            link: None,
            attempt: Attempt::default(),
            since_seconds: 3.25,
            last_stop: None,
            restarts: 1,
            failures: 0,
            bsr_address: None,
            local_address: Some("10.77.1.1:7788".to_owned()),
            remote_address: Some("10.77.9.2:7780".to_owned()),
            bab: BabReport { size: 4 << 20, used: 1 << 10, ..BabReport::default() },
            rtt_seconds: Some(0.05),
            remote: None,
            bytes_out: 1000,
            bytes_in: 24,
            compression: Default::default(),
            stale_frames: 0,
            resumes: 2,
            strays: 0,
            held_pings: 0,
        }
    }

    /// The acceptor has data, the connector meta, unless neither has its bsr.
    fn report(session: bool, states: [State; 2]) -> RelayReport {
        let kind = |kind| session.then_some(kind);
        let mut channels = vec![
            channel(Role::Acceptor, kind(ChannelType::Data), states[0]),
            channel(Role::Connector, kind(ChannelType::Meta), states[1]),
        ];
        channels[0].bab = BabReport {
            size: 64 << 10,
            used: 16 << 10,
            oldest_unacknowledged_seconds: Some(0.25),
            full_in_seconds: Some(7.0),
            ..BabReport::default()
        };
        channels.push(ChannelReport {
            lane: Lane::One,
            in_use: false,
            ..channel(Role::Acceptor, None, states[0])
        });
        channels[2].bab = BabReport { size: 64 << 10, ..BabReport::default() };
        let resource = ResourceReport {
            name: "r0".to_owned(),
            remote: "node2".to_owned(),
            local: "node1".to_owned(),
            session,
            situation: "all\tis\nwell".to_owned(),
            trouble: Vec::new(),
            restarts: 0,
            channels,
        };
        RelayReport {
            node: "node1".to_owned(),
            version: "1.2.3".to_owned(),
            uptime_seconds: 17.0,
            resources: vec![resource],
        }
    }

    #[test]
    fn a_connection_has_one_of_three_states() {
        let status = |session, states| status(&report(session, states).resources[0]);
        assert_eq!(status(false, [State::Bridging, State::Bridging]), "Connecting");
        assert_eq!(status(false, [State::Waiting, State::Bridging]), "Connecting");
        assert_eq!(status(false, [State::Waiting, State::Connecting]), "ProxyConnected");
        assert_eq!(status(true, [State::Established, State::Established]), "Connected");
        let mut none = report(false, [State::Waiting, State::Connecting]);
        none.resources[0].channels.clear();
        assert_eq!(super::status(&none.resources[0]), "Connecting");
    }

    #[test]
    fn memory_is_that_of_data() {
        let text = memusage(&report(true, [State::Established; 2]));
        let row = text.lines().nth(1).unwrap_or_default();
        assert_eq!(row, "r0-node2-node1  64.0 KiB  16.0 KiB  25  0.2 s   7.0 s");
    }

    #[test]
    fn nothing_begins_a_row_or_a_column_of_its_own() {
        let report = report(true, [State::Established; 2]);
        assert_eq!(
            connections(&report, false),
            "name\tstatus\tsent\treceived\theld\tmemlimit\tsituation\n\
             r0-node2-node1\tConnected\t3000\t72\t16384\t65536\tall is well\n"
        );
        let human = connections(&report, true);
        assert!(human.lines().all(|line| line == line.trim_end()), "{human}");
        assert!(human.contains("Connected  2.9 KiB  72 B      16.0 KiB  64.0 KiB  all is well"), "{human}");
        // Lane 1 has nothing to show.
        assert_eq!(subconnections(&report, false).lines().count(), 3);
        assert!(
            subconnections(&report, false)
                .ends_with("\t10.77.1.1:7788\t10.77.9.2:7780\t1000\t24\t1024\t50.000\n")
        );
    }

    #[test]
    fn statistics_are_keys_and_values() {
        let text = statistics(&report(true, [State::Established; 2]));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("relay=node1 version=1.2.3 uptime=17.0 connections=1"));
        assert_eq!(
            lines.next(),
            Some(
                "connection=r0-node2-node1 status=Connected role=acceptor lane=0 type=data state=established link_up=1 \
                 since=3.2 sent=1000 received=24 memlimit=65536 held=16384 oldest=0.250000 rtt=0.050000 restarts=1 \
                 failures=0 resumes=2 stale_frames=0 held_pings=0"
            )
        );
        assert_eq!(lines.count(), 2);
    }
}
