//! A visit inside the box office, and the reservation it may lead to.
//!
//! A *visit* begins with the admission and ends with the confirmation or without: choosing, holding
//! and paying all count against `active_limit`. A *reservation* is some seats of one performance,
//! kept for one visit; its amount is the sum of its lines.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::id::{
    EntryIndex, KeyHash, PaymentIndex, ReservationId, ReservationIndex, SeatIndex, VisitIndex,
};
use crate::money::Money;
use crate::time::Second;

/// Idempotency keys remembered for one visit.
pub const KEYS_MAX: usize = 16;
/// Times a buyer may give seats back and choose again in one visit.
pub const GIVE_BACKS_MAX: u8 = 2;

/// One admission of one buyer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Visit {
    /// Who.
    #[n(0)]
    pub entry: EntryIndex,
    /// Where the visit stands.
    #[n(1)]
    pub stage: Stage,
    /// Until when the buyer must have shown up; none once seen.
    #[n(2)]
    pub arrive_until: Option<Second>,
    /// Until when seats may be chosen.
    #[n(3)]
    pub choose_until: Second,
    /// How often seats were given back.
    #[n(4)]
    pub give_backs: u8,
    /// The newest reservation of the visit.
    #[n(5)]
    pub reservation: Option<ReservationIndex>,
    /// The effects of the last commands that had a key, oldest first, at most [`KEYS_MAX`].
    #[n(6)]
    #[cbor(with = "crate::id::list")]
    pub keys: Arc<[KeyRecord]>,
    /// When the buyer was last seen in line, before the admission.
    #[n(7)]
    pub seen: Second,
}

/// Where a visit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Looking for seats.
    #[n(0)]
    Choosing,
    /// With the visit's newest reservation, which says the rest: held, being paid, confirmed.
    #[n(1)]
    Reserved,
    /// Over without a ticket.
    #[n(2)]
    Ended(#[n(0)] EndReason),
    /// The turn was missed; the place in the line goes on.
    #[n(3)]
    Missed,
}

/// Why a place ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EndReason {
    /// The buyer left.
    #[n(0)]
    Left,
    /// Not seen for `place_ttl`.
    #[n(1)]
    Absent,
    /// Nothing chosen within `choose_ttl`.
    #[n(2)]
    TooSlow,
    /// The hold was not paid in time.
    #[n(3)]
    HoldExpired,
    /// Every seat is sold.
    #[n(4)]
    SoldOut,
    /// The sale was closed.
    #[n(5)]
    Closed,
    /// An operator removed it.
    #[n(6)]
    Removed,
}

impl EndReason {
    /// The reason as one word, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Absent => "absent",
            Self::TooSlow => "too_slow",
            Self::HoldExpired => "hold_expired",
            Self::SoldOut => "sold_out",
            Self::Closed => "closed",
            Self::Removed => "removed",
        }
    }
}

/// What a command with an idempotency key brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyRecord {
    /// The key's hash.
    #[n(0)]
    pub key: KeyHash,
    /// What was asked for, in short: the same key with another body is refused.
    #[n(1)]
    pub body: u64,
    /// What came of it.
    #[n(2)]
    pub effect: Effect,
}

/// The lasting effect of a command that had a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Effect {
    /// Seats were held.
    #[n(0)]
    Held(#[n(0)] ReservationIndex),
    /// A payment was begun.
    #[n(1)]
    Paid(#[n(0)] PaymentIndex),
}

/// Some seats of one performance, for one visit.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reservation {
    /// Its name.
    #[n(0)]
    pub id: ReservationId,
    /// Whose.
    #[n(1)]
    pub visit: VisitIndex,
    /// The visit's reservation before this one.
    #[n(2)]
    pub previous: Option<ReservationIndex>,
    /// What is to be paid for.
    #[n(3)]
    #[cbor(with = "crate::id::list")]
    pub lines: Arc<[Line]>,
    /// Where it stands.
    #[n(4)]
    pub state: ReservationState,
    /// When the hold ends whatever happens, unless a payment on it is unknown.
    #[n(5)]
    pub hard_end: Second,
    /// The newest payment.
    #[n(6)]
    pub payment: Option<PaymentIndex>,
}

/// One thing that is paid for. Fees will be lines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Line {
    /// A seat at the price it had when it was held.
    #[n(0)]
    Seat {
        /// Which.
        #[n(0)]
        seat: SeatIndex,
        /// What it costs.
        #[n(1)]
        price: Money,
    },
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReservationState {
    /// Kept, unpaid, until then.
    #[n(0)]
    Held(#[n(0)] Second),
    /// Its newest payment is running or unknown; the hold was good until then.
    #[n(1)]
    Paying(#[n(0)] Second),
    /// Paid.
    #[n(2)]
    Confirmed,
    /// Over, the seats are free again; why and when.
    #[n(3)]
    Released(#[n(0)] ReleaseReason, #[n(1)] Second),
}

/// Why a reservation ended unpaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReleaseReason {
    /// The buyer gave the seats back, or left.
    #[n(0)]
    GivenBack,
    /// It was not paid in time.
    #[n(1)]
    Expired,
}

impl Reservation {
    /// What is to be paid: the sum of its lines.
    #[must_use]
    pub fn amount(&self) -> Money {
        self.lines.iter().map(|Line::Seat { price, .. }| *price).sum()
    }

    /// The seats, in the order in which they were asked for.
    pub fn seats(&self) -> impl Iterator<Item = SeatIndex> {
        self.lines.iter().map(|Line::Seat { seat, .. }| *seat)
    }
}

impl Visit {
    /// What a key of this visit brought about, if it is remembered.
    #[must_use]
    pub fn remembered(&self, key: KeyHash) -> Option<KeyRecord> {
        self.keys.iter().find(|record| record.key == key).copied()
    }

    /// Remembers a key, forgetting the oldest beyond [`KEYS_MAX`].
    pub(crate) fn remember(&mut self, record: KeyRecord) {
        let forgotten = (self.keys.len() + 1).saturating_sub(KEYS_MAX);
        self.keys = self.keys[forgotten..].iter().copied().chain([record]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixteen_keys_are_remembered() {
        let mut visit = Visit {
            entry: EntryIndex(0),
            stage: Stage::Choosing,
            arrive_until: None,
            choose_until: Second(0),
            give_backs: 0,
            reservation: None,
            keys: Arc::default(),
            seen: Second(0),
        };
        for key in 0..20 {
            let effect = Effect::Held(ReservationIndex(u32::try_from(key).unwrap()));
            visit.remember(KeyRecord { key: KeyHash(key), body: 7, effect });
        }
        assert_eq!(visit.keys.len(), KEYS_MAX);
        assert_eq!(visit.remembered(KeyHash(3)), None);
        let oldest = visit.remembered(KeyHash(4)).unwrap();
        assert_eq!((oldest.body, oldest.effect), (7, Effect::Held(ReservationIndex(4))));
        assert!(visit.remembered(KeyHash(19)).is_some());
    }
}
