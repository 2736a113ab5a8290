//! Calls to the provider: when they reach it, and when what it says reaches a node.

use domain::command::PaymentOutcome;
use domain::id::PaymentId;
use domain::time::Millis;
use engine::{CallResult, PendingCall};

use super::{Call, Event, World};
use crate::auditor::Broken;
use crate::clock::Moment;
use crate::node::Input;
use crate::provider::Token;
use crate::trial::Trouble;

/// How long a provider is listened to.
const CALL_MAX_MS: Millis = 10_000;
/// How long a provider that takes its time takes.
const SLOW_MS: Millis = 3_000;
/// How long a charge counts against the bound, at the least: the ten seconds that its buyer waits,
/// by a clock that runs fast.
const COUNTS_MS: Millis = 9_500;
/// How soon an answer is noted, while everything is sound.
const NOTED_MS: Millis = 2_000;
/// How often a provider that has changed its mind says so.
const NOTICE_EVERY_MS: Millis = 20_000;

const APPROVED: CallResult = CallResult::Outcome(PaymentOutcome::Approved);
const UNKNOWN: CallResult = CallResult::Outcome(PaymentOutcome::Unknown);

impl World {
    /// A node wants something asked.
    pub(super) fn begins(&mut self, node: usize, pending: PendingCall) -> Result<(), Broken> {
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
        self.calls.push(Call { pending, node, life, since: self.now, answered: false });
        if !unheard {
            self.after(ms, Event::Hears { call });
        }
        self.after(CALL_MAX_MS, Event::GivesUp { call });
        self.charges_are_bounded(node, life)
    }

    /// No process asks for more charges at a time than its setting says.
    fn charges_are_bounded(&self, node: usize, life: u32) -> Result<(), Broken> {
        let counts = |call: &&Call| {
            (call.node, call.life, call.answered) == (node, life, false)
                && matches!(call.pending.call, engine::Call::Charge { .. })
                && self.auditor.is_open(call.pending.payment)
        };
        let young = |call: &&Call| self.now.since(call.since) < COUNTS_MS;
        let running = self.calls.iter().rev().take_while(young).filter(counts).count();
        if running <= self.knobs.payments_in_flight {
            return Ok(());
        }
        Err(Broken::of("bounds", format!("{running} charges run at node {node} at a time")))
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
        if late {
            self.counts.add("run", "late answers");
        }
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
            if is_definite(&result) {
                self.heard.insert(payment, (node, life, self.now));
            }
            self.put_in(node, Input::CallFinished { payment, result });
        }
    }

    /// While everything is sound, what the provider said for certain is soon noted.
    pub(super) fn nothing_is_unheard(&mut self) -> Result<(), Broken> {
        let (nodes, auditor) = (&self.nodes, &self.auditor);
        self.heard.retain(|payment, (node, life, _)| {
            nodes[*node].life == *life
                && nodes[*node].process.is_some()
                && auditor.is_open(*payment)
        });
        let late = |(_, _, since): &&(usize, u32, Moment)| self.now.since(*since) > NOTED_MS;
        match self.heard.values().find(late) {
            None => Ok(()),
            Some((node, _, since)) => {
                let what = format!("node {node} was told of a payment at {}", since.0);
                Err(Broken::of("prompt", what))
            }
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

/// Whether an answer settles what it answers.
fn is_definite(result: &CallResult) -> bool {
    match result {
        CallResult::Outcome(PaymentOutcome::Approved | PaymentOutcome::Declined { .. })
        | CallResult::Voided
        | CallResult::Refunded => true,
        CallResult::Outcome(PaymentOutcome::Unknown) | CallResult::NotFound => false,
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
