//! Who is connected to whom, and what went through: every bsr connection of a run, and what must hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use drx_protocol::names::ChannelType;
use tokio::time::Instant;

use super::stream::strange;

/// All connections of both bsr, by number.
#[derive(Default)]
pub struct Books {
    conns: Vec<Conn>,
    /// When something was last done to a resource that may end its connections.
    excuses: BTreeMap<usize, Excuse>,
    scratch: Vec<u8>,
    /// How long the news of a close may travel; the relay pairs connections meanwhile.
    pub lag: Duration,
    /// Endings of which every byte had to arrive, and did.
    pub whole_endings: u64,
}

#[derive(Default)]
struct Excuse {
    /// For every connection.
    any: Option<Instant>,
    /// Broken links that are resumed, from when to when they may be felt: for what was not established at first.
    links: Vec<(Instant, Instant)>,
    /// A goodbye is undisturbed if all of it is later than this.
    quiet_since: Option<Instant>,
}

pub struct Conn {
    pub node: usize,
    pub resource: usize,
    pub kind: ChannelType,
    pub dialled: bool,
    pub born: Instant,
    /// This end, the relay's end.
    pub ends: (SocketAddr, SocketAddr),
    pub written: u64,
    pub read: u64,
    /// First bytes: until there are eight the sender is not known.
    token: Vec<u8>,
    /// The connection at the other site.
    pub peer: Option<usize>,
    /// How this bsr closed it.
    pub closed: Option<(Instant, Close)>,
    /// How it ended for this bsr.
    pub ended: Option<(Instant, End)>,
    /// Nobody waited for it: it may be reset, but not used.
    pub uninvited: bool,
    /// Both ends had bytes.
    established: Option<Instant>,
    /// Everything that was written has to arrive, and before meta ends.
    must_arrive: bool,
    /// A relay was killed under it: it must end.
    pub doomed: bool,
}

/// How a bsr closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN, then it reads to the end.
    Finish,
    /// close(2): FIN, or RST if bytes are unread.
    Drop,
    /// RST.
    Reset,
}

/// How a connection ended, as bsr sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// What a fault may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Any,
    /// Nothing that is established: the link is resumed.
    Unestablished,
}

impl Books {
    pub fn open(&mut self, conn: Conn) -> usize {
        self.conns.push(conn);
        self.conns.len() - 1
    }

    pub fn conn(&self, id: usize) -> &Conn {
        &self.conns[id]
    }

    pub fn conn_mut(&mut self, id: usize) -> &mut Conn {
        &mut self.conns[id]
    }

    pub fn all(&self) -> impl Iterator<Item = (usize, &Conn)> {
        self.conns.iter().enumerate()
    }

    /// The connections of one bsr that stand.
    pub fn standing(&self, node: usize, resource: usize) -> Vec<usize> {
        let stands = |conn: &Conn| conn.ended.is_none() && conn.closed.is_none();
        let meant = |conn: &Conn| conn.node == node && conn.resource == resource && stands(conn);
        self.all().filter(|(_, conn)| meant(conn)).map(|(id, _)| id).collect()
    }

    /// A fault that may end connections of this resource until `until`.
    pub fn excuse(&mut self, resource: usize, harm: Harm, until: Instant) {
        let excuse = self.excuses.entry(resource).or_default();
        match harm {
            Harm::Any => {
                excuse.any = excuse.any.max(Some(until));
                excuse.quiet_since = excuse.quiet_since.max(Some(until));
            }
            Harm::Unestablished => excuse.links.push((Instant::now(), until)),
        }
    }

    /// A relay is killed: what goes through it has no future.
    pub fn doom(&mut self) {
        self.conns.iter_mut().filter(|conn| conn.ended.is_none()).for_each(|conn| conn.doomed = true);
    }

