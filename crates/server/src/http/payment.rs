//! Paying for a reservation (the use case's step 6).
//!
//! The engine waits for the provider, for ten seconds at most, and answers with the payment as it
//! then stands; here that is put into words. Never is a second charge made for the same thing: not
//! for the same key, not while another payment is under way, not after one has succeeded.

use axum::response::Response;
use domain::Command;
use domain::id::{EntryIndex, PaymentId, Place, ReservationId};
use domain::money::Money;
use domain::payment::{Payment, PaymentState};
use domain::refusal::Refusal;
use engine::{Answer, Instrument, SaleHandle};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{self, Extend, ascii};
use super::body::JsonBody;
use super::endpoint::{Ask, Segment};
use super::idempotency::RequestKey;
use super::pass::LatePass;
use super::poll::soon_ms;
use super::problem::{Edge, Flaw, Problem};
use super::reservation::{Booking, Ticket, booking, payment_word};
use super::reservations::said;
use super::tickets;
use super::time::Utc;
use super::words;
use crate::ids::{Ids, LongId, ShortId, parse_long, parse_short};

/// A second or two, as [`soon_ms`] has it too, which is told beside it and finer.
const RETRY_SOON: HeaderValue = HeaderValue::from_static("2");

/// What to pay for, and with what.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PaymentRequest, examples(json!({
    "reservation_id": "0g7r3k1z9q2fd",
    "payment": {"method": "card", "token": "tok_ok"},
})))]
pub(super) struct PayBody {
    /// The reservation.
    reservation_id: String,
    /// With what.
    payment: InstrumentBody,
    /// What the buyer expects to pay; if sent, it must be right.
    amount: Option<u64>,
}

/// What a payment is made with: a provider's token, never a card number.
#[derive(Deserialize, ToSchema)]
#[schema(as = Instrument)]
struct InstrumentBody {
    /// The kind.
    #[schema(example = "card", max_length = 64)]
    method: String,
    /// The provider's token.
    #[schema(example = "tok_ok", max_length = 255)]
    token: String,
}

impl std::fmt::Debug for InstrumentBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstrumentBody(…)")
    }
}

/// A payment as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment, examples(json!({
    "status": "success",
    "payment_status": "success",
    "message": "예약이 완료되었습니다.",
    "payment_id": "3tq0v1m5c8w2h6k9n4r7x0z1bd",
    "reservation_id": "0g7r3k1z9q2fd",
    "amount": 100,
    "currency": "KRW",
    "tickets": [{"seat_number": "A1", "ticket_id": "1a5d9g3k7p2t6w0z4c8f2j6n1r"}],
    "tickets_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIs…",
    "server_time": "2026-04-01T10:01:00.000Z",
    "as_of": 43,
})))]
pub(super) struct PaymentBody<'a> {
    /// The same as `payment_status`.
    #[schema(examples("success"))]
    status: &'static str,
    /// `success`, `pending`, `failed`, `refunding` or `refunded`.
    #[schema(examples("success"))]
    payment_status: &'static str,
    /// For people.
    #[schema(examples("예약이 완료되었습니다."))]
    message: &'static str,
    /// Its name.
    payment_id: LongId,
    /// What it pays for.
    reservation_id: ShortId,
    /// How much, in the currency's smallest unit.
    amount: u64,
    /// What the amount is in (ISO 4217).
    currency: &'a str,
    /// The tickets (`success`).
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets: Option<Vec<Ticket<'a>>>,
    /// Reads this reservation until the day after the performance is over (`success`).
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets_token: Option<String>,
    /// The provider's word (`failed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Whether another try can succeed (`failed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    /// Until when the seats are kept for another try (`failed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Utc>,
    /// How long that is from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
    /// Ask again after so many milliseconds (`pending`, `refunding`).
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_after_ms: Option<u64>,
    /// What time it is here.
    server_time: Utc,
    /// The number of the state after which it is so.
    as_of: u64,
}

