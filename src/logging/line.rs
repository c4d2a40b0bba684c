//! A record is a line: nothing that a peer or an operator wrote can begin another one.

use std::io::{self, Write};

use slog::{OwnedKVList, Record};
use slog_term::{Decorator, RecordDecorator};

/// Collects a record's pieces and writes them with one call when it is complete, so that a line is
/// never mixed with another process's; forgets a line that could not be written.
pub(super) struct Lines<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Lines<W> {
        Lines { out, line: Vec::new() }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.line);
        self.line.clear();
        written?;
        self.out.flush()
    }
}

/// Replaces control characters in messages and values, whose texts may come from outside.
///
/// An error is kept until the record's flush: in the midst of a record the term format takes one for a
/// fault of its own, and panics.
pub(super) struct OneLine<D>(pub(super) D);

impl<D: Decorator> Decorator for OneLine<D> {
    fn with_record<F>(&self, record: &Record<'_>, values: &OwnedKVList, write: F) -> io::Result<()>
    where
        F: FnOnce(&mut dyn RecordDecorator) -> io::Result<()>,
    {
        self.0.with_record(record, values, |inner| {
            write(&mut OneLineRecord { inner, foreign: false, failed: None })
        })
    }
}

struct OneLineRecord<'a> {
    inner: &'a mut dyn RecordDecorator,
    /// Whether what is written now may hold anything.
    foreign: bool,
    failed: Option<io::Error>,
}

impl OneLineRecord<'_> {
    /// Does one step, unless an earlier one failed.
    fn step(&mut self, step: impl FnOnce(&mut dyn RecordDecorator) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = step(self.inner).err();
        }
    }

    fn start(
        &mut self,
        foreign: bool,
        start: impl FnOnce(&mut dyn RecordDecorator) -> io::Result<()>,
    ) -> io::Result<()> {
        self.foreign = foreign;
        self.step(start);
        Ok(())
    }
}

impl Write for OneLineRecord<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        // The pieces are those of `write!`, whole texts.
        match std::str::from_utf8(piece) {
            Ok(text) if self.foreign && text.contains(char::is_control) => {
                let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                self.step(|inner| inner.write_all(clean.as_bytes()));
            }
            _ => self.step(|inner| inner.write_all(piece)),
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.failed.take().map_or(flushed, Err)
    }
}

impl RecordDecorator for OneLineRecord<'_> {
    fn reset(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.reset())
    }

    fn start_whitespace(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_whitespace())
    }

    fn start_msg(&mut self) -> io::Result<()> {
        self.start(true, |inner| inner.start_msg())
    }

    fn start_timestamp(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_timestamp())
    }

    fn start_level(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_level())
    }

    fn start_comma(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_comma())
    }

    fn start_key(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_key())
    }

    fn start_value(&mut self) -> io::Result<()> {
        self.start(true, |inner| inner.start_value())
    }

    fn start_location(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_location())
    }

    fn start_separator(&mut self) -> io::Result<()> {
        self.start(false, |inner| inner.start_separator())
    }
}
