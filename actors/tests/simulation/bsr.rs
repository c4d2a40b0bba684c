//! One site's bsr for one resource: it connects, is connected to, carries bytes, stalls, leaves, comes back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use drx_actors::net::{Net, SocketOptions, Stream};
use drx_protocol::first_packet;
use drx_protocol::names::ChannelType::{self, Data, Meta};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::books::{Close, Conn, End};
use super::stream::fill;
use super::world::World;

/// What a bsr is told to do by the storm.
pub struct Bsr {
    pub node: usize,
    pub resource: usize,
    /// Which types it dials.
    pub dials: Cell<(bool, bool)>,
    /// Nobody at home: refuses, and dials not.
    away: Cell<bool>,
    /// Neither reads nor writes until then.
    pub stalled_until: Cell<Instant>,
    /// Only writes.
    pub deaf_until: Cell<Instant>,
    orders: RefCell<Vec<(usize, Close)>>,
    pub changed: Notify,
    rng: RefCell<Rng>,
}

impl Bsr {
    pub fn new(node: usize, resource: usize, seed: u64) -> Bsr {
        let now = Instant::now();
        Bsr {
            node,
            resource,
            dials: Cell::new((false, false)),
            away: Cell::new(false),
            stalled_until: Cell::new(now),
            deaf_until: Cell::new(now),
            orders: RefCell::default(),
            changed: Notify::new(),
            rng: RefCell::new(Rng::with_seed(seed)),
        }
    }

    /// Begins, for the whole run.
    pub fn start(self: &Rc<Self>, world: &Rc<World>) {
        actix_rt::spawn(Rc::clone(self).listen(Rc::clone(world)));
        actix_rt::spawn(Rc::clone(self).dial(Rc::clone(world), Data));
        actix_rt::spawn(Rc::clone(self).dial(Rc::clone(world), Meta));
        actix_rt::spawn(Rc::clone(self).look_after(Rc::clone(world)));
    }

    pub fn order(&self, id: usize, close: Close) {
        self.orders.borrow_mut().push((id, close));
        self.changed.notify_waiters();
    }

    /// Leaves, and comes back after so long.
    pub async fn leave(self: Rc<Self>, world: Rc<World>, away: Duration, most_between: u64) {
        let mut ids = world.books.borrow().standing(self.node, self.resource);
        let (backwards, close, stay) = {
            let mut rng = self.rng.borrow_mut();
            let close = [Close::Finish, Close::Finish, Close::Finish, Close::Drop, Close::Reset];
            (rng.bool(), close[rng.usize(..close.len())], rng.bool())
        };
        if backwards {
            ids.reverse();
        }
        if close == Close::Finish {
            let mut books = world.books.borrow_mut();
            let data = ids.iter().copied().find(|id| books.conn(*id).kind == Data);
            data.into_iter().for_each(|data| books.leaving(data));
        }
        self.away.set(!stay);
        self.changed.notify_waiters();
        for id in ids {
            self.order(id, close);
            let between = self.rng.borrow_mut().u64(..=most_between);
            sleep(Duration::from_millis(between)).await;
        }
        sleep(away).await;
        self.away.set(false);
        self.changed.notify_waiters();
    }

    /// What a real one does: the loss of one ends both, and half of a session is not waited for without end.
    async fn look_after(self: Rc<Self>, world: Rc<World>) {
        let mut half_since: Option<Instant> = None;
        let mut known = Vec::new();
        loop {
            let pause = self.rng.borrow_mut().u64(5..40);
            sleep(Duration::from_millis(pause)).await;
            let standing = world.books.borrow().standing(self.node, self.resource);
            let has = |kind| {
                let books = world.books.borrow();
                standing.iter().any(|id| books.conn(*id).kind == kind)
            };
            let whole = has(Data) && has(Meta);
            let lost_one = known.iter().any(|id| {
                let books = world.books.borrow();
                let lost = books.conn(*id).ended.is_some();
                lost && !standing.iter().any(|other| books.conn(*other).kind == books.conn(*id).kind)
            });
            if whole || standing.is_empty() {
                half_since = None;
            } else if half_since.is_none() {
                half_since = Some(Instant::now());
            }
            // Duplicates: the older one goes.
            for kind in [Data, Meta] {
                let of_kind: Vec<usize> = {
                    let books = world.books.borrow();
                    standing.iter().copied().filter(|id| books.conn(*id).kind == kind).collect()
                };
                if of_kind.len() > 1 && self.rng.borrow_mut().u8(..10) == 0 {
                    self.order(of_kind[0], Close::Drop);
                }
            }
            let tired = half_since.is_some_and(|since| since.elapsed() > HALF_A_SESSION);
            if lost_one || tired {
                half_since = None;
                let close = if self.rng.borrow_mut().bool() { Close::Finish } else { Close::Drop };
                standing.iter().for_each(|id| self.order(*id, close));
                known.clear();
            } else {
                known = standing;
            }
        }
    }

