//! Seats as an operator names them: one by one, or from one to another of a row, `A1-A12`.
//!
//! What is a seat's number is that seat, whatever is in it; else a `-` in it may mean "to", when
//! seats of one row stand on both its sides. A range has what stands between the two in the plan, so
//! it passes over numbers that the row does not have.

use domain::id::{PerformanceId, SeatIndex};
use domain::plan::Hall;
use domain::seats::SeatState;
use domain::{Refusal, Sale};
use serde::Deserialize;

use crate::http::Problem;

/// Seats as an operator names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedSeats {
    /// Where the sale has several.
    performance_id: Option<String>,
    #[serde(default)]
    seat_numbers: Vec<String>,
    /// Whom they are withheld for.
    pool: Option<String>,
}

impl NamedSeats {
    /// The seats that are named, one at least.
    pub(super) fn find(&self, sale: &Sale, hall: &Hall) -> Result<Vec<SeatIndex>, Problem> {
        let performance = self.performance(hall)?;
        if self.seat_numbers.is_empty() {
            return Err(Refusal::NoSeats.into());
        }
        let mut seats = Vec::new();
        for text in &self.seat_numbers {
            let named = named(hall, performance, text).ok_or_else(|| {
                let named = Some(text.clone());
                Problem::from(Refusal::SeatNotFound).tell(|fields| fields.seat_number = named)
            })?;
            // Ranges may be long and overlap: no more than there are is ever looked at.
            if seats.len() + named.len() > sale.seats().counts_of(performance).all() as usize {
                let seat = *named.first().unwrap_or(&SeatIndex(0));
                return Err(Refusal::DuplicateSeat { seat }.into());
            }
            seats.extend(named);
        }
        Ok(seats)
    }

    /// The seats that are named and, where a pool is, withheld for it; all of the pool's where no
    /// seat is named.
    pub(super) fn find_withheld(
        &self,
        sale: &Sale,
        hall: &Hall,
    ) -> Result<Vec<SeatIndex>, Problem> {
        if self.pool.is_none() {
            return self.find(sale, hall);
        }
        let pool = self.pool(hall)?;
        let is_of_pool = |seat: &SeatIndex| sale.seats().state(*seat) == SeatState::Withheld(pool);
        if self.seat_numbers.is_empty() {
            let all = hall.seats_of(self.performance(hall)?).map(SeatIndex);
            let seats: Vec<SeatIndex> = all.filter(is_of_pool).collect();
            return if seats.is_empty() { Err(Refusal::NoSeats.into()) } else { Ok(seats) };
        }
        let named = self.find(sale, hall)?;
        let others: Vec<SeatIndex> =
            named.iter().filter(|seat| !is_of_pool(seat)).copied().collect();
        if others.is_empty() {
            Ok(named)
        } else {
            Err(Refusal::SeatNotFree { seats: others }.into())
        }
    }

    /// The pool's number in the plan.
    pub(super) fn pool(&self, hall: &Hall) -> Result<u16, Refusal> {
        let wanted = self.pool.as_deref().unwrap_or_default();
        let pools = (0..).zip(&hall.plan().pools);
        let pool = pools.into_iter().find(|(_, pool)| &***pool == wanted);
        pool.map(|(number, _)| number).ok_or(Refusal::PoolNotFound)
    }

    fn performance(&self, hall: &Hall) -> Result<u16, Refusal> {
        match &self.performance_id {
            Some(id) => PerformanceId::parse(id)
                .and_then(|id| hall.performance(&id))
                .ok_or(Refusal::WrongPerformance),
            None if hall.plan().performances.len() > 1 => Err(Refusal::PerformanceRequired),
            None => Ok(0),
        }
    }
}

/// One seat, or those of a row from one to another.
fn named(hall: &Hall, performance: u16, text: &str) -> Option<Vec<SeatIndex>> {
    if let Some(seat) = hall.find(performance, text) {
        return Some(vec![seat]);
    }
    text.match_indices('-').find_map(|(at, dash)| {
        let (first, last) = (&text[..at], &text[at + dash.len()..]);
        let (first, last) = (hall.find(performance, first)?, hall.find(performance, last)?);
        let row = |seat: SeatIndex| hall.seat(seat).map(|seat| seat.row);
        let in_one_row = row(first) == row(last) && first.0 <= last.0;
        in_one_row.then(|| (first.0..=last.0).map(SeatIndex).collect())
    })
}

/// Names the seats of a refusal as people do.
pub(super) fn in_names(problem: Problem, hall: &Hall) -> Problem {
    let number = |seat: &SeatIndex| hall.seats()[seat.at()].number.to_string();
    match problem.refusal().cloned() {
        Some(Refusal::SeatNotFree { seats }) => {
            problem.tell(|fields| fields.taken = Some(seats.iter().map(number).collect()))
        }
        Some(Refusal::DuplicateSeat { seat }) => {
            problem.tell(|fields| fields.seat_number = Some(number(&seat)))
        }
        _ => problem,
    }
}
