//! What goes on when far more come than can be served, and how soon all is well afterwards.
//!
//! A crowd comes on as many connections as the server takes, each with one request at a time, and
//! whoever finds none free waits outside. One core cannot send ten times what another can serve, so
//! with a whole core for the server much of ten times as many stays outside. Therefore it is also
//! measured squeezed: at a lower priority beside a program that does nothing but run; then all of
//! ten times as many knock. What goes on is measured against what is served at best in that state.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stampede::load::{Closed, Open, Outcome, Spacing, closed, open, runtime};

use crate::calls::Calls;
use crate::compare::RATE_EXPECTED;
use crate::figures::{Bytes, PerSecond, Seconds};
use crate::office::Office;
use crate::report::{Reading, Table};
use crate::scenes::{self, Scene};
use crate::verdict::Verdict;
use crate::{Fault, Plan, fault, tell};

/// What of the expected rate the server has with a tenth of its core.
const SQUEEZED: f64 = 0.2;
/// How many times as many come, what of the best must go on, and whether the server is squeezed.
const CROWDS: [(f64, f64, bool); 3] = [(2.0, 0.9, false), (10.0, 0.7, false), (10.0, 0.7, true)];
/// Connections that the crowd opens, at most. More than the requests that the server answers at a
/// time, so that some are turned away; and fewer than half of the 28,232 ports that one address
/// has, for beyond that Linux searches long for a free one, and the load would measure itself.
const CONNECTIONS: usize = 12_000;
/// Those who wait for one of them.
const OUTSIDE: usize = 100;
/// And those who come before and after.
const CALM_CONNECTIONS: usize = 1_000;
/// How long one of the crowd waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// When all must be well again.
const NORMAL_AFTER: Duration = Duration::from_secs(2);
/// What counts as well: the latency before, times this, and this much more.
const NORMAL_TIMES: f64 = 2.0;
const NORMAL_MORE_S: f64 = 0.01;
/// What each connection and each request that waits may cost in memory, at most.
const BYTES_EACH_MAX: f64 = 64.0 * 1024.0;
/// The priority of the server: a tenth of the weight of a program that runs as usual.
const NICE: &str = "10";

/// What one crowd did.
#[derive(Debug)]
struct Crowd {
    is_squeezed: bool,
    times: f64,
    least: f64,
    best: f64,
    goodput: f64,
    offered: f64,
    statuses: String,
    p99_before_s: f64,
    p99_during_s: f64,
    p99_after_s: f64,
    memory_before: f64,
    memory_highest: f64,
}

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let crowds: Result<Vec<Crowd>, Fault> = CROWDS
        .iter()
        .map(|(times, least, squeezed)| crowd(plan, *times, *least, *squeezed))
        .collect();
    Ok(reading(&crowds?))
}

