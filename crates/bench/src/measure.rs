//! One round: a main load, what goes on beside it, and what the server took for both.

use std::net::SocketAddr;
use std::time::Duration;

use stampede::load::{Closed, Open, Outcome, Shared, Stop, closed, open, runtime};
use stampede::wire::{Connection, Lost, Request};

use crate::calls::Calls;
use crate::figures::PerSecond;
use crate::process::{Process, cpu_s};
use crate::round::{Round, count};
use crate::{Fault, Plan, clock, fault};

/// Bytes of a body that are kept: all but those of lists, of which nothing is wanted.
const KEPT_MAX: usize = 16 * 1024;

/// What of the calls beside must be served at their rate, for the round to be what it says.
const BESIDE_LEAST: f64 = 0.9;

/// Calls that go on beside the measured ones, at a modest fixed rate.
#[derive(Debug)]
pub(crate) struct Beside {
    /// Which.
    pub(crate) calls: Shared<Calls>,
    /// How many a second.
    pub(crate) rate: f64,
    /// Connections, at most.
    pub(crate) connections: usize,
}

/// A server that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) process: &'a Process,
    /// Where buyers reach it.
    pub(crate) public: SocketAddr,
    /// Where it tells its numbers, if it has any.
    pub(crate) operators: Option<SocketAddr>,
}

/// What a server and the load had used by some moment.
#[derive(Clone, Copy, Debug)]
struct Used {
    server_s: f64,
    load_s: f64,
    commits: Option<u64>,
    at: std::time::Instant,
}

impl Used {
    async fn now(target: Target<'_>) -> Self {
        let commits = match target.operators {
            Some(operators) => commits(operators).await,
            None => None,
        };
        let (server_s, load_s) = (target.process.cpu_s(), cpu_s("self"));
        Self { server_s, load_s, commits, at: clock::now() }
    }
}

/// The commits that a box office has counted since it started.
async fn commits(operators: SocketAddr) -> Option<u64> {
    let mut connection = Connection::open(operators).await.ok()?;
    let answer = connection.exchange(&Request::get("/metrics").bytes()).await.ok()?;
    let text = std::str::from_utf8(answer.body()).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("maepyo_journal_commits_total "))?;
    line.trim().parse().ok()
}

/// As fast as a closed loop goes, with everything beside it.
pub(crate) fn closed_round(
    plan: &Plan,
    target: Target<'_>,
    calls: &Shared<Calls>,
    beside: &[Beside],
) -> Result<Round, Fault> {
    let closing = closing(plan, target.public, plan.connections);
    round(plan, target, calls, beside, closed(&closing, calls))
}

fn closing(plan: &Plan, addr: SocketAddr, connections: usize) -> Closed {
    let mut closing = Closed::new(addr, connections, plan.measured);
    closing.warm_up = plan.warm_up;
    // What is measured is the server, not how fast this side fills its memory.
    closing.kept_max = KEPT_MAX;
    closing.is_awake = true;
    closing
}