    async fn listen(self: Rc<Self>, world: Rc<World>) {
        let at = world.settings(self.node, self.resource).bsr;
        loop {
            while self.away.get() {
                self.changed.notified().await;
            }
            let Ok(mut listener) = world.net.listen(at, 8, &SocketOptions::local()).await else {
                return world.trace.fail(format!("bsr cannot listen at {at}"));
            };
            loop {
                let accepted = tokio::select! { biased;
                    () = self.changed.notified() => None,
                    accepted = listener.accept() => accepted.ok(),
                };
                if let Some((stream, _)) = accepted {
                    actix_rt::spawn(Rc::clone(&self).take(Rc::clone(&world), stream));
                }
                if self.away.get() {
                    break;
                }
            }
        }
    }

    /// The relay has dialled this bsr.
    async fn take(self: Rc<Self>, world: Rc<World>, mut stream: Box<dyn Stream>) {
        sleep_until(self.stalled_until.get()).await;
        let mut packet = [0; 8];
        let read = timeout(FIRST_PACKET, stream.read_exact(&mut packet)).await;
        let kind = match read {
            Ok(Ok(_)) => first_packet::parse(packet),
            // It was cut, or its channel ended.
            Ok(Err(_)) => return,
            Err(_) => {
                let stuck = format!("node{}: no first packet from the relay", self.node + 1);
                return world.trace.fail(stuck);
            }
        };
        match kind {
            Ok(kind) => self.carry(world, stream, kind, false, false).await,
            Err(strange) => world.trace.fail(format!("the relay's first packet: {strange}")),
        }
    }

    async fn dial(self: Rc<Self>, world: Rc<World>, kind: ChannelType) {
        let (inside, bsr) = {
            let settings = world.settings(self.node, self.resource);
            (settings.inside, settings.bsr)
        };
        loop {
            let pause = self.rng.borrow_mut().u64(1..300);
            sleep(Duration::from_millis(pause)).await;
            let (data, meta) = self.dials.get();
            let wanted = if kind == Data { data } else { meta };
            let crossing = world.crossing(self.resource);
            let has = {
                let books = world.books.borrow();
                let standing = books.standing(self.node, self.resource);
                standing.iter().any(|id| {
                    let conn = books.conn(*id);
                    conn.kind == kind && (conn.dialled || !crossing)
                })
            };
            if !wanted || has || self.away.get() || self.stalled_until.get() > Instant::now() {
                continue;
            }
            let dial = world.net.connect(inside, Some(bsr.ip()), &SocketOptions::local());
            let Ok(Ok(mut stream)) = timeout(Duration::from_secs(1), dial).await else { continue };
            // Asked at the very moment it is let in.
            let invited = world.waits(self.node, self.resource);
            if stream.write_all(&first_packet::bytes(kind)).await.is_err() {
                continue; // reset before its first byte
            }
            Rc::clone(&self).carry(Rc::clone(&world), stream, kind, true, !invited).await;
        }
    }

