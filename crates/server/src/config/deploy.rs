//! What the files in `deploy/` say to the program is what it understands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::{ADMIN_KEY, Cli, TOKEN_KEYS};

/// Every file below a directory, with its text.
fn files(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("text");
            found.insert(path, text);
        }
    }
}

fn deployed() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy"), &mut found);
    found
}

/// The command and all below it.
fn all(command: &clap::Command) -> Vec<&clap::Command> {
    let below = command.get_subcommands().flat_map(all);
    [command].into_iter().chain(below).collect()
}

/// What it reads from the environment of names that are its own.
fn variables() -> BTreeSet<String> {
    let cli = Cli::command();
    let named = all(&cli)
        .into_iter()
        .flat_map(|command| command.get_arguments().filter_map(|option| option.get_env()));
    let named = named.map(|name| name.to_str().expect("text").to_owned());
    named.chain([TOKEN_KEYS, ADMIN_KEY].map(str::to_owned)).collect()
}

/// The pieces of a text that consist of such characters.
fn words(text: &str, is_part: impl Fn(char) -> bool + Copy) -> impl Iterator<Item = &str> {
    text.split(move |letter| !is_part(letter)).filter(|word| !word.is_empty())
}

#[test]
fn every_variable_is_one_that_the_program_reads() {
    let known = variables();
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let mut count = 0;
    for (path, text) in deployed() {
        for word in words(&text, is_part).filter(|word| word.starts_with("MAEPYO_")) {
            assert!(known.contains(word), "{}: {word}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "only {count} were found");
}

#[test]
fn every_command_line_is_one_that_the_program_understands() {
    let mut count = 0;
    for (path, text) in deployed() {
        for line in text.lines() {
            // What a shell, a unit or a list of words calls: `maepyo serve`, `["maepyo", "ready"]`.
            let line = line.replace(['"', ',', '[', ']', '`'], " ");
            let called = line.split_whitespace().collect::<Vec<_>>();
            let at = called.iter().position(|word| *word == "maepyo" || word.ends_with("/maepyo"));
            let Some(at) = at else { continue };
            let cli = Cli::command();
            let is_command =
                |word: &str| cli.get_subcommands().any(|command| command.get_name() == word);
            let Some(command) = called.get(at + 1).filter(|word| is_command(word)) else {
                continue;
            };
            let options: Vec<&str> = called[at + 2..]
                .iter()
                .take_while(|word| !["&&", "|", "#"].contains(word))
                .filter(|word| word.starts_with("--"))
                .map(|word| word.split('=').next().expect("a word").trim_start_matches("--"))
                .collect();
            let command = cli.find_subcommand(command).expect("it was found");
            for option in options {
                let is_known = all(command).into_iter().any(|command| {
                    command.get_arguments().any(|known| known.get_long() == Some(option))
                });
                assert!(is_known, "{}: --{option} in {line}", path.display());
            }
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} were found");
}
