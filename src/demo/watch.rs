//! What is seen of the relays and the peers at one moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use drx_protocol::names::ChannelType;
use drx_protocol::report::{ChannelReport, RelayReport, ResourceReport};
use drx_protocol::session::Slot;
use drx_protocol::situation::Situation;

use super::peer::Tally;

/// Both sides at one moment; node1 first.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) relays: [RelayReport; 2],
    /// Of each side's peer, with its former lives.
    pub(super) peers: [Tally; 2],
}

impl Moment {
    /// Whether everything is connected: both relays say so, and both peers talk.
    pub(super) fn is_connected(&self) -> bool {
        let says_so = |relay: &RelayReport| {
            !relay.resources.is_empty()
                && relay
                    .resources
                    .iter()
                    .all(|resource| resource.session && resource.situation == Situation::Connected.sentence())
        };
        self.relays.iter().all(says_so) && self.peers.iter().all(|peer| peer.connected)
    }

    /// Whether a relay still holds a session together.
    pub(super) fn has_session(&self) -> bool {
        self.relays.iter().flat_map(|relay| &relay.resources).any(|resource| resource.session)
    }

    /// Whether both peers have verified more since `earlier`.
    pub(super) fn flows_since(&self, earlier: &Moment) -> bool {
        self.peers.iter().zip(&earlier.peers).all(|(now, then)| now.blocks_verified > then.blocks_verified)
    }

    /// Whether a session came to its end since `earlier`, even if another one stands by now.
    pub(super) fn is_another_session(&self, earlier: &Moment) -> bool {
        self.peers.iter().zip(&earlier.peers).any(|(now, then)| now.sessions != then.sessions)
    }

    /// Whether everything sent in the present session is acknowledged.
    pub(super) fn is_quiet(&self) -> bool {
        self.peers.iter().all(|peer| peer.connected && peer.blocks_under_way == 0)
    }

    /// How many violations the peers have seen.
    pub(super) fn violations(&self) -> u64 {
        self.peers.iter().map(|peer| peer.violation_count).sum()
    }

    /// The channel of a side that carries the session's data or meta.
    pub(super) fn carrier(&self, side: usize, channel_type: ChannelType) -> Option<Slot> {
        let carries =
            |channel: &&ChannelReport| channel.is_established() && channel.channel_type == Some(channel_type);
        let channel =
            self.relays[side].resources.iter().flat_map(|resource| &resource.channels).find(carries)?;
        Some(Slot { role: channel.role, lane: channel.lane })
    }

    /// A side's situation, in a sentence.
    pub(super) fn situation(&self, side: usize) -> &str {
        self.relays[side]
            .resources
            .first()
            .map_or("the relay does not say", |resource: &ResourceReport| resource.situation.as_str())
    }
}

/// How fast the peers verify bytes, over the last second.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Instant, [u64; 2])>,
}

impl Meter {
    /// Takes note of a moment.
    pub(super) fn note(&mut self, moment: &Moment, now: Instant) {
        let verified = [0, 1].map(|side: usize| moment.peers[side].bytes_verified);
        self.samples.push_back((now, verified));
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
            self.samples.pop_front();
        }
    }

    /// Bytes a second that each peer verifies now.
    pub(super) fn rates(&self) -> [f64; 2] {
        let (Some((start, first)), Some((end, last))) = (self.samples.front(), self.samples.back()) else {
            return [0.0; 2];
        };
        let seconds = end.duration_since(*start).as_secs_f64();
        if seconds <= 0.0 {
            return [0.0; 2];
        }
        [0, 1].map(|side: usize| last[side].saturating_sub(first[side]) as f64 / seconds)
    }
}

const SPAN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(bytes_verified: u64) -> Moment {
        let relay = RelayReport {
            node: String::new(),
            version: String::new(),
            uptime_seconds: 0.0,
            resources: Vec::new(),
        };
        let peer = Tally { connected: true, bytes_verified, ..Tally::default() };
        Moment { relays: [relay.clone(), relay], peers: [peer.clone(), peer] }
    }

    #[test]
    fn a_relay_that_says_nothing_is_not_connected() {
        assert!(!moment(0).is_connected());
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        assert_eq!(meter.rates(), [0.0; 2]);
        for tenth in 0..=30 {
            meter.note(&moment(tenth * 100), start + Duration::from_millis(100 * tenth));
        }
        assert_eq!(meter.rates(), [1000.0; 2]);
        for tenth in 31..=50 {
            meter.note(&moment(3000), start + Duration::from_millis(100 * tenth));
        }
        assert_eq!(meter.rates(), [0.0; 2]);
    }
}
