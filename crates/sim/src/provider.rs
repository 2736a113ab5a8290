//! The payment provider as a model, with a book of its own.
//!
//! It keeps the promises that an adapter owes: of all charges with one payment id at most one takes
//! money, and of all refunds at most one gives it back; what was answered is so for ever; a void is
//! a tombstone for a charge that is still under way. The one exception is what
//! [`Provider::take_after_all`] does, on purpose.
//!
//! When a call reaches it, and whether and when its answer reaches anybody, is the simulator's.

use std::collections::BTreeMap;

use domain::command::PaymentOutcome;
use domain::id::PaymentId;
use engine::{Call, CallResult, Instrument};

/// What a token of the sandbox makes the provider do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Approve,
    Decline,
    NoFunds,
    Slow,
    /// Takes the money and never says so.
    Timeout,
    /// Never answers and takes nothing.
    Lost,
    /// None that anybody knows.
    Unheard,
}

impl Token {
    const WORDS: [(Self, &str); 7] = [
        (Self::Approve, "tok_ok"),
        (Self::Decline, "tok_declined"),
        (Self::NoFunds, "tok_insufficient_funds"),
        (Self::Slow, "tok_slow"),
        (Self::Timeout, "tok_timeout"),
        (Self::Lost, "tok_lost"),
        (Self::Unheard, "tok_of_somebody"),
    ];

    pub(crate) fn instrument(self) -> Instrument {
        Instrument { method: "card".into(), token: self.word().into() }
    }

    pub(crate) fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(token, _)| *token == self);
        found.map(|(_, word)| *word).expect("every token has a word")
    }

    pub(crate) fn of(instrument: &Instrument) -> Self {
        let found = Self::WORDS.iter().find(|(_, word)| **word == *instrument.token);
        found.map_or(Self::Unheard, |(token, _)| *token)
    }
}

/// Where a payment stands in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Approved { amount: u64 },
    Declined { reason: &'static str },
    Voided,
    Refunded { amount: u64 },
}

/// The provider and its book.
#[derive(Debug, Default)]
pub(crate) struct Provider {
    book: BTreeMap<PaymentId, Standing>,
    /// What was asked for, whatever came of it.
    asked: BTreeMap<PaymentId, u64>,
    /// Money it took although it had said no.
    contradicted: Vec<PaymentId>,
}

impl Provider {
    /// A call arrives. None is silence.
    ///
    /// # Errors
    /// A sentence, when the call is one that nobody may make.
    pub(crate) fn hear(
        &mut self,
        payment: PaymentId,
        call: &Call,
    ) -> Result<Option<CallResult>, String> {
        let standing = self.book.get(&payment).copied();
        Ok(match call {
            Call::Charge { instrument: None, .. } => {
                Some(CallResult::Outcome(PaymentOutcome::Unknown))
            }
            Call::Charge { amount, instrument: Some(instrument), .. } => {
                self.charge(payment, amount.0, Token::of(instrument))
            }
            Call::Find => Some(standing.map_or(CallResult::NotFound, told)),
            Call::Void => Some(match self.enter(payment, Standing::Voided) {
                Standing::Voided | Standing::Declined { .. } => CallResult::Voided,
                taken @ (Standing::Approved { .. } | Standing::Refunded { .. }) => told(taken),
            }),
            Call::Refund { amount, .. } => match standing {
                Some(Standing::Approved { amount: taken }) if taken == amount.0 => {
                    self.book.insert(payment, Standing::Refunded { amount: taken });
                    Some(CallResult::Refunded)
                }
                Some(Standing::Refunded { amount: taken }) if taken == amount.0 => {
                    Some(CallResult::Refunded)
                }
                other => return Err(format!("{payment:?} is to be refunded and is {other:?}")),
            },
        })
    }

    fn charge(&mut self, payment: PaymentId, amount: u64, token: Token) -> Option<CallResult> {
        self.asked.insert(payment, amount);
        let charged = Standing::Approved { amount };
        let before = self.book.get(&payment).copied();
        match token {
            Token::Approve | Token::Slow => Some(told(self.enter(payment, charged))),
            Token::Decline => Some(self.decline(payment, "card_declined")),
            Token::NoFunds => Some(self.decline(payment, "insufficient_funds")),
            Token::Unheard => Some(self.decline(payment, "unknown_token")),
            Token::Timeout => {
                let standing = self.enter(payment, charged);
                before.map(|_| told(standing))
            }
            Token::Lost => before.map(told),
        }
    }

