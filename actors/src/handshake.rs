//! The handshake between two relays, over a fresh connection (docs/link.md 2).
//!
//! It reads exactly the handshake's bytes: the first frame's stay in the socket for the link actor.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use drx_protocol::handshake::{Answer, HandshakeError, Hello, Needed, Refusal, Refused, Welcome, needed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::Stream;

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection during the handshake")]
    Closed,
    #[error("{0}")]
    Bad(#[from] HandshakeError),
    #[error("{0}")]
    Refused(Refused),
    #[error("its WELCOME is for another dial")]
    WrongWelcome,
    #[error("no handshake within {} s", HANDSHAKE_TIME.as_secs())]
    TooLate,
}

/// Reads one handshake message, and not one byte more.
async fn read(stream: &mut dyn Stream) -> Result<Vec<u8>, HandshakeFailure> {
    let mut message = Vec::new();
    while let Needed::More(more) = needed(&message)? {
        let start = message.len();
        message.resize(start + more, 0);
        let read = stream.read(&mut message[start..]).await?;
        message.truncate(start + read);
        if read == 0 {
            return Err(HandshakeFailure::Closed);
        }
    }
    Ok(message)
}

/// The acceptor's part: what the dialling relay says.
pub(crate) async fn hear(stream: &mut dyn Stream) -> Result<Hello, HandshakeFailure> {
    let heard = async { Ok(Hello::decode(&read(stream).await?)?) };
    timeout(HANDSHAKE_TIME, heard).await.unwrap_or(Err(HandshakeFailure::TooLate))
}

/// The connector's part: says hello and waits for a welcome.
pub(crate) async fn greet(stream: &mut dyn Stream, hello: &Hello) -> Result<Welcome, HandshakeFailure> {
    let greeted = async {
        stream.write_all(&hello.encode()).await?;
        match Answer::decode(&read(stream).await?)? {
            Answer::Refused(refused) => Err(HandshakeFailure::Refused(refused)),
            Answer::Welcome(welcome) if welcome.link != hello.link || welcome.lane != hello.lane => {
                Err(HandshakeFailure::WrongWelcome)
            }
            Answer::Welcome(welcome) => Ok(welcome),
        }
    };
    timeout(HANDSHAKE_TIME, greeted).await.unwrap_or(Err(HandshakeFailure::TooLate))
}

/// Says why not, and closes. Runs by itself; a peer that does not listen is not waited for.
#[expect(clippy::disallowed_methods, reason = "a refusal outlives what refused, for a second at most")]
pub(crate) fn refuse(mut stream: Box<dyn Stream>, refusal: Refusal, sentence: &str) {
    let Some(under_way) = UnderWay::begin() else {
        return; // closed without a word
    };
    let answer: Bytes = Answer::Refused(Refused::new(refusal, sentence)).encode();
    actix_rt::spawn(async move {
        let said = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            // Closing with unread bytes would reset the connection before the refusal is read.
            let mut rest = [0; 256];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(REFUSAL_TIME, said).await; // nothing depends on it
        drop(under_way);
    });
}

/// One of at most [`MOST_REFUSALS`]: over when it is dropped, be it with its arbiter.
struct UnderWay;

static REFUSING: AtomicUsize = AtomicUsize::new(0);

impl UnderWay {
    fn begin() -> Option<UnderWay> {
        let one = UnderWay;
        (REFUSING.fetch_add(1, Ordering::Relaxed) < MOST_REFUSALS).then_some(one)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        REFUSING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The whole handshake's time.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// How long a refused peer may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// Refusals under way in the process: who is refused faster than that learns it from the close alone.
const MOST_REFUSALS: usize = 64;
