//! One cut of the links, in one of the ways in which a line can fail.

use std::fmt::{self, Display};
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::forwarder::{End, Forwarder, Halves, Hole, Side};
use drx_integration::pair::Pair;
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::names::ChannelType;
use drx_protocol::{Standing, State};
use fastrand::Rng;

use crate::channels::Channels;
use crate::flows::{Flows, Pauses};

/// How a line fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Reset,
    Finish,
    /// So many resets in a row, at any moment of a resume.
    Flapping {
        times: u32,
    },
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
            Kind::Flapping { .. } => f.pad("RST, two to five in a row"),
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
pub(crate) enum Lanes {
    Data,
    Meta,
    Both,
}

impl Lanes {
    pub(crate) fn any(chance: &mut Rng) -> Lanes {
        [Lanes::Data, Lanes::Data, Lanes::Both, Lanes::Meta][chance.usize(..4)]
    }

    /// bsr at site two opened data, so site one dials for it.
    pub(crate) fn ways(self, pair: &Pair<Process>) -> Vec<&Forwarder> {
        match self {
            Lanes::Data => vec![&pair.way_to_two],
            Lanes::Meta => vec![&pair.way_to_one],
            Lanes::Both => vec![&pair.way_to_two, &pair.way_to_one],
        }
    }

    pub(crate) fn strike(self, channel_type: ChannelType) -> bool {
        match channel_type {
            ChannelType::Data => self != Lanes::Meta,
            ChannelType::Meta => self != Lanes::Data,
        }
    }
}

/// One cut.
pub(crate) struct Cut {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) lanes: Lanes,
}

impl Cut {
    /// Cuts, and waits until everything goes on; how long bsr stood still is added to the pauses.
    pub(crate) fn happen(&self, pair: &Pair<Process>, flows: &Flows, chance: &mut Rng, pauses: &mut Pauses) {
        let before = Channels::of(pair);
        let struck = flows.struck(self.lanes);
        struck.iter().for_each(|gauge| gauge.restart());
        let began = Instant::now();
        let ways = self.lanes.ways(pair);
        let mut halves: Vec<Halves> = Vec::new();
        for way in &ways {
            match self.kind {
                Kind::Reset | Kind::Flapping { .. } => way.cut(End::Reset),
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
            Kind::Flapping { times } => {
                for _ in 1..times {
                    thread::sleep(FLAP.mul_f64(chance.f64()));
                    ways.iter().for_each(|way| way.cut(End::Reset));
                }
                true
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
        if noticed && !matches!(self.kind, Kind::Flapping { .. }) {
            before.resumed_once(&Channels::of(pair), self.lanes);
        }
        let pause = struck.iter().map(|gauge| gauge.longest()).max().unwrap_or_default();
        if std::env::var_os("DRX_VERBOSE").is_some() {
            println!("{self}: stood still for {pause:.1?}, whole again after {:.1?}", began.elapsed());
        }
        pauses.add(&self.kind, pause);
    }

    /// Both channels are established, on links that both relays know; on new ones if that must be.
    pub(crate) fn until_whole(&self, pair: &Pair<Process>, before: &Channels, noticed: bool) {
        until_ok(LIMIT, || {
            let now = Channels::of(pair);
            for (channel, before) in now.iter().zip(before.iter()) {
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

/// Between two cuts in a row, at most.
const FLAP: Duration = Duration::from_millis(5);
