//! Two relays that face each other, and the bsr of each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::{ChannelReport, RelayReport, ResourceReport};
use drx_protocol::{Standing, State};

use crate::block::Block;
use crate::bsr::{Bsr, stands};
use crate::forwarder::Forwarder;
use crate::process::Process;
use crate::wait::{LIMIT, until_ok};

/// A relay that can be asked how it stands.
pub trait Node {
    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    fn report(&self) -> Result<RelayReport, String>;
}

/// What a relay is told of its resource.
#[derive(Clone, Debug)]
pub struct Places {
    /// Its own name.
    pub node: String,
    /// The resource's.
    pub resource: String,
    /// The other relay's.
    pub remote: String,
    /// Where bsr listens.
    pub bsr: SocketAddr,
    /// Where bsr connects.
    pub inside: SocketAddr,
    /// Where the other relay connects.
    pub outside: SocketAddr,
    /// Where it dials the other relay.
    pub peer: SocketAddr,
}

/// A relay and its bsr.
#[derive(Debug)]
pub struct Site<N> {
    /// The relay.
    pub node: N,
    /// What it was told.
    pub places: Places,
    /// Its bsr.
    pub bsr: Bsr,
}

/// Two sites, `node1` and `node2`, joined by ways that can be cut.
#[derive(Debug)]
pub struct Pair<N> {
    /// `node1`.
    pub one: Site<N>,
    /// `node2`.
    pub two: Site<N>,
    /// The way by which `node1` dials `node2`.
    pub way_to_two: Forwarder,
    /// The way by which `node2` dials `node1`.
    pub way_to_one: Forwarder,
    /// Their addresses.
    pub block: Block,
}

impl Pair<Process> {
    /// Two processes, both with these settings, that have found each other.
    #[track_caller]
    pub fn of_processes(settings: &[&str]) -> Pair<Process> {
        let pair = Pair::new(|places| Process::start_new(places, settings));
        pair.until_quiet();
        pair
    }
}

impl<N: Node> Pair<N> {
    /// Two sites whose relays `start` starts.
    pub fn new(mut start: impl FnMut(&Places) -> N) -> Pair<N> {
        let block = Block::take();
        let [one, two] = places(&block);
        let way_to_two = Forwarder::new(block.address(31, 7780), two.outside);
        let way_to_one = Forwarder::new(block.address(32, 7780), one.outside);
        let mut site = |places: Places, way: &Forwarder| {
            let places = Places { peer: way.address(), ..places };
            Site { node: start(&places), bsr: Bsr::new(places.bsr, places.inside), places }
        };
        Pair { one: site(one, &way_to_two), two: site(two, &way_to_one), way_to_two, way_to_one, block }
    }

    /// Waits until both acceptors of lane 0 wait for bsr, and both connectors for an offer, with lane 1
    /// linked, too: nothing is going on.
    #[track_caller]
    pub fn until_quiet(&self) {
        for site in [&self.one, &self.two] {
            site.until_quiet();
        }
    }

    /// A whole session, opened in this way.
    #[track_caller]
    pub fn establish(&self, opening: Opening) -> Session {
        let [data, meta] = self.openers(opening).map(|(opener, taker, channel_type)| {
            let ends = join(opener, taker, channel_type);
            (ends, opener.places.node == self.one.places.node)
        });
        self.until_session(true);
        let session = Session { data: in_order(data), meta: in_order(meta) };
        session.check();
        session
    }

    /// The same while the relays may still be busy with what ended before: as the real ones do, both bsr
    /// begin again whenever a connection ends that they had just opened. Not a byte is sent.
    #[track_caller]
    pub fn establish_again(&self, opening: Opening, limit: Duration) -> Session {
        let began = Instant::now();
        until_ok(limit, || {
            let mut joined = Vec::new();
            for (opener, taker, channel_type) in self.openers(opening) {
                let ends = try_join(opener, taker, channel_type, limit.saturating_sub(began.elapsed()))?;
                joined.push((ends, opener.places.node == self.one.places.node));
            }
            let [data, meta] = <[_; 2]>::try_from(joined).expect("data and meta");
            let session = Session { data: in_order(data), meta: in_order(meta) };
            until_ok(limit, || {
                if !session.ends().into_iter().all(stands) {
                    return Ok(Err("a connection ended before the session stood".to_owned()));
                }
                let whole = self.one.resource()?.session && self.two.resource()?.session;
                whole.then_some(Ok(())).ok_or_else(|| "no session stands".to_owned())
            })?;
            Ok(session)
        })
    }

