//! Instants of a rehearsal, counted from its start, and what an exchange proves with two of them.

use std::fmt;
use std::ops::Add;
use std::time::{Duration, Instant};

/// Nanoseconds since the start of the rehearsal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// One exchange: the server saw the request and made its answer in between, at an instant that
/// nobody else knows. So what an answer says was true at *some* instant of it; only what does not
/// depend on which one is proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) sent: Moment,
    pub(crate) answered: Moment,
}

impl Moment {
    pub(crate) fn of(instant: Instant, start: Instant) -> Self {
        Self(nanos(instant.saturating_duration_since(start)))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn instant(self, start: Instant) -> Instant {
        start + Duration::from_nanos(self.0)
    }

    #[cfg(test)]
    pub(crate) const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// As seconds, to the millisecond.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        write!(f, "{}.{:03} s", ms / 1_000, ms % 1_000)
    }
}

#[cfg(test)]
impl Exchange {
    pub(crate) const fn ms(sent: u64, answered: u64) -> Self {
        Self { sent: Moment::from_ms(sent), answered: Moment::from_ms(answered) }
    }
}
