//! For each wall a change to a sound tree that breaks it, and one close by that does not: the proof
//! that the wall can fail, and that it fails for its own reason only.

use serde_json::{Value, json};

use super::{WALLS, Wall};
use crate::metadata::Metadata;
use crate::tree::{File, Tree};

/// The smallest tree in which all walls stand.
const SOUND: [(&str, &str); 16] = [
    ("README.md", "[How it is built](ARCHITECTURE.md)"),
    ("README.ko.md", "매표"),
    ("ARCHITECTURE.md", "# Architecture"),
    ("CONTRIBUTING.md", "# Contributing"),
    ("CHANGELOG.md", "# Changes"),
    ("LICENSE-MIT", "MIT License"),
    ("LICENSE-APACHE", "Apache License"),
    ("openapi.json", "{}"),
    ("Cargo.toml", "[workspace]"),
    (
        "crates/domain/Cargo.toml",
        "[dependencies]\nimbl.workspace = true\n[lints]\nworkspace = true",
    ),
    ("crates/domain/src/lib.rs", "//! The rules."),
    ("crates/store/src/memory.rs", "//! Streams and bytes."),
    ("crates/engine/src/core.rs", "//! The core."),
    ("crates/server/src/main.rs", "//! The server."),
    ("crates/server/web/api.js", "// The one that calls."),
    ("xtask/src/main.rs", "//! The commands."),
];