    /// One connection, from its first packet to its end.
    async fn carry(
        self: Rc<Self>,
        world: Rc<World>,
        stream: Box<dyn Stream>,
        kind: ChannelType,
        dialled: bool,
        uninvited: bool,
    ) {
        let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) else { return };
        let mut conn = Conn::new(self.node, self.resource, kind, dialled, (here, there));
        conn.uninvited = uninvited;
        let id = world.books.borrow_mut().open(conn);
        world.trace.say(format!("bsr  {} opens{}", world.books.borrow().name(id), said(uninvited)));
        let end = self.exchange(&world, stream, id).await;
        world.trace.say(format!("bsr  {} ends: {end:?}", world.books.borrow().name(id)));
        let arrived = |conn: &Conn| world.arrived(conn);
        let checked = world.books.borrow_mut().ended(id, end, arrived);
        if let Err(problem) = checked {
            world.trace.fail(problem);
        }
    }

    async fn exchange(&self, world: &World, stream: Box<dyn Stream>, id: usize) -> End {
        let mut rng = self.rng.borrow_mut().fork();
        let ways = world.plan.traffic;
        let born = Instant::now();
        let (mut reader, mut writer) = split(stream);
        let (mut piece, mut came) = (vec![0; ways.piece], vec![0; ways.piece]);
        let (mut next_write, mut next_read) = (born, born);
        let (mut finished, mut drain_until) = (false, None);
        loop {
            let order = {
                let mut orders = self.orders.borrow_mut();
                orders.iter().position(|(meant, _)| *meant == id).map(|index| orders.remove(index).1)
            };
            if let Some(close) = order {
                world.trace.say(format!("bsr  {} closes: {close:?}", world.books.borrow().name(id)));
                world.books.borrow_mut().closing(id, close);
                match close {
                    Close::Finish => {
                        finished = true;
                        drain_until = Some(Instant::now() + DRAIN);
                        let _ = writer.shutdown().await; // it may be reset already
                    }
                    Close::Reset => {
                        reader.unsplit(writer).abort();
                        return End::Reset;
                    }
                    Close::Drop => return End::Finished,
                }
            }
            // One that reads sees the reset.
            let reads =
                self.stalled_until.get().max(self.deaf_until.get()) + Duration::from_secs(1) < Instant::now();
            if world.books.borrow().conn(id).uninvited && born.elapsed() > Duration::from_secs(1) && reads {
                world.trace.fail(format!("{}: let in while nobody waited", world.books.borrow().name(id)));
            }
            let (stalled, deaf) = (self.stalled_until.get(), self.deaf_until.get());
            let written = world.books.borrow().conn(id).written;
            let count = (rng.usize(1..=ways.piece)).min(1 << rng.u32(..18));
            fill(id as u64, written, &mut piece[..count]);
            let most = rng.usize(1..=ways.piece);
            let silent = finished || world.silent.get();
            tokio::select! { biased;
                () = self.changed.notified() => {}
                () = sleep_until(drain_until.unwrap_or(born)), if drain_until.is_some() => return End::Finished,
                read = async {
                    sleep_until(stalled.max(deaf).max(next_read)).await;
                    reader.read(&mut came[..most]).await
                } => match read {
                    Ok(0) => return End::Finished,
                    Ok(count) => {
                        if ways.saturates && !world.silent.get() {
                            next_read = Instant::now() + Duration::from_millis(1);
                        }
                        let took = world.books.borrow_mut().took(id, &came[..count]);
                        if let Err(problem) = took {
                            world.trace.fail(problem);
                        }
                    }
                    Err(_) => return End::Reset,
                },
                wrote = async {
                    sleep_until(next_write.max(stalled)).await;
                    writer.write(&piece[..count]).await
                }, if !silent => match wrote {
                    Ok(count) => {
                        world.books.borrow_mut().conn_mut(id).written += count as u64;
                        next_write = Instant::now() + world.pause(&mut rng, count);
                    }
                    Err(_) => finished = true, // reading tells how it ends
                },
            }
        }
    }
}

fn said(uninvited: bool) -> &'static str {
    if uninvited { ", and nobody waited for it" } else { "" }
}

/// Half of a session is given up after this.
const HALF_A_SESSION: Duration = Duration::from_secs(6);
/// A relay that has dialled says what for at once.
const FIRST_PACKET: Duration = Duration::from_secs(2);
/// How long a bsr that has said FIN reads on.
const DRAIN: Duration = Duration::from_secs(10);
