//! What a seed stands for: the shape of the world, its lines, and which faults come how often.

use std::time::Duration;

use drx_actors::api::{BabSettings, Backing, LinkSettings, Proxy, Reserve, ResourceSettings};
use drx_actors::net::{Congestion, Weather};
use drx_protocol::codec::Compression;
use drx_protocol::restart::{Policy, Settings as RestartSettings};
use fastrand::Rng;

/// Drawn from the seed alone.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub resources: usize,
    pub resume: Duration,
    /// What bsr says on meta here is no ping, nor anything that the relay knows: it must not matter.
    pub hold_pings: bool,
    /// Nothing but links fails, each for less than `resume`.
    pub only_links: bool,
    pub storm: Duration,
    /// Between two faults, on average.
    pub pace: Duration,
    /// Bytes that a connection holds in each direction.
    pub buffer: usize,
    pub bab: u64,
    pub window: u32,
    pub checksum: bool,
    pub compression: Compression,
    pub line: Weather,
    pub local: Weather,
    pub traffic: Traffic,
    pub faults: Vec<Fault>,
}

/// How a bsr writes and reads.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Bytes in one write or read at most.
    pub piece: usize,
    /// After this much in a run everybody only trickles.
    pub bytes: u64,
    /// They never pause in writing, and read a little every millisecond: so everything on the way is full, and
    /// the frames are small.
    pub saturates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Some links are reset, ended, or fall silent for ever: both ways or one.
    CutLinks,
    /// Nothing passes between the relays for a while, both ways or one.
    Partition,
    /// The line's times change.
    Weather,
    /// A connection between bsr and its relay is reset.
    CutLocal,
    /// A bsr leaves, in one of many ways.
    Leave,
    /// A bsr leaves while the other does not read and all that is between them is full.
    LeaveFull,
    /// A bsr neither reads nor writes for seconds.
    Stall,
    /// A bsr only writes for seconds.
    Deaf,
    /// Another bsr dials, or both.
    Swap,
    /// SIGKILL of a relay, and its restart.
    Kill,
    /// A shutdown in order, and the restart.
    Shutdown,
    /// An actor panics.
    Panic,
    /// An operator.
    Operate,
    /// An operator makes a BAB smaller or larger: bsr notices nothing.
    Resize,
    /// An operator removes a resource and adds it again: at once, or later.
    Remove,
    /// Somebody at `inside` or `outside` who is no bsr and no relay.
    Stranger,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let kind = rng.u8(..8);
        let only_links = kind < 2;
        let resume = Duration::from_secs(if only_links || rng.bool() { 10 } else { 0 });
        let all = [
            Fault::CutLinks,
            Fault::Partition,
            Fault::Weather,
            Fault::CutLocal,
            Fault::Leave,
            Fault::LeaveFull,
            Fault::Stall,
            Fault::Deaf,
            Fault::Swap,
            Fault::Kill,
            Fault::Shutdown,
            Fault::Panic,
            Fault::Operate,
            Fault::Resize,
            Fault::Remove,
            Fault::Stranger,
        ];
        let mut faults: Vec<Fault> = all.into_iter().filter(|_| rng.bool()).collect();
        if only_links {
            faults = vec![Fault::CutLinks, Fault::CutLinks, Fault::Partition, Fault::Weather];
            faults.extend([Fault::Stall, Fault::Deaf, Fault::Resize].into_iter().filter(|_| rng.bool()));
        } else if kind == 2 {
            faults = vec![
                Fault::Leave,
                Fault::LeaveFull,
                Fault::LeaveFull,
                Fault::Stall,
                Fault::Deaf,
                Fault::Swap,
            ];
        } else if kind == 3 && !resume.is_zero() {
            // A goodbye goes on over a link that is resumed.
            faults = vec![Fault::Leave, Fault::LeaveFull, Fault::CutLinks, Fault::CutLinks];
        } else if faults.is_empty() {
            faults = vec![Fault::Leave];
        }
        let slice = |rng: &mut Rng| if rng.u8(..3) == 0 { 1 << rng.u32(..16) } else { 0 };
        let delay = if rng.bool() { rng.u64(1..80) } else { 0 };
        let line = Weather {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(if rng.bool() { delay } else { 0 }),
            // A handshake has to get through within `resume_timeout`, where there is one.
            detour: Duration::from_millis(if rng.u8(..4) == 0 { rng.u64(..3000) } else { 0 })
                .min(if resume.is_zero() { Duration::MAX } else { SQUALL.detour }),
            slice: slice(&mut rng),
            // So much a round trip: what a goodbye has to say is said within its time.
            buffer: 256 << rng.u32(10..13),
        };
        let local = Weather { slice: slice(&mut rng), ..Weather::default() };
        // A byte at a time everything takes long: then there is less of it.
        let thin = [line.slice, local.slice].into_iter().filter(|slice| *slice > 0).min();
        let bytes = thin.map_or(MOST_BYTES, |slice| (slice as u64 * 4096).min(MOST_BYTES));
        Plan {
            seed,
            resources: if rng.u8(..4) == 0 { 2 } else { 1 },
            resume,
            hold_pings: rng.u8(..4) == 0,
            only_links,
            storm: Duration::from_secs(rng.u64(5..30)),
            pace: Duration::from_millis(1 << rng.u32(6..12)),
            buffer: 1 << rng.u32(10..20),
            bab: LEAST << rng.u32(..7),
            window: if rng.bool() { 64 << 10 } else { 64 << rng.u32(10..19) },
            checksum: rng.bool(),
            compression: *rng.choice(&COMPRESSIONS).expect("there are some"),
            line,
            local,
            traffic: Traffic { piece: 1 << rng.u32(8..17), bytes, saturates: false },
            faults,
        }
    }

    /// No faults, but more to carry than anything on the way can hold: the least windows and BABs, small buffers.
    pub fn saturated(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        // A line that takes no time would never let the clock move.
        let delay = Duration::from_millis(rng.u64(1..10));
        let jitter = Duration::from_millis(rng.u64(..5));
        let slice = |rng: &mut Rng| if rng.bool() { 0 } else { 64 << rng.u32(..8) };
        let line = Weather {
            delay,
            jitter,
            slice: slice(&mut rng),
            buffer: 4096 << rng.u32(..8),
            ..Weather::default()
        };
        Plan {
            seed,
            resources: 1,
            resume: Duration::ZERO,
            hold_pings: false,
            only_links: false,
            storm: Duration::ZERO,
            pace: Duration::from_millis(100),
            buffer: 1024 << rng.u32(..7),
            bab: LEAST << rng.u32(..4),
            window: LEAST as u32,
            checksum: false,
            compression: *rng.choice(&COMPRESSIONS).expect("there are some"),
            line,
            local: Weather { slice: slice(&mut rng), ..Weather::default() },
            traffic: Traffic { piece: 64 << rng.u32(..7), bytes: u64::MAX, saturates: true },
            faults: Vec::new(),
        }
    }

    /// What a storm makes of the line.
    pub fn squall(&self, rng: &mut Rng) -> Weather {
        Weather {
            delay: SQUALL.delay.mul_f64(rng.f64()),
            jitter: SQUALL.jitter.mul_f64(rng.f64()),
            detour: SQUALL.detour.mul_f64(rng.f64()),
            ..self.line
        }
    }

    /// How long the news of a close may travel: a link that is resumed passes it on late.
    pub fn longest_news(&self) -> Duration {
        let resumed = if self.resume.is_zero() { Duration::ZERO } else { self.resume + KEEPALIVE };
        self.longest_way() + resumed + Duration::from_secs(1)
    }

    /// Nothing takes longer from one relay to the other, unless the line is broken.
    fn longest_way(&self) -> Duration {
        let of = |weather: Weather| weather.delay + weather.jitter + weather.detour;
        if self.faults.contains(&Fault::Weather) { of(self.line).max(of(SQUALL)) } else { of(self.line) }
    }

    pub fn settings(&self, node: usize, resource: usize) -> ResourceSettings {
        let (here, there, port) = (node + 1, 2 - node, 7000 + 10 * resource);
        let restart =
            RestartSettings { max: Duration::from_millis(200), max_failures: 1000, ..Default::default() };
        let address = |text: String| text.parse().expect("an address of ours");
        ResourceSettings {
            name: format!("r{resource}"),
            remote: format!("node{there}"),
            local: format!("node{here}"),
            proxy: Proxy::default(),
            bsr: address(format!("10.77.{here}.2:{}", port + 1)),
            inside: address(format!("10.77.{here}.1:{port}")),
            outside: address(format!("10.77.9.{here}:{OUTSIDE}")),
            peer: address(format!("10.77.9.{there}:{OUTSIDE}")),
            bab: BabSettings { size: self.bab, reserve: Reserve::Auto, backing: Backing::Memory },
            link: LinkSettings {
                resume_timeout: self.resume,
                hold_pings: self.hold_pings,
                close_pending_timeout: CLOSE_PENDING,
                keepalive_interval: Duration::from_secs(1),
                keepalive_timeout: KEEPALIVE,
                connect_timeout: Duration::from_secs(5),
                window: self.window,
                congestion: Congestion::System,
                checksum: self.checksum,
                compression: self.compression,
            },
            restart: Policy::new(restart).expect("a policy that is one"),
        }
    }
}

/// The worst of a [`Fault::Weather`].
const SQUALL: Weather = Weather {
    delay: Duration::from_millis(150),
    jitter: Duration::from_millis(100),
    detour: Duration::from_secs(1),
    buffer: 0,
    slice: 0,
};
/// The port of `outside`.
pub const OUTSIDE: u16 = 7780;
pub const KEEPALIVE: Duration = Duration::from_secs(5);
/// Longer than any bsr stalls.
pub const CLOSE_PENDING: Duration = Duration::from_secs(20);
/// From all bsr in one run, before they only trickle.
const MOST_BYTES: u64 = 6 << 20;
/// The least window and BAB that a configuration may ask for.
pub const LEAST: u64 = 64 << 10;

/// Half of the worlds pack.
const COMPRESSIONS: [Compression; 6] = [
    Compression::None,
    Compression::None,
    Compression::None,
    Compression::Lz4,
    Compression::Zstd(1),
    Compression::Auto,
];
