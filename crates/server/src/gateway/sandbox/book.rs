//! The sandbox's book: what it says, how it is written, and what stands after it.
//!
//! One line of JSON for each thing that happened, oldest first, ending in a line feed:
//!
//! ```json
//! {"at_ms":1790000000000,"payment":"1c9…","entry":{"charge":{"amount":200,"currency":"KRW"}}}
//! {"at_ms":1790000000000,"payment":"2m4…","entry":{"decline":{"amount":200,"currency":"KRW","reason":"card_declined","retryable":true}}}
//! {"at_ms":1790000000003,"payment":"5xa…","entry":"void"}
//! {"at_ms":1790000060000,"payment":"1c9…","entry":{"refund":{"amount":200}}}
//! ```
//!
//! A payment is charged once at most, and refunded once at most and only when charged: a book that
//! says otherwise is broken. Nothing here writes, locks or syncs; that is the bookkeeper's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use domain::id::PaymentId;
use domain::money::Currency;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use crate::ids::{LongId, parse_long};

/// The longest line, far above any that is written.
const LINE_BYTES_MAX: u64 = 1024;

/// One line of the book.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct Line<'a> {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// Which payment, written as people see its id.
    #[serde(with = "payment_text")]
    pub(crate) payment: PaymentId,
    /// What happened to it.
    pub(crate) entry: Cow<'a, Entry>,
}

/// What may happen to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Money was taken.
    Charge {
        /// How much, in the currency's smallest unit.
        amount: u64,
        /// Of what.
        #[serde(with = "currency_code")]
        currency: Currency,
    },
    /// Money was asked for and not taken.
    Decline {
        /// How much, in the currency's smallest unit.
        amount: u64,
        /// Of what.
        #[serde(with = "currency_code")]
        currency: Currency,
        /// Why.
        reason: Cow<'static, str>,
        /// Whether another payment can succeed.
        retryable: bool,
    },
    /// No charge may succeed any more.
    Void,
    /// Money was given back.
    Refund {
        /// How much, in the smallest unit of the charge's currency.
        amount: u64,
    },
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Charged.
    Approved {
        /// How much was taken.
        amount: u64,
        /// Of what.
        currency: Currency,
    },
    /// Not charged, for ever.
    Declined {
        /// Why.
        reason: Cow<'static, str>,
        /// Whether another payment can succeed.
        retryable: bool,
    },
    /// Not charged, for ever: it was voided before.
    Voided,
    /// Charged and given back.
    Refunded {
        /// How much was taken.
        amount: u64,
        /// Of what.
        currency: Currency,
        /// How much of it was given back.
        refunded: u64,
    },
}

impl Standing {
    /// What stands after `entry`, or none if `entry` cannot happen now. This is the whole rule of
    /// the sandbox: the first of charge, decline and void wins, and a charge is refunded once.
    fn after(before: Option<&Self>, entry: &Entry) -> Option<Self> {
        match (entry, before) {
            (&Entry::Charge { amount, currency }, None) => {
                Some(Self::Approved { amount, currency })
            }
            (Entry::Decline { reason, retryable, .. }, None) => {
                Some(Self::Declined { reason: reason.clone(), retryable: *retryable })
            }
            (Entry::Void, None) => Some(Self::Voided),
            (&Entry::Refund { amount: refunded }, Some(&Self::Approved { amount, currency })) => {
                (refunded <= amount).then_some(Self::Refunded { amount, currency, refunded })
            }
            (Entry::Charge { .. } | Entry::Decline { .. } | Entry::Void, Some(_))
            | (Entry::Refund { .. }, _) => None,
        }
    }
}

/// All that the book says, up to a byte of it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    payments: HashMap<PaymentId, Standing>,
    end: u64,
}

/// An entry that was made, so that it can be taken back.
pub(crate) struct Entered {
    payment: PaymentId,
    before: Option<Standing>,
}

