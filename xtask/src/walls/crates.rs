//! Which of our crates may use which, and which library belongs to whom.

use super::Breach;
use crate::metadata::{Dependency, Metadata};

/// Our crates, each with those of ours that it may use, in tests too. A crate that is not listed
/// is a breach: whoever adds one says here where it stands.
const OURS: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("store", &["domain", "pgserver"]),
    ("engine", &["domain", "store", "pgserver"]),
    ("maepyo", &["domain", "store", "engine", "stampede", "pgserver"]),
    ("sim", &["domain", "store", "engine"]),
    // A crowd knows the box office by its HTTP contract alone.
    ("stampede", &[]),
    // The benchmark asks the rules themselves for positions; all else it measures from outside.
    ("bench", &["domain", "stampede", "pgserver"]),
    // A server for tests and measurements knows nothing of what is kept in it.
    ("pgserver", &[]),
    ("xtask", &[]),
];

/// What the rules may be made of.
const FOR_DOMAIN: [&str; 4] = ["imbl", "jiff", "minicbor", "rustc-hash"];

/// And what their tests may use besides.
const FOR_DOMAIN_TESTS: [&str; 1] = ["proptest"];

/// Libraries that belong to some of our crates, in tests too. A crowd is a client: it calls and
/// reads what the server answers.
const HOMES: [(&str, &[&str]); 18] = [
    ("axum", &["maepyo"]),
    ("clap", &["maepyo"]),
    ("hmac", &["maepyo"]),
    ("hdrhistogram", &["stampede"]),
    ("http", &["maepyo"]),
    ("httparse", &["stampede"]),
    ("hyper", &["maepyo"]),
    ("hyper-util", &["maepyo"]),
    ("mimalloc", &["maepyo"]),
    ("rusqlite", &["store"]),
    ("postgres", &["store"]),
    ("rustls", &["store"]),
    ("tokio-postgres", &["store"]),
    ("tokio-rustls", &["store"]),
    ("serde", &["bench", "maepyo", "stampede", "sim", "xtask"]),
    ("serde_json", &["bench", "maepyo", "stampede", "sim", "xtask"]),
    ("tower", &["maepyo"]),
    ("utoipa", &["maepyo"]),
];

pub(super) fn in_order(metadata: &Metadata) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for member in metadata.members() {
        let Some((_, may_use)) = OURS.iter().find(|(name, _)| *name == member.name) else {
            let what = "no wall says which of our crates it may use".to_owned();
            breaches.push(Breach { place: member.name.clone(), what });
            continue;
        };
        let is_ours = |one: &&Dependency| metadata.members().any(|other| other.name == one.name);
        for used in member.dependencies.iter().filter(is_ours) {
            if !may_use.contains(&used.name.as_str()) {
                breaches.push(uses(&member.name, &used.name));
            }
        }
    }
    breaches
}

pub(super) fn domain_needs_little(metadata: &Metadata) -> Vec<Breach> {
    let dependencies = metadata
        .members()
        .filter(|member| member.name == "domain")
        .flat_map(|member| &member.dependencies);
    let is_too_much = |one: &&Dependency| {
        let for_tests = one.kind.as_deref() == Some("dev");
        let name = one.name.as_str();
        let may_use = FOR_DOMAIN.contains(&name) || (for_tests && FOR_DOMAIN_TESTS.contains(&name));
        !may_use
    };
    dependencies.filter(is_too_much).map(|one| uses("domain", &one.name)).collect()
}

pub(super) fn libraries_have_a_home(metadata: &Metadata) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for member in metadata.members() {
        for used in &member.dependencies {
            let home = HOMES.iter().find(|(name, _)| *name == used.name);
            if home.is_some_and(|(_, users)| !users.contains(&member.name.as_str())) {
                breaches.push(uses(&member.name, &used.name));
            }
        }
    }
    breaches
}

fn uses(user: &str, used: &str) -> Breach {
    Breach { place: user.to_owned(), what: format!("it may not depend on `{used}`") }
}
