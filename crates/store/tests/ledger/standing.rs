//! What may happen to the file: another history, another version, damage, and somebody who writes
//! into it by hand.

use domain::limits::Limits;
use store::ledger::{Ledger, LedgerError, Progress, Standing, Violation, write_by_hand};
use store::{Append, Batch, BatchId, StreamId};

use crate::against_the_rules::{dump, short, texts};
use crate::desk::Desk;

/// A sale where the first buyer holds seats 0 and 1.
fn one_hold() -> (Desk, domain::id::Place, domain::id::ReservationId) {
    let mut desk = Desk::open(Limits::default());
    let place = desk.join();
    let reservation = desk.hold(place, &[0, 1]).unwrap();
    desk.commit();
    (desk, place, reservation)
}

/// A later program has written to another sale.
#[test]
fn a_sale_that_cannot_be_read_is_left_out_and_the_others_go_on() {
    let (mut desk, place, _) = one_hold();
    let later =
        Batch { number: 1, id: BatchId(7), previous: BatchId::NONE, at_ms: 0, body: vec![3, 0xf6] };
    let stream = StreamId(2);
    desk.journal.append(&[Append { stream, batch: later }]).unwrap();
    let mut ledger = Ledger::open(&desk.location(), &*desk.journal).unwrap();
    let progress = ledger.catch_up(&*desk.journal).unwrap();
    let reason = "it is in format 3, and this program reads up to 2".to_owned();
    let unreadable = LedgerError::Unreadable { stream, number: 1, reason };
    assert_eq!(progress.unreadable, std::slice::from_ref(&unreadable));
    assert!(progress.is_level && progress.lacks && progress.batches > 0);

    desk.ask(&domain::Command::Leave { place }).unwrap();
    desk.commit();
    let again = Progress { is_level: true, lacks: true, batches: 1, ..Progress::default() };
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap(), again, "it is said once");
    drop(ledger);
    let before = dump(&desk.tables());
    assert_eq!(Ledger::rebuild(&desk.location(), &*desk.journal), Err(unreadable));
    assert_eq!(before, dump(&desk.tables()), "the old one is untouched");
}

#[test]
fn a_second_live_owner_cannot_be_written() {
    let (mut desk, place, _) = one_hold();
    drop(desk.ledger());
    let foreign = "UPDATE reservation_lines SET seat_number = '1층-A3' WHERE line_number = 1";
    write_by_hand(&desk.path(), foreign).unwrap();
    let owner = texts(&desk.tables(), "SELECT reservation_id FROM reservations").remove(0);

    let other = desk.join();
    let claimant = desk.hold(other, &[3, 2]).unwrap();
    desk.commit();
    let before = dump(&desk.tables());
    let mut ledger = Ledger::open(&desk.location(), &*desk.journal).unwrap();
    let Progress { is_level, lacks, violations, .. } = ledger.catch_up(&*desk.journal).unwrap();
    assert!(is_level && lacks, "there is nothing that can be written");
    let expected = Violation {
        stream: StreamId(1),
        sale: "spring".to_owned(),
        performance: "spring-1".to_owned(),
        seat: "1층-A3".to_owned(),
        owner,
        claimant: short(claimant.0),
    };
    assert_eq!(violations, [expected]);
    assert_eq!(before, dump(&desk.tables()), "nothing of the batch was written");

    // Nothing more of that sale is written, also after a restart, until it is mended.
    desk.ask(&domain::Command::Leave { place }).unwrap();
    desk.commit();
    let again = Progress { is_level: true, lacks: true, ..Progress::default() };
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap(), again);
    drop(ledger);
    let mut ledger = Ledger::open(&desk.location(), &*desk.journal).unwrap();
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap().violations.len(), 1);
    assert_eq!(before, dump(&desk.tables()));
    drop(ledger);
    Ledger::rebuild(&desk.location(), &*desk.journal).unwrap();
    assert!(!desk.ledger().catch_up(&*desk.journal).unwrap().lacks);
    let live = "SELECT seat_number FROM reservation_lines WHERE live = 1 ORDER BY line_number";
    assert_eq!(texts(&desk.tables(), live), ["1층-A4", "1층-A3"]);
}

