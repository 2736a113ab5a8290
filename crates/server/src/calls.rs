//! How the engine asks the payment provider: each call is a task of its own, with a bound.
//!
//! The engine hands a call over without waiting and hears of its result later, whatever it is. What
//! takes longer than [`CALL_MAX`] is given up and unknown; the engine asks again until there is a
//! definite answer, so nothing is retried here. Deliberately absent: any judgement of an answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::command::PaymentOutcome;
use engine::{Call, CallResult, Calls, Engine, PendingCall};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::gateway::{Charge, Decline, Finding, PaymentGateway, Refund, Voiding};
use crate::ids::LongId;

/// How long a provider is listened to.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Nobody knows.
const UNKNOWN: CallResult = CallResult::Outcome(PaymentOutcome::Unknown);

/// The engine's calls, carried out by a gateway.
pub(crate) struct GatewayCalls {
    gateway: Arc<dyn PaymentGateway>,
    runtime: Handle,
    engine: watch::Receiver<Option<Weak<Engine>>>,
}

/// Brings the engine to those who must tell it their results: it is started with its calls, so
/// they exist first, and may even have a result first.
pub(crate) struct Connect(watch::Sender<Option<Weak<Engine>>>);

impl Connect {
    /// This is the engine.
    pub(crate) fn to(self, engine: &Arc<Engine>) {
        // Weakly: calls under way keep no engine alive that was stopped.
        self.0.send_replace(Some(Arc::downgrade(engine)));
    }
}

impl GatewayCalls {
    /// Calls on the runtime that this is called on.
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>) -> (Self, Connect) {
        let (connect, engine) = watch::channel(None);
        (Self { gateway, runtime: Handle::current(), engine }, Connect(connect))
    }
}

impl Calls for GatewayCalls {
    fn begin(&mut self, call: PendingCall) {
        let gateway = Arc::clone(&self.gateway);
        let mut engine = self.engine.clone();
        self.runtime.spawn(async move {
            let PendingCall { stream, payment, .. } = call;
            let result = ask(&*gateway, call).await;
            // When the engine did not start, or has stopped, the next one asks again.
            let engine = engine.wait_for(Option::is_some).await.ok();
            let engine = engine.and_then(|engine| engine.as_ref().and_then(Weak::upgrade));
            if let Some(engine) = engine {
                engine.call_finished(stream, payment, result);
            }
        });
    }
}

async fn ask(gateway: &dyn PaymentGateway, call: PendingCall) -> CallResult {
    let payment = call.id;
    let asked = async {
        match call.call {
            Call::Charge { amount, currency, instrument: Some(instrument) } => {
                charged(gateway.confirm(payment, amount, currency, &instrument).await)
            }
            // Without the instrument there is nothing to charge; that never asked is not known
            // here, for an earlier process may have.
            Call::Charge { instrument: None, .. } => UNKNOWN,
            Call::Find => found(gateway.find(payment).await),
            Call::Void => voided(gateway.void(payment).await),
            Call::Refund { amount, .. } => match gateway.refund(payment, amount).await {
                Refund::Refunded => CallResult::Refunded,
                Refund::Refused => {
                    let payment = LongId::from(payment.0);
                    tracing::error!(%payment, amount = amount.0, "a refund was refused: look into it");
                    UNKNOWN
                }
                Refund::Unavailable => UNKNOWN,
            },
        }
    };
    tokio::time::timeout(CALL_MAX, asked).await.unwrap_or(UNKNOWN)
}

fn charged(charge: Charge) -> CallResult {
    match charge {
        Charge::Approved => CallResult::Outcome(PaymentOutcome::Approved),
        Charge::Declined(decline) => declined(&decline),
        Charge::Unknown => UNKNOWN,
    }
}

fn found(finding: Finding) -> CallResult {
    match finding {
        Finding::Approved => CallResult::Outcome(PaymentOutcome::Approved),
        Finding::Declined(decline) => declined(&decline),
        Finding::NotFound => CallResult::NotFound,
        Finding::Unavailable => UNKNOWN,
    }
}

fn voided(voiding: Voiding) -> CallResult {
    match voiding {
        Voiding::Voided => CallResult::Voided,
        Voiding::AlreadyApproved => CallResult::Outcome(PaymentOutcome::Approved),
        Voiding::Unavailable => UNKNOWN,
    }
}

fn declined(Decline { reason, retryable }: &Decline) -> CallResult {
    CallResult::Outcome(PaymentOutcome::Declined {
        reason: reason.as_ref().into(),
        retryable: *retryable,
    })
}

