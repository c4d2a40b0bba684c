//! Ends of any kind in a row, of bsr, links, relays and actors: each time everything is established again
//! in time, or goes on, and nothing is left behind. `DRX_SEED` repeats a run; `DRX_KILLS=1000` makes it so
//! long.
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
use drx_integration::forwarder::{End as Cut, Halves};
use drx_integration::in_process::InProcess;
use drx_integration::pair::{Node, Opening, Pair, Session, Site};
use drx_integration::pattern::{Fault, PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::seed::{number, seed};
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::names::Role;
use drx_protocol::restart::Settings as RestartSettings;
use drx_protocol::session::Slot;
use drx_protocol::{Standing, State};
use fastrand::Rng;

#[test]
fn ends_of_bsr_links_and_relays() {
    processes("0");
}

#[test]
fn ends_of_bsr_and_relays_and_breaks_of_links() {
    processes("10s");
}

#[test]
fn ends_of_bsr_links_relays_and_actors() {
    in_process(Duration::ZERO);
}

#[test]
fn ends_of_bsr_relays_and_actors_and_breaks_of_links() {
    in_process(Duration::from_secs(10));
}

fn processes(resume_timeout: &str) {
    let _alone = alone();
    let resume = format!("link.resume_timeout={resume_timeout}");
    let pair =
        Pair::of_processes(&["restart.max=200ms", "restart.max_failures=1000", "bab.size=4MiB", &resume]);
    let pair = many_ends(pair, resume_timeout != "0");
    for site in [&pair.one, &pair.two] {
        let log = site.node.log();
        assert!(!log.says(&["ERRO"]) && !log.says(&["CRIT"]), "nothing was a fault of the relay");
        assert_eq!(site.node.errors(), "");
    }
}

fn in_process(resume_timeout: Duration) {
    let _alone = alone();
    quiet_about_strikes();
    let restart = RestartSettings { max: RESTART_MAX, max_failures: 1000, ..RestartSettings::default() };
    let pair = Pair::new(|places| InProcess::start_new(places, restart, resume_timeout));
    pair.until_quiet();
    many_ends(pair, !resume_timeout.is_zero());
}

/// A relay that can be made to end.
trait Mortal: Node + Sized {
    /// Whether its actors can be struck.
    const ACTORS: bool;
    fn kill(&mut self);
    fn start(&mut self);
    fn strike(&self, resource: &str, victim: Victim);
    /// The processes that both relays are, and the descriptors that a session adds to each.
    fn processes(pair: &Pair<Self>, opening: Opening) -> Vec<(u32, usize)>;
}

impl Mortal for Process {
    const ACTORS: bool = false;

    fn kill(&mut self) {
        Process::kill(self);
    }

    fn start(&mut self) {
        Process::start(self);
    }

    fn strike(&self, _: &str, victim: Victim) {
        panic!("{victim:?} of another process");
    }

    fn processes(pair: &Pair<Process>, opening: Opening) -> Vec<(u32, usize)> {
        // bsr's two connections; and nobody listens for it where both lanes are taken.
        let added = |by_both| 2 - usize::from(opening == by_both);
        vec![
            (pair.one.node.pid(), added(Opening::BothByOne)),
            (pair.two.node.pid(), added(Opening::BothByTwo)),
        ]
    }
}

impl Mortal for InProcess {
    const ACTORS: bool = true;

    fn kill(&mut self) {
        InProcess::kill(self);
    }

    fn start(&mut self) {
        InProcess::start(self);
    }

    fn strike(&self, resource: &str, victim: Victim) {
        InProcess::strike(self, resource, victim);
    }

    fn processes(_: &Pair<InProcess>, opening: Opening) -> Vec<(u32, usize)> {
        // bsr's four connections, both ends of each; the other half of the count as above.
        let both = matches!(opening, Opening::BothByOne | Opening::BothByTwo);
        vec![(std::process::id(), 8 - usize::from(both))]
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// bsr at a site (0, 1) closes data or meta, in order or by a reset.
    Bsr { site: usize, meta: bool, hard: bool },
    /// The way to site two, or to site one, is cut.
    Way { to_two: bool, end: Cut },
    /// Both ways are cut.
    BothWays,
    /// A way is cut, and only who dialled knows.
    Unnoticed { to_two: bool },
    /// A relay is killed.
    Relay { site: usize },
    /// An actor panics.
    Actor { site: usize, victim: Victim },
}

impl Event {
    /// One, or two that coincide: in the midst of what the first one begins comes the second.
    fn some<N: Mortal>(chance: &mut Rng) -> Vec<Event> {
        let first = Event::any(chance, if N::ACTORS { 10 } else { 5 });
        let second = (chance.u8(..3) == 0).then(|| Event::any(chance, 4));
        let mut events: Vec<_> = [first].into_iter().chain(second).collect();
        if let Event::Relay { site } = &mut events[0]
            && !N::ACTORS
        {
            // Of two processes the first one lives through all of it: what it leaves behind would show.
            *site = 1;
        }
        events
    }

    fn any(chance: &mut Rng, kinds: u8) -> Event {
        let site = chance.usize(..2);
        match chance.u8(..kinds) {
            0 => Event::Bsr { site, meta: chance.bool(), hard: chance.bool() },
            1 => Event::Way {
                to_two: chance.bool(),
                end: if chance.bool() { Cut::Reset } else { Cut::Finish },
            },
            2 => Event::BothWays,
            3 => Event::Unnoticed { to_two: chance.bool() },
            4 => Event::Relay { site },
            _ => Event::Actor { site, victim: victim(chance) },
        }
    }

    /// Whether it ends the session.
    fn ends<N: Node>(self, pair: &Pair<N>, resumes: bool) -> bool {
        let dialler = match self {
            Event::Bsr { .. } | Event::Relay { .. } => return true,
            Event::Actor { site, victim } => return carries(pair.site(site), victim),
            _ if resumes => return false,
            Event::BothWays => return true,
            Event::Way { to_two: true, .. } | Event::Unnoticed { to_two: true } => &pair.one,
            Event::Way { to_two: false, .. } | Event::Unnoticed { to_two: false } => &pair.two,
        };
        let channels = dialler.resource().unwrap().channels;
        channels.iter().any(|channel| channel.role == Role::Connector && channel.is_established())
    }

    /// Lets it happen. What is returned is to be kept until it has come to light.
    fn happen<N: Mortal>(self, pair: &mut Pair<N>, streams: &mut Streams) -> Option<Halves> {
        let way = |to_two| if to_two { &pair.way_to_two } else { &pair.way_to_one };
        match self {
            Event::Bsr { site, meta, hard } => match streams.take(site, meta) {
                Some(stream) if hard => reset(stream),
                stream => drop(stream),
            },
            Event::Way { to_two, end } => way(to_two).cut(end),
            Event::BothWays => {
                way(false).cut(Cut::Finish);
                way(true).cut(Cut::Finish);
            }
            Event::Unnoticed { to_two } => return Some(way(to_two).cut_towards([Cut::Finish, Cut::Silence])),
            Event::Relay { site } => pair.site_mut(site).node.kill(),
            Event::Actor { site, victim } => {
                let site = pair.site(site);
                site.node.strike(&site.places.resource, victim);
            }
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
    /// Bytes that were sent from here.
    sent: u64,
}

impl Streams {
    /// Some bytes are under way whenever something ends.
    fn of(session: Session, number: u64, chance: &mut Rng) -> Streams {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = session;
        let all = [(0, false, data_one), (1, false, data_two), (0, true, meta_one), (1, true, meta_two)];
        let ends = all.map(|(site, meta, stream)| {
            let sent = chance.u64(..if meta { 1 << 10 } else { 128 << 10 });
            pattern(number, site as u64, meta).send(&stream, 0, sent).unwrap();
            End { site, meta, stream, sent }
        });
        Streams(ends.into())
    }

    /// One of them, unless it has gone before.
    fn take(&mut self, site: usize, meta: bool) -> Option<TcpStream> {
        let index = self.0.iter().position(|end| (end.site, end.meta) == (site, meta))?;
        Some(self.0.remove(index).stream)
    }

    /// The session stands on what is left, or on what was made anew, and every byte arrives. Then both
    /// bsr leave.
    fn goes_on<N: Node>(self, pair: &Pair<N>, number: u64, what: &str) {
        for End { site, meta, stream, .. } in &self.0 {
            let from = 1 - site;
            let other = self.0.iter().find(|end| (end.site, end.meta) == (from, *meta)).unwrap();
            let came = pattern(number, from as u64, *meta).check(stream, 0, other.sent, PIECE);
            assert_eq!(came, Ok(()), "{what}: site {site}, meta: {meta}");
        }
        for site in [&pair.one, &pair.two] {
            until_ok(LIMIT, || {
                let resource = site.resource()?;
                let whole =
                    |standing| !matches!(standing, Standing::Resuming | Standing::In(State::Bridging));
                let all = resource.channels.iter().all(|c| c.link_up && whole(c.standing));
                (all && resource.session).then_some(()).ok_or_else(|| format!("{what}: {resource:?}"))
            });
        }
        assert!(self.0.iter().all(|end| stands(&end.stream)), "{what}: the session goes on");
    }
    /// Each bsr reads to the end and closes; what came until then are this session's bytes, and no others.
    fn end(self, number: u64, began: Instant) {
        thread::scope(|scope| {
            for End { site, meta, stream, .. } in self.0 {
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

/// So many ends, one after the other.
fn many_ends<N: Mortal>(mut pair: Pair<N>, resumes: bool) -> Pair<N> {
    let rounds = number("DRX_KILLS").unwrap_or(ROUNDS);
    let mut chance = Rng::with_seed(seed());
    let mut times = Times::default();
    let settled = |(pid, _): &(u32, usize)| Figures::settled(*pid);
    let quiet: Vec<_> = N::processes(&pair, Opening::DataByTwo).iter().map(settled).collect();
    let mut warm = Vec::new();
    let mut standing = pair.establish_again(opening(&mut chance), LIMIT);
    for round in 0..rounds {
        let mut streams = Streams::of(standing, round, &mut chance);
        let events = Event::some::<N>(&mut chance);
        let what = format!("round {round}, {events:?}");
        let ends = events.iter().any(|event| event.ends(&pair, resumes));
        let failures = failures(&pair);
        let mut began = Instant::now();
        let mut halves = Vec::new();
        for event in &events {
            halves.extend(event.happen(&mut pair, &mut streams));
            thread::sleep(BETWEEN.mul_f64(chance.f64()));
        }
        match events[0] {
            // Whoever waits for a dead relay hears of its end when it is back.
            Event::Relay { site } if resumes => {
                pair.site_mut(site).node.start();
                began = Instant::now();
            }
            // Nobody is there to be struck where no bsr is.
            Event::Actor { victim, .. }
                if !ends && events.len() == 1 && !matches!(victim, Victim::Local(_)) =>
            {
                let counted = || (self::failures(&pair) > failures).then_some(());
                until(format_args!("{what} is counted"), LIMIT, counted);
            }
            _ => {}
        }
        if ends {
            streams.end(round, began);
        } else {
            streams.goes_on(&pair, round, &what);
        }
        if let Event::Relay { site } = events[0]
            && !resumes
        {
            pair.site_mut(site).node.start();
        }
        drop(halves);
        let began = Instant::now();
        let opening = opening(&mut chance);
        standing = pair.establish_again(opening, LIMIT);
        times.again(round, &what, began.elapsed());
        for ((pid, added), quiet) in N::processes(&pair, opening).into_iter().zip(&quiet) {
            files_are(quiet.files + added, &format!("{what}, {opening:?}"), || Figures::of(pid));
        }
        if round == rounds / 4 {
            warm = figures(&pair);
        }
    }
    drop(times);
    for ((quiet, warm), after) in quiet.iter().zip(&warm).zip(figures(&pair)) {
        println!("before {quiet}; after a quarter {warm}; after {after}");
        assert!(after.resident < warm.resident + MORE_MEMORY);
        assert!(after.threads <= quiet.threads, "threads are left");
    }
    pair
}

fn figures<N: Mortal>(pair: &Pair<N>) -> Vec<Figures> {
    N::processes(pair, Opening::DataByTwo).into_iter().map(|(pid, _)| Figures::of(pid)).collect()
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
fn carries<N: Node>(site: &Site<N>, victim: Victim) -> bool {
    let (Victim::Channel(slot) | Victim::Local(slot) | Victim::Link(slot) | Victim::Bab(slot)) = victim
    else {
        return true; // the resource
    };
    site.channel(slot.role, slot.lane).unwrap().is_established()
}

/// Faults of both relays.
fn failures<N: Node>(pair: &Pair<N>) -> u64 {
    let resources = [&pair.one, &pair.two].into_iter().filter_map(|site| site.resource().ok());
    resources.flat_map(|resource| resource.channels).map(|channel| channel.failures).sum()
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

const ROUNDS: u64 = 25;
/// Between two that coincide, at most: a resume takes about so long.
const BETWEEN: Duration = Duration::from_millis(5);
const RESTART_MAX: Duration = Duration::from_millis(200);
/// A lost link is dialled again after at most `restart.max`, may be refused once (`busy`) while the other
/// side gives the old one up, and is dialled again; then comes the handshake, and bsr. The rest is what
/// this machine does besides.
const BOUND: Duration = Duration::from_millis(2 * 200 + 1600);
/// An end is passed on at once; one that nobody was told of comes to light with the next dial.
const NOTICED: Duration = Duration::from_millis(2 * 200 + 1600);
const MORE_MEMORY: u64 = 16 << 20;
