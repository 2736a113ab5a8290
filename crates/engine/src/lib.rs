//! How the rules run: many buyers' commands, one durable commit, then the answers.
//!
//! The core ([`core`]) is a synchronous state machine for one sale; it does no I/O and reads no
//! clock, so that a simulator can drive it. The driver (`driver.rs`) runs all sales' cores on one
//! thread beside a thread that writes the journal. Readers read memory: the newest durable state is
//! published as an immutable [`Publication`].
//!
//! No reply, publication or call to a provider leaves before its batch is durable.

pub mod clock;
pub mod core;
mod courtesy;
mod directory;
mod driver;
mod handle;
mod ledger;
mod looks;
pub mod meters;
mod recovery;
mod seen;

use std::fmt;
use std::sync::Arc;

use domain::command::{PaymentOutcome, Schedule};
use domain::id::{PaymentId, PaymentIndex};
use domain::money::{Currency, Money};
use domain::sale::{PlaceView, ReservationView};
use domain::time::{Millis, Timestamp};
use domain::{Command, Refusal};
pub use store::codec::{Actor, Warrant};

pub use directory::{Directory, Listed};
pub use driver::{Engine, StartError};
pub use handle::{Publication, SaleHandle};
pub use ledger::LedgerThread;
pub use looks::Looks;
pub use recovery::{
    Recovered, ReplayError, Replayed, recover, recover_catalogue, replay, write_snapshot,
};

/// What bounds the engine. Every queue and wait has a limit.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this process's batches from all others': random, new at each start.
    pub node: u64,
    /// How long a caller waits for an append before it hears [`Failure::OutcomeUnknown`].
    pub append_wait_max: Millis,
    /// A publication is at most this much older than the newest durable batch under load.
    pub publish_every: Millis,
    /// Requests waiting to be decided, for each [`Priority`] of each sale.
    pub queue_max: [usize; 5],
    /// Payments at the provider at a time, for each sale.
    pub payments_in_flight: usize,
    /// A snapshot is written after this many events: rarely enough to cost little, and few enough
    /// to be replayed in well under a second.
    pub snapshot_every: u64,
    /// How often the journal is asked what other nodes have written, where there may be others; `None`
    /// where this process is the only one that writes.
    pub follow_every: Option<Millis>,
    /// Who is told of each commit, if anybody.
    pub watch: Option<Arc<dyn Watch>>,
}

/// Whoever watches the commits, on the thread that makes them: it must not wait.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A commit is over.
    fn committed(&self, commit: &Commit);
}

/// A commit that is over.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Nanoseconds that it took.
    pub took_ns: u64,
    /// Batches in it, each of another sale.
    pub batches: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether nothing of it is known to be written.
    pub failed: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: 0,
            append_wait_max: 10_000,
            publish_every: 20,
            queue_max: [20_000, 1_000, 8_000, 8_000, 4_000],
            payments_in_flight: 1_000,
            snapshot_every: 500_000,
            follow_every: None,
            watch: None,
        }
    }
}

/// What goes first when not everything can: joins are shed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A provider's answer.
    Settle,
    /// Time, operators.
    Tick,
    /// Beginning a payment.
    Payment,
    /// Holding, giving back, leaving.
    Hold,
    /// Joining and being seen.
    Join,
}

impl Priority {
    /// Every priority, the first one first.
    pub const ALL: [Self; 5] = [Self::Settle, Self::Tick, Self::Payment, Self::Hold, Self::Join];

    /// The priority as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Tick => "tick",
            Self::Payment => "payment",
            Self::Hold => "hold",
            Self::Join => "join",
        }
    }

    /// The priority of a command.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        match command {
            Command::SettlePayment { .. } | Command::SettleRefund { .. } => Self::Settle,
            Command::Tick
            | Command::Resume { .. }
            | Command::Schedule(_)
            | Command::Open
            | Command::Pause
            | Command::Unpause
            | Command::Close
            | Command::ChangeLimits(_)
            | Command::Change(_)
            | Command::Withhold { .. }
            | Command::Release { .. } => Self::Tick,
            Command::BeginPayment { .. } => Self::Payment,
            Command::Hold { .. } | Command::GiveBack { .. } | Command::Leave { .. } => Self::Hold,
            Command::Join { .. } | Command::Seen { .. } => Self::Join,
        }
    }
}

