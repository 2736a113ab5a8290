//! What the engine counts while it runs, for whoever shows it to operators.
//!
//! Counters and histograms of relaxed atomics: counting costs nanoseconds, takes no lock and decides
//! nothing. They begin at zero with the process. Numbers of the moment (who waits, which seats are
//! free) are not here: they are read from a publication.
//!
//! Deliberately absent: names, labels and formats of any system of metrics.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use domain::time::Timestamp;
use store::codec::CommandKind;

use crate::{Commit, Failure, Priority, Reply};

/// Buckets of a histogram, at most.
const BUCKETS_MAX: usize = 20;

/// Upper bounds of times, in nanoseconds: 50 µs to 10 s.
pub const TIME_BOUNDS: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Upper bounds of how many come together.
const CROWD_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096];
/// Upper bounds of sizes, in bytes.
const SIZE_BOUNDS: &[u64] =
    &[64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/// How often values fell between bounds, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [AtomicU64; BUCKETS_MAX],
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one. `bounds` rise; there are fewer than 20.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < BUCKETS_MAX, "a bucket for each bound, and one for what is beyond");
        Self { bounds, counts: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.iter().take_while(|bound| **bound < value).count();
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Adds what was counted to `tally`, which is of the same bounds.
    pub fn add_to(&self, tally: &mut Tally) {
        for (sum, count) in tally.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
        tally.sum += self.sum.load(Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn read(&self) -> Tally {
        let mut tally = Tally::new(self.bounds);
        self.add_to(&mut tally);
        tally
    }
}

/// What a histogram has counted.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    bounds: &'static [u64],
    counts: [u64; BUCKETS_MAX],
    /// The sum of all values.
    pub sum: u64,
}

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: [0; BUCKETS_MAX], sum: 0 }
    }

    /// For each bound, and then for no bound at all, how many values were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It was done, or had been.
    Done,
    /// The rules said no.
    Refused,
    /// It was shed: too many waited.
    Overloaded,
    /// The store could not be written, and nothing was.
    Unavailable,
    /// It may or may not have been written.
    Unknown,
}

impl CommandOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Done, Self::Refused, Self::Overloaded, Self::Unavailable, Self::Unknown];

    /// The outcome as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }

    fn of(result: &Result<Reply, Failure>) -> Self {
        match result {
            Ok(Reply { answer: Ok(_), .. }) => Self::Done,
            Ok(Reply { answer: Err(_), .. }) => Self::Refused,
            Err(Failure::Overloaded) => Self::Overloaded,
            Err(Failure::Unavailable) => Self::Unavailable,
            Err(Failure::OutcomeUnknown) => Self::Unknown,
        }
    }
}

/// What was asked for, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: CommandKind,
    pub(crate) priority: Priority,
}

impl Asked {
    /// A sale that is added.
    pub(crate) const SCHEDULE: Self =
        Self { kind: CommandKind::Schedule, priority: Priority::Tick };

    pub(crate) fn of(command: &domain::Command) -> Self {
        Self { kind: command.into(), priority: Priority::of(command) }
    }
}

/// What is counted of all sales together.
#[derive(Debug)]
pub struct Meters {
    commands: [[AtomicU64; CommandOutcome::ALL.len()]; CommandKind::ALL.len()],
    sheds: [AtomicU64; Priority::ALL.len()],
    /// Requests and providers' answers that were decided for one commit.
    pub commit_requests: Histogram,
    /// Bytes of one commit.
    pub commit_bytes: Histogram,
    /// How long one commit took until it was on disk, in nanoseconds.
    pub commit_time: Histogram,
    /// How long this node waited for its turn among others that write the same sales, in nanoseconds.
    pub lock_time: Histogram,
    commit_failures: AtomicU64,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            commands: array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0))),
            sheds: array::from_fn(|_| AtomicU64::new(0)),
            commit_requests: Histogram::new(CROWD_BOUNDS),
            commit_bytes: Histogram::new(SIZE_BOUNDS),
            commit_time: Histogram::new(TIME_BOUNDS),
            lock_time: Histogram::new(TIME_BOUNDS),
            commit_failures: AtomicU64::new(0),
        }
    }
}

impl Meters {
    /// How many commands of a kind came to this, since the start.
    #[must_use]
    pub fn commands(&self, kind: CommandKind, outcome: CommandOutcome) -> u64 {
        self.commands[kind as usize][outcome as usize].load(Relaxed)
    }

    /// How many requests of a priority were shed, since the start.
    #[must_use]
    pub fn sheds(&self, priority: Priority) -> u64 {
        self.sheds[priority as usize].load(Relaxed)
    }

    /// How many commits failed, since the start.
    #[must_use]
    pub fn commit_failures(&self) -> u64 {
        self.commit_failures.load(Relaxed)
    }

    pub(crate) fn committed(&self, commit: &Commit) {
        self.commit_time.observe(commit.took_ns);
        self.commit_bytes.observe(commit.bytes);
        self.commit_failures.fetch_add(u64::from(commit.failed), Relaxed);
    }

    pub(crate) fn told(&self, asked: Asked, result: &Result<Reply, Failure>) {
        self.came_to(asked, CommandOutcome::of(result));
    }

