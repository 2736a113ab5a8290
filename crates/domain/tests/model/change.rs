//! A sale that is described anew, as the model sees it.

use domain::command::Schedule;
use domain::id::SeatIndex;
use domain::limits::Limits;
use domain::sale::Phase;
use domain::seats::SeatState;
use domain::time::Timestamp;
use domain::{Outcome, Refusal};

use super::{Answer, Model, ModelSeat};

/// The seats of a plan before anything was sold.
pub(super) fn seats(schedule: &Schedule) -> Vec<ModelSeat> {
    let plan = &schedule.plan;
    let mut seats: Vec<ModelSeat> = Vec::new();
    for (number, performance) in (0..).zip(&plan.performances) {
        let first = seats.len();
        for section in &performance.sections {
            for row in &section.rows {
                for seat in &row.seats {
                    let places = &performance.wheelchair_places;
                    let place = places.iter().find(|place| {
                        place.place == seat.number || place.companions.contains(&seat.number)
                    });
                    let grade = &performance.grades[usize::from(seat.grade)];
                    seats.push(ModelSeat {
                        performance: number,
                        id: performance.id.clone(),
                        number: seat.number.clone(),
                        known_by: [
                            grade.name.to_string(),
                            section.name.to_string(),
                            row.name.to_string(),
                            place.map_or(String::new(), |place| place.place.to_string()),
                        ],
                        kept_for: seat.pool.map(|pool| plan.pools[usize::from(pool)].clone()),
                        price: grade.price,
                        state: seat.pool.map_or(SeatState::Free, SeatState::Withheld),
                        beside: None,
                    });
                }
            }
        }
        for place in &performance.wheelchair_places {
            let at = (first..seats.len()).find(|at| seats[*at].number == place.place);
            for seat in &mut seats[first..] {
                if place.companions.contains(&seat.number) {
                    seat.beside = at;
                }
            }
        }
    }
    seats
}

pub(super) fn in_range(limits: &Limits) -> Result<(), Refusal> {
    for (name, value, min, max) in limits.table() {
        if value < min || value > max {
            return Err(Refusal::LimitOutOfRange { name, min, max });
        }
    }
    Ok(())
}

impl Model {
    pub(super) fn change_limits(&mut self, limits: &Limits, now: Timestamp) {
        let (second, before) = (self.within(now, 0), self.limits.place_ttl);
        if limits.place_ttl < before {
            let ttl = self.place_ttl(second);
            self.kept_ttl = (ttl, self.kept_ttl.1.max(second + before));
        }
        self.limits = *limits;
    }

    pub(super) fn change(&mut self, schedule: &Schedule, now: Timestamp) -> Answer {
        if schedule.file.is_some_and(|file| self.files.contains(&file)) {
            return Ok(Outcome::Done);
        }
        in_range(&schedule.limits)?;
        if schedule.closes_at.is_some_and(|closes| closes <= schedule.opens_at) {
            return Err(Refusal::BadSchedule);
        }
        let fixed = |field| Err(Refusal::NotChangeable { field });
        let (old, new) = (&self.schedule, schedule);
        if new.plan.currency != old.plan.currency {
            return fixed("currency");
        }
        if new.opens_at != old.opens_at && self.phase != Phase::Scheduled {
            return fixed("opens_at");
        }
        if new.closes_at != old.closes_at && self.phase == Phase::Closed {
            return fixed("closes_at");
        }
        let ids = |schedule: &Schedule| -> Vec<_> {
            schedule.plan.performances.iter().map(|p| p.id.clone()).collect()
        };
        if !ids(new).starts_with(&ids(old)) {
            return fixed("performances");
        }
        let mut next = seats(new);
        if !self.visits.is_empty() {
            if new.plan.time_zone != old.plan.time_zone {
                return fixed("time_zone");
            }
            if !new.plan.pools.starts_with(&old.plan.pools) {
                return fixed("pools");
            }
            // All seats of the old performances, in their order, and no others.
            let known = |seat: &&ModelSeat| ids(old).contains(&seat.id);
            let of_old: Vec<_> = next.iter().filter(known).map(|s| (&s.id, &s.number)).collect();
            let before: Vec<_> = self.seats.iter().map(|s| (&s.id, &s.number)).collect();
            if of_old != before {
                return fixed("sections");
            }
            let owned =
                |seat: &ModelSeat| matches!(seat.state, SeatState::Held(_) | SeatState::Sold(_));
            let differs = |(old, new): (&ModelSeat, &ModelSeat)| {
                owned(old) && (&old.known_by, old.price) != (&new.known_by, new.price)
            };
            let pairs = self.seats.iter().zip(&next).map(differs).enumerate();
            let touched = pairs.filter(|(_, touched)| *touched).map(|(at, _)| SeatIndex::after(at));
            let touched: Vec<_> = touched.take(10).collect();
            if !touched.is_empty() {
                return Err(Refusal::SeatsInUse { seats: touched });
            }
        }
        for seat in &mut next {
            let same = |old: &&ModelSeat| old.id == seat.id && old.number == seat.number;
            let Some(before) = self.seats.iter().find(same) else { continue };
            match before.state {
                SeatState::Held(_) | SeatState::Sold(_) => seat.state = before.state,
                SeatState::Free if before.kept_for == seat.kept_for => {
                    seat.state = SeatState::Free;
                }
                SeatState::Withheld(pool) if before.kept_for == seat.kept_for => {
                    let pool = &self.schedule.plan.pools[usize::from(pool)];
                    let pool = new.plan.pools.iter().position(|other| other == pool);
                    if let Some(pool) = pool {
                        seat.state = SeatState::Withheld(u16::try_from(pool).expect("few pools"));
                    }
                }
                SeatState::Free | SeatState::Withheld(_) => {}
            }
        }
        self.seats = next;
        self.change_limits(&schedule.limits, now);
        self.schedule = schedule.clone();
        self.files.extend(schedule.file);
        Ok(Outcome::Done)
    }
}
