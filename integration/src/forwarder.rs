//! A way between the relays that can be cut.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// Passes TCP connections on to another address, for as long as it lives and the way is open.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    over: AtomicBool,
    closed: AtomicBool,
    /// Bytes that come wait while this is so.
    frozen: Mutex<bool>,
    thawed: Condvar,
    ways: Mutex<HashMap<u64, Arc<Way>>>,
}

/// One connection that is passed on: towards who dialled, towards who is dialled.
#[derive(Debug)]
struct Way {
    dialler: TcpStream,
    target: TcpStream,
    /// Only the dialler is to know that it is cut.
    unnoticed: AtomicBool,
}

impl Forwarder {
    /// Listens at `address`, and passes on to `target`.
    pub fn new(address: SocketAddr, target: SocketAddr) -> Forwarder {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared {
            target,
            over: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            frozen: Mutex::new(false),
            thawed: Condvar::new(),
            ways: Mutex::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared))
        };
        Forwarder { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are passed on.
    pub fn ways(&self) -> usize {
        self.shared.ways.lock().unwrap().len()
    }

    /// Closes every connection that stands, in both directions. New ones are passed on.
    pub fn cut(&self) {
        for (_, way) in self.shared.ways.lock().unwrap().drain() {
            way.close();
        }
    }

    /// Closes every connection towards who dialled it. Who was dialled does not hear of it for as long as
    /// the returned value lives.
    pub fn cut_unnoticed(&self) -> Halves {
        let ways: Vec<_> = self.shared.ways.lock().unwrap().drain().map(|(_, way)| way).collect();
        for way in &ways {
            way.unnoticed.store(true, Ordering::SeqCst);
            let _ = way.dialler.shutdown(Shutdown::Both);
        }
        Halves(ways)
    }

    /// Closes every connection, and those that come are closed at once, until the way is opened.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Passes connections on again.
    pub fn open(&self) {
        self.shared.closed.store(false, Ordering::SeqCst);
    }

    /// Lets nothing through, and closes nothing: a line that has gone silent.
    pub fn freeze(&self) {
        *self.shared.frozen.lock().unwrap() = true;
    }

    /// Lets everything through again.
    pub fn thaw(&self) {
        *self.shared.frozen.lock().unwrap() = false;
        self.shared.thawed.notify_all();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.thaw();
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Connections that only one side knows to be cut. Dropping them tells the other.
#[derive(Debug)]
pub struct Halves(Vec<Arc<Way>>);

impl Drop for Halves {
    fn drop(&mut self) {
        for way in &self.0 {
            way.close();
        }
    }
}

impl Way {
    fn close(&self) {
        // What the other side has closed already cannot be closed again.
        let _ = self.dialler.shutdown(Shutdown::Both);
        let _ = self.target.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let Ok((dialler, _)) = listener.accept() else { return };
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        if shared.closed.load(Ordering::SeqCst) {
            continue;
        }
        // Who cannot be reached behind the forwarder is closed, as if it had been refused.
        let Ok(target) = TcpStream::connect(shared.target) else { continue };
        let _ = (dialler.set_nodelay(true), target.set_nodelay(true));
        let way = Arc::new(Way { dialler, target, unnoticed: AtomicBool::new(false) });
        shared.ways.lock().unwrap().insert(number, Arc::clone(&way));
        for outwards in [true, false] {
            let (shared, way) = (Arc::clone(shared), Arc::clone(&way));
            thread::spawn(move || {
                shared.pass_on(&way, outwards);
                if !way.unnoticed.load(Ordering::SeqCst) {
                    // Neither relay has a use for a connection that is half closed.
                    way.close();
                    shared.ways.lock().unwrap().remove(&number);
                }
            });
        }
    }
}

impl Shared {
    fn pass_on(&self, way: &Way, outwards: bool) {
        let (mut from, mut to) =
            if outwards { (&way.dialler, &way.target) } else { (&way.target, &way.dialler) };
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let frozen = self.frozen.lock().unwrap();
            drop(self.thawed.wait_while(frozen, |frozen| *frozen).unwrap());
            if to.write_all(&piece[..count]).is_err() {
                return;
            }
        }
    }
}