    fn decline(&mut self, payment: PaymentId, reason: &'static str) -> CallResult {
        told(self.enter(payment, Standing::Declined { reason }))
    }

    /// The first of charge, decline and void wins.
    fn enter(&mut self, payment: PaymentId, standing: Standing) -> Standing {
        *self.book.entry(payment).or_insert(standing)
    }

    /// Breaks its word: takes the money of a payment that was declined or voided. Says whether
    /// there was anything to take.
    pub(crate) fn take_after_all(&mut self, payment: PaymentId) -> bool {
        let (Some(standing), Some(&amount)) =
            (self.book.get_mut(&payment), self.asked.get(&payment))
        else {
            return false;
        };
        let said_no = matches!(standing, Standing::Declined { .. } | Standing::Voided);
        if said_no {
            *standing = Standing::Approved { amount };
            self.contradicted.push(payment);
        }
        said_no
    }

    /// Payments whose money was taken after a no.
    pub(crate) fn contradicted(&self) -> &[PaymentId] {
        &self.contradicted
    }

    /// The book.
    pub(crate) fn book(&self) -> &BTreeMap<PaymentId, Standing> {
        &self.book
    }
}

/// What a standing means as an answer about the charge.
fn told(standing: Standing) -> CallResult {
    let declined = |reason: &'static str| {
        CallResult::Outcome(PaymentOutcome::Declined { reason: reason.into(), retryable: true })
    };
    match standing {
        Standing::Approved { .. } | Standing::Refunded { .. } => {
            CallResult::Outcome(PaymentOutcome::Approved)
        }
        Standing::Declined { reason } => declined(reason),
        Standing::Voided => declined("voided"),
    }
}

#[cfg(test)]
mod tests {
    use domain::money::{Currency, Money};

    use super::*;

    fn charge(token: Token) -> Call {
        let instrument = Some(token.instrument());
        Call::Charge { amount: Money(100), currency: Currency::KRW, instrument }
    }

    fn hear(provider: &mut Provider, call: &Call) -> Option<CallResult> {
        provider.hear(PaymentId(1), call).unwrap()
    }

    const APPROVED: CallResult = CallResult::Outcome(PaymentOutcome::Approved);

    #[test]
    fn the_first_of_charge_and_void_wins() {
        let provider = &mut Provider::default();
        assert_eq!(hear(provider, &charge(Token::Approve)), Some(APPROVED));
        assert_eq!(hear(provider, &Call::Void), Some(APPROVED));
        let provider = &mut Provider::default();
        assert_eq!(hear(provider, &Call::Find), Some(CallResult::NotFound));
        assert_eq!(hear(provider, &Call::Void), Some(CallResult::Voided));
        assert_ne!(hear(provider, &charge(Token::Approve)), Some(APPROVED));
        assert!(provider.take_after_all(PaymentId(1)));
        assert_eq!(hear(provider, &Call::Find), Some(APPROVED));
    }

    #[test]
    fn silence_may_have_taken_the_money() {
        let provider = &mut Provider::default();
        assert_eq!(hear(provider, &charge(Token::Lost)), None);
        assert_eq!(hear(provider, &Call::Find), Some(CallResult::NotFound));
        assert_eq!(hear(provider, &charge(Token::Timeout)), None);
        assert_eq!(hear(provider, &Call::Find), Some(APPROVED));
    }

    #[test]
    fn only_what_was_taken_goes_back() {
        let provider = &mut Provider::default();
        let refund = Call::Refund { amount: Money(100), currency: Currency::KRW };
        assert!(provider.hear(PaymentId(1), &refund).is_err());
        hear(provider, &charge(Token::Approve));
        for _ in 0..2 {
            assert_eq!(hear(provider, &refund), Some(CallResult::Refunded));
        }
    }
}
