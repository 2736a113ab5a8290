//! The thread that keeps the ledger: reads what is durable and has it written as tables.
//!
//! It has its own file, or connection, reads the journal through the readers' connection, and gives way
//! ([`Courtesy`]), so that nobody who serves buyers waits for its work; a ledger that falls behind or
//! fails is a warning, no trouble, and one that cannot be opened yet is opened later. Only a seat with two live
//! owners is: then that sale is halted.
//!
//! Of several nodes whose ledger is in PostgreSQL one keeps it. The others look how far it is, whether it is
//! still kept, and whether a seat has two live owners.

use std::convert::Infallible;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::time::{Millis, Timestamp};
use store::ledger::{Ledger, LedgerError, Location, PIECE_BYTES, Progress};
use store::{Journal, StoreError};

use crate::courtesy::Courtesy;
use crate::driver::{Engine, StartError, spawn, step_back};

/// How often it looks for new batches.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of batches at a time where its core is wanted by others: some milliseconds of work.
const SMALL_PIECE_BYTES: usize = 32 << 10;
/// How often a damaged ledger is built anew before it is left alone until the next start.
const START_OVERS_MAX: u32 = 3;
/// How long stopping goes on writing what is missing; the next start writes the rest.
const STOP_WAIT: Millis = 5_000;
/// How long stopping waits in all. A piece that takes longer is undone with the process, and written by the next.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The running thread.
#[derive(Debug)]
pub struct LedgerThread {
    /// When it last had everything, in milliseconds of node time.
    level_at: Arc<AtomicU64>,
    stop: Sender<()>,
    thread: Mutex<Option<(JoinHandle<()>, Receiver<Infallible>)>>,
}

impl LedgerThread {
    /// Opens the ledger at `location` and keeps it from now on. One that is not available is opened as soon
    /// as it is.
    ///
    /// # Errors
    /// A ledger that cannot be opened until somebody has changed something, or a machine without threads.
    ///
    /// # Panics
    /// When the thread panics, which ends the process.
    pub fn start(
        engine: &Arc<Engine>,
        journal: Arc<dyn Journal>,
        location: Location,
    ) -> Result<Self, StartError> {
        let now = engine.now();
        let level_at = Arc::new(AtomicU64::new(now.0));
        let (stop, stopping) = mpsc::channel();
        let (tell, opened) = mpsc::channel();
        let (lives, ended) = mpsc::channel();
        let (engine, level) = (Arc::clone(engine), Arc::clone(&level_at));
        let keep = move || {
            let _until_it_ends = lives;
            // On a core that buyers need whole it falls behind, and catches up when they let it. What it
            // starts to speak with a database has this priority too.
            step_back();
            let (ledger, is_silent) = match Ledger::open(&location, &*journal) {
                Ok(ledger) => (Some(ledger), false),
                Err(error) if may_pass(&error) => {
                    tracing::warn!(%error, "the ledger falls behind, and is opened when it can be");
                    (None, true)
                }
                Err(error) => return drop(tell.send(Err(error))),
            };
            let keeping = Keeping {
                engine,
                journal,
                location,
                ledger,
                level_at: level,
                asked_at: now,
                is_elsewhere: false,
                is_answered: true,
                start_overs: 0,
                is_silent,
                piece_bytes: PIECE_BYTES,
            };
            if tell.send(Ok(())).is_ok() {
                keeping.run(&stopping);
            }
        };
        let thread = spawn("maepyo-ledger", keep)?;
        opened.recv().expect("the thread says how it went")?;
        Ok(Self { level_at, stop, thread: Mutex::new(Some((thread, ended))) })
    }

    /// How long ago at `now` it was last known to have everything that was durable.
    #[must_use]
    pub fn lag(&self, now: Timestamp) -> Millis {
        now.since(Timestamp(self.level_at.load(Ordering::Relaxed)))
    }

    /// Writes what is missing, for a few seconds at most, and ends. To be called after the engine
    /// has stopped.
    ///
    /// # Panics
    /// When a thread panicked, which ends the process.
    pub fn stop(&self) {
        // A thread that has ended by itself hears nothing.
        let _ended = self.stop.send(());
        let thread = self.thread.lock().expect("no thread has panicked").take();
        let Some((thread, ended)) = thread else { return };
        match ended.recv_timeout(STOP_MAX) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("a piece of the ledger is not waited for, and written again later");
            }
            Err(RecvTimeoutError::Disconnected) => thread.join().expect("no thread has panicked"),
        }
    }
}

/// What the thread works with.
struct Keeping {
    engine: Arc<Engine>,
    journal: Arc<dyn Journal>,
    location: Location,
    /// None until it could be opened.
    ledger: Option<Ledger>,
    level_at: Arc<AtomicU64>,
    /// When it was asked for what another node has not written yet, or just now.
    asked_at: Timestamp,
    /// Whether another node keeps it.
    is_elsewhere: bool,
    /// Whether what was asked for is there.
    is_answered: bool,
    start_overs: u32,
    /// Whether that it cannot be written was said already.
    is_silent: bool,
    /// Bytes of batches that are written at a time.
    piece_bytes: usize,
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    /// There is more.
    More,
    /// There is no more, or it must be tried again later.
    Pause,
    /// It cannot go on.
    End,
}

