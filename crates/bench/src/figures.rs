//! Numbers as people read them: three digits and a unit.

use std::fmt;

/// Calls in a second.
pub(crate) struct PerSecond(pub(crate) f64);

/// Seconds, told in the unit that fits.
pub(crate) struct Seconds(pub(crate) f64);

/// Bytes, told in the unit that fits.
pub(crate) struct Bytes(pub(crate) f64);

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tens of thousands of calls are not known to the last one.
        let rounded = if self.0 >= 10_000.0 { (self.0 / 100.0).round() * 100.0 } else { self.0 };
        write!(f, "{}/s", grouped(rounded))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, &[(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")])
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")];
        scaled(f, self.0, &units)
    }
}

/// In the largest unit of which it is at least one.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, units: &[(f64, &str)]) -> fmt::Result {
    let fitting = units.iter().rev().find(|(size, _)| value >= *size * 0.9995);
    let (size, unit) = fitting.unwrap_or(&units[0]);
    let value = value / size;
    let digits = if value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    write!(f, "{value:.digits$} {unit}")
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < -0.5 { format!("-{text}") } else { text }
}

/// A whole number with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    grouped(value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_three_digits() {
        let table = [
            (Seconds(0.000_000_046_2).to_string(), "46.2 ns"),
            (Seconds(0.000_009_87).to_string(), "9.87 µs"),
            (Seconds(0.004_5).to_string(), "4.50 ms"),
            (Seconds(0.123_4).to_string(), "123 ms"),
            (Seconds(0.999_99).to_string(), "1.00 s"),
            (Seconds(12.34).to_string(), "12.3 s"),
            (Seconds(0.0).to_string(), "0.00 ns"),
            (Bytes(31.4).to_string(), "31.4 B"),
            (Bytes(3_670_016.0).to_string(), "3.50 MiB"),
            (PerSecond(48_312.0).to_string(), "48,300/s"),
            (PerSecond(712.0).to_string(), "712/s"),
            (PerSecond(1_234_567.0).to_string(), "1,234,600/s"),
            (count(10_000_000), "10,000,000"),
            (count(0), "0"),
            (grouped(-1_234.0), "-1,234"),
        ];
        for (told, expected) in table {
            assert_eq!(told, expected);
        }
    }
}
