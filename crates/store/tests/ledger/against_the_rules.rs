//! Random histories: after every few commands the tables are compared with the state, and the
//! ledger's writer is stopped and begun again.

use domain::Command;
use domain::command::PaymentOutcome;
use domain::command::Schedule;
use domain::id::{EntryIndex, PaymentIndex, ReservationIndex, SeatIndex, VisitIndex};
use domain::limits::Limits;
use domain::line::EntryState;
use domain::money::Money;
use domain::payment::PaymentState;
use domain::reservation::{EndReason, ReleaseReason, ReservationState, Stage};
use domain::sale::Phase;
use domain::seats::SeatState;
use domain::time::{Second, Timestamp};
use proptest::prelude::*;
use rusqlite::{Connection, Row};
use store::ledger::{Differences, Ledger};

use crate::desk::{Desk, declined};

/// Numbers as proptest draws them, one after another.
struct Dice<'d>(std::slice::Iter<'d, u32>);

impl Dice<'_> {
    fn below(&mut self, limit: usize) -> usize {
        *self.0.next().unwrap_or(&0) as usize % limit.max(1)
    }
}

/// What happens to the ledger in the middle of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interlude {
    /// It is stopped, begun again, and brought up to the end.
    Level,
    /// It is stopped wherever it is, and begun again: what was not written comes with the next one.
    Stopped,
    /// It goes on.
    Piece,
}

/// Few places and short times, so that much comes to an end.
pub(crate) fn narrow() -> Limits {
    Limits {
        active_limit: 6,
        hold_ttl: 40,
        payment_deadline: 30,
        place_ttl: 600,
        arrive_ttl: 60,
        choose_ttl: 60,
        ..Limits::default()
    }
}

/// What comes of some numbers, to the end of a sale: who chooses is sent home, who holds may still pay.
pub(crate) fn history(
    desk: &mut Desk,
    numbers: &[u32],
    mut interlude: impl FnMut(&Desk, Interlude),
) {
    let mut dice = Dice(numbers.iter());
    while dice.0.len() > 8 {
        step(desk, &mut dice);
        if desk.uncommitted() > dice.below(6) {
            desk.commit();
        }
        match dice.below(40) {
            0 => {
                desk.commit();
                interlude(desk, Interlude::Level);
            }
            1..4 => interlude(desk, Interlude::Stopped),
            4..10 => interlude(desk, Interlude::Piece),
            _ => {}
        }
    }
    let _ = desk.ask(&Command::Close);
    let mut last = Dice(numbers[..200].iter());
    while last.0.len() > 8 {
        step(desk, &mut last);
    }
    desk.commit();
    interlude(desk, Interlude::Level);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_say_what_the_state_says(
        numbers in prop::collection::vec(0..1_000_000_u32, 400..1600)
    ) {
        let mut desk = Desk::open(narrow());
        let mut ledger = desk.ledger();
        history(&mut desk, &numbers, |desk, interlude| match interlude {
            Interlude::Level => {
                ledger = desk.ledger();
                compare(desk);
            }
            Interlude::Stopped => {
                ledger = Ledger::open(&desk.location(), &*desk.journal).unwrap();
            }
            Interlude::Piece => drop(ledger.catch_up(&*desk.journal).unwrap()),
        });
        drop(ledger);
        let before = dump(&desk.tables());
        Ledger::rebuild(&desk.location(), &*desk.journal).unwrap();
        prop_assert_eq!(before, dump(&desk.tables()), "a rebuilt one is the same");
    }
}

