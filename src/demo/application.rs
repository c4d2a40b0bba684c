//! What uses the primary's volume: it writes a file system to it, then goes on writing behind it, and knows what has
//! been acknowledged.

use std::ops::Range;
use std::time::Duration;

use drx_bsr::core::{Request, RequestError};
use drx_bsr::shell::requests::{Requests, ask};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::content::{Content, Source};
use super::disks::VOLUME;
use super::image::{self, BLOCK};

/// What an application has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// The file system is on the volume.
    pub(super) image: bool,
    /// Writes that were acknowledged.
    pub(super) writes: u64,
    /// Their bytes.
    pub(super) written: u64,
    /// Writes that were not acknowledged when the primary died, and were made again on the new one.
    pub(super) repeated: u64,
    /// Blocks that were read on a new primary, and were right.
    pub(super) checked: u64,
    /// It has ended: nothing is under way.
    pub(super) ended: bool,
    /// Why it could not go on.
    pub(super) error: Option<String>,
}

/// A running application. Without this it ends when its runtime does.
#[derive(Debug)]
pub(super) struct Application {
    volume: watch::Sender<Requests>,
    stop: watch::Sender<bool>,
    work: watch::Receiver<Work>,
    task: JoinHandle<Content>,
}

impl Application {
    /// Starts it on the current tokio runtime; the volume is reached by these requests.
    pub(super) fn start(volume: Requests) -> Application {
        let (volume, volume_seen) = watch::channel(volume);
        let (stop, stopped) = watch::channel(false);
        let (work, work_seen) = watch::channel(Work::default());
        let writing = Writing {
            volume: volume_seen,
            content: Content::new(VOLUME),
            work,
            under_way: JoinSet::new(),
            busy: Vec::new(),
            interrupted: Vec::new(),
            seed: 0,
        };
        let task = tokio::spawn(writing.run(stopped));
        Application { volume, stop, work: work_seen, task }
    }

    /// What it has done so far.
    pub(super) fn work(&self) -> Work {
        self.work.borrow().clone()
    }

    /// From now on the volume is reached by these: there is a new primary. All that was acknowledged must be there.
    pub(super) fn move_to(&self, volume: Requests) {
        self.volume.send_replace(volume);
    }

    /// Lets it end what is under way, and begin nothing more.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// When it has ended: what has to be on the volume.
    ///
    /// # Errors
    /// It has panicked.
    pub(super) async fn content(self) -> Result<Content, JoinError> {
        self.task.await
    }
}

/// A write, as it is to be made.
#[derive(Clone, Debug)]
struct Write {
    blocks: Range<u64>,
    source: Source,
}

struct Writing {
    volume: watch::Receiver<Requests>,
    content: Content,
    work: watch::Sender<Work>,
    under_way: JoinSet<(Write, Result<(), RequestError>)>,
    /// The blocks of what is under way: no two writes to the same one at a time.
    busy: Vec<Range<u64>>,
    /// Nobody has said what became of them: the volume is gone.
    interrupted: Vec<Write>,
    seed: u64,
}

impl Writing {
    async fn run(mut self, stop: watch::Receiver<bool>) -> Content {
        let error = self.work(stop).await.err();
        self.work.send_modify(|work| {
            work.ended = true;
            work.error = error;
        });
        self.content
    }

