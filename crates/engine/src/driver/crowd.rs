//! How long a commit waits for more company.
//!
//! A commit costs the same whatever it holds, so under load it should hold much; but nobody who is
//! alone should wait for others. How many come in while one waits is found by trying: as long as
//! enough came in time, the next commit waits for half as many more, and when they did not come,
//! for as many as came. Whoever is alone waits once in a while, to find out that it is in vain.

use std::time::Duration;

/// The most requests that are waited for.
const COMPANY_MAX: usize = 4_096;
/// The longest wait.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(2);
/// Commits until more are hoped for again after a disappointment: at the least, and for one request.
const CONTENT_MIN: u32 = 8;
const CONTENT_ALONE: u32 = 128;

/// What is hoped for of the next commit.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Requests that are worth waiting for; none when zero.
    hoped: usize,
    /// Commits for which this is enough.
    content: u32,
}

impl Crowd {
    /// How many more to wait for, beside these.
    pub(super) fn more(&self, here: usize) -> usize {
        if here == 0 { 0 } else { self.hoped.saturating_sub(here) }
    }

    /// A commit of so many requests begins.
    pub(super) fn came(&mut self, here: usize) {
        if here == 0 {
            // Nobody's request: a deadline came.
        } else if here < self.hoped {
            let content = CONTENT_ALONE / u32::try_from(here).unwrap_or(u32::MAX).max(1);
            *self = Self { hoped: here, content: content.max(CONTENT_MIN) };
        } else if self.content > 0 {
            self.content -= 1;
            self.hoped = self.hoped.max(here).min(COMPANY_MAX);
        } else {
            self.hoped = (here + (here / 2).max(1)).min(COMPANY_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What commits hold when so many can come while one waits.
    fn commits(crowd: &mut Crowd, can_come: usize, commits: usize) -> Vec<usize> {
        let mut held = Vec::new();
        for _ in 0..commits {
            let here = 1 + crowd.more(1).min(can_come - 1);
            crowd.came(here);
            held.push(here);
        }
        held
    }

    /// How many of so many commits wait longer than for those who come.
    fn in_vain(crowd: &mut Crowd, here: usize, commits: usize) -> usize {
        let waits = |_: &usize| {
            let waits = crowd.more(here) > 0;
            crowd.came(here);
            waits
        };
        (0..commits).filter(waits).count()
    }

    #[test]
    fn whoever_is_alone_waits_hardly_ever() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.more(1), 0, "the first does not");
        let waits = in_vain(&mut crowd, 1, 1_000);
        assert!((7..=9).contains(&waits), "{waits}");
    }

    #[test]
    fn a_crowd_is_found_and_not_waited_for_in_vain() {
        let mut crowd = Crowd::default();
        let held = commits(&mut crowd, 100, 15);
        assert_eq!(held, [1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94, 100, 100, 100]);
        // Content with those who come, for a while; then one wait in vain.
        assert_eq!(crowd.more(6), 94);
        let waits = in_vain(&mut crowd, 100, 10 * (CONTENT_MIN as usize + 2));
        assert!((9..=10).contains(&waits), "{waits}");
    }

    #[test]
    fn when_the_crowd_is_gone_nobody_waits() {
        let mut crowd = Crowd::default();
        commits(&mut crowd, 5_000, 40);
        assert_eq!(crowd.more(1), COMPANY_MAX - 1);
        crowd.came(50);
        assert_eq!(crowd.more(10), 40);
        crowd.came(2);
        assert_eq!(crowd.more(2), 0);
        crowd.came(1);
        assert_eq!(crowd.more(1), 0);
    }

    #[test]
    fn a_commit_of_the_system_alone_says_nothing_of_the_crowd() {
        let mut crowd = Crowd::default();
        commits(&mut crowd, 100, 15);
        crowd.came(0);
        assert_eq!(crowd.more(1), 99);
    }
}
