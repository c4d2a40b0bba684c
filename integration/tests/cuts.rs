//! Links cut at random moments of a transfer in both directions, in every way in which a line can fail: both
//! bsr see a pause, every byte arrives, and none twice. `DRX_SEED` repeats a run.
//!
//! The long form, with the clocks that are given by default:
//! `cargo test -p drx-integration --test cuts -- --ignored --nocapture`
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::is_open;
use drx_integration::forwarder::{End, Forwarder, Halves, Hole, Side};
use drx_integration::pair::{Opening, Pair};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::seed::seed;
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::names::{ChannelType, Role};
use drx_protocol::report::ChannelReport;
use drx_protocol::{Standing, State};
use fastrand::Rng;

#[test]
fn forty_cuts_cost_a_pause() {
    Transfer {
        volume: 512 << 20,
        cuts: 40,
        keepalive_timeout: Duration::from_secs(1),
        settings: &["link.keepalive_interval=200ms", "link.keepalive_timeout=1s"],
    }
    .run();
}

#[test]
#[ignore = "takes minutes: 4 GiB each way, 100 cuts, and the clocks that are given by default"]
fn a_hundred_cuts_cost_a_pause() {
    Transfer { volume: 4 << 30, cuts: 100, keepalive_timeout: Duration::from_secs(5), settings: &[] }.run();
}

/// What is carried, and how often it is interrupted.
struct Transfer {
    /// Bytes each way, on data.
    volume: u64,
    cuts: u64,
    keepalive_timeout: Duration,
    settings: &'static [&'static str],
}

impl Transfer {
    fn run(self) {
        let mut chance = Rng::with_seed(seed());
        let settings = [self.settings, &["link.resume_timeout=10s"]].concat();
        let pair = Pair::of_processes(&settings);
        let session = pair.establish(Opening::DataByTwo);
        let before = Channels::of(&pair);
        let slab = self.volume / self.cuts;
        let flows = Flows::new(slab);
        let mut pauses = Pauses::default();
        let began = Instant::now();
        thread::scope(|scope| {
            let _release = Release(&flows);
            for from in [0, 1] {
                let pattern = Pattern::new(from as u64);
                let (sender, receiver, flows) = (&session.data[from], &session.data[1 - from], &flows);
                scope.spawn(move || {
                    for number in 0..self.cuts + AHEAD {
                        flows.until_open(number);
                        pattern
                            .send(sender, number * slab, (number + 1) * slab)
                            .expect("bsr's bytes are taken");
                    }
                });
                let gauged = Gauged { stream: receiver, gauge: &flows.data[1 - from] };
                scope.spawn(move || {
                    let came = pattern.check(gauged, 0, (self.cuts + AHEAD) * slab, PIECE);
                    assert_eq!(came, Ok(()), "towards site {}", 2 - from);
                });
            }
            scope.spawn(|| flows.echo(&session.meta));
            let kinds = self.kinds(&mut chance);
            for (number, kind) in (0..).zip(kinds) {
                // Some are always ahead, so that there is something to be said while the line is away.
                flows.open(number + AHEAD);
                let at = number * slab + chance.u64(..slab);
                until_ok(LIMIT, || {
                    let came = flows.data[0].bytes().max(flows.data[1].bytes());
                    (came >= at).then_some(()).ok_or_else(|| format!("{kind}: {came} bytes came, not {at}"))
                });
                let cut = Cut { number, kind, lanes: Lanes::any(&mut chance) };
                cut.happen(&pair, &flows, &mut pauses);
            }
            flows.over.store(true, Ordering::SeqCst);
        });
        let took = began.elapsed();
        println!("{} MiB each way with {} cuts in {took:.1?}", self.volume >> 20, self.cuts);
        println!("{pauses}");
        // Not one byte more came, and these are the connections that it began with.
        assert!(session.ends().into_iter().all(is_open), "a byte too many, or an end");
        session.check();
        let after = Channels::of(&pair);
        before.went_on_as(&after);
        after.said_so(&pair);
    }

    /// As many of each kind, in any order.
    fn kinds(&self, chance: &mut Rng) -> Vec<Kind> {
        let mut kinds: Vec<_> = (0..self.cuts)
            .map(|number| match number % 4 {
                0 => Kind::Reset,
                1 => Kind::Finish,
                2 => {
                    let towards = [[true, true], [true, false], [false, true]][chance.usize(..3)];
                    let most = self.keepalive_timeout.mul_f64(1.0 + 0.5 * chance.f64());
                    Kind::Hole { hole: Hole { towards, new: chance.bool() }, most }
                }
                _ => Kind::HalfOpen {
                    hears: if chance.bool() { Side::Dialler } else { Side::Target },
                    end: if chance.bool() { End::Reset } else { End::Finish },
                },
            })
            .collect();
        chance.shuffle(&mut kinds);
        kinds
    }
}

