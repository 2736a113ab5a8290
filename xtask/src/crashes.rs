//! `cargo xtask crashes [--rounds N]`: the real process, built for release, killed again and again
//! under load; what was answered is held against what is there afterwards.
//!
//! It is the test of the same name with more rounds; the everyday run has a few of them.

use std::process::ExitCode;

use crate::command;

/// What is run when nothing else is asked for.
const ROUNDS: u32 = 200;
/// More than that nobody has waited for yet.
const ROUNDS_MAX: u32 = 200;
const TEST: &str = "killed_again_and_again_it_keeps_every_promise";

/// Understands the words behind `crashes`: how many rounds.
pub(crate) fn parse<'w>(words: &mut impl Iterator<Item = &'w str>) -> Result<u32, String> {
    match words.next() {
        None => Ok(ROUNDS),
        Some("--rounds") => {
            let rounds = words.next().and_then(|word| word.parse().ok());
            let rounds = rounds.filter(|rounds| (1..=ROUNDS_MAX).contains(rounds));
            rounds.ok_or_else(|| format!("`--rounds` needs a number from 1 to {ROUNDS_MAX}."))
        }
        Some(word) => Err(format!("`crashes` does not know `{word}`.")),
    }
}

/// Builds and runs it; ends as it ends.
pub(crate) fn run(rounds: u32) -> ExitCode {
    let words = ["cargo", "test", "--release", "--locked", "--package", "maepyo"];
    let words = [&words[..], &["--test", "process", "--", "--exact", "--nocapture"]].concat();
    let test = format!("crash::{TEST}");
    let words = [&words[..], &[test.as_str()]].concat();
    let mut command = command::command(&words);
    command.env("MAEPYO_CRASH_ROUNDS", rounds.to_string());
    match command::run_with(&words, &mut command) {
        Ok(()) => {
            println!("{rounds} times killed; every promise kept.");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
