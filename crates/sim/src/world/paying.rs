//! Calls to the provider: when they reach it, and when what it says reaches a node.

use domain::command::PaymentOutcome;
use domain::id::PaymentId;
use domain::time::Millis;
use engine::{CallResult, PendingCall};

use super::{Call, Event, World};
use crate::auditor::Broken;
use crate::node::Input;
use crate::provider::Token;
use crate::trial::Trouble;

/// How long a provider is listened to.
const CALL_MAX_MS: Millis = 10_000;
/// How long a provider that takes its time takes.
const SLOW_MS: Millis = 3_000;
/// How often a provider that has changed its mind says so.
const NOTICE_EVERY_MS: Millis = 20_000;

const APPROVED: CallResult = CallResult::Outcome(PaymentOutcome::Approved);
const UNKNOWN: CallResult = CallResult::Outcome(PaymentOutcome::Unknown);

impl World {
    /// A node wants something asked.
    pub(super) fn begins(&mut self, node: usize, pending: PendingCall) {
        self.tell(|_| format!("node {node} asks the provider: {pending:?}"));
        let mut ms = self.random.between(1, self.knobs.provider_ms);
        if let engine::Call::Charge { instrument: Some(instrument), .. } = &pending.call {
            let token = Token::of(instrument);
            self.counts.add("token", token.word());
            if token == Token::Slow {
                ms += SLOW_MS;
            }
        }
        self.counts.add("call", name_of(&pending.call));
        if self.struck(Trouble::SlowProvider) {
            // So slow that others may ask meanwhile.
            ms = self.random.scale(500, 40_000);
        }
        let unheard = self.struck(Trouble::SilentProvider) && self.random.chance(500);
        let life = self.nodes[node].life;
        let call = self.calls.len();
        self.calls.push(Call { pending, node, life, answered: false });
        if !unheard {
            self.after(ms, Event::Hears { call });
        }
        self.after(CALL_MAX_MS, Event::GivesUp { call });
    }

    /// A call reaches the provider.
    pub(super) fn hears(&mut self, call: usize) -> Result<(), Broken> {
        let PendingCall { id, call: asked, .. } = self.calls[call].pending.clone();
        let result = self.provider.hear(id, &asked);
        let mut result = result.map_err(|what| Broken::of("provider", what))?;
        let said_no = matches!(
            result,
            Some(
                CallResult::NotFound
                    | CallResult::Voided
                    | CallResult::Outcome(PaymentOutcome::Declined { .. })
            )
        );
        if said_no && self.struck(Trouble::Contradictions) {
            let ms = self.random.scale(1, 30_000);
            self.after(ms, Event::TakesAfterAll { payment: id });
        }
        if asked == engine::Call::Find
            && result == Some(APPROVED)
            && self.struck(Trouble::Contradictions)
        {
            result = Some(CallResult::NotFound);
        }
        self.tell(|_| format!("the provider hears {asked:?} of {id:?}: {result:?}"));
        let Some(result) = result else { return Ok(()) };
        if self.struck(Trouble::SilentProvider) {
            return Ok(());
        }
        let ms = self.random.between(1, self.knobs.provider_ms);
        if self.struck(Trouble::Echoes) {
            let ms = self.random.scale(ms, 60_000);
            self.after(ms, Event::Answers { call, result: result.clone(), echo: true });
        }
        self.after(ms, Event::Answers { call, result, echo: false });
        Ok(())
    }

    /// What the provider says reaches a node.
    pub(super) fn answers(&mut self, call: usize, result: CallResult, echo: bool) {
        let late = std::mem::replace(&mut self.calls[call].answered, true);
        // Most adapters stop listening; what one hears too late or twice must do no harm.
        if !late || echo || self.knobs.has(Trouble::Echoes) {
            self.finished(call, result);
        }
    }

    /// Nobody listens any longer.
    pub(super) fn gives_up(&mut self, call: usize) {
        if !std::mem::replace(&mut self.calls[call].answered, true) {
            self.finished(call, UNKNOWN);
        }
    }

    fn finished(&mut self, call: usize, result: CallResult) {
        let Call { pending, node, life, .. } = &self.calls[call];
        let (payment, node, life) = (pending.payment, *node, *life);
        if self.lives(node, life) {
            self.counts.add("result", word_of(&result));
            self.put_in(node, Input::CallFinished { payment, result });
        }
    }

    /// The provider takes the money that it said it would not take.
    pub(super) fn takes_after_all(&mut self, payment: PaymentId) {
        if !self.ending && self.provider.take_after_all(payment) {
            self.tell(|_| format!("the provider takes the money of {payment:?} after all"));
            self.counts.add("run", "contradicted payments");
            self.after(1, Event::Notices { payment });
        }
    }

    /// The provider says so, to whoever runs, until it is noted.
    pub(super) fn notices(&mut self, payment: PaymentId) {
        let Some(index) = self.auditor.is_unaware(payment) else { return };
        let node = self.random.index(self.nodes.len());
        if !self.nodes[node].is_frozen(self.now) {
            self.put_in(node, Input::CallFinished { payment: index, result: APPROVED });
        }
        self.after(NOTICE_EVERY_MS, Event::Notices { payment });
    }
}

fn name_of(call: &engine::Call) -> &'static str {
    match call {
        engine::Call::Charge { .. } => "charge",
        engine::Call::Find => "find",
        engine::Call::Void => "void",
        engine::Call::Refund { .. } => "refund",
    }
}

fn word_of(result: &CallResult) -> &'static str {
    match result {
        CallResult::Outcome(PaymentOutcome::Approved) => "approved",
        CallResult::Outcome(PaymentOutcome::Declined { .. }) => "declined",
        CallResult::Outcome(PaymentOutcome::Unknown) => "unknown",
        CallResult::NotFound => "not found",
        CallResult::Voided => "voided",
        CallResult::Refunded => "refunded",
    }
}
