//! All randomness of a run, from its seed.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014): the numbers belong to every kept reproduction, so they
//! may never change with a library's version. Each actor draws from a stream of its own, so that a
//! run without one buyer leaves all others as they were.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed that is called `name`, the `index`-th of that name.
    pub(crate) fn of(seed: u64, name: &str, index: u64) -> Self {
        let mut stream = Self(seed);
        for byte in name.bytes() {
            stream.0 = stream.next() ^ u64::from(byte);
        }
        stream.0 = stream.next() ^ index;
        stream.next();
        stream
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any number of 128 bits.
    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// Any number of 32 bits.
    pub(crate) fn short(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The bias is `end` in 2^64: nothing that a simulation could notice.
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).expect("it is below `end`")
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// The same for 32 bits.
    pub(crate) fn between_u32(&mut self, from: u32, to: u32) -> u32 {
        u32::try_from(self.between(u64::from(from), u64::from(to))).expect("it is not above `to`")
    }

    /// A number from `from` to `to` whose logarithm is uniform: small ones are as likely as large.
    pub(crate) fn scale(&mut self, from: u64, to: u64) -> u64 {
        let doublings = (to / from).max(1).ilog2();
        let least = from << self.below(u64::from(doublings) + 1);
        self.between(least, (least * 2).min(to).max(least))
    }

    /// Whether something that happens `per_mille` times in a thousand happens now.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// An index of a list of `len`, which is not empty.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("it is below `len`")
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        // The reference values of SplitMix64 for the seed 1234567.
        let mut stream = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| stream.next()).collect();
        assert_eq!(first, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn streams_of_other_names_and_numbers_are_others() {
        let first = |seed, name, index| Random::of(seed, name, index).next();
        let all =
            [first(1, "buyer", 0), first(1, "buyer", 1), first(2, "buyer", 0), first(1, "node", 0)];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one));
        }
        assert_eq!(first(1, "buyer", 1), first(1, "buyer", 1));
    }

    #[test]
    fn ranges_include_their_ends_and_nothing_more() {
        let mut stream = Random::of(7, "test", 0);
        let drawn: Vec<u64> = (0..1_000).map(|_| stream.between(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
        assert!((0..1_000).all(|_| (2..=400).contains(&stream.scale(2, 400))));
        assert_eq!((0..1_000).filter(|_| stream.chance(0)).count(), 0);
        assert_eq!((0..1_000).filter(|_| stream.chance(1_000)).count(), 1_000);
    }
}
