//! Units of time that cannot be mixed up.
//!
//! *Node time* ([`Timestamp`]) is milliseconds since the Unix epoch, as the node's clock gives it.
//! *Service time* is node time less every gap in which the box office was down ([`ServiceClock`]):
//! an outage stops the clocks. All deadlines of a sale are whole seconds of service time
//! ([`Second`]), so that one number, the offset, moves them all. Nothing here reads a clock.

use minicbor::{Decode, Encode};

/// A duration in milliseconds.
pub type Millis = u64;

/// Node time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    /// This instant and `ms` more.
    #[must_use]
    pub fn plus(self, ms: Millis) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until this instant; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}

/// A whole second of service time; the unit of every deadline of a sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Second(#[n(0)] pub u32);

impl Second {
    /// Later than any deadline.
    pub const NEVER: Self = Self(u32::MAX);

    /// This second and `seconds` more.
    #[must_use]
    pub fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Whole seconds from `earlier` until this one; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Service time in milliseconds: finer than [`Second`], used only while deciding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceTime(pub u64);

impl ServiceTime {
    /// The second this instant lies in.
    #[must_use]
    pub fn floor(self) -> Second {
        Second(u32::try_from(self.0 / 1000).unwrap_or(u32::MAX))
    }

    /// The first whole second at or after this instant.
    #[must_use]
    pub fn ceil(self) -> Second {
        Second(u32::try_from(self.0.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// This instant and `ms` more.
    #[must_use]
    pub fn plus(self, ms: Millis) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whether the deadline has come.
    #[must_use]
    pub fn reached(self, deadline: Second) -> bool {
        self.0 >= u64::from(deadline.0) * 1000
    }
}

/// Turns node time into service time and back: the sum of all gaps so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ServiceClock {
    #[n(0)]
    offset_ms: u64,
    /// When the last gap ended.
    #[n(1)]
    resumed_at: Timestamp,
}

impl ServiceClock {
    /// Service time at the node time `now`.
    #[must_use]
    pub fn service(self, now: Timestamp) -> ServiceTime {
        ServiceTime(now.0.saturating_sub(self.offset_ms))
    }

    /// The node time at which a deadline comes, as long as no further gap is added.
    #[must_use]
    pub fn node(self, deadline: Second) -> Timestamp {
        Timestamp((u64::from(deadline.0) * 1000).saturating_add(self.offset_ms))
    }

    /// How long nothing ran until `now`, when nothing was written since `silent_since`. What an
    /// earlier gap has taken out is not counted again: a node that ends while it starts, and two
    /// nodes that start together, take the same silence for their own.
    #[must_use]
    pub fn gap(&self, silent_since: Timestamp, now: Timestamp) -> Millis {
        now.since(silent_since.max(self.resumed_at))
    }

    /// Moves every running deadline by a gap of `gap` milliseconds that ended at `until`.
    pub(crate) fn stood_still(&mut self, gap: Millis, until: Timestamp) {
        self.offset_ms = self.offset_ms.saturating_add(gap);
        self.resumed_at = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_at_its_second_and_not_a_millisecond_sooner() {
        assert!(!ServiceTime(9_999).reached(Second(10)));
        assert!(ServiceTime(10_000).reached(Second(10)));
        assert_eq!(
            (ServiceTime(9_999).floor(), ServiceTime(9_001).ceil()),
            (Second(9), Second(10))
        );
        assert_eq!((ServiceTime(9_000).floor(), ServiceTime(9_000).ceil()), (Second(9), Second(9)));
    }

    #[test]
    fn a_gap_moves_deadlines_and_is_taken_out_once() {
        let mut clock = ServiceClock::default();
        let (silent_since, up_again) = (Timestamp(100_000), Timestamp(160_000));
        assert_eq!(clock.gap(silent_since, up_again), 60_000);
        clock.stood_still(60_000, up_again);
        assert_eq!(clock.service(up_again), ServiceTime(100_000));
        assert_eq!(clock.node(Second(130)), Timestamp(190_000));
        assert_eq!(clock.gap(silent_since, up_again), 0, "the same silence again");
        assert_eq!(clock.gap(silent_since, Timestamp(175_000)), 15_000, "only what is new");
        assert_eq!(clock.gap(Timestamp(200_000), Timestamp(195_000)), 0);
    }
}
