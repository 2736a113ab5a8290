//! Halls and sales for the tests of this module.

use domain::command::{Command, Schedule};
use domain::id::{PerformanceId, SaleId, SeatIndex};
use domain::limits::Limits;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::sale::Sale;
use domain::time::Timestamp;

/// When sales of the tests open.
pub(super) const START: Timestamp = Timestamp(1_700_000_000_000);

/// A section: its name, its grade (0 is R for 100, 1 is S for 60), its rows, seats in each.
pub(super) type SectionOf = (&'static str, u16, usize, usize);

/// The use case's hall: five rows of fifteen seats.
pub(super) const SMALL: &[SectionOf] = &[("1층", 0, 5, 15)];

/// Two sections of two grades, over several pages of seats.
pub(super) const LARGE: &[SectionOf] = &[("1F \"floor\"", 0, 20, 33), ("2층", 1, 10, 40)];

/// A performance whose rows are lettered in each section: `A1`, or `2-A1` in the second.
pub(super) fn performance(id: &str, date: &str, sections: &[SectionOf]) -> Performance {
    let sections = sections.iter().enumerate().map(|(number, &(name, grade, rows, seats))| {
        let rows = (0..rows).map(|row| {
            let letter = char::from(b'A' + u8::try_from(row).unwrap());
            let prefix = if number == 0 { String::new() } else { format!("{}-", number + 1) };
            let seats = (1..=seats).map(|seat| Seat {
                number: format!("{prefix}{letter}{seat}").into(),
                grade,
                x: i32::try_from(seat).unwrap() * 50,
                y: i32::try_from(row).unwrap() * 90,
                pool: None,
            });
            Row { name: letter.to_string().into(), seats: seats.collect() }
        });
        Section { name: name.into(), rows: rows.collect() }
    });
    Performance {
        id: PerformanceId::parse(id).unwrap(),
        title: format!("Concert {id}").into(),
        venue: "회관".into(),
        date: date.parse().unwrap(),
        starts_at: START,
        grades: vec![
            Grade { name: "R".into(), price: Money(100) },
            Grade { name: "S".into(), price: Money(60) },
        ],
        sections: sections.collect(),
        wheelchair_places: Vec::new(),
    }
}

/// A sale of these performances that opens at [`START`].
pub(super) fn schedule(id: &str, performances: Vec<Performance>, limits: Limits) -> Schedule {
    Schedule {
        sale: SaleId::parse(id).unwrap(),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into()],
            performances,
        },
        limits,
        opens_at: START,
        closes_at: None,
        file: None,
    }
}

/// A sale that is open.
pub(super) fn open(performances: Vec<Performance>) -> Sale {
    let mut sale = Sale::default();
    let schedule = schedule("sale", performances, Limits::default());
    execute(&mut sale, &Command::Schedule(Box::new(schedule)));
    sale
}

/// Executes a command, which must be allowed.
pub(super) fn execute(sale: &mut Sale, command: &Command) {
    sale.execute(command, START, &mut Vec::new()).unwrap();
}

/// Takes seats off sale.
pub(super) fn withhold(sale: &mut Sale, seats: impl IntoIterator<Item = u32>) {
    let seats = seats.into_iter().map(SeatIndex).collect();
    execute(sale, &Command::Withhold { seats, pool: 0 });
}
