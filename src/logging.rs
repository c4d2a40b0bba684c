//! The daemon's log: slog in the term format, one line a record, written by a thread of its own.
//!
//! A relay never waits for its log. What overflows the queue to the writing thread is dropped and
//! counted, and the count is logged as soon as there is room; what the disk refuses likewise.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use drx_config::Log;
use slog::{Drain, Logger, crit, o};
use slog_async::AsyncGuard;
use slog_term::{Decorator, FullFormat, PlainDecorator, TermDecorator};

mod line;
mod queue;
mod stamp;
mod threshold;

use line::{Lines, OneLine};
use stamp::{Stamp, print_header};
use threshold::Sieve;

pub use threshold::Threshold;

/// Opens the log: `log.file`, to be appended to, or standard error, in colours on a terminal.
///
/// Everything logged before [`Flush`] is dropped is written; what comes later is lost.
///
/// # Errors
/// The file cannot be opened for writing.
pub fn open(settings: &Log) -> Result<(Logger, Flush), OpenError> {
    let threshold = Threshold::new(settings.level);
    Ok(match &settings.file {
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            let file = opened.map_err(|error| OpenError { path: path.clone(), error })?;
            to_writer(file, threshold)
        }
        None if io::stderr().is_terminal() => to(TermDecorator::new().stderr().build(), threshold),
        None => to_writer(io::stderr(), threshold),
    })
}

/// From now on a panic, in whatever thread, is one line in the log instead of several on standard error.
pub fn log_panics(log: Logger) {
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(message), _) => message,
            (None, Some(message)) => message.as_str(),
            (None, None) => "(not a text)",
        };
        let at = info.location().map_or("an unknown place".to_owned(), ToString::to_string);
        let current = thread::current();
        let thread = current.name().unwrap_or("(unnamed)");
        if thread == queue::THREAD {
            // A fault of the log in the log would be the next one. Standard error may be gone, too.
            let _ = writeln!(io::stderr(), "panic while logging: {message}, at: {at}");
            return;
        }
        crit!(log, "panic: {message}"; "at" => at, "thread" => thread);
    }));
}

/// Writes what is still queued when it is dropped; gives up after some seconds on a disk that hangs.
#[must_use = "dropping it ends the log"]
pub struct Flush {
    guard: Option<AsyncGuard>,
    threshold: Threshold,
}

impl Flush {
    /// How much is logged, to be changed at any time.
    pub fn threshold(&self) -> Threshold {
        self.threshold.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let (done, written) = mpsc::channel();
        let guard = self.guard.take();
        // Nobody joins it: if it hangs, the end of the process ends it.
        let flushing = thread::Builder::new().name("log flush".to_owned()).spawn(move || {
            drop(guard);
            // Sending fails if we gave up waiting, and then nobody is interested.
            let _ = done.send(());
        });
        if flushing.is_ok() {
            let _ = written.recv_timeout(FLUSH_LIMIT);
        }
    }
}

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file {path:?} for writing: {error}")]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

// `AsyncGuard` has none of its own.
impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flush")
    }
}

fn to_writer(out: impl Write + Send + 'static, threshold: Threshold) -> (Logger, Flush) {
    to(PlainDecorator::new(Lines::new(out)), threshold)
}

fn to(decorator: impl Decorator + Send + 'static, threshold: Threshold) -> (Logger, Flush) {
    let format = FullFormat::new(OneLine(decorator))
        .use_original_order()
        .use_custom_header_print(print_header)
        .build();
    let (queue, guard) = queue::new(format);
    // The one error left is a writing thread that has ended: at the end of the program.
    let drain = Sieve { drain: Stamp(queue), threshold: threshold.clone() }.ignore_res();
    (Logger::root(drain, o!()), Flush { guard: Some(guard), threshold })
}

const FLUSH_LIMIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
