//! A real ext4 file system of 16 MiB, made by mke2fs (`image/make`). Of its blocks only those that are not all zero are
//! kept.

/// How large it is, in bytes.
pub(super) const BYTES: u64 = 16 << 20;
/// The bytes of one of its blocks.
pub(super) const BLOCK: usize = 4096;

/// One of its blocks, of those that are not all zero; otherwise, and beyond its end, none.
pub(super) fn block(number: u64) -> Option<&'static [u8]> {
    let (records, _) = KEPT.as_chunks::<RECORD>();
    let found = records.binary_search_by_key(&number, number_of).ok()?;
    Some(&records[found][NUMBER..])
}

fn number_of(record: &[u8; RECORD]) -> u64 {
    record[..NUMBER].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Records in the order of their numbers: the number in 4 bytes, big endian, and the block.
static KEPT: &[u8] = include_bytes!("image/ext4.blocks");
const NUMBER: usize = 4;
const RECORD: usize = NUMBER + BLOCK;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fmt::Write;
    use std::fs;
    use std::process::{Command, Output};

    use super::*;

    fn whole() -> Vec<u8> {
        (0..BYTES / BLOCK as u64).flat_map(|number| block(number).unwrap_or(&[0; BLOCK])).copied().collect()
    }

    /// What a program of e2fsprogs makes of it; none if it is not installed.
    fn seen_by(program: &str, arguments: &[&str]) -> Option<Output> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        fs::write(&path, whole()).unwrap();
        // Not everybody has it on the path.
        let output = Command::new("timeout")
            .args(["60", "env", "PATH=/usr/sbin:/sbin:/usr/bin:/bin", program])
            .args(arguments)
            .arg(&path)
            .output()
            .unwrap();
        if output.status.code() == Some(127) {
            println!("skipped: no {program}");
            return None;
        }
        Some(output)
    }

    #[test]
    fn the_records_are_whole_and_in_order_and_none_is_beyond_the_end() {
        let (records, rest) = KEPT.as_chunks::<RECORD>();
        assert_eq!(rest, b"");
        let numbers: Vec<u64> = records.iter().map(number_of).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(*numbers.last().unwrap() < BYTES / BLOCK as u64);
        assert!(records.iter().all(|record| record[NUMBER..].iter().any(|byte| *byte != 0)));
    }

    #[test]
    fn it_is_an_ext4_file_system_of_its_size_with_its_files() {
        let image = whole();
        let superblock = &image[1024..];
        let field = |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().unwrap());
        assert_eq!(superblock[56..58], [0x53, 0xef], "the magic number");
        assert_eq!(1024 << field(24), BLOCK, "the size of a block");
        assert_eq!(u64::from(field(4)) * BLOCK as u64, BYTES, "the number of blocks");
        assert_ne!(field(92) & 4, 0, "a journal, as ext3 and ext4 have");
        assert_ne!(field(96) & 64, 0, "extents, as ext4 has");
        assert_eq!(superblock[120..128], *b"drx-demo", "its name");

        let is_there = |text: &[u8]| image.chunks(BLOCK).any(|block| block.starts_with(text));
        assert!(is_there(include_bytes!("image/README")));
        let numbers = (1..=5000).fold(String::new(), |mut text, number| {
            writeln!(text, "{number}").unwrap();
            text
        });
        assert!(numbers.as_bytes().chunks(BLOCK).all(is_there));
    }

    #[test]
    fn e2fsck_finds_nothing_wrong_with_it() {
        if let Some(output) = seen_by("e2fsck", &["-f", "-n"]) {
            assert!(output.status.success(), "{output:?}");
        }
    }

    #[test]
    fn debugfs_finds_its_files() {
        if let Some(output) = seen_by("debugfs", &["-R", "cat README"]) {
            assert_eq!(String::from_utf8_lossy(&output.stdout), include_str!("image/README"), "{output:?}");
        }
    }
}