/// The wall, the file, what breaks the wall in it and what does not.
const FILES: &[(&str, &str, &str, &str)] = &[
    (
        "manifests-inherit",
        "crates/store/Cargo.toml",
        "[dependencies]\nrusqlite = \"0.41\"\n[lints]\nworkspace = true",
        "[dependencies]\nrusqlite = { workspace = true }\n[lints]\nworkspace = true",
    ),
    ("manifests-inherit", "crates/store/Cargo.toml", "[lints.rust]", "lints.workspace = true"),
    ("manifests-inherit", "crates/store/Cargo.toml", "no TOML", "lints.workspace = true"),
    (
        "domain-is-pure",
        "crates/domain/src/line.rs",
        "//! A.\nuse std::fs::File;",
        "//! A.\n// It has no fs::File.\n#[cfg(test)]\nuse std::fs::File;",
    ),
    (
        "domain-is-pure",
        "crates/domain/src/line.rs",
        "//! A.\nasync fn f() {}",
        "//! A.\nfn f() -> &'static str { \"async\" }",
    ),
    (
        "domain-is-pure",
        "crates/domain/src/line.rs",
        "//! A.\nfn f(now: SystemTime) {}",
        "//! A.\nfn f(now: Timestamp) {}",
    ),
    (
        "core-is-synchronous",
        "crates/engine/src/core/batch.rs",
        "//! A.\nstruct A(Mutex<u8>);",
        "//! A.\nstruct A(u8);",
    ),
    (
        "no-random-hash",
        "crates/engine/src/driver.rs",
        "//! A.\nuse std::collections::HashMap;",
        "//! A.\nuse rustc_hash::FxHashMap;",
    ),
    (
        "environment-at-the-server",
        "crates/store/src/lib.rs",
        "//! A.\nfn f() { std::env::var(\"A\"); }",
        "//! A.\nfn f() { env!(\"A\"); }\n#[test]\nfn g() { std::env::var(\"A\"); }",
    ),
    (
        "sql-in-store",
        "crates/engine/src/lib.rs",
        "//! A.\nconst A: &str = \"-- a\nSELECT\n    b\";",
        "//! A.\n// SELECT is the store's.\nconst A: &str = \"select a seat\";",
    ),
    (
        "sql-in-store",
        "crates/server/tests/a.rs",
        "//! A.\nconst A: &str = \"insert  into b\";",
        "//! A.\nconst A: &str = \"insert a coin\";",
    ),
    ("sql-in-store", "crates/server/src/a.sql", "", "-- also nothing, but a file of SQL"),
    (
        "statements-have-names",
        "crates/store/src/ledger.rs",
        "//! A.\nconst A: &str = \"\nSELECT b\";",
        "//! A.\nconst A: &str = \"\n-- a\nSELECT b\";",
    ),
    (
        "backends-know-no-business",
        "crates/store/src/sqlite.rs",
        "//! A.\nstruct SeatRow;",
        "//! A.\nstruct Row;",
    ),
    (
        "backends-know-no-business",
        "crates/store/src/sqlite/write.rs",
        "//! It keeps all sales.",
        "//! It keeps all streams, wholesale.",
    ),
    (
        "tokens-at-the-server",
        "crates/engine/src/lib.rs",
        "//! A.\nstruct QueueJwt;",
        "//! It knows no JWT.\nstruct Token;",
    ),
    (
        "names-of-the-box-office",
        "crates/engine/src/lib.rs",
        "//! A.\npub struct SeatManager;",
        "//! A.\nstruct Metadata;\nimpl Service for A { type Data = B; }",
    ),
    (
        "pages-name-no-host",
        "crates/server/web/seats.js",
        "//! A.\nconst a = \"https://example.org/font\";",
        "//! A.\nconst SVG = \"http://www.w3.org/2000/svg\";",
    ),
    (
        "pages-name-no-host",
        "crates/server/web/index.html",
        "<script src=\"//example.org/a.js\"></script>",
        "<script src=\"/web/list.js\"></script>",
    ),
    (
        "pages-ask-in-one-place",
        "crates/server/web/line.js",
        "//! A.\nawait fetch(\"/queue/status\");",
        "//! A.\nawait status();",
    ),
    (
        "pages-ask-in-one-place",
        "crates/server/web/live.js",
        "//! A.\nnew EventSource(a);",
        "//! No EventSource: it sends no header.\n/**\n * As fetch() does.\n */\na(); // fetch()",
    ),
    (
        "pages-ask-in-one-place",
        "crates/server/web/pay.js",
        "//! A.\nnavigator.sendBeacon(a);",
        "//! A.\nrefetch(a);",
    ),
    (
        "expect-not-allow",
        "xtask/src/a.rs",
        "//! A.\n#[allow(dead_code)]\nstruct A;",
        "//! A.\n#[expect(dead_code, reason = \"not #[allow(\")]\nstruct A;",
    ),
    (
        "no-ignored-test",
        "crates/engine/tests/a.rs",
        "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn a() {}",
        "//! A.\n#[test]\nfn a() {}",
    ),
    (
        "nothing-unfinished",
        "crates/engine/tests/a.rs",
        "//! A.\nfn a() { todo!() }",
        "//! A.\n// No todo!() here.\nfn a() {}",
    ),
    (
        "nothing-promised",
        "crates/engine/src/lib.rs",
        "//! A.\n// TODO: mend it.",
        "//! A.\nconst A: &str = \"TODO\";",
    ),
    ("nothing-promised", "docs/a.md", "FIXME", "FIXMENT is a word of its own"),
    (
        "no-sleeping-test",
        "crates/server/tests/a.rs",
        "//! A.\nfn a() { std::thread::sleep(B); }",
        "//! A.\nfn a() { std::thread::sleep(B); } // paces: the port tells nobody.",
    ),
    (
        "no-sleeping-test",
        "crates/engine/src/lib.rs",
        "//! A.\n#[cfg(test)]\nmod tests {\n    // paces:\n    fn a() { tokio::time::sleep(B); }\n}",
        "//! A.\nfn b() { tokio::time::sleep(B); }\n#[cfg(test)]\nmod tests {\n    // paces: a file\n    // tells nobody.\n    fn a() { sleep(B); }\n}",
    ),
    (
        "no-sleeping-test",
        "crates/engine/tests/a.rs",
        "//! A.\n#[tokio::test]\nasync fn a() { sleep(B).await; }",
        "//! A.\n#[tokio::test(start_paused = true)]\nasync fn a() {\n    sleep(B).await;\n}",
    ),
    (
        "no-sleeping-test",
        "crates/engine/tests/a.rs",
        "//! A.\n#[tokio::test(start_paused = true)]\nasync fn a() { std::thread::sleep(B); }",
        "//! A.\n#[tokio::test]\nasync fn a() { asleep(B).await; }",
    ),
    (
        "no-sleeping-test",
        "crates/server/browser/a.test.js",
        "//! A.\nawait page.waitForTimeout(100);",
        "//! A.\n// paces: nobody tells.\nsetTimeout(look, 100);\nsetTimeout(look, 9); // paces: a.",
    ),
    ("files-say-what-they-are", "xtask/src/a.rs", "// A.\nstruct A;", "//! A.\nstruct A;"),
    ("files-say-what-they-are", "crates/server/web/a.js", "let a;", "// A.\nlet a;"),
    ("documents-exist", "README.md", "\0", "매표"),
    (
        "links-lead-somewhere",
        "docs/a.md",
        "[a](ARCHITECTURE.md)",
        "[a](../ARCHITECTURE.md#top) [b](https://example.org) [c](#d) [e](../crates/store)",
    ),
    ("walls-guard-something", "crates/store/src/memory.rs", "\0", "//! Streams and bytes."),
    ("walls-guard-something", "crates/server/web/api.js", "\0", "// It may fetch(this)."),
];

/// The wall, the crate, what it may not depend on and what it may.
const DEPENDENCIES: &[(&str, &str, &str, &str)] = &[
    ("crates-in-order", "store", "engine", "domain"),
    ("crates-in-order", "xtask", "domain", "toml"),
    ("crates-in-order", "newcomer", "toml", ""),
    ("domain-needs-little", "domain", "thiserror", "jiff"),
    ("libraries-have-a-home", "engine", "axum", "tokio"),
    ("libraries-have-a-home", "engine", "rusqlite", "thiserror"),
    ("libraries-have-a-home", "store", "serde", "rusqlite"),
];