impl Keeping {
    fn run(mut self, stopping: &Receiver<()>) {
        let mut courtesy = Courtesy::default();
        loop {
            let piece = self.piece();
            let rest = courtesy.rest();
            let in_the_way = !rest.is_zero();
            self.piece_bytes = if in_the_way { SMALL_PIECE_BYTES } else { PIECE_BYTES };
            let patience = match piece {
                Piece::More => rest,
                Piece::Pause => EVERY.max(rest),
                Piece::End => return,
            };
            if stopping.recv_timeout(patience) != Err(RecvTimeoutError::Timeout) {
                let until = self.engine.now().plus(STOP_WAIT);
                while self.piece() == Piece::More && self.engine.now() < until {}
                if !self.is_silent
                    && !self.is_elsewhere
                    && let Some(ledger) = &mut self.ledger
                    && let Err(error) = ledger.give_up()
                {
                    tracing::debug!(%error, "another node keeps the ledger some seconds later");
                }
                return;
            }
        }
    }

    fn piece(&mut self) -> Piece {
        let now = self.engine.now();
        let progress = match self.write() {
            Ok(progress) => progress,
            Err(error) => return self.failed(&error),
        };
        if self.is_silent {
            tracing::info!("the ledger can be written again");
            self.is_silent = false;
        }
        for error in progress.unreadable {
            tracing::error!(%error, "a sale is left out of the ledger until the next start");
        }
        if progress.is_elsewhere != self.is_elsewhere {
            self.is_elsewhere = progress.is_elsewhere;
            let by = if progress.is_elsewhere { "another node" } else { "this node" };
            tracing::info!("the ledger is kept by {by}");
        }
        for violation in progress.violations {
            tracing::error!(
                sale = violation.sale,
                performance = violation.performance,
                seat = violation.seat,
                owner = violation.owner,
                claimant = violation.claimant,
                "a seat has two live owners: the sale takes no more commands. Compare the ledger \
                 with `maepyo journal show`, stop, run `maepyo ledger rebuild`, and start again"
            );
            self.engine.halt(violation.stream.0, format!("the ledger: {violation}"));
        }
        // What this node writes it has asked for just now.
        if self.is_answered || !progress.is_elsewhere {
            self.asked_at = now;
        }
        self.is_answered = progress.is_level;
        if progress.is_level {
            self.start_overs = 0;
        }
        if progress.is_level && !progress.lacks {
            self.level_at.store(self.asked_at.0, Ordering::Relaxed);
        }
        if progress.is_level || progress.is_elsewhere { Piece::Pause } else { Piece::More }
    }

    /// Writes a piece, and opens the ledger first where that was not possible before.
    fn write(&mut self) -> Result<Progress, LedgerError> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open(&self.location, &*self.journal)?,
        };
        self.ledger.insert(ledger).catch_up_by(self.piece_bytes, &*self.journal)
    }

    fn failed(&mut self, error: &LedgerError) -> Piece {
        let is_new = !mem::replace(&mut self.is_silent, true);
        if is_new {
            tracing::warn!(%error, "the ledger falls behind");
        }
        match error {
            LedgerError::Unavailable(_) | LedgerError::Journal(_) => Piece::Pause,
            LedgerError::Damaged(_) if self.start_overs < START_OVERS_MAX => {
                // One that could not even be opened was just tried to be made anew.
                let Some(ledger) = &mut self.ledger else { return Piece::Pause };
                match ledger.start_over(&*self.journal) {
                    Ok(()) => self.start_overs += 1,
                    Err(error) if is_new => {
                        tracing::warn!(%error, "the ledger cannot be built anew");
                    }
                    Err(_) => {}
                }
                Piece::Pause
            }
            LedgerError::Damaged(_)
            | LedgerError::Refused(_)
            | LedgerError::Absent(_)
            | LedgerError::NewerSchema { .. }
            | LedgerError::Unreadable { .. }
            | LedgerError::Violated(_) => {
                tracing::error!(%error, "the ledger is left as it is until the next start");
                Piece::End
            }
        }
    }
}

/// Whether what stands in the way of opening the ledger may be gone a moment later.
fn may_pass(error: &LedgerError) -> bool {
    match error {
        LedgerError::Unavailable(_)
        | LedgerError::Damaged(_)
        | LedgerError::Journal(StoreError::Unavailable(_)) => true,
        LedgerError::Journal(_)
        | LedgerError::Absent(_)
        | LedgerError::Refused(_)
        | LedgerError::NewerSchema { .. }
        | LedgerError::Unreadable { .. }
        | LedgerError::Violated(_) => false,
    }
}
