//! What `cargo metadata` says about the workspace and its dependencies, as far as the gates read it.

use serde::Deserialize;

use crate::command;

/// The workspace's crates and everything they resolve to.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Our crates and all that they can reach, on any platform.
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One crate: ours, or somebody else's.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The registry or repository it comes from; `None` for a crate that lies beside us.
    pub(crate) source: Option<String>,
    pub(crate) license: Option<String>,
    /// What its manifest asks for, before anything is resolved.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The version asked for, as written.
    pub(crate) req: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The folder of a crate that lies beside us.
    pub(crate) path: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    id: String,
    /// The ids of what it depends on directly.
    dependencies: Vec<String>,
}

impl Metadata {
    /// Asks cargo, with every feature on, for what the lock file holds: it is never changed here.
    pub(crate) fn read() -> Result<Self, String> {
        let words = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"];
        let json = command::output(&words)?;
        Self::parse(&json)
    }

    /// Understands the output of `cargo metadata --format-version 1`.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json)
            .map_err(|error| format!("The output of `cargo metadata` cannot be read: {error}."))
    }

    /// Our own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.is_member(package))
    }

    /// Whether a crate is one of ours.
    pub(crate) fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// The crates that depend on this one directly.
    pub(crate) fn dependents<'a>(
        &'a self,
        package: &'a Package,
    ) -> impl Iterator<Item = &'a Package> {
        let nodes = self.resolve.nodes.iter();
        nodes
            .filter(|node| node.dependencies.contains(&package.id))
            .filter_map(|node| self.package(&node.id))
    }

    fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}