    /// The first site (0) or the second.
    pub fn site(&self, number: usize) -> &Site<N> {
        if number == 0 { &self.one } else { &self.two }
    }

    /// The same, to be changed.
    pub fn site_mut(&mut self, number: usize) -> &mut Site<N> {
        if number == 0 { &mut self.one } else { &mut self.two }
    }

    /// Who opens, who takes: data, then meta.
    fn openers(&self, opening: Opening) -> [(&Site<N>, &Site<N>, ChannelType); 2] {
        let by = |by_one: bool, channel_type| match by_one {
            true => (&self.one, &self.two, channel_type),
            false => (&self.two, &self.one, channel_type),
        };
        [by(opening.data_by_one(), ChannelType::Data), by(opening.meta_by_one(), ChannelType::Meta)]
    }

    /// Waits until both relays say that a whole session stands, or that none does.
    #[track_caller]
    pub fn until_session(&self, whole: bool) {
        self.one.until_session(whole);
        self.two.until_session(whole);
    }
}

/// A connection that the bsr of `opener` opens: its end there, and its end at the other bsr.
#[track_caller]
pub fn join<N: Node>(opener: &Site<N>, taker: &Site<N>, channel_type: ChannelType) -> [TcpStream; 2] {
    let opened = opener.bsr.open(channel_type);
    let (taken_type, taken) = taker.bsr.take();
    assert_eq!(taken_type, channel_type, "the other bsr is told what was opened");
    [opened, taken]
}

/// The same, unless the connection ends before it is taken.
fn try_join<N: Node>(
    opener: &Site<N>,
    taker: &Site<N>,
    channel_type: ChannelType,
    limit: Duration,
) -> Result<[TcpStream; 2], String> {
    let opened = opener.bsr.open(channel_type);
    until_ok(limit, || {
        if !stands(&opened) {
            return Ok(Err(format!("{channel_type} ended before the other bsr took it")));
        }
        match taker.bsr.try_take() {
            // What is left of one that was opened before is not waited for.
            Some((taken_type, taken)) if taken_type == channel_type => Ok(Ok(taken)),
            _ => Err(format!("{channel_type} is not passed on")),
        }
    })
    .map(|taken| [opened, taken])
}

/// The ends at `node1` and at `node2`, of those at who opened and at who took.
fn in_order(([opener, taker], by_one): ([TcpStream; 2], bool)) -> [TcpStream; 2] {
    if by_one { [opener, taker] } else { [taker, opener] }
}

/// Which bsr opens what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// As BSR does it: the higher node opens data, the lower one meta.
    DataByTwo,
    /// The same, crossed.
    DataByOne,
    /// As DRBD 8.4 does it: one node opens both, data first.
    BothByOne,
    /// The same by the other node.
    BothByTwo,
}

impl Opening {
    /// Every way.
    pub const ALL: [Opening; 4] =
        [Opening::DataByTwo, Opening::DataByOne, Opening::BothByOne, Opening::BothByTwo];

    /// Whether the bsr at `node1` opens data.
    pub fn data_by_one(self) -> bool {
        matches!(self, Opening::DataByOne | Opening::BothByOne)
    }

    /// Whether the bsr at `node1` opens meta.
    pub fn meta_by_one(self) -> bool {
        matches!(self, Opening::DataByTwo | Opening::BothByOne)
    }
}

/// Both bsr's ends of a session: at `node1`, at `node2`.
#[derive(Debug)]
pub struct Session {
    /// The data connection.
    pub data: [TcpStream; 2],
    /// The meta connection.
    pub meta: [TcpStream; 2],
}

impl Session {
    /// Sends some bytes each way on both connections, and sees them arrive.
    #[track_caller]
    pub fn check(&self) {
        check_both_ways(&self.data);
        check_both_ways(&self.meta);
    }

