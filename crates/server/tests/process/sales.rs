//! Sales that an organiser keeps as files: `--sales`, `sale check`, and what of a sale may change.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Ask, BoxOffice, Closed, Connection, Options, reservation_id, until};

/// Two rows of four seats at two prices, open since long ago.
const SPRING: &str = r#"
time_zone = "Asia/Seoul"
currency = "KRW"
opens_at = 2026-01-01T09:00:00
limits = { active_limit = 5 }
pools = ["press"]
title = "봄 음악회"
venue = "소극장"
grades = [
    { name = "R", price = 200 },
    { name = "S", price = 100 },
]

[[sections]]
name = "1층"
rows = "A-B"
seats = "1-4"
grade = "S"
grades_of_rows = { A = "R" }
wheelchair = [{ row = "B", place = 4, companions = 3 }]

[[performances]]
id = "spring-1"
date = 2099-05-01
starts_at = 19:30:00
"#;

const MORE: &str = r#"
[[performances]]
id = "spring-2"
date = 2099-05-02
starts_at = 15:00:00
"#;

/// A closed box office with an empty directory for sales' files, which it is opened with.
fn with_directory() -> (Closed, PathBuf) {
    let closed = Closed::new(Options::default());
    let sales = closed.data().with_file_name("sales");
    std::fs::create_dir(&sales).expect("a directory");
    let environment = vec![("MAEPYO_SALES", sales.to_str().expect("text").to_owned())];
    (closed.with(Options { environment, ..Options::default() }), sales)
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("a file");
}

/// Waits until the log says something for the `count`th time.
async fn logged(office: &BoxOffice, what: &str, count: usize) -> String {
    until(what, async || Some(office.log()).filter(|log| log.matches(what).count() >= count)).await
}

async fn plan(office: &BoxOffice, performance: &str) -> (String, Value) {
    let path = format!("/performances/{performance}/plan");
    let answer = office.connect().get(&path, None).await;
    (answer.header("etag").to_owned(), answer.expect(200))
}