/// As fast as closed loops go that share the connections and each ask another server, all at the same
/// time: what each of these got, and what processor time something else took meanwhile that works for all.
pub(crate) fn closed_rounds(
    plan: &Plan,
    loads: &[(Target<'_>, Shared<Calls>)],
    others_cpu_s: impl Fn() -> f64,
) -> Result<(Vec<Round>, f64), Fault> {
    let runtime = runtime().map_err(|error| fault("the load", &error))?;
    let connections = plan.connections / loads.len();
    runtime.block_on(async {
        let begun = |(target, calls): &(Target<'_>, Shared<Calls>)| {
            let (closing, calls) = (closing(plan, target.public, connections), calls.clone());
            tokio::task::spawn_local(async move { closed(&closing, &calls).await })
        };
        let running: Vec<_> = loads.iter().map(begun).collect();
        tokio::time::sleep(plan.warm_up).await;
        let (mut begins, others_begin_s) = (Vec::new(), others_cpu_s());
        for (target, _) in loads {
            begins.push(Used::now(*target).await);
        }
        let mut outcomes = Vec::new();
        for task in running {
            outcomes.push(task.await.expect("a load does not panic"));
        }
        let others_s = others_cpu_s() - others_begin_s;
        let mut rounds = Vec::new();
        for (((target, calls), begin), outcome) in loads.iter().zip(begins).zip(&outcomes) {
            let end = Used::now(*target).await;
            rounds.push(summed(calls, &[], outcome, (begin, end), &[]));
        }
        Ok((rounds, others_s))
    })
}

/// At a fixed rate, with everything beside it.
pub(crate) fn open_round(
    plan: &Plan,
    target: Target<'_>,
    calls: &Shared<Calls>,
    beside: &[Beside],
    opening: &Open,
) -> Result<Round, Fault> {
    round(plan, target, calls, beside, open(opening, calls))
}

fn round(
    plan: &Plan,
    target: Target<'_>,
    calls: &Shared<Calls>,
    beside: &[Beside],
    main: impl Future<Output = Outcome>,
) -> Result<Round, Fault> {
    let runtime = runtime().map_err(|error| fault("the load", &error))?;
    let stop = Stop::new();
    let (outcome, used, besides) = runtime.block_on(async {
        let running: Vec<_> = beside
            .iter()
            .map(|beside| {
                let opening = accompanying(plan, target.public, beside, &stop);
                let calls = beside.calls.clone();
                tokio::task::spawn_local(async move { open(&opening, &calls).await })
            })
            .collect();
        let begin = async {
            tokio::time::sleep(plan.warm_up).await;
            Used::now(target).await
        };
        let measured = async {
            let outcome = main.await;
            let end = Used::now(target).await;
            stop.stop();
            (outcome, end)
        };
        let (begin, (outcome, end)) = tokio::join!(begin, measured);
        let mut besides = Vec::new();
        for task in running {
            besides.push(task.await.expect("a load does not panic"));
        }
        (outcome, (begin, end), besides)
    });
    Ok(summed(calls, beside, &outcome, used, &besides))
}

fn accompanying(plan: &Plan, addr: SocketAddr, beside: &Beside, stop: &Stop) -> Open {
    // It goes on until the main load ends.
    let long = plan.measured + Duration::from_secs(3_600);
    let mut opening = Open::new(addr, beside.rate, beside.connections, long);
    opening.warm_up = plan.warm_up;
    opening.is_exact = false;
    opening.stop = stop.clone();
    opening
}

fn summed(
    calls: &Shared<Calls>,
    beside: &[Beside],
    outcome: &Outcome,
    (begin, end): (Used, Used),
    besides: &[Outcome],
) -> Round {
    let good = |calls: &Shared<Calls>, outcome: &Outcome| {
        let wanted = calls.with(|calls| calls.wanted());
        wanted.iter().map(|status| outcome.count(*status)).sum::<u64>()
    };
    let answered = good(calls, outcome);
    let is_write = |calls: &Shared<Calls>| calls.with(|calls| calls.is_write());
    let mut writes = if is_write(calls) { answered } else { 0 };
    let mut others = outcome.offered() - answered;
    let mut held_up = None;
    let mut example = calls.with(Calls::take_example).or_else(|| unanswered("", outcome));
    for (beside, outcome) in beside.iter().zip(besides) {
        let good = good(&beside.calls, outcome);
        if is_write(&beside.calls) {
            writes += good;
        }
        let rate = count(good) / outcome.elapsed.as_secs_f64();
        if rate < beside.rate * BESIDE_LEAST {
            let (rate, wanted) = (PerSecond(rate), PerSecond(beside.rate));
            held_up = held_up.or_else(|| {
                Some(format!("of the calls beside it {wanted} were wanted, {rate} served"))
            });
        }
        // What goes wrong beside it spoils the round too.
        others += outcome.offered() - good;
        example = example.or_else(|| beside.calls.with(Calls::take_example));
        example = example.or_else(|| unanswered("beside it: ", outcome));
    }
    let at = |share| outcome.latency_at(share).as_secs_f64();
    // What was used is counted over a moment more than the requests: up to the last answer.
    let part = outcome.elapsed.as_secs_f64() / end.at.duration_since(begin.at).as_secs_f64();
    Round {
        answered,
        others,
        example,
        seconds: outcome.elapsed.as_secs_f64(),
        p50_s: at(0.5),
        p99_s: at(0.99),
        p999_s: at(0.999),
        worst_s: outcome.latency_max().as_secs_f64(),
        server_cpu_s: (end.server_s - begin.server_s) * part,
        load_cpu_s: (end.load_s - begin.load_s) * part,
        commits: end.commits.zip(begin.commits).map(|(end, begin)| end - begin),
        writes,
        held_up,
    }
}

/// Why requests were not answered, if any were not.
fn unanswered(which: &str, outcome: &Outcome) -> Option<String> {
    let mut reasons: Vec<String> = Lost::ALL
        .iter()
        .filter(|lost| outcome.lost[lost.index()] > 0)
        .map(|lost| format!("{} times {lost}", outcome.lost[lost.index()]))
        .collect();
    if outcome.not_sent > 0 {
        reasons.push(format!("{} not sent", outcome.not_sent));
    }
    (!reasons.is_empty()).then(|| format!("{which}{}", reasons.join(", ")))
}
