//! Who was seen, and how fast the line moves: what readers leave behind, once a second.
//!
//! Of the marks in the [`SeenTable`] those are journalled that matter: everywhere, when the
//! journalled time has become old against `place_ttl`; near the front, when it has become old
//! against `presence_window`, so that a turn finds the buyer present. Whoever comes back when the place
//! is about to end is journalled at once.

use std::collections::VecDeque;

use domain::Sale;
use domain::id::EntryIndex;
use domain::sale::{DUE_MAX, PlaceView, Status};
use domain::time::{Millis, Second, Timestamp};

use crate::seconds;
use crate::seen::SeenTable;

/// How often presence is journalled.
const LOOK_EVERY: Millis = 1_000;
/// Those at the front whose presence is journalled finely, at the least; twice as many as may be
/// admitted at once, when that is more.
const FRONT_MIN: usize = 512;
/// Entries looked at in one second for old places, at the most one of so many parts of the line.
const PARTS_MAX: u32 = 16;
/// How much longer than the walk it may take until what was found on it is written, in seconds.
const LAST_S: u32 = 2;

/// When presence was journalled last, and where the walk through the line stands.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// In node time, for service time may be set back by an outage.
    looked_at: Timestamp,
    walked: usize,
    /// Where the walk stood before the last look.
    walked_before: usize,
}

impl Presence {
    /// The entries whose presence is to be journalled now; looks once a second.
    pub(super) fn due(
        &mut self,
        sale: &Sale,
        seen: &SeenTable,
        now: Timestamp,
    ) -> Option<Vec<EntryIndex>> {
        if now.since(self.looked_at) < LOOK_EVERY || sale.line().in_line() == 0 {
            return None;
        }
        self.looked_at = now;
        let limits = sale.limits();
        let mut entries = front(sale, seen, front_len(sale), now);

        let parts = walk_s(sale) as usize;
        let joined = sale.line().joined();
        let from = if self.walked >= joined { 0 } else { self.walked };
        self.walked_before = from;
        self.walked = from + joined.div_ceil(parts);
        let part = (from..self.walked.min(joined)).map(EntryIndex::after);
        let (now, by) = (seconds(sale, now), limits.place_ttl / 2);
        entries.extend(part.filter(|entry| newly_seen(sale, *entry, seen.last(*entry, now), by)));
        entries.sort_unstable();
        entries.dedup();
        (!entries.is_empty()).then_some(entries)
    }

    /// What was seen in the last look was not journalled, for others came first: looks again at
    /// once. Waiting a second would meet the others' next look, and the one after, and so on.
    pub(super) fn look_again(&mut self) {
        (self.looked_at, self.walked) = (Timestamp::default(), self.walked_before);
    }

    /// When to look again: a second from the last look, while anybody waits.
    pub(super) fn next_at(&self, sale: &Sale) -> Option<Timestamp> {
        (sale.line().in_line() > 0).then(|| self.looked_at.plus(LOOK_EVERY))
    }
}

/// How long a walk along the line takes, in seconds, for it looks at one part in each; as many parts as a
/// fraction of the `place_ttl` allows.
fn walk_s(sale: &Sale) -> u32 {
    (sale.limits().place_ttl / 8).clamp(1, PARTS_MAX)
}

/// How many may be admitted in one go, about: so many must be known to be there or not.
pub(super) fn front_len(sale: &Sale) -> usize {
    FRONT_MIN.max(2 * sale.limits().active_limit as usize)
}

/// Of the first `count` at the front who are there, those of whom the journal does not know it.
/// Those who are not there do not count, for they will be passed over; but no more of them are
/// looked at than one command can pass over, twice.
pub(super) fn front(
    sale: &Sale,
    seen: &SeenTable,
    count: usize,
    now: Timestamp,
) -> Vec<EntryIndex> {
    let (window, now) = (sale.limits().presence_window, seconds(sale, now));
    let (mut present, mut entries) = (0, Vec::new());
    for entry in sale.line().ready().take(2 * DUE_MAX) {
        let journalled = sale.line().entry(entry).and_then(|(_, state)| state.seen());
        let journalled = journalled.unwrap_or_default();
        let last = seen.last(entry, now).max(journalled);
        if now.since(last) > window {
            continue;
        }
        if last.since(journalled) >= (window / 4).max(1) || now.since(journalled) > window {
            entries.push(entry);
        }
        present += 1;
        if present == count {
            break;
        }
    }
    entries
}

/// Whether it changes what a buyer may expect that the buyer is there at `now`: one who was away, one whose
/// place would end before the next walk is over, and one whose turn came and who has not arrived.
pub(crate) fn is_news(sale: &Sale, view: &PlaceView, now: Second) -> bool {
    match view.status {
        Status::Waiting { away } => {
            let place_ttl = sale.limits().place_ttl;
            let by = place_ttl.saturating_sub(walk_s(sale) + LAST_S);
            away || newly_seen(sale, view.place.entry, now, by)
        }
        Status::Admitted { .. } => {
            sale.visit_of_entry(view.place.entry).is_some_and(|visit| visit.arrive_until.is_some())
        }
        Status::Holding { .. }
        | Status::Paying { .. }
        | Status::Done { .. }
        | Status::Ended { .. } => false,
    }
}

/// Whether an entry in line was seen at least `by` seconds after what the journal knows.
fn newly_seen(sale: &Sale, entry: EntryIndex, seen: Second, by: u32) -> bool {
    let journalled = sale.line().entry(entry).and_then(|(_, state)| state.seen());
    journalled.is_some_and(|journalled| seen.since(journalled) >= by.max(1))
}

/// Seconds over which the pace of admission is measured.
const PACE_WINDOW_MS: u64 = 60_000;
/// Admissions below which no pace is told: a guess would not be honest.
const PACE_MIN: u64 = 2;

/// How many were admitted of late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Per second of node time, oldest first.
    admissions: VecDeque<(Timestamp, u64)>,
    total: u64,
}

impl Pace {
    pub(super) fn admitted(&mut self, now: Timestamp) {
        self.total += 1;
        match self.admissions.back_mut() {
            Some((at, count)) if now.since(*at) < 1000 => *count += 1,
            _ => self.admissions.push_back((now, 1)),
        }
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.admissions.front().is_some_and(|(at, _)| now.since(*at) > PACE_WINDOW_MS) {
            self.total -= self.admissions.pop_front().map_or(0, |(_, count)| count);
        }
    }

    /// Admissions per second, when enough were seen to say.
    pub(super) fn per_second(&self, now: Timestamp) -> Option<f64> {
        let (first, _) = *self.admissions.front()?;
        let span = now.since(first).max(1000);
        #[expect(clippy::cast_precision_loss, reason = "an estimate, of small numbers")]
        (self.total >= PACE_MIN).then(|| self.total as f64 * 1000.0 / span as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_minute() {
        let mut pace = Pace::default();
        assert_eq!(pace.per_second(Timestamp(0)), None);
        for second in 0..120 {
            for _ in 0..5 {
                pace.admitted(Timestamp(second * 1000));
            }
        }
        pace.forget(Timestamp(120_000));
        let per_second = pace.per_second(Timestamp(120_000)).unwrap();
        assert!((4.9..5.2).contains(&per_second), "{per_second}");
        pace.forget(Timestamp(1_000_000));
        assert_eq!(pace.per_second(Timestamp(1_000_000)), None);
    }
}
