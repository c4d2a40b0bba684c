//! Fifty ends of any kind in a row, of bsr, links, relays and actors: each time everything is
//! established again in time, and nothing is left behind. `DRX_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::TcpStream;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use drx_actors::api::Victim;
use drx_integration::bsr::{reset, stands};
use drx_integration::figures::Figures;
use drx_integration::forwarder::Halves;
use drx_integration::in_process::InProcess;
use drx_integration::pair::{Node, Opening, Pair, Session, Site};
use drx_integration::pattern::{Fault, PIECE, Pattern};
use drx_integration::seed::seed;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::names::Role;
use drx_protocol::restart::Settings as RestartSettings;
use drx_protocol::session::Slot;
use fastrand::Rng;

/// What both kinds of relays can suffer.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// bsr at a site (0, 1) closes data or meta, in order or by a reset.
    Bsr { site: usize, meta: bool, hard: bool },
    /// The way to site two, or to site one, is cut.
    Way { to_two: bool },
    /// Both ways are cut.
    BothWays,
    /// A way is cut, and only who dialled knows.
    Unnoticed { to_two: bool },
}

impl Event {
    fn any(chance: &mut Rng) -> Event {
        match chance.u8(..4) {
            0 => Event::Bsr { site: chance.usize(..2), meta: chance.bool(), hard: chance.bool() },
            1 => Event::Way { to_two: chance.bool() },
            2 => Event::BothWays,
            _ => Event::Unnoticed { to_two: chance.bool() },
        }
    }

    /// Whether the session stands on what ends.
    fn strikes<N: Node>(self, pair: &Pair<N>) -> bool {
        let dialler = match self {
            Event::Bsr { .. } | Event::BothWays => return true,
            Event::Way { to_two: true } | Event::Unnoticed { to_two: true } => &pair.one,
            Event::Way { to_two: false } | Event::Unnoticed { to_two: false } => &pair.two,
        };
        let channels = dialler.resource().unwrap().channels;
        channels.iter().any(|channel| channel.role == Role::Connector && channel.is_established())
    }

    /// Lets it happen. What is returned is to be kept until the session has ended.
    fn happen<N: Node>(self, pair: &Pair<N>, streams: &mut Streams) -> Option<Halves> {
        match self {
            Event::Bsr { site, meta, hard } => {
                let stream = streams.take(site, meta);
                if hard { reset(stream) } else { drop(stream) }
            }
            Event::Way { to_two: true } => pair.way_to_two.cut(),
            Event::Way { to_two: false } => pair.way_to_one.cut(),
            Event::BothWays => {
                pair.way_to_one.cut();
                pair.way_to_two.cut();
            }
            Event::Unnoticed { to_two: true } => return Some(pair.way_to_two.cut_unnoticed()),
            Event::Unnoticed { to_two: false } => return Some(pair.way_to_one.cut_unnoticed()),
        }
        None
    }
}

/// A session's four ends, with whose bytes come there.
struct Streams(Vec<End>);

struct End {
    site: usize,
    meta: bool,
    stream: TcpStream,
}

impl Streams {
    fn of(session: Session) -> Streams {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = session;
        let all = [(0, false, data_one), (1, false, data_two), (0, true, meta_one), (1, true, meta_two)];
        Streams(all.into_iter().map(|(site, meta, stream)| End { site, meta, stream }).collect())
    }

    fn take(&mut self, site: usize, meta: bool) -> TcpStream {
        let index = self.0.iter().position(|end| (end.site, end.meta) == (site, meta)).unwrap();
        self.0.remove(index).stream
    }

    /// What ended was beside the session. Then both bsr leave.
    fn goes_on<N: Node>(self, pair: &Pair<N>, what: &str) {
        for site in [&pair.one, &pair.two] {
            until(format_args!("{what}: all links are there"), LIMIT, || {
                site.resource().ok()?.channels.iter().all(|channel| channel.link_up).then_some(())
            });
        }
        assert!(self.0.iter().all(|end| stands(&end.stream)), "{what}: the session goes on");
    }

