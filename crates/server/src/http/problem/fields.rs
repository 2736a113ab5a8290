//! What a problem says to programs beside its sentence.

use std::collections::BTreeSet;

use domain::Refusal;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, Schema, Type};

use super::{Cause, Edge, every};
use crate::http::time::Utc;
use crate::ids::{LongId, ShortId};

/// Why something is not given (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, examples(json!({
    "type": "/docs#not_admitted",
    "title": "아직 순서가 아닙니다",
    "status": 403,
    "detail": "현재 대기 순서: 5 / 총 대기자 수: 10",
    "code": "not_admitted",
    "request_id": "4bgtwbcxzm1g3",
    "position": 5,
    "total": 10,
})))]
pub(crate) struct ProblemBody {
    /// Where the problem is explained.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// What it is, in a few words.
    pub(super) title: &'static str,
    /// The status of the answer, as a number.
    pub(super) status: u16,
    /// A sentence for people, in the language that was asked for.
    pub(super) detail: String,
    /// What it is, for programs: stable.
    #[schema(schema_with = codes)]
    pub(super) code: &'static str,
    /// The request's id, also in the header `Request-Id`.
    pub(super) request_id: ShortId,
    #[serde(flatten)]
    pub(super) fields: Fields,
}

/// Every code there is.
fn codes() -> Schema {
    let codes: BTreeSet<&str> = every().iter().map(Cause::code).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What it is, for programs: stable."))
        .enum_values(Some(codes))
        .into()
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $type:ty),+ $(,)?) => {
        /// What a problem says beside its sentence; which of these depends on its `code`.
        #[derive(Debug, Default, Serialize, ToSchema)]
        #[schema(as = ProblemFields)]
        pub(crate) struct Fields {
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(crate) $name: Option<$type>,
            )+
        }
    };
}

fields! {
    /// The position in line (`not_admitted`).
    position: u32,
    /// 1 and all who wait (`not_admitted`).
    total: u32,
    /// When the sale opens (`sale_not_open`).
    opens_at: Utc,
    /// How many may wait (`queue_full`).
    line_capacity: u32,
    /// How many seats one reservation may have (`too_many_seats`).
    seats_per_reservation: u32,
    /// Which seat (`seat_not_found`, `duplicate_seat`, `companion_alone`).
    seat_number: String,
    /// Which of the seats are taken (`seat_taken`, `seat_not_free`, `seats_in_use`).
    taken: Vec<String>,
    /// As many free seats of the same grade near by, if there are so many (`seat_taken`); as many beside each
    /// other of another grade, or near to each other of the same one (`no_adjacent_seats`).
    alternatives: Vec<String>,
    /// How many seats of the grade, or of all, are free, wheelchair places and companions' seats aside
    /// (`no_adjacent_seats`).
    available_count: u32,
    /// How many of them stand beside each other, at most (`no_adjacent_seats`).
    largest_adjacent: u32,
    /// Which performances it could be (`date_ambiguous`, `performance_required`).
    performances: Vec<PerformanceChoice>,
    /// Which reservation (`reservation_exists`, `payment_declined`).
    reservation_id: ShortId,
    /// Which payment (`already_paid`, `payment_in_progress`, `payment_declined`).
    payment_id: LongId,
    /// What it costs (`price_changed`).
    amount: u64,
    /// What the amount is in (`price_changed`).
    currency: String,
    /// What each of the seats costs (`price_changed`).
    seats: Vec<SeatPrice>,
    /// The provider's word (`payment_declined`), or why the place ended (`place_ended`).
    reason: String,
    /// `failed` (`payment_declined`).
    payment_status: &'static str,
    /// Whether another try can succeed (`payment_declined`).
    retryable: bool,
    /// Until when the seats are kept for another try (`payment_declined`).
    expires_at: Utc,
    /// How long that is from now.
    expires_in_ms: u64,
    /// What time it is here; beside every deadline.
    server_time: Utc,
    /// Which limit (`limit_out_of_range`), or which was met (`rate_limited`, `body_too_slow`, `head_too_large`,
    /// `outcome_unknown`, and `overloaded` where it is one of the door).
    limit: &'static str,
    /// The least that it may be (`limit_out_of_range`).
    min: u32,
    /// The most that it may be (`limit_out_of_range`), or is.
    max: u32,
    /// The most bytes that a body may have (`body_too_large`).
    body_bytes_max: usize,
}

