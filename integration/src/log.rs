//! What the relays wrote.

use std::collections::BTreeSet;
use std::fmt;

use drx_protocol::names::Role;

/// A relay's log, as text.
#[derive(Clone, Debug)]
pub struct Log(String);

impl Log {
    /// The log with this text.
    pub fn new(text: String) -> Log {
        Log(text)
    }

    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }

    /// What came after so many lines.
    pub fn since(&self, lines: usize) -> Log {
        Log(self.0.lines().skip(lines).map(|line| format!("{line}\n")).collect())
    }

    /// Whether some line has all of these words in it.
    pub fn says(&self, words: &[&str]) -> bool {
        self.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Every transition in it, in order.
    pub fn transitions(&self) -> impl Iterator<Item = Transition> {
        self.lines().filter(|line| line.contains("INFO transition, ")).map(|line| {
            let field = |key: &str| field(line, key).unwrap_or_else(|| panic!("no {key} in: {line}"));
            let role = match field("channel") {
                "acceptor" => Role::Acceptor,
                "connector" => Role::Connector,
                other => panic!("a channel that is {other}: {line}"),
            };
            assert!(!field("why").is_empty(), "a transition without a reason: {line}");
            let lane = field("lane").to_owned();
            Transition { role, lane, from: field("from").to_owned(), to: field("to").to_owned() }
        })
    }

    /// The kinds of transitions that channels of this role made.
    pub fn steps(&self, role: Role) -> BTreeSet<String> {
        self.transitions().filter(|step| step.role == role).map(|step| step.to_string()).collect()
    }

    /// Its last lines.
    pub fn tail(&self, lines: usize) -> Log {
        self.since(self.0.lines().count().saturating_sub(lines))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A channel's step from one state to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transition {
    /// Whose.
    pub role: Role,
    /// On which lane.
    pub lane: String,
    /// The state it left.
    pub from: String,
    /// The state it came to.
    pub to: String,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

/// The value of a key whose value is a word, or the rest of a sentence up to the next comma.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = line.split_once(&format!(", {key}: "))?;
    Some(value.split(", ").next().unwrap_or(value))
}