fn crowd(plan: &Plan, times: f64, least: f64, is_squeezed: bool) -> Result<Crowd, Fault> {
    let seconds = plan.measured.min(Duration::from_secs(10));
    // Ready for: the best, half of it before and after, and the crowd.
    let phase_s = (plan.warm_up + seconds).as_secs_f64();
    let rate = if is_squeezed { RATE_EXPECTED * SQUEEZED } else { RATE_EXPECTED };
    let needed = rate * phase_s * 3.2;
    let Scene { office, calls, .. } =
        scenes::hold(plan, needed / (plan.warm_up + plan.measured).as_secs_f64())?;
    let _competitor = if is_squeezed { Some(Competitor::start(plan, &office)?) } else { None };
    let runtime = runtime().map_err(|error| fault("the load", &error))?;
    let mut closing = Closed::new(office.public, plan.connections, seconds);
    closing.warm_up = plan.warm_up;
    let best = runtime.block_on(closed(&closing, &calls)).good_rate();
    let calm = |rate: f64, measured: Duration, warm_up: Duration| {
        let mut opening = Open::new(office.public, rate, CALM_CONNECTIONS, measured);
        opening.warm_up = warm_up;
        opening.spacing = Spacing::Poisson { seed: 1 };
        opening
    };
    let before = runtime.block_on(open(&calm(best / 2.0, seconds, plan.warm_up), &calls));
    let memory_before = office.process.memory("VmHWM");

    let mut rush = Open::new(office.public, best * times, CONNECTIONS, seconds);
    rush.warm_up = plan.warm_up;
    rush.patience = PATIENCE;
    rush.is_exact = false;
    // Who finds no connection stays outside, and does not hold the next ones up from there.
    rush.waiting_max = OUTSIDE;
    rush.spacing = Spacing::Poisson { seed: 2 };
    let ends = plan.warm_up + seconds;
    let (during, after) = runtime.block_on(async {
        let after = async {
            tokio::time::sleep(ends).await;
            open(&calm(best / 2.0, seconds.min(Duration::from_secs(5)), NORMAL_AFTER), &calls).await
        };
        tokio::join!(open(&rush, &calls), after)
    });
    let memory_highest = office.process.memory("VmHWM");
    if calls.with(|calls| calls.has_run_out()) {
        return Err(Fault("there were too few buyers".to_owned()));
    }
    let crowd = Crowd {
        is_squeezed,
        times,
        least,
        best,
        goodput: arrived_well(&during, seconds),
        offered: crate::round::count(during.offered()) / seconds.as_secs_f64(),
        statuses: statuses(&during),
        p99_before_s: before.latency_at(0.99).as_secs_f64(),
        p99_during_s: during.latency_at(0.99).as_secs_f64(),
        p99_after_s: after.latency_at(0.99).as_secs_f64(),
        memory_before,
        memory_highest,
    };
    tell(&format!("  {crowd:?}"));
    if let Some(example) = calls.with(Calls::take_example) {
        tell(&format!("  refused, for example: {example}"));
    }
    Ok(crowd)
}

/// Good answers a second that arrived while the crowd came.
fn arrived_well(outcome: &Outcome, seconds: Duration) -> f64 {
    let good: u32 = outcome.seconds.iter().map(|second| second.good).sum();
    f64::from(good) / seconds.as_secs_f64()
}

fn statuses(outcome: &Outcome) -> String {
    let mut words: Vec<String> =
        outcome.statuses().map(|(status, count)| format!("{count} × {status}")).collect();
    if outcome.lost() > 0 {
        words.push(format!("{} without an answer", outcome.lost()));
    }
    if outcome.not_sent > 0 {
        words.push(format!("{} never sent", outcome.not_sent));
    }
    words.join(", ")
}

fn reading(crowds: &[Crowd]) -> Reading {
    let mut table = Table::new(&[
        "came",
        "best",
        "came in a second",
        "served well",
        "of the best",
        "answers",
        "p99 before",
        "p99 meanwhile",
        "p99 after 2 s",
        "most memory before",
        "and after",
    ]);
    let mut faults = Vec::new();
    for crowd in crowds {
        let share = crowd.goodput / crowd.best;
        table.rows.push(vec![
            crowd.name(),
            PerSecond(crowd.best).to_string(),
            PerSecond(crowd.offered).to_string(),
            PerSecond(crowd.goodput).to_string(),
            format!("{share:.2}"),
            crowd.statuses.clone(),
            Seconds(crowd.p99_before_s).to_string(),
            Seconds(crowd.p99_during_s).to_string(),
            Seconds(crowd.p99_after_s).to_string(),
            Bytes(crowd.memory_before).to_string(),
            Bytes(crowd.memory_highest).to_string(),
        ]);
        faults.extend(crowd.faults());
    }
    let shares: Vec<String> = crowds
        .iter()
        .map(|crowd| format!("{:.2} at {}", crowd.goodput / crowd.best, crowd.name()))
        .collect();
    let came_less = crowds.iter().find(|crowd| crowd.offered < crowd.best * crowd.times * 0.9);
    let verdict = match came_less {
        Some(crowd) => Verdict::Void(format!("not as many came: {}", crowd.name())),
        None if faults.is_empty() => Verdict::Reached,
        None => Verdict::Missed,
    };
    let mut details = vec![format!(
        "Each arrival is another buyer, and waits {} for an answer, on up to {CONNECTIONS} \
         connections; who is turned away with 503 comes again. Squeezed: the server runs at \
         priority {NICE} beside a program that only runs, on the same core; what it has taken on \
         is then seconds of its work, so only what goes on counts.",
        Seconds(PATIENCE.as_secs_f64())
    )];
    details.extend(faults);
    Reading { measured: shares.join(", "), details, tables: vec![table], verdict }
}

