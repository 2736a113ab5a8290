//! The thread that keeps the ledger: reads what is durable and has it written as tables.
//!
//! It has its own file, reads the journal through the readers' connection, and gives way
//! ([`Courtesy`]), so that nobody who serves buyers waits for its work; a ledger that falls behind or
//! fails is a warning, no trouble. Only a seat with two live owners is: then that sale is halted.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::time::{Millis, Timestamp};
use store::Journal;
use store::ledger::{Ledger, LedgerError, PIECE_BYTES};

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
    /// Opens the ledger at `path` and keeps it from now on.
    ///
    /// # Errors
    /// A ledger that cannot be opened, or a machine without threads.
    pub fn start(
        engine: &Arc<Engine>,
        journal: Arc<dyn Journal>,
        path: &Path,
    ) -> Result<Self, StartError> {
        let ledger = Ledger::open(path, &*journal)?;
        let level_at = Arc::new(AtomicU64::new(engine.now().0));
        let (stop, stopping) = mpsc::channel();
        let keeping = Keeping {
            engine: Arc::clone(engine),
            journal,
            ledger,
            level_at: Arc::clone(&level_at),
            start_overs: 0,
            is_silent: false,
            piece_bytes: PIECE_BYTES,
        };
        let thread = spawn("maepyo-ledger", move || keeping.run(&stopping))?;
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
        // On a core that buyers need whole it falls behind, and catches up when they let it.
        step_back();
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
        if progress.is_level {
            if !progress.lacks {
                self.level_at.store(now.0, Ordering::Relaxed);
            }
            Piece::Pause
        } else {
            Piece::More
        }
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
            | LedgerError::NewerSchema { .. }
            | LedgerError::Unreadable { .. }
            | LedgerError::Violated(_) => {
                tracing::error!(%error, "the ledger is left as it is until the next start");
                Piece::End
            }
        }
    }
}
