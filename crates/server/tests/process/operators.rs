//! The operators' listener: the key, a sale's life, seats kept back, metrics.

use serde_json::{Value, json};

use crate::support::{Ask, BoxOffice, Connection, Options, small_sale, until};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_admin_key_nobody_is_an_operator() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let mut connection = Connection::to(office.operators);
    let calls = [
        ("GET", "/admin/sales/small"),
        ("PUT", "/admin/sales/small"),
        ("POST", "/admin/sales/small/close"),
        ("POST", "/admin/sales/small/seats/withhold"),
    ];
    let key = office.admin_key().to_owned();
    let wrong = [&key[1..], &format!("{key}0"), "", &buyer.token];
    for (method, path) in calls {
        connection.ask(method, path, Ask::default()).await.refused(401, "admin_key_missing");
        for token in wrong {
            let ask = Ask { token: Some(token), ..Ask::json(&sale) };
            connection.ask(method, path, ask).await.refused(401, "admin_key_invalid");
        }
    }
    assert_eq!(office.sale("small").await["state"], "open");
    // Neither key opens the other's door.
    office.connect().get("/queue/status", Some(&key)).await.refused(401, "token_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_key_may_come_from_the_environment() {
    let key = "an-admin-key-from-the-environment";
    let environment = vec![("MAEPYO_ADMIN_KEY", key.to_owned())];
    let office = BoxOffice::open(Options { environment, ..Options::default() }).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    assert_eq!(office.sale("small").await["seats"]["free"], 75);
    assert!(!office.dir().join("data/admin.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_scheduled_once_and_its_limits_may_change() {
    let office = BoxOffice::open(Options::default()).await;
    let mut sale = small_sale("small-1", "E", 15, &json!({ "active_limit": 1 }));
    let (path, key) = ("/admin/sales/small", office.admin_key().to_owned());
    let mut connection = Connection::to(office.operators);
    let put = |sale: &Value| Ask { token: Some(&key), ..Ask::json(sale) };
    connection.ask("PUT", path, put(&sale)).await.expect(201);
    connection.ask("PUT", path, put(&sale)).await.expect(200);
    sale["limits"]["active_limit"] = json!(7);
    connection.ask("PUT", path, put(&sale)).await.expect(200);
    assert_eq!(office.sale("small").await["limits"]["active_limit"], 7);

    sale["limits"]["active_limit"] = json!(0);
    let refused = connection.ask("PUT", path, put(&sale)).await.refused(400, "malformed_request");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("limits.active_limit")));
    sale["limits"]["active_limit"] = json!(7);
    sale["title"] = json!("Another concert");
    connection.ask("PUT", path, put(&sale)).await.expect(200);
    sale["opens_at"] = json!("2026-01-02T00:00:00Z");
    connection.ask("PUT", path, put(&sale)).await.refused(409, "not_changeable");
    sale["opens_at"] = json!("2026-01-01T00:00:00Z");
    connection.ask("PUT", "/admin/sales/other", put(&sale)).await.refused(409, "sale_exists");
    connection
        .ask("PUT", "/admin/sales/Not%20An%20Id", put(&sale))
        .await
        .refused(400, "malformed_request");
    sale["sections"][0]["seat_number"] = json!("{row}");
    sale["performances"][0]["id"] = json!("small-2");
    let twice = connection.ask("PUT", "/admin/sales/twice", put(&sale)).await;
    assert_eq!((twice.status, twice.code()), (422, "bad_plan"), "{}", twice.text);
    let ask = Ask { token: Some(&key), ..Ask::default() };
    connection.ask("GET", "/admin/sales/none", ask).await.refused(404, "sale_not_found");

    let history = office.history(&["--sale", "small"]).await;
    assert_eq!(history.names(), ["scheduled", "opened", "limits_changed", "changed"]);
    assert!(history.0.iter().all(|line| line["actor"] == "operator"), "{history:?}");
    assert!(history.0.iter().all(|line| line["request"].is_string()), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sale_admits_nobody_and_takes_everybody_in_line() {
    let sale = small_sale("small-1", "E", 15, &json!({ "active_limit": 1 }));
    let office = BoxOffice::with_sale("small", &sale).await;
    let (mut inside, mut next, mut late) = (office.buyer(), office.buyer(), office.buyer());
    inside.join(None).await.expect(201);
    next.join(None).await.expect(201);
    office.operate("POST", "/admin/sales/small/pause", None).await;
    assert_eq!(late.join(None).await.expect(201)["position"], 3);
    inside.hold("A1").await.expect(201);
    assert_eq!(inside.delete("/queue/token").await.status, 204);
    let waiting = next.status().await;
    assert_eq!((&waiting["status"], &waiting["position"]), (&json!("waiting"), &json!(2)));
    assert_eq!(office.sale("small").await["state"], "paused");
    office.operate("POST", "/admin/sales/small/resume", None).await;
    next.turn().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_kept_back_are_not_for_sale_until_released() {
    let sale = small_sale("small-1", "E", 15, &json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    buyer.turn().await;
    let seats = json!({ "seat_numbers": ["A1", "A2"], "pool": "press" });
    office.operate("POST", "/admin/sales/small/seats/withhold", Some(&seats)).await;
    buyer.hold("A1").await.refused(409, "seat_taken");
    let sale = office.sale("small").await;
    assert_eq!((&sale["seats"]["withheld"], &sale["seats"]["free"]), (&json!(2), &json!(73)));

    let key = office.admin_key().to_owned();
    let mut connection = Connection::to(office.operators);
    let table = [
        (json!({ "seat_numbers": ["A1"], "pool": "press" }), 409, "seat_not_free"),
        (json!({ "seat_numbers": ["A3"], "pool": "none" }), 404, "pool_not_found"),
        (json!({ "seat_numbers": ["A3"] }), 404, "pool_not_found"),
        (json!({ "seat_numbers": ["Z1"], "pool": "press" }), 404, "seat_not_found"),
        (json!({ "seats": ["A3"], "pool": "press" }), 400, "malformed_request"),
    ];
    for (body, status, code) in table {
        let ask = Ask { token: Some(&key), ..Ask::json(&body) };
        let answer = connection.ask("POST", "/admin/sales/small/seats/withhold", ask).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.text);
    }
    office.operate("POST", "/admin/sales/small/seats/release", Some(&seats)).await;
    buyer.hold("A1").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_it_is() {
    let sale = small_sale("small-1", "E", 15, &json!({ "active_limit": 1 }));
    let office = BoxOffice::with_sale("small", &sale).await;
    let (mut inside, mut waiting) = (office.buyer(), office.buyer());
    inside.join(None).await.expect(201);
    inside.hold("A1").await.expect(201);
    waiting.join(None).await.expect(201);
    let mut connection = Connection::to(office.operators);
    assert_eq!(connection.get("/healthz", None).await.expect(200)["status"], "ok");
    assert_eq!(connection.get("/readyz", None).await.expect(200)["status"], "ready");
    for public in ["/healthz", "/readyz"] {
        assert_eq!(office.connect().get(public, None).await.status, 200);
    }
    let expected = [
        "maepyo_ready 1",
        "maepyo_waiting{sale=\"small\"} 1",
        "maepyo_admitted{sale=\"small\"} 1",
        "maepyo_seats{sale=\"small\",performance=\"small-1\",state=\"held\"} 1",
        "maepyo_seats{sale=\"small\",performance=\"small-1\",state=\"free\"} 74",
    ];
    until("the counts to be published", async || {
        let metrics = connection.get("/metrics", None).await;
        assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
        let lines: Vec<&str> = metrics.text.lines().collect();
        expected.iter().all(|line| lines.contains(line)).then_some(())
    })
    .await;
    connection.get("/nowhere", None).await.refused(404, "not_found");
}
