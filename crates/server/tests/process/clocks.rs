//! Nodes on machines whose clocks are wrong sell the same seats by the same time.
//!
//! Node time is the database's clock at the start, monotonic time since, and a slow slew towards the database's
//! clock (`crates/engine/src/clock.rs`). So it must matter nowhere what a node's wall clock says: not for a
//! deadline, and not for a token. The wrong clocks are libfaketime's. Not here: machines whose monotonic clocks
//! run apart, for who sleeps until an instant of the kernel's cannot be shown another; the simulator has them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use pgserver::Server;
use serde_json::{Value, json};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;

use crate::faults::fake_time;
use crate::postgres::{on, server, verify};
use crate::support::{BoxOffice, Buyer, HASTE, History, PATIENCE, note, small_sale, until};

/// What each machine's wall clock is set to, and by how much it is wrong at the least, in milliseconds. The
/// last one runs sixty times too fast.
const CLOCKS: [(&str, Option<&str>, Range<i64>); 4] = [
    ("right", None, -5_000..5_000),
    ("behind", Some("-90s"), -100_000..-80_000),
    ("ahead", Some("+90s"), 80_000..100_000),
    ("fast", Some("+90s x60"), 100_000..i64::MAX),
];
/// Less than that: whoever went by a wall clock would take a token that is new for one that is over.
const TOKEN_TTL_S: u64 = 60;
/// How long seats are held.
const HOLD_TTL_S: u64 = 6;
/// By how much earlier a hold may end than it was said, by the database's clock.
const EARLY_MS: i64 = 100;
/// By how much later it may be journalled.
const LATE_MS: i64 = 1_000;
/// Between two looks at one hold.
const PAUSE: Duration = Duration::from_millis(25);

/// The database's clock, read once and carried on.
#[derive(Clone, Copy)]
struct DatabaseClock {
    read: Instant,
    /// It was not less then, and not more.
    between_ms: (i64, i64),
}

impl DatabaseClock {
    fn read(server: &Server) -> Self {
        let asked = Instant::now();
        let clock = i64::try_from(block_in_place(|| server.clock_ms())).expect("our century");
        let read = Instant::now();
        let took = i64::try_from((read - asked).as_millis()).expect("it was short");
        Self { read, between_ms: (clock, clock + took) }
    }

    /// What it says at the least, and at the most.
    fn at(&self, instant: Instant) -> (i64, i64) {
        let since = i64::try_from((instant - self.read).as_millis()).expect("a test is short");
        (self.between_ms.0 + since, self.between_ms.1 + since + 1)
    }
}

fn ms(text: &Value) -> i64 {
    let instant: Timestamp = text.as_str().expect("a time").parse().expect("of RFC 3339");
    instant.as_millisecond()
}

