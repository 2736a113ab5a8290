//! What the rules say no to. A closed vocabulary with stable codes; one table at the edge gives
//! each a status and a sentence in every language.

use crate::id::{PaymentId, ReservationId, SeatIndex};
use crate::money::Money;
use crate::plan::PlanError;
use crate::reservation::EndReason;
use crate::time::Timestamp;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),+ $(,)? })? = $code:literal),+ $(,)?) => {
        /// Why a command was refused. Nothing was written.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Refusal {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: $type),+ })?,)+
        }

        impl Refusal {
            /// Every code there is.
            pub const CODES: &'static [&'static str] = &[$($code),+];

            /// The stable code that programs read.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $code,)+
                }
            }
        }
    };
}

refusals! {
    /// The sale opens later.
    SaleNotOpen {
        /// When.
        opens_at: Timestamp,
    } = "sale_not_open",
    /// The sale is over.
    SaleClosed = "sale_closed",
    /// Every seat is sold.
    SoldOut = "sold_out",
    /// The line is full.
    QueueFull {
        /// `line_capacity`.
        line_capacity: u32,
    } = "queue_full",
    /// The token names no entry of this history.
    UnknownPlace = "token_invalid",
    /// The place has ended.
    PlaceEnded {
        /// Why.
        reason: EndReason,
    } = "place_ended",
    /// It is not this buyer's turn yet.
    NotAdmitted {
        /// The position in line.
        position: u32,
        /// How many wait, and one.
        total: u32,
    } = "not_admitted",
    /// No seat was named.
    NoSeats = "no_seats",
    /// More seats than one reservation may have.
    TooManySeats {
        /// `seats_per_reservation`.
        seats_per_reservation: u32,
    } = "too_many_seats",
    /// The same seat twice.
    DuplicateSeat {
        /// Which.
        seat: SeatIndex,
    } = "duplicate_seat",
    /// A companion's seat without the wheelchair place that it belongs to.
    CompanionAlone {
        /// Which companion's seat.
        seat: SeatIndex,
    } = "companion_alone",
    /// There is no such seat.
    SeatNotFound = "seat_not_found",
    /// The sale has several performances and none was named.
    PerformanceRequired = "performance_required",
    /// A performance or seat of something else.
    WrongPerformance = "wrong_performance",
    /// Somebody else has a seat, or it is kept back.
    SeatTaken {
        /// Which of those asked for.
        taken: Vec<SeatIndex>,
    } = "seat_taken",
    /// The performance has no grade of that name.
    GradeNotFound = "grade_not_found",
    /// So many seats that are free and stand beside each other are not to be had.
    NoAdjacentSeats {
        /// Free seats of the grade, or of all; what belongs to wheelchairs aside.
        available_count: u32,
        /// The most of them that stand beside each other.
        largest_adjacent: u32,
    } = "no_adjacent_seats",
    /// This buyer has a reservation already.
    ReservationExists {
        /// Which.
        reservation: ReservationId,
    } = "reservation_exists",
    /// The price is another than the buyer said.
    PriceChanged {
        /// What it costs.
        amount: Money,
    } = "price_changed",
    /// This buyer has no such reservation.
    ReservationNotFound = "reservation_not_found",
    /// The hold is over.
    ReservationExpired = "reservation_expired",
    /// A payment for this reservation is under way.
    PaymentInProgress {
        /// Which.
        payment: PaymentId,
    } = "payment_in_progress",
    /// The reservation is paid.
    AlreadyPaid {
        /// By which payment.
        payment: PaymentId,
    } = "already_paid",
    /// The same key was used for something else.
    IdempotencyMismatch = "idempotency_mismatch",
    /// There is no such payment.
    PaymentNotFound = "payment_not_found",
    /// There is no such sale.
    SaleNotFound = "sale_not_found",
    /// There is such a sale already, and it is another.
    SaleExists = "sale_exists",
    /// The sale is not in a state for that.
    WrongState = "wrong_state",
    /// What may no longer be another.
    NotChangeable {
        /// Which field of a sale's file.
        field: &'static str,
    } = "not_changeable",
    /// The change would touch seats that are held or sold.
    SeatsInUse {
        /// The first of them, [`SEATS_NAMED_MAX`](crate::command::SEATS_NAMED_MAX) at most.
        seats: Vec<SeatIndex>,
    } = "seats_in_use",
    /// A limit is out of its range.
    LimitOutOfRange {
        /// Which.
        name: &'static str,
        /// The least it may be.
        min: u32,
        /// The most it may be.
        max: u32,
    } = "limit_out_of_range",
    /// The plan cannot be sold.
    BadPlan {
        /// Why.
        error: PlanError,
    } = "bad_plan",
    /// The sale would close before it opens.
    BadSchedule = "bad_schedule",
    /// Seats to be kept back are not free, or seats to be released are not kept back.
    SeatNotFree {
        /// Which.
        seats: Vec<SeatIndex>,
    } = "seat_not_free",
    /// There is no such pool.
    PoolNotFound = "pool_not_found",
}
