//! The daemon's log: slog in the term format, one line a record, written by a thread of its own.
//!
//! A relay never waits for its log. What overflows the queue to the writing thread is dropped and
//! counted, and the count is logged as soon as there is room; what the disk refuses likewise.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use drx_config::{Level, Log};
use slog::{Drain, LevelFilter, Logger, crit, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{Decorator, FullFormat, PlainDecorator, TermDecorator};

mod line;
mod stamp;

use line::{Lines, OneLine};
use stamp::{Stamp, print_header};

/// Opens the log: `log.file`, to be appended to, or standard error, in colours on a terminal.
///
/// Everything logged before [`Flush`] is dropped is written; what comes later is lost.
///
/// # Errors
/// The file cannot be opened for writing.
pub fn open(settings: &Log) -> Result<(Logger, Flush), OpenError> {
    let level = slog_level(settings.level);
    Ok(match &settings.file {
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            let file = opened.map_err(|error| OpenError { path: path.clone(), error })?;
            to_writer(file, level)
        }
        None if io::stderr().is_terminal() => to(TermDecorator::new().stderr().build(), level),
        None => to_writer(io::stderr(), level),
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
        if thread == THREAD {
            // A fault of the log in the log would be the next one. Standard error may be gone, too.
            let _ = writeln!(io::stderr(), "panic while logging: {message}, at: {at}");
            return;
        }
        crit!(log, "panic: {message}"; "at" => at, "thread" => thread);
    }));
}

/// Writes what is still queued when it is dropped; gives up after some seconds on a disk that hangs.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Flush(Option<GuardBox>);

impl Drop for Flush {
    fn drop(&mut self) {
        let (done, written) = mpsc::channel();
        let guard = self.0.take();
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

/// `AsyncGuard` has no `Debug` of its own.
struct GuardBox(#[expect(dead_code, reason = "held for its Drop")] AsyncGuard);

impl std::fmt::Debug for GuardBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsyncGuard")
    }
}

fn to_writer(out: impl Write + Send + 'static, level: slog::Level) -> (Logger, Flush) {
    to(PlainDecorator::new(Lines::new(out)), level)
}

fn to(decorator: impl Decorator + Send + 'static, level: slog::Level) -> (Logger, Flush) {
    let format = FullFormat::new(OneLine(decorator))
        .use_original_order()
        .use_custom_header_print(print_header)
        .build();
    let (queue, guard) = Async::new(Persistent::new(format))
        .chan_size(QUEUE)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name(THREAD.to_owned())
        .build_with_guard();
    // The one error left is a writing thread that has ended: at the end of the program.
    let drain = LevelFilter::new(Stamp(queue), level).ignore_res();
    (Logger::root(drain, o!()), Flush(Some(GuardBox(guard))))
}

fn slog_level(level: Level) -> slog::Level {
    match level {
        Level::Critical => slog::Level::Critical,
        Level::Error => slog::Level::Error,
        Level::Warning => slog::Level::Warning,
        Level::Info => slog::Level::Info,
        Level::Debug => slog::Level::Debug,
        Level::Trace => slog::Level::Trace,
    }
}

/// Goes on after a line that could not be written (a full disk), or that panicked while it was put
/// into words: counts it, and says so in front of the next one that works.
struct Persistent<D> {
    drain: D,
    lost: std::cell::Cell<u64>,
}

impl<D: Drain<Ok = ()>> Persistent<D> {
    fn new(drain: D) -> Persistent<D> {
        Persistent { drain, lost: std::cell::Cell::new(0) }
    }

    fn log_one(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> bool {
        // Unwinding would end the writing thread, and with it the log.
        catch_unwind(AssertUnwindSafe(|| self.drain.log(record, values).is_ok())).unwrap_or(false)
    }
}

impl<D: Drain<Ok = ()>> Drain for Persistent<D> {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        let lost = self.lost.get();
        if lost > 0 {
            let notice = format_args!("log lines could not be written");
            let fixed = slog::record_static!(slog::Level::Error, "");
            if self.log_one(&slog::Record::new(&fixed, &notice, slog::b!("lines" => lost)), &o!().into()) {
                self.lost.set(0);
            }
        }
        if !self.log_one(record, values) {
            self.lost.set(self.lost.get().saturating_add(1));
        }
        Ok(())
    }
}

/// Records that may wait for the writing thread: about a megabyte. Fifty resources that lose their
/// link at once log some ten lines each.
const QUEUE: usize = 4096;
/// The writing thread's name.
const THREAD: &str = "log";
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
