//! The simulator's command line: many seeds, or the one run that a failure names.
//!
//!     sim --seeds A..B [--steps N] [--threads N] [--first] [--without … | --only …]
//!     sim --seed N [--steps N] [--buyers N] [--absent N,N..N] [--verbose]
//!         [--without WORD,WORD | --only WORD,WORD]
//!
//! Ends with what happened, counted, and fails when a run failed; the first that did is made small,
//! told with its story, and printed as it is kept in `defects.toml`. With `--first` it ends at the
//! first failure and only names it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to print is what it is for")]

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Counts, Failure, Trial, run, shrink, tell};

/// Lines of a story that are printed without `--verbose`.
const STORY_MAX: usize = 60;

/// What the caller asked for.
#[derive(Debug)]
struct Order {
    seeds: Range<u64>,
    trial: Trial,
    threads: usize,
    verbose: bool,
    first: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let order = match parse(&words) {
        Ok(order) => order,
        Err(sentence) => {
            eprintln!("{sentence} The head of the simulator's main.rs says how it is called.");
            return ExitCode::from(2);
        }
    };
    // A build whose panics abort cannot look for the cause; it can say which run it was.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if cfg!(panic = "abort") {
            RUNNING.with_borrow(|trial| println!("A panic in: sim {trial}"));
            print(panic);
        }
    }));
    let found = all(&order);
    println!("{}", found.counts);
    let Some((trial, failure)) = found.failures.first() else {
        println!("No failure in seeds {}..{}.", order.seeds.start, order.seeds.end);
        return ExitCode::SUCCESS;
    };
    println!(
        "{} of the runs failed. The first: {}",
        found.failures.len(),
        sentence(trial, failure)
    );
    if !order.first {
        report(trial, failure, order.verbose);
    }
    ExitCode::FAILURE
}

std::thread_local! {
    static RUNNING: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// What came of many runs.
#[derive(Debug, Default)]
struct Found {
    counts: Counts,
    /// By seed.
    failures: Vec<(Trial, Failure)>,
}

/// Runs every seed, on several threads, each run on one.
fn all(order: &Order) -> Found {
    let next = AtomicU64::new(order.seeds.start);
    let found = Mutex::new(Found::default());
    let one_after_the_other = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= order.seeds.end {
                return;
            }
            let trial = Trial { seed, ..order.trial.clone() };
            RUNNING.set(trial.to_string());
            let result = run(&trial);
            let mut found = found.lock().expect("no thread has panicked");
            match result {
                Ok(report) => found.counts.merge(&report.counts),
                Err(failure) => {
                    found.failures.push((trial, failure));
                    if order.first {
                        next.store(order.seeds.end, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..order.threads {
            scope.spawn(one_after_the_other);
        }
    });
    let mut found = found.into_inner().expect("no thread has panicked");
    found.failures.sort_by_key(|(trial, _)| trial.seed);
    found
}

fn sentence(trial: &Trial, failure: &Failure) -> String {
    let Failure { check, what, step, .. } = failure;
    format!("seed {}, step {step}, {check}: {what}", trial.seed)
}

/// Makes a failure small and tells its story.
fn report(trial: &Trial, failure: &Failure, verbose: bool) {
    let (small, failure) = shrink(trial, failure);
    println!("\nThe smallest run that fails so: {}", sentence(&small, &failure));
    if let Err(Failure { story, .. }) = tell(&small) {
        let skipped = if verbose { 0 } else { story.len().saturating_sub(STORY_MAX) };
        println!("its story, {skipped} lines left out (`--verbose` tells them too):");
        for line in &story[skipped..] {
            println!("{line}");
        }
    }
    println!("\nTo see it again: sim {small}");
    println!("To keep it, once it is mended, with its story, in crates/sim/defects.toml:\n");
    println!("[[defect]]");
    println!("name = \"\"");
    println!("story = \"\"");
    println!("found_as = [\"{}\"]", failure.check);
    println!("kept = \"{small}\"");
    println!("[[defect.change]] # The mend, undone.");
    println!("file = \"\"");
    println!("text = \"\"");
    println!("replacement = \"\"");
}

fn parse(words: &[String]) -> Result<Order, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut order =
        Order { seeds: 0..0, trial: Trial::of(0), threads, verbose: false, first: false };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--verbose" {
            order.verbose = true;
            continue;
        }
        if word == "--first" {
            order.first = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value."))?;
        match word {
            "--seeds" => order.seeds = range(value)?,
            "--threads" => {
                let threads = value.parse().ok().filter(|threads| *threads > 0);
                order.threads = threads.ok_or_else(|| format!("`{value}` threads run nothing."))?;
            }
            _ => order.trial.set(word, value)?,
        }
        if word == "--seed" {
            order.seeds = order.trial.seed..order.trial.seed + 1;
        }
    }
    match order.seeds.is_empty() {
        true => Err("No seed was named: `--seeds A..B` or `--seed N`.".to_owned()),
        false => Ok(order),
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends =
        text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.map(|(from, to)| from..to).ok_or_else(|| format!("`{text}` is no range like 0..100."))
}
