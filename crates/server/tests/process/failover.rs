//! Two nodes sell from one database, whose machine is lost in the middle of it: its standby takes over, and
//! everything that was answered is there. Again and again, with real servers.
//!
//! What an operator does at a failover is what `docs/operations.md` says. `cargo xtask failovers` asks for
//! more of them than fit into everyday tests, by `MAEPYO_FAILOVERS`, and says how long nothing could be bought.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgserver::{Server, Setup};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;

use crate::people::{
    self, Person, all_are_kept, broken, promises_to, the_money_agrees, the_seats_agree,
};
use crate::postgres::{on, verify};
use crate::support::{BoxOffice, Buyer, Connection, note, until};

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
/// How much is sold before a standby is behind, and then that it lacks, at the least.
const LOST_AT_LEAST: u64 = 30;
/// How long a node that is behind nobody is asked for what it does not have.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);

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

    /// Commits no longer wait for the standby, and it gets none of them.
    fn drift_apart(&self) {
        self.primary.commits_wait_for("");
        self.standby.stop_following();
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
    nodes[0].schedule("office", &people::sale(seats)).await;
    nodes[1].lists(1).await;

    let sold = Arc::default();
    let mut people: Vec<Person> = (0..PEOPLE)
        .zip(addrs.into_iter().cycle())
        .map(|(person, addr)| Person::new(number * PEOPLE + person, seats, addr, &sold))
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

        let promises = promises_to(&people);
        note(format_args!("failover {time}: {:?}, {} promises", outages.last(), promises.len()));
        assert!(promises.len() > checked, "nothing was sold at failover {time}");
        checked = promises.len();
        all_are_kept(&promises, &addrs).await;
    }

    let finishing: JoinSet<Person> = people.into_iter().map(Person::finish).collect();
    let people = finishing.join_all().await;
    let in_vain: u64 = people.iter().map(|person| person.in_vain).sum();
    assert!(in_vain > 0, "nobody noticed");
    let promises = promises_to(&people);
    all_are_kept(&promises, &addrs).await;
    the_seats_agree(&people);
    let kept = || nodes.iter().map(|node| node.book().kept()).sum();
    the_money_agrees(&nodes, &promises, kept).await;
    let [one, two] = nodes;
    one.stop().await;
    verify(&two.stop().await, &pair.url).await;
    outages
}

/// The test of the test: where a failover loses what was answered, that is seen. The nodes that answered see
/// it, and sell nothing from there; a new one cannot know, and the people it denies do.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_lacks_is_missed() {
    let mut pair = block_in_place(Pair::start);
    let nodes = [BoxOffice::open(on(&pair.url)).await, BoxOffice::open(on(&pair.url)).await];
    nodes[0].schedule("office", &people::sale(SEATS_IN_A_ROW)).await;
    nodes[1].lists(1).await;
    let sold = Arc::default();
    let (close, closing) = watch::channel(false);
    let busy: JoinSet<Person> = (0..PEOPLE)
        .zip(nodes.iter().cycle())
        .map(|(number, node)| Person::new(number, SEATS_IN_A_ROW, node.public, &sold))
        .map(|person| person.be_busy(closing.clone()))
        .collect();
    let sells = async |many: u64| {
        let enough = sold.load(Ordering::Relaxed) + many;
        until("it to sell", async || (sold.load(Ordering::Relaxed) >= enough).then_some(())).await;
    };
    sells(LOST_AT_LEAST).await;
    block_in_place(|| pair.drift_apart());
    sells(LOST_AT_LEAST).await;
    block_in_place(|| pair.fail_over());

    for node in &nodes {
        let mut operators = Connection::to(node.operators);
        until("it to miss what it has answered", async || {
            let ready = operators.get("/readyz", None).await;
            ready.text.contains("which was acknowledged").then_some(())
        })
        .await;
        assert_eq!(node.buyer().join(None).await.status, 503);
    }
    close.send_replace(true);
    let people = busy.join_all().await;
    let promises = promises_to(&people);
    let new = BoxOffice::open(on(&pair.url)).await;
    let lost = broken(&promises, &[new.public], SHORT_PATIENCE).await.len();
    note(format_args!("{lost} of {} promises were lost", promises.len()));
    assert!(lost as u64 >= LOST_AT_LEAST && lost < promises.len(), "{lost} of {}", promises.len());
    // Of its own the history is sound: that it lacks something only those know who were told.
    verify(&new.stop().await, &pair.url).await;
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
