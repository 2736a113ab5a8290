//! What is for sale: performances with sections, rows, seats, grades and prices.
//!
//! A [`Plan`] is what an organiser describes and the journal keeps. A [`Hall`] is the same, checked
//! and laid out flat for the rules: every seat of the sale has a [`SeatIndex`] in plan order, over
//! all performances. A plan that changes is another one, laid out anew.

mod access;
mod numbering;
mod stretches;

use jiff::civil::Date;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;
use std::ops::Range;

pub use self::access::{Access, WheelchairPlace};
use self::numbering::Numbering;
pub(crate) use self::stretches::{Stretch, distance};
use crate::id::{Name, PerformanceId, SeatIndex};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// Seats in all performances of one sale, at most.
pub const SEATS_MAX: usize = 2_000_000;
/// Performances of one sale, at most.
pub const PERFORMANCES_MAX: usize = 400;
/// Bytes in a name, at most: a title, a section, a row, a seat number.
pub const NAME_MAX: usize = 200;

/// What one sale offers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// What all prices are in.
    #[n(0)]
    pub currency: Currency,
    /// IANA name of the venue's time zone; opaque here.
    #[n(1)]
    pub time_zone: Name,
    /// Names of the pools that seats may be withheld for.
    #[n(2)]
    pub pools: Vec<Name>,
    /// At least one.
    #[n(3)]
    pub performances: Vec<Performance>,
}

/// One evening: a date, a hall and its seats.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Performance {
    /// Unique in the store.
    #[n(0)]
    pub id: PerformanceId,
    /// What is played.
    #[n(1)]
    pub title: Name,
    /// Where.
    #[n(2)]
    pub venue: Name,
    /// The local date at the venue.
    #[n(3)]
    #[cbor(with = "date")]
    pub date: Date,
    /// When it begins.
    #[n(4)]
    pub starts_at: Timestamp,
    /// Price classes.
    #[n(5)]
    pub grades: Vec<Grade>,
    /// Parts of the hall, in the order in which they are listed.
    #[n(6)]
    pub sections: Vec<Section>,
    /// Places for wheelchairs, in the order of their numbers' first mention; most halls list none.
    #[n(7)]
    #[cbor(with = "access::places", has_nil)]
    pub wheelchair_places: Vec<WheelchairPlace>,
}

/// A price class of a performance.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grade {
    /// As people see it: `VIP`.
    #[n(0)]
    pub name: Name,
    /// Of each seat.
    #[n(1)]
    pub price: Money,
}

/// A part of the hall.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Section {
    /// As people see it.
    #[n(0)]
    pub name: Name,
    /// From the stage backwards.
    #[n(1)]
    pub rows: Vec<Row>,
}

/// Seats beside each other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    /// As people see it.
    #[n(0)]
    pub name: Name,
    /// In the order in which they stand.
    #[n(1)]
    pub seats: Vec<Seat>,
}

/// One seat of a performance.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Seat {
    /// Unique in its performance: `A1`.
    #[n(0)]
    pub number: Name,
    /// Which of the performance's grades.
    #[n(1)]
    pub grade: u16,
    /// Where to draw it: centimetres to the right of the middle of the stage's edge.
    #[n(2)]
    pub x: i32,
    /// Where to draw it: centimetres away from the stage.
    #[n(3)]
    pub y: i32,
    /// Withheld from the start for this of the plan's pools.
    #[n(4)]
    pub pool: Option<u16>,
}

mod date {
    //! A date as the number `yyyymmdd`.
    use super::{Date, Decoder, Encoder, Write, decode, encode};

    pub(super) fn encode<C, W: Write>(
        date: &Date,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let number =
            i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day());
        e.i32(number)?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Date, decode::Error> {
        let number = d.i32()?;
        let part = |n: i32| i8::try_from(n).map_err(|_| decode::Error::message("not a date"));
        let year =
            i16::try_from(number / 10_000).map_err(|_| decode::Error::message("not a date"))?;
        Date::new(year, part(number / 100 % 100)?, part(number % 100)?)
            .map_err(|_| decode::Error::message("not a date"))
    }
}

