//! The directory a journal is in: its names, who may read it, and who may write to it.
//!
//! Everything is made for the owner's eyes alone: the directory 0700, each file 0600. A directory
//! that existed before keeps its mode; the files in it are private all the same. A new name is
//! durable only when its directory was synced, so whoever makes one syncs it here.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where the parts of a journal are.
#[derive(Clone, Debug)]
pub(super) struct DataDir(PathBuf);

impl DataDir {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// SQLite adds `-wal` and `-shm` to this name.
    pub(super) fn database(&self) -> PathBuf {
        self.0.join("journal.sqlite")
    }

    pub(super) fn head_file(&self) -> PathBuf {
        self.0.join("head")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }

    pub(super) fn display(&self) -> std::path::Display<'_> {
        self.0.display()
    }

    /// Makes the directory if need be, and takes it for this process until the answer is dropped.
    /// The lock is the kernel's (`flock`): it ends with the process, however that ends.
    pub(super) fn take(&self) -> Result<File, StoreError> {
        self.make().map_err(|error| self.unusable(&error))?;
        let lock = open_private(&self.0.join("lock")).map_err(|error| self.unusable(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.0.clone())),
            Err(TryLockError::Error(error)) => Err(self.unusable(&error)),
        }
    }

    /// Makes the directory, and the one for snapshots in it, if they are not there.
    pub(super) fn make(&self) -> io::Result<()> {
        make_dir(&self.0)?;
        make_dir(&self.snapshots())
    }

    /// Makes new names in the directory durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync_dir(&self.0).map_err(|error| self.unusable(&error))
    }

    pub(super) fn unusable(&self, error: &io::Error) -> StoreError {
        StoreError::Unavailable(format!("{}: {error}", self.0.display()))
    }
}

/// Opens for reading and writing, creating it for the owner alone; what is in it stays.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

/// Makes a new name in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    // The parent of a plain name is the empty path, which means here.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let made: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    made.into_iter().filter_map(Path::parent).try_for_each(sync_dir)
}

/// Writes a whole file so that after a crash there is either the old one or the new one: under a
/// temporary name, synced, renamed, the directory synced.
pub(super) fn replace_file(
    path: &Path,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_name(path);
    let written = (|| {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&temporary)?;
        write(&file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        // It may not even exist; the error that counts is the first.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_dir)
}

/// What a file is called until it is whole.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

/// How the name of a file ends that is not whole yet.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
