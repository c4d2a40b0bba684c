//! What people and scripts see of a relay: the connections table, the status text and the JSON.
#![allow(clippy::unwrap_used)]

use drx_protocol::report::{BabReport, ChannelReport, CompressionReport, ResourceReport, select};
use drx_protocol::{ChannelType, Lane, LinkId, Role, Standing, State};

mod connections;
mod json;
mod status;

/// An established channel of r0, its link up, and the other end of it established too.
fn channel(role: Role, channel_type: Option<ChannelType>) -> ChannelReport {
    ChannelReport {
        connection: "r0-node2-node1".to_owned(),
        role,
        lane: Lane::Zero,
        channel_type,
        standing: State::Established.into(),
        link_up: true,
        in_use: true,
        link: Some(LinkId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)),
        attempt: 4,
        since_seconds: 192.0,
        last_stop: None,
        restarts: 0,
        failures: 0,
        bsr_address: Some("10.77.1.2:7789".to_owned()),
        local_address: Some("10.77.1.1:7788".to_owned()),
        remote_address: Some("10.77.9.2:7780".to_owned()),
        bab: BabReport { size: 64 << 20, high_mark: 48 << 20, ..BabReport::default() },
        rtt_seconds: Some(0.0512),
        remote: Some(State::Established.into()),
        bytes_out: 1 << 30,
        bytes_in: 4096,
        compression: CompressionReport::default(),
        stale_frames: 0,
        resumes: 0,
        strays: 0,
        held_pings: 0,
    }
}

/// A channel in another standing, not yet knowing what it carries.
fn standing(role: Role, standing: impl Into<Standing>) -> ChannelReport {
    ChannelReport { standing: standing.into(), remote: None, ..channel(role, None) }
}

fn resource(name: &str, remote: &str, channels: Vec<ChannelReport>) -> ResourceReport {
    let connection = format!("{name}-{remote}-node1");
    let named = |channel| ChannelReport { connection: connection.clone(), ..channel };
    ResourceReport {
        name: name.to_owned(),
        remote: remote.to_owned(),
        local: "node1".to_owned(),
        session: true,
        situation: "everything is connected".to_owned(),
        trouble: Vec::new(),
        restarts: 0,
        channels: channels.into_iter().map(named).collect(),
    }
}

fn connected() -> ResourceReport {
    let data = channel(Role::Acceptor, Some(ChannelType::Data));
    let meta = channel(Role::Connector, Some(ChannelType::Meta));
    resource("r0", "node2", vec![data, meta])
}

#[test]
fn names_match_whole() {
    let all = || {
        let on = |name, remote| resource(name, remote, Vec::new());
        vec![on("r0", "node2"), on("r0", "node3"), on("r0-node2", "x"), on("a-b", "c"), on("a", "b-c")]
    };
    let selected = |name| {
        let kept = select(all(), name);
        kept.iter().map(|kept| format!("{}@{}", kept.name, kept.remote)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(selected("all"), "r0@node2 r0@node3 r0-node2@x a-b@c a@b-c");
    assert_eq!(selected("r0"), "r0@node2 r0@node3");
    assert_eq!(selected("r0-node2"), "r0-node2@x");
    assert_eq!(selected("r0-node2-node1"), "r0@node2");
    // One name for two connections: both are meant.
    assert_eq!(selected("a-b-c-node1"), "a-b@c a@b-c");
    for stranger in ["", "r", "r0-", "r0-node2-", "r0-node2-node", "R0", "r0-node2-node1 "] {
        assert_eq!(selected(stranger), "", "{stranger:?}");
    }
}
