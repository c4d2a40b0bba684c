//! One file: its text, its syntax errors, and the tree of what can be understood in spite of them.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use crate::error::Place;
use crate::kinds::{quote, shorten};
use crate::spots::{Spot, Spots, Text};
use crate::syntax::{Statement, statements_of};

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) text: Text,
    /// The same text with blanks in place of what is no TOML; none where that did not help.
    understood: Option<String>,
    /// What the blanks hide, and must therefore not count as missing: path and index of the resource.
    pub(crate) hidden: HashSet<(Vec<String>, usize)>,
    /// A broken value may have swallowed what follows it: nothing can be called missing.
    pub(crate) incomplete: bool,
}

impl Document {
    /// Finds a text's syntax errors and what they leave.
    ///
    /// Blanks what is no TOML and reads again, since toml passes over what follows some errors; the second
    /// time there is rarely anything left to find.
    pub(crate) fn new(text: Text, spots: &mut Spots) -> Document {
        let understood = text.text.clone();
        let mut document =
            Document { understood: Some(understood), text, hidden: HashSet::new(), incomplete: false };
        let mut statements = None;
        let mut holes = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let faults = document.faults();
            let (repeated, broken): (Vec<_>, Vec<_>) =
                faults.into_iter().partition(|fault| fault.message() == DUPLICATE);
            if repeated.is_empty() && broken.is_empty() {
                break;
            }
            let statements = statements.get_or_insert_with(|| statements_of(&document.text.text));
            if broken.is_empty() {
                for fault in repeated.iter().take(MAX_FAULTS) {
                    document.report_duplicate(&fault.span().unwrap_or_default(), statements, spots);
                }
                break;
            }
            let known = holes.len();
            for fault in broken {
                let at = fault.span().unwrap_or_default().start;
                // One statement, one error: what follows in it comes from the first.
                if !holes.iter().any(|hole: &Range<usize>| hole.contains(&at) || hole.end == at) {
                    if holes.len() == MAX_FAULTS {
                        let spot = document.text.spot(at, "TOML");
                        spots.report(&spot, "too much of this file is no TOML", "name a configuration file");
                        document.understood = None;
                        return document;
                    }
                    holes.push(document.report_fault(fault.message(), at, statements, spots));
                }
            }
            document.blank(&holes[known..]);
        }
        if document.faults().iter().any(|fault| fault.message() != DUPLICATE) {
            // Its errors are reported; a tree that may be wrong would only add errors that are not there.
            document.understood = None;
        }
        document.hide(&holes, &statements.unwrap_or_default());
        document
    }

    /// What can be understood.
    pub(crate) fn tree(&self) -> DeTable<'_> {
        match &self.understood {
            Some(text) => DeTable::parse_recoverable(text).0.into_inner(),
            None => DeTable::new(),
        }
    }

    fn faults(&self) -> Vec<toml::de::Error> {
        let text = self.understood.as_deref().unwrap_or_default();
        let (_, mut faults) = DeTable::parse_recoverable(text);
        faults.sort_by_key(|fault| fault.span().map_or(0, |span| span.start));
        faults
    }

    fn report_duplicate(&self, at: &Range<usize>, statements: &[Statement], spots: &mut Spots) {
        let this = statements.iter().position(|statement| statement.key == *at);
        let first = this
            .and_then(|this| statements[..this].iter().find(|earlier| earlier.repeats(&statements[this])));
        let here = self.text.spot(at.start, self.key(at.start, statements));
        match first {
            Some(first) => {
                let first = self.text.spot(first.key.start, "").place;
                spots.report(
                    &here,
                    format!("stands here a second time, first at {first}"),
                    "keep one of them",
                );
            }
            None => spots.report(&here, "stands here a second time", "keep one of them"),
        }
    }

    /// Reports a statement that is no TOML; the answer is what must be blanked because of it.
    fn report_fault(
        &self,
        message: &str,
        at: usize,
        statements: &[Statement],
        spots: &mut Spots,
    ) -> Range<usize> {
        let text = &self.text.text;
        let key = self.key(at, statements);
        let (wrong, right) = match message.split_once(", expected ") {
            Some((wrong, "nothing")) => (wrong.to_owned(), "correct it or take it out".to_owned()),
            Some((wrong, expected)) => (wrong.to_owned(), format!("expected {expected}")),
            None => (message.to_owned(), "correct it or take it out".to_owned()),
        };
        let Some(index) = index_at(at, statements) else {
            spots.report(&self.text.spot(at, key), wrong, right);
            return line_start(text, at)..self.text.line_end(at);
        };
        let statement = &statements[index];
        if statement.header {
            spots.report(&self.text.spot(at, key), wrong, right);
            let next = statements[index + 1..].iter().find(|next| next.header && !next.is_within(statement));
            return statement.range.start..next.map_or(text.len(), |next| next.range.start);
        }
        let name = statement.path.last().map_or("", |name| name.trim_end_matches(':'));
        let raw = statement.value.map(|value| (value, raw_value(text, value, self.text.line_end(value))));
        match raw {
            Some((value, raw))
                if !raw.is_empty() && !raw.starts_with(['"', '\'', '[', '{']) && !name.is_empty() =>
            {
                let spot = self.text.spot(value + text[value..].find(raw).unwrap_or(0), key);
                spots.report(
                    &spot,
                    format!("{} is not quoted", shorten(raw)),
                    format!("write {}", quote(raw)),
                );
            }
            Some((value, _)) if at > self.text.line_end(value) => {
                let wrong = format!("is not closed: {wrong} at {}", self.text.spot(at, "").place);
                let start = value + text[value..].len() - text[value..].trim_start().len();
                spots.report(&self.text.spot(start, key), wrong, "close the value, or correct it there");
            }
            Some((_, raw)) if !raw.is_empty() => spots.report(&self.text.spot(at, key), wrong, right),
            _ => {
                let spot = self.text.spot(statement.key.start, key);
                spots.report(&spot, "has no value", format!("write {} = VALUE", shorten(name)));
            }
        }
        statement.range.clone()
    }

    /// The key that an error at this offset is about.
    fn key(&self, at: usize, statements: &[Statement]) -> String {
        let name = index_at(at, statements).map(|index| statements[index].name()).unwrap_or_default();
        let name = name.trim_end_matches(':');
        if name.is_empty() { "TOML".to_owned() } else { name.to_owned() }
    }

    fn blank(&mut self, holes: &[Range<usize>]) {
        let Some(text) = &mut self.understood else { return };
        for hole in holes {
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            let shadow: String = text[hole.clone()].bytes().map(blank).collect();
            text.replace_range(hole.clone(), &shadow);
        }
    }

    /// Remembers what the holes hide.
    fn hide(&mut self, holes: &[Range<usize>], statements: &[Statement]) {
        let is_hidden =
            |statement: &Statement| holes.iter().any(|hole| hole.contains(&statement.range.start));
        let mut index = None;
        let mut element = 0;
        for statement in statements {
            if statement.element > element {
                element = statement.element;
                // A hidden `[[resource]]` is none in the tree, and what it held is hidden with it.
                if !is_hidden(statement) {
                    index = Some(index.map_or(0, |index: usize| index + 1));
                }
            }
            if is_hidden(statement) {
                let mut path = statement.path.clone();
                if let Some(name) = path.last_mut() {
                    *name = name.trim_end_matches(':').to_owned();
                }
                self.hidden.insert((path, index.unwrap_or(0)));
                let spans_lines = self.text.text[statement.range.clone()].trim_end().contains('\n');
                self.incomplete |= !statement.header && spans_lines;
            }
        }
    }
}

