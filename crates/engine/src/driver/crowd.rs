//! How long a commit waits for more company.
//!
//! A commit costs the same whatever it holds, so under load it should hold much; but nobody who is
//! alone should wait for others. How many come in while one waits is found by trying: as long as
//! enough came in time, the next commit waits for half as many more, and when they did not come,
//! for as many as came. A commit of a few waits for nobody.

use std::time::Duration;

/// With fewer requests than this in a commit nobody waits for more.
const COMPANY_MIN: usize = 6;
/// The most requests that are waited for.
const COMPANY_MAX: usize = 4_096;
/// The longest wait.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(2);
/// Commits until more are hoped for again, after a disappointment.
const CONTENT_FOR: u32 = 8;

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
        if here < COMPANY_MIN {
            *self = Self::default();
        } else if here < self.hoped {
            *self = Self { hoped: here, content: CONTENT_FOR };
        } else if self.content > 0 {
            self.content -= 1;
            self.hoped = self.hoped.max(here).min(COMPANY_MAX);
        } else {
            self.hoped = (here + here / 2).min(COMPANY_MAX);
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
            let here = can_come.min(COMPANY_MIN);
            let here = here + crowd.more(here).min(can_come - here);
            crowd.came(here);
            held.push(here);
        }
        held
    }

    #[test]
    fn a_few_never_wait() {
        let mut crowd = Crowd::default();
        for here in [0, 1, COMPANY_MIN - 1, 0, 3] {
            crowd.came(here);
            assert_eq!(crowd.more(1), 0);
        }
    }

    #[test]
    fn a_crowd_is_found_and_not_waited_for_in_vain() {
        let mut crowd = Crowd::default();
        let held = commits(&mut crowd, 100, 11);
        assert_eq!(held, [6, 9, 13, 19, 28, 42, 63, 94, 100, 100, 100]);
        // Content with those who come, for a while; then one wait in vain.
        assert_eq!(crowd.more(6), 94);
        let mut in_vain = 0;
        for _ in 0..10 * (CONTENT_FOR + 2) {
            in_vain += u32::from(crowd.more(100) > 0);
            crowd.came(100);
        }
        assert!((9..=10).contains(&in_vain), "{in_vain}");
    }

    #[test]
    fn when_the_crowd_is_gone_nobody_waits() {
        let mut crowd = Crowd::default();
        commits(&mut crowd, 5_000, 40);
        assert_eq!(crowd.more(1), COMPANY_MAX - 1);
        crowd.came(50);
        assert_eq!(crowd.more(10), 40);
        crowd.came(2);
        assert_eq!(crowd.more(1), 0);
    }
}
