//! The rows that are ratios: the box office and the floor in turns.

use std::time::Duration;

use stampede::load::Shared;

use crate::calls::Calls;
use crate::figures::{PerSecond, Seconds};
use crate::measure::closed_round;
use crate::office::Floor;
use crate::report::{Reading, Table};
use crate::round::Round;
use crate::scenes::{self, Scene};
use crate::series::Series;
use crate::verdict::{Pairs, Verdict};
use crate::{Fault, Plan, tell};

/// What is expected of the box office before it has been measured, in calls a second: enough is
/// made ready for that, and the round ends early when it is not.
pub(crate) const RATE_EXPECTED: f64 = 60_000.0;
/// Payments are made ready twice, as holds and as joins.
const PAYMENTS_EXPECTED: f64 = 40_000.0;
/// How much more is made ready than the round before has used.
const SPARE: f64 = 1.2;
/// What goes before a round of lists.
const LISTS_WARM_UP: Duration = Duration::from_secs(5);
/// Distinct tokens of the row of polls.
const POLLERS: u32 = 1_000_000;
/// And at the desk.
const POLLERS_QUICK: u32 = 100_000;

/// Measures one of the rows.
pub(crate) fn measure(plan: &Plan, row: &str) -> Result<Reading, Fault> {
    let (least, expected) = match row {
        "hold" => (0.80, RATE_EXPECTED),
        "status" => (0.90, 0.0),
        "join" => (0.70, 0.0),
        "pay" => (0.50, PAYMENTS_EXPECTED),
        "seats" => (0.90, 0.0),
        _ => return Err(Fault(format!("`{row}` is no row that is compared"))),
    };
    let pollers = if plan.is_quick { POLLERS_QUICK } else { POLLERS };
    let mut expected = expected;
    let mut plan = plan.clone();
    if row == "seats" {
        // Hundreds of megabytes are on their way at a time, and the first take longest.
        plan.warm_up = plan.warm_up.max(LISTS_WARM_UP);
    }
    let plan = &plan;
    let mut pairs = Pairs::default();
    for number in 0..plan.rounds {
        let scene = match row {
            "hold" => scenes::hold(plan, expected)?,
            "status" => scenes::status(plan, pollers)?,
            "join" => scenes::join(plan)?,
            "pay" => scenes::pay(plan, expected)?,
            _ => scenes::seats(plan, scenes::LARGE)?,
        };
        let (product, floor) = pair(plan, scene)?;
        tell(&format!(
            "  {row} {}/{}: {} of {} = {:.3}",
            number + 1,
            plan.rounds,
            PerSecond(product.rate()),
            PerSecond(floor.rate()),
            product.rate() / floor.rate()
        ));
        expected = expected.min(product.rate() * SPARE);
        pairs.product.push(product);
        pairs.floor.push(floor);
    }
    Ok(reading(&pairs, least))
}

/// A round of the box office, and then one of the floor.
pub(crate) fn pair(plan: &Plan, scene: Scene) -> Result<(Round, Round), Fault> {
    let Scene { office, answers, calls, beside } = scene;
    let product = closed_round(plan, office.target(), &calls, &beside)?;
    drop(office);
    std::iter::once(&calls).chain(beside.iter().map(|beside| &beside.calls)).for_each(rewind);
    let floor = Floor::start(plan, &answers)?;
    let floor = closed_round(plan, floor.target(), &calls, &beside)?;
    Ok((product, floor))
}

fn rewind(calls: &Shared<Calls>) {
    calls.with(Calls::rewind);
}

fn reading(pairs: &Pairs, least: f64) -> Reading {
    let verdict = pairs.verdict(least);
    let measured = match pairs.ratio() {
        Some(Series { median, min, max }) => format!("{median:.2} ({min:.2}..{max:.2})"),
        None => String::new(),
    };
    let mut details = Vec::new();
    if let Some(fault) = void(&verdict) {
        details.push(format!("Not counted: {fault}."));
    }
    let tables = vec![table(pairs, ["maepyo", "floor"])];
    Reading { measured, details, tables, verdict }
}

fn void(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Void(why) | Verdict::Noisy(why) => Some(why),
        Verdict::Reached | Verdict::Missed | Verdict::Absent(_) | Verdict::Shown => None,
    }
}

/// Both servers' rounds, by the names of the servers.
pub(crate) fn table(pairs: &Pairs, [product, floor]: [&str; 2]) -> Table {
    let mut table = Table::new(&[
        "",
        "calls",
        "p50",
        "p99",
        "longest",
        "processor per call",
        "server's core",
        "load's core",
        "answered writes per commit",
        "commits",
    ]);
    table.rows.push(line(product, &pairs.product));
    table.rows.push(line(floor, &pairs.floor));
    table
}

/// The rounds of one server, as a line of a table.
pub(crate) fn line(name: &str, rounds: &[Round]) -> Vec<String> {
    let median = |of: &dyn Fn(&Round) -> f64| {
        Series::of(rounds.iter().map(of)).map_or(f64::NAN, |series| series.median)
    };
    let rates = Series::of(rounds.iter().map(Round::rate));
    let rates = rates.map_or_else(String::new, |Series { median, min, max }| {
        format!("{} ({}..{})", PerSecond(median), PerSecond(min), PerSecond(max))
    });
    let per_commit = Series::of(rounds.iter().filter_map(Round::writes_per_commit));
    let commits: Option<u64> = rounds.iter().map(|round| round.commits).sum();
    vec![
        name.to_owned(),
        rates,
        Seconds(median(&|round| round.p50_s)).to_string(),
        Seconds(median(&|round| round.p99_s)).to_string(),
        Seconds(median(&|round| round.worst_s)).to_string(),
        Seconds(median(&Round::cpu_per_call_s)).to_string(),
        format!("{:.0} %", median(&Round::server_busy) * 100.0),
        format!("{:.0} %", median(&Round::load_busy) * 100.0),
        per_commit.map_or_else(|| "–".to_owned(), |series| format!("{:.0}", series.median)),
        commits.map_or_else(|| "–".to_owned(), crate::figures::count),
    ]
}