/// What is said in a token.
fn claims(buyer: &Buyer) -> Value {
    let payload = buyer.token.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

/// By how much a node's wall clock is ahead, as HTTP shows it.
async fn wall_clock_is_ahead_ms(node: &BoxOffice, clock: DatabaseClock) -> i64 {
    let answer = node.connect().get("/performances", None).await;
    let date = jiff::fmt::rfc2822::parse(answer.header("date")).expect("a date");
    date.timestamp().as_millisecond() - clock.at(Instant::now()).0
}

/// When a hold was last seen to be there, and first seen to be over.
struct Seen {
    node: &'static str,
    deadline_ms: i64,
    /// By how much the node's time was ahead of the database's when it was asked, each time.
    ahead_ms: Vec<i64>,
    /// When that was asked.
    held: Instant,
    /// When that was answered.
    over: Instant,
}

/// Looks at one hold on one node until it is over.
async fn watch(
    mut buyer: Buyer,
    node: &'static str,
    deadline_ms: i64,
    clock: DatabaseClock,
) -> Seen {
    let (mut held, mut ahead_ms) = (Instant::now(), Vec::new());
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let asked = Instant::now();
            let shown = buyer.status().await;
            match shown["status"].as_str() {
                Some("holding") => {
                    assert_eq!(ms(&shown["held_until"]), deadline_ms, "{node}: {shown}");
                    let left_ms = shown["held_for_ms"].as_i64().expect("a time");
                    ahead_ms.push(deadline_ms - left_ms - clock.at(Instant::now()).0);
                    held = asked;
                }
                Some("ended") => {
                    assert_eq!(shown["reason"], "hold_expired", "{node}: {shown}");
                    return Instant::now();
                }
                _ => panic!("{node}: {shown}"),
            }
            // paces: polls are all that a buyer can do.
            tokio::time::sleep(PAUSE).await;
        }
    });
    let over = waited.await.unwrap_or_else(|_| panic!("{node} holds it for ever"));
    Seen { node, deadline_ms, ahead_ms, held, over }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_clocks_are_apart_agree_on_every_deadline() {
    let server = block_in_place(server);
    let url = server.make_schema("clocks");
    let mut nodes = Vec::new();
    for (name, clock, _) in CLOCKS {
        let mut options = on(&url);
        options.environment.push(("MAEPYO_TOKEN_TTL", TOKEN_TTL_S.to_string()));
        if let Some(clock) = clock {
            options.environment.extend([
                ("LD_PRELOAD", fake_time()),
                ("FAKETIME", clock.to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ]);
        }
        nodes.push((name, BoxOffice::open(options).await));
    }
    let limits = json!({ "active_limit": 100, "hold_ttl": HOLD_TTL_S, "payment_deadline": 1 });
    nodes[0].1.schedule("small", &small_sale("small-1", "A", 20, &limits)).await;
    for (_, node) in &nodes {
        node.lists(1).await;
    }
    let clock = DatabaseClock::read(&server);
    for ((_, node), (name, _, expected)) in nodes.iter().zip(CLOCKS) {
        until("its clock to be wrong", async || {
            let ahead = wall_clock_is_ahead_ms(node, clock).await;
            note(format_args!("the wall clock of {name} is {ahead} ms ahead"));
            expected.contains(&ahead).then_some(())
        })
        .await;
    }

    // Each node takes the tokens of each, and holds end everywhere at the same instant.
    let mut watching = JoinSet::new();
    for (seat, (of, here)) in (1..).zip(&nodes) {
        let mut buyer = here.buyer();
        let asked = clock.at(Instant::now()).0;
        buyer.join(None).await.expect(201);
        let (answered, claims) = (clock.at(Instant::now()).1, claims(&buyer));
        let (iat, exp) = (&claims["iat"], &claims["exp"]);
        let issued_ms = iat.as_i64().expect("seconds") * 1_000;
        assert!(
            (asked - 1_000 - EARLY_MS..answered + EARLY_MS).contains(&issued_ms),
            "{of}: {iat}"
        );
        assert_eq!(exp.as_u64(), iat.as_u64().map(|iat| iat + TOKEN_TTL_S), "{of}");
        buyer.turn().await;
        let held = buyer.hold(&format!("A{seat}")).await.expect(201);
        let deadline_ms = ms(&held["expires_at"]);
        for (name, node) in &nodes {
            let mut elsewhere = buyer.again(node.public);
            let shown = elsewhere.status().await;
            assert_eq!(shown["held_until"], held["expires_at"], "{name}: {shown}, held at {of}");
            watching.spawn(watch(elsewhere, name, deadline_ms, clock));
        }
    }
    let seen = watching.join_all().await;
    assert_eq!(seen.len(), nodes.len() * nodes.len());
    let mut apart_ms = BTreeMap::<&str, Vec<i64>>::new();
    for Seen { node, deadline_ms, ahead_ms, held, over } in seen {
        apart_ms.entry(node).or_default().extend(ahead_ms);
        let early = deadline_ms - clock.at(over).1;
        assert!(early <= EARLY_MS, "{node} ended a hold {early} ms early");
        let late = clock.at(held).0 - deadline_ms;
        assert!(late <= i64::try_from(HASTE.as_millis()).expect("short"), "{late} ms at {node}");
    }

    let ahead_ms: BTreeMap<&str, i64> =
        apart_ms.into_iter().map(|(node, ahead)| (node, middle(ahead))).collect();
    note(format_args!("ahead of the database, in milliseconds: {ahead_ms:?}"));
    assert!(ahead_ms.values().all(|ahead| ahead.abs() <= EARLY_MS), "{ahead_ms:?}");

    // The seats are back, on each.
    for (seat, (_, node)) in (1..=nodes.len()).rev().zip(&nodes) {
        node.buyer().join_and_hold(None, &format!("A{seat}")).await;
    }
    let mut nodes = nodes.into_iter().map(|(_, node)| node);
    let last = nodes.next().expect("a node");
    for node in nodes {
        node.stop().await;
    }
    let closed = last.stop().await;
    verify(&closed, &url).await;
    every_hold_ended_on_time(&closed.history(&["--store", &url]).await);
}

fn middle(mut of: Vec<i64>) -> i64 {
    of.sort_unstable();
    of[of.len() / 2]
}

/// By the times in the journal.
fn every_hold_ended_on_time(history: &History) {
    assert_eq!(history.events("resumed").count(), 0, "nothing stood still");
    let ended: Vec<&Value> = history.events("hold_expired").collect();
    assert_eq!(ended.len(), CLOCKS.len());
    for ended in ended {
        let id = &ended["reservation_id"];
        let held = history.events("seats_held").find(|held| held["reservation_id"] == *id);
        let late = ms(&ended["at"]) - ms(&held.expect("it was held")["until"]);
        assert!((0..=LATE_MS).contains(&late), "{ended} {late} ms late");
    }
}