/// A file's text.
///
/// # Errors
/// The error is recorded, and there is no text.
pub(crate) fn read_file(path: &Path, source: usize, spots: &mut Spots) -> Option<Text> {
    let name = path.display().to_string();
    let start = Spot::outside(Place::File { name: name.clone(), line: 1, column: 1 }, "file", (source, 0));
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, and /dev/zero ends too.
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        spots.report(&start, format!("cannot be read: {error}"), "name a file that this user may read");
        return None;
    }
    if bytes.len() as u64 > MAX_FILE {
        spots.report(&start, "is larger than 1MiB", "name a configuration file");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Text::new(name, without_mark(text), source)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = Text::new(name, String::from_utf8_lossy(error.as_bytes()).into_owned(), source);
            spots.report(&text.spot(at, "file"), "this byte is no UTF-8", "save the file as UTF-8");
            None
        }
    }
}

/// Editors of other systems put a byte order mark before the first line; it would count as a column.
pub(crate) fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

fn index_at(at: usize, statements: &[Statement]) -> Option<usize> {
    statements.partition_point(|statement| statement.range.start <= at).checked_sub(1)
}

/// What stands behind a `=` on its line, without the comment.
fn raw_value(text: &str, from: usize, to: usize) -> &str {
    let line = &text[from..to];
    line.split_once('#').map_or(line, |(value, _)| value).trim()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// toml's words for a key or header that was there before.
const DUPLICATE: &str = "duplicate key";
/// Two are enough for every file that was tried.
const MAX_ROUNDS: usize = 8;
/// More errors than somebody makes who writes a configuration.
const MAX_FAULTS: usize = 100;
/// Thousands of resources; more is another kind of file.
const MAX_FILE: u64 = 1 << 20;
