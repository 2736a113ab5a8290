//! One search: the simulator is built from the copy and runs its seeds until one fails.

use std::ops::Range;
use std::process::Output;
use std::time::{Duration, Instant};

use super::copy::Copy;
use super::list::Defect;
use crate::sim;

/// Above the lines of [`Verdict`].
pub(super) const HEADING: &str = "\
defect                                                   seed  found as       build s  search s  kept run finds it";

/// Where and how defects are looked for.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) copy: &'a Copy,
    pub(super) seeds: Range<u64>,
}

/// What came of a search.
#[derive(Debug)]
pub(super) struct Verdict {
    /// For the table.
    pub(super) line: String,
    /// By a check that fits.
    pub(super) found: bool,
    /// A run to be kept, where none is that shows the defect.
    pub(super) keep: Option<String>,
}

/// A failing run as the simulator names it.
#[derive(Debug, PartialEq)]
struct Failing {
    seed: u64,
    check: String,
}

impl Search<'_> {
    /// Runs the seeds of a sound tree.
    pub(super) fn finds_nothing(&self) -> Result<(), String> {
        let said = self.simulate(&["--seeds", &self.seeds(), "--first"])?;
        match failing(&said)? {
            None => Ok(()),
            Some(Failing { seed, check }) => {
                Err(format!("The sound tree fails at seed {seed}: {check}."))
            }
        }
    }

    /// Looks for a defect that has been put in.
    pub(super) fn look_for(&self, defect: &Defect) -> Result<Verdict, String> {
        let fits = |check: &String| defect.found_as.contains(check);
        // One run of no length builds it.
        let (built, build) = timed(|| self.simulate(&["--seed", "0", "--steps", "0", "--first"]));
        built?;
        let (said, search) = timed(|| self.simulate(&["--seeds", &self.seeds(), "--first"]));
        let first = failing(&said?)?;
        let kept = match &defect.kept {
            None => None,
            Some(kept) => {
                let words: Vec<&str> = kept.split_whitespace().chain(["--first"]).collect();
                failing(&self.simulate(&words)?)?.filter(|failing| fits(&failing.check))
            }
        };
        let found = match &first {
            Some(first) => fits(&first.check),
            None => kept.is_some(),
        };
        let keep = match (&first, &kept) {
            (Some(first), None) if found => Some(self.smallest(first.seed)?),
            (Some(_) | None, _) => None,
        };
        let (seed, check) = match &first {
            Some(Failing { seed, check }) => (seed.to_string(), check.as_str()),
            None if found => ("-".to_owned(), "kept run"),
            None => ("-".to_owned(), "not found"),
        };
        let line = format!(
            "{:<56} {seed:>4}  {check:<13} {:>8.1} {:>9.1}  {}",
            defect.name,
            build.as_secs_f64(),
            search.as_secs_f64(),
            if kept.is_some() { "yes" } else { "no" },
        );
        let line = if found || first.is_none() {
            line
        } else {
            format!("{line}; it should be one of {:?}", defect.found_as)
        };
        Ok(Verdict { line, found, keep })
    }

    /// The smallest run that fails like the one of this seed.
    fn smallest(&self, seed: u64) -> Result<String, String> {
        let said = self.simulate(&["--seed", &seed.to_string()])?;
        let line = said.lines().find_map(|line| line.strip_prefix("To see it again: sim "));
        Ok(line.ok_or("The simulator names no smallest run.")?.to_owned())
    }

    fn seeds(&self) -> String {
        format!("{}..{}", self.seeds.start, self.seeds.end)
    }

    /// What the simulator of the copy says to these words, whether or not a run fails.
    fn simulate(&self, words: &[&str]) -> Result<String, String> {
        let call = [&sim::words()[..], words].concat();
        let ran = self.copy.command(&call).output();
        let Output { status, stdout, stderr } =
            ran.map_err(|error| format!("The simulator could not be run: {error}."))?;
        match status.code() {
            Some(0 | 1) if !stdout.is_empty() => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            _ => Err(format!("It could not be built: {}", String::from_utf8_lossy(&stderr))),
        }
    }
}

/// The failing run of the lowest seed that the simulator names, if one failed.
fn failing(said: &str) -> Result<Option<Failing>, String> {
    if said.lines().any(|line| line.starts_with("No failure in seeds ")) {
        return Ok(None);
    }
    let read = said.lines().find_map(|line| {
        let (_, named) = line.split_once("The first: seed ")?;
        let (seed, rest) = named.split_once(", step ")?;
        let (_, rest) = rest.split_once(", ")?;
        let (check, _) = rest.split_once(": ")?;
        Some(Failing { seed: seed.parse().ok()?, check: check.to_owned() })
    });
    read.map(Some).ok_or_else(|| format!("The simulator says neither yes nor no: {said}"))
}

#[expect(clippy::disallowed_methods, reason = "how long a search takes is only ever printed")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_verdict_is_read() {
        let said = "run: seeds 3\n2 of the runs failed. The first: seed 17, step 43, kept out: \
                    Tally { free: 1 }, limits: none\n";
        let failing_run = Failing { seed: 17, check: "kept out".to_owned() };
        assert_eq!(failing(said), Ok(Some(failing_run)));
        assert_eq!(failing("run: seeds 3\nNo failure in seeds 0..3."), Ok(None));
        assert!(failing("error: it broke off").is_err());
    }
}
