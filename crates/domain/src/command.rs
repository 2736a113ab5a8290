//! What may be asked of a sale. A closed vocabulary: ids and randomness come in from the edge.

use crate::id::{
    EntryIndex, FileHash, KeyHash, Name, Nonce, PaymentId, Place, ReservationId, SaleId, SeatIndex,
};
use crate::limits::Limits;
use crate::line::JoinKeys;
use crate::money::Money;
use crate::plan::Plan;
use crate::time::{Millis, Timestamp};

/// An idempotency key with what was asked under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's hash.
    pub hash: KeyHash,
    /// A fingerprint of what was asked.
    pub body: u64,
}

/// What may be asked of one sale.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A buyer joins the line, or finds the living place that the keys already have.
    Join {
        /// The new entry's nonce.
        nonce: Nonce,
        /// What the buyer is recognised by.
        keys: JoinKeys,
    },
    /// These buyers were seen; sorted, without repetition.
    Seen {
        /// Which entries.
        entries: Vec<EntryIndex>,
    },
    /// A buyer leaves, and gives back what is held.
    Leave {
        /// Who.
        place: Place,
    },
    /// A buyer whose turn it is takes seats, all or none.
    Hold {
        /// Who.
        place: Place,
        /// Which seats.
        wish: Wish,
        /// The sum that the buyer expects to pay, where it was said.
        expected: Option<Money>,
        /// The new reservation's id.
        reservation: ReservationId,
        /// The request's key.
        key: Option<Key>,
    },
    /// A buyer gives the seats of a reservation back, to choose again.
    GiveBack {
        /// Who.
        place: Place,
        /// Which.
        reservation: ReservationId,
    },
    /// A buyer pays for a reservation.
    BeginPayment {
        /// Who.
        place: Place,
        /// Which.
        reservation: ReservationId,
        /// The new payment's id.
        payment: PaymentId,
        /// The amount that the buyer expects to pay, where it was said.
        expected: Option<Money>,
        /// The request's key.
        key: Option<Key>,
    },
    /// The provider answered, or nobody knows.
    SettlePayment {
        /// Which payment.
        payment: PaymentId,
        /// What was said.
        outcome: PaymentOutcome,
    },
    /// The provider gave money back.
    SettleRefund {
        /// Which payment.
        payment: PaymentId,
    },
    /// Nothing but the passing of time.
    Tick,
    /// Nothing was written since then: the clocks stood still.
    Resume {
        /// When the store was last known to be written.
        silent_since: Timestamp,
    },
    /// The organiser puts the sale on the calendar.
    Schedule(Box<Schedule>),
    /// The organiser opens it now.
    Open,
    /// The organiser pauses admission.
    Pause,
    /// The organiser resumes admission.
    Unpause,
    /// The organiser closes it: waiting and choosing end, holds run out and may be paid.
    Close,
    /// The organiser changes the limits.
    ChangeLimits(Limits),
    /// The organiser describes the sale anew: its plan, its times and its limits.
    Change(Box<Schedule>),
    /// The organiser keeps free seats back.
    Withhold {
        /// Which.
        seats: Vec<SeatIndex>,
        /// For which of the plan's pools.
        pool: u16,
    },
    /// The organiser gives kept seats free.
    Release {
        /// Which.
        seats: Vec<SeatIndex>,
    },
}

/// Which seats a buyer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// These and no others.
    Seats {
        /// The performance, where the buyer named one.
        performance: Option<u16>,
        /// Which.
        seats: Vec<SeatIndex>,
    },
    /// The best that are free and stand beside each other, as [`best`](crate::best) chooses them.
    Best {
        /// Of which performance.
        performance: u16,
        /// How many.
        count: u32,
        /// Of which grade, by its name; of any when absent.
        grade: Option<Name>,
    },
}

impl Wish {
    /// How many seats are wanted.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Seats { seats, .. } => seats.len(),
            Self::Best { count, .. } => *count as usize,
        }
    }
}

/// What the provider says about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// The money was taken.
    Approved,
    /// No money was taken, nor ever will be for this payment.
    Declined {
        /// The provider's word.
        reason: Name,
        /// Whether another try can succeed.
        retryable: bool,
    },
    /// Nobody knows.
    Unknown,
}

/// Seats that a refused change names, at most.
pub const SEATS_NAMED_MAX: usize = 10;

/// A sale as the organiser describes it.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Schedule {
    /// The sale's name.
    #[n(0)]
    pub sale: SaleId,
    /// What is offered.
    #[n(1)]
    pub plan: Plan,
    /// Its limits.
    #[n(2)]
    pub limits: Limits,
    /// When it opens.
    #[n(3)]
    pub opens_at: Timestamp,
    /// When it closes; never by itself when absent.
    #[n(4)]
    pub closes_at: Option<Timestamp>,
    /// The file that says so, where it was one.
    #[n(5)]
    pub file: Option<FileHash>,
}

/// Milliseconds without a durable heartbeat after which the clocks count as having stood still.
pub const SILENCE_MIN: Millis = 10_000;
