//! The waiting line: join, be seen, be admitted, be passed over, leave, expire; position and total.
//!
//! What is stored for an entry is twelve bytes, and a bit in each of two counted sets: `counted`
//! (those who wait and stand before others) and `ready` (those who may be admitted now). Small
//! enough for ten million.
//!
//! The order is an entry's *rank*: today the order of joining, so [`rank`] is the identity; a draw
//! at the opening would change that one function and its inverse.
//!
//! A buyer who missed the turn (admitted, but never seen) keeps the place but is no longer
//! *counted*: the admission has already moved everybody behind one step forward, and nobody's
//! position ever grows. Such an entry stands at position 1 and is admitted, as soon as it asks
//! again and a place is free, before all of higher rank.
//!
//! One idea: an entry's bits, its state and its keys change together or not at all.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::bits::CountedBits;
use crate::id::{EntryIndex, HolderKey, KeyHash, Nonce, VisitIndex};
use crate::pages::Pages;
use crate::reservation::EndReason;
use crate::time::Second;

/// Entries in one page, and in one step of the search for places that have expired.
const PAGE: usize = 1024;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// In line, last seen then.
    Waiting(Second),
    /// In line, but was not there when its turn came; last seen then.
    Away(Second),
    /// Missed its turn after it had been admitted; last seen then.
    Missed(Second),
    /// Missed its turn and has asked again; last seen then.
    Recalled(Second),
    /// Admitted; the visit says the rest, also after it has ended.
    Visiting(VisitIndex),
    /// Gave up or lost its place without a visit, at that time.
    Ended(EndReason, Second),
}

impl EntryState {
    /// When it was last seen, for those who have a place in line.
    #[must_use]
    pub fn seen(self) -> Option<Second> {
        match self {
            Self::Waiting(seen) | Self::Away(seen) | Self::Missed(seen) | Self::Recalled(seen) => {
                Some(seen)
            }
            Self::Visiting(_) | Self::Ended(..) => None,
        }
    }

    fn pack(self) -> (u8, u32) {
        match self {
            Self::Waiting(seen) => (0, seen.0),
            Self::Away(seen) => (1, seen.0),
            Self::Missed(seen) => (2, seen.0),
            Self::Recalled(seen) => (3, seen.0),
            Self::Visiting(visit) => (4, visit.0),
            Self::Ended(EndReason::Left, at) => (5, at.0),
            Self::Ended(EndReason::Absent, at) => (6, at.0),
            Self::Ended(EndReason::TooSlow, at) => (7, at.0),
            Self::Ended(EndReason::HoldExpired, at) => (8, at.0),
            Self::Ended(EndReason::SoldOut, at) => (9, at.0),
            Self::Ended(EndReason::Closed, at) => (10, at.0),
            Self::Ended(EndReason::Removed, at) => (11, at.0),
        }
    }

    fn unpack(kind: u8, number: u32) -> Self {
        let second = Second(number);
        match kind {
            0 => Self::Waiting(second),
            1 => Self::Away(second),
            2 => Self::Missed(second),
            3 => Self::Recalled(second),
            4 => Self::Visiting(VisitIndex(number)),
            5 => Self::Ended(EndReason::Left, second),
            6 => Self::Ended(EndReason::Absent, second),
            7 => Self::Ended(EndReason::TooSlow, second),
            8 => Self::Ended(EndReason::HoldExpired, second),
            9 => Self::Ended(EndReason::SoldOut, second),
            10 => Self::Ended(EndReason::Closed, second),
            _ => Self::Ended(EndReason::Removed, second),
        }
    }
}

/// An entry as it is stored: twelve bytes.
#[derive(Clone, Copy, Debug, Encode, Decode)]
struct Entry {
    #[n(0)]
    nonce: Nonce,
    #[n(1)]
    number: u32,
    #[n(2)]
    kind: u8,
}

