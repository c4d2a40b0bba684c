//! What is passed over: the rest of a statement that is wrong, and what the tools skip.

use super::grammar::{Part, Section};
use super::parse::{Broken, Parser};
use super::tree::{Statement, Word};
use super::words::{Kind, Token};

impl Parser<'_> {
    /// How many sections stay open when a keyword that cannot stand here belongs to one further out: it begins a
    /// line, no further right than the section that was not closed before it.
    pub(super) fn section_further_out(&self, token: &Token) -> Option<usize> {
        let innermost = self.open.last()?;
        if !token.first || token.kind != Kind::Word || token.column > innermost.column {
            return None;
        }
        let outer = |depth: usize| match depth.checked_sub(1) {
            Some(at) => self.open[at].section,
            None => Section::File,
        };
        // Where any name is an option, only what has braces can be meant for something else.
        let has_braces = |parts: &[Part]| parts.iter().any(|part| part.section().is_some());
        let belongs = |parts: &[Part]| innermost.section.is_closed() || has_braces(parts);
        (0..self.open.len()).rev().find(|depth| outer(*depth).parts(&token.text).is_some_and(belongs))
    }

    /// Passes over the rest of a statement that is not what it should be; the answer is what its braces hold.
    pub(super) fn recover(
        &mut self,
        section: Section,
        parts: &[Part],
        words: &[Word],
    ) -> Option<Vec<Statement>> {
        let mut inner = parts.iter().find_map(|part| part.section()).unwrap_or(Section::Unknown);
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::Sign('}') => return None,
                Kind::Sign(';') => {
                    self.take();
                    return None;
                }
                Kind::Sign('{') => {
                    self.take();
                    return Some(self.block(inner, words));
                }
                // `proxy on` where only the options of all proxies may stand.
                Kind::Word if token.text == "on" && inner == Section::ProxyOptions => {
                    inner = Section::Proxy;
                    self.take();
                }
                Kind::Word | Kind::Quoted if token.first => {
                    let word = token.text.clone();
                    let begins = |section: Section| section.parts(&word).is_some();
                    let is_new = begins(section) || self.open.iter().any(|open| begins(open.section));
                    if is_new || section.other().is_some() {
                        return None;
                    }
                    self.take();
                }
                Kind::Word | Kind::Quoted | Kind::Sign(_) => {
                    self.take();
                }
            }
        }
        None
    }

    /// Passes over what is skipped, up to the brace that closes it.
    pub(super) fn skipped(&mut self, words: &mut Vec<Word>) -> Result<(), Broken> {
        let start = self.last;
        let mut depth = 0;
        self.muted = true;
        while let Some(token) = self.take() {
            match token.kind {
                Kind::Sign('{') => depth += 1,
                Kind::Sign('}') if depth == 0 => {
                    self.muted = false;
                    self.fault(token.span, "no brace was opened to be skipped", "write skip NAME { … }");
                    self.next = Some(token);
                    return Err(Broken);
                }
                Kind::Sign('}') if depth == 1 => {
                    self.muted = false;
                    return Ok(());
                }
                Kind::Sign('}') => depth -= 1,
                Kind::Word | Kind::Quoted if depth == 0 => words.push(Word::from(token)),
                Kind::Word | Kind::Quoted | Kind::Sign(_) => {}
            }
        }
        self.muted = false;
        self.fault(start, "the file ends within what is skipped", "write skip NAME { … }");
        Err(Broken)
    }
}
