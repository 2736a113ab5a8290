//! A rolling upgrade: nodes of one PostgreSQL while its format is raised under them, and what they do
//! with what a later program writes. With a real server.

use std::process::Output;

use serde_json::{Value, json};
use store::codec::FORMAT_MAX;
use store::{Append, Appended, Batch, BatchId, Format, Head, Journal, StreamId};

use crate::postgres::{on, server, verify};
use crate::streams::{Stream, metric};
use crate::support::{BoxOffice, Buyer, Connection, Options, reservation_id, small_sale, until};

fn store_options() -> store::Options {
    store::Options::new(std::sync::Arc::new(|| 0))
}

/// Runs `maepyo journal format` beside a box office.
async fn format(office: &BoxOffice, url: &str, words: &[&str]) -> Output {
    let mut program = office.program();
    program.args(["journal", "format"]).args(words).args(["--store", url]);
    program.output().await.expect("the program")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// In which format each batch of a stream is.
fn formats(journal: &dyn Journal, stream: StreamId) -> Vec<u32> {
    let batches = journal.read(stream, Head::EMPTY, usize::MAX).expect("it is read");
    let format = |batch: &Batch| match batch.body[0] {
        marked @ 0..0x18 => marked.into(),
        _record => 1,
    };
    batches.iter().map(format).collect()
}

/// What a program of format 3 might write, behind whatever the nodes have written.
fn write_later(journal: &dyn Journal, stream: StreamId) {
    for _ in 0..1_000 {
        let batches = journal.read(stream, Head::EMPTY, usize::MAX).expect("it is read");
        let last = batches.last().expect("the sale was scheduled");
        let (number, id) = (last.number + 1, BatchId(u128::MAX));
        let body = vec![3, 0xf6];
        let batch = Batch { number, id, previous: last.id, at_ms: last.at_ms, body };
        let answers = journal.append(&[Append { stream, batch }]).expect("it is appended");
        if answers == [Appended::Appended] {
            return;
        }
    }
    panic!("the nodes are always first");
}

fn of(sale: &str) -> Value {
    json!({ "sale_id": sale })
}

/// Somebody sells at one node, and the other one knows it.
async fn sell(here: &BoxOffice, there: &BoxOffice, sale: &str, seat: &str) -> Buyer {
    let mut buyer = here.buyer();
    let held = reservation_id(&buyer.join_and_hold(Some(&of(sale)), seat).await);
    let mut elsewhere = buyer.again(there.public);
    elsewhere.pay(&held, "tok_ok").await.expect(200);
    let shown = elsewhere.again(here.public).get(&format!("/me/reservations/{held}")).await;
    assert_eq!(shown.expect(200)["status"], "confirmed");
    let mut late = there.buyer();
    late.join(Some(&of(sale))).await.expect(201);
    late.turn().await;
    late.hold(seat).await.refused(409, "seat_taken");
    late.delete("/queue/token").await.expect(204);
    elsewhere
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_raised_while_two_nodes_sell() {
    let server = server();
    let url = server.make_schema("raised");
    let old = store::Options { first_format: Format::FIRST, ..store_options() };
    let journal = store::open(&url, old).expect("a new journal");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "C", 5, &json!({}))).await;
    two.lists(1).await;
    sell(&one, &two, "small", "A1").await;
    sell(&two, &one, "small", "A2").await;
    assert!(formats(&*journal, StreamId(1)).iter().all(|format| *format == 1));
    for office in [&one, &two] {
        assert_eq!(metric(office, "maepyo_journal_format").await, 1.0);
        assert_eq!(metric(office, "maepyo_journal_format_known").await, f64::from(FORMAT_MAX.0));
    }

    // Not while a node is at work that cannot read it: this one only says that it is.
    let name = format!("old,%20format%201,%20node%2000000001,%20journal%20{}", journal.epoch());
    let older = store::open_read_only(&format!("{url}&application_name={name}"), store_options());
    let older = older.expect("it is there");
    let shown = said(&format(&one, &url, &["show"]).await);
    assert_eq!(
        shown,
        "the store: format 1\nthis program: formats up to 2\n\
         nodes at work: 1 that know up to 1, 3 that know up to 2\n"
    );
    let refused = format(&one, &url, &["raise"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("stays in format 1") && why.contains("1 that know up to 1"), "{why}");
    assert_eq!(journal.format(), Ok(Format(1)));
    drop(older);
    until("it to be gone", async || {
        (journal.writers().expect("they are listed").len() == 3).then_some(())
    })
    .await;

    let selling = sell(&one, &two, "small", "A3");
    let (mut ann, raised) = tokio::join!(selling, format(&one, &url, &["raise"]));
    assert_eq!(said(&raised), "the store: format 2, and 1 before\n");
    for office in [&one, &two] {
        until("the raise to be taken up", async || {
            (metric(office, "maepyo_journal_format").await > 1.0).then_some(())
        })
        .await;
    }
    let before = formats(&*journal, StreamId(1)).len();
    sell(&one, &two, "small", "B1").await;
    sell(&two, &one, "small", "B2").await;
    let after = formats(&*journal, StreamId(1)).split_off(before);
    assert!(after.len() >= 8 && after.iter().all(|format| *format == 2), "{after:?}");
    assert_eq!(ann.status().await["status"], "done");
    let again = said(&format(&one, &url, &["raise"]).await);
    assert_eq!(again, "the store: format 2, the newest that this program knows\n");

    // Whoever starts reads both, from a snapshot and without.
    let two = two.stop().await.open().await;
    let three = BoxOffice::open(on(&url)).await;
    for office in [&two, &three] {
        assert_eq!(ann.again(office.public).status().await["status"], "done");
    }
    drop(journal);
    for office in [two, three] {
        office.stop().await;
    }
    verify(&one.stop().await, &url).await;
}

/// The sale with a batch that cannot be read is refused whatever is asked of it.
async fn is_left_alone(office: &BoxOffice, inside: &Buyer) {
    let mut inside = inside.again(office.public);
    let answers = [
        inside.get("/queue/status").await,
        inside.get("/me/reservations").await,
        inside.get("/queue/events").await,
        inside.hold("A2").await,
        inside.delete("/queue/token").await,
        office.buyer().join(Some(&of("lost"))).await,
        office.buyer().join(Some(&json!({ "performance_id": "lost-1" }))).await,
        office.connect().get("/performances/lost-1", None).await,
        office.connect().get("/performances/lost-1/availability", None).await,
        // It may be in what cannot be read.
        office.connect().get("/performances/new-1", None).await,
    ];
    for answer in answers {
        assert!(!answer.header("retry-after").is_empty(), "{}", answer.text);
        answer.refused(503, "unavailable");
    }
    let mut operators = Connection::to(office.operators);
    let key = office.admin_key();
    operators.get("/admin/sales/lost", Some(key)).await.refused(503, "unavailable");
    let paused = operators.post("/admin/sales/lost/pause", Some(key), &json!({})).await;
    paused.refused(503, "unavailable");
    let not_ready = operators.get("/readyz", None).await;
    assert_eq!(not_ready.status, 503);
    let trouble = not_ready.json["trouble"].as_str().expect("a sentence").to_owned();
    assert!(trouble.starts_with("sale lost: batch "), "{trouble}");
    assert!(trouble.ends_with("it is in format 3, and this program reads up to 2"), "{trouble}");
    assert_eq!(office.connect().get("/healthz", None).await.status, 200);
    // The others are listed, and none is shown as it was.
    office.lists(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_decided_on_and_all_else_is_sold() {
    let server = server();
    let url = server.make_schema("later");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("lost", &small_sale("lost-1", "A", 5, &json!({}))).await;
    one.schedule("sound", &small_sale("sound-1", "A", 9, &json!({}))).await;
    two.lists(2).await;
    sell(&one, &two, "lost", "A1").await;
    sell(&two, &one, "sound", "A1").await;
    let mut inside = one.buyer();
    inside.join_and_hold(Some(&of("lost")), "A3").await;
    let mut stream = Stream::of(&two, &inside).await;
    stream.heard("state").await;

    let journal = store::open(&url, store_options()).expect("a third writer");
    write_later(&*journal, StreamId(1));
    for office in [&one, &two] {
        until("it to be noticed", async || {
            let ready = Connection::to(office.operators).get("/readyz", None).await;
            (ready.status == 503).then_some(())
        })
        .await;
        is_left_alone(office, &inside).await;
    }
    stream.heard("move").await;
    sell(&one, &two, "sound", "A2").await;
    sell(&two, &one, "sound", "A3").await;
    // A no is told of the newest state, so looks at the journal are still caught up with.
    let mut ann = sell(&one, &two, "sound", "A4").await;
    ann.get("/me/reservations/0000000000000").await.refused(404, "reservation_not_found");
    for office in [&one, &two] {
        let log = office.log();
        assert_eq!(log.matches("nothing is decided on what cannot be read").count(), 1, "{log}");
    }

    // A node that starts finds the same, and so does one that was killed.
    let two = two.kill().await.open().await;
    is_left_alone(&two, &inside).await;
    sell(&two, &one, "sound", "A5").await;
    let three = BoxOffice::open(on(&url)).await;
    is_left_alone(&three, &inside).await;
    sell(&three, &two, "sound", "A6").await;

    // Nobody has decided anything about it since.
    assert_eq!(formats(&*journal, StreamId(1)).last(), Some(&3));
    assert_eq!(formats(&*journal, StreamId(1)).iter().filter(|format| **format == 3).count(), 1);
    for office in [two, three] {
        office.stop().await;
    }
    let closed = one.stop().await;
    let verdict = closed.program().args(["journal", "verify", "--store", &url]).output().await;
    let verdict = verdict.expect("the program");
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert_eq!(verdict.status.code(), Some(1), "{text}");
    assert!(text.contains("lost: BROKEN: batch") && text.contains("format 3"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("sound: sound")), "{text}");
}

/// A store in one process: there is no other node, but there may be another program.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_raised_while_it_is_closed() {
    let closed = crate::support::Closed::new(Options::default());
    let dir = closed.data();
    let dir = dir.to_str().expect("a path of this machine").to_owned();
    let missing = closed.journal(&["format", "raise"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(!closed.data().exists(), "nothing was made");
    let old = store::Options { first_format: Format::FIRST, ..store_options() };
    drop(store::open(&dir, old).expect("a new journal"));

    let office = closed.open().await;
    office.schedule("small", &small_sale("small-1", "A", 5, &json!({}))).await;
    office.buyer().join_and_hold(None, "A1").await;
    let refused = office.journal(&["format", "raise"]).await;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("in use"), "{why}");
    let shown = said(&office.journal(&["format", "show"]).await);
    assert_eq!(shown, "the store: format 1\nthis program: formats up to 2\n");

    let closed = office.stop().await;
    let raised = said(&closed.journal(&["format", "raise"]).await);
    assert_eq!(raised, "the store: format 2, and 1 before\n");
    let office = closed.open().await;
    office.buyer().join_and_hold(None, "A2").await;
    let closed = office.stop().await;
    closed.verify().await;
    let journal = store::open(&dir, store_options()).expect("it is closed");
    let formats = formats(&*journal, StreamId(1));
    assert!(formats.is_sorted() && formats.contains(&1) && formats.contains(&2), "{formats:?}");
}