#[cfg(test)]
mod tests {
    use std::future;

    use domain::id::{PaymentId, PaymentIndex};
    use domain::money::{Currency, Money};
    use engine::Instrument;

    use super::*;
    use crate::gateway::Asked;

    /// A provider that gives these answers; none is silence.
    #[derive(Clone, Default)]
    struct Scripted {
        charge: Option<Charge>,
        finding: Option<Finding>,
        voiding: Option<Voiding>,
        refund: Option<Refund>,
    }

    fn say<'a, T: Clone + Send + 'a>(answer: Option<T>) -> Asked<'a, T> {
        match answer {
            Some(answer) => Box::pin(future::ready(answer)),
            None => Box::pin(future::pending()),
        }
    }

    impl PaymentGateway for Scripted {
        fn confirm<'a>(
            &'a self,
            _: PaymentId,
            _: Money,
            _: Currency,
            _: &'a Instrument,
        ) -> Asked<'a, Charge> {
            say(self.charge.clone())
        }

        fn find(&self, _: PaymentId) -> Asked<'_, Finding> {
            say(self.finding.clone())
        }

        fn void(&self, _: PaymentId) -> Asked<'_, Voiding> {
            say(self.voiding)
        }

        fn refund(&self, _: PaymentId, _: Money) -> Asked<'_, Refund> {
            say(self.refund)
        }
    }

    fn charge() -> Call {
        let instrument = Instrument { method: "card".into(), token: "tok_ok".into() };
        Call::Charge { amount: Money(1), currency: Currency::KRW, instrument: Some(instrument) }
    }

    fn refund() -> Call {
        Call::Refund { amount: Money(1), currency: Currency::KRW }
    }

    async fn answer(gateway: &Scripted, call: Call) -> CallResult {
        let (payment, id) = (PaymentIndex(0), PaymentId(1));
        ask(gateway, PendingCall { stream: 1, payment, id, call }).await
    }

    #[tokio::test]
    async fn every_answer_means_what_the_seam_says() {
        let decline = Decline { reason: "card_declined".into(), retryable: true };
        let no = CallResult::Outcome(PaymentOutcome::Declined {
            reason: "card_declined".into(),
            retryable: true,
        });
        let yes = CallResult::Outcome(PaymentOutcome::Approved);
        let silent = Scripted::default();
        let charge_is = |charge| Scripted { charge: Some(charge), ..silent.clone() };
        let find_is = |finding| Scripted { finding: Some(finding), ..silent.clone() };
        let void_is = |voiding| Scripted { voiding: Some(voiding), ..silent.clone() };
        let refund_is = |refund| Scripted { refund: Some(refund), ..silent.clone() };
        let table = [
            (charge_is(Charge::Approved), charge(), yes.clone()),
            (charge_is(Charge::Declined(decline.clone())), charge(), no.clone()),
            (charge_is(Charge::Unknown), charge(), UNKNOWN),
            (find_is(Finding::Approved), Call::Find, yes.clone()),
            (find_is(Finding::Declined(decline)), Call::Find, no),
            (find_is(Finding::NotFound), Call::Find, CallResult::NotFound),
            (find_is(Finding::Unavailable), Call::Find, UNKNOWN),
            (void_is(Voiding::Voided), Call::Void, CallResult::Voided),
            (void_is(Voiding::AlreadyApproved), Call::Void, yes),
            (void_is(Voiding::Unavailable), Call::Void, UNKNOWN),
            (refund_is(Refund::Refunded), refund(), CallResult::Refunded),
            (refund_is(Refund::Refused), refund(), UNKNOWN),
            (refund_is(Refund::Unavailable), refund(), UNKNOWN),
        ];
        for (gateway, call, expected) in table {
            let name = format!("{call:?}");
            assert_eq!(answer(&gateway, call).await, expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_unknown_after_ten_seconds() {
        for call in [charge(), Call::Find, Call::Void, refund()] {
            let start = tokio::time::Instant::now();
            assert_eq!(answer(&Scripted::default(), call).await, UNKNOWN);
            assert_eq!(start.elapsed(), CALL_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_instrument_nobody_is_charged() {
        let approves = Scripted { charge: Some(Charge::Approved), ..Scripted::default() };
        let call = Call::Charge { amount: Money(1), currency: Currency::KRW, instrument: None };
        assert_eq!(answer(&approves, call).await, UNKNOWN);
    }
}
