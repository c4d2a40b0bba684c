//! What is seen of the relays, the two bsr and the application at one moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use drx_protocol::names::ChannelType;
use drx_protocol::report::{ChannelReport, RelayReport, ResourceReport};
use drx_protocol::session::Slot;
use drx_protocol::situation::Situation;

use super::application::Work;
use super::bsr::Tally;

/// Both sides at one moment; node1 first.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) relays: [RelayReport; 2],
    /// Of each side's bsr, with its former lives.
    pub(super) bsrs: [Tally; 2],
    pub(super) work: Work,
}

impl Moment {
    /// Whether everything is connected: both relays say so, and both bsr.
    pub(super) fn is_connected(&self) -> bool {
        let says_so = |relay: &RelayReport| {
            !relay.resources.is_empty()
                && relay
                    .resources
                    .iter()
                    .all(|resource| resource.session && resource.situation == Situation::Connected.sentence())
        };
        self.relays.iter().all(says_so) && self.bsrs.iter().all(Tally::is_connected)
    }

    /// Whether besides nothing is left to be resynced.
    pub(super) fn is_in_sync(&self) -> bool {
        self.is_connected() && self.bsrs.iter().all(Tally::is_in_sync)
    }

    /// Whether a relay still holds a session together.
    pub(super) fn has_session(&self) -> bool {
        self.relays.iter().flat_map(|relay| &relay.resources).any(|resource| resource.session)
    }

    /// Whether more was written since `earlier`, and came to the other bsr.
    pub(super) fn flows_since(&self, earlier: &Moment) -> bool {
        let came = |moment: &Moment| moment.bsrs.iter().map(|bsr| bsr.writes).sum::<u64>();
        self.work.writes > earlier.work.writes && came(self) > came(earlier)
    }

    /// Whether a session began since `earlier`: bsr has noticed something.
    pub(super) fn is_another_session(&self, earlier: &Moment) -> bool {
        self.bsrs.iter().zip(&earlier.bsrs).any(|(now, then)| now.sessions != then.sessions)
    }

    /// Whether the application has ended, and all that it wrote is on both sides.
    pub(super) fn is_quiet(&self) -> bool {
        self.work.ended && self.is_in_sync() && self.bsrs.iter().all(Tally::is_quiet)
    }

    /// Bytes that were resynced so far, in both directions.
    pub(super) fn resynced(&self) -> u64 {
        self.bsrs.iter().map(|bsr| bsr.resynced).sum()
    }

    /// Whether something has happened that must never happen.
    pub(super) fn is_violated(&self) -> bool {
        self.work.error.is_some() || self.bsrs.iter().any(|bsr| !bsr.violations.is_empty())
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

/// How fast bytes come to each bsr, over the last second.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Instant, [u64; 2])>,
}

impl Meter {
    /// Takes note of a moment.
    pub(super) fn note(&mut self, moment: &Moment, now: Instant) {
        let received = [0, 1].map(|side: usize| moment.bsrs[side].received());
        self.samples.push_back((now, received));
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
            self.samples.pop_front();
        }
    }

    /// Bytes a second that come to each bsr now.
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

    fn moment(written: u64) -> Moment {
        let relay = RelayReport {
            node: String::new(),
            version: String::new(),
            uptime_seconds: 0.0,
            resources: Vec::new(),
        };
        let bsr = Tally { written, ..Tally::default() };
        Moment { relays: [relay.clone(), relay], bsrs: [bsr.clone(), bsr], work: Work::default() }
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