impl Entry {
    fn state(self) -> EntryState {
        EntryState::unpack(self.kind, self.number)
    }
}

/// The rank of an entry: who is before whom. Today the order of joining.
#[must_use]
pub fn rank(entry: EntryIndex) -> usize {
    entry.at()
}

/// The entry of a rank: the inverse of [`rank`].
#[must_use]
pub fn ranked(rank: usize) -> EntryIndex {
    EntryIndex::after(rank)
}

/// What a join may carry to be recognised by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct JoinKeys {
    /// The hash of the join's idempotency key.
    #[n(0)]
    pub key: Option<KeyHash>,
    /// Who the buyer is, where the organiser asks for that.
    #[n(1)]
    pub holder: Option<HolderKey>,
}

/// The line of one sale.
#[derive(Clone, Debug)]
pub struct Line {
    entries: Pages<Entry, PAGE>,
    /// By rank: waiting or away.
    counted: CountedBits,
    /// By rank: waiting or recalled.
    ready: CountedBits,
    /// Missed or recalled.
    missed: u32,
    /// For each page, a time at or before the oldest `seen` in it; [`Second::NEVER`] when empty.
    oldest: Arc<Vec<Second>>,
    /// A time at or before all of `oldest`.
    oldest_of_all: Second,
    keys: Marks,
    holders: Marks,
}

/// What living entries are recognised by, both ways. As bytes, for a number of 128 bits would be
/// aligned to sixteen and cost twelve bytes more beside its entry.
#[derive(Clone, Debug, Default)]
struct Marks {
    entries: imbl::OrdMap<[u8; 16], EntryIndex>,
    marks: imbl::OrdMap<EntryIndex, [u8; 16]>,
}

impl Marks {
    fn find(&self, mark: u128) -> Option<EntryIndex> {
        self.entries.get(&mark.to_be_bytes()).copied()
    }

    fn note(&mut self, mark: u128, entry: EntryIndex) {
        self.entries.insert(mark.to_be_bytes(), entry);
        self.marks.insert(entry, mark.to_be_bytes());
    }

    fn forget(&mut self, entry: EntryIndex) {
        // Most lines have no marks of one of the kinds; then this is all.
        if let Some(mark) = self.marks.remove(&entry)
            && self.entries.get(&mark) == Some(&entry)
        {
            self.entries.remove(&mark);
        }
    }
}

impl Default for Line {
    /// A line that nobody has joined.
    fn default() -> Self {
        Self {
            entries: Pages::default(),
            counted: CountedBits::default(),
            ready: CountedBits::default(),
            missed: 0,
            oldest: Arc::default(),
            oldest_of_all: Second::NEVER,
            keys: Marks::default(),
            holders: Marks::default(),
        }
    }
}

impl Line {
    /// How many ever joined.
    #[must_use]
    pub fn joined(&self) -> usize {
        self.entries.len()
    }

    /// Those with a place in line who are counted: waiting and away.
    #[must_use]
    pub fn counted(&self) -> u32 {
        self.counted.count()
    }

    /// All with a place in line, those who missed their turn included: what `line_capacity` bounds.
    #[must_use]
    pub fn in_line(&self) -> u32 {
        self.counted.count() + self.missed
    }

    /// Those who missed their turn and have not been admitted again.
    #[must_use]
    pub fn missed(&self) -> u32 {
        self.missed
    }

    /// Those with a place in line who are not admitted until they ask again: nothing was heard of
    /// them when their turn came, or they missed it.
    #[must_use]
    pub fn away(&self) -> u32 {
        self.in_line() - self.ready.count()
    }

    /// Where an entry stands and its nonce, if there is such an entry.
    #[must_use]
    pub fn entry(&self, entry: EntryIndex) -> Option<(Nonce, EntryState)> {
        self.entries.get(entry.at()).map(|stored| (stored.nonce, stored.state()))
    }

