//! `maepyo sale`: operators at the command line, and what the journal says of them.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{BoxOffice, Closed, Options, small_sale};

/// An operator at the command line of a box office.
struct Desk {
    office: BoxOffice,
    ops: String,
}

impl Desk {
    async fn with_sale(sale: &Value) -> Self {
        let office = BoxOffice::with_sale("small", sale).await;
        let ops = format!("http://{}", office.operators);
        Self { office, ops }
    }

    async fn run(&self, words: &[&str]) -> Output {
        let mut program = self.office.program();
        program.args(["sale"]).args(words).env("MAEPYO_OPS", &self.ops);
        program.env("LOGNAME", "kim").output().await.expect("the program")
    }

    /// What it prints, which must be all that it says.
    #[track_caller]
    fn said(output: &Output) -> String {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaint.is_empty(), "{complaint}");
        String::from_utf8(output.stdout.clone()).expect("text")
    }

    async fn say(&self, words: &[&str]) -> String {
        Self::said(&self.run(words).await)
    }

    async fn json(&self, words: &[&str]) -> Value {
        let text = self.say(&[words, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// The one sentence of a command that did not succeed, with that exit code.
#[track_caller]
fn sentence(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    assert!(said.starts_with("maepyo: ") && said.ends_with(".\n"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// The cells of the line that begins with this word.
fn cells<'t>(text: &'t str, first: &str) -> Vec<&'t str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|cells| cells.first() == Some(&first)).unwrap_or_else(|| panic!("{first}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_run_from_the_command_line() {
    let limits = json!({ "active_limit": 1 });
    let desk = Desk::with_sale(&small_sale("small-1", "E", 15, &limits)).await;
    desk.office.schedule("other", &small_sale("other-1", "A", 2, &json!({}))).await;
    let (mut inside, mut next) = (desk.office.buyer(), desk.office.buyer());
    inside.join(Some(&json!({ "sale_id": "small" }))).await.expect(201);
    inside.hold("A1").await.expect(201);
    next.join(Some(&json!({ "sale_id": "small" }))).await.expect(201);

    let list = desk.say(&["list"]).await;
    let expected =
        ["small", "open", "2026-01-01T00:00:00.000Z", "1", "1", "1", "74", "1", "0", "0"];
    assert_eq!(cells(&list, "small"), expected, "{list}");
    assert_eq!(cells(&list, "other")[6..], ["2", "0", "0", "0"], "{list}");
    let sales = desk.json(&["list"]).await;
    assert_eq!(sales["sales"].as_array().map(Vec::len), Some(2));
    let shown = desk.say(&["show", "small"]).await;
    assert_eq!(cells(&shown, "small-1"), ["small-1", "74", "1", "0", "0"], "{shown}");
    assert_eq!(cells(&shown, "active_limit"), ["active_limit", "1", "1..1000000"], "{shown}");
    assert_eq!(desk.json(&["show", "small"]).await["seats"]["held"], 1);

    let paused = desk.say(&["pause", "small", "--because", "무대 점검"]).await;
    assert!(paused.starts_with("small is paused: 1 waiting, 1 inside, 74 seats free"), "{paused}");
    let resumed = desk.json(&["resume", "small", "--by", "이매표"]).await;
    assert!(resumed["as_of"].as_u64().is_some_and(|batch| batch > 0), "{resumed}");
    assert!(desk.say(&["close", "small"]).await.starts_with("small is closed"));

    let history = desk.office.history(&["--sale", "small"]).await;
    let word = |event: &str| {
        let line = history.events(event).next().unwrap_or_else(|| panic!("{event}: {history:?}"));
        assert_eq!(line["actor"], "operator");
        (line["by"].clone(), line["because"].clone())
    };
    assert_eq!(word("paused"), (json!("kim"), json!("무대 점검")));
    assert_eq!(word("unpaused"), (json!("이매표"), json!(null)));
    assert_eq!(word("closed"), (json!("kim"), json!(null)));
    let nobody = history.events("scheduled").next().expect("the first event");
    assert!(nobody["by"].is_null(), "the call itself did not say: {nobody}");
    assert!(history.events("joined").all(|line| line["by"].is_null()));
    // It is there after a restart, and the history is sound with it.
    let closed = desk.office.stop().await;
    closed.verify().await;
    let office = closed.open().await;
    assert_eq!(office.history(&["--sale", "small"]).await.0.len(), history.0.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_opened_before_its_time() {
    let mut sale = small_sale("small-1", "E", 15, &json!({}));
    sale["opens_at"] = json!("2099-01-01T10:00");
    let desk = Desk::with_sale(&sale).await;
    assert_eq!(desk.json(&["show", "small"]).await["state"], "scheduled");
    assert!(desk.say(&["open", "small"]).await.starts_with("small is open: 0 waiting"));
    assert!(desk.say(&["open", "small"]).await.starts_with("small is open"), "it is open already");
    desk.say(&["close", "small"]).await;
    assert!(sentence(&desk.run(&["open", "small"]).await, 1).contains("wrong_state"));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_limits_are_changed_and_the_others_stay() {
    let limits = json!({ "active_limit": 5, "hold_ttl": 90 });
    let desk = Desk::with_sale(&small_sale("small-1", "E", 15, &limits)).await;
    let changed = desk.say(&["limits", "small", "active_limit=7", "arrive_ttl=60"]).await;
    assert_eq!(cells(&changed, "active_limit"), ["active_limit", "7", "1..1000000", "was", "5"]);
    assert_eq!(cells(&changed, "arrive_ttl")[..2], ["arrive_ttl", "60"], "{changed}");
    assert_eq!(cells(&changed, "hold_ttl"), ["hold_ttl", "90", "1..86400"], "{changed}");
    assert_eq!(desk.json(&["limits", "small"]).await["active_limit"], 7);
    assert_eq!(cells(&desk.say(&["limits", "small"]).await, "arrive_ttl")[1], "60");

    let history = desk.office.history(&["--sale", "small"]).await;
    let event = history.events("limits_changed").next().expect("the change");
    assert_eq!((&event["by"], &event["limits"]["active_limit"]), (&json!("kim"), &json!(7)));

    let table = [
        (&["limits", "small", "active_limit=0"][..], 1, "between 1 and 1000000"),
        (&["limits", "small", "active=9"], 2, "line_capacity"),
        (&["limits", "small", "active_limit"], 2, "active_limit=200"),
        (&["limits", "small", "active_limit=many"], 2, "active_limit=200"),
    ];
    for (words, code, expected) in table {
        let said = sentence(&desk.run(words).await, code);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    assert_eq!(desk.json(&["limits", "small"]).await["active_limit"], 7);
    // Two operators, each with another limit in mind: neither undoes what the other did.
    let (a, b) = tokio::join!(
        desk.say(&["limits", "small", "choose_ttl=200"]),
        desk.say(&["limits", "small", "place_ttl=900"])
    );
    let limits = desk.json(&["limits", "small"]).await;
    assert_eq!((&limits["choose_ttl"], &limits["place_ttl"]), (&json!(200), &json!(900)), "{a}{b}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_kept_back_and_given_free_by_number_range_and_pool() {
    let mut sale = small_sale("small-1", "C", 15, &json!({}));
    sale["pools"] = json!(["press", "guests"]);
    sale["sections"][0]["except"] = json!({ "B": "5" });
    let desk = Desk::with_sale(&sale).await;
    let withhold =
        |seats: &'static [&str], pool| [&["withhold", "small"], seats, &["--pool", pool]].concat();
    let said = desk.say(&withhold(&["A1-A12", "C2"], "press")).await;
    assert!(said.starts_with("small: 13 seats withheld.\nsmall is open"), "{said}");
    // A range has what stands in the row: B5 does not.
    assert_eq!(desk.json(&withhold(&["B4-B6"], "guests")).await["seats"], 2);
    let counts = &desk.json(&["show", "small"]).await["seats"];
    assert_eq!((&counts["withheld"], &counts["free"]), (&json!(15), &json!(29)));
    let history = desk.office.history(&["--sale", "small"]).await;
    let event = history.events("seats_withheld").last().expect("the change");
    assert_eq!(event["seats"], json!(["B4", "B6"]));
    assert_eq!((&event["by"], &event["pool"]), (&json!("kim"), &json!("guests")));

    let table: [(&[&str], i32, &str); 10] = [
        (&withhold(&["A1"], "press"), 1, "A1"),
        (&withhold(&["A13-B1"], "press"), 1, "A13-B1"),
        (&withhold(&["A15-A13"], "press"), 1, "A15-A13"),
        (&withhold(&["A13-A15", "A14"], "press"), 1, "A14"),
        (&withhold(&["A13"], "none"), 1, "no such pool"),
        (&withhold(&[], "press"), 1, "at least one seat"),
        (&["withhold", "small", "A13"], 1, "no such pool"),
        (&["release", "small", "A1", "B4", "--pool", "press"], 1, "B4"),
        (&["release", "small", "A13"], 1, "A13"),
        (&["release", "small", "A1", "--performance", "other"], 1, "not for that performance"),
    ];
    for (words, code, expected) in table {
        let said = sentence(&desk.run(words).await, code);
        assert!(said.contains(expected), "{words:?}: {said}");
    }

    assert_eq!(
        desk.json(&["release", "small", "A1-A3", "--performance", "small-1"]).await["seats"],
        3
    );
    assert_eq!(desk.json(&["release", "small", "--pool", "press"]).await["seats"], 10);
    let counts = &desk.json(&["show", "small"]).await["seats"];
    assert_eq!((&counts["withheld"], &counts["free"]), (&json!(2), &json!(42)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_gets_wrong_is_one_sentence() {
    let desk = Desk::with_sale(&small_sale("small-1", "E", 15, &json!({}))).await;
    let public = format!("http://{}", desk.office.public);
    let long = "k".repeat(501);
    let table: [(&[&str], i32, &str); 9] = [
        (&["show", "none"], 1, "sale_not_found"),
        (&["show", "No Sale"], 2, "1 to 64 of a-z"),
        (&["pause", "small", "--because", &long], 2, "--because is one line of 1 to 500"),
        (&["pause", "small", "--by", ""], 2, "--by is one line of 1 to 64"),
        (&["pause", "small", "--by", "kim\nlee"], 2, "--by is one line"),
        (&["list", "--ops", "https://127.0.0.1:8081"], 2, "http:// URL"),
        (&["list", "--ops", "127.0.0.1:8081"], 2, "--ops"),
        (&["list", "--ops", "http://127.0.0.1:1"], 1, "cannot be asked"),
        (&["list", "--ops", &public], 1, "not_found"),
    ];
    for (words, code, expected) in table {
        let said = sentence(&desk.run(words).await, code);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    assert_eq!(desk.office.sale("small").await["state"], "open");

    // Another box office's key, none, and one that is open to others.
    let key = desk.office.admin_key().to_owned();
    let elsewhere = Closed::new(Options::default());
    let mut program = elsewhere.program();
    program.args(["sale", "list", "--ops", &desk.ops]);
    let said = sentence(&program.output().await.expect("the program"), 2);
    assert!(said.contains("admin.key") && said.contains("MAEPYO_ADMIN_KEY"), "{said}");
    program.env("MAEPYO_ADMIN_KEY", key.chars().rev().collect::<String>());
    let said = sentence(&program.output().await.expect("the program"), 1);
    assert!(said.contains("admin_key_invalid") && !said.contains(&key), "{said}");
    program.env("MAEPYO_ADMIN_KEY", &key);
    assert!(program.output().await.expect("the program").status.success());

    // Where the session does not say who it is, the list of accounts does.
    let mut program = desk.office.program();
    program.args(["sale", "pause", "small", "--ops", &desk.ops]);
    program.env_remove("LOGNAME").env_remove("USER");
    assert!(program.output().await.expect("the program").status.success());
    let account = tokio::process::Command::new("id").arg("-un").output().await.expect("a name");
    let history = desk.office.history(&["--sale", "small"]).await;
    let paused = history.events("paused").next().expect("the change");
    assert_eq!(paused["by"], String::from_utf8_lossy(&account.stdout).trim());
}
