//! The requests: each stage's own, and the keys that make them safe to send again.

use super::{Buyer, BuyerNumber, Held, Show, Stage};
use crate::contract::{HoldWish, Instrument, JoinWish, PayWish, to_json};
use crate::findings::Findings;
use crate::moment::Moment;
use crate::random::Random;
use crate::wire::Request;

impl Buyer {
    /// Writes the next request. What is given up with it is uncertain from now on, not only from
    /// its answer on: `now` is before anything of it is sent.
    pub(crate) fn ask(
        &self,
        show: &Show,
        now: Moment,
        findings: &mut Findings,
        request: &mut Vec<u8>,
    ) {
        let key = show.key(self.number, self.deed);
        let join = to_json(&JoinWish { sale_id: show.sale.as_str() });
        if self.renews {
            let renewal = self.with_token(Request::post("/queue/token").host(&show.host));
            renewal.json(&join).render(request);
            return;
        }
        match &self.stage {
            Stage::Joining => {
                findings.order.tries_to_join(self.number, now);
                let joining = Request::post("/queue/token").host(&show.host).json(&join);
                joining.idempotency_key(&key).render(request);
            }
            Stage::Waiting => self.get(show, "/queue/status", request),
            Stage::Choosing { performance, .. } => {
                let (performance, date) = &show.performances[*performance];
                let path = format!("/reservations/{date}?performance_id={performance}");
                self.get(show, &path, request);
            }
            Stage::Taking { performance, seats, .. } => {
                let performance_id = show.performances[*performance].0.as_str();
                let wish = to_json(&HoldWish { performance_id, seat_numbers: seats });
                let hold = self.with_token(Request::post("/reservations").host(&show.host));
                hold.idempotency_key(&key).json(&wish).render(request);
            }
            Stage::GivingBack(held) => {
                self.lets_go(held, now, findings);
                let path = format!("/me/reservations/{}", held.reservation);
                self.with_token(Request::delete(&path).host(&show.host)).render(request);
            }
            Stage::Paying { held, with } => {
                let payment = Instrument { method: "card", token: with };
                let wish = to_json(&PayWish { reservation_id: held.reservation.as_str(), payment });
                let pay = self.with_token(Request::post("/payment").host(&show.host));
                pay.idempotency_key(&key).json(&wish).render(request);
            }
            Stage::AskingPayment { payment, .. } => {
                self.get(show, &format!("/payments/{payment}"), request);
            }
            Stage::Looking { reservation } => {
                self.get(show, &format!("/me/reservations/{reservation}"), request);
            }
            Stage::Leaving { held, .. } => {
                if let Some(held) = held {
                    self.lets_go(held, now, findings);
                }
                self.with_token(Request::delete("/queue/token").host(&show.host)).render(request);
            }
            Stage::Over(_) => {}
        }
    }

    /// Writes the question at the end: what have I bought?
    pub(crate) fn ask_for_receipt(&self, show: &Show, request: &mut Vec<u8>) {
        self.get(show, "/me/reservations", request);
    }

    fn get(&self, show: &Show, path: &str, request: &mut Vec<u8>) {
        self.with_token(Request::get(path).host(&show.host)).render(request);
    }

    fn with_token<'a>(&'a self, request: Request<'a>) -> Request<'a> {
        match &self.token {
            Some(token) => request.token(token),
            None => request,
        }
    }

    fn lets_go(&self, held: &Held, now: Moment, findings: &mut Findings) {
        let seats = held.seats.iter().map(|seat| &**seat);
        findings.owners.lets_go(self.number, &held.performance, seats, now);
    }
}

impl Show {
    /// The key of a buyer's n-th deed: 128 bits that no other rehearsal uses. They are as hard to
    /// guess as a crowd of no consequence needs.
    pub(super) fn key(&self, buyer: BuyerNumber, deed: u32) -> String {
        let which = u64::from(buyer) << 32 | u64::from(deed);
        let [low, high] = [self.secret, self.secret >> 64].map(|half| {
            let half = u64::try_from(half & u128::from(u64::MAX)).expect("64 bits are left");
            Random::new(Random::new(half ^ which).number() ^ half).number()
        });
        format!("{high:016x}{low:016x}")
    }
}