/// One thing that somebody does, likely one that makes sense.
fn step(desk: &mut Desk, dice: &mut Dice<'_>) {
    desk.wait(dice.below(4_000) as u64);
    let visits = (0..).map(VisitIndex).map_while(|index| desk.sale.visit(index));
    let visiting: Vec<(EntryIndex, Stage)> =
        visits.map(|visit| (visit.entry, visit.stage)).collect();
    let choosing: Vec<EntryIndex> =
        visiting.iter().filter(|(_, stage)| *stage == Stage::Choosing).map(|(e, _)| *e).collect();
    let unpaid: Vec<_> = (desk.sale.reservations())
        .filter(|reservation| matches!(reservation.state, ReservationState::Held(_)))
        .map(|reservation| (reservation.id, reservation.visit))
        .collect();
    let payments: Vec<_> =
        (0..).map(PaymentIndex).map_while(|i| desk.sale.payment(i)).map(|p| p.id).collect();
    let joined = desk.sale.line().joined();
    // A refusal changes nothing, and is as good a step as any.
    match dice.below(24) {
        0..5 => {
            let nonce = domain::id::Nonce(u32::try_from(desk.next_id()).unwrap());
            let _ = desk.ask(&Command::Join { nonce, keys: Default::default() });
        }
        5..11 if !choosing.is_empty() => {
            let place = desk.place(choosing[dice.below(choosing.len())]);
            let first = u32::try_from(dice.below(32)).unwrap();
            let seats: Vec<u32> =
                (first..32.min(first + 1 + u32::try_from(dice.below(3)).unwrap())).collect();
            let _ = desk.hold(place, &seats);
        }
        11..15 if !unpaid.is_empty() => {
            let (reservation, visit) = unpaid[dice.below(unpaid.len())];
            let place = desk.place(desk.sale.visit(visit).unwrap().entry);
            let _ = match dice.below(5) {
                0 => desk.ask(&Command::GiveBack { place, reservation }).map(drop),
                1 => desk.ask(&Command::Leave { place }).map(drop),
                _ => desk.pay(place, reservation).map(drop),
            };
        }
        15..19 if !payments.is_empty() => {
            let recent = dice.below(payments.len().min(6));
            let payment = payments[payments.len() - 1 - recent];
            match dice.below(6) {
                0 => desk.settle(payment, PaymentOutcome::Unknown),
                1 | 2 => desk.settle(payment, declined()),
                3 => drop(desk.ask(&Command::SettleRefund { payment })),
                _ => desk.settle(payment, PaymentOutcome::Approved),
            }
        }
        19 if joined > 0 => {
            let place = desk.place(EntryIndex(u32::try_from(dice.below(joined)).unwrap()));
            let _ = desk.ask(&Command::Leave { place });
        }
        20 => {
            let seats = vec![SeatIndex(u32::try_from(dice.below(32)).unwrap())];
            let pool = u16::try_from(dice.below(2)).unwrap();
            let _ = match dice.below(2) {
                0 => desk.ask(&Command::Withhold { seats, pool }),
                _ => desk.ask(&Command::Release { seats }),
            };
        }
        21 => {
            // Who is there: else all miss their turns.
            let entries = (0..u32::try_from(joined).unwrap()).map(EntryIndex).collect();
            let _ = desk.ask(&Command::Seen { entries });
        }
        22 => match dice.below(12) {
            0 => drop(desk.ask(&Command::Pause)),
            1..4 => drop(desk.ask(&Command::Unpause)),
            4 => {
                let mut limits = *desk.sale.limits();
                limits.active_limit = 3 + u32::try_from(dice.below(5)).unwrap();
                let _ = desk.ask(&Command::ChangeLimits(limits));
            }
            5 if joined > 60 => drop(desk.ask(&Command::Close)),
            6..9 => {
                desk.commit();
                let silent_since = desk.now;
                desk.wait(12_345 + dice.below(60_000) as u64);
                let _ = desk.ask(&Command::Resume { silent_since });
            }
            9..11 => {
                let anew = described_anew(desk, dice);
                let _ = desk.ask(&Command::Change(Box::new(anew)));
            }
            _ => desk.wait(30_000),
        },
        _ => drop(desk.ask(&Command::Tick)),
    }
}

