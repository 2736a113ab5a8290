//! The reconciler: which payments the provider must still be asked about, and when.
//!
//! A payment whose charge got no definite answer is looked up. "Not found" is not final, for the
//! charge may still be under way: it is voided first, and only then counts as declined. Money that
//! must go back is refunded. Each step is repeated until its answer is definite, by whichever node
//! finds the payment open, for every verb may be repeated safely.

use std::collections::BTreeMap;

use domain::command::PaymentOutcome;
use domain::id::{PaymentId, PaymentIndex};
use domain::payment::PaymentState;
use domain::time::{Millis, Timestamp};
use domain::{Command, Sale};
use store::StreamId;

use crate::{Call, CallResult, Instrument, PendingCall};

/// The first pause between two tries; each pause is twice the one before.
const PAUSE_MIN: Millis = 1_000;
/// The longest pause between two tries.
const PAUSE_MAX: Millis = 30_000;
/// Calls to the provider at a time, at most.
const RUNNING_MAX: usize = 100;
/// The reason that buyers read when a charge was made impossible.
const NOT_CHARGED: &str = "not_charged";

/// What the provider must be asked for, as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// What became of the charge.
    Answer,
    /// To give the money back.
    Refund,
}

#[derive(Debug)]
struct OpenCall {
    due: Due,
    since: Timestamp,
    next_at: Timestamp,
    pause: Millis,
    void: bool,
    running: bool,
}

/// Calls that are due or running, by payment.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    open: BTreeMap<PaymentIndex, OpenCall>,
}

impl OpenCalls {
    /// Everything that is open in a durable state.
    pub(super) fn of(sale: &Sale, now: Timestamp) -> Self {
        let mut calls = Self::default();
        for payment in sale.open_payments() {
            let state = sale.payment(payment).map(|payment| &payment.state);
            let refund = state == Some(&PaymentState::RefundDue);
            calls.opened(payment, if refund { Due::Refund } else { Due::Answer }, now);
        }
        calls
    }

    /// Everything that is open in a durable state that others have made; what is under way here, and
    /// how long it has waited, stays.
    pub(super) fn go_on_from(&mut self, sale: &Sale, now: Timestamp) {
        let before = std::mem::replace(self, Self::of(sale, now));
        for (payment, call) in before.open {
            if let Some(open) = self.open.get_mut(&payment)
                && open.due == call.due
            {
                *open = call;
            }
        }
    }

    pub(super) fn opened(&mut self, payment: PaymentIndex, due: Due, now: Timestamp) {
        let (since, next_at) = (now, now);
        let pause = PAUSE_MIN;
        let call = OpenCall { due, since, next_at, pause, void: false, running: false };
        self.open.insert(payment, call);
    }

    pub(super) fn closed(&mut self, payment: PaymentIndex) {
        self.open.remove(&payment);
    }

    /// Since when the oldest payment whose charge has no definite answer is open here.
    pub(super) fn oldest_unknown(&self) -> Option<Timestamp> {
        // Payments are counted in the order in which they began.
        let unknown = self.open.values().find(|call| call.due == Due::Answer);
        unknown.map(|call| call.since)
    }

    /// When a call is due next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        if self.running() >= RUNNING_MAX {
            return None;
        }
        self.open.values().filter(|call| !call.running).map(|call| call.next_at).min()
    }

    fn running(&self) -> usize {
        self.open.values().filter(|call| call.running).count()
    }

    /// The calls that are due by now; they count as running from here on. `sale` says who and how
    /// much, and not what for: the working copy may know more than the disk.
    pub(super) fn due(
        &mut self,
        sale: &Sale,
        stream: StreamId,
        now: Timestamp,
    ) -> Vec<PendingCall> {
        let room = RUNNING_MAX.saturating_sub(self.running());
        let due = self.open.iter_mut().filter(|(_, call)| !call.running && call.next_at <= now);
        let mut calls = Vec::new();
        for (&payment, open) in due.take(room) {
            let Some(known) = sale.payment(payment) else { continue };
            let call = match open.due {
                Due::Refund => Call::Refund { amount: known.amount, currency: currency(sale) },
                Due::Answer if open.void => Call::Void,
                Due::Answer => Call::Find,
            };
            open.running = true;
            calls.push(PendingCall { stream: stream.0, payment, id: known.id, call });
        }
        calls
    }

    /// What an answer means: a command to be decided, or another try.
    pub(super) fn finished(
        &mut self,
        payment: PaymentIndex,
        id: PaymentId,
        result: CallResult,
        now: Timestamp,
    ) -> Option<Command> {
        let settle = |outcome| Some(Command::SettlePayment { payment: id, outcome });
        let open = self.open.get_mut(&payment);
        match (result, open) {
            (CallResult::Refunded, _) => Some(Command::SettleRefund { payment: id }),
            (CallResult::Voided, _) => {
                settle(PaymentOutcome::Declined { reason: NOT_CHARGED.into(), retryable: true })
            }
            (CallResult::NotFound, Some(open)) => {
                open.void = true;
                open.running = false;
                open.next_at = now;
                None
            }
            (CallResult::Outcome(PaymentOutcome::Unknown), Some(open)) => {
                open.void = false;
                open.running = false;
                open.next_at = now.plus(open.pause);
                open.pause = (open.pause * 2).min(PAUSE_MAX);
                None
            }
            (CallResult::NotFound, None) => settle(PaymentOutcome::Unknown),
            (CallResult::Outcome(outcome), _) => settle(outcome),
        }
    }
}

/// The first call of a payment that was just begun.
pub(super) fn charge(
    sale: &Sale,
    stream: StreamId,
    index: PaymentIndex,
    instrument: Option<Instrument>,
) -> PendingCall {
    let payment = sale.payment(index).expect("a payment that was just begun");
    let call = Call::Charge { amount: payment.amount, currency: currency(sale), instrument };
    PendingCall { stream: stream.0, payment: index, id: payment.id, call }
}

fn currency(sale: &Sale) -> domain::money::Currency {
    sale.hall().expect("a sale with payments has a plan").plan().currency
}