/// How a line fails.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Reset,
    Finish,
    /// Nothing gets through, for so long at most if new connections do not either; else until the relays
    /// have made one.
    Hole {
        hole: Hole,
        most: Duration,
    },
    /// Only one side hears that it was cut.
    HalfOpen {
        hears: Side,
        end: End,
    },
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Reset => f.pad("RST"),
            Kind::Finish => f.pad("FIN"),
            Kind::Hole { hole: Hole { towards, new }, .. } => {
                let ways = if *towards == [true; 2] { "both ways" } else { "one way" };
                let line = if *new { "line away" } else { "new connections pass" };
                f.pad(&format!("black hole, {ways}, {line}"))
            }
            Kind::HalfOpen { hears: Side::Dialler, .. } => f.pad("half-open, who dialled hears"),
            Kind::HalfOpen { hears: Side::Target, .. } => f.pad("half-open, who was dialled hears"),
        }
    }
}

/// Whose link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Data,
    Meta,
    Both,
}

impl Lanes {
    fn any(chance: &mut Rng) -> Lanes {
        [Lanes::Data, Lanes::Data, Lanes::Both, Lanes::Meta][chance.usize(..4)]
    }

    /// bsr at site two opened data, so site one dials for it.
    fn ways(self, pair: &Pair<Process>) -> Vec<&Forwarder> {
        match self {
            Lanes::Data => vec![&pair.way_to_two],
            Lanes::Meta => vec![&pair.way_to_one],
            Lanes::Both => vec![&pair.way_to_two, &pair.way_to_one],
        }
    }

    fn strike(self, channel_type: ChannelType) -> bool {
        match channel_type {
            ChannelType::Data => self != Lanes::Meta,
            ChannelType::Meta => self != Lanes::Data,
        }
    }
}

/// One cut.
struct Cut {
    number: u64,
    kind: Kind,
    lanes: Lanes,
}

impl Cut {
    /// Cuts, and waits until everything goes on; how long bsr stood still is added to the pauses.
    fn happen(&self, pair: &Pair<Process>, flows: &Flows, pauses: &mut Pauses) {
        let before = Channels::of(pair);
        let struck = flows.struck(self.lanes);
        struck.iter().for_each(|gauge| gauge.restart());
        let began = Instant::now();
        let ways = self.lanes.ways(pair);
        let mut halves: Vec<Halves> = Vec::new();
        for way in &ways {
            match self.kind {
                Kind::Reset => way.cut(End::Reset),
                Kind::Finish => way.cut(End::Finish),
                Kind::Hole { hole, .. } => way.block(hole),
                Kind::HalfOpen { hears, end } => {
                    let mut ends = [End::Silence; 2];
                    ends[hears as usize] = end;
                    halves.push(way.cut_towards(ends));
                }
            }
        }
        let noticed = match self.kind {
            Kind::Hole { hole: Hole { new: true, .. }, most } => {
                thread::sleep(most);
                ways.iter().for_each(|way| way.unblock());
                // Such a hole may be over before anybody has noticed it.
                false
            }
            _ => true,
        };
        self.until_whole(pair, &before, noticed);
        ways.iter().for_each(|way| way.unblock());
        let resumed = Instant::now();
        until_ok(LIMIT, || {
            let flow =
                struck.iter().all(|gauge| gauge.moved_since(resumed) || gauge.bytes() == flows.limit());
            flow.then_some(()).ok_or_else(|| format!("{self}: nothing moves"))
        });
        self.until_whole(pair, &before, noticed);
        if noticed {
            before.resumed_once(&Channels::of(pair), self.lanes);
        }
        let pause = struck.iter().map(|gauge| gauge.longest()).max().unwrap_or_default();
        if std::env::var_os("DRX_VERBOSE").is_some() {
            println!("{self}: stood still for {pause:.1?}, whole again after {:.1?}", began.elapsed());
        }
        pauses.0.entry(self.kind.to_string()).or_default().push(pause);
    }

    /// Both channels are established, on links that both relays know; on new ones if that must be.
    fn until_whole(&self, pair: &Pair<Process>, before: &Channels, noticed: bool) {
        until_ok(LIMIT, || {
            let now = Channels::of(pair);
            for (channel, before) in now.0.iter().zip(&before.0) {
                let struck = noticed && self.lanes.strike(before.channel_type.unwrap());
                let whole = channel.standing == Standing::In(State::Established) && channel.link_up;
                if !whole || (struck && channel.resumes == before.resumes) {
                    return Err(format!("{self}: {channel:?}"));
                }
            }
            Ok(())
        });
    }
}

impl Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut {}, {:?}, {}", self.number, self.lanes, self.kind)
    }
}

/// What flows between the two bsr while the links are cut.
struct Flows {
    slab: u64,
    /// Slabs of data that may be sent.
    open: Mutex<u64>,
    opened: Condvar,
    over: AtomicBool,
    /// Data towards each site.
    data: [Gauge; 2],
    /// Meta there and back.
    meta: Gauge,
}

