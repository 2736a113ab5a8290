//! Two nodes sell from one database, whose machine is lost in the middle of it: its standby takes over, and
//! everything that was answered is there. Again and again, with real servers.
//!
//! Each buyer is a small machine ([`Stage`]) that moves on only with an answer; what was not answered is
//! asked again with the same idempotency key. What an operator does at a failover is what
//! `docs/operations.md` says. `cargo xtask failovers` asks for more of them than fit into everyday tests,
//! by `MAEPYO_FAILOVERS`, and says how long nothing could be bought.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use pgserver::{Server, Setup};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;

use crate::postgres::{on, verify};
use crate::support::{
    Answer, BoxOffice, Buyer, Lost, PATIENCE, note, random_key, reservation_id, small_sale, until,
};

const PEOPLE: u64 = 60;
const TIMES: u64 = 5;
/// In one history, at the most.
const TIMES_OF_A_HISTORY: u64 = 10;
/// In each of 26 rows, for each time: more than can be bought in one.
const SEATS_IN_A_ROW: u32 = 100;
/// When the primary is killed, after so long in milliseconds.
const KILLED_AFTER: Range<u64> = 200..1_200;
/// How long it is sold after a failover.
const SOLD_AFTER: Duration = Duration::from_millis(400);
const PRICE: u64 = 100;
/// Before the same is asked again.
const PAUSE: Duration = Duration::from_millis(20);

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
struct Promise {
    /// The buyer's token, to ask with.
    token: String,
    held: Held,
    is_paid: bool,
}

/// A person who buys one ticket after another, each time as a new buyer.
#[derive(Debug)]
struct Person {
    /// In each row.
    seats: u32,
    random: StdRng,
    buyer: Buyer,
    stage: Stage,
    promises: Vec<Promise>,
    /// How often something was not answered.
    in_vain: u64,
}

impl Person {
    fn new(number: u64, seats: u32, addr: SocketAddr) -> Self {
        Self {
            seats,
            random: StdRng::seed_from_u64(number),
            buyer: Buyer::new(addr),
            stage: Stage::Joining { key: random_key() },
            promises: Vec::new(),
            in_vain: 0,
        }
    }

    /// Goes on until `closing` says so.
    async fn be_busy(mut self, closing: watch::Receiver<bool>) -> Self {
        while !*closing.borrow() {
            self.step().await;
        }
        self
    }

    /// Brings to an end what was begun.
    async fn finish(mut self) -> Self {
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
                    (409, "seat_taken") => self.choose(),
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
        self.stage = Stage::Joining { key: random_key() };
    }
}

impl Promise {
    /// Asks a node, which may be behind the one that promised for a moment.
    async fn is_kept(&self, addr: SocketAddr) {
        let Self { token, held, is_paid } = self;
        let mut buyer = Buyer { token: token.clone(), ..Buyer::new(addr) };
        let expected = if *is_paid { "confirmed" } else { "held" };
        let path = format!("/me/reservations/{}", held.reservation_id);
        let asked = tokio::time::timeout(PATIENCE, async {
            loop {
                let found = buyer.get(&path).await;
                let is_kept = found.status == 200
                    && found.json["status"] == expected
                    && found.json["seats"][0]["seat_number"] == *held.seat;
                if is_kept {
                    return;
                }
                // paces: HTTP has no other way to wait than to ask again.
                tokio::time::sleep(PAUSE).await;
            }
        });
        asked.await.unwrap_or_else(|_| panic!("{self:?} is not {expected}"));
    }
}

/// A primary, its standby, and the address that names both.
pub(crate) struct Pair {
    primary: Server,
    standby: Server,
    pub(crate) url: String,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let cache: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
        // What it shares between its processes is files, which go with its directory when it is killed.
        let settings = ["fsync=off", "dynamic_shared_memory_type=mmap"];
        let settings = settings.map(str::to_owned).to_vec();
        let setup = Setup { cache: Some(cache), settings, ..Setup::default() };
        let primary = Server::start(setup.clone()).expect("a server");
        let standby = Server::start_standby(setup, &primary).expect("a standby");
        primary.commits_wait_for_standby();
        let hosts = format!("{},{}", primary.host(), standby.host());
        let url = primary.make_schema("office").replace(&primary.host(), &hosts);
        Self { primary, standby, url }
    }

    /// The primary is lost, and the standby takes over: until the next one is there, alone.
    pub(crate) fn fail_over(&mut self) {
        self.primary.kill();
        self.standby.promote().expect("the standby can take over");
        self.standby.commits_wait_for("");
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// The machine that was lost is a standby from now on.
    fn mend(&mut self) {
        self.standby.follow(&self.primary).expect("it can follow");
        self.primary.commits_wait_for_standby();
    }
}

