//! The seam to a payment provider: what we ask of one, and what its answers must mean.
//!
//! A payment is a saga of the engine's: begun in the journal, then asked of the provider, then
//! settled. Our payment id is the provider's idempotency key in every verb, so that any node may
//! ask again at any time, after a crash too. An adapter must keep these promises:
//!
//! - **Once.** Of all `confirm`s with one payment id at most one takes money, and of all `refund`s
//!   at most one gives it back. The first call's amount and instrument stand; a repetition gets
//!   the first answer and moves nothing, whatever it carries.
//! - **Definite answers last.** What was answered as approved, declined, voided or refunded is so
//!   for ever, also after the provider's or our own restart. A new try is a new payment id.
//! - **Not found is not final.** A charge that nobody has heard of may still be under way. Only
//!   `void` ends the doubt: it and the charge race, one wins, and both verbs then say which.
//! - **Doubt is an answer.** A broken connection, a full queue or a reply that makes no sense is
//!   `Unknown` or `Unavailable`, never a guess. These may mean that it happened nevertheless.
//!
//! An answer may take for ever: the caller bounds its wait and takes silence for doubt.
//!
//! Two verbs are kept free for providers that need them, and not built: `open`, which begins a
//! payment with a redirect and returns where to send the buyer (the payment id exists before it),
//! and `notice`, which turns a provider's webhook into a payment id to `find`.

pub(crate) mod sandbox;

use std::borrow::Cow;
use std::pin::Pin;

use domain::id::PaymentId;
use domain::money::{Currency, Money};
pub(crate) use engine::Instrument;

/// What is under way at a provider.
pub(crate) type Asked<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A payment provider, behind the promises at the top of this file.
pub(crate) trait PaymentGateway: Send + Sync {
    /// Charges `amount` to the instrument.
    fn confirm<'a>(
        &'a self,
        payment: PaymentId,
        amount: Money,
        currency: Currency,
        instrument: &'a Instrument,
    ) -> Asked<'a, Charge>;

    /// Asks what became of a charge. Changes nothing. Says what was charged, not what became of
    /// the money since: a refunded charge is found approved, a voided one declined.
    fn find(&self, payment: PaymentId) -> Asked<'_, Finding>;

    /// Makes sure that no charge with this id ever succeeds, heard of or not; also one that is
    /// under way. It does not undo a charge that has succeeded.
    fn void(&self, payment: PaymentId) -> Asked<'_, Voiding>;

    /// Gives back `amount` of an approved charge, in its currency, once.
    fn refund(&self, payment: PaymentId, amount: Money) -> Asked<'_, Refund>;
}

/// The answer to `confirm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// The money was taken.
    Approved,
    /// No money was taken, nor will be for this payment.
    Declined(Decline),
    /// Nobody can say.
    Unknown,
}

/// The answer to `find`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The money was taken.
    Approved,
    /// No money was taken, nor will be for this payment.
    Declined(Decline),
    /// Nothing is known of this payment, which is not final.
    NotFound,
    /// The provider could not be asked.
    Unavailable,
}

/// The answer to `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voiding {
    /// No charge of this payment has succeeded, and none ever will.
    Voided,
    /// Too late: the money was taken.
    AlreadyApproved,
    /// The provider could not be asked.
    Unavailable,
}

/// The answer to `refund`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refund {
    /// The money went back, now or at an earlier call.
    Refunded,
    /// Nothing was given back, nor will be: no charge of this payment was approved, or one of a
    /// smaller amount. It means that we or the provider have lost something; people must look.
    Refused,
    /// The provider could not be asked, or nobody can say.
    Unavailable,
}

/// Why there was no charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decline {
    /// The provider's word for it, such as `card_declined`.
    pub(crate) reason: Cow<'static, str>,
    /// Whether another payment, with this instrument or another, can succeed.
    pub(crate) retryable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_payment_token() {
        let instrument = Instrument { method: "card".into(), token: "tok_secret".into() };
        assert!(!format!("{instrument:?}").contains("tok_secret"));
    }
}
