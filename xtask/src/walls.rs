//! The walls: which crate may use which, which words are banned where, what every file and document
//! owes its reader.
//!
//! Each wall has a name and one sentence that says what it is for, and `examples.rs` proves of each
//! that it can fail. A wall looks at text, not at meaning: it is there so that a decision of the
//! design cannot be undone by accident, not to catch a person who wants to get around it.

mod crates;
mod documents;
mod files;
mod pages;
mod sql;
mod words;

#[cfg(test)]
mod examples;

use crate::metadata::Metadata;
use crate::tree::{File, Tree};
use words::{Part, Words};

/// Checks every wall; prints the breaches, fails with a sentence that counts them.
pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Result<(), String> {
    let mut count = 0;
    for wall in &WALLS {
        for breach in wall.breaches(tree, metadata) {
            count += 1;
            println!("{}: {}. {} [{}]", breach.place, breach.what, wall.reason, wall.name);
        }
    }
    println!("{} walls, {} files.", WALLS.len(), tree.files.len());
    match count {
        0 => Ok(()),
        many => Err(format!("{many} breaches of the walls: see above.")),
    }
}

/// One rule about the tree.
#[derive(Debug)]
struct Wall {
    name: &'static str,
    /// What it is for, in one sentence.
    reason: &'static str,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// These words may not stand in that part of those files.
    Words(Words),
    /// Anything else.
    Tree(fn(&Tree) -> Vec<Breach>),
    /// A rule about what depends on what.
    Crates(fn(&Metadata) -> Vec<Breach>),
}

/// One place where a wall is broken.
#[derive(Debug, PartialEq)]
struct Breach {
    /// A file, a file and a line, or a crate.
    place: String,
    what: String,
}

impl Breach {
    fn at(file: &File, line: usize, what: String) -> Self {
        Self { place: format!("{}:{line}", file.path), what }
    }
}

impl Wall {
    fn breaches(&self, tree: &Tree, metadata: &Metadata) -> Vec<Breach> {
        match &self.rule {
            Rule::Words(words) => words.breaches(tree),
            Rule::Tree(rule) => rule(tree),
            Rule::Crates(rule) => rule(metadata),
        }
    }
}

