//! The text files of the tree: those git tracks, and those that are new and not ignored.

use crate::command;
use crate::rust_text::RustText;

/// Every text file of the tree, in git's order.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// The paths of those that are no text: pictures.
    pub(crate) others: Vec<String>,
}

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path from the root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text taken apart, when it is Rust.
    pub(crate) rust: Option<RustText>,
}

impl Tree {
    /// Reads the files from the disk. Of files that are no UTF-8 text only the path is known; those that
    /// git knows but that are gone from the disk are left out.
    pub(crate) fn read() -> Result<Self, String> {
        let root = command::root();
        let words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = String::from_utf8(command::output(&words)?)
            .map_err(|_| "A path in the tree is not UTF-8.".to_owned())?;
        let (mut files, mut others) = (Vec::new(), Vec::new());
        for path in listed.split_terminator('\0') {
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            match String::from_utf8(bytes) {
                Ok(text) => files.push(File::new(path, text)),
                Err(_) => others.push(path.to_owned()),
            }
        }
        Ok(Self { files, others })
    }

    /// Whether the path names a file of the tree, or a folder with files in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let names = self.files.iter().map(|file| &file.path).chain(&self.others);
        names.into_iter().any(|name| name == path || name.starts_with(&folder))
    }

    /// The Rust files, each with its text taken apart.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &RustText)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

impl File {
    /// A file with this text at this path.
    pub(crate) fn new(path: &str, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| RustText::of(path, &text));
        Self { path: path.to_owned(), text, rust }
    }

    /// Whether it lies in this folder (`crates/store/`), or is this file.
    pub(crate) fn is_in(&self, place: &str) -> bool {
        self.path.starts_with(place)
    }
}
