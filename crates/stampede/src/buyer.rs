//! One buyer: what they ask next, and what they make of the answer.
//!
//! A buyer is a state machine without a network or a clock: [`Buyer::ask`] writes the next request,
//! [`Buyer::hear`] takes its answer and says when the next one follows. Everything about a buyer is
//! drawn at the start from the seed; the rest is what the box office says. A buyer keeps to the
//! contract: polls when told to, comes back when told to, and repeats what was lost with its key.

mod asking;
mod character;
mod hearing;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::calls::Call;
use crate::contract::{Problem, Reservations, Word};
use crate::findings::{BuyerNumber, Findings};
use crate::moment::Exchange;
use crate::random::Random;
use crate::wire::{Lost, is_field_value};

pub(crate) use character::Character;
pub use character::Shares;

/// What is on, as far as buyers need to know it.
#[derive(Clone, Debug)]
pub(crate) struct Show {
    /// What a request's `Host` says.
    pub(crate) host: String,
    pub(crate) sale: Word,
    /// Each with its date. One at least.
    pub(crate) performances: Vec<(Word, Word)>,
    /// Makes this rehearsal's idempotency keys different from those of any other.
    pub(crate) secret: u128,
}

/// Somebody who wants tickets.
#[derive(Debug)]
pub(crate) struct Buyer {
    number: BuyerNumber,
    character: Character,
    random: Random,
    stage: Stage,
    token: Option<Box<str>>,
    /// The token is too old: it is renewed before anything else.
    renews: bool,
    /// Attempts at the present request that were not answered, or with "later".
    tries: u8,
    /// Numbers the requests that have a key of their own.
    deed: u32,
    /// Polls while waiting.
    polls: u32,
    has_come: bool,
    /// The call whose answer is being heard, and whether it was sent more than once: then its effect
    /// may be older than the request that was answered.
    asked: Call,
    is_repeated: bool,
}

/// Where a buyer has got to.
#[derive(Debug)]
enum Stage {
    Joining,
    Waiting,
    Choosing { performance: usize, rounds: u8 },
    Taking { performance: usize, seats: Vec<Box<str>>, rounds: u8 },
    GivingBack(Held),
    Paying { held: Held, with: &'static str },
    AskingPayment { held: Held, payment: Word },
    Looking { reservation: Word },
    Leaving { held: Option<Held>, end: End },
    Over(End),
}

/// Seats that are this buyer's for a while.
#[derive(Clone, Debug)]
struct Held {
    reservation: Word,
    performance: Word,
    seats: Vec<Box<str>>,
}

/// How it ended for a buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With tickets.
    Bought,
    /// The sale was over, or sold out, before they could join.
    TurnedAway,
    /// Everything was sold while they waited.
    SoldOut,
    /// Their place was ended: too slow, absent, the hold expired, the sale was closed.
    PlaceEnded,
    /// They were inside and found nothing to their liking.
    NothingLeft,
    /// They left by themselves.
    Left,
    /// They left after a payment was declined.
    Declined,
    /// They went without a word.
    Vanished,
    /// They asked again and again, and were not answered.
    GaveUp,
    /// They were refused something that they had a right to.
    Refused,
    /// The rehearsal's time was over.
    StillThere,
}

/// Which of the crowd's heaps a buyer is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Outside,
    Waiting,
    Inside,
    Over(End),
}

/// When a buyer asks next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    After(Duration),
    Never,
}

/// An answer, as a buyer hears it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: &'a [u8],
}

/// Attempts at one request before a buyer gives up.
const TRIES_MAX: u8 = 12;
/// Holds that are tried, or empty lists that are read, before a buyer gives up.
const ROUNDS_MAX: u8 = 40;
/// Where the box office does not say when to ask again.
const AGAIN: Duration = Duration::from_millis(1_500);
/// Where something was not as expected: whatever the box office says, nobody asks without a pause.
const MOMENT: Duration = Duration::from_millis(200);
/// For a sale that is to open: about how often people press the button.
const IMPATIENCE: Duration = Duration::from_millis(1_500);
/// Nobody waits longer than this before asking again, whatever is said.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

