//! One round: what was asked of a server for a while, and what came back.

/// Answers other than the wanted one, as a share of all, up to which a round counts.
const OTHERS_MAX: f64 = 0.001;
/// The load's core counts as full from this share on.
const LOAD_FULL: f64 = 0.97;
/// The server's core counts as full from this share on.
const SERVER_FULL: f64 = 0.93;
/// And as taken by somebody else below this one.
const DISTURBED: f64 = 0.90;

/// What one round of one server gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Round {
    /// Answers as they were wanted.
    pub(crate) answered: u64,
    /// Other answers, and requests that got none.
    pub(crate) others: u64,
    /// What the first of them was.
    pub(crate) example: Option<String>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// The latency that half of them did not pass, in seconds.
    pub(crate) p50_s: f64,
    /// And 99 of a hundred.
    pub(crate) p99_s: f64,
    /// And 999 of a thousand.
    pub(crate) p999_s: f64,
    /// And none.
    pub(crate) worst_s: f64,
    /// Processor time that the server took, in seconds, for everything that went on.
    pub(crate) server_cpu_s: f64,
    /// Processor time that the load took.
    pub(crate) load_cpu_s: f64,
    /// Durable commits meanwhile, if the server makes any.
    pub(crate) commits: Option<u64>,
    /// Writes that were answered meanwhile, those of the other calls too.
    pub(crate) writes: u64,
    /// What went on beside it too slowly, if anything did.
    pub(crate) held_up: Option<String>,
}

impl Round {
    /// Wanted answers in a second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.answered) / self.seconds
    }

    /// The server's processor time for each wanted answer, that of the other calls included.
    pub(crate) fn cpu_per_call_s(&self) -> f64 {
        self.server_cpu_s / count(self.answered)
    }

    /// Answered writes in one durable commit.
    pub(crate) fn writes_per_commit(&self) -> Option<f64> {
        self.commits
            .filter(|commits| *commits > 0)
            .map(|commits| count(self.writes) / count(commits))
    }

    /// How much of the server's core was in use.
    pub(crate) fn server_busy(&self) -> f64 {
        self.server_cpu_s / self.seconds
    }

    /// How much of the load's core was in use.
    pub(crate) fn load_busy(&self) -> f64 {
        self.load_cpu_s / self.seconds
    }

    /// Why this round says nothing, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        let all = self.answered + self.others;
        if self.answered == 0 {
            let example = self.example.as_deref().unwrap_or("no answer at all");
            return Some(format!("nothing was answered as wanted: {example}"));
        }
        if count(self.others) > count(all) * OTHERS_MAX {
            let example = self.example.as_deref().unwrap_or("no answer");
            return Some(format!("{} of {all} were not as wanted: {example}", self.others));
        }
        if let Some(held_up) = &self.held_up {
            return Some(held_up.clone());
        }
        if self.writes > 0 && self.commits == Some(0) {
            return Some("writes were answered, and nothing was committed".to_owned());
        }
        None
    }

    /// Whether the load was what ended it: then the server could have done more.
    pub(crate) fn is_bound_by_load(&self) -> bool {
        self.load_busy() >= LOAD_FULL && self.server_busy() < SERVER_FULL
    }

    /// Whether neither server nor load had a core's worth of work, though one of the two always has
    /// in a closed loop that waits for no disk: then something else took their time.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.load_busy() < DISTURBED && self.server_busy() < DISTURBED
    }
}

/// A count as something to divide.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round() -> Round {
        Round {
            answered: 30_000,
            others: 30,
            seconds: 3.0,
            server_cpu_s: 2.97,
            load_cpu_s: 2.4,
            commits: Some(300),
            writes: 30_000,
            ..Round::default()
        }
    }

    #[test]
    fn a_round_is_told_as_rates() {
        let round = round();
        assert!((round.rate() - 10_000.0).abs() < 1e-6);
        assert!((round.cpu_per_call_s() - 99e-6).abs() < 1e-9);
        assert_eq!(round.writes_per_commit(), Some(100.0));
        assert_eq!(Round { commits: None, ..round }.writes_per_commit(), None);
    }

    #[test]
    fn a_round_with_too_many_other_answers_says_nothing() {
        assert_eq!(round().fault(), None);
        assert!(Round { others: 31, ..round() }.fault().is_some(), "over one in a thousand");
        assert!(Round { answered: 0, ..round() }.fault().is_some());
    }

    #[test]
    fn writes_without_a_commit_are_a_fault() {
        assert!(Round { commits: Some(0), ..round() }.fault().is_some());
        assert_eq!(Round { commits: Some(0), writes: 0, ..round() }.fault(), None);
        assert_eq!(Round { commits: None, ..round() }.fault(), None, "the floor makes none");
    }

    #[test]
    fn a_load_that_is_full_while_the_server_is_not_is_noticed() {
        assert!(!round().is_bound_by_load());
        let hurried = Round { load_cpu_s: 2.98, server_cpu_s: 2.5, ..round() };
        assert!(hurried.is_bound_by_load());
        assert!(!Round { server_cpu_s: 2.99, ..hurried }.is_bound_by_load(), "both are full");
    }
}
