//! How long a hold takes when half as many come as could be served, whether or not answers come.

use std::time::Duration;

use stampede::load::{Open, Spacing};

use crate::compare::{RATE_EXPECTED, line};
use crate::disk::Syncs;
use crate::figures::{PerSecond, Seconds};
use crate::measure::{closed_round, open_round};
use crate::report::{Reading, Table};
use crate::round::Round;
use crate::series::Series;
use crate::verdict::{Verdict, at_most};
use crate::{Fault, Plan, scenes, tell};

/// Connections, at most; they are opened when all others wait for an answer.
const CONNECTIONS: usize = 4_096;
/// How long the disk is measured before each round.
const SYNCS: Duration = Duration::from_secs(3);
/// What it may take on any disk.
const MOST_S: f64 = 5e-3;
/// And in syncs of this disk.
const SYNCS_MAX: f64 = 4.0;

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let scene = scenes::hold(plan, RATE_EXPECTED)?;
    let full = closed_round(plan, scene.office.target(), &scene.calls, &scene.beside)?;
    drop(scene);
    if let Some(why) = full.fault() {
        return Err(Fault(why));
    }
    let rate = full.rate() / 2.0;
    let (mut rounds, mut syncs) = (Vec::new(), Vec::new());
    for number in 0..plan.rounds {
        let scene = scenes::hold(plan, rate * 1.05)?;
        let disk = Syncs::measure(scene.office.data().as_path(), SYNCS)?;
        let mut opening = Open::new(scene.office.public, rate, CONNECTIONS, plan.measured);
        opening.warm_up = plan.warm_up;
        opening.spacing = Spacing::Poisson { seed: number.into() };
        let round = open_round(plan, scene.office.target(), &scene.calls, &scene.beside, &opening)?;
        tell(&format!(
            "  round {}: p99 {}, of syncs {}",
            number + 1,
            Seconds(round.p99_s),
            Seconds(disk.quantile(0.99))
        ));
        if let Some(why) = round.fault() {
            return Err(Fault(why));
        }
        rounds.push(round);
        syncs.push(disk);
    }
    reading(rate, &full, &rounds, &syncs)
}

fn reading(rate: f64, full: &Round, rounds: &[Round], syncs: &[Syncs]) -> Result<Reading, Fault> {
    let series = |of: &dyn Fn(&Round) -> f64| Series::of(rounds.iter().map(of));
    let p99 = series(&|round| round.p99_s).ok_or_else(|| Fault("there was no round".to_owned()))?;
    let sync = |share| Series::of(syncs.iter().map(|syncs| syncs.quantile(share)));
    let (half, most) = (sync(0.5), sync(0.99));
    let (Some(half), Some(sync_p99)) = (half, most) else {
        return Err(Fault("the disk was not measured".to_owned()));
    };
    let bound = MOST_S.max(SYNCS_MAX * sync_p99.median);
    let mut table = Table::new(&["rate", "p50", "p99", "p99.9", "longest", "server's core"]);
    for round in rounds {
        table.rows.push(vec![
            PerSecond(round.rate()).to_string(),
            Seconds(round.p50_s).to_string(),
            Seconds(round.p99_s).to_string(),
            Seconds(round.p999_s).to_string(),
            Seconds(round.worst_s).to_string(),
            format!("{:.0} %", round.server_busy() * 100.0),
        ]);
    }
    // Who did not come as often as meant to did not have to wait either.
    let is_late = rounds.iter().any(|round| round.rate() < rate * 0.98);
    let verdict = if is_late {
        Verdict::Void("the load did not keep its rate".to_owned())
    } else {
        at_most(p99.median, bound)
    };
    let counted: usize = syncs.iter().map(Syncs::count).sum();
    Ok(Reading {
        measured: format!(
            "p99 {} ({}..{})",
            Seconds(p99.median),
            Seconds(p99.min),
            Seconds(p99.max)
        ),
        details: vec![
            format!(
                "{} arrive (Poisson), half of the {} that a closed loop gets; latency counts from \
                 the intended start; the other calls go on beside it.",
                PerSecond(rate),
                line("", std::slice::from_ref(full))[1],
            ),
            format!(
                "This disk, alone, {counted} times 10 KiB and `fdatasync`: half within {}, 99 % \
                 within {} ({}..{}). The bound is therefore {}.",
                Seconds(half.median),
                Seconds(sync_p99.median),
                Seconds(sync_p99.min),
                Seconds(sync_p99.max),
                Seconds(bound),
            ),
        ],
        tables: vec![table],
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rate: u64, p99_s: f64) -> Verdict {
        let round = Round { answered: rate, seconds: 1.0, p99_s, ..Round::default() };
        let syncs = Syncs::of(&[0.001, 0.002]);
        reading(100.0, &Round::default(), &[round], &[syncs]).expect("a reading").verdict
    }

    #[test]
    fn a_slow_disk_is_allowed_for() {
        assert_eq!(verdict(100, 0.005), Verdict::Reached);
        assert_eq!(verdict(100, 0.008), Verdict::Reached, "four syncs of 2 ms");
        assert_eq!(verdict(100, 0.0081), Verdict::Missed);
    }

    #[test]
    fn a_load_that_came_too_seldom_shows_nothing() {
        assert!(matches!(verdict(97, 0.001), Verdict::Void(_)));
    }
}
