//! `kill -9` in the middle of two hundred busy buyers, again and again: what was answered is there
//! afterwards, no seat has two owners, holds end on time, and the money agrees with the sandbox's
//! book to the won.
//!
//! Each buyer is a small machine ([`Stage`]) that moves on only with an answer. What was not
//! answered is asked again after the restart, with the same idempotency key; so every request in
//! doubt is also a test of the promise that repeating it is safe. `cargo xtask crashes` asks for more
//! rounds than fit into everyday tests, by `MAEPYO_CRASH_ROUNDS`.
//!
//! The whole history is verified after every kill, so one that grew for 200 rounds would be read for
//! hours. Many rounds are therefore several histories, each as long as that of the everyday test and
//! checked as strictly, with buyers of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{
    Answer, BoxOffice, Buyer, HASTE, Lost, Options, note, random_key, reservation_id, small_sale,
    until,
};

const BUYERS: u64 = 200;
const ROUNDS: u64 = 20;
/// In one history, at the most.
const ROUNDS_OF_A_HISTORY: u64 = 20;
/// In each of 26 rows, for each round: more than can be bought in one.
const SEATS_IN_A_ROW: u32 = 48;
/// When the process is killed, after so long in milliseconds.
const KILLED_AFTER: Range<u64> = 150..1_500;
const PRICE: u64 = 100;
/// After so long without an answer a payment counts as silent. The provider's own answers take
/// milliseconds, but for those that never come.
const SILENCE: Duration = Duration::from_millis(400);

