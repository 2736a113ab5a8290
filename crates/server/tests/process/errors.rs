//! Every documented error, each from a request that deserves it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{
    Ask, BoxOffice, Buyer, Options, note, random_key, reservation_id, small_sale, until,
};

/// A box office with one sale, and somebody whose turn it is.
async fn somebody_admitted() -> (BoxOffice, Buyer) {
    let limits = json!({ "active_limit": 2 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    buyer.turn().await;
    (office, buyer)
}

/// The same claims under a header that asks for no signature.
fn unsigned(token: &str) -> String {
    let payload = token.split('.').nth(1).expect("a payload");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{payload}.")
}

/// The same signature under other claims.
fn forged(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(ToOwned::to_owned).collect();
    let payload = URL_SAFE_NO_PAD.decode(&parts[1]).expect("base64url");
    let payload = String::from_utf8(payload).expect("text").replace("/0\"", "/1\"");
    parts[1] = URL_SAFE_NO_PAD.encode(payload);
    parts.join(".")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_ours_is_refused_everywhere() {
    let (office, buyer) = somebody_admitted().await;
    // Another box office with the same names and numbers, but a key and a history of its own.
    let (_elsewhere, stranger) = somebody_admitted().await;
    let no_tokens = [
        ("garbage".to_owned(), "garbage"),
        ("a.b.c".to_owned(), "three parts"),
        (unsigned(&buyer.token), "alg none"),
        (forged(&buyer.token), "other claims"),
        (format!("{}A", buyer.token), "a longer signature"),
        (buyer.token[..buyer.token.len() - 1].to_owned(), "a shorter one"),
        (stranger.token, "another key"),
    ];
    let calls = [
        ("GET", "/queue/status"),
        ("GET", "/queue/events"),
        ("GET", "/reservations/2099-05-01"),
        ("POST", "/queue/token"),
        ("DELETE", "/queue/token"),
        ("POST", "/reservations"),
        ("GET", "/me/reservations"),
        ("POST", "/payment"),
    ];
    let mut connection = office.connect();
    for (method, path) in calls {
        for (token, name) in &no_tokens {
            let body = json!({ "seat_number": "A1" });
            let ask = Ask { token: Some(token), ..Ask::json(&body) };
            let refused = connection.ask(method, path, ask).await;
            assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
            note(format_args!("{method} {path} with {name}"));
            refused.refused(401, "token_invalid");
        }
        if !matches!((method, path), ("GET", "/reservations/2099-05-01") | ("POST", "/queue/token"))
        {
            let ask = Ask::json(&json!({ "seat_number": "A1" }));
            connection.ask(method, path, ask).await.refused(401, "token_missing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_epoch_is_refused() {
    let (office, mut buyer) = somebody_admitted().await;
    buyer.status().await;
    // An operator accepts the history anew, as after a restore: key, place and nonce are the same.
    let again = Options::words(&["--accept-shorter-history"]);
    let office = office.stop().await.with(again).open().await;
    assert_eq!(office.sale("small").await["admitted"], 1);
    let mut buyer = buyer.again(office.public);
    buyer.get("/queue/status").await.refused(401, "token_invalid");
    buyer.join(None).await.expect(201);
    buyer.status().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_serves_its_living_place_only() {
    let office = BoxOffice::open(Options::words(&["--token-ttl", "2"])).await;
    let limits = json!({ "active_limit": 1, "place_ttl": 8, "arrive_ttl": 20, "choose_ttl": 20 });
    office.schedule("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut first, mut waiting) = (office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    let reservation = reservation_id(&first.hold("A1").await.expect(201));
    waiting.join(None).await.expect(201);
    let (held_token, old_token) = (first.token.clone(), waiting.token.clone());
    let mut connection = office.connect();
    let expired = until("the token to expire", async || {
        let answer = connection.get("/reservations/2099-05-01", Some(&old_token)).await;
        (answer.status == 401).then_some(answer)
    });
    expired.await.refused(401, "token_expired");

    // The place lives: a fresh token for it, and no new place.
    let ask = Ask { token: Some(&old_token), ..Ask::default() };
    let renewed = connection.ask("POST", "/queue/token", ask.clone()).await.expect(200);
    assert_eq!((&renewed["position"], &renewed["status"]), (&json!(2), &json!("waiting")));
    let wish = json!({ "seat_number": "A2" });
    connection.post("/reservations", Some(&old_token), &wish).await.refused(401, "token_expired");
    // A live reservation can be looked at and paid.
    let mine = connection.get("/me/reservations", Some(&held_token)).await;
    assert_eq!(mine.expect(200)["reservations"][0]["reservation_id"], reservation);
    let payment = json!({ "reservation_id": reservation, "payment": { "method": "card", "token": "tok_ok" } });
    connection.post("/payment", Some(&held_token), &payment).await.expect(200);

    // The place ends, for nobody asks for it any more; the token then serves for nothing but to
    // read that, and joining is joining anew.
    let ended = until("the place to end", async || {
        let line = office.sale("small").await;
        (line["waiting"] == 0 && line["admitted"] == 0).then_some(())
    });
    ended.await;
    let status = connection.get("/queue/status", Some(&old_token)).await.expect(200);
    assert_eq!(status["status"], "ended", "{status}");
    connection.get("/me/reservations", Some(&old_token)).await.refused(401, "token_expired");
    connection.ask("POST", "/queue/token", ask).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_of_somebody_else_does_not_exist() {
    let (office, mut owner) = somebody_admitted().await;
    let reservation = reservation_id(&owner.hold("A1").await.expect(201));
    let mut stranger = office.buyer();
    stranger.join(None).await.expect(201);
    stranger.turn().await;
    let path = format!("/me/reservations/{reservation}");
    stranger.get(&path).await.refused(404, "reservation_not_found");
    stranger.delete(&path).await.refused(404, "reservation_not_found");
    stranger.pay(&reservation, "tok_ok").await.refused(404, "reservation_not_found");
    for unknown in ["12345", "0000000000000", "zzzzzzzzzzzzz"] {
        stranger.pay(unknown, "tok_ok").await.refused(404, "reservation_not_found");
        let path = format!("/me/reservations/{unknown}");
        stranger.get(&path).await.refused(404, "reservation_not_found");
    }
    assert_eq!(stranger.get("/me/reservations").await.expect(200)["reservations"], json!([]));
    assert!(office.book().payments.is_empty());
    owner.pay(&reservation, "tok_ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_seats_that_cannot_be_met_is_refused() {
    let (office, mut buyer) = somebody_admitted().await;
    let five = ["A1", "A2", "A3", "A4", "A5"];
    let table = [
        (json!({ "seat_number": "Z99" }), 404, "seat_not_found"),
        (json!({ "seat_number": "" }), 404, "seat_not_found"),
        (json!({ "seat_number": "A99999999999999999999" }), 404, "seat_not_found"),
        (json!({ "seat_numbers": ["A1", "nowhere"] }), 404, "seat_not_found"),
        (json!({ "seat_numbers": [] }), 422, "no_seats"),
        (json!({ "best": 0 }), 422, "no_seats"),
        (json!({ "best": 5 }), 422, "too_many_seats"),
        (json!({ "best": 2, "grade": "nowhere" }), 404, "grade_not_found"),
        (json!({ "best": 1, "price": 99 }), 409, "price_changed"),
        (json!({ "best": 2, "seat_number": "A1" }), 400, "malformed_request"),
        (json!({ "best": -2 }), 400, "malformed_request"),
        (json!({}), 422, "no_seats"),
        (json!({ "seat_numbers": ["A1", "A1"] }), 422, "duplicate_seat"),
        (json!({ "seat_numbers": five }), 422, "too_many_seats"),
        (json!({ "seat_number": "A1", "price": 99 }), 409, "price_changed"),
        (json!({ "seat_number": "A1", "price": 0 }), 409, "price_changed"),
        (json!({ "seat_number": "A1", "price": u64::MAX }), 409, "price_changed"),
        (json!({ "seat_numbers": ["A1", "A2"], "amount": 100 }), 409, "price_changed"),
        (json!({ "seat_number": "A1", "price": -100 }), 400, "malformed_request"),
        (json!({ "seat_number": "A1", "price": 1e300 }), 400, "malformed_request"),
        (json!({ "seat_number": "A1", "price": "100" }), 400, "malformed_request"),
        (json!({ "seat_number": -1 }), 400, "malformed_request"),
        (json!({ "seat_number": 18_446_744_073_709_551_615_u64 }), 400, "malformed_request"),
        (json!({ "seat_number": ["A1"] }), 400, "malformed_request"),
        (json!(["A1"]), 400, "malformed_request"),
        (json!(null), 400, "malformed_request"),
        (json!({ "seat_number": "A1", "performance_id": "other" }), 404, "performance_not_found"),
        (json!({ "seat_number": "A1", "date": "2099-05-02" }), 404, "performance_not_found"),
        (json!({ "seat_number": "A1", "date": "2026-02-30" }), 400, "malformed_request"),
    ];
    for (wish, status, code) in table {
        let answer = buyer.post("/reservations", &wish).await;
        note(format_args!("{wish}: {}", answer.text));
        let problem = answer.refused(status, code);
        if code == "too_many_seats" {
            assert_eq!(problem["seats_per_reservation"], 4, "the limit that was met");
        }
        if code == "price_changed" && wish["amount"].is_null() {
            assert_eq!(problem["amount"], 100, "what it costs");
        }
    }
    let sale = office.sale("small").await;
    assert_eq!((&sale["seats"]["free"], &sale["choosing"]), (&json!(75), &json!(1)));

    // The other end of each limit is allowed.
    let four = json!({ "seat_numbers": &five[..4], "amount": 400, "price": 100, "color": "red" });
    buyer.post("/reservations", &four).await.expect(201);
    buyer.hold("B1").await.refused(409, "reservation_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_turn_no_seat_is_to_be_had() {
    let limits = json!({ "active_limit": 1 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut first, mut second) = (office.buyer(), office.buyer());
    first.join(None).await.expect(201);
    second.join(None).await.expect(201);
    let refused = second.hold("A1").await.refused(403, "not_admitted");
    assert_eq!((&refused["position"], &refused["total"]), (&json!(2), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused() {
    let (office, buyer) = somebody_admitted().await;
    let token = Some(buyer.token.as_str());
    let mut connection = office.connect();
    let json_type = ("content-type", "application/json");
    let body = |text: &str| Some(text.to_owned().into());
    let mebibyte = format!("{{\"seat_number\":\"{}\"}}", "A".repeat(1 << 20));
    let table = [
        (
            Ask { token, headers: vec![json_type], body: body("{\"seat_number\":") },
            400,
            "malformed_request",
        ),
        (Ask { token, headers: vec![json_type], body: body("\u{0}") }, 400, "malformed_request"),
        (Ask { token, headers: vec![json_type], body: None }, 400, "malformed_request"),
        (Ask { token, headers: vec![json_type], body: body(&mebibyte) }, 413, "body_too_large"),
        (
            Ask { token, headers: vec![("content-type", "text/xml")], body: body("<seat/>") },
            415,
            "unsupported_media_type",
        ),
        (
            Ask {
                token,
                headers: vec![("content-type", "application/x-www-form-urlencoded")],
                body: body("seat_number=A1"),
            },
            415,
            "unsupported_media_type",
        ),
    ];
    for (ask, status, code) in table {
        let answer = connection.ask("POST", "/reservations", ask).await;
        answer.refused(status, code);
        // A body that nobody read to its end may have cost the connection; the next gets another.
        connection = office.connect();
    }
    let bytes = Ask { token, headers: vec![json_type], body: Some(vec![b'"', 0xff, b'"'].into()) };
    connection.ask("POST", "/reservations", bytes).await.refused(400, "malformed_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_verb_or_date_that_does_not_exist_is_refused() {
    let (office, _) = somebody_admitted().await;
    let mut connection = office.connect();
    let table = [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/web/nothing.js", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("POST", "/queue/token/more", 404, "not_found"),
        ("PUT", "/queue/token", 405, "method_not_allowed"),
        ("POST", "/queue/status", 405, "method_not_allowed"),
        ("DELETE", "/reservations", 405, "method_not_allowed"),
        ("GET", "/reservations/2026-02-30", 400, "malformed_request"),
        ("GET", "/reservations/2026-13-01", 400, "malformed_request"),
        ("GET", "/reservations/tomorrow", 400, "malformed_request"),
        ("GET", "/reservations/20990501", 400, "malformed_request"),
        ("GET", "/reservations/-2099-05-01", 400, "malformed_request"),
        ("GET", "/reservations/99999-05-01", 400, "malformed_request"),
        ("GET", "/reservations/2099-05-01T00:00", 400, "malformed_request"),
        ("GET", "/reservations/2099-05-02", 404, "performance_not_found"),
        ("GET", "/reservations/%ff", 400, "malformed_request"),
        ("GET", "/performances/none", 404, "performance_not_found"),
        ("GET", "/performances/none/plan", 404, "performance_not_found"),
        ("GET", "/performances/none/availability", 404, "performance_not_found"),
        ("GET", "/admin/sales/small", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
    ];
    for (method, path, status, code) in table {
        let answer = connection.ask(method, path, Ask::default()).await;
        note(format_args!("{method} {path}: {}", answer.text));
        let detail =
            answer.refused(status, code)["detail"].as_str().expect("a sentence").to_owned();
        assert!(!detail.is_ascii(), "people are told in Korean: {detail}");
        let english = Ask { headers: vec![("accept-language", "en")], ..Ask::default() };
        let english = connection.ask(method, path, english).await.refused(status, code);
        assert!(english["detail"].as_str().expect("a sentence").is_ascii(), "{english}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_a_secret_and_stands_for_one_request() {
    let (office, mut buyer) = somebody_admitted().await;
    let mut other = office.buyer();
    for weak in
        ["1", "join-me", "00000000-0000-0000-0000-000000000000", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    {
        let answer = other.try_post("/queue/token", weak, &json!({})).await.expect("an answer");
        assert_eq!((answer.status, answer.code()), (400, "idempotency_key_weak"), "{weak}");
    }
    let key = random_key();
    other.try_post("/queue/token", &key, &json!({})).await.expect("an answer").expect(201);
    let entry = other.entry();
    let mut lost_its_token = office.buyer();
    let again = lost_its_token.try_post("/queue/token", &key, &json!({})).await;
    again.expect("an answer").expect(200);
    assert_eq!(lost_its_token.entry(), entry, "the same key finds the same place");

    let key = random_key();
    let wish = json!({ "seat_number": "A1" });
    let held = buyer.try_post("/reservations", &key, &wish).await.expect("an answer").expect(201);
    let again = buyer.try_post("/reservations", &key, &wish).await.expect("an answer").expect(201);
    assert_eq!(held["reservation_id"], again["reservation_id"]);
    let other_wish = json!({ "seat_number": "A2" });
    let mismatch = buyer.try_post("/reservations", &key, &other_wish).await.expect("an answer");
    mismatch.refused(422, "idempotency_mismatch");

    let key = random_key();
    let pay = |token: &str| -> Value {
        json!({ "reservation_id": held["reservation_id"], "payment": { "method": "card", "token": token } })
    };
    let first = buyer.try_post("/payment", &key, &pay("tok_declined")).await.expect("an answer");
    first.refused(402, "payment_declined");
    // A decline too is remembered: the key does not charge, even where another token would.
    let again = buyer.try_post("/payment", &key, &pay("tok_declined")).await.expect("an answer");
    again.refused(402, "payment_declined");
    assert_eq!(office.book().payments.len(), 1);
    let key = random_key();
    let paid =
        buyer.try_post("/payment", &key, &pay("tok_ok")).await.expect("an answer").expect(200);
    let again =
        buyer.try_post("/payment", &key, &pay("tok_ok")).await.expect("an answer").expect(200);
    assert_eq!(paid["payment_id"], again["payment_id"]);
    assert_eq!(office.book().kept(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_is_not_on_says_so() {
    let office = BoxOffice::open(Options::default()).await;
    office.buyer().join(None).await.refused(404, "sale_not_found");
    let mut sale = small_sale("small-1", "E", 15, &json!({}));
    sale["opens_at"] = json!("2099-01-01T10:00");
    office.schedule("small", &sale).await;
    let early = office.buyer().join(None).await.refused(403, "sale_not_open");
    assert_eq!(early["opens_at"], "2099-01-01T01:00:00.000Z");
    office.operate("POST", "/admin/sales/small/open", None).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    office.operate("POST", "/admin/sales/small/close", None).await;
    office.buyer().join(None).await.refused(410, "sale_closed");
    assert_eq!(buyer.status().await["reason"], "closed");
}
