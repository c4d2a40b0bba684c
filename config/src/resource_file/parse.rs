//! From words to the tree.
//!
//! The parser knows what may stand where, so that a semicolon or a brace that is missing is found where it is
//! missing, and what follows is read as it was meant. Each statement gets at most one error.

use crate::kinds::shorten;
use crate::schema::nearest;

use super::files::Fault;
use super::grammar::{Part, Section, homes};
use super::tree::{Span, Statement, Word};
use super::words::{Flaw, Kind, Token, Words};

/// What a text says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) statements: Vec<Statement>,
    pub(super) faults: Vec<Fault>,
    /// Where the statements begin in which something is wrong.
    pub(super) faulty: Vec<Span>,
}

/// Reads a text. `budget`: how many words and signs may still be read; what was read is taken from it.
pub(super) fn parse(file: usize, text: &str, budget: &mut usize) -> Parsed {
    let mut parser = Parser {
        words: Words::new(file, text),
        next: None,
        last: Span { file, start: 0, end: 0 },
        open: Vec::new(),
        keyword: None,
        start: Span { file, start: 0, end: 0 },
        column: 0,
        state: State::Sound,
        reopened: false,
        surplus: false,
        flawed_at: None,
        leave_to: None,
        muted: false,
        budget,
        faults: Vec::new(),
        faulty: Vec::new(),
    };
    let statements = parser.statements(Section::File);
    Parsed { statements, faults: parser.faults, faulty: parser.faulty }
}

pub(super) struct Parser<'a> {
    words: Words<'a>,
    pub(super) next: Option<Token>,
    /// The token that was taken last.
    pub(super) last: Span,
    /// The sections that stand open.
    pub(super) open: Vec<Open>,
    /// The statement that is being read.
    keyword: Option<String>,
    /// Its keyword.
    start: Span,
    /// The column where it begins.
    pub(super) column: usize,
    state: State,
    /// A section's statements stand outside of every section: it was said of the first one.
    reopened: bool,
    /// A `}` closed too much, and so there is one too many.
    surplus: bool,
    /// Where the last piece of text began that is wrong in itself.
    flawed_at: Option<usize>,
    /// How many sections stay open: the next statement belongs to one further out.
    leave_to: Option<usize>,
    /// What the tools pass over is not looked at.
    pub(super) muted: bool,
    budget: &'a mut usize,
    faults: Vec<Fault>,
    faulty: Vec<Span>,
}

/// An open section.
pub(super) struct Open {
    pub(super) section: Section,
    /// How errors name it: `on node1`.
    name: String,
    /// The keyword of its statement.
    start: Span,
    /// The column where its statement begins.
    pub(super) column: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Sound,
    /// This statement has its error: what else is wrong with it comes from that.
    Faulty,
    /// The text ended within a section, which was said.
    Ended,
    /// No more is read.
    Stopped,
}

/// A statement is not what it should be; the error is recorded.
pub(super) struct Broken;

