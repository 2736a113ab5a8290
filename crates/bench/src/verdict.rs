//! Whether a row is reached: what was measured against what it must be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::round::Round;
use crate::series::{Series, ratios};

/// A floor whose rounds lie further apart than this makes no measure.
pub(crate) const FLOOR_SWING_MAX: f64 = 1.5;

/// What a row comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It is what it must be, or better.
    Reached,
    /// It is not.
    Missed,
    /// The machine was too restless to say.
    Noisy(String),
    /// It was not measured as it must be.
    Void(String),
    /// There is nothing to measure.
    Absent(String),
    /// Nothing is asked of it: it is shown.
    Shown,
}

impl Verdict {
    /// Whether `--check` may pass with it.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Reached | Self::Absent(_) | Self::Shown => true,
            Self::Missed | Self::Noisy(_) | Self::Void(_) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => write!(f, "reached"),
            Self::Missed => write!(f, "not reached"),
            Self::Noisy(why) => write!(f, "noisy: {why}"),
            Self::Void(why) => write!(f, "void: {why}"),
            Self::Absent(why) => write!(f, "{why}"),
            Self::Shown => Ok(()),
        }
    }
}

/// Rounds of the product and of the floor, in turns.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// The product's.
    pub(crate) product: Vec<Round>,
    /// The floor's, each beside the product's of the same number.
    pub(crate) floor: Vec<Round>,
}

impl Pairs {
    /// The ratios of the rates.
    pub(crate) fn ratio(&self) -> Option<Series> {
        let rates = |rounds: &[Round]| rounds.iter().map(Round::rate).collect::<Vec<_>>();
        Series::of(ratios(&rates(&self.product), &rates(&self.floor)))
    }

    /// Whether the ratio is at least `least`, if the rounds allow to say so.
    pub(crate) fn verdict(&self, least: f64) -> Verdict {
        if let Some(fault) = self.fault() {
            return Verdict::Void(fault);
        }
        let (Some(ratio), Some(floor)) =
            (self.ratio(), Series::of(self.floor.iter().map(Round::rate)))
        else {
            return Verdict::Void("there was no whole round".to_owned());
        };
        if floor.swing() > FLOOR_SWING_MAX {
            return Verdict::Noisy(format!("the floor itself swings by {:.2}", floor.swing()));
        }
        if let Some(round) = self.floor.iter().find(|round| round.is_disturbed()) {
            let (server, load) = (round.server_busy() * 100.0, round.load_busy() * 100.0);
            return Verdict::Noisy(format!(
                "somebody else was at work: the floor had {server:.0} % of its core, its load {load:.0} %"
            ));
        }
        if ratio.median < least {
            return Verdict::Missed;
        }
        if self.floor.iter().any(Round::is_bound_by_load) {
            // A floor that could have done more flatters the product; it never harms it.
            return Verdict::Void("the load could not keep the floor busy".to_owned());
        }
        Verdict::Reached
    }

    fn fault(&self) -> Option<String> {
        let product = self.product.iter().find_map(Round::fault);
        product.or_else(|| {
            self.floor.iter().find_map(Round::fault).map(|why| format!("the floor: {why}"))
        })
    }
}

/// Whether a value is at most what it may be.
pub(crate) fn at_most(value: f64, most: f64) -> Verdict {
    if value <= most { Verdict::Reached } else { Verdict::Missed }
}

/// Both must hold; the worse one is told.
pub(crate) fn both(one: Verdict, other: Verdict) -> Verdict {
    if one.is_sound() { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rates: &[u64]) -> Vec<Round> {
        let round = |rate: &u64| Round {
            answered: *rate,
            seconds: 1.0,
            server_cpu_s: 1.0,
            load_cpu_s: 0.8,
            ..Round::default()
        };
        rates.iter().map(round).collect()
    }

    fn verdict(product: &[u64], floor: &[u64]) -> Verdict {
        Pairs { product: rounds(product), floor: rounds(floor) }.verdict(0.8)
    }

    #[test]
    fn a_row_is_reached_by_the_median_of_its_ratios() {
        assert_eq!(verdict(&[80, 79, 90], &[100, 100, 100]), Verdict::Reached);
        assert_eq!(verdict(&[80, 79, 79], &[100, 100, 100]), Verdict::Missed);
        assert_eq!(verdict(&[80, 64, 72], &[100, 80, 90]), Verdict::Reached, "of neighbours");
    }

    #[test]
    fn a_restless_floor_makes_no_verdict() {
        assert!(matches!(verdict(&[100, 100], &[100, 151]), Verdict::Noisy(_)));
        assert_eq!(verdict(&[100, 120], &[100, 149]), Verdict::Reached);
        assert!(matches!(verdict(&[10, 10], &[100, 151]), Verdict::Noisy(_)), "nor a bad one");
    }

    #[test]
    fn a_floor_that_did_not_get_its_core_makes_no_verdict() {
        let mut floor = rounds(&[100]);
        (floor[0].server_cpu_s, floor[0].load_cpu_s) = (0.4, 0.3);
        let pairs = Pairs { product: rounds(&[90]), floor };
        assert!(matches!(pairs.verdict(0.8), Verdict::Noisy(_)));
    }

    #[test]
    fn a_floor_that_waited_for_its_load_flatters() {
        let mut floor = rounds(&[100]);
        floor[0].load_cpu_s = 0.99;
        floor[0].server_cpu_s = 0.6;
        let pairs = |product| Pairs { product: rounds(product), floor: floor.clone() };
        assert!(matches!(pairs(&[90]).verdict(0.8), Verdict::Void(_)));
        assert_eq!(pairs(&[70]).verdict(0.8), Verdict::Missed, "it would be missed by more");
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        assert!(matches!(verdict(&[], &[]), Verdict::Void(_)));
        let mut product = rounds(&[100]);
        product[0].others = 1;
        let pairs = Pairs { product, floor: rounds(&[100]) };
        assert!(matches!(pairs.verdict(0.8), Verdict::Void(_)));
        assert!(!pairs.verdict(0.8).is_sound());
    }

    #[test]
    fn of_two_verdicts_the_worse_one_counts() {
        assert_eq!(both(Verdict::Reached, Verdict::Missed), Verdict::Missed);
        assert_eq!(both(Verdict::Missed, Verdict::Reached), Verdict::Missed);
        assert_eq!(both(at_most(1.0, 1.0), at_most(0.5, 1.0)), Verdict::Reached);
        assert_eq!(at_most(1.01, 1.0), Verdict::Missed);
        assert_eq!(at_most(f64::NAN, 1.0), Verdict::Missed, "no number is not enough");
    }
}
