//! The same hold on one node, on two and on three, over one PostgreSQL: one sale that everybody wants, and
//! several at once; and beside them what a plain transaction for each hold gets of the same server.
//!
//! The server and all nodes have one core together. Where they may use it as they like, more nodes cannot
//! carry more, and what is looked at is what they take from each other: by conflicts, and by turns. Where
//! each has a quarter of it, as it would have a machine of its own, they can, as long as the server keeps up.

use pgserver::{PlainHolds, Server};

use crate::figures::{PerSecond, Seconds};
use crate::journals;
use crate::measure::{Target, closed_rounds};
use crate::office::Office;
use crate::process::family_cpu_s;
use crate::quota::Quota;
use crate::report::{Reading, Table};
use crate::round::{Round, count};
use crate::scenes;
use crate::series::{Series, ratios};
use crate::verdict::Verdict;
use crate::{Fault, Plan, fault, tell};

/// What three nodes must carry of what one does.
const LEAST: f64 = 0.8;
/// How many times as long as at another node the slowest hundredth may take.
const P99_RATIO_MAX: f64 = 5.0;
/// For so many holds a second buyers are made ready; a round in which there are more ends early.
const RATE_EXPECTED: f64 = 25_000.0;
const NODES: [u32; 3] = [1, 2, 3];
/// Connections of the plain transactions.
const CLIENTS: [u32; 2] = [16, 64];

/// What the nodes do, and what they have for it.
#[derive(Clone, Copy, Debug)]
struct Scene {
    /// One sale that everybody wants, or many.
    sales: u32,
    /// Buyers who wait for an answer at a time, at all nodes together.
    connections: usize,
    /// Whether each node has a quarter of the core, instead of what the others leave.
    has_quota: bool,
}

const SCENES: [Scene; 6] = [
    Scene { sales: 1, connections: 256, has_quota: false },
    Scene { sales: 1, connections: 768, has_quota: false },
    Scene { sales: 12, connections: 256, has_quota: false },
    Scene { sales: 12, connections: 768, has_quota: false },
    Scene { sales: 1, connections: 256, has_quota: true },
    Scene { sales: 12, connections: 256, has_quota: true },
];

impl Scene {
    fn of(self, nodes: u32) -> String {
        let Self { sales, connections, has_quota } = self;
        let (node, sale) = (plural(nodes, "node"), plural(sales, "sale"));
        let quota = if has_quota { ", a quarter of the core for each node" } else { "" };
        format!("{nodes} {node}, {sales} {sale}, {connections} connections{quota}")
    }
}

/// One round of several nodes.
#[derive(Debug)]
struct Together {
    nodes: Vec<Round>,
    /// Processor time of PostgreSQL for each hold, in seconds.
    postgres_s: f64,
}

impl Together {
    fn rate(&self) -> f64 {
        self.nodes.iter().map(Round::rate).sum()
    }

    fn each(&self, of: impl Fn(&Round) -> f64) -> Option<Series> {
        Series::of(self.nodes.iter().map(of))
    }

    fn cpu_per_call_s(&self) -> f64 {
        let answered: u64 = self.nodes.iter().map(|round| round.answered).sum();
        let cpu_s: f64 = self.nodes.iter().map(|round| round.server_cpu_s).sum();
        cpu_s / count(answered)
    }
}

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let server = journals::start(plan)?;
    let mut table = Table::new(&[
        "",
        "holds",
        "p50",
        "p99, the quickest node's and the slowest's",
        "nodes' processor per hold",
        "PostgreSQL's",
        "holds per commit",
    ]);
    let mut hot = Vec::new();
    let no_quota = Quota::new().err();
    for scene in SCENES {
        if scene.has_quota && no_quota.is_some() {
            continue;
        }
        let plan = Plan { connections: scene.connections, ..plan.clone() };
        let mut all: Vec<Vec<Together>> = NODES.iter().map(|_| Vec::new()).collect();
        for number in 0..plan.rounds {
            for (nodes, rounds) in NODES.into_iter().zip(&mut all) {
                let Scene { sales, connections, has_quota } = scene;
                let database = format!("round_{number}_{sales}_{connections}_{has_quota}_{nodes}");
                let round = together(&plan, &server, &database, nodes, scene)?;
                let what = scene.of(nodes);
                tell(&format!("  {what}, {}: {}", number + 1, PerSecond(round.rate())));
                rounds.push(round);
            }
        }
        for (nodes, rounds) in NODES.into_iter().zip(&all) {
            table.rows.push(line(scene.of(nodes), rounds));
        }
        if scene.sales == 1 {
            hot.push(Hot { scene, by_nodes: all });
        }
    }
    for clients in CLIENTS {
        let mut rounds = Vec::new();
        for number in 0..plan.rounds {
            let schema = format!("plain_{number}_{clients}");
            let seconds = u32::try_from(plan.measured.as_secs()).expect("minutes at most").max(1);
            let held = server.hold_plainly(clients, seconds, &schema);
            rounds.push(held.map_err(|why| fault("pgbench", &why))?);
        }
        table.rows.push(plain_line(clients, &rounds));
    }
    Ok(reading(&hot, table, no_quota))
}

/// What became of one sale that everybody wants.
struct Hot {
    scene: Scene,
    by_nodes: Vec<Vec<Together>>,
}

