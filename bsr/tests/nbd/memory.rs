//! A node whose volume is in memory, and the NBD server before it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use drx_bsr::core::api::{Request, RequestError};
use drx_bsr::shell::nbd::{Address, Export, InUse, Server};
use drx_bsr::shell::requests::{Ask, WAITING};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What the node has been asked, and its volume.
pub struct Memory {
    pub volume: Vec<u8>,
    /// Writes without their data.
    pub asked: Vec<Request>,
    pub fail: Option<RequestError>,
    /// Requests that it has not answered yet, and the most that there were.
    pub waiting: usize,
    pub most_waiting: usize,
}

pub struct Fixture {
    pub memory: Arc<Mutex<Memory>>,
    /// Each request takes one: a test may hold them back.
    pub leave: Arc<Semaphore>,
    pub export: watch::Sender<Export>,
    pub in_use: InUse,
    pub address: Address,
    pub log: Arc<Mutex<Vec<String>>>,
    pub node: JoinHandle<()>,
    /// Of the socket, and for files of the test.
    #[allow(dead_code)] // not every test has some
    pub directory: tempfile::TempDir,
}

impl Fixture {
    /// A primary called `node1`, at a socket in a directory of its own.
    pub fn start(bytes: usize) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("nbd"));
        Fixture::start_at(bytes, &address, directory)
    }

    pub fn start_at(bytes: usize, address: &Address, directory: tempfile::TempDir) -> Fixture {
        let memory =
            Memory { volume: vec![0; bytes], asked: Vec::new(), fail: None, waiting: 0, most_waiting: 0 };
        let memory = Arc::new(Mutex::new(memory));
        let leave = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (requests, asks) = mpsc::channel(WAITING);
        let (export, exports) = watch::channel(Export { primary: true, bytes: bytes as u64 });
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let note = Arc::new(move |_, line| lines.lock().unwrap().push(line));
        let server = Server::bind(address, "node1", requests, exports, note).unwrap();
        let (in_use, address) = (server.in_use(), server.address().clone());
        tokio::spawn(server.serve()); // it ends with the test
        Fixture {
            in_use,
            address,
            node: tokio::spawn(node(asks, Arc::clone(&memory), Arc::clone(&leave))),
            memory,
            leave,
            export,
            log,
            directory,
        }
    }

    pub fn path(&self) -> PathBuf {
        match &self.address {
            Address::Unix(path) => path.clone(),
            Address::Tcp(_) => panic!("it is at a port"),
        }
    }

    pub fn told(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(what))
    }

    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.memory.lock().unwrap().asked)
    }
}

/// Waits for a condition; with its words if it does not come.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn node(mut asks: mpsc::Receiver<Ask>, memory: Arc<Mutex<Memory>>, leave: Arc<Semaphore>) {
    while let Some(Ask { request, reply }) = asks.recv().await {
        {
            let mut memory = memory.lock().unwrap();
            memory.waiting += 1;
            memory.most_waiting = memory.most_waiting.max(memory.waiting);
        }
        let (memory, leave) = (Arc::clone(&memory), Arc::clone(&leave));
        tokio::spawn(async move {
            leave.acquire().await.unwrap().forget();
            let _ = reply.send(memory.lock().unwrap().answer(request));
        });
    }
}

impl Memory {
    fn answer(&mut self, request: Request) -> Result<Bytes, RequestError> {
        self.waiting -= 1;
        let result = match &self.fail {
            Some(error) => Err(error.clone()),
            None => Ok(self.done(&request)),
        };
        self.asked.push(match request {
            Request::Write { offset, fua, .. } => Request::Write { offset, data: Bytes::new(), fua },
            other => other,
        });
        result
    }

    fn done(&mut self, request: &Request) -> Bytes {
        let most = 1 << 20;
        match request {
            Request::Read { offset, length } => {
                assert!(*length <= most);
                Bytes::copy_from_slice(&self.volume[*offset as usize..][..*length as usize])
            }
            Request::Write { offset, data, .. } => {
                assert!(data.len() <= most as usize);
                self.volume[*offset as usize..][..data.len()].copy_from_slice(data);
                Bytes::new()
            }
            Request::Zero { offset, length, .. } => {
                assert!(*length <= most);
                self.volume[*offset as usize..][..*length as usize].fill(0);
                Bytes::new()
            }
            Request::Flush => Bytes::new(),
        }
    }
}
