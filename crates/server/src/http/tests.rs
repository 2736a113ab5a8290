//! The calls over a real engine on the memory journal, without a network: what each answers, by
//! the contract. The process tests tell whole stories; here stands what they do not come by.
//!
//! One idea: every answer that a single call can give, by the contract.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use domain::command::PaymentOutcome;
use domain::limits::Limits;
use domain::plan::Performance;
use engine::{Call, CallResult, Calls, Config, Engine, NewSale, PendingCall};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::Service;

use super::fixture::{LARGE, SMALL, performance, schedule};
use super::*;

mod hall;
mod pages;
mod streams;
mod tickets;

use crate::token::{Keyring, Payload, QueueClaims};

/// Streams that an office has room for.
const STREAMS_MAX: u32 = 4;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE";

/// A provider that does as the payment's token says, and keeps `tok_slow` waiting.
#[derive(Clone, Default)]
struct Provider {
    engine: Arc<OnceLock<Weak<Engine>>>,
    waiting: Arc<Mutex<Vec<PendingCall>>>,
}

impl Calls for Provider {
    fn begin(&mut self, call: PendingCall) {
        let Call::Charge { instrument: Some(instrument), .. } = &call.call else { return };
        let outcome = match &*instrument.token {
            "tok_ok" => PaymentOutcome::Approved,
            "tok_declined" => {
                PaymentOutcome::Declined { reason: "declined".into(), retryable: true }
            }
            "tok_timeout" => PaymentOutcome::Unknown,
            _ => return self.waiting.lock().unwrap().push(call),
        };
        let engine = self.engine.get().unwrap().upgrade().unwrap();
        engine.call_finished(call.stream, call.payment, CallResult::Outcome(outcome));
    }
}

struct Office {
    app: Arc<App>,
    router: Router,
}

struct Told {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
    bytes: usize,
}

impl Told {
    #[track_caller]
    fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        self.json
    }

    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)));
        self.json
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What is sent beside method and path.
#[derive(Clone, Default)]
struct With<'a> {
    token: Option<&'a str>,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    from: Option<&'static str>,
}

fn token(token: &str) -> With<'_> {
    With { token: Some(token), ..With::default() }
}

fn body(body: Value) -> With<'static> {
    With { body: Some(body), ..With::default() }
}

impl With<'_> {
    fn and_body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Office {
    /// The use case's hall alone.
    async fn small(active_limit: u32) -> Self {
        let limits = Limits { active_limit, ..Limits::default() };
        Self::open(vec![("small", vec![performance("small-1", "2099-05-01", SMALL)], limits)]).await
    }

    /// These sales, the first of them the default if there is only one.
    async fn open(sales: Vec<(&str, Vec<Performance>, Limits)>) -> Self {
        let provider = Provider::default();
        let options = store::Options::new(Arc::new(engine::clock::wall_ms));
        let journal = store::open("memory:", options).unwrap();
        let config = Config { node: 1, ..Config::default() };
        let engine = Engine::start(journal, Box::new(provider.clone()), config).unwrap();
        provider.engine.set(Arc::downgrade(&engine)).unwrap();
        let default = sales.len() == 1;
        for (id, performances, limits) in sales {
            let schedule = schedule(id, performances, limits);
            engine.add_sale(NewSale { schedule, default }, 1, None).await.unwrap().unwrap();
        }
        let keyring = Keyring::from_env_value(KEY).unwrap();
        let epoch = engine.epoch();
        let app = Arc::new(App {
            engine,
            keyring,
            epoch,
            token_ttl_s: 300,
            append_wait_s: 10,
            payments_in_flight: 1_000,
            body_wait: Duration::from_secs(30),
            join_limit: JoinLimit::default(),
            streams: Streams::new(STREAMS_MAX, Duration::from_secs(30)),
            tracer: None,
            meters: HttpMeters::leaked(),
        });
        Self { router: router(app.clone()), app }
    }

    async fn ask(&self, method: &str, path: &str, with: With<'_>) -> Told {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = with.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if with.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &with.headers {
            request = request.header(*name, value);
        }
        if let Some(from) = with.from {
            request = request.extension(ClientAddress(from.parse().unwrap()));
        }
        let body = with.body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let response = self.router.clone().call(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Told { status: parts.status, headers: parts.headers, json, bytes: bytes.len() }
    }

    async fn get(&self, path: &str, with: With<'_>) -> Told {
        self.ask("GET", path, with).await
    }

    /// Joins, and gives the token.
    async fn join(&self, with: With<'_>) -> String {
        let joined = self.ask("POST", "/queue/token", with).await.is(201);
        joined["token"].as_str().unwrap().to_owned()
    }

    /// Holds a seat with this token, and gives the reservation's id.
    async fn hold(&self, token_of: &str, seat: &str) -> String {
        let wish = token(token_of).and_body(json!({ "seat_number": seat }));
        let held = self.ask("POST", "/reservations", wish).await.is(201);
        held["reservation_id"].as_str().unwrap().to_owned()
    }

    async fn pay(&self, token_of: &str, reservation: &str, with: &str) -> Told {
        let payment = json!({ "method": "card", "token": with });
        let wish = json!({ "reservation_id": reservation, "payment": payment });
        self.ask("POST", "/payment", token(token_of).and_body(wish)).await
    }

    /// A token for the place of this one, with so many seconds left of its life.
    fn aged(&self, token: &str, left_s: i64) -> String {
        let now_s = self.app.engine.now().0 / 1000;
        let (keyring, mut payload) = (&self.app.keyring, Payload::default());
        let verified = keyring.verify_queue(token, now_s, self.app.epoch, &mut payload);
        let claims = verified.unwrap().live().unwrap();
        let exp = now_s.checked_add_signed(left_s).unwrap();
        self.app.keyring.sign_queue(&QueueClaims { iat: exp - 300, exp, ..claims })
    }
}

