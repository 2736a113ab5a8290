//! Random steps: what somebody may do next, said so that most of it makes sense in most states.
//!
//! A step names buyers, seats and payments by a number that picks among those for whom the deed
//! makes sense now, and now and then among all, or one that does not exist.
//!
//! One idea: from random numbers to a command, once for every kind of command.

use domain::Command;
use domain::command::{Key, PaymentOutcome, Schedule, Wish};
use domain::id::{
    EntryIndex, FileHash, HolderKey, KeyHash, Nonce, PaymentId, PerformanceId, Place,
    ReservationId, SaleId, SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Grade, Performance, Plan, Row, Seat, Section, WheelchairPlace};
use domain::seats::SeatState;
use domain::time::Timestamp;
use proptest::prelude::*;

use crate::model::{Charge, ChargeState, Model};

/// A sale to play with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Seats of one performance or two, each withheld for a pool or not.
    seats: Vec<Vec<Option<u16>>>,
    limits: Limits,
    opens_after_s: u64,
    open_for_s: Option<u64>,
    /// Milliseconds past a whole second at which all begins.
    past_second_ms: u64,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) wait: Wait,
    pub(crate) deed: Deed,
    /// One of the copies is written down and read again.
    pub(crate) restart: bool,
}

/// How long nobody does anything before.
#[derive(Clone, Debug)]
pub(crate) enum Wait {
    Ms(u64),
    /// Until something is due, or so many milliseconds before or after that.
    UntilDue(i64),
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Join {
        key: Option<u128>,
        holder: Option<u128>,
    },
    Seen {
        who: u32,
    },
    Leave {
        who: Who,
    },
    Hold {
        who: Who,
        seats: Vec<u8>,
        performance: Option<u16>,
        expected: Expected,
        key: Option<(u128, u64)>,
    },
    HoldBest {
        who: Who,
        count: u32,
        grade: Option<&'static str>,
        performance: u16,
        expected: Expected,
        key: Option<(u128, u64)>,
    },
    GiveBack {
        who: Who,
        which: Which,
    },
    Pay {
        who: Who,
        which: Which,
        expected: Expected,
        key: Option<(u128, u64)>,
    },
    Settle {
        which: u8,
        any: bool,
        outcome: PaymentOutcome,
    },
    Refund {
        which: u8,
        any: bool,
    },
    Tick,
    Outage {
        seconds: u64,
        since_ms: u64,
    },
    OutageAgain,
    Open,
    Pause,
    Unpause,
    Close,
    Change(Limits),
    Withhold {
        seats: Vec<u8>,
        pool: u16,
    },
    Release {
        seats: Vec<u8>,
    },
    Describe {
        what: u8,
        in_file: bool,
    },
    ScheduleAgain {
        changed: bool,
    },
}

/// Which buyer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    number: u8,
    /// One of all, and not one for whom the deed makes sense.
    any: bool,
    wrong_token: bool,
}

/// Which reservation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Newest,
    Any(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Unsaid,
    Right,
    Wrong,
}

// ---- Strategies ----

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let seat = prop_oneof![4 => Just(None), 1 => (0..2_u16).prop_map(Some)];
    (
        prop::collection::vec(prop::collection::vec(seat, 1..8), 1..3),
        limits(),
        prop_oneof![4 => Just(0), 1 => 1..40_u64],
        prop_oneof![4 => Just(None), 1 => (1..2_000_u64).prop_map(Some)],
        0..1_000_u64,
    )
        .prop_map(|(seats, limits, opens_after_s, open_for_s, past_second_ms)| Setup {
            seats,
            limits,
            opens_after_s,
            open_for_s,
            past_second_ms,
        })
}

