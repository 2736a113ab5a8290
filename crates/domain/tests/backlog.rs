//! More is due than one command may bring: it comes in slices, in order, and nobody gains by it.

use domain::command::{Schedule, Wish};
use domain::event::Event;
use domain::id::{
    EntryIndex, Nonce, PaymentId, PerformanceId, Place, ReservationId, SaleId, SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section};
use domain::sale::DUE_MAX;
use domain::time::Timestamp;
use domain::{Command, Refusal, Sale};

const START: Timestamp = Timestamp(1_700_000_000_000);
/// Two slices and a part of a third.
const MANY: usize = 2 * DUE_MAX + 100;

/// An open sale with `MANY` seats, and nobody in it.
fn sale(limits: Limits) -> Sale {
    let seat = |n: usize| Seat { number: n.to_string().into(), grade: 0, x: 0, y: 0, pool: None };
    let row = Row { name: "A".into(), seats: (0..MANY).map(seat).collect() };
    let plan = Plan {
        currency: Currency::KRW,
        time_zone: "Asia/Seoul".into(),
        pools: Vec::new(),
        performances: vec![Performance {
            id: PerformanceId::parse("one").expect("a name"),
            title: "tour".into(),
            venue: "hall".into(),
            date: jiff::civil::date(2026, 5, 1),
            starts_at: START,
            grades: vec![Grade { name: "R".into(), price: Money(100) }],
            sections: vec![Section { name: "1F".into(), rows: vec![row] }],
            wheelchair_places: Vec::new(),
        }],
    };
    let name = SaleId::parse("tour").expect("a name");
    let schedule =
        Schedule { sale: name, plan, limits, opens_at: START, closes_at: None, file: None };
    let mut sale = Sale::default();
    act(&mut sale, &Command::Schedule(Box::new(schedule)), START);
    sale
}

fn everybody_at_once() -> Limits {
    Limits { active_limit: 1_000_000, ..Limits::default() }
}

fn place(entry: usize) -> Place {
    Place { entry: EntryIndex::after(entry), nonce: Nonce(EntryIndex::after(entry).0) }
}

fn join_many(sale: &mut Sale) {
    for entry in 0..MANY {
        let join = Command::Join { nonce: place(entry).nonce, keys: JoinKeys::default() };
        act(sale, &join, START);
    }
}

fn hold(entry: usize, seat: usize) -> Command {
    Command::Hold {
        place: place(entry),
        wish: Wish::Seats { performance: None, seats: vec![SeatIndex::after(seat)] },
        expected: None,
        reservation: ReservationId(entry as u64),
        key: None,
    }
}

/// Executes a command that is not refused.
fn act(sale: &mut Sale, command: &Command, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    sale.execute(command, now, &mut events).expect("no refusal");
    events
}

fn tick(sale: &mut Sale, now: Timestamp) -> Vec<Event> {
    act(sale, &Command::Tick, now)
}

fn restored(sale: &Sale) -> Sale {
    minicbor::decode(&minicbor::to_vec(sale).expect("writing to memory")).expect("a snapshot")
}

#[test]
fn what_is_due_at_once_comes_in_slices_and_in_order() {
    let mut sale = sale(everybody_at_once());
    join_many(&mut sale);
    assert_eq!(sale.active() as usize, MANY);
    let arrive_until = START.plus(120_000);
    assert_eq!(sale.next_deadline(), Some(arrive_until));

    let mut missed = Vec::new();
    for slice in [DUE_MAX, DUE_MAX, 100] {
        assert!(sale.next_deadline().unwrap() <= arrive_until, "there is more");
        let mut after_a_restart = restored(&sale);
        let events = tick(&mut sale, arrive_until);
        assert_eq!(tick(&mut after_a_restart, arrive_until), events);
        assert_eq!(events.len(), slice);
        sale.check().unwrap();
        for event in events {
            let Event::TurnMissed { visit, .. } = event else { panic!("{event:?}") };
            missed.push(visit.at());
        }
    }
    assert!(missed.into_iter().eq(0..MANY), "in the order of their admission");
    assert_eq!(tick(&mut sale, arrive_until), []);
    assert!(sale.next_deadline().unwrap() > arrive_until);
}

#[test]
fn admissions_that_are_left_over_are_announced_even_after_a_restart() {
    let mut sale = sale(everybody_at_once());
    act(&mut sale, &Command::Pause, START);
    join_many(&mut sale);
    assert_eq!(act(&mut sale, &Command::Unpause, START).len(), 1 + DUE_MAX);
    for slice in [DUE_MAX, 100] {
        sale = restored(&sale);
        assert!(sale.next_deadline().unwrap() <= START, "there is more");
        assert_eq!(tick(&mut sale, START).len(), slice);
    }
    assert_eq!(sale.active() as usize, MANY);
    assert!(sale.next_deadline().unwrap() > START);
}

#[test]
fn nobody_gains_by_a_backlog() {
    let mut sale = sale(everybody_at_once());
    join_many(&mut sale);
    for entry in 0..MANY {
        act(&mut sale, &hold(entry, entry), START);
    }
    // All holds end at once. The first command brings one slice of that; the last buyers' holds
    // are over all the same.
    let now = START.plus(300_000);
    let last = MANY - 1;
    let pay = Command::BeginPayment {
        place: place(last),
        reservation: ReservationId(last as u64),
        payment: PaymentId(1),
        expected: None,
        key: None,
    };
    let mut events = Vec::new();
    assert_eq!(sale.execute(&pay, now, &mut events), Err(Refusal::ReservationExpired));
    assert_eq!(events.len(), DUE_MAX);
    let give_back =
        Command::GiveBack { place: place(last), reservation: ReservationId(last as u64) };
    assert_eq!(sale.execute(&give_back, now, &mut events), Err(Refusal::ReservationExpired));
    sale.check().unwrap();
    assert_eq!(tick(&mut sale, now).len(), 100);
    assert_eq!(sale.active(), 0);
    assert_eq!(sale.seats().counts().free as usize, MANY);
}

/// Two holds of one second, the later visitor's made first: a state that was read from a snapshot
/// knows only which second, and ended them in the other order than the one it was taken of.
#[test]
fn what_ends_in_one_second_ends_in_the_same_order_after_a_restart() {
    let mut lived = sale(Limits { active_limit: 2, ..Limits::default() });
    join_many(&mut lived);
    act(&mut lived, &hold(1, 0), START);
    act(&mut lived, &hold(0, 1), START.plus(999));
    let mut after_a_restart = restored(&lived);
    let now = START.plus(300_000);
    let events = tick(&mut lived, now);
    assert_eq!(tick(&mut after_a_restart, now), events);
    let ended = |event: &&Event| matches!(event, Event::HoldExpired { .. });
    assert_eq!(events.iter().filter(ended).count(), 2);
}
