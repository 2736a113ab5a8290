//! Where SQL may stand, and how it begins.

use super::{Breach, is_product};
use crate::tree::Tree;
use crate::walls::words::has_word;

/// What only SQL says, in capitals as our statements are written.
const CAPITALS: [&str; 4] = ["SELECT", "PRAGMA", "VACUUM", "ON CONFLICT"];

/// What only SQL says, in whatever case.
const PHRASES: [&str; 9] = [
    "insert into",
    "delete from",
    "create table",
    "create index",
    "create unique index",
    "alter table",
    "drop table",
    "drop index",
    "select * from",
];

/// The words with which a statement that reads or changes tables begins.
const BEGINNINGS: [&str; 8] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH"];

pub(super) fn only_in_store(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.files.iter().filter(|file| !file.is_in("crates/store/")) {
        if file.path.ends_with(".sql") {
            breaches.push(Breach::at(file, 1, "a file of SQL may not stand here".to_owned()));
        }
    }
    // A server for tests is asked about itself, and knows nothing of what is kept in it.
    let may =
        |path: &str| ["crates/store/", "crates/pgserver/"].iter().any(|at| path.starts_with(at));
    let outside = |path: &str| is_product(path) && !may(path);
    for (file, rust) in tree.rust().filter(|(file, _)| outside(&file.path)) {
        for (line, literal) in &rust.literals {
            if let Some(phrase) = sql_in(literal) {
                breaches.push(Breach::at(file, *line, format!("`{phrase}` is SQL")));
            }
        }
    }
    breaches
}

fn sql_in(literal: &str) -> Option<&'static str> {
    let line = literal.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = line.to_lowercase();
    let capital = CAPITALS.into_iter().find(|word| has_word(&line, word));
    capital.or_else(|| PHRASES.into_iter().find(|phrase| has_word(&lower, phrase)))
}

pub(super) fn statements_have_names(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| file.is_in("crates/store/src/")) {
        for (line, literal) in &rust.literals {
            let first = literal.split_whitespace().next();
            if !rust.is_test(*line) && first.is_some_and(|word| BEGINNINGS.contains(&word)) {
                let what = "the statement does not begin with `-- its_name`".to_owned();
                breaches.push(Breach::at(file, *line, what));
            }
        }
    }
    breaches
}
