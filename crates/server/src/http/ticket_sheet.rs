//! The tickets of a paid reservation with all that stands on them, to be kept, shown and printed.
//!
//! A page keeps this answer, so that a ticket can be shown where there is no network, and draws it;
//! the QR code is drawn from squares that are given here, so no page needs to know how one is made.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::plan::Performance;
use domain::refusal::Refusal;
use domain::reservation::{Line, ReservationState};
use fast_qr::{ECL, Mode, QRBuilder};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use super::endpoint::{Ask, Segment};
use super::me::read_own;
use super::pass::Reader;
use super::problem::Problem;
use super::reservation::Booking;
use super::tickets::ticket_id;
use super::time::{LocalDate, Utc};
use crate::ids::{LongId, ShortId};

/// The tickets of a paid reservation.
#[derive(Serialize, ToSchema)]
#[schema(as = Tickets, examples(json!({
    "performance_id": "demo-hall-1",
    "title": "봄 음악회",
    "venue": "시민회관",
    "date": "2026-05-01",
    "starts_at": "2026-05-01T10:00:00.000Z",
    "time_zone": "Asia/Seoul",
    "reservation_id": "0g7r3k1z9q2fd",
    "tickets": [{
        "seat_number": "A1",
        "section": "1층",
        "row": "A",
        "grade": "R",
        "price": 100,
        "ticket_id": "665tv0bwerk4ft69myxrande4h",
        "qr": { "size": 25, "modules": "/tP…" },
    }],
    "currency": "KRW",
})))]
pub(super) struct TicketsBody<'a> {
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
    /// The IANA name of the venue's time zone.
    time_zone: &'a str,
    /// The reservation.
    reservation_id: ShortId,
    /// One for each seat.
    tickets: Vec<TicketBody<'a>>,
    /// What all prices are in (ISO 4217).
    currency: &'a str,
}

/// The right to one seat, with what stands on it.
#[derive(Serialize, ToSchema)]
#[schema(as = PrintedTicket)]
struct TicketBody<'a> {
    /// The seat.
    seat_number: &'a str,
    /// The name of its section.
    section: &'a str,
    /// The name of its row.
    row: &'a str,
    /// The name of its grade.
    grade: &'a str,
    /// What was paid for it, in the currency's smallest unit.
    price: u64,
    /// The ticket's name: opaque, unique, always the same.
    ticket_id: LongId,
    /// The ticket's name for a scanner.
    qr: QrBody,
}

/// A QR code (ISO/IEC 18004) with error correction M; the quiet zone around it is not included.
#[derive(Serialize, ToSchema)]
#[schema(as = QrCode)]
struct QrBody {
    /// Squares on each side.
    size: usize,
    /// A bit for each square, row by row without gaps, the most significant bit of each byte first; 1
    /// for a dark one. In base64.
    #[schema(content_encoding = "base64")]
    modules: String,
}

/// The tickets of a paid reservation, to be kept and shown; also with its tickets token.
///
/// Refused while it is not paid: `wrong_state` while it is held, `payment_in_progress`, or
/// `reservation_expired`.
#[utoipa::path(
    get,
    path = "/me/reservations/{reservation_id}/tickets",
    tag = "reservations",
    security(("queue_token" = []), ("tickets_token" = [])),
    params(("reservation_id" = String, Path, description = "The reservation.")),
    responses((status = 200, description = "The tickets.", body = TicketsBody))
)]
pub(super) async fn show_tickets(
    ask: Ask,
    reader: Reader,
    id: Segment,
) -> Result<Response, Problem> {
    read_own(&ask, reader, &id, |_, booking| {
        is_paid(booking)?;
        Ok(answer::private(StatusCode::OK, &TicketsBody::of(booking)))
    })
    .await
}

fn is_paid(booking: &Booking<'_>) -> Result<(), Refusal> {
    match (booking.reservation.state, booking.payment) {
        (ReservationState::Confirmed, _) => Ok(()),
        (ReservationState::Paying(_), Some(payment)) => {
            Err(Refusal::PaymentInProgress { payment: payment.id })
        }
        (ReservationState::Paying(_), None) | (ReservationState::Held(_), _) => {
            Err(Refusal::WrongState)
        }
        (ReservationState::Released(..), _) => Err(Refusal::ReservationExpired),
    }
}

impl<'a> TicketsBody<'a> {
    fn of(booking: &Booking<'a>) -> Self {
        let (performance, plan) = (booking.performance(), booking.hall.plan());
        let tickets = booking.reservation.lines.iter();
        Self {
            performance_id: performance.id.as_str(),
            title: &performance.title,
            venue: &performance.venue,
            date: LocalDate(performance.date),
            starts_at: Utc(performance.starts_at),
            time_zone: &plan.time_zone,
            reservation_id: booking.reservation.id.0.into(),
            tickets: tickets.map(|line| TicketBody::of(booking, performance, line)).collect(),
            currency: plan.currency.as_str(),
        }
    }
}

