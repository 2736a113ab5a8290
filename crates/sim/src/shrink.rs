//! Makes a failing run small: the same check must still fail, with less of everything.

use std::collections::BTreeSet;

use crate::trial::{Trial, Trouble};
use crate::{Failure, run};

/// Runs that a shrinking may take.
const RUNS_MAX: u32 = 400;

/// The smallest failing run that was found, and its failure.
#[must_use]
pub fn shrink(trial: &Trial, failure: &Failure) -> (Trial, Failure) {
    let mut found = Found {
        trial: Trial { steps: trial.steps.min(failure.step), ..trial.clone() },
        failure: failure.clone(),
        runs: 0,
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
        if found.trial == before || found.runs >= RUNS_MAX {
            return (found.trial, found.failure);
        }
    }
}

struct Found {
    trial: Trial,
    failure: Failure,
    runs: u32,
}

impl Found {
    /// Whether a smaller run fails in the same way; if so, it is the one from here on.
    fn keeps(&mut self, trial: Trial) -> bool {
        self.runs += 1;
        if self.runs > RUNS_MAX {
            return false;
        }
        match run(&trial) {
            Err(failure) if failure.check == self.failure.check => {
                self.failure = failure;
                self.trial = trial;
                true
            }
            Ok(_) | Err(_) => false,
        }
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
        let (mut least, mut most) = (0, self.trial.buyers.min(4_000));
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
