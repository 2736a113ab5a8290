//! The node's clock: the one place that asks the machine what time it is.
//!
//! Node time is a base plus monotonic elapsed time. The base is the store's clock at the start, or
//! the last time the journal knows if that is later. The store's clock is looked at again every few
//! seconds and node time is *slewed* towards it, by 0.5 % at most: it never steps, and never goes
//! back, whatever is done to the machine's clock.
#![expect(clippy::disallowed_methods, reason = "this is the file that implements the clock")]

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use domain::time::Timestamp;

/// How much faster or slower than the machine's monotonic clock node time may run, in millionths.
const SLEW_MAX_PPM: i64 = 5_000;
/// The difference that is to be made good, in seconds at the least: gently.
const SLEW_OVER_S: i64 = 60;

#[derive(Clone, Copy, Debug)]
struct Segment {
    since: Instant,
    base_us: u64,
    slew_ppm: i64,
}

impl Segment {
    fn at(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.since).as_micros();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX / 2);
        let slewed = i128::from(elapsed) * i128::from(self.slew_ppm) / 1_000_000;
        let slewed = i64::try_from(slewed).unwrap_or(0);
        (self.base_us + elapsed).saturating_add_signed(slewed)
    }
}

/// The node's clock. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    segment: Arc<ArcSwap<Segment>>,
}

/// The machine's wall clock in milliseconds since the Unix epoch.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The machine's wall clock in nanoseconds since the Unix epoch.
#[must_use]
pub fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds on a clock that never goes back, is never set, and goes on while the machine sleeps:
/// for how old something is in memory.
#[must_use]
pub fn uptime_ms() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
        seconds * 1_000 + nanos / 1_000_000
    }
    #[cfg(not(target_os = "linux"))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Measures how long something takes, by the machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since it began.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Clock {
    /// A clock that starts at `base`: the store's clock, or the last time it knows if that is later.
    #[must_use]
    pub fn start(base: Timestamp) -> Self {
        let base_us = base.0 * 1000;
        let segment = Segment { since: Instant::now(), base_us, slew_ppm: 0 };
        Self { segment: Arc::new(ArcSwap::from_pointee(segment)) }
    }

    /// Node time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.segment.load().at(Instant::now()) / 1000)
    }

    /// Node time when a stopwatch began.
    #[must_use]
    pub fn at(&self, watch: Stopwatch) -> Timestamp {
        Timestamp(self.segment.load().at(watch.0) / 1000)
    }

    /// Slews towards the store's clock. To be called by one thread, every few seconds.
    pub fn steer(&self, store: Timestamp) {
        self.steer_at(Instant::now(), store);
    }

    fn steer_at(&self, now: Instant, store: Timestamp) {
        let base_us = self.segment.load().at(now);
        let behind_us =
            i64::try_from(i128::from(store.0) * 1000 - i128::from(base_us)).unwrap_or(i64::MAX);
        let slew_ppm = (behind_us / SLEW_OVER_S).clamp(-SLEW_MAX_PPM, SLEW_MAX_PPM);
        self.segment.store(Arc::new(Segment { since: now, base_us, slew_ppm }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_store_clock_set_back_or_forward_moves_it_by_half_a_percent_only() {
        let start = Instant::now();
        let segment = Segment { since: start, base_us: 1_000_000_000_000, slew_ppm: 0 };
        let clock = Clock { segment: Arc::new(ArcSwap::from_pointee(segment)) };
        for (store_ms, advanced_us) in [(0, 995_000), (u64::MAX / 2000, 1_005_000)] {
            let before = clock.segment.load().at(start);
            clock.steer_at(start, Timestamp(store_ms));
            assert_eq!(clock.segment.load().at(start), before, "no step");
            let after = clock.segment.load().at(start + Duration::from_secs(1));
            assert_eq!(after - before, advanced_us);
        }
    }

    #[test]
    fn it_starts_at_its_base_and_goes_on() {
        let base = Timestamp(1_800_000_000_000);
        let clock = Clock::start(base);
        let first = clock.now();
        assert!(first >= base);
        assert!(clock.now() >= first);
    }
}
