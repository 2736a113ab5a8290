//! The thread that keeps the ledger: reads what is durable and has it written as tables.
//!
//! It has its own file, or connection, reads the journal through the readers' connection, and gives way
//! ([`Courtesy`]), so that nobody who serves buyers waits for its work; a ledger that falls behind or
//! fails is a warning, no trouble. Only a seat with two live owners is: then that sale is halted.
//!
//! Of several nodes whose ledger is in PostgreSQL one keeps it. The others look how far it is, whether it is
//! still kept, and whether a seat has two live owners.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::time::{Millis, Timestamp};
use store::Journal;
use store::ledger::{Ledger, LedgerError, Location, PIECE_BYTES};

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

/// The running thread.
#[derive(Debug)]
pub struct LedgerThread {
    /// When it last had everything, in milliseconds of node time.
    level_at: Arc<AtomicU64>,
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LedgerThread {
    /// Opens the ledger at `location` and keeps it from now on.
    ///
    /// # Errors
    /// A ledger that cannot be opened, or a machine without threads.
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
        let (engine, level) = (Arc::clone(engine), Arc::clone(&level_at));
        let keep = move || {
            // On a core that buyers need whole it falls behind, and catches up when they let it. What it
            // starts to speak with a database has this priority too.
            step_back();
            let ledger = match Ledger::open(&location, &*journal) {
                Ok(ledger) => ledger,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let keeping = Keeping {
                engine,
                journal,
                ledger,
                level_at: level,
                asked_at: now,
                is_elsewhere: false,
                is_answered: true,
                start_overs: 0,
                is_silent: false,
                piece_bytes: PIECE_BYTES,
            };
            if tell.send(Ok(())).is_ok() {
                keeping.run(&stopping);
            }
        };
        let thread = spawn("maepyo-ledger", keep)?;
        opened.recv().expect("the thread says how it went")?;
        Ok(Self { level_at, stop, thread: Mutex::new(Some(thread)) })
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
        if let Some(thread) = thread {
            thread.join().expect("no thread has panicked");
        }
    }
}

/// What the thread works with.
struct Keeping {
    engine: Arc<Engine>,
    journal: Arc<dyn Journal>,
    ledger: Ledger,
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
                    && let Err(error) = self.ledger.give_up()
                {
                    tracing::debug!(%error, "another node keeps the ledger some seconds later");
                }
                return;
            }
        }
    }

    fn piece(&mut self) -> Piece {
        let now = self.engine.now();
        let progress = match self.ledger.catch_up_by(self.piece_bytes, &*self.journal) {
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
        if progress.is_level && !progress.lacks {
            self.level_at.store(self.asked_at.0, Ordering::Relaxed);
        }
        if progress.is_level || progress.is_elsewhere { Piece::Pause } else { Piece::More }
    }

    fn failed(&mut self, error: &LedgerError) -> Piece {
        if !self.is_silent {
            tracing::warn!(%error, "the ledger falls behind");
            self.is_silent = true;
        }
        match error {
            LedgerError::Unavailable(_) | LedgerError::Journal(_) => Piece::Pause,
            LedgerError::Damaged(_) if self.start_overs < START_OVERS_MAX => {
                self.start_overs += 1;
                if let Err(error) = self.ledger.start_over(&*self.journal) {
                    tracing::warn!(%error, "the ledger cannot be built anew");
                }
                Piece::Pause
            }
            LedgerError::Damaged(_)
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