const WALLS: [Wall; 26] = [
    // Which crate may use which.
    Wall {
        name: "crates-in-order",
        reason: "Rules know nothing of storage, storage nothing of running, nobody the server",
        rule: Rule::Crates(crates::in_order),
    },
    Wall {
        name: "domain-needs-little",
        reason: "The rules are a pure function and need values, not services",
        rule: Rule::Crates(crates::domain_needs_little),
    },
    Wall {
        name: "libraries-have-a-home",
        reason: "What a library is for is the business of one crate",
        rule: Rule::Crates(crates::libraries_have_a_home),
    },
    Wall {
        name: "manifests-inherit",
        reason: "Lints and versions are set once, in the workspace",
        rule: Rule::Tree(files::manifests_inherit),
    },
    // Which words are banned where.
    Wall {
        name: "domain-is-pure",
        reason: "The rules do no I/O, read no clock, make no randomness, take no lock, do not wait",
        rule: Rule::Words(Words {
            place: |path| path.starts_with("crates/domain/"),
            part: Part::Code,
            in_tests: false,
            words: "async await tokio fs:: net:: io:: env:: thread:: process:: thread_local! \
                SystemTime Instant Mutex RwLock Condvar rand getrandom print! println! \
                eprint! eprintln!",
        }),
    },
    Wall {
        name: "core-is-synchronous",
        reason: "The engine's core is driven from outside, by threads or by the simulator",
        rule: Rule::Words(Words {
            place: |path| is_module("crates/engine/src/core", path),
            part: Part::Code,
            in_tests: false,
            words: "async await tokio fs:: net:: io:: thread:: mpsc SystemTime Instant Mutex \
                RwLock Condvar rand getrandom",
        }),
    },
    Wall {
        name: "no-random-hash",
        reason: "The same commands give the same events everywhere; say FxHashMap, BTreeMap, OrdMap",
        rule: Rule::Words(Words {
            place: |path| {
                path.starts_with("crates/domain/") || path.starts_with("crates/engine/src/")
            },
            part: Part::Code,
            in_tests: true,
            words: "HashMap HashSet RandomState DefaultHasher",
        }),
    },
    Wall {
        name: "environment-at-the-server",
        reason: "Only the server knows the environment; what others need is an argument",
        rule: Rule::Words(Words {
            // Two mains are programs of their own, with arguments of their own.
            place: |path| {
                is_product(path)
                    && !path.starts_with("crates/server/")
                    && path != "crates/sim/src/main.rs"
                    && path != "crates/bench/src/main.rs"
            },
            part: Part::Code,
            in_tests: false,
            words: "std::env env::var env::var_os env::vars env::args",
        }),
    },
    Wall {
        name: "sql-in-store",
        reason: "Only the store contains SQL",
        rule: Rule::Tree(sql::only_in_store),
    },
    Wall {
        name: "statements-have-names",
        reason: "A statement is found by its name in the database's own reports",
        rule: Rule::Tree(sql::statements_have_names),
    },
    Wall {
        name: "backends-know-no-business",
        reason: "A backend keeps streams and bytes, so that each keeps them alike",
        rule: Rule::Words(Words {
            place: |path| {
                ["memory", "sqlite", "postgres"]
                    .iter()
                    .any(|name| is_module(&format!("crates/store/src/{name}"), path))
            },
            part: Part::Speech,
            in_tests: true,
            words: "sale seat hold reservation payment buyer ticket performance venue price \
                concert refund charge",
        }),
    },
    Wall {
        name: "tokens-at-the-server",
        reason: "Only the server knows what a queue token is made of",
        rule: Rule::Words(Words {
            place: |path| is_product(path) && !path.starts_with("crates/server/"),
            part: Part::CodeAndLiterals,
            in_tests: true,
            words: "jwt jws jwk HS256",
        }),
    },
    Wall {
        name: "names-of-the-box-office",
        reason: "A name says which thing it is, in the words of a box office",
        rule: Rule::Tree(files::names_of_the_box_office),
    },
    // What the pages may do.
    Wall {
        name: "pages-name-no-host",
        reason: "The pages come from the binary, and everything in them does",
        rule: Rule::Tree(pages::name_no_host),
    },
    Wall {
        name: "pages-ask-in-one-place",
        reason: "One module of the pages calls the server, so that a token has one way out",
        rule: Rule::Tree(pages::ask_in_one_place),
    },
    // What may stand nowhere.
    Wall {
        name: "expect-not-allow",
        reason: "An exception to a lint is an `expect` with its reason, and ends when it is unneeded",
        rule: Rule::Words(Words {
            place: |_| true,
            part: Part::Code,
            in_tests: true,
            words: "#[allow( #![allow(",
        }),
    },
    Wall {
        name: "no-ignored-test",
        reason: "A test runs always or does not exist",
        rule: Rule::Words(Words {
            place: |_| true,
            part: Part::Code,
            in_tests: true,
            words: "#[ignore",
        }),
    },
    Wall {
        name: "nothing-unfinished",
        reason: "What stands in the tree is finished",
        rule: Rule::Words(Words {
            place: |_| true,
            part: Part::Code,
            in_tests: true,
            words: "todo! unimplemented! dbg!",
        }),
    },
    Wall {
        name: "nothing-promised",
        reason: "What is still to be done stands in an issue, where it can be found",
        rule: Rule::Tree(files::nothing_promised),
    },
    Wall {
        name: "no-sleeping-test",
        reason: "Tests move a clock or wait for a thing; a pause between looks says `// paces: why`",
        rule: Rule::Tree(files::no_sleeping_test),
    },
    Wall {
        name: "no-machine-paths",
        reason: "The tree works on any machine",
        rule: Rule::Tree(files::no_machine_paths),
    },
    // What every file and document owes its reader.
    Wall {
        name: "files-say-what-they-are",
        reason: "The first line says what the file is, and what it deliberately does not do",
        rule: Rule::Tree(files::say_what_they_are),
    },
    Wall {
        name: "long-files-say-why",
        reason: "Past 600 lines the head has a line with `One idea:` that says why it is one",
        rule: Rule::Tree(files::long_ones_say_why),
    },
    Wall {
        name: "documents-exist",
        reason: "These are what a reader looks for first",
        rule: Rule::Tree(documents::exist),
    },
    Wall {
        name: "links-lead-somewhere",
        reason: "A link between documents names a file of the tree",
        rule: Rule::Tree(documents::links_lead_somewhere),
    },
    Wall {
        name: "walls-guard-something",
        reason: "A wall around a file that was moved would stand open unnoticed",
        rule: Rule::Tree(guard_something),
    },
];

/// Whether a path belongs to the product, not to what builds it.
fn is_product(path: &str) -> bool {
    path.starts_with("crates/")
}

/// Whether a path is a module's file (`…/core.rs`) or lies in its folder (`…/core/…`).
fn is_module(module: &str, path: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn guard_something(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for wall in &WALLS {
        let Rule::Words(words) = &wall.rule else { continue };
        if !tree.rust().any(|(file, _)| (words.place)(&file.path)) {
            let what = "no file stands behind it".to_owned();
            breaches.push(Breach { place: wall.name.to_owned(), what });
        }
    }
    if !tree.has(pages::CALLER) {
        let what = format!("{} is gone, around which walls stand", pages::CALLER);
        breaches.push(Breach { place: pages::CALLER.to_owned(), what });
    }
    breaches
}
