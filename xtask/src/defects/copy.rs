//! A copy of the tree's files, to be spoiled and mended.
//!
//! It lies below `target`, and so do its builds, so that a second call builds only what changed:
//! a file is written only where its text differs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::list::{Change, Defect};
use crate::command;

/// Where the copy and its builds lie, from the root.
const FOLDER: &str = "target/defects";

/// The copy.
#[derive(Debug)]
pub(super) struct Copy {
    tree: PathBuf,
    build: PathBuf,
}

impl Copy {
    /// Copies what git tracks, and what is new and not ignored, as it lies on the disk.
    pub(super) fn make() -> Result<Self, String> {
        let root = command::root();
        let copy =
            Self { tree: root.join(FOLDER).join("tree"), build: root.join(FOLDER).join("build") };
        let words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = String::from_utf8(command::output(&words)?)
            .map_err(|_| "A path in the tree is not UTF-8.".to_owned())?;
        let mut kept = BTreeSet::new();
        for path in listed.split_terminator('\0') {
            let Ok(bytes) = fs::read(root.join(path)) else { continue };
            let to = copy.tree.join(path);
            write(&to, &bytes)?;
            kept.insert(to);
        }
        remove_all_but(&copy.tree, &kept)?;
        Ok(copy)
    }

    /// A command that runs in the copy and builds beside it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = command::command(words);
        command.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.build);
        command
    }

    /// Whether a defect can be put in: each text stands exactly once in its file.
    pub(super) fn fits(&self, defect: &Defect) -> Result<(), String> {
        defect.changes.iter().try_for_each(|change| self.changed(defect, change).map(|_| ()))
    }

    fn changed(&self, defect: &Defect, change: &Change) -> Result<String, String> {
        let text = fs::read_to_string(self.tree.join(&change.file))
            .map_err(|error| format!("{} cannot be read: {error}.", change.file))?;
        match text.matches(&change.text).count() {
            1 => Ok(text.replacen(&change.text, &change.replacement, 1)),
            count => Err(format!(
                "The defect `{}` no longer fits: its text stands {count} times in {}.",
                defect.name, change.file
            )),
        }
    }

    /// Spoils the copy; hands back what stood there, for the tree may change meanwhile.
    pub(super) fn put_in(&self, defect: &Defect) -> Result<Sound, String> {
        let mut sound = Sound(Vec::new());
        for change in &defect.changes {
            let path = self.tree.join(&change.file);
            let (spoiled, text) = (self.changed(defect, change)?, fs::read(&path));
            let text = text.map_err(|error| format!("{} cannot be read: {error}.", change.file))?;
            write(&path, spoiled.as_bytes())?;
            sound.0.push((path, text));
        }
        Ok(sound)
    }
}

/// What stood where a defect was put in.
#[derive(Debug)]
pub(super) struct Sound(Vec<(PathBuf, Vec<u8>)>);

impl Sound {
    /// Mends the copy.
    pub(super) fn put_back(self) -> Result<(), String> {
        // Backwards, for a file may have been changed twice.
        self.0.iter().rev().try_for_each(|(path, text)| write(path, text))
    }
}

/// Writes a file, unless it says so already.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()))
}

/// Removes what was copied once and is gone from the tree.
fn remove_all_but(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<(), String> {
    let failed = |error| format!("{} cannot be cleared: {error}.", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            remove_all_but(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}
