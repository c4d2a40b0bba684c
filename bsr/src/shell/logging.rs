//! The node's log: slog in the term format, one line a record, written by a thread of its own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::panic;
use std::path::Path;

use slog::{Drain, Level, LevelFilter, Logger, Record, crit, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{FullFormat, PlainDecorator, RecordDecorator, ThreadSafeTimestampFn};

/// Opens the log: a file, to be appended to, or standard error.
///
/// Everything logged before the guard is dropped is written; what comes later is lost.
///
/// # Errors
/// The file cannot be opened for writing.
pub fn open(file: Option<&Path>, level: Level) -> io::Result<(Logger, AsyncGuard)> {
    Ok(match file {
        Some(path) => to(OpenOptions::new().append(true).create(true).open(path)?, level),
        None => to(io::stderr(), level),
    })
}

/// A log to any writer: for a node within another program.
pub fn to(out: impl Write + Send + 'static, level: Level) -> (Logger, AsyncGuard) {
    let format = FullFormat::new(PlainDecorator::new(Lines { out, line: Vec::new() }))
        .use_original_order()
        .use_custom_timestamp(stamp)
        .use_custom_header_print(print_header)
        .build();
    // A node never waits for its log: what overflows the queue is dropped, counted, and the count is logged.
    let (queue, guard) = Async::new(format.ignore_res())
        .chan_size(QUEUE)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".to_owned())
        .build_with_guard();
    (Logger::root(LevelFilter::new(queue, level).ignore_res(), o!()), guard)
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
        crit!(log, "panic: {message}"; "at" => at);
    }));
}

/// Collects a record's pieces and writes them with one call when it is complete. A record is a line: what stands in
/// it may come from the other node or from a file's name, and begins no second one.
struct Lines<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(()); // the term format flushes more often than it has something to say
        }
        let line = String::from_utf8_lossy(&self.line);
        let mut clean: String =
            line.trim_end_matches('\n').chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        clean.push('\n');
        self.line.clear();
        // Where nothing can be written there is nobody to tell; an error here would only be told to the log.
        let _ = self.out.write_all(clean.as_bytes()).and_then(|()| self.out.flush());
        Ok(())
    }
}

/// `2026-11-02 14:03:07.123 +01:00 INFO message`: what stands before a record's keys, as in drxd's log. The term format
/// asks whether a comma must follow.
fn print_header(
    timestamp: &dyn ThreadSafeTimestampFn<Output = io::Result<()>>,
    to: &mut dyn RecordDecorator,
    record: &Record<'_>,
    _with_location: bool,
) -> io::Result<bool> {
    to.start_timestamp()?;
    timestamp(to)?;
    to.start_whitespace()?;
    write!(to, " ")?;
    to.start_level()?;
    write!(to, "{}", record.level().as_short_str())?;
    to.start_whitespace()?;
    write!(to, " ")?;
    to.start_msg()?;
    write!(to, "{}", record.msg())?;
    Ok(true)
}

fn stamp(to: &mut dyn Write) -> io::Result<()> {
    write!(to, "{}", chrono::Local::now().format("%Y-%m-%d %H:%M:%S%.3f %:z"))
}

/// Records that may wait for the writing thread.
const QUEUE: usize = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use slog::info;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_record_is_a_line() {
        let shared = Shared::default();
        let (log, guard) = to(shared.clone(), Level::Info);
        info!(log.new(o!("node" => "n1")), "connection: {} -> {}", "a", "b\nc"; "why" => "\u{1b}[0m\r\n2026 CRIT x");
        slog::debug!(log, "not this");
        drop(guard);
        let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let stamp = "2026-11-02 14:03:07.123 +01:00".len();
        assert_eq!(&text[stamp..], " INFO connection: a -> b c, node: n1, why:  [0m  2026 CRIT x\n");
    }
}