/// How long something took at a failover.
#[derive(Debug)]
struct Outage {
    /// Until the standby had taken over.
    promoted: Duration,
    /// And until it was sold again, on each node.
    sold: [Duration; 2],
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_the_database_it_was_written_to() {
    let times = std::env::var("MAEPYO_FAILOVERS").ok().and_then(|text| text.parse().ok());
    let times: u64 = times.unwrap_or(TIMES);
    let histories = times.div_ceil(TIMES_OF_A_HISTORY);
    let mut outages = Vec::new();
    for number in 0..histories {
        // Evenly, for a history with one or two would hardly be about anything.
        let times = times * (number + 1) / histories - times * number / histories;
        outages.extend(one_history(number, times).await);
    }
    say_how_long(&outages);
}

/// Two nodes, whose database fails over so many times; then held to everything they ever said.
async fn one_history(number: u64, times: u64) -> Vec<Outage> {
    let mut pair = block_in_place(Pair::start);
    let nodes = [BoxOffice::open(on(&pair.url)).await, BoxOffice::open(on(&pair.url)).await];
    let addrs = nodes.each_ref().map(|node| node.public);
    let seats = SEATS_IN_A_ROW * u32::try_from(times).expect("a few");
    let limits = json!({ "active_limit": 20_000, "hold_ttl": 3_600 });
    nodes[0].schedule("office", &small_sale("office-1", "Z", seats, &limits)).await;
    nodes[1].lists(1).await;

    let mut people: Vec<Person> = (0..PEOPLE)
        .zip(addrs.into_iter().cycle())
        .map(|(person, addr)| Person::new(number * PEOPLE + person, seats, addr))
        .collect();
    let mut random: StdRng = rand::make_rng();
    let (mut outages, mut checked) = (Vec::new(), 0);
    for time in 0..times {
        let (close, closing) = watch::channel(false);
        let busy: JoinSet<Person> =
            people.into_iter().map(|person| person.be_busy(closing.clone())).collect();
        // paces: a loss comes out of the blue.
        tokio::time::sleep(Duration::from_millis(random.random_range(KILLED_AFTER))).await;
        let lost = Instant::now();
        block_in_place(|| pair.fail_over());
        let promoted = lost.elapsed();
        let [one, two] = addrs.map(|addr| sells_again(addr, lost));
        let sold = <[Duration; 2]>::from(tokio::join!(one, two));
        outages.push(Outage { promoted, sold });
        // paces: it is sold from the new primary for a while.
        tokio::time::sleep(SOLD_AFTER).await;
        close.send_replace(true);
        people = busy.join_all().await;
        block_in_place(|| pair.mend());

        let promises: Vec<&Promise> = people.iter().flat_map(|person| &person.promises).collect();
        note(format_args!("failover {time}: {:?}, {} promises", outages.last(), promises.len()));
        assert!(promises.len() > checked, "nothing was sold at failover {time}");
        checked = promises.len();
        all_are_kept(&promises, addrs).await;
    }

    let finishing: JoinSet<Person> = people.into_iter().map(Person::finish).collect();
    let people = finishing.join_all().await;
    let in_vain: u64 = people.iter().map(|person| person.in_vain).sum();
    assert!(in_vain > 0, "nobody noticed");
    let promises: Vec<&Promise> = people.iter().flat_map(|person| &person.promises).collect();
    all_are_kept(&promises, addrs).await;
    no_seat_is_promised_twice(&promises);
    the_money_agrees(&nodes, &promises).await;
    let [one, two] = nodes;
    one.stop().await;
    verify(&two.stop().await, &pair.url).await;
    outages
}

/// How long after a loss somebody can join again.
async fn sells_again(addr: SocketAddr, lost: Instant) -> Duration {
    let wish = json!({ "sale_id": "office" });
    until("it to sell again", async || {
        let joined = Buyer::new(addr).join(Some(&wish)).await;
        (joined.status == 201).then_some(())
    })
    .await;
    lost.elapsed()
}

/// On both nodes, a few at a time.
async fn all_are_kept(promises: &[&Promise], addrs: [SocketAddr; 2]) {
    let promises: Vec<Promise> = promises.iter().copied().cloned().collect();
    let asking: JoinSet<()> = promises
        .chunks(promises.len().div_ceil(16).max(1))
        .map(|some| {
            let some = some.to_vec();
            async move {
                for promise in &some {
                    for addr in addrs {
                        promise.is_kept(addr).await;
                    }
                }
            }
        })
        .collect();
    asking.join_all().await;
}

fn no_seat_is_promised_twice(promises: &[&Promise]) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for Promise { held, .. } in promises {
        let other = owners.insert(&held.seat, &held.reservation_id);
        assert_eq!(other, None, "{held:?} has two owners");
    }
}

/// What the provider kept is the price of what is confirmed, whichever node asked for it.
async fn the_money_agrees(nodes: &[BoxOffice; 2], promises: &[&Promise]) {
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
    let kept: u64 = nodes.iter().map(|node| node.book().kept()).sum();
    assert_eq!(kept, paid * PRICE);
}

fn say_how_long(outages: &[Outage]) {
    let say = |what: &str, mut took: Vec<Duration>| {
        took.sort_unstable();
        let (middle, most) = (took[took.len() / 2], took[took.len() - 1]);
        note(format_args!("{what}: {middle:.2?} in the middle, {most:.2?} at most"));
    };
    note(format_args!("{} failovers", outages.len()));
    say("until the standby had taken over", outages.iter().map(|one| one.promoted).collect());
    let without = |one: &Outage| one.sold[0].max(one.sold[1]);
    say("until both nodes sold again", outages.iter().map(without).collect());
}
