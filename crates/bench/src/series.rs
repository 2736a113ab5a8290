//! Several rounds of one measurement: median, spread, and ratios of neighbours.

use serde::{Deserialize, Serialize};

/// What several rounds gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// The middle one; of an even number the mean of the two in the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Series {
    /// Sums rounds up; none when there was none, or one gave no number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let (half, even) = (values.len() / 2, values.len().is_multiple_of(2));
        let median =
            if even { f64::midpoint(values[half - 1], values[half]) } else { values[half] };
        Some(Self { median, min: values[0], max: values[values.len() - 1] })
    }

    /// How far apart the rounds lie, as a factor.
    pub(crate) fn swing(&self) -> f64 {
        self.max / self.min
    }
}

/// What each round of the product is of the round of the floor beside it. They alternate, so that
/// what slows the machine down for a while slows both.
pub(crate) fn ratios(product: &[f64], floor: &[f64]) -> Vec<f64> {
    product.iter().zip(floor).map(|(product, floor)| product / floor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_around_it() {
        let series = |values: &[f64]| Series::of(values.iter().copied());
        let of = |median, min, max| Some(Series { median, min, max });
        assert_eq!(series(&[3.0, 1.0, 2.0]), of(2.0, 1.0, 3.0));
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]), of(2.5, 1.0, 4.0));
        assert_eq!(series(&[7.0]), of(7.0, 7.0, 7.0));
        assert_eq!(series(&[]), None);
        assert_eq!(series(&[1.0, f64::NAN]), None);
        assert_eq!(series(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        let series = Series::of([100.0, 98.0, 20.0]).unwrap();
        assert!((series.median - 98.0).abs() < 1e-9);
        assert!((series.swing() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_of_neighbours() {
        assert_eq!(ratios(&[50.0, 20.0], &[100.0, 40.0]), [0.5, 0.5], "both were slow at once");
    }
}
