//! The gate on dependencies: are their licences allowed, is one of them banned, is one there twice,
//! does one come from elsewhere than the registry.
//!
//! It reads `deny.toml`, which is a configuration of cargo-deny, and is as strict as `cargo deny
//! check licenses bans sources`: building that program in every CI run would cost minutes, and these
//! three questions need only `cargo metadata`. It deliberately does not read licence texts, and does
//! not check security advisories, whose database is on the network; it says so each time.
//! A setting that it does not understand is an error, never ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::command;
use crate::metadata::{Metadata, Package};
use crate::spdx::Expression;

/// Checks the tree's dependencies; prints what is wrong, fails with a sentence that counts it.
pub(crate) fn check() -> Result<(), String> {
    let path = command::root().join("deny.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("deny.toml cannot be read: {error}."))?;
    let rules = Rules::parse(&text)?;
    let metadata = Metadata::read()?;
    let objections = rules.objections(&metadata);
    for objection in &objections {
        println!("{objection}");
    }
    println!("{} crates were looked at.", metadata.packages.len());
    println!("Security advisories are not checked here: {}", how_to_check_advisories());
    match objections.len() {
        0 => Ok(()),
        many => Err(format!("{many} objections to the dependencies: see above and deny.toml.")),
    }
}

fn how_to_check_advisories() -> &'static str {
    if command::succeeds(&["cargo", "deny", "--version"]) {
        "run `cargo deny check advisories`."
    } else {
        "run `cargo install --locked cargo-deny`, then `cargo deny check advisories`."
    }
}

/// What `deny.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
    /// Which platforms and features cargo-deny looks at; here it is all of them.
    #[serde(rename = "graph")]
    _graph: Option<toml::Table>,
    /// For cargo-deny alone.
    #[serde(rename = "advisories")]
    _advisories: Option<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
    #[serde(rename = "unused-allowed-license")]
    _unused_allowed_license: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    spec: Spec,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Deny,
    #[serde(rename = "wildcards")]
    _wildcards: Deny,
    #[serde(rename = "allow-wildcard-paths")]
    _allow_wildcard_paths: Always,
    #[serde(default)]
    deny: Vec<Ban>,
    #[serde(default)]
    skip: Vec<Skip>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    spec: Spec,
    reason: String,
    /// The only crates that may depend on it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    #[serde(rename = "crate")]
    spec: Spec,
    /// Every duplicate must have one, though only people read it.
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Deny,
    #[serde(rename = "unknown-git")]
    _unknown_git: Deny,
    allow_registry: Vec<String>,
    /// No repository at all: a dependency that is no release cannot be looked up later.
    #[serde(rename = "allow-git")]
    _allow_git: Vec<Nothing>,
}

/// What no value in the file can be, so that a list of it stays empty.
#[derive(Debug, Deserialize)]
enum Nothing {}

/// The one level this gate knows. Another one in the file is an error, so that nobody believes a
/// check to be weaker than it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

/// A setting that must be `true`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "bool")]
struct Always;

impl TryFrom<bool> for Always {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("this gate only knows `true` here") }
    }
}

/// Which crate is meant: `name`, `name@1.2.3` (exactly that) or `name:^2`, `name:^0.9` (those that
/// begin so). cargo-deny also knows `name:<any requirement>`; we do with these.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Spec {
    name: String,
    version: Version,
}

#[derive(Clone, Debug)]
enum Version {
    Any,
    Exactly(String),
    BeginsWith(String),
}

impl TryFrom<String> for Spec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (name, version) = if let Some((name, exact)) = text.split_once('@') {
            (name, Version::Exactly(exact.to_owned()))
        } else if let Some((name, start)) = text.split_once(":^") {
            // `^2` and `^0.9` are the forms where a caret means no more than *begins with*.
            let minor = start.strip_prefix("0.").unwrap_or(start);
            if minor == "0" || minor.parse::<u32>().is_err() {
                return Err(format!("`{text}`: after `:^` stands a version like `2` or `0.9`"));
            }
            (name, Version::BeginsWith(format!("{start}.")))
        } else {
            (text.as_str(), Version::Any)
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            return Err(format!("`{text}` is not a crate, `crate@1.2.3` or `crate:^2`"));
        }
        Ok(Self { name: name.to_owned(), version })
    }
}

