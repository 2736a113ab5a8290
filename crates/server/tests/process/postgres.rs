//! A box office whose history is in PostgreSQL: killed, without its database for a while, and one of
//! two that sell the same seats, of which one sleeps or is cut off. With a real server.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgserver::{Server, Setup};
use serde_json::{Value, json};

use crate::streams::Stream;
use crate::support::{
    BoxOffice, Closed, Connection, Line, Options, Trouble, reservation_id, small_sale, until,
};

/// 32 bytes, as a keyring has them: every node needs the same.
const TOKEN_KEYS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const ADMIN_KEY: &str = "an-admin-key-that-nobody-may-guess";

pub(crate) fn server() -> Server {
    let cache: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    let settings = vec!["fsync=off".to_owned()];
    Server::start(Setup { cache: Some(cache), settings, ..Setup::default() }).expect("a server")
}

pub(crate) fn on(url: &str) -> Options {
    let environment = [
        ("MAEPYO_STORE", url),
        ("MAEPYO_TOKEN_KEYS", TOKEN_KEYS),
        ("MAEPYO_ADMIN_KEY", ADMIN_KEY),
        ("MAEPYO_APPEND_WAIT_MAX", "2"),
    ];
    let environment = environment.map(|(name, value)| (name, value.to_owned())).to_vec();
    Options { environment, ..Options::default() }
}

pub(crate) async fn verify(closed: &Closed, url: &str) -> String {
    let output = closed.program().args(["journal", "verify", "--store", url]).output().await;
    let output = output.expect("the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("sound"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_outlives_the_process_and_its_database() {
    let mut server = server();
    let url = server.make_schema("office");
    let office = BoxOffice::open(on(&url)).await;
    office.schedule("small", &small_sale("small-1", "C", 5, &json!({}))).await;
    let mut ann = office.buyer();
    let sold = reservation_id(&ann.join_and_hold(None, "A1").await);
    ann.pay(&sold, "tok_ok").await.expect(200);
    let mut bob = office.buyer();
    let held = reservation_id(&bob.join_and_hold(None, "A2").await);

    let office = office.kill().await.open().await;
    let (mut ann, mut bob) = (ann.again(office.public), bob.again(office.public));
    let mine = ann.get(&format!("/me/reservations/{sold}")).await.expect(200);
    assert_eq!(mine["status"], "confirmed");
    assert_eq!(bob.status().await["status"], "holding");

    // Without its database nothing is sold, and what is known can still be read.
    server.crash();
    let mut eve = office.buyer();
    assert_eq!(eve.join(None).await.status, 503);
    assert_eq!(bob.status().await["status"], "holding");
    let mut operators = Connection::to(office.operators);
    assert_eq!(operators.get("/readyz", None).await.status, 503);
    let ops = format!("http://{}", office.operators);
    let ready =
        office.program().args(["ready", "--ops", &ops]).output().await.expect("the program");
    assert_eq!(ready.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ready.stdout).into_owned();
    assert!(told.contains("\"not_ready\"") && told.contains("PostgreSQL"), "{told}");
    server.start_again().expect("it starts");
    until("it to sell again", async || (eve.join(None).await.status < 300).then_some(())).await;
    bob.pay(&held, "tok_ok").await.expect(200);
    eve.turn().await;
    eve.hold("A1").await.refused(409, "seat_taken");
    eve.hold("A3").await.expect(201);
    verify(&office.stop().await, &url).await;
}

/// Any node takes any call, and what one has written the other shows.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_sell_the_same_seats() {
    let server = server();
    let url = server.make_schema("offices");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "C", 5, &json!({}))).await;

    let mut ann = one.buyer();
    let held = reservation_id(&ann.join_and_hold(None, "A1").await);
    let mut elsewhere = ann.again(two.public);
    let shown = elsewhere.get(&format!("/me/reservations/{held}")).await.expect(200);
    assert_eq!(shown["status"], "held");
    // Joined, let in and refused there, for what was held here.
    let mut bob = two.buyer();
    bob.join(None).await.expect(201);
    bob.turn().await;
    bob.hold("A1").await.refused(409, "seat_taken");
    bob.hold("A2").await.expect(201);
    elsewhere.pay(&held, "tok_ok").await.expect(200);
    let mut back = elsewhere.again(one.public);
    let mine = back.get(&format!("/me/reservations/{held}")).await.expect(200);
    assert_eq!(mine["status"], "confirmed");

    // A crowd that wants one seat of both nodes gets it once.
    let mut crowd = Vec::new();
    for number in 0..12 {
        let mut buyer = if number % 2 == 0 { one.buyer() } else { two.buyer() };
        buyer.join(None).await.expect(201);
        buyer.turn().await;
        crowd.push(tokio::spawn(async move { buyer.hold("B1").await }));
    }
    let mut won = 0;
    for buyer in crowd {
        let answer = buyer.await.expect("no panic");
        match answer.status {
            201 => won += 1,
            _ => drop::<Value>(answer.refused(409, "seat_taken")),
        }
    }
    assert_eq!(won, 1);

    // Both at once describe a sale: each is there, on each.
    let (first, second) =
        (small_sale("x-1", "A", 2, &json!({})), small_sale("y-1", "A", 2, &json!({})));
    tokio::join!(one.schedule("x", &first), two.schedule("y", &second));
    for office in [&one, &two] {
        office.lists(3).await;
    }
    let closed = one.kill().await;
    verify(&closed, &url).await;
    bob.status().await;
    two.stop().await;
}

