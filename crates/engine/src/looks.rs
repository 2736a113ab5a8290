//! How new what is shown is, where other nodes write the same journal.
//!
//! A *look* asks the journal where all its streams stand. What it finds was so at some time after it
//! began, so whatever is as new as that is as new as anything was when it began. Looks are numbered,
//! and one serves all who wait for one.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::command::SILENCE_MIN;
use domain::time::Millis;
use tokio::sync::watch;

/// How old what is shown may be before whoever reads waits for a look.
const RECENT_MAX: Millis = 2_000;
/// How old it may be before it is not shown at all: an outage as long as a silence stops all clocks.
/// What was true before a shorter one is so after it; after a longer one every deadline is another.
const SHOWN_MAX: Millis = SILENCE_MIN;

/// The looks of one node. Whoever looks says when one begins and how it ends, and whoever shows
/// things says with which they have caught up.
#[derive(Debug)]
pub struct Looks {
    begun: AtomicU64,
    /// The newest one that came to nothing.
    failed: watch::Sender<u64>,
    /// The newest one that everything that is shown has caught up with.
    caught_up: watch::Sender<u64>,
    /// When that one began.
    caught_up_ms: AtomicU64,
}

impl Looks {
    /// Of what was read from `began_ms` on.
    #[must_use]
    pub fn new(began_ms: Millis) -> Self {
        Self {
            begun: AtomicU64::new(0),
            failed: watch::Sender::new(0),
            caught_up: watch::Sender::new(0),
            caught_up_ms: AtomicU64::new(began_ms),
        }
    }

    /// Numbers a look that begins now.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A look came to nothing.
    pub fn fail(&self, look: u64) {
        self.failed.send_replace(look);
    }

    /// Everything that is shown is as new as what this look found, which began at `began_ms`.
    pub fn catch_up(&self, look: u64, began_ms: Millis) {
        self.caught_up_ms.store(began_ms, Ordering::Release);
        self.caught_up.send_replace(look);
    }

    /// The least number of a look that begins from now on.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.begun.load(Ordering::SeqCst) + 1
    }

    /// Whether what is shown may be shown as it is.
    #[must_use]
    pub fn is_recent(&self, now_ms: Millis) -> bool {
        self.age(now_ms) <= RECENT_MAX
    }

    /// Whether it may be shown although a newer state cannot be had.
    #[must_use]
    pub fn may_be_shown(&self, now_ms: Millis) -> bool {
        self.age(now_ms) < SHOWN_MAX
    }

    fn age(&self, now_ms: Millis) -> Millis {
        now_ms.saturating_sub(self.caught_up_ms.load(Ordering::Acquire))
    }

    /// Waits until everything that is shown has caught up with a look. There is no bound, so the
    /// caller sets one.
    pub async fn caught_up_with(&self, look: u64) {
        // The senders live in `self`, so waiting ends only with the look.
        let _ = self.caught_up.subscribe().wait_for(|newest| *newest >= look).await;
    }

    /// The same, or until a look came to nothing that began as late.
    pub async fn over(&self, look: u64) {
        let mut failed = self.failed.subscribe();
        tokio::select! {
            () = self.caught_up_with(look) => {}
            _ = failed.wait_for(|newest| *newest >= look) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_ages_until_a_look_was_caught_up_with() {
        let looks = Looks::new(1_000);
        assert!(looks.is_recent(3_000) && !looks.is_recent(3_001));
        assert!(looks.may_be_shown(10_999) && !looks.may_be_shown(11_000));
        let look = looks.begin();
        looks.fail(look);
        assert!(!looks.is_recent(3_001), "it found nothing");
        looks.catch_up(looks.begin(), 11_000);
        assert!(looks.is_recent(11_050));
    }

    #[tokio::test]
    async fn a_look_that_began_before_serves_nobody() {
        let looks = Looks::new(0);
        let before = looks.begin();
        let needed = looks.next();
        looks.catch_up(before, 0);
        let waits = tokio::time::timeout(std::time::Duration::ZERO, looks.caught_up_with(needed));
        assert!(waits.await.is_err());
        let after = looks.begin();
        assert!(after >= needed);
        looks.fail(after);
        looks.over(needed).await;
        looks.catch_up(looks.begin(), 0);
        looks.caught_up_with(needed).await;
    }
}
