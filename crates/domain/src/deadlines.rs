//! When something of a sale must be looked at again: visits in buckets of one second.
//!
//! An index, not a truth: a visit may stand in several buckets, and only the one that agrees with
//! the visit's present deadline counts. The others are dropped when their second comes. So setting
//! a deadline costs one push and changing it costs nothing.
//!
//! What is due comes out in the order of its second and then of its visit, whatever the order in
//! which it was put in: a state that was read from a snapshot goes on exactly as the one it was
//! taken of.

use crate::id::VisitIndex;
use crate::pages::Pages;
use crate::time::{Second, ServiceTime};

/// Visits by the second in which they are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    buckets: imbl::OrdMap<Second, Pages<VisitIndex, 512>>,
    /// What is left of the buckets that were opened, the next one last.
    due: Vec<(Second, VisitIndex)>,
}

impl Deadlines {
    pub(crate) fn push(&mut self, at: Second, visit: VisitIndex) {
        if self.due.first().is_some_and(|(opened, _)| at <= *opened) {
            // Rare: a deadline in the past, while more is due than one command may bring.
            let before = self.due.partition_point(|next| *next > (at, visit));
            self.due.insert(before, (at, visit));
            return;
        }
        match self.buckets.get_mut(&at) {
            Some(bucket) => bucket.push(visit),
            None => {
                self.buckets.insert(at, std::iter::once(visit).collect());
            }
        }
    }

    /// The first second for which anything stands here.
    pub(crate) fn first(&self) -> Option<Second> {
        let due = self.due.last().map(|(second, _)| *second);
        due.or_else(|| self.buckets.get_min().map(|(second, _)| *second))
    }

    /// Takes out the next visit whose deadline has come by `now`; `deadline` says what it is today.
    pub(crate) fn pop_due(
        &mut self,
        now: ServiceTime,
        deadline: impl Fn(VisitIndex) -> Option<Second>,
    ) -> Option<VisitIndex> {
        loop {
            while let Some((second, visit)) = self.due.pop() {
                if deadline(visit) == Some(second) {
                    return Some(visit);
                }
            }
            let second = self.first().filter(|second| now.reached(*second))?;
            let bucket = self.buckets.remove(&second).expect("the first bucket");
            self.due.extend(bucket.iter().map(|visit| (second, *visit)));
            self.due.sort_unstable_by(|a, b| b.cmp(a));
            self.due.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_due(deadlines: &mut Deadlines, now: u32, today: &[(u32, u32)]) -> Vec<u32> {
        let deadline = |visit: VisitIndex| {
            today.iter().find(|(of, _)| *of == visit.0).map(|(_, second)| Second(*second))
        };
        let now = ServiceTime(u64::from(now) * 1000);
        std::iter::from_fn(|| deadlines.pop_due(now, deadline).map(|visit| visit.0)).collect()
    }

    fn with(pushed: &[(u32, u32)]) -> Deadlines {
        let mut deadlines = Deadlines::default();
        for &(visit, second) in pushed {
            deadlines.push(Second(second), VisitIndex(visit));
        }
        deadlines
    }

    #[test]
    fn what_is_due_comes_by_its_second_and_then_by_its_visit() {
        let today = [(1, 10), (2, 10), (3, 9), (4, 11)];
        let mut pushed = today;
        for turn in 0..pushed.len() {
            pushed.rotate_left(turn);
            let mut deadlines = with(&pushed);
            assert_eq!(all_due(&mut deadlines, 8, &today), []);
            assert_eq!(deadlines.first(), Some(Second(9)));
            assert_eq!(all_due(&mut deadlines, 10, &today), [3, 1, 2]);
            assert_eq!(deadlines.first(), Some(Second(11)));
        }
    }

    #[test]
    fn only_the_deadline_of_today_counts_and_only_once() {
        let mut deadlines = with(&[(1, 10), (1, 12), (2, 10), (2, 10)]);
        assert_eq!(all_due(&mut deadlines, 20, &[(1, 12), (2, 10)]), [2, 1]);
        assert_eq!(deadlines.first(), None);
    }

    #[test]
    fn a_deadline_in_the_past_finds_its_place_among_what_is_left_of_the_present() {
        let today = [(1, 10), (2, 10), (3, 10), (4, 9)];
        let mut deadlines = with(&today[..3]);
        let now = ServiceTime(10_000);
        assert_eq!(deadlines.pop_due(now, |_| Some(Second(10))), Some(VisitIndex(1)));
        deadlines.push(Second(9), VisitIndex(4));
        assert_eq!(deadlines.first(), Some(Second(9)));
        assert_eq!(all_due(&mut deadlines, 10, &today), [4, 2, 3]);
    }
}
