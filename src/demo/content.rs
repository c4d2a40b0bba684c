//! What has to be on the volume, block by block.

use std::ops::Range;

use drx_bsr::shell::pattern;

use super::image::{self, BLOCK};

/// What a block has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The pattern of this seed.
    Pattern(u64),
    /// The file system's block of the same number.
    Image,
}

impl Source {
    /// Writes what belongs at `offset`, which is a block's as the length is whole blocks'.
    pub(super) fn fill(self, offset: u64, buffer: &mut [u8]) {
        match self {
            Source::Pattern(seed) => pattern::fill(seed, offset, buffer),
            Source::Image => {
                for (number, block) in (offset / BLOCK as u64..).zip(buffer.chunks_mut(BLOCK)) {
                    match image::block(number) {
                        Some(kept) => block.copy_from_slice(&kept[..block.len()]),
                        None => block.fill(0),
                    }
                }
            }
        }
    }
}

/// What has to be on the volume: of each block the last thing that was written to it, and acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Content(Vec<Source>);

impl Content {
    /// That of a volume of so many bytes before anything is written to it.
    pub(super) fn new(bytes: u64) -> Content {
        Content((0..bytes / BLOCK as u64).map(|_| BEFORE).collect())
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> u64 {
        self.0.len() as u64
    }

    /// Takes note of a write to these blocks.
    pub(super) fn wrote(&mut self, blocks: Range<u64>, source: Source) {
        for number in blocks {
            if let Some(block) = usize::try_from(number).ok().and_then(|number| self.0.get_mut(number)) {
                *block = source;
            }
        }
    }

    /// Which blocks are not what they have to be, of those in `bytes`, read from block `first` on.
    pub(super) fn differences(&self, first: u64, bytes: &[u8]) -> Vec<u64> {
        let mut expected = [0; BLOCK];
        let from = usize::try_from(first).unwrap_or(usize::MAX);
        let sources = self.0.iter().skip(from);
        let blocks = (first..).zip(sources).zip(bytes.chunks(BLOCK));
        let differs = blocks.filter_map(|((number, source), block)| {
            source.fill(number * BLOCK as u64, &mut expected);
            (*block != expected).then_some(number)
        });
        differs.collect()
    }
}

/// What is on a volume before anything is written to it.
pub(super) const BEFORE: Source = Source::Pattern(0);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.0.len() * BLOCK];
        for ((number, block), source) in (0..).zip(bytes.chunks_mut(BLOCK)).zip(&content.0) {
            source.fill(number * BLOCK as u64, block);
        }
        bytes
    }

    #[test]
    fn a_block_has_to_hold_what_was_last_written_to_it() {
        let mut content = Content::new(image::BYTES + 8 * BLOCK as u64);
        let before = read(&content);
        assert_eq!(content.differences(0, &before), [0u64; 0]);
        let image = image::BYTES / BLOCK as u64;
        content.wrote(0..image, Source::Image);
        content.wrote(image + 2..image + 5, Source::Pattern(7));
        content.wrote(image + 4..image + 6, Source::Pattern(8));
        let beyond = content.blocks()..content.blocks() + 3;
        content.wrote(beyond, Source::Pattern(9));
        let expected: Vec<u64> = (0..image).chain(image + 2..image + 6).collect();
        assert_eq!(content.differences(0, &before), expected);
        let mut after = read(&content);
        assert_eq!(content.differences(0, &after), [0u64; 0]);
        after[3 * BLOCK + 17] ^= 1;
        assert_eq!(content.differences(0, &after), [3]);
        assert_eq!(content.differences(3, &after[3 * BLOCK..4 * BLOCK]), [3]);
        assert_eq!(content.differences(4, &after[4 * BLOCK..]), [0u64; 0]);
    }
}
