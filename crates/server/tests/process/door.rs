//! The limits at the door: connections, slow clients, large bodies, joins from one address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    Ask, BoxOffice, Connection, HASTE, Options, PATIENCE, reservation_id, small_sale, until,
};

/// A connection on which bytes are written as they stand here.
struct Wire(TcpStream);

impl Wire {
    async fn to(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.expect("a connection"))
    }

    async fn write(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).await.is_ok()
    }

    /// What comes until the other end closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        // A reset after the answer is an end, too.
        let _ = read.expect("it is closed in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer that comes next, or nothing within this time.
    async fn answer(&mut self, wait: Duration) -> Option<String> {
        let mut bytes = vec![0; 16 * 1024];
        let read = timeout(wait, self.0.read(&mut bytes)).await.ok()?;
        bytes.truncate(read.expect("an answer"));
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[expect(clippy::disallowed_methods, reason = "it is a real process that is timed")]
fn now() -> Instant {
    Instant::now()
}

/// The problem in an answer's body.
fn problem(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

async fn metric(office: &BoxOffice, series: &str) -> f64 {
    let text = Connection::to(office.operators).get("/metrics", None).await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_waits_until_there_is_room() {
    let office = BoxOffice::open(Options::words(&["--connections", "2"])).await;
    let (mut first, mut second) = (Wire::to(office.public).await, Wire::to(office.public).await);
    for wire in [&mut first, &mut second] {
        assert!(wire.write(GET).await);
        assert!(wire.answer(PATIENCE).await.expect("an answer").starts_with("HTTP/1.1 200"));
    }
    assert!(metric(&office, "maepyo_connections{listener=\"buyers\"}").await >= 2.0);
    let mut third = Wire::to(office.public).await;
    assert!(third.write(GET).await);
    assert_eq!(third.answer(Duration::from_millis(500)).await, None, "there is no room");
    // Those who are in are served all the same, and so are operators.
    assert!(first.write(GET).await && first.answer(PATIENCE).await.is_some());
    drop(second);
    assert!(third.answer(PATIENCE).await.expect("an answer").starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_head_comes_slowly_is_given_up() {
    let office = BoxOffice::open(Options::words(&["--idle-timeout", "2"])).await;
    let begun = now();
    let mut wire = Wire::to(office.public).await;
    wire.write("GET /healthz HTTP/1.1\r\nHost: x\r\n").await;
    // A field each moment keeps it open no longer than silence does.
    let closed = timeout(PATIENCE, async {
        let mut byte = [0];
        loop {
            wire.write("X-Slow: 1\r\n").await;
            // paces: a slow client is slow.
            match timeout(Duration::from_millis(100), wire.0.read(&mut byte)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) => panic!("an answer to half a request"),
                Err(_) => {}
            }
        }
    });
    closed.await.expect("it is closed in time");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(3) + HASTE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_slowly_is_refused_and_keeps_nobody_waiting_for_long() {
    let words = ["--idle-timeout", "2", "--requests-in-flight", "1"];
    let office = BoxOffice::open(Options::words(&words)).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let begun = now();
    let mut slow = Wire::to(office.public).await;
    let head = "POST /queue/token HTTP/1.1\r\nHost: x\r\nAccept-Language: en\r\n\
                Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{";
    assert!(slow.write(head).await);
    let answer = timeout(PATIENCE, async {
        loop {
            // paces: a slow client is slow.
            let answer = slow.answer(Duration::from_millis(100)).await;
            if let Some(answer) = answer {
                return answer;
            }
            slow.write(" ").await;
        }
    });
    let answer = answer.await.expect("an answer in time");
    let took = begun.elapsed();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let told = problem(&answer);
    assert_eq!((&told["code"], &told["max"]), (&json!("body_too_slow"), &json!(2)));
    assert!(told["detail"].as_str().is_some_and(|text| text.contains("2 seconds")), "{told}");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(2) + HASTE, "{took:?}");
    slow.rest().await;
    // The one place for requests is free again.
    office.buyer().join(None).await.expect(201);
    assert!(metric(&office, "maepyo_problems_total{code=\"body_too_slow\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_has_come() {
    let office = BoxOffice::open(Options::default()).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let head = |length: &str| {
        format!(
            "POST /queue/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             {length}\r\n\r\n"
        )
    };
    let mut said = Wire::to(office.public).await;
    assert!(said.write(&head("Content-Length: 16385")).await);
    let answer = said.answer(PATIENCE).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(problem(&answer)["body_bytes_max"], 16_384);
    // One that does not say how long it is, and is too long.
    let mut unsaid = Wire::to(office.public).await;
    assert!(unsaid.write(&head("Transfer-Encoding: chunked")).await);
    for _ in 0..17 {
        unsaid.write(&format!("400\r\n{}\r\n", " ".repeat(1024))).await;
    }
    let answer = unsaid.answer(PATIENCE).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_told_so_as_a_problem() {
    let office = BoxOffice::open(Options::default()).await;
    // They do not even come to their end.
    let long = "x".repeat(66_000);
    let many = "X-Many: 1\r\n".repeat(101);
    let table = [
        ("HELLO\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /healthz HTTP/1.1\r\nHost x\r\n\r\n".to_owned(), 400, "malformed_request"),
        (format!("GET /{long}"), 431, "head_too_large"),
        (format!("GET /healthz HTTP/1.1\r\nX-Long: {long}"), 431, "head_too_large"),
        (format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), 431, "head_too_large"),
    ];
    for addr in [office.public, office.operators] {
        for (request, status, code) in &table {
            let mut wire = Wire::to(addr).await;
            wire.write(request).await;
            let answer = wire.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{code}: {answer}");
            assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
            let told = problem(&answer);
            assert_eq!((&told["code"], &told["status"]), (&json!(code), &json!(status)));
        }
    }
    // On a connection that was well until then, too.
    let mut wire = Wire::to(office.public).await;
    assert!(wire.write(GET).await);
    assert!(wire.answer(PATIENCE).await.expect("an answer").starts_with("HTTP/1.1 200"));
    assert!(wire.write("HELLO\r\n\r\n").await);
    assert_eq!(problem(&wire.rest().await)["code"], "malformed_request");
}

/// Joins with this `X-Forwarded-For`; the status.
async fn join_from(office: &BoxOffice, forwarded_for: &str) -> (u16, Value) {
    let headers = vec![("x-forwarded-for", forwarded_for), ("accept-language", "en")];
    let ask = Ask { headers, ..Ask::default() };
    let answer = office.connect().ask("POST", "/queue/token", ask).await;
    (answer.status, answer.json)
}

async fn joins(office: &BoxOffice, forwarded_for: &str, times: u32) -> u32 {
    let mut joined = 0;
    for _ in 0..times {
        joined += u32::from(join_from(office, forwarded_for).await.0 == 201);
    }
    joined
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_from_one_address_are_limited_behind_a_proxy_that_is_trusted() {
    // So seldom that no second join comes free while the test runs.
    let words = ["--joins-per-address", "1", "--joins-burst", "3", "--trusted-proxy", "127.0.0.1"];
    let office = BoxOffice::open(Options::words(&words)).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let mut joined = 0;
    let refused = loop {
        let (status, told) = join_from(&office, "192.0.2.66, 203.0.113.7").await;
        match status {
            201 => joined += 1,
            _ => break told,
        }
        assert!(joined < 100, "there is no limit");
    };
    assert!(joined >= 3, "{joined}");
    assert_eq!((&refused["code"], &refused["status"]), (&json!("rate_limited"), &json!(429)));
    assert_eq!((&refused["limit"], &refused["max"]), (&json!("joins_per_address"), &json!(1)));
    let detail = refused["detail"].as_str().expect("a sentence");
    assert!(detail.contains("1 times a second") && detail.contains("3 times at once"), "{detail}");
    // Others are not concerned, a network of 64 bits counts as one, and this machine is not counted.
    assert_eq!(joins(&office, "203.0.113.8", 3).await, 3);
    let mut of_network = 0;
    for host in 1..=9 {
        of_network += joins(&office, &format!("2001:db8::{host}"), 1).await;
    }
    assert!((3..9).contains(&of_network), "{of_network}");
    assert_eq!(joins(&office, "2001:db8:0:1::1", 3).await, 3);
    for _ in 0..20 {
        office.buyer().join(None).await.expect(201);
    }
    let limited = metric(&office, "maepyo_problems_total{code=\"rate_limited\"}").await;
    assert!(limited >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_believed_who_is_not_a_trusted_proxy() {
    let words = ["--joins-burst", "3", "--trusted-proxy", "192.0.2.1"];
    let office = BoxOffice::open(Options::words(&words)).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    // It is this machine whatever it says, and this machine is not counted.
    assert_eq!(joins(&office, "203.0.113.7", 20).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_too_many_is_told_the_limit() {
    let office = BoxOffice::open(Options::words(&["--payments-in-flight", "1"])).await;
    office.schedule("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let (mut slow, mut other) = (office.buyer(), office.buyer());
    let mut reservations = Vec::new();
    for (buyer, seat) in [(&mut slow, "A1"), (&mut other, "A2")] {
        buyer.join(None).await.expect(201);
        reservations.push(reservation_id(&buyer.hold(seat).await.expect(201)));
    }
    let (paid, refused) = tokio::join!(slow.pay(&reservations[0], "tok_slow"), async {
        until("the first one to be under way", async || {
            let begun = metric(&office, "maepyo_payments_total{sale=\"small\",outcome=\"begun\"}");
            (begun.await > 0.0).then_some(())
        })
        .await;
        other.pay(&reservations[1], "tok_ok").await
    });
    paid.expect(200);
    let refused = refused.refused(503, "overloaded");
    assert_eq!((&refused["limit"], &refused["max"]), (&json!("payments_in_flight"), &json!(1)));
    other.pay(&reservations[1], "tok_ok").await.expect(200);
    assert_eq!(
        metric(&office, "maepyo_sheds_total{priority=\"payment\"}").await.to_bits(),
        1_f64.to_bits()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_names_every_limit_of_the_door() {
    let office = BoxOffice::open(Options::default()).await;
    let help = office.program().args(["serve", "--help"]).output().await.expect("the program");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let readme = include_str!("../../../../README.md");
    for option in [
        "--connections",
        "--streams",
        "--requests-in-flight",
        "--idle-timeout",
        "--joins-per-address",
        "--joins-burst",
        "--trusted-proxy",
        "--append-wait-max",
        "--payments-in-flight",
    ] {
        assert!(help.contains(option) && readme.contains(option), "{option}");
    }
}
