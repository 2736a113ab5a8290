//! Runs the cores: one thread decides for all sales, one writes the journal, one takes turns at it with
//! other nodes, one writes snapshots.
//!
//! The deciding thread takes what came in, lets each core that has something to do advance, and
//! hands the batches of all of them to the writer as one commit. It never waits for the disk. Where
//! other nodes write the same journal, what is decided in a turn among them is a commit of its own; one
//! more thread looks for what they have written, and everything that is shown is known to be as new as
//! one of its looks ([`Looks`](crate::Looks)).

mod crowd;
mod follower;
mod inbox;
mod replies;
mod sales;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use domain::id::{EntryIndex, PaymentIndex};
use domain::sale::PlaceView;
use domain::time::Timestamp;
use domain::{Command, Refusal};
use store::{Format, Journal};
use tokio::sync::oneshot;

use crate::clock::{Clock, Stopwatch, uptime_ms};
use crate::directory::Directory;
use crate::handle::{Publication, SaleHandle};
use crate::meters::{Asked, CommandOutcome, Meters};
use crate::recovery::ReplayError;
use crate::{CallResult, Calls, Config, Failure, NewSale, Reply, Request, Warrant, Watch};
use follower::Following;
use inbox::{Inbox, Input};
use sales::{Sales, Writers};
pub(crate) use writer::step_back;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The history cannot be read to its end.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// The machine gave no thread.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The ledger cannot be kept.
    #[error("{0}")]
    Ledger(#[from] store::ledger::LedgerError),
}

/// The running engine.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    epoch: u64,
}

/// What the threads and the callers share.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    clock: Clock,
    directory: ArcSwap<Directory>,
    /// What is known of other nodes' work, where there may be others.
    following: Option<Following>,
    /// Why the store cannot be written at present, if it cannot.
    trouble: Mutex<Option<String>>,
    stopped: AtomicBool,
    /// Sales that take no commands until the next start, by their streams, and why; `is_halted` says
    /// that there is one, so that nobody else has to look.
    halted: Mutex<BTreeMap<u32, String>>,
    is_halted: AtomicBool,
    /// Requests that wait in the inbox.
    waiting: AtomicUsize,
    /// The newest format that bodies may be written in, as the store last said.
    format: AtomicU32,
    meters: Meters,
    watch: Option<Arc<dyn Watch>>,
}

impl Shared {
    fn halted(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.halted.lock().expect("no thread has panicked")
    }

    /// Takes no more commands for the sale of this stream.
    fn halt(&self, stream: u32, reason: String) {
        self.halted().entry(stream).or_insert(reason);
        self.is_halted.store(true, Ordering::Relaxed);
    }

    fn format(&self) -> Format {
        Format(self.format.load(Ordering::Relaxed))
    }
}

/// Requests in the inbox, at most: it is emptied between two commits.
const INBOX_MAX: usize = 50_000;

impl Engine {
    /// Recovers every sale from the journal and starts. Best called in the runtime in which commands
    /// will be submitted: a crowd of answers is then told there.
    ///
    /// # Errors
    /// A history that cannot be read to its end, or a machine without threads.
    pub fn start(
        journal: Arc<dyn Journal>,
        calls: Box<dyn Calls>,
        config: Config,
    ) -> Result<Arc<Self>, StartError> {
        let began_ms = uptime_ms();
        let (writes, to_write) = mpsc::channel();
        let (turns, to_take) = mpsc::channel();
        let (snapshots, to_keep) = mpsc::sync_channel(1);
        let recovered = sales::recover(journal.as_ref())?;
        let format = journal.format().map_err(ReplayError::Store)?;
        let store_now = Timestamp(journal.now_ms().map_err(ReplayError::Store)?);
        let clock = Clock::start(store_now.max(recovered.alive_at()));
        let follow = config.follow_every.map(|every| (every, Following::new(began_ms)));
        let (following, asked) = match follow {
            Some((every, (following, asked))) => (Some(following), Some((every, asked))),
            None => (None, None),
        };
        let shared = Arc::new(Shared {
            inbox: Inbox::default(),
            clock,
            directory: ArcSwap::default(),
            following,
            trouble: Mutex::new(None),
            stopped: AtomicBool::new(false),
            halted: Mutex::new(BTreeMap::new()),
            is_halted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            format: AtomicU32::new(format.0),
            meters: Meters::default(),
            watch: config.watch.clone(),
        });
        let writers = Writers { writes, turns, snapshots };
        let sales = Sales::new(recovered, Arc::new(config), shared.clone(), calls, writers);
        let epoch = journal.epoch().0;
        let mut threads = vec![
            spawn("maepyo-writer", {
                let (journal, shared) = (journal.clone(), shared.clone());
                move || writer::write(journal.as_ref(), &shared, format, &to_write)
            })?,
            spawn("maepyo-turns", {
                let (journal, shared) = (journal.clone(), shared.clone());
                move || writer::take_turns(journal.as_ref(), &shared, &to_take)
            })?,
            spawn("maepyo-snapshots", {
                let journal = journal.clone();
                move || writer::keep(journal.as_ref(), &to_keep)
            })?,
            spawn("maepyo-engine", move || sales.run())?,
        ];
        if let Some((every, asked)) = asked {
            let shared = shared.clone();
            threads.push(spawn("maepyo-follower", move || {
                let following = shared.following.as_ref().expect("there is something to follow");
                follower::follow(journal.as_ref(), &shared, following, every, &asked);
            })?);
        }
        Ok(Arc::new(Self { shared, threads: Mutex::new(threads), epoch }))
    }

