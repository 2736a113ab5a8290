//! Where somebody stands among millions, asked in this process of the rules themselves.

use std::hint::black_box;

use domain::command::{Command, Schedule};
use domain::id::{EntryIndex, Nonce, PerformanceId, SaleId};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::sale::Sale;
use domain::time::Timestamp;

use crate::clock;
use crate::figures::{Seconds, count};
use crate::report::Reading;
use crate::series::Series;
use crate::verdict::{at_most, both};
use crate::{Fault, Plan as Order};

/// The long line.
const MANY: u32 = 10_000_000;
/// And the short one.
const FEW: u32 = 10_000;
/// Lookups in one round.
const LOOKUPS: u32 = 5_000_000;
/// What a lookup may take.
const MOST_S: f64 = 100e-9;
/// And how much of what it takes in the short line.
const GROWTH_MAX: f64 = 1.5;

/// When the sale of this file opens.
const OPENS: Timestamp = Timestamp(1_800_000_000_000);

/// Measures the row.
pub(crate) fn measure(order: &Order) -> Result<Reading, Fault> {
    let (few, many) = (line_of(FEW)?, line_of(MANY)?);
    let (mut short, mut long, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..order.rounds.max(3) {
        short.push(lookup_s(FEW, |entry| few.line().position(entry)));
        long.push(lookup_s(MANY, |entry| many.line().position(entry)));
        whole.push(lookup_s(MANY, |entry| many.place(entry)?.position));
    }
    let series =
        |values: Vec<f64>| Series::of(values).ok_or_else(|| Fault("no lookups".to_owned()));
    let (short, long, whole) = (series(short)?, series(long)?, series(whole)?);
    let growth = long.median / short.median;
    Ok(Reading {
        measured: format!("{}, {growth:.2} times of that among 10,000", Seconds(long.median)),
        details: vec![format!(
            "Among {}: {} ({}..{}); among {}: {} ({}..{}); all that a poll asks of the rules (the \
             entry, its state, position and total) among {}: {}. Each lookup asks for an entry that \
             depends on the answer before, so that none is hidden behind another.",
            count(MANY.into()),
            Seconds(long.median),
            Seconds(long.min),
            Seconds(long.max),
            count(FEW.into()),
            Seconds(short.median),
            Seconds(short.min),
            Seconds(short.max),
            count(MANY.into()),
            Seconds(whole.median),
        )],
        tables: Vec::new(),
        verdict: both(at_most(long.median, MOST_S), at_most(growth, GROWTH_MAX)),
    })
}

/// Seconds that one lookup takes.
fn lookup_s(waiting: u32, position: impl Fn(EntryIndex) -> Option<u32>) -> f64 {
    let mut entry = 1;
    let start = clock::now();
    for step in 0..LOOKUPS {
        let found = black_box(position(EntryIndex(entry))).unwrap_or(1);
        // The next one is anywhere, and not known before this one is.
        let anywhere = u64::from(found ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        entry = u32::try_from((anywhere * u64::from(waiting)) >> 32).expect("less than all");
    }
    start.elapsed().as_secs_f64() / f64::from(LOOKUPS)
}

/// A sale with so many waiting, and one inside.
fn line_of(waiting: u32) -> Result<Sale, Fault> {
    let mut sale = Sale::default();
    let mut events = Vec::new();
    let mut execute = |command: &Command| {
        events.clear();
        let executed = sale.execute(command, OPENS, &mut events);
        executed.map(|_| ()).map_err(|refusal| Fault(format!("the rules refuse: {refusal:?}")))
    };
    execute(&Command::Schedule(Box::new(schedule())))?;
    for number in 0..=waiting {
        execute(&Command::Join { nonce: Nonce(number), keys: JoinKeys::default() })?;
    }
    if sale.line().counted() != waiting {
        return Err(Fault(format!("{} wait, not {waiting}", sale.line().counted())));
    }
    Ok(sale)
}

/// A hall of one seat.
fn schedule() -> Schedule {
    let seat = Seat { number: "A1".into(), grade: 0, x: 0, y: 0, pool: None };
    let performance = Performance {
        id: PerformanceId::parse("one").expect("an id"),
        title: "봄 콘서트".into(),
        venue: "한강홀".into(),
        date: jiff::civil::date(2040, 1, 1),
        starts_at: Timestamp(OPENS.0 + 86_400_000),
        grades: vec![Grade { name: "R".into(), price: Money(100) }],
        sections: vec![Section {
            name: "1층".into(),
            rows: vec![Row { name: "A".into(), seats: vec![seat] }],
        }],
        wheelchair_places: Vec::new(),
    };
    Schedule {
        sale: SaleId::parse("one").expect("an id"),
        plan: Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: Vec::new(),
            performances: vec![performance],
        },
        limits: Limits { active_limit: 1, line_capacity: MANY + 1, ..Limits::default() },
        opens_at: OPENS,
        closes_at: None,
        file: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_as_long_as_it_says() {
        let sale = line_of(1_000).expect("a line");
        assert_eq!(sale.line().position(EntryIndex(0)), None, "inside");
        assert_eq!(sale.line().position(EntryIndex(1)), Some(2));
        assert_eq!(sale.line().position(EntryIndex(1_000)), Some(1_001));
    }
}