/// The sale with other prices, other seats kept back, a pool more, a row less or an evening more: much
/// of it is refused once somebody has reserved.
fn described_anew(desk: &Desk, dice: &mut Dice<'_>) -> Schedule {
    let mut anew = crate::desk::schedule(*desk.sale.limits());
    anew.opens_at = desk.sale.opens_at();
    let performances = &mut anew.plan.performances;
    performances[0].title = ["봄의 소리", "앙코르"][dice.below(2)].into();
    performances[1].grades[1].price = Money([100, 110][dice.below(2)]);
    let rows = &mut performances[1].sections[1].rows;
    match dice.below(4) {
        0 => drop(rows.pop()),
        1 => rows[1].seats.iter_mut().for_each(|seat| seat.pool = Some(1)),
        2 => rows[1].seats.iter_mut().for_each(|seat| seat.pool = None),
        _ => {}
    }
    match dice.below(4) {
        0 => {
            let mut third = performances[0].clone();
            third.id = domain::id::PerformanceId::parse("spring-3").unwrap();
            performances.push(third);
        }
        1 => anew.plan.pools.push("guests".into()),
        _ => {}
    }
    anew
}

/// Every row that speaks of the state, against it.
fn compare(desk: &Desk) {
    let (sale, tables) = (&desk.sale, desk.tables());
    let mut looked = Ledger::look(&desk.location(), &*desk.journal).unwrap();
    assert_eq!(looked.compare(sale).unwrap(), Differences::default());
    let hall = sale.hall().unwrap();
    let plan = hall.plan();
    let id_of = |index: ReservationIndex| short(sale.reservation(index).unwrap().id.0);

    // The sale.
    let state = match sale.phase() {
        Phase::Unscheduled => unreachable!("it was scheduled"),
        Phase::Scheduled => "scheduled",
        Phase::Open => "open",
        Phase::Paused => "paused",
        Phase::Closed => "closed",
    };
    assert_eq!(texts(&tables, "SELECT state FROM sales"), [state]);
    for (name, value, ..) in sale.limits().table() {
        let query = format!("SELECT value FROM sale_limits WHERE name = '{name}'");
        assert_eq!(texts(&tables, &query), [value.to_string()], "{name}");
    }

    // Seats and their owners.
    let seats: Vec<String> = (0..)
        .map(SeatIndex)
        .zip(hall.seats())
        .map(|(index, seat)| {
            let (state, pool, owner) = match sale.seats().state(index) {
                SeatState::Free => ("free", "", String::new()),
                SeatState::Withheld(pool) => {
                    ("withheld", &*plan.pools[usize::from(pool)], String::new())
                }
                SeatState::Held(owner) => ("held", "", id_of(owner)),
                SeatState::Sold(owner) => ("sold", "", id_of(owner)),
            };
            let performance = plan.performances[usize::from(seat.performance)].id.as_str();
            format!("{performance}|{}|{}|{state}|{pool}|{owner}", &*seat.number, seat.price.0)
        })
        .collect();
    let query = "SELECT performance_id, seat_number, price, state, pool, reservation_id FROM seats \
                 ORDER BY seat_index";
    assert_eq!(texts(&tables, query), seats);

    // Reservations with their lines.
    let node = |second: Second| utc(sale.clock().node(second));
    let reservations: Vec<String> = sale
        .reservations()
        .map(|reservation| {
            let (state, until, hard_end) = match reservation.state {
                ReservationState::Held(until) => ("held", node(until), node(reservation.hard_end)),
                ReservationState::Paying(until) => {
                    ("paying", node(until), node(reservation.hard_end))
                }
                ReservationState::Confirmed => ("confirmed", String::new(), String::new()),
                ReservationState::Released(ReleaseReason::GivenBack, _) => {
                    ("given_back", String::new(), String::new())
                }
                ReservationState::Released(ReleaseReason::Expired, _) => {
                    ("expired", String::new(), String::new())
                }
            };
            let entry = sale.visit(reservation.visit).unwrap().entry;
            let (id, amount) = (short(reservation.id.0), reservation.amount().0);
            format!("{id}|{entry}|{state}|{amount}|{until}|{hard_end}")
        })
        .collect();
    let query = "SELECT reservation_id, entry_number, state, amount, held_until, hard_end \
                 FROM reservations ORDER BY reservation_number";
    assert_eq!(texts(&tables, query), reservations);
    let lines: Vec<String> = sale
        .reservations()
        .flat_map(|reservation| {
            let live = match reservation.state {
                ReservationState::Released(..) => 0,
                ReservationState::Held(_)
                | ReservationState::Paying(_)
                | ReservationState::Confirmed => 1,
            };
            reservation.seats().map(move |seat| {
                let seat = hall.seat(seat).unwrap();
                let performance = plan.performances[usize::from(seat.performance)].id.as_str();
                let id = short(reservation.id.0);
                // What was not bought has no price for ever: the plan may say another by now.
                let price = if live == 1 { seat.price.0.to_string() } else { String::new() };
                format!("{id}|{performance}|{}|{price}|{live}", &*seat.number)
            })
        })
        .collect();
    let query = "SELECT reservation_id, lines.performance_id, seat_number, \
                 iif(live, price, ''), live \
                 FROM reservation_lines AS lines JOIN reservations USING (reservation_id) \
                 ORDER BY reservation_number, line_number";
    assert_eq!(texts(&tables, query), lines);

    // Visits.
    let visits: Vec<String> = (0..)
        .map(VisitIndex)
        .map_while(|index| sale.visit(index))
        .map(|visit| {
            let reservation = visit.reservation.and_then(|index| sale.reservation(index));
            let state = match visit.stage {
                Stage::Choosing => "choosing",
                Stage::Reserved => match reservation.unwrap().state {
                    ReservationState::Confirmed => "done",
                    ReservationState::Held(_)
                    | ReservationState::Paying(_)
                    | ReservationState::Released(..) => "reserved",
                },
                Stage::Missed => "missed",
                Stage::Ended(EndReason::Left) => "left",
                Stage::Ended(EndReason::TooSlow) => "too_slow",
                Stage::Ended(EndReason::HoldExpired) => "hold_expired",
                Stage::Ended(EndReason::SoldOut) => "sold_out",
                Stage::Ended(EndReason::Closed) => "closed",
                Stage::Ended(EndReason::Absent | EndReason::Removed) => unreachable!(),
            };
            format!("{}|{state}", visit.entry)
        })
        .collect();
    let query = "SELECT entry_number, state FROM visits ORDER BY visit_number";
    assert_eq!(texts(&tables, query), visits);

    // Money.
    let payments: Vec<String> = (0..)
        .map(PaymentIndex)
        .map_while(|index| sale.payment(index))
        .map(|payment| {
            let (state, reason) = match &payment.state {
                PaymentState::Running(_) => ("running", ""),
                PaymentState::Unknown => ("unknown", ""),
                PaymentState::Approved(_) => ("approved", ""),
                PaymentState::Declined(decline) => ("declined", &*decline.reason),
                PaymentState::RefundDue => ("refund_due", ""),
                PaymentState::Refunded(_) => ("refunded", ""),
            };
            let refund = match &payment.state {
                PaymentState::RefundDue => "due",
                PaymentState::Refunded(_) => "done",
                PaymentState::Running(_)
                | PaymentState::Unknown
                | PaymentState::Approved(_)
                | PaymentState::Declined(_) => "",
            };
            format!("{}|{}|{state}|{reason}|{refund}", id_of(payment.reservation), payment.amount.0)
        })
        .collect();
    // What was declined first and approved later keeps the reason.
    let query = "SELECT payments.reservation_id, payments.amount, payments.state, \
                 iif(payments.state = 'declined', decline_reason, ''), refunds.state \
                 FROM payments LEFT JOIN refunds USING (payment_id) ORDER BY payment_number";
    assert_eq!(texts(&tables, query), payments);
    let takings = sale.takings();
    let sum = |query: &str| Money(texts(&tables, query)[0].parse().unwrap());
    let query = "SELECT coalesce(sum(amount), 0) FROM payments WHERE state = 'approved'";
    assert_eq!(sum(query), takings.confirmed);
    let query = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE state = 'due'";
    assert_eq!(sum(query), takings.refund_due);
    let query = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE state = 'done'";
    assert_eq!(sum(query), takings.refunded);

    // The minutes add up.
    assert_eq!(sum("SELECT coalesce(sum(income), 0) FROM line_minutes"), takings.confirmed);
    let counts = "SELECT coalesce(sum(joined), 0), coalesce(sum(admitted), 0), \
                  coalesce(sum(holds), 0), coalesce(sum(seats_sold), 0), \
                  coalesce(sum(payments_begun), 0) FROM line_minutes";
    let expected = [
        sale.line().joined(),
        visits.len(),
        reservations.len(),
        sale.seats().counts().sold as usize,
        payments.len(),
    ];
    assert_eq!(texts(&tables, counts), [expected.map(|count| count.to_string()).join("|")]);

    // The line.
    let absent = |entry| {
        matches!(sale.line().entry(entry), Some((_, EntryState::Ended(EndReason::Absent, _))))
    };
    let expired = (0..sale.line().joined()).map(EntryIndex::after).filter(|entry| absent(*entry));
    let query = "SELECT coalesce(sum(places_expired), 0) FROM line_minutes";
    assert_eq!(texts(&tables, query), [expired.count().to_string()]);
    let in_line = texts(&tables, "SELECT in_line FROM positions");
    assert_eq!(in_line, [sale.line().in_line().to_string()]);
    let told =
        texts(&tables, "SELECT minute, in_line, in_line_max FROM line_minutes ORDER BY minute");
    let (mut before, mut minutes) = (0, Vec::new());
    for (minute, (end, most)) in &desk.minutes {
        let row = format!("{}|{end}|{most}", utc(Timestamp(minute * 60_000)));
        // Where nothing happened that is counted, nobody came or went.
        assert!(told.contains(&row) || (before, before) == (*end, *most), "{row} in {told:?}");
        before = *end;
        minutes.push(row);
    }
    assert!(told.iter().all(|row| minutes.contains(row)), "{told:?} in {minutes:?}");
}