/// Now and then so short that everything ends at once, else so that something can come of it.
fn limits() -> impl Strategy<Value = Limits> {
    fn seconds(longest: u32) -> impl Strategy<Value = u32> {
        prop_oneof![1 => 2..10_u32, 4 => longest / 4..longest]
    }
    let counts = (1..8_u32, 1..5_u32, prop_oneof![1 => Just(1), 4 => 2..5_u32]);
    let times = (seconds(120), seconds(60), seconds(600), seconds(120), seconds(200), seconds(200));
    (counts, times).prop_map(|((line, active, seats), times)| {
        let (hold, payment, place, arrive, choose, presence) = times;
        Limits {
            line_capacity: line,
            active_limit: active,
            seats_per_reservation: seats,
            hold_ttl: hold,
            payment_deadline: payment,
            place_ttl: place,
            arrive_ttl: arrive,
            choose_ttl: choose,
            presence_window: presence,
        }
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (wait(), deed(), prop::bool::weighted(0.1)).prop_map(|(wait, deed, restart)| Step {
        wait,
        deed,
        restart,
    });
    prop::collection::vec(step, 1..150)
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        30 => Just(Wait::Ms(0)),
        20 => (1..1_000_u64).prop_map(Wait::Ms),
        10 => (1_000..10_000_u64).prop_map(Wait::Ms),
        1 => (10_000..600_000_u64).prop_map(Wait::Ms),
        8 => (-1..2_i64).prop_map(Wait::UntilDue),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    (any::<u8>(), prop::bool::weighted(0.1), prop::bool::weighted(0.02))
        .prop_map(|(number, any, wrong_token)| Who { number, any, wrong_token })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![9 => Just(Which::Newest), 1 => any::<u8>().prop_map(Which::Any)]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        5 => Just(Expected::Unsaid),
        5 => Just(Expected::Right),
        1 => Just(Expected::Wrong),
    ]
}

fn key() -> impl Strategy<Value = Option<(u128, u64)>> {
    let body = prop_oneof![9 => Just(0), 1 => Just(1)];
    prop_oneof![
        2 => Just(None),
        1 => (0..3_u128, body).prop_map(Some),
        2 => (3..1_000_u128, Just(0)).prop_map(Some),
    ]
}

fn seats() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => prop::collection::vec(any::<u8>(), 1..3), 1 => prop::collection::vec(any::<u8>(), 0..6)]
}

/// How many seats, of which grade, of which performance.
fn best() -> impl Strategy<Value = (u32, Option<&'static str>, u16)> {
    let count = prop_oneof![10 => 1..4_u32, 1 => 0..6_u32];
    let grade = prop_oneof![
        4 => Just(None),
        3 => Just(Some("R")),
        3 => Just(Some("S")),
        1 => Just(Some("none such")),
    ];
    (count, grade, prop_oneof![10 => Just(0), 3 => Just(1), 1 => Just(9)])
}

fn outcome() -> impl Strategy<Value = PaymentOutcome> {
    prop_oneof![
        3 => Just(PaymentOutcome::Approved),
        3 => any::<bool>().prop_map(|retryable| PaymentOutcome::Declined {
            reason: "no_funds".into(),
            retryable,
        }),
        1 => Just(PaymentOutcome::Unknown),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let keys = (prop::option::of(0..6_u128), prop::option::weighted(0.2, 0..4_u128));
    prop_oneof![
        12 => keys.prop_map(|(key, holder)| Deed::Join { key, holder }),
        10 => any::<u32>().prop_map(|who| Deed::Seen { who }),
        2 => who().prop_map(|who| Deed::Leave { who }),
        14 => (who(), seats(), prop::option::weighted(0.2, 0..3_u16), expected(), key()).prop_map(
            |(who, seats, performance, expected, key)| Deed::Hold {
                who, seats, performance, expected, key,
            }
        ),
        8 => (who(), best(), expected(), key()).prop_map(
            |(who, (count, grade, performance), expected, key)| Deed::HoldBest {
                who, count, grade, performance, expected, key,
            }
        ),
        4 => (who(), which()).prop_map(|(who, which)| Deed::GiveBack { who, which }),
        12 => (who(), which(), expected(), key())
            .prop_map(|(who, which, expected, key)| Deed::Pay { who, which, expected, key }),
        12 => (any::<u8>(), prop::bool::weighted(0.2), outcome())
            .prop_map(|(which, any, outcome)| Deed::Settle { which, any, outcome }),
        3 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(which, any)| Deed::Refund { which, any }),
        6 => Just(Deed::Tick),
        2 => (0..100_u64, 0..4_000_u64)
            .prop_map(|(seconds, since_ms)| Deed::Outage { seconds, since_ms }),
        1 => Just(Deed::OutageAgain),
        1 => Just(Deed::Open),
        1 => Just(Deed::Pause),
        3 => Just(Deed::Unpause),
        1 => prop::bool::weighted(0.2).prop_map(|c| if c { Deed::Close } else { Deed::Tick }),
        1 => (limits(), prop::bool::weighted(0.2)).prop_map(|(limits, wrong)| {
            let place_ttl = if wrong { 1 } else { limits.place_ttl };
            Deed::Change(Limits { place_ttl, ..limits })
        }),
        1 => (seats(), 0..3_u16).prop_map(|(seats, pool)| Deed::Withhold { seats, pool }),
        2 => seats().prop_map(|seats| Deed::Release { seats }),
        1 => any::<bool>().prop_map(|changed| Deed::ScheduleAgain { changed }),
        4 => (0..16_u8, any::<bool>()).prop_map(|(what, in_file)| Deed::Describe { what, in_file }),
    ]
}

