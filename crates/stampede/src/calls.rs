//! The calls that buyers make, and how each was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::wire::Lost;

/// One of the buyers' calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Join,
    Renew,
    Status,
    Seats,
    Hold,
    GiveBack,
    Look,
    Pay,
    AskPayment,
    Leave,
    Receipt,
}

impl Call {
    const ALL: [Self; 11] = [
        Self::Join,
        Self::Renew,
        Self::Status,
        Self::Seats,
        Self::Hold,
        Self::GiveBack,
        Self::Look,
        Self::Pay,
        Self::AskPayment,
        Self::Leave,
        Self::Receipt,
    ];

    /// What it is for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Join => "join the line",
            Self::Renew => "renew the token",
            Self::Status => "where am I",
            Self::Seats => "list seats",
            Self::Hold => "hold seats",
            Self::GiveBack => "give seats back",
            Self::Look => "look at the hold",
            Self::Pay => "pay",
            Self::AskPayment => "ask for the payment",
            Self::Leave => "leave",
            Self::Receipt => "ask again at the end",
        }
    }
}

/// How all calls were answered.
#[derive(Debug)]
pub(crate) struct Tallies {
    calls: Vec<Tally>,
    second: Second,
}

#[derive(Debug)]
struct Tally {
    good: u64,
    /// By the problem's code, or by the status where there is none, or by why there was no answer.
    refused: BTreeMap<Box<str>, u64>,
    latency: Histogram<u64>,
}

/// What was answered since the last look: a second's worth. Its latency leaves payments out, for
/// those take as long as the provider does, and would hide everything else.
#[derive(Debug)]
struct Second {
    answers: u64,
    failed: u64,
    latency: Histogram<u64>,
}

/// How one call was answered. Latency counts from the instant at which a buyer wanted to ask, so it
/// includes waiting for one of the crowd's connections.
#[derive(Clone, Debug, Serialize)]
pub struct CallSummary {
    /// What it is for.
    pub call: &'static str,
    /// All that were sent.
    pub count: u64,
    /// Those that were answered with a status below 300.
    pub good: u64,
    /// The others, by the problem's code, the status, or why no answer came.
    pub refused: BTreeMap<Box<str>, u64>,
    /// Milliseconds that half of the answers took at most.
    pub p50_ms: f64,
    /// Likewise nine in ten.
    pub p90_ms: f64,
    /// 99 in a hundred.
    pub p99_ms: f64,
    /// 999 in a thousand.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What was answered in about a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) answers: u64,
    /// Lost, or answered with 5xx.
    pub(crate) failed: u64,
    /// None when nothing was answered.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// The most kinds of refusal that one call can have; a server that makes up codes fills no memory.
const CODES_MAX: usize = 64;
/// In nanoseconds; what takes longer counts as this long.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
const LATENCY_MIN_NS: u64 = 1_000;

impl Tallies {
    pub(crate) fn new() -> Self {
        let tally = || Tally { good: 0, refused: BTreeMap::new(), latency: histogram(3) };
        let second = Second { answers: 0, failed: 0, latency: histogram(2) };
        Self { calls: Call::ALL.iter().map(|_| tally()).collect(), second }
    }

    /// An answer; `code` is the problem's, if it is one.
    pub(crate) fn answered(&mut self, call: Call, status: u16, code: &str, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let tally = self.of(call);
        tally.latency.saturating_record(took);
        match (status, code) {
            (..300, _) => tally.good += 1,
            (_, "") => tally.refuse(&status.to_string()),
            (_, code) => tally.refuse(code),
        }
        self.second.answers += 1;
        self.second.failed += u64::from(status >= 500);
        if call != Call::Pay {
            self.second.latency.saturating_record(took);
        }
    }

    /// No answer.
    pub(crate) fn lost(&mut self, call: Call, lost: Lost) {
        self.of(call).refuse(&lost.to_string());
        self.second.failed += 1;
    }

