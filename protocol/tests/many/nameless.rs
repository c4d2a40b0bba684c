//! A hasher that gives links the numbers in which they come: worlds that differ only in the names
//! of their links are equal.

use std::hash::Hasher;

/// Links are the only 128-bit numbers there are. Two lanes of 64 bits each, because a world is
/// thousands of small writes and there are millions of worlds.
#[derive(Default)]
pub struct Nameless {
    sums: [u64; 2],
    names: Vec<u128>,
}

impl Nameless {
    pub fn sums(&self) -> [u64; 2] {
        self.sums
    }

    fn mix(&mut self, number: u64) {
        let [left, right] = &mut self.sums;
        *left = (left.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *right = (right.rotate_left(29) ^ number).wrapping_mul(0xc2b2_ae3d_27d4_eb4f).wrapping_add(1);
    }
}

impl Hasher for Nameless {
    fn finish(&self) -> u64 {
        self.sums[0] ^ self.sums[1].rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.mix(u64::from(byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn write_u128(&mut self, link: u128) {
        let known = self.names.iter().position(|&name| name == link);
        let name = known.unwrap_or_else(|| {
            self.names.push(link);
            self.names.len() - 1
        });
        self.mix(name as u64);
    }
}