impl Buyer {
    /// A buyer who is about to join.
    pub(crate) fn new(number: BuyerNumber, character: Character, random: Random) -> Self {
        Self {
            number,
            character,
            random,
            stage: Stage::Joining,
            token: None,
            renews: false,
            tries: 0,
            deed: 0,
            polls: 0,
            has_come: false,
            asked: Call::Join,
            is_repeated: false,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.stage {
            Stage::Joining => Standing::Outside,
            Stage::Waiting | Stage::Leaving { end: End::Left, .. } => Standing::Waiting,
            Stage::Choosing { .. }
            | Stage::Taking { .. }
            | Stage::GivingBack(_)
            | Stage::Paying { .. }
            | Stage::AskingPayment { .. }
            | Stage::Looking { .. }
            | Stage::Leaving { .. } => Standing::Inside,
            Stage::Over(end) => Standing::Over(*end),
        }
    }

    /// Seats that were bought; 0 until then.
    pub(crate) fn tickets(&self) -> usize {
        if matches!(self.stage, Stage::Over(End::Bought)) { self.character.party } else { 0 }
    }

    /// Whether this is the first time that this buyer asks anything.
    pub(crate) fn arrives(&mut self) -> bool {
        !std::mem::replace(&mut self.has_come, true)
    }

    /// The call that comes next; none when it is over.
    pub(crate) fn call(&self) -> Option<Call> {
        if matches!(self.stage, Stage::Over(_)) {
            return None;
        }
        if self.renews {
            return Some(Call::Renew);
        }
        match self.stage {
            Stage::Joining => Some(Call::Join),
            Stage::Waiting => Some(Call::Status),
            Stage::Choosing { .. } => Some(Call::Seats),
            Stage::Taking { .. } => Some(Call::Hold),
            Stage::GivingBack(_) => Some(Call::GiveBack),
            Stage::Paying { .. } => Some(Call::Pay),
            Stage::AskingPayment { .. } => Some(Call::AskPayment),
            Stage::Looking { .. } => Some(Call::Look),
            Stage::Leaving { .. } => Some(Call::Leave),
            Stage::Over(_) => None,
        }
    }

    /// Keeps a fresh token, if it is one.
    pub(crate) fn keep_token(&mut self, token: &str) {
        if !token.is_empty() && is_field_value(token) {
            self.token = Some(token.into());
        }
    }

    /// The rehearsal's time is over.
    pub(crate) fn stop(&mut self) {
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(End::StillThere);
        }
    }

    /// No answer came.
    pub(crate) fn lose(&mut self, _lost: Lost) -> Then {
        self.again(None)
    }