impl<'a> TicketBody<'a> {
    fn of(booking: &Booking<'a>, performance: &'a Performance, line: &Line) -> Self {
        let &Line::Seat { seat: index, price } = line;
        let seat = booking.hall.seat(index).expect("a seat of the hall");
        // Rows are counted over the whole performance.
        let mut rows = performance.sections.iter().flat_map(|section| &section.rows);
        let row = rows.nth(seat.row as usize).expect("a row of the performance");
        let ticket_id = ticket_id(booking.reservation.id, index);
        Self {
            seat_number: &seat.number,
            section: &performance.sections[usize::from(seat.section)].name,
            row: &row.name,
            grade: &performance.grades[usize::from(seat.grade)].name,
            price: price.0,
            qr: QrBody::of(ticket_id.as_str()),
            ticket_id,
        }
    }
}

impl QrBody {
    fn of(text: &str) -> Self {
        // In one mode, so that all tickets have codes of one size.
        let code = QRBuilder::new(text).ecl(ECL::M).mode(Mode::Byte).build();
        let code = code.expect("a ticket's name is short");
        let mut bits = vec![0_u8; (code.size * code.size).div_ceil(8)];
        for row in 0..code.size {
            for (column, module) in code[row].iter().enumerate() {
                let at = row * code.size + column;
                bits[at / 8] |= u8::from(module.value()) << (7 - at % 8);
            }
        }
        Self { size: code.size, modules: STANDARD.encode(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small QR code, as a scanner reads it that sees it undamaged.
    struct Scanner {
        size: usize,
        bits: Vec<u8>,
    }

    impl Scanner {
        fn dark(&self, row: usize, column: usize) -> bool {
            let at = row * self.size + column;
            self.bits[at / 8] >> (7 - at % 8) & 1 == 1
        }

        /// Whether a square belongs to the patterns by which a code of version 2 is found.
        fn is_pattern(&self, row: usize, column: usize) -> bool {
            let far = self.size - 8;
            let finder = (row < 9 && (column < 9 || column >= far)) || (row >= far && column < 9);
            let middle = self.size - 7;
            let alignment = row.abs_diff(middle) <= 2 && column.abs_diff(middle) <= 2;
            finder || alignment || row == 6 || column == 6
        }

        /// The correction level and the mask, from the format beside the upper left finder.
        fn format(&self) -> (u32, u32) {
            let bits = (0..5).fold(0, |bits, column| bits << 1 | u32::from(self.dark(8, column)));
            let format = bits ^ 0b10101;
            (format >> 3, format & 0b111)
        }

        fn is_masked(mask: u32, i: usize, j: usize) -> bool {
            match mask {
                0 => (i + j).is_multiple_of(2),
                1 => i.is_multiple_of(2),
                2 => j.is_multiple_of(3),
                3 => (i + j).is_multiple_of(3),
                4 => (i / 2 + j / 3).is_multiple_of(2),
                5 => i * j % 2 + i * j % 3 == 0,
                6 => (i * j % 2 + i * j % 3).is_multiple_of(2),
                _ => ((i + j) % 2 + i * j % 3).is_multiple_of(2),
            }
        }

        /// All bits in the order in which they are laid: two columns at a time, from the right, up and
        /// down in turns.
        fn laid(&self, mask: u32) -> Vec<bool> {
            let mut laid = Vec::new();
            let rights = (1..self.size).rev().step_by(2).map(|c| if c <= 6 { c - 1 } else { c });
            for (turn, right) in rights.enumerate() {
                for step in 0..self.size {
                    let row = if turn % 2 == 0 { self.size - 1 - step } else { step };
                    for column in [right, right - 1] {
                        if !self.is_pattern(row, column) {
                            laid.push(self.dark(row, column) ^ Self::is_masked(mask, row, column));
                        }
                    }
                }
            }
            laid
        }

        fn text(&self) -> String {
            let (level, mask) = self.format();
            assert_eq!((self.size, level), (25, 0), "version 2 with level M");
            let laid = self.laid(mask);
            let number = |from: usize, count: usize| {
                let bits = &laid[from..from + count];
                bits.iter().fold(0_u32, |number, bit| number << 1 | u32::from(*bit))
            };
            assert_eq!(number(0, 4), 0b0100, "bytes");
            let bytes = (0..number(4, 8) as usize).map(|at| number(12 + 8 * at, 8));
            bytes.map(|byte| char::from(u8::try_from(byte).unwrap())).collect()
        }
    }

    #[test]
    fn a_scanner_reads_the_tickets_name() {
        for number in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677, 1 << 77] {
            let name = LongId::from(number);
            let QrBody { size, modules } = QrBody::of(name.as_str());
            let bits = STANDARD.decode(modules).unwrap();
            assert_eq!(bits.len(), (size * size).div_ceil(8));
            assert_eq!(Scanner { size, bits }.text(), name.as_str());
        }
    }
}
