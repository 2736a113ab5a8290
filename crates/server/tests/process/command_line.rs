//! What the program says when it is started in a wrong way: one sentence, and an exit code.

use std::process::Output;

use crate::support::{BoxOffice, Closed, Options};

type Words = &'static [&'static str];
type Variables = &'static [(&'static str, &'static str)];

async fn run(closed: &Closed, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut program = closed.program();
    program.args(words).envs(environment.iter().copied());
    program.output().await.expect("the program")
}

/// What it said on standard error, which must be one line, with that exit code.
#[track_caller]
fn sentence(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let said: Vec<&str> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [line] = said.as_slice() else { panic!("not one line: {said:#?}") };
    assert!(line.starts_with("maepyo: "), "{line}");
    (*line).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_one_sentence_and_nothing_is_made() {
    let closed = Closed::new(Options::default());
    let table: [(Words, Variables, &str); 12] = [
        (&["serve", "--listen", "nowhere"], &[], "--listen"),
        (&["serve"], &[("MAEPYO_LISTEN", "nowhere")], "MAEPYO_LISTEN"),
        (&["serve"], &[("MAEPYO_DEMO", "perhaps")], "perhaps"),
        (&["serve", "--token-ttl", "301"], &[], "301"),
        (&["serve", "--listen", "0.0.0.0:0"], &[], "--allow-sandbox-payments"),
        (&["serve", "--data", ""], &[], "--data"),
        (&["serve", "--otlp-endpoint", "https://x:4318"], &[], "--otlp-endpoint"),
        (&["serve"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://x:4318")], "without TLS"),
        (&["serve", "--otlp-sample", "1.5"], &[], "from 0 to 1"),
        (&["serve", "--frobnicate"], &[], "--frobnicate"),
        (&["frobnicate"], &[], "frobnicate"),
        (&["journal", "show", "--reservation", "12345"], &[], "13 letters"),
    ];
    for (words, environment, expected) in table {
        let output = run(&closed, words, environment).await;
        let sentence = sentence(&output, 2);
        assert!(sentence.contains(expected), "{words:?} {environment:?}: {sentence}");
        assert!(output.stdout.is_empty());
    }
    assert!(!closed.data().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_secret_is_refused_and_not_shown() {
    let closed = Closed::new(Options::default());
    for name in ["MAEPYO_TOKEN_KEYS", "MAEPYO_ADMIN_KEY"] {
        let words = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let output = run(&closed, &words, &[(name, "s3cret")]).await;
        let sentence = sentence(&output, 2);
        assert!(sentence.contains("environment") && !sentence.contains("s3cret"), "{sentence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_is_named() {
    let office = BoxOffice::open(Options::default()).await;
    let listen = office.public.to_string();
    let closed = Closed::new(Options::default());
    let words = ["serve", "--listen", &listen, "--ops-listen", "127.0.0.1:0"];
    let taken = sentence(&run(&closed, &words, &[]).await, 1);
    assert!(taken.contains("--listen"), "{taken}");

    let data = office.dir().join("data");
    let data = data.to_str().expect("a path of this machine");
    let words = ["serve", "--data", data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let taken = sentence(&run(&closed, &words, &[]).await, 1);
    assert!(taken.contains(data) && taken.contains("in use"), "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_ends_too_early_is_refused_until_it_is_accepted() {
    let sale = crate::support::small_sale("small-1", "E", 15, &serde_json::json!({}));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let closed = office.kill().await;
    // What was written since the last checkpoint is gone: a backup that was taken too early.
    std::fs::remove_file(closed.data().join("journal.sqlite-wal")).expect("the newest writes");
    let words = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let refused = run(&closed, &words, &[]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    let verdict = closed.journal(&["verify"]).await;
    assert_eq!(verdict.status.code(), Some(1));

    let office = closed.with(Options::words(&["--accept-shorter-history"])).open().await;
    buyer.again(office.public).get("/queue/status").await.refused(401, "token_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_answers() {
    let closed = Closed::new(Options::default());
    let help = run(&closed, &["serve", "--help"], &[]).await;
    assert!(help.status.success() && help.stderr.is_empty());
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(text.contains("MAEPYO_OPS_LISTEN") && text.contains("--demo"), "{text}");
    let version = run(&closed, &["--version"], &[]).await;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(text.trim(), format!("maepyo {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stand_in_no_log() {
    let mut options = Options::words(&["--demo", "--log", "trace", "--log-format", "json"]);
    options.environment = vec![("MAEPYO_ADMIN_KEY", "an-admin-key-that-nobody-may-see".into())];
    let office = BoxOffice::open(options).await;
    let mut buyer = office.buyer();
    let joined = buyer.join(None).await.expect(201);
    let reservation = crate::support::reservation_id(&buyer.hold("A1").await.expect(201));
    let key = crate::support::random_key();
    let pay = serde_json::json!({
        "reservation_id": reservation, "payment": { "method": "card", "token": "tok_ok" },
    });
    buyer.try_post("/payment", &key, &pay).await.expect("an answer").expect(200);
    office.sale("demo-hall").await;
    let token = joined["token"].as_str().expect("a token").to_owned();
    let token_key = std::fs::read_to_string(office.dir().join("data/token.key")).expect("the key");
    let closed = office.stop().await;
    let log = closed.log();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(log.contains("request_id"), "what is logged of a request names it");
    let secrets = [&token, token_key.trim(), &key, "tok_ok", "an-admin-key-that-nobody-may-see"];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    let history = closed.journal(&["show"]).await;
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(secrets.iter().all(|secret| !history.contains(secret)));
}

/// What looks after processes asks, and the exit code is the answer.
#[tokio::test(flavor = "multi_thread")]
async fn whether_it_can_serve_is_an_exit_code() {
    let office = BoxOffice::open(Options::default()).await;
    let ops = format!("http://{}", office.operators);
    let ask = async |closed: &Closed, ops: &str| {
        let output = run(closed, &["ready", "--ops", ops], &[]).await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        (output, told)
    };
    let stranger = Closed::new(Options::default());
    let (output, told) = ask(&stranger, &ops).await;
    assert!(output.status.success() && told.contains("\"ready\""), "{told}");
    let output = run(&stranger, &["ready"], &[("MAEPYO_OPS", &ops)]).await;
    assert!(output.status.success());

    // A process that does not go on gives no answer.
    office.signal("STOP").await;
    let (output, _) = ask(&stranger, &ops).await;
    assert!(sentence(&output, 1).ends_with("cannot be asked: no answer in time."));
    office.signal("CONT").await;
    let closed = office.stop().await;
    let (output, _) = ask(&closed, &ops).await;
    assert!(sentence(&output, 1).contains("cannot be asked: "));
    let (output, _) = ask(&closed, "here").await;
    assert!(sentence(&output, 2).contains("--ops: "));
}
