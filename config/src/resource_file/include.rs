//! Reading: root files, and the files that files include.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::document::without_mark;
use crate::kinds::quote;

use super::files::{Fault, Files};
use super::parse::parse;
use super::tree::{Span, Statement};

/// Everything that was read, from one root file or several.
///
/// A file that was read already is passed over, as the tools do: so two files may include a third, and a file
/// that includes itself is no loop.
#[derive(Debug, Default)]
pub struct Reading {
    /// The texts.
    pub files: Files,
    /// The statements of all files, in the order of reading; those of an included file stand where its `include` was.
    pub statements: Vec<Statement>,
    /// What is wrong, in the order of reading. What could be understood in spite of it is in the statements.
    pub faults: Vec<Fault>,
    seen: HashSet<PathBuf>,
}

/// Reads a file and what it includes.
///
/// # Errors
/// The root file cannot be read: why. Everything else is among the faults.
pub fn read(path: &Path) -> Result<Reading, String> {
    let mut reading = Reading::default();
    reading.read(path)?;
    Ok(reading)
}

/// Reads a text; what it includes is taken relative to the working directory.
pub fn parse_text(name: &str, text: &str) -> Reading {
    let mut reading = Reading::default();
    reading.text(name, text, Path::new(""), 0);
    reading
}

impl Reading {
    /// Reads a further root file and what it includes.
    ///
    /// # Errors
    /// The file cannot be read: why. Everything else is among the faults.
    pub fn read(&mut self, path: &Path) -> Result<(), String> {
        self.file(path, 0)
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        let real = path.canonicalize().map_err(|error| format!("cannot be read: {error}"))?;
        if !self.seen.insert(real) {
            return Ok(());
        }
        let text = text_of(path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.text(&path.display().to_string(), &text, &folder, depth);
        Ok(())
    }

    fn text(&mut self, name: &str, text: &str, folder: &Path, depth: usize) {
        let file = self.files.add(name, text.to_owned());
        let parsed = parse(file, self.files.text(file));
        self.faults.extend(parsed.faults);
        for statement in parsed.statements {
            match (statement.keyword(), statement.arguments(), &statement.body) {
                ("include", [pattern], None) if !statement.words[0].quoted => {
                    self.include(&pattern.text, pattern.span, folder, depth + 1);
                }
                _ => self.statements.push(statement),
            }
        }
    }

    fn include(&mut self, pattern: &str, span: Span, folder: &Path, depth: usize) {
        let key = format!("include {}", quote(pattern));
        let path = folder.join(pattern);
        if depth > MAX_INCLUDED {
            let wrong = "files include each other too deeply".to_owned();
            self.faults.push(Fault { span, key, wrong, right: "include them from fewer files".to_owned() });
            return;
        }
        if let Err(wrong) = self.file(&path, depth) {
            self.faults.push(Fault { span, key, wrong, right: "name a file that can be read".to_owned() });
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than 16MiB".to_owned());
    }
    Ok(without_mark(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A resource is a few kilobytes.
const MAX_FILE: u64 = 16 << 20;
const MAX_INCLUDED: usize = 10;