/// Pay for a reservation (step 6 of the use case).
///
/// An expired token serves as long as the reservation lives. Another POST while a payment is under
/// way is answered at once with that payment, pending (202); nothing is charged twice.
#[utoipa::path(
    post,
    path = "/payment",
    tag = "payment",
    security(("queue_token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255,
        description = "The same key gives the outcome of the same payment again.")),
    request_body = PayBody,
    responses(
        (status = 200, body = PaymentBody,
            description = "It is paid, and the reservation confirmed."),
        (status = 202, body = PaymentBody,
            description = "The provider has not answered for 10 seconds.",
            headers(("Location" = String, description = "Where the outcome can be read."))),
    )
)]
pub(super) async fn pay_reservation(
    ask: Ask,
    pass: LatePass,
    key: RequestKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let wish: PayBody = body.read()?;
    let pass = pass.with_reservation(ask.app()).await?;
    let (command, instrument) = (wish.command(pass.place, key)?, wish.payment.read()?);
    let desk = ask.house().desks.of(&pass.sale, &pass.glance()).kept();
    let submitted = ask.submit_with(&pass.sale, command, Some(instrument)).await;
    let in_currency = |problem: Problem| problem.in_currency(desk.hall().plan().currency);
    let (as_of, answer) = submitted.map_err(in_currency)?;
    let Answer::Reservation { view, .. } = answer else { unreachable!("of a reservation") };
    let booking = Booking::of(desk.hall(), &view);
    let payment = view.payment.as_ref().expect("a payment was begun or found");
    let settled = Settled { sale: &pass.sale, entry: pass.place.entry, booking, payment, as_of };
    Ok(settled.answer(&ask)?.with_fresh(pass.fresh_after(&ask, as_of).as_ref()))
}

impl PayBody {
    fn command(&self, place: Place, key: RequestKey) -> Result<Command, Refusal> {
        let Self { reservation_id, payment: InstrumentBody { method, token }, amount } = self;
        let amount_said = said(*amount);
        let asked =
            [b"pay", reservation_id.as_bytes(), method.as_bytes(), token.as_bytes(), &amount_said];
        Ok(Command::BeginPayment {
            place,
            reservation: parse_short(reservation_id)
                .map(ReservationId)
                .ok_or(Refusal::ReservationNotFound)?,
            payment: PaymentId(Ids.payment_id()),
            expected: amount.map(Money),
            key: key.of(&asked),
        })
    }
}

impl InstrumentBody {
    fn read(&self) -> Result<Instrument, Flaw> {
        let sound = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if is_card_number(&self.token) {
            return Err(Flaw::CardNumber);
        }
        if !sound(&self.method, 64) || !sound(&self.token, 255) {
            return Err(Flaw::Instrument);
        }
        let (method, token) = (self.method.as_str().into(), self.token.as_str().into());
        Ok(Instrument { method, token })
    }
}

/// Whether a text is 12 to 19 digits, however they are grouped: what is printed on cards.
fn is_card_number(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (12..=19).contains(&digits)
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'))
}

/// A payment that was answered for, and what it pays for.
struct Settled<'a> {
    sale: &'a SaleHandle,
    entry: EntryIndex,
    booking: Booking<'a>,
    payment: &'a Payment,
    as_of: u64,
}