    /// All four ends.
    pub fn ends(&self) -> [&TcpStream; 4] {
        let [data_one, data_two] = &self.data;
        let [meta_one, meta_two] = &self.meta;
        [data_one, data_two, meta_one, meta_two]
    }
}

/// Sends some bytes each way on a connection, and sees them arrive.
#[track_caller]
pub fn check_both_ways([one, two]: &[TcpStream; 2]) {
    for (mut from, mut to, word) in [(one, two, b"from one"), (two, one, b"from two")] {
        let mut came = [0; 8];
        from.write_all(word).expect("an established connection takes bytes");
        to.read_exact(&mut came).expect("bytes arrive");
        assert_eq!(&came, word);
    }
}

impl<N: Node> Site<N> {
    /// How the resource stands.
    ///
    /// # Errors
    /// The relay does not answer.
    pub fn resource(&self) -> Result<ResourceReport, String> {
        let mut report = self.node.report()?;
        match report.resources.len() {
            1 => Ok(report.resources.remove(0)),
            other => Err(format!("{} reports {other} resources", self.places.node)),
        }
    }

    /// How a channel stands.
    ///
    /// # Errors
    /// The relay does not answer.
    pub fn channel(&self, role: Role, lane: Lane) -> Result<ChannelReport, String> {
        let found = self.resource()?.channels.into_iter().find(|c| c.role == role && c.lane == lane);
        found.ok_or_else(|| format!("{} reports no {role} {lane}", self.places.node))
    }

    /// Waits until a channel is in this state.
    #[track_caller]
    pub fn until(&self, role: Role, lane: Lane, state: State) -> ChannelReport {
        self.until_standing(role, lane, Standing::In(state))
    }

    /// Waits until a channel stands so.
    #[track_caller]
    pub fn until_standing(&self, role: Role, lane: Lane, standing: Standing) -> ChannelReport {
        until_ok(LIMIT, || {
            let channel = self.channel(role, lane)?;
            let is = channel.standing;
            let ok = is == standing;
            ok.then_some(channel)
                .ok_or_else(|| format!("{}: {role} {lane} is {is}, not {standing}", self.places.node))
        })
    }

    /// Waits until the relay says that a whole session stands, or that none does.
    #[track_caller]
    pub fn until_session(&self, whole: bool) {
        self.until_session_within(whole, LIMIT);
    }

    /// The same with another bound.
    #[track_caller]
    pub fn until_session_within(&self, whole: bool, limit: Duration) {
        until_ok(limit, || {
            let resource = self.resource()?;
            (resource.session == whole).then_some(()).ok_or_else(|| {
                format!("{}: session is {}, {}", self.places.node, resource.session, standings(&resource))
            })
        });
    }

    /// Waits until every channel has its link and no bsr.
    #[track_caller]
    pub fn until_quiet(&self) {
        until_ok(LIMIT, || {
            let resource = self.resource()?;
            let quiet = resource.channels.iter().all(|channel| {
                let state = match channel.role {
                    Role::Acceptor => State::Waiting,
                    Role::Connector => State::Connecting,
                };
                channel.standing == Standing::In(state) && !channel.in_use
            });
            quiet
                .then_some(())
                .ok_or_else(|| format!("{}: not quiet, {}", self.places.node, standings(&resource)))
        });
    }
}

fn standings(resource: &ResourceReport) -> String {
    let standing = |c: &ChannelReport| format!("{} {} {}", c.role, c.lane, c.standing);
    let all: Vec<_> = resource.channels.iter().map(standing).collect();
    format!("{} (trouble: {})", all.join(", "), resource.trouble.join("; "))
}

/// What the two relays are told, with nothing between them.
pub fn places(block: &Block) -> [Places; 2] {
    let outside = |n| block.address(20 + n, 7780);
    let site = |n: u8, other: u8| Places {
        node: format!("node{n}"),
        resource: "r0".to_owned(),
        remote: format!("node{other}"),
        bsr: block.address(10 + n, 7789),
        inside: block.address(n, 7788),
        outside: outside(n),
        peer: outside(other),
    };
    [site(1, 2), site(2, 1)]
}
