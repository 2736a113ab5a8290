//! Where seats stand, what grade they are of, and the best of them: `hold best 2 of VIP by ann`.
//!
//! A row is what has the same letter, one behind the other; seats stand in it by their numbers, the
//! middle one before the middle of the stage. A number that is missing is an aisle.

use domain::Command;
use domain::command::{Key, Wish};
use domain::id::ReservationId;
use domain::money::Money;
use domain::plan::{Grade, Row, Seat};

use super::{Scene, body};

impl Scene {
    pub(super) fn hold_best(
        &mut self,
        count: &str,
        rest: &[&str],
        words: &[&str],
    ) -> Option<String> {
        let (grade, rest) = match rest {
            ["of", grade, rest @ ..] => (Some(*grade), rest),
            rest => (None, rest),
        };
        let ["by", name, rest @ ..] = rest else { return None };
        let details = self.details(rest)?;
        let place = self.place(name, &details)?;
        let hold = Command::Hold {
            place,
            wish: Wish::Best {
                performance: details.performance.unwrap_or(0),
                count: count.parse().ok()?,
                grade: grade.map(Into::into),
            },
            expected: details.expected,
            reservation: ReservationId(self.sale.reservations().count() as u64 + 1),
            key: details.key.map(|hash| Key { hash, body: body(words) }),
        };
        // Which ones they are is what matters here.
        let held = self.act(&hold);
        Some(if held.is_ok() { self.status(place.entry) } else { self.told(held, None) })
    }

    pub(super) fn grades(&self, performance: &str, price: u64) -> Vec<Grade> {
        let grade = |(name, price): (&str, u64)| Grade { name: name.into(), price: Money(price) };
        let others =
            self.grades_of(performance).iter().map(|(name, _, price)| (name.as_str(), *price));
        others.chain([("R", price)]).map(grade).collect()
    }

    /// The grades that are described for a performance beside R.
    fn grades_of(&self, performance: &str) -> &[(String, Vec<String>, u64)] {
        if self.is_first(performance) { &self.offer.grades } else { &[] }
    }

    fn is_first(&self, performance: &str) -> bool {
        self.offer.performances[0].0 == performance
    }

    pub(super) fn rows(&self, performance: &str, seats: &[String]) -> Vec<Row> {
        let numbers = || seats.iter().map(|number| place_in_row(number));
        let middle = numbers().min().unwrap_or_default() + numbers().max().unwrap_or_default();
        let rows = seats.chunk_by(|one, next| letter(one) == letter(next));
        let row = |(back, numbers): (i32, &[String])| Row {
            name: letter(&numbers[0]).into(),
            seats: numbers
                .iter()
                .map(|number| Seat {
                    x: (2 * place_in_row(number) - middle) * 25,
                    y: back * 100,
                    ..self.planned(performance, number)
                })
                .collect(),
        };
        (1..).zip(rows).map(row).collect()
    }

    fn planned(&self, performance: &str, number: &str) -> Seat {
        let first = self.is_first(performance);
        let pool = (0..)
            .zip(&self.offer.pools)
            .find(|(_, (_, seats))| first && seats.iter().any(|withheld| withheld == number));
        let grades = self.grades_of(performance);
        let has = |(_, seats, _): &(String, Vec<String>, u64)| seats.iter().any(|s| s == number);
        let grade = grades.iter().position(has).unwrap_or(grades.len());
        Seat {
            number: number.into(),
            grade: u16::try_from(grade).expect("a few grades"),
            x: 0,
            y: 0,
            pool: pool.map(|(pool, _)| pool),
        }
    }
}

fn letter(number: &str) -> &str {
    number.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn place_in_row(number: &str) -> i32 {
    number[letter(number).len()..].parse().unwrap_or_default()
}
