//! A reservation and its payment, as answers show them.

use domain::id::{EntryIndex, ReservationIndex, SeatIndex};
use domain::payment::{Payment, PaymentState};
use domain::plan::{Hall, Performance};
use domain::reservation::{Line, ReleaseReason, Reservation, ReservationState};
use domain::sale::{ReservationView, Sale};
use domain::time::{ServiceClock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::seat_list::SeatItem;
use super::tickets::ticket_id;
use super::time::{LocalDate, Utc};
use crate::ids::{LongId, ShortId};

/// Some seats of one performance, kept or bought.
#[derive(Serialize, ToSchema)]
#[schema(as = Reservation, examples(json!({
    "reservation_id": "0g7r3k1z9q2fd",
    "status": "held",
    "performance_id": "demo-hall-1",
    "title": "봄 음악회",
    "venue": "시민회관",
    "date": "2026-05-01",
    "starts_at": "2026-05-01T10:00:00.000Z",
    "seats": [{"seat_number": "A1", "price": 100, "grade": "R", "section": "1층"}],
    "amount": 100,
    "currency": "KRW",
    "expires_at": "2026-04-01T10:05:00.000Z",
    "expires_in_ms": 300_000,
})))]
pub(super) struct ReservationBody<'a> {
    /// Its name.
    reservation_id: ShortId,
    /// `held`, `paying`, `confirmed`, `released` (given back) or `expired`.
    #[schema(examples("held"))]
    status: &'static str,
    /// Which performance.
    performance_id: &'a str,
    /// What is played.
    title: &'a str,
    /// Where.
    venue: &'a str,
    /// The local date at the venue.
    #[schema(value_type = String)]
    date: LocalDate,
    /// When it begins.
    starts_at: Utc,
    /// The seats, each with the price it had when it was held.
    seats: Vec<SeatItem<'a>>,
    /// What is to be paid, in the currency's smallest unit.
    amount: u64,
    /// What the amount is in (ISO 4217).
    currency: &'a str,
    /// Until when the seats are kept without a payment (`held`).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Utc>,
    /// How long that is from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
    /// The newest payment, if there was any.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_payment: Option<LastPayment<'a>>,
    /// The tickets (`confirmed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets: Option<Vec<Ticket<'a>>>,
}

/// The newest payment of a reservation.
#[derive(Serialize, ToSchema)]
struct LastPayment<'a> {
    /// Its name.
    payment_id: LongId,
    /// `pending`, `success`, `failed`, `refunding` or `refunded`.
    #[schema(examples("failed"))]
    status: &'static str,
    /// The provider's word (`failed`).
    #[schema(required)]
    reason: Option<&'a str>,
    /// When that became certain.
    #[schema(required)]
    at: Option<Utc>,
}

/// The right to one seat.
#[derive(Serialize, ToSchema)]
pub(super) struct Ticket<'a> {
    /// The seat.
    seat_number: &'a str,
    /// The ticket's name: opaque, unique, always the same.
    ticket_id: LongId,
}

/// A reservation with what is known of its hall.
#[derive(Clone, Copy)]
pub(super) struct Booking<'a> {
    /// The sale's hall.
    pub(super) hall: &'a Hall,
    /// The reservation.
    pub(super) reservation: &'a Reservation,
    /// Its newest payment.
    pub(super) payment: Option<&'a Payment>,
    /// Turns its deadlines into node time.
    pub(super) clock: ServiceClock,
}

impl<'a> Booking<'a> {
    /// What the engine answered with.
    pub(super) fn of(hall: &'a Hall, view: &'a ReservationView) -> Self {
        let ReservationView { reservation, payment, clock } = view;
        Self { hall, reservation, payment: payment.as_ref(), clock: *clock }
    }

