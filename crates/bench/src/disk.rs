//! How long this disk takes to make something durable: what a commit cannot be faster than.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::{Fault, fault};

/// What one commit under load writes, about.
const BLOCK_BYTES: usize = 10 * 1024;
/// The file is written again from here on, so that it does not grow while it is measured: a journal
/// writes over its own log likewise.
const FILE_BYTES: u64 = 8 << 20;

/// How long syncs took.
#[derive(Clone, Debug)]
pub(crate) struct Syncs(Vec<f64>);

impl Syncs {
    /// Writes and syncs for a while, alone.
    pub(crate) fn measure(dir: &Path, duration: Duration) -> Result<Self, Fault> {
        let path = dir.join("syncs");
        let took = write_and_sync(&path, duration).map_err(|error| fault("the disk", &error));
        // It lies in a temporary directory.
        let _removed = std::fs::remove_file(&path);
        let mut took = took?;
        took.sort_unstable_by(f64::total_cmp);
        Ok(Self(took))
    }

    /// Syncs that took so long, in order.
    #[cfg(test)]
    pub(crate) fn of(took: &[f64]) -> Self {
        Self(took.to_vec())
    }

    /// The time that this share of the syncs did not pass, in seconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let at = (share * self.0.len() as f64) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

fn write_and_sync(path: &Path, duration: Duration) -> std::io::Result<Vec<f64>> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let block = vec![0x5a; BLOCK_BYTES];
    for _ in 0..FILE_BYTES / BLOCK_BYTES as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let mut took = Vec::new();
    let end = clock::now() + duration;
    file.seek(SeekFrom::Start(0))?;
    while clock::now() < end {
        if file.stream_position()? + BLOCK_BYTES as u64 > FILE_BYTES {
            file.seek(SeekFrom::Start(0))?;
        }
        let start = clock::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64());
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_ordered_and_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let syncs = Syncs::measure(dir.path(), Duration::from_millis(20)).expect("a disk");
        assert!(syncs.count() > 0);
        assert!(syncs.quantile(0.5) <= syncs.quantile(0.99));
        assert_eq!(Syncs(vec![1.0, 2.0, 3.0, 4.0]).quantile(0.5), 3.0);
        assert_eq!(Syncs(vec![1.0, 2.0]).quantile(1.0), 2.0);
        assert!(Syncs(vec![]).quantile(0.5).is_nan());
    }
}