    /// Each bsr reads to the end and closes; what came until then are this session's bytes, and no others.
    fn end(self, number: u64, began: Instant) {
        thread::scope(|scope| {
            for End { site, meta, stream } in self.0 {
                scope.spawn(move || {
                    let from = 1 - site as u64;
                    match pattern(number, from, meta).check_to_end(&stream, 0, PIECE) {
                        Ok(_) => {}
                        Err(broken) => {
                            let what = format!("round {number}, site {site}, meta: {meta}: {broken:?}");
                            assert_eq!(broken.fault, Fault::Reading(ErrorKind::ConnectionReset), "{what}");
                        }
                    }
                    let took = began.elapsed();
                    assert!(
                        took < NOTICED,
                        "round {number}, site {site}, meta: {meta}: ended after {took:?}"
                    );
                });
            }
        });
    }
}

/// Every stream of every session is another one.
fn pattern(number: u64, from: u64, meta: bool) -> Pattern {
    Pattern::new(number << 2 | from << 1 | u64::from(meta))
}

/// Lets an event happen, and sees what comes of it.
fn end_by<N: Node>(event: Event, pair: &Pair<N>, mut streams: Streams, number: u64) {
    let strikes = event.strikes(pair);
    let began = Instant::now();
    let halves = event.happen(pair, &mut streams);
    if strikes {
        streams.end(number, began);
    } else {
        streams.goes_on(pair, &format!("round {number}, {event:?}"));
    }
    drop(halves);
}

/// Some bytes are under way whenever something ends.
fn send_some(streams: &Streams, number: u64, chance: &mut Rng) {
    for End { site, meta, stream } in &streams.0 {
        let most = if *meta { 1 << 10 } else { 128 << 10 };
        pattern(number, *site as u64, *meta).send(stream, 0, chance.u64(..most)).unwrap();
    }
}

/// What is measured over a run.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn again(&mut self, number: u64, what: &dyn std::fmt::Debug, took: Duration) {
        assert!(took < BOUND, "round {number}, {what:?}: established again only after {took:?}");
        self.0.push(took);
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        self.0.sort_unstable();
        if let [least, .., most] = self.0[..] {
            let median = self.0[self.0.len() / 2];
            println!(
                "established again {} times: {least:.0?} to {most:.0?}, median {median:.0?}",
                self.0.len()
            );
        }
    }
}

fn opening(chance: &mut Rng) -> Opening {
    Opening::ALL[chance.usize(..Opening::ALL.len())]
}

#[test]
fn fifty_ends_of_bsr_links_and_relays() {
    let _alone = alone();
    let mut chance = Rng::with_seed(seed());
    let mut pair = Pair::of_processes(&["restart.max=200ms", "restart.max_failures=1000", "bab.size=4MiB"]);
    let mut times = Times::default();
    let quiet = [&pair.one, &pair.two].map(|site| Figures::settled(site.node.pid()));
    let mut standing = pair.establish_again(opening(&mut chance), LIMIT);
    for number in 0..ROUNDS {
        let streams = Streams::of(standing);
        send_some(&streams, number, &mut chance);
        let relay = (chance.u8(..5) == 0).then(|| chance.usize(..2));
        let event = Event::any(&mut chance);
        let what = relay.map_or(format!("{event:?}"), |site| format!("relay {}", site + 1));
        match relay {
            Some(site) => {
                let began = Instant::now();
                let node = if site == 0 { &mut pair.one.node } else { &mut pair.two.node };
                node.kill();
                streams.end(number, began);
                node.start();
            }
            None => end_by(event, &pair, streams, number),
        }
        let began = Instant::now();
        let opening = opening(&mut chance);
        standing = pair.establish_again(opening, LIMIT);
        times.again(number, &what, began.elapsed());
        for (site, quiet) in [&pair.one, &pair.two].into_iter().zip(&quiet) {
            // bsr's two connections; and nobody listens for it where both lanes are taken.
            let both = if site.places.node == "node1" { Opening::BothByOne } else { Opening::BothByTwo };
            let files = quiet.files + 2 - usize::from(opening == both);
            let what = format!("round {number}, {what}, {}, {opening:?}", site.places.node);
            files_are(files, &what, || site.node.figures());
        }
    }
    drop(times);
    for (site, before) in [&pair.one, &pair.two].into_iter().zip(quiet) {
        let after = site.node.figures();
        println!("{}: before {before}; after {after}", site.places.node);
        assert!(after.resident < before.resident + MORE_MEMORY);
        let log = site.node.log();
        assert!(!log.says(&["ERRO"]) && !log.says(&["CRIT"]), "nothing was a fault of the relay");
        assert_eq!(site.node.errors(), "");
    }
}

