//! Tickets, and the token that lets their holder read them.

use domain::id::{EntryIndex, ReservationId, SeatIndex};
use domain::plan::Performance;
use engine::SaleHandle;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::endpoint::Ask;
use super::reservation::Booking;
use crate::ids::{LongId, ShortId, key_hash, parse_short};
use crate::token::{TICKETS_TTL_MAX_S, TicketsClaims};

const DAY_S: u64 = 86_400;

/// The name of the ticket for a seat of a paid reservation: opaque, and always the same. It is a
/// hash of both, so that it says nothing of other tickets.
pub(super) fn ticket_id(reservation: ReservationId, seat: SeatIndex) -> LongId {
    let mut text = *b"ticket............";
    text[6..14].copy_from_slice(&reservation.0.to_be_bytes());
    text[14..18].copy_from_slice(&seat.0.to_be_bytes());
    key_hash(&text).into()
}

/// Signs a token that reads one paid reservation until the day after the performance is over.
pub(super) fn sign(
    ask: &Ask,
    sale: &SaleHandle,
    booking: &Booking<'_>,
    entry: EntryIndex,
) -> String {
    let app = ask.app();
    let time_zone = &booking.hall.plan().time_zone;
    let iat = ask.now().0 / 1000;
    // A performance that is over, as in a rehearsal, is readable for a day all the same.
    let earliest = iat + DAY_S;
    let exp =
        last_midnight_s(booking.performance(), time_zone).clamp(earliest, iat + TICKETS_TTL_MAX_S);
    app.keyring.sign_tickets(&TicketsClaims {
        sale: sale.id().as_str().into(),
        reservation_id: subject(booking.reservation.id, entry).into(),
        epoch: app.epoch,
        iat,
        exp,
    })
}

/// The end of the day after the performance, by the venue's clocks, in seconds since 1970. By UTC
/// where nobody knows the venue's time zone.
fn last_midnight_s(performance: &Performance, time_zone: &str) -> u64 {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    let over = performance.date.checked_add(2.days()).unwrap_or(performance.date);
    let midnight = over.to_zoned(zone).map(|midnight| midnight.timestamp().as_second());
    midnight.ok().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
}

/// What a tickets token says of its reservation: its name, and whose it is, for a reservation is
/// found by its buyer's entry.
fn subject(reservation: ReservationId, entry: EntryIndex) -> String {
    format!("{}/{entry}", ShortId::from(reservation.0))
}

/// Reads a [`subject`].
pub(super) fn parse_subject(text: &str) -> Option<(ReservationId, EntryIndex)> {
    let (reservation, entry) = text.split_once('/')?;
    Some((ReservationId(parse_short(reservation)?), EntryIndex(entry.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::id::PerformanceId;
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn tickets_are_told_apart_and_keep_their_names() {
        let ids = (0..50).flat_map(|reservation| {
            (0..50).map(move |seat| ticket_id(ReservationId(reservation), SeatIndex(seat)))
        });
        let names: HashSet<String> = ids.map(|id| id.to_string()).collect();
        assert_eq!(names.len(), 2_500);
        // A name that is printed on paper must be the same after every update.
        assert_eq!(ticket_id(ReservationId(1), SeatIndex(2)).as_str(), TICKET_1_2);
    }

    const TICKET_1_2: &str = "665tv0bwerk4ft69myxrande4h";

    #[test]
    fn the_token_is_good_until_the_day_after_is_over_at_the_venue() {
        let table = [
            ("2026-05-01", "Asia/Seoul", "2026-05-02T15:00:00Z"),
            ("2026-05-01", "UTC", "2026-05-03T00:00:00Z"),
            ("2026-05-01", "Nowhere/Else", "2026-05-03T00:00:00Z"),
            // Midnight does not exist on the day the clocks go forward in Santiago.
            ("2026-09-04", "America/Santiago", "2026-09-06T04:00:00Z"),
        ];
        for (date, zone, expected) in table {
            let expected: jiff::Timestamp = expected.parse().unwrap();
            let midnight = i64::try_from(last_midnight_s(&on(date), zone)).unwrap();
            assert_eq!(midnight, expected.as_second(), "{date} {zone}");
        }
        assert_eq!(last_midnight_s(&on("9999-12-31"), "UTC"), 0, "and no panic");
    }

    fn on(date: &str) -> Performance {
        Performance {
            id: PerformanceId::parse("one").unwrap(),
            title: "One".into(),
            venue: "Hall".into(),
            date: date.parse().unwrap(),
            starts_at: Timestamp(0),
            grades: Vec::new(),
            sections: Vec::new(),
            wheelchair_places: Vec::new(),
        }
    }

    #[test]
    fn a_subject_is_read_back() {
        let (reservation, entry) = (ReservationId(u64::MAX), EntryIndex(7));
        assert_eq!(parse_subject(&subject(reservation, entry)), Some((reservation, entry)));
        for text in ["", "/", "fzzzzzzzzzzzz", "fzzzzzzzzzzzz/", "1/1", "fzzzzzzzzzzzz/-1"] {
            assert_eq!(parse_subject(text), None, "{text}");
        }
    }
}
