//! An axis: from where to where, and where it has numbers.

/// Where values lie, from the ground (0) to the top (1).
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    ticks: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// From one power of ten to another, by their exponents.
    Logarithmic(f64, f64),
}

impl Axis {
    /// From 0 to something round that is not below `most`.
    pub(super) fn linear(most: f64) -> Self {
        let most = most.max(1.0);
        let step = round_step(most / 4.0).max(1.0);
        let steps = (most / step).ceil();
        let ticks = (0_u32..=20).map(|number| f64::from(number) * step);
        let top = steps * step;
        Self { scale: Scale::Linear(top), ticks: ticks.take_while(|at| *at <= top).collect() }
    }

    /// From a tenth to a power of ten that is not below `most`.
    pub(super) fn logarithmic(most: f64) -> Self {
        let top = most.max(10.0).log10().ceil();
        let exponents = (-1_i32..=12).map(f64::from).take_while(|exponent| *exponent <= top);
        let ticks = exponents.map(|exponent| 10_f64.powf(exponent)).collect();
        Self { scale: Scale::Logarithmic(-1.0, top), ticks }
    }

    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// Where a value lies.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear(top) => value / top,
            Scale::Logarithmic(ground, top) => {
                (value.max(f64::MIN_POSITIVE).log10() - ground) / (top - ground)
            }
        };
        share.clamp(0.0, 1.0)
    }
}

/// The next of 1, 2, 5, 10, 20, … that is not below.
pub(super) fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A number at an axis: short, and with `k` for thousands where there are many.
pub(super) fn label(number: f64) -> String {
    match number {
        10_000.0.. => format!("{}k", number / 1_000.0),
        _ => format!("{}", (number * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        let table = [(0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (120.0, 200.0)];
        for (least, step) in table {
            assert!((round_step(least) - step).abs() < 1e-9, "{least}: {}", round_step(least));
        }
    }

    #[test]
    fn everything_has_a_place() {
        for most in [0.0, 1.0, 3.0, 75.0, 1_000.0, 123_456.0] {
            let axis = Axis::linear(most);
            assert!((3..=6).contains(&axis.ticks().len()) || most < 4.0, "{most}: {axis:?}");
            assert!(axis.share(most) <= 1.0 && axis.share(0.0) == 0.0);
            assert!((axis.share(*axis.ticks().last().unwrap()) - 1.0).abs() < 1e-9);
        }
        for most in [0.0, 0.5, 12.0, 20_000.0] {
            let axis = Axis::logarithmic(most);
            assert!((axis.share(*axis.ticks().last().unwrap()) - 1.0).abs() < 1e-9, "{axis:?}");
            assert_eq!(axis.share(0.0), 0.0);
        }
    }

    #[test]
    fn labels_are_short() {
        let table =
            [(0.1, "0.1"), (1.0, "1"), (2_500.0, "2500"), (20_000.0, "20k"), (12_500.0, "12.5k")];
        for (number, text) in table {
            assert_eq!(label(number), text);
        }
    }
}
