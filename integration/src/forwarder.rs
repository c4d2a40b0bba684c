//! A way between the relays that can be cut, blocked and made long.

use std::collections::HashMap;
use std::future;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::wait::{LIMIT, until_ok};

/// Passes TCP connections on to another address, for as long as it lives and the way is open.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    /// How new connections fare.
    line: watch::Sender<Line>,
    ways: Mutex<HashMap<usize, watch::Sender<Orders>>>,
    numbers: AtomicUsize,
}

/// How a line fares.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Who comes is closed at once.
    closed: bool,
    hole: Hole,
    /// From one end to the other.
    delay: Duration,
}

/// What becomes of one connection that is passed on.
#[derive(Clone, Copy, Debug)]
struct Orders {
    line: Line,
    /// Its end, towards each side.
    end: Option<[End; 2]>,
}

impl Orders {
    fn end_towards(&self, side: Side) -> Option<End> {
        self.end.map(|ends| ends[side as usize])
    }
}

/// A side of a connection that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Dialler = 0,
    /// Who was dialled.
    Target = 1,
}

/// How one side of a connection hears that it was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An orderly end: FIN.
    Finish,
    /// A reset: RST.
    Reset,
    /// Nothing, and nothing comes any more.
    Silence,
}

/// Where nothing gets through, and nothing is closed: what goes in comes out when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// Towards this side; [`Side`] is the index.
    pub towards: [bool; 2],
    /// New connections wait, too; else the hole is in those that stand.
    pub new: bool,
}

impl Hole {
    /// Nothing passes.
    pub const WHOLE: Hole = Hole { towards: [true; 2], new: true };
}

