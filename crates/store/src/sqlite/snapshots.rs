//! Snapshots: one file each, never rows behind the one writer of the database.
//!
//! A file is whole or not there: it is written under a temporary name, synced and renamed. It
//! carries what it is a snapshot of and a SHA-256 over all, so that what was damaged later is
//! noticed and passed over. It is written and synced piece by piece: it need not stand in memory, and
//! the journal's sync finds little of it in its way. Two are kept of each stream, so that one damaged
//! file costs a longer start and nothing else.
//!
//! A sync that fails here does *not* end the process: the file is thrown away, and no page of the
//! journal was in it.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use super::data_dir::{self, TEMPORARY_SUFFIX};
use crate::pieces::Pieces;
use crate::{BatchId, Epoch, Head, SNAPSHOT_MAX_BYTES, StoreError, StreamId, WriteSnapshot};

/// Snapshots kept of each stream.
const KEPT: usize = 2;

const MAGIC: [u8; 8] = *b"maepsnap";
const FORMAT_VERSION: u32 = 2;
const SUFFIX: &str = ".snapshot";

/// Magic 8, version 4, stream 4, epoch 8, number 8, id 16, length 8: all big-endian.
const FIELDS_BYTES: usize = 56;
/// And a SHA-256 over the bytes that follow and these fields.
const HEADER_BYTES: usize = FIELDS_BYTES + 32;

/// The directory they are in.
pub(super) struct Snapshots {
    dir: PathBuf,
    /// One file is written at a time: two writers of one name would share its temporary file.
    saving: Mutex<()>,
}

impl Snapshots {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, saving: Mutex::default() }
    }

    /// Removes what a process that died was still writing.
    pub(super) fn remove_temporaries(&self) -> Result<(), StoreError> {
        for entry in self.entries()? {
            if entry.to_string_lossy().ends_with(TEMPORARY_SUFFIX) {
                fs::remove_file(&entry).map_err(|error| self.unusable(&error))?;
            }
        }
        Ok(())
    }

    /// Writes a snapshot, durably, and removes those it makes superfluous: of this stream, all but
    /// the newest that `belongs` to the history. It may be a newer one that stays.
    pub(super) fn save(
        &self,
        stream: StreamId,
        epoch: Epoch,
        head: Head,
        snapshot: WriteSnapshot<'_>,
        belongs: impl Fn(Head) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.saving.lock().expect("saving does not panic");
        let path = self.dir.join(format!("{stream}-{}{SUFFIX}", head.number));
        data_dir::replace_file(&path, |file| {
            let mut pieces = Pieces::new(|before, piece| {
                file.write_all_at(piece, HEADER_BYTES as u64 + before)?;
                file.sync_data()
            });
            snapshot(&mut pieces)?;
            let (length, digest) = pieces.end()?;
            file.write_all_at(&header(stream, epoch, head, length, digest), 0)
        })
        .map_err(|error| self.unusable(&error))?;

        let mut sound = 0;
        for (_, path) in self.of_stream(stream)? {
            let head = File::open(&path).and_then(|file| read_header(&file, stream));
            let keep = match head {
                Ok(header) => sound < KEPT && belongs(header.head)?,
                Err(_) => false,
            };
            sound += usize::from(keep);
            if !keep && let Err(error) = fs::remove_file(&path) {
                // It takes room, and nothing else: the next save tries again.
                tracing::warn!(path = %path.display(), %error, "an old snapshot stays");
            }
        }
        Ok(())
    }

    /// The newest that is intact and `belongs` to the history.
    pub(super) fn load(
        &self,
        stream: StreamId,
        belongs: impl Fn(Head) -> Result<bool, StoreError>,
    ) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        for (_, path) in self.of_stream(stream)? {
            match read(&path, stream) {
                Ok((head, bytes)) if belongs(head)? => return Ok(Some((head, bytes))),
                Ok((head, _)) => tracing::warn!(
                    path = %path.display(), %head,
                    "a snapshot is passed over: its batch is not in the history"
                ),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot is passed over");
                }
            }
        }
        Ok(None)
    }

    /// This stream's snapshots by their names, newest first.
    fn of_stream(&self, stream: StreamId) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let prefix = format!("{stream}-");
        let numbered = self.entries()?.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let number = name.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?.parse().ok()?;
            Some((number, path))
        });
        let mut snapshots: Vec<(u64, PathBuf)> = numbered.collect();
        snapshots.sort_by_key(|(number, _)| Reverse(*number));
        Ok(snapshots)
    }

    pub(super) fn entries(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = match fs::read_dir(&self.dir) {
            // A copy that was made for reading may lack them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.unusable(&error))?,
        };
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> StoreError {
        StoreError::Unavailable(format!("{}: {error}", self.dir.display()))
    }
}

/// What a header says.
struct Header {
    head: Head,
    length: u64,
    fields: [u8; FIELDS_BYTES],
    digest: [u8; 32],
}

fn header(
    stream: StreamId,
    epoch: Epoch,
    head: Head,
    length: u64,
    digest_of_bytes: Sha256,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
    header[12..16].copy_from_slice(&stream.0.to_be_bytes());
    header[16..24].copy_from_slice(&epoch.0.to_be_bytes());
    header[24..32].copy_from_slice(&head.number.to_be_bytes());
    header[32..48].copy_from_slice(&head.id.0.to_be_bytes());
    header[48..56].copy_from_slice(&length.to_be_bytes());
    let digest = digest_of_bytes.chain_update(&header[..FIELDS_BYTES]).finalize();
    header[FIELDS_BYTES..].copy_from_slice(&digest);
    header
}

/// Reads a whole snapshot and checks all of it.
fn read(path: &Path, stream: StreamId) -> io::Result<(Head, Vec<u8>)> {
    let file = File::open(path)?;
    let header = read_header(&file, stream)?;
    // Checked against the file's size first, so that a damaged length makes no giant buffer.
    let found = file.metadata()?.len();
    if header.length > SNAPSHOT_MAX_BYTES || found != HEADER_BYTES as u64 + header.length {
        return Err(io::Error::other(format!("it has {found} bytes, which is the wrong length")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(header.length).map_err(io::Error::other)?);
    (&file).read_to_end(&mut bytes)?;
    let digest: [u8; 32] =
        Sha256::new().chain_update(&bytes).chain_update(header.fields).finalize().into();
    if digest != header.digest {
        return Err(io::Error::other("its checksum is wrong"));
    }
    Ok((header.head, bytes))
}

/// Reads a header. Its digest covers the bytes too, so it is not checked yet.
fn read_header(mut file: &File, stream: StreamId) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact(&mut bytes)?;
    let u32_at = |at| u32::from_be_bytes(*field(&bytes, at));
    let u64_at = |at| u64::from_be_bytes(*field(&bytes, at));
    if bytes[..8] != MAGIC || u32_at(8) != FORMAT_VERSION {
        return Err(io::Error::other("it is not a snapshot of a version this program knows"));
    }
    if u32_at(12) != stream.0 {
        return Err(io::Error::other("it is a snapshot of another stream"));
    }
    Ok(Header {
        head: Head { number: u64_at(24), id: BatchId(u128::from_be_bytes(*field(&bytes, 32))) },
        length: u64_at(48),
        fields: *field(&bytes, 0),
        digest: *field(&bytes, FIELDS_BYTES),
    })
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> &[u8; N] {
    header[at..].first_chunk().expect("every field lies in the header")
}
