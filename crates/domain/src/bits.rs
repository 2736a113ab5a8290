//! A set of indices that can be counted fast: the arithmetic of a waiting line.
//!
//! Two levels. A *page* is 32,768 bits in 512 words, beside each word the count of the bits before
//! it in the page; the set is a list of pages and the counts before them. How many members stand
//! before an index is thus two additions and one `popcount`, whether ten thousand wait or ten
//! million.
//!
//! What makes a long line slower is waiting for memory. Of the reads only that of the page has to
//! wait for another one, that of its address; the addresses and counts of all pages are a few KiB.
//! Where nobody has left, the counts alone are read.
//!
//! A change corrects the counts behind it, in its page and in the list: some 3 KiB at the most
//! among ten million, in order. A clone shares all pages. It costs 1.3 bits for each index.

use std::sync::Arc;

const WORD_BITS: usize = 64;
/// The count of a word of which every bit is a member.
const FULL: u16 = 64;
const PAGE_WORDS: usize = 512;
const PAGE_BITS: usize = WORD_BITS * PAGE_WORDS;

/// Members among `PAGE_BITS` indices.
#[derive(Clone, Debug)]
struct Page {
    /// For each word, how many members are lower than its first bit; then how many there are.
    before: [u16; PAGE_WORDS + 1],
    words: [u64; PAGE_WORDS],
}

impl Page {
    const EMPTY: Self = Self { before: [0; PAGE_WORDS + 1], words: [0; PAGE_WORDS] };

    fn contains(&self, at: usize) -> bool {
        self.words[at / WORD_BITS] >> (at % WORD_BITS) & 1 == 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "the number of a bit in a word")]
    fn rank_of(&self, at: usize) -> Option<u32> {
        let (word, bit) = (at / WORD_BITS, (at % WORD_BITS) as u32);
        let before = self.before[word];
        // Where nobody has left, the counts say it all: a quarter of the memory to wait for.
        if self.before[word + 1] - before == FULL {
            return Some(u32::from(before) + bit);
        }
        let bits = self.words[word];
        let lower = bits & ((1 << bit) - 1);
        (bits >> bit & 1 == 1).then(|| u32::from(before) + lower.count_ones())
    }

    fn first_from(&self, at: usize) -> Option<usize> {
        let word = at / WORD_BITS;
        let rest = self.words[word] >> (at % WORD_BITS);
        if rest != 0 {
            return Some(at + rest.trailing_zeros() as usize);
        }
        let next = holder_of(self.before[word + 1], &self.before)?;
        Some(next * WORD_BITS + self.words[next].trailing_zeros() as usize)
    }

    /// Turns the bit over and corrects the counts behind it.
    fn turn(&mut self, at: usize, member: bool) {
        let word = at / WORD_BITS;
        self.words[word] ^= 1 << (at % WORD_BITS);
        let by = if member { 1 } else { u16::MAX };
        self.before[word + 1..].iter_mut().for_each(|count| *count = count.wrapping_add(by));
    }
}

/// Which part holds the member that has `lower` lower ones, when `before` says for each part, and
/// at last for all of them, how many members come before its end.
fn holder_of<N: Copy + Ord>(lower: N, before: &[N]) -> Option<usize> {
    let higher = before.partition_point(|count| *count <= lower);
    (higher < before.len()).then(|| higher - 1)
}

/// A set of indices from 0 on.
#[derive(Clone, Debug)]
pub struct CountedBits {
    pages: Vec<Arc<Page>>,
    /// For each page, how many members are lower than its first bit; then how many there are.
    before: Vec<u32>,
}

impl Default for CountedBits {
    /// No member.
    fn default() -> Self {
        Self { pages: Vec::new(), before: vec![0] }
    }
}