#[test]
fn a_sale_that_is_described_anew_is_told_anew() {
    let mut desk = Desk::open(Limits::default());
    drop(desk.ledger());
    let mut anew = crate::desk::schedule(Limits::default());
    anew.closes_at = Some(domain::time::Timestamp(crate::desk::BEGIN + 86_400_000));
    anew.plan.time_zone = "Asia/Tokyo".into();
    anew.plan.pools.pop();
    anew.plan.performances[1].title = "앙코르".into();
    anew.plan.performances[1].sections.pop();
    desk.ask(&domain::Command::Change(Box::new(anew))).unwrap();
    desk.commit();
    drop(desk.ledger());
    let tables = desk.tables();
    let sale = "SELECT time_zone || ' ' || closes_at FROM sales";
    assert_eq!(texts(&tables, sale), ["Asia/Tokyo 2026-05-02T10:00:00.000Z"]);
    assert_eq!(texts(&tables, "SELECT name FROM pools"), ["press"]);
    let performances = "SELECT title FROM performances ORDER BY performance_number";
    assert_eq!(texts(&tables, performances), ["봄의 소리", "앙코르"]);
    let seats = "SELECT count(*), max(seat_index) FROM seats GROUP BY performance_id";
    assert_eq!(texts(&tables, seats), ["16|15", "8|23"]);
}

#[test]
fn where_an_older_journal_does_not_say_how_many_expired_nobody_knows_how_many_wait() {
    let mut desk = Desk::open(Limits { place_ttl: 60, active_limit: 1, ..Limits::default() });
    let places: Vec<_> = (0..4).map(|_| desk.join()).collect();
    desk.commit();
    desk.is_of_old = true;
    desk.wait(60_000);
    desk.ask(&domain::Command::Seen { entries: vec![places[3].entry] }).unwrap();
    desk.commit();
    drop(desk.ledger());
    desk.wait(61_000);
    desk.join();
    desk.commit();
    desk.wait(60_000);
    desk.ask(&domain::Command::Close).unwrap();
    desk.commit();
    desk.wait(60_000);
    desk.ask(&domain::Command::Tick).unwrap();
    desk.commit();
    drop(desk.ledger());
    let minutes =
        "SELECT substr(minute, 15, 2), places_expired, in_line, in_line_max FROM line_minutes";
    let told = ["00|0|3|3", "01|||", "02|||", "03|0|0|"];
    assert_eq!(texts(&desk.tables(), minutes), told);
}

#[test]
fn a_ledger_that_cannot_be_used_is_made_again() {
    let (mut desk, ..) = one_hold();
    drop(desk.ledger());
    let sound = dump(&desk.tables());
    let damages = [
        "PRAGMA user_version = 0",
        "UPDATE history SET epoch = '0123456789abcdef'",
        "UPDATE positions SET batch_id = '00000000000000000000000000000063'",
        "UPDATE positions SET batch_number = 99",
        "DROP TABLE positions",
    ];
    for damage in damages {
        write_by_hand(&desk.path(), damage).unwrap();
        drop(desk.ledger());
        assert_eq!(sound, dump(&desk.tables()), "{damage}");
    }
    for bytes in [&b""[..], b"this is no database, but it is long enough to be one"] {
        for end in ["-wal", "-shm"] {
            let beside = format!("{}{end}", desk.path().display());
            let _absent = std::fs::remove_file(beside);
        }
        std::fs::write(desk.path(), bytes).unwrap();
        drop(desk.ledger());
        assert_eq!(sound, dump(&desk.tables()));
    }
    // Damage that only shows on the way is said, and mended by starting over.
    write_by_hand(&desk.path(), "DELETE FROM visits").unwrap();
    let mut ledger = Ledger::open(&desk.location(), &*desk.journal).unwrap();
    let place = desk.place(domain::id::EntryIndex(0));
    let reservation = desk.sale.reservations().next().unwrap().id;
    desk.ask(&domain::Command::GiveBack { place, reservation }).unwrap();
    desk.hold(place, &[8]).unwrap();
    desk.commit();
    let answer = ledger.catch_up(&*desk.journal);
    assert!(matches!(answer, Err(LedgerError::Damaged(_))), "{answer:?}");
    ledger.start_over(&*desk.journal).unwrap();
    assert!(ledger.catch_up(&*desk.journal).unwrap().is_level);
    assert_eq!(texts(&desk.tables(), "SELECT state FROM visits"), ["reserved"]);
}

