//! A box office whose history is in PostgreSQL: killed, without its database for a while, and one of
//! two that sell the same seats. With a real server.

use std::path::PathBuf;

use pgserver::{Server, Setup};
use serde_json::{Value, json};

use crate::support::{BoxOffice, Closed, Connection, Options, reservation_id, small_sale, until};

/// 32 bytes, as a keyring has them: every node needs the same.
const TOKEN_KEYS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const ADMIN_KEY: &str = "an-admin-key-that-nobody-may-guess";

fn server() -> Server {
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

pub(crate) async fn verify(closed: &Closed, url: &str) {
    let output = closed.program().args(["journal", "verify", "--store", url]).output().await;
    let output = output.expect("the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("sound"), "{said}");
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
    until("the sale to be known", async || {
        let listed = two.connect().get("/performances", None).await.expect(200);
        (listed["performances"].as_array()?.len() == 1).then_some(())
    })
    .await;

    let mut ann = one.buyer();
    let held = reservation_id(&ann.join_and_hold(None, "A1").await);
    let mut elsewhere = ann.again(two.public);
    let shown = until("the hold to be known", async || {
        let mine = elsewhere.get(&format!("/me/reservations/{held}")).await;
        (mine.status == 200).then_some(mine.json)
    })
    .await;
    assert_eq!(shown["status"], "held");
    // Joined, let in and refused there, for what was held here.
    let mut bob = two.buyer();
    bob.join(None).await.expect(201);
    bob.turn().await;
    bob.hold("A1").await.refused(409, "seat_taken");
    bob.hold("A2").await.expect(201);
    elsewhere.pay(&held, "tok_ok").await.expect(200);
    until("the payment to be known", async || {
        let mine = ann.get(&format!("/me/reservations/{held}")).await;
        (mine.json["status"] == "confirmed").then_some(())
    })
    .await;

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
        until("three sales to be known", async || {
            let listed = office.connect().get("/performances", None).await.expect(200);
            (listed["performances"].as_array()?.len() == 3).then_some(())
        })
        .await;
    }
    let closed = one.kill().await;
    verify(&closed, &url).await;
    bob.status().await;
    two.stop().await;
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
