//! Sales as large as a row needs them, described as an organiser would.

use serde_json::{Value, json};

/// Seats in a row of every hall here: a hall has a whole number of rows, or one.
const SEATS_IN_ROW_MAX: u32 = 200;

/// A sale to be put through the operator's door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hall {
    /// How many evenings.
    pub(crate) performances: u32,
    /// Seats of each: up to 200, or a multiple of that.
    pub(crate) seats: u32,
    /// How many may be inside at a time.
    pub(crate) active_limit: u32,
    /// How many may wait.
    pub(crate) line_capacity: u32,
}

impl Hall {
    /// The first evening's date; each of the others is on a day of its own.
    pub(crate) const DATE: &'static str = "2040-01-01";

    /// What the operator sends for the sale `id`.
    pub(crate) fn file(&self, id: &str, default: bool) -> Value {
        let in_row = self.in_row();
        let performances: Vec<Value> = (0..self.performances)
            .map(|number| {
                let id = performance_id(id, number);
                json!({ "id": id, "date": date(number), "starts_at": "19:00" })
            })
            .collect();
        json!({
            "default": default,
            "time_zone": "Asia/Seoul",
            "currency": "KRW",
            "opens_at": "2020-01-01T00:00:00Z",
            "title": "봄 콘서트",
            "venue": "한강홀",
            "limits": {
                "active_limit": self.active_limit,
                "line_capacity": self.line_capacity,
                // Nobody is late here: what is measured is the call, not the clock.
                "hold_ttl": 86_400,
                "arrive_ttl": 86_400,
                "choose_ttl": 86_400,
                "presence_window": 86_400,
            },
            "grades": [{ "name": "R", "price": 132_000 }],
            "sections": [{
                "name": "1층",
                "rows": format!("1-{}", self.seats / in_row),
                "seats": format!("1-{in_row}"),
                "seat_number": "{row}-{seat}",
                "grade": "R",
            }],
            "performances": performances,
        })
    }

    /// All seats of all evenings.
    pub(crate) fn all_seats(&self) -> u32 {
        self.performances * self.seats
    }

    /// The body of a hold of the n-th of all seats of the sale `id`.
    pub(crate) fn write_hold(&self, id: &str, seat: u32, body: &mut Vec<u8>) {
        use std::io::Write;
        let (number, seat) = (seat / self.seats, seat % self.seats);
        let (row, seat) = (seat / self.in_row() + 1, seat % self.in_row() + 1);
        let written = write!(
            body,
            "{{\"seat_number\":\"{row}-{seat}\",\"performance_id\":\"{id}-{number}\"}}"
        );
        written.expect("writing to memory does not fail");
    }

    fn in_row(&self) -> u32 {
        self.seats.min(SEATS_IN_ROW_MAX)
    }
}

fn performance_id(sale: &str, number: u32) -> String {
    format!("{sale}-{number}")
}

/// One day for each number, 28 of each month.
fn date(number: u32) -> String {
    let (year, month, day) = (2040 + number / 336, number / 28 % 12 + 1, number % 28 + 1);
    format!("{year}-{month:02}-{day:02}")
}

/// Numbers from 0 to `count`, each once, in an order that jumps about: people do not take seats in
/// the order in which they lie in memory.
pub(crate) fn scattered(at: u32, count: u32) -> u32 {
    // A prime that divides no count of ours, so that every number comes once.
    const STEP: u64 = 982_451_653;
    u32::try_from(u64::from(at) * STEP % u64::from(count)).expect("less than the count")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HALL: Hall = Hall { performances: 30, seats: 400, active_limit: 9, line_capacity: 10 };

    #[test]
    fn a_hall_has_the_seats_that_were_asked_for() {
        let file = HALL.file("spring", true);
        assert_eq!(file["sections"][0]["rows"], "1-2");
        assert_eq!(file["sections"][0]["seats"], "1-200");
        assert_eq!(file["performances"][29]["id"], "spring-29");
        assert_eq!(file["performances"][29]["date"], "2040-02-02");
        assert_eq!(file["performances"][0]["date"], Hall::DATE);
        let small = Hall { seats: 100, ..HALL }.file("spring", false);
        assert_eq!(
            (&small["sections"][0]["rows"], &small["sections"][0]["seats"]),
            (&json!("1-1"), &json!("1-100"))
        );
    }

    #[test]
    fn each_hold_names_another_seat() {
        let body = |seat| {
            let mut body = Vec::new();
            HALL.write_hold("spring", seat, &mut body);
            String::from_utf8(body).expect("text")
        };
        assert_eq!(body(0), r#"{"seat_number":"1-1","performance_id":"spring-0"}"#);
        assert_eq!(body(399), r#"{"seat_number":"2-200","performance_id":"spring-0"}"#);
        assert_eq!(body(400), r#"{"seat_number":"1-1","performance_id":"spring-1"}"#);
        let all: BTreeSet<String> =
            (0..HALL.all_seats()).map(|at| body(scattered(at, HALL.all_seats()))).collect();
        assert_eq!(all.len(), 12_000);
    }
}
