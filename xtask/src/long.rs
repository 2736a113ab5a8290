//! Tests of the real process that can go on for long: `crashes`, `failovers`, `lines` and `sell-out`.
//!
//! Each is a test of the everyday run, which has little of it; here it is built for release and has more.

use std::process::ExitCode;

use crate::command;

/// One of them.
#[derive(Debug)]
pub(crate) struct Long {
    pub(crate) name: &'static str,
    /// What says how much.
    option: &'static str,
    usual: u32,
    /// More than that nobody has waited for yet.
    most: u32,
    /// The test, and the variable that tells it how much.
    test: &'static str,
    variable: &'static str,
    /// What is so when it succeeds, behind the number.
    then: &'static str,
}

/// All of them.
pub(crate) const ALL: [Long; 4] = [
    Long {
        name: "crashes",
        option: "--rounds",
        usual: 200,
        most: 200,
        test: "crash::killed_again_and_again_it_keeps_every_promise",
        variable: "MAEPYO_CRASH_ROUNDS",
        then: "times killed; every promise kept.",
    },
    Long {
        name: "failovers",
        option: "--times",
        usual: 100,
        most: 1_000,
        test: "failover::what_was_answered_outlives_the_database_it_was_written_to",
        variable: "MAEPYO_FAILOVERS",
        then: "failovers; everything that was answered is there.",
    },
    Long {
        name: "lines",
        option: "--times",
        usual: 27,
        most: 90,
        test: "lines::whoever_is_cut_off_denies_nothing_and_the_others_go_on",
        variable: "MAEPYO_LINES",
        then: "times a line went wrong; nothing was denied, and the others went on.",
    },
    Long {
        name: "sell-out",
        option: "--buyers",
        usual: 30_000,
        most: 100_000,
        test: "sell_out::three_nodes_sell_out_while_they_and_their_database_are_lost",
        variable: "MAEPYO_SELL_OUT",
        then: "buyers; every promise kept, and no seat left.",
    },
];

/// Understands the words behind its name: how much.
pub(crate) fn parse<'w>(
    long: &Long,
    words: &mut impl Iterator<Item = &'w str>,
) -> Result<u32, String> {
    let Long { name, option, usual, most, .. } = long;
    match words.next() {
        None => Ok(*usual),
        Some(word) if word == *option => {
            let count = words.next().and_then(|word| word.parse().ok());
            let count = count.filter(|count| (1..=*most).contains(count));
            count.ok_or_else(|| format!("`{option}` needs a number from 1 to {most}."))
        }
        Some(word) => Err(format!("`{name}` does not know `{word}`.")),
    }
}

/// Builds and runs it; ends as it ends.
pub(crate) fn run(long: &Long, count: u32) -> ExitCode {
    let words = ["cargo", "test", "--release", "--locked", "--package", "maepyo"];
    let words = [&words[..], &["--test", "process", "--", "--exact", "--nocapture"]].concat();
    let words = [&words[..], &[long.test]].concat();
    let mut command = command::command(&words);
    command.env(long.variable, count.to_string());
    match command::run_with(&words, &mut command) {
        Ok(()) => {
            println!("{count} {}", long.then);
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
