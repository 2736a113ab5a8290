//! Randomness from a seed: the same seed gives the same crowd.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough for a crowd. It makes no
//! secrets; the keys that have to be unguessable are made from a seed that the program gives.

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below 0");
        let product = u128::from(self.number()) * end as u128;
        usize::try_from(product >> 64).expect("it is below a usize")
    }

    /// A share: from 0, up to but without 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that does so in this share of cases.
    pub fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// Another sequence, which has nothing to do with what this one gives from now on.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.number())
    }
}
