//! Requests and replies.
//!
//! One task reads requests, one writes replies, and one for each request waits for the node. A request holds its share
//! of what the client may have under way until its reply is written, so a client that does not read gets no more.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf, split,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Export;
use super::handshake::{BLOCK_MAX, BLOCK_MIN};
use crate::core::api::{Request, RequestError};
use crate::shell::requests::{Ask, Requests, ask};
use crate::wire::MAX_BLOCK;

/// Serves until the client has ended. What it has asked by then is done.
///
/// # Errors
/// The connection's; what no client of NBD would send; that the node is no longer primary.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    export: Export,
    requests: Requests,
    mut current: watch::Receiver<Export>,
) -> io::Result<()> {
    let (reader, writer) = split(stream);
    let (replies, queue) = mpsc::unbounded_channel(); // bounded by the shares
    let reading = Reading {
        stream: BufReader::with_capacity(BUFFER, reader),
        export,
        requests,
        replies,
        count: Arc::new(Semaphore::new(UNDER_WAY)),
        bytes: Arc::new(Semaphore::new(UNDER_WAY_BYTES)),
        under_way: JoinSet::new(),
    };
    // When the client ends, `reading` drops its end of the queue, and `write` ends after the last reply.
    let talk =
        async { tokio::try_join!(reading.run(), write(BufWriter::with_capacity(BUFFER, writer), queue)) };
    tokio::select! {
        ended = talk => ended.map(|_| ()),
        _ = current.wait_for(|export| !export.primary) => Err(io::Error::other("this node is not primary any more")),
    }
}

struct Reading<S> {
    stream: BufReader<ReadHalf<S>>,
    export: Export,
    requests: Requests,
    replies: mpsc::UnboundedSender<Reply>,
    count: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    under_way: JoinSet<()>,
}

/// What goes back to the client.
struct Reply {
    handle: u64,
    /// What was read, in order; otherwise nothing.
    result: Result<VecDeque<Bytes>, u32>,
    /// Until it is written.
    _share: Share,
}

/// Of what the client may have under way.
type Share = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// A request's first 28 bytes, past the magic.
#[derive(Clone, Copy)]
struct Header {
    flags: u16,
    command: u16,
    handle: u64,
    offset: u64,
    length: u32,
}

impl<S: AsyncRead> Reading<S> {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let count = permits(&self.count, 1).await?;
            let Some(header) = self.header().await? else { break };
            let data = matches!(header.command, CMD_READ | CMD_WRITE);
            if data && header.length > BLOCK_MAX {
                // Of a write this much would have to be read to find the next request.
                return Err(strange(format!("{} bytes in one request", header.length)));
            }
            let share = (count, permits(&self.bytes, if data { header.length } else { 0 }).await?);
            let payload =
                if header.command == CMD_WRITE { self.payload(header.length).await? } else { Bytes::new() };
            if header.command == CMD_DISC {
                break;
            }
            let job = header.parse(&payload, self.export.bytes);
            let (requests, replies) = (self.requests.clone(), self.replies.clone());
            self.under_way.spawn(async move {
                let result = match job {
                    Ok(job) => job.run(&requests).await.map_err(|error| error_number(&error, header.command)),
                    Err(error) => Err(error),
                };
                // The writer has gone only if the connection has.
                let _ = replies.send(Reply { handle: header.handle, result, _share: share });
            });
            while self.under_way.try_join_next().is_some() {}
        }
        while self.under_way.join_next().await.is_some() {}
        Ok(())
    }

    /// None if the client has closed between two requests.
    async fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = [0; 28];
        let mut so_far = 0;
        while so_far < header.len() {
            match self.stream.read(&mut header[so_far..]).await? {
                0 if so_far == 0 => return Ok(None),
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed within a request")),
                more => so_far += more,
            }
        }
        let mut header = &header[..];
        let magic = header.get_u32();
        if magic != REQUEST_MAGIC {
            return Err(strange(format!("{magic:08x} where a request begins")));
        }
        let (flags, command) = (header.get_u16(), header.get_u16());
        let (handle, offset, length) = (header.get_u64(), header.get_u64(), header.get_u32());
        Ok(Some(Header { flags, command, handle, offset, length }))
    }

    async fn payload(&mut self, length: u32) -> io::Result<Bytes> {
        let length = length as usize;
        let mut payload = BytesMut::with_capacity(length);
        while payload.len() < length {
            let missing = length - payload.len();
            if self.stream.read_buf(&mut (&mut payload).limit(missing)).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed within a request"));
            }
        }
        Ok(payload.freeze())
    }
}

impl Header {
    /// What is to be asked of the node, or the protocol's number of an error.
    fn parse(self, payload: &Bytes, volume: u64) -> Result<Job, u32> {
        let Header { flags, command, offset, length, .. } = self;
        let allowed = match command {
            CMD_WRITE_ZEROES => FLAG_FUA | FLAG_NO_HOLE,
            _ => FLAG_FUA, // on anything: it means something only where something is written
        };
        if flags & !allowed != 0 {
            return Err(EINVAL);
        }
        let fua = flags & FLAG_FUA != 0;
        let kind = match command {
            CMD_READ => Kind::Read,
            CMD_WRITE => Kind::Write { payload: payload.clone(), fua },
            CMD_TRIM => Kind::Zero { discard: true, fua },
            CMD_WRITE_ZEROES => Kind::Zero { discard: flags & FLAG_NO_HOLE == 0, fua },
            CMD_FLUSH if (offset, length) == (0, 0) => {
                return Ok(Job { kind: Kind::Flush, offset, length: 0 });
            }
            _ => return Err(EINVAL),
        };
        if !offset.is_multiple_of(BLOCK_MIN.into()) || !length.is_multiple_of(BLOCK_MIN) {
            return Err(EINVAL);
        }
        match offset.checked_add(length.into()) {
            Some(end) if end <= volume => Ok(Job { kind, offset, length }),
            _ => Err(beyond(command)),
        }
    }
}