fn prices(plan: &Value) -> Vec<u64> {
    let grades = plan["grades"].as_array().expect("grades");
    grades.iter().filter_map(|grade| grade["price"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_files_is_sold_changed_and_never_undone() {
    let (closed, dir) = with_directory();
    write(&dir, "spring.toml", SPRING);
    write(&dir, "broken.toml", "title = \"x\"\ncurrency = KRW\n");
    write(&dir, "Not A Sale.toml", SPRING);
    write(&dir, "notes.txt", "nothing to read here");
    let office = closed.open().await;
    let log = office.log();
    let line = |name: &str| log.lines().find(|line| line.contains(name)).unwrap_or("").to_owned();
    assert!(line("broken.toml").contains("line=2 column=12"), "{log}");
    assert!(line("Not A Sale.toml").contains("1 to 64 of a-z"), "{log}");
    assert!(!log.contains("notes.txt"), "{log}");

    // A seat is sold.
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    buyer.turn().await;
    let alone = buyer.hold("B3").await.refused(422, "companion_alone");
    assert_eq!(alone["seat_number"], "B3");
    let held = buyer.hold("A1").await.expect(201);
    buyer.pay(&reservation_id(&held), "tok_ok").await.expect(200);
    let (etag, before) = plan(&office, "spring-1").await;
    assert_eq!(prices(&before), [200, 100]);
    assert_eq!(before["sections"][0]["rows"][1]["seats"][2]["companion_of"], "B4");

    // What nobody has bought may change; a new evening comes behind.
    let changed = SPRING.replace("price = 100", "price = 150").replace("봄 음악회", "봄의 끝");
    let changed = changed + MORE;
    write(&dir, "spring.toml", &changed);
    office.hang_up().await;
    logged(&office, "the sale is changed", 1).await;
    let (new_etag, after) = plan(&office, "spring-1").await;
    assert_eq!((prices(&after), &after["title"]), (vec![200, 150], &json!("봄의 끝")));
    assert_ne!(etag, new_etag);
    let ask = Ask { headers: vec![("if-none-match", etag.as_str())], ..Ask::default() };
    let answer = office.connect().ask("GET", "/performances/spring-1/plan", ask).await;
    assert_eq!(answer.status, 200, "the tag of the old plan is another's");
    let found = office.connect().get("/reservations/2099-05-02", None).await.expect(200);
    assert_eq!(
        (&found["performance_id"], &found["available_count"]),
        (&json!("spring-2"), &json!(8))
    );
    let ticket =
        buyer.get(&format!("/me/reservations/{}", reservation_id(&held))).await.expect(200);
    assert_eq!((&ticket["amount"], &ticket["status"]), (&json!(200), &json!("confirmed")));
    // It is bought at its new price.
    let mut next = office.buyer();
    next.join(None).await.expect(201);
    next.turn().await;
    let body = json!({ "performance_id": "spring-2", "seat_numbers": ["B1"] });
    let held = next.post("/reservations", &body).await.expect(201);
    assert_eq!(held["amount"], 150);

    // What was bought may not, and nothing of such a file is done.
    write(&dir, "spring.toml", &changed.replace("price = 200", "price = 10").replace("150", "160"));
    office.hang_up().await;
    let log = logged(&office, "seats_in_use", 1).await;
    let line = log.lines().find(|line| line.contains("seats_in_use")).expect("a line");
    assert!(line.contains("spring-1 A1") && line.contains("spring.toml"), "{line}");
    assert_eq!(prices(&plan(&office, "spring-1").await.1), [200, 150]);
    write(&dir, "spring.toml", &changed.replace("\"1-4\"", "\"1-5\""));
    office.hang_up().await;
    logged(&office, "no seat is added, removed", 1).await;
    assert_eq!(office.sale("spring").await["seats"]["sold"], 1);

    // What an operator does since stays, also when the old file is read again.
    write(&dir, "spring.toml", &changed);
    let key = office.admin_key().to_owned();
    let by_hand = changed.replace("active_limit = 5", "active_limit = 9");
    let ask = Ask {
        token: Some(&key),
        headers: vec![("content-type", "application/toml")],
        body: Some(by_hand.into_bytes().into()),
    };
    Connection::to(office.operators).ask("PUT", "/admin/sales/spring", ask).await.expect(200);
    let seats = json!({ "performance_id": "spring-1", "seat_numbers": ["B2"], "pool": "press" });
    office.operate("POST", "/admin/sales/spring/seats/withhold", Some(&seats)).await;
    let office = office.stop().await.open().await;
    office.hang_up().await;
    logged(&office, "the sales' files are read again", 4).await;
    let sale = office.sale("spring").await;
    assert_eq!(sale["limits"]["active_limit"], 9);
    assert_eq!(sale["seats"]["withheld"], 1);
    let found = office.connect().get("/performances/spring-2", None).await.expect(200);
    assert_eq!((&found["title"], &found["date"]), (&json!("봄의 끝"), &json!("2099-05-02")));
    let history = office.history(&["--sale", "spring"]).await;
    let of = |name| history.events(name).collect::<Vec<_>>();
    assert_eq!((of("scheduled").len(), of("changed").len()), (1, 1), "{:?}", history.names());
    assert!(of("changed")[0]["file"].as_str().is_some_and(|hash| hash.len() == 64));
    assert_eq!(of("changed")[0]["performances"], json!(["spring-1", "spring-2"]));

    // After a crash everything is read again from the first batch.
    let closed = office.kill().await;
    closed.verify().await;
    let office = closed.open().await;
    let found = office.connect().get("/reservations/2099-05-02", None).await.expect(200);
    assert_eq!(found["performance_id"], "spring-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_anybody_was_let_in_a_sale_may_be_described_anew() {
    let (closed, dir) = with_directory();
    let later = SPRING.replace("2026-01-01T09:00:00", "2099-01-01T09:00:00");
    write(&dir, "spring.toml", &later);
    let office = closed.open().await;
    assert_eq!(office.sale("spring").await["seats"]["free"], 8);
    write(&dir, "spring.toml", &later.replace("\"1-4\"", "\"1-9\"").replace("2099-01", "2026-01"));
    office.hang_up().await;
    logged(&office, "the sale is changed", 1).await;
    let sale = until("the sale opens", async || {
        Some(office.sale("spring").await).filter(|sale| sale["state"] == "open")
    });
    assert_eq!(sale.await["seats"]["free"], 18);
    write(&dir, "other.toml", &later.replace("spring-1", "spring-9").replace("봄", "가을"));
    write(&dir, "third.toml", &later);
    office.hang_up().await;
    let log = logged(&office, "sale_exists", 1).await;
    assert!(log.lines().any(|line| line.contains("sale_exists") && line.contains("third.toml")));
    assert_eq!(office.sale("other").await["state"], "scheduled");
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_there_is_told_at_once() {
    let closed = Closed::new(Options::default());
    let output = closed.program().args(["serve", "--sales", "/nowhere/at/all"]).output().await;
    let output = output.expect("the program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--sales names a directory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_checked_and_drawn() {
    let closed = Closed::new(Options::default());
    let check = async |file: &Path| {
        let output = closed.program().args(["sale", "check"]).arg(file).output().await;
        let output = output.expect("the program");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sales");
    let (code, said, wrong) = check(&examples.join("theatre.toml")).await;
    assert_eq!((code, wrong.as_str()), (Some(0), ""));
    for expected in [
        "opens   2027-03-02 14:00 (Asia/Seoul)",
        "2027-04-09 19:30  dream-fri  봄밤의 꿈, 남산극장",
        "withheld for press",
        "4 wheelchair places and 6 companions' seats",
        "[ stage ]",
        "  K  wcRRRRRRRR  RRRRRRRxxxxxxRRRRRRR  RRRRRRRRcw",
        "the same hall and prices as dream-fri",
        "3,600 seats in 3 performances",
        "as the sale `theatre`",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let dir = closed.data().with_file_name("sales");
    std::fs::create_dir(&dir).expect("a directory");
    write(&dir, "spring.toml", &SPRING.replace("\"A-B\"", "\"B-A\""));
    let (code, said, wrong) = check(&dir.join("spring.toml")).await;
    assert_eq!((code, said.as_str()), (Some(1), ""));
    let expected =
        "spring.toml: line 16 column 8: `sections[0].rows` has `B-A`, which is no range.";
    assert!(wrong.trim_end().ends_with(expected), "{wrong}");
    let (code, _, wrong) = check(&dir.join("none.toml")).await;
    assert_eq!(code, Some(1));
    assert!(wrong.contains("cannot be read"), "{wrong}");
}
