//! The words of one statement, behind its keyword.

use crate::kinds::shorten;

use super::grammar::{Part, Section, is_keyword, usage};
use super::parse::{Broken, Parser};
use super::tree::{Span, Statement, Word};
use super::words::{Kind, Token};

/// The braces of a statement, if it has any.
type Body = Option<Vec<Statement>>;

impl Parser<'_> {
    /// Reads what stands behind a keyword, which is the first of the words; the others are put behind it.
    pub(super) fn shape(&mut self, parts: &[Part], words: &mut Vec<Word>) -> Result<Body, Broken> {
        let keyword = shorten(words.first().map_or("", |word| &word.text));
        let usage = format!("write {}", usage(&keyword, parts));
        let mut shape = Shape { usage, parser: self, words };
        for part in parts {
            if let Some(body) = shape.part(*part)? {
                return Ok(body);
            }
        }
        Ok(None)
    }
}

struct Shape<'a, 'b, 'c> {
    parser: &'a mut Parser<'b>,
    words: &'c mut Vec<Word>,
    /// What would be right.
    usage: String,
}

impl Shape<'_, '_, '_> {
    /// Reads one part. The answer: whether the statement ends with it.
    fn part(&mut self, part: Part) -> Result<Option<Body>, Broken> {
        match part {
            Part::Name => self.name()?,
            Part::OptionalName => {
                if self.parser.peek().is_some_and(is_name) {
                    self.name()?;
                }
            }
            Part::Names => {
                self.name()?;
                while self.parser.peek().is_some_and(is_name) {
                    self.name()?;
                }
            }
            Part::On => self.keyword("on")?,
            Part::Number => self.number("a number")?,
            Part::Address => self.address()?,
            Part::Value => self.value()?,
            Part::OptionalValue => {
                if self.parser.peek().is_some_and(is_text) {
                    self.push();
                }
            }
            Part::Values => {
                while self.parser.peek().is_some_and(is_text) {
                    self.push();
                }
            }
            Part::Free => self.free(),
            Part::Device => {
                if !self.is("minor") {
                    self.name()?;
                }
                if self.is("minor") {
                    self.keyword("minor")?;
                    self.number("a minor number")?;
                }
                return self.end().map(Some);
            }
            Part::Index => {
                if self.parser.is_sign('[') {
                    self.index()?;
                } else if self.parser.peek().is_some_and(|token| is_text(token) && !token.first) {
                    self.name()?;
                }
                return self.end().map(Some);
            }
            Part::Endpoint => return self.endpoint(false).map(Some),
            Part::AddressedEndpoint => return self.endpoint(true).map(Some),
            Part::End => return self.end().map(Some),
            Part::Block(section) => return self.block(section).map(Some),
            Part::EndOrBlock(section) => {
                if !self.parser.is_sign('{') {
                    return self.end().map(Some);
                }
                return self.block(section).map(Some);
            }
            Part::NameOrBlock(section) => {
                if self.parser.is_sign('{') {
                    return self.block(section).map(Some);
                }
                self.name()?;
                return self.end().map(Some);
            }
            Part::Skipped => {
                self.parser.skipped(self.words)?;
                return Ok(Some(Some(Vec::new())));
            }
        }
        Ok(None)
    }

    /// The next token is not what belongs there.
    fn unexpected(&mut self, wanted: &str) -> Broken {
        let last = self.parser.last;
        let behind = Span { start: last.end, ..last };
        let (span, wrong) = match self.parser.peek() {
            None => (behind, format!("the file ends where {wanted} belongs")),
            Some(token) => {
                let shown = shorten(&token.text);
                let shown =
                    if token.kind == Kind::Quoted { format!("\"{shown}\"") } else { format!("`{shown}`") };
                (token.span, format!("{shown} stands where {wanted} belongs"))
            }
        };
        self.parser.fault(span, wrong, &*self.usage);
        Broken
    }

    fn take(&mut self, wanted: &str) -> Result<Token, Broken> {
        self.parser.take().ok_or_else(|| self.unexpected(wanted))
    }

    /// Whether the next token is this word, without quotes.
    fn is(&mut self, word: &str) -> bool {
        self.parser.peek().is_some_and(|token| token.kind == Kind::Word && token.text == word)
    }

    fn push(&mut self) {
        self.words.extend(self.parser.take().map(Word::from));
    }

    fn keyword(&mut self, word: &str) -> Result<(), Broken> {
        if !self.is(word) {
            return Err(self.unexpected(&format!("`{word}`")));
        }
        self.push();
        Ok(())
    }

    fn name(&mut self) -> Result<(), Broken> {
        match self.parser.peek() {
            Some(Token { kind: Kind::Quoted, .. }) => {}
            Some(Token { kind: Kind::Word, text, span, .. }) => {
                let kind = if is_keyword(text) {
                    "a keyword"
                } else if is_number(text) {
                    "a number"
                } else if is_ipv4(text) {
                    "an address"
                } else if is_version(text) {
                    "a version"
                } else {
                    self.push();
                    return Ok(());
                };
                let (span, shown) = (*span, shorten(text));
                let wrong = format!("`{shown}` is {kind} where a name belongs");
                self.parser.fault(span, wrong, format!("write \"{shown}\" if it is one"));
                return Err(Broken);
            }
            _ => return Err(self.unexpected("a name")),
        }
        self.push();
        Ok(())
    }

    fn number(&mut self, wanted: &str) -> Result<(), Broken> {
        match self.parser.peek() {
            Some(token) if token.kind == Kind::Word && is_number(&token.text) => self.push(),
            _ => return Err(self.unexpected(wanted)),
        }
        Ok(())
    }

    fn value(&mut self) -> Result<(), Broken> {
        match self.parser.peek() {
            Some(token) if is_text(token) => self.push(),
            _ => return Err(self.unexpected("a value")),
        }
        Ok(())
    }

    fn free(&mut self) {
        while self.parser.peek().is_some_and(|token| !matches!(token.kind, Kind::Sign('{' | '}' | ';'))) {
            self.push();
        }
    }

    /// `[ipv4|ipv6|sdp|ssocks|sci] ADDRESS:PORT`: the family, and address and port as one word.
    fn address(&mut self) -> Result<(), Broken> {
        let is_ipv6 = self.is("ipv6");
        if is_ipv6 {
            self.usage = "write ipv6 [ADDRESS]:PORT".to_owned();
        }
        if is_ipv6 || ["ipv4", "sdp", "ssocks", "sci"].iter().any(|family| self.is(family)) {
            self.push();
        }
        let mut word = if is_ipv6 {
            let open = self.sign('[', "[ADDRESS]:PORT")?;
            let address = self.bare("an IPv6 address", is_ipv6_shaped)?;
            let close = self.sign(']', "`]`")?;
            joined([open, address, close])
        } else {
            if self.parser.is_sign('[') {
                self.usage = "write ipv6 before it".to_owned();
            } else if self.parser.peek().is_some_and(begins_ipv6) {
                self.usage = "write ADDRESS:PORT or ipv6 [ADDRESS]:PORT".to_owned();
            }
            Word::from(self.bare("an IPv4 address", is_ipv4)?)
        };
        let colon = self.sign(':', "`:PORT`")?;
        let port = self.bare("a port", |text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        if !port.text.parse().is_ok_and(|port: u16| port > 0) {
            let wrong = format!("{} is no port", shorten(&port.text));
            self.parser.fault(port.span, wrong, "write a number from 1 to 65535");
        }
        for token in [colon, port] {
            word.text.push_str(&token.text);
            word.span.end = token.span.end;
        }
        self.words.push(word);
        Ok(())
    }

    fn sign(&mut self, sign: char, wanted: &str) -> Result<Token, Broken> {
        if !self.parser.is_sign(sign) {
            return Err(self.unexpected(wanted));
        }
        self.take(wanted)
    }

    fn bare(&mut self, wanted: &str, is: fn(&str) -> bool) -> Result<Token, Broken> {
        match self.parser.peek() {
            Some(token) if token.kind == Kind::Word && is(&token.text) => self.take(wanted),
            Some(token) if token.kind == Kind::Quoted => {
                self.usage.push_str(" without quotes");
                Err(self.unexpected(wanted))
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// `[N]`, as one word.
    fn index(&mut self) -> Result<(), Broken> {
        let open = self.sign('[', "`[`")?;
        let number = self.bare("an index", is_number)?;
        let close = self.sign(']', "`]`")?;
        self.words.push(joined([open, number, close]));
        Ok(())
    }

    /// `[address ADDRESS:PORT | port N] [public-address ADDRESS:PORT] [via …]`, up to the end of the statement.
    fn endpoint(&mut self, addressed: bool) -> Result<Body, Broken> {
        if addressed {
            self.address()?;
        } else if self.is("address") {
            self.push();
            self.address()?;
        } else if self.is("port") {
            self.push();
            self.number("a port")?;
        }
        if self.is("public-address") {
            self.push();
            self.address()?;
        }
        if !self.is("via") {
            return self.end();
        }
        self.push();
        if self.is("outside-address") {
            self.push();
            self.address()?;
            return self.end();
        }
        self.keyword("proxy")?;
        self.keyword("on")?;
        self.part(Part::Names)?;
        self.block(Section::Proxy)
    }

    fn end(&mut self) -> Result<Body, Broken> {
        self.check_end()?;
        self.parser.take();
        Ok(None)
    }

    /// Whether a semicolon comes.
    fn check_end(&mut self) -> Result<(), Broken> {
        let last = self.parser.last;
        match self.parser.peek() {
            Some(Token { kind: Kind::Sign(';'), .. }) => Ok(()),
            Some(Token { kind: Kind::Word | Kind::Quoted, first: false, span, text, .. }) => {
                let (span, wrong) = (*span, format!("`{}` is one word too many", shorten(text)));
                self.parser.fault(span, wrong, &*self.usage);
                Err(Broken)
            }
            Some(Token { kind: Kind::Sign('{' | '[' | ']' | ':'), .. }) => Err(self.unexpected("`;`")),
            _ => {
                let behind = Span { start: last.end, ..last };
                self.parser.fault(behind, "no `;` closes this statement", "write one here");
                Err(Broken)
            }
        }
    }

    fn block(&mut self, section: Section) -> Result<Body, Broken> {
        if !self.parser.take_sign('{') {
            let begins = |text: &str| section.parts(text).is_some() || section.other().is_some();
            // A statement of its own, or the brace that closes it: then only the first one is missing.
            let column = self.parser.column;
            let is_its_own = |token: &Token| match token.kind {
                Kind::Word | Kind::Quoted => begins(&token.text),
                Kind::Sign(sign) => sign == '}' && token.column >= column,
            };
            if !self.parser.peek().is_some_and(|token| token.first && is_its_own(token)) {
                return Err(self.unexpected("`{`"));
            }
            let last = self.parser.last;
            let behind = Span { start: last.end, ..last };
            self.parser.fault(behind, "no `{` opens this section", "write one here");
        }
        Ok(Some(self.parser.block(section, self.words)))
    }
}

fn is_text(token: &Token) -> bool {
    matches!(token.kind, Kind::Word | Kind::Quoted)
}

/// Whether a further name may be meant: a keyword that begins a line begins a statement.
fn is_name(token: &Token) -> bool {
    is_text(token) && !(token.first && is_keyword(&token.text))
}

fn joined(tokens: [Token; 3]) -> Word {
    let [first, .., last] = &tokens;
    let span = Span { end: last.span.end, ..first.span };
    Word { text: tokens.iter().map(|token| token.text.as_str()).collect(), quoted: false, span }
}

/// Up to eight digits, and a unit.
fn is_number(text: &str) -> bool {
    let digits = text.strip_suffix(['M', 'K', 'G', 's']).unwrap_or(text);
    (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Four numbers of up to three digits, which may be too large.
fn is_ipv4(text: &str) -> bool {
    let is_part =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == 4 && text.split('.').all(is_part)
}

/// What may be the first of an IPv6 address without brackets: `::1:7788`, `2001:db8::1:7788`.
fn begins_ipv6(token: &Token) -> bool {
    let is_group = token.text.len() <= 4 && token.text.bytes().all(|byte| byte.is_ascii_hexdigit());
    token.kind == Kind::Sign(':') || (token.kind == Kind::Word && is_group)
}

/// Hexadecimal digits and at least two colons, and a zone: whether it is an address is for another to say.
fn is_ipv6_shaped(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    let is_known = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    address.bytes().filter(|byte| *byte == b':').count() >= 2 && address.bytes().all(is_known)
}

/// Three numbers, as a module's version.
fn is_version(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == 3 && text.split('.').all(is_part)
}
