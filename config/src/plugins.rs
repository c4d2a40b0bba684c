//! `plugin { … }` of a proxy: lines that name a way to compress (bsr-wire A.8), as this relay does it.

use crate::kinds::quote;
use crate::model::Compression;

/// What lines of `plugin` ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// As this relay has it; none: they say nothing of compression.
    pub compression: Option<Compression>,
    /// What is done otherwise than written, one sentence for each such line, with its number from 0.
    pub remarks: Vec<(usize, String)>,
}

impl Plugins {
    /// Reads the lines. The first that compresses counts: data are packed once.
    pub fn read(lines: &[String]) -> Plugins {
        let mut plugins = Plugins::default();
        for (number, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (compression, remark) = match words.as_slice() {
                ["lz4"] => (Some(Compression::Lz4), None),
                ["zstd", rest @ ..] => zstd(line, rest),
                ["zlib", rest @ ..] => instead(line, level(rest).unwrap_or(ZLIB_LEVEL).min(ZLIB_MOST)),
                ["lzma", ..] => instead(line, LZMA_LIKE),
                _ => (
                    None,
                    Some(format!("{} is no plugin of this relay: nothing is done for it", quote(line))),
                ),
            };
            let remark = match (compression, plugins.compression) {
                (Some(_), Some(_)) => {
                    Some(format!("{} does nothing: another plugin compresses already", quote(line)))
                }
                _ => remark,
            };
            plugins.compression = plugins.compression.or(compression);
            plugins.remarks.extend(remark.map(|remark| (number, remark)));
        }
        plugins
    }
}

fn zstd(line: &str, rest: &[&str]) -> (Option<Compression>, Option<String>) {
    match (rest, level(rest)) {
        ([], _) => (Some(Compression::Zstd(Compression::LEVEL)), None),
        (["level", _], Some(wanted @ 1..=22)) => {
            let compression = Compression::Zstd(wanted);
            (Some(compression), compression.slowness())
        }
        _ => {
            let meant = level(rest).unwrap_or(Compression::LEVEL).clamp(1, 22);
            let remark = format!("{} is taken for zstd:{meant}: zstd has levels 1 to 22", quote(line));
            (Some(Compression::Zstd(meant)), Some(remark))
        }
    }
}

/// A codec that this relay does not have, for one that packs alike.
fn instead(line: &str, level: u8) -> (Option<Compression>, Option<String>) {
    let level = level.max(1);
    let remark = format!("{} is not spoken here: zstd:{level} is used in its place", quote(line));
    (Some(Compression::Zstd(level)), Some(remark))
}

/// The number behind the word `level`; too large a number is the largest.
fn level(words: &[&str]) -> Option<u8> {
    let at = words.iter().position(|word| *word == "level")?;
    let digits = words.get(at + 1).filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u8::MAX))
}

/// zlib's own default, and its highest.
const ZLIB_LEVEL: u8 = 6;
const ZLIB_MOST: u8 = 9;
/// lzma packs better than that, and so slowly that a relay's other connections would feel it.
const LZMA_LIKE: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Option<Compression>, Vec<String>) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let Plugins { compression, remarks } = Plugins::read(&lines);
        (compression, remarks.into_iter().map(|(number, remark)| format!("{number}: {remark}")).collect())
    }

    #[test]
    fn what_this_relay_has_is_taken_as_it_is() {
        assert_eq!(read(&[]), (None, vec![]));
        assert_eq!(read(&["lz4"]), (Some(Compression::Lz4), vec![]));
        assert_eq!(read(&["zstd"]), (Some(Compression::Zstd(3)), vec![]));
        assert_eq!(read(&["zstd level 9"]), (Some(Compression::Zstd(9)), vec![]));
        let (compression, remarks) = read(&["zstd level 22"]);
        assert_eq!(compression, Some(Compression::Zstd(22)));
        assert!(remarks[0].starts_with("0: zstd:22 takes up to 0.2 s for a payload"), "{remarks:?}");
    }

    #[test]
    fn what_it_has_not_becomes_something_like_it_and_that_is_said() {
        let zlib = |line: &str, level| {
            let remark = format!("0: \"{line}\" is not spoken here: zstd:{level} is used in its place");
            assert_eq!(read(&[line]), (Some(Compression::Zstd(level)), vec![remark]));
        };
        zlib("zlib level 9", 9);
        zlib("zlib", 6);
        zlib("zlib level 300", 9);
        zlib("zlib level 0", 1);
        zlib("lzma contexts 4 level 9", 9);
        let (compression, remarks) = read(&["zstd level 99"]);
        assert_eq!(compression, Some(Compression::Zstd(22)));
        assert_eq!(remarks, ["0: \"zstd level 99\" is taken for zstd:22: zstd has levels 1 to 22"]);
        let (compression, remarks) = read(&["encrypt aes", "lz4", "zstd level 1"]);
        assert_eq!(compression, Some(Compression::Lz4));
        assert_eq!(
            remarks,
            [
                "0: \"encrypt aes\" is no plugin of this relay: nothing is done for it",
                "2: \"zstd level 1\" does nothing: another plugin compresses already",
            ]
        );
    }
}
