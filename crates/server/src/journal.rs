//! History for people: `maepyo journal show` and `maepyo journal verify`, also beside a running box
//! office. They only read.
//!
//! `show` prints one JSON object a line for each event, with the batch it is durable with, who
//! caused it by which command and request, and what it says in names that people know: seat
//! numbers, reservation and payment ids, times. `verify` replays everything from the first batch and
//! checks every invariant of the rules; where there is a ledger, also that it says the same.

mod told;
mod verdict;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;

use domain::Sale;
use domain::catalogue::Listing;
use domain::id::{EntryIndex, ReservationId};
use domain::time::Timestamp;
use engine::{Actor, Replayed, recover_catalogue, replay};
use serde::Serialize;
use store::codec::Cause;
use store::ledger::{Ledger, LedgerError};
use store::{Journal, StreamId};

use crate::config::{ShowOptions, Stop, StorePlace, VerifyOptions, say_out};
use crate::http::Utc;
use crate::ids::ShortId;
use crate::ledger;
use told::{Teller, Told};
use verdict::Inspection;

/// Prints the history.
pub(crate) fn show(options: &ShowOptions) -> Result<(), Stop> {
    // What ends too early can still be looked at.
    let journal = open(&options.data, true)?;
    let (catalogue, ..) = recover_catalogue(&*journal).map_err(Stop::failed)?;
    let mut listings: Vec<&Listing> = catalogue.listings().iter().collect();
    if let Some(sale) = &options.sale {
        listings.retain(|listing| listing.sale == *sale);
        if listings.is_empty() {
            return Err(Stop::failed(format!("there is no sale {sale} in this journal.")));
        }
    }
    let mut printer = Printer::new(io::stdout().lock());
    let Some(reservation) = options.reservation else {
        listings
            .into_iter()
            .try_for_each(|listing| print_sale(&*journal, listing, None, &mut printer))?;
        return printer.finish();
    };
    for listing in listings {
        let recovered =
            replay(&*journal, StreamId(listing.stream), |_| {}).map_err(Stop::failed)?;
        if let Some(entry) = buyer_of(&recovered.sale, reservation) {
            print_sale(&*journal, listing, Some(entry), &mut printer)?;
            return printer.finish();
        }
    }
    let reservation = ShortId::from(reservation.0);
    Err(Stop::failed(format!("there is no reservation {reservation} in this journal.")))
}

/// Replays every sale and says of each whether it is sound, and whether the ledger says the same; the
/// exit code says whether all is well.
pub(crate) fn verify(options: &VerifyOptions) -> Result<ExitCode, Stop> {
    let journal = open(&options.data, false)?;
    let (catalogue, ..) = recover_catalogue(&*journal).map_err(Stop::failed)?;
    let mut ledger = match Ledger::look(&ledger::location(&options.data)?, &*journal) {
        Err(LedgerError::Absent(_)) => None,
        looked => Some(looked),
    };
    let mut all_sound = true;
    for listing in catalogue.listings() {
        end_at_a_misfit(listing);
        let beside = ledger.as_mut().and_then(|ledger| ledger.as_mut().ok());
        let verdict = Inspection::of(&*journal, StreamId(listing.stream), beside);
        all_sound &= verdict.is_sound();
        let verdict = verdict.to_string();
        // One of an older version or another history is not wrong: the next start makes it anew.
        let not_compared = match &ledger {
            Some(Err(error)) => format!("; the ledger is not compared: {error}"),
            Some(Ok(_)) | None => String::new(),
        };
        say_out(&format!("{}: {verdict}{not_compared}", listing.sale));
    }
    let _ = panic::take_hook();
    if catalogue.listings().is_empty() {
        say_out("sound: there is no sale yet");
    }
    Ok(if all_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens the journal to be read, also beside a box office that writes it.
pub(crate) fn open(
    data: &StorePlace,
    accept_shorter_history: bool,
) -> Result<Arc<dyn Journal>, Stop> {
    let mut options = data.store_options()?;
    options.accept_shorter_history = accept_shorter_history;
    store::open_read_only(&data.location()?, options).map_err(Stop::failed)
}

fn buyer_of(sale: &Sale, reservation: ReservationId) -> Option<EntryIndex> {
    let found = sale.reservations().find(|known| known.id == reservation)?;
    sale.visit(found.visit).map(|visit| visit.entry)
}

/// An event that does not fit the state before it stops the replay where it stands, by a panic: then
/// that is the verdict.
fn end_at_a_misfit(listing: &Listing) {
    let sale = listing.sale.clone();
    panic::set_hook(Box::new(move |panic| {
        let why = panic.payload_as_str().unwrap_or("it cannot be applied");
        say_out(&format!("{sale}: BROKEN: an event does not fit what was before it: {why}"));
        std::process::exit(1);
    }));
}

/// One event as it is printed.
#[derive(Serialize)]
struct Line<'l> {
    sale: &'l str,
    batch: u64,
    at: Utc,
    actor: &'static str,
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<ShortId>,
    /// Which operator, and why, as far as they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'l str>,
    #[serde(flatten)]
    told: Told<'l>,
}

/// Prints one sale's events, or only what concerns one buyer.
fn print_sale(
    journal: &dyn Journal,
    listing: &Listing,
    buyer: Option<EntryIndex>,
    printer: &mut Printer<impl Write>,
) -> Result<(), Stop> {
    let mut teller = Teller::new(buyer);
    let print = |Replayed { batch, records, sale }: Replayed<'_>| {
        for record in records {
            let Cause { actor, command, request, warrant } = &record.cause;
            for event in &record.events {
                let Some(told) = teller.tell(event, sale) else { continue };
                printer.print(&Line {
                    sale: listing.sale.as_str(),
                    batch: batch.number,
                    at: Utc(Timestamp(batch.at_ms)),
                    actor: match actor {
                        Actor::Buyer => "buyer",
                        Actor::Operator => "operator",
                        Actor::System => "system",
                    },
                    command: command.as_str(),
                    request: request.map(ShortId::from),
                    by: warrant.as_ref().map(|warrant| &*warrant.by),
                    because: warrant.as_ref().and_then(|warrant| warrant.because.as_deref()),
                    told,
                });
            }
        }
    };
    replay(journal, StreamId(listing.stream), print).map_err(Stop::failed)?;
    Ok(())
}

/// Prints lines in large pieces, and remembers the first failure.
struct Printer<W: Write> {
    out: BufWriter<W>,
    failed: Option<ErrorKind>,
}

impl<W: Write> Printer<W> {
    fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), failed: None }
    }

    fn print(&mut self, line: &Line<'_>) {
        if self.failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
        if let Err(error) = written.and_then(|()| self.out.write_all(b"\n")) {
            if error.kind() == ErrorKind::BrokenPipe {
                // Whoever read it, `head` say, has seen enough; the rest need not be replayed.
                std::process::exit(0);
            }
            self.failed = Some(error.kind());
        }
    }

    fn finish(mut self) -> Result<(), Stop> {
        let flushed = self.out.flush().map_err(|error| error.kind());
        match self.failed.map_or(flushed, Err) {
            Ok(()) | Err(ErrorKind::BrokenPipe) => Ok(()),
            Err(kind) => Err(Stop::failed(format!("the history cannot be printed: {kind}."))),
        }
    }
}

#[cfg(test)]
mod tests;
