//! Resource files: any text is read to its end, and what is good is printed and read again.

use drx_config::resource_file::tree::{Span, Statement};
use drx_config::resource_file::{parse_text, print};

/// No text stops the reader; each error has its place in it and can be shown to people; a tree without an error is
/// the same when it is printed and read again, and is then printed alike.
pub fn resource_file(input: &[u8]) -> usize {
    let text = String::from_utf8_lossy(input);
    let reading = parse_text("fuzz.res", &text);
    assert!(reading.faults.len() <= 101, "errors are bounded");
    for fault in &reading.faults {
        check_span(fault.span, &text);
        let shown = reading.files.error(fault).to_string();
        let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        assert!(shown.chars().all(is_shown), "no control character is shown: {shown:?}");
        assert!(shown.len() < 4000 && shown.lines().count() <= 3, "an error is short: {shown}");
    }
    reading.statements.iter().for_each(|statement| check(statement, &text, 0));
    let printed = print(&reading.statements);
    let again = parse_text("printed.res", &printed);
    if !reading.faults.is_empty() {
        return 0;
    }
    assert_eq!(again.faults, [], "{printed}");
    assert_eq!(again.statements, reading.statements, "{printed}");
    assert_eq!(print(&again.statements), printed);
    reading.statements.len()
}

/// Words stand where they are said to, one behind the other.
fn check(statement: &Statement, text: &str, depth: usize) {
    assert!(depth <= 16, "depth is bounded");
    assert!(!statement.words.is_empty(), "a statement has a keyword");
    for word in &statement.words {
        check_span(word.span, text);
        assert!(word.quoted || !word.text.is_empty());
    }
    assert!(statement.words.is_sorted_by(|a, b| a.span.end <= b.span.start));
    for inner in statement.statements() {
        assert!(statement.span() < inner.span());
        check(inner, text, depth + 1);
    }
}

fn check_span(span: Span, text: &str) {
    assert_eq!(span.file, 0);
    assert!(text.get(span.start..span.end).is_some(), "a span is a piece of the text");
}