/// The rows of a query, each as its columns with bars between.
pub(crate) fn texts(tables: &Connection, query: &str) -> Vec<String> {
    let mut statement = tables.prepare(query).unwrap();
    let columns = statement.column_count();
    let row = |row: &Row<'_>| {
        let value = |column| {
            Ok(match row.get(column)? {
                rusqlite::types::Value::Null => String::new(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Real(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
            })
        };
        Ok((0..columns).map(value).collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// The names of the tables and views.
pub(crate) fn tables_of(tables: &Connection) -> Vec<String> {
    texts(tables, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name")
}

/// Everything in all tables.
pub(crate) fn dump(tables: &Connection) -> Vec<String> {
    let names = tables_of(tables);
    let rows = |name: &String| {
        let mut rows = texts(tables, &format!("SELECT * FROM {name}"));
        rows.sort();
        rows.into_iter().map(|row| format!("{name}: {row}")).collect::<Vec<_>>()
    };
    names.iter().flat_map(rows).collect()
}

fn utc(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0.cast_signed()).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Crockford's base 32, written in another way than the ledger does.
pub(crate) fn short(id: u64) -> String {
    let digits = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bits = format!("{id:065b}");
    let groups = bits.as_bytes().chunks(5).map(|five| std::str::from_utf8(five).unwrap());
    groups.map(|five| char::from(digits[usize::from_str_radix(five, 2).unwrap()])).collect()
}
