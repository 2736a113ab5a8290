//! What the tests of a sale's parts sell.

use crate::command::Schedule;
use crate::id::{PerformanceId, SaleId};
use crate::limits::Limits;
use crate::money::{Currency, Money};
use crate::plan::{Grade, Performance, Plan, Row, Seat, Section};
use crate::time::Timestamp;

/// One performance with these seats in one row, at 100.
pub(super) fn schedule(seats: &[&str]) -> Schedule {
    let seat = |number: &&str| Seat { number: (*number).into(), grade: 0, x: 0, y: 0, pool: None };
    let row = Row { name: "A".into(), seats: seats.iter().map(seat).collect() };
    let performance = Performance {
        id: PerformanceId::parse("one").expect("a name"),
        title: "봄".into(),
        venue: "홀".into(),
        date: jiff::civil::date(2099, 5, 1),
        starts_at: Timestamp(4_000_000_000_000),
        grades: vec![Grade { name: "R".into(), price: Money(100) }],
        sections: vec![Section { name: "1F".into(), rows: vec![row] }],
        wheelchair_places: Vec::new(),
    };
    Schedule {
        sale: SaleId::parse("spring").expect("a name"),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: Vec::new(),
            performances: vec![performance],
        },
        limits: Limits::default(),
        opens_at: Timestamp(1_000_000),
        closes_at: None,
        file: None,
    }
}