    /// An answer came.
    pub(crate) fn hear(
        &mut self,
        show: &Show,
        heard: Heard<'_>,
        exchange: Exchange,
        findings: &mut Findings,
    ) -> Then {
        findings.contract.answered();
        self.asked = self.call().unwrap_or(self.asked);
        self.is_repeated = self.tries > 0;
        let problem = if heard.status < 300 { Problem::default() } else { heard.problem() };
        match (heard.status, &*problem.code) {
            (429 | 502 | 503 | 504, _) => return self.again(heard.retry_after),
            (500.., _) => {
                self.surprised(heard, &problem, findings);
                return self.again(heard.retry_after);
            }
            (401, "token_expired") if !self.renews => {
                self.renews = true;
                return Then::After(Duration::ZERO);
            }
            // What the token was renewed for ends by itself.
            (410, "place_ended" | "sale_closed" | "sold_out") => {
                return self.is_ended(&problem, findings);
            }
            _ => {}
        }
        self.tries = 0;
        if std::mem::take(&mut self.renews) {
            return self.hear_renewal(heard, &problem, exchange, findings);
        }
        match std::mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Joining => self.hear_join(heard, &problem, exchange, findings),
            Stage::Waiting => match heard.read_if(200) {
                Some(place) => self.stand(&place, exchange, findings),
                None => self.refused(heard, &problem, findings),
            },
            Stage::Choosing { performance, rounds } => {
                self.hear_seats(show, performance, rounds, heard, &problem, findings)
            }
            Stage::Taking { performance, seats, rounds } => {
                let taking = hearing::Taking { performance, seats, rounds };
                self.hear_hold(taking, heard, &problem, exchange, findings)
            }
            Stage::GivingBack(_) => match heard.read_if(200) {
                Some(place) => self.stand(&place, exchange, findings),
                // It was given back before, and the answer was lost; or it expired meanwhile.
                None if matches!(heard.status, 404 | 409 | 410) => self.look_up(),
                None => self.refused(heard, &problem, findings),
            },
            Stage::Paying { held, .. } | Stage::AskingPayment { held, .. } => {
                self.hear_payment(held, heard, &problem, exchange, findings)
            }
            Stage::Looking { .. } => self.hear_reservation(heard, &problem, exchange, findings),
            Stage::Leaving { end, .. } => {
                findings.limit.is_outside(self.number);
                match heard.status {
                    204 | 401 | 404 | 410 => self.over(end),
                    409 => self.wait(AGAIN),
                    _ => self.refused(heard, &problem, findings),
                }
            }
            Stage::Over(end) => self.over(end),
        }
    }

    /// Hears what was bought, at the end; whether that was an answer.
    pub(crate) fn hear_receipt(&self, heard: Heard<'_>, findings: &mut Findings) -> bool {
        match heard.status {
            200 => match heard.read::<Reservations>() {
                Some(body) => findings.charged.finds(self.number, &body.reservations),
                None => findings.charged.is_refused(self.number, 200, "not to be read"),
            },
            429 | 500.. => return false,
            status => findings.charged.is_refused(self.number, status, &heard.problem().code),
        }
        true
    }

    /// The place, or the sale, is over.
    fn is_ended(&mut self, problem: &Problem, findings: &mut Findings) -> Then {
        findings.limit.is_outside(self.number);
        let end = match (&self.stage, &*problem.code) {
            (Stage::Leaving { end, .. } | Stage::Over(end), _) => *end,
            (Stage::Joining, _) => End::TurnedAway,
            (_, "sold_out") => End::SoldOut,
            _ => End::of_reason(problem.reason.as_deref()),
        };
        self.over(end)
    }

    fn over(&mut self, end: End) -> Then {
        self.stage = Stage::Over(end);
        Then::Never
    }

    fn leave(&mut self, held: Option<Held>, end: End) -> Then {
        self.stage = Stage::Leaving { held, end };
        self.think(0.25)
    }

    /// Asks, in a moment, where they stand.
    fn look_up(&mut self) -> Then {
        self.stage = Stage::Waiting;
        self.later(MOMENT)
    }

    /// Asks where they stand.
    fn wait(&mut self, after: Duration) -> Then {
        self.stage = Stage::Waiting;
        Then::After(after)
    }

    /// About so much later, and not with all others.
    fn later(&mut self, about: Duration) -> Then {
        let about = about.min(LONGEST_WAIT);
        Then::After(about.mul_f64(0.75 + 0.5 * self.random.share()))
    }

    fn think(&mut self, thoroughness: f64) -> Then {
        let share = 0.5 + self.random.share();
        Then::After(self.character.think.mul_f64(thoroughness * share))
    }

    /// The same request again, with the same key: it may have been carried out.
    fn again(&mut self, retry_after: Option<Duration>) -> Then {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return self.over(End::GaveUp);
        }
        let doubled = Duration::from_millis(100) * (1 << self.tries.min(6));
        self.later(retry_after.unwrap_or(doubled).max(doubled))
    }

    /// Something was refused that should not have been, or cannot be read.
    fn refused(&mut self, heard: Heard<'_>, problem: &Problem, findings: &mut Findings) -> Then {
        self.surprised(heard, problem, findings);
        findings.limit.is_outside(self.number);
        self.over(End::Refused)
    }

    fn surprised(&self, heard: Heard<'_>, problem: &Problem, findings: &mut Findings) {
        let call = self.asked.name();
        let what = match &*problem.code {
            "" => "an answer that cannot be read",
            code => code,
        };
        findings.contract.surprises(self.number, call, heard.status, what);
    }
}

impl Heard<'_> {
    fn read<'b, T: Deserialize<'b>>(&'b self) -> Option<T> {
        serde_json::from_slice(self.body).ok()
    }

    fn read_if<'b, T: Deserialize<'b>>(&'b self, status: u16) -> Option<T> {
        if self.status == status { self.read() } else { None }
    }

    /// The problem, as far as it is one.
    pub(crate) fn problem(&self) -> Problem {
        self.read().unwrap_or_default()
    }
}

impl End {
    fn of_reason(reason: Option<&str>) -> Self {
        match reason {
            Some("sold_out") => Self::SoldOut,
            Some("left") => Self::Left,
            _ => Self::PlaceEnded,
        }
    }
}
