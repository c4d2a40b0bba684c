//! An application that writes without end, and reads a little: bursts of any size, with many requests under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;

use super::content::{SECTOR, fill};
use super::model::{Model, Moment};
use crate::nbd::{Ask, Nbd};

/// A client at work, in a thread of its own.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<End>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was told, with every request answered.
    Told,
    /// Its server is gone.
    Broken,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answers: AtomicU64,
    errors: AtomicU64,
}

/// A request under way.
enum Open {
    Write(u64),
    /// Of so many sectors from here, begun then.
    Read(usize, Moment),
    Flush,
}

impl Load {
    /// It begins. `in_flight` says how many bytes its node has sent that are not on the other one.
    pub fn start(
        nbd: Nbd,
        in_flight: impl Fn() -> u64 + Send + 'static,
        model: Arc<Mutex<Model>>,
        chance: Rng,
    ) -> Load {
        let shared = Arc::new(Shared::default());
        let in_flight = Box::new(in_flight);
        let client =
            Client { nbd, in_flight, model, chance, shared: Arc::clone(&shared), open: HashMap::new() };
        Load { shared, thread: thread::spawn(move || client.run()) }
    }

    /// Requests that were answered so far.
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// Whether it has ended by itself: its server is gone, or what it read was wrong.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it end: how, and how many requests were answered with an error.
    ///
    /// # Panics
    /// It read what it must not, or requests are not answered.
    pub fn stop(self) -> (End, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let end = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (end, self.shared.errors.load(Ordering::Relaxed))
    }
}

struct Client {
    nbd: Nbd,
    in_flight: Box<dyn Fn() -> u64 + Send>,
    model: Arc<Mutex<Model>>,
    chance: Rng,
    shared: Arc<Shared>,
    open: HashMap<u64, Open>,
}

impl Client {
    fn run(mut self) -> End {
        let mut end = End::Told;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if self.burst().is_err() {
                end = End::Broken;
                break;
            }
            // It does something with it, too. And with protocol A only the application can wait for the other disk:
            // what is on its way to a disk that flushes would keep a resync waiting for seconds.
            thread::sleep(Duration::from_micros(self.chance.u64(..THOUGHT)));
            while (self.in_flight)() > AHEAD && !self.shared.stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(THOUGHT));
            }
        }
        while !self.open.is_empty() {
            if let Err(error) = self.answer() {
                assert!(!is_timeout(&error), "{} requests are not answered: {error}", self.open.len());
                end = End::Broken;
                break;
            }
        }
        let mut model = self.model.lock().unwrap();
        for open in self.open.into_values() {
            if let Open::Write(number) = open {
                model.end(number, false);
            }
        }
        drop(model);
        if end == End::Told && self.nbd.leave().is_err() {
            return End::Broken;
        }
        end
    }

    /// Some requests, of which so many at most are under way, in a part of the volume.
    fn burst(&mut self) -> std::io::Result<()> {
        let (count, depth) = (self.chance.usize(1..64), [1, 2, 8, 32][self.chance.usize(..4)]);
        let sectors = usize::try_from(self.nbd.bytes()).expect("a small volume") / SECTOR;
        let span = [64, 4096, sectors][self.chance.usize(..3)].min(sectors);
        let from = self.chance.usize(..=sectors - span);
        for _ in 0..count {
            while self.open.len() >= depth {
                self.answer()?;
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            // 512 bytes to 256 KiB, half of them up to 4 KiB.
            let most = [1, 8, 8, 32, 128, MOST][self.chance.usize(..6)].min(span);
            let length = self.chance.usize(1..=most);
            let first = from + self.chance.usize(..=span - length);
            self.ask(first, length)?;
        }
        Ok(())
    }

    fn ask(&mut self, first: usize, count: usize) -> std::io::Result<()> {
        let offset = (first * SECTOR) as u64;
        let length = u32::try_from(count * SECTOR).expect("at most 256 KiB");
        let (open, ask);
        let mut data = Vec::new();
        match self.chance.u8(..32) {
            0 => (open, ask) = (Open::Flush, Ask::Flush),
            1..4 => {
                let now = self.model.lock().unwrap().now();
                (open, ask) = (Open::Read(first, now), Ask::Read(offset, length));
            }
            4..6 => {
                let (number, _) = self.model.lock().unwrap().begin(first, count, true);
                (open, ask) = (Open::Write(number), Ask::Zeroes(offset, length, self.chance.bool()));
            }
            other => {
                let (number, tag) = self.model.lock().unwrap().begin(first, count, false);
                data.resize(count * SECTOR, 0);
                fill(first, tag, &mut data);
                (open, ask) = (Open::Write(number), Ask::Write(offset, &data, other == 6));
            }
        }
        match self.nbd.send(ask) {
            Ok(handle) => {
                self.open.insert(handle, open);
                Ok(())
            }
            Err(error) => {
                if let Open::Write(number) = open {
                    self.model.lock().unwrap().end(number, false);
                }
                Err(error)
            }
        }
    }

    fn answer(&mut self) -> std::io::Result<()> {
        let reply = self.nbd.reply()?;
        let done = reply.error == 0;
        match self.open.remove(&reply.handle).expect("a reply to what was asked") {
            Open::Write(number) => self.model.lock().unwrap().end(number, done),
            // What was acknowledged before it was asked for must be there.
            Open::Read(first, asked) if done => {
                let checked = self.model.lock().unwrap().check(first, &reply.data, asked);
                assert_eq!(checked, Ok(()), "what an application read");
            }
            Open::Read(..) | Open::Flush => {}
        }
        self.shared.answers.fetch_add(1, Ordering::Relaxed);
        self.shared.errors.fetch_add(u64::from(!done), Ordering::Relaxed);
        Ok(())
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// Between two bursts, in microseconds.
const THOUGHT: u64 = 4000;
/// Bytes that may be on their way to the other disk when a burst begins.
const AHEAD: u64 = 1 << 20;
/// Sectors of the largest request.
const MOST: usize = 512;
