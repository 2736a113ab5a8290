//! How fast it is: the box office, measured beside a floor that does nothing, and the document that
//! says so. Called by `cargo xtask bench`, which builds both servers first.
//!
//! ```text
//! bench [--row NAME]… [--quick] [--check] [--rounds N] [--seconds N] [--write FILE]
//!       [--maepyo FILE] [--floor FILE] [--dir DIR]
//! ```
//!
//! In reading order: every row (`rows`); what is measured of them, by rounds of box office and floor
//! in turns (`compare`, `scenes`, `calls`, `measure`), in this process (`position`), over one long
//! fill (`fill`), by size (`growth`), with another journal (`journals`), on several nodes (`nodes`), from outside (`restart`,
//! `latency`, `streams`, `overload`, `trace`); the servers as processes (`office`, `process`,
//! `quota`, `plainly`); what follows from the numbers (`round`,
//! `series`, `verdict`) and how it is told (`report`, `figures`, `machine`).
//!
//! Deliberately absent: any knowledge of the box office beyond its HTTP contract, but for the lookup
//! of a position, which is the rules' own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to print is what it is for")]

mod calls;
mod clock;
mod compare;
mod cores;
mod disk;
mod figures;
mod fill;
mod growth;
mod hall;
mod journals;
mod latency;
mod machine;
mod measure;
mod nodes;
mod office;
mod order;
mod overload;
mod plainly;
mod position;
mod process;
mod quota;
mod report;
mod restart;
mod round;
mod rows;
mod scenes;
mod series;
mod streams;
mod tokens;
mod trace;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tempfile::TempDir;

use crate::cores::Cores;
use crate::order::Order;
use crate::report::{Kept, Reading, Report};
use crate::rows::Row;
use crate::verdict::Verdict;

/// Why there is no measurement: a sentence for whoever asked for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// What could not be done, and why.
pub(crate) fn fault(what: &str, why: &dyn std::fmt::Display) -> Fault {
    Fault(format!("{what}: {why}"))
}

/// How everything is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The box office's program.
    pub(crate) maepyo: PathBuf,
    /// The floor's.
    pub(crate) floor: PathBuf,
    /// Where temporary directories are made.
    pub(crate) dir: PathBuf,
    /// Which core does what.
    pub(crate) cores: Cores,
    /// Rounds of each server.
    pub(crate) rounds: u32,
    /// What is measured in a round.
    pub(crate) measured: Duration,
    /// What goes before it.
    pub(crate) warm_up: Duration,
    /// The address of the store, where it is not in the directory.
    pub(crate) store: Option<String>,
    /// Connections of the measured calls.
    pub(crate) connections: usize,
    /// Whether it is only to see that it works: less of everything.
    pub(crate) is_quick: bool,
}

impl Plan {
    /// A directory for one server, gone when it is dropped.
    pub(crate) fn directory(&self) -> Result<TempDir, Fault> {
        let made = tempfile::Builder::new().prefix("run-").tempdir_in(&self.dir);
        made.map_err(|error| fault("a directory", &error))
    }

    fn in_words(&self) -> String {
        let (rounds, seconds) = (self.rounds, self.measured.as_secs_f64());
        let quick = if self.is_quick { "quick: " } else { "" };
        let plural = if rounds == 1 { "" } else { "s" };
        format!("{quick}{rounds} round{plural} of {seconds} s")
    }
}

/// Says how far it is.
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let own = std::env::current_exe().unwrap_or_default();
    let programs = own.parent().unwrap_or(Path::new("."));
    match order::read(&words, programs).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Fault(sentence)) => {
            eprintln!("{sentence}");
            ExitCode::from(2)
        }
    }
}

/// Measures what was asked for; whether `--check` may pass.
fn run(order: Order) -> Result<bool, Fault> {
    let cores = Cores::share_out();
    std::fs::create_dir_all(&order.dir).map_err(|error| fault("the directory", &error))?;
    let dir = order.dir.canonicalize().map_err(|error| fault("the directory", &error))?;
    if machine::is_in_memory(&dir) {
        let dir = dir.display();
        return Err(Fault(format!("{dir} is in memory, where nothing is ever durable.")));
    }
    let machine = machine::describe(&dir, cores);
    machine.iter().for_each(|line| tell(line));
    let plan = Plan {
        maepyo: order.maepyo,
        floor: order.floor,
        cores,
        rounds: order.rounds,
        measured: order.measured,
        warm_up: if order.is_quick { Duration::from_millis(500) } else { Duration::from_secs(2) },
        store: None,
        connections: 256,
        is_quick: order.is_quick,
        dir: dir.clone(),
    };
    let kept_at = dir.join(if plan.is_quick { "quick.json" } else { "measured.json" });
    let mut report = Report::load(&kept_at, &machine);
    let mut is_sound = true;
    for row in order.rows {
        tell(&format!("\n{}: {}", row.name, row.what));
        let reading = measure(&plan, row);
        let reading = match reading {
            Ok(reading) => reading,
            Err(Fault(why)) => Reading {
                measured: String::new(),
                details: Vec::new(),
                tables: Vec::new(),
                verdict: Verdict::Void(why),
            },
        };
        tell(&format!("  {} (must: {}): {}", reading.measured, row.must, reading.verdict));
        reading.details.iter().for_each(|detail| tell(&format!("  {detail}")));
        for table in &reading.tables {
            tell(&format!("  {}", table.head.join(" | ")));
            table.rows.iter().for_each(|row| tell(&format!("  {}", row.join(" | "))));
        }
        is_sound &= reading.verdict.is_sound();
        let (day, rounds) = (clock::today(), plan.in_words());
        report.kept.insert(row.name.to_owned(), Kept { day, rounds, reading });
        report.save(&kept_at).map_err(|error| fault("what was measured", &error))?;
    }
    if let Some(document) = order.write {
        write(&report, &document)?;
    }
    Ok(is_sound || !order.is_check)
}

fn measure(plan: &Plan, row: &Row) -> Result<Reading, Fault> {
    match row.name {
        "hold" | "status" | "join" | "pay" | "seats" => compare::measure(plan, row.name),
        "position" => position::measure(plan),
        "memory" => fill::memory(plan),
        "restart" => restart::measure(plan),
        "latency" => latency::measure(plan),
        "line" => fill::line(plan),
        "hall" => growth::hall(plan),
        "sales" => growth::sales(plan),
        "overload" => overload::measure(plan),
        "trace" => trace::measure(plan),
        "streams" => streams::measure(plan),
        "postgres" => journals::measure(plan),
        "nodes" => nodes::measure(plan),
        other => Err(Fault(format!("nothing measures `{other}`"))),
    }
}

/// Writes what was measured into the document.
fn write(report: &Report, document: &Path) -> Result<(), Fault> {
    let text = std::fs::read_to_string(document).map_err(|error| fault("the document", &error))?;
    let text = report::replaced(&text, &report.markdown())
        .ok_or_else(|| Fault(format!("{} has lost its marks.", document.display())))?;
    std::fs::write(document, text).map_err(|error| fault("the document", &error))
}