const DATE: &str = "/reservations/2099-05-01";

#[tokio::test]
async fn the_use_case_from_its_own_words() {
    let office = Office::small(1).await;
    let counted = office.get(DATE, With::default()).await;
    assert_eq!(counted.header("cache-control"), "public, max-age=1");
    assert_eq!(counted.header("vary"), "accept-language, authorization");
    assert_eq!(counted.header("content-language"), "ko");
    assert_eq!(counted.header("content-type"), "application/json");
    let counted = counted.is(200);
    let expected = json!({
        "date": "2099-05-01",
        "performance_id": "small-1",
        "available_count": 75,
        "currency": "KRW",
        "message": "예약 가능한 좌석 수: 75",
        "as_of": counted["as_of"],
    });
    assert_eq!(counted, expected);

    // No body and no type.
    let joined = office.ask("POST", "/queue/token", With::default()).await;
    assert_eq!(joined.header("cache-control"), "no-store");
    assert_eq!(joined.header("location"), "/queue/status");
    assert_eq!(joined.header("queue-token"), joined.json["token"]);
    assert_eq!(joined.header("request-id").len(), 13);
    let joined = joined.is(201);
    assert_eq!((&joined["status"], &joined["position"]), (&json!("admitted"), &json!(1)));
    assert_eq!(joined["reservations_url"], DATE);
    let first = joined["token"].as_str().unwrap();
    let others: Vec<String> = {
        let mut others = Vec::new();
        for _ in 1..10 {
            others.push(office.join(With::default()).await);
        }
        others
    };
    // Everybody reads their own writes, and others' a moment later: the last to join asks first.
    assert_eq!(office.get("/queue/status", token(&others[8])).await.is(200)["position"], 10);
    let fifth = office.get("/queue/status", token(&others[3])).await;
    assert_eq!(fifth.header("queue-token"), "", "the old one is good for long enough");
    let fifth = fifth.is(200);
    assert_eq!(fifth["message"], "현재 대기 순서: 5 / 총 대기자 수: 10");
    assert_eq!((&fifth["token"], &fifth["estimated_wait_seconds"]), (&Value::Null, &Value::Null));
    assert!((1_300..=2_000).contains(&fifth["poll_after_ms"].as_u64().unwrap()));

    let listed = office.get(DATE, token(first)).await;
    assert_eq!(listed.header("cache-control"), "no-store");
    let listed = listed.is(200);
    let seats = listed["available_seats"].as_array().unwrap();
    let a1 = json!({ "seat_number": "A1", "price": 100, "grade": "R", "section": "1층" });
    assert_eq!((seats.len(), &seats[0], &seats[74]["seat_number"]), (75, &a1, &json!("E15")));
    assert_eq!((&listed["status"], &listed["position"]), (&json!("admitted"), &json!(1)));

    let held = office.ask("POST", "/reservations", token(first).and_body(a1)).await;
    let id = held.json["reservation_id"].as_str().unwrap().to_owned();
    assert_eq!(held.header("location"), format!("/me/reservations/{id}"));
    let held = held.is(201);
    assert_eq!((&held["status"], &held["token"]), (&json!("held"), &json!(first)));
    assert_eq!(held["seats"][0]["seat_number"], "A1");

    let paid = office.pay(first, &id, "tok_ok").await.is(200);
    assert_eq!((&paid["status"], &paid["payment_status"]), (&json!("success"), &json!("success")));
    assert_eq!(paid["message"], "예약이 완료되었습니다.");
    let done = office.get("/queue/status", token(first)).await.is(200);
    assert_eq!((&done["status"], &done["position"]), (&json!("done"), &Value::Null));
    assert_eq!((&done["poll_after_ms"], &done["reservation_id"]), (&Value::Null, &json!(id)));
}