/// Something that is asked of the node, in as many requests as it takes.
struct Job {
    kind: Kind,
    offset: u64,
    length: u32,
}

enum Kind {
    Read,
    Write { payload: Bytes, fua: bool },
    Zero { discard: bool, fua: bool },
    Flush,
}

impl Job {
    /// Done when all of it is, even if one part has failed: what is written twice must not be overtaken by the first time.
    async fn run(self, requests: &Requests) -> Result<VecDeque<Bytes>, RequestError> {
        let mut answers = Answers::default();
        let mut done = 0;
        while done < self.length {
            let part = (self.length - done).min(MAX_BLOCK);
            let offset = self.offset + u64::from(done);
            let request = match &self.kind {
                Kind::Read => Request::Read { offset, length: part },
                Kind::Write { payload, fua } => {
                    let data = payload.slice(done as usize..(done + part) as usize);
                    Request::Write { offset, data, fua: *fua }
                }
                Kind::Zero { discard, .. } => Request::Zero { offset, length: part, discard: *discard },
                Kind::Flush => break,
            };
            answers.ask(requests, request).await;
            done += part;
        }
        let read = answers.all().await?;
        match self.kind {
            Kind::Flush | Kind::Zero { fua: true, .. } => {
                ask(requests, Request::Flush).await.map(|_| VecDeque::new())
            }
            // With one byte more or less the client would take everything after it for something else.
            Kind::Read if read.iter().map(Bytes::len).sum::<usize>() != self.length as usize => {
                Err(RequestError::Disk("what was read has another length".to_owned()))
            }
            Kind::Read => Ok(read),
            Kind::Write { .. } | Kind::Zero { .. } => Ok(VecDeque::new()),
        }
    }
}

/// To the parts of a job.
#[derive(Default)]
struct Answers {
    waiting: VecDeque<oneshot::Receiver<Result<Bytes, RequestError>>>,
    read: VecDeque<Bytes>,
    failed: Option<RequestError>,
}

impl Answers {
    async fn ask(&mut self, requests: &Requests, request: Request) {
        if self.waiting.len() == PARTS {
            self.next().await;
        }
        if self.failed.is_some() {
            return; // what is not asked yet need not be
        }
        let (reply, answer) = oneshot::channel();
        match requests.send(Ask { request, reply }).await {
            Ok(()) => self.waiting.push_back(answer),
            Err(_) => self.failed = Some(RequestError::Down),
        }
    }

    async fn next(&mut self) {
        if let Some(answer) = self.waiting.pop_front() {
            match answer.await.unwrap_or(Err(RequestError::Down)) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => self.read.push_back(data),
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
    }

    async fn all(mut self) -> Result<VecDeque<Bytes>, RequestError> {
        while !self.waiting.is_empty() {
            self.next().await;
        }
        self.failed.map_or(Ok(self.read), Err)
    }
}

async fn write<S: AsyncWrite>(
    mut stream: BufWriter<WriteHalf<S>>,
    mut queue: mpsc::UnboundedReceiver<Reply>,
) -> io::Result<()> {
    while let Some(mut next) = queue.recv().await {
        // What is there already goes with it.
        loop {
            let mut header = [0; 16];
            let mut fields = &mut header[..];
            fields.put_u32(REPLY_MAGIC);
            fields.put_u32(next.result.as_ref().err().copied().unwrap_or(0));
            fields.put_u64(next.handle);
            stream.write_all(&header).await?;
            for part in next.result.into_iter().flatten() {
                stream.write_all(&part).await?;
            }
            match queue.try_recv() {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn permits(of: &Arc<Semaphore>, count: u32) -> io::Result<OwnedSemaphorePermit> {
    // It is never closed.
    Arc::clone(of).acquire_many_owned(count).await.map_err(io::Error::other)
}

fn error_number(error: &RequestError, command: u16) -> u32 {
    match error {
        RequestError::NotPrimary => EPERM,
        RequestError::Range => beyond(command),
        RequestError::NoData | RequestError::Disk(_) => EIO,
        RequestError::Down => ESHUTDOWN,
    }
}

/// The error of a request that leaves the volume.
fn beyond(command: u16) -> u32 {
    if matches!(command, CMD_WRITE | CMD_WRITE_ZEROES) { ENOSPC } else { EINVAL }
}

fn strange(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const UNDER_WAY: usize = 64;
const UNDER_WAY_BYTES: usize = 64 << 20; // two of the largest
const BUFFER: usize = 64 * 1024;
/// Of one request, at the node at a time: no client fills the node's queue alone.
const PARTS: usize = 32;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISC: u16 = 2;
const CMD_FLUSH: u16 = 3;
const CMD_TRIM: u16 = 4;
const CMD_WRITE_ZEROES: u16 = 6;

const FLAG_FUA: u16 = 1;
const FLAG_NO_HOLE: u16 = 2;

const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
const ESHUTDOWN: u32 = 108;