impl Settled<'_> {
    /// The answer to whoever wanted to pay.
    fn answer(&self, ask: &Ask) -> Result<Response, Problem> {
        match &self.payment.state {
            PaymentState::Approved(_) => Ok(answer::private(StatusCode::OK, &self.body(ask))),
            PaymentState::Running(_) | PaymentState::Unknown => {
                let path = format!("/payments/{}", LongId::from(self.payment.id.0));
                let response = answer::private(StatusCode::ACCEPTED, &self.body(ask));
                Ok(response.with(LOCATION, ascii(path)).with(RETRY_AFTER, RETRY_SOON))
            }
            PaymentState::Declined(_) | PaymentState::RefundDue | PaymentState::Refunded(_) => {
                Err(self.declined(ask))
            }
        }
    }

    fn body(&self, ask: &Ask) -> PaymentBody<'_> {
        let Self { booking, payment, .. } = self;
        let now = ask.now();
        let word = payment_word(&payment.state);
        let (approved, pending, decline) = match &payment.state {
            PaymentState::Approved(_) => (true, false, None),
            PaymentState::Running(_) | PaymentState::Unknown => (false, true, None),
            PaymentState::Declined(decline) => (false, false, Some(decline)),
            PaymentState::RefundDue => (false, true, None),
            PaymentState::Refunded(_) => (false, false, None),
        };
        let expires_at = booking.expires_at().filter(|_| decline.is_some());
        PaymentBody {
            status: word,
            payment_status: word,
            message: words::payment(&payment.state, ask.language),
            payment_id: payment.id.0.into(),
            reservation_id: booking.reservation.id.0.into(),
            amount: payment.amount.0,
            currency: booking.hall.plan().currency.as_str(),
            tickets: approved.then(|| booking.tickets()),
            tickets_token: approved.then(|| tickets::sign(ask, self.sale, booking, self.entry)),
            reason: decline.map(|decline| &*decline.reason),
            retryable: decline.map(|decline| decline.retryable),
            expires_at,
            expires_in_ms: expires_at.map(|until| until.in_ms(now)),
            poll_after_ms: pending.then(|| soon_ms(Ids)),
            server_time: Utc(now),
            as_of: self.as_of,
        }
    }

    /// Nothing was charged, or what was goes back.
    fn declined(&self, ask: &Ask) -> Problem {
        let body = self.body(ask);
        let reason = body.reason.unwrap_or(body.payment_status).to_owned();
        Problem::from(Edge::PaymentDeclined).tell(|fields| {
            fields.payment_status = Some("failed");
            fields.payment_id = Some(body.payment_id);
            fields.reservation_id = Some(body.reservation_id);
            fields.reason = Some(reason);
            fields.retryable = Some(body.retryable.unwrap_or(false));
            fields.expires_at = body.expires_at;
            fields.expires_in_ms = body.expires_in_ms;
            fields.server_time = Some(body.server_time);
        })
    }
}

/// How a payment stands.
///
/// An expired token serves as long as the reservation lives.
#[utoipa::path(
    get,
    path = "/payments/{payment_id}",
    tag = "payment",
    security(("queue_token" = [])),
    params(("payment_id" = String, Path, description = "The payment.")),
    responses((status = 200, description = "The payment, whatever came of it.", body = PaymentBody))
)]
pub(super) async fn show_payment(
    ask: Ask,
    pass: LatePass,
    id: Segment,
) -> Result<Response, Problem> {
    let pass = pass.with_reservation(ask.app()).await?;
    let look = pass.look(ask.app()).await?;
    let sale = &look.publication.sale;
    let id = parse_long(&id.0).map(PaymentId);
    let payment = id.and_then(|id| sale.payment(sale.payment_by_id(id)?));
    let booking = payment.and_then(|payment| booking(sale, payment.reservation));
    let (Some(payment), Some(booking)) = (payment, booking) else {
        return Err(Refusal::PaymentNotFound.into());
    };
    let visit = sale.visit(booking.reservation.visit);
    if visit.is_none_or(|visit| visit.entry != pass.place.entry) {
        return Err(Refusal::PaymentNotFound.into());
    }
    let as_of = look.publication.as_of;
    let settled = Settled { sale: &pass.sale, entry: pass.place.entry, booking, payment, as_of };
    let response = answer::private(StatusCode::OK, &settled.body(&ask));
    Ok(response.with_fresh(pass.fresh(&ask, &look).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, token: &str) -> Result<Instrument, String> {
        let body = InstrumentBody { method: method.to_owned(), token: token.to_owned() };
        body.read().map_err(|flaw| format!("{flaw:?}"))
    }

    #[test]
    fn a_card_number_is_never_passed_on() {
        for number in ["4242424242424242", "4242 4242 4242 4242", "3782-822463-10005"] {
            assert_eq!(read("card", number).unwrap_err(), "CardNumber");
        }
        assert!(read("card", "tok_4242424242424242").is_ok());
        assert!(read("card", "12345678901").is_ok());
        let long = "x".repeat(256);
        for (method, token) in [("", "tok_ok"), ("card", ""), ("card", "a b"), ("card", &long)] {
            assert_eq!(read(method, token).unwrap_err(), "Instrument");
        }
        assert!(read("카드", "tok_ok").is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let body = PayBody {
            reservation_id: "1".to_owned(),
            payment: InstrumentBody { method: "card".to_owned(), token: "tok_secret".to_owned() },
            amount: None,
        };
        assert!(!format!("{body:?}").contains("secret"));
    }
}