/// What a node had read, and its database lost in a failover.
#[test]
fn where_the_journal_has_lost_what_it_had_it_starts_over() {
    let (desk, ..) = one_hold();
    let mut ledger = desk.ledger();
    let shorter = Desk::open(Limits::default());
    let answer = ledger.catch_up(&*shorter.journal);
    assert!(matches!(answer, Err(LedgerError::Damaged(_))), "{answer:?}");
    ledger.start_over(&*shorter.journal).unwrap();
    assert!(ledger.catch_up(&*shorter.journal).unwrap().is_level);
    drop((ledger, shorter.ledger()));
    assert_eq!(dump(&desk.tables()), dump(&shorter.tables()));
}

#[test]
fn what_differs_from_the_rules_is_named() {
    let (mut desk, place, reservation) = one_hold();
    let payment = desk.pay(place, reservation).unwrap();
    desk.settle(payment, domain::command::PaymentOutcome::Approved);
    desk.commit();
    drop(desk.ledger());
    let sound = std::fs::read(desk.path()).unwrap();
    let id = short(reservation.0);
    let table = [
        (
            "UPDATE plan_seats SET pool = 'press' WHERE seat_index = 8",
            "seat 2층-A1 of spring-1: withheld at 200 in the ledger, free at 200 by the journal"
                .into(),
        ),
        (
            "UPDATE reservation_lines SET live = 0 WHERE line_number = 1",
            format!(
                "seat 1층-A2 of spring-1: free at 200 in the ledger, sold by {id} at 200 by the journal"
            ),
        ),
        (
            "UPDATE reservations SET amount = 401",
            format!(
                "reservation {id}: confirmed with 2 seats at 401 in the ledger, \
                 confirmed with 2 seats at 400 by the journal"
            ),
        ),
        (
            "DELETE FROM payments",
            format!(
                "payment {:0>26}: nothing in the ledger, approved of 400 for {id} by the journal",
                short(u64::try_from(payment.0).unwrap()).trim_start_matches('0')
            ),
        ),
        (
            "UPDATE line_minutes SET income = 0",
            "income: 0 in the ledger, 400 by the journal".into(),
        ),
        (
            "INSERT INTO payments SELECT payment_key + 1, 'x', sale_id, 1, reservation_id, 0, 5, state, \
             begun_at, settled_at, decline_reason, retryable FROM payments",
            format!("payment x: approved of 5 for {id} in the ledger, nothing by the journal"),
        ),
    ];
    for (change, expected) in table {
        write_by_hand(&desk.path(), change).unwrap();
        let mut looked = Ledger::look(&desk.location(), &*desk.journal).unwrap();
        assert_eq!(looked.batch(StreamId(1)), Some(3));
        let differences = looked.compare(&desk.sale).unwrap();
        assert_eq!((differences.count, differences.told), (1, vec![expected]), "{change}");
        drop(looked);
        std::fs::write(desk.path(), &sound).unwrap();
    }
    // Of very many the first few are named.
    write_by_hand(&desk.path(), "UPDATE plan_seats SET price = 0").unwrap();
    let mut looked = Ledger::look(&desk.location(), &*desk.journal).unwrap();
    let differences = looked.compare(&desk.sale).unwrap();
    assert_eq!((differences.count, differences.told.len()), (32, 10));
}

#[test]
fn a_newer_ledger_is_left_alone() {
    let (desk, ..) = one_hold();
    drop(desk.ledger());
    write_by_hand(&desk.path(), "PRAGMA user_version = 99").unwrap();
    let refused = Ledger::open(&desk.location(), &*desk.journal).unwrap_err();
    assert!(matches!(refused, LedgerError::NewerSchema { found: 99, .. }), "{refused}");
    assert_eq!(texts(&desk.tables(), "SELECT count(*) FROM reservations"), ["1"]);
    // Whoever does not need it can have a new one.
    Ledger::rebuild(&desk.location(), &*desk.journal).unwrap();
    drop(Ledger::open(&desk.location(), &*desk.journal).unwrap());
}

#[test]
fn it_says_how_far_it_is() {
    let (mut desk, ..) = one_hold();
    let ledger = desk.ledger();
    let standing = |batch, of| [Standing { sale: "spring".to_owned(), batch, of }];
    assert_eq!(ledger.standings(&*desk.journal).unwrap(), standing(2, 2));
    desk.join();
    desk.commit();
    assert_eq!(ledger.standings(&*desk.journal).unwrap(), standing(2, 3));
    drop(ledger);
    let looked = Ledger::look(&desk.location(), &*desk.journal).unwrap();
    assert_eq!(looked.standings(&*desk.journal).unwrap(), standing(2, 3));
}
