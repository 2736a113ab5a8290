//! The documents: those that must exist, and the links between them.
//!
//! It looks at links to files, not at headings inside of them and not at addresses elsewhere.

use super::Breach;
use crate::tree::{File, Tree};

/// What a reader, a user and a lawyer look for first.
const DOCUMENTS: [&str; 8] = [
    "README.md",
    "README.ko.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "openapi.json",
];

pub(super) fn exist(tree: &Tree) -> Vec<Breach> {
    let absent = DOCUMENTS.iter().filter(|path| !tree.files.iter().any(|file| file.path == **path));
    absent
        .map(|path| Breach { place: (*path).to_owned(), what: "it does not exist".to_owned() })
        .collect()
}

pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            let goes_elsewhere = target.contains("://") || target.starts_with("mailto:");
            let path = target.split(['#', '?']).next().unwrap_or_default();
            if goes_elsewhere || path.is_empty() {
                continue;
            }
            if !resolve(file, path).is_some_and(|path| tree.has(&path)) {
                breaches.push(Breach::at(file, line, format!("`{target}` leads nowhere")));
            }
        }
    }
    breaches
}

/// The targets of the links of a Markdown text, `[words](target)` and `[name]: target`, with their
/// lines; what stands in blocks of code or between backticks is no link.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_block = false;
    for (number, line) in (1..).zip(text.lines()) {
        let begin = line.trim_start();
        if begin.starts_with("```") || begin.starts_with("~~~") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        if let Some((_, target)) = begin.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            links.extend(target.split_whitespace().next().map(|target| (number, target)));
            continue;
        }
        // Between backticks are the odd pieces.
        for piece in line.split('`').step_by(2) {
            for (at, opening) in piece.match_indices("](") {
                let target = piece[at + opening.len()..].split([')', ' ']).next();
                links.extend(target.map(|target| (number, target.trim_matches(['<', '>']))));
            }
        }
    }
    links
}

/// The path from the root that a link in this file means; `None` when it leaves the tree.
fn resolve(file: &File, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = file.path.split('/').collect();
    folders.pop();
    for step in target.split('/') {
        match step {
            "." => {}
            ".." => {
                folders.pop()?;
            }
            step => folders.push(step),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_where_they_are_links() {
        let text = "a [b](c.md) and ![d](<e.png> \"f\")\n\
                    [g]: h.md \"i\"\n\
                    `[j](k)` [`l`](m#n)\n\
                    ```\n[o](p)\n```\n\
                    [q](r)";
        let expected = [(1, "c.md"), (1, "e.png"), (2, "h.md"), (3, "m#n"), (7, "r")];
        assert_eq!(links(text), expected);
    }

    #[test]
    fn a_link_starts_from_its_file() {
        let file = File::new("docs/how/a.md", String::new());
        assert_eq!(resolve(&file, "../b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve(&file, "./b/../c.md").as_deref(), Some("docs/how/c.md"));
        assert_eq!(resolve(&file, "../../../b.md"), None);
        assert_eq!(resolve(&file, "/b.md").as_deref(), Some("docs/how//b.md"));
    }
}
