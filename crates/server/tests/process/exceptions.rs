//! The use case's exceptions: a full line, a declined payment, a hold that nobody pays for.

use serde_json::json;

use crate::support::{BoxOffice, HASTE, reservation_id, small_sale, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_refuses_until_somebody_leaves() {
    let limits = json!({ "active_limit": 1, "line_capacity": 2 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    // One is admitted, two wait: there is room for no more.
    let (mut admitted, mut second, mut third) = (office.buyer(), office.buyer(), office.buyer());
    assert_eq!(admitted.join(None).await.expect(201)["position"], 1);
    assert_eq!(second.join(None).await.expect(201)["position"], 2);
    assert_eq!(third.join(None).await.expect(201)["position"], 3);
    let mut late = office.buyer();
    let full = late.join(None).await;
    assert!(!full.header("retry-after").is_empty());
    assert_eq!(full.refused(409, "queue_full")["line_capacity"], 2);

    assert_eq!(second.delete("/queue/token").await.status, 204);
    assert_eq!(late.join(None).await.expect(201)["position"], 3);
    assert_eq!(third.status().await["position"], 2);
    assert_eq!(second.status().await["reason"], "left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_can_be_tried_again() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "B7").await);

    for (token, reason) in
        [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds")]
    {
        let declined = buyer.pay(&reservation, token).await.refused(402, "payment_declined");
        assert_eq!(declined["payment_status"], "failed");
        assert_eq!((&declined["reason"], &declined["retryable"]), (&json!(reason), &json!(true)));
        assert!(declined["expires_in_ms"].as_u64().expect("a time") >= 59_000, "{declined}");
        assert_eq!(buyer.status().await["status"], "holding");
        let mine = buyer.get(&format!("/me/reservations/{reservation}")).await.expect(200);
        assert_eq!(mine["last_payment"]["reason"], reason);
    }
    let paid = buyer.pay(&reservation, "tok_ok").await.expect(200);
    let payment_id = paid["payment_id"].as_str().expect("a payment's id");
    let again = buyer.pay(&reservation, "tok_ok").await.refused(409, "already_paid");
    assert_eq!(again["payment_id"], payment_id);

    let book = office.book();
    assert_eq!(book.payments.len(), 3, "two declined, one charged, none after that");
    assert_eq!((book.account(payment_id).charges, book.kept()), (1, 100));
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_payment_is_waited_for() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    let reservation = reservation_id(&buyer.join_and_hold(None, "B7").await);
    let mut other_tab = buyer.again(office.public);
    let (paid, meanwhile) = tokio::join!(buyer.pay(&reservation, "tok_slow"), async {
        until("the payment to be under way", async || {
            (other_tab.status().await["status"] == "paying").then_some(())
        })
        .await;
        other_tab.pay(&reservation, "tok_ok").await
    });
    let meanwhile = meanwhile.expect(202);
    assert_eq!(meanwhile["payment_status"], "pending");
    let payment_id = paid.expect(200)["payment_id"].clone();
    assert_eq!(meanwhile["payment_id"], payment_id);
    assert_eq!(office.book().kept(), 100, "charged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_pays_for_ends_and_its_seat_is_free() {
    let limits = json!({ "active_limit": 1, "hold_ttl": 2, "payment_deadline": 1 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "A", 1, &limits)).await;
    let (mut first, mut second) = (office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    second.join(None).await.expect(201);
    first.turn().await;
    let held = first.hold("A1").await.expect(201);
    let reservation = reservation_id(&held);
    assert!(held["expires_in_ms"].as_u64().expect("a time") <= 3_000);
    assert_eq!(second.status().await["position"], 2);

    // The only seat comes back to the line: to the one who waits.
    let ended = until("the hold to end", async || {
        let status = first.status().await;
        (status["status"] == "ended").then_some(status)
    });
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3) + HASTE, ended).await;
    assert_eq!(ended.expect("the hold ends in time")["reason"], "hold_expired");
    second.turn().await;
    let held = second.hold("A1").await.expect(201);
    first.pay(&reservation, "tok_ok").await.refused(410, "reservation_expired");
    assert!(office.book().payments.is_empty(), "nobody was charged for a seat that is gone");
    second.pay(&reservation_id(&held), "tok_ok").await.expect(200);
    office.buyer().join(None).await.refused(410, "sold_out");
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_given_back_are_free_and_others_can_be_chosen() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let (mut buyer, mut other) = (office.buyer(), office.buyer());
    buyer.join(None).await.expect(201);
    other.join(None).await.expect(201);
    buyer.turn().await;
    let reservation = reservation_id(&buyer.hold("C3").await.expect(201));
    other.turn().await;
    let taken = other.hold("C3").await.refused(409, "seat_taken");
    assert_eq!(taken["taken"], json!(["C3"]));
    let alternatives = taken["alternatives"].as_array().expect("others near by");
    assert!(!alternatives.is_empty() && !alternatives.contains(&json!("C3")), "{taken}");

    let path = format!("/me/reservations/{reservation}");
    other.get(&path).await.refused(404, "reservation_not_found");
    other.delete(&path).await.refused(404, "reservation_not_found");
    assert!(matches!(buyer.delete(&path).await.status, 200 | 204));
    other.hold("C3").await.expect(201);
    let again = reservation_id(&buyer.hold("C4").await.expect(201));
    assert_ne!(again, reservation);
    buyer.pay(&reservation, "tok_ok").await.refused(410, "reservation_expired");
    buyer.pay(&again, "tok_ok").await.expect(200);
}
