//! What holds for every file: how it begins, how long it may be, what it may not say.

use super::{Breach, is_product};
use crate::rust_text::is_name;
use crate::tree::{File, Tree};
use crate::walls::words::has_word;

/// From this many lines on, a file says why it is one idea.
const LONG: usize = 600;

/// The tests of the pages.
const BROWSER_TESTS: &str = "crates/server/browser/";

/// Folders at the root of somebody's machine.
const MACHINE_FOLDERS: [&str; 5] = ["work", "farm", "home", "root", "Users"];

/// What a promise to do it later begins with.
const PROMISES: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Ends of names that say nothing about the thing.
const EMPTY_NAMES: [&str; 9] =
    ["Manager", "Helper", "Helpers", "Service", "Data", "Utils", "utils", "helpers", "common"];

pub(super) fn say_what_they_are(tree: &Tree) -> Vec<Breach> {
    let is_silent = |file: &&File| !file.text.starts_with(opening(file));
    let silent = programs(tree).filter(is_silent);
    silent
        .map(|file| Breach::at(file, 1, format!("it begins without `{}`", opening(file))))
        .collect()
}

/// What a file begins with that says what it is: in a script an ordinary comment does.
fn opening(file: &File) -> &'static str {
    if file.rust.is_some() { "//!" } else { "//" }
}

/// What is written in a programming language: Rust, and the scripts of pages and of their tests.
fn programs(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.rust.is_some() || file.path.ends_with(".js"))
}

pub(super) fn long_ones_say_why(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in programs(tree) {
        let count = file.text.lines().count();
        let mut head = file.text.lines().take_while(|line| line.starts_with(opening(file)));
        if count > LONG && !head.any(|line| line.contains("One idea:")) {
            breaches.push(Breach::at(file, 1, format!("it has {count} lines")));
        }
    }
    breaches
}

pub(super) fn nothing_promised(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in &tree.files {
        // In Rust only comments speak; elsewhere everything does.
        let lines: Vec<(usize, &str)> = match &file.rust {
            Some(rust) => rust.comments().collect(),
            None => (1..).zip(file.text.lines()).collect(),
        };
        for (line, text) in lines {
            for promise in PROMISES.iter().filter(|promise| has_word(text, promise)) {
                breaches.push(Breach::at(file, line, format!("`{promise}` is a promise")));
            }
        }
    }
    breaches
}

pub(super) fn no_machine_paths(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in &tree.files {
        for (line, text) in (1..).zip(file.text.lines()) {
            for folder in MACHINE_FOLDERS {
                let path = format!("/{folder}/");
                // Inside a longer path or an address the folder is not at a machine's root.
                let mut found = text.match_indices(&path).filter(|(at, _)| {
                    let before = text[..*at].chars().next_back();
                    !before.is_some_and(|c| is_name(c) || c == '.')
                });
                if found.next().is_some() {
                    breaches.push(Breach::at(
                        file,
                        line,
                        format!("`{path}` is a path of a machine"),
                    ));
                }
            }
        }
    }
    breaches
}

pub(super) fn no_sleeping_test(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, rust) in tree.rust() {
        for (line, code) in rust.code().filter(|(line, _)| rust.is_test(*line)) {
            let sleeps = ["sleep(", "sleep_until(", "sleep_ms(", "park_timeout("];
            let moves_clock = rust.is_paused(line) && !has_word(code, "thread::");
            if moves_clock || !sleeps.iter().any(|call| has_word(code, call)) {
                continue;
            }
            // Its reason stands on the line itself, or in the comment right above.
            let above = (1..line).rev().take_while(|above| !rust.comment_on(*above).is_empty());
            let paces = std::iter::once(line).chain(above).any(|line| {
                let reason = rust.comment_on(line).split_once("paces:");
                reason.is_some_and(|(_, reason)| !reason.trim().is_empty())
            });
            if !paces {
                breaches.push(Breach::at(file, line, "the test sleeps".to_owned()));
            }
        }
    }
    for file in tree.files.iter().filter(|file| file.is_in(BROWSER_TESTS)) {
        let mut above = "";
        for (line, text) in (1..).zip(file.text.lines()) {
            let sleeps = ["setTimeout(", "waitForTimeout("].iter().any(|call| has_word(text, call));
            if sleeps && !text.contains("// paces: ") && !above.contains("// paces: ") {
                breaches.push(Breach::at(file, line, "the test sleeps".to_owned()));
            }
            above = text;
        }
    }
    breaches
}

pub(super) fn names_of_the_box_office(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| is_product(&file.path)) {
        for (line, code) in rust.code() {
            let words: Vec<&str> = code.split(|c| !is_name(c)).filter(|w| !w.is_empty()).collect();
            for pair in words.windows(2) {
                let declares = ["struct", "enum", "trait", "mod"].contains(&pair[0]);
                if declares && EMPTY_NAMES.iter().any(|empty| pair[1].ends_with(empty)) {
                    breaches.push(Breach::at(
                        file,
                        line,
                        format!("`{}` is an empty name", pair[1]),
                    ));
                }
            }
        }
    }
    breaches
}

pub(super) fn manifests_inherit(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let is_ours = |path: &str| path != "Cargo.toml" && path.ends_with("Cargo.toml");
    for file in tree.files.iter().filter(|file| is_ours(&file.path)) {
        let manifest: toml::Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                breaches.push(Breach::at(file, 1, format!("it is no TOML: {}", error.message())));
                continue;
            }
        };
        let inherits = |value: &toml::Value| {
            value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
        };
        if !manifest.get("lints").is_some_and(inherits) {
            breaches.push(Breach::at(file, 1, "`[lints] workspace = true` is missing".to_owned()));
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = manifest.get(kind).and_then(toml::Value::as_table);
            for (name, value) in dependencies.into_iter().flatten() {
                if !inherits(value) {
                    let what = format!("`{name}` lacks `workspace = true`");
                    breaches.push(Breach::at(file, 1, what));
                }
            }
        }
    }
    breaches
}
