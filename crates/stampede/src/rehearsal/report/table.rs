//! The report for people, in plain text.

use std::fmt::Write;

use super::Report;
use crate::buyer::End;
use crate::calls::{CallSummary, figures};
use crate::findings::{Finding, Verdict};

/// What is sent so late is worth a remark.
const LATE_MS: f64 = 50.0;

impl Report {
    /// The tables and the findings.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a text can always be written to");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let seconds = seconds(self.elapsed_ms);
        writeln!(text, "{} ({}): {} buyers, {seconds}", self.title, self.sale, self.buyers)?;
        writeln!(text, "{} of {} seats sold", self.seats_sold, self.seat_count)?;
        for (end, count) in &self.ends {
            writeln!(text, "  {count:>8}  {}", end.sentence())?;
        }
        writeln!(text)?;
        write_calls(text, &self.calls)?;
        self.write_lateness(text)?;
        writeln!(text)?;
        for finding in &self.findings {
            write_finding(text, finding)?;
        }
        Ok(())
    }
}

impl Report {
    /// What is the crowd's own fault.
    fn write_lateness(&self, text: &mut String) -> std::fmt::Result {
        if self.sent_late_p99_ms < LATE_MS {
            return Ok(());
        }
        let late = figures(self.sent_late_p99_ms);
        write!(text, "\nRequests were sent late, 1 in 100 by more than {late} ms: ")?;
        if self.connections_used < self.connections {
            writeln!(text, "this machine was too busy. That is in the times above.")
        } else {
            let connections = self.connections;
            writeln!(
                text,
                "the {connections} connections were all busy. That is in the times above; more: \
                 --connections."
            )
        }
    }
}

fn write_calls(text: &mut String, calls: &[CallSummary]) -> std::fmt::Result {
    writeln!(
        text,
        "{:<21}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "call, in ms", "sent", "good", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for row in calls {
        let [p50, p90, p99, p999, max] =
            [row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms, row.max_ms].map(figures);
        writeln!(
            text,
            "{:<21}{:>9}{:>9}{p50:>9}{p90:>9}{p99:>9}{p999:>9}{max:>9}",
            row.call, row.count, row.good
        )?;
        for (code, count) in &row.refused {
            writeln!(text, "  {code:<28}{count:>9}")?;
        }
    }
    Ok(())
}

fn write_finding(text: &mut String, finding: &Finding) -> std::fmt::Result {
    let mark = match finding.verdict {
        Verdict::Kept => "ok      ",
        Verdict::Broken => "BROKEN  ",
        Verdict::NotSeen => "not seen",
    };
    writeln!(text, "{mark}  {} ({}).", finding.promise, finding.looked_at)?;
    for example in &finding.examples {
        writeln!(text, "            {example}")?;
    }
    let told = finding.examples.len() as u64;
    if finding.broken > told {
        writeln!(text, "            And {} more.", finding.broken - told)?;
    }
    Ok(())
}

impl End {
    fn sentence(self) -> &'static str {
        match self {
            Self::Bought => "have tickets",
            Self::TurnedAway => "came when it was over",
            Self::SoldOut => "were in line when the last seat was sold",
            Self::PlaceEnded => "lost their place: too slow, absent, or the sale was closed",
            Self::NothingLeft => "found no seats",
            Self::Left => "left the line",
            Self::Declined => "left after a declined payment",
            Self::Vanished => "went without a word",
            Self::GaveUp => "gave up, unanswered",
            Self::Refused => "were refused what they had a right to",
            Self::StillThere => "were still there when time was over",
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
