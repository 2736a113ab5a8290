//! One example of every problem there is: for `openapi.json`, the documentation and the tests.

use domain::Refusal;
use domain::id::{PaymentId, ReservationId, SeatIndex};
use domain::money::Money;
use domain::plan::PlanError;
use domain::reservation::EndReason;
use domain::time::Timestamp;
use engine::Failure;

use super::{Cause, Edge, Flaw};

/// One example of every problem. A test makes sure that no code of the rules is missing.
pub(crate) fn every() -> Vec<Cause> {
    let refusals = [
        Refusal::SaleNotOpen { opens_at: Timestamp(1_777_600_800_000) },
        Refusal::SaleClosed,
        Refusal::SoldOut,
        Refusal::QueueFull { line_capacity: 100_000 },
        Refusal::UnknownPlace,
        Refusal::PlaceEnded { reason: EndReason::TooSlow },
        Refusal::NotAdmitted { position: 5, total: 10 },
        Refusal::NoSeats,
        Refusal::TooManySeats { seats_per_reservation: 4 },
        Refusal::DuplicateSeat { seat: SeatIndex(0) },
        Refusal::CompanionAlone { seat: SeatIndex(0) },
        Refusal::SeatNotFound,
        Refusal::PerformanceRequired,
        Refusal::WrongPerformance,
        Refusal::SeatTaken { taken: vec![SeatIndex(0)] },
        Refusal::GradeNotFound,
        Refusal::NoAdjacentSeats { available_count: 5, largest_adjacent: 1 },
        Refusal::ReservationExists { reservation: ReservationId(1) },
        Refusal::PriceChanged { amount: Money(200) },
        Refusal::ReservationNotFound,
        Refusal::ReservationExpired,
        Refusal::PaymentInProgress { payment: PaymentId(1) },
        Refusal::AlreadyPaid { payment: PaymentId(1) },
        Refusal::IdempotencyMismatch,
        Refusal::PaymentNotFound,
        Refusal::SaleNotFound,
        Refusal::SaleExists,
        Refusal::WrongState,
        Refusal::NotChangeable { field: "time_zone" },
        Refusal::SeatsInUse { seats: vec![SeatIndex(0)] },
        Refusal::LimitOutOfRange { name: "active_limit", min: 1, max: 1_000_000 },
        Refusal::BadPlan { error: PlanError::SeatCount },
        Refusal::BadSchedule,
        Refusal::SeatNotFree { seats: vec![SeatIndex(0)] },
        Refusal::PoolNotFound,
    ];
    let failures = [Failure::Overloaded, Failure::Unavailable, Failure::OutcomeUnknown];
    let edges = [
        Edge::MalformedRequest(Flaw::BodyMissing),
        Edge::IdempotencyKeyWeak,
        Edge::UnsupportedMediaType,
        Edge::BodyTooLarge { bytes_max: 1 },
        Edge::HeadTooLarge { bytes_max: 65_536 },
        Edge::BodyTooSlow { wait_s: 30 },
        Edge::NotFound,
        Edge::MethodNotAllowed,
        Edge::TokenMissing,
        Edge::TokenExpired,
        Edge::AdminKeyMissing,
        Edge::AdminKeyInvalid,
        Edge::PerformanceNotFound,
        Edge::SectionNotFound,
        Edge::DateAmbiguous,
        Edge::PaymentDeclined,
        Edge::RateLimited { per_second: 20, burst: 200 },
    ];
    let refusals = refusals.into_iter().map(Cause::Refusal);
    let failures = failures.into_iter().map(Cause::Failure);
    refusals.chain(failures).chain(edges.into_iter().map(Cause::Edge)).collect()
}
