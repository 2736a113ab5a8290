//! The course of a rehearsal, second by second.

use std::time::Duration;

use serde::Serialize;

use crate::buyer::{End, Standing};
use crate::calls::{Pulse, figures};

/// What could be seen at an instant, and what was answered in the second before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Buyers who have come so far.
    pub arrived: u32,
    /// Those of them who wait in line.
    pub waiting: u32,
    /// Those whose turn it is, as far as they know, whatever they do with it.
    pub inside: u32,
    /// Those who have bought.
    pub bought: u32,
    /// How many seats those have.
    pub seats_sold: u64,
    /// Answers in the last second.
    pub answers: u64,
    /// Requests in the last second that were lost or answered with 5xx.
    pub failed: u64,
    /// Milliseconds that half of its answers took at most, if there were any; payments are left out,
    /// for they take as long as the provider does.
    pub p50_ms: Option<f64>,
    /// Likewise 99 in a hundred.
    pub p99_ms: Option<f64>,
}

impl Sample {
    /// One line, for whoever watches.
    #[must_use]
    pub fn to_line(&self) -> String {
        let Self { arrived, waiting, inside, bought, seats_sold, answers, .. } = self;
        let seconds = self.at_ms / 1000;
        let p99 = self.p99_ms.map_or(String::new(), |ms| format!(", p99 {} ms", figures(ms)));
        let failed = match self.failed {
            0 => String::new(),
            count => format!(", {count} failed"),
        };
        format!(
            "{seconds:>4} s  {arrived} came, {waiting} waiting, {inside} inside, {bought} bought \
             {seats_sold} seats; {answers} answers/s{p99}{failed}"
        )
    }
}

/// How many buyers stand where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heads {
    arrived: u32,
    waiting: u32,
    inside: u32,
    bought: u32,
    over: u32,
    seats_sold: u64,
}

impl Heads {
    pub(super) fn arrives(&mut self) {
        self.arrived += 1;
    }

    /// A buyer was counted under `before`, and stands at `after` now.
    pub(super) fn moves(&mut self, before: Standing, after: Standing, tickets: usize) {
        if before == after {
            return;
        }
        match before {
            Standing::Outside => {}
            Standing::Waiting => self.waiting -= 1,
            Standing::Inside => self.inside -= 1,
            // Whoever is gone stays away.
            Standing::Over(_) => return,
        }
        match after {
            Standing::Outside => {}
            Standing::Waiting => self.waiting += 1,
            Standing::Inside => self.inside += 1,
            Standing::Over(end) => {
                self.over += 1;
                self.bought += u32::from(end == End::Bought);
                self.seats_sold += tickets as u64;
            }
        }
    }

    pub(super) fn over(&self) -> u32 {
        self.over
    }

    pub(super) fn seats_sold(&self) -> u64 {
        self.seats_sold
    }

    pub(super) fn sample(&self, at: Duration, since_last: Duration, pulse: Pulse) -> Sample {
        let Self { arrived, waiting, inside, bought, seats_sold, .. } = *self;
        let per_second = |count| rate(count, since_last);
        Sample {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            arrived,
            waiting,
            inside,
            bought,
            seats_sold,
            answers: per_second(pulse.answers),
            failed: pulse.failed,
            p50_ms: pulse.p50_ms,
            p99_ms: pulse.p99_ms,
        }
    }
}

/// A count of about a second, as if it had been one.
fn rate(count: u64, time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    (count * 1000 + ms / 2) / ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_counted_once() {
        let mut heads = Heads::default();
        for _ in 0..3 {
            heads.arrives();
        }
        let bought = Standing::Over(End::Bought);
        heads.moves(Standing::Outside, Standing::Waiting, 0);
        heads.moves(Standing::Outside, Standing::Inside, 0);
        heads.moves(Standing::Waiting, Standing::Waiting, 0);
        heads.moves(Standing::Waiting, Standing::Inside, 0);
        heads.moves(Standing::Inside, bought, 2);
        heads.moves(bought, bought, 2);
        heads.moves(Standing::Outside, Standing::Over(End::GaveUp), 0);
        let second = Duration::from_secs(1);
        let sample = heads.sample(2 * second, second, Pulse::default());
        assert_eq!((sample.arrived, sample.waiting, sample.inside), (3, 0, 1));
        assert_eq!((sample.bought, sample.seats_sold, heads.over()), (1, 2, 2));
    }

    #[test]
    fn a_long_second_is_no_faster() {
        assert_eq!(rate(1_500, Duration::from_millis(1_500)), 1_000);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }
}