#[tokio::test]
async fn a_token_is_missing_bad_or_too_old_and_never_passed_over() {
    let office = Office::small(1).await;
    let good = office.join(With::default()).await;
    let waiting = office.join(With::default()).await;
    let (expired, garbage) = (office.aged(&waiting, -1), format!("{good}x"));
    let paths = ["/queue/status", "/me/reservations", "/me/reservations/0000000000000"];
    for path in paths {
        office.get(path, With::default()).await.refused(401, "token_missing");
        let missing = office.get(path, With::default().and("authorization", "")).await;
        assert_eq!(missing.header("www-authenticate"), "Bearer");
        missing.refused(401, "token_missing");
        office.get(path, token(&garbage)).await.refused(401, "token_invalid");
        office.get(path, token(&expired)).await.refused(401, "token_expired");
        let twice = token(&good).and("authorization", format!("Bearer {good}"));
        office.get(path, twice).await.refused(401, "token_invalid");
    }
    for (bad, code) in [(&garbage, "token_invalid"), (&expired, "token_expired")] {
        office.get(DATE, token(bad)).await.refused(401, code);
        let wish = token(bad).and_body(json!({ "seat_number": "A1" }));
        office.ask("POST", "/reservations", wish).await.refused(401, code);
        office.ask("DELETE", "/queue/token", token(bad)).await.refused(401, code);
        office.pay(bad, "0000000000000", "tok_ok").await.refused(401, code);
    }
    office.ask("POST", "/queue/token", token(&garbage)).await.refused(401, "token_invalid");
    let again = office.ask("POST", "/queue/token", token(&expired)).await.is(200);
    assert_eq!(again["position"], 2);
}

#[tokio::test]
async fn a_token_is_renewed_in_its_second_half() {
    let office = Office::small(1).await;
    let (first, _) = (office.join(With::default()).await, office.join(With::default()).await);
    let (young, old) = (office.aged(&first, 160), office.aged(&first, 140));
    for path in ["/queue/status", DATE] {
        assert_eq!(office.get(path, token(&young)).await.header("queue-token"), "", "{path}");
        let renewed = office.get(path, token(&old)).await;
        let fresh = renewed.header("queue-token").to_owned();
        office.get("/queue/status", token(&fresh)).await.is(200);
    }
    let status = office.get("/queue/status", token(&old)).await;
    assert_eq!(status.header("queue-token"), status.json["token"]);
    let left = status.json["expires_in_ms"].as_u64().unwrap();
    assert!((298_000..=300_000).contains(&left), "{left}");
    let left = office.get("/queue/status", token(&young)).await.is(200)["expires_in_ms"].clone();
    assert!((158_000..=160_000).contains(&left.as_u64().unwrap()), "{left}");
    let wish = token(&old).and_body(json!({ "seat_number": "A1" }));
    let held = office.ask("POST", "/reservations", wish).await;
    assert_eq!(held.header("queue-token"), held.json["token"]);
    assert_ne!(held.json["token"], json!(old));
}

#[tokio::test]
async fn an_expired_token_serves_a_living_reservation_and_the_end_of_a_place() {
    let office = Office::small(1).await;
    let first = office.join(With::default()).await;
    let expired = office.aged(&first, -10);
    office.get("/me/reservations", token(&expired)).await.refused(401, "token_expired");
    let id = office.hold(&first, "A1").await;
    let mine = office.get("/me/reservations", token(&expired)).await;
    assert!(!mine.header("queue-token").is_empty());
    assert_eq!(mine.is(200)["reservations"][0]["reservation_id"], json!(id));
    office.get("/queue/status", token(&expired)).await.refused(401, "token_expired");
    let paid = office.pay(&expired, &id, "tok_ok").await.is(200);
    let payment = format!("/payments/{}", paid["payment_id"].as_str().unwrap());
    assert_eq!(office.get(&payment, token(&expired)).await.is(200)["status"], "success");
    // The place is over: that is readable for a day, and joining is joining anew.
    assert_eq!(office.get("/queue/status", token(&expired)).await.is(200)["status"], "done");
    let ancient = office.aged(&first, -90_000);
    office.get("/queue/status", token(&ancient)).await.refused(401, "token_expired");
    office.ask("POST", "/queue/token", token(&expired)).await.is(201);
}

#[tokio::test]
async fn leaving_is_final_and_readable() {
    let office = Office::small(1).await;
    let (first, second) = (office.join(With::default()).await, office.join(With::default()).await);
    office.hold(&first, "A1").await;
    let left = office.ask("DELETE", "/queue/token", token(&first)).await;
    assert_eq!((left.status.as_u16(), left.bytes), (204, 0));
    assert_eq!(left.header("cache-control"), "no-store");
    let status = office.get("/queue/status", token(&first)).await.is(200);
    assert_eq!((&status["status"], &status["reason"]), (&json!("ended"), &json!("left")));
    assert_eq!(status["message"], "대기를 취소했습니다.");
    assert_eq!(office.get("/queue/status", token(&second)).await.is(200)["position"], 1);
    assert_eq!(office.get(DATE, With::default()).await.is(200)["available_count"], 75);
    let wish = token(&first).and_body(json!({ "seat_number": "A1" }));
    let ended = office.ask("POST", "/reservations", wish).await.refused(410, "place_ended");
    assert_eq!(ended["reason"], "left");
}

