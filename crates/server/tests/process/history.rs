//! `maepyo journal`: what it shows, and that a history that is not sound is found.

use std::sync::Arc;

use domain::Event;
use domain::id::{ReservationId, SeatIndex, VisitIndex};
use domain::time::Second;
use serde_json::json;
use store::codec::{Actor, Cause, CommandKind, write_record};
use store::ledger::write_by_hand;
use store::{Append, Batch, BatchId, StreamId};

const WRONG_STATES: &str = include_str!("../../../store/tests/ledger/wrong_states.sql");
const OLDER_TABLES: &str = include_str!("../../../store/tests/ledger/older_tables.sql");

use crate::support::{BoxOffice, Closed, reservation_id, small_sale};

/// A box office that has sold seat A1, closed.
async fn one_sold() -> Closed {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "A1").await);
    buyer.pay(&reservation, "tok_ok").await.expect(200);
    office.stop().await
}

/// What `verify` says; its exit code says the same.
async fn verdict(closed: &Closed) -> Result<String, String> {
    let verdict = closed.journal(&["verify"]).await;
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    match verdict.status.code() {
        Some(0) => Ok(text),
        Some(1) => Err(text),
        other => panic!("{other:?}: {text}{}", String::from_utf8_lossy(&verdict.stderr)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_in_a_sentence() {
    let closed = one_sold().await;
    assert_eq!(closed.history(&["--sale", "small"]).await.events("payment_approved").count(), 1);
    let table = [
        (&["show", "--sale", "large"][..], "no sale large"),
        (&["show", "--reservation", "0000000000000"], "no reservation 0000000000000"),
        (&["show", "--data", "/nowhere/at/all"], "no journal here"),
        (&["verify", "--data", "/nowhere/at/all"], "no journal here"),
    ];
    for (words, expected) in table {
        let output = closed.journal(words).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("maepyo: ") && said.contains(expected), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_says_something_else_is_found() {
    let closed = one_sold().await;
    let sound = verdict(&closed).await.expect("it is sound");
    assert!(sound.contains("; the ledger says the same after batch "), "{sound}");

    let ledger = closed.data().join("ledger.sqlite");
    write_by_hand(&ledger, WRONG_STATES).expect("it can be written");
    let differs = verdict(&closed).await.expect_err("the ledger is wrong");
    let lines = ["small: sound: ", "; THE LEDGER DIFFERS after batch ", ", 3 times:"];
    let lines = lines.into_iter().chain([
        "seat A1 of small-1: held by ",
        "expired with 1 seats",
        "payment ",
    ]);
    for line in lines {
        assert!(differs.contains(line), "{line}: {differs}");
    }

    // What is made anew at the next start anyway is not compared.
    write_by_hand(&ledger, OLDER_TABLES).expect("it can be written");
    let sound = verdict(&closed).await.expect("it is sound");
    assert!(sound.contains("; the ledger is not compared: "), "{sound}");
    std::fs::remove_file(&ledger).expect("a ledger");
    let sound = verdict(&closed).await.expect("it is sound");
    assert!(!sound.contains("ledger"), "{sound}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_is_found() {
    let closed = one_sold().await;
    let sound = verdict(&closed).await.expect("it is sound");
    assert!(sound.starts_with("small: sound: "), "{sound}");

    // Stopped, everything is in the database's own file; its pages have no checksums of their own.
    let path = closed.data().join("journal.sqlite");
    let mut bytes = std::fs::read(&path).expect("the database");
    let title = "음악회".as_bytes();
    let at = bytes.windows(title.len()).position(|window| window == title).expect("the title");
    bytes[at + 2] ^= 1;
    std::fs::write(&path, bytes).expect("the database");
    let broken = verdict(&closed).await.expect_err("it is broken");
    assert!(broken.contains("BROKEN") && broken.contains("checksum"), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_have_happened_is_found() {
    let closed = one_sold().await;
    let dir = closed.data();
    let dir = dir.to_str().expect("a path of this machine");
    let journal = store::open(dir, store::Options::new(Arc::new(|| 0))).expect("it is closed");
    let stream = StreamId(1);
    let head = journal.head(stream).expect("a head");
    // Somebody gets a seat that is sold: rightly chained, with a right checksum.
    let stolen = Event::SeatsHeld {
        visit: VisitIndex(0),
        reservation: ReservationId(666),
        seats: vec![SeatIndex(0)],
        until: Second(2_000_000_000),
        hard_end: Second(2_000_000_000),
        key: None,
    };
    let mut body = Vec::new();
    let cause =
        Cause { actor: Actor::Buyer, command: CommandKind::Hold, request: None, warrant: None };
    write_record(&mut body, &cause, &[stolen]);
    let batch = Batch {
        number: head.number + 1,
        id: BatchId(666),
        previous: head.id,
        at_ms: 4_000_000_000_000,
        body,
    };
    journal.append(&[Append { stream, batch }]).expect("it is appended");
    drop(journal);
    let broken = verdict(&closed).await.expect_err("it is broken");
    assert!(broken.starts_with("small: BROKEN: "), "{broken}");
    assert!(broken.contains("one owner"), "{broken}");
}
