//! Reading a client's lines, each bounded.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// What stood where a request may stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// The client has closed its side.
    End,
    /// It closed in the midst of a line.
    CutShort,
    /// More than the limit came without a line's end.
    TooLong,
}

/// Reads a line of at most `limit` bytes.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin), limit: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    // One more for the line's end.
    from.take(limit as u64 + 1).read_until(b'\n', &mut line).await?;
    Ok(match line.last() {
        Some(b'\n') => {
            line.pop();
            Line::Whole(line)
        }
        Some(_) if line.len() > limit => Line::TooLong,
        Some(_) => Line::CutShort,
        None => Line::End,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn lines_are_told_apart() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let cases = [
            ("abcde\nrest", whole("abcde")),
            ("\nrest", whole("")),
            ("abcdef\n", Line::TooLong),
            ("abcde", Line::CutShort),
            ("", Line::End),
        ];
        for (text, line) in cases {
            assert_eq!(read_line(&mut text.as_bytes(), 5).await.unwrap(), line, "{text:?}");
        }
    }
}
