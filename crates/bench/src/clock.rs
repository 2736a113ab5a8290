//! The benchmark's clock: what it measures with, and the day it writes under its table.
#![expect(clippy::disallowed_methods, reason = "this is the file that implements the clock")]

use std::time::{Duration, Instant};

/// This instant.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Does nothing for a while: what is waited for cannot wake us.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// The day, in UTC.
pub(crate) fn today() -> String {
    let now = jiff::Timestamp::now();
    jiff::tz::TimeZone::UTC.to_datetime(now).date().to_string()
}

/// Seconds since 1970, by this machine's clock.
pub(crate) fn wall_s() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Seconds from 1970 until an instant as answers write it.
pub(crate) fn seconds_of(instant: &str) -> Option<f64> {
    let since = instant.parse::<jiff::Timestamp>().ok()?.as_duration();
    Some(since.as_secs_f64())
}

/// Looks until there is something or the time is over.
pub(crate) fn until<T>(most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + most;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if now() >= end {
            return None;
        }
        pause(Duration::from_millis(2));
    }
}
