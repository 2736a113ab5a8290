//! What others read of a sale and no rule reads itself.

use domain::command::Schedule;
use domain::id::{
    EntryIndex, Name, Nonce, PerformanceId, ReservationId, ReservationIndex, SaleId, SeatIndex,
    VisitIndex,
};
use domain::limits::Limits;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Hall, Performance, Plan, PlanError, Row, Seat, Section};
use domain::seats::PAGE_SEATS;
use domain::time::{Second, Timestamp};
use domain::{Event, Sale};

fn performance(id: &str, seats: usize, price: Money) -> Performance {
    let seat = |number: usize| Seat {
        number: Name::from(format!("A{number}")),
        grade: 0,
        x: 0,
        y: 0,
        pool: None,
    };
    Performance {
        id: PerformanceId::parse(id).expect("an id"),
        title: "봄".into(),
        venue: "홀".into(),
        date: jiff::civil::date(2099, 5, 1),
        starts_at: Timestamp(4_000_000_000_000),
        grades: vec![Grade { name: "R".into(), price }],
        sections: vec![Section {
            name: "1F".into(),
            rows: vec![Row { name: "A".into(), seats: (1..=seats).map(seat).collect() }],
        }],
        wheelchair_places: Vec::new(),
    }
}

fn plan(seats: usize, price: Money) -> Plan {
    Plan {
        currency: Currency::parse("KRW").expect("a currency"),
        time_zone: "Asia/Seoul".into(),
        pools: Vec::new(),
        performances: vec![performance("one", seats, price), performance("two", 1, price)],
    }
}

fn scheduled(seats: usize) -> Sale {
    let mut sale = Sale::default();
    sale.evolve(&Event::Scheduled(Box::new(Schedule {
        sale: SaleId::parse("spring").expect("an id"),
        plan: plan(seats, Money(100)),
        limits: Limits::default(),
        opens_at: Timestamp(1_000),
        closes_at: Some(Timestamp(9_000)),
        file: None,
    })));
    sale
}

#[test]
fn a_sale_says_when_it_opens_and_closes() {
    let sale = scheduled(1);
    assert_eq!((sale.opens_at(), sale.closes_at()), (Timestamp(1_000), Some(Timestamp(9_000))));
}

#[test]
fn a_performance_has_its_place_in_the_plan() {
    let sale = scheduled(1);
    let hall = sale.hall().expect("a hall");
    let number = |id: &str| hall.performance(&PerformanceId::parse(id).expect("an id"));
    assert_eq!(["one", "two", "three"].map(number), [Some(0), Some(1), None]);
}

#[test]
fn among_many_seats_each_is_found_and_no_other() {
    let hall = Hall::build(plan(5_000, Money(100))).expect("a hall");
    for number in 1..=5_000 {
        let found = hall.find(0, &format!("A{number}"));
        assert_eq!(found, Some(SeatIndex(number - 1)));
    }
    for number in 5_001..=10_000 {
        assert_eq!(hall.find(0, &format!("A{number}")), None);
    }
}

#[test]
fn the_highest_price_is_a_price() {
    assert!(Hall::build(plan(1, Money::PRICE_MAX)).is_ok());
    let too_high = Money(Money::PRICE_MAX.0 + 1);
    assert_eq!(Hall::build(plan(1, too_high)).unwrap_err(), PlanError::Price("R".into()));
}

#[test]
fn a_sale_can_be_joined_while_it_is_on_and_something_is_left() {
    let mut sale = scheduled(1);
    assert!(!sale.joinable());
    sale.evolve(&Event::Opened);
    assert!(sale.joinable());
    sale.evolve(&Event::Paused);
    assert!(sale.joinable());
    sale.evolve(&Event::Closed { at: Second(10) });
    assert!(!sale.joinable());
}

#[test]
fn a_sale_that_is_nothing_yet_is_read_as_it_was_written() {
    let bytes = minicbor::to_vec(Sale::default()).expect("it is written");
    let read: Sale = minicbor::decode(&bytes).expect("it is read");
    assert!(read.id().is_none());
    let bytes = minicbor::to_vec(scheduled(3)).expect("it is written");
    let read: Sale = minicbor::decode(&bytes).expect("it is read");
    assert_eq!(read.seats().counts(), scheduled(3).seats().counts());
}

#[test]
fn only_the_page_of_a_changed_seat_is_another() {
    let mut sale = scheduled(3 * PAGE_SEATS);
    let before = sale.clone();
    let page = |number: usize| SeatIndex(u32::try_from(number * PAGE_SEATS).expect("a seat"));
    let changed = SeatIndex(page(1).0 + 1);
    let same = |sale: &Sale| {
        [page(0), changed, page(2)].map(|seat| sale.seats().same_page(before.seats(), seat))
    };
    assert_eq!(same(&sale), [true, true, true]);
    sale.evolve(&Event::Opened);
    sale.evolve(&Event::Joined { nonce: Nonce(7), at: Second(10), keys: None });
    sale.evolve(&Event::Admitted {
        entry: EntryIndex(0),
        arrive_until: Second(50),
        choose_until: Second(100),
    });
    sale.evolve(&Event::SeatsHeld {
        visit: VisitIndex(0),
        reservation: ReservationId(1),
        seats: vec![changed],
        until: Second(100),
        hard_end: Second(200),
        key: None,
    });
    assert_eq!(same(&sale), [true, false, true]);
    let view = sale.reservation_view(ReservationIndex(0)).expect("a view");
    assert_eq!(view.reservation.id, ReservationId(1));
    assert!(view.reservation.seats().eq([changed]));
    assert!(sale.reservation_view(ReservationIndex(1)).is_none());
    let beyond = SeatIndex(page(3).0 + u32::try_from(PAGE_SEATS).expect("a page"));
    assert!(!sale.seats().same_page(before.seats(), beyond));
}