    /// The position of an entry that waits: 2 for the first, 1 for one that missed its turn; none
    /// for one that is not in line.
    #[must_use]
    pub fn position(&self, entry: EntryIndex) -> Option<u32> {
        // The set is small enough for the processor's cache, and knows most answers without the
        // entries, which are not.
        if let Some(before) = self.counted.rank_of(rank(entry)) {
            return Some(2 + before);
        }
        match self.entry(entry)?.1 {
            EntryState::Missed(_) | EntryState::Recalled(_) => Some(1),
            EntryState::Waiting(_)
            | EntryState::Away(_)
            | EntryState::Visiting(_)
            | EntryState::Ended(..) => None,
        }
    }

    /// The first who may be admitted, and when it was last seen.
    #[must_use]
    pub fn first_ready(&self) -> Option<(EntryIndex, Second)> {
        let entry = ranked(self.ready.first_from(0)?);
        let seen = self.entry(entry)?.1.seen()?;
        Some((entry, seen))
    }

    /// Those who may be admitted, first ones first.
    pub fn ready(&self) -> impl Iterator<Item = EntryIndex> {
        self.ready.iter_from(0).map(ranked)
    }

    /// Those with a place in line who are counted, first ones first.
    pub fn waiting(&self) -> impl Iterator<Item = EntryIndex> {
        self.counted.iter_from(0).map(ranked)
    }

    /// The living place that a join with these keys already has.
    #[must_use]
    pub fn recognise(&self, keys: JoinKeys) -> Option<EntryIndex> {
        let by_key = keys.key.and_then(|key| self.keys.find(key.0));
        by_key.or_else(|| keys.holder.and_then(|holder| self.holders.find(holder.0)))
    }

    /// A time at or before which nobody in line was last seen: only then may a place expire.
    #[must_use]
    pub fn oldest_seen(&self) -> Second {
        self.oldest_of_all
    }

    pub(crate) fn join(&mut self, nonce: Nonce, keys: JoinKeys, now: Second) -> EntryIndex {
        let entry = EntryIndex::after(self.entries.len());
        let (kind, number) = EntryState::Waiting(now).pack();
        self.entries.push(Entry { nonce, number, kind });
        self.counted.insert(rank(entry));
        self.ready.insert(rank(entry));
        self.saw_in_page(entry, now);
        if let Some(key) = keys.key {
            self.keys.note(key.0, entry);
        }
        if let Some(holder) = keys.holder {
            self.holders.note(holder.0, entry);
        }
        entry
    }

    /// Notes that a buyer in line is there; one who was away or missed the turn is ready again.
    pub(crate) fn seen(&mut self, entry: EntryIndex, now: Second) {
        let Some((_, state)) = self.entry(entry) else { return };
        // A gap taken out of the clock may set it back a little; whoever was seen stays seen.
        let state = match state {
            EntryState::Waiting(seen) | EntryState::Away(seen) => {
                EntryState::Waiting(seen.max(now))
            }
            EntryState::Missed(seen) | EntryState::Recalled(seen) => {
                EntryState::Recalled(seen.max(now))
            }
            EntryState::Visiting(_) | EntryState::Ended(..) => return,
        };
        self.ready.insert(rank(entry));
        self.put(entry, state);
    }

    /// Passes over one who is not there: it keeps its place, and is no longer ready.
    pub(crate) fn pass_over(&mut self, entry: EntryIndex) {
        let Some((_, state)) = self.entry(entry) else { return };
        match state {
            EntryState::Waiting(seen) => self.put(entry, EntryState::Away(seen)),
            EntryState::Recalled(seen) => self.put(entry, EntryState::Missed(seen)),
            EntryState::Away(_)
            | EntryState::Missed(_)
            | EntryState::Visiting(_)
            | EntryState::Ended(..) => {}
        }
        self.ready.remove(rank(entry));
    }

