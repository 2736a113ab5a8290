//! The demo: two sales to try the box office out with, and the calls to try.
//!
//! A hall of 75 seats, which is the use case's, and an arena of 12,000 with two performances on one
//! evening. They are scheduled once in a data directory and stay as they are from then on; their
//! dates are counted from the day of that first start, as the calendar in Seoul has it.

use std::io::{self, Write};
use std::net::SocketAddr;

use domain::id::SaleId;
use domain::time::Timestamp;
use engine::{Engine, NewSale};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use crate::config::Stop;
use crate::ids::Ids;
use crate::sale_file::SaleFile;

/// A sale of the demo.
struct Demo {
    sale: &'static str,
    /// As a sale's file, with `{date}` and `{opens_at}` to be filled in.
    file: &'static str,
    days_ahead: i64,
}

const HALL: Demo = Demo { sale: "demo-hall", file: include_str!("demo/hall.toml"), days_ahead: 30 };
const ARENA: Demo =
    Demo { sale: "demo-arena", file: include_str!("demo/arena.toml"), days_ahead: 31 };

/// Schedules what of the demo is not there yet; it is open at once.
pub(crate) async fn schedule(engine: &Engine) -> Result<(), Stop> {
    for demo in [HALL, ARENA] {
        if engine.directory().sale(demo.sale).is_some() {
            continue;
        }
        let added = engine.add_sale(demo.at(engine.now()), Ids.request_id(), None).await;
        let failed = |why: &dyn std::fmt::Display| {
            Stop::failed(format!("the sale {} of the demo was not scheduled: {why}.", demo.sale))
        };
        match added {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return Err(failed(&refusal.code())),
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Ok(())
}

/// Says where the box office is to be found, in one line that programs can read too, and, for the
/// demo, which calls to try.
pub(crate) fn announce(public: SocketAddr, operators: SocketAddr, demo: Option<&Engine>) {
    let mut text = format!("listening on http://{public} (operators: http://{operators})\n");
    if let Some((hall, arena)) = demo.and_then(|engine| HALL.date(engine).zip(ARENA.date(engine))) {
        text += &calls_to_try(public, hall, arena);
    }
    // Nobody reads it: then nobody needs it.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

impl Demo {
    fn id(&self) -> SaleId {
        SaleId::parse(self.sale).expect("the demo's names are ids")
    }

    fn at(&self, now: Timestamp) -> NewSale {
        let (date, opens_at) = self.calendar(now);
        let file = self.file.replace("{date}", &date.to_string());
        let file = file.replace("{opens_at}", &opens_at.to_string());
        let file = SaleFile::from_toml(&file).expect("the demo is checked by a test");
        file.schedule(self.id()).expect("the demo is checked by a test")
    }

    /// The performance's date, and now.
    fn calendar(&self, now: Timestamp) -> (Date, jiff::Timestamp) {
        let now =
            i64::try_from(now.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let now = now.expect("a clock before the year 10000");
        let seoul = TimeZone::get("Asia/Seoul").expect("the time zones are in the program");
        let ahead: Span = self.days_ahead.days();
        (seoul.to_datetime(now).date().saturating_add(ahead), now)
    }

    /// When it is played, as it was first scheduled.
    fn date(&self, engine: &Engine) -> Option<Date> {
        let directory = engine.directory();
        let publication = directory.sale(self.sale)?.publication();
        Some(publication.sale.hall()?.plan().performances.first()?.date)
    }
}

fn calls_to_try(public: SocketAddr, hall: Date, arena: Date) -> String {
    include_str!("demo/calls.txt")
        .replace("{base}", &format!("http://{public}"))
        .replace("{hall}", &hall.to_string())
        .replace("{arena}", &arena.to_string())
}

#[cfg(test)]
mod tests {
    use domain::money::Money;
    use domain::plan::Hall;

    use super::*;

    /// 2026-03-01 at 23:30 in Seoul, and an hour later.
    const LATE: Timestamp = Timestamp(1_772_375_400_000);
    const LATER: Timestamp = Timestamp(1_772_379_000_000);

    #[test]
    fn the_hall_is_the_use_cases() {
        let NewSale { schedule, default } = HALL.at(LATE);
        assert!(default);
        assert_eq!(schedule.limits.active_limit, 1);
        assert_eq!(schedule.opens_at, LATE);
        let hall = Hall::build(schedule.plan).expect("a plan");
        assert_eq!(hall.seats().len(), 75);
        assert!(hall.seats().iter().all(|seat| seat.price == Money(100)));
        assert_eq!((&*hall.seats()[0].number, &*hall.seats()[74].number), ("A1", "E15"));
    }

    #[test]
    fn the_arena_has_two_performances_of_12_000_seats_in_four_grades() {
        let NewSale { schedule, default } = ARENA.at(LATE);
        assert!(!default);
        assert_eq!(schedule.limits.active_limit, 500);
        let hall = Hall::build(schedule.plan).expect("a plan");
        assert_eq!((hall.seats_of(0).len(), hall.seats_of(1).len()), (12_000, 12_000));
        let [first, second] = hall.plan().performances.as_slice() else { panic!("not two") };
        assert_eq!(first.date, second.date);
        for grade in 0..4 {
            assert!(hall.seats().iter().any(|seat| seat.grade == grade));
        }
        // Seats are drawn apart: no two at one place.
        let seats = first.sections.iter().flat_map(|section| &section.rows);
        let mut places: Vec<_> =
            seats.flat_map(|row| &row.seats).map(|seat| (seat.x, seat.y)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 12_000);
    }

    #[test]
    fn the_days_are_those_of_seoul() {
        let date = |demo: &Demo, now| demo.calendar(now).0.to_string();
        assert_eq!(date(&HALL, LATE), "2026-03-31");
        assert_eq!(date(&HALL, LATER), "2026-04-01");
        assert_eq!(date(&ARENA, LATER), "2026-04-02");
    }

    #[test]
    fn the_calls_to_try_are_complete() {
        let (hall, arena) = (HALL.calendar(LATE).0, ARENA.calendar(LATE).0);
        let calls = calls_to_try("127.0.0.1:4321".parse().expect("an address"), hall, arena);
        assert!(calls.contains("http://127.0.0.1:4321/reservations/2026-03-31"), "{calls}");
        let left = ["{base}", "{hall}", "{arena}"];
        assert!(left.iter().all(|placeholder| !calls.contains(placeholder)), "{calls}");
    }
}
