//! The ledger beside a running box office: that it follows, that it can be made again, and what
//! happens when a seat has two owners in it. What its rows say is tested where its SQL is.

use std::process::Output;

use serde_json::json;
use store::ledger::write_by_hand;

use crate::postgres::{on, server};
use crate::support::{BoxOffice, Closed, Connection, Options, reservation_id, small_sale, until};

const FOREIGN_CLAIM: &str = include_str!("../../../store/tests/ledger/foreign_claim.sql");
const OWN_VIEW: &str = include_str!("../../../store/tests/ledger/own_view.sql");

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Whether the file of a closed box office says this somewhere.
fn holds(closed: &Closed, text: &str) -> bool {
    let bytes = std::fs::read(closed.data().join("ledger.sqlite")).expect("a ledger");
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Waits until everything is in the ledger.
pub(crate) async fn level(office: &BoxOffice) {
    until("the ledger to follow", async || {
        let status = office.ledger(&["status"]).await;
        let said = said(&status);
        (status.status.success() && said.contains(", 0 behind")).then_some(())
    })
    .await;
}

/// How far behind it is by the metrics.
async fn lag_s(operators: &mut Connection) -> u64 {
    let metrics = operators.get("/metrics", None).await;
    let lag = metrics.text.lines().find_map(|line| line.strip_prefix("maepyo_ledger_lag_seconds "));
    lag.expect("a metric").parse().expect("whole seconds")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_what_is_sold_and_can_be_made_again() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "A1").await);
    buyer.pay(&reservation, "tok_ok").await.expect(200);
    level(&office).await;
    let mut operators = Connection::to(office.operators);
    until("the ledger to be level", async || (lag_s(&mut operators).await <= 2).then_some(()))
        .await;

    let refused = office.ledger(&["rebuild"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("in use by another process"), "{}", said(&refused));

    let closed = office.stop().await;
    let rebuilt = closed.ledger(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    assert!(said(&rebuilt).contains("ledger.sqlite: built from "), "{}", said(&rebuilt));
    assert!(holds(&closed, &reservation), "ids are written as the API shows them");

    // Without the file the next start makes it again, from the first batch.
    std::fs::remove_file(closed.data().join("ledger.sqlite")).expect("a ledger");
    let office = closed.open().await;
    level(&office).await;
    let closed = office.kill().await;
    let status = closed.ledger(&["status"]).await;
    assert!(said(&status).contains(", 0 behind"), "{}", said(&status));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_with_two_owners_stops_its_sale() {
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    office.schedule("other", &small_sale("other-1", "E", 15, &json!({}))).await;
    let (mut buyer, mut other) = (office.buyer(), office.buyer());
    buyer.join(Some(&json!({ "performance_id": "small-1" }))).await.expect(201);
    buyer.turn().await;
    other.join(Some(&json!({ "performance_id": "other-1" }))).await.expect(201);
    other.turn().await;
    let ledger = office.dir().join("data/ledger.sqlite");
    write_by_hand(&ledger, FOREIGN_CLAIM).expect("it can be written");

    let reservation = reservation_id(&buyer.hold("A1").await.expect(201));
    let mut operators = Connection::to(office.operators);
    let trouble = until("the sale to stop", async || {
        let ready = operators.get("/readyz", None).await;
        (ready.status == 503).then(|| ready.json["trouble"].to_string())
    })
    .await;
    for name in ["sale small", "seat A1", "small-1", "0foreignclaim", &reservation] {
        assert!(trouble.contains(name), "{trouble}");
    }
    assert_eq!(office.connect().get("/readyz", None).await.status, 503);
    buyer.pay(&reservation, "tok_ok").await.refused(503, "unavailable");
    assert_eq!(buyer.status().await["status"], "holding", "it can still be read");
    other.hold("A1").await.expect(201);
    until("the lag to show", async || (lag_s(&mut operators).await >= 4).then_some(())).await;

    // It stays so, over a restart, until the ledger is mended.
    let office = office.stop().await.open().await;
    let mut operators = Connection::to(office.operators);
    until("the sale to stop again", async || {
        (operators.get("/readyz", None).await.status == 503).then_some(())
    })
    .await;
    let closed = office.stop().await;
    let log = closed.log();
    let line = log.lines().find(|line| line.contains("two live owners")).expect("a line");
    for name in ["ERROR", "A1", "0foreignclaim", &reservation] {
        assert!(line.contains(name), "{line}");
    }
    let rebuilt = closed.ledger(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    let office = closed.open().await;
    level(&office).await;
    assert_eq!(Connection::to(office.operators).get("/readyz", None).await.status, 200);
    let mut buyer = buyer.again(office.public);
    buyer.pay(&reservation, "tok_ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_need_not_be_kept() {
    let office = BoxOffice::open(Options::words(&["--no-ledger"])).await;
    let metrics = Connection::to(office.operators).get("/metrics", None).await;
    assert!(!metrics.text.contains("ledger"), "{}", metrics.text);
    let status = office.ledger(&["status"]).await;
    assert_eq!(status.status.code(), Some(1));
    assert!(said(&status).contains("there is no ledger"), "{}", said(&status));
    let closed = office.stop().await;
    assert!(!closed.data().join("ledger.sqlite").exists());
}

/// Which node keeps the ledger in PostgreSQL.
async fn keeper(office: &BoxOffice) -> String {
    let status = said(&office.ledger(&["status"]).await);
    let line = status.lines().find_map(|line| line.strip_prefix("kept by "));
    let line = line.unwrap_or_else(|| panic!("nobody says who keeps it: {status}"));
    line.split_once(',').map_or(line, |(node, _)| node).to_owned()
}

async fn buy(office: &BoxOffice, seat: &str) {
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, seat).await);
    buyer.pay(&reservation, "tok_ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_one_of_two_nodes_keeps_it_and_the_other_goes_on_when_that_is_killed() {
    let server = server();
    let url = server.make_schema("office");
    let one = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    level(&one).await;
    let first = keeper(&one).await;
    let two = BoxOffice::open(on(&url)).await;
    for (node, seat) in [(&one, "A1"), (&two, "A2")] {
        buy(node, seat).await;
        level(node).await;
        assert_eq!(keeper(node).await, first);
        let mut operators = Connection::to(node.operators);
        until("the ledger to be level", async || (lag_s(&mut operators).await <= 3).then_some(()))
            .await;
    }

    let one = one.kill().await;
    buy(&two, "A3").await;
    level(&two).await;
    let second = keeper(&two).await;
    assert!(second != first && second != "nobody", "{first}, then {second}");
    let verdict = two.journal(&["verify"]).await;
    let verdict = said(&verdict);
    assert!(verdict.contains("; the ledger says the same after batch "), "{verdict}");

    // Made anew while it is kept, by somebody who then leaves it to the nodes.
    let rebuilt = one.ledger(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    let words = "the schema ledger in PostgreSQL: built from ";
    assert!(said(&rebuilt).contains(words), "{}", said(&rebuilt));
    buy(&two, "A4").await;
    level(&two).await;
    until("a node to keep it again", async || (keeper(&two).await == second).then_some(())).await;
    let two = two.stop().await;
    let status = said(&two.ledger(&["status"]).await);
    assert!(status.contains(", 0 behind") && status.contains("kept by nobody"), "{status}");
    for closed in [&one, &two] {
        assert!(!closed.data().join("ledger.sqlite").exists(), "nothing of it is in a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_it_is_opened_when_that_is_possible() {
    let server = server();
    let url = server.make_schema("office");
    let office = BoxOffice::open(on(&url)).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    level(&office).await;
    let closed = office.stop().await;
    // A newer program, and somebody's own view of the older tables.
    server.run("public", OWN_VIEW);
    let office = closed.open().await;
    buy(&office, "A1").await;
    let mut operators = Connection::to(office.operators);
    until("the lag to show", async || (lag_s(&mut operators).await >= 2).then_some(())).await;
    assert_eq!(operators.get("/readyz", None).await.status, 200);
    server.run("public", "DROP VIEW report");
    level(&office).await;
    until("the ledger to be level", async || (lag_s(&mut operators).await <= 1).then_some(()))
        .await;
    let log = office.stop().await.log();
    let waits = log.lines().filter(|line| line.contains("WARN") && line.contains("the ledger"));
    assert_eq!(waits.count(), 1, "it is said once: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_a_seat_with_two_owners_stops_its_sale_on_every_node() {
    let server = server();
    let url = server.make_schema("office");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    two.lists(1).await;
    let mut buyer = two.buyer();
    buyer.join(None).await.expect(201);
    buyer.turn().await;
    level(&one).await;
    server.run("ledger", FOREIGN_CLAIM);
    let reservation = reservation_id(&buyer.hold("A1").await.expect(201));
    for node in [&one, &two] {
        let mut operators = Connection::to(node.operators);
        let trouble = until("the sale to stop", async || {
            let ready = operators.get("/readyz", None).await;
            (ready.status == 503).then(|| ready.json["trouble"].to_string())
        })
        .await;
        for name in ["sale small", "seat A1", "0foreignclaim", &reservation] {
            assert!(trouble.contains(name), "{trouble}");
        }
        buyer.again(node.public).pay(&reservation, "tok_ok").await.refused(503, "unavailable");
    }

    // Mended, it stops nobody who starts again.
    let rebuilt = one.ledger(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    let (one, two) = (one.stop().await.open().await, two.stop().await.open().await);
    buyer.again(one.public).pay(&reservation, "tok_ok").await.expect(200);
    level(&two).await;
    for node in [&one, &two] {
        assert_eq!(Connection::to(node.operators).get("/readyz", None).await.status, 200);
    }
}