    pub(crate) fn came_to(&self, asked: Asked, outcome: CommandOutcome) {
        self.commands[asked.kind as usize][outcome as usize].fetch_add(1, Relaxed);
        if outcome == CommandOutcome::Overloaded {
            self.sheds[asked.priority as usize].fetch_add(1, Relaxed);
        }
    }
}

/// Payments of one sale that were begun and came to something, since the start, as far as it is
/// durable. A payment may be unknown first and approved later, and counts for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaymentCounts {
    /// Begun.
    pub begun: u64,
    /// The money is ours.
    pub approved: u64,
    /// No money was taken.
    pub declined: u64,
    /// Nobody could say at first.
    pub unknown: u64,
    /// Money must go back.
    pub refund_due: u64,
    /// Money went back.
    pub refunded: u64,
}

impl PaymentCounts {
    /// Each with its name.
    #[must_use]
    pub fn table(&self) -> [(&'static str, u64); 6] {
        let Self { begun, approved, declined, unknown, refund_due, refunded } = *self;
        [
            ("begun", begun),
            ("approved", approved),
            ("declined", declined),
            ("unknown", unknown),
            ("refund_due", refund_due),
            ("refunded", refunded),
        ]
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.begun += more.begun;
        self.approved += more.approved;
        self.declined += more.declined;
        self.unknown += more.unknown;
        self.refund_due += more.refund_due;
        self.refunded += more.refunded;
    }
}

/// How one sale's core stands, as the deciding thread last said.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreState {
    /// The newest durable batch.
    pub durable: u64,
    /// Requests that wait to be decided, by [`Priority`].
    pub queues: [usize; 5],
    /// Payments since the start.
    pub payments: PaymentCounts,
    /// Since when the oldest payment is unknown, or since the start if it was so before.
    pub oldest_unknown: Option<Timestamp>,
}

/// A [`CoreState`] that one thread writes and others read, each number by itself.
#[derive(Debug)]
pub(crate) struct SharedCoreState {
    durable: AtomicU64,
    /// When a durable batch was first newer than the publication, in milliseconds; zero when none is.
    behind_since: AtomicU64,
    queues: [AtomicU64; 5],
    payments: [AtomicU64; 6],
    oldest_unknown: AtomicU64,
}

impl Default for SharedCoreState {
    fn default() -> Self {
        Self {
            durable: AtomicU64::new(0),
            behind_since: AtomicU64::new(0),
            queues: array::from_fn(|_| AtomicU64::new(0)),
            payments: array::from_fn(|_| AtomicU64::new(0)),
            oldest_unknown: AtomicU64::new(0),
        }
    }
}

impl SharedCoreState {
    pub(crate) fn store(&self, state: &CoreState, shown: u64, now: Timestamp) {
        self.durable.store(state.durable, Relaxed);
        let since = self.behind_since.load(Relaxed);
        let since = match (state.durable > shown, since) {
            (false, _) => 0,
            (true, 0) => now.0,
            (true, since) => since,
        };
        self.behind_since.store(since, Relaxed);
        for (to, length) in self.queues.iter().zip(state.queues) {
            to.store(length as u64, Relaxed);
        }
        for (to, (_, count)) in self.payments.iter().zip(state.payments.table()) {
            to.store(count, Relaxed);
        }
        self.oldest_unknown.store(state.oldest_unknown.map_or(0, |at| at.0), Relaxed);
    }

    pub(crate) fn load(&self) -> CoreState {
        let queue =
            |at: usize| usize::try_from(self.queues[at].load(Relaxed)).unwrap_or(usize::MAX);
        let [begun, approved, declined, unknown, refund_due, refunded] =
            array::from_fn(|at| self.payments[at].load(Relaxed));
        CoreState {
            durable: self.durable.load(Relaxed),
            queues: array::from_fn(queue),
            payments: PaymentCounts { begun, approved, declined, unknown, refund_due, refunded },
            oldest_unknown: Some(Timestamp(self.oldest_unknown.load(Relaxed)))
                .filter(|at| at.0 > 0),
        }
    }

    /// Since when the newest publication is not the newest durable state, if it is not.
    pub(crate) fn behind_since(&self) -> Option<Timestamp> {
        Some(Timestamp(self.behind_since.load(Relaxed))).filter(|at| at.0 > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_every_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[1, 2, 4]);
        for value in [0, 1, 2, 3, 4, 5, 100] {
            histogram.observe(value);
        }
        let tally = histogram.read();
        let expected = [(Some(1), 2), (Some(2), 3), (Some(4), 5), (None, 7)];
        assert_eq!(tally.cumulative().collect::<Vec<_>>(), expected);
        assert_eq!((tally.count(), tally.sum), (7, 115));
    }

    #[test]
    fn a_publication_is_behind_from_when_it_first_was() {
        let shared = SharedCoreState::default();
        let at = |durable, shown, now| {
            let state = CoreState { durable, ..CoreState::default() };
            shared.store(&state, shown, Timestamp(now));
            shared.behind_since().map(|since| since.0)
        };
        assert_eq!(at(5, 5, 100), None);
        assert_eq!(at(6, 5, 110), Some(110));
        assert_eq!(at(7, 5, 120), Some(110));
        assert_eq!(at(7, 7, 130), None);
    }
}