/// The sound tree with one file put in the place of another, or beside them; `"\0"` takes it away.
fn tree(path: &str, text: &str) -> Tree {
    let mut files: Vec<File> = SOUND
        .iter()
        .filter(|(sound, _)| *sound != path)
        .map(|(path, text)| File::new(path, (*text).to_owned()))
        .collect();
    if text != "\0" {
        files.push(File::new(path, text.to_owned()));
    }
    Tree { files, others: Vec::new() }
}

/// Our crates, one of them with a dependency more.
fn metadata(user: &str, used: &str, kind: Option<&str>) -> Metadata {
    let mut names = vec!["domain", "store", "engine", "maepyo", "xtask"];
    if !names.contains(&user) && !user.is_empty() {
        names.push(user);
    }
    let packages: Vec<Value> = names
        .iter()
        .map(|name| {
            let dependency = json!({"name": used, "req": "^1", "kind": kind, "path": null});
            let dependencies = if *name == user { vec![dependency] } else { vec![] };
            json!({
                "id": name, "name": name, "version": "0.1.0", "source": null, "license": "MIT",
                "dependencies": dependencies,
            })
        })
        .collect();
    let whole = json!({
        "packages": packages,
        "workspace_members": names,
        "resolve": {"nodes": []},
    });
    Metadata::parse(whole.to_string().as_bytes()).unwrap()
}

/// The names of the walls that are broken.
fn broken(tree: &Tree, metadata: &Metadata) -> Vec<&'static str> {
    let is_broken = |wall: &&Wall| !wall.breaches(tree, metadata).is_empty();
    WALLS.iter().filter(is_broken).map(|wall| wall.name).collect()
}

#[test]
fn the_sound_tree_is_sound() {
    assert_eq!(broken(&tree("", "\0"), &metadata("", "", None)), [""; 0]);
}

#[test]
fn each_wall_of_files_can_be_broken_alone() {
    let crates = metadata("", "", None);
    for (wall, path, bad, good) in FILES {
        assert_eq!(broken(&tree(path, bad), &crates), [*wall], "{path}: {bad}");
        // A file of SQL is wrong whatever it says.
        if !path.ends_with(".sql") {
            assert_eq!(broken(&tree(path, good), &crates), [""; 0], "{path}: {good}");
        }
    }
}

#[test]
fn each_wall_of_crates_can_be_broken_alone() {
    let files = tree("", "\0");
    for (wall, user, bad, good) in DEPENDENCIES {
        for kind in [None, Some("dev")] {
            let walls = broken(&files, &metadata(user, bad, kind));
            assert_eq!(walls, [*wall], "{user} on {bad}");
        }
        if *user != "newcomer" {
            assert_eq!(broken(&files, &metadata(user, good, None)), [""; 0], "{user} on {good}");
        }
    }
}

#[test]
fn the_domain_may_use_more_in_its_tests() {
    let files = tree("", "\0");
    assert_eq!(broken(&files, &metadata("domain", "proptest", Some("dev"))), [""; 0]);
    assert_eq!(broken(&files, &metadata("domain", "proptest", None)), ["domain-needs-little"]);
}

#[test]
fn a_long_file_needs_its_one_idea() {
    let crates = metadata("", "", None);
    let body = "fn a() {}\n".repeat(600);
    let path = "crates/engine/src/lib.rs";
    let long = tree(path, &format!("//! A.\n{body}"));
    assert_eq!(broken(&long, &crates), ["long-files-say-why"]);
    let told = tree(path, &format!("//! A.\n//! One idea: everything that is called a.\n{body}"));
    assert_eq!(broken(&told, &crates), [""; 0]);

    let script = tree("crates/server/web/a.js", &format!("//! A.\n{body}"));
    assert_eq!(broken(&script, &crates), ["long-files-say-why"]);
}

#[test]
fn a_path_of_a_machine_is_found_in_any_file() {
    let crates = metadata("", "", None);
    // Put together here, so that this file does not break the wall itself.
    let path = ["", "home", "ann", "maepyo"].join("/");
    for place in ["docs/a.md", "a.sh", "crates/engine/tests/a.rs"] {
        let bad = tree(place, &format!("//! {path}"));
        assert_eq!(broken(&bad, &crates), ["no-machine-paths"], "in {place}");
        let good = tree(place, &format!("//! https://example.org{path} and target{path}"));
        assert_eq!(broken(&good, &crates), [""; 0], "in {place}");
    }
}

#[test]
fn every_wall_has_an_example_and_no_example_lacks_a_wall() {
    let alone = ["long-files-say-why", "no-machine-paths"];
    let of_files = FILES.iter().map(|(wall, ..)| *wall);
    let of_crates = DEPENDENCIES.iter().map(|(wall, ..)| *wall);
    let mut shown: Vec<&str> = alone.into_iter().chain(of_files).chain(of_crates).collect();
    shown.sort_unstable();
    shown.dedup();
    let mut walls: Vec<&str> = WALLS.iter().map(|wall| wall.name).collect();
    walls.sort_unstable();
    assert_eq!(shown, walls);
}