    pub(crate) fn admit(&mut self, entry: EntryIndex, visit: VisitIndex) {
        self.uncount(entry);
        self.put(entry, EntryState::Visiting(visit));
    }

    /// Takes the turn back from one who did not show up; last seen when it was admitted.
    pub(crate) fn miss_turn(&mut self, entry: EntryIndex, seen: Second) {
        self.missed += 1;
        self.put(entry, EntryState::Missed(seen));
        self.saw_in_page(entry, seen);
    }

    /// Ends the place of one who is in line.
    pub(crate) fn end(&mut self, entry: EntryIndex, reason: EndReason, now: Second) {
        self.uncount(entry);
        self.put(entry, EntryState::Ended(reason, now));
        self.forget_keys(entry);
    }

    /// Forgets what an entry was recognised by: its place is over.
    pub(crate) fn forget_keys(&mut self, entry: EntryIndex) {
        self.keys.forget(entry);
        self.holders.forget(entry);
    }

    /// Ends every place in line.
    pub(crate) fn end_all(&mut self, reason: EndReason, now: Second) {
        self.end_seen_by(Second(Second::NEVER.0 - 1), reason, now);
    }

    /// Ends every place last seen at `until` or before.
    pub(crate) fn expire(&mut self, until: Second, now: Second) {
        self.end_seen_by(until, EndReason::Absent, now);
    }

    /// Ends every place last seen at `until` or before; also brings the index of oldest times up to
    /// date. Looks only into the pages that may hold such a place.
    fn end_seen_by(&mut self, until: Second, reason: EndReason, now: Second) {
        for page in 0..self.oldest.len() {
            if self.oldest[page] <= until {
                for entry in self.expired_in(page, until).collect::<Vec<_>>() {
                    self.end(entry, reason, now);
                }
            }
        }
        self.refresh_oldest(until);
    }

    /// How many places were last seen at `until` or before. When none was, the index of oldest
    /// times is brought up to date, so that the question is not asked in vain again.
    pub(crate) fn expired(&mut self, until: Second) -> u32 {
        if self.oldest_of_all > until {
            return 0;
        }
        let pages = (0..self.oldest.len()).filter(|page| self.oldest[*page] <= until);
        let expired: usize = pages.map(|page| self.expired_in(page, until).count()).sum();
        if expired == 0 {
            self.refresh_oldest(until);
        }
        u32::try_from(expired).expect("entries are counted with 32 bits")
    }

    fn expired_in(&self, page: usize, until: Second) -> impl Iterator<Item = EntryIndex> {
        let entries = self.entries.page(page).map(|page| page.as_slice()).unwrap_or_default();
        (page * PAGE..)
            .zip(entries)
            .filter(move |(_, entry)| entry.state().seen().is_some_and(|seen| seen <= until))
            .map(|(index, _)| EntryIndex::after(index))
    }

    /// Sets the oldest time of every page that claims one at `until` or before.
    fn refresh_oldest(&mut self, until: Second) {
        let oldest = Arc::make_mut(&mut self.oldest);
        for (page, oldest) in oldest.iter_mut().enumerate().filter(|(_, at)| **at <= until) {
            let entries = self.entries.page(page).map(|page| page.as_slice()).unwrap_or_default();
            *oldest = entries
                .iter()
                .filter_map(|entry| entry.state().seen())
                .min()
                .unwrap_or(Second::NEVER);
        }
        self.oldest_of_all = oldest.iter().copied().min().unwrap_or(Second::NEVER);
    }

    fn saw_in_page(&mut self, entry: EntryIndex, seen: Second) {
        let page = entry.at() / PAGE;
        if self.oldest.get(page).is_none_or(|oldest| seen < *oldest) {
            let oldest = Arc::make_mut(&mut self.oldest);
            oldest.resize(oldest.len().max(page + 1), Second::NEVER);
            oldest[page] = seen;
        }
        self.oldest_of_all = self.oldest_of_all.min(seen);
    }

