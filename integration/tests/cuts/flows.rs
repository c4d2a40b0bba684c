//! What flows between the two bsr meanwhile, and for how long it stands still.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::cut::{Kind, Lanes};

/// What flows between the two bsr while the links are cut.
pub(crate) struct Flows {
    slab: u64,
    /// Slabs of data that may be sent.
    open: Mutex<u64>,
    opened: Condvar,
    over: AtomicBool,
    /// Data towards each site.
    pub(crate) data: [Gauge; 2],
    /// Meta there and back.
    meta: Gauge,
}

impl Flows {
    pub(crate) fn new(slab: u64) -> Flows {
        Flows {
            slab,
            open: Mutex::new(0),
            opened: Condvar::new(),
            over: AtomicBool::new(false),
            data: [Gauge::new(), Gauge::new()],
            meta: Gauge::new(),
        }
    }

    /// So many slabs may be sent.
    pub(crate) fn open(&self, slabs: u64) {
        *self.open.lock().unwrap() = slabs;
        self.opened.notify_all();
    }

    /// Enough was cut.
    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn until_open(&self, slab: u64) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| *open <= slab).unwrap());
    }

    /// Bytes that may be sent.
    pub(crate) fn limit(&self) -> u64 {
        *self.open.lock().unwrap() * self.slab
    }

    /// A word over meta and back, again and again, as bsr's pings are.
    pub(crate) fn echo(&self, [one, two]: &[TcpStream; 2]) {
        for number in 0_u64.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            for (mut from, mut to) in [(one, two), (two, one)] {
                let (word, mut came) = (number.to_be_bytes(), [0; 8]);
                from.write_all(&word).expect("meta takes bytes");
                to.read_exact(&mut came).expect("meta arrives");
                assert_eq!(came, word, "on meta");
                self.meta.came(word.len());
            }
            thread::sleep(PING);
        }
    }

    pub(crate) fn struck(&self, lanes: Lanes) -> Vec<&Gauge> {
        match lanes {
            Lanes::Data | Lanes::Both => self.data.iter().collect(),
            Lanes::Meta => vec![&self.meta],
        }
    }
}

/// When the cuts are over, or one of them failed, nobody waits any more.
pub(crate) struct Release<'a>(pub(crate) &'a Flows);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.finish();
        self.0.open(u64::MAX);
    }
}

/// What arrives at one place, and for how long nothing did.
pub(crate) struct Gauge(Mutex<Arrivals>);

pub(crate) struct Arrivals {
    bytes: u64,
    last: Instant,
    longest: Duration,
}

impl Gauge {
    pub(crate) fn new() -> Gauge {
        Gauge(Mutex::new(Arrivals { bytes: 0, last: Instant::now(), longest: Duration::ZERO }))
    }

    pub(crate) fn came(&self, count: usize) {
        let mut arrivals = self.0.lock().unwrap();
        let now = Instant::now();
        arrivals.longest = arrivals.longest.max(now - arrivals.last);
        arrivals.last = now;
        arrivals.bytes += count as u64;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.lock().unwrap().bytes
    }

    pub(crate) fn moved_since(&self, moment: Instant) -> bool {
        self.0.lock().unwrap().last > moment
    }

    /// From now on.
    pub(crate) fn restart(&self) {
        let mut arrivals = self.0.lock().unwrap();
        (arrivals.last, arrivals.longest) = (Instant::now(), Duration::ZERO);
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.lock().unwrap().longest
    }
}

/// A reader whose bytes are gauged.
pub(crate) struct Gauged<'a> {
    pub(crate) stream: &'a TcpStream,
    pub(crate) gauge: &'a Gauge,
    pub(crate) slow: bool,
}

impl Read for Gauged<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let most = if self.slow { SLOW_PIECE.min(bytes.len()) } else { bytes.len() };
        let count = self.stream.read(&mut bytes[..most])?;
        self.gauge.came(count);
        if self.slow {
            thread::sleep(SLOW);
        }
        Ok(count)
    }
}

/// How long bsr stood still, by kind of cut.
#[derive(Default)]
pub(crate) struct Pauses(BTreeMap<String, Vec<Duration>>);

impl Pauses {
    pub(crate) fn add(&mut self, kind: &Kind, pause: Duration) {
        self.0.entry(kind.to_string()).or_default().push(pause);
    }
}

impl Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>6} {:>10} {:>10}", "bsr stood still", "cuts", "median", "longest")?;
        for (kind, pauses) in &self.0 {
            let mut pauses = pauses.clone();
            pauses.sort_unstable();
            let (median, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
            let ms = |pause: Duration| format!("{:.1} ms", pause.as_secs_f64() * 1e3);
            writeln!(f, "{kind:<44} {:>6} {:>10} {:>10}", pauses.len(), ms(median), ms(longest))?;
        }
        Ok(())
    }
}

/// Between two words on meta.
const PING: Duration = Duration::from_millis(1);
/// A slow reader's 6 MiB/s at most.
const SLOW_PIECE: usize = 64 * 1024;
const SLOW: Duration = Duration::from_millis(10);