impl Flows {
    fn new(slab: u64) -> Flows {
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
    fn open(&self, slabs: u64) {
        *self.open.lock().unwrap() = slabs;
        self.opened.notify_all();
    }

    fn until_open(&self, slab: u64) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| *open <= slab).unwrap());
    }

    /// Bytes that may be sent.
    fn limit(&self) -> u64 {
        *self.open.lock().unwrap() * self.slab
    }

    /// A word over meta and back, again and again, as bsr's pings are.
    fn echo(&self, [one, two]: &[TcpStream; 2]) {
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

    fn struck(&self, lanes: Lanes) -> Vec<&Gauge> {
        match lanes {
            Lanes::Data | Lanes::Both => self.data.iter().collect(),
            Lanes::Meta => vec![&self.meta],
        }
    }
}

/// When the cuts are over, or one of them failed, nobody waits any more.
struct Release<'a>(&'a Flows);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.open(u64::MAX);
    }
}

/// What arrives at one place, and for how long nothing did.
struct Gauge(Mutex<Arrivals>);

struct Arrivals {
    bytes: u64,
    last: Instant,
    longest: Duration,
}

impl Gauge {
    fn new() -> Gauge {
        Gauge(Mutex::new(Arrivals { bytes: 0, last: Instant::now(), longest: Duration::ZERO }))
    }

    fn came(&self, count: usize) {
        let mut arrivals = self.0.lock().unwrap();
        let now = Instant::now();
        arrivals.longest = arrivals.longest.max(now - arrivals.last);
        arrivals.last = now;
        arrivals.bytes += count as u64;
    }

    fn bytes(&self) -> u64 {
        self.0.lock().unwrap().bytes
    }

    fn moved_since(&self, moment: Instant) -> bool {
        self.0.lock().unwrap().last > moment
    }

    /// From now on.
    fn restart(&self) {
        let mut arrivals = self.0.lock().unwrap();
        (arrivals.last, arrivals.longest) = (Instant::now(), Duration::ZERO);
    }

    fn longest(&self) -> Duration {
        self.0.lock().unwrap().longest
    }
}

/// A reader whose bytes are gauged.
struct Gauged<'a> {
    stream: &'a TcpStream,
    gauge: &'a Gauge,
}

impl Read for Gauged<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(bytes)?;
        self.gauge.came(count);
        Ok(count)
    }
}

/// How long bsr stood still, by kind of cut.
#[derive(Default)]
struct Pauses(BTreeMap<String, Vec<Duration>>);

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

/// The session's four channels: data and meta, at both sites.
struct Channels(Vec<ChannelReport>);

impl Channels {
    fn of(pair: &Pair<Process>) -> Channels {
        let resources = [&pair.one, &pair.two].map(|site| site.resource().unwrap());
        let channels = resources.into_iter().flat_map(|resource| resource.channels);
        let mut channels: Vec<_> = channels.filter(|channel| channel.channel_type.is_some()).collect();
        channels.sort_by_key(|channel| (channel.connection.clone(), channel.channel_type));
        assert_eq!(channels.len(), 4, "{channels:?}");
        Channels(channels)
    }

    fn pairs<'a>(
        &'a self,
        later: &'a Channels,
    ) -> impl Iterator<Item = (&'a ChannelReport, &'a ChannelReport)> {
        self.0.iter().zip(&later.0)
    }

    /// The break was noticed once by who dials, and whoever is dialled knows of it.
    fn resumed_once(&self, later: &Channels, lanes: Lanes) {
        for (before, after) in self.pairs(later) {
            let breaks = after.resumes - before.resumes;
            let expected = match (lanes.strike(before.channel_type.unwrap()), before.role) {
                (false, _) => 0..=0,
                (true, Role::Connector) => 1..=1,
                // A dial may have been taken whose answer came later than the next dial.
                (true, Role::Acceptor) => 1..=3,
            };
            assert!(expected.contains(&breaks), "{breaks} breaks: {after:?}");
        }
    }

    /// The same rounds, on the same links.
    fn went_on_as(&self, later: &Channels) {
        for (before, after) in self.pairs(later) {
            assert_eq!((before.link, before.attempt), (after.link, after.attempt));
            assert_eq!((before.restarts, before.failures), (after.restarts, after.failures));
            assert!(after.resumes > before.resumes);
        }
    }

    /// The logs have two lines for each break, and none else of these channels.
    fn said_so(&self, pair: &Pair<Process>) {
        for channel in &self.0 {
            let site =
                if channel.connection.ends_with(&pair.one.places.node) { &pair.one } else { &pair.two };
            let log = site.node.log();
            assert!(!log.says(&["WARN"]) && !log.says(&["ERRO"]), "{log}");
            let lane = u8::from(channel.lane).to_string();
            let steps = log.transitions().filter(|step| step.role == channel.role && step.lane == lane);
            let steps: Vec<_> = steps.map(|step| step.to_string()).collect();
            let up = steps.iter().position(|step| step == "establishing -> established").unwrap();
            let there_and_back = ["established -> resuming", "resuming -> established"];
            let breaks = usize::try_from(channel.resumes).unwrap();
            assert_eq!(steps[up + 1..], there_and_back.repeat(breaks), "{} {lane}", channel.role);
        }
    }
}

/// Slabs that may be sent beyond the one in which a cut falls.
const AHEAD: u64 = 4;
/// Between two words on meta.
const PING: Duration = Duration::from_millis(1);