    async fn work(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), String> {
        self.copy_image().await?;
        let mut due = Instant::now();
        while !(*stop.borrow() && self.under_way.is_empty() && self.interrupted.is_empty()) {
            let room = self.under_way.len() < MOST && self.interrupted.is_empty() && !*stop.borrow();
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.done(done)?,
                Ok(()) = self.volume.changed() => self.moved().await?,
                Ok(()) = stop.changed() => {}
                () = sleep_until(due), if room => {
                    let bytes = self.write_anywhere();
                    due += Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
                    due = due.max(Instant::now() - BURST);
                }
            }
        }
        self.flush().await
    }

    /// The whole file system, its zeros, too.
    async fn copy_image(&mut self) -> Result<(), String> {
        let blocks = image::BYTES / BLOCK as u64;
        for first in (0..blocks).step_by(LARGEST as usize) {
            while self.under_way.len() >= MOST {
                self.next_done().await?;
            }
            self.begin(Write { blocks: first..blocks.min(first + LARGEST), source: Source::Image });
        }
        while !self.under_way.is_empty() {
            self.next_done().await?;
        }
        self.flush().await?;
        self.work.send_modify(|work| work.image = true);
        Ok(())
    }

    /// Some blocks behind the file system. How many bytes they are; 0: they are busy, another time then.
    fn write_anywhere(&mut self) -> usize {
        let length = fastrand::u64(1..=LARGEST);
        let first = fastrand::u64(image::BYTES / BLOCK as u64..=self.content.blocks() - length);
        let blocks = first..first + length;
        if self.busy.iter().any(|busy| busy.start < blocks.end && blocks.start < busy.end) {
            return 0;
        }
        self.seed += 1;
        self.begin(Write { blocks, source: Source::Pattern(self.seed) });
        length as usize * BLOCK
    }

    fn begin(&mut self, write: Write) {
        let mut data = vec![0; (write.blocks.end - write.blocks.start) as usize * BLOCK];
        let offset = write.blocks.start * BLOCK as u64;
        write.source.fill(offset, &mut data);
        self.busy.push(write.blocks.clone());
        let volume = self.volume.borrow().clone();
        self.under_way.spawn(async move {
            let request = Request::Write { offset, data: data.into(), fua: false };
            (write, ask(&volume, request).await.map(|_| ()))
        });
    }

    async fn next_done(&mut self) -> Result<(), String> {
        match self.under_way.join_next().await {
            Some(done) => self.done(done),
            None => Ok(()),
        }
    }

    fn done(&mut self, done: Result<(Write, Result<(), RequestError>), JoinError>) -> Result<(), String> {
        let (write, result) = done.map_err(|panic| panic.to_string())?;
        match result {
            Ok(()) => {
                self.busy.retain(|busy| *busy != write.blocks);
                let bytes = (write.blocks.end - write.blocks.start) * BLOCK as u64;
                self.content.wrote(write.blocks, write.source);
                self.work.send_modify(|work| {
                    work.writes += 1;
                    work.written += bytes;
                });
            }
            Err(RequestError::Down) => self.interrupted.push(write),
            Err(error) => return Err(format!("a write was not done: {error}")),
        }
        Ok(())
    }

    /// On a new primary: is everything there that was acknowledged? What was not is written again.
    async fn moved(&mut self) -> Result<(), String> {
        while !self.under_way.is_empty() {
            self.next_done().await?;
        }
        let interrupted = std::mem::take(&mut self.interrupted);
        let in_doubt = |block: &u64| interrupted.iter().any(|write| write.blocks.contains(block));
        let volume = self.volume.borrow_and_update().clone();
        let (mut wrong, mut checked) = (0, 0);
        for first in (0..self.content.blocks()).step_by(READ as usize) {
            let read = Request::Read { offset: first * BLOCK as u64, length: READ * BLOCK as u32 };
            let bytes = ask(&volume, read).await.map_err(|error| format!("a read was not done: {error}"))?;
            let differences = self.content.differences(first, &bytes);
            wrong += differences.iter().filter(|block| !in_doubt(block)).count();
            checked += (first..first + u64::from(READ)).filter(|block| !in_doubt(block)).count();
        }
        if wrong > 0 {
            return Err(format!(
                "{wrong} blocks of writes that were acknowledged are not on the new primary"
            ));
        }
        self.work.send_modify(|work| {
            work.checked += checked as u64;
            work.repeated += interrupted.len() as u64;
        });
        for write in interrupted {
            self.busy.retain(|busy| *busy != write.blocks);
            self.begin(write);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), String> {
        let volume = self.volume.borrow().clone();
        let flushed = ask(&volume, Request::Flush).await;
        flushed.map(|_| ()).map_err(|error| format!("a flush was not done: {error}"))
    }
}

/// Writes under way, at most.
const MOST: usize = 32;
/// Blocks of a write, at most: 64 KiB.
const LARGEST: u64 = 16;
/// Blocks that are read at once: 1 MiB, the most that a bsr reads. The volume is a multiple of it.
const READ: u32 = 256;
/// So little that an outage leaves blocks that need no resync.
const BYTES_PER_SECOND: f64 = (8 << 20) as f64;
/// Who fell behind makes up for this much of it.
const BURST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