/// Why a plan cannot be sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// No performance, or more than [`PERFORMANCES_MAX`].
    PerformanceCount,
    /// The same performance twice.
    PerformanceTwice(PerformanceId),
    /// A performance without a seat, or more than [`SEATS_MAX`] seats in all.
    SeatCount,
    /// Two seats of a performance with the same number.
    SeatTwice(Name),
    /// A seat of a grade that its performance does not have.
    UnknownGrade(Name),
    /// A seat withheld for a pool that the plan does not have.
    UnknownPool(Name),
    /// A price over [`Money::PRICE_MAX`].
    Price(Name),
    /// An empty name, or one over [`NAME_MAX`] bytes.
    Name(Name),
    /// A wheelchair place or a companion's seat of a number that its performance does not have.
    UnknownPlace(Name),
    /// A seat that is a wheelchair place or a companion's seat twice.
    PlaceTwice(Name),
    /// More of something than can be counted here.
    TooMany,
}

/// A seat as the rules see it.
#[derive(Clone, Debug)]
pub struct HallSeat {
    /// As people see it.
    pub number: Name,
    /// Which performance of the plan.
    pub performance: u16,
    /// Which section of the performance.
    pub section: u16,
    /// Which row, counted over the whole performance.
    pub row: u32,
    /// Which grade of the performance.
    pub grade: u16,
    /// Withheld from the start for this pool.
    pub pool: Option<u16>,
    /// What it costs.
    pub price: Money,
}

/// A plan, checked and laid out.
#[derive(Debug)]
pub struct Hall {
    plan: Plan,
    seats: Vec<HallSeat>,
    performances: Vec<Laid>,
    /// The seats that are something to people with a wheelchair, in order; most halls have none.
    access: Vec<(SeatIndex, Access)>,
}

/// One performance as it is laid out.
#[derive(Debug)]
struct Laid {
    seats: Range<u32>,
    numbering: Numbering,
    /// What stands beside each other, by grade.
    stretches: Vec<Vec<Stretch>>,
}

impl Hall {
    /// Checks a plan and lays it out.
    ///
    /// # Errors
    /// The first thing that is wrong with the plan.
    pub fn build(plan: Plan) -> Result<Self, PlanError> {
        if !(1..=PERFORMANCES_MAX).contains(&plan.performances.len()) {
            return Err(PlanError::PerformanceCount);
        }
        for pool in &plan.pools {
            sound(pool)?;
        }
        let mut ids = BTreeSet::new();
        let mut hall = Vec::new();
        let mut performances = Vec::new();
        for (number, performance) in (0..).zip(&plan.performances) {
            if !ids.insert(&performance.id) {
                return Err(PlanError::PerformanceTwice(performance.id.clone()));
            }
            performances.push(lay_out(performance, number, plan.pools.len(), &mut hall)?);
        }
        drop(ids);
        let mut all = Self { plan, seats: hall, performances, access: Vec::new() };
        all.access = access::find(&all)?;
        for number in (0..).take(all.performances.len()) {
            all.performances[usize::from(number)].stretches = stretches::find(&all, number);
        }
        Ok(all)
    }

    /// The plan it was built from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every seat of the sale, in plan order.
    #[must_use]
    pub fn seats(&self) -> &[HallSeat] {
        &self.seats
    }

    /// One seat, if there is such an index.
    #[must_use]
    pub fn seat(&self, index: SeatIndex) -> Option<&HallSeat> {
        self.seats.get(index.at())
    }

    /// The seats of a performance, as indices of [`Hall::seats`].
    ///
    /// # Panics
    /// When the plan has no performance of that number.
    #[must_use]
    pub fn seats_of(&self, performance: u16) -> Range<u32> {
        self.performances[usize::from(performance)].seats.clone()
    }

    /// The number of a performance in the plan.
    #[must_use]
    pub fn performance(&self, id: &PerformanceId) -> Option<u16> {
        (0..).zip(&self.plan.performances).find(|(_, p)| p.id == *id).map(|(number, _)| number)
    }

    /// The seat with the number `number` in a performance, if there is one.
    #[must_use]
    pub fn find(&self, performance: u16, number: &str) -> Option<SeatIndex> {
        self.performances.get(usize::from(performance))?.numbering.find(number, &self.seats)
    }
}

