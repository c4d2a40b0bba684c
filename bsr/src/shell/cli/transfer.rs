//! Moving data between files and the volume: several requests under way at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::command::PatternArgs;
use super::{Failure, expect_done, print, status, strange};
use crate::shell::control::client::Client;
use crate::shell::control::{Answer, IN_FLIGHT, MAX_LENGTH, Request};
use crate::shell::pattern;

/// Writes a file to the volume, and sees it to stable storage.
pub(super) fn write(client: &mut Client, at: u64, file: &Path) -> Result<(), Failure> {
    let mut from: Box<dyn Read> = if is_standard(file) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?)
    };
    let mut offset = at;
    let next = || {
        let mut data = Vec::new();
        let piece = u64::from(MAX_LENGTH);
        from.by_ref()
            .take(piece)
            .read_to_end(&mut data)
            .map_err(|error| Failure::new(format!("cannot read: {error}")))?;
        if data.is_empty() {
            return Ok(None);
        }
        let rest = data.len() as u64 % SECTOR;
        if rest != 0 {
            return Err(Failure::new(format!(
                "{} bytes are no whole sectors of {SECTOR}: the last {rest} are not written",
                offset - at + data.len() as u64
            )));
        }
        let piece = Piece { offset, length: length(data.len()) };
        offset += u64::from(piece.length);
        Ok(Some((piece, data)))
    };
    written(client, next)
}

/// Reads a part of the volume into a file.
pub(super) fn read(client: &mut Client, at: u64, length: u64, file: &Path) -> Result<(), Failure> {
    let mut to: Box<dyn Write> = if is_standard(file) {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?)
    };
    let failed = |error| Failure::new(format!("cannot write: {error}"));
    reads(client, at, length, |_, data| to.write_all(&data).map_err(failed))?;
    to.flush().map_err(failed)
}

/// Writes content that follows from a seed, and sees it to stable storage.
pub(super) fn fill(client: &mut Client, args: PatternArgs) -> Result<(), Failure> {
    let mut pieces = pieces(args.at, length_of(client, args)?);
    let next = || {
        Ok(pieces.next().map(|piece| {
            let mut data = vec![0; piece.length as usize];
            pattern::fill(args.seed, piece.offset, &mut data);
            (piece, data)
        }))
    };
    written(client, next)
}

/// Compares with what [`fill`] wrote.
pub(super) fn check(client: &mut Client, args: PatternArgs) -> Result<(), Failure> {
    let length = length_of(client, args)?;
    reads(client, args.at, length, |offset, data| match pattern::difference(args.seed, offset, &data) {
        Some(differs) => Err(Failure::new(format!("differs first at byte {differs}"))),
        None => Ok(()),
    })?;
    print(&format!("{length} bytes are as filled"), "\n")
}

fn length_of(client: &mut Client, args: PatternArgs) -> Result<u64, Failure> {
    match args.length {
        Some(length) => Ok(length),
        None => {
            let size = status(client)?.size;
            size.checked_sub(args.at).ok_or_else(|| Failure::new(format!("the volume ends at byte {size}")))
        }
    }
}

/// A part of the volume that one request is about.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: u64,
    length: u32,
}

/// A range in pieces that end where whole ones of the volume do.
fn pieces(at: u64, length: u64) -> impl Iterator<Item = Piece> {
    let end = at.saturating_add(length);
    let mut offset = at;
    std::iter::from_fn(move || {
        let piece = u64::from(MAX_LENGTH);
        let next = (offset - offset % piece).saturating_add(piece).min(end);
        let piece = Piece { offset, length: u32::try_from(next - offset).ok().filter(|length| *length > 0)? };
        offset = next;
        Some(piece)
    })
}

fn reads(
    client: &mut Client,
    at: u64,
    length: u64,
    mut take: impl FnMut(u64, Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut pieces = pieces(at, length);
    let next = || Ok(pieces.next().map(|piece| (piece, Vec::new())));
    let request = |Piece { offset, length }| Request::Read { offset, length };
    pipeline(client, next, request, |piece, answer, data| match answer {
        Answer::Data { length } if length == piece.length => take(piece.offset, data),
        other => Err(strange(other)),
    })
}

fn written(
    client: &mut Client,
    next: impl FnMut() -> Result<Option<(Piece, Vec<u8>)>, Failure>,
) -> Result<(), Failure> {
    let request = |Piece { offset, length }| Request::Write { offset, length };
    pipeline(client, next, request, |_, answer, _| expect_done(answer))?;
    expect_done(client.call(&Request::Flush {})?)
}

/// Has as many requests under way as the node allows, and takes the answers in their order. After the first that failed
/// there is nothing more to be had from the connection.
fn pipeline(
    client: &mut Client,
    mut next: impl FnMut() -> Result<Option<(Piece, Vec<u8>)>, Failure>,
    request: impl Fn(Piece) -> Request,
    mut done: impl FnMut(Piece, Answer, Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut under_way = VecDeque::new();
    let mut ended = None;
    loop {
        while ended.is_none() && under_way.len() < IN_FLIGHT {
            match next() {
                Ok(Some((piece, data))) => {
                    client.send(&request(piece), &data)?;
                    under_way.push_back(piece);
                }
                Ok(None) => ended = Some(Ok(())),
                // What is under way is done all the same, and its own failure is the one to tell.
                Err(failure) => ended = Some(Err(failure)),
            }
        }
        match under_way.pop_front() {
            Some(piece) => {
                let (answer, data) = client.receive()?;
                done(piece, answer, data)?;
            }
            None => return ended.unwrap_or(Ok(())),
        }
    }
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A piece's, which is 1 MiB at most.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(MAX_LENGTH)
}

const SECTOR: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_whole_ones_do() {
        let of =
            |at, length| pieces(at, length).map(|piece| (piece.offset, piece.length)).collect::<Vec<_>>();
        let mib = 1 << 20;
        assert_eq!(of(0, 0), []);
        assert_eq!(of(512, 1024), [(512, 1024)]);
        assert_eq!(of(mib - 512, mib + 512), [(mib - 512, 512), (mib, 1 << 20)]);
        assert_eq!(of(u64::MAX - 511, 512), [(u64::MAX - 511, 511)]);
    }
}