/// One of several performances.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PerformanceChoice {
    /// Its name, for `performance_id`.
    pub(crate) performance_id: String,
    /// The sale it belongs to.
    pub(crate) sale_id: String,
    /// What is played.
    pub(crate) title: String,
    /// The local date at the venue.
    pub(crate) date: String,
    /// When it begins.
    pub(crate) starts_at: Utc,
}

/// What one seat costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeatPrice {
    /// The seat's number.
    pub(crate) seat_number: String,
    /// Its price in the currency's smallest unit.
    pub(crate) price: u64,
}

impl Fields {
    /// What a cause says by itself; what needs more than that is told by whoever knows it.
    pub(super) fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Refusal(refusal) => Self::of_refusal(refusal),
            Cause::Edge(Edge::BodyTooLarge { bytes_max }) => {
                Self { body_bytes_max: Some(*bytes_max), ..Self::default() }
            }
            Cause::Edge(Edge::HeadTooLarge { bytes_max }) => {
                Self::met("head_bytes", u32::try_from(*bytes_max).unwrap_or(u32::MAX))
            }
            Cause::Edge(Edge::RateLimited { per_second, .. }) => {
                Self::met("joins_per_address", *per_second)
            }
            Cause::Edge(Edge::BodyTooSlow { wait_s }) => {
                Self::met("idle_timeout", u32::try_from(*wait_s).unwrap_or(u32::MAX))
            }
            Cause::Failure(_) | Cause::Edge(_) => Self::default(),
        }
    }

    /// The limit of the door that was met.
    pub(crate) fn met(limit: &'static str, max: u32) -> Self {
        Self { limit: Some(limit), max: Some(max), ..Self::default() }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let mut fields = Self::default();
        match *refusal {
            Refusal::SaleNotOpen { opens_at } => fields.opens_at = Some(Utc(opens_at)),
            Refusal::QueueFull { line_capacity } => fields.line_capacity = Some(line_capacity),
            Refusal::PlaceEnded { reason } => {
                fields.reason = Some(reason.as_str().to_owned());
            }
            Refusal::NotAdmitted { position, total } => {
                fields.position = Some(position);
                fields.total = Some(total);
            }
            Refusal::TooManySeats { seats_per_reservation } => {
                fields.seats_per_reservation = Some(seats_per_reservation);
            }
            Refusal::NoAdjacentSeats { available_count, largest_adjacent } => {
                fields.available_count = Some(available_count);
                fields.largest_adjacent = Some(largest_adjacent);
            }
            Refusal::ReservationExists { reservation } => {
                fields.reservation_id = Some(reservation.0.into());
            }
            Refusal::PriceChanged { amount } => fields.amount = Some(amount.0),
            Refusal::PaymentInProgress { payment } | Refusal::AlreadyPaid { payment } => {
                fields.payment_id = Some(payment.0.into());
            }
            Refusal::LimitOutOfRange { name, min, max } => {
                fields.limit = Some(name);
                fields.min = Some(min);
                fields.max = Some(max);
            }
            Refusal::SaleClosed
            | Refusal::SoldOut
            | Refusal::UnknownPlace
            | Refusal::NoSeats
            | Refusal::DuplicateSeat { .. }
            | Refusal::CompanionAlone { .. }
            | Refusal::SeatNotFound
            | Refusal::PerformanceRequired
            | Refusal::WrongPerformance
            | Refusal::SeatTaken { .. }
            | Refusal::GradeNotFound
            | Refusal::ReservationNotFound
            | Refusal::ReservationExpired
            | Refusal::IdempotencyMismatch
            | Refusal::PaymentNotFound
            | Refusal::SaleNotFound
            | Refusal::SaleExists
            | Refusal::WrongState
            | Refusal::NotChangeable { .. }
            | Refusal::SeatsInUse { .. }
            | Refusal::BadPlan { .. }
            | Refusal::BadSchedule
            | Refusal::SeatNotFree { .. }
            | Refusal::PoolNotFound => {}
        }
        fields
    }
}
