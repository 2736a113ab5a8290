//! The best seats beside each other, in random halls: those that a model finds that looks at every
//! group there is (`model/best.rs`).

#[path = "model/best.rs"]
mod plain;

use domain::best::{GROUP_MAX, best_seats};
use domain::id::{PerformanceId, SeatIndex};
use domain::money::{Currency, Money};
use domain::plan::{Grade, Hall, Performance, Plan, Row, Seat, Section, WheelchairPlace};
use domain::refusal::Refusal;
use domain::seats::{SeatState, Seats};
use domain::time::Timestamp;
use proptest::prelude::*;

/// A seat, by how it differs from the one before it in the row.
#[derive(Clone, Debug)]
struct NextSeat {
    step: i32,
    other_grade: bool,
    other_state: bool,
}

#[derive(Clone, Debug)]
struct NextRow {
    /// Where it begins, and how far back each seat stands behind the one before it.
    left: i32,
    slant: i32,
    seats: Vec<NextSeat>,
}

/// In a calm row hardly anything changes from seat to seat, so that many stand together.
fn seat(calm: bool) -> impl Strategy<Value = NextSeat> {
    let usual = if calm { 3_000 } else { 30 };
    let step = prop_oneof![
        usual => Just(50),
        2 => Just(75),
        2 => Just(76),
        2 => Just(160),
        1 => Just(0),
        1 => Just(-50),
    ];
    let (grade, state) = if calm { (0.005, 0.02) } else { (0.1, 0.35) };
    (step, prop::bool::weighted(grade), prop::bool::weighted(state))
        .prop_map(|(step, other_grade, other_state)| NextSeat { step, other_grade, other_state })
}

fn row() -> impl Strategy<Value = NextRow> {
    // Some so long that they reach over several words of 64.
    let length = prop_oneof![8 => 1..16_usize, 1 => 60..150_usize];
    let seats = (length, any::<bool>())
        .prop_flat_map(|(length, calm)| prop::collection::vec(seat(calm), length));
    (-700..100_i32, prop_oneof![3 => Just(0), 1 => 1..30_i32], seats)
        .prop_map(|(left, slant, seats)| NextRow { left, slant, seats })
}

/// Sections of rows; a seat that is not free is withheld.
fn sections(rows: &[NextRow]) -> Vec<Section> {
    let (mut grade, mut free) = (0, true);
    let mut section = |(number, rows): (usize, &[NextRow])| {
        let mut row = |(back, row): (usize, &NextRow)| {
            let (mut x, mut y) = (row.left, 100 * i32::try_from(2 * number + back).expect("few"));
            let mut seat = |(n, next): (usize, &NextSeat)| {
                grade = (grade + u16::from(next.other_grade)) % 3;
                free ^= next.other_state;
                (x, y) = (x + next.step, y + row.slant);
                let number = format!("{number}-{back}-{n}").into();
                Seat { number, grade, x, y, pool: (!free).then_some(0) }
            };
            let seats = row.seats.iter().enumerate().map(&mut seat).collect();
            Row { name: "A".into(), seats }
        };
        Section { name: "1F".into(), rows: rows.iter().enumerate().map(&mut row).collect() }
    };
    rows.chunks(2).enumerate().map(&mut section).collect()
}

fn performance(rows: &[NextRow], wheelchair: Option<prop::sample::Index>) -> Performance {
    // Two grades of one name, and one of another.
    let grade = |name: &str, price| Grade { name: name.into(), price: Money(price) };
    let sections = sections(rows);
    let seats = || sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.seats);
    let place = wheelchair.map(|index| index.index(seats().count()));
    let marked: Vec<_> = place.map_or(Vec::new(), |at| seats().skip(at).take(2).collect());
    let wheelchair_places = marked.split_first().map(|(place, companions)| WheelchairPlace {
        place: place.number.clone(),
        companions: companions.iter().map(|seat| seat.number.clone()).collect(),
    });
    Performance {
        id: PerformanceId::parse("one").expect("a name"),
        title: "tour".into(),
        venue: "hall".into(),
        date: jiff::civil::date(2026, 5, 1),
        starts_at: Timestamp(0),
        grades: vec![grade("R", 100), grade("S", 50), grade("R", 70)],
        wheelchair_places: wheelchair_places.into_iter().collect(),
        sections,
    }
}

/// Wherever they stand in a row of several words, also where one word or one look ends.
#[test]
fn the_only_seats_of_a_long_row_are_found() {
    for (length, count) in [(200, 1), (200, 2), (200, 3), (130, GROUP_MAX - 1), (130, GROUP_MAX)] {
        for start in 0..=length - count {
            let free = start..start + count;
            let changes = |at: u32| at == start || at == start + count;
            let seat = |at| NextSeat { step: 50, other_grade: false, other_state: changes(at) };
            // The first seat is free unless it changes: begin as if the one before it was withheld.
            let mut seats: Vec<_> = (0..length).map(seat).collect();
            seats[0].other_state = start != 0;
            let row = NextRow { left: -700, slant: 0, seats };
            let asked = performance(&[row], None);
            let plan = Plan {
                currency: Currency::KRW,
                time_zone: "Asia/Seoul".into(),
                pools: vec!["press".into()],
                performances: vec![asked],
            };
            let hall = Hall::build(plan).expect("a hall");
            let seats = Seats::of(&hall);
            let best = best_seats(&hall, &seats, 0, count, None);
            assert_eq!(best, Ok(free.map(SeatIndex).collect()), "{count} seats from {start} on");
            if count < GROUP_MAX {
                let one_more = best_seats(&hall, &seats, 0, count + 1, None);
                let told =
                    Refusal::NoAdjacentSeats { available_count: count, largest_adjacent: count };
                assert_eq!(one_more, Err(told), "{count} seats from {start} on");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_best_seats_are_those_of_the_model(
        rows in prop::collection::vec(row(), 1..8),
        wheelchair in prop::option::of(any::<prop::sample::Index>()),
        count in prop_oneof![8 => 1..5_u32, 1 => 5..20_u32, 1 => 20..=GROUP_MAX],
        grade in prop_oneof![3 => Just(None), 2 => Just(Some("R")), 2 => Just(Some("S")), 1 => Just(Some("X"))],
    ) {
        // Another evening stands before it, so that no seat's number is its place in the hall.
        let asked = performance(&rows, wheelchair);
        let before = Performance { id: PerformanceId::parse("zero").expect("a name"), ..asked.clone() };
        let plan = Plan {
            currency: Currency::KRW,
            time_zone: "Asia/Seoul".into(),
            pools: vec!["press".into()],
            performances: vec![before, asked.clone()],
        };
        let hall = Hall::build(plan).expect("a hall");
        let seats = Seats::of(&hall);
        let first = SeatIndex(hall.seats_of(1).start).at();
        let free = |seat: usize| seats.state(SeatIndex::after(first + seat)) == SeatState::Free;
        let expected = plain::best(&asked, count as usize, grade, free);
        let expected =
            expected.map(|best| best.into_iter().map(|seat| SeatIndex::after(first + seat)).collect());
        prop_assert_eq!(best_seats(&hall, &seats, 1, count, grade), expected);
    }
}
