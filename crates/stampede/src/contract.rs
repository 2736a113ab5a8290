//! What the box office says, as far as a crowd has to understand it, and what a crowd sends.
//!
//! Read from the HTTP contract, not from the server's types: a field that the contract does not
//! promise is not here. Unknown fields are passed over. What is later put into a path is checked.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `GET /performances`.
#[derive(Debug, Deserialize)]
pub(crate) struct Performances {
    pub(crate) performances: Vec<Performance>,
}

/// One evening.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Performance {
    pub(crate) performance_id: Word,
    pub(crate) sale_id: Word,
    pub(crate) title: String,
    pub(crate) date: Word,
    pub(crate) state: String,
    pub(crate) seat_count: u64,
}

/// Something that may stand in a path as it is: letters, digits, `-` and `_`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>")]
pub(crate) struct Word(Box<str>);

impl Word {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<Box<str>> for Word {
    type Error = &'static str;

    fn try_from(text: Box<str>) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("not a name of letters, digits, - and _")
        }
    }
}

/// Where a buyer stands: `POST /queue/token`, `GET /queue/status`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) token: Option<Box<str>>,
    pub(crate) status: Status,
    pub(crate) position: Option<u64>,
    pub(crate) poll_after_ms: Option<u64>,
    pub(crate) reservation_id: Option<Word>,
    pub(crate) admitted_until: Option<Box<str>>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) as_of: u64,
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Waiting,
    Admitted,
    Holding,
    Paying,
    Done,
    Ended,
}

/// `GET /reservations/{date}`: the free seats, for those whose turn it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Availability<'a> {
    #[serde(borrow)]
    pub(crate) available_seats: Option<Vec<Listed<'a>>>,
}

/// A seat of the list.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed<'a> {
    #[serde(borrow)]
    pub(crate) seat_number: Cow<'a, str>,
    /// Whether it is a wheelchair place or a companion's seat, and which.
    #[serde(borrow)]
    pub(crate) accessible: Option<Cow<'a, str>>,
}

/// A reservation: `POST /reservations`, `GET /me/reservations/{id}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) reservation_id: Word,
    pub(crate) status: ReservationStatus,
    pub(crate) performance_id: Word,
    pub(crate) seats: Vec<Seat>,
    pub(crate) expires_in_ms: Option<u64>,
    pub(crate) last_payment: Option<LastPayment>,
    pub(crate) token: Option<Box<str>>,
}

/// What a reservation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReservationStatus {
    Held,
    Paying,
    Confirmed,
    Released,
    Expired,
}

/// A seat of a reservation.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seat {
    pub(crate) seat_number: Box<str>,
}

/// A reservation's newest payment.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LastPayment {
    pub(crate) payment_id: Word,
}

/// `GET /me/reservations`.
#[derive(Debug, Deserialize)]
pub(crate) struct Reservations {
    pub(crate) reservations: Vec<Reservation>,
}

/// A payment: `POST /payment`, `GET /payments/{id}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Payment {
    pub(crate) payment_status: PaymentStatus,
    pub(crate) payment_id: Word,
    pub(crate) poll_after_ms: Option<u64>,
    pub(crate) expires_in_ms: Option<u64>,
    pub(crate) retryable: Option<bool>,
    #[serde(default)]
    pub(crate) tickets: Vec<Seat>,
}

/// What a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PaymentStatus {
    Success,
    Pending,
    Failed,
    Refunding,
    Refunded,
}

/// Why something is not given (RFC 9457).
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) code: Box<str>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) alternatives: Option<Vec<Box<str>>>,
    pub(crate) seats_per_reservation: Option<usize>,
    pub(crate) reservation_id: Option<Word>,
    pub(crate) payment_id: Option<Word>,
    pub(crate) retryable: Option<bool>,
    pub(crate) expires_in_ms: Option<u64>,
}

/// The body of `POST /queue/token`.
#[derive(Debug, Serialize)]
pub(crate) struct JoinWish<'a> {
    pub(crate) sale_id: &'a str,
}

/// The body of `POST /reservations`.
#[derive(Debug, Serialize)]
pub(crate) struct HoldWish<'a> {
    pub(crate) performance_id: &'a str,
    pub(crate) seat_numbers: &'a [Box<str>],
}

/// The body of `POST /payment`.
#[derive(Debug, Serialize)]
pub(crate) struct PayWish<'a> {
    pub(crate) reservation_id: &'a str,
    pub(crate) payment: Instrument,
}

/// What is paid with.
#[derive(Debug, Serialize)]
pub(crate) struct Instrument {
    pub(crate) method: &'static str,
    pub(crate) token: &'static str,
}

/// A body as text.
pub(crate) fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts and numbers can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_path_is_a_word() {
        let read = |text: &str| serde_json::from_str::<Word>(text).is_ok();
        assert!(read("\"0g7r3k1z9q2fd\"") && read("\"2026-05-01\""));
        for bad in ["\"\"", "\"a/b\"", "\"a b\"", "\"a?b\"", "\"a\\r\\nb\"", "1", "null"] {
            assert!(!read(bad), "{bad}");
        }
    }

    #[test]
    fn a_list_is_read_where_it_lies() {
        let text = r#"{"date":"x","available_seats":[{"seat_number":"A1","price":1,"grade":"R"},
            {"seat_number":"A2","accessible":"companion"}]}"#;
        let read: Availability<'_> = serde_json::from_str(text).unwrap();
        let seats = read.available_seats.unwrap();
        assert!(matches!(seats[0].seat_number, Cow::Borrowed("A1")));
        assert_eq!(seats[0].accessible, None);
        assert_eq!(seats[1].accessible.as_deref(), Some("companion"));
    }
}
