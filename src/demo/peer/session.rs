//! A session: blocks and acknowledgements both ways, until either connection ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::blocks::{ACKNOWLEDGEMENT, Acknowledgement, HEADER, Verifier, Writer};
use super::opening::Connections;
use super::{PeerSettings, Tally, Violation};

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Either connection was lost: both are dropped (bsr-wire A.7).
    Lost,
    /// The other peer's first block did not come in time.
    NoGreeting,
    /// The relay broke what it is for.
    Violated(Violation),
}

/// Uses both connections until one of them ends, then drops both.
pub(super) async fn talk(
    settings: &PeerSettings,
    mut connections: Connections,
    tally: &watch::Sender<Tally>,
    hold: watch::Receiver<bool>,
    random: fastrand::Rng,
) -> Ending {
    let writer = Writer::new(settings.node_id, settings.largest_block, random);
    let sent = Sent { session: writer.session(), blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    let (verified, to_acknowledge) = watch::channel(None);
    let (data_in, data_out) = connections.data.split();
    let (meta_in, meta_out) = connections.meta.split();
    let session = Session { settings, tally, sent, acknowledged: watch::Sender::new(0) };
    tokio::select! {
        ending = session.receive(data_in, verified) => ending,
        ending = session.send(data_out, writer, hold) => ending,
        ending = session.hear(meta_in) => ending,
        ending = acknowledge(meta_out, to_acknowledge) => ending,
    }
}

struct Session<'a> {
    settings: &'a PeerSettings,
    tally: &'a watch::Sender<Tally>,
    sent: Sent,
    /// Blocks that the other peer has verified.
    acknowledged: watch::Sender<u64>,
}

/// What was sent in this session: nothing else can be acknowledged.
struct Sent {
    session: u64,
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Session<'_> {
    async fn send(
        &self,
        mut data: WriteHalf<'_>,
        mut writer: Writer,
        mut hold: watch::Receiver<bool>,
    ) -> Ending {
        let mut due = Instant::now();
        let mut acknowledged = self.acknowledged.subscribe();
        loop {
            let block = writer.next_block();
            let bytes = (block.len() - HEADER) as u64;
            // Counted before it is written: an acknowledgement may be here before `write_all` returns.
            self.sent.blocks.fetch_add(1, Ordering::Relaxed);
            self.sent.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.tally.send_modify(|tally| {
                tally.blocks_sent += 1;
                tally.bytes_sent += bytes;
                tally.blocks_under_way += 1;
            });
            if data.write_all(block).await.is_err() {
                return Ending::Lost;
            }
            // Neither fails: the session has the one sender, and with the other one, the handle, it ends.
            let _ = hold.wait_for(|hold| !hold).await;
            let sent = self.sent.blocks.load(Ordering::Relaxed);
            let most = self.settings.most_under_way.max(1);
            let _ = acknowledged.wait_for(|acknowledged| sent - acknowledged < most).await;
            if let Some(rate) = self.settings.bytes_per_second {
                due += Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                due = due.max(Instant::now() - BURST);
                sleep_until(due).await;
            }
        }
    }

    async fn receive(&self, data: ReadHalf<'_>, verified: watch::Sender<Option<Acknowledgement>>) -> Ending {
        let mut receiver = Receiver {
            data: BufReader::with_capacity(READ, data),
            verifier: Verifier::new(self.settings.peer_id),
            content: Vec::new(),
        };
        let Ok(greeted) = timeout(self.settings.pace.greeting, receiver.block()).await else {
            return Ending::NoGreeting;
        };
        let mut taken = greeted;
        loop {
            match taken {
                Ok(bytes) => self.tally.send_modify(|tally| {
                    tally.sessions += u64::from(!tally.connected);
                    tally.connected = true;
                    tally.blocks_verified += 1;
                    tally.bytes_verified += bytes;
                }),
                Err(ending) => return ending,
            }
            verified.send_replace(receiver.verifier.acknowledgement(self.settings.node_id));
            taken = receiver.block().await;
        }
    }

    async fn hear(&self, mut meta: ReadHalf<'_>) -> Ending {
        let mut last = 0;
        loop {
            let mut record = [0; ACKNOWLEDGEMENT];
            if meta.read_exact(&mut record).await.is_err() {
                return Ending::Lost;
            }
            let blocks = match Acknowledgement::decode(&record).and_then(|heard| self.believe(heard, last)) {
                Ok(blocks) => blocks,
                Err(violation) => return Ending::Violated(violation),
            };
            let under_way = self.sent.blocks.load(Ordering::Relaxed) - blocks;
            self.tally.send_modify(|tally| {
                tally.blocks_acknowledged += blocks - last;
                tally.blocks_under_way = under_way;
            });
            last = blocks;
            self.acknowledged.send_replace(blocks);
        }
    }

    /// Only what was sent in this session can be verified, and more and more of it.
    fn believe(&self, heard: Acknowledgement, last: u64) -> Result<u64, Violation> {
        let (blocks, bytes) =
            (self.sent.blocks.load(Ordering::Relaxed), self.sent.bytes.load(Ordering::Relaxed));
        let wrong = if heard.sender != self.settings.peer_id {
            format!("it comes from peer {}, not {}", heard.sender, self.settings.peer_id)
        } else if heard.session != self.sent.session {
            format!("it is about session {:016x}, not {:016x}", heard.session, self.sent.session)
        } else if heard.blocks <= last || heard.blocks > blocks || heard.bytes > bytes {
            format!(
                "{} blocks with {} bytes, after {last} blocks, of {blocks} blocks with {bytes} bytes that were sent",
                heard.blocks, heard.bytes
            )
        } else {
            return Ok(heard.blocks);
        };
        Err(Violation::Acknowledgement { what: wrong })
    }
}

struct Receiver<'a> {
    data: BufReader<ReadHalf<'a>>,
    verifier: Verifier,
    content: Vec<u8>,
}

impl Receiver<'_> {
    /// Takes and verifies the next block; how many bytes it has. One that is cut short is lost with its
    /// session, as a write of a real bsr is.
    async fn block(&mut self) -> Result<u64, Ending> {
        let mut header = [0; HEADER];
        self.data.read_exact(&mut header).await.map_err(|_| Ending::Lost)?;
        let length = self.verifier.length(&header).map_err(Ending::Violated)?;
        self.content.resize(length, 0);
        self.data.read_exact(&mut self.content).await.map_err(|_| Ending::Lost)?;
        self.verifier.verify(&header, &self.content).map_err(Ending::Violated)?;
        Ok(length as u64)
    }
}

/// The newest one at a time: what is verified while one is written is in the next one.
async fn acknowledge(
    mut meta: WriteHalf<'_>,
    mut verified: watch::Receiver<Option<Acknowledgement>>,
) -> Ending {
    while verified.changed().await.is_ok() {
        let newest = *verified.borrow_and_update();
        if let Some(newest) = newest
            && meta.write_all(&newest.encode()).await.is_err()
        {
            return Ending::Lost;
        }
    }
    Ending::Lost
}

/// What is read at once, at most.
const READ: usize = 256 * 1024;
/// A sender that fell behind its rate makes up for this much of it.
const BURST: Duration = Duration::from_millis(100);