    fn uncount(&mut self, entry: EntryIndex) {
        if let Some((_, EntryState::Missed(_) | EntryState::Recalled(_))) = self.entry(entry) {
            self.missed -= 1;
        }
        self.counted.remove(rank(entry));
        self.ready.remove(rank(entry));
    }

    fn put(&mut self, entry: EntryIndex, state: EntryState) {
        let stored = self.entries.get_mut(entry.at()).expect("an entry that has joined");
        (stored.kind, stored.number) = state.pack();
    }
}

pub(crate) mod snapshot {
    //! The line in a snapshot: its entries and what they are recognised by; the rest follows.
    use std::sync::Arc;

    use minicbor::bytes::ByteArray;
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use super::{Entry, EntryIndex, EntryState, Line, PAGE, Pages, Second, rank};

    pub(crate) fn encode<W: Write>(
        line: &Line,
        e: &mut Encoder<W>,
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode(&line.entries)?;
        for marks in [&line.keys, &line.holders] {
            e.array(marks.marks.len() as u64)?;
            for (entry, mark) in &marks.marks {
                e.array(2)?.encode(entry)?.bytes(mark)?;
            }
        }
        Ok(())
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Line, decode::Error> {
        let entries: Pages<Entry, PAGE> = d.decode()?;
        let mut line = Line::default();
        let mut oldest = vec![Second::NEVER; entries.len().div_ceil(PAGE)];
        for (index, stored) in entries.iter().enumerate() {
            let rank = rank(EntryIndex::after(index));
            let state = stored.state();
            match state {
                EntryState::Waiting(_) => {
                    line.counted.insert(rank);
                    line.ready.insert(rank);
                }
                EntryState::Away(_) => {
                    line.counted.insert(rank);
                }
                EntryState::Missed(_) => line.missed += 1,
                EntryState::Recalled(_) => {
                    line.missed += 1;
                    line.ready.insert(rank);
                }
                EntryState::Visiting(_) | EntryState::Ended(..) => {}
            }
            if let Some(seen) = state.seen() {
                oldest[index / PAGE] = oldest[index / PAGE].min(seen);
                line.oldest_of_all = line.oldest_of_all.min(seen);
            }
        }
        line.entries = entries;
        line.oldest = Arc::new(oldest);
        for marks in [&mut line.keys, &mut line.holders] {
            for pair in d.array_iter::<(EntryIndex, ByteArray<16>)>()? {
                let (entry, mark) = pair?;
                marks.note(u128::from_be_bytes(mark.into()), entry);
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line in which the n-th entry was last seen when `seen` says.
    fn line(seen: impl Fn(u32) -> u32, entries: u32) -> Line {
        let mut line = Line::default();
        for n in 0..entries {
            line.join(Nonce(n), JoinKeys::default(), Second(seen(n)));
        }
        line
    }

    fn alive(line: &Line) -> Vec<u32> {
        line.waiting().map(|entry| entry.0).collect()
    }

    #[test]
    fn every_state_is_packed_and_unpacked() {
        let at = Second(u32::MAX - 1);
        for state in [
            EntryState::Waiting(at),
            EntryState::Away(at),
            EntryState::Missed(at),
            EntryState::Recalled(at),
            EntryState::Visiting(VisitIndex(7)),
            EntryState::Ended(EndReason::Left, at),
            EntryState::Ended(EndReason::Absent, at),
            EntryState::Ended(EndReason::TooSlow, at),
            EntryState::Ended(EndReason::HoldExpired, at),
            EntryState::Ended(EndReason::SoldOut, at),
            EntryState::Ended(EndReason::Closed, at),
            EntryState::Ended(EndReason::Removed, at),
        ] {
            let (kind, number) = state.pack();
            assert_eq!(EntryState::unpack(kind, number), state);
        }
    }

    #[test]
    fn an_entry_is_twelve_bytes() {
        assert_eq!(size_of::<Entry>(), 12);
    }

    #[test]
    fn places_expire_across_pages_and_only_those_that_are_old_enough() {
        // Three pages; the second has one old place, on its last entry.
        let pages = u32::try_from(PAGE).unwrap();
        let old = 2 * pages - 1;
        let mut line = line(|n| if n == old { 5 } else { 100 }, 3 * pages);
        assert_eq!(line.oldest_seen(), Second(5));
        assert_eq!([4, 5].map(|until| line.expired(Second(until))), [0, 1]);
        line.expire(Second(5), Second(50));
        assert_eq!(line.in_line(), 3 * pages - 1);
        assert_eq!(
            line.entry(EntryIndex(old)).unwrap().1,
            EntryState::Ended(EndReason::Absent, Second(50))
        );
        assert_eq!(line.oldest_seen(), Second(100), "the index follows");
        line.expire(Second(100), Second(200));
        assert_eq!((line.in_line(), line.oldest_seen()), (0, Second::NEVER));
        assert_eq!(line.join(Nonce(0), JoinKeys::default(), Second(300)), EntryIndex(3 * pages));
        assert_eq!((alive(&line), line.oldest_seen()), (vec![3 * pages], Second(300)));
    }

    #[test]
    fn a_question_in_vain_brings_the_index_up_to_date() {
        let mut line = line(|_| 10, 3);
        for entry in 0..3 {
            line.seen(EntryIndex(entry), Second(60));
        }
        assert_eq!(line.oldest_seen(), Second(10), "a bound, and not asked before it matters");
        assert_eq!(line.expired(Second(30)), 0);
        assert_eq!(line.oldest_seen(), Second(60));
    }

    #[test]
    fn whoever_was_seen_stays_seen_when_the_clock_is_set_back() {
        let mut line = line(|_| 100, 1);
        line.seen(EntryIndex(0), Second(98));
        assert_eq!(line.entry(EntryIndex(0)).unwrap().1, EntryState::Waiting(Second(100)));
    }

    #[test]
    fn one_who_missed_the_turn_is_counted_no_more_and_keeps_the_place() {
        let mut line = line(|_| 10, 3);
        line.admit(EntryIndex(0), VisitIndex(0));
        line.miss_turn(EntryIndex(0), Second(10));
        assert_eq!((line.counted(), line.missed(), line.in_line()), (2, 1, 3));
        assert_eq!(line.position(EntryIndex(0)), Some(1));
        assert_eq!(line.position(EntryIndex(1)), Some(2));
        assert_eq!(line.first_ready(), Some((EntryIndex(1), Second(10))));
        line.seen(EntryIndex(0), Second(40));
        assert_eq!(line.first_ready(), Some((EntryIndex(0), Second(40))));
        line.pass_over(EntryIndex(0));
        assert_eq!(line.entry(EntryIndex(0)).unwrap().1, EntryState::Missed(Second(40)));
        line.expire(Second(40), Second(50));
        assert_eq!((line.missed(), line.in_line()), (0, 0));
    }

    #[test]
    fn a_key_and_a_holder_are_recognised_while_the_place_lives() {
        let mut line = Line::default();
        let keys = JoinKeys { key: Some(KeyHash(1)), holder: Some(HolderKey(2)) };
        let entry = line.join(Nonce(0), keys, Second(10));
        let by = |line: &Line, key: Option<u128>, holder: Option<u128>| {
            line.recognise(JoinKeys { key: key.map(KeyHash), holder: holder.map(HolderKey) })
        };
        assert_eq!(by(&line, Some(1), None), Some(entry));
        assert_eq!(by(&line, Some(9), Some(2)), Some(entry));
        assert_eq!(by(&line, Some(9), None), None);
        line.end(entry, EndReason::Left, Second(20));
        assert_eq!(by(&line, Some(1), Some(2)), None);
    }
}
