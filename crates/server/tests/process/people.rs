//! People who buy one ticket after another, whatever becomes of the nodes and their database, and what they
//! are held to by.
//!
//! Each buyer is a small machine ([`Stage`]) that moves on only with an answer; what was not answered is
//! asked again with the same idempotency key. A no that is not one of a sound box office ends the test. Their
//! sale is called `office`, and its holds outlive the test: a seat that was taken once stays taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{
    Answer, BoxOffice, Buyer, Lost, PATIENCE, random_key, reservation_id, small_sale, until,
};

const PRICE: u64 = 100;
/// Before the same is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// The sale that people buy from, with so many seats in each of its 26 rows.
pub(crate) fn sale(seats: u32) -> Value {
    let limits = json!({ "active_limit": 20_000, "hold_ttl": 3_600 });
    small_sale("office-1", "Z", seats, &limits)
}

/// What a buyer is about to do next.
#[derive(Clone, Debug)]
enum Stage {
    Joining { key: String },
    Waiting,
    Choosing { key: String, seat: String },
    Paying { held: Held, key: String },
}

/// A reservation that was answered with.
#[derive(Clone, Debug)]
struct Held {
    reservation_id: String,
    seat: String,
}

/// What a buyer was told, to be held to.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    /// The buyer's token, to ask with.
    token: String,
    held: Held,
    is_paid: bool,
}

/// A person who buys one ticket after another, each time as a new buyer.
#[derive(Debug)]
pub(crate) struct Person {
    /// In each row.
    seats: u32,
    random: StdRng,
    buyer: Buyer,
    stage: Stage,
    pub(crate) promises: Vec<Promise>,
    /// Seats that were refused, for somebody else has them.
    refused: BTreeSet<String>,
    /// How often something was not answered.
    pub(crate) in_vain: u64,
    /// Promises of all who count together.
    sold: Arc<AtomicU64>,
}

impl Person {
    /// Somebody who counts with others what was promised.
    pub(crate) fn new(number: u64, seats: u32, addr: SocketAddr, sold: &Arc<AtomicU64>) -> Self {
        Self {
            seats,
            random: StdRng::seed_from_u64(number),
            buyer: Buyer::new(addr),
            stage: Stage::Joining { key: random_key() },
            promises: Vec::new(),
            refused: BTreeSet::new(),
            in_vain: 0,
            sold: Arc::clone(sold),
        }
    }

    /// Goes on until `closing` says so.
    pub(crate) async fn be_busy(mut self, closing: watch::Receiver<bool>) -> Self {
        while !*closing.borrow() {
            self.step().await;
        }
        self
    }

    /// Brings to an end what was begun.
    pub(crate) async fn finish(mut self) -> Self {
        let begun = self.promises.len();
        let ended = tokio::time::timeout(PATIENCE, async {
            while self.promises.len() == begun {
                self.step().await;
            }
        });
        ended.await.expect("what was begun ends");
        self
    }

    /// Does the next thing. An answer leads to another stage, and no answer to the same once more.
    async fn step(&mut self) {
        match self.stage.clone() {
            Stage::Joining { key } => {
                let wish = json!({ "sale_id": "office" });
                let joined = self.buyer.try_post("/queue/token", &key, &wish).await;
                let Some(joined) = self.answered(joined).await else { return };
                assert!(matches!(joined.status, 200 | 201), "{}", joined.text);
                self.stage = Stage::Waiting;
            }
            Stage::Waiting => {
                let status = self.buyer.get("/queue/status").await;
                let Some(status) = self.answered(Ok(status)).await else { return };
                let status = status.expect(200);
                match status["status"].as_str() {
                    Some("admitted") => self.choose(),
                    // paces: polls are all that a buyer in line can do.
                    Some("waiting") => tokio::time::sleep(PAUSE).await,
                    _ => panic!("a place is lost: {status}"),
                }
            }
            Stage::Choosing { key, seat } => {
                let wish = json!({ "seat_number": seat });
                let answer = self.buyer.try_post("/reservations", &key, &wish).await;
                let Some(answer) = self.answered(answer).await else { return };
                match (answer.status, answer.code()) {
                    (201, _) => {
                        let reservation_id = reservation_id(&answer.json);
                        let held = Held { reservation_id, seat };
                        if self.random.random_range(0..10) == 0 {
                            self.promised(held, false);
                        } else {
                            self.stage = Stage::Paying { held, key: random_key() };
                        }
                    }
                    (409, "seat_taken") => {
                        self.refused.insert(seat);
                        self.choose();
                    }
                    _ => panic!("a hold was refused: {}", answer.text),
                }
            }
            Stage::Paying { held, key } => {
                let body = json!({
                    "reservation_id": held.reservation_id,
                    "payment": { "method": "card", "token": "tok_ok" },
                });
                let answer = self.buyer.try_post("/payment", &key, &body).await;
                let Some(answer) = self.answered(answer).await else { return };
                match (answer.status, answer.code()) {
                    (200, _) => self.promised(held, true),
                    // paces: it is under way, and the same request says when it is over.
                    (202, _) => tokio::time::sleep(PAUSE).await,
                    // It took so long that another node gave it up; the money went back.
                    (402, "payment_declined") => {
                        self.stage = Stage::Paying { held, key: random_key() };
                    }
                    _ => panic!("a payment was refused: {}", answer.text),
                }
            }
        }
    }

