//! Three nodes sell from one database, each by a line of its own, and the lines go wrong in the ways that
//! networks do, one after the other: meanwhile the others go on selling, whoever is cut off says so and denies
//! nothing, and it goes on by itself when that is over.
//!
//! People buy at every node and are held to nothing but answers ([`crate::people`]). Witnesses ask each node,
//! again and again, for what another has told them a moment before. `cargo xtask lines` asks for more troubles
//! than fit into everyday tests, by `MAEPYO_LINES`.

use std::array;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;

use crate::people::{self, Person, all_are_kept, promises_to, the_money_agrees, the_seats_agree};
use crate::postgres::{on, server, verify};
use crate::sell_out::node;
use crate::support::{
    Answer, BoxOffice, Buyer, Connection, Line, Trouble, note, random_key, reservation_id,
    small_sale, until,
};

const NODES: usize = 3;
const PEOPLE: u64 = 24;
/// In each of 26 rows, for each trouble: more than can be bought in one.
const SEATS_IN_A_ROW: u32 = 60;
/// What draws the order of the troubles, who has them, and for how long.
const SEED: u64 = 20_270_501;
/// How long a trouble lasts at the least, in milliseconds.
const LASTS: Range<u64> = 800..1_800;
/// And until the others have sold so much.
const SOLD_MEANWHILE: u64 = 10;
/// How old what a node shows may be, as the head of `crates/engine/src/looks.rs` says.
const SHOWN_MAX: Duration = Duration::from_secs(10);
/// Between two questions of a witness.
const PAUSE: Duration = Duration::from_millis(20);

const fn slow(there_ms: u64, back_ms: u64, more_ms: u64) -> Trouble {
    let ms = Duration::from_millis;
    Trouble::Slow { there: ms(there_ms), back: ms(back_ms), more: ms(more_ms) }
}

const TROUBLES: [Trouble; 9] = [
    Trouble::Cut,
    Trouble::Still,
    Trouble::Unanswered,
    Trouble::Unheard,
    Trouble::Late,
    slow(50, 50, 50),
    slow(300, 300, 300),
    slow(3_000, 0, 0),
    slow(0, 3_000, 0),
];

/// Somebody who asks one node for what another has just told.
#[derive(Debug)]
struct Witness {
    teller: SocketAddr,
    asked: SocketAddr,
    /// What the teller told of late, and when.
    told: VecDeque<(Instant, u64)>,
    shown: u64,
    in_vain: u64,
}

impl Witness {
    fn new(teller: SocketAddr, asked: SocketAddr) -> Self {
        Self { teller, asked, told: VecDeque::new(), shown: 0, in_vain: 0 }
    }

    async fn watch(mut self, closing: watch::Receiver<bool>) -> Self {
        let wish = json!({ "sale_id": "office" });
        let mut regulars = None;
        while !*closing.borrow() {
            // paces: somebody who wants to know, and not a crowd.
            tokio::time::sleep(PAUSE).await;
            // A place that the other node may never have heard of.
            let mut new = Buyer::new(self.teller);
            let joined = new.join(Some(&wish)).await;
            let Some(as_of) = said(&joined, 201) else { continue };
            self.told.push_back((Instant::now(), as_of));
            self.asks(&mut new.again(self.asked), as_of).await;

            let (regular, early) = regulars.get_or_insert_with(|| {
                let early = new.again(self.asked);
                (new, early)
            });
            // One that it knows, with a token of something newer.
            let renewed = regular.post("/queue/token", &wish).await;
            if let Some(as_of) = said(&renewed, 200) {
                self.asks(&mut regular.again(self.asked), as_of).await;
            }
            // And with an old one: what is shown is only so old.
            while self.told.get(1).is_some_and(|(at, _)| at.elapsed() >= SHOWN_MAX) {
                self.told.pop_front();
            }
            let (at, as_of) = self.told[0];
            let needed = if at.elapsed() >= SHOWN_MAX { as_of } else { 0 };
            self.asks(early, needed).await;
        }
        self
    }

    async fn asks(&mut self, buyer: &mut Buyer, needed: u64) {
        let status = buyer.get("/queue/status").await;
        match said(&status, 200) {
            Some(as_of) => {
                assert!(as_of >= needed, "shown {as_of}, and {needed} was told before");
                self.shown += 1;
            }
            None => self.in_vain += 1,
        }
    }
}

