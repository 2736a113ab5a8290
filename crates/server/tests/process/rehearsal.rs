//! `maepyo stampede`: a crowd against the real box office, and what it refuses to do.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{BoxOffice, Closed, Options, PATIENCE, note, small_sale};

const ACTIVE_LIMIT: u32 = 40;

/// A hall of 780 seats, and room for forty at a time; people in line are to ask often.
async fn open() -> BoxOffice {
    let limits = json!({ "active_limit": ACTIVE_LIMIT, "presence_window": 2 });
    BoxOffice::with_sale("spring", &small_sale("spring-1", "Z", 30, &limits)).await
}

/// Runs the crowd in a directory of its own.
async fn stampede(closed: &Closed, words: &[&str]) -> Output {
    let mut program = closed.program();
    program.arg("stampede").args(words);
    let output = program.output().await.expect("the program");
    note(String::from_utf8_lossy(&output.stdout));
    note(String::from_utf8_lossy(&output.stderr));
    output
}

fn url(office: &BoxOffice) -> String {
    format!("http://{}", office.public)
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_rehearse_and_every_promise_is_kept() {
    let office = open().await;
    let url = url(&office);
    let (picture, json) = (office.dir().join("course.svg"), office.dir().join("report.json"));
    let (picture, json) = (picture.to_str().expect("a path"), json.to_str().expect("a path"));
    let crowd = Closed::new(Options::default());
    let words = format!(
        "--url {url} --buyers 240 --seats 2 --arrive-in 0 --think 0.1 --seed 5 --connections 48 \
         --active-limit {ACTIVE_LIMIT} --at-most 60 --picture {picture} --json {json}"
    );
    let words: Vec<&str> = words.split(' ').collect();
    let output = stampede(&crowd, &words).await;
    assert_eq!(output.status.code(), Some(0));

    let report = std::fs::read_to_string(json).expect("the report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for finding in report["findings"].as_array().expect("findings") {
        assert_eq!(finding["verdict"], "kept", "{finding}");
    }
    let ends = report["ends"].as_object().expect("ends");
    let everybody: u64 = ends.values().filter_map(Value::as_u64).sum();
    assert_eq!(everybody, 240, "{ends:?}");
    assert!(!ends.contains_key("still_there"), "{ends:?}");
    assert!(ends["bought"].as_u64() > Some(160), "{ends:?}");
    for of_it in ["left", "vanished"] {
        assert!(ends.contains_key(of_it), "{ends:?}");
    }
    let calls: Vec<&str> = report["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .filter_map(|call| call["call"].as_str())
        .collect();
    for call in ["join the line", "where am I", "hold seats", "give seats back", "pay", "leave"] {
        assert!(calls.contains(&call), "{calls:?}");
    }

    // What the crowd counted is what the box office has.
    let sold = report["seats_sold"].as_u64().expect("a count");
    assert_eq!(office.book().kept(), 100 * sold);
    let svg = std::fs::read_to_string(picture).expect("the picture");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(!svg.contains("NaN"), "{svg}");
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(table.lines().filter(|line| line.starts_with("ok  ")).count(), 6, "{table}");
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_not_kept_is_found_from_outside() {
    let office = open().await;
    let url = url(&office);
    let crowd = Closed::new(Options::default());
    // To a crowd that believes in a limit of three, forty inside are a broken promise.
    let words = format!(
        "--url {url} --buyers 40 --arrive-in 0 --think 0.2 --vanish-share 0 --slow-share 0 \
         --active-limit 3 --at-most 30"
    );
    let words: Vec<&str> = words.split(' ').collect();
    let output = stampede(&crowd, &words).await;
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).expect("text");
    let broken: Vec<&str> = table.lines().filter(|line| line.starts_with("BROKEN")).collect();
    assert!(matches!(broken[..], [line] if line.contains("more were admitted")), "{table}");
    assert!(table.contains("the limit is 3."), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_is_sent_home_has_seen_something_all_the_same() {
    let office = open().await;
    let url = url(&office);
    let crowd = Closed::new(Options::default());
    let mut program = crowd.program();
    let words =
        ["--url", &url, "--buyers", "100", "--arrive-in", "0", "--think", "60", "--at-most", "90"];
    program.arg("stampede").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program");
    let mut lines = BufReader::new(child.stderr.take().expect("its errors")).lines();
    let line = lines.next_line().await.expect("its errors").unwrap_or_default();
    assert!(line.contains("100 came"), "{line}");
    let id = child.id().expect("it runs");
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {id}")]).status().await;
    assert!(sent.expect("a shell").success());
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it goes home in time").expect("its output");
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.contains("were still there when time was over"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kind_of_call_can_be_made_alone() {
    let office = open().await;
    let url = url(&office);
    let crowd = Closed::new(Options::default());
    let table: [(&str, &[&str], &str); 4] = [
        ("status", &["--seconds", "1", "--rate", "200", "--buyers", "100"], "answered 200"),
        ("count", &["--seconds", "1"], "answered 200"),
        ("join", &["--seconds", "1"], "answered 201"),
        ("seats", &["--seconds", "1", "--buyers", "1"], "it is nobody's turn"),
    ];
    for (call, more, expected) in table {
        let words = [&["--url", &url, "--call", call], more].concat();
        let output = stampede(&crowd, &words).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        assert!(said.contains(expected), "{call}: {said}");
    }
    let other = open().await;
    let url = format!("http://{}", other.public);
    let words = ["--url", &url, "--call", "hold", "--buyers", "50", "--connections", "8"];
    let said = String::from_utf8(stampede(&crowd, &words).await.stdout).expect("text");
    assert!(said.contains(&format!("{ACTIVE_LIMIT}  answered 201")), "{said}");
    assert_eq!(other.sale("spring").await["seats"]["held"], ACTIVE_LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_server_is_stampeded() {
    let crowd = Closed::new(Options::default());
    let nobody = "http://127.0.0.1:1";
    let table: [(&[&str], &str); 8] = [
        // An address for documents, where nobody is: it is refused before anything is sent there.
        (&["--url", "http://192.0.2.1:8080"], "--i-own-this-host"),
        (&["--url", "http://0.0.0.0:8080"], "--i-own-this-host"),
        (&["--url", "http://[2001:db8::1]:8080"], "--i-own-this-host"),
        (&["--url", "https://127.0.0.1:8080"], "http:// only"),
        (&["--url", "127.0.0.1:8080"], "http://HOST:PORT"),
        (&["--url", nobody], "nobody answers at 127.0.0.1:1"),
        (&["--url", nobody, "--vanish-share", "2"], "--vanish-share"),
        (&["--url", nobody, "--rate", "5"], "--call"),
    ];
    for (words, expected) in table {
        let output = stampede(&crowd, words).await;
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert!(said.starts_with("maepyo: ") && said.lines().count() == 1, "{words:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_has_to_be_named_where_there_are_several() {
    let office = BoxOffice::open(Options::words(&["--demo"])).await;
    let url = url(&office);
    let crowd = Closed::new(Options::default());
    for (words, expected) in [
        (&["--url", &url][..], "--sale names one of demo-arena, demo-hall."),
        (&["--url", &url, "--sale", "autumn"], "no sale \"autumn\""),
        (&["--url", &url, "--sale", "demo-hall", "--json", "no/such/file"], "cannot be written"),
    ] {
        let output = stampede(&crowd, words).await;
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains(expected), "{said}");
    }
}