#[test]
fn fifty_ends_of_bsr_links_and_actors() {
    let _alone = alone();
    quiet_about_strikes();
    let mut chance = Rng::with_seed(seed());
    let restart = RestartSettings { max: RESTART_MAX, max_failures: 1000, ..RestartSettings::default() };
    let pair = Pair::new(|places| InProcess::start_new(places, restart));
    pair.until_quiet();
    let mut times = Times::default();
    let before = Figures::settled(std::process::id());
    let mut standing = pair.establish_again(opening(&mut chance), LIMIT);
    let mut struck = 0;
    for number in 0..ROUNDS {
        let streams = Streams::of(standing);
        send_some(&streams, number, &mut chance);
        let victim = chance.bool().then(|| (chance.usize(..2), victim(&mut chance)));
        let event = Event::any(&mut chance);
        let what = victim.map_or(format!("{event:?}"), |victim| format!("{victim:?}"));
        match victim {
            None => end_by(event, &pair, streams, number),
            Some((site, victim)) => {
                struck += 1;
                let site = [&pair.one, &pair.two][site];
                let (carries, failures) = (carries(site, victim), failures(site));
                let began = Instant::now();
                site.node.strike(&site.places.resource, victim);
                if !carries {
                    // Nobody is there to be struck where no bsr is.
                    if !matches!(victim, Victim::Local(_)) {
                        until(format_args!("round {number}: {what} is counted"), LIMIT, || {
                            (self::failures(site) > failures).then_some(())
                        });
                    }
                    streams.goes_on(&pair, &format!("round {number}, {what}"));
                } else {
                    streams.end(number, began);
                }
            }
        }
        let began = Instant::now();
        let opened = opening(&mut chance);
        standing = pair.establish_again(opened, LIMIT);
        times.again(number, &what, began.elapsed());
        // bsr's four connections, both ends of each; the other half of the count as above.
        let both = matches!(opened, Opening::BothByOne | Opening::BothByTwo);
        let files = before.files + 8 - usize::from(both);
        files_are(files, &format!("round {number}, {what}, {opened:?}"), || Figures::of(std::process::id()));
    }
    drop(times);
    let after = Figures::of(std::process::id());
    println!("{struck} actors were struck; before {before}; after {after}");
    assert!(after.resident < before.resident + MORE_MEMORY);
}

fn victim(chance: &mut Rng) -> Victim {
    let slot = Slot::ALL[chance.usize(..Slot::ALL.len())];
    match chance.u8(..9) {
        0 => Victim::Resource,
        1..=2 => Victim::Channel(slot),
        3..=4 => Victim::Local(slot),
        5..=6 => Victim::Link(slot),
        _ => Victim::Bab(slot),
    }
}

/// Whether the session stands on this actor. Which lanes it came on depends on which were linked.
fn carries(site: &Site<InProcess>, victim: Victim) -> bool {
    let (Victim::Channel(slot) | Victim::Local(slot) | Victim::Link(slot) | Victim::Bab(slot)) = victim
    else {
        return true; // the resource
    };
    site.channel(slot.role, slot.lane).unwrap().is_established()
}

fn failures<N: Node>(site: &Site<N>) -> u64 {
    site.resource().map_or(0, |resource| resource.channels.iter().map(|channel| channel.failures).sum())
}

/// Every descriptor of what has ended is closed.
fn files_are(files: usize, what: &str, now: impl Fn() -> Figures) {
    until_ok(LIMIT, || {
        let now = now();
        (now.files == files).then_some(()).ok_or_else(|| format!("{what}: {files} files, {now}"))
    });
}

/// One after the other: the files of this process are counted.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The strikes are meant; any other panic is shown as ever.
fn quiet_about_strikes() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| info.payload().downcast_ref::<&str>().copied());
        if !text.is_some_and(|text| text.starts_with("struck: ")) {
            usual(info);
        }
    }));
}

const ROUNDS: u64 = 50;
const RESTART_MAX: Duration = Duration::from_millis(200);
/// A lost link is dialled again after at most `restart.max`, may be refused once (`busy`) while the other
/// side gives the old one up, and is dialled again; then comes the handshake, and bsr. The rest is what
/// this machine does besides.
const BOUND: Duration = Duration::from_millis(2 * 200 + 1600);
/// An end is passed on at once; one that nobody was told of comes to light with the next dial.
const NOTICED: Duration = Duration::from_millis(2 * 200 + 1600);
const MORE_MEMORY: u64 = 16 << 20;
