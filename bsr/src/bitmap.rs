//! Which blocks may differ: one bit for 4 KiB.

use bytes::{BufMut, Bytes, BytesMut};

mod code;
mod transfer;

pub use transfer::{BitmapError, Transfer};

/// Bytes of a page, as kept in the metadata.
pub const PAGE: usize = 4096;
/// Bytes of the volume for one bit.
pub const BLOCK: u64 = 4096;
/// Bytes of the volume for one page: 32,768 bits of 4 KiB.
pub const PAGE_SPAN: u64 = PAGE as u64 * 8 * BLOCK;

const WORDS_PER_PAGE: usize = PAGE / 8;

/// The bitmap of one volume. A set bit: the block may differ from the other node's. The last block may be a partial
/// one. It takes one byte of memory for 32 KiB of the volume.
///
/// It remembers which of its pages have changed since they were last taken, so that they can be saved.
#[derive(Clone, Debug)]
pub struct Bitmap {
    /// Of the volume.
    bytes: u64,
    bits: u64,
    /// Bit n is bit n % 64 of word n / 64. Those beyond the last one are always clear.
    words: Vec<u64>,
    weight: u64,
    /// One bit for each page: it has changed since it was last taken.
    dirty: Vec<u64>,
}

impl Bitmap {
    /// A bitmap for a volume of so many bytes; all clear, nothing to be saved.
    pub fn new(volume_bytes: u64) -> Bitmap {
        let bits = volume_bytes.div_ceil(BLOCK);
        let words = vec![0; index(bits.div_ceil(64))];
        let dirty = vec![0; words.len().div_ceil(WORDS_PER_PAGE).div_ceil(64)];
        Bitmap { bytes: volume_bytes, bits, words, weight: 0, dirty }
    }

    /// How many bits there are.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Of the volume.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of them are set. Costs nothing.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The volume's range in bytes may differ from now on: every block that it touches. Returns how many bits were
    /// not set before. What is beyond the volume is left out.
    pub fn set_out_of_sync(&mut self, offset: u64, length: u64) -> u64 {
        let (from, to) = self.touched(offset, length);
        self.change(from, to, true)
    }

    /// The range in bytes is the same on both nodes now: every block that is wholly in it, and the volume's last one
    /// if the range reaches the volume's end. Returns how many bits were set before.
    pub fn set_in_sync(&mut self, offset: u64, length: u64) -> u64 {
        let end = offset.saturating_add(length);
        let to = if end >= self.bytes { self.bits } else { end / BLOCK };
        self.change(offset.div_ceil(BLOCK), to, false)
    }

    /// Whether any block that the range in bytes touches may differ.
    pub fn out_of_sync_in(&self, offset: u64, length: u64) -> bool {
        let (from, to) = self.touched(offset, length);
        self.next_set(from).is_some_and(|bit| bit < to)
    }

    /// How many of the blocks that the range in bytes touches may differ.
    pub fn weight_of(&self, offset: u64, length: u64) -> u64 {
        let (from, to) = self.touched(offset, length);
        let (mut weight, mut at) = (0, from);
        while at < to {
            let word = self.words[index(at / 64)] & mask(at, to);
            weight += u64::from(word.count_ones());
            at = (at | 63) + 1;
        }
        weight
    }

    /// The first set bit at or after this one.
    pub fn next_set(&self, from_bit: u64) -> Option<u64> {
        self.find(from_bit, 0)
    }

    /// The first clear bit at or after this one.
    pub fn next_clear(&self, from_bit: u64) -> Option<u64> {
        self.find(from_bit, u64::MAX)
    }

    /// Every block may differ.
    pub fn set_all(&mut self) {
        self.change(0, self.bits, true);
    }

    /// No block differs.
    pub fn clear_all(&mut self) {
        self.change(0, self.bits, false);
    }

