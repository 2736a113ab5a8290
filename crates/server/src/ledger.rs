//! The ledger for people: `maepyo ledger rebuild` and `maepyo ledger status`, and where the box
//! office keeps it: beside a history in PostgreSQL, else in a file. What its tables are is the store's
//! business; who keeps them up, the engine's.

use std::fs;
use std::process;
use std::sync::Arc;

use clap::{Args, Subcommand};
use engine::{Engine, LedgerThread};
use store::Journal;
use store::ledger::{FILE_NAME, Keeper, Ledger, Location};

use crate::config::{ServeOptions, Stop, StorePlace, say_out};
use crate::ids::Ids;
use crate::journal;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Builds it anew from the journal: in a file while the box office is closed, in PostgreSQL at any time.
    Rebuild(LedgerOptions),
    /// Says how far it is, also while the box office runs; in PostgreSQL also which node keeps it.
    Status(LedgerOptions),
}

/// Which ledger.
#[derive(Debug, Args)]
pub(crate) struct LedgerOptions {
    #[command(flatten)]
    data: StorePlace,
}

/// Does what is asked.
pub(crate) fn run(command: &LedgerCommand) -> Result<(), Stop> {
    match command {
        LedgerCommand::Rebuild(options) => rebuild(options),
        LedgerCommand::Status(options) => status(options),
    }
}

/// Keeps the ledger beside a box office, unless that is not wanted.
pub(crate) fn keep(
    options: &ServeOptions,
    engine: &Arc<Engine>,
    journal: &Arc<dyn Journal>,
) -> Result<Option<Arc<LedgerThread>>, Stop> {
    if options.no_ledger {
        return Ok(None);
    }
    let location = location(&options.data)?;
    let thread =
        LedgerThread::start(engine, Arc::clone(journal), location).map_err(Stop::failed)?;
    Ok(Some(Arc::new(thread)))
}

/// Where the ledger of a history is.
pub(crate) fn location(data: &StorePlace) -> Result<Location, Stop> {
    if !data.is_shared() {
        return Ok(Location::File(data.file(FILE_NAME)));
    }
    Ok(Location::Database {
        address: data.location()?,
        password: data.store_options()?.password,
        node: node(),
    })
}

/// What this process is called among those that could keep the ledger: its machine and its number there, and,
/// as in two containers both may be the same, a number that no other has.
fn node() -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname");
    let machine = machine.map_or_else(|_| "node".to_owned(), |name| name.trim().to_owned());
    format!("{machine}:{}:{:016x}", process::id(), Ids.node())
}

/// Builds the ledger anew. A directory must not be in use: whoever keeps the old one would go on
/// writing into a file that is no longer there.
fn rebuild(options: &LedgerOptions) -> Result<(), Stop> {
    let location = location(&options.data)?;
    // Also to be told that there is no journal, instead of making one.
    let mut journal = journal::open(&options.data, false)?;
    if !options.data.is_shared() {
        let place = options.data.location()?;
        journal = store::open(&place, options.data.store_options()?).map_err(Stop::failed)?;
    }
    let batches = Ledger::rebuild(&location, &*journal).map_err(Stop::failed)?;
    say_out(&format!("{location}: built from {batches} batches"));
    Ok(())
}

/// Says of each sale how many of its batches are in the ledger, and who keeps it if it could be several.
fn status(options: &LedgerOptions) -> Result<(), Stop> {
    let journal = journal::open(&options.data, false)?;
    let location = location(&options.data)?;
    let mut ledger = Ledger::look(&location, &*journal).map_err(Stop::failed)?;
    for standing in ledger.standings(&*journal).map_err(Stop::failed)? {
        let behind = standing.of - standing.batch.min(standing.of);
        let (sale, batch, of) = (standing.sale, standing.batch, standing.of);
        say_out(&format!("{sale}: batch {batch} of {of}, {behind} behind"));
    }
    if options.data.is_shared() {
        say_out(&match ledger.keeper().map_err(Stop::failed)? {
            Some(Keeper { node, left_ms }) => {
                format!("kept by {node}, for {} s at least", left_ms / 1000)
            }
            None => "kept by nobody".to_owned(),
        });
    }
    Ok(())
}