fn two_sales() -> Vec<(&'static str, Vec<Performance>, Limits)> {
    let tour = vec![
        performance("tour-1", "2099-05-01", SMALL),
        performance("tour-2", "2099-05-02", SMALL),
        performance("tour-2-late", "2099-05-02", SMALL),
    ];
    let other = vec![performance("other-1", "2099-05-01", SMALL)];
    vec![("tour", tour, Limits::default()), ("other", other, Limits::default())]
}

#[tokio::test]
async fn which_performance_is_meant() {
    let office = Office::open(two_sales()).await;
    // Several sales on one date.
    let ambiguous = office.get(DATE, With::default()).await.refused(409, "date_ambiguous");
    let ids: BTreeSet<_> = ambiguous["performances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["performance_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, BTreeSet::from(["other-1", "tour-1"]));
    let path = format!("{DATE}?performance_id=other-1");
    assert_eq!(office.get(&path, With::default()).await.is(200)["performance_id"], "other-1");
    for (query, code) in [
        ("performance_id=tour-2", "performance_not_found"),
        ("performance_id=x", "performance_not_found"),
    ] {
        office.get(&format!("{DATE}?{query}"), With::default()).await.refused(404, code);
    }
    let twice = format!("{DATE}?performance_id=tour-1&performance_id=other-1");
    office.get(&twice, With::default()).await.refused(400, "malformed_request");

    // Which line.
    let unnamed = office.ask("POST", "/queue/token", body(json!({}))).await;
    let unnamed = unnamed.refused(422, "performance_required");
    assert_eq!(unnamed["performances"].as_array().unwrap().len(), 4);
    let refused = [
        (json!({ "date": "2099-05-01" }), 409, "date_ambiguous"),
        (json!({ "date": "2099-06-01" }), 404, "performance_not_found"),
        (json!({ "date": "tomorrow" }), 400, "malformed_request"),
        (json!({ "date": 20_990_501 }), 400, "malformed_request"),
        (json!({ "sale_id": "none" }), 404, "sale_not_found"),
        (json!({ "sale_id": "No Sale" }), 404, "sale_not_found"),
        (json!({ "performance_id": "none" }), 404, "performance_not_found"),
        (json!({ "performance_id": "tour-1", "sale_id": "other" }), 422, "wrong_performance"),
        (json!({ "sale_id": "other", "date": "2099-05-02" }), 422, "wrong_performance"),
    ];
    for (wish, status, code) in refused {
        office.ask("POST", "/queue/token", body(wish)).await.refused(status, code);
    }
    let named = [
        (json!({ "date": "2099-05-02" }), "tour"),
        (json!({ "performance_id": "other-1" }), "other"),
        (json!({ "sale_id": "other", "date": "2099-05-01" }), "other"),
        (json!({ "sale_id": "tour", "performance_id": "tour-2", "date": null }), "tour"),
    ];
    for (wish, sale) in named {
        let joined = office.ask("POST", "/queue/token", body(wish)).await.is(201);
        assert_eq!(joined["sale_id"], sale);
    }

    // The token's sale decides, where it can.
    let tour = office.join(body(json!({ "sale_id": "tour" }))).await;
    let other = office.join(body(json!({ "sale_id": "other" }))).await;
    assert_eq!(office.get(DATE, token(&tour)).await.is(200)["performance_id"], "tour-1");
    assert_eq!(office.get(DATE, token(&other)).await.is(200)["performance_id"], "other-1");
    let second = "/reservations/2099-05-02";
    office.get(second, token(&tour)).await.refused(409, "date_ambiguous");
    let late = format!("{second}?performance_id=tour-2-late");
    assert!(office.get(&late, token(&tour)).await.is(200)["available_seats"].is_array());
    let foreign = office.get(&late, token(&other)).await.is(200);
    assert_eq!((&foreign["available_seats"], &foreign["position"]), (&Value::Null, &Value::Null));

    // A buyer of one sale who names another joins that too; who names none keeps the place.
    let again = office.ask("POST", "/queue/token", token(&tour)).await.is(200);
    assert_eq!(again["sale_id"], "tour");
    let wish = token(&tour).and_body(json!({ "sale_id": "other" }));
    assert_eq!(office.ask("POST", "/queue/token", wish).await.is(201)["sale_id"], "other");
}

