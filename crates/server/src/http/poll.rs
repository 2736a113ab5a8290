//! When a waiting buyer should ask again, and how long the wait may be.
//!
//! Polling, not entering, is the real load of a sale: so those far behind ask rarely, those near
//! the front often enough not to miss their turn, and nobody at the same moment as all others.

use domain::time::Millis;

use crate::ids::Ids;

/// Positions up to this one count as near the front.
const NEAR_POSITION: u32 = 100;
/// A wait shorter than this counts as near the front, in seconds.
const NEAR_WAIT_S: u32 = 10;
/// Near the front, jitter included: at most 2 s.
const NEAR_MS: Millis = unjittered(2_000);
/// Anywhere, jitter included: at most 60 s.
const FAR_MS: Millis = unjittered(60_000);
/// The whole line asks at most so many times a second, those near the front aside.
const POLLS_PER_SECOND: u64 = 5_000;
/// Milliseconds for each position, where nobody knows how fast the line moves.
const PER_POSITION_MS: Millis = 5;

/// The longest base whose jitter of a fifth does not pass `most`.
const fn unjittered(most: Millis) -> Millis {
    most * 5 / 6
}

/// Where somebody stands, for the question of when to ask again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// 1 when it is the buyer's turn.
    pub(super) position: u32,
    /// 1 and all who wait.
    pub(super) total: u32,
    /// Admissions per second, of late, where that is known.
    pub(super) pace: Option<f64>,
    /// After so many seconds without a sign of life a turn is passed over.
    pub(super) presence_window_s: u32,
}

impl Waiting {
    /// Seconds until the turn comes, about; none when nobody can say.
    pub(super) fn estimated_wait_seconds(&self) -> Option<u32> {
        let ahead = self.position.saturating_sub(1);
        if ahead == 0 {
            return Some(0);
        }
        let pace = self.pace.filter(|pace| *pace > 0.0)?;
        let seconds = (f64::from(ahead) / pace).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and a conversion of what is too large gives the largest"
        )]
        Some(seconds as u32)
    }

    /// How long to wait before asking again, give or take 20 %: at most 2 s near the front and 60 s
    /// anywhere, and always less than `presence_window`, for whoever does as told is there.
    pub(super) fn poll_after_ms(&self, ids: Ids) -> Millis {
        ids.jittered_ms(self.base_ms())
    }

    fn base_ms(&self) -> Millis {
        let presence_ms = u64::from(self.presence_window_s) * 1000;
        let most = FAR_MS.min(unjittered(presence_ms * 3 / 4));
        let wait_s = self.estimated_wait_seconds();
        if self.position <= NEAR_POSITION || wait_s.is_some_and(|seconds| seconds < NEAR_WAIT_S) {
            return NEAR_MS.min(most);
        }
        let by_distance = match wait_s {
            // A tenth of the wait.
            Some(seconds) => u64::from(seconds) * 100,
            None => u64::from(self.position) * PER_POSITION_MS,
        };
        let by_load = u64::from(self.total) * 1000 / POLLS_PER_SECOND;
        by_distance.max(by_load).max(NEAR_MS).min(most)
    }
}

/// When to ask again about something that takes seconds: a turn that is on, a payment.
pub(super) fn soon_ms(ids: Ids) -> Millis {
    ids.jittered_ms(NEAR_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(position: u32, pace: Option<f64>) -> Waiting {
        Waiting { position, total: position, pace, presence_window_s: 90 }
    }

    fn drawn(waiting: Waiting) -> (Millis, Millis) {
        let drawn: Vec<_> = (0..2_000).map(|_| waiting.poll_after_ms(Ids)).collect();
        (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap())
    }

    #[test]
    fn near_the_front_at_most_two_seconds() {
        for near in [waiting(1, None), waiting(100, Some(0.01)), waiting(5_000, Some(1_000.0))] {
            let (least, most) = drawn(near);
            assert!(least >= 1_300 && most <= 2_000, "{least}..={most}");
            assert!(most - least > 400, "everybody at once: {least}..={most}");
        }
    }

    #[test]
    fn longer_far_behind_and_never_over_a_minute() {
        let table = [
            (waiting(1_000, None), 4_000..=6_000),
            (waiting(1_000, Some(10.0)), 8_000..=12_000),
            (waiting(10_000_000, None), 40_000..=60_000),
            (waiting(u32::MAX, Some(f64::MIN_POSITIVE)), 40_000..=60_000),
            (Waiting { total: 100_000, ..waiting(500, Some(10.0)) }, 16_000..=24_000),
        ];
        for (waiting, range) in table {
            let (least, most) = drawn(waiting);
            assert!(
                range.contains(&least) && range.contains(&most),
                "{waiting:?}: {least}..={most}"
            );
        }
    }

    #[test]
    fn whoever_asks_as_told_is_there() {
        for presence_window_s in [1, 2, 30, 90, 86_400] {
            for position in [1, 50, 1_000, 1_000_000] {
                let waiting = Waiting { presence_window_s, ..waiting(position, None) };
                let (_, most) = drawn(waiting);
                assert!(
                    most < u64::from(presence_window_s) * 1000,
                    "{most} of {presence_window_s}"
                );
            }
        }
    }

    #[test]
    fn a_wait_is_estimated_only_when_the_pace_is_known() {
        let table = [
            (1, None, Some(0)),
            (5, None, None),
            (5, Some(0.0), None),
            (5, Some(f64::NAN), None),
            (5, Some(2.0), Some(2)),
            (6, Some(2.0), Some(3)),
            (u32::MAX, Some(1e-300), Some(u32::MAX)),
        ];
        for (position, pace, seconds) in table {
            assert_eq!(
                waiting(position, pace).estimated_wait_seconds(),
                seconds,
                "{position} {pace:?}"
            );
        }
    }
}
