//! A payment: one attempt to charge for a reservation, as a saga.
//!
//! It is journalled before the provider is asked. *Unknown* is a state: nobody could say whether
//! the money was taken; then the reservation keeps its seats until a definite answer comes.

use minicbor::{Decode, Encode};

use crate::id::{Name, PaymentId, ReservationIndex};
use crate::money::Money;
use crate::time::Second;

/// Seconds after which a payment without an answer is unknown, whoever asked the provider. Longer
/// than the 10 s for which the asking node waits, so that it speaks first while it lives.
pub const ANSWER_WINDOW: u32 = 15;

/// Seconds that a buyer has at least for another try after a declined payment, or for another
/// choice after giving seats back, as far as the reservation's hard end or the sale allow.
pub const RETRY_WINDOW: u32 = 60;

/// Bytes of a provider's reason that are kept.
pub const REASON_MAX: usize = 64;

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PaymentState {
    /// The provider is being asked; unknown from this second on.
    #[n(0)]
    Running(#[n(0)] Second),
    /// No definite answer yet; the provider is asked again until there is one.
    #[n(1)]
    Unknown,
    /// The money is ours and the reservation confirmed.
    #[n(2)]
    Approved(#[n(0)] Second),
    /// No money was or will be taken.
    #[n(3)]
    Declined(#[n(0)] Decline),
    /// Money came after the payment had been declined: it must go back.
    #[n(4)]
    RefundDue,
    /// The money went back.
    #[n(5)]
    Refunded(#[n(0)] Second),
}

/// Why and when a payment was declined.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Decline {
    /// The provider's word, at most [`REASON_MAX`] bytes.
    #[n(0)]
    pub reason: Name,
    /// Whether another try can succeed.
    #[n(1)]
    pub retryable: bool,
    /// When, in service time.
    #[n(2)]
    pub at: Second,
}

/// One attempt to pay for a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Payment {
    /// Its name, here and at the provider.
    #[n(0)]
    pub id: PaymentId,
    /// What it pays for.
    #[n(1)]
    pub reservation: ReservationIndex,
    /// How much.
    #[n(2)]
    pub amount: Money,
    /// Where it stands.
    #[n(3)]
    pub state: PaymentState,
}

impl Payment {
    /// Whether somebody must still ask the provider: unknown, or money that must go back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            PaymentState::Unknown | PaymentState::RefundDue => true,
            PaymentState::Running(_)
            | PaymentState::Approved(_)
            | PaymentState::Declined(_)
            | PaymentState::Refunded(_) => false,
        }
    }
}
