//! Chance that can be had again: a seeded generator, so that a drill that found something finds it the next time.

use std::ops::RangeInclusive;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Chance(u64);

impl Chance {
    /// The seed is printed with the drill that uses it.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number of this range.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start() + (mixed ^ (mixed >> 31)) % (range.end() - range.start() + 1)
    }
}
