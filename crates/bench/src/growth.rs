//! Whether holds and lists grow slower with the hall, and holds with the number of sales.

use std::time::Duration;

use crate::compare::RATE_EXPECTED;
use crate::figures::{PerSecond, Seconds, count};
use crate::measure::closed_round;
use crate::report::{Reading, Table};
use crate::round::Round;
use crate::scenes::{self, Scene};
use crate::verdict::Verdict;
use crate::{Fault, Plan, tell};

/// What a round takes here.
const ROUND: Duration = Duration::from_secs(5);
/// Halls.
const SEATS: [u32; 4] = [100, 1_000, 10_000, 50_000];
/// Sales at a time.
const SALES: [u32; 3] = [1, 10, 100];
/// The hall of each of these sales.
const SEATS_OF_SALE: u32 = 1_000;

/// Holds and lists in halls of several sizes.
pub(crate) fn hall(plan: &Plan) -> Result<Reading, Fault> {
    let plan = short(plan);
    let mut table = Table::new(&[
        "seats",
        "holds",
        "processor per call",
        "p99",
        "lists",
        "processor per call",
        "p99",
    ]);
    for seats in SEATS {
        let holds = round(&plan, &scenes::hold_in(&plan, RATE_EXPECTED, seats, 1)?)?;
        let lists = round(&plan, &scenes::seats(&plan, seats)?)?;
        tell(&format!(
            "  {}: {}, {}",
            count(seats.into()),
            PerSecond(holds.rate()),
            PerSecond(lists.rate())
        ));
        table.rows.push([vec![count(seats.into())], cells(&holds), cells(&lists)].concat());
    }
    let details = vec![
        "One sale after another with as many performances of that size as the buyers need; lists \
         beside 1,000 changes of seats a second in the largest hall, and polls and joins."
            .to_owned(),
    ];
    Ok(Reading { measured: String::new(), details, tables: vec![table], verdict: Verdict::Shown })
}

/// Holds in several sales in turn.
pub(crate) fn sales(plan: &Plan) -> Result<Reading, Fault> {
    let plan = short(plan);
    let mut table =
        Table::new(&["sales", "holds", "processor per call", "p99", "answered writes per commit"]);
    for sales in SALES {
        let holds = round(&plan, &scenes::hold_in(&plan, RATE_EXPECTED, SEATS_OF_SALE, sales)?)?;
        tell(&format!("  {sales}: {}", PerSecond(holds.rate())));
        let per_commit = holds.writes_per_commit();
        let per_commit = per_commit.map_or_else(String::new, |writes| format!("{writes:.0}"));
        table.rows.push([vec![count(sales.into())], cells(&holds), vec![per_commit]].concat());
    }
    let details = vec![format!(
        "Each buyer's sale is the next one's neighbour: all sales are busy all the time. Performances \
         of {} seats.",
        count(SEATS_OF_SALE.into())
    )];
    Ok(Reading { measured: String::new(), details, tables: vec![table], verdict: Verdict::Shown })
}

fn short(plan: &Plan) -> Plan {
    Plan { measured: plan.measured.min(ROUND), ..plan.clone() }
}

fn round(plan: &Plan, scene: &Scene) -> Result<Round, Fault> {
    let round = closed_round(plan, scene.office.target(), &scene.calls, &scene.beside)?;
    match round.fault() {
        None => Ok(round),
        Some(why) => Err(Fault(why)),
    }
}

fn cells(round: &Round) -> Vec<String> {
    vec![
        PerSecond(round.rate()).to_string(),
        Seconds(round.cpu_per_call_s()).to_string(),
        Seconds(round.p99_s).to_string(),
    ]
}