    /// An answer that is one: nobody was told to come again.
    async fn answered(&mut self, answer: Result<Answer, Lost>) -> Option<Answer> {
        match answer {
            Ok(answer) if answer.status != 503 => return Some(answer),
            Ok(answer) => {
                assert!(!answer.header("retry-after").is_empty(), "{}", answer.text);
            }
            Err(Lost) => panic!("no node was killed"),
        }
        self.in_vain += 1;
        // paces: a buyer who was told to come again does.
        tokio::time::sleep(PAUSE).await;
        None
    }

    fn choose(&mut self) {
        let row = char::from(b'A' + self.random.random_range(0..26_u8));
        let seat = format!("{row}{}", self.random.random_range(1..=self.seats));
        self.stage = Stage::Choosing { key: random_key(), seat };
    }

    /// Notes what this buyer was told, and goes on as a new one.
    fn promised(&mut self, held: Held, is_paid: bool) {
        let token = std::mem::take(&mut self.buyer.token);
        self.promises.push(Promise { token, held, is_paid });
        self.sold.fetch_add(1, Ordering::Relaxed);
        self.stage = Stage::Joining { key: random_key() };
    }
}

impl Promise {
    /// What a node says of it.
    async fn ask(&self, addr: SocketAddr) -> Answer {
        let mut buyer = Buyer { token: self.token.clone(), ..Buyer::new(addr) };
        buyer.get(&format!("/me/reservations/{}", self.held.reservation_id)).await
    }

    /// Whether that is what was promised.
    fn is_what(&self, said: &Answer) -> bool {
        let expected = if self.is_paid { "confirmed" } else { "held" };
        said.status == 200
            && said.json["status"] == expected
            && said.json["seats"][0]["seat_number"] == *self.held.seat
    }

    /// What a node says instead, if it does not keep this. It may be behind the one that promised for a
    /// moment, or unable to say, but must not deny it.
    async fn denial(&self, addr: SocketAddr, patience: Duration) -> Option<String> {
        let since = Instant::now();
        loop {
            let said = self.ask(addr).await;
            if self.is_what(&said) {
                return None;
            }
            if !matches!(said.status, 200 | 503) || since.elapsed() >= patience {
                return Some(said.text);
            }
            // paces: HTTP has no other way to wait than to ask again.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A promise that a node does not keep.
#[derive(Debug)]
#[expect(dead_code, reason = "it is shown when the test fails")]
pub(crate) struct Broken {
    promise: Promise,
    node: SocketAddr,
    says: String,
}

/// Everything that was promised to these.
pub(crate) fn promises_to(people: &[Person]) -> Vec<&Promise> {
    people.iter().flat_map(|person| &person.promises).collect()
}

/// What is not kept of these promises on one of these nodes. Asks for a few at a time.
pub(crate) async fn broken(
    promises: &[&Promise],
    nodes: &[SocketAddr],
    patience: Duration,
) -> Vec<Broken> {
    let promises: Vec<Promise> = promises.iter().copied().cloned().collect();
    let asking: JoinSet<Vec<Broken>> = promises
        .chunks(promises.len().div_ceil(16).max(1))
        .map(|some| {
            let (some, nodes) = (some.to_vec(), nodes.to_vec());
            async move {
                let mut broken = Vec::new();
                for promise in some {
                    for node in &nodes {
                        if let Some(says) = promise.denial(*node, patience).await {
                            broken.push(Broken { promise: promise.clone(), node: *node, says });
                        }
                    }
                }
                broken
            }
        })
        .collect();
    asking.join_all().await.into_iter().flatten().collect()
}

/// Each of these promises is kept, on each of these nodes.
pub(crate) async fn all_are_kept(promises: &[&Promise], nodes: &[SocketAddr]) {
    let broken = broken(promises, nodes, PATIENCE).await;
    assert!(broken.is_empty(), "{broken:#?}");
}

/// No seat has two owners, and none was refused that nobody has. To be asked when everybody has finished.
pub(crate) fn the_seats_agree(people: &[Person]) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for Promise { held, .. } in promises_to(people) {
        let other = owners.insert(&held.seat, &held.reservation_id);
        assert_eq!(other, None, "{held:?} has two owners");
    }
    let nobodys = |seat: &&String| !owners.contains_key(seat.as_str());
    let refused = people.iter().flat_map(|person| &person.refused);
    let wrong: Vec<&String> = refused.filter(nobodys).collect();
    assert!(wrong.is_empty(), "{wrong:?} were refused, and nobody has them");
}

/// What the provider kept is the price of what is confirmed, whichever node asked for it.
pub(crate) async fn the_money_agrees(
    nodes: &[BoxOffice],
    promises: &[&Promise],
    kept: impl Fn() -> u64,
) {
    let paid = promises.iter().filter(|promise| promise.is_paid).count() as u64;
    assert!(paid > 100, "{paid} were paid");
    for node in nodes {
        until("every payment to be settled", async || {
            let sale = node.sale("office").await;
            let is_settled = sale["open_payments"] == 0
                && sale["takings"]["confirmed"] == paid * PRICE
                && sale["seats"]["sold"] == paid;
            is_settled.then_some(())
        })
        .await;
    }
    assert_eq!(kept(), paid * PRICE);
}