impl Parser<'_> {
    /// The next token, if any.
    pub(super) fn peek(&mut self) -> Option<&Token> {
        if self.next.is_none() && self.state != State::Stopped {
            self.next = self.words.next();
            if let Some(Flaw { span, wrong, right }) = self.words.flaw.take()
                && !self.muted
            {
                self.flawed_at = Some(span.start);
                self.fault(span, wrong, right);
            }
        }
        self.next.as_ref()
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Option<Token> {
        self.peek();
        let token = self.next.take()?;
        self.last = token.span;
        if *self.budget == 0 {
            self.sound();
            self.fault(token.span, "this is too much", format!("at most {MAX_TOKENS} words in all files"));
            self.stop();
            return None;
        }
        *self.budget -= 1;
        Some(token)
    }

    /// Takes the next token if it is this sign.
    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        self.is_sign(sign) && self.take().is_some()
    }

    /// Whether the next token is this sign.
    pub(super) fn is_sign(&mut self, sign: char) -> bool {
        self.peek().is_some_and(|token| token.kind == Kind::Sign(sign))
    }

    /// Records what is wrong; once in a statement.
    pub(super) fn fault(&mut self, span: Span, wrong: impl Into<String>, right: impl Into<String>) {
        if self.state != State::Sound {
            return;
        }
        self.state = State::Faulty;
        let (mut wrong, mut right) = (wrong.into(), right.into());
        if self.faults.len() == MAX_FAULTS {
            (wrong, right) = ("too much of this is no resource file".to_owned(), "name one".to_owned());
        }
        let key = self.key();
        self.faults.push(Fault { span, key, wrong, right });
        self.faulty.extend(self.open.iter().map(|open| open.start));
        self.faulty.extend(self.keyword.is_some().then_some(self.start));
        if self.faults.len() > MAX_FAULTS {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.state = State::Stopped;
        self.next = None;
    }

    /// What comes now is another statement's.
    fn sound(&mut self) {
        if self.state == State::Faulty {
            self.state = State::Sound;
        }
    }

    /// The statement that is being read, with those it stands in.
    fn key(&self) -> String {
        let mut names: Vec<&str> = self.open.iter().map(|open| open.name.as_str()).collect();
        names.extend(self.keyword.as_deref());
        let mut key = names.join(" > ");
        while key.chars().count() > MAX_KEY && names.len() > 1 {
            names.remove(0);
            key = format!("… > {}", names.join(" > "));
        }
        if key.is_empty() { "file".to_owned() } else { key }
    }

    /// The statements up to the brace that closes the section, which is left.
    fn statements(&mut self, section: Section) -> Vec<Statement> {
        let mut statements = Vec::new();
        while self.leave_to.is_none() {
            self.keyword = None;
            if self.next.is_none() {
                self.sound();
            }
            let Some(token) = self.peek() else { break };
            let (kind, span) = (token.kind, token.span);
            // An open quote that begins a statement has its error; what stands before one is another matter.
            if self.flawed_at != Some(span.start) {
                self.sound();
            }
            match kind {
                Kind::Sign('}') if !self.open.is_empty() => break,
                Kind::Sign('}') => {
                    if !std::mem::take(&mut self.surplus) {
                        self.fault(span, "this `}` closes nothing", "take it out");
                    }
                    self.take();
                }
                Kind::Sign(';') => {
                    self.fault(span, "this `;` closes nothing", "take it out");
                    self.take();
                }
                Kind::Sign('{') => {
                    self.fault(span, "no keyword stands before this brace", "name the section");
                    self.take();
                    self.block(Section::Unknown, &[]);
                }
                Kind::Sign(sign) if !section.takes_signs() => {
                    let wrong = format!("a statement begins with `{sign}`");
                    self.fault(span, wrong, "begin it with a keyword");
                    self.take();
                    self.recover(section, &[], &[]);
                }
                Kind::Sign(_) | Kind::Word | Kind::Quoted => statements.extend(self.statement(section)),
            }
        }
        statements
    }

    fn statement(&mut self, section: Section) -> Option<Statement> {
        let token = self.take()?;
        (self.start, self.column) = (token.span, token.column);
        self.keyword = Some(shorten(&token.text));
        let parts = self.parts(section, &token)?;
        let mut words = vec![Word::from(token)];
        let body = match self.shape(parts, &mut words) {
            Ok(body) => body,
            Err(Broken) => self.recover(section, parts, &words),
        };
        Some(Statement { words, body })
    }

    /// What may follow a keyword. None: it belongs further out, and was put back.
    fn parts(&mut self, section: Section, token: &Token) -> Option<&'static [Part]> {
        let (keyword, span) = (token.text.as_str(), token.span);
        let bare = token.kind == Kind::Word;
        // The tools compare `protocol` as text, and so the name of every option.
        let known = section.parts(keyword).filter(|_| bare || keyword == "protocol" || !section.is_closed());
        if let Some(parts) = known {
            self.reopened &= !self.open.is_empty();
            return Some(parts);
        }
        let further_out = self.section_further_out(token);
        let near = || nearest(keyword, section.rules().map(|(known, _)| *known));
        let is_other = further_out.is_none() && (!section.is_strict() || near().is_none());
        if let (Some(parts), true) = (section.other(), is_other) {
            return Some(parts);
        }
        if let Some(parts) = section.parts(keyword) {
            self.fault(span, "this keyword stands between quotes", format!("write {keyword}"));
            return Some(parts);
        }
        if let Some(depth) = further_out {
            let name = self.open.last().map_or("", |open| &open.name).to_owned();
            let wrong = format!("cannot stand in `{name}`, which is still open");
            self.fault(span, wrong, format!("close `{name}` with `}}` before it"));
            self.leave_to = Some(depth);
            self.next = Some(token.clone());
            return None;
        }
        let homes = if bare { homes(keyword) } else { Vec::new() };
        if let Some((home, _)) = homes.first() {
            match self.open.last() {
                Some(open) => {
                    let wrong = format!("cannot stand in `{}`", open.name);
                    self.fault(
                        span,
                        wrong,
                        format!("it belongs in {}", listed(homes.iter().map(|home| home.1))),
                    );
                }
                None => {
                    if !std::mem::replace(&mut self.reopened, true) {
                        let wrong = "stands outside of every section";
                        self.fault(
                            span,
                            wrong,
                            "take out a `}` before it, or write resource NAME { … } around it",
                        );
                    }
                    self.surplus = true;
                }
            }
            return home.parts(keyword);
        }
        if let Some(near) = near() {
            self.fault(span, "is unknown here", format!("did you mean {near}?"));
            return section.parts(near);
        }
        if !section.may_grow() {
            let known = listed(section.rules().map(|(known, _)| *known).take(MAX_LISTED));
            self.fault(span, "is unknown here", format!("write {known}"));
        }
        Some(ANYTHING)
    }

    /// Reads what a pair of braces holds, the first of which was taken. `words`: those before it.
    pub(super) fn block(&mut self, section: Section, words: &[Word]) -> Vec<Statement> {
        let opener = self.last;
        if self.open.len() == MAX_DEPTH {
            self.sound();
            self.fault(opener, "too many braces are open", "close some before it");
            self.stop();
            return Vec::new();
        }
        self.open.push(Open { section, name: name_of(words), start: self.start, column: self.column });
        let lenient = self.words.set_lenient(section == Section::Plugins);
        let statements = self.statements(section);
        self.words.set_lenient(lenient);
        if self.leave_to.is_none() && !self.take_sign('}') && !self.may_end(section) {
            self.sound();
            self.fault(opener, "this brace is not closed", "write `}` behind the last statement in it");
            // The sections around it are open for the same reason.
            self.state = State::Ended;
        }
        self.open.pop();
        if self.leave_to == Some(self.open.len()) {
            self.leave_to = None;
        }
        self.keyword = None;
        self.sound();
        // The tools want none there, but some write one.
        if self.leave_to.is_none() {
            self.take_sign(';');
        }
        statements
    }

    /// A resource may end with its file.
    fn may_end(&self, section: Section) -> bool {
        matches!(section, Section::Resource | Section::Common) && self.open.len() == 1
    }
}

