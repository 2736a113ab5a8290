//! Three nodes behind a balancer sell out a hall to a crowd that wants more, while one node after another is
//! killed and started again, and their database is lost in the middle of it: its standby takes over.
//!
//! The crowd is `maepyo stampede`, which knows what it was told and accuses on proof. Then the journal is
//! verified, and the provider's book compared: the nodes share one, as they would share a provider. So is the
//! ledger, which one of the nodes keeps, and another one after that was killed.
//! `cargo xtask sell-out` does it with 30,000 buyers and an arena of 12,000 seats, by `MAEPYO_SELL_OUT`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::failover::Pair;
use crate::ledger::level;
use crate::postgres::{on, verify};
use crate::support::{BoxOffice, Closed, Options, note, small_sale, until};

const NODES: usize = 3;
const BUYERS: u32 = 1_200;
const ROWS: u32 = 26;
/// A node is killed so long after the one before is back.
const KILLED_EVERY: Duration = Duration::from_secs(2);

/// Sends each connection to the next node that takes it.
#[derive(Debug)]
struct Balancer {
    addr: SocketAddr,
    nodes: Arc<Mutex<[Option<SocketAddr>; NODES]>>,
}

impl Balancer {
    async fn before(nodes: &[BoxOffice]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let nodes = Arc::new(Mutex::new(std::array::from_fn(|node| Some(nodes[node].public))));
        let balanced = Arc::clone(&nodes);
        tokio::spawn(async move {
            for turn in 0.. {
                let (client, _) = listener.accept().await.expect("a connection");
                let nodes = *balanced.lock().expect("nobody panics with it");
                tokio::spawn(carry(client, nodes, turn));
            }
        });
        Self { addr, nodes }
    }

    fn set(&self, node: usize, addr: Option<SocketAddr>) {
        self.nodes.lock().expect("nobody panics with it")[node] = addr;
    }
}

/// Until one of the two ends it.
async fn carry(mut client: TcpStream, nodes: [Option<SocketAddr>; NODES], turn: usize) {
    for addr in (0..NODES).filter_map(|step| nodes[(turn + step) % NODES]) {
        let Ok(mut node) = TcpStream::connect(addr).await else { continue };
        let at_once = client.set_nodelay(true).and_then(|()| node.set_nodelay(true));
        if at_once.is_ok() {
            let _lost_with_the_node = copy_bidirectional(&mut client, &mut node).await;
        }
        return;
    }
}

/// A node whose provider is that of the others.
pub(crate) fn node(url: &str, book: &Path) -> Closed {
    let node = Closed::new(on(url));
    std::fs::create_dir(node.data()).expect("a directory");
    let own = node.data().join("sandbox-book.jsonl");
    std::os::unix::fs::symlink(book, own).expect("a link");
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_sell_out_while_they_and_their_database_are_lost() {
    let buyers = std::env::var("MAEPYO_SELL_OUT").ok().and_then(|text| text.parse().ok());
    let buyers: u32 = buyers.unwrap_or(BUYERS);
    // Two seats for five buyers, who want more than one each.
    let seats_in_a_row = (buyers * 2 / 5).div_ceil(ROWS);
    let seats = u64::from(ROWS * seats_in_a_row);
    let (active_limit, connections) =
        ((buyers / 15).clamp(50, 2_000), (buyers / 20).clamp(48, 400));

    let mut pair = block_in_place(Pair::start);
    let shared = TempDir::new().expect("a directory");
    let book = shared.path().join("book.jsonl");
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(node(&pair.url, &book).open().await);
    }
    // Who vanishes with seats in hand must not keep them for five minutes.
    let ttl = 10 + buyers / 500;
    let limits = json!({
        "active_limit": active_limit, "hold_ttl": ttl, "choose_ttl": ttl, "arrive_ttl": ttl,
        "presence_window": ttl,
    });
    let sale = small_sale("arena-1", "Z", seats_in_a_row, &limits);
    nodes[0].schedule("arena", &sale).await;
    for node in &nodes {
        node.lists(1).await;
    }
    let balancer = Balancer::before(&nodes).await;

    let crowd = Closed::new(Options::default());
    let report = shared.path().join("report.json");
    let mut crowd = crowd_of(&crowd, &balancer, buyers, active_limit, connections, &report);
    let began = Instant::now();
    let (mut kills, mut lost) = (0, None);
    let status = loop {
        // paces: a loss comes out of the blue.
        let ended = tokio::time::timeout(KILLED_EVERY, crowd.wait()).await;
        if let Ok(status) = ended {
            break status.expect("it can be waited for");
        }
        let node = kills % NODES;
        balancer.set(node, None);
        let killed = nodes.remove(node).kill().await;
        nodes.insert(node, killed.open().await);
        balancer.set(node, Some(nodes[node].public));
        kills += 1;
        let sold = nodes[node].sale("arena").await["seats"]["sold"].as_u64().unwrap_or(0);
        if lost.is_none() && sold > seats / 3 {
            let since = Instant::now();
            block_in_place(|| pair.fail_over());
            lost = Some((sold, since.elapsed()));
        }
    };
    let took = began.elapsed();

    let report = std::fs::read_to_string(&report).expect("the report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    note(format_args!(
        "{buyers} buyers, {seats} seats, {took:.1?}, {kills} nodes killed, {lost:?}"
    ));
    assert_eq!(status.code(), Some(0), "{}", report["findings"]);
    assert!(kills > 2 && lost.is_some(), "too little was lost");
    for node in &nodes {
        until("everything to be sold and settled", async || {
            let sale = node.sale("arena").await;
            let kept = node.book().kept();
            let is_settled = sale["open_payments"] == 0
                && sale["seats"]["sold"] == seats
                && sale["takings"]["confirmed"] == kept;
            is_settled.then_some(())
        })
        .await;
    }
    let book = nodes[0].book();
    assert!(book.payments.values().all(|account| account.charges <= 1), "somebody paid twice");
    let began = Instant::now();
    level(&nodes[0]).await;
    note(format_args!("the ledger had everything {:.1?} later", began.elapsed()));
    let mut nodes = nodes.into_iter();
    let last = nodes.next().expect("a node");
    for node in nodes {
        node.stop().await;
    }
    let said = verify(&last.stop().await, &pair.url).await;
    assert!(said.contains("the ledger says the same"), "{said}");
}

fn crowd_of(
    home: &Closed,
    balancer: &Balancer,
    buyers: u32,
    active_limit: u32,
    connections: u32,
    report: &Path,
) -> Child {
    let url = format!("http://{}", balancer.addr);
    let words = format!(
        "stampede --url {url} --sale arena --buyers {buyers} --arrive-in 3 --think 0.5 --patience 20 \
         --vanish-share 0.02 --away-share 0.02 --active-limit {active_limit} \
         --connections {connections} --at-most 900 --json"
    );
    let mut program = home.program();
    program.args(words.split(' ').filter(|word| !word.is_empty())).arg(report);
    program.stdout(Stdio::null()).stderr(Stdio::null());
    program.spawn().expect("the program")
}
