//! When something happened: taken where it is logged, not where it is written, which may be later.

use std::io;

use slog::{Drain, OwnedKVList, Record, RecordStatic};
use slog_term::{RecordDecorator, ThreadSafeTimestampFn};

/// Puts the time into each record: as its tag, which the way through `slog-async` keeps and no other
/// part of this program uses.
pub(super) struct Stamp<D>(pub(super) D);

impl<D: Drain> Drain for Stamp<D> {
    type Ok = D::Ok;
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<D::Ok, D::Err> {
        let now = now();
        let fixed = RecordStatic { location: record.location(), tag: &now, level: record.level() };
        self.0.log(&Record::new(&fixed, record.msg(), record.kv()), values)
    }
}

/// `2026-11-02 14:03:07.123 +01:00 INFO message`: what stands before a record's keys. The term format
/// asks whether a comma must follow.
pub(super) fn print_header(
    _timestamp: &dyn ThreadSafeTimestampFn<Output = io::Result<()>>,
    to: &mut dyn RecordDecorator,
    record: &Record<'_>,
    _with_location: bool,
) -> io::Result<bool> {
    to.start_timestamp()?;
    match record.tag() {
        // The logging itself speaks, of lines that were lost.
        "" => write!(to, "{}", now())?,
        stamp => write!(to, "{stamp}")?,
    }
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

fn now() -> String {
    chrono::Local::now().format("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}