impl Forwarder {
    /// Listens at `address`, and passes on to `target`.
    pub fn new(address: SocketAddr, target: SocketAddr) -> Forwarder {
        // A process that another test begins may have the socket that found the port free, until it runs its own program.
        let listener = until_ok(LIMIT, || TcpListener::bind(address).map_err(|error| error.to_string()));
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            target,
            line: watch::Sender::default(),
            ways: Mutex::default(),
            numbers: AtomicUsize::new(0),
        });
        let (over, ended) = oneshot::channel();
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    tokio::select! {
                        _ = ended => {}
                        () = accept(listener, shared) => {}
                    }
                });
            })
        };
        Forwarder { address, shared, over: Some(over), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are passed on.
    pub fn ways(&self) -> usize {
        self.shared.ways.lock().unwrap().len()
    }

    /// Connections that were passed on so far.
    pub fn dials(&self) -> usize {
        self.shared.numbers.load(Ordering::Relaxed)
    }

    /// Ends every connection that stands, towards both sides. New ones are passed on.
    pub fn cut(&self, end: End) {
        drop(self.cut_towards([end; 2]));
    }

    /// The same with an end for each side; [`Side`] is the index. A side that is left in silence hears of
    /// it when the returned value is dropped.
    pub fn cut_towards(&self, ends: [End; 2]) -> Halves {
        let ways: Vec<_> = self.shared.ways.lock().unwrap().drain().map(|(_, way)| way).collect();
        for way in &ways {
            way.send_modify(|orders| orders.end = Some(ends));
        }
        Halves(ways)
    }

    /// Closes every connection, and those that come are closed at once, until the way is opened.
    pub fn close(&self) {
        self.shared.line.send_modify(|line| line.closed = true);
        self.cut(End::Finish);
    }

    /// Passes connections on again.
    pub fn open(&self) {
        self.shared.line.send_modify(|line| line.closed = false);
    }

    /// A line that has gone silent.
    pub fn block(&self, hole: Hole) {
        for way in self.shared.ways.lock().unwrap().values() {
            way.send_modify(|orders| orders.line.hole = hole);
        }
        let of_new = if hole.new { hole } else { Hole::default() };
        self.shared.line.send_modify(|line| line.hole = of_new);
    }

    /// Lets everything through again.
    pub fn unblock(&self) {
        self.block(Hole::default());
    }

    /// Makes the line so long, from one end to the other, for connections from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.line.send_modify(|line| line.delay = delay);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Connections that one side may not know to be cut. Dropping them tells it.
#[derive(Debug)]
pub struct Halves(Vec<watch::Sender<Orders>>);

impl Drop for Halves {
    fn drop(&mut self) {
        for way in &self.0 {
            way.send_modify(|orders| {
                if let Some(ends) = &mut orders.end {
                    ends.iter_mut().filter(|end| **end == End::Silence).for_each(|end| *end = End::Finish);
                }
            });
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((dialler, _)) = listener.accept().await else { return };
        if !shared.line.borrow().closed {
            tokio::spawn(pass_on(dialler, Arc::clone(&shared)));
        }
    }
}

/// One connection, from its beginning to its end.
async fn pass_on(mut dialler: TcpStream, shared: Arc<Shared>) {
    let open = |line: &Line| !line.hole.new;
    // The sender lives as long as `shared`.
    let Ok(line) = shared.line.subscribe().wait_for(open).await.map(|line| *line) else { return };
    // Who cannot be reached behind the forwarder is closed, as if it had been refused.
    let Ok(mut target) = TcpStream::connect(shared.target).await else { return };
    let _ = (dialler.set_nodelay(true), target.set_nodelay(true));
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let (way, orders) = watch::channel(Orders { line, end: None });
    shared.ways.lock().unwrap().insert(number, way);
    let cut = {
        let (from_dialler, to_dialler) = dialler.split();
        let (from_target, to_target) = target.split();
        let mut cut = orders.clone();
        tokio::select! {
            // What was under way when it was cut is lost.
            biased;
            Ok(_) = cut.wait_for(|orders| orders.end.is_some()) => true,
            () = one_way(from_dialler, to_target, Side::Target, orders.clone()) => false,
            () = one_way(from_target, to_dialler, Side::Dialler, orders.clone()) => false,
        }
    };
    shared.ways.lock().unwrap().remove(&number);
    if !cut {
        // Neither relay has a use for a connection that is half closed.
        let _ = tokio::join!(dialler.shutdown(), target.shutdown());
        return;
    }
    tokio::join!(end(dialler, Side::Dialler, orders.clone()), end(target, Side::Target, orders));
}

/// Bytes towards one side, until the other one ends.
async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    towards: Side,
    mut orders: watch::Receiver<Orders>,
) {
    let delay = orders.borrow().line.delay;
    // What is under way on a long line is held here; on a short one a little.
    let (enter, mut under_way) = mpsc::channel(if delay.is_zero() { 1 } else { LONG });
    let reading = async move {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            match from.read_buf(&mut piece).await {
                Ok(1..) if enter.send((Instant::now() + delay, piece)).await.is_ok() => {}
                _ => return, // and with it `enter`
            }
        }
    };
    let writing = async {
        while let Some((due, piece)) = under_way.recv().await {
            if !delay.is_zero() {
                sleep_until(due).await;
            }
            passes(&mut orders, towards).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The end, too, takes its time, and does not get through a hole.
        if !delay.is_zero() {
            sleep_until(Instant::now() + delay).await;
        }
        passes(&mut orders, towards).await;
    };
    tokio::pin!(reading);
    tokio::pin!(writing);
    tokio::select! {
        () = &mut reading => writing.await,
        () = &mut writing => {}
    }
}

async fn passes(orders: &mut watch::Receiver<Orders>, towards: Side) {
    if orders.wait_for(|orders| !orders.line.hole.towards[towards as usize]).await.is_err() {
        // Nobody gives orders any more: it was cut, or everything ends.
        future::pending().await
    }
}

/// Ends a connection towards one side as it was ordered.
async fn end(mut stream: TcpStream, side: Side, mut orders: watch::Receiver<Orders>) {
    let heard = |orders: &Orders| orders.end_towards(side).is_some_and(|end| end != End::Silence);
    let how = orders.wait_for(heard).await.ok().and_then(|orders| orders.end_towards(side));
    match how {
        Some(End::Reset) => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        _ => {
            // Closed with bytes unread it would be reset; so they are read until the other side has closed.
            let _ = stream.shutdown().await;
            let drain = async { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} };
            let _ = timeout(DRAINED, drain).await;
        }
    }
}

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;
/// Pieces on a long line: 64 MiB.
const LONG: usize = 1024;
/// A relay closes at once what the other side has closed.
const DRAINED: Duration = Duration::from_secs(5);