/// Whatever one node has told somebody, the other one knows when it is asked the moment after.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_told_the_other_one_knows_at_once() {
    let server = server();
    let url = server.make_schema("at_once");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "A", 50, &json!({}))).await;
    two.connect().get("/performances/small-1", None).await.expect(200);
    for round in 1..=10 {
        let (here, there) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let mut ann = here.buyer();
        let joined = ann.join(None).await.expect(201);
        let mut elsewhere = ann.again(there.public);
        let shown = elsewhere.status().await;
        assert!(shown["as_of"].as_u64() >= joined["as_of"].as_u64(), "{shown}");

        ann.turn().await;
        let seat = format!("A{round}");
        let held = ann.hold(&seat).await.expect(201);
        let path = format!("/me/reservations/{}", reservation_id(&held));
        // Also with the token that was made before it was held.
        let mine = elsewhere.get(&path).await.expect(200);
        assert_eq!(mine["status"], "held");
        assert_eq!(ann.again(there.public).status().await["status"], "holding");
        elsewhere.get("/me/reservations/0000000000000").await.refused(404, "reservation_not_found");

        let mut bob = there.buyer();
        bob.join(None).await.expect(201);
        bob.turn().await;
        bob.hold(&seat).await.refused(409, "seat_taken");
        ann.delete(&path).await.expect(200);
        bob.hold(&seat).await.expect(201);
    }
    verify(&one.kill().await, &url).await;
    two.stop().await;
}

/// A node that was asleep while the other one sold looks at the journal before it says anything.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "it is a real process that sleeps")]
async fn a_node_that_was_asleep_says_nothing_old() {
    let server = server();
    let url = server.make_schema("asleep");
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("small", &small_sale("small-1", "A", 10, &json!({}))).await;
    let mut ann = one.buyer();
    ann.join(None).await.expect(201);
    ann.turn().await;
    // Their tokens are of before all that follows.
    let mut readers: Vec<_> = (0..8).map(|_| ann.again(two.public)).collect();
    for reader in &mut readers {
        reader.status().await;
    }

    two.signal("STOP").await;
    let since = Instant::now();
    until("five seconds of selling", async || {
        one.buyer().join(None).await.expect(201);
        (since.elapsed() >= Duration::from_secs(5)).then_some(())
    })
    .await;
    let held = ann.hold("A1").await.expect(201);
    // Some ask while it sleeps, and some when it wakes.
    let (early, late) = readers.split_at_mut(4);
    let asked = async {
        let mut early = early.iter_mut();
        let mut next = || early.next().expect("four of them");
        let (first, second, third, fourth) = (next(), next(), next(), next());
        tokio::join!(first.status(), second.status(), third.status(), fourth.status())
    };
    let woken = async {
        two.signal("CONT").await;
        let mut shown = Vec::new();
        for reader in late {
            shown.push(reader.status().await);
        }
        shown
    };
    let ((first, second, third, fourth), mut shown) = tokio::join!(asked, woken);
    shown.extend([first, second, third, fourth]);
    for shown in shown {
        assert_eq!(shown["status"], "holding", "{shown}");
        assert!(shown["as_of"].as_u64() >= held["as_of"].as_u64(), "{shown} after {held}");
    }
    two.stop().await;
    one.stop().await;
}

/// A node that was cut off shows what it has for a while, then nothing, and when it comes back it does
/// not say that all had stood still.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_lengthens_nothing() {
    let server = server();
    let url = server.make_schema("cut_off");
    let line = Line::to(&url);
    let one = BoxOffice::open(on(&url)).await;
    let two = BoxOffice::open(on(&line.url)).await;
    one.schedule("small", &small_sale("small-1", "A", 10, &json!({}))).await;
    let mut ann = one.buyer();
    let held = ann.join_and_hold(None, "A1").await;
    let mut elsewhere = ann.again(two.public);
    assert_eq!(elsewhere.status().await["status"], "holding");
    let mut stream = Stream::of(&two, &elsewhere).await;
    assert_eq!(stream.heard("state").await["status"], "holding");

    line.suffers(Trouble::Cut);
    assert_eq!(elsewhere.status().await["status"], "holding", "what it has, while that is young");
    let refused = until("it to be too old", async || {
        let answer = elsewhere.get("/queue/status").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert!(!refused.header("retry-after").is_empty());
    refused.refused(503, "unavailable");
    stream.heard("move").await;
    ann.status().await;

    line.is_mended();
    let shown = until("it to be back", async || {
        let answer = elsewhere.get("/queue/status").await;
        (answer.status == 200).then_some(answer.json)
    })
    .await;
    assert_eq!(shown["held_until"], held["expires_at"]);
    let mut bob = two.buyer();
    until("it to sell again", async || (bob.join(None).await.status == 201).then_some(())).await;
    bob.turn().await;
    bob.hold("A2").await.expect(201);
    assert_eq!(ann.again(two.public).status().await["held_until"], held["expires_at"]);
    two.stop().await;
    let closed = one.stop().await;
    let output = closed.program().args(["journal", "show", "--store", &url]).output().await;
    let told = String::from_utf8(output.expect("the program").stdout).expect("text");
    assert!(told.contains("seats_held") && !told.contains("resumed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_refused_in_one_sentence_without_its_password() {
    for (store, code, expected) in [
        ("postgre://ann:geheim@db/maepyo", 2, "--store names a database"),
        ("postgres://ann:geheim@127.0.0.1:1/maepyo", 1, "PostgreSQL: error connecting"),
        ("postgres://ann:geheim@127.0.0.1:x/maepyo", 1, "cannot be read"),
    ] {
        let closed = Closed::new(Options::default());
        let output = closed.program().args(["serve", "--store", store]).output().await;
        let output = output.expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && !said.contains("geheim"), "{said}");
    }
}
