//! A node's disk, and what is kept beside it: two threads that do the core's disk actions.
//!
//! One does reads, writes and saves, strictly in their order; the other one flushes, so that reads and writes go on
//! meanwhile. A flush begins after the first thread has passed it, so it covers every write before it;
//! flushes that wait for one another become one.

pub(super) mod disk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::disk::Disk;
use super::store::{Store, StoreError};
use crate::core::api::{Action, Event, Save, Token};
use crate::metadata::Loaded;

/// What becomes of what was submitted.
#[derive(Clone, Debug)]
pub enum Completion {
    /// An [`Event::DiskDone`].
    Done(Event),
    /// What the core wanted kept could not be: the node must end now, rather than go on with what is no longer true.
    Fatal(String),
}

/// Completions in the order in which the disk had done them. It ends when the volume was closed or abandoned and
/// both threads have ended: the files are free again.
pub type Completions = UnboundedReceiver<Completion>;

/// A node's disk with its metadata. Dropping it is [`Volume::close`].
///
/// It takes whatever is submitted: how much is under way is the core's to bound.
#[derive(Debug)]
pub struct Volume {
    jobs: mpsc::Sender<Job>,
    abandoned: Arc<AtomicBool>,
    bytes: u64,
}

#[derive(Debug)]
enum Job {
    Read { token: Token, offset: u64, length: u32 },
    Write { token: Token, offset: u64, data: Bytes },
    Zero { token: Token, offset: u64, length: u32, discard: bool },
    Flush { token: Token },
    Save(Save),
}

impl Volume {
    /// Opens a volume that [`create`](super::store::create) has made metadata for, and begins to work. Both files
    /// belong to this process alone from now on.
    ///
    /// # Errors
    /// The files', as [`StoreError`] tells them: not there, in use, damaged, or not fitting each other.
    pub fn open(volume: &Path, metadata: &Path) -> Result<(Volume, Loaded, Completions), StoreError> {
        let disk = Disk::open(volume).map_err(|error| StoreError::of(volume, error))?;
        let (store, loaded) = Store::open(metadata, volume, disk.bytes())?;
        let (volume, completions) =
            Volume::start(disk, Box::new(store)).map_err(|error| StoreError::of(volume, error))?;
        Ok((volume, loaded, completions))
    }

    /// Its size in bytes, a multiple of 512.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a disk action: [`Action::Read`], [`Action::Write`], [`Action::Zero`], [`Action::Flush`], [`Action::Save`].
    ///
    /// # Errors
    /// Any other action is given back.
    #[allow(clippy::result_large_err)] // it is moved once, as any action; boxing would cost an allocation each
    pub fn submit(&self, action: Action) -> Result<(), Action> {
        let job = match action {
            Action::Read { token, offset, length } => Job::Read { token, offset, length },
            Action::Write { token, offset, data } => Job::Write { token, offset, data },
            Action::Zero { token, offset, length, discard } => Job::Zero { token, offset, length, discard },
            Action::Flush { token } => Job::Flush { token },
            Action::Save(save) => Job::Save(save),
            other => return Err(other),
        };
        // The thread ends before this handle only after it has said `Fatal`.
        let _ = self.jobs.send(job);
        Ok(())
    }

    /// Lets what was submitted be done. It is when [`Completions`] end.
    pub fn close(self) {}

    /// As a crash of the process would: what is being done is done, what only waits never will be.
    pub fn abandon(self) {
        self.abandoned.store(true, Ordering::SeqCst);
    }

    fn start(disk: Disk, keep: Box<dyn Keep>) -> std::io::Result<(Volume, Completions)> {
        let (jobs, queue) = mpsc::channel();
        let (flushes, flush_queue) = mpsc::channel();
        let (completions, receiver) = unbounded_channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let (bytes, disk) = (disk.bytes(), Arc::new(disk));
        let flusher = Flusher {
            queue: flush_queue,
            disk: Arc::clone(&disk),
            completions: Reporter(completions.clone()),
            abandoned: Arc::clone(&abandoned),
        };
        let worker = Worker {
            queue,
            flushes,
            disk,
            keep,
            completions: Reporter(completions),
            abandoned: Arc::clone(&abandoned),
        };
        thread::Builder::new().name("volume".to_owned()).spawn(move || worker.run())?;
        thread::Builder::new().name("volume-flush".to_owned()).spawn(move || flusher.run())?;
        Ok((Volume { jobs, abandoned, bytes }, receiver))
    }
}

/// What keeps a [`Save`], beyond the volume itself.
pub(super) trait Keep: Send {
    /// Makes it stable, its parts in their order.
    fn keep(&mut self, save: Save) -> std::io::Result<()>;
}

struct Worker {
    queue: mpsc::Receiver<Job>,
    flushes: mpsc::Sender<Token>,
    disk: Arc<Disk>,
    keep: Box<dyn Keep>,
    completions: Reporter,
    abandoned: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(job) = self.queue.recv() {
            if self.abandoned.load(Ordering::SeqCst) {
                return;
            }
            let (token, result) = match job {
                Job::Read { token, offset, length } => (token, self.disk.read(offset, length)),
                Job::Write { token, offset, data } => {
                    (token, self.disk.write(offset, &data).map(|()| Bytes::new()))
                }
                Job::Zero { token, offset, length, discard } => {
                    (token, self.disk.zero(offset, length, discard).map(|()| Bytes::new()))
                }
                Job::Flush { token } => {
                    if self.flushes.send(token).is_err() {
                        return; // the other thread has panicked, and has said so
                    }
                    continue;
                }
                Job::Save(save) => {
                    let token = save.token;
                    if let Err(what) = self.save(save) {
                        return self.completions.fatal(what);
                    }
                    if token == 0 {
                        continue; // nobody waits for it
                    }
                    (token, Ok(Bytes::new()))
                }
            };
            self.completions.done(token, result);
        }
    }

    fn save(&mut self, save: Save) -> Result<(), String> {
        if save.flush_volume {
            self.disk.flush().map_err(|error| format!("the volume cannot be flushed: {error}"))?;
        }
        self.keep.keep(save).map_err(|error| format!("the metadata cannot be written: {error}"))
    }
}

struct Flusher {
    queue: mpsc::Receiver<Token>,
    disk: Arc<Disk>,
    completions: Reporter,
    abandoned: Arc<AtomicBool>,
}

impl Flusher {
    fn run(self) {
        while let Ok(first) = self.queue.recv() {
            if self.abandoned.load(Ordering::SeqCst) {
                return;
            }
            let others: Vec<Token> = self.queue.try_iter().collect();
            let flushed = self.disk.flush().map_err(|error| error.to_string());
            for token in std::iter::once(first).chain(others) {
                self.completions
                    .send(Event::DiskDone { token, result: flushed.clone().map(|()| Bytes::new()) });
            }
        }
    }
}

/// Says so if its thread panics: nothing would ever be completed again.
struct Reporter(UnboundedSender<Completion>);

impl Reporter {
    fn done(&self, token: Token, result: std::io::Result<Bytes>) {
        self.send(Event::DiskDone { token, result: result.map_err(|error| error.to_string()) });
    }

    fn send(&self, event: Event) {
        // Nobody may listen any more: then nobody is to be told.
        let _ = self.0.send(Completion::Done(event));
    }

    fn fatal(&self, what: String) {
        let _ = self.0.send(Completion::Fatal(what));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if thread::panicking() {
            self.fatal("a thread of the volume has panicked".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