// ---- From a step to a command ----

/// The sale as it is, but for one thing.
fn described(model: &Model, what: u8, in_file: bool) -> Schedule {
    let mut schedule = model.schedule.clone();
    schedule.limits = model.limits;
    schedule.file = in_file.then_some(FileHash([what; 32]));
    let plan = &mut schedule.plan;
    let last = plan.performances.len() - 1;
    match what {
        0 => schedule.limits.active_limit += 1,
        1 => plan.performances[last].title = "encore".into(),
        2 => plan.performances[0].grades[0].price.0 += 1,
        3 => plan.performances[0].grades[1].price.0 += 1,
        4 => schedule.opens_at = schedule.opens_at.plus(1_000),
        5 => schedule.closes_at = Some(schedule.opens_at.plus(7_200_000)),
        6 => {
            let seats = &mut plan.performances[last].sections[0].rows[0].seats;
            if seats.len() > 1 {
                seats.pop();
                plan.performances[last].wheelchair_places.clear();
            }
        }
        7 => {
            let mut another = plan.performances[0].clone();
            another.id = PerformanceId::parse(&format!("evening-{}", last + 1)).expect("a name");
            if last < 3 {
                plan.performances.push(another);
            }
        }
        8 => plan.performances[0].sections[0].rows[0].seats[0].pool = Some(1),
        9 => plan.performances[0].sections[0].rows[0].seats[0].pool = None,
        10 if plan.pools.len() < 4 => plan.pools.push("late".into()),
        10 | 11 => {
            // The pools change their places, and so does what the plan says of them.
            plan.pools.swap(0, 1);
        }
        12 => plan.time_zone = "Asia/Tokyo".into(),
        13 => plan.currency = Currency::parse("JPY").expect("a code"),
        14 => plan.performances.reverse(),
        _ => schedule.closes_at = Some(schedule.opens_at),
    }
    schedule
}

impl Setup {
    /// The last seat of a larger performance is for a wheelchair, the one before it for whoever
    /// comes along.
    fn wheelchair_places(&self, seats: usize) -> Vec<WheelchairPlace> {
        let place = |last: usize| WheelchairPlace {
            place: format!("A{last}").into(),
            companions: vec![format!("A{}", last - 1).into()],
        };
        (seats > 3).then(|| place(seats - 1)).into_iter().collect()
    }

    pub(crate) fn start(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.past_second_ms)
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let performance = |(number, pools): (usize, &Vec<Option<u16>>)| Performance {
            id: PerformanceId::parse(&format!("evening-{number}")).expect("a name"),
            title: "tour".into(),
            venue: "hall".into(),
            date: jiff::civil::date(2026, 5, 1),
            starts_at: Timestamp(0),
            grades: vec![
                Grade { name: "R".into(), price: Money(100 + number as u64) },
                Grade { name: "S".into(), price: Money(7) },
            ],
            sections: vec![Section {
                name: "1F".into(),
                rows: vec![Row {
                    name: "A".into(),
                    seats: (0..)
                        .zip(pools)
                        .map(|(n, pool)| Seat {
                            number: format!("A{n}").into(),
                            grade: n / 3 % 2,
                            // With an aisle before the sixth.
                            x: i32::from(n) * 50 + if n < 5 { -175 } else { -75 },
                            y: 100,
                            pool: *pool,
                        })
                        .collect(),
                }],
            }],
            wheelchair_places: self.wheelchair_places(pools.len()),
        };
        let opens_at = self.start().plus(self.opens_after_s * 1000);
        Schedule {
            sale: SaleId::parse("tour").expect("a name"),
            plan: Plan {
                currency: Currency::KRW,
                time_zone: "Asia/Seoul".into(),
                pools: vec!["press".into(), "guests".into()],
                performances: self.seats.iter().enumerate().map(performance).collect(),
            },
            limits: self.limits,
            opens_at,
            closes_at: self.open_for_s.map(|seconds| opens_at.plus(seconds * 1000)),
            file: None,
        }
    }
}

