//! The end of a run: everything is settled, and everybody agrees.

use domain::Sale;
use domain::money::Money;
use engine::Recovered;

use super::history::{HoldState, PayState, Standing};
use super::{Auditor, Broken};
use crate::archive::Archive;
use crate::provider::{Provider, Standing as Booked};

/// A recovered state is what the whole journal says, to the last byte of a snapshot.
pub(super) fn same_as_replayed(recovered: &Recovered, archive: &Archive) -> Result<(), Broken> {
    let differs = |what: String| Err(Broken::of("recovered", what));
    let replayed = match archive.replay() {
        Ok(replayed) => replayed,
        Err(error) => return differs(error.to_string()),
    };
    if (recovered.head, recovered.last_at) != (replayed.head, replayed.last_at) {
        let (ours, theirs) = (recovered.last_at.0, replayed.last_at.0);
        return differs(format!(
            "{} of {ours} is recovered and {} of {theirs} replayed",
            recovered.head, replayed.head
        ));
    }
    if bytes(&recovered.sale) != bytes(&replayed.sale) {
        return differs(format!("another state at {}", recovered.head));
    }
    Ok(())
}

fn bytes(sale: &Sale) -> Vec<u8> {
    minicbor::to_vec(sale).expect("writing to memory does not fail")
}

impl Auditor {
    /// Closes the books. `shown` is what each node shows at last.
    pub(crate) fn close(
        &mut self,
        archive: &mut Archive,
        shown: &[Sale],
        provider: &Provider,
    ) -> Result<(), Broken> {
        let recovered =
            archive.recover().map_err(|error| Broken::of("recovered", error.to_string()))?;
        same_as_replayed(&recovered, archive)?;
        let last = bytes(&recovered.sale);
        for (node, sale) in shown.iter().enumerate() {
            if bytes(sale) != last {
                let what = format!("node {node} shows another state than the journal's");
                return Err(Broken::of("published", what));
            }
        }
        recovered.sale.check().map_err(|broken| {
            Broken::of("check", format!("invariant {}: {}", broken.invariant, broken.found))
        })?;
        self.everybody_is_gone()?;
        self.money(provider)
    }

    fn everybody_is_gone(&self) -> Result<(), Broken> {
        for (index, entry) in self.history.entries.iter().enumerate() {
            match entry.standing.now() {
                Standing::Done(_) | Standing::Over(_) => {}
                other @ (Standing::Waiting
                | Standing::Away
                | Standing::Missed
                | Standing::Recalled
                | Standing::Choosing(_)
                | Standing::Holding(..)
                | Standing::Paying(_)) => {
                    let what = format!("{index} is {other:?} long after everybody has gone");
                    return Err(Broken::of("idle", what));
                }
            }
        }
        for known in &self.history.reservations {
            match known.state.now() {
                HoldState::Confirmed | HoldState::GivenBack | HoldState::Expired => {}
                other @ (HoldState::Held(_) | HoldState::Paying(_)) => {
                    return Err(Broken::of("idle", format!("{:?} is {other:?}", known.id)));
                }
            }
        }
        Ok(())
    }

    /// The provider's book and ours say the same of every payment.
    fn money(&mut self, provider: &Provider) -> Result<(), Broken> {
        let unlike = |what: String| Err(Broken::of("money", what));
        let mut kept = Money(0);
        for payment in &self.history.payments {
            let booked = provider.book().get(&payment.id).copied();
            let ours = *payment.state.now();
            let same = match (ours, booked) {
                (PayState::Approved, Some(Booked::Approved { amount }))
                | (PayState::Refunded, Some(Booked::Refunded { amount })) => {
                    amount == payment.amount
                }
                (PayState::Declined, None | Some(Booked::Declined { .. } | Booked::Voided)) => true,
                (
                    PayState::Running(_)
                    | PayState::Unknown
                    | PayState::RefundDue
                    | PayState::Approved
                    | PayState::Refunded
                    | PayState::Declined,
                    _,
                ) => false,
            };
            if !same {
                return unlike(format!("{:?} is {ours:?} and booked as {booked:?}", payment.id));
            }
            if ours == PayState::Approved {
                kept += Money(payment.amount);
                let paid = *self.history.reservations[payment.reservation].state.now();
                if paid != HoldState::Confirmed {
                    return unlike(format!("{:?} is paid and {paid:?}", payment.id));
                }
            }
            self.counts.add("payment", word_of(ours));
        }
        if let Some(id) = provider.book().keys().find(|id| self.history.payment(**id).is_none()) {
            return unlike(format!("{id:?} is booked and not journalled"));
        }
        let confirmed = self.history.reservations.iter();
        let confirmed = confirmed.filter(|known| *known.state.now() == HoldState::Confirmed);
        let sum: Money = confirmed.map(|known| Money(known.amount)).sum();
        if sum != kept {
            return unlike(format!("{kept:?} was kept for seats of {sum:?}"));
        }
        let contradicted = provider.contradicted().len() as u64;
        self.counts.add_many("payment", "contradicted", contradicted);
        Ok(())
    }
}

fn word_of(state: PayState) -> &'static str {
    match state {
        PayState::Running(_) => "running",
        PayState::Unknown => "unknown",
        PayState::Approved => "approved",
        PayState::Declined => "declined",
        PayState::RefundDue => "refund due",
        PayState::Refunded => "refunded",
    }
}