/// What a buyer is about to do next.
#[derive(Clone, Debug)]
enum Stage {
    Joining { key: String },
    Waiting,
    Choosing { key: String, seat: String },
    Paying { held: Held, key: String, with: &'static str },
}

/// A reservation that was answered with.
#[derive(Clone, Debug)]
struct Held {
    reservation_id: String,
    seat: String,
}

/// What a buyer was told, to be held to.
#[derive(Clone, Debug)]
struct Promise {
    /// The buyer's token, to ask with.
    token: String,
    held: Held,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// The seats are kept.
    Held,
    /// They are paid.
    Paid,
    /// The payment is under way, as the buyer's status said; with this token.
    Paying(&'static str),
    /// Nothing: a payment with this token was asked for, and no answer came.
    Nothing(&'static str),
}

/// A person who buys one ticket after another, each time as a new buyer.
#[derive(Debug)]
struct Person {
    number: u64,
    /// In each row.
    seats: u32,
    random: StdRng,
    buyer: Buyer,
    stage: Stage,
    /// What was promised and not looked at since the last start.
    promises: Vec<Promise>,
}

impl Person {
    fn new(number: u64, seats: u32, addr: SocketAddr) -> Self {
        Self {
            number,
            seats,
            random: StdRng::seed_from_u64(number),
            buyer: Buyer::new(addr),
            stage: Stage::Joining { key: random_key() },
            promises: Vec::new(),
        }
    }

    /// Goes on until the connection is lost, or `closing` says that it will be.
    async fn be_busy(mut self, closing: watch::Receiver<bool>) -> Self {
        while !*closing.borrow() {
            if let Err(Lost) = self.step().await {
                self.lose_patience();
                break;
            }
        }
        self
    }

    /// Does the next thing; an answer leads to another stage.
    async fn step(&mut self) -> Result<(), Lost> {
        match self.stage.clone() {
            Stage::Joining { key } => {
                let wish = json!({ "sale_id": "crash" });
                let joined = self.buyer.try_post("/queue/token", &key, &wish).await?;
                assert!(matches!(joined.status, 200 | 201), "{}", joined.text);
                self.stage = Stage::Waiting;
            }
            Stage::Waiting => {
                let status = self.buyer.try_get("/queue/status").await?.expect(200);
                match status["status"].as_str() {
                    Some("admitted") => self.choose(),
                    Some("waiting") => {
                        // paces: polls are all that a buyer in line can do.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    _ => panic!("a place is lost: {status}"),
                }
            }
            Stage::Choosing { key, seat } => {
                let wish = json!({ "seat_number": seat });
                let answer = self.buyer.try_post("/reservations", &key, &wish).await?;
                match (answer.status, answer.code()) {
                    (201, _) => {
                        let reservation_id = reservation_id(&answer.json);
                        self.decide_what_to_pay_with(Held { reservation_id, seat });
                    }
                    (409, "seat_taken") => self.choose(),
                    _ => panic!("a hold was refused: {}", answer.text),
                }
            }
            Stage::Paying { held, key, with } => self.pay(held, &key, with).await?,
        }
        Ok(())
    }

    fn choose(&mut self) {
        let row = char::from(b'A' + self.random.random_range(0..26_u8));
        let seat = format!("{row}{}", self.random.random_range(1..=self.seats));
        self.stage = Stage::Choosing { key: random_key(), seat };
    }

    fn decide_what_to_pay_with(&mut self, held: Held) {
        let with = match self.random.random_range(0..100) {
            0..70 => "tok_ok",
            70..80 => "tok_declined",
            80..89 => "tok_timeout",
            89..98 => "tok_lost",
            _ => return self.promised(held, Told::Held),
        };
        self.stage = Stage::Paying { held, key: random_key(), with };
    }

    async fn pay(&mut self, held: Held, key: &str, with: &'static str) -> Result<(), Lost> {
        let body = json!({
            "reservation_id": held.reservation_id,
            "payment": { "method": "card", "token": with },
        });
        let asked = tokio::time::timeout(SILENCE, self.buyer.try_post("/payment", key, &body));
        let Ok(answer) = asked.await else {
            self.buyer.connection.hang_up();
            let status = self.buyer.try_get("/queue/status").await?.expect(200);
            let paying = status["status"] == "paying";
            self.promised(held, if paying { Told::Paying(with) } else { Told::Nothing(with) });
            return Ok(());
        };
        let answer = answer?;
        match (answer.status, answer.code()) {
            (200, _) => self.promised(held, Told::Paid),
            (202, _) => self.promised(held, Told::Paying(with)),
            (402, "payment_declined") => {
                self.stage = Stage::Paying { held, key: random_key(), with: "tok_ok" };
            }
            _ => panic!("a payment was refused: {}", answer.text),
        }
        Ok(())
    }

    /// Notes what this buyer was told last, and goes on as a new one.
    fn promised(&mut self, held: Held, told: Told) {
        let token = std::mem::take(&mut self.buyer.token);
        self.promises.push(Promise { token, held, told });
        self.stage = Stage::Joining { key: random_key() };
    }

    /// A payment in doubt is settled by a reconciler, which takes its time. Half of the people ask
    /// again for as long as it takes; the others come back later to look.
    fn lose_patience(&mut self) {
        if let Stage::Paying { held, with, .. } = self.stage.clone()
            && self.number % 2 == 1
        {
            self.promised(held, Told::Nothing(with));
        }
    }

    /// After a restart: what this person was told before is so.
    async fn come_back(mut self, addr: SocketAddr) -> (Self, Vec<Promise>) {
        self.buyer.connection.move_to(addr);
        let promises = std::mem::take(&mut self.promises);
        for promise in &promises {
            promise.is_kept(addr, false).await;
        }
        match &self.stage {
            // Whether it was written, the same request with the same key will tell.
            Stage::Joining { .. } => {}
            Stage::Waiting => {
                let status = self.buyer.status().await;
                assert!(
                    matches!(status["status"].as_str(), Some("waiting" | "admitted")),
                    "{status}"
                );
            }
            Stage::Choosing { .. } => {
                let status = self.buyer.status().await;
                assert!(
                    matches!(status["status"].as_str(), Some("admitted" | "holding")),
                    "{status}"
                );
            }
            Stage::Paying { held, with, .. } => {
                let told = Told::Nothing(with);
                let promise = Promise { token: self.buyer.token.clone(), held: held.clone(), told };
                promise.is_kept(addr, false).await;
            }
        }
        (self, promises)
    }
}

impl Promise {
    /// Asks for the reservation. When everything is `settled`, doubt is over too.
    async fn is_kept(&self, addr: SocketAddr, settled: bool) -> Value {
        let Self { token, held, told } = self;
        let mut buyer = Buyer { token: token.clone(), ..Buyer::new(addr) };
        let found =
            buyer.get(&format!("/me/reservations/{}", held.reservation_id)).await.expect(200);
        assert_eq!(found["seats"][0]["seat_number"], *held.seat, "{found}");
        let status = found["status"].as_str().expect("a status");
        let allowed: &[&str] = match (told, settled) {
            (Told::Held, _) => &["held"],
            (Told::Paid, _) => &["confirmed"],
            // The seats stay while nobody knows; then the money says.
            (Told::Paying("tok_lost"), false) => &["paying", "held"],
            (Told::Paying("tok_lost"), true) => &["held"],
            (Told::Paying(_) | Told::Nothing(_), false) => &["held", "paying", "confirmed"],
            (Told::Nothing("tok_lost" | "tok_declined"), true) => &["held"],
            // Killed between our journal and the provider's book, a charge never was.
            (Told::Paying(_) | Told::Nothing(_), true) => &["held", "confirmed"],
        };
        assert!(allowed.contains(&status), "{self:?} is {found}");
        found
    }
}

/// Somebody with a hold that is not paid for, and when it must end.
struct Brief {
    buyer: Buyer,
    ends: Instant,
}

impl Brief {
    async fn hold(addr: SocketAddr, seat: u64) -> Self {
        let mut buyer = Buyer::new(addr);
        buyer.join(Some(&json!({ "sale_id": "brief" }))).await.expect(201);
        buyer.turn().await;
        let held = buyer.hold(&format!("A{seat}")).await.expect(201);
        let left = Duration::from_millis(held["expires_in_ms"].as_u64().expect("a time"));
        Self { buyer, ends: Instant::now() + left }
    }

    /// The hold ends when it was said to, or at the restart if that is later.
    async fn ends_on_time(mut self, addr: SocketAddr) {
        self.buyer.connection.move_to(addr);
        let latest = self.ends.max(Instant::now()) + HASTE;
        until("a hold to end", async || {
            (self.buyer.status().await["status"] == "ended").then_some(())
        })
        .await;
        let now = Instant::now();
        assert!(now <= latest, "a hold ended {:?} late", now - latest + HASTE);
        let early = self.ends.saturating_duration_since(now);
        assert!(early < Duration::from_millis(500), "a hold ended {early:?} early");
    }
}

async fn come_back_all(people: Vec<Person>, addr: SocketAddr) -> (Vec<Person>, Vec<Promise>) {
    let tasks: JoinSet<_> = people.into_iter().map(|person| person.come_back(addr)).collect();
    let (people, promises): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
    (people, promises.into_iter().flatten().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_keeps_every_promise() {
    let rounds = std::env::var("MAEPYO_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: u64 = rounds.unwrap_or(ROUNDS);
    let histories = rounds.div_ceil(ROUNDS_OF_A_HISTORY);
    for number in 0..histories {
        // Evenly, for a history of a round or two would hardly be about anything.
        let rounds = rounds * (number + 1) / histories - rounds * number / histories;
        one_history(number, rounds).await;
    }
}

/// One box office, killed `rounds` times, then held to everything it ever said.
async fn one_history(number: u64, rounds: u64) {
    let mut office = BoxOffice::open(Options::default()).await;
    // Who was told of a hold and never pays is asked about at the very end.
    let limits = json!({ "active_limit": 20_000, "hold_ttl": 3_600 });
    let seats = SEATS_IN_A_ROW * u32::try_from(rounds).expect("few rounds");
    let mut random: StdRng = rand::make_rng();
    office.schedule("crash", &small_sale("crash-1", "Z", seats, &limits)).await;
    let limits = json!({ "hold_ttl": 2, "payment_deadline": 1 });
    office.schedule("brief", &small_sale("brief-1", "A", 1_000, &limits)).await;

    let mut people: Vec<Person> = (number * BUYERS..(number + 1) * BUYERS)
        .map(|person| Person::new(person, seats, office.public))
        .collect();
    let mut promises = Vec::new();
    for round in 0..rounds {
        let (close, closing) = watch::channel(false);
        let busy: JoinSet<Person> =
            people.into_iter().map(|person| person.be_busy(closing.clone())).collect();
        let brief = Brief::hold(office.public, round + 1).await;
        // paces: a kill comes out of the blue.
        tokio::time::sleep(Duration::from_millis(random.random_range(KILLED_AFTER))).await;
        let closed = office.kill().await;
        close.send_replace(true);
        people = busy.join_all().await;

        closed.verify().await;
        office = closed.open().await;
        let found;
        (people, found) = come_back_all(people, office.public).await;
        promises.extend(found);
        brief.ends_on_time(office.public).await;
    }

    everything_is_settled(&office).await;
    let mut outcomes = BTreeMap::new();
    for promise in &promises {
        let found = promise.is_kept(office.public, true).await;
        outcomes.insert(promise.held.reservation_id.clone(), found);
    }
    no_seat_is_promised_twice(&promises, &outcomes);
    the_money_agrees(&office, &promises, &outcomes).await;
    office.stop().await.verify().await;
}

async fn everything_is_settled(office: &BoxOffice) {
    until("every payment to be settled", async || {
        // The history is long; it is not read before the sale says that it is worth it.
        if office.sale("crash").await["open_payments"] != 0 {
            return None;
        }
        let history = office.history(&["--sale", "crash"]).await;
        let ids = |name: &str| -> BTreeSet<String> {
            history.events(name).map(|event| event["payment_id"].to_string()).collect()
        };
        let ended = &ids("payment_approved") | &ids("payment_declined");
        let last = history.0.last().and_then(|event| event["batch"].as_u64());
        let sale = office.sale("crash").await;
        let published = sale["as_of"].as_u64() >= last && sale["open_payments"] == 0;
        (published && ids("payment_begun").is_subset(&ended)).then_some(())
    })
    .await;
}

fn no_seat_is_promised_twice(promises: &[Promise], outcomes: &BTreeMap<String, Value>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for Promise { held, .. } in promises {
        let other = owners.insert(&held.seat, &held.reservation_id);
        let two = other.filter(|other| **other != held.reservation_id);
        assert_eq!(two, None, "{held:?} has another owner: {:?}", outcomes[&held.reservation_id]);
    }
}

/// The provider's book is the truth about money: what it kept for a reservation is its price if the
/// reservation is confirmed, and nothing if it is not.
async fn the_money_agrees(
    office: &BoxOffice,
    promises: &[Promise],
    outcomes: &BTreeMap<String, Value>,
) {
    let book = office.book();
    let history = office.history(&["--sale", "crash"]).await;
    let text = |event: &Value, name: &str| event[name].as_str().expect("an id").to_owned();
    let mut payments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for begun in history.events("payment_begun") {
        let payment = text(begun, "payment_id");
        payments.entry(text(begun, "reservation_id")).or_default().push(payment);
    }
    let approved: BTreeSet<String> =
        history.events("payment_approved").map(|event| text(event, "reservation_id")).collect();
    for (reservation, payments) in &payments {
        let kept: u64 = payments.iter().map(|payment| book.account(payment).kept()).sum();
        let charges: u32 = payments.iter().map(|payment| book.account(payment).charges).sum();
        assert!(charges <= 1, "{reservation} was charged {charges} times");
        let due = if approved.contains(reservation) { PRICE } else { 0 };
        assert_eq!(kept, due, "{reservation} with {payments:?}");
    }
    let known: BTreeSet<&String> = payments.values().flatten().collect();
    assert!(book.payments.keys().all(|payment| known.contains(payment)), "money without a cause");

    let sale = office.sale("crash").await;
    assert_eq!(sale["takings"]["confirmed"], book.kept());
    assert_eq!(sale["seats"]["sold"].as_u64().map(|sold| sold * PRICE), Some(book.kept()));

    // All of this was about something.
    let told = |wanted: &dyn Fn(&Promise) -> bool| promises.iter().filter(|p| wanted(p)).count();
    let confirmed =
        |promise: &Promise| outcomes[&promise.held.reservation_id]["status"] == "confirmed";
    let (paid, silent) = (
        told(&|promise| promise.told == Told::Paid),
        told(&|promise| matches!(promise.told, Told::Paying("tok_timeout")) && confirmed(promise)),
    );
    let lost = told(&|promise| matches!(promise.told, Told::Paying("tok_lost")));
    note(format_args!("{} promises: {paid} paid, {silent} silent, {lost} lost", promises.len()));
    assert!(paid > 100 && silent > 0 && lost > 0, "{paid} paid, {silent} silent, {lost} lost");
}

impl Buyer {
    async fn try_get(&mut self, path: &str) -> Result<Answer, Lost> {
        let token = self.token.clone();
        let ask = crate::support::Ask { token: Some(&token), ..Default::default() };
        self.connection.try_ask("GET", path, ask).await
    }
}