impl Wait {
    pub(crate) fn until(&self, now: Timestamp, due: Option<Timestamp>) -> Timestamp {
        match (self, due) {
            (Self::Ms(ms), _) => now.plus(*ms),
            (Self::UntilDue(off), Some(due)) => {
                Timestamp(due.0.saturating_add_signed(*off)).max(now)
            }
            (Self::UntilDue(_), None) => now,
        }
    }
}

/// Gives out what is random at the edge: ids and nonces.
#[derive(Default)]
pub(crate) struct Stepper {
    given: u32,
    last_silence: Option<Timestamp>,
}

impl Stepper {
    fn next(&mut self) -> u32 {
        self.given += 1;
        self.given
    }

    /// The command of a deed. An outage lets time pass.
    pub(crate) fn command(&mut self, deed: &Deed, model: &Model, now: &mut Timestamp) -> Command {
        match deed {
            Deed::Join { key, holder } => Command::Join {
                nonce: Nonce(self.next()),
                keys: JoinKeys { key: key.map(KeyHash), holder: holder.map(HolderKey) },
            },
            Deed::Seen { who } => Command::Seen {
                // One more than there are, now and then.
                entries: (0..=model.buyers.len().min(31))
                    .filter(|entry| who >> entry & 1 == 1)
                    .map(EntryIndex::after)
                    .collect(),
            },
            Deed::Leave { who } => {
                Command::Leave { place: place(*who, model, |buyer| model.is_alive(buyer)).1 }
            }
            Deed::Hold { who, .. } if !who.any && model.choosing().next().is_none() => {
                self.command(&Deed::Join { key: None, holder: None }, model, now)
            }
            Deed::Hold { who, seats, performance, expected, key } => {
                let (_, place) = place(*who, model, |buyer| model.choosing().any(|b| b == buyer));
                let seats = picked(seats, model, |state| state == SeatState::Free);
                Command::Hold {
                    place,
                    expected: said(*expected, price(&seats, model)),
                    wish: Wish::Seats { performance: *performance, seats },
                    reservation: ReservationId(self.next().into()),
                    key: key.map(of_request),
                }
            }
            Deed::HoldBest { who, .. } if !who.any && model.choosing().next().is_none() => {
                self.command(&Deed::Join { key: None, holder: None }, model, now)
            }
            Deed::HoldBest { who, count, grade, performance, expected, key } => {
                let (_, place) = place(*who, model, |buyer| model.choosing().any(|b| b == buyer));
                let plan = model.schedule.plan.performances.get(usize::from(*performance));
                let of_grade = plan.and_then(|plan| {
                    plan.grades.iter().find(|of| grade.is_none_or(|name| *of.name == *name))
                });
                let price = of_grade.map_or(1, |grade| grade.price.0);
                Command::Hold {
                    place,
                    wish: Wish::Best {
                        performance: *performance,
                        count: *count,
                        grade: grade.map(Into::into),
                    },
                    expected: said(*expected, Money(price * u64::from(*count))),
                    reservation: ReservationId(self.next().into()),
                    key: key.map(of_request),
                }
            }
            Deed::GiveBack { who, which } => {
                let (buyer, place) = place(*who, model, |buyer| model.has_seats(buyer));
                Command::GiveBack { place, reservation: reservation(buyer, *which, model).0 }
            }
            Deed::Pay { who, expected, key, .. }
                if !who.any && !model.inside().any(|buyer| model.has_seats(buyer)) =>
            {
                let hold = Deed::Hold {
                    who: *who,
                    seats: vec![who.number | 1],
                    performance: None,
                    expected: *expected,
                    key: *key,
                };
                self.command(&hold, model, now)
            }
            Deed::Pay { who, which, expected, key } => {
                let (buyer, place) = place(*who, model, |buyer| model.has_seats(buyer));
                let (reservation, amount) = reservation(buyer, *which, model);
                Command::BeginPayment {
                    place,
                    reservation,
                    payment: PaymentId(self.next().into()),
                    expected: said(*expected, amount),
                    key: key.map(of_request),
                }
            }
            Deed::Settle { which, any: false, .. } if !model.payments.iter().any(is_open) => {
                let pay = Deed::Pay {
                    who: Who { number: *which, any: false, wrong_token: false },
                    which: Which::Newest,
                    expected: Expected::Unsaid,
                    key: None,
                };
                self.command(&pay, model, now)
            }
            Deed::Settle { which, any, outcome } => {
                let payment = payment(*which, *any, model, is_open);
                Command::SettlePayment { payment, outcome: outcome.clone() }
            }
            Deed::Refund { which, any } => {
                let due = |payment: &Charge| payment.state == ChargeState::RefundDue;
                Command::SettleRefund { payment: payment(*which, *any, model, due) }
            }
            Deed::Tick => Command::Tick,
            Deed::Outage { seconds, since_ms } => {
                let silent_since = Timestamp(now.0 - since_ms);
                *now = now.plus(seconds * 1000);
                self.last_silence = Some(silent_since);
                Command::Resume { silent_since }
            }
            Deed::OutageAgain => {
                Command::Resume { silent_since: self.last_silence.unwrap_or(*now) }
            }
            Deed::Open => Command::Open,
            Deed::Pause => Command::Pause,
            Deed::Unpause => Command::Unpause,
            Deed::Close => Command::Close,
            Deed::Change(limits) => Command::ChangeLimits(*limits),
            Deed::Withhold { seats, pool } => Command::Withhold {
                seats: picked(seats, model, |state| state == SeatState::Free),
                pool: *pool,
            },
            Deed::Release { seats } => Command::Release {
                seats: picked(seats, model, |state| matches!(state, SeatState::Withheld(_))),
            },
            Deed::Describe { what, in_file } => {
                Command::Change(Box::new(described(model, *what, *in_file)))
            }
            Deed::ScheduleAgain { changed } => {
                let mut schedule = model.schedule.clone();
                if *changed {
                    schedule.opens_at = schedule.opens_at.plus(1);
                }
                Command::Schedule(Box::new(schedule))
            }
        }
    }
}

