//! The project's own commands, called as `cargo xtask …`: one call runs every gate and every test,
//! the same at a desk and in CI.
//!
//! It holds no rule of the box office and is not shipped. It never skips a step silently: what it
//! was not asked to run it does not mention, and what it was asked to run either ran or failed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to print is what it is for")]

mod bench;
mod command;
mod defects;
mod deny;
mod long;
mod metadata;
mod needs;
mod rust_text;
mod sim;
mod spdx;
mod steps;
mod tree;
mod walls;

use std::process::ExitCode;

use long::Long;
use steps::Step;

const HELP: &str = "\
The project's own commands.

    cargo xtask test [--only STEP]...   every gate and every test, or only the steps named
    cargo xtask gates                   the gates alone: what needs no test to be run
    cargo xtask sim --seeds A..B [--steps N]
                                        the simulator, with whatever else it understands
    cargo xtask defects [NAME]... [--seeds A..B] [--keep]
                                        shows that the simulator finds each deliberate defect
    cargo xtask crashes [--rounds N]    the real process, killed 200 times under load
    cargo xtask failovers [--times N]   two nodes, whose database is lost 100 times under load
    cargo xtask lines [--times N]       three nodes, whose lines to the database go wrong 27 times
    cargo xtask sell-out [--buyers N]   three nodes and 30,000 buyers, while nodes and database are lost
    cargo xtask bench [--row NAME]... [--quick] [--check] [--write]
                                        how fast it is, beside a floor that does nothing
    cargo xtask help                    this text

The steps, in their order:
";

/// Reads the arguments, runs what they ask for; 0 is success, 1 a failed step, 2 a wrong call.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments) {
        Ok(Order::Help) => {
            print!("{HELP}");
            for step in &steps::ALL {
                println!("    {:<8} {}", step.name, step.about);
            }
            ExitCode::SUCCESS
        }
        Ok(Order::Run(steps)) => steps::run(&steps),
        Ok(Order::Long(long, count)) => long::run(long, count),
        Ok(Order::Bench(words)) => bench::run(&words),
        Ok(Order::Sim(words)) => sim::run(&words),
        Ok(Order::Defects(order)) => defects::run(&order),
        Err(sentence) => {
            eprintln!("{sentence} `cargo xtask help` lists what there is.");
            ExitCode::from(2)
        }
    }
}

/// What the caller asked for.
#[derive(Debug)]
enum Order {
    Help,
    Run(Vec<&'static Step>),
    Bench(Vec<String>),
    Sim(Vec<String>),
    Defects(defects::Order),
    /// How much of it.
    Long(&'static Long, u32),
}

/// Understands the arguments, or says in one sentence why it does not. Steps run in their own
/// order, once each, however they were named.
fn parse(arguments: &[String]) -> Result<Order, String> {
    let mut words = arguments.iter().map(String::as_str);
    let order = match words.next() {
        None => return Err("No command was given.".to_owned()),
        Some("help" | "--help" | "-h") => Order::Help,
        Some("gates") => Order::Run(steps::ALL.iter().filter(|step| step.is_gate).collect()),
        Some("test") => {
            let mut only = Vec::new();
            while let Some(word) = words.next() {
                if word != "--only" {
                    return Err(format!("`test` does not know `{word}`."));
                }
                let name = words.next().ok_or("`--only` needs the name of a step.")?;
                if !steps::ALL.iter().any(|step| step.name == name) {
                    return Err(format!("There is no step `{name}`."));
                }
                only.push(name);
            }
            let is_wanted = |step: &&Step| only.is_empty() || only.contains(&step.name);
            Order::Run(steps::ALL.iter().filter(is_wanted).collect())
        }
        Some("bench") => Order::Bench(words.by_ref().map(str::to_owned).collect()),
        Some("sim") => Order::Sim(words.by_ref().map(str::to_owned).collect()),
        Some("defects") => Order::Defects(defects::parse(&mut words)?),
        Some(other) => match long::ALL.iter().find(|long| long.name == other) {
            Some(long) => Order::Long(long, long::parse(long, &mut words)?),
            None => return Err(format!("There is no command `{other}`.")),
        },
    };
    match words.next() {
        None => Ok(order),
        Some(word) => Err(format!("`{word}` is one word too many.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Result<Vec<&'static str>, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&arguments)? {
            Order::Help => Ok(vec!["help"]),
            Order::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
            Order::Bench(_) | Order::Sim(_) | Order::Defects(_) | Order::Long(..) => Ok(vec![]),
        }
    }

    #[test]
    fn a_call_names_its_steps() {
        let all = ["fmt", "deny", "walls", "web", "clippy", "doc", "test", "browser"];
        assert_eq!(names("test").unwrap(), all);
        assert_eq!(names("gates").unwrap(), all[..6]);
        assert_eq!(names("test --only doc --only fmt --only doc").unwrap(), ["fmt", "doc"]);
        assert_eq!(names("help").unwrap(), ["help"]);
    }

    #[test]
    fn a_wrong_call_is_refused_in_a_sentence() {
        for (line, sentence) in [
            ("", "No command was given."),
            ("tset", "There is no command `tset`."),
            ("test fmt", "`test` does not know `fmt`."),
            ("test --only", "`--only` needs the name of a step."),
            ("test --only nothing", "There is no step `nothing`."),
            ("gates --only fmt", "`--only` is one word too many."),
            ("help me", "`me` is one word too many."),
            ("crashes --rounds", "`--rounds` needs a number from 1 to 200."),
            ("crashes --rounds 0", "`--rounds` needs a number from 1 to 200."),
            ("crashes 20", "`crashes` does not know `20`."),
            ("crashes --rounds 20 20", "`20` is one word too many."),
            ("failovers --times 0", "`--times` needs a number from 1 to 1000."),
            ("failovers --rounds 5", "`failovers` does not know `--rounds`."),
            ("lines --times 91", "`--times` needs a number from 1 to 90."),
            ("sell-out --buyers many", "`--buyers` needs a number from 1 to 100000."),
        ] {
            assert_eq!(names(line).unwrap_err(), sentence, "for `cargo xtask {line}`");
        }
    }
}
