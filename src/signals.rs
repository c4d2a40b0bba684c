//! Signals, as wishes.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use crate::daemon::Wish;

/// Hands signals on from now on: SIGTERM or SIGINT stops, a second one at once; SIGHUP reloads.
/// SIGPIPE kills nobody: Rust ignores it.
///
/// # Errors
/// The system does not let us wait for them.
pub fn forward(wishes: Sender<Wish>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    actix::spawn(async move {
        let mut stopping = false;
        loop {
            let why = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => {
                    // With the queue full one reload more or less makes no difference.
                    let _ = wishes.try_send(Wish::Reload);
                    continue;
                }
            };
            let wish = if stopping { Wish::StopNow { why } } else { Wish::Stop { why } };
            stopping = true;
            if wishes.send(wish).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
