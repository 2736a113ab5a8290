//! What is for sale in a run.

use domain::command::Schedule;
use domain::id::{PerformanceId, SaleId};
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};

use crate::clock::START;
use crate::knobs::Knobs;

/// Pools that seats may be withheld for.
pub(crate) const POOLS: u16 = 2;

/// The sale's name.
pub(crate) fn sale() -> SaleId {
    SaleId::parse("sale").expect("a sound name")
}

/// What the organiser puts on the calendar: rows of ten with an aisle in the middle, two grades, every
/// eleventh seat withheld.
pub(crate) fn schedule(knobs: &Knobs) -> Schedule {
    let performances = (1..).zip(&knobs.performances);
    Schedule {
        sale: sale(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into(), "friends".into()],
            performances: performances.map(|(n, seats)| performance(n, *seats)).collect(),
        },
        limits: knobs.limits,
        opens_at: START.plus(knobs.opens_after),
        closes_at: knobs.closes_after.map(|after| START.plus(after)),
        file: None,
    }
}

fn performance(number: u32, seats: u32) -> Performance {
    let grade = |name: &str, price| Grade { name: name.into(), price: Money(price) };
    Performance {
        id: PerformanceId::parse(&format!("evening-{number}")).expect("a sound name"),
        title: "An evening".into(),
        venue: "The hall".into(),
        date: jiff::civil::date(2027, 2, 1),
        starts_at: START.plus(2_000_000_000),
        grades: vec![grade("R", 100 + u64::from(number)), grade("VIP", 10_000)],
        sections: vec![Section { name: "1F".into(), rows: rows(seats) }],
        wheelchair_places: Vec::new(),
    }
}

fn rows(seats: u32) -> Vec<Row> {
    let row = |row: u32| Row {
        name: format!("{}", row + 1).into(),
        seats: (row * 10..seats.min(row * 10 + 10)).map(seat).collect(),
    };
    (0..seats.div_ceil(10)).map(row).collect()
}

fn seat(number: u32) -> Seat {
    let (right, back) = (number % 10, number / 10);
    let aisle = if right < 5 { 0 } else { 100 };
    Seat {
        number: format!("A{}", number + 1).into(),
        grade: u16::from(back == 0 && right < 3),
        x: i32::try_from(right * 50 + aisle).expect("small"),
        y: i32::try_from(back * 90).expect("small"),
        pool: (number % 11 == 10).then_some(0),
    }
}
