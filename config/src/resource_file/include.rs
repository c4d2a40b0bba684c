//! Reading: root files, and the files that files include.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::document::without_mark;
use crate::kinds::quote;

use super::files::{Fault, Files};
use super::parse::{MAX_TOKENS, parse};
use super::tree::{Span, Statement};

/// Everything that was read, from one root file or several.
///
/// A file that was read already is passed over, as the tools do: so two files may include a third, and a file
/// that includes itself is no loop.
#[derive(Debug)]
pub struct Reading {
    /// The texts.
    pub files: Files,
    /// The statements of all files; those of an included file stand where its `include` was.
    pub statements: Vec<Statement>,
    /// What is wrong, file by file. What could be understood in spite of it is in the statements.
    pub faults: Vec<Fault>,
    faulty: HashSet<Span>,
    seen: HashSet<PathBuf>,
    /// Bytes, and words with signs, that may still be read.
    bytes: usize,
    tokens: usize,
}

/// Reads a file and what it includes.
///
/// # Errors
/// Why the file itself cannot be read. Everything else is among the faults.
pub fn read(path: &Path) -> Result<Reading, String> {
    let mut reading = Reading::default();
    reading.read(path)?;
    Ok(reading)
}

/// Reads a text, and nothing that it includes: its `include` statements are among the others.
pub fn parse_text(name: &str, text: &str) -> Reading {
    let mut reading = Reading::default();
    let statements = reading.text(name, text.to_owned());
    reading.statements = statements;
    reading
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            files: Files::default(),
            statements: Vec::new(),
            faults: Vec::new(),
            faulty: HashSet::new(),
            seen: HashSet::new(),
            bytes: MAX_BYTES,
            tokens: MAX_TOKENS,
        }
    }
}

impl Reading {
    /// Reads a further root file and what it includes.
    ///
    /// # Errors
    /// Why the file itself cannot be read. Everything else is among the faults.
    pub fn read(&mut self, path: &Path) -> Result<(), String> {
        self.file(path, 0)
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        let real = path.canonicalize().map_err(unreadable)?;
        if self.seen.contains(&real) {
            return Ok(());
        }
        if self.seen.len() == MAX_FILES {
            return Err(format!("is one file too many: at most {MAX_FILES} are read"));
        }
        let text = text_of(path)?;
        self.bytes = match self.bytes.checked_sub(text.len()) {
            Some(rest) => rest,
            None => return Err(format!("is too much: at most {}MiB are read", MAX_BYTES >> 20)),
        };
        self.seen.insert(real);
        let folder = path.parent().unwrap_or(Path::new(""));
        for statement in self.text(&path.display().to_string(), text) {
            match (statement.keyword(), statement.arguments()) {
                ("include", [pattern]) if !self.is_faulty(&statement) => {
                    self.include(&pattern.text, pattern.span, folder, depth + 1)
                }
                _ => self.statements.push(statement),
            }
        }
        Ok(())
    }

    fn text(&mut self, name: &str, text: String) -> Vec<Statement> {
        let file = self.files.add(name, text);
        let parsed = parse(file, self.files.text(file), &mut self.tokens);
        let rest = MAX_FAULTS.saturating_sub(self.faults.len());
        self.faults.extend(parsed.faults.into_iter().take(rest));
        self.faulty.extend(parsed.faulty);
        parsed.statements
    }

    fn include(&mut self, pattern: &str, span: Span, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            let wrong = format!("this is the {depth}th file that includes the next one");
            self.fault(span, wrong, "include files from fewer other files");
            return;
        }
        match expand(folder, pattern) {
            Err(wrong) => self.fault(span, wrong, "name a file, or a pattern of *, ? and [ ]"),
            Ok(paths) => {
                for path in paths {
                    if let Err(wrong) = self.file(&path, depth) {
                        let wrong = format!("{} {wrong}", quote(&path.display().to_string()));
                        self.fault(span, wrong, "name resource files that this user may read");
                    }
                }
            }
        }
    }

    /// Whether something is wrong in a statement or in its braces: it may not say what was meant, and what it lacks
    /// may be there.
    pub fn is_faulty(&self, statement: &Statement) -> bool {
        self.faulty.contains(&statement.span())
    }

    fn fault(&mut self, span: Span, wrong: String, right: &str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { span, key: "include".to_owned(), wrong, right: right.to_owned() });
        }
    }
}

/// The files that a path or a pattern names, in alphabetical order, as `glob(3)` has them: `*`, `?` and `[…]` match
/// no `/`, and no dot that a name begins with. A path without these signs is the answer whether it is there or not.
///
/// # Errors
/// It is no pattern, or a folder cannot be read: which and why.
pub(crate) fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !is_pattern(pattern) {
        return Ok(vec![folder.join(pattern)]);
    }
    let mut whole = pattern.to_owned();
    // Here `**` would go through all folders below.
    while whole.contains("**") {
        whole = whole.replace("**", "*");
    }
    if !pattern.starts_with('/') && folder != Path::new("") {
        whole = format!("{}/{whole}", Pattern::escape(&folder.to_string_lossy()));
    }
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(&whole, options).map_err(|error| format!("is no pattern: {}", error.msg))?;
    let unreadable = |error: glob::GlobError| {
        let folder = quote(&error.path().display().to_string());
        format!("the folder {folder} cannot be read: {}", error.error())
    };
    paths.take(MAX_FILES).map(|path| path.map_err(unreadable)).collect()
}

/// Whether a path is a pattern, which may match nothing.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn text_of(path: &Path) -> Result<String, String> {
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large.
    let limited = fs::File::open(path).map_err(unreadable)?.take(MAX_FILE + 1);
    io::BufReader::new(limited).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {}MiB", MAX_FILE >> 20));
    }
    // The tools look at bytes, and an old file may hold Latin-1 in its comments and quotes.
    Ok(without_mark(String::from_utf8_lossy(&bytes).into_owned()))
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn unreadable(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

/// A resource is a few kilobytes, and few files hold more than one.
const MAX_FILE: u64 = 16 << 20;
/// Of all files together; beyond them lies nothing that a person wrote.
const MAX_BYTES: usize = 64 << 20;
const MAX_FILES: usize = 10_000;
/// How deeply files may include each other. A global file and its resources are 2.
const MAX_DEPTH: usize = 16;
/// Errors of all files together.
const MAX_FAULTS: usize = 1000;
