//! What of a sale may be described anew.
//!
//! Until the first buyer has been let in, everything but its name, its currency and which
//! performances it has: more may come behind those that are there. From then on a seat keeps its
//! number and its index, for reservations name it by that, and so do requests that are on their way;
//! and what somebody has been promised stays: the price, the grade and the place of seats that are
//! held or sold. Times, titles, coordinates, prices of other seats, new pools and new performances
//! behind those that are there are the organiser's to change.

use super::decide::{Decided, happens, in_range, nothing};
use super::{Outcome, Phase, Sale};
use crate::command::{SEATS_NAMED_MAX, Schedule};
use crate::event::Event;
use crate::id::SeatIndex;
use crate::money::Money;
use crate::plan::{Access, Hall};
use crate::refusal::Refusal;
use crate::seats::SeatState;
use crate::time::ServiceTime;

/// What the owner of a seat has been promised.
#[derive(PartialEq, Eq)]
struct Promise<'h> {
    grade: &'h str,
    price: Money,
    section: &'h str,
    row: &'h str,
    access: Option<Access>,
}

impl Sale {
    pub(super) fn decide_change(
        &self,
        hall: &Hall,
        schedule: &Schedule,
        time: ServiceTime,
    ) -> Decided {
        if schedule.file.is_some_and(|file| self.files.contains(&file)) {
            // It has been done, and whatever was changed since then stays.
            return nothing(Outcome::Done);
        }
        in_range(&schedule.limits)?;
        if schedule.closes_at.is_some_and(|closes| closes <= schedule.opens_at) {
            return Err(Refusal::BadSchedule);
        }
        let same_plan = *hall.plan() == schedule.plan;
        let new = if same_plan {
            None
        } else {
            let new = Hall::build(schedule.plan.clone());
            Some(new.map_err(|error| Refusal::BadPlan { error })?)
        };
        let fixed = |field| Err(Refusal::NotChangeable { field });
        if self.id.as_ref() != Some(&schedule.sale) {
            return fixed("sale");
        }
        if hall.plan().currency != schedule.plan.currency {
            return fixed("currency");
        }
        if schedule.opens_at != self.opens_at && self.phase != Phase::Scheduled {
            return fixed("opens_at");
        }
        if schedule.closes_at != self.closes_at && self.phase == Phase::Closed {
            return fixed("closes_at");
        }
        // Readers find a performance by its number in the plan.
        let (old, asked) = (&hall.plan().performances, &schedule.plan.performances);
        let same_ids = old.iter().zip(asked).all(|(old, asked)| old.id == asked.id);
        if !same_ids || asked.len() < old.len() {
            return fixed("performances");
        }
        if let Some(new) = &new
            && !self.visits.is_empty()
        {
            self.keeps_promises(hall, new)?;
        }
        let same = same_plan
            && schedule.limits == self.limits
            && schedule.opens_at == self.opens_at
            && schedule.closes_at == self.closes_at;
        if same && schedule.file.is_none() {
            return nothing(Outcome::Done);
        }
        let schedule = Box::new(schedule.clone());
        happens(Event::Changed { schedule, at: time.floor() }, Outcome::Done)
    }

    /// Whether all that is held or sold is in the new hall what and where it was.
    fn keeps_promises(&self, hall: &Hall, new: &Hall) -> Result<(), Refusal> {
        let fixed = |field| Err(Refusal::NotChangeable { field });
        let (old_plan, new_plan) = (hall.plan(), new.plan());
        if old_plan.time_zone != new_plan.time_zone {
            return fixed("time_zone");
        }
        if !new_plan.pools.starts_with(&old_plan.pools) {
            return fixed("pools");
        }
        let numbers = (0..).take(old_plan.performances.len());
        let same_range = |number: u16| hall.seats_of(number) == new.seats_of(number);
        let same_number =
            || hall.seats().iter().zip(new.seats()).all(|(old, new)| old.number == new.number);
        if !numbers.clone().all(same_range) || !same_number() {
            return fixed("sections");
        }
        let (before, after) = (Rows::of(hall), Rows::of(new));
        let all = (0..hall.seats().len()).map(SeatIndex::after);
        let owned = all.filter(|seat| {
            matches!(self.seats.state(*seat), SeatState::Held(_) | SeatState::Sold(_))
        });
        let broken = owned.filter(|seat| before.promise(*seat) != after.promise(*seat));
        let seats: Vec<_> = broken.take(SEATS_NAMED_MAX).collect();
        if seats.is_empty() { Ok(()) } else { Err(Refusal::SeatsInUse { seats }) }
    }
}

