//! Statements with the sections they stand in, and values with their places.

use super::super::files::Fault;
use super::super::tree::{Span, Statement, Word};

/// A statement, and how messages name it.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) statement: &'a Statement,
    /// The sections it stands in and itself: `resource r0 > on node1 > address`.
    pub(super) key: String,
}

impl<'a> At<'a> {
    /// A statement that stands in no section.
    pub(super) fn root(statement: &'a Statement) -> At<'a> {
        At { statement, key: label(statement) }
    }

    /// Its keyword. The grammar has seen to it that only options stand between quotes.
    pub(super) fn keyword(&self) -> &'a str {
        self.statement.keyword()
    }

    /// The words behind its keyword.
    pub(super) fn arguments(&self) -> &'a [Word] {
        self.statement.arguments()
    }

    /// What stands in its braces.
    pub(super) fn statements(&self) -> impl Iterator<Item = At<'a>> + use<'a> {
        let key = self.key.clone();
        self.statement
            .statements()
            .iter()
            .map(move |statement| At { statement, key: format!("{key} > {}", label(statement)) })
    }

    /// Those of its statements that have this keyword.
    pub(super) fn all(&self, keyword: &str) -> impl Iterator<Item = At<'a>> {
        self.statements().filter(move |at| at.keyword() == keyword)
    }

    /// Something is wrong with it.
    pub(super) fn fault(&self, wrong: impl Into<String>, right: impl Into<String>) -> Fault {
        self.fault_at(self.statement.span(), wrong, right)
    }

    /// Something is wrong with a part of it.
    pub(super) fn fault_at(&self, span: Span, wrong: impl Into<String>, right: impl Into<String>) -> Fault {
        Fault { span, key: self.key.clone(), wrong: wrong.into(), right: right.into() }
    }

    /// It lacks a statement.
    pub(super) fn lacks(&self, keyword: &str, right: impl Into<String>) -> Fault {
        let key = format!("{} > {keyword}", self.key);
        Fault { span: self.statement.span(), key, wrong: "is missing".to_owned(), right: right.into() }
    }
}

/// How a message names a statement among its neighbours.
fn label(statement: &Statement) -> String {
    let words = match statement.keyword() {
        "host" | "group" => 2,
        _ if statement.body.is_some() => 3,
        _ => 1,
    };
    let words: Vec<&str> = statement.words.iter().take(words).map(|word| word.text.as_str()).collect();
    words.join(" ")
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
    /// The statement it stands in, with the sections around that.
    pub key: String,
}

impl<T> Located<T> {
    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> Located<U> {
        Located { value, span: self.span, key: self.key.clone() }
    }
}
