//! The tree as text again: what is read from it is the same tree.

use super::tree::{Statement, Word};
use super::words::is_word;

/// Statements as the text of a resource file.
///
/// A word that was quoted is quoted again, and so is one that could not stand without. No file can hold a line break
/// between quotes: from a tree that was not read but made, it becomes a blank.
pub fn print(statements: &[Statement]) -> String {
    let mut text = String::new();
    for statement in statements {
        print_statement(statement, 0, &mut text);
    }
    text
}

fn print_statement(statement: &Statement, depth: usize, text: &mut String) {
    let indent = INDENT.repeat(depth.min(MAX_INDENTED));
    text.push_str(&indent);
    for (number, word) in statement.words.iter().enumerate() {
        if number > 0 {
            text.push(' ');
        }
        print_word(word, text);
    }
    match &statement.body {
        None => text.push_str(";\n"),
        Some(body) => {
            text.push_str(" {\n");
            for inner in body {
                print_statement(inner, depth + 1, text);
            }
            text.push_str(&indent);
            text.push_str("}\n");
        }
    }
}

fn print_word(word: &Word, text: &mut String) {
    if !word.quoted && stands_bare(&word.text) {
        text.push_str(&word.text);
        return;
    }
    text.push('"');
    for c in word.text.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push(' '),
            _ => text.push(c),
        }
    }
    text.push('"');
}

/// Whether a word was read without quotes: a word, a sign, an address with its port, an index.
fn stands_bare(word: &str) -> bool {
    let is_address = |c: char| is_word(c) || matches!(c, ':' | '%' | '[' | ']' | ' ');
    let mut characters = word.chars();
    match (characters.next(), characters.next()) {
        (None, _) => false,
        (Some(only), None) => !only.is_whitespace() && !only.is_control() && !"{};\"#\\".contains(only),
        // Blanks may stand in a zone, `%Ethernet 2`.
        _ if word.starts_with('[') || word.contains('%') => word.chars().all(is_address),
        _ => word.chars().all(|c| is_word(c) || c == ':'),
    }
}

const INDENT: &str = "    ";
/// A tree that was made may be deeper than one that was read.
const MAX_INDENTED: usize = 16;