    /// bsr read these bytes.
    pub fn took(&mut self, id: usize, bytes: &[u8]) -> Result<(), String> {
        let mut bytes = bytes;
        if self.conns[id].uninvited {
            return Err(format!("{}: was let in though no acceptor waited, and is used", self.name(id)));
        }
        let missing = 8 - self.conns[id].token.len();
        let (token, rest) = bytes.split_at(missing.min(bytes.len()));
        self.conns[id].token.extend_from_slice(token);
        self.conns[id].read += token.len() as u64;
        bytes = rest;
        if missing > 0
            && let Ok(token) = <[u8; 8]>::try_from(&self.conns[id].token[..])
        {
            self.pair(id, u64::from_be_bytes(token))?;
        }
        let Some(peer) = self.conns[id].peer else { return Ok(()) };
        let offset = self.conns[id].read;
        if let Some(at) = strange(peer as u64, offset, bytes, &mut self.scratch) {
            return Err(format!("{}: byte {at} is not what {} wrote", self.name(id), self.name(peer)));
        }
        self.conns[id].read += bytes.len() as u64;
        if self.conns[id].read > self.conns[peer].written {
            return Err(format!("{}: has more than {} wrote", self.name(id), self.name(peer)));
        }
        Ok(())
    }

    /// A connection has heard from whom it is joined to.
    fn pair(&mut self, id: usize, token: u64) -> Result<(), String> {
        let fault = |what: String| Err(format!("{}: {what}", self.name(id)));
        let peer = usize::try_from(token).unwrap_or(usize::MAX);
        let Some(other) = self.conns.get(peer) else {
            return fault(format!("its first bytes are nobody's: {token:#x}"));
        };
        let this = &self.conns[id];
        if (other.resource, other.kind) != (this.resource, this.kind) || other.node == this.node {
            return fault(format!("is joined to {}", self.name(peer)));
        }
        if other.dialled == this.dialled {
            return fault(format!("both were dialled, or neither: {}", self.name(peer)));
        }
        if other.peer.is_some_and(|peer| peer != id) {
            return fault(format!("is joined to {}, which is joined to another", self.name(peer)));
        }
        if let Some(third) = self.conns.iter().position(|conn| conn.peer == Some(peer)) {
            return fault(format!("{} is joined to {} already", self.name(third), self.name(peer)));
        }
        self.conns[id].peer = Some(peer);
        if self.conns[peer].peer == Some(id) {
            let now = Instant::now();
            self.conns[id].established = Some(now);
            self.conns[peer].established = Some(now);
        }
        Ok(())
    }

    /// bsr is about to close all it has, each with FIN: what data still carries is to arrive.
    pub fn leaving(&mut self, data: usize) {
        let quiet_since = self.excuses.get(&self.conns[data].resource).and_then(|excuse| excuse.quiet_since);
        self.conns[data].must_arrive =
            self.stands_alone(data).is_some_and(|oldest| Some(oldest) > quiet_since);
    }

    /// bsr closes it.
    pub fn closing(&mut self, id: usize, close: Close) {
        if self.conns[id].closed.is_some() {
            return;
        }
        let (now, resource, node) = (Instant::now(), self.conns[id].resource, self.conns[id].node);
        self.conns[id].closed = Some((now, close));
        // Who leaves too has no claim to what was still on its way.
        let others = self.conns.iter_mut().filter(|conn| conn.resource == resource && conn.node != node);
        others.for_each(|conn| conn.must_arrive = false);
        let leaves = |conn: &Conn| conn.must_arrive && conn.node == node && conn.resource == resource;
        let orderly = close == Close::Finish && self.conns.iter().any(leaves);
        let excuse = self.excuses.entry(resource).or_default();
        excuse.any = excuse.any.max(Some(now));
        if !orderly {
            excuse.quiet_since = excuse.quiet_since.max(Some(now));
        }
    }

    /// When the oldest connection of the session of this one began, if data and meta are
    /// established, once each, and nobody has closed either.
    fn stands_alone(&self, id: usize) -> Option<Instant> {
        let conn = &self.conns[id];
        let alive = |conn: &&Conn| conn.ended.is_none() && (conn.closed.is_none());
        let mut oldest = conn.born;
        for node in 0..2 {
            let meant: Vec<&Conn> = self
                .conns
                .iter()
                .enumerate()
                .filter(|(other, c)| {
                    c.resource == conn.resource && c.node == node && (alive(c) || *other == id)
                })
                .map(|(_, conn)| conn)
                .collect();
            if meant.len() != 2 || meant[0].kind == meant[1].kind {
                return None;
            }
            if meant.iter().any(|conn| conn.established.is_none()) {
                return None;
            }
            oldest = meant.iter().map(|conn| conn.born).fold(oldest, Instant::min);
        }
        Some(oldest)
    }

