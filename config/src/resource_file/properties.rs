//! Whatever the grammar allows is printed, and read again as the same tree.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::grammar::{Part, Section, is_keyword};
use super::parse_text;
use super::print::print;
use super::tree::{Span, Statement, Word};

/// What a test may choose, again and again: a tree is made of it.
struct Choices {
    choices: std::iter::Cycle<std::vec::IntoIter<Index>>,
    bare: Vec<String>,
    quoted: Vec<String>,
    /// Statements that may still be made.
    left: usize,
}

fn trees() -> impl Strategy<Value = Vec<Statement>> {
    let bare = "[a-zA-Z0-9/._-]{1,12}|[a-zA-Z0-9/._-]{128}|[0-9]{1,9}[MKGsk]?|[0-9]{1,3}(\\.[0-9]{1,3}){3}";
    let quoted = vec(select(AWKWARD), 0..30).prop_map(|pieces| pieces.concat());
    (vec(any::<Index>(), 50..400), vec(bare, 8..30), vec(quoted, 8..30), 1usize..60).prop_map(
        |(choices, bare, quoted, left)| {
            let mut choices = Choices { choices: choices.into_iter().cycle(), bare, quoted, left };
            choices.statements(Section::File, 0)
        },
    )
}

impl Choices {
    fn below(&mut self, size: usize) -> usize {
        self.choices.next().map_or(0, |choice| choice.index(size))
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    fn value(&mut self) -> Word {
        if self.below(3) == 0 {
            let at = self.below(self.quoted.len());
            return word(&self.quoted[at], true);
        }
        let at = self.below(self.bare.len());
        word(&self.bare[at], false)
    }

    fn name(&mut self) -> Word {
        let mut name = self.value();
        // Only a word that begins like one is surely no number and no address.
        name.quoted |= is_keyword(&name.text) || !name.text.starts_with(|c: char| c.is_ascii_alphabetic());
        name
    }

    fn statements(&mut self, section: Section, depth: usize) -> Vec<Statement> {
        let mut statements = Vec::new();
        for _ in 0..self.below(6) {
            if self.left == 0 || depth > 6 {
                break;
            }
            self.left -= 1;
            let rules: Vec<_> = section.rules().collect();
            let statement = match section.other() {
                Some(parts) if rules.is_empty() || self.below(2) == 0 => {
                    let mut keyword = self.name();
                    keyword.quoted &= section != Section::Unknown;
                    if !keyword.quoted || section == Section::ProxyOptions {
                        keyword = word(self.pick(&["some-name", "x", "zlib"]), false);
                    }
                    self.statement(keyword, parts, depth)
                }
                _ => {
                    let (keyword, parts) = *self.pick(&rules);
                    self.statement(word(keyword, false), parts, depth)
                }
            };
            statements.push(statement);
        }
        statements
    }

    fn statement(&mut self, keyword: Word, parts: &[Part], depth: usize) -> Statement {
        let mut statement = Statement { words: vec![keyword], body: None };
        for part in parts {
            self.part(*part, &mut statement, depth);
        }
        statement
    }

    fn part(&mut self, part: Part, statement: &mut Statement, depth: usize) {
        let words = &mut statement.words;
        match part {
            Part::Name => words.push(self.name()),
            Part::OptionalName => words.extend((0..self.below(2)).map(|_| self.name())),
            Part::Names => words.extend((0..=self.below(3)).map(|_| self.name())),
            Part::On => words.push(word("on", false)),
            Part::Number => words.push(word(self.pick(&["0", "7", "64M", "12345678s"]), false)),
            Part::Address => self.address(words),
            Part::Value => words.push(self.value()),
            Part::OptionalValue => words.extend((0..self.below(2)).map(|_| self.value())),
            Part::Values => words.extend((0..self.below(4)).map(|_| self.value())),
            Part::Free => {
                words.extend((0..self.below(4)).map(|_| self.value()));
                words.extend((0..self.below(2)).map(|_| word("[", false)));
                words.extend((0..self.below(2)).map(|_| word(":", false)));
            }
            Part::Device => {
                let which = self.below(3);
                words.extend((0..which.min(1)).map(|_| self.name()));
                if which != 1 {
                    words.extend([word("minor", false), word("3", false)]);
                }
            }
            Part::Index => match self.below(3) {
                0 => words.push(word("[12]", false)),
                1 => words.push(self.name()),
                _ => {}
            },
            Part::Endpoint | Part::AddressedEndpoint => self.endpoint(part, statement, depth),
            Part::End => {}
            Part::Block(section) => statement.body = Some(self.statements(section, depth + 1)),
            Part::EndOrBlock(section) | Part::NameOrBlock(section) => {
                if self.below(2) == 0 {
                    statement.body = Some(self.statements(section, depth + 1));
                } else if matches!(part, Part::NameOrBlock(_)) {
                    words.push(self.name());
                }
            }
            Part::Skipped => {
                words.extend((0..self.below(3)).map(|_| self.value()));
                statement.body = Some(Vec::new());
            }
        }
    }

    fn address(&mut self, words: &mut Vec<Word>) {
        let text = self.pick(&[
            "10.77.1.2:7789",
            "ipv4 255.0.0.1:1",
            "sdp 1.2.3.4:65535",
            "ipv6 [::1]:7789",
            "ipv6 [fe80::1%eth0.1]:7789",
            "ipv6 [::ffff:10.0.0.1]:1",
            "ipv6 [fe80::1%Ethernet 2]:80",
        ]);
        match text.split_once(' ') {
            Some((family, address)) => words.extend([word(family, false), word(address, false)]),
            None => words.push(word(text, false)),
        }
    }

    fn endpoint(&mut self, part: Part, statement: &mut Statement, depth: usize) {
        let words = &mut statement.words;
        if part == Part::AddressedEndpoint {
            self.address(words);
        } else {
            match self.below(3) {
                0 => words.extend([word("port", false), word("7789", false)]),
                1 => {
                    words.push(word("address", false));
                    self.address(words);
                }
                _ => {}
            }
        }
        if self.below(4) == 0 {
            words.push(word("public-address", false));
            self.address(words);
        }
        match self.below(3) {
            0 => {
                words.extend(["via", "proxy", "on"].map(|text| word(text, false)));
                words.extend((0..=self.below(2)).map(|_| self.name()));
                statement.body = Some(self.statements(Section::Proxy, depth + 1));
            }
            1 => {
                words.extend(["via", "outside-address"].map(|text| word(text, false)));
                self.address(words);
            }
            _ => {}
        }
    }
}

fn word(text: &str, quoted: bool) -> Word {
    Word { text: text.to_owned(), quoted, span: Span::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_again(tree in trees()) {
        let text = print(&tree);
        let reading = parse_text("printed", &text);
        prop_assert_eq!(&reading.faults, &[], "{}", text);
        prop_assert_eq!(&reading.statements, &tree, "{}", text);
        prop_assert_eq!(print(&reading.statements), text);
    }

    /// All of it on one line, and with a comment behind each word.
    #[test]
    fn blanks_and_comments_say_nothing(tree in trees()) {
        let text = print(&tree);
        let one_line = parse_text("printed", &text.replace('\n', " "));
        prop_assert_eq!(&one_line.faults, &[], "{}", text);
        prop_assert_eq!(&one_line.statements, &tree, "{}", text);
        let commented = parse_text("printed", &text.replace('\n', " # a \"comment {\r\n\r\n\t"));
        prop_assert_eq!(&commented.faults, &[], "{}", text);
        prop_assert_eq!(&commented.statements, &tree, "{}", text);
    }
}

/// Pieces of what may stand between quotes.
const AWKWARD: &[&str] = &[
    "\"",
    "\\",
    "\\\\",
    ";",
    "{",
    "}",
    "#",
    " ",
    "\t",
    "\r",
    "\0",
    "\u{7f}",
    "[",
    ":",
    "%",
    "on",
    "net",
    "protocol",
    "ä",
    "漢",
    "\u{feff}",
    "\u{2028}",
    "\u{1b}[0m",
    "a",
    "0",
    "10.0.0.1",
    "=",
    "'",
    "“",
    "",
];