/// The names of all rows of a hall, by performance.
struct Rows<'h> {
    hall: &'h Hall,
    names: Vec<Vec<&'h str>>,
}

impl<'h> Rows<'h> {
    fn of(hall: &'h Hall) -> Self {
        let names = hall.plan().performances.iter().map(|performance| {
            let rows = performance.sections.iter().flat_map(|section| &section.rows);
            rows.map(|row| &*row.name).collect()
        });
        Self { hall, names: names.collect() }
    }

    fn promise(&self, index: SeatIndex) -> Promise<'h> {
        let seat = &self.hall.seats()[index.at()];
        let number = usize::from(seat.performance);
        let performance = &self.hall.plan().performances[number];
        Promise {
            grade: &performance.grades[usize::from(seat.grade)].name,
            price: seat.price,
            section: &performance.sections[usize::from(seat.section)].name,
            row: self.names[number][seat.row as usize],
            access: self.hall.access(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::schedule;
    use super::*;
    use crate::command::Command;
    use crate::id::{FileHash, Name};
    use crate::sale::FILES_MAX;
    use crate::time::Timestamp;

    /// A sale of one seat, as the n-th file describes it.
    fn described(n: u8) -> Box<Schedule> {
        let mut schedule = schedule(&["A1"]);
        schedule.plan.performances[0].title = Name::from(format!("title {n}"));
        schedule.file = Some(FileHash([n; 32]));
        Box::new(schedule)
    }

    fn title(sale: &Sale) -> String {
        sale.hall().expect("it is scheduled").plan().performances[0].title.to_string()
    }

    #[test]
    fn a_file_is_applied_once_and_the_oldest_are_forgotten() {
        let (mut sale, now) = (Sale::default(), Timestamp(1_000));
        let mut tell = |command: Command| {
            let mut events = Vec::new();
            sale.execute(&command, now, &mut events).expect("it may be so");
            (events.len(), title(&sale), sale.files().len())
        };
        let count = u8::try_from(FILES_MAX).expect("few");
        assert_eq!(tell(Command::Schedule(described(0))), (1, "title 0".to_owned(), 1));
        assert_eq!(tell(Command::Change(described(0))), (0, "title 0".to_owned(), 1));
        assert_eq!(tell(Command::Change(described(1))), (1, "title 1".to_owned(), 2));
        // An old file that still lies there undoes nothing.
        assert_eq!(tell(Command::Change(described(0))), (0, "title 1".to_owned(), 2));
        for n in 2..=count {
            tell(Command::Change(described(n)));
        }
        assert_eq!(tell(Command::Change(described(1))), (0, format!("title {count}"), FILES_MAX));
        assert_eq!(tell(Command::Change(described(0))), (1, "title 0".to_owned(), FILES_MAX));
    }

    #[test]
    fn a_file_that_says_what_is_so_is_noted() {
        let (mut sale, mut events) = (Sale::default(), Vec::new());
        let mut by_hand = described(0);
        by_hand.file = None;
        let now = Timestamp(1_000);
        sale.execute(&Command::Schedule(by_hand.clone()), now, &mut events).expect("a sale");
        sale.execute(&Command::Change(by_hand), now, &mut events).expect("nothing new");
        assert_eq!(events.len(), 1);
        sale.execute(&Command::Change(described(0)), now, &mut events).expect("a file");
        assert_eq!((events.len(), sale.files().len()), (2, 1));
    }
}