impl From<Token> for Word {
    fn from(token: Token) -> Word {
        Word { text: token.text, quoted: token.kind == Kind::Quoted, span: token.span }
    }
}

/// How errors name a section: the first words of its statement.
fn name_of(words: &[Word]) -> String {
    let is_endpoint = words.iter().any(|word| word.text == "via" && !word.quoted);
    let shown = words.iter().take(if is_endpoint { 2 } else { 3 });
    shorten(&shown.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
}

/// `a, b or c`.
fn listed(names: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<_> = names.collect();
    match names.pop() {
        Some(last) if names.is_empty() => last.to_owned(),
        Some(last) => format!("{} or {last}", names.join(", ")),
        None => String::new(),
    }
}

/// What a statement that is unknown may look like.
const ANYTHING: &[Part] = &[Part::Free, Part::EndOrBlock(Section::Unknown)];
/// Words and signs of all files: ten thousand resources.
pub(super) const MAX_TOKENS: usize = 1_000_000;
/// More than somebody makes who writes a resource file.
const MAX_FAULTS: usize = 100;
/// The tools' own sections are five deep.
const MAX_DEPTH: usize = 16;
/// Keywords that an error names: in a file, all but those that ask for a version.
const MAX_LISTED: usize = 5;
/// Characters of a key, as with other errors.
const MAX_KEY: usize = 60;
