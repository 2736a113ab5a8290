//! The use case, step by step, on the demo: as someone would write it who knows only that document.

use serde_json::{Value, json};

use crate::support::{Ask, BoxOffice, Buyer, Options, reservation_id, until};

const ENGLISH: (&str, &str) = ("accept-language", "en");

/// The date of the demo's hall, as anybody can find it out.
async fn date_of_the_hall(office: &BoxOffice) -> String {
    let listed = office.connect().get("/performances", None).await.expect(200);
    let performances = listed["performances"].as_array().expect("a list");
    let hall = performances.iter().find(|one| one["sale_id"] == "demo-hall").expect("the hall");
    assert_eq!((&hall["seat_count"], &hall["state"]), (&json!(75), &json!("open")));
    hall["date"].as_str().expect("a date").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_bought_in_six_steps() {
    let office = BoxOffice::open(Options::words(&["--demo"])).await;
    let date = date_of_the_hall(&office).await;
    let reservations = format!("/reservations/{date}");

    // 1. How many seats are free.
    let free = office.connect().get(&reservations, None).await.expect(200);
    assert_eq!(free["available_count"], 75);
    assert_eq!(free["message"], "예약 가능한 좌석 수: 75");
    assert_eq!((&free["date"], &free["currency"]), (&json!(date), &json!("KRW")));
    assert_eq!(free.get("available_seats"), None, "seats are for those whose turn it is");

    // 2. A token, ten times: the body is empty.
    let mut buyers: Vec<Buyer> = (0..10).map(|_| office.buyer()).collect();
    for (number, buyer) in buyers.iter_mut().enumerate() {
        let joined = buyer.join(None).await.expect(201);
        assert_eq!(joined["position"], number + 1);
        assert!((299_000..=300_000).contains(&joined["expires_in_ms"].as_u64().expect("a time")));
    }

    // 3. The fifth of ten, the first being served.
    let status = buyers[4].status().await;
    assert_eq!(status["message"], "현재 대기 순서: 5 / 총 대기자 수: 10");
    assert_eq!((&status["status"], &status["position"]), (&json!("waiting"), &json!(5)));
    let token = buyers[4].token.clone();
    let ask = Ask { token: Some(&token), headers: vec![ENGLISH], body: None };
    let english = buyers[4].connection.ask("GET", "/queue/status", ask).await;
    assert_eq!(english.header("content-language"), "en");
    assert_eq!(english.expect(200)["message"], "Current position: 5 / people in line: 10");
    let waiting = buyers[4].get(&reservations).await.expect(200);
    assert_eq!((&waiting["position"], &waiting["total"]), (&json!(5), &json!(10)));
    assert_eq!(waiting.get("available_seats"), None);

    // 4. The seats, when the turn comes.
    let first = &mut buyers[0];
    let turn = first.turn().await;
    assert_eq!((&turn["position"], &turn["reservations_url"]), (&json!(1), &json!(reservations)));
    let listed = first.get(&reservations).await.expect(200);
    let seats = listed["available_seats"].as_array().expect("the seats");
    assert_eq!(seats.len(), 75);
    assert_eq!((&seats[0]["seat_number"], &seats[0]["price"]), (&json!("A1"), &json!(100)));
    assert_eq!(seats[74]["seat_number"], "E15");

    // 5. The listed seat, sent back as it came.
    let listed_seat = seats[0].clone();
    let held = first.post("/reservations", &listed_seat).await;
    assert!(held.header("location").starts_with("/me/reservations/"));
    let held = held.expect(201);
    assert_eq!((&held["status"], &held["amount"]), (&json!("held"), &json!(100)));
    let expires_in_ms = held["expires_in_ms"].as_u64().expect("a time");
    assert!((298_000..=301_000).contains(&expires_in_ms), "5 minutes: {expires_in_ms}");
    let reservation = reservation_id(&held);

    // 6. Payment.
    let paid = first.pay(&reservation, "tok_ok").await.expect(200);
    assert_eq!(paid["status"], "success");
    assert_eq!(paid["message"], "예약이 완료되었습니다.");
    assert_eq!((&paid["reservation_id"], &paid["amount"]), (&json!(reservation), &json!(100)));
    assert_eq!(paid["tickets"][0]["seat_number"], "A1");
    let payment_id = paid["payment_id"].as_str().expect("a payment's id").to_owned();

    // It is the second's turn now, and A1 is gone.
    assert_eq!(buyers[1].turn().await["total"], 9);
    let left = buyers[1].get(&reservations).await.expect(200);
    assert_eq!(left["available_count"], 74);
    buyers[1].hold("A1").await.refused(409, "seat_taken");
    assert_eq!(buyers[0].status().await["status"], "done");

    // The provider took the money once, and nothing else.
    let book = office.book();
    assert_eq!(book.account(&payment_id).charges, 1);
    assert_eq!(book.kept(), 100);
    the_story_is_told(&office, &reservation, &payment_id).await;

    // All of it outlives the process, and the token does too.
    let addr = office.public;
    let office = office.stop().await.open().await;
    assert_ne!(office.public, addr);
    let mut first = buyers[0].again(office.public);
    assert_eq!(first.status().await["status"], "done");
    let mine = first.get(&format!("/me/reservations/{reservation}")).await.expect(200);
    assert_eq!(mine["status"], "confirmed");
    assert_eq!(date_of_the_hall(&office).await, date, "the demo stays as it was");
    office.stop().await.verify().await;
}

/// `maepyo journal show --reservation` says what happened to this buyer, while the server runs.
async fn the_story_is_told(office: &BoxOffice, reservation: &str, payment_id: &str) {
    let story = office.history(&["--reservation", reservation]).await;
    let names: Vec<&str> = story.names().into_iter().filter(|name| *name != "seen").collect();
    let told = ["joined", "admitted", "seats_held", "payment_begun", "payment_approved"];
    assert_eq!(names, told);
    let held = story.events("seats_held").next().expect("the hold");
    assert_eq!(held["seats"], json!(["A1"]));
    assert_eq!(held["actor"], "buyer");
    let approved = story.events("payment_approved").next().expect("the payment");
    assert_eq!(approved["payment_id"], payment_id);
    assert!(story.0.iter().all(|line| line["sale"] == "demo-hall"));

    let whole = office.history(&["--sale", "demo-hall"]).await;
    assert_eq!(whole.events("joined").count(), 10);
    let batches = whole.0.iter().map(|line| line["batch"].as_u64().expect("a number"));
    assert!(batches.is_sorted());
    let verdict = office.journal(&["verify"]).await;
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arena_has_two_performances_on_one_evening() {
    let office = BoxOffice::open(Options::words(&["--demo"])).await;
    let listed = office.connect().get("/performances", None).await.expect(200);
    let arena = |one: &&Value| one["sale_id"] == "demo-arena";
    let performances = listed["performances"].as_array().expect("a list");
    let date = performances.iter().find(arena).expect("the arena")["date"].clone();
    let date = date.as_str().expect("a date");
    assert_eq!(performances.iter().filter(arena).filter(|one| one["date"] == date).count(), 2);

    let path = format!("/reservations/{date}");
    let ambiguous = office.connect().get(&path, None).await.refused(409, "date_ambiguous");
    assert_eq!(ambiguous["performances"].as_array().expect("both").len(), 2);
    let path = format!("{path}?performance_id=demo-arena-2");
    let free = office.connect().get(&path, None).await.expect(200);
    assert_eq!(free["available_count"], 12_000);

    let mut buyer = office.buyer();
    buyer.join(Some(&json!({ "sale_id": "demo-arena" }))).await.expect(201);
    buyer.turn().await;
    buyer.hold("101-1-1").await.refused(422, "performance_required");
    let wanted = json!({ "performance_id": "demo-arena-2", "seat_numbers": ["101-1-1", "F1-2-3"] });
    let held = buyer.post("/reservations", &wanted).await.expect(201);
    assert_eq!(held["amount"], 165_000 + 198_000);
    until("everybody to see that they are taken", async || {
        let free = office.connect().get(&path, None).await.expect(200);
        (free["available_count"] == 11_998).then_some(())
    })
    .await;
}
