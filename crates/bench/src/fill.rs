//! Rows over one long line: what an entry weighs, and whether anything grows slower with it.

use std::rc::Rc;
use std::time::Duration;

use stampede::load::Shared;

use crate::calls::{Calls, Joins, Polls};
use crate::figures::{Bytes, PerSecond, Seconds, count};
use crate::hall::Hall;
use crate::measure::closed_round;
use crate::office::Office;
use crate::report::{Reading, Table};
use crate::tokens::Texts;
use crate::verdict::{Verdict, at_most};
use crate::{Fault, Plan, clock, tell};

/// Entries of the row of memory.
const ENTRIES: u32 = 10_000_000;
/// And at the desk.
const ENTRIES_QUICK: u32 = 500_000;
/// Those who join first: what the program needs once is then there.
const FIRST: u32 = 10_000;
/// What an entry may weigh.
const BYTES_MAX: f64 = 32.0;
/// How long the last snapshot may take.
const SETTLES: Duration = Duration::from_secs(10);
/// Tokens kept of a line.
const KEPT: u32 = 100_000;
/// What a round of the growing line takes.
const ROUND: Duration = Duration::from_secs(5);

const SALE: &str = "main";
const HALL: Hall =
    Hall { performances: 1, seats: 100, active_limit: 100, line_capacity: 20_000_000 };

/// Resident growth by real joins of the real server.
pub(crate) fn memory(plan: &Plan) -> Result<Reading, Fault> {
    let entries = if plan.is_quick { ENTRIES_QUICK } else { ENTRIES };
    let office = Office::open(plan)?;
    office.schedule(SALE, &HALL, true)?;
    office.join_keeping(SALE, FIRST, 0)?;
    let before = office.process.memory("VmRSS");
    let start = clock::now();
    office.join_keeping(SALE, entries, 0)?;
    let took = start.elapsed().as_secs_f64();
    let at_end = office.process.memory("VmRSS");
    clock::pause(SETTLES);
    let settled = office.process.memory("VmRSS");
    let highest = office.process.memory("VmHWM");
    let each = |bytes: f64| (bytes - before) / f64::from(entries);
    let snapshots = snapshots(&office);
    let mut verdict = at_most(each(settled), BYTES_MAX);
    if snapshots == 0 && !plan.is_quick {
        verdict = Verdict::Void("no snapshot was written".to_owned());
    }
    Ok(Reading {
        measured: format!("{:.1} bytes", each(settled)),
        details: vec![format!(
            "{} joins over HTTP in {} ({}): resident before {}, after the last {} ({:.1} bytes for \
             each), {} later {}, at the highest {} ({:.1}); {snapshots} snapshots are there.",
            count(entries.into()),
            Seconds(took),
            PerSecond(f64::from(entries) / took),
            Bytes(before),
            Bytes(at_end),
            each(at_end),
            Seconds(SETTLES.as_secs_f64()),
            Bytes(settled),
            Bytes(highest),
            each(highest),
        )],
        tables: Vec::new(),
        verdict,
    })
}

/// How many snapshots lie in its directory.
fn snapshots(office: &Office) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => count(&entry.path()),
                _ => usize::from(entry.path().extension().is_some_and(|end| end == "snapshot")),
            })
            .sum()
    }
    count(&office.data())
}

/// Polls and joins while the line grows.
pub(crate) fn line(plan: &Plan) -> Result<Reading, Fault> {
    let steps: &[u32] = if plan.is_quick {
        &[1_000, 10_000, 100_000]
    } else {
        &[1_000, 10_000, 100_000, 1_000_000, 10_000_000]
    };
    let mut plan = plan.clone();
    plan.measured = plan.measured.min(ROUND);
    let office = Office::open(&plan)?;
    office.schedule(SALE, &HALL, true)?;
    let mut table = Table::new(&[
        "waiting",
        "status",
        "processor per call",
        "p99",
        "joins from there on",
        "processor per call",
        "p99",
    ]);
    let mut kept = Texts::default();
    let mut joined = 0;
    for step in steps {
        let more = step.saturating_sub(joined);
        let each = (more / KEPT).max(1);
        let fill = office.join_keeping(SALE, more, each)?;
        joined = joined.max(*step);
        for number in 0..fill.waiting.len() {
            kept.push(fill.waiting.get(number));
        }
        // The line was long in filling: tokens of its beginning have expired meanwhile.
        let tokens = office.renew(&Rc::new(kept.clone()))?;
        let polls = Shared::new(Calls::Status(Polls::new(tokens)));
        let polled = closed_round(&plan, office.target(), &polls, &[])?;
        let joins = Shared::new(Calls::Join(Joins::new(SALE, u32::MAX)));
        let joining = closed_round(&plan, office.target(), &joins, &[])?;
        if let Some(why) = polled.fault().or_else(|| joining.fault()) {
            return Err(Fault(why));
        }
        joined += joins.with(|calls| calls.joins_begun());
        tell(&format!(
            "  {}: {}, {}",
            count((*step).into()),
            PerSecond(polled.rate()),
            PerSecond(joining.rate())
        ));
        table.rows.push(vec![
            count((*step).into()),
            PerSecond(polled.rate()).to_string(),
            Seconds(polled.cpu_per_call_s()).to_string(),
            Seconds(polled.p99_s).to_string(),
            PerSecond(joining.rate()).to_string(),
            Seconds(joining.cpu_per_call_s()).to_string(),
            Seconds(joining.p99_s).to_string(),
        ]);
    }
    let details = vec![format!(
        "{} connections, nothing beside; rounds of {}; up to {} of those waiting ask, from all over \
         the line. As joins are measured from a step on, the next begins with more than its name \
         says if they were faster than that.",
        plan.connections,
        Seconds(plan.measured.as_secs_f64()),
        count(KEPT.into()),
    )];
    Ok(Reading { measured: String::new(), details, tables: vec![table], verdict: Verdict::Shown })
}
