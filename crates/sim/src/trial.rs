//! What one run is: a seed, and what was left out of it to make a failure small.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

macro_rules! troubles {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// Everything that can make a run harder; each can be left out of a run by itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Trouble {
            $($(#[$doc])* $name,)+
        }

        impl Trouble {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its word on the command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

troubles! {
    /// Buyers who take their time, until after a deadline too.
    Dawdling = "dawdling",
    /// Buyers who go away without a word, some of whom come back late.
    Vanishing = "vanishing",
    /// Buyers who give seats back, or leave.
    Regret = "regret",
    /// Buyers who ask for what cannot be.
    Misuse = "misuse",
    /// Tokens with the nonce of somebody else, or of no entry.
    WrongTokens = "wrong-tokens",
    /// Requests that are sent twice, with their key or without.
    Repeats = "repeats",
    /// Operators who pause the admission and resume it.
    Pauses = "pauses",
    /// Operators who withhold seats and release them.
    Withholding = "withholding",
    /// Operators who change limits.
    NewLimits = "new-limits",
    /// The sale ends while people are inside.
    EarlyEnd = "early-end",
    /// Answers that never reach the buyer.
    LostAnswers = "lost-answers",
    /// Several nodes on the same journal.
    SeveralNodes = "several-nodes",
    /// Nodes whose clocks are set apart, and run apart.
    ClocksApart = "clocks-apart",
    /// The journal takes long for an append.
    SlowJournal = "slow-journal",
    /// Appends that fail and were not written.
    FailBefore = "fail-before",
    /// Appends that fail and were written.
    FailAfter = "fail-after",
    /// Appends that fail and are written later, perhaps after the retry.
    WriteUnderWay = "write-under-way",
    /// The journal goes over to a standby that lacks what nobody was told.
    Failover = "failover",
    /// The journal cannot be reached for a while.
    Outage = "outage",
    /// Nodes that are killed in the middle of anything, and started again.
    Kill = "kill",
    /// Nodes that are stopped for a while and go on.
    Freeze = "freeze",
    /// Snapshots that cannot be read.
    BadSnapshots = "bad-snapshots",
    /// The store's clock is set to another time.
    ClockSet = "clock-set",
    /// A provider that takes its time.
    SlowProvider = "slow-provider",
    /// A provider that does not answer, whatever it did.
    SilentProvider = "silent-provider",
    /// Answers of the provider that come twice, or after nobody waits for them.
    Echoes = "echoes",
    /// A provider that says no and takes the money after all, or knows nothing of what it did.
    Contradictions = "contradictions",
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Where everything comes from.
    pub seed: u64,
    /// Steps after which the troubles end and everything comes to its end.
    pub steps: u64,
    /// Buyers, at most.
    pub buyers: u32,
    /// Buyers who do not come.
    pub absent: Vec<u32>,
    /// What does not happen.
    pub without: Vec<Trouble>,
}

impl Trial {
    /// Steps of a run whose caller names no number.
    pub const STEPS: u64 = 60_000;

    /// The whole run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, steps: Self::STEPS, buyers: u32::MAX, absent: Vec::new(), without: Vec::new() }
    }
}

impl fmt::Display for Trial {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --steps {}", self.seed, self.steps)?;
        if self.buyers != u32::MAX {
            write!(f, " --buyers {}", self.buyers)?;
        }
        if !self.absent.is_empty() {
            write!(f, " --absent {}", as_ranges(&self.absent))?;
        }
        let left_out = |trouble: &&Trouble| self.without.contains(trouble);
        let words = |of: Vec<&Trouble>| of.iter().map(|t| t.word()).collect::<Vec<_>>().join(",");
        let (without, only): (Vec<_>, Vec<_>) = Trouble::ALL.iter().partition(left_out);
        match (without.len(), only.len()) {
            (0, _) => Ok(()),
            (_, 0) => write!(f, " --only {NONE}"),
            (many, few) if few < many => write!(f, " --only {}", words(only)),
            (_, _) => write!(f, " --without {}", words(without)),
        }
    }
}

/// What stands for an empty list of troubles.
const NONE: &str = "none";

/// Numbers as a list of numbers and ranges, `1,4..9`; the end of a range is not in it.
fn as_ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for &number in numbers {
        match ranges.last_mut().filter(|last| last.end == number) {
            Some(last) => last.end += 1,
            None => ranges.push(number..number + 1),
        }
    }
    let words = ranges.iter().map(|Range { start, end }| match end - start {
        1 => start.to_string(),
        _ => format!("{start}..{end}"),
    });
    words.collect::<Vec<_>>().join(",")
}

