//! How a thread whose work can wait gives way to those whose work cannot.
//!
//! A low priority is not enough. A thread of the last priority still runs in every gap that the others
//! leave, so that on a core that is half used nothing is ever ready at once and, so it seems, nothing in
//! the caches is left as it was. On one core, at half of the full load, half of the holds were answered
//! within 3.7 to 71 ms beside the ledger's thread, the core 98 % busy; since it rests, within 2.6 to 2.7
//! ms, the core 79 to 81 % busy (three rounds each, in turns; `docs/performance.md`). So such a thread
//! looks after each piece of its work how long it had to wait for its core. If that is much, somebody else
//! needs the core, and it rests for many times as long as it has run. Where cores are free it never waits,
//! and never rests.
//!
//! Linux tells both times for each thread (`/proc/thread-self/schedstat`); elsewhere nobody rests.

use std::time::Duration;

/// Of the time that it ran, a thread may have waited for its core so much before it is in the way.
const WAITED_MAX: f64 = 0.25;
/// How many times as long as it ran it then rests: it has a twentieth of the core at most.
const RESTS: u32 = 19;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(2);

/// What the thread has had of its core, and how long it waited for it, in nanoseconds since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Had {
    ran: u64,
    waited: u64,
}

impl Had {
    /// Of the thread that asks.
    fn so_far() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    /// Reads `RAN WAITED SLICES`.
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some(Self { ran: numbers.next()?.ok()?, waited: numbers.next()?.ok()? })
    }
}

/// Gives way; one for each thread, and asked by it alone.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    before: Had,
}

impl Courtesy {
    /// How long to rest after what was done since the last time: not at all where nobody waits.
    pub(crate) fn rest(&mut self) -> Duration {
        let Some(now) = Had::so_far() else { return Duration::ZERO };
        rest(std::mem::replace(&mut self.before, now), now)
    }
}

fn rest(before: Had, now: Had) -> Duration {
    let ran = Duration::from_nanos(now.ran.saturating_sub(before.ran));
    let waited = Duration::from_nanos(now.waited.saturating_sub(before.waited));
    if waited <= ran.mul_f64(WAITED_MAX) {
        return Duration::ZERO;
    }
    (ran * RESTS).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn whoever_waited_for_the_core_rests_and_nobody_else() {
        let before = Had { ran: 500 * MS, waited: 900 * MS };
        let after = |ran: u64, waited: u64| Had {
            ran: 500 * MS + ran * MS,
            waited: 900 * MS + waited * MS,
        };
        assert_eq!(rest(before, after(10, 0)), Duration::ZERO);
        assert_eq!(rest(before, after(10, 2)), Duration::ZERO);
        assert_eq!(rest(before, after(10, 3)), Duration::from_millis(190));
        assert_eq!(rest(before, after(10, 500)), Duration::from_millis(190));
        assert_eq!(rest(before, after(300, 300)), REST_MAX);
        assert_eq!(rest(before, before), Duration::ZERO, "nothing was done");
    }

    #[test]
    fn the_kernels_line_is_read() {
        assert_eq!(Had::parse("1200 3400 5\n"), Some(Had { ran: 1200, waited: 3400 }));
        for broken in ["", "1200", "x y z", "1200 x"] {
            assert_eq!(Had::parse(broken), None, "{broken:?}");
        }
        #[cfg(target_os = "linux")]
        assert!(Had::so_far().is_some());
    }
}
