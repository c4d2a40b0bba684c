//! Lines from standard input, each bounded, whatever comes.

use std::io::{self, BufRead, Read};

/// What stood where a command may stand.
#[derive(Debug)]
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// A line that is no command's.
    Garbage {
        /// Its first characters.
        begins: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are no more.
    End,
    /// They cannot be read.
    Failed(io::Error),
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
}

impl<R: BufRead> Lines<R> {
    /// Of this.
    pub(super) fn new(from: R) -> Lines<R> {
        Lines { from }
    }

    /// The next line. Of one that is too long no more than its beginning is kept.
    pub(super) fn next(&mut self) -> Line {
        let mut line = Vec::new();
        // One more for the line's end.
        match self.from.by_ref().take(LIMIT as u64 + 1).read_until(b'\n', &mut line) {
            Err(error) => return Line::Failed(error),
            Ok(0) => return Line::End,
            Ok(_) => {}
        }
        let whole = line.last() == Some(&b'\n');
        if whole {
            line.pop();
        } else if line.len() > LIMIT {
            if let Err(error) = self.skip() {
                return Line::Failed(error);
            }
            return garbage(&line, "the line is too long for a command");
        }
        String::from_utf8(line)
            .map_or_else(|error| garbage(error.as_bytes(), "this is no UTF-8 text"), Line::Text)
    }

    /// Reads to the end of the line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let piece = match self.from.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (count, last) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (piece.len(), piece.is_empty()),
            };
            self.from.consume(count);
            if last {
                return Ok(());
            }
        }
    }
}

fn garbage(line: &[u8], why: &'static str) -> Line {
    let begins = String::from_utf8_lossy(&line[..line.len().min(BEGINNING)]).into_owned();
    Line::Garbage { begins, why }
}

/// Bytes of a line: the daemon takes as many of a request.
const LIMIT: usize = 64 << 10;
/// Bytes of garbage that are shown.
const BEGINNING: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<String> {
        // A small buffer, so that long lines take many pieces.
        let mut lines = Lines::new(io::BufReader::with_capacity(1000, input));
        let mut seen = Vec::new();
        loop {
            match lines.next() {
                Line::Text(text) => seen.push(text),
                Line::Garbage { begins, why } => seen.push(format!("{why}: {}", begins.len())),
                Line::End => return seen,
                Line::Failed(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(all(b"show\n\nquit\r\nx"), ["show", "", "quit\r", "x"]);
        assert!(all(b"").is_empty());
        let just: String = "a".repeat(LIMIT);
        assert_eq!(all(format!("{just}\nshow\n").as_bytes()), [&just, "show"]);
        assert_eq!(all(just.as_bytes()), [just.as_str()]);
    }

    #[test]
    fn a_line_of_garbage_is_one_line() {
        let long = [vec![b'x'; LIMIT * 3], b"\nshow\n".to_vec()].concat();
        assert_eq!(all(&long), ["the line is too long for a command: 40", "show"]);
        assert_eq!(all(&long[..LIMIT + 1]), ["the line is too long for a command: 40"]);
        assert_eq!(all(b"\xff\xfe\nshow"), ["this is no UTF-8 text: 6", "show"]);
    }
}
