//! From words to the tree.

use super::files::Fault;
use super::tree::{Span, Statement, Word};
use super::words::{Kind, Token, Words};

/// What a text says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) statements: Vec<Statement>,
    pub(super) faults: Vec<Fault>,
}

/// Reads a text.
pub(super) fn parse(file: usize, text: &str) -> Parsed {
    let mut words = Words::new(file, text);
    let tokens: Vec<Token> = words.by_ref().collect();
    let mut parser = Parser { tokens: tokens.into(), end: words.end(), path: Vec::new(), faults: Vec::new() };
    for (span, wrong, right) in std::mem::take(&mut words.flaws) {
        parser.faults.push(Fault { span, key: "word".to_owned(), wrong, right });
    }
    let mut statements = Vec::new();
    while let Some(statement) = parser.statement() {
        statements.push(statement);
    }
    Parsed { statements, faults: parser.faults }
}

struct Parser {
    tokens: std::collections::VecDeque<Token>,
    end: Span,
    path: Vec<String>,
    faults: Vec<Fault>,
}

impl Parser {
    fn fault(&mut self, span: Span, wrong: &str, right: &str) {
        let key = if self.path.is_empty() { "file".to_owned() } else { self.path.join(" > ") };
        self.faults.push(Fault { span, key, wrong: wrong.to_owned(), right: right.to_owned() });
    }

    fn statement(&mut self) -> Option<Statement> {
        let mut words: Vec<Word> = Vec::new();
        while let Some(token) = self.tokens.front() {
            match token.kind {
                Kind::Sign('}') => {
                    if words.is_empty() && !self.path.is_empty() {
                        return None;
                    }
                    let span = token.span;
                    self.fault(span, "`}` stands here", "close the statement with `;` first, or take it out");
                    if words.is_empty() {
                        self.tokens.pop_front();
                        continue;
                    }
                    return Some(Statement { words, body: None });
                }
                Kind::Sign(';') => {
                    self.tokens.pop_front();
                    if words.is_empty() {
                        continue;
                    }
                    return Some(Statement { words, body: None });
                }
                Kind::Sign('{') => {
                    let open = token.span;
                    self.tokens.pop_front();
                    if self.path.len() == MAX_DEPTH {
                        self.fault(open, "braces within too many braces", "close them");
                        self.tokens.clear();
                        return None;
                    }
                    let mut name = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>();
                    name.truncate(3);
                    self.path.push(name.join(" "));
                    let mut body = Vec::new();
                    while let Some(statement) = self.statement() {
                        body.push(statement);
                    }
                    if self.tokens.pop_front().is_none() {
                        self.fault(open, "is not closed", "write `}` behind its last statement");
                    }
                    self.path.pop();
                    if words.is_empty() {
                        self.fault(open, "no keyword stands before this brace", "name the section");
                        continue;
                    }
                    return Some(Statement { words, body: Some(body) });
                }
                _ => {
                    let word = self.word()?;
                    words.push(word);
                }
            }
        }
        if !words.is_empty() {
            self.fault(self.end, "the file ends within a statement", "close it with `;`");
            return Some(Statement { words, body: None });
        }
        None
    }

    /// A word with what belongs to it: `10.0.0.1:7789`, `[::1]:7789`, `[0]`.
    fn word(&mut self) -> Option<Word> {
        let token = self.tokens.pop_front()?;
        let mut word = Word { text: token.text, quoted: token.kind == Kind::Quoted, span: token.span };
        let mut open = word.text == "[" && !word.quoted;
        while let Some(next) = self.tokens.front() {
            let joins = match next.kind {
                Kind::Sign(':') => true,
                Kind::Sign(']') => open,
                Kind::Word => open || (word.text.ends_with(':') && !word.quoted),
                _ => false,
            };
            if !joins {
                break;
            }
            open &= next.kind != Kind::Sign(']');
            word.text.push_str(&next.text);
            word.span.end = next.span.end;
            self.tokens.pop_front();
        }
        Some(word)
    }
}

const MAX_DEPTH: usize = 32;
