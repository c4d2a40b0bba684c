//! One direction of a line: which packet is let through, and when. No clock, no device: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::packet::opens;

/// How a direction is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// How long each packet takes.
    pub delay: Duration,
    /// Of each packet, that it is lost: 0.0 to 1.0.
    pub loss: f64,
    /// Bytes a second; 0: no limit.
    pub rate: u64,
    /// What comes from now on.
    pub passage: Passage,
    /// Packets that open a TCP connection vanish; what stands goes on.
    pub drops_syns: bool,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// They come through.
    #[default]
    Open,
    /// They vanish, and nobody is told.
    Cut,
    /// They wait until it is open again.
    Frozen,
}

/// Packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came through.
    pub carried: u64,
    /// Were lost by chance.
    pub lost: u64,
    /// Vanished while it was cut.
    pub cut: u64,
    /// Would have opened a connection, and vanished.
    pub syns: u64,
    /// Found a full queue before a limited rate.
    pub overflowed: u64,
}

/// One direction.
#[derive(Debug)]
pub struct Way {
    weather: Weather,
    chance: Rng,
    /// Each with its time, in the order in which they came: none overtakes another.
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// When the last packet is through the narrow place.
    free: Option<Instant>,
    counts: Counts,
}

impl Way {
    /// One in good weather.
    pub fn new(chance: Rng) -> Way {
        Way {
            weather: Weather::default(),
            chance,
            under_way: VecDeque::new(),
            free: None,
            counts: Counts::default(),
        }
    }

    /// How it is.
    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    /// It is different from now on. What is under way when it is cut vanishes, too.
    pub fn change(&mut self, weather: Weather) {
        if weather.passage == Passage::Cut {
            self.counts.cut += self.under_way.len() as u64;
            self.under_way.clear();
            self.free = None;
        }
        self.weather = weather;
    }

    /// A packet comes.
    pub fn take(&mut self, packet: &[u8], now: Instant) {
        if self.weather.passage == Passage::Cut {
            self.counts.cut += 1;
        } else if self.weather.drops_syns && opens(packet) {
            self.counts.syns += 1;
        } else if self.chance.f64() < self.weather.loss {
            self.counts.lost += 1;
        } else {
            self.queue(packet, now);
        }
    }

    fn queue(&mut self, packet: &[u8], now: Instant) {
        let mut through = now;
        if self.weather.rate > 0 {
            let begins = self.free.map_or(now, |free| free.max(now));
            if begins > now + QUEUE {
                self.counts.overflowed += 1;
                return;
            }
            through = begins + Duration::from_secs_f64(packet.len() as f64 / self.weather.rate as f64);
            self.free = Some(through);
        }
        self.under_way.push_back((through + self.weather.delay, packet.to_vec()));
    }

    /// The next packet that is to come out now.
    pub fn deliver(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        self.counts.carried += 1;
        self.under_way.pop_front().map(|(_, packet)| packet)
    }

    /// When the next packet is to come out.
    pub fn next(&self) -> Option<Instant> {
        if self.weather.passage == Passage::Frozen {
            return None;
        }
        self.under_way.front().map(|(due, _)| *due)
    }

    /// What has become of packets so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// What may wait before a limited rate, as the time it takes to send: a router's usual tenth of a second.
const QUEUE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn way(weather: Weather) -> (Way, Instant) {
        let mut way = Way::new(Rng::with_seed(1));
        way.change(weather);
        (way, Instant::now())
    }

    #[test]
    fn a_packet_takes_its_time_and_none_overtakes() {
        let (mut way, began) = way(Weather { delay: 25 * MS, ..Weather::default() });
        way.take(&[1], began);
        way.change(Weather { delay: MS, ..Weather::default() });
        way.take(&[2], began + MS);
        assert_eq!(way.next(), Some(began + 25 * MS));
        assert_eq!(way.deliver(began + 24 * MS), None);
        assert_eq!(way.deliver(began + 25 * MS), Some(vec![1]));
        assert_eq!(way.deliver(began + 25 * MS), Some(vec![2]));
        assert_eq!(way.deliver(began + 25 * MS), None);
        assert_eq!(way.counts(), Counts { carried: 2, ..Counts::default() });
    }

    #[test]
    fn a_rate_spaces_packets_and_its_queue_is_bounded() {
        let (mut way, began) = way(Weather { rate: 100_000, ..Weather::default() });
        for _ in 0..20 {
            way.take(&[0; 1000], began);
        }
        // 10 ms each: one is being sent, and ten wait.
        assert_eq!(way.counts().overflowed, 9);
        let due = |number| began + 10 * MS * number;
        for number in 1..=11 {
            assert_eq!(way.deliver(due(number) - MS), None);
            assert!(way.deliver(due(number)).is_some());
        }
        assert_eq!(way.next(), None);
    }

    #[test]
    fn what_is_cut_is_gone_and_what_is_frozen_is_not() {
        let (mut way, now) = way(Weather::default());
        way.take(&[1], now);
        way.change(Weather { passage: Passage::Frozen, ..Weather::default() });
        way.take(&[2], now);
        assert_eq!((way.next(), way.deliver(now)), (None, None));
        way.change(Weather::default());
        assert_eq!(way.deliver(now), Some(vec![1]));
        way.change(Weather { passage: Passage::Cut, ..Weather::default() });
        way.take(&[3], now);
        way.change(Weather::default());
        assert_eq!(way.deliver(now), None);
        assert_eq!(way.counts(), Counts { carried: 1, cut: 2, ..Counts::default() });
    }

    #[test]
    fn of_many_packets_as_many_are_lost_as_was_said() {
        let (mut way, now) = way(Weather { loss: 0.05, ..Weather::default() });
        for _ in 0..10_000 {
            way.take(&[0], now);
        }
        assert!((400..600).contains(&way.counts().lost), "{:?}", way.counts());
    }

    #[test]
    fn connections_are_not_opened_and_those_that_stand_go_on() {
        let (mut way, now) = way(Weather { drops_syns: true, ..Weather::default() });
        let mut packet = vec![0; 60];
        (packet[0], packet[6]) = (0x60, 6);
        for (flags, comes) in [(0x02, false), (0x10, true), (0x12, true)] {
            packet[53] = flags;
            way.take(&packet, now);
            assert_eq!(way.deliver(now).is_some(), comes, "{flags:x}");
        }
        assert_eq!(way.counts().syns, 1);
    }
}