/// After which batch an answer is; nothing where the node says that it cannot, and when to come again.
#[track_caller]
fn said(answer: &Answer, status: u16) -> Option<u64> {
    if answer.status == 503 {
        assert!(!answer.header("retry-after").is_empty(), "{}", answer.text);
        return None;
    }
    assert_eq!(answer.status, status, "{}", answer.text);
    Some(answer.json["as_of"].as_u64().expect("a batch"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_denies_nothing_and_the_others_go_on() {
    let times = std::env::var("MAEPYO_LINES").ok().and_then(|text| text.parse().ok());
    let times: u32 = times.unwrap_or(u32::try_from(TROUBLES.len()).expect("a few"));
    let server = block_in_place(server);
    let url = server.make_schema("office");
    let lines: [Line; NODES] = array::from_fn(|_| Line::to(&url));
    let shared = TempDir::new().expect("a directory");
    let mut nodes = Vec::new();
    for line in &lines {
        nodes.push(node(&line.url, &shared.path().join("book.jsonl")).open().await);
    }
    let seats = SEATS_IN_A_ROW * times;
    nodes[0].schedule("office", &people::sale(seats)).await;
    for node in &nodes {
        node.lists(1).await;
    }

    let addrs: [SocketAddr; NODES] = array::from_fn(|at| nodes[at].public);
    let sold: [Arc<AtomicU64>; NODES] = array::from_fn(|_| Arc::default());
    let (close, closing) = watch::channel(false);
    let busy: JoinSet<Person> = (0..PEOPLE)
        .zip(addrs.iter().zip(&sold).cycle())
        .map(|(number, (addr, sold))| Person::new(number, seats, *addr, sold))
        .map(|person| person.be_busy(closing.clone()))
        .collect();
    let witnesses: JoinSet<Witness> = (0..NODES)
        .map(|at| Witness::new(addrs[(at + 1) % NODES], addrs[at]).watch(closing.clone()))
        .collect();

    let mut random = StdRng::seed_from_u64(SEED);
    let (mut troubles, mut whose) = (Vec::new(), 0);
    for _ in 0..times {
        if troubles.is_empty() {
            troubles.extend(TROUBLES);
            troubles.shuffle(&mut random);
        }
        let trouble = troubles.pop().expect("there are some");
        whose = (whose + random.random_range(1..NODES)) % NODES;
        one_trouble(&nodes[whose], &lines[whose], trouble, &mut random, || {
            let of = |at: usize| sold[at].load(Ordering::Relaxed);
            let others = (0..NODES).filter(|at| *at != whose).map(of).sum();
            (of(whose), others)
        })
        .await;
    }

    close.send_replace(true);
    let finishing: JoinSet<Person> =
        busy.join_all().await.into_iter().map(Person::finish).collect();
    let people = finishing.join_all().await;
    let mut unanswered = 0;
    for Witness { shown, in_vain, .. } in witnesses.join_all().await {
        note(format_args!("a witness was answered {shown} times, and {in_vain} times not"));
        assert!(shown > in_vain, "{shown} answers, and {in_vain} times none");
        unanswered += in_vain;
    }
    let in_vain: u64 = people.iter().map(|person| person.in_vain).sum();
    let promises = promises_to(&people);
    note(format_args!("{} promises; {in_vain} times somebody asked in vain", promises.len()));
    assert!(in_vain > 0 && unanswered > 0, "nobody noticed");
    all_are_kept(&promises, &addrs).await;
    the_seats_agree(&people);
    the_money_agrees(&nodes, &promises, || nodes[0].book().kept()).await;
    let book = nodes[0].book();
    assert!(book.payments.values().all(|account| account.charges <= 1), "somebody paid twice");
    let mut nodes = nodes.into_iter();
    let last = nodes.next().expect("a node");
    for node in nodes {
        node.stop().await;
    }
    verify(&last.stop().await, &url).await;
}

/// One trouble of one node. `sold` says what was sold there, and elsewhere.
async fn one_trouble(
    node: &BoxOffice,
    line: &Line,
    trouble: Trouble,
    random: &mut StdRng,
    sold: impl Fn() -> (u64, u64),
) {
    let (began, (_, elsewhere)) = (Instant::now(), sold());
    line.suffers(trouble);
    // paces: so long it lasts at the least.
    tokio::time::sleep(Duration::from_millis(random.random_range(LASTS))).await;
    until("the others to go on selling", async || {
        (sold().1 >= elsewhere + SOLD_MEANWHILE).then_some(())
    })
    .await;
    line.is_mended();
    let (lasted, (here, meanwhile)) = (began.elapsed(), sold());
    let mut operators = Connection::to(node.operators);
    until("it to be ready again", async || {
        (operators.get("/readyz", None).await.status == 200).then_some(())
    })
    .await;
    until("it to sell again", async || (sold().0 > here).then_some(())).await;
    let (meanwhile, again) = (meanwhile - elsewhere, began.elapsed() - lasted);
    note(format_args!(
        "{trouble:?} for {lasted:.1?}: {meanwhile} sold elsewhere; sold there {again:.1?} after it"
    ));
}

/// A firewall that was restarted knows none of its connections: what is sent on them arrives nowhere, and
/// neither end is told. New ones are as good as ever, and the node makes some by itself.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_firewall_forgot_are_given_up() {
    let server = block_in_place(server);
    let url = server.make_schema("office");
    let line = Line::to(&url);
    let one = BoxOffice::open(on(&line.url)).await;
    let two = BoxOffice::open(on(&url)).await;
    one.schedule("office", &small_sale("office-1", "A", 10, &json!({}))).await;
    two.lists(1).await;
    let mut ann = one.buyer();
    let held = reservation_id(&ann.join_and_hold(None, "A1").await);

    line.forgets();
    let (since, key) = (Instant::now(), random_key());
    let mut bob = one.buyer();
    let joined = until("it to sell again", async || {
        two.buyer().join(None).await.expect(201);
        let joined = bob.try_post("/queue/token", &key, &json!({})).await.expect("an answer");
        (joined.status != 503).then_some(joined)
    })
    .await;
    assert!(matches!(joined.status, 200 | 201), "{}", joined.text);
    note(format_args!("it sold again {:.1?} after it", since.elapsed()));
    ann.pay(&held, "tok_ok").await.expect(200);
    bob.turn().await;
    bob.hold("A1").await.refused(409, "seat_taken");
    bob.hold("A2").await.expect(201);
    two.stop().await;
    verify(&one.stop().await, &url).await;
}
