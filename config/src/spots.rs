//! Where each value came from, kept through the merge: a value's origin is the number of its spot.

use std::ops::Range;

use config::{Value, ValueKind};

use crate::error::{Error, Place, SourceLine};
use crate::kinds::shorten_to;

/// The number of a spot. None: a default.
///
/// Numbers rise with the layers, but not within a file: compare with [`Spots::later`].
pub(crate) type SpotId = usize;

/// One place with the key that stands there.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) place: Place,
    pub(crate) key: String,
    line: Option<SourceLine>,
    /// Which source, counted from the weakest, and where in it: the order in which people read.
    rank: (usize, usize),
}

impl Spot {
    /// A spot that is no line of a file. Its rank: the source, counted from the weakest, and the order there.
    pub(crate) fn outside(place: Place, key: &str, rank: (usize, usize)) -> Spot {
        Spot { place, key: key.to_owned(), line: None, rank }
    }

    /// The same, with so many sources read before its own.
    pub(crate) fn behind(mut self, sources: usize) -> Spot {
        self.rank.0 += sources;
        self
    }

    pub(crate) fn error(&self, wrong: impl Into<String>, right: impl Into<String>) -> Error {
        Error {
            place: self.place.clone(),
            key: shorten_to(MAX_KEY, &self.key),
            wrong: wrong.into(),
            right: right.into(),
            line: self.line.clone(),
        }
    }
}

/// All spots, and the errors found at them.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    spots: Vec<Spot>,
    errors: Vec<((usize, usize), Error)>,
}

impl Spots {
    pub(crate) fn add(&mut self, spot: Spot) -> SpotId {
        self.spots.push(spot);
        self.spots.len() - 1
    }

    /// One of the table.
    pub(crate) fn spot(&self, id: SpotId) -> &Spot {
        &self.spots[id]
    }

    /// Puts a value at a spot.
    pub(crate) fn value(&mut self, spot: Spot, kind: ValueKind) -> Value {
        Value::new(Some(&self.add(spot).to_string()), kind)
    }

    /// Where a merged value came from.
    pub(crate) fn of(value: &Value) -> Option<SpotId> {
        value.origin()?.parse().ok()
    }

    /// Of two spots the one that a reader meets later; a default comes before everything.
    pub(crate) fn later(&self, a: Option<SpotId>, b: Option<SpotId>) -> Option<SpotId> {
        std::cmp::max_by_key(a, b, |id| id.map(|id| self.spots[id].rank))
    }

    /// How an error names another spot.
    pub(crate) fn name(&self, id: Option<SpotId>) -> String {
        match id.map(|id| &self.spots[id].place) {
            Some(place @ Place::File { .. }) => format!("at {place}"),
            Some(place @ (Place::Environment(_) | Place::CommandLine(_))) => format!("from {place}"),
            Some(place @ Place::Running(_)) => format!("of {place}"),
            Some(Place::Default) | None => "by default".to_owned(),
        }
    }

    /// Records an error at a spot of the table.
    pub(crate) fn wrong(&mut self, id: Option<SpotId>, wrong: impl Into<String>, right: impl Into<String>) {
        let spot = match id {
            Some(id) => self.spots[id].clone(),
            None => Spot::outside(Place::Default, "", (0, 0)),
        };
        self.report(&spot, wrong, right);
    }

    /// Records an error at a spot that no value stands at.
    pub(crate) fn report(&mut self, spot: &Spot, wrong: impl Into<String>, right: impl Into<String>) {
        self.errors.push((spot.rank, spot.error(wrong, right)));
    }

    /// All errors in reading order.
    pub(crate) fn into_errors(mut self) -> Vec<Error> {
        self.errors.sort_by(|(a, this), (b, that)| (a, &this.wrong).cmp(&(b, &that.wrong)));
        // A section's values are checked once for itself and once in every resource that inherits them.
        self.errors.dedup();
        self.errors.into_iter().map(|(_, error)| error).collect()
    }
}

/// A file's text, able to say where an offset is.
#[derive(Debug)]
pub(crate) struct Text {
    /// The file's name as it was given.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Which source this is, counted from the weakest.
    pub(crate) source: usize,
    line_starts: Vec<usize>,
    /// Characters before each [`STRIDE`]th byte: a file may be one line, and have many spots.
    characters: Vec<usize>,
    /// What no message shows.
    secrets: Vec<Range<usize>>,
}

