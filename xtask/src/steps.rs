//! The steps of a run, in their order: the cheap ones first, so that a mistake is told early.
//!
//! One build profile serves them all. Clippy and the documents share the dependencies' metadata;
//! the tests, those that start the server as a process too, share one build; so does the binary that
//! the browser visits. No step builds for release.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::command;
use crate::deny;
use crate::metadata::Metadata;
use crate::needs::{self, Need};
use crate::tree::Tree;
use crate::walls;

/// One step: a gate, or the tests.
#[derive(Debug)]
pub(crate) struct Step {
    /// The word by which it is asked for.
    pub(crate) name: &'static str,
    /// What it makes sure of, in a few words.
    pub(crate) about: &'static str,
    /// Whether it belongs to `cargo xtask gates`.
    pub(crate) is_gate: bool,
    /// What must be on the machine first.
    needs: &'static [Need],
    run: fn(&mut Tally) -> Result<(), String>,
}

/// Every step there is, in the order they run.
pub(crate) const ALL: [Step; 8] = [
    Step {
        name: "fmt",
        about: "the code is formatted",
        is_gate: true,
        needs: &[needs::RUSTFMT],
        run: |_| command::run(&["cargo", "fmt", "--all", "--check"]),
    },
    Step {
        name: "deny",
        about: "licences, bans and sources of the dependencies, as deny.toml says",
        is_gate: true,
        needs: &[],
        run: |_| deny::check(),
    },
    Step {
        name: "walls",
        about: "which crate may use which, which words stand where, the documents",
        is_gate: true,
        needs: &[needs::GIT],
        run: |_| walls::check(&Tree::read()?, &Metadata::read()?),
    },
    Step {
        name: "web",
        about: "types, lints and formatting of the pages and of their tests",
        is_gate: true,
        needs: &[needs::NODE, needs::NPM, needs::PACKAGES],
        run: |_| {
            command::run(&[&NPM_RUN[..], &["types"]].concat())?;
            command::run(&[&NPM_RUN[..], &["lint"]].concat())
        },
    },
    Step {
        name: "clippy",
        about: "the lints, all denied",
        is_gate: true,
        needs: &[needs::CLIPPY],
        run: |_| {
            let words = ["cargo", "clippy", "--workspace", "--all-targets", "--locked"];
            command::run(&[&words[..], &["--", "-D", "warnings"]].concat())
        },
    },
    Step {
        name: "doc",
        about: "the documents of the code, without warnings",
        is_gate: true,
        needs: &[],
        run: |_| {
            let words = ["cargo", "doc", "--workspace", "--no-deps", "--document-private-items"];
            let words = [&words[..], &["--locked"]].concat();
            let mut command = command::command(&words);
            command::run_with(&words, command.env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
    Step {
        name: "test",
        about: "every test, openapi.json's too",
        is_gate: false,
        needs: &[
            needs::STRACE,
            needs::FAKETIME,
            needs::UTIL_LINUX,
            needs::POSTGRESQL,
            needs::OPENSSL,
        ],
        run: |tally| {
            // All of them run even when one fails: a person then mends all in one go.
            let words = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"];
            tally.watch(&words, Tally::see_cargo)
        },
    },
    Step {
        name: "browser",
        about: "the pages in a real browser: the journey, races, outages, axe, page weight",
        is_gate: false,
        needs: &[needs::NODE, needs::NPM, needs::PACKAGES, needs::CHROMIUM, needs::KOREAN_FONT],
        run: |tally| {
            command::run(&[
                "cargo",
                "build",
                "--locked",
                "--package",
                "maepyo",
                "--bin",
                "maepyo",
            ])?;
            tally.watch(&[&NPM_RUN[..], &["test"]].concat(), Tally::see_node)
        },
    },
];

/// Runs a script of the pages' tests; `package.json` says what each one does.
const NPM_RUN: [&str; 5] = ["npm", "--prefix", "crates/server/browser", "--silent", "run"];

/// Runs the steps until one fails. Prints each one's name, at the end a table of the seconds they
/// took and, when the tests were among them, as the last line how many passed and failed.
pub(crate) fn run(steps: &[&Step]) -> ExitCode {
    let mut tally = Tally::default();
    let mut table = Vec::new();
    let mut failure = None;
    for step in steps {
        println!("\n== {}: {}", step.name, step.about);
        let (outcome, took) = timed(|| {
            step.needs.iter().try_for_each(Need::meet)?;
            (step.run)(&mut tally)
        });
        println!("== {}: {:.1} s", step.name, took.as_secs_f64());
        table.push((step.name, took));
        if let Err(sentence) = outcome {
            tally.fail();
            failure = Some(format!("Stopped at `{}`. {sentence}", step.name));
            break;
        }
    }

    println!("\nstep      seconds");
    for (name, took) in &table {
        println!("{name:<8} {:>8.1}", took.as_secs_f64());
    }
    let whole: Duration = table.iter().map(|(_, took)| *took).sum();
    println!("{:<8} {:>8.1}", "all", whole.as_secs_f64());
    if let Some(sentence) = &failure {
        println!("{sentence}");
    }
    if tally.programs > 0 {
        println!("{} passed, {} failed", tally.passed, tally.failed);
    }
    if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[expect(clippy::disallowed_methods, reason = "how long a step takes is only ever printed")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// What the test programs reported, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    /// Programs that ended with their result.
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    /// Runs the tests of one step, adds up what they report and judges them.
    fn watch(&mut self, words: &[&str], see: fn(&mut Self, &str)) -> Result<(), String> {
        let mut step = Self::default();
        let outcome = command::watch(words, |line| see(&mut step, line));
        let verdict = step.judge(outcome);
        self.add(step);
        verdict
    }

    fn add(&mut self, step: Self) {
        self.programs += step.programs;
        self.passed += step.passed;
        self.failed += step.failed;
        self.ignored += step.ignored;
    }

    /// Reads one line of the output of `node --test`; only the counts at its end matter. What was
    /// broken off failed, and what is still to be done was ignored.
    fn see_node(&mut self, line: &str) {
        let Some((name, count)) = line.strip_prefix("ℹ ").and_then(|line| line.split_once(' '))
        else {
            return;
        };
        let Ok(count) = count.trim_end().parse::<u32>() else { return };
        match name {
            // The first line of the result.
            "tests" => self.programs += 1,
            "pass" => self.passed += count,
            "fail" | "cancelled" => self.failed += count,
            "skipped" | "todo" => self.ignored += count,
            _ => {}
        }
    }

    /// Reads one line of the output of `cargo test`; only a `test result:` line counts.
    fn see_cargo(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        // `ok. 5 passed; 0 failed; 0 ignored; …`: each count stands before its word.
        let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        let count = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at.checked_sub(1)?)?.parse::<u32>().ok()
        };
        let (Some(passed), Some(failed), Some(ignored)) =
            (count("passed"), count("failed"), count("ignored"))
        else {
            return;
        };
        self.programs += 1;
        self.passed += passed;
        self.failed += failed;
        self.ignored += ignored;
    }

    /// A step has failed. Where that was no test it counts as one, so that the last line never reads
    /// `0 failed` over a failed run.
    fn fail(&mut self) {
        self.failed = self.failed.max(1);
    }

    /// Whether the tests of a step were a success.
    fn judge(self, outcome: Result<(), String>) -> Result<(), String> {
        if let Err(sentence) = outcome {
            if self.failed > 0 {
                return Err(format!("{} of the tests failed: see above.", self.failed));
            }
            return Err(format!("{sentence} It did not come to a failed test: see above."));
        }
        if self.ignored > 0 {
            return Err(format!("{} tests were ignored; no test may be.", self.ignored));
        }
        if self.passed == 0 {
            return Err("Not one test was run.".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.see_cargo(line));
        tally
    }

    #[test]
    fn the_browser_tests_are_counted_by_their_result() {
        let mut tally = Tally::default();
        let report = "✔ a seat is chosen (120 ms)\n\
             ℹ pass the salt\n\
             ℹ tests 12\nℹ suites 0\nℹ pass 5\nℹ fail 3\n\
             ℹ cancelled 1\nℹ skipped 1\nℹ todo 2\n\
             ℹ duration_ms 8123.4";
        report.lines().for_each(|line| tally.see_node(line));
        assert_eq!(tally, Tally { programs: 1, passed: 5, failed: 4, ignored: 3 });
    }

    #[test]
    fn each_step_is_judged_by_its_own_tests() {
        let mut tally = tally("test result: ok. 2 passed; 0 failed; 0 ignored");
        // `cargo --version` is a program without a test.
        let verdict = tally.watch(&["cargo", "--version"], Tally::see_node);
        assert_eq!(verdict, Err("Not one test was run.".to_owned()));
        let verdict = tally.watch(&["cargo", "--no-such-option"], Tally::see_node);
        assert!(verdict.unwrap_err().ends_with("It did not come to a failed test: see above."));
        assert_eq!(tally, Tally { programs: 1, passed: 2, failed: 0, ignored: 0 });
    }

    #[test]
    fn results_are_added_up() {
        let tally = tally(
            "running 2 tests\n\
             test a_test ... ok\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
             test result: unreadable",
        );
        assert_eq!(tally, Tally { programs: 2, passed: 5, failed: 1, ignored: 0 });
        let sentence = tally.judge(Err("`cargo test` failed.".to_owned())).unwrap_err();
        assert_eq!(sentence, "1 of the tests failed: see above.");
    }

    #[test]
    fn what_failed_without_a_failed_test_counts_as_one() {
        let mut tally = tally("test result: ok. 2 passed; 0 failed; 0 ignored");
        assert!(tally.judge(Err("`cargo test` failed (signal: 6).".to_owned())).is_err());
        tally.fail();
        assert_eq!(tally, Tally { programs: 1, passed: 2, failed: 1, ignored: 0 });
    }

    #[test]
    fn ignored_tests_and_no_tests_are_failures() {
        let ignored = tally("test result: ok. 2 passed; 0 failed; 1 ignored").judge(Ok(()));
        assert_eq!(ignored, Err("1 tests were ignored; no test may be.".to_owned()));
        let none = tally("test result: ok. 0 passed; 0 failed; 0 ignored").judge(Ok(()));
        assert_eq!(none, Err("Not one test was run.".to_owned()));
        assert_eq!(tally("test result: ok. 1 passed; 0 failed; 0 ignored").judge(Ok(())), Ok(()));
    }
}
