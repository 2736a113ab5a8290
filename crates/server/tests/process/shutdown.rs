//! The graceful end: whoever was let in is answered, and nobody new is let in.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::{BoxOffice, Options, reservation_id, small_sale, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_under_way_is_answered_before_the_end() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let addr = office.public;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "A1").await);
    let mut other_tab = buyer.again(addr);
    let idle = TcpStream::connect(addr).await.expect("a connection");

    let paying = tokio::spawn(async move { buyer.pay(&reservation, "tok_slow").await });
    until("the payment to be under way", async || {
        (other_tab.status().await["status"] == "paying").then_some(())
    })
    .await;
    office.terminate().await;
    // Those who ask nothing are sent away at once, the others when they have been answered.
    let mut idle = idle;
    assert_eq!(idle.read(&mut [0]).await.expect("an end"), 0);
    until("nobody new to be let in", async || TcpStream::connect(addr).await.err()).await;
    let paid = paying.await.expect("an answer");
    assert_eq!(paid.expect(200)["status"], "success");
    let (status, closed) = office.end().await;
    assert!(status.success(), "{status}");
    closed.verify().await;
    assert_eq!(closed.book().kept(), 100);
    let restarted = closed.open().await;
    assert_eq!(restarted.sale("small").await["seats"]["sold"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "A1").await);
    let mut other_tab = buyer.again(office.public);
    let paying = tokio::spawn(async move {
        let body = json!({ "reservation_id": reservation, "payment": { "method": "card", "token": "tok_lost" } });
        buyer.try_post("/payment", "a-key-of-this-place", &body).await
    });
    until("the payment to be under way", async || {
        (other_tab.status().await["status"] == "paying").then_some(())
    })
    .await;
    office.terminate().await;
    let addr = office.public;
    until("the first signal to be noticed", async || TcpStream::connect(addr).await.err()).await;
    office.terminate().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), office.end()).await;
    let (status, closed) = ended.expect("it does not wait for the provider");
    assert!(!status.success());
    assert!(paying.await.expect("no panic").is_err());
    closed.verify().await;
    let sale = closed.open().await.sale("small").await;
    assert_eq!((&sale["admitted"], &sale["seats"]["held"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let office = BoxOffice::open(Options::words(&["--idle-timeout", "1"])).await;
    let mut silent = TcpStream::connect(office.public).await.expect("a connection");
    let ended = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut [0])).await;
    assert_eq!(ended.expect("it is closed in time").expect("an end"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_waits_for_its_turn() {
    let office = BoxOffice::open(Options::words(&["--connections", "1"])).await;
    let mut first = office.connect();
    first.get("/healthz", None).await.expect(200);
    let mut second = office.connect();
    let waits =
        tokio::time::timeout(Duration::from_millis(300), second.get("/healthz", None)).await;
    assert!(waits.is_err(), "only one connection was allowed");
    drop((first, second));
    office.connect().get("/healthz", None).await.expect(200);
}
