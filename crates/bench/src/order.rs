//! What the command line asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Fault;
use crate::rows::{ROWS, Row, find};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// The box office's program.
    pub(crate) maepyo: PathBuf,
    /// The floor's.
    pub(crate) floor: PathBuf,
    /// Where temporary directories are made, and what was measured is kept.
    pub(crate) dir: PathBuf,
    /// Which rows, in their own order.
    pub(crate) rows: Vec<&'static Row>,
    /// Rounds of each server.
    pub(crate) rounds: u32,
    /// What is measured in a round.
    pub(crate) measured: Duration,
    /// Only to see that it works.
    pub(crate) is_quick: bool,
    /// Fail when a row is below its figure.
    pub(crate) is_check: bool,
    /// The document to be written.
    pub(crate) write: Option<PathBuf>,
}

/// Understands the command line, or says why it does not. What it does not name lies where cargo
/// builds this program too: `programs`.
pub(crate) fn read(words: &[String], programs: &Path) -> Result<Order, Fault> {
    let (mut maepyo, mut floor, mut dir, mut write) = (None, None, None, None);
    let (mut rounds, mut seconds, mut is_quick, mut is_check) = (None, None, false, false);
    let mut names: Vec<&str> = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--quick" => is_quick = true,
            "--check" => is_check = true,
            "--maepyo" | "--floor" | "--dir" | "--write" | "--row" | "--rounds" | "--seconds" => {
                let value =
                    words.next().ok_or_else(|| Fault(format!("`{word}` needs a value.")))?;
                match word {
                    "--maepyo" => maepyo = Some(PathBuf::from(value)),
                    "--floor" => floor = Some(PathBuf::from(value)),
                    "--dir" => dir = Some(PathBuf::from(value)),
                    "--write" => write = Some(PathBuf::from(value)),
                    "--row" => names.push(value),
                    "--rounds" => rounds = Some(number(word, value)?),
                    _ => seconds = Some(number(word, value)?),
                }
            }
            _ => return Err(Fault(format!("`bench` does not know `{word}`."))),
        }
    }
    if let Some(name) = names.iter().find(|name| find(name).is_none()) {
        let all: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        return Err(Fault(format!("There is no row `{name}`. There are: {}.", all.join(", "))));
    }
    if is_quick && write.is_some() {
        return Err(Fault("A quick run is not for the document.".to_owned()));
    }
    Ok(Order {
        maepyo: maepyo.unwrap_or_else(|| programs.join("maepyo")),
        floor: floor.unwrap_or_else(|| programs.join("examples/floor")),
        dir: dir.unwrap_or_else(|| programs.join("bench-runs")),
        rows: ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name)).collect(),
        rounds: rounds.unwrap_or(if is_quick { 1 } else { 3 }),
        measured: Duration::from_secs(seconds.unwrap_or(if is_quick { 3 } else { 30 }).into()),
        is_quick,
        is_check,
        write,
    })
}

/// A count from 1 to a thousand.
fn number(word: &str, value: &str) -> Result<u32, Fault> {
    let number = value.parse().ok().filter(|number| (1..=1_000).contains(number));
    number.ok_or_else(|| Fault(format!("`{word}` is a number from 1 to 1000, not `{value}`.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order, Fault> {
        let words = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        read(&words, Path::new("release"))
    }

    #[test]
    fn all_rows_by_default_and_those_named_in_their_own_order() {
        let all = order("").expect("an order");
        assert_eq!((all.rows.len(), all.rounds, all.measured.as_secs()), (ROWS.len(), 3, 30));
        let some = order("--row join --row hold --quick --check").expect("an order");
        let names: Vec<_> = some.rows.iter().map(|row| row.name).collect();
        assert_eq!(names, ["hold", "join"]);
        assert_eq!((some.rounds, some.measured.as_secs(), some.is_check), (1, 3, true));
        assert_eq!(all.floor, Path::new("release/examples/floor"));
        assert_eq!(order("--maepyo old").expect("an order").maepyo, Path::new("old"));
        let own = order("--rounds 5 --seconds 10 --quick").expect("an order");
        assert_eq!((own.rounds, own.measured.as_secs()), (5, 10));
    }

    #[test]
    fn a_wrong_call_is_refused_in_a_sentence() {
        for (line, sentence) in [
            ("--fast", "`bench` does not know `--fast`."),
            ("--rounds", "`--rounds` needs a value."),
            ("--rounds 0", "`--rounds` is a number from 1 to 1000, not `0`."),
            ("--seconds x", "`--seconds` is a number from 1 to 1000, not `x`."),
            ("--quick --write a.md", "A quick run is not for the document."),
        ] {
            assert_eq!(order(line).unwrap_err(), Fault(sentence.to_owned()), "{line}");
        }
        let Fault(sentence) = order("--row holds").unwrap_err();
        assert!(
            sentence.starts_with("There is no row `holds`. There are: hold, status,"),
            "{sentence}"
        );
    }
}