fn of_request((key, body): (u128, u64)) -> Key {
    Key { hash: KeyHash(key), body }
}

/// The `number`-th of those that suit; of all when none does or when `any` is asked for, and then
/// also one past the end.
fn pick(number: u8, any: bool, all: usize, suits: impl Fn(usize) -> bool) -> usize {
    let suiting: Vec<_> = (0..all).filter(|index| suits(*index)).collect();
    if any || suiting.is_empty() {
        usize::from(number) % (all + 1)
    } else {
        suiting[usize::from(number) % suiting.len()]
    }
}

fn is_open(payment: &Charge) -> bool {
    matches!(payment.state, ChargeState::Running(_) | ChargeState::Unknown)
}

fn place(who: Who, model: &Model, suits: impl Fn(usize) -> bool) -> (usize, Place) {
    let buyer = pick(who.number, who.any, model.buyers.len(), suits);
    let nonce = model.buyers.get(buyer).map_or(0, |buyer| buyer.nonce.0);
    let nonce = Nonce(if who.wrong_token { nonce ^ 0x8000_0000 } else { nonce });
    (buyer, Place { entry: EntryIndex::after(buyer), nonce })
}

fn reservation(buyer: usize, which: Which, model: &Model) -> (ReservationId, Money) {
    let booking = match which {
        Which::Newest => model.buyers.get(buyer).and_then(|buyer| buyer.bookings.last().copied()),
        Which::Any(number) => Some(usize::from(number) % (model.bookings.len() + 1)),
    };
    let booking = booking.and_then(|booking| model.bookings.get(booking));
    booking.map_or((ReservationId(u64::MAX), Money(1)), |booking| {
        (booking.id, model.amount(&booking.seats))
    })
}

fn payment(number: u8, any: bool, model: &Model, suits: impl Fn(&Charge) -> bool) -> PaymentId {
    let payment = pick(number, any, model.payments.len(), |n| suits(&model.payments[n]));
    model.payments.get(payment).map_or(PaymentId(u128::MAX), |payment| payment.id)
}

/// Seats that suit, one after another; now and then any, twice the same, or one past the end.
fn picked(numbers: &[u8], model: &Model, suits: impl Fn(SeatState) -> bool) -> Vec<SeatIndex> {
    let mut seats: Vec<usize> = Vec::new();
    for number in numbers {
        let any = number % 16 == 0;
        let next = |seat: usize| suits(model.seats[seat].state) && !seats.contains(&seat);
        let seat = pick(number / 16, any, model.seats.len(), next);
        seats.push(seat);
    }
    seats.into_iter().map(SeatIndex::after).collect()
}

fn price(seats: &[SeatIndex], model: &Model) -> Money {
    let known = seats.iter().map(|seat| seat.at()).filter(|seat| *seat < model.seats.len());
    model.amount(&known.collect::<Vec<_>>())
}

fn said(expected: Expected, amount: Money) -> Option<Money> {
    match expected {
        Expected::Unsaid => None,
        Expected::Right => Some(amount),
        Expected::Wrong => Some(Money(amount.0 + 1)),
    }
}
