//! The line between the two relays: forwards TCP connections, and can be cut and healed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Where connections come in, and where they go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// Here it listens.
    pub(super) from: SocketAddr,
    /// There it dials.
    pub(super) to: SocketAddr,
}

/// A line of any number of pairs of ends, which fail together. Dropping it cuts it for good.
#[derive(Debug)]
pub(super) struct Line {
    whole: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Line {
    /// A whole line, on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn start(ends: impl IntoIterator<Item = Ends>) -> Line {
        let (whole, _) = watch::channel(true);
        let connections = Arc::new(AtomicUsize::new(0));
        let tasks = ends
            .into_iter()
            .map(|ends| tokio::spawn(forward(ends, whole.subscribe(), Arc::clone(&connections))))
            .collect();
        Line { whole, connections, tasks }
    }

    /// Resets what goes over it, and refuses what would. Returns how many connections that hits.
    pub(super) fn cut(&self) -> usize {
        let hit = self.connections();
        self.whole.send_replace(false);
        hit
    }

    /// Carries connections again.
    pub(super) fn heal(&self) {
        self.whole.send_replace(true);
    }

    /// How many connections go over it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn forward(ends: Ends, mut whole: watch::Receiver<bool>, connections: Arc<AtomicUsize>) {
    loop {
        if whole.wait_for(|whole| *whole).await.is_err() {
            return;
        }
        let mut cut = whole.clone();
        tokio::select! {
            // The listener and the connections are dropped with the future that holds them.
            _ = cut.wait_for(|whole| !whole) => {}
            () = carry(ends, &connections) => {}
        }
    }
}

async fn carry(ends: Ends, connections: &Arc<AtomicUsize>) {
    let listener = match TcpListener::bind(ends.from).await {
        Ok(listener) => listener,
        Err(_) => return sleep(LISTEN_AGAIN).await,
    };
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    carried.spawn(connection(stream, ends.to, Counted::new(connections)));
                }
                Err(_) => sleep(LISTEN_AGAIN).await, // a shortage of descriptors
            },
            Some(_) = carried.join_next() => {}
        }
    }
}

async fn connection(mut near: TcpStream, to: SocketAddr, _counted: Counted) {
    // What is dropped on the way is reset: only the end of both directions disarms that.
    reset_when_dropped(&near, true);
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    reset_when_dropped(&far, true);
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let copied = copy_bidirectional_with_sizes(&mut near, &mut far, PIECE, PIECE).await;
    if copied.is_ok() {
        reset_when_dropped(&near, false);
        reset_when_dropped(&far, false);
    }
}

/// A socket with a linger time of zero is closed with RST, and what it still had to send is thrown away.
fn reset_when_dropped(stream: &TcpStream, reset: bool) {
    // The socket may be gone already, and then there is nothing to be reset.
    let _ = SockRef::from(stream).set_linger(reset.then_some(Duration::ZERO));
}

/// Counts itself for as long as it exists.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Counted {
        connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is read at once, at most.
const PIECE: usize = 256 * 1024;
const LISTEN_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    async fn within_time<T>(what: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(20), what).await.unwrap()
    }

    async fn dial(to: SocketAddr) -> TcpStream {
        within_time(async {
            loop {
                match TcpStream::connect(to).await {
                    Ok(stream) => return stream,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    }

    #[tokio::test]
    async fn it_carries_until_it_is_cut_and_again_when_it_is_healed() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let line = Line::start([Ends { from, to: far.local_addr().unwrap() }]);
        for _ in 0..3 {
            let mut near = dial(from).await;
            let (mut there, _) = within_time(far.accept()).await.unwrap();
            let mut word = [0; 4];
            near.write_all(b"ping").await.unwrap();
            within_time(there.read_exact(&mut word)).await.unwrap();
            there.write_all(&word).await.unwrap();
            within_time(near.read_exact(&mut word)).await.unwrap();
            assert_eq!(&word, b"ping");

            assert_eq!(line.cut(), 1);
            for stream in [&mut near, &mut there] {
                let ended = within_time(stream.read(&mut word)).await;
                assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
            }
            within_time(async {
                // The listener closes when the line has noticed.
                while TcpStream::connect(from).await.is_ok() {
                    sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            line.heal();
        }
    }
}
