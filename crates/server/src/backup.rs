//! `maepyo backup DIR`: a copy of everything, made while the box office sells.
//!
//! What is copied is the journal as it stands at one commit, its snapshots, the keys, and after them
//! the sandbox's book, so that no payment that the journal knows is missing there. What a real
//! provider knows is with the provider.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Stop, StorePlace, say_out};
use crate::serve::{ADMIN_KEY_FILE, SANDBOX_BOOK_FILE, TOKEN_KEY_FILE};

/// What is copied, and where to.
#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    data: StorePlace,

    /// The directory to make: it must not be there yet.
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

/// Makes a backup.
pub(crate) fn back_up(options: &BackupOptions) -> Result<(), Stop> {
    let beside = [TOKEN_KEY_FILE, ADMIN_KEY_FILE, SANDBOX_BOOK_FILE];
    let copy = store::back_up(&options.data.location()?, &options.to, &beside);
    let copy = copy.map_err(Stop::failed)?;
    let batches: u64 = copy.heads.iter().map(|(_, head)| head.number).sum();
    say_out(&format!(
        "backed up to {}: {batches} batches in {} streams, each checked, and {} snapshots",
        options.to.display(),
        copy.heads.len(),
        copy.snapshots,
    ));
    Ok(())
}