#[tokio::test]
async fn which_performance_the_seats_are_of() {
    let office = Office::open(two_sales()).await;
    let tour = office.join(body(json!({ "sale_id": "tour" }))).await;
    let wish = |named: Value| {
        let mut wish = json!({ "seat_number": "A1" });
        wish.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        token(&tour).and_body(wish)
    };
    let refused = [
        (json!({}), 422, "performance_required"),
        (json!({ "date": "2099-05-02" }), 422, "performance_required"),
        (json!({ "performance_id": "other-1" }), 422, "wrong_performance"),
        (json!({ "performance_id": "tour-1", "date": "2099-05-02" }), 422, "wrong_performance"),
        (json!({ "performance_id": "nothing" }), 404, "performance_not_found"),
        (json!({ "date": "2099-07-01" }), 404, "performance_not_found"),
        (json!({ "date": "2099-7-1" }), 400, "malformed_request"),
    ];
    for (named, status, code) in refused {
        office.ask("POST", "/reservations", wish(named)).await.refused(status, code);
    }
    let by_date = wish(json!({ "date": "2099-05-01" }));
    let held = office.ask("POST", "/reservations", by_date).await.is(201);
    assert_eq!(held["performance_id"], "tour-1");
    let id = held["reservation_id"].as_str().unwrap();
    office.ask("DELETE", &format!("/me/reservations/{id}"), token(&tour)).await.is(200);
    let by_id = wish(json!({ "performance_id": "tour-2-late" }));
    let held = office.ask("POST", "/reservations", by_id).await.is(201);
    assert_eq!(
        (&held["performance_id"], &held["date"]),
        (&json!("tour-2-late"), &json!("2099-05-02"))
    );
}

#[tokio::test]
async fn seats_are_given_back_and_chosen_again() {
    let office = Office::small(1).await;
    let first = office.join(With::default()).await;
    let id = office.hold(&first, "A1").await;
    let path = format!("/me/reservations/{id}");
    let shown = office.get(&path, token(&first)).await.is(200);
    assert_eq!((&shown["status"], &shown["amount"]), (&json!("held"), &json!(100)));
    assert_eq!((&shown["last_payment"], &shown["tickets"]), (&Value::Null, &Value::Null));
    let place = office.ask("DELETE", &path, token(&first)).await.is(200);
    assert_eq!(place["status"], "admitted");
    assert!(place["admitted_for_ms"].as_u64().unwrap() >= 59_000);
    let shown = office.get(&path, token(&first)).await.is(200);
    assert_eq!((&shown["status"], &shown["expires_at"]), (&json!("released"), &Value::Null));
    office.hold(&first, "A1").await;
    let mine = office.get("/me/reservations", token(&first)).await.is(200);
    let statuses: Vec<_> =
        mine["reservations"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["held", "released"]);
}

#[tokio::test]
async fn a_declined_payment_says_what_to_do() {
    let office = Office::small(1).await;
    let first = office.join(With::default()).await;
    let id = office.hold(&first, "A1").await;
    let declined = office.pay(&first, &id, "tok_declined").await;
    assert_eq!(declined.header("content-type"), "application/problem+json");
    let declined = declined.refused(402, "payment_declined");
    assert_eq!(
        (&declined["payment_status"], &declined["reason"]),
        (&json!("failed"), &json!("declined"))
    );
    assert_eq!((&declined["retryable"], &declined["reservation_id"]), (&json!(true), &json!(id)));
    assert!(declined["expires_in_ms"].as_u64().unwrap() >= 59_000);
    let shown = office.get(&format!("/me/reservations/{id}"), token(&first)).await.is(200);
    assert_eq!(
        (&shown["status"], &shown["last_payment"]["status"]),
        (&json!("held"), &json!("failed"))
    );
    assert_eq!(shown["last_payment"]["reason"], "declined");
    assert!(shown["last_payment"]["at"].is_string());
    let path = format!("/payments/{}", declined["payment_id"].as_str().unwrap());
    let payment = office.get(&path, token(&first)).await.is(200);
    assert_eq!(
        (&payment["payment_status"], &payment["retryable"]),
        (&json!("failed"), &json!(true))
    );
    let payment = json!({ "method": "card", "token": "tok_ok" });
    let wrong = json!({ "reservation_id": id, "amount": 1, "payment": payment });
    let changed = office.ask("POST", "/payment", token(&first).and_body(wrong)).await;
    let changed = changed.refused(409, "price_changed");
    assert_eq!((&changed["amount"], &changed["currency"]), (&json!(100), &json!("KRW")));
    let paid = office.pay(&first, &id, "tok_ok").await.is(200);
    let again = office.pay(&first, &id, "tok_ok").await.refused(409, "already_paid");
    assert_eq!(again["payment_id"], paid["payment_id"]);
}