impl FromStr for Trial {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut trial = Self::of(0);
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{word}` needs a value."))?;
            trial.set(word, value)?;
        }
        Ok(trial)
    }
}

impl Trial {
    /// Sets what one word of the command line says.
    ///
    /// # Errors
    /// A sentence, when there is no such word or its value is no value for it.
    pub fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        fn number<T: FromStr>(text: &str) -> Result<T, String> {
            text.parse().map_err(|_| format!("`{text}` is no number."))
        }
        let numbers = |text: &str| match text.split_once("..") {
            Some((from, to)) => Ok(number(from)?..number(to)?),
            None => number(text).map(|one: u32| one..one + 1),
        };
        let troubles = |text: &str| {
            let words = text.split(',').filter(|word| *word != NONE);
            let trouble = |word: &str| {
                let found = Trouble::ALL.iter().find(|trouble| trouble.word() == word);
                found.copied().ok_or_else(|| format!("There is no trouble `{word}`."))
            };
            words.map(trouble).collect::<Result<Vec<_>, _>>()
        };
        match word {
            "--seed" => self.seed = number(value)?,
            "--steps" => self.steps = number(value)?,
            "--buyers" => self.buyers = number(value)?,
            "--absent" => {
                let ranges = value.split(',').map(numbers).collect::<Result<Vec<_>, String>>()?;
                self.absent = ranges.into_iter().flatten().collect();
            }
            "--without" => self.without = troubles(value)?,
            "--only" => {
                let only = troubles(value)?;
                let others = Trouble::ALL.iter().filter(|trouble| !only.contains(trouble));
                self.without = others.copied().collect();
            }
            _ => return Err(format!("There is no option `{word}`.")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_read_as_it_was_written() {
        let trial = Trial {
            seed: 17,
            steps: 4,
            buyers: 9,
            absent: vec![1, 5, 6, 7],
            without: vec![Trouble::FailAfter, Trouble::Kill],
        };
        let line = trial.to_string();
        let without = "--without fail-after,kill";
        assert_eq!(line, format!("--seed 17 --steps 4 --buyers 9 --absent 1,5..8 {without}"));
        assert_eq!(line.parse(), Ok(trial));
        assert_eq!("--seed 3".parse(), Ok(Trial::of(3)));
    }

    #[test]
    fn where_most_troubles_are_left_out_the_others_are_named() {
        for (few, line) in [
            (vec![], "--seed 3 --steps 4 --only none"),
            (vec![Trouble::Kill, Trouble::Echoes], "--seed 3 --steps 4 --only kill,echoes"),
        ] {
            let without = Trouble::ALL.iter().filter(|t| !few.contains(*t)).copied().collect();
            let trial = Trial { steps: 4, without, ..Trial::of(3) };
            assert_eq!(trial.to_string(), line);
            assert_eq!(line.parse(), Ok(trial));
        }
    }

    #[test]
    fn a_wrong_line_is_refused_in_a_sentence() {
        for (line, sentence) in [
            ("--seed", "`--seed` needs a value."),
            ("--seed x", "`x` is no number."),
            ("--without rain", "There is no trouble `rain`."),
            ("--absent 1..x", "`x` is no number."),
            ("--sead 1", "There is no option `--sead`."),
        ] {
            assert_eq!(line.parse::<Trial>().unwrap_err(), sentence);
        }
    }
}
