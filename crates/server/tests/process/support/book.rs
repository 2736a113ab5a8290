//! The sandbox's book, read as an accountant would: from its file, without asking the program.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// What the book says of each payment.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) payments: BTreeMap<String, Account>,
}

/// One payment's money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// How often money was taken.
    pub(crate) charges: u32,
    pub(crate) charged: u64,
    pub(crate) refunded: u64,
}

impl Account {
    /// What was kept.
    pub(crate) fn kept(&self) -> u64 {
        self.charged - self.refunded
    }
}

impl Book {
    /// Reads the file; an absent one is an empty book. A torn last line is nobody's money yet.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut book = Self::default();
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let payment = line["payment"].as_str().expect("a payment's id").to_owned();
            let account = book.payments.entry(payment).or_default();
            let entry = &line["entry"];
            if let Some(amount) = entry["charge"]["amount"].as_u64() {
                account.charges += 1;
                account.charged += amount;
            }
            account.refunded += entry["refund"]["amount"].as_u64().unwrap_or(0);
        }
        book
    }

    /// One payment's money; nothing when the book does not know it.
    pub(crate) fn account(&self, payment_id: &str) -> Account {
        self.payments.get(payment_id).copied().unwrap_or_default()
    }

    /// All that was taken and not given back.
    pub(crate) fn kept(&self) -> u64 {
        self.payments.values().map(Account::kept).sum()
    }
}
