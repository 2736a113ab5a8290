//! What is limited in one sale, with default and range.
//!
//! Times are whole seconds. Lowering a limit throws nobody out: it is asked when somebody would
//! come in, or when a new deadline is set. A place has no deadline of its own, only a time when its
//! buyer was last seen; so there a longer life that was lowered goes on counting (`KeptTtl`).

use minicbor::{Decode, Encode};

use crate::time::Second;

macro_rules! limits {
    ($($(#[$doc:meta])* $n:literal $name:ident = $default:literal in $min:literal ..= $max:literal),+ $(,)?) => {
        /// The limits of one sale.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        pub struct Limits {
            $($(#[$doc])* #[n($n)] pub $name: u32,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl Limits {
            /// Every limit as (name, value, least, most).
            #[must_use]
            pub fn table(&self) -> Vec<(&'static str, u32, u32, u32)> {
                vec![$((stringify!($name), self.$name, $min, $max)),+]
            }

            /// Gives one limit another value, in its range or not. Says whether there is such a limit.
            #[must_use]
            pub fn set(&mut self, name: &str, value: u32) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => return false,
                }
                true
            }
        }
    };
}

limits! {
    /// People waiting, at most.
    0 line_capacity = 100_000 in 1..=20_000_000,
    /// People admitted at a time, at most: choosing, holding and paying.
    1 active_limit = 100 in 1..=1_000_000,
    /// Seats in one reservation, at most.
    2 seats_per_reservation = 4 in 1..=20,
    /// Seconds a hold lasts without a payment.
    3 hold_ttl = 300 in 1..=86_400,
    /// Seconds that a begun payment keeps its seats at least.
    4 payment_deadline = 60 in 1..=3_600,
    /// Seconds a place lives after its buyer was last seen.
    5 place_ttl = 1_800 in 2..=604_800,
    /// Seconds an admitted buyer has to show up.
    6 arrive_ttl = 120 in 1..=86_400,
    /// Seconds an admitted buyer has to choose.
    7 choose_ttl = 300 in 1..=86_400,
    /// Seconds without a sign of life after which a turn is passed over.
    8 presence_window = 90 in 1..=86_400,
}

/// A limit outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The limit's name.
    pub name: &'static str,
    /// What was asked for.
    pub value: u32,
    /// The least it may be.
    pub min: u32,
    /// The most it may be.
    pub max: u32,
}

impl Limits {
    /// Checks every limit against its range.
    ///
    /// # Errors
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        for (name, value, min, max) in self.table() {
            if !(min..=max).contains(&value) {
                return Err(OutOfRange { name, value, min, max });
            }
        }
        Ok(())
    }
}

/// What remains of a `place_ttl` that was lowered: whoever was last seen before must not lose the
/// place sooner for it, so the longer life counts until it has passed once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptTtl {
    #[n(0)]
    ttl: u32,
    #[n(1)]
    until: Second,
}

impl KeptTtl {
    /// How long a place lives at `now` after its buyer was last seen.
    pub(crate) fn in_force(self, limits: &Limits, now: Second) -> u32 {
        if now < self.until { self.ttl.max(limits.place_ttl) } else { limits.place_ttl }
    }

    /// When a place ends whose buyer was last seen at `seen`, if nothing changes.
    pub(crate) fn expiry(self, limits: &Limits, seen: Second) -> Second {
        let longest = seen.plus(self.ttl.max(limits.place_ttl));
        longest.min(seen.plus(limits.place_ttl).max(self.until))
    }

    /// What remains when the limits are changed at `at`: enough that nobody seen until then ends
    /// sooner than before.
    pub(crate) fn lowered(self, before: &Limits, after: &Limits, at: Second) -> Self {
        if after.place_ttl >= before.place_ttl {
            return self;
        }
        let until = at.plus(before.place_ttl);
        Self { ttl: self.in_force(before, at), until: self.until.max(until) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_and_their_order_are_those_of_the_contract() {
        let said: Vec<_> =
            Limits::default().table().iter().map(|(name, value, ..)| (*name, *value)).collect();
        assert_eq!(
            said,
            [
                ("line_capacity", 100_000),
                ("active_limit", 100),
                ("seats_per_reservation", 4),
                ("hold_ttl", 300),
                ("payment_deadline", 60),
                ("place_ttl", 1_800),
                ("arrive_ttl", 120),
                ("choose_ttl", 300),
                ("presence_window", 90),
            ]
        );
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn each_limit_is_refused_just_outside_its_range() {
        type Set = fn(&mut Limits, u32);
        let set: [Set; 9] = [
            |limits, to| limits.line_capacity = to,
            |limits, to| limits.active_limit = to,
            |limits, to| limits.seats_per_reservation = to,
            |limits, to| limits.hold_ttl = to,
            |limits, to| limits.payment_deadline = to,
            |limits, to| limits.place_ttl = to,
            |limits, to| limits.arrive_ttl = to,
            |limits, to| limits.choose_ttl = to,
            |limits, to| limits.presence_window = to,
        ];
        let table = Limits::default().table();
        assert_eq!(table.len(), set.len());
        for (set, (name, _, min, max)) in set.iter().zip(table) {
            let checked = |value| {
                let mut limits = Limits::default();
                set(&mut limits, value);
                limits.check()
            };
            assert_eq!((checked(min), checked(max)), (Ok(()), Ok(())));
            for value in [min - 1, max + 1] {
                assert_eq!(checked(value), Err(OutOfRange { name, value, min, max }));
            }
        }
    }

    #[test]
    fn a_limit_is_set_by_its_name_and_no_other_with_it() {
        let table = Limits::default().table();
        for (at, (name, value, ..)) in table.iter().enumerate() {
            let mut limits = Limits::default();
            assert!(limits.set(name, value + 1));
            let mut expected = table.clone();
            expected[at].1 += 1;
            assert_eq!(limits.table(), expected);
        }
        assert!(!Limits::default().set("hold", 1));
    }

    fn with_place_ttl(place_ttl: u32) -> Limits {
        Limits { place_ttl, ..Limits::default() }
    }

    proptest! {
        /// Two changes, the second perhaps while the first still echoes: nobody seen before a
        /// change ends sooner for it, and the announced second is the one at which it happens.
        #[test]
        fn lowering_the_life_of_a_place_ends_nobody_sooner(
            ttls in [1..60_u32, 1..60_u32, 1..60_u32],
            changes in [100..200_u32, 0..100_u32],
            seen in 0..300_u32,
        ) {
            let (mut kept, mut limits, mut at) = (KeptTtl::default(), with_place_ttl(ttls[0]), 0);
            let seen = Second(seen);
            for (ttl, wait) in ttls[1..].iter().zip(changes) {
                at += wait;
                let after = with_place_ttl(*ttl);
                let promised = kept.expiry(&limits, seen);
                kept = kept.lowered(&limits, &after, Second(at));
                limits = after;
                if seen.0 <= at && at < promised.0 {
                    prop_assert!(kept.expiry(&limits, seen) >= promised);
                }
                let over = |now: &u32| now.saturating_sub(seen.0) >= kept.in_force(&limits, Second(*now));
                let first = (seen.0.max(at)..).find(over).expect("a place ends some time");
                prop_assert_eq!(kept.expiry(&limits, seen).0.max(at), first);
            }
        }
    }
}