impl Crowd {
    fn name(&self) -> String {
        format!("{} times{}", self.times, if self.is_squeezed { ", squeezed" } else { "" })
    }

    /// What is not as it must be.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.goodput < self.best * self.least {
            faults.push(format!(
                "At {} only {:.2} of the best goes on.",
                self.name(),
                self.goodput / self.best
            ));
        }
        // Squeezed, the requests that the server takes on at a time are seconds of its work.
        if !self.is_squeezed && self.p99_after_s > self.p99_before_s * NORMAL_TIMES + NORMAL_MORE_S
        {
            faults.push(format!(
                "After {} it is not normal within 2 s: p99 {} instead of {}.",
                self.name(),
                Seconds(self.p99_after_s),
                Seconds(self.p99_before_s)
            ));
        }
        let bound = crate::round::count(CONNECTIONS as u64) * BYTES_EACH_MAX;
        if self.memory_highest - self.memory_before > bound {
            faults.push(format!(
                "Memory grew by {}.",
                Bytes(self.memory_highest - self.memory_before)
            ));
        }
        faults
    }
}

/// A program that only runs, on the server's core.
#[derive(Debug)]
struct Competitor(Child);

impl Competitor {
    /// Starts it, and gives the server the lower priority.
    fn start(plan: &Plan, office: &Office) -> Result<Self, Fault> {
        let id = office.process.id().to_string();
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let lowered = Command::new("renice")
                .args(["-n", NICE, "-p"])
                .arg(task.file_name())
                .stdout(Stdio::null())
                .status();
            let lowered = lowered.map_err(|error| fault("renice", &error))?;
            if !lowered.success() {
                return Err(Fault("renice could not lower the server's priority".to_owned()));
            }
        }
        let mut command = plan.cores.server(std::path::Path::new("sh"));
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        command.spawn().map(Self).map_err(|error| fault("a competitor", &error))
    }
}

impl Drop for Competitor {
    fn drop(&mut self) {
        // It would run for ever.
        let _dead = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Crowd {
        Crowd {
            is_squeezed: false,
            times: 10.0,
            least: 0.7,
            best: 1_000.0,
            goodput: 750.0,
            offered: 9_900.0,
            statuses: "7500 × 201".to_owned(),
            p99_before_s: 0.02,
            p99_during_s: 1.0,
            p99_after_s: 0.03,
            memory_before: 1e8,
            memory_highest: 2e8,
        }
    }

    #[test]
    fn all_is_well_when_enough_goes_on_and_it_is_soon_over() {
        assert_eq!(reading(&[crowd()]).verdict, Verdict::Reached);
        for worse in [
            Crowd { goodput: 699.0, ..crowd() },
            Crowd { p99_after_s: 0.06, ..crowd() },
            Crowd { memory_highest: 2e9, ..crowd() },
        ] {
            let reading = reading(&[worse]);
            assert_eq!((reading.verdict, reading.details.len()), (Verdict::Missed, 2));
        }
    }

    #[test]
    fn a_crowd_that_did_not_come_shows_nothing() {
        let few = Crowd { offered: 5_000.0, ..crowd() };
        assert!(matches!(reading(&[few]).verdict, Verdict::Void(_)));
    }
}