/// A round of so many nodes on a store of their own.
fn together(
    plan: &Plan,
    server: &Server,
    database: &str,
    nodes: u32,
    scene: Scene,
) -> Result<Together, Fault> {
    let store = Some(server.make_database(database));
    let plan = Plan { store, ..plan.clone() };
    // Dropped after the processes in them.
    let mut quotas = Vec::new();
    let (first, calls) = scenes::hold_among(&plan, RATE_EXPECTED, (nodes, scene.sales))?;
    let mut offices = vec![first];
    for _ in 1..nodes {
        // It finds the sales in the store.
        offices.push(Office::open(&plan)?);
    }
    if scene.has_quota {
        for office in &offices {
            let quota = Quota::new()?;
            quota.take(&office.process)?;
            quotas.push(quota);
        }
    }
    let targets: Vec<Target<'_>> = offices.iter().map(Office::target).collect();
    let loads: Vec<_> = targets.into_iter().zip(calls).collect();
    let postgres_cpu_s = || server.process().map_or(f64::NAN, family_cpu_s);
    let (nodes, cpu_s) = closed_rounds(&plan, &loads, postgres_cpu_s)?;
    if let Some(why) = nodes.iter().find_map(Round::fault) {
        return Err(Fault(why));
    }
    let answered: u64 = nodes.iter().map(|round| round.answered).sum();
    Ok(Together { nodes, postgres_s: cpu_s / count(answered) })
}

fn line(of: String, rounds: &[Together]) -> Vec<String> {
    let median =
        |of: &dyn Fn(&Together) -> f64| Series::of(rounds.iter().map(of)).map(|s| s.median);
    let seconds = |of: &dyn Fn(&Together) -> f64| {
        median(of).map_or_else(String::new, |s| Seconds(s).to_string())
    };
    let at_nodes = |of: fn(&Round) -> f64, end: fn(Series) -> f64| {
        seconds(&|round| round.each(of).map_or(f64::NAN, end))
    };
    let p99 = [|series: Series| series.min, |series: Series| series.max];
    let [quickest, slowest] = p99.map(|end| at_nodes(|round| round.p99_s, end));
    let per_commit = |round: &Together| {
        round
            .each(|round| round.writes_per_commit().unwrap_or(f64::NAN))
            .map_or(f64::NAN, |s| s.median)
    };
    vec![
        of,
        rates(rounds.iter().map(Together::rate)),
        at_nodes(|round| round.p50_s, |series| series.median),
        if quickest == slowest { slowest } else { format!("{quickest}, {slowest}") },
        seconds(&Together::cpu_per_call_s),
        seconds(&|round| round.postgres_s),
        median(&per_commit).map_or_else(String::new, |writes| format!("{writes:.0}")),
    ]
}

fn plain_line(clients: u32, rounds: &[PlainHolds]) -> Vec<String> {
    let seconds = |of: fn(&PlainHolds) -> f64| {
        Series::of(rounds.iter().map(of))
            .map_or_else(String::new, |s| Seconds(s.median).to_string())
    };
    let rate = |holds: &PlainHolds| count(holds.count) / holds.seconds;
    vec![
        format!("a transaction for each hold, {clients} connections"),
        rates(rounds.iter().map(rate)),
        seconds(|holds| holds.p50_s),
        seconds(|holds| holds.p99_s),
        "–".to_owned(),
        String::new(),
        "1".to_owned(),
    ]
}

fn plural(count: u32, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn rates(rates: impl Iterator<Item = f64>) -> String {
    Series::of(rates).map_or_else(String::new, |Series { median, min, max }| {
        format!("{} ({}..{})", PerSecond(median), PerSecond(min), PerSecond(max))
    })
}

fn reading(hot: &[Hot], table: Table, no_quota: Option<Fault>) -> Reading {
    let rates = |rounds: &[Together]| rounds.iter().map(Together::rate).collect::<Vec<_>>();
    let p99_ratio =
        |round: &Together| round.each(|round| round.p99_s).map_or(f64::NAN, |s| s.swing());
    let carried = |hot: &Hot| {
        let (one, three) = (rates(&hot.by_nodes[0]), rates(&hot.by_nodes[NODES.len() - 1]));
        Some((hot.scene, Series::of(ratios(&three, &one))?))
    };
    let carried: Option<Vec<(Scene, Series)>> = hot.iter().map(carried).collect();
    let several = hot.iter().flat_map(|hot| hot.by_nodes.iter().skip(1).flatten());
    let (measured, verdict) = match carried.zip(Series::of(several.map(p99_ratio))) {
        None => (String::new(), Verdict::Void("there was no whole round".to_owned())),
        Some((carried, apart)) => {
            let is_enough = carried.iter().all(|(_, carried)| carried.median >= LEAST);
            let verdict = if is_enough && apart.max <= P99_RATIO_MAX {
                Verdict::Reached
            } else {
                Verdict::Missed
            };
            let carried = carried.iter().map(|(scene, Series { median, min, max })| {
                let Scene { connections, has_quota, .. } = scene;
                let quota = if *has_quota { " and a quarter of the core for each" } else { "" };
                format!("{median:.2} ({min:.2}..{max:.2}) with {connections} connections{quota}")
            });
            let measured = format!(
                "three nodes carry of what one does {}; one node's p99 is {:.1} times another's, \
                 {:.1} at most",
                carried.collect::<Vec<_>>().join(", "),
                apart.median,
                apart.max
            );
            (measured, verdict)
        }
    };
    let mut details = vec![
        "PostgreSQL with its defaults and all nodes share one core; the connections are divided among \
         the nodes, each of whose buyers holds a seat of its own. Several sales are busy all the time, on \
         every node. The plain transactions are those of `pgbench`: lock the row, update, insert, \
         commit, each for another seat, prepared, without HTTP, a token or a line."
            .to_owned(),
    ];
    details.extend(no_quota.map(|Fault(why)| {
        format!(
            "What nodes carry that have a quarter of the core each could not be measured: {why}."
        )
    }));
    Reading { measured, details, tables: vec![table], verdict }
}