impl Spec {
    fn matches(&self, package: &Package) -> bool {
        self.name == package.name
            && match &self.version {
                Version::Any => true,
                Version::Exactly(version) => *version == package.version,
                Version::BeginsWith(start) => package.version.starts_with(start),
            }
    }
}

impl Rules {
    /// Understands `deny.toml`.
    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("deny.toml cannot be read.\n{error}"))
    }

    /// Everything that is wrong with the dependencies, a sentence each.
    fn objections(&self, metadata: &Metadata) -> Vec<String> {
        let mut objections = Vec::new();
        for package in &metadata.packages {
            objections.extend(self.objection_to_licence(package));
            objections.extend(self.objection_to_ban(package, metadata));
            objections.extend(objections_to_wildcards(package));
            objections.extend(self.objection_to_source(package, metadata));
        }
        objections.extend(self.objections_to_duplicates(metadata));
        objections.extend(self.objections_to_stale_entries(metadata));
        objections
    }

    fn objection_to_licence(&self, package: &Package) -> Option<String> {
        let Some(text) = &package.license else {
            return Some(format!("{package} names no licence."));
        };
        let expression = match Expression::parse(text) {
            Ok(expression) => expression,
            Err(why) => return Some(format!("{package}: its licence `{text}` is unclear: {why}.")),
        };
        let licenses = &self.licenses;
        let exceptions = licenses.exceptions.iter().filter(|one| one.spec.matches(package));
        let excepted: Vec<&String> = exceptions.flat_map(|one| &one.allow).collect();
        let is_allowed = |name: &str| {
            licenses.allow.iter().any(|one| one == name) || excepted.iter().any(|one| *one == name)
        };
        if expression.is_satisfied(&is_allowed) {
            return None;
        }
        Some(format!("{package}: its licence `{text}` is not allowed."))
    }

    fn objection_to_ban(&self, package: &Package, metadata: &Metadata) -> Option<String> {
        let ban = self.bans.deny.iter().find(|ban| ban.spec.matches(package))?;
        let mut others =
            metadata.dependents(package).filter(|one| !ban.wrappers.contains(&one.name));
        if !ban.wrappers.is_empty() {
            let other = others.next()?;
            return Some(format!("{package}, used by {other}, is banned: {}.", ban.reason));
        }
        let users: Vec<String> = others.map(ToString::to_string).collect();
        Some(format!("{package}, used by {}, is banned: {}.", users.join(" and "), ban.reason))
    }

    fn objection_to_source(&self, package: &Package, metadata: &Metadata) -> Option<String> {
        let Some(source) = &package.source else {
            let is_ours = metadata.is_member(package);
            return (!is_ours).then(|| format!("{package} is a folder outside the workspace."));
        };
        let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
        let is_known = registry
            .is_some_and(|registry| self.sources.allow_registry.iter().any(|one| one == registry));
        (!is_known).then(|| format!("{package} comes from {source}, which is not allowed."))
    }

    fn objections_to_duplicates(&self, metadata: &Metadata) -> Vec<String> {
        let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let is_skipped =
            |package: &Package| self.bans.skip.iter().any(|skip| skip.spec.matches(package));
        for package in metadata.packages.iter().filter(|package| !is_skipped(package)) {
            versions.entry(&package.name).or_default().insert(&package.version);
        }
        let twice = versions.iter().filter(|(_, versions)| versions.len() > 1);
        twice
            .map(|(name, versions)| {
                let versions: Vec<&str> = versions.iter().copied().collect();
                format!("{name} is there in several versions: {}.", versions.join(" and "))
            })
            .collect()
    }

    /// Exceptions that nothing needs any more would hide the next crate that does.
    fn objections_to_stale_entries(&self, metadata: &Metadata) -> Vec<String> {
        let packages = &metadata.packages;
        let mut objections = Vec::new();
        for Exception { spec, .. } in &self.licenses.exceptions {
            if !packages.iter().any(|package| spec.matches(package)) {
                objections.push(format!("No {} needs its exception of licence.", spec.name));
            }
        }
        for Skip { spec, .. } in &self.bans.skip {
            let is_twofold = packages.iter().any(|package| spec.matches(package))
                && packages.iter().any(|one| one.name == spec.name && !spec.matches(one));
            if !is_twofold {
                objections.push(format!("{} is no duplicate: its `skip` must go.", spec.name));
            }
        }
        objections
    }
}

