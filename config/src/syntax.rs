//! A file's statements with their spans, whatever state the file is in.
//!
//! toml's own tree has no place for what it could not understand, names no key in its errors, and
//! forgets where a duplicate's first occurrence was. The statements know all that.

use std::ops::Range;

use toml_parser::parser::{Event, EventKind, RecursionGuard};
use toml_parser::{Raw, Source};

/// A header or a key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// From its first byte to the next statement's.
    pub(crate) range: Range<usize>,
    /// From the root, the section's path included.
    pub(crate) path: Vec<String>,
    /// Its last key.
    pub(crate) key: Range<usize>,
    /// It is `[x]` or `[[x]]`.
    pub(crate) header: bool,
    /// Right after its `=`.
    pub(crate) value: Option<usize>,
    /// It belongs to so many-th `[[resource]]`, counted from 1.
    pub(crate) element: usize,
}

impl Statement {
    /// Its path for people.
    pub(crate) fn name(&self) -> String {
        self.path.join(".")
    }

    /// Whether a header opens a section within the one that `other` opens.
    pub(crate) fn is_within(&self, other: &Statement) -> bool {
        self.path.len() > other.path.len() && self.path.starts_with(&other.path)
    }

    /// Whether both set the same thing.
    pub(crate) fn repeats(&self, other: &Statement) -> bool {
        self.path == other.path && self.element == other.element
    }
}

/// All statements of a text, in order.
pub(crate) fn statements_of(text: &str) -> Vec<Statement> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut reader = Reader { text, ..Reader::default() };
    let mut receive = |event: Event| reader.event(&event);
    // What is nested deeper is an error of the tree's reader, which has the same guard.
    let mut guard = RecursionGuard::new(&mut receive, MAX_DEPTH);
    toml_parser::parser::parse_document(&tokens, &mut guard, &mut ());
    let mut statements = reader.statements;
    let mut end = text.len();
    for statement in statements.iter_mut().rev() {
        statement.range.end = end;
        end = statement.range.start;
    }
    statements
}

#[derive(Default)]
struct Reader<'a> {
    text: &'a str,
    statements: Vec<Statement>,
    /// The section that keys belong to.
    section: Vec<String>,
    element: usize,
    state: State,
    /// How many lists and inline tables are open.
    depth: usize,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Between,
    Header {
        array: bool,
    },
    Key,
    Value,
}

impl Reader<'_> {
    fn event(&mut self, event: &Event) {
        match (event.kind(), self.state) {
            (EventKind::StdTableOpen | EventKind::ArrayTableOpen, _) => {
                self.end_statement();
                self.depth = 0;
                self.state = State::Header { array: event.kind() == EventKind::ArrayTableOpen };
                self.start_statement(event, Vec::new(), true);
            }
            (EventKind::SimpleKey, State::Between) => {
                self.state = State::Key;
                self.start_statement(event, self.section.clone(), false);
                self.extend_path(event);
            }
            (EventKind::SimpleKey, State::Header { .. } | State::Key) => self.extend_path(event),
            (EventKind::KeyValSep, State::Key) => {
                self.state = State::Value;
                if let Some(statement) = self.statements.last_mut() {
                    statement.value = Some(event.span().end());
                }
            }
            (EventKind::ArrayOpen | EventKind::InlineTableOpen, _) => self.depth += 1,
            (EventKind::ArrayClose | EventKind::InlineTableClose, _) => {
                self.depth = self.depth.saturating_sub(1);
            }
            (EventKind::Newline, _) if self.depth == 0 => self.end_statement(),
            _ => {}
        }
    }

    fn start_statement(&mut self, event: &Event, path: Vec<String>, header: bool) {
        let span = event.span();
        self.statements.push(Statement {
            range: span.start()..span.end(),
            path,
            key: span.start()..span.end(),
            header,
            value: None,
            element: self.element,
        });
    }

    fn extend_path(&mut self, event: &Event) {
        let span = event.span();
        let Some(statement) = self.statements.last_mut() else { return };
        let raw = self.text.get(span.start()..span.end()).unwrap_or_default();
        let mut name = std::borrow::Cow::Borrowed("");
        Raw::new_unchecked(raw, event.encoding(), span).decode_key(&mut name, &mut ());
        statement.path.push(name.into_owned());
        statement.key = span.start()..span.end();
    }

    fn end_statement(&mut self) {
        if let (State::Header { array }, Some(statement)) = (self.state, self.statements.last_mut()) {
            if array && statement.path == ["resource"] {
                self.element += 1;
            }
            statement.element = self.element;
            self.section.clone_from(&statement.path);
        }
        self.state = State::Between;
    }
}

const MAX_DEPTH: u32 = 80;
