//! `cargo xtask defects`: shows that the simulator can fail.
//!
//! Each deliberate defect of `crates/sim/defects.toml` is put into a copy of the tree, the simulator
//! is built there and must find it, by its seeds and under a name that fits. One that is too rare for them is
//! found by the run that is kept of it, and the table says so. The tree itself is never touched. What a seed finds depends on the workload, not on luck: the same tree gives the
//! same table.

mod copy;
mod list;
mod search;

use std::ops::Range;
use std::process::ExitCode;

use copy::Copy;
use list::Defect;
use search::{Search, Verdict};

/// Seeds that are searched when the call names none.
const SEEDS: Range<u64> = 0..2_000;

/// What the caller asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    /// Only these; all when empty.
    names: Vec<String>,
    seeds: Range<u64>,
    /// Whether to write into the list what is to be kept.
    keep: bool,
}

/// Understands the words after `defects`.
pub(crate) fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Order, String> {
    let mut order = Order { names: Vec::new(), seeds: SEEDS, keep: false };
    while let Some(word) = words.next() {
        if word == "--seeds" {
            let value = words.next().ok_or("`--seeds` needs a range like 0..2000.")?;
            order.seeds = range(value)?;
        } else if word == "--keep" {
            order.keep = true;
        } else if word.starts_with('-') {
            return Err(format!("`defects` does not know `{word}`."));
        } else {
            order.names.push(word.to_owned());
        }
    }
    Ok(order)
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends =
        text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let range = ends.map(|(from, to)| from..to).filter(|range| !range.is_empty());
    range.ok_or_else(|| format!("`{text}` is no range like 0..2000."))
}

/// Searches for every defect that was asked for; fails when one is not found, or cannot be put in
/// any more, or when the sound tree fails.
pub(crate) fn run(order: &Order) -> ExitCode {
    match find_all(order) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("{missed} of the defects were not found as they should be.");
            ExitCode::FAILURE
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn find_all(order: &Order) -> Result<usize, String> {
    let defects = chosen(list::read()?, &order.names)?;
    let copy = Copy::make()?;
    // All of them first: whoever changes the code hears at once which no longer fit.
    let misfits: Vec<String> =
        defects.iter().filter_map(|defect| copy.fits(defect).err()).collect();
    if !misfits.is_empty() {
        return Err(misfits.join("\n"));
    }
    let search = Search { copy: &copy, seeds: order.seeds.clone() };
    println!("The sound tree, seeds {}..{}:", order.seeds.start, order.seeds.end);
    search.finds_nothing()?;

    println!("{}", search::HEADING);
    let (mut missed, mut unkept) = (0, Vec::new());
    for defect in &defects {
        let sound = copy.put_in(defect)?;
        let verdict = search.look_for(defect);
        sound.put_back()?;
        let Verdict { line, found, keep } = verdict?;
        println!("{line}");
        missed += usize::from(!found);
        unkept.extend(keep.map(|keep| (defect.name.as_str(), keep)));
    }
    println!("{} defects, {} found.", defects.len(), defects.len() - missed);
    if order.keep {
        list::keep(&unkept)?;
        println!("{} runs are kept anew in {}.", unkept.len(), list::PATH);
    } else if !unkept.is_empty() {
        println!("Of {} no run is kept that shows it; `--keep` writes one.", unkept.len());
    }
    Ok(missed)
}

fn chosen(all: Vec<Defect>, names: &[String]) -> Result<Vec<Defect>, String> {
    if let Some(name) = names.iter().find(|name| !all.iter().any(|one| one.name == **name)) {
        return Err(format!("There is no defect `{name}` in {}.", list::PATH));
    }
    let is_chosen = |defect: &Defect| names.is_empty() || names.contains(&defect.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Order, String> {
        parse(&mut line.split_whitespace())
    }

    #[test]
    fn a_call_names_defects_and_seeds() {
        let all = Order { names: vec![], seeds: 0..2_000, keep: false };
        assert_eq!(parsed("").unwrap(), all);
        let names = vec!["one".to_owned(), "two".to_owned()];
        let some = Order { names, seeds: 5..9, keep: true };
        assert_eq!(parsed("one --seeds 5..9 two --keep").unwrap(), some);
    }

    #[test]
    fn a_wrong_call_is_refused_in_a_sentence() {
        for (line, sentence) in [
            ("--seeds", "`--seeds` needs a range like 0..2000."),
            ("--seeds 9..5", "`9..5` is no range like 0..2000."),
            ("--seeds five", "`five` is no range like 0..2000."),
            ("--all", "`defects` does not know `--all`."),
        ] {
            assert_eq!(parsed(line).unwrap_err(), sentence);
        }
    }

    #[test]
    fn every_defect_of_the_list_fits_the_tree_once() {
        for defect in list::read().unwrap() {
            for change in &defect.changes {
                let text = std::fs::read_to_string(crate::command::root().join(&change.file));
                let text = text.unwrap_or_else(|error| panic!("{}: {error}", change.file));
                assert_eq!(
                    text.matches(&change.text).count(),
                    1,
                    "the defect `{}` does not fit {}",
                    defect.name,
                    change.file
                );
            }
        }
    }
}