/// A command on its way in.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Who asks.
    pub actor: Actor,
    /// The request's id, as logs name it.
    pub id: u64,
    /// What a payment is made with; never journalled, logged or kept after the provider was asked.
    pub instrument: Option<Instrument>,
    /// Which operator asks, and why.
    pub warrant: Option<Box<Warrant>>,
}

impl Request {
    /// A command of the system's own.
    #[must_use]
    pub fn system(command: Command) -> Self {
        Self { command, actor: Actor::System, id: 0, instrument: None, warrant: None }
    }

    /// A buyer's command.
    #[must_use]
    pub fn buyer(command: Command, id: u64, instrument: Option<Instrument>) -> Self {
        Self { command, actor: Actor::Buyer, id, instrument, warrant: None }
    }

    /// An operator's command.
    #[must_use]
    pub fn operator(command: Command, id: u64, warrant: Option<Box<Warrant>>) -> Self {
        Self { command, actor: Actor::Operator, id, instrument: None, warrant }
    }
}

/// What a payment is made with: a provider's token, never a card number. A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Instrument {
    /// The kind: `card`.
    pub method: Arc<str>,
    /// The provider's token.
    pub token: Arc<str>,
}

impl fmt::Debug for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instrument(…)")
    }
}

/// What a command came to, durable before it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The batch after which it was decided: the state of [`Publication::as_of`] and later shows it.
    pub as_of: u64,
    /// The answer, or the rules' no.
    pub answer: Result<Answer, Refusal>,
}

/// The answer to a command that the rules allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Join`: the place, and whether it is new. Also to `Leave`, with the place as it is now.
    Place {
        /// The place.
        view: PlaceView,
        /// Whether it is new.
        created: bool,
    },
    /// To `Hold`, `GiveBack` and `BeginPayment`: the reservation, its newest payment, and the
    /// place. A payment that is running or unknown is pending; it answers within the ten seconds
    /// for which [`core::PAYMENT_WAIT`] waits.
    Reservation {
        /// The reservation and its payment.
        view: Box<ReservationView>,
        /// The place.
        place: PlaceView,
    },
    /// To everything else.
    Done,
}

/// Why there is no answer: this node could not. Never a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Too many wait; nothing was written.
    #[error("too many requests wait")]
    Overloaded,
    /// The store cannot be written; nothing was written.
    #[error("the store cannot be written")]
    Unavailable,
    /// It may or may not have been written; the same request with the same key tells.
    #[error("the outcome is not known")]
    OutcomeUnknown,
}

/// Something to ask of the payment provider; the payment's id is its idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Take the money; once. Answer with [`CallResult`] `Approved`, `Declined` or `Unknown` within
    /// ten seconds.
    Charge {
        /// How much.
        amount: Money,
        /// Of what.
        currency: Currency,
        /// With what.
        instrument: Option<Instrument>,
    },
    /// What became of the charge? `Approved`, `Declined`, `NotFound` or `Unknown`.
    Find,
    /// Make sure that it never succeeds: `Voided`, `Approved` (too late) or `Unknown`.
    Void,
    /// Give the money back; once. `Refunded` or `Unknown`.
    Refund {
        /// How much.
        amount: Money,
        /// Of what.
        currency: Currency,
    },
}

/// What the provider answered to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// A definite outcome of the charge, or doubt.
    Outcome(PaymentOutcome),
    /// The provider has never heard of it, which is not final.
    NotFound,
    /// It will never succeed.
    Voided,
    /// The money went back.
    Refunded,
}

/// Whoever asks the payment provider. A call is handed over without waiting; its result comes back
/// through [`Engine::call_finished`], however long it takes.
pub trait Calls: Send {
    /// Begins a call.
    fn begin(&mut self, call: PendingCall);
}

/// A call that was begun and whose result is awaited.
#[derive(Clone, Debug)]
pub struct PendingCall {
    /// The sale's stream in the journal.
    pub stream: u32,
    /// Which payment of the sale.
    pub payment: PaymentIndex,
    /// The payment's id: the provider's idempotency key.
    pub id: PaymentId,
    /// What to ask.
    pub call: Call,
}

/// A sale to be added to the catalogue.
#[derive(Clone, Debug)]
pub struct NewSale {
    /// What is put on the calendar.
    pub schedule: Schedule,
    /// Whether buyers who name no sale join this one.
    pub default: bool,
}

/// Seconds as the line counts them at `now`, by a sale's clock.
#[must_use]
pub(crate) fn seconds(sale: &domain::Sale, now: Timestamp) -> domain::time::Second {
    sale.clock().service(now).floor()
}