impl CountedBits {
    /// How many members there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.before[self.pages.len()]
    }

    /// Whether `index` is a member.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.pages.get(index / PAGE_BITS).is_some_and(|page| page.contains(index % PAGE_BITS))
    }

    /// How many members are lower than `index`, if it is a member: both in one walk.
    #[must_use]
    pub fn rank_of(&self, index: usize) -> Option<u32> {
        let page = self.pages.get(index / PAGE_BITS)?;
        let before = self.before[index / PAGE_BITS];
        page.rank_of(index % PAGE_BITS).map(|lower| before + lower)
    }

    /// The lowest member that is `from` or higher.
    #[must_use]
    pub fn first_from(&self, from: usize) -> Option<usize> {
        let number = from / PAGE_BITS;
        let found = self.pages.get(number)?.first_from(from % PAGE_BITS);
        if let Some(at) = found {
            return Some(number * PAGE_BITS + at);
        }
        let next = holder_of(self.before[number + 1], &self.before)?;
        self.pages[next].first_from(0).map(|at| next * PAGE_BITS + at)
    }

    /// All members from `from` on, in order.
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = usize> {
        let mut next = from;
        std::iter::from_fn(move || {
            let found = self.first_from(next)?;
            next = found + 1;
            Some(found)
        })
    }

    /// Makes `index` a member; says whether it was none.
    pub fn insert(&mut self, index: usize) -> bool {
        self.set(index, true)
    }

    /// Makes `index` no member; says whether it was one.
    pub fn remove(&mut self, index: usize) -> bool {
        self.set(index, false)
    }

    fn set(&mut self, index: usize, member: bool) -> bool {
        if self.contains(index) == member {
            return false;
        }
        let number = index / PAGE_BITS;
        while self.pages.len() <= number {
            self.before.push(self.count());
            self.pages.push(Arc::new(Page::EMPTY));
        }
        Arc::make_mut(&mut self.pages[number]).turn(index % PAGE_BITS, member);
        let by = if member { 1 } else { u32::MAX };
        self.before[number + 1..].iter_mut().for_each(|count| *count = count.wrapping_add(by));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn index() -> impl Strategy<Value = usize> {
        prop_oneof![0..200_usize, 32_760..32_776_usize, 0..600_000_usize, 262_140..262_150_usize]
    }

    /// How many change in a row: one who leaves, or a crowd that fills words.
    fn run() -> impl Strategy<Value = usize> {
        prop_oneof![3 => Just(1_usize), 1 => 1..300_usize]
    }

    fn rank_in(plain: &BTreeSet<usize>, index: usize) -> Option<u32> {
        let lower = u32::try_from(plain.range(..index).count()).expect("few");
        plain.contains(&index).then_some(lower)
    }

    proptest! {
        #[test]
        fn counts_as_a_plain_set_does(
            changes in prop::collection::vec((index(), run(), prop::bool::weighted(0.7)), 0..100),
            asked in prop::collection::vec(index(), 1..50),
        ) {
            let (mut bits, mut plain) = (CountedBits::default(), BTreeSet::new());
            let (mut shared, mut seen) = (bits.clone(), plain.clone());
            for (n, &(first, length, member)) in changes.iter().enumerate() {
                for index in first..first + length {
                    let changed =
                        if member { plain.insert(index) } else { plain.remove(&index) };
                    prop_assert_eq!(bits.set(index, member), changed);
                }
                if n % 7 == 0 {
                    (shared, seen) = (bits.clone(), plain.clone());
                }
            }
            for (bits, plain) in [(&bits, &plain), (&shared, &seen)] {
                prop_assert_eq!(bits.count() as usize, plain.len());
                prop_assert!(bits.iter_from(0).eq(plain.iter().copied()));
                for (before, index) in (0..).zip(plain) {
                    prop_assert_eq!(bits.rank_of(*index), Some(before));
                }
                for &index in &asked {
                    prop_assert_eq!(bits.contains(index), plain.contains(&index));
                    prop_assert_eq!(bits.rank_of(index), rank_in(plain, index));
                    prop_assert_eq!(bits.first_from(index), plain.range(index..).next().copied());
                }
            }
        }
    }

    /// The first page but for one, none in the second, all of the third.
    fn three_pages() -> CountedBits {
        let mut bits = CountedBits::default();
        for index in (0..PAGE_BITS).chain(2 * PAGE_BITS..3 * PAGE_BITS) {
            bits.insert(index);
        }
        bits.remove(70);
        bits
    }

    #[test]
    fn whole_pages_are_counted_and_empty_ones_passed_over() {
        let bits = three_pages();
        assert_eq!(bits.count() as usize, 2 * PAGE_BITS - 1);
        assert_eq!(
            (bits.rank_of(69), bits.rank_of(70), bits.rank_of(71)),
            (Some(69), None, Some(70))
        );
        assert_eq!(bits.first_from(70), Some(71));
        assert_eq!(bits.first_from(PAGE_BITS - 1), Some(PAGE_BITS - 1));
        assert_eq!(bits.first_from(PAGE_BITS), Some(2 * PAGE_BITS));
        assert_eq!(bits.rank_of(2 * PAGE_BITS).map(|rank| rank as usize), Some(PAGE_BITS - 1));
        assert_eq!(bits.first_from(3 * PAGE_BITS), None);
    }

    #[test]
    fn a_change_after_a_clone_copies_one_page() {
        let before = three_pages();
        let mut after = before.clone();
        after.remove(5);
        let pages = before.pages.iter().zip(&after.pages);
        let shared: Vec<bool> = pages.map(|(one, other)| Arc::ptr_eq(one, other)).collect();
        assert_eq!(shared, [false, true, true]);
        assert_eq!((before.rank_of(6), after.rank_of(6)), (Some(6), Some(5)));
    }
}
