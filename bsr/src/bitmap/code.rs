//! The run-length code of P_COMPRESSED_BITMAP: how long runs of clear and set bits are, alternating (bsr-wire B.5).

/// A class of run lengths: a prefix tells the class, the bits after it the length within the class.
struct Class {
    /// The first bit is the lowest.
    prefix: u64,
    prefix_bits: u32,
    data_bits: u32,
    /// The smallest length.
    base: u64,
}

const fn class(prefix: u64, prefix_bits: u32, data_bits: u32, base: u64) -> Class {
    Class { prefix, prefix_bits, data_bits, base }
}

/// Each begins where the one before it ends. Any 8 bits begin with exactly one of the prefixes.
const CLASSES: [Class; 10] = [
    class(0b0, 1, 1, 1),
    class(0b01, 2, 1, 3),
    class(0b011, 3, 2, 5),
    class(0b0111, 4, 3, 9),
    class(0b0_1111, 5, 5, 17),
    class(0b01_1111, 6, 8, 49),
    class(0b0011_1111, 8, 13, 305),
    class(0b0111_1111, 8, 21, 8_497),
    class(0b1011_1111, 8, 34, 2_105_649),
    class(0b1111_1111, 8, 56, 17_181_974_833),
];

/// The code of a run of at least one bit, and how many bits it has, at most 64. None if it is too long for the code.
pub(super) fn encode(run: u64) -> Option<(u64, u32)> {
    let class = CLASSES.iter().rev().find(|class| run >= class.base)?;
    let data = run - class.base;
    (data < 1 << class.data_bits)
        .then_some((class.prefix | data << class.prefix_bits, class.prefix_bits + class.data_bits))
}

/// The run that the next bits tell, and how many of them it took. `ahead` is what follows, zeros after its end.
pub(super) fn decode(ahead: u64) -> Option<(u64, u32)> {
    let class = CLASSES.iter().find(|class| ahead & ((1 << class.prefix_bits) - 1) == class.prefix)?;
    let data = ahead >> class.prefix_bits & ((1 << class.data_bits) - 1);
    Some((class.base + data, class.prefix_bits + class.data_bits))
}

/// Bits, the first one the lowest of its byte.
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Less than 8 bits that are no byte yet.
    rest: u128,
    rest_bits: u32,
    limit: usize,
}

impl Writer {
    /// For at most so many bytes.
    pub(super) fn new(limit: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(limit), rest: 0, rest_bits: 0, limit }
    }

    /// Adds bits, at most 64. False, and nothing added, if there is no room for them.
    pub(super) fn push(&mut self, bits: u64, count: u32) -> bool {
        let mut total = self.rest_bits + count;
        if self.bytes.len() + total.div_ceil(8) as usize > self.limit {
            return false;
        }
        let mut all = self.rest | u128::from(bits) << self.rest_bits;
        while total >= 8 {
            self.bytes.push(all as u8); // the lowest 8 bits are what is meant
            all >>= 8;
            total -= 8;
        }
        (self.rest, self.rest_bits) = (all, total);
        true
    }

    /// So many bytes it has, the last one begun included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.rest_bits > 0)
    }

    /// The bytes, and how many bits of the last one are unused.
    pub(super) fn finish(mut self) -> (Vec<u8>, u8) {
        if self.rest_bits > 0 {
            self.bytes.push(self.rest as u8);
        }
        (self.bytes, ((8 - self.rest_bits) % 8) as u8)
    }
}

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// The last byte has so many unused bits.
    pub(super) fn new(bytes: &'a [u8], unused: u8) -> Reader<'a> {
        Reader { bytes, at: 0, end: (bytes.len() * 8).saturating_sub(usize::from(unused)) }
    }

    /// How many bits are left.
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    /// The next run. None if the bits end within it.
    pub(super) fn run(&mut self) -> Option<u64> {
        // A code has at most 64 bits: it lies within 9 bytes.
        let mut ahead = [0; 16];
        let bytes = &self.bytes[self.at / 8..];
        let some = bytes.len().min(9);
        ahead[..some].copy_from_slice(&bytes[..some]);
        let ahead = (u128::from_le_bytes(ahead) >> (self.at % 8)) as u64; // the next 64 are what is meant
        let (run, bits) = decode(ahead)?;
        if bits as usize > self.left() {
            return None;
        }
        self.at += bits as usize;
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smallest and largest length, and bits in all, of every class (bsr-wire B.5).
    const BOUNDS: [(u64, u64, u32); 10] = [
        (1, 2, 2),
        (3, 4, 3),
        (5, 8, 5),
        (9, 16, 7),
        (17, 48, 10),
        (49, 304, 14),
        (305, 8_496, 21),
        (8_497, 2_105_648, 29),
        (2_105_649, 17_181_974_832, 42),
        (17_181_974_833, 17_181_974_832 + (1 << 56), 64),
    ];

    #[test]
    fn every_class_begins_and_ends_where_it_should() {
        for (smallest, largest, bits) in BOUNDS {
            for run in [smallest, (smallest + largest) / 2, largest] {
                let (code, count) = encode(run).expect("it is a length");
                assert_eq!(count, bits, "run {run}");
                assert_eq!(decode(code), Some((run, bits)));
            }
        }
        assert_eq!(encode(0), None);
        assert_eq!(encode(17_181_974_833 + (1 << 56)), None);
        assert_eq!(encode(u64::MAX), None);
    }

    #[test]
    fn any_bits_are_some_run() {
        for low in 0..=u64::from(u16::MAX) {
            let (run, bits) = decode(low).expect("every prefix is some class's");
            assert_eq!(encode(run).map(|(_, bits)| bits), Some(bits));
        }
    }

    #[test]
    fn bits_that_end_within_a_code_are_no_run() {
        for (_, largest, bits) in BOUNDS {
            let (code, _) = encode(largest).expect("it is a length");
            for count in 1..bits {
                let mut writer = Writer::new(9);
                assert!(writer.push(code & ((1 << count) - 1), count));
                let (bytes, unused) = writer.finish();
                let mut reader = Reader::new(&bytes, unused);
                // Zeros after the end may look like a shorter code, but never like one that lies within the bits.
                assert_eq!(reader.run(), None, "run {largest}, {count} of {bits} bits");
            }
        }
    }
}
