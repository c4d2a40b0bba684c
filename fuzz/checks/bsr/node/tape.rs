//! What happens next is read off the input: so the fuzzer may choose it, and a seed's random bytes as well.

/// Bytes that answer questions. At its end all answers are 0.
pub struct Tape<'a> {
    left: &'a [u8],
}

impl<'a> Tape<'a> {
    pub fn new(bytes: &'a [u8]) -> Tape<'a> {
        Tape { left: bytes }
    }

    pub fn is_at_end(&self) -> bool {
        self.left.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// Less than this, which is at most 65,536.
    pub fn below(&mut self, end: usize) -> usize {
        let number: usize =
            if end <= 256 { self.byte().into() } else { u16::from_be_bytes(self.bytes()).into() };
        if end == 0 { 0 } else { number % end }
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
