//! What a rehearsal comes to: for people as a table, for programs as JSON, for the wall as a picture.

mod picture;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Sample;
use crate::buyer::End;
use crate::calls::CallSummary;
use crate::findings::{Finding, Verdict};

/// What a rehearsal comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The sale.
    pub sale: String,
    /// What is played.
    pub title: String,
    /// Seats of all its performances.
    pub seat_count: u64,
    /// How many came.
    pub buyers: u32,
    /// The same seed gives the same crowd.
    pub seed: u64,
    /// Connections that they shared, at most.
    pub connections: usize,
    /// How many may be inside, where that was told.
    pub active_limit: Option<u32>,
    /// Milliseconds that it took in all.
    pub elapsed_ms: u64,
    /// How it ended for how many.
    pub ends: BTreeMap<End, u32>,
    /// Seats that were paid.
    pub seats_sold: u64,
    /// Requests that were answered.
    pub answers: u64,
    /// How many of those were ever open.
    pub connections_used: usize,
    /// Milliseconds that 99 in a hundred requests were sent late at most, because every connection
    /// was busy, or the machine that the crowd runs on.
    pub sent_late_p99_ms: f64,
    /// Each call, and how it was answered.
    pub calls: Vec<CallSummary>,
    /// What was found out.
    pub findings: Vec<Finding>,
    /// What each second brought.
    pub course: Vec<Sample>,
}

impl Report {
    /// Whether every promise was kept, as far as can be seen.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Broken)
    }

    /// The whole report in JSON.
    ///
    /// # Panics
    /// Never: texts and numbers can always be written.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers can always be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of a thousand buyers, of whom one was wronged.
    pub(super) fn report() -> Report {
        let finding = |verdict, broken, example: &[&str]| Finding {
            promise: "No seat had two owners",
            verdict,
            looked_at: "3 holds".to_owned(),
            broken,
            examples: example.iter().map(|&text| text.to_owned()).collect(),
        };
        let sample = |second: u32| Sample {
            at_ms: u64::from(second) * 1_000,
            waiting: 1_000 - second * 10,
            inside: 50,
            seats_sold: u64::from(second) * 20,
            p50_ms: Some(0.4),
            p99_ms: (!second.is_multiple_of(7)).then_some(f64::from(second)),
            ..Sample::default()
        };
        Report {
            sale: "spring".to_owned(),
            title: "봄 콘서트".to_owned(),
            seat_count: 1_500,
            buyers: 1_000,
            seed: 7,
            connections: 64,
            active_limit: Some(50),
            elapsed_ms: 61_250,
            ends: BTreeMap::from([(End::Bought, 600), (End::Left, 400)]),
            seats_sold: 1_200,
            answers: 20_000,
            connections_used: 64,
            sent_late_p99_ms: 120.0,
            calls: vec![CallSummary {
                call: "hold seats",
                count: 12,
                good: 10,
                refused: BTreeMap::from([("seat_taken".into(), 2)]),
                p50_ms: 1.234,
                p90_ms: 2.0,
                p99_ms: 12.34,
                p999_ms: 123.4,
                max_ms: 1234.5,
            }],
            findings: vec![
                finding(Verdict::Kept, 0, &[]),
                finding(Verdict::Broken, 3, &["Seat A1 was sold twice."]),
                finding(Verdict::NotSeen, 0, &[]),
            ],
            course: (1..=60).map(sample).collect(),
        }
    }

    #[test]
    fn one_broken_promise_is_enough() {
        let mut report = report();
        assert!(!report.is_sound());
        report.findings.retain(|finding| finding.verdict != Verdict::Broken);
        assert!(report.is_sound());
    }

    #[test]
    fn the_table_says_it_all() {
        let text = report().to_text();
        for line in [
            "봄 콘서트 (spring): 1000 buyers, 61.2 s",
            "1200 of 1500 seats sold",
            "       600  have tickets",
            "hold seats                  12       10     1.23     2.00     12.3      123     1234",
            "  seat_taken                          2",
            "ok        No seat had two owners (3 holds).",
            "BROKEN    No seat had two owners (3 holds).",
            "            Seat A1 was sold twice.",
            "            And 2 more.",
            "not seen  No seat had two owners (3 holds).",
        ] {
            assert!(text.lines().any(|said| said == line), "{line:?} is not in\n{text}");
        }
        assert!(text.contains("1 in 100 by more than 120 ms: the 64 connections"), "{text}");
        let mut report = report();
        report.connections_used = 60;
        assert!(report.to_text().contains("this machine was too busy"));
        report.sent_late_p99_ms = 1.0;
        assert!(!report.to_text().contains("sent late"));
    }

    #[test]
    fn programs_read_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(json["ends"]["bought"], 600);
        assert_eq!(json["findings"][1]["verdict"], "broken");
        assert_eq!(json["calls"][0]["refused"]["seat_taken"], 2);
        assert_eq!(json["course"][59]["waiting"], 400);
    }
}
