//! What was measured, kept from run to run so that rows can be measured one at a time, and written
//! into the document between two marks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::rows::{Part, ROWS, Row};
use crate::verdict::Verdict;

const BEGIN: &str = "<!-- measured: `cargo xtask bench --write` writes what follows -->";
const END: &str = "<!-- measured: end -->";

/// What one row gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The figure that counts, with its spread.
    pub(crate) measured: String,
    /// What it is made of, in absolute numbers; a sentence each.
    pub(crate) details: Vec<String>,
    /// Tables, where one figure does not say it.
    pub(crate) tables: Vec<Table>,
    /// What it comes to.
    pub(crate) verdict: Verdict,
}

/// A table of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// What stands above the columns.
    pub(crate) head: Vec<String>,
    /// The rows.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }
}

/// A reading, and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The day.
    pub(crate) day: String,
    /// How long and how often: `3 rounds of 30 s`.
    pub(crate) rounds: String,
    /// What was read.
    pub(crate) reading: Reading,
}

/// All readings of one machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The machine, a line each.
    pub(crate) machine: Vec<String>,
    /// By the row's name.
    pub(crate) kept: BTreeMap<String, Kept>,
}

impl Report {
    /// What earlier runs kept, if it was on this machine; else an empty one.
    pub(crate) fn load(path: &Path, machine: &[String]) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        match serde_json::from_str::<Self>(&text) {
            Ok(report) if report.machine == machine => report,
            // Another machine's numbers beside this one's would be compared.
            Ok(_) | Err(_) => Self { machine: machine.to_vec(), kept: BTreeMap::new() },
        }
    }

    /// Keeps it for the next run.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?)
    }

    /// The part of the document that is measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.machine {
            line_of(&mut text, format_args!("- {line}"));
        }
        self.table(&mut text);
        for (part, heading) in [
            (Part::Growth, "## How it grows"),
            (Part::Overload, "## When too many come"),
            (Part::Durability, "## On disk before the answer"),
        ] {
            let rows: Vec<_> = self.rows_of(part).collect();
            if rows.is_empty() {
                continue;
            }
            line_of(&mut text, format_args!("\n{heading}"));
            for (row, kept) in rows {
                line_of(
                    &mut text,
                    format_args!("\n**{}** ({}, {})", row.what, kept.rounds, kept.day),
                );
                if !row.must.is_empty() {
                    line_of(&mut text, format_args!("\nMust: {}.", row.must));
                }
                if !kept.reading.measured.is_empty() {
                    line_of(&mut text, format_args!("Measured: {}.", kept.reading.measured));
                }
                if kept.reading.verdict != Verdict::Shown {
                    line_of(&mut text, format_args!("**{}**", kept.reading.verdict));
                }
                body(&mut text, &kept.reading);
            }
        }
        text
    }

    fn rows_of(&self, part: Part) -> impl Iterator<Item = (&'static Row, &Kept)> {
        let rows = ROWS.iter().filter(move |row| row.part == part);
        rows.filter_map(|row| Some((row, self.kept.get(row.name)?)))
    }

    fn table(&self, text: &mut String) {
        text.push_str("\n| row | what | must reach | measured | |\n|---|---|---|---|---|\n");
        for row in ROWS.iter().filter(|row| row.part == Part::Table) {
            let (measured, verdict) = match self.kept.get(row.name) {
                Some(kept) => (kept.reading.measured.clone(), kept.reading.verdict.to_string()),
                None => (String::new(), "not measured".to_owned()),
            };
            let Row { name, what, must, .. } = row;
            line_of(text, format_args!("| `{name}` | {what} | {must} | {measured} | {verdict} |"));
        }
        for (row, kept) in self.rows_of(Part::Table) {
            if kept.reading.details.is_empty() && kept.reading.tables.is_empty() {
                continue;
            }
            line_of(text, format_args!("\n`{}` ({}, {}):", row.name, kept.rounds, kept.day));
            body(text, &kept.reading);
        }
    }
}

/// A line, and its end.
fn line_of(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to memory does not fail");
}

fn body(text: &mut String, reading: &Reading) {
    if !reading.details.is_empty() {
        text.push('\n');
    }
    for detail in &reading.details {
        line_of(text, format_args!("- {detail}"));
    }
    for table in &reading.tables {
        line_of(text, format_args!("\n| {} |", table.head.join(" | ")));
        line_of(text, format_args!("|{}", "---|".repeat(table.head.len())));
        for row in &table.rows {
            line_of(text, format_args!("| {} |", row.join(" | ")));
        }
    }
}

/// The document with its measured part replaced; none when its marks are not there.
pub(crate) fn replaced(document: &str, measured: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{measured}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(verdict: Verdict) -> Kept {
        let mut table = Table::new(&["waiting", "status"]);
        table.rows.push(vec!["1,000".to_owned(), "50,000/s".to_owned()]);
        let reading = Reading {
            measured: "0.81 (0.80..0.83)".to_owned(),
            details: vec!["The floor: 100,000/s.".to_owned()],
            tables: vec![table],
            verdict,
        };
        Kept { day: "2026-05-01".to_owned(), rounds: "3 rounds of 30 s".to_owned(), reading }
    }

    fn report() -> Report {
        let mut report = Report { machine: vec!["2 cores".to_owned()], kept: BTreeMap::new() };
        report.kept.insert("hold".to_owned(), kept(Verdict::Reached));
        report.kept.insert("line".to_owned(), kept(Verdict::Shown));
        report
    }

    #[test]
    fn every_row_of_the_table_is_told_measured_or_not() {
        let text = report().markdown();
        assert!(text.starts_with("- 2 cores\n"), "{text}");
        assert!(text.contains("| 0.80 of the floor | 0.81 (0.80..0.83) | reached |"), "{text}");
        assert_eq!(text.matches("not measured").count(), 10, "{text}");
        assert!(text.contains("`hold` (3 rounds of 30 s, 2026-05-01):\n\n- The floor"), "{text}");
    }

    #[test]
    fn tables_stand_in_their_part() {
        let text = report().markdown();
        let growth = text.split("## How it grows").nth(1).expect("the part");
        assert!(growth.contains("| waiting | status |\n|---|---|\n| 1,000 | 50,000/s |"), "{text}");
        assert!(!text.contains("## When too many come"), "{text}");
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let document = format!("# How fast\n\n{BEGIN}\nold\n{END}\nWhy: …\n");
        let new = replaced(&document, "new").expect("it has marks");
        assert_eq!(new, format!("# How fast\n\n{BEGIN}\n\nnew\n{END}\nWhy: …\n"));
        assert_eq!(replaced(&new, "new").as_deref(), Some(&*new), "again gives the same");
        assert_eq!(replaced("# How fast", "new"), None);
    }

    #[test]
    fn readings_of_another_machine_are_not_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("report.json");
        report().save(&path).expect("it is written");
        assert_eq!(Report::load(&path, &["2 cores".to_owned()]), report());
        assert!(Report::load(&path, &["64 cores".to_owned()]).kept.is_empty());
        std::fs::write(&path, "{").expect("it is written");
        assert!(Report::load(&path, &["2 cores".to_owned()]).kept.is_empty());
    }
}
