//! Tickets as they are kept and shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn tickets_are_there_when_it_is_paid_and_not_before() {
    let halls = vec![performance("large-1", "2099-05-01", LARGE)];
    let office = Office::open(vec![("large", halls, Limits::default())]).await;
    let first = office.join(With::default()).await;
    let wish = token(&first).and_body(json!({ "seat_numbers": ["B7", "2-A1"] }));
    let held = office.ask("POST", "/reservations", wish).await.is(201);
    let id = held["reservation_id"].as_str().unwrap();
    let path = format!("/me/reservations/{id}/tickets");
    office.get(&path, token(&first)).await.refused(409, "wrong_state");
    let pending = office.pay(&first, id, "tok_timeout").await.is(202);
    let refused = office.get(&path, token(&first)).await.refused(409, "payment_in_progress");
    assert_eq!(refused["payment_id"], pending["payment_id"]);
}

#[tokio::test]
async fn all_that_stands_on_a_ticket_is_told_to_its_buyer_and_its_holder() {
    let halls = vec![performance("large-1", "2099-05-01", LARGE)];
    let office = Office::open(vec![("large", halls, Limits::default())]).await;
    let (first, other) = (office.join(With::default()).await, office.join(With::default()).await);
    let wish = token(&first).and_body(json!({ "seat_numbers": ["B7", "2-A1"] }));
    let held = office.ask("POST", "/reservations", wish).await.is(201);
    let id = held["reservation_id"].as_str().unwrap();
    let paid = office.pay(&first, id, "tok_ok").await.is(200);
    let path = format!("/me/reservations/{id}/tickets");
    let told = office.get(&path, token(&first)).await;
    assert_eq!(told.header("cache-control"), "no-store");
    let told = told.is(200);
    let holder = paid["tickets_token"].as_str().unwrap();
    assert_eq!(office.get(&path, token(holder)).await.is(200), told);

    for (field, value) in [
        ("performance_id", json!("large-1")),
        ("title", json!("Concert large-1")),
        ("venue", json!("회관")),
        ("date", json!("2099-05-01")),
        ("starts_at", json!("2023-11-14T22:13:20.000Z")),
        ("time_zone", json!("Asia/Seoul")),
        ("reservation_id", json!(id)),
        ("currency", json!("KRW")),
    ] {
        assert_eq!(told[field], value, "{field}");
    }
    let tickets = told["tickets"].as_array().unwrap();
    let printed = |at: usize| {
        ["seat_number", "section", "row", "grade", "price"].map(|field| tickets[at][field].clone())
    };
    assert_eq!(
        printed(0),
        [json!("B7"), json!("1F \"floor\""), json!("B"), json!("R"), json!(100)]
    );
    assert_eq!(printed(1), [json!("2-A1"), json!("2층"), json!("A"), json!("S"), json!(60)]);
    for (ticket, bought) in tickets.iter().zip(paid["tickets"].as_array().unwrap()) {
        assert_eq!(ticket["ticket_id"], bought["ticket_id"]);
        let size = usize::try_from(ticket["qr"]["size"].as_u64().unwrap()).unwrap();
        let modules = STANDARD.decode(ticket["qr"]["modules"].as_str().unwrap()).unwrap();
        assert_eq!(modules.len(), (size * size).div_ceil(8));
        assert_eq!(modules[0], 0b1111_1110, "the finder's upper edge");
    }

    office.get(&path, token(&other)).await.refused(404, "reservation_not_found");
    office.get(&path, With::default()).await.refused(401, "token_missing");
    let another = "/me/reservations/0000000000000/tickets";
    office.get(another, token(holder)).await.refused(404, "reservation_not_found");
}

#[tokio::test]
async fn seats_that_were_given_back_have_no_tickets() {
    let office = Office::small(1).await;
    let first = office.join(With::default()).await;
    let id = office.hold(&first, "A1").await;
    let path = format!("/me/reservations/{id}");
    office.ask("DELETE", &path, token(&first)).await.is(200);
    let path = format!("{path}/tickets");
    office.get(&path, token(&first)).await.refused(410, "reservation_expired");
}
