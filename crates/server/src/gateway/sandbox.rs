//! A payment provider that moves no money: the default on loopback, and what the tests pay with.
//!
//! The instrument's token says what happens (`Behaviour`). What happened stands in a durable book
//! of the sandbox's own, apart from the journal, so that money can be counted without asking us.
//! Several processes may share one book: then they are nodes that share one provider.
//!
//! It keeps every promise of `gateway`, except to survive the loss of its file. It does not look
//! at the method, and the memory it needs grows with every payment (about 100 bytes each).

pub(crate) mod book;
mod bookkeeper;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::id::PaymentId;
use domain::money::{Currency, Money};
use tokio::sync::Semaphore;

pub(crate) use self::book::BookError;
use self::book::{Entry, Standing};
use self::bookkeeper::{Bookkeeper, NoAnswer, Told};
use super::{Asked, Charge, Decline, Finding, Instrument, PaymentGateway, Refund, Voiding};

/// How long `tok_slow` takes to be approved.
const SLOW: Duration = Duration::from_secs(3);
/// The most charges by `tok_slow` under way; more are unknown at once.
const SLOW_MAX: usize = 10_000;

/// The sandbox, with its book open.
pub(crate) struct SandboxGateway {
    bookkeeper: Bookkeeper,
    slow: Arc<Semaphore>,
}

/// What a token makes happen.
enum Behaviour {
    /// `tok_ok`: approved.
    Approve,
    /// Declined, with this reason; another try can succeed.
    Decline(&'static str),
    /// `tok_slow`: approved after 3 s. The money is booked then, whether or not anyone still waits;
    /// a process that dies before has booked nothing.
    ApproveLate,
    /// `tok_timeout`: the money is taken at once, and no answer ever comes.
    TakeInSilence,
    /// `tok_lost`: nothing is taken, and no answer ever comes.
    Silence,
}

impl Behaviour {
    fn of(token: &str) -> Self {
        match token {
            "tok_ok" => Self::Approve,
            "tok_declined" => Self::Decline("card_declined"),
            "tok_insufficient_funds" => Self::Decline("insufficient_funds"),
            "tok_slow" => Self::ApproveLate,
            "tok_timeout" => Self::TakeInSilence,
            "tok_lost" => Self::Silence,
            _ => Self::Decline("unknown_token"),
        }
    }
}

impl SandboxGateway {
    /// Opens the book at `path`, or begins one. `clock` gives the time written into it, in
    /// milliseconds since 1970.
    ///
    /// A last line that a crash has torn is cut off: nobody was answered from it. Any other broken
    /// line is [`BookError::Broken`], for it may have been money.
    pub(crate) fn open(
        path: &Path,
        clock: impl Fn() -> u64 + Send + 'static,
    ) -> Result<Self, BookError> {
        let bookkeeper = Bookkeeper::start(path, Box::new(clock))?;
        Ok(Self { bookkeeper, slow: Arc::new(Semaphore::new(SLOW_MAX)) })
    }

    async fn charge(
        &self,
        payment: PaymentId,
        amount: Money,
        currency: Currency,
        token: &str,
    ) -> Result<Option<Standing>, NoAnswer> {
        let amount = amount.0;
        let charge = Entry::Charge { amount, currency };
        let told = match Behaviour::of(token) {
            Behaviour::Approve => self.bookkeeper.enter(payment, charge).await?,
            Behaviour::Decline(reason) => {
                let reason = Cow::Borrowed(reason);
                let decline = Entry::Decline { amount, currency, reason, retryable: true };
                self.bookkeeper.enter(payment, decline).await?
            }
            Behaviour::ApproveLate => self.enter_late(payment, charge).await?,
            // Silence is for the first time; a repetition is told what stands.
            Behaviour::TakeInSilence => match self.bookkeeper.enter(payment, charge).await? {
                Told { entered: true, .. } => future::pending().await,
                told => told,
            },
            Behaviour::Silence => match self.bookkeeper.look_up(payment).await? {
                Told { standing: None, .. } => future::pending().await,
                told => told,
            },
        };
        Ok(told.standing)
    }

    /// Enters the charge after [`SLOW`], even if the caller has gone meanwhile.
    async fn enter_late(&self, payment: PaymentId, charge: Entry) -> Result<Told, NoAnswer> {
        let under_way = Arc::clone(&self.slow).try_acquire_owned().map_err(|_| NoAnswer)?;
        let bookkeeper = self.bookkeeper.clone();
        let late = tokio::spawn(async move {
            tokio::time::sleep(SLOW).await;
            let told = bookkeeper.enter(payment, charge).await;
            drop(under_way);
            told
        });
        late.await.map_err(|_| NoAnswer)?
    }
}

impl PaymentGateway for SandboxGateway {
    fn confirm<'a>(
        &'a self,
        payment: PaymentId,
        amount: Money,
        currency: Currency,
        instrument: &'a Instrument,
    ) -> Asked<'a, Charge> {
        Box::pin(async move {
            match self.charge(payment, amount, currency, &instrument.token).await {
                Ok(Some(Standing::Approved { .. } | Standing::Refunded { .. })) => Charge::Approved,
                Ok(Some(Standing::Declined { reason, retryable })) => {
                    Charge::Declined(Decline { reason, retryable })
                }
                Ok(Some(Standing::Voided)) => Charge::Declined(voided()),
                Ok(None) | Err(NoAnswer) => Charge::Unknown,
            }
        })
    }

    fn find(&self, payment: PaymentId) -> Asked<'_, Finding> {
        Box::pin(async move {
            match self.bookkeeper.look_up(payment).await.map(|told| told.standing) {
                Ok(Some(Standing::Approved { .. } | Standing::Refunded { .. })) => {
                    Finding::Approved
                }
                Ok(Some(Standing::Declined { reason, retryable })) => {
                    Finding::Declined(Decline { reason, retryable })
                }
                Ok(Some(Standing::Voided)) => Finding::Declined(voided()),
                Ok(None) => Finding::NotFound,
                Err(NoAnswer) => Finding::Unavailable,
            }
        })
    }

    fn void(&self, payment: PaymentId) -> Asked<'_, Voiding> {
        Box::pin(async move {
            let told = self.bookkeeper.enter(payment, Entry::Void).await;
            match told.map(|told| told.standing) {
                Ok(Some(Standing::Voided | Standing::Declined { .. })) => Voiding::Voided,
                Ok(Some(Standing::Approved { .. } | Standing::Refunded { .. })) => {
                    Voiding::AlreadyApproved
                }
                Ok(None) | Err(NoAnswer) => Voiding::Unavailable,
            }
        })
    }

    fn refund(&self, payment: PaymentId, amount: Money) -> Asked<'_, Refund> {
        Box::pin(async move {
            let told = self.bookkeeper.enter(payment, Entry::Refund { amount: amount.0 }).await;
            match told.map(|told| told.standing) {
                Ok(Some(Standing::Refunded { .. })) => Refund::Refunded,
                Ok(
                    None
                    | Some(Standing::Approved { .. } | Standing::Declined { .. } | Standing::Voided),
                ) => Refund::Refused,
                Err(NoAnswer) => Refund::Unavailable,
            }
        })
    }
}

/// What a charge is told whose payment was voided. Another payment can succeed.
fn voided() -> Decline {
    Decline { reason: "voided".into(), retryable: true }
}
