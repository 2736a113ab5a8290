//! The ledger for people: `maepyo ledger rebuild` and `maepyo ledger status`, and where the box
//! office keeps it. What its tables are is the store's business; who keeps them up, the engine's.

use std::sync::Arc;

use engine::{Engine, LedgerThread};
use store::Journal;
use store::ledger::{FILE_NAME, Ledger};

use crate::config::{LedgerOptions, ServeOptions, Stop, say_out};
use crate::journal;

/// Keeps the ledger beside a box office, unless that is not wanted.
pub(crate) fn keep(
    options: &ServeOptions,
    engine: &Arc<Engine>,
    journal: &Arc<dyn Journal>,
) -> Result<Option<Arc<LedgerThread>>, Stop> {
    if options.no_ledger {
        return Ok(None);
    }
    let path = options.data.file(FILE_NAME);
    let thread = LedgerThread::start(engine, Arc::clone(journal), &path).map_err(Stop::failed)?;
    Ok(Some(Arc::new(thread)))
}

/// Builds the ledger anew. The directory must not be in use: whoever keeps the old one would go on
/// writing into a file that is no longer there.
pub(crate) fn rebuild(options: &LedgerOptions) -> Result<(), Stop> {
    let location = options.data.location()?;
    // Only to be told that there is no journal, instead of making one.
    journal::open(&options.data, false)?;
    let journal = store::open(&location, options.data.store_options()?).map_err(Stop::failed)?;
    let path = options.data.file(FILE_NAME);
    let batches = Ledger::rebuild(&path, &*journal).map_err(Stop::failed)?;
    say_out(&format!("{}: built from {batches} batches", path.display()));
    Ok(())
}

/// Says of each sale how many of its batches are in the ledger.
pub(crate) fn status(options: &LedgerOptions) -> Result<(), Stop> {
    let journal = journal::open(&options.data, false)?;
    let path = options.data.file(FILE_NAME);
    let ledger = Ledger::look(&path, &*journal).map_err(Stop::failed)?;
    for standing in ledger.standings(&*journal).map_err(Stop::failed)? {
        let behind = standing.of - standing.batch.min(standing.of);
        let (sale, batch, of) = (standing.sale, standing.batch, standing.of);
        say_out(&format!("{sale}: batch {batch} of {of}, {behind} behind"));
    }
    Ok(())
}