    /// What came since the last look.
    pub(crate) fn pulse(&mut self) -> Pulse {
        let Second { answers, failed, latency } = &mut self.second;
        let at = |share| (!latency.is_empty()).then(|| ms(latency.value_at_quantile(share)));
        let pulse = Pulse {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            answers: std::mem::take(answers),
            failed: std::mem::take(failed),
        };
        latency.reset();
        pulse
    }

    /// How many were answered, of all calls.
    pub(crate) fn answers(&self) -> u64 {
        self.calls.iter().map(|tally| tally.latency.len()).sum()
    }

    /// The table of those that were made.
    pub(crate) fn summary(&self) -> Vec<CallSummary> {
        let rows = Call::ALL.into_iter().zip(&self.calls).map(|(call, tally)| tally.row(call));
        rows.filter(|row| row.count > 0).collect()
    }

    fn of(&mut self, call: Call) -> &mut Tally {
        &mut self.calls[call as usize]
    }
}

impl Tally {
    fn refuse(&mut self, code: &str) {
        if let Some(count) = self.refused.get_mut(code) {
            *count += 1;
        } else if self.refused.len() < CODES_MAX {
            self.refused.insert(code.chars().take(64).collect(), 1);
        } else {
            *self.refused.entry("others".into()).or_default() += 1;
        }
    }

    fn row(&self, call: Call) -> CallSummary {
        let at = |share| ms(self.latency.value_at_quantile(share));
        CallSummary {
            call: call.name(),
            count: self.good + self.refused.values().sum::<u64>(),
            good: self.good,
            refused: self.refused.clone(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.latency.max()),
        }
    }
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, digits)
        .expect("the bounds are in order and the precision is at most 5")
}

/// Nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "latencies are below 2^52 ns")]
pub(crate) fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Three significant figures, without an exponent.
pub(crate) fn figures(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_own_row() {
        let mut tallies = Tallies::new();
        for (number, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, number);
            tallies.answered(call, 200, "", Duration::from_millis(number as u64 + 1));
        }
        let rows = tallies.summary();
        assert_eq!(rows.len(), Call::ALL.len());
        for (row, (number, call)) in rows.iter().zip(Call::ALL.into_iter().enumerate()) {
            assert_eq!((row.call, row.count), (call.name(), 1));
            let expected = Duration::from_millis(number as u64 + 1).as_secs_f64() * 1e3;
            assert!((row.max_ms - expected).abs() < expected / 100.0, "{row:?}");
        }
        assert_eq!(tallies.answers(), 11);
    }

    #[test]
    fn a_slow_provider_is_not_a_slow_box_office() {
        let mut tallies = Tallies::new();
        tallies.answered(Call::Pay, 200, "", Duration::from_secs(3));
        let pulse = tallies.pulse();
        assert_eq!((pulse.answers, pulse.p99_ms), (1, None));
        tallies.answered(Call::Hold, 201, "", Duration::from_millis(3));
        assert!(tallies.pulse().p99_ms < Some(4.0));
    }

    #[test]
    fn refusals_are_counted_by_code_and_bounded() {
        let mut tallies = Tallies::new();
        let took = Duration::from_millis(1);
        tallies.answered(Call::Hold, 201, "", took);
        tallies.answered(Call::Hold, 409, "seat_taken", took);
        tallies.answered(Call::Hold, 409, "seat_taken", took);
        tallies.answered(Call::Hold, 502, "", took);
        tallies.lost(Call::Hold, Lost::Late);
        let pulse = tallies.pulse();
        assert_eq!((pulse.answers, pulse.failed), (4, 2));
        assert_eq!(tallies.pulse().answers, 0);
        let row = &tallies.summary()[0];
        assert_eq!((row.count, row.good), (5, 1));
        assert_eq!(row.refused["seat_taken"], 2);
        assert_eq!((row.refused["502"], row.refused["no answer in time"]), (1, 1));
        for code in 0..1_000 {
            tallies.answered(Call::Hold, 400, &format!("made up {code}"), took);
        }
        let row = &tallies.summary()[0];
        assert!(row.refused.len() <= CODES_MAX + 1 && row.count == 1_005);
    }
}