#[tokio::test]
async fn a_silent_provider_leaves_the_payment_pending() {
    let office = Office::small(1).await;
    let (first, other) = (office.join(With::default()).await, office.join(With::default()).await);
    let id = office.hold(&first, "A1").await;
    let pending = office.pay(&first, &id, "tok_timeout").await;
    let location = pending.header("location").to_owned();
    assert_eq!(pending.header("retry-after"), "2");
    let pending = pending.is(202);
    assert_eq!(pending["payment_status"], "pending");
    assert_eq!(location, format!("/payments/{}", pending["payment_id"].as_str().unwrap()));
    assert!((1_300..=2_000).contains(&pending["poll_after_ms"].as_u64().unwrap()));
    let again = office.pay(&first, &id, "tok_ok").await.is(202);
    assert_eq!(again["payment_id"], pending["payment_id"], "never a second charge");
    assert_eq!(office.get(&location, token(&first)).await.is(200)["status"], "pending");
    office.get(&location, token(&other)).await.refused(404, "payment_not_found");
    for path in ["/payments/x", "/payments/00000000000000000000000000"] {
        office.get(path, token(&first)).await.refused(404, "payment_not_found");
    }
    let path = format!("/me/reservations/{id}");
    let back = office.ask("DELETE", &path, token(&first)).await;
    assert_eq!(back.refused(409, "payment_in_progress")["payment_id"], pending["payment_id"]);
    let leave = office.ask("DELETE", "/queue/token", token(&first)).await;
    leave.refused(409, "payment_in_progress");
}

#[tokio::test]
async fn a_tickets_token_reads_its_reservation_and_nothing_else() {
    let office = Office::small(2).await;
    let (first, second) = (office.join(With::default()).await, office.join(With::default()).await);
    let (id, other) = (office.hold(&first, "A1").await, office.hold(&second, "B7").await);
    let paid = office.pay(&first, &id, "tok_ok").await.is(200);
    let tickets = paid["tickets_token"].as_str().unwrap();
    let path = format!("/me/reservations/{id}");
    let read = office.get(&path, token(tickets)).await.is(200);
    assert_eq!((&read["status"], &read["tickets"]), (&json!("confirmed"), &paid["tickets"]));
    assert_eq!(read["tickets"][0]["seat_number"], "A1");
    office
        .get(&format!("/me/reservations/{other}"), token(tickets))
        .await
        .refused(404, "reservation_not_found");
    for path in ["/queue/status", "/me/reservations", DATE] {
        office.get(path, token(tickets)).await.refused(401, "token_invalid");
    }
    office.ask("DELETE", &path, token(tickets)).await.refused(401, "token_invalid");
    office.ask("POST", "/queue/token", token(tickets)).await.refused(401, "token_invalid");
    office.pay(tickets, &id, "tok_ok").await.refused(401, "token_invalid");
}

#[tokio::test]
async fn a_taken_seat_comes_with_others_near_by() {
    let office = Office::small(2).await;
    let (first, second) = (office.join(With::default()).await, office.join(With::default()).await);
    office.hold(&first, "C7").await;
    let wish = json!({ "seat_numbers": ["C7", "C8"], "price": 100, "amount": 200 });
    let taken = office.ask("POST", "/reservations", token(&second).and_body(wish)).await;
    let taken = taken.refused(409, "seat_taken");
    assert_eq!(taken["taken"], json!(["C7"]));
    let others = taken["alternatives"].as_array().unwrap();
    assert_eq!(others.len(), 2);
    let wish = json!({ "seat_numbers": others });
    office.ask("POST", "/reservations", token(&second).and_body(wish)).await.is(201);
}

#[tokio::test]
async fn a_price_that_is_wrong_is_put_right() {
    let halls = vec![performance("large-1", "2099-05-01", LARGE)];
    let office = Office::open(vec![("large", halls, Limits::default())]).await;
    let first = office.join(With::default()).await;
    let wrong = [
        json!({ "seat_numbers": ["A1", "2-A1"], "price": 100 }),
        json!({ "seat_numbers": ["A1", "2-A1"], "price": 80 }),
        json!({ "seat_numbers": ["A1", "2-A1"], "amount": 200 }),
        json!({ "seat_numbers": ["A1", "2-A1"], "price": 80, "amount": 160 }),
        json!({ "seat_numbers": ["A1", "2-A1"], "price": 18_446_744_073_709_551_615_u64 }),
    ];
    for wish in wrong {
        let told = office.ask("POST", "/reservations", token(&first).and_body(wish)).await;
        let told = told.refused(409, "price_changed");
        assert_eq!((&told["amount"], &told["currency"]), (&json!(160), &json!("KRW")));
        let prices =
            json!([{ "seat_number": "A1", "price": 100 }, { "seat_number": "2-A1", "price": 60 }]);
        assert_eq!(told["seats"], prices);
    }
    let many: Vec<String> = (0..101).map(|n| format!("X{n}")).collect();
    let wish = token(&first).and_body(json!({ "seat_numbers": many }));
    let told = office.ask("POST", "/reservations", wish).await.refused(422, "too_many_seats");
    assert_eq!(told["seats_per_reservation"], 4);
    let both = token(&first).and_body(json!({ "seat_number": "A1", "seat_numbers": ["A2"] }));
    office.ask("POST", "/reservations", both).await.refused(400, "malformed_request");
    let right = json!({ "seat_numbers": ["A1", "2-A1"], "amount": 160 });
    let held = office.ask("POST", "/reservations", token(&first).and_body(right)).await.is(201);
    assert_eq!((&held["amount"], &held["seats"][1]["price"]), (&json!(160), &json!(60)));
}