    /// It ended for this bsr.
    pub fn ended(&mut self, id: usize, end: End, arrived: impl Fn(&Conn) -> u64) -> Result<(), String> {
        let now = Instant::now();
        if self.conns[id].ended.is_some() {
            return Ok(());
        }
        self.conns[id].ended = Some((now, end));
        let conn = &self.conns[id];
        if conn.closed.is_some() {
            return Ok(());
        }
        let excuse = self.excuses.get(&conn.resource);
        let excused = excuse.is_some_and(|excuse| {
            // What it made a session with by one relay's sight may not have been established by the other's.
            let of_resource = || self.conns.iter().filter(|other| other.resource == conn.resource);
            let young = excuse.links.iter().any(|(from, until)| {
                *until + self.lag >= conn.born
                    && of_resource().any(|other| {
                        let open = other.born <= *until && other.ended.is_none_or(|(at, _)| at >= *from);
                        open && other.established.is_none_or(|since| since >= *from)
                    })
            });
            excuse.any.is_some_and(|at| at + self.lag >= conn.born) || young
        });
        if conn.established.is_some() && !excused {
            return Err(format!("{}: ended ({end:?}) though nothing happened to it", self.name(id)));
        }
        self.check_goodbye(id, end, arrived)
    }

    /// What an orderly ending flushed arrives whole, before the far meta closes.
    fn check_goodbye(&mut self, id: usize, end: End, arrived: impl Fn(&Conn) -> u64) -> Result<(), String> {
        let conn = &self.conns[id];
        let Some(peer) = conn.peer else { return Ok(()) };
        let data = match conn.kind {
            ChannelType::Data => Some(id).filter(|_| self.conns[peer].must_arrive),
            ChannelType::Meta => self.conns.iter().position(|other| {
                let partner = other.node == conn.node && other.resource == conn.resource;
                let leaves = other.peer.is_some_and(|peer| self.conns[peer].must_arrive);
                partner && leaves && other.kind == ChannelType::Data && other.ended.is_none()
            }),
        };
        let Some(data) = data else { return Ok(()) };
        let quiet = self.excuses.get(&conn.resource).and_then(|excuse| excuse.quiet_since);
        if quiet > Some(self.conns[data].born) || self.conns[data].closed.is_some() {
            return Ok(());
        }
        let written = self.conns[data].peer.map_or(0, |peer| self.conns[peer].written);
        let came = match conn.kind {
            ChannelType::Data => conn.read,
            ChannelType::Meta => arrived(&self.conns[data]),
        };
        if came != written || (conn.kind == ChannelType::Data && end == End::Reset) {
            let peer = self.conns[data].peer.unwrap_or_default();
            return Err(format!(
                "{}: ended ({end:?}) with {came} bytes of the {written} that {} had written before it left",
                self.name(id),
                self.name(peer),
            ));
        }
        self.whole_endings += 1;
        Ok(())
    }

    /// Every connection that has not ended, and how far it is.
    pub fn lines(&self) -> Vec<String> {
        let open = self.all().filter(|(_, conn)| conn.ended.is_none());
        open.map(|(id, conn)| {
            let Conn { written, read, peer, closed, .. } = conn;
            format!(
                "bsr  {}: written {written}, read {read}, peer {peer:?}, closed {closed:?}",
                self.name(id)
            )
        })
        .collect()
    }

    pub fn name(&self, id: usize) -> String {
        let conn = &self.conns[id];
        let (node, kind) = (conn.node + 1, conn.kind);
        let how = if conn.dialled { "dialled" } else { "accepted" };
        format!("#{id} r{} node{node} {kind} {how}", conn.resource)
    }
}

impl Conn {
    pub fn new(
        node: usize,
        resource: usize,
        kind: ChannelType,
        dialled: bool,
        ends: (SocketAddr, SocketAddr),
    ) -> Conn {
        Conn {
            node,
            resource,
            kind,
            dialled,
            born: Instant::now(),
            ends,
            written: 0,
            read: 0,
            token: Vec::new(),
            peer: None,
            closed: None,
            ended: None,
            uninvited: false,
            established: None,
            must_arrive: false,
            doomed: false,
        }
    }
}
