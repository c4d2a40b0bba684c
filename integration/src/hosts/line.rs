//! The way through the wide area: a device into which a router sends what goes from one site to the other.
//!
//! This kernel has no netem, and only here can a line be cut without anybody being told.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::packet::destination;
use super::tun::Tun;
use super::way::{Counts, Passage, Way, Weather};

/// A line with two directions, carried by a thread. Dropped, its device goes away.
#[derive(Debug)]
pub struct Line {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ways: Mutex<[Way; 2]>,
    stop: AtomicBool,
}

impl Line {
    /// One in good weather. `to[n]` are the addresses to which way `n` leads; what goes elsewhere vanishes.
    pub fn new(tun: Tun, to: [Vec<IpAddr>; 2], mut chance: Rng) -> Line {
        let ways = [Way::new(chance.fork()), Way::new(chance.fork())];
        let shared = Arc::new(Shared { ways: Mutex::new(ways), stop: AtomicBool::new(false) });
        let carrier = Carrier { shared: Arc::clone(&shared), tun, to };
        Line { shared, thread: Some(thread::spawn(move || carrier.run())) }
    }

    /// Changes the weather of one way: the one that leads to site 0, or to site 1.
    pub fn change(&self, to: usize, change: impl FnOnce(&mut Weather)) {
        self.shared.with(|ways| {
            let mut weather = ways[to].weather().clone();
            change(&mut weather);
            ways[to].change(weather);
        });
    }

    /// Changes the weather of both ways.
    pub fn change_both(&self, change: impl Fn(&mut Weather)) {
        self.change(0, &change);
        self.change(1, &change);
    }

    /// From now on everything vanishes.
    pub fn cut(&self) {
        self.change_both(|weather| weather.passage = Passage::Cut);
    }

    /// From now on everything waits.
    pub fn freeze(&self) {
        self.change_both(|weather| weather.passage = Passage::Frozen);
    }

    /// From now on packets come through again.
    pub fn open(&self) {
        self.change_both(|weather| weather.passage = Passage::Open);
    }

    /// What has become of packets on the way to site 0, and to site 1.
    pub fn counts(&self) -> [Counts; 2] {
        self.shared.with(|ways| [ways[0].counts(), ways[1].counts()])
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()), "the line broke");
        }
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut [Way; 2]) -> T) -> T {
        // A way is whole after each step, whoever panicked.
        work(&mut self.ways.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Carrier {
    shared: Arc<Shared>,
    tun: Tun,
    to: [Vec<IpAddr>; 2],
}

impl Carrier {
    fn run(self) {
        let mut packet = vec![0; 64 * 1024];
        while !self.shared.stop.load(Ordering::Relaxed) {
            let next = self.shared.with(|ways| {
                let now = Instant::now();
                for way in ways.iter_mut() {
                    while let Some(packet) = way.deliver(now) {
                        // Into a device that is down it is lost, as on any line.
                        let _ = self.tun.send(&packet);
                    }
                }
                ways.iter().filter_map(Way::next).min()
            });
            self.until(next);
            for _ in 0..BATCH {
                let Ok(Some(length)) = self.tun.receive(&mut packet) else { break };
                let packet = &packet[..length];
                let way = destination(packet).and_then(|to| self.to.iter().position(|of| of.contains(&to)));
                if let Some(way) = way {
                    self.shared.with(|ways| ways[way].take(packet, Instant::now()));
                }
            }
        }
    }

    /// Waits for a packet, or until this time; and never long, because the weather may change.
    fn until(&self, next: Option<Instant>) {
        let left = next.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()).min(LOOK));
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        // Interrupted or not: what there is to do is looked at anew.
        let _ = poll(&mut [PollFd::new(&self.tun, PollFlags::IN)], Some(&left));
    }
}

/// Between two looks at the weather.
const LOOK: Duration = Duration::from_millis(5);
/// Packets that are taken before others are delivered.
const BATCH: usize = 64;