    /// Whether other nodes may write the same journal, so that what is shown here may be old.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared.following.is_some()
    }

    /// Waits until everything that is shown is at least as new as anything was when this was called:
    /// not at all where nobody else writes. There is no bound, so the caller sets one.
    pub async fn confirmed(&self) {
        if let Some(following) = &self.shared.following {
            following.looks.caught_up_with(following.ask()).await;
        }
    }

    /// Waits until the newest publication of a sale is that of batch `as_of` at least, which another
    /// node has told somebody of. There is no bound, so the caller sets one.
    pub async fn caught_up(&self, sale: &SaleHandle, as_of: u64) {
        if let Some(following) = &self.shared.following {
            following.ask();
            sale.reaches(as_of).await;
        }
    }

    /// Whether what is shown may be told as it is: it was lately the newest that there was.
    #[must_use]
    pub fn is_recent(&self) -> bool {
        let following = self.shared.following.as_ref();
        following.is_none_or(|following| following.looks.is_recent(uptime_ms()))
    }

    /// Waits until what is shown has caught up, or a look at the journal has come to nothing. There
    /// is no bound, so the caller sets one. Then [`Engine::may_be_shown`] says whether it may be told.
    pub async fn looked(&self) {
        if let Some(following) = &self.shared.following {
            following.looks.over(following.ask()).await;
        }
    }

    /// Whether what is shown may be told although nothing newer can be had.
    #[must_use]
    pub fn may_be_shown(&self) -> bool {
        let following = self.shared.following.as_ref();
        following.is_none_or(|following| following.looks.may_be_shown(uptime_ms()))
    }

    /// Which history this is; tokens of another one mean nothing.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Node time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Node time when a stopwatch began: of two questions for the time one is saved.
    #[must_use]
    pub fn at(&self, watch: Stopwatch) -> Timestamp {
        self.shared.clock.at(watch)
    }

    /// Which sales and performances there are.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.shared.directory.load_full()
    }

    /// Notes that the buyer of a place is there. To be called for every read with a token, for a
    /// command says so itself. Costs a mark in memory, but for a buyer who was away or is new inside.
    pub fn saw(&self, sale: &SaleHandle, publication: &Publication, view: &PlaceView) {
        if sale.saw(publication, view, self.now()) {
            let entries: Vec<EntryIndex> = vec![view.place.entry];
            let command = Command::Seen { entries };
            let request = Request::system(command);
            let (to, _nobody) = oneshot::channel();
            // Shed when too many wait: the buyer asks again, and is then seen.
            let _shed = self.put(sale.stream(), request, to);
        }
    }

    /// Submits a command; answers when what was decided is durable.
    ///
    /// # Errors
    /// When this node could not: the answer says whether something may have been written.
    pub async fn submit(&self, sale: &SaleHandle, request: Request) -> Result<Reply, Failure> {
        let (to, reply) = oneshot::channel();
        self.put(sale.stream(), request, to)?;
        reply.await.unwrap_or(Err(Failure::OutcomeUnknown))
    }

    fn put(
        &self,
        stream: u32,
        request: Request,
        to: oneshot::Sender<Result<Reply, Failure>>,
    ) -> Result<(), Failure> {
        if self.shared.stopped.load(Ordering::Acquire) {
            return Err(Failure::Unavailable);
        }
        if self.shared.is_halted.load(Ordering::Relaxed)
            && self.shared.halted().contains_key(&stream)
        {
            return Err(Failure::Unavailable);
        }
        if self.shared.waiting.load(Ordering::Relaxed) >= INBOX_MAX {
            self.shared.meters.came_to(Asked::of(&request.command), CommandOutcome::Overloaded);
            return Err(Failure::Overloaded);
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = self.shared.inbox.put(Input::Request { stream, request, to });
        if taken { Ok(()) } else { Err(Failure::Unavailable) }
    }

    /// Adds a sale to the catalogue and schedules it, for the request `id` by this operator. The
    /// same sale twice is added once.
    ///
    /// # Errors
    /// What the rules refuse, or that this node could not within [`Config::append_wait_max`].
    pub async fn add_sale(
        &self,
        sale: NewSale,
        id: u64,
        warrant: Option<Box<Warrant>>,
    ) -> Result<Result<(), Refusal>, Failure> {
        self.put_sale(sale, false, id, warrant).await
    }

    /// Describes a sale anew that is there: [`domain::Command::Change`], after the catalogue has
    /// the names of its new performances. Answers when the change can be read. `default` says
    /// nothing here.
    ///
    /// # Errors
    /// What the rules refuse, or that this node could not within [`Config::append_wait_max`].
    pub async fn change_sale(
        &self,
        sale: NewSale,
        id: u64,
        warrant: Option<Box<Warrant>>,
    ) -> Result<Result<(), Refusal>, Failure> {
        self.put_sale(sale, true, id, warrant).await
    }

    async fn put_sale(
        &self,
        sale: NewSale,
        anew: bool,
        id: u64,
        warrant: Option<Box<Warrant>>,
    ) -> Result<Result<(), Refusal>, Failure> {
        let (to, reply) = oneshot::channel();
        let sale = Box::new(sale);
        let taken = !self.shared.stopped.load(Ordering::Acquire)
            && self.shared.inbox.put(Input::AddSale { sale, anew, id, warrant, to });
        if !taken {
            return Err(Failure::Unavailable);
        }
        reply.await.unwrap_or(Err(Failure::OutcomeUnknown))
    }

    /// Hands in what the provider answered to a call.
    pub fn call_finished(&self, stream: u32, payment: PaymentIndex, result: CallResult) {
        self.shared.inbox.put(Input::CallFinished { stream, payment, result });
    }

    /// Why commands cannot be served at present, or not those of one sale, in a plain sentence, if
    /// they cannot.
    ///
    /// # Panics
    /// When a thread panicked, which ends the process.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.shared.trouble.lock().expect("no thread has panicked").clone();
        trouble.or_else(|| self.shared.halted().values().next().cloned())
    }

    /// Takes no more commands for the sale of this stream until the next start: its callers hear
    /// [`Failure::Unavailable`], and [`Engine::trouble`] says why. Reading goes on, and so does what
    /// was accepted: time passes, and what a provider answers is still written down.
    ///
    /// # Panics
    /// When a thread panicked, which ends the process.
    pub fn halt(&self, stream: u32, reason: String) {
        self.shared.halt(stream, reason);
    }

    /// The newest format that bodies may be written in, as the store said within the last seconds. Nodes
    /// write in it, or in the newest that they know.
    #[must_use]
    pub fn format(&self) -> Format {
        self.shared.format()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Requests that wait for the deciding thread to look at them.
    #[must_use]
    pub fn inbox_length(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Stops: finishes what was accepted, writes a snapshot of every sale, syncs the journal. New
    /// commands are refused from now on. Blocks until that is done, some 15 s at most.
    ///
    /// # Panics
    /// When a thread panicked, which ends the process.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.inbox.put(Input::Stop);
        let threads: Vec<_> =
            self.threads.lock().expect("no thread has panicked").drain(..).collect();
        for thread in threads {
            thread.join().expect("no thread has panicked");
        }
    }
}

pub(crate) fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Thread)
}
