//! A snapshot on its way to where it is kept, a piece at a time, so that it never stands in memory as
//! a whole; counted, and with a SHA-256 over all of it. Where a piece goes is the backend's.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::SNAPSHOT_MAX_BYTES;

/// What is written at a time: a millisecond of a disk.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Puts pieces somewhere: each is told how many bytes stand before it. All but the last have
/// [`PIECE_BYTES`], and the last may have none.
pub(crate) struct Pieces<P> {
    put: P,
    piece: Vec<u8>,
    /// Bytes of the pieces that are put.
    length: u64,
    digest: Sha256,
}

impl<P: FnMut(u64, &[u8]) -> io::Result<()>> Pieces<P> {
    pub(crate) fn new(put: P) -> Self {
        Self { put, piece: Vec::with_capacity(PIECE_BYTES), length: 0, digest: Sha256::new() }
    }

    /// Puts what is left; how long all of it is, and its digest.
    ///
    /// # Errors
    /// What putting comes to, and that it is over [`SNAPSHOT_MAX_BYTES`] long.
    pub(crate) fn end(mut self) -> io::Result<(u64, Sha256)> {
        self.put_piece()?;
        Ok((self.length, self.digest))
    }

    fn put_piece(&mut self) -> io::Result<()> {
        (self.put)(self.length, &self.piece)?;
        self.digest.update(&self.piece);
        self.length += self.piece.len() as u64;
        self.piece.clear();
        if self.length > SNAPSHOT_MAX_BYTES {
            return Err(io::Error::other(format!("it is over {SNAPSHOT_MAX_BYTES} bytes long")));
        }
        Ok(())
    }
}

impl<P: FnMut(u64, &[u8]) -> io::Result<()>> Write for Pieces<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.put_piece()?;
        }
        Ok(taken)
    }

    /// Nothing waits for it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