/// Why a book cannot be used; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    /// The file cannot be opened, locked, read or written.
    #[error("the sandbox's book cannot be used: {0}")]
    File(#[from] io::Error),
    /// The line that begins at this byte is not one of ours, or says what cannot be.
    #[error("the sandbox's book is broken at byte {at}: {cause}")]
    Broken {
        /// Bytes before the line.
        at: u64,
        /// What is wrong with it.
        cause: String,
    },
}

impl Book {
    /// Where a payment stands, if the book knows it.
    pub(crate) fn standing(&self, payment: PaymentId) -> Option<&Standing> {
        self.payments.get(&payment)
    }

    /// Bytes of the file that have been read or written.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Notes an entry, if it can happen now.
    pub(crate) fn enter(&mut self, payment: PaymentId, entry: &Entry) -> Option<Entered> {
        let after = Standing::after(self.standing(payment), entry)?;
        let before = self.payments.insert(payment, after);
        Some(Entered { payment, before })
    }

    /// Takes back the newest entry that was not taken back yet.
    pub(crate) fn take_back(&mut self, newest: Entered) {
        match newest.before {
            Some(before) => self.payments.insert(newest.payment, before),
            None => self.payments.remove(&newest.payment),
        };
    }

    /// Notes that all that was entered since stands in the file, in `bytes` more of it.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.end += bytes as u64;
    }

    /// Reads the lines of `file` behind those already read, up to its end or to a torn last line,
    /// one without its line feed.
    pub(crate) fn read_on(&mut self, mut file: &File) -> Result<(), BookError> {
        file.seek(SeekFrom::Start(self.end))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.len() as u64 == LINE_BYTES_MAX {
                return Err(self.broken("the line is too long"));
            }
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            let Line { payment, entry, .. } =
                serde_json::from_slice(&line).map_err(|error| self.broken(&error))?;
            if self.enter(payment, &entry).is_none() {
                return Err(self.broken("it cannot follow what was booked for its payment"));
            }
            self.written(line.len());
        }
    }

    fn broken(&self, cause: &(impl ToString + ?Sized)) -> BookError {
        BookError::Broken { at: self.end, cause: cause.to_string() }
    }
}

/// What tests count.
#[cfg(test)]
impl Book {
    /// Reads the whole book at `path`, which may be in use.
    pub(crate) fn read(path: &std::path::Path) -> Result<Self, BookError> {
        let mut book = Self::default();
        book.read_on(&File::open(path)?)?;
        Ok(book)
    }

    /// Every payment that the book knows.
    pub(crate) fn payments(&self) -> &HashMap<PaymentId, Standing> {
        &self.payments
    }

    /// All that was ever taken, in the currency's smallest unit.
    pub(crate) fn charged(&self, of: Currency) -> u64 {
        self.sum(of, |taken, _| taken)
    }

    /// All that was given back, in the currency's smallest unit.
    pub(crate) fn refunded(&self, of: Currency) -> u64 {
        self.sum(of, |_, given_back| given_back)
    }

    fn sum(&self, of: Currency, part: impl Fn(u64, u64) -> u64) -> u64 {
        let parts = self.payments.values().map(|standing| match *standing {
            Standing::Approved { amount, currency } if currency == of => part(amount, 0),
            Standing::Refunded { amount, currency, refunded } if currency == of => {
                part(amount, refunded)
            }
            Standing::Approved { .. }
            | Standing::Refunded { .. }
            | Standing::Declined { .. }
            | Standing::Voided => 0,
        });
        parts.sum()
    }
}

mod payment_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(payment: &PaymentId, to: S) -> Result<S::Ok, S::Error> {
        LongId::from(payment.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PaymentId, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        parse_long(&text).map(PaymentId).ok_or_else(|| Error::custom("not a payment's id"))
    }
}

mod currency_code {
    use super::*;

    pub(super) fn serialize<S: Serializer>(currency: &Currency, to: S) -> Result<S::Ok, S::Error> {
        currency.as_str().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Currency, D::Error> {
        let code = Cow::<'de, str>::deserialize(from)?;
        Currency::parse(&code).ok_or_else(|| Error::custom("not a currency's code"))
    }
}