    /// The performance of its seats.
    pub(super) fn performance(&self) -> &'a Performance {
        let first = self.reservation.seats().next().expect("a reservation has a seat");
        let number = self.hall.seat(first).expect("a seat of the hall").performance;
        &self.hall.plan().performances[usize::from(number)]
    }

    /// Until when its seats are kept without a payment.
    pub(super) fn expires_at(&self) -> Option<Utc> {
        match self.reservation.state {
            ReservationState::Held(until) => Some(Utc(self.clock.node(until))),
            ReservationState::Paying(_)
            | ReservationState::Confirmed
            | ReservationState::Released(..) => None,
        }
    }

    /// Its tickets, which are of use once it is confirmed.
    pub(super) fn tickets(&self) -> Vec<Ticket<'a>> {
        let ticket = |seat: SeatIndex| Ticket {
            seat_number: &self.hall.seats()[seat.at()].number,
            ticket_id: ticket_id(self.reservation.id, seat),
        };
        self.reservation.seats().map(ticket).collect()
    }

    /// How it looks at `now`.
    pub(super) fn body(&self, now: Timestamp) -> ReservationBody<'a> {
        let (performance, expires_at) = (self.performance(), self.expires_at());
        let seat = |&Line::Seat { seat, price }: &Line| SeatItem {
            price: price.0,
            ..SeatItem::of(self.hall, seat)
        };
        let confirmed = self.reservation.state == ReservationState::Confirmed;
        ReservationBody {
            reservation_id: self.reservation.id.0.into(),
            status: state_word(self.reservation.state),
            performance_id: performance.id.as_str(),
            title: &performance.title,
            venue: &performance.venue,
            date: LocalDate(performance.date),
            starts_at: Utc(performance.starts_at),
            seats: self.reservation.lines.iter().map(seat).collect(),
            amount: self.reservation.amount().0,
            currency: self.hall.plan().currency.as_str(),
            expires_at,
            expires_in_ms: expires_at.map(|until| until.in_ms(now)),
            last_payment: self.payment.map(|payment| LastPayment::of(payment, self.clock)),
            tickets: confirmed.then(|| self.tickets()),
        }
    }
}

impl<'a> LastPayment<'a> {
    fn of(payment: &'a Payment, clock: ServiceClock) -> Self {
        let (reason, at) = match &payment.state {
            PaymentState::Running(_) | PaymentState::Unknown | PaymentState::RefundDue => {
                (None, None)
            }
            PaymentState::Approved(at) | PaymentState::Refunded(at) => (None, Some(*at)),
            PaymentState::Declined(decline) => (Some(&*decline.reason), Some(decline.at)),
        };
        Self {
            payment_id: payment.id.0.into(),
            status: payment_word(&payment.state),
            reason,
            at: at.map(|second| Utc(clock.node(second))),
        }
    }
}

fn state_word(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Held(_) => "held",
        ReservationState::Paying(_) => "paying",
        ReservationState::Confirmed => "confirmed",
        ReservationState::Released(ReleaseReason::GivenBack, _) => "released",
        ReservationState::Released(ReleaseReason::Expired, _) => "expired",
    }
}

/// Where a payment stands, for programs.
pub(super) fn payment_word(state: &PaymentState) -> &'static str {
    match state {
        PaymentState::Running(_) | PaymentState::Unknown => "pending",
        PaymentState::Approved(_) => "success",
        PaymentState::Declined(_) => "failed",
        PaymentState::RefundDue => "refunding",
        PaymentState::Refunded(_) => "refunded",
    }
}

/// The reservation of a sale that stands at `index`.
pub(super) fn booking(sale: &Sale, index: ReservationIndex) -> Option<Booking<'_>> {
    let reservation = sale.reservation(index)?;
    let payment = reservation.payment.and_then(|payment| sale.payment(payment));
    Some(Booking { hall: sale.hall()?, reservation, payment, clock: sale.clock() })
}

/// The reservations of a buyer, the newest first.
pub(super) fn bookings(sale: &Sale, entry: EntryIndex) -> impl Iterator<Item = Booking<'_>> {
    let visit = sale.visit_of_entry(entry);
    let own = visit.into_iter().flat_map(|visit| sale.reservations_of(visit));
    own.filter_map(|(index, _)| booking(sale, index))
}
