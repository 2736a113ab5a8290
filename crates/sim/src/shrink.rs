//! Makes a failing run small: the same check must still fail, with less of everything.

use std::collections::BTreeSet;

use crate::trial::{Trial, Trouble};
use crate::{Failure, run};

/// Runs that a shrinking may take.
const RUNS_MAX: u32 = 400;
/// Steps that it may take in all its runs: a crowd is not made as small as a handful of people.
const STEPS_MAX: u64 = 30_000_000;

/// The smallest failing run that was found, and its failure.
#[must_use]
pub fn shrink(trial: &Trial, failure: &Failure) -> (Trial, Failure) {
    let mut found = Found {
        trial: Trial { steps: trial.steps.min(failure.step), ..trial.clone() },
        failure: failure.clone(),
        runs: 0,
        steps: 0,
    };
    if !found.keeps(found.trial.clone()) {
        // The failure came after the main part, and needs all of it.
        found.trial = trial.clone();
    }
    loop {
        let before = found.trial.clone();
        found.fewer_steps();
        found.fewer_troubles();
        found.fewer_buyers();
        if found.trial == before || found.is_tired() {
            return (found.trial, found.failure);
        }
    }
}

struct Found {
    trial: Trial,
    failure: Failure,
    runs: u32,
    steps: u64,
}

impl Found {
    /// Whether a smaller run fails in the same way; if so, it is the one from here on.
    fn keeps(&mut self, trial: Trial) -> bool {
        if self.is_tired() {
            return false;
        }
        self.runs += 1;
        match run(&trial) {
            Err(failure) => {
                self.steps += failure.step;
                let same = failure.check == self.failure.check;
                if same {
                    (self.trial, self.failure) = (trial, failure);
                }
                same
            }
            Ok(report) => {
                self.steps += report.counts.of("run", "steps");
                false
            }
        }
    }

    fn is_tired(&self) -> bool {
        self.runs >= RUNS_MAX || self.steps >= STEPS_MAX
    }

    fn fewer_steps(&mut self) {
        let (mut least, mut most) = (0, self.trial.steps);
        while least < most {
            let middle = least.midpoint(most);
            if self.keeps(Trial { steps: middle, ..self.trial.clone() }) {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
    }

    fn fewer_troubles(&mut self) {
        for trouble in Trouble::ALL {
            if !self.trial.without.contains(trouble) {
                let mut fewer = self.trial.clone();
                fewer.without.push(*trouble);
                self.keeps(fewer);
            }
        }
    }

    fn fewer_buyers(&mut self) {
        let (mut least, mut most) = (0, self.trial.buyers.min(10_000));
        while least < most {
            let middle = least.midpoint(most);
            if self.keeps(Trial { buyers: middle, ..self.trial.clone() }) {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
        let mut share = most.div_ceil(2);
        while share > 0 {
            for from in (0..most).step_by(share as usize) {
                let more: BTreeSet<u32> = (from..(from + share).min(most)).collect();
                let absent: BTreeSet<u32> = self.trial.absent.iter().copied().collect();
                if !more.is_subset(&absent) {
                    let absent = absent.union(&more).copied().collect();
                    self.keeps(Trial { absent, ..self.trial.clone() });
                }
            }
            share /= 2;
        }
    }
}