impl Text {
    pub(crate) fn new(name: String, text: String, source: usize) -> Text {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        let characters = text
            .as_bytes()
            .chunks(STRIDE)
            .scan(0, |before, bytes| Some(std::mem::replace(before, *before + begun(bytes))));
        let (characters, secrets) = (characters.collect(), secrets(&text));
        Text { name, text, source, line_starts, characters, secrets }
    }

    /// How many characters stand before a byte offset.
    fn characters_before(&self, offset: usize) -> usize {
        let known = offset / STRIDE;
        let before = self.characters.get(known).copied();
        // Behind the last byte of a text whose length is a multiple.
        let (before, from) = match before {
            Some(before) => (before, known * STRIDE),
            None => (self.characters.last().copied().unwrap_or(0), known.saturating_sub(1) * STRIDE),
        };
        before + begun(&self.text.as_bytes()[from..offset])
    }

    /// The spot at a byte offset; one past the end or inside of a character is moved down to one.
    pub(crate) fn spot(&self, offset: usize, key: impl Into<String>) -> Spot {
        let offset = (0..=offset).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let line = self.line_starts.partition_point(|start| *start <= offset) - 1;
        let start = self.line_starts[line];
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let column = self.characters_before(offset) - self.characters_before(start);
        Spot {
            place: Place::File { name: self.name.clone(), line: line + 1, column: column + 1 },
            key: key.into(),
            line: Some(self.excerpt(start..end, offset, column)),
            rank: (self.source, offset),
        }
    }

    /// A line for people: without control characters and secrets, and not longer than they would read.
    fn excerpt(&self, line: Range<usize>, offset: usize, column: usize) -> SourceLine {
        let mark = if column > MAX_LINE { MAX_LINE / 2 } else { column };
        let before = self.text[line.start..offset].char_indices().rev().take(mark);
        let first = before.last().map_or(offset, |(at, _)| line.start + at);
        // A mark may stand at the line's end, and that of Windows is two characters.
        let end = line.start + self.text[line.clone()].trim_end_matches('\r').len();
        let shown = self.text.get(first..end).unwrap_or_default().char_indices().take(MAX_LINE + 1);
        let shown = shown.map(|(at, c)| match c {
            _ if self.is_secret(first + at) => '*',
            '\t' => c,
            _ if c.is_control() => char::REPLACEMENT_CHARACTER,
            _ => c,
        });
        SourceLine { text: shown.collect(), mark }
    }

    fn is_secret(&self, offset: usize) -> bool {
        let begun = self.secrets.partition_point(|secret| secret.start <= offset);
        begun > 0 && self.secrets[begun - 1].end > offset
    }

    /// The end of the line that holds an offset, without its line break.
    pub(crate) fn line_end(&self, offset: usize) -> usize {
        self.text[offset..].find('\n').map_or(self.text.len(), |length| offset + length)
    }
}

/// How many characters begin in these bytes.
fn begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// What follows the word `shared-secret` of a resource file: what stands between its quotes, or up to where the
/// statement ends. Messages are printed, logged and sent to others.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let found = text.match_indices(SECRET).map(|(at, _)| {
        let behind = at + SECRET.len();
        let rest = text[behind..].trim_start_matches(['"', ' ', '\t', '\r', '\n']);
        let start = text.len() - rest.len();
        let quoted = text[behind..start].ends_with('"');
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = if quoted { c == '"' && !escaped } else { matches!(c, ';' | '{' | '}') };
            escaped = c == '\\' && !escaped;
            ends || c == '\n'
        });
        start..end.map_or(text.len(), |end| start + end)
    });
    found.collect()
}

/// The option whose value is the password of bsr's connections.
const SECRET: &str = "shared-secret";
/// Bytes between two places whose number of characters is known.
const STRIDE: usize = 1024;
/// Characters of a key that an error shows: one of a resource file has its sections before it.
const MAX_KEY: usize = 120;
/// Characters of a line that an error shows.
const MAX_LINE: usize = 160;
