//! `cargo xtask failovers [--times N]`: two nodes, built for release, whose database is killed again and
//! again under load while its standby takes over; what was answered is held against what is there.
//!
//! It is the test of the same name with more failovers; the everyday run has a few of them.

use std::process::ExitCode;

use crate::command;

/// What is run when nothing else is asked for.
const TIMES: u32 = 100;
/// More than that nobody has waited for yet.
const TIMES_MAX: u32 = 1_000;
const TEST: &str = "what_was_answered_outlives_the_database_it_was_written_to";

/// Understands the words behind `failovers`: how many.
pub(crate) fn parse<'w>(words: &mut impl Iterator<Item = &'w str>) -> Result<u32, String> {
    match words.next() {
        None => Ok(TIMES),
        Some("--times") => {
            let times = words.next().and_then(|word| word.parse().ok());
            let times = times.filter(|times| (1..=TIMES_MAX).contains(times));
            times.ok_or_else(|| format!("`--times` needs a number from 1 to {TIMES_MAX}."))
        }
        Some(word) => Err(format!("`failovers` does not know `{word}`.")),
    }
}

/// Builds and runs it; ends as it ends.
pub(crate) fn run(times: u32) -> ExitCode {
    let words = ["cargo", "test", "--release", "--locked", "--package", "maepyo"];
    let words = [&words[..], &["--test", "process", "--", "--exact", "--nocapture"]].concat();
    let test = format!("failover::{TEST}");
    let words = [&words[..], &[test.as_str()]].concat();
    let mut command = command::command(&words);
    command.env("MAEPYO_FAILOVERS", times.to_string());
    match command::run_with(&words, &mut command) {
        Ok(()) => {
            println!("{times} failovers; everything that was answered is there.");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
