//! Files on disk: their bytes, the sale that their name means, and the hash they are known by.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use domain::id::SaleId;
use engine::NewSale;
use sha2::{Digest, Sha256};

use super::check::{Fault, read_toml};

/// Bytes of a file, at most: it is written by hand.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file that was read.
pub(crate) struct ReadFile {
    bytes: Vec<u8>,
}

/// What a file's name says.
pub(crate) struct SaleFileId;

impl SaleFileId {
    /// The sale whose file this is: `spring` of `spring.toml`. None when it cannot be one's.
    pub(crate) fn of(file: &Path) -> Option<SaleId> {
        let toml = file.extension().is_some_and(|extension| extension == "toml");
        let stem = file.file_stem().filter(|_| toml)?;
        SaleId::parse(stem.to_str()?)
    }

    /// A sale that has no name yet.
    pub(crate) fn unnamed() -> SaleId {
        SaleId::parse("unnamed").expect("a sale's id")
    }
}

/// Reads a file that is not too large.
pub(crate) fn read_file(path: &Path) -> io::Result<ReadFile> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(ReadFile { bytes })
}

impl ReadFile {
    /// The sale that it describes.
    pub(crate) fn sale(&self, id: SaleId) -> Result<NewSale, Fault> {
        read_toml(&self.bytes, id)
    }

    /// What its bytes are known by.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }
}
