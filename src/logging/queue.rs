//! The queue to the writing thread, and what becomes of lines that do not get through.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slog::{Drain, Level, Never, OwnedKVList, Record, b, o, record_static};
use slog_async::{AsyncCore, AsyncError, AsyncGuard};

/// A queue to a thread that writes with `drain`; dropping the guard writes what is queued.
pub(super) fn new<D>(drain: D) -> (Queue, AsyncGuard)
where
    D: Drain<Ok = ()> + Send + 'static,
{
    let dropped = Arc::new(AtomicU64::new(0));
    let writer = Writer { drain, dropped: Arc::clone(&dropped), refused: Cell::new(0) };
    let (core, guard) = AsyncCore::custom(writer)
        .chan_size(QUEUE)
        .blocking(false)
        .thread_name(THREAD.to_owned())
        .build_with_guard();
    (Queue { core, dropped }, guard)
}

/// Takes records without ever waiting; drops and counts those that find it full.
///
/// `slog_async::Async` counts its own attempts to say so among what it dropped, and needs a later record
/// and room for the notice; here the writing thread says it, in front of the next line it writes. There
/// is one: the queue was full.
pub(super) struct Queue {
    core: AsyncCore,
    dropped: Arc<AtomicU64>,
}

impl Drain for Queue {
    type Ok = ();
    type Err = AsyncError;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), AsyncError> {
        match self.core.log(record, values) {
            Err(AsyncError::Full) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            other => other,
        }
    }
}

/// Goes on after a line that could not be written (a full disk), or that panicked while it was put
/// into words: counts it, and says so in front of the next one that works.
struct Writer<D> {
    drain: D,
    dropped: Arc<AtomicU64>,
    refused: Cell<u64>,
}

impl<D: Drain<Ok = ()>> Writer<D> {
    /// Whether it was written.
    fn write(&self, record: &Record<'_>, values: &OwnedKVList) -> bool {
        // Unwinding would end the writing thread, and with it the log.
        catch_unwind(AssertUnwindSafe(|| self.drain.log(record, values).is_ok())).unwrap_or(false)
    }

    /// Says how many lines are missing. Whether all has been said.
    fn report(&self, what: &str, lines: u64) -> bool {
        let fixed = record_static!(Level::Error, "");
        lines == 0
            || self.write(&Record::new(&fixed, &format_args!("{what}"), b!("lines" => lines)), &o!().into())
    }
}

impl<D: Drain<Ok = ()>> Drain for Writer<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if !self.report("log lines were dropped: they came faster than they could be written", dropped) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if self.report("log lines could not be written", self.refused.get()) {
            self.refused.set(0);
        }
        if !self.write(record, values) {
            self.refused.set(self.refused.get() + 1);
        }
        Ok(())
    }
}

/// Records that may wait for the writing thread: about a megabyte. Fifty resources that lose their
/// link at once log some ten lines each.
pub(super) const QUEUE: usize = 4096;
/// The writing thread's name.
pub(super) const THREAD: &str = "log";