#[tokio::test]
async fn one_section_is_listed_alone() {
    let halls = vec![performance("large-1", "2099-05-01", LARGE)];
    let office = Office::open(vec![("large", halls, Limits::default())]).await;
    let first = office.join(With::default()).await;
    let listed = async |query: &str| {
        let listed = office.get(&format!("{DATE}{query}"), token(&first)).await;
        assert_eq!(listed.header("content-type"), "application/json");
        listed.is(200)["available_seats"].as_array().unwrap().clone()
    };
    assert_eq!(listed("").await.len(), 20 * 33 + 10 * 40);
    let floor = listed("?section=1F+%22floor%22").await;
    assert_eq!((floor.len(), &floor[0]["section"]), (20 * 33, &json!("1F \"floor\"")));
    let above = listed("?section=2%EC%B8%B5").await;
    assert_eq!((above.len(), &above[0]["seat_number"]), (400, &json!("2-A1")));
    let unknown = format!("{DATE}?section=3F");
    office.get(&unknown, token(&first)).await.refused(404, "section_not_found");
    office.get(&unknown, With::default()).await.refused(404, "section_not_found");
    // Own writes are read: what was just taken is not listed.
    office.hold(&first, "A1").await;
    assert_eq!(listed("").await[0]["seat_number"], "A2");
}

