//! Whoever writes the sandbox's book: one thread that takes all waiting orders together.
//!
//! An order proposes an entry for a payment, or only looks it up, and is answered with what stands
//! then. All orders that wait are decided in turn, written with one write and synced once; then all
//! are answered. So nobody hears of what is not durable, and ten thousand orders a second share a
//! few hundred syncs. Orders are decided nowhere else, so two for one payment never race.
//!
//! The file is locked while a batch is decided and written, and lines that another process has
//! added are read first. A failed write changes nothing and is not answered; a failed sync ends
//! the process, for what the disk then holds cannot be known.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use domain::id::PaymentId;
use tokio::sync::oneshot;

use super::book::{Book, BookError, Entered, Entry, Line, Standing};

/// The most orders that wait; more are not taken.
const WAITING_MAX: usize = 8_192;

/// The time in milliseconds since 1970.
type Clock = Box<dyn Fn() -> u64 + Send>;

/// Takes orders for the book. Its thread ends when the last of its copies is gone.
#[derive(Clone)]
pub(super) struct Bookkeeper {
    orders: SyncSender<Order>,
}

impl Bookkeeper {
    /// Opens the book at `path`, or begins one, and starts the thread.
    pub(super) fn start(path: &Path, clock: Clock) -> Result<Self, BookError> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // The name of a new file must last as long as what will be written under it.
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;

        let mut desk = Desk { file, clock, book: Book::default(), lines: Vec::new() };
        desk.with_lock(Desk::catch_up)?;
        let (orders, waiting) = mpsc::sync_channel(WAITING_MAX);
        thread::Builder::new().name("sandbox-book".into()).spawn(move || desk.work(&waiting))?;
        Ok(Self { orders })
    }

    /// Enters `entry` for a payment if it can happen. The order is taken at the first poll.
    pub(super) async fn enter(&self, payment: PaymentId, entry: Entry) -> Result<Told, NoAnswer> {
        self.order(payment, Some(entry)).await
    }

    /// Enters nothing, and tells what stands.
    pub(super) async fn look_up(&self, payment: PaymentId) -> Result<Told, NoAnswer> {
        self.order(payment, None).await
    }

    async fn order(&self, payment: PaymentId, entry: Option<Entry>) -> Result<Told, NoAnswer> {
        let (reply, told) = oneshot::channel();
        self.orders.try_send(Order { payment, entry, reply }).map_err(|_| NoAnswer)?;
        told.await.map_err(|_| NoAnswer)
    }
}

/// The answer to an order; durable.
#[derive(Debug)]
pub(super) struct Told {
    /// What stands for the payment now, if anything does.
    pub(super) standing: Option<Standing>,
    /// Whether this order has made it so.
    pub(super) entered: bool,
}

/// Nobody can say: too many orders wait, or the file fails.
#[derive(Debug)]
pub(super) struct NoAnswer;

/// One thing to decide. It is answered when the book is synced, or dropped when that fails.
struct Order {
    payment: PaymentId,
    /// What is proposed, unless the order only looks up.
    entry: Option<Entry>,
    reply: oneshot::Sender<Told>,
}

/// What the thread works with.
struct Desk {
    file: File,
    clock: Clock,
    book: Book,
    /// The lines of one batch.
    lines: Vec<u8>,
}

impl Desk {
    fn work(mut self, waiting: &Receiver<Order>) {
        while let Ok(first) = waiting.recv() {
            let more = waiting.try_iter().take(WAITING_MAX - 1);
            let orders: Vec<Order> = std::iter::once(first).chain(more).collect();
            match self.with_lock(|desk| desk.book_all(&orders)) {
                Ok(all_told) => {
                    for (order, told) in orders.into_iter().zip(all_told) {
                        // Whoever has stopped waiting can look it up later.
                        let _ = order.reply.send(told);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, orders = orders.len(), "sandbox payments not booked");
                }
            }
        }
    }

    fn with_lock<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        self.file.lock()?;
        let done = work(self);
        self.file.unlock()?;
        done
    }

    /// Decides all orders in turn and makes it durable. What each is told, in order.
    fn book_all(&mut self, orders: &[Order]) -> Result<Vec<Told>, BookError> {
        self.catch_up()?;
        let at_ms = (self.clock)();
        self.lines.clear();
        let mut all_entered = Vec::new();
        let mut all_told = Vec::with_capacity(orders.len());
        for &Order { payment, ref entry, .. } in orders {
            let entered = entry.as_ref().and_then(|entry| {
                let entered = self.book.enter(payment, entry)?;
                let line = Line { at_ms, payment, entry: Cow::Borrowed(entry) };
                serde_json::to_writer(&mut self.lines, &line).expect("a Vec takes any line");
                self.lines.push(b'\n');
                Some(entered)
            });
            let standing = self.book.standing(payment).cloned();
            all_told.push(Told { standing, entered: entered.is_some() });
            all_entered.extend(entered);
        }
        if !all_entered.is_empty() {
            self.write(all_entered)?;
        }
        Ok(all_told)
    }

    /// Writes and syncs the batch, or takes its entries back.
    fn write(&mut self, entered: Vec<Entered>) -> Result<(), BookError> {
        if let Err(error) = (&self.file).write_all(&self.lines) {
            for newest in entered.into_iter().rev() {
                self.book.take_back(newest);
            }
            // If this fails too, the lines that are whole are read as booked the next time. That
            // is no lie: their orders were never answered.
            let _ = self.file.set_len(self.book.end());
            return Err(error.into());
        }
        self.book.written(self.lines.len());
        self.sync();
        Ok(())
    }

    /// Reads what others have added, and cuts off a line that one of them has not finished: we hold
    /// the lock, so it never will be.
    fn catch_up(&mut self) -> Result<(), BookError> {
        let length = self.file.metadata()?.len();
        if length == self.book.end() {
            return Ok(());
        }
        if length < self.book.end() {
            let at = length;
            return Err(BookError::Broken { at, cause: "lines were cut off while in use".into() });
        }
        self.book.read_on(&self.file)?;
        if length > self.book.end() {
            tracing::warn!(bytes = length - self.book.end(), "cut off a torn line of the book");
            self.file.set_len(self.book.end())?;
        }
        // Who wrote these lines may have died before syncing them, and we answer from them.
        self.sync();
        Ok(())
    }

    fn sync(&self) {
        if let Err(error) = self.file.sync_data() {
            tracing::error!(%error, "cannot sync the sandbox's book; stopping");
            std::process::abort();
        }
    }
}
