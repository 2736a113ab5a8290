//! What came of a load: answers by status, how long they took, and how they spread over time.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::wire::Lost;

/// Statuses are below this.
const STATUSES: usize = 600;
/// Seconds of which the course of a load is kept, at most: an hour.
const SECONDS_MAX: usize = 3_600;
/// Latencies are told apart up to this, in nanoseconds; longer ones count as this long.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// In significant decimal digits.
const PRECISION: u8 = 3;

/// What came of a load.
///
/// It is about requests that were *meant to start* in the measured time, neither before, in the
/// warm-up, nor after it. Each of them is counted once: by the status of its answer, as lost, or as
/// not sent.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests for which no answer came, by reason.
    pub lost: [u64; Lost::COUNT],
    /// Arrivals of an open loop that found no free connection and no room to wait for one.
    pub not_sent: u64,
    /// Nanoseconds from the start of a request (in an open loop: from its intended start) to its
    /// answer, whatever the status.
    pub latency: Histogram<u64>,
    /// The measured time: what was asked for, or up to the last answer if requests ran out.
    pub elapsed: Duration,
    /// The answers that arrived in each second of the measured time, whenever their requests began.
    pub seconds: Vec<Second>,
    statuses: Box<[u64; STATUSES]>,
}

/// What arrived in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Answers.
    pub answered: u32,
    /// Those of them with a status below 300.
    pub good: u32,
}

impl Outcome {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, PRECISION)
            .expect("the bounds are in order and the precision is at most 5");
        Self {
            lost: [0; Lost::COUNT],
            not_sent: 0,
            latency,
            elapsed: Duration::ZERO,
            seconds: Vec::new(),
            statuses: Box::new([0; STATUSES]),
        }
    }

    /// How many were answered with this status.
    #[must_use]
    pub fn count(&self, status: u16) -> u64 {
        self.statuses.get(usize::from(status)).copied().unwrap_or(0)
    }

    /// The statuses that came, with their counts, the lowest first.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        (0_u16..).zip(self.statuses.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// How many were answered, whatever the status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// How many were answered with a status below 300.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.statuses[..300].iter().sum()
    }

    /// How many were not answered.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// How many there were in all.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.answered() + self.lost() + self.not_sent
    }

    /// Answers per second, whatever their status.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.answered(), self.elapsed)
    }

    /// Answers with a status below 300 per second.
    #[must_use]
    pub fn good_rate(&self) -> f64 {
        per_second(self.good(), self.elapsed)
    }

    /// The latency that a share of the answers, such as 0.99, did not exceed.
    #[must_use]
    pub fn latency_at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }

    /// The longest latency.
    #[must_use]
    pub fn latency_max(&self) -> Duration {
        Duration::from_nanos(self.latency.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a load are far below 2^52")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

/// The time that is measured, and what has been counted in it so far.
#[derive(Debug)]
pub(super) struct Tally {
    begins: Instant,
    ends: Instant,
    last: Instant,
    pub(super) outcome: Outcome,
}

impl Tally {
    pub(super) fn new(begins: Instant, ends: Instant) -> Self {
        Self { begins, ends, last: begins, outcome: Outcome::new() }
    }

    /// Whether a request that is meant to start at this instant counts.
    fn counts(&self, started: Instant) -> bool {
        started >= self.begins && started < self.ends
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.ends
    }

    pub(super) fn answered(&mut self, started: Instant, answered: Instant, status: u16) {
        self.last = answered;
        if answered >= self.begins && answered < self.ends {
            self.arrived(answered, status);
        }
        if self.counts(started) {
            let took = answered.saturating_duration_since(started).as_nanos();
            let took = u64::try_from(took).unwrap_or(u64::MAX);
            self.outcome.latency.saturating_record(took);
            self.outcome.statuses[usize::from(status).min(STATUSES - 1)] += 1;
        }
    }

    fn arrived(&mut self, answered: Instant, status: u16) {
        let second = answered.duration_since(self.begins).as_secs();
        let second = usize::try_from(second).unwrap_or(usize::MAX);
        let seconds = &mut self.outcome.seconds;
        if second >= seconds.len() {
            if second >= SECONDS_MAX {
                return;
            }
            seconds.resize(second + 1, Second::default());
        }
        seconds[second].answered += 1;
        seconds[second].good += u32::from(status < 300);
    }

    pub(super) fn lost(&mut self, started: Instant, lost: Lost) {
        if self.counts(started) {
            self.outcome.lost[lost.index()] += 1;
        }
    }

    pub(super) fn not_sent(&mut self, started: Instant) {
        self.outcome.not_sent += u64::from(self.counts(started));
    }

    /// The outcome, at `now`, when no request is under way any more.
    pub(super) fn close(mut self, now: Instant) -> Outcome {
        let until = if now >= self.ends { self.ends } else { self.last };
        self.outcome.elapsed = until.saturating_duration_since(self.begins);
        self.outcome
    }
}