fn sound(name: &Name) -> Result<(), PlanError> {
    if (1..=NAME_MAX).contains(&name.len()) { Ok(()) } else { Err(PlanError::Name(name.clone())) }
}

/// Checks one performance and adds its seats to the hall.
fn lay_out(
    performance: &Performance,
    number: u16,
    pools: usize,
    hall: &mut Vec<HallSeat>,
) -> Result<Laid, PlanError> {
    sound(&performance.title)?;
    sound(&performance.venue)?;
    for grade in &performance.grades {
        sound(&grade.name)?;
        if grade.price > Money::PRICE_MAX {
            return Err(PlanError::Price(grade.name.clone()));
        }
    }
    let first = SeatIndex::after(hall.len());
    let rows = performance.sections.iter().flat_map(|section| &section.rows);
    let seats: usize = rows.map(|row| row.seats.len()).sum();
    let mut numbering = Numbering::with_room(seats.min(SEATS_MAX));
    let mut row_number = 0;
    for (section_number, section) in performance.sections.iter().enumerate() {
        sound(&section.name)?;
        let section_number = u16::try_from(section_number).map_err(|_| PlanError::TooMany)?;
        for row in &section.rows {
            sound(&row.name)?;
            for seat in &row.seats {
                sound(&seat.number)?;
                let Some(grade) = performance.grades.get(usize::from(seat.grade)) else {
                    return Err(PlanError::UnknownGrade(seat.number.clone()));
                };
                if seat.pool.is_some_and(|pool| usize::from(pool) >= pools) {
                    return Err(PlanError::UnknownPool(seat.number.clone()));
                }
                if hall.len() >= SEATS_MAX {
                    return Err(PlanError::SeatCount);
                }
                if !numbering.add(&seat.number, hall) {
                    return Err(PlanError::SeatTwice(seat.number.clone()));
                }
                hall.push(HallSeat {
                    number: seat.number.clone(),
                    performance: number,
                    section: section_number,
                    row: row_number,
                    grade: seat.grade,
                    pool: seat.pool,
                    price: grade.price,
                });
            }
            row_number += 1;
        }
    }
    let seats = first.0..SeatIndex::after(hall.len()).0;
    if seats.is_empty() {
        return Err(PlanError::SeatCount);
    }
    Ok(Laid { seats, numbering, stretches: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(number: &str) -> Seat {
        Seat { number: number.into(), grade: 0, x: 0, y: 0, pool: None }
    }

    pub(super) fn performance(id: &str, seats: &[&str]) -> Performance {
        Performance {
            id: PerformanceId::parse(id).unwrap(),
            title: "봄".into(),
            venue: "Hall".into(),
            date: Date::constant(2026, 5, 1),
            starts_at: Timestamp(0),
            grades: vec![Grade { name: "R".into(), price: Money(100) }],
            sections: vec![Section {
                name: "1F".into(),
                rows: vec![Row {
                    name: "A".into(),
                    seats: seats.iter().map(|number| seat(number)).collect(),
                }],
            }],
            wheelchair_places: Vec::new(),
        }
    }

    pub(super) fn plan() -> Plan {
        Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into()],
            performances: vec![performance("one", &["A1", "A2"]), performance("two", &["A1"])],
        }
    }

    fn wrong(change: impl FnOnce(&mut Plan)) -> PlanError {
        let mut plan = plan();
        change(&mut plan);
        Hall::build(plan).expect_err("a plan that cannot be sold")
    }

    fn row(plan: &mut Plan) -> &mut Row {
        &mut plan.performances[0].sections[0].rows[0]
    }

    #[test]
    fn seats_are_numbered_over_all_performances_in_plan_order() {
        let hall = Hall::build(plan()).unwrap();
        assert_eq!(hall.seats().len(), 3);
        assert_eq!((hall.seats_of(0), hall.seats_of(1)), (0..2, 2..3));
        assert_eq!(hall.performance(&PerformanceId::parse("two").unwrap()), Some(1));
        assert_eq!(hall.find(0, "A2"), Some(SeatIndex(1)));
        assert_eq!(hall.find(1, "A1"), Some(SeatIndex(2)));
        assert_eq!(hall.find(1, "A2"), None);
        assert_eq!(hall.find(2, "A1"), None);
        assert_eq!(hall.seat(SeatIndex(2)).unwrap().performance, 1);
        assert!(hall.seat(SeatIndex(3)).is_none());
    }

    #[test]
    fn a_row_is_counted_over_the_whole_performance() {
        let mut plan = plan();
        let second = Row { name: "B".into(), seats: vec![seat("B1")] };
        plan.performances[0].sections[0].rows.push(second);
        let balcony = Row { name: "A".into(), seats: vec![seat("C1")] };
        plan.performances[0].sections.push(Section { name: "2F".into(), rows: vec![balcony] });
        let hall = Hall::build(plan).unwrap();
        let rows: Vec<_> = hall.seats().iter().map(|seat| (seat.section, seat.row)).collect();
        assert_eq!(rows, [(0, 0), (0, 0), (0, 1), (1, 2), (0, 0)]);
    }

    #[test]
    fn a_plan_that_cannot_be_sold_says_why() {
        assert_eq!(wrong(|plan| plan.performances.clear()), PlanError::PerformanceCount);
        assert_eq!(
            wrong(|plan| plan.performances = vec![performance("x", &["A1"]); 401]),
            PlanError::PerformanceCount
        );
        assert_eq!(
            wrong(|plan| plan.performances[1].id = plan.performances[0].id.clone()),
            PlanError::PerformanceTwice(PerformanceId::parse("one").unwrap())
        );
        assert_eq!(wrong(|plan| row(plan).seats.clear()), PlanError::SeatCount);
        assert_eq!(
            wrong(|plan| row(plan).seats[1].number = "A1".into()),
            PlanError::SeatTwice("A1".into())
        );
        assert_eq!(
            wrong(|plan| row(plan).seats[1].grade = 1),
            PlanError::UnknownGrade("A2".into())
        );
        assert_eq!(
            wrong(|plan| row(plan).seats[1].pool = Some(1)),
            PlanError::UnknownPool("A2".into())
        );
        assert_eq!(
            wrong(|plan| plan.performances[0].grades[0].price.0 = Money::PRICE_MAX.0 + 1),
            PlanError::Price("R".into())
        );
        assert_eq!(wrong(|plan| plan.pools[0] = "".into()), PlanError::Name("".into()));
        let place = |place: &str, companion: &str| WheelchairPlace {
            place: place.into(),
            companions: vec![companion.into()],
        };
        assert_eq!(
            wrong(|plan| plan.performances[1].wheelchair_places = vec![place("A1", "A2")]),
            PlanError::UnknownPlace("A2".into())
        );
        assert_eq!(
            wrong(|plan| plan.performances[0].wheelchair_places = vec![place("A1", "A1")]),
            PlanError::PlaceTwice("A1".into())
        );
        let long = Name::from("x".repeat(NAME_MAX + 1));
        assert_eq!(
            wrong(|plan| row(plan).seats[0].number = long.clone()),
            PlanError::Name(long.clone())
        );
    }

    #[test]
    fn a_sale_has_no_more_seats_than_can_be_counted() {
        let number = |n: usize| -> Seat { seat(&n.to_string()) };
        let full = |seats: usize| {
            let mut plan = plan();
            plan.performances.pop();
            row(&mut plan).seats = (0..seats).map(number).collect();
            Hall::build(plan)
        };
        assert_eq!(full(SEATS_MAX + 1).unwrap_err(), PlanError::SeatCount);
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let bytes = minicbor::to_vec(plan()).unwrap();
        assert_eq!(minicbor::decode::<Plan>(&bytes).unwrap(), plan());
    }

    #[test]
    fn a_date_that_does_not_exist_is_no_date() {
        let read = |number: i32| {
            let bytes = minicbor::to_vec(number).unwrap();
            date::decode(&mut Decoder::new(&bytes), &mut ()).ok()
        };
        assert_eq!(read(20_260_228), Some(Date::constant(2026, 2, 28)));
        for wrong in [20_260_229, 20_260_230, 20_261_301, 20_260_100, 0, -1, i32::MAX, i32::MIN] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
