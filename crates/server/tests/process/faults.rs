//! What is tried on the real process when the machine fails it: no room, failed syncs, a process
//! that slept, clocks that are set, rights that are missing.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::support::{BoxOffice, Closed, Connection, Options, reservation_id, small_sale, until};

/// Longer than the ten seconds from which on a silence counts as an outage.
const SLEEP: Duration = Duration::from_secs(13);
/// What a life sign may be older than the end it stands for: heartbeats are two seconds apart.
const SLACK: Duration = Duration::from_secs(4);
async fn open(options: Options, limits: &Value) -> BoxOffice {
    let office = BoxOffice::open(options).await;
    office.schedule("small", &small_sale("small-1", "E", 15, limits)).await;
    office
}

async fn run(words: &[&str]) {
    let (program, words) = words.split_first().expect("a program");
    let ran = Command::new(program).args(words).output().await;
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
}

async fn limit_files(office: &BoxOffice, bytes: &str) {
    let (process, limit) = (office.process().to_string(), format!("--fsize={bytes}:unlimited"));
    run(&["prlimit", "--pid", &process, &limit]).await;
}

/// The library that shows a program another time, as Debian's package `faketime` has it.
pub(crate) fn fake_time() -> String {
    let libraries = std::fs::read_dir("/usr/lib").expect("libraries");
    let of_machine =
        libraries.map(|dir| dir.expect("an entry").path().join("faketime/libfaketime.so.1"));
    let found = of_machine.into_iter().find(|path| path.exists()).expect("libfaketime");
    found.to_str().expect("a path").to_owned()
}