    /// The volume has so many bytes now. If it grew, the new blocks and a block that was partial are set if
    /// `new_bits_set`, otherwise new ones are clear. All pages that are new or cut are to be saved.
    pub fn resize(&mut self, volume_bytes: u64, new_bits_set: bool) {
        let (old_bytes, old_bits) = (self.bytes, self.bits);
        let bits = volume_bytes.div_ceil(BLOCK);
        if bits < old_bits {
            self.change(bits, old_bits, false);
        }
        self.bytes = volume_bytes;
        self.bits = bits;
        self.words.resize(index(bits.div_ceil(64)), 0);
        let pages = self.words.len().div_ceil(WORDS_PER_PAGE);
        self.dirty.resize(pages.div_ceil(64), 0);
        if let (Some(last), used @ 1..) = (self.dirty.last_mut(), pages % 64) {
            *last &= (1 << used) - 1;
        }
        if bits > old_bits {
            // What the metadata has there may be from a time when the volume was larger.
            for page in index(old_bits / 64) / WORDS_PER_PAGE..pages {
                self.mark(page);
            }
        }
        if new_bits_set && volume_bytes > old_bytes {
            self.set_out_of_sync(old_bytes, volume_bytes - old_bytes);
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> u32 {
        self.words.len().div_ceil(WORDS_PER_PAGE) as u32 // 2^32 pages are 2^59 bytes of volume: no memory has those
    }

    /// A page: [`PAGE`] bytes, 64-bit words with their least significant byte first, as on the wire. Beyond the last
    /// bit it is zero.
    pub fn page(&self, number: u32) -> Bytes {
        let from = (number as usize).saturating_mul(WORDS_PER_PAGE).min(self.words.len());
        let to = from.saturating_add(WORDS_PER_PAGE).min(self.words.len());
        let mut page = self.word_bytes(from, to);
        page.resize(PAGE, 0);
        page.freeze()
    }

    /// Puts what was saved into a page, which then counts as saved. False, and nothing done, if there is no such page
    /// or it has not [`PAGE`] bytes. Bits beyond the last one are left out.
    #[must_use]
    pub fn load_page(&mut self, number: u32, bytes: &[u8]) -> bool {
        if number >= self.pages() || bytes.len() != PAGE {
            return false;
        }
        let first = number as usize * WORDS_PER_PAGE;
        for (word, saved) in (first..self.words.len()).zip(words_in(bytes)) {
            self.replace(word, self.words[word], saved & self.within(word));
        }
        self.dirty[number as usize / 64] &= !(1 << (number % 64));
        true
    }

    /// Whether there is a page to be saved.
    pub fn is_dirty(&self) -> bool {
        self.dirty.iter().any(|&word| word != 0)
    }

    /// All pages that have changed since they were last taken. They count as saved then.
    pub fn take_dirty(&mut self) -> Vec<(u32, Bytes)> {
        self.take(0, self.pages())
    }

    /// Of those, the ones with a bit for a block that the range in bytes touches.
    pub fn take_dirty_of(&mut self, offset: u64, length: u64) -> Vec<(u32, Bytes)> {
        let (from, to) = self.touched(offset, length);
        let per_page = PAGE_SPAN / BLOCK;
        // Both are at most `pages()`.
        self.take((from / per_page) as u32, to.div_ceil(per_page) as u32)
    }

    fn take(&mut self, from: u32, to: u32) -> Vec<(u32, Bytes)> {
        let mut taken = Vec::new();
        let mut page = from;
        while page < to {
            let word = self.dirty[page as usize / 64] >> (page % 64);
            if word == 0 {
                page = (page | 63) + 1;
                continue;
            }
            page += word.trailing_zeros();
            if page < to {
                self.dirty[page as usize / 64] &= !(1 << (page % 64));
                taken.push((page, self.page(page)));
            }
            page += 1;
        }
        taken
    }

    /// 64-bit words, as on the wire. Both ends within [`Bitmap::word_count`].
    fn word_bytes(&self, from: usize, to: usize) -> BytesMut {
        let mut bytes = BytesMut::with_capacity(PAGE);
        for &word in &self.words[from..to] {
            bytes.put_u64_le(word);
        }
        bytes
    }

    fn word_count(&self) -> usize {
        self.words.len()
    }

    /// Sets what is set in these words, too; they begin with word `first`. What is beyond the last bit is left out.
    fn or_words(&mut self, first: usize, bytes: &[u8]) {
        for (word, theirs) in (first..self.words.len()).zip(words_in(bytes)) {
            let old = self.words[word];
            let new = old | (theirs & self.within(word));
            self.replace(word, old, new);
        }
    }

    /// The bits of a word that there are.
    fn within(&self, word: usize) -> u64 {
        mask(word as u64 * 64, self.bits)
    }

    /// The bits of the blocks that a range in bytes touches.
    fn touched(&self, offset: u64, length: u64) -> (u64, u64) {
        if length == 0 || offset >= self.bytes {
            return (0, 0);
        }
        (offset / BLOCK, offset.saturating_add(length).div_ceil(BLOCK).min(self.bits))
    }

    fn change(&mut self, from: u64, to: u64, set: bool) -> u64 {
        let before = self.weight;
        let mut at = from;
        while at < to {
            let word = index(at / 64);
            let old = self.words[word];
            let new = if set { old | mask(at, to) } else { old & !mask(at, to) };
            self.replace(word, old, new);
            at = (at | 63) + 1;
        }
        self.weight.abs_diff(before)
    }

    fn replace(&mut self, word: usize, old: u64, new: u64) {
        if new != old {
            self.words[word] = new;
            self.weight = self.weight - u64::from(old.count_ones()) + u64::from(new.count_ones());
            self.mark(word / WORDS_PER_PAGE);
        }
    }

    fn mark(&mut self, page: usize) {
        self.dirty[page / 64] |= 1 << (page % 64);
    }

    /// The first bit at or after this one that is set once inverted.
    fn find(&self, from: u64, invert: u64) -> Option<u64> {
        if from >= self.bits {
            return None;
        }
        let mut word = index(from / 64);
        let mut found = (self.words[word] ^ invert) & (u64::MAX << (from % 64));
        while found == 0 {
            word += 1;
            found = self.words.get(word)? ^ invert;
        }
        let bit = word as u64 * 64 + u64::from(found.trailing_zeros());
        (bit < self.bits).then_some(bit)
    }
}

/// The same bits are set, for the same volume. What is to be saved does not count.
impl PartialEq for Bitmap {
    fn eq(&self, other: &Bitmap) -> bool {
        self.bytes == other.bytes && self.words == other.words
    }
}

impl Eq for Bitmap {}

/// Those bits of the word with bit `at` that are not before `at`, and before `to`.
fn mask(at: u64, to: u64) -> u64 {
    let end = to.saturating_sub(at & !63);
    let before = if end < 64 { (1 << end) - 1 } else { u64::MAX };
    u64::MAX << (at % 64) & before
}

/// Words, their least significant byte first; what is left at the end is no word.
fn words_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

/// A word's place. Of a volume whose words do not fit into the memory there is no bitmap.
fn index(word: u64) -> usize {
    word as usize
}
