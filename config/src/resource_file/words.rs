//! What a resource file's text is made of: words, what stands between quotes, and the signs between them.
//!
//! As the scanners of `drbdadm` and `bsradm` have it. Where those two differ, in what a backslash between quotes
//! means, a text is read as `drbdadm` reads it unless only `bsradm` can read it.

use super::tree::Span;

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// A word, or what stood between quotes; a sign is itself.
    pub(super) text: String,
    pub(super) span: Span,
    /// Nothing but blanks stands before it on its line.
    pub(super) first: bool,
    /// Bytes before it on its line.
    pub(super) column: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Quoted,
    /// One of `{ } ; [ ] :`; in a plugin's words any other, too.
    Sign(char),
}

/// What is wrong with a piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) span: Span,
    pub(super) wrong: String,
    pub(super) right: String,
}

/// Reads one text token by token.
#[derive(Debug)]
pub(super) struct Words<'a> {
    text: &'a str,
    file: usize,
    at: usize,
    line_start: usize,
    /// Whether something stood on this line already.
    begun: bool,
    /// Right behind a `[`: a word may hold `:` and `%`, as an IPv6 address does.
    behind_bracket: bool,
    /// What no token begins with is one, as in a plugin's words.
    lenient: bool,
    /// What is wrong since it was last taken: the first of it.
    pub(super) flaw: Option<Flaw>,
}

impl<'a> Words<'a> {
    pub(super) fn new(file: usize, text: &'a str) -> Words<'a> {
        Words {
            text,
            file,
            at: 0,
            line_start: 0,
            begun: false,
            behind_bracket: false,
            lenient: false,
            flaw: None,
        }
    }

    /// Sets whether what no token begins with is one; the answer is what was set before.
    pub(super) fn set_lenient(&mut self, lenient: bool) -> bool {
        std::mem::replace(&mut self.lenient, lenient)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn record(&mut self, span: Span, wrong: String, right: String) {
        self.flaw.get_or_insert(Flaw { span, wrong, right });
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\n' => (self.begun, self.line_start) = (false, self.at + 1),
                ' ' | '\t' | '\r' => {}
                '#' => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                    continue;
                }
                _ => return,
            }
            self.at += c.len_utf8();
        }
    }

    fn token(&mut self, kind: Kind, text: String, start: usize) -> Token {
        let first = !std::mem::replace(&mut self.begun, true);
        self.behind_bracket = false;
        Token { kind, text, span: self.span(start, self.at), first, column: start - self.line_start }
    }

    fn quoted(&mut self, start: usize) -> Token {
        let rest = self.rest();
        let (length, text) = match unescaped(rest).or_else(|| unescaped_by_bsradm(rest)) {
            Some((length, text)) => (length, text),
            None => {
                let right = "close it there: no line break may stand between quotes";
                let span = self.span(start, start + 1);
                self.record(span, "this quote is not closed on its line".to_owned(), right.to_owned());
                // Most likely it was forgotten before the end of the statement.
                let content = rest[..rest.find([';', '{', '}', '\n']).unwrap_or(rest.len())].trim_end();
                (content.len(), content[1..].to_owned())
            }
        };
        self.at += length;
        if text.len() > MAX_QUOTED {
            let wrong = format!("{} bytes stand between these quotes", text.len());
            let right = format!("{MAX_QUOTED} may: put a longer command into a script");
            self.record(self.span(start, self.at), wrong, right);
        }
        self.token(Kind::Quoted, text, start)
    }

    fn word(&mut self, start: usize) -> Token {
        let rest = self.rest();
        let mut length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if self.behind_bracket {
            length = rest.find(|c| !is_word(c) && !matches!(c, ':' | '%')).unwrap_or(rest.len());
            // bsradm on Windows: a zone such as `%Ethernet 2`.
            if let Some(zone) = rest[..length].find('%') {
                let characters = rest[zone + 1..].chars().take(MAX_WORD);
                let end = zone + 1 + characters.take_while(|c| is_word(*c) || *c == ' ').count();
                if rest[end..].starts_with(']') {
                    length = rest[..end].trim_end().len();
                }
            }
        }
        self.at += length;
        if length > MAX_WORD {
            let wrong = format!("this word has {length} bytes");
            self.record(self.span(start, self.at), wrong, format!("at most {MAX_WORD} are allowed"));
        }
        self.token(Kind::Word, rest[..length].to_owned(), start)
    }

    /// Passes over what no token begins with.
    fn strange(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let is_strange = |c: char| !is_word(c) && !" \t\r\n#{};[]:\"".contains(c);
        self.at += rest.find(|c| !is_strange(c)).unwrap_or(rest.len());
        self.begun = true;
        let shown = crate::kinds::shorten(&rest[..self.at - start]);
        let (wrong, right) = match rest.chars().next() {
            Some('=') => ("`=` stands here".to_owned(), "write NAME VALUE; without it"),
            Some(c) if c.is_control() => {
                (format!("the control character U+{:04X} stands here", u32::from(c)), "take it out")
            }
            Some('“' | '”' | '„' | '‘' | '’' | '\'' | '`') => {
                (format!("`{shown}` is no quotation mark here"), "write \"…\"")
            }
            _ => (format!("`{shown}` stands here"), "take it out, or put the word between quotes"),
        };
        self.record(self.span(start, self.at), wrong, right.to_owned());
    }
}

impl Iterator for Words<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            self.skip_blanks();
            let start = self.at;
            match self.rest().chars().next()? {
                sign @ ('{' | '}' | ';' | '[' | ']' | ':') if sign != ':' || !self.behind_bracket => {
                    self.at += 1;
                    let token = self.token(Kind::Sign(sign), sign.to_string(), start);
                    self.behind_bracket = sign == '[';
                    return Some(token);
                }
                '"' => return Some(self.quoted(start)),
                c if is_word(c) || (self.behind_bracket && matches!(c, ':' | '%')) => {
                    return Some(self.word(start));
                }
                other if self.lenient && !other.is_control() => {
                    self.at += other.len_utf8();
                    return Some(self.token(Kind::Sign(other), other.to_string(), start));
                }
                _ => self.strange(),
            }
        }
    }
}

/// Whether a word may hold this without quotes.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')
}

/// What stands between quotes at the start of a text, up to the end of the line, and how many bytes it takes with
/// them: a backslash takes the character behind it as it is.
fn unescaped(rest: &str) -> Option<(usize, String)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().take(MAX_SEARCH).take_while(|(_, c)| *c != '\n').skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((at + 1, text)),
            '\\' => text.push(characters.next()?.1),
            _ => text.push(c),
        }
    }
    None
}

/// The same where a path of Windows ends with a backslash, `"C:\"`: the next quote closes.
fn unescaped_by_bsradm(rest: &str) -> Option<(usize, String)> {
    let mut characters = rest.char_indices().take(MAX_SEARCH).take_while(|(_, c)| *c != '\n').skip(1);
    let (end, _) = characters.find(|(_, c)| *c == '"')?;
    Some((end + 1, rest[1..end].to_owned()))
}

/// Characters in which a quote is looked for that closes another one: to look through a long line again and again
/// would take hours.
const MAX_SEARCH: usize = 1024;
/// Bytes of a word, as in `drbdadm`'s scanner.
pub(super) const MAX_WORD: usize = 128;
/// Bytes between quotes, a backslash not counted; likewise.
pub(super) const MAX_QUOTED: usize = 255;