/// A dependency on any version at all. The path of a crate beside us is its version.
fn objections_to_wildcards(package: &Package) -> Vec<String> {
    let dependencies = package.dependencies.iter();
    let open = dependencies.filter(|one| one.req == "*" && one.path.is_none());
    open.map(|one| format!("{package} takes any version of {}.", one.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    const RULES: &str = r#"
        [graph]
        all-features = true
        [licenses]
        allow = ["MIT"]
        exceptions = [{ crate = "imbl", allow = ["MPL-2.0"] }]
        [bans]
        multiple-versions = "deny"
        wildcards = "deny"
        allow-wildcard-paths = true
        deny = [
            { crate = "openssl", reason = "it is not static" },
            { crate = "lazy_static", wrappers = ["old"], reason = "std has it" },
        ]
        skip = [{ crate = "syn:^2", reason = "derive macros" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
        allow-git = []
    "#;

    /// A workspace of one crate, `ours`, whose dependencies are a line each: name, version, licence,
    /// source (`-` for our own crate's neighbourhood), who uses it, and what it asks for.
    fn metadata(lines: &str) -> Metadata {
        let mut packages = vec![];
        let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // What the rules of these tests make exceptions for is always there.
        let always = "
            ours 0.1.0 | MIT     | -         | -
            imbl 7.0.0 | MPL-2.0 | crates.io | ours
            syn  2.0.1 | MIT     | crates.io | imbl
            syn  3.0.1 | MIT     | crates.io | ours";
        for line in always.lines().chain(lines.lines()).map(str::trim).filter(|l| !l.is_empty()) {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let (name, version) = columns[0].split_once(' ').expect("a name and a version");
            let version = version.trim();
            let asks = columns
                .get(4)
                .map(|asked| json!([{"name": "asked", "req": asked, "kind": null, "path": null}]));
            packages.push(json!({
                "id": format!("{name}@{version}"),
                "name": name,
                "version": version,
                "license": if columns[1] == "-" { None } else { Some(columns[1]) },
                "source": match columns[2] {
                    "-" => None,
                    "crates.io" => Some(CRATES_IO),
                    other => Some(other),
                },
                "dependencies": asks.unwrap_or_else(|| json!([])),
            }));
            nodes.entry(format!("{name}@{version}")).or_default();
            for user in columns[3].split_whitespace().filter(|user| *user != "-") {
                let users = nodes.iter_mut().filter(|(id, _)| id.starts_with(&format!("{user}@")));
                users.for_each(|(_, used)| used.push(format!("{name}@{version}")));
            }
        }
        let nodes: Vec<_> = nodes
            .into_iter()
            .map(|(id, dependencies)| json!({"id": id, "dependencies": dependencies}))
            .collect();
        let whole = json!({
            "packages": packages,
            "workspace_members": ["ours@0.1.0"],
            "resolve": {"nodes": nodes},
        });
        Metadata::parse(whole.to_string().as_bytes()).unwrap()
    }

    fn objections(lines: &str) -> Vec<String> {
        Rules::parse(RULES).unwrap().objections(&metadata(lines))
    }

    #[test]
    fn a_tree_that_keeps_the_rules_meets_no_objection() {
        let good = "
            serde       1.0.0 | MIT OR Apache-2.0 | crates.io | ours | ^1
            old         0.1.0 | MIT               | crates.io | ours
            lazy_static 1.5.0 | MIT/Apache-2.0    | crates.io | old";
        assert_eq!(objections(good), [""; 0]);
    }

    #[test]
    fn each_fault_meets_its_objection() {
        for (line, sentence) in [
            ("a 1.0.0 | - | crates.io | ours", "a 1.0.0 names no licence."),
            (
                "a 1.0.0 | GPL-3.0 | crates.io | ours",
                "a 1.0.0: its licence `GPL-3.0` is not allowed.",
            ),
            (
                "a 1.0.0 | MPL-2.0 | crates.io | ours",
                "a 1.0.0: its licence `MPL-2.0` is not allowed.",
            ),
            (
                "a 1.0.0 | MIT AND | crates.io | ours",
                "a 1.0.0: its licence `MIT AND` is unclear: a licence is missing at the end.",
            ),
            (
                "openssl 0.10.1 | MIT | crates.io | ours",
                "openssl 0.10.1, used by ours 0.1.0, is banned: it is not static.",
            ),
            (
                "lazy_static 1.5.0 | MIT | crates.io | ours",
                "lazy_static 1.5.0, used by ours 0.1.0, is banned: std has it.",
            ),
            ("a 1.0.0 | MIT | crates.io | ours | *", "a 1.0.0 takes any version of asked."),
            (
                "a 1.0.0 | MIT | git+https://example.org/a#0123 | ours",
                "a 1.0.0 comes from git+https://example.org/a#0123, which is not allowed.",
            ),
            (
                "a 1.0.0 | MIT | registry+https://example.org/index | ours",
                "a 1.0.0 comes from registry+https://example.org/index, which is not allowed.",
            ),
            ("a 1.0.0 | MIT | - | ours", "a 1.0.0 is a folder outside the workspace."),
            (
                "imbl 6.0.0 | MIT | crates.io | ours",
                "imbl is there in several versions: 6.0.0 and 7.0.0.",
            ),
            (
                "syn 1.0.0 | MIT | crates.io | ours",
                "syn is there in several versions: 1.0.0 and 3.0.1.",
            ),
        ] {
            assert_eq!(objections(line), [sentence], "for {line}");
        }
    }

    #[test]
    fn a_stale_exception_meets_an_objection() {
        let text =
            RULES.replace("syn:^2", "syn:^4").replace("crate = \"imbl\"", "crate = \"gone\"");
        let metadata = metadata("");
        let objections = Rules::parse(&text).unwrap().objections(&metadata);
        assert!(objections.contains(&"No gone needs its exception of licence.".to_owned()));
        assert!(objections.contains(&"syn is no duplicate: its `skip` must go.".to_owned()));
    }

    #[test]
    fn a_setting_that_would_weaken_the_gate_cannot_be_written() {
        for (from, to) in [
            ("wildcards = \"deny\"", "wildcards = \"warn\""),
            ("multiple-versions = \"deny\"", "multiple-versions = \"allow\""),
            ("unknown-git = \"deny\"", "unknown-git = \"warn\""),
            ("allow-git = []", "allow-git = [\"https://example.org/a\"]"),
            ("allow-wildcard-paths = true", "allow-wildcard-paths = false"),
            ("[sources]", "skip-tree = []\n[sources]"),
            ("reason = \"derive macros\"", ""),
            ("syn:^2", "syn:^2.1"),
            ("syn:^2", "syn:>=2"),
        ] {
            assert!(RULES.contains(from), "{from} is in the rules");
            assert!(Rules::parse(&RULES.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_spec_means_a_name_a_version_or_how_it_begins() {
        let metadata = metadata("");
        let is_match = |spec: &str, version: &str| {
            let spec = Spec::try_from(spec.to_owned()).unwrap();
            let mut syn = metadata.packages.iter().filter(|one| one.name == "syn");
            spec.matches(syn.find(|one| one.version == version).expect("it is there"))
        };
        assert!(is_match("syn", "2.0.1") && is_match("syn", "3.0.1"));
        assert!(is_match("syn@2.0.1", "2.0.1") && !is_match("syn@2.0.1", "3.0.1"));
        assert!(is_match("syn:^2", "2.0.1") && !is_match("syn:^2", "3.0.1"));
        assert!(!is_match("imbl", "2.0.1"));
    }
}