fn ms(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().expect("a time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_sold_nothing_is_lost_and_it_resumes_by_itself() {
    // A write past the limit is an error, as on a disk that is full, and not the end.
    let mut options = Options::words(&["--append-wait-max", "1"]);
    options.through = vec!["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let office = open(options, &json!({ "active_limit": 3 })).await;
    let (mut first, mut second, mut third) = (office.buyer(), office.buyer(), office.buyer());
    for buyer in [&mut first, &mut second, &mut third] {
        buyer.join(None).await.expect(201);
        buyer.turn().await;
    }
    let held = reservation_id(&first.hold("A1").await.expect(201));
    assert_eq!(office.connect().get("/readyz", None).await.status, 200);

    limit_files(&office, "1").await;
    // It was taken up before anybody knew; whether it is there, nobody can say.
    let key = crate::support::random_key();
    let wish = json!({ "seat_number": "A2" });
    let unknown = second.try_post("/reservations", &key, &wish).await.expect("an answer");
    unknown.refused(503, "outcome_unknown");
    let mut operators = Connection::to(office.operators);
    let ready = until("the trouble to be told", async || {
        let ready = operators.get("/readyz", None).await;
        (ready.status == 503).then_some(ready)
    });
    assert!(ready.await.text.contains("store"), "it says which part cannot");
    assert_eq!(office.connect().get("/readyz", None).await.status, 503);
    // Reading goes on; what needs the disk says when to come back.
    assert_eq!(first.status().await["status"], "holding");
    third.status().await;
    let refused = third.hold("A3").await;
    assert!(!refused.header("retry-after").is_empty());
    assert!(matches!(refused.code(), "unavailable" | "outcome_unknown"), "{}", refused.text);

    limit_files(&office, "unlimited").await;
    until("it to be ready again", async || {
        (operators.get("/readyz", None).await.status == 200).then_some(())
    })
    .await;
    let again = second.try_post("/reservations", &key, &wish).await.expect("an answer");
    assert!(matches!(again.status, 200 | 201), "{}", again.text);
    let reservation = reservation_id(&again.json);
    first.pay(&held, "tok_ok").await.expect(200);
    second.pay(&reservation, "tok_ok").await.expect(200);
    assert_eq!(office.sale("small").await["seats"]["sold"], 2);
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_ends_the_process_and_the_next_start_keeps_what_was_answered() {
    let office = open(Options::default(), &json!({})).await;
    let mut buyer = office.buyer();
    let held = reservation_id(&buyer.join_and_hold(None, "A1").await);

    // From now on every sync of the process fails.
    let process = office.process().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &process, "-o", "/dev/null"]);
    strace.args(["-e", "inject=fsync,fdatasync:error=EIO"]).kill_on_drop(true);
    let tracer = strace.spawn().expect("strace, and the right to use it");
    let (status, closed) = office.end().await;
    drop(tracer);
    assert!(!status.success(), "{status}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}");
    assert!(closed.log().contains("the process ends now, and must be started again"));

    let office = closed.open().await;
    buyer.connection.move_to(office.public);
    buyer.pay(&held, "tok_ok").await.expect(200);
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_held_a_seat_loses_nothing_while_the_process_sleeps() {
    let limits = json!({ "hold_ttl": 9, "payment_deadline": 1, "choose_ttl": 9, "place_ttl": 9 });
    let office = open(Options::default(), &limits).await;
    let mut buyer = office.buyer();
    let held = buyer.join_and_hold(None, "A1").await;
    let (since, left) = (Instant::now(), ms(&held["expires_in_ms"]));

    office.signal("STOP").await;
    // paces: it sleeps for longer than the hold lasts.
    tokio::time::sleep(SLEEP).await;
    office.signal("CONT").await;
    let status = buyer.status().await;
    assert_eq!(status["status"], "holding", "{status}");
    let gap = until("the silence to be noticed", async || {
        office.history(&["--sale", "small"]).await.events("resumed").next().cloned()
    })
    .await;
    assert!(ms(&gap["gap_ms"]) <= since.elapsed() + SLACK);
    let still = ms(&buyer.status().await["held_for_ms"]);
    assert!(still + SLACK >= left && still <= left + SLACK, "{still:?} of {left:?}");
    buyer.pay(&reservation_id(&held), "tok_ok").await.expect(200);
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_moves_no_deadline() {
    let offset = tempfile::NamedTempFile::new().expect("a file");
    let set = |text: &str| std::fs::write(offset.path(), text).expect("a file");
    set("+0");
    let options = Options {
        environment: vec![
            ("LD_PRELOAD", fake_time()),
            ("FAKETIME_TIMESTAMP_FILE", offset.path().to_str().expect("a path").to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ],
        ..Options::default()
    };
    let office = open(options, &json!({ "active_limit": 1, "hold_ttl": 60 })).await;
    let (mut holding, mut waiting) = (office.buyer(), office.buyer());
    let held = holding.join_and_hold(None, "A1").await;
    waiting.join(None).await.expect(201);
    let left = ms(&held["expires_in_ms"]);
    let since = Instant::now();
    for hours in ["+3h", "-5h", "+0"] {
        set(hours);
        // paces: the store's clock is looked at every two seconds.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let status = holding.status().await;
        assert_eq!(status["status"], "holding", "{hours}: {status}");
        let still = ms(&status["held_for_ms"]);
        let expected = left.saturating_sub(since.elapsed());
        // Slewing towards the clock that was set moves it by half a percent at most.
        assert!(still + SLACK >= expected && still <= expected + SLACK, "{hours}: {still:?}");
        assert_eq!(waiting.status().await["position"], 2, "{hours}");
    }

    // Set back by hours while it was closed: it goes on from the last time that the journal knows.
    let closed = office.kill().await;
    set("-5h");
    let office = closed.open().await;
    holding.connection.move_to(office.public);
    waiting.connection.move_to(office.public);
    assert_eq!(holding.status().await["status"], "holding");
    assert_eq!(waiting.status().await["position"], 2);
    holding.pay(&reservation_id(&held), "tok_ok").await.expect(200);
    waiting.turn().await;
    office.stop().await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_rights_is_named() {
    let closed = Closed::new(Options::default());
    let data = closed.data();
    std::fs::create_dir(&data).expect("a directory");
    run(&["chmod", "0500", data.to_str().expect("a path")]).await;
    let who = Command::new("id").arg("-u").output().await.expect("id");
    let mut options = Options::default();
    if who.stdout.trim_ascii() == b"0" {
        // Root may do everything, so somebody else tries.
        let above = data.parent().expect("a directory").to_str().expect("a path");
        run(&["chmod", "0755", above]).await;
        options.through = vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    }
    let closed = closed.with(options);
    let sentence = closed.refuses_to_open().await;
    assert!(sentence.contains(data.to_str().expect("a path")), "{sentence}");
    assert!(sentence.contains("denied"), "{sentence}");
}
