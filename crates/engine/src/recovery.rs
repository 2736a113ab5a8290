//! From the journal back to a state: the newest snapshot, then every batch after it.
//!
//! What a later program wrote is refused by its format, a batch as well as a snapshot: the state in a
//! snapshot may rest on batches that this program could not have read.

use std::io::{self, BufWriter, Write};

use domain::Sale;
use domain::catalogue::{Catalogue, CatalogueEvent};
use domain::time::Timestamp;
use minicbor::Decoder;
use minicbor::encode::write::Writer;
use store::codec::{FORMAT_MAX, Record, Unreadable, read_catalogue, read_records};
use store::{Batch, Format, Head, Journal, StoreError, StreamId};

/// The catalogue's stream.
pub(crate) const CATALOGUE: StreamId = StreamId(0);

/// Bytes read from the journal at a time.
const READ_BYTES: usize = 4 << 20;
/// Bytes of a snapshot written at a time.
const WRITE_BYTES: usize = 64 << 10;

/// A sale as the journal has it.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The state.
    pub sale: Sale,
    /// The last batch.
    pub head: Head,
    /// When that was.
    pub last_at: Timestamp,
    /// Events after the snapshot that was used.
    pub events_since_snapshot: u64,
}

/// Why a stream cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store could not be read, or is damaged.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A batch does not say what this version understands.
    #[error("batch {number} of stream {stream} cannot be read: {reason}")]
    Unreadable {
        /// The stream's number.
        stream: u32,
        /// The batch's number.
        number: u64,
        /// Why.
        reason: Unreadable,
    },
}

impl ReplayError {
    fn unreadable(stream: StreamId, batch: &Batch, reason: Unreadable) -> Self {
        Self::Unreadable { stream: stream.0, number: batch.number, reason }
    }
}

/// One batch of a replay: what it says, and the state after it.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// What it says.
    pub records: &'a [Record],
    /// The state after it.
    pub sale: &'a Sale,
}

/// Replays a sale's whole history, without snapshots, showing each batch to `each`.
///
/// # Errors
/// Why it cannot be read to its end.
pub fn replay(
    journal: &dyn Journal,
    stream: StreamId,
    mut each: impl FnMut(Replayed<'_>),
) -> Result<Recovered, ReplayError> {
    let mut recovered = Recovered::default();
    go_on(journal, stream, &mut recovered, &mut each)?;
    Ok(recovered)
}

/// A sale's state from its newest readable snapshot and what came after.
///
/// # Errors
/// Why its history cannot be read to its end.
pub fn recover(journal: &dyn Journal, stream: StreamId) -> Result<Recovered, ReplayError> {
    let (recovered, stop) = recover_readable(journal, stream)?;
    stop.map_or(Ok(recovered), Err)
}

/// The same, as far as it can be read: with what it stops at, if that is [`ReplayError::Unreadable`].
pub(crate) fn recover_readable(
    journal: &dyn Journal,
    stream: StreamId,
) -> Result<(Recovered, Option<ReplayError>), ReplayError> {
    let mut recovered = Recovered::default();
    if let Some((head, bytes)) = journal.load_snapshot(stream)? {
        match decode_snapshot(&bytes) {
            Ok((last_at, sale)) => {
                (recovered.sale, recovered.head, recovered.last_at) = (sale, head, last_at);
            }
            Err(reason) => {
                tracing::warn!(%stream, %reason, "a snapshot cannot be read; replaying everything");
            }
        }
    }
    match go_on(journal, stream, &mut recovered, &mut |_| {}) {
        Ok(()) => Ok((recovered, None)),
        Err(error @ ReplayError::Unreadable { .. }) => Ok((recovered, Some(error))),
        Err(error @ ReplayError::Store(_)) => Err(error),
    }
}

fn go_on(
    journal: &dyn Journal,
    stream: StreamId,
    recovered: &mut Recovered,
    each: &mut dyn FnMut(Replayed<'_>),
) -> Result<(), ReplayError> {
    loop {
        let batches = journal.read(stream, recovered.head, READ_BYTES)?;
        if batches.is_empty() {
            return Ok(());
        }
        for batch in &batches {
            let records = read_records(&batch.body)
                .map_err(|reason| ReplayError::unreadable(stream, batch, reason))?;
            for event in records.iter().flat_map(|record| &record.events) {
                recovered.sale.evolve(event);
                recovered.events_since_snapshot += 1;
            }
            recovered.head = batch.head();
            recovered.last_at = Timestamp(batch.at_ms);
            each(Replayed { batch, records: &records, sale: &recovered.sale });
        }
    }
}

/// Applies one batch to a state.
pub(crate) fn apply(sale: &mut Sale, stream: StreamId, batch: &Batch) -> Result<(), ReplayError> {
    let records = read_records(&batch.body);
    for record in records.map_err(|reason| ReplayError::unreadable(stream, batch, reason))? {
        record.events.iter().for_each(|event| sale.evolve(event));
    }
    Ok(())
}

/// The catalogue and its last batch.
///
/// # Errors
/// Why its history cannot be read to its end.
pub fn recover_catalogue(
    journal: &dyn Journal,
) -> Result<(Catalogue, Head, Timestamp), ReplayError> {
    let (mut catalogue, mut head, mut last_at) = (Catalogue::default(), Head::EMPTY, Timestamp(0));
    loop {
        let batches = journal.read(CATALOGUE, head, READ_BYTES)?;
        if batches.is_empty() {
            return Ok((catalogue, head, last_at));
        }
        for batch in &batches {
            let events = catalogue_events(batch)?;
            events.iter().for_each(|event| catalogue.evolve(event));
            (head, last_at) = (batch.head(), Timestamp(batch.at_ms));
        }
    }
}

/// What a batch of the catalogue says.
pub(crate) fn catalogue_events(batch: &Batch) -> Result<Vec<CatalogueEvent>, ReplayError> {
    read_catalogue(&batch.body).map_err(|reason| ReplayError::unreadable(CATALOGUE, batch, reason))
}

/// Writes a state as a snapshot, from which [`recover`] goes on; `last_at` is the time of its last
/// batch.
///
/// # Errors
/// Those of `to`.
pub fn write_snapshot(sale: &Sale, last_at: Timestamp, to: &mut dyn Write) -> io::Result<()> {
    // Most of what is written is a few bytes long.
    let mut buffered = BufWriter::with_capacity(WRITE_BYTES, to);
    minicbor::encode((FORMAT_MAX.0, last_at, sale), Writer::new(&mut buffered))
        .map_err(|error| error.into_write().unwrap_or_else(|| io::Error::other("not encodable")))?;
    buffered.flush()
}

/// The state in a snapshot, and the time of its last batch. Programs that know only the first format
/// wrote two parts; later ones begin with what they know.
fn decode_snapshot(bytes: &[u8]) -> Result<(Timestamp, Sale), Unreadable> {
    let mut d = Decoder::new(bytes);
    if d.array()? == Some(3) {
        let format = Format(d.u32()?);
        if format > FORMAT_MAX {
            return Err(Unreadable::LaterFormat(format));
        }
    }
    Ok((d.decode()?, d.decode()?))
}