#[tokio::test]
async fn what_is_on_is_listed_and_drawn() {
    let office = Office::open(two_sales()).await;
    let listed = office.get("/performances", With::default()).await;
    assert_eq!(listed.header("cache-control"), "public, max-age=2");
    let listed = listed.is(200);
    let all = listed["performances"].as_array().unwrap();
    let ids: Vec<_> = all.iter().map(|one| one["performance_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(listed["next"], Value::Null);
    let one = office.get("/performances/tour-1", With::default()).await.is(200);
    assert!(all.contains(&one));
    let expected = json!({
        "performance_id": "tour-1", "sale_id": "tour", "title": "Concert tour-1", "venue": "회관",
        "date": "2099-05-01", "starts_at": "2023-11-14T22:13:20.000Z", "state": "open",
        "opens_at": "2023-11-14T22:13:20.000Z", "seat_count": 75, "available_count": 75,
        "price_from": 100, "currency": "KRW",
    });
    assert_eq!(one, expected);
    let later = office.get("/performances?from=2099-05-02", With::default()).await.is(200);
    assert_eq!(later["performances"].as_array().unwrap().len(), 2);
    let after =
        office.get(&format!("/performances?after={}", ids[2]), With::default()).await.is(200);
    assert_eq!(after["performances"][0]["performance_id"], ids[3]);
    for (query, status, code) in
        [("from=x", 400, "malformed_request"), ("after=x", 404, "performance_not_found")]
    {
        office.get(&format!("/performances?{query}"), With::default()).await.refused(status, code);
    }

    let path = "/performances/tour-1/plan";
    let plan = office.get(path, With::default()).await;
    let etag = plan.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    assert_eq!(plan.header("cache-control"), "public, max-age=60");
    let plan = plan.is(200);
    let seat = &plan["sections"][0]["rows"][4]["seats"][14];
    assert_eq!(seat, &json!({ "seat_number": "E15", "grade": "R", "x": 750, "y": 360 }));
    let known = office.get(path, With::default().and("if-none-match", &etag)).await;
    assert_eq!((known.status.as_u16(), known.bytes), (304, 0));
    assert_eq!(known.header("etag"), etag);
    let other = office.get(path, With::default().and("if-none-match", "\"other\"")).await;
    assert_eq!(other.status, 200);
    let tour = office.join(body(json!({ "sale_id": "tour" }))).await;
    let with_token = office.get(path, token(&tour)).await;
    assert_eq!(with_token.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_key_is_one_request_and_one_place() {
    let office = Office::open(two_sales()).await;
    let key = "bH3kQ9zTx4wNpL0aB7cD1e";
    let join = |sale: &str| body(json!({ "sale_id": sale })).and("idempotency-key", key);
    let first = office.ask("POST", "/queue/token", join("tour")).await.is(201);
    let again = office.ask("POST", "/queue/token", join("tour")).await.is(200);
    assert_eq!(first["position"], again["position"]);
    let token_of = first["token"].as_str().unwrap();
    office.get("/queue/status", token(token_of)).await.is(200);
    office.ask("POST", "/queue/token", join("other")).await.refused(422, "idempotency_mismatch");
    let long = "k".repeat(256);
    for bad in ["", "two words", "열쇠", long.as_str()] {
        let with = With::default().and("idempotency-key", bad);
        office.ask("POST", "/queue/token", with).await.refused(400, "malformed_request");
    }
    let twice = join("tour").and("idempotency-key", key);
    office.ask("POST", "/queue/token", twice).await.refused(400, "malformed_request");
    office
        .ask("POST", "/queue/token", body(json!({})).and("idempotency-key", "weak"))
        .await
        .refused(400, "idempotency_key_weak");

    // A place's own keys may be simple.
    let hold = |seat: &str| {
        let wish = json!({ "seat_number": seat, "performance_id": "tour-1" });
        token(token_of).and_body(wish).and("idempotency-key", "1")
    };
    let held = office.ask("POST", "/reservations", hold("A1")).await.is(201);
    let again = office.ask("POST", "/reservations", hold("A1")).await.is(201);
    assert_eq!(held["reservation_id"], again["reservation_id"]);
    office.ask("POST", "/reservations", hold("A2")).await.refused(422, "idempotency_mismatch");
}

#[tokio::test]
async fn joins_from_one_address_are_limited() {
    let office = Office::small(1).await;
    let from = |from| With { from: Some(from), ..With::default() };
    for _ in 0..200 {
        office.join(from("192.0.2.7")).await;
    }
    let mut refused = office.ask("POST", "/queue/token", from("192.0.2.7")).await;
    // The bucket may have got a drop or two meanwhile.
    while refused.status == 201 {
        refused = office.ask("POST", "/queue/token", from("192.0.2.7")).await;
    }
    assert!((4..=6).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    refused.refused(429, "rate_limited");
    let other = office.join(from("192.0.2.8")).await;
    for _ in 0..300 {
        office.join(With::default()).await;
    }
    // Coming back to one's place is not joining.
    let again = With { token: Some(&other), ..from("192.0.2.7") };
    office.ask("POST", "/queue/token", again).await.is(200);
}

#[tokio::test]
async fn paths_verbs_and_bodies_that_are_not_served() {
    let office = Office::small(1).await;
    let wrong = office.ask("PUT", "/queue/token", With::default()).await;
    let allowed: BTreeSet<_> = wrong.header("allow").split(',').map(str::trim).collect();
    assert_eq!(allowed, BTreeSet::from(["DELETE", "POST"]));
    wrong.refused(405, "method_not_allowed");
    office.get("/nowhere", With::default()).await.refused(404, "not_found");
    office.get("/reservations/2099-05-01/", With::default()).await.refused(404, "not_found");
    office.get("/reservations/%ff", With::default()).await.refused(400, "malformed_request");
    let english = office.get("/nowhere", With::default().and("accept-language", "en-GB")).await;
    assert_eq!(english.header("content-language"), "en");
    assert_eq!(english.header("vary"), "accept-language");
    assert_eq!(english.json["detail"], "There is nothing at this path. See /docs.");
    let head = office.ask("HEAD", DATE, With::default()).await;
    assert_eq!((head.status.as_u16(), head.bytes), (200, 0));

    let first = office.join(With::default()).await;
    let large = json!({ "seat_number": "A1", "padding": "x".repeat(17_000) });
    let large = office.ask("POST", "/reservations", token(&first).and_body(large)).await;
    assert_eq!(large.refused(413, "body_too_large")["body_bytes_max"], 16_384);
    let form = With { body: Some(json!({})), ..token(&first) };
    let form = office.ask("POST", "/reservations", form.and("content-type", "text/plain")).await;
    form.refused(415, "unsupported_media_type");
    office.ask("POST", "/reservations", token(&first)).await.refused(400, "malformed_request");
}

#[tokio::test]
async fn the_documents_are_served() {
    let office = Office::small(1).await;
    let api = office.get("/openapi.json", With::default()).await;
    assert_eq!(api.header("content-type"), "application/json");
    assert_eq!(api.is(200)["openapi"], "3.1.0");
    let docs = office.get("/docs", With::default()).await;
    assert_eq!(docs.header("content-type"), "text/html; charset=utf-8");
    assert!(docs.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(docs.bytes > 10_000);
    let style = office.get("/docs.css", With::default()).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    for (path, status) in [("/healthz", 200), ("/readyz", 200)] {
        let health = office.get(path, With::default()).await;
        assert_eq!((health.status.as_u16(), health.header("cache-control")), (status, "no-store"));
    }
}
