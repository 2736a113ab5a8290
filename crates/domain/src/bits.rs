//! A set of indices that can be counted fast: the arithmetic of a waiting line.
//!
//! A tree of three levels. A *block* is 4,096 bits in 64 words, each word with the count of the
//! bits before it in the block; a *group* is 64 blocks, each with the count before it in the group;
//! the root is a list of groups with the counts before them. How many members stand before an
//! index is thus four additions and one `popcount`, whether ten thousand wait or ten million; a
//! change corrects at most 63 counts in each node on its way. A clone shares all groups. It costs
//! 1.3 bits for each index.

use std::sync::Arc;

const WORD_BITS: usize = 64;
const FANOUT: usize = 64;
const BLOCK_BITS: usize = WORD_BITS * FANOUT;
const GROUP_BITS: usize = BLOCK_BITS * FANOUT;

#[derive(Clone, Debug)]
struct Block {
    words: [u64; FANOUT],
    before: [u16; FANOUT],
    count: u32,
}

#[derive(Clone, Debug, Default)]
struct Group {
    blocks: Vec<Arc<Block>>,
    before: Vec<u32>,
    count: u32,
}

/// A set of indices from 0 on.
#[derive(Clone, Debug, Default)]
pub struct CountedBits {
    groups: Vec<Arc<Group>>,
    before: Vec<u32>,
    count: u32,
}

impl CountedBits {
    /// How many members there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether `index` is a member.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.block(index).is_some_and(|block| {
            block.words[index % BLOCK_BITS / WORD_BITS] >> (index % WORD_BITS) & 1 == 1
        })
    }

    /// How many members are lower than `index`, if it is a member: both in one walk.
    #[must_use]
    pub fn rank_of(&self, index: usize) -> Option<u32> {
        let group = self.groups.get(index / GROUP_BITS)?;
        let in_group = index % GROUP_BITS / BLOCK_BITS;
        let block = group.blocks.get(in_group)?;
        let word = index % BLOCK_BITS / WORD_BITS;
        let bit = 1 << (index % WORD_BITS);
        let lower = block.words[word] & (bit - 1);
        let before = self.before[index / GROUP_BITS] + group.before[in_group];
        (block.words[word] & bit != 0)
            .then(|| before + u32::from(block.before[word]) + lower.count_ones())
    }

    /// The lowest member that is `from` or higher.
    #[must_use]
    pub fn first_from(&self, from: usize) -> Option<usize> {
        let mut index = from;
        while index / GROUP_BITS < self.groups.len() {
            let group = &self.groups[index / GROUP_BITS];
            if group.count == 0 || index % GROUP_BITS / BLOCK_BITS >= group.blocks.len() {
                index = (index / GROUP_BITS + 1) * GROUP_BITS;
                continue;
            }
            let block = &group.blocks[index % GROUP_BITS / BLOCK_BITS];
            if block.count == 0 {
                index = (index / BLOCK_BITS + 1) * BLOCK_BITS;
                continue;
            }
            let word = block.words[index % BLOCK_BITS / WORD_BITS] >> (index % WORD_BITS);
            if word != 0 {
                return Some(index + word.trailing_zeros() as usize);
            }
            index = (index / WORD_BITS + 1) * WORD_BITS;
        }
        None
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

    fn block(&self, index: usize) -> Option<&Block> {
        let group = self.groups.get(index / GROUP_BITS)?;
        group.blocks.get(index % GROUP_BITS / BLOCK_BITS).map(Arc::as_ref)
    }

    fn set(&mut self, index: usize, member: bool) -> bool {
        if self.contains(index) == member {
            return false;
        }
        let (in_root, in_group) = (index / GROUP_BITS, index % GROUP_BITS / BLOCK_BITS);
        while self.groups.len() <= in_root {
            self.groups.push(Arc::default());
            self.before.push(self.count);
        }
        let group = Arc::make_mut(&mut self.groups[in_root]);
        while group.blocks.len() <= in_group {
            let empty = Block { words: [0; FANOUT], before: [0; FANOUT], count: 0 };
            group.blocks.push(Arc::new(empty));
            group.before.push(group.count);
        }
        let block = Arc::make_mut(&mut group.blocks[in_group]);
        let word = index % BLOCK_BITS / WORD_BITS;
        block.words[word] ^= 1 << (index % WORD_BITS);

        let by = if member { 1 } else { u32::MAX };
        #[expect(clippy::cast_possible_truncation, reason = "plus or minus one, in 16 bits too")]
        block.before[word + 1..].iter_mut().for_each(|n| *n = n.wrapping_add(by as u16));
        block.count = block.count.wrapping_add(by);
        group.before[in_group + 1..].iter_mut().for_each(|n| *n = n.wrapping_add(by));
        group.count = group.count.wrapping_add(by);
        self.before[in_root + 1..].iter_mut().for_each(|n| *n = n.wrapping_add(by));
        self.count = self.count.wrapping_add(by);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn index() -> impl Strategy<Value = usize> {
        prop_oneof![0..200_usize, 4_090..4_102_usize, 0..600_000_usize, 262_140..262_150_usize]
    }

    proptest! {
        #[test]
        fn counts_as_a_plain_set_does(
            changes in prop::collection::vec((index(), prop::bool::weighted(0.7)), 0..200),
            asked in prop::collection::vec(index(), 1..50),
        ) {
            let (mut bits, mut plain) = (CountedBits::default(), BTreeSet::new());
            let mut shared = bits.clone();
            for (n, &(index, member)) in changes.iter().enumerate() {
                let changed =
                    if member { plain.insert(index) } else { plain.remove(&index) };
                prop_assert_eq!(bits.set(index, member), changed);
                if n % 7 == 0 {
                    shared = bits.clone();
                }
            }
            prop_assert_eq!(bits.count() as usize, plain.len());
            prop_assert_eq!(
                shared.iter_from(0).count(),
                shared.count() as usize
            );
            prop_assert_eq!(bits.iter_from(0).collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
            for (before, index) in (0..).zip(&plain) {
                prop_assert_eq!(bits.rank_of(*index), Some(before));
            }
            for index in asked {
                prop_assert_eq!(bits.contains(index), plain.contains(&index));
                prop_assert_eq!(bits.rank_of(index).is_some(), plain.contains(&index));
                prop_assert_eq!(bits.first_from(index), plain.range(index..).next().copied());
            }
        }
    }
}
