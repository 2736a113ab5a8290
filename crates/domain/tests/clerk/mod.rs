//! An interpreter of tables of what people do and what they are told.
//!
//! A table is a list of scenes, each begun by a line `== its title`; the clock stands at 12:00:00
//! then. A line is something done and, behind `->`, exactly what is answered. Without `->`
//! anything but a refusal will do. `#` begins a comment. After every line all invariants that a
//! state can show are checked.
//!
//! Before the first deed: `performance seoul A1-A75 at 100` (once for each), `pool press A3`,
//! `grade VIP A1-A9 at 200` (of the first performance, and before the grade R of all others), `limits active_limit 1, hold_ttl 5 min`, `opens 12:30:00`, `closes 13:00:00`. Then:
//!
//! ```text
//! join by ann [with key k] [as holder h]          the status of the place, `known as ann: …`
//! seen ann bob                                    they poll, and that is noted
//! hold A1 A2 by ann [in seoul] [for 200] [with key k]
//! hold best 2 [of VIP] by ann [in seoul] [for 200] [with key k]
//! give back by ann            give back bob's by ann          leave by ann
//! pay by ann [for 200] [with key k]               payments are p1, p2, … in the order of asking
//! provider approves p1        provider declines p1 for no_funds [for good]
//! provider is silent on p1    provider refunds p1
//! tick 5 min                  time passes, everything happens when it is due
//! pass 5 min                  time passes and nobody looks
//! outage 60 s                 nothing ran for so long
//! resume 60 s                 somebody else notices the same silence of the last 60 s
//! open, pause, unpause, close, schedule, withhold A1 for press, release A1
//! change active_limit 1, hold_ttl 60 s
//! so                          what else the last deed brought with it
//! status of ann, reservations of ann, line, inside, sale, seats, seats of seoul, takings
//! ```
//!
//! Whoever acts `with a wrong token` has the nonce of somebody else.

mod anew;
mod best;
mod words;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use domain::command::{Key, PaymentOutcome, Schedule, Wish};
use domain::id::{
    EntryIndex, HolderKey, KeyHash, Nonce, PaymentId, PerformanceId, Place, ReservationId, SaleId,
    SeatIndex,
};
use domain::limits::Limits;
use domain::line::JoinKeys;
use domain::money::{Currency, Money};
use domain::plan::{Performance, Plan, Section, WheelchairPlace};
use domain::time::{Millis, Timestamp};
use domain::{Command, Outcome, Refusal, Sale};
use rustc_hash::FxHasher;

/// 12:00:00 of some day.
const NOON: Timestamp = Timestamp((20_000 * 24 + 12) * 3_600_000);

/// Plays a table; every answer that is not as expected, with its line.
pub(crate) fn unexpected_answers(table: &str) -> Vec<String> {
    let mut unexpected = Vec::new();
    let mut scene = Scene::default();
    for (number, line) in (1..).zip(table.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if line.starts_with("==") {
            scene = Scene::default();
            continue;
        }
        let (deed, expected) = match line.split_once("->") {
            Some((deed, answer)) => (deed.trim(), Some(answer.trim())),
            None => (line, None),
        };
        let (expected, got) = match (scene.play(deed), expected) {
            (Err(NoSuchThing), _) => ("something a clerk knows", "no such thing".into()),
            (Ok(got), Some(expected)) => (expected, got),
            (Ok(got), None) if got.starts_with("refused") => ("no refusal", got),
            (Ok(_), None) => continue,
        };
        if expected != got {
            unexpected
                .push(format!("line {number}: {deed}\n  expected: {expected}\n  got:      {got}"));
        }
        if let Err(broken) = scene.sale.check() {
            unexpected.push(format!("line {number}: {deed}\n  breaks {broken:?}"));
        }
    }
    unexpected
}

/// A line that says nothing a clerk knows.
struct NoSuchThing;

type Told = Result<String, NoSuchThing>;

/// One scene: the sale, the clock, and what things are called.
struct Scene {
    sale: Sale,
    now: Timestamp,
    offer: Offer,
    /// Buyers by name.
    places: BTreeMap<String, Place>,
    /// Payments that were asked for: p1 first.
    payments: Vec<PaymentId>,
    /// What the last deed brought with it.
    happened: Vec<String>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            sale: Sale::default(),
            now: NOON,
            offer: Offer::default(),
            places: BTreeMap::new(),
            payments: Vec::new(),
            happened: Vec::new(),
        }
    }
}

/// What the organiser describes.
#[derive(Clone)]
struct Offer {
    performances: Vec<(String, Vec<String>, u64)>,
    pools: Vec<(String, Vec<String>)>,
    /// Of the first performance, before the grade R of all other seats.
    grades: Vec<(String, Vec<String>, u64)>,
    /// Of the first performance.
    wheelchairs: Vec<WheelchairPlace>,
    limits: Limits,
    opens_at: Timestamp,
    closes_at: Option<Timestamp>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            performances: Vec::new(),
            pools: Vec::new(),
            grades: Vec::new(),
            wheelchairs: Vec::new(),
            limits: Limits::default(),
            opens_at: NOON,
            closes_at: None,
        }
    }
}

/// What may stand behind a deed.
#[derive(Default)]
struct Details {
    performance: Option<u16>,
    expected: Option<Money>,
    key: Option<KeyHash>,
    holder: Option<HolderKey>,
    wrong_token: bool,
}

impl Scene {
    fn play(&mut self, deed: &str) -> Told {
        let words: Vec<&str> = deed.split_whitespace().collect();
        if let Some(told) = self.describe(&words) {
            return told;
        }
        if self.sale.id().is_none() && words != ["schedule"] {
            // What cannot be scheduled is refused here, and so is then whatever is asked of it.
            let _ = self.act(&self.schedule());
        }
        if let Some(told) = self.look(&words) {
            return told;
        }
        self.buyer(&words)
            .or_else(|| self.time(&words))
            .or_else(|| self.operator(&words))
            .unwrap_or(Err(NoSuchThing))
    }

    /// What is on, before it is scheduled.
    fn describe(&mut self, words: &[&str]) -> Option<Told> {
        match words {
            ["performance", name, seats @ .., "at", price] => {
                let seats = seats.iter().flat_map(|seats| spelled_out(seats)).collect();
                let price = price.parse().ok()?;
                self.offer.performances.push(((*name).into(), seats, price));
            }
            ["pool", name, seats @ ..] => {
                let seats = seats.iter().flat_map(|seats| spelled_out(seats)).collect();
                self.offer.pools.push(((*name).into(), seats));
            }
            ["grade", name, seats @ .., "at", price] => {
                let seats = seats.iter().flat_map(|seats| spelled_out(seats)).collect();
                self.offer.grades.push(((*name).into(), seats, price.parse().ok()?));
            }
            ["wheelchair", place, "with", companions @ ..] => {
                let companions = companions.iter().flat_map(|seats| spelled_out(seats));
                self.offer.wheelchairs.push(WheelchairPlace {
                    place: (*place).into(),
                    companions: companions.map(Into::into).collect(),
                });
            }
            ["limits", changes @ ..] => self.offer.limits = changed(self.offer.limits, changes)?,
            ["opens", time] => self.offer.opens_at = words::time(time)?,
            ["closes", time] => self.offer.closes_at = Some(words::time(time)?),
            _ => return None,
        }
        Some(Ok("noted".into()))
    }

    /// Looking changes nothing.
    fn look(&self, words: &[&str]) -> Option<Told> {
        let told = match words {
            ["so"] if self.happened.is_empty() => "nothing".into(),
            ["so"] => self.happened.join("; "),
            ["status", "of", name] => self.status(self.places.get(*name)?.entry),
            ["reservations", "of", name] => self.reservations(self.places.get(*name)?.entry),
            ["line"] => self.line(),
            ["inside"] => self.inside(),
            ["sale"] => self.sale_state(),
            ["seats"] => words::counts(self.sale.seats().counts()),
            ["seats", "of", name] => {
                let performance = self.offer.performances.iter().position(|(n, ..)| n == name)?;
                words::counts(self.sale.seats().counts_of(u16::try_from(performance).ok()?))
            }
            ["takings"] => words::takings(self.sale.takings()),
            _ => return None,
        };
        Some(Ok(told))
    }

    fn buyer(&mut self, words: &[&str]) -> Option<Told> {
        let told = match words {
            ["join", "by", name, rest @ ..] => {
                let Details { key, holder, .. } = self.details(rest)?;
                let nonce = Nonce(u32::try_from(self.sale.line().joined()).ok()? * 7 + 1);
                let joined = self.act(&Command::Join { nonce, keys: JoinKeys { key, holder } });
                if let Ok(Outcome::Joined { entry, created: true }) = joined {
                    self.places.insert((*name).into(), Place { entry, nonce });
                }
                self.told(joined, None)
            }
            ["seen", names @ ..] => {
                let mut entries: Vec<_> =
                    names.iter().filter_map(|name| Some(self.places.get(*name)?.entry)).collect();
                entries.sort();
                let seen = self.act(&Command::Seen { entries });
                let first = self.places.get(*names.first()?)?.entry;
                self.told(seen, Some(first))
            }
            ["leave", "by", name, rest @ ..] => {
                let place = self.place(name, &self.details(rest)?)?;
                let left = self.act(&Command::Leave { place });
                self.told(left, Some(place.entry))
            }
            ["hold", "best", count, rest @ ..] => self.hold_best(count, rest, words)?,
            ["hold", rest @ ..] => {
                let by = rest.iter().position(|word| *word == "by")?;
                let (seats, name, rest) = (&rest[..by], rest.get(by + 1)?, &rest[by + 2..]);
                let details = self.details(rest)?;
                let place = self.place(name, &details)?;
                let seats = seats.iter().map(|seat| self.seat(seat, details.performance));
                let hold = Command::Hold {
                    place,
                    wish: Wish::Seats { performance: details.performance, seats: seats.collect() },
                    expected: details.expected,
                    reservation: ReservationId(self.sale.reservations().count() as u64 + 1),
                    key: details.key.map(|hash| Key { hash, body: body(words) }),
                };
                let held = self.act(&hold);
                self.told(held, None)
            }
            ["give", "back", "by", name, rest @ ..] => self.give_back(name, name, rest)?,
            ["give", "back", whose, "by", name, rest @ ..] => {
                self.give_back(whose.strip_suffix("'s")?, name, rest)?
            }
            ["pay", "by", name, rest @ ..] => self.pay(name, name, rest, words)?,
            ["pay", "for", whose, "by", name, rest @ ..] => {
                self.pay(whose.strip_suffix("'s")?, name, rest, words)?
            }
            _ => return None,
        };
        Some(Ok(told))
    }

    fn time(&mut self, words: &[&str]) -> Option<Told> {
        let told = match words {
            ["tick", duration @ ..] => {
                let end = self.now.plus(words::duration(duration)?);
                let mut happened = Vec::new();
                while let Some(next) = self.sale.next_deadline().filter(|next| *next < end) {
                    self.now = self.now.max(next);
                    self.act(&Command::Tick).ok()?;
                    happened.append(&mut self.happened);
                }
                self.now = end;
                self.act(&Command::Tick).ok()?;
                self.happened.splice(..0, happened);
                return self.look(&["so"]);
            }
            ["pass", duration @ ..] => {
                self.now = self.now.plus(words::duration(duration)?);
                "noted".into()
            }
            ["outage", duration @ ..] => {
                let silent_since = self.now;
                self.now = self.now.plus(words::duration(duration)?);
                self.act(&Command::Resume { silent_since }).ok()?;
                return self.look(&["so"]);
            }
            ["resume", duration @ ..] => {
                let silent_since = Timestamp(self.now.0 - words::duration(duration)?);
                self.act(&Command::Resume { silent_since }).ok()?;
                return self.look(&["so"]);
            }
            ["provider", said @ ..] => self.provider(said)?,
            _ => return None,
        };
        Some(Ok(told))
    }

    fn operator(&mut self, words: &[&str]) -> Option<Told> {
        let command = match words {
            ["open"] => Command::Open,
            ["pause"] => Command::Pause,
            ["unpause"] => Command::Unpause,
            ["close"] => Command::Close,
            ["schedule"] => self.schedule(),
            ["anew", what @ ..] => return self.describe_anew(what),
            ["withhold", seats @ .., "for", pool] => {
                let pool = self.offer.pools.iter().position(|(name, _)| name == pool);
                Command::Withhold {
                    seats: seats.iter().map(|seat| self.seat(seat, None)).collect(),
                    pool: u16::try_from(pool.unwrap_or(usize::from(u16::MAX))).ok()?,
                }
            }
            ["release", seats @ ..] => {
                let seats = seats.iter().map(|seat| self.seat(seat, None)).collect();
                Command::Release { seats }
            }
            ["change", changes @ ..] => {
                Command::ChangeLimits(changed(*self.sale.limits(), changes)?)
            }
            _ => return None,
        };
        let done = self.act(&command);
        Some(Ok(self.told(done, None)))
    }

    fn give_back(&mut self, whose: &str, name: &str, rest: &[&str]) -> Option<String> {
        let place = self.place(name, &self.details(rest)?)?;
        let reservation = self.newest_reservation(whose)?;
        let given_back = self.act(&Command::GiveBack { place, reservation });
        Some(self.told(given_back, Some(place.entry)))
    }

    fn pay(&mut self, whose: &str, name: &str, rest: &[&str], words: &[&str]) -> Option<String> {
        let details = self.details(rest)?;
        let payment = PaymentId(self.payments.len() as u128 + 1);
        let command = Command::BeginPayment {
            place: self.place(name, &details)?,
            reservation: self.newest_reservation(whose)?,
            payment,
            expected: details.expected,
            key: details.key.map(|hash| Key { hash, body: body(words) }),
        };
        self.payments.push(payment);
        let begun = self.act(&command);
        Some(self.told(begun, None))
    }

    fn provider(&mut self, said: &[&str]) -> Option<String> {
        let settle = |payment: &str, outcome| -> Option<Command> {
            Some(Command::SettlePayment { payment: words::payment_id(payment)?, outcome })
        };
        let declined =
            |reason: &str, retryable| PaymentOutcome::Declined { reason: reason.into(), retryable };
        let command = match said {
            ["approves", payment] => settle(payment, PaymentOutcome::Approved)?,
            ["declines", payment, "for", reason] => settle(payment, declined(reason, true))?,
            ["declines", payment, "for", reason, "for", "good"] => {
                settle(payment, declined(reason, false))?
            }
            ["is", "silent", "on", payment] => settle(payment, PaymentOutcome::Unknown)?,
            ["refunds", payment] => Command::SettleRefund { payment: words::payment_id(payment)? },
            _ => return None,
        };
        let settled = self.act(&command);
        Some(self.told(settled, None))
    }

    /// Executes a command and notes what it brought with it beyond its own event.
    fn act(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let (mut before, mut events) = (self.sale.clone(), Vec::new());
        let answer = self.sale.execute(command, self.now, &mut events);
        self.happened.clear();
        for event in &events {
            let mut after = before.clone();
            after.evolve(event);
            self.happened.extend(self.happening(event, &before, &after));
            before = after;
        }
        answer
    }

    /// The answer in words; with nothing else to tell, how the buyer at `entry` stands.
    fn told(&self, answer: Result<Outcome, Refusal>, entry: Option<EntryIndex>) -> String {
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(refusal) => return format!("refused: {}", self.refusal(&refusal)),
        };
        match outcome {
            Outcome::Joined { entry, created: true } => self.status(entry),
            Outcome::Joined { entry, created: false } => {
                format!("known as {}: {}", self.name(entry), self.status(entry))
            }
            Outcome::Held { reservation } => self.reservation_state(reservation),
            Outcome::Payment { payment, begun: true } => {
                format!("{} begun", self.payment_name(payment))
            }
            Outcome::Payment { payment, begun: false } => self.payment(payment),
            Outcome::Settled { payment } => {
                let reservation = self.sale.payment(payment).expect("a payment").reservation;
                let visit = self.sale.reservation(reservation).expect("a reservation").visit;
                let entry = self.sale.visit(visit).expect("a visit").entry;
                format!("{}, {} {}", self.payment(payment), self.name(entry), self.status(entry))
            }
            Outcome::Done => entry.map_or("done".into(), |entry| self.status(entry)),
        }
    }

    fn schedule(&self) -> Command {
        Command::Schedule(Box::new(self.described()))
    }

    fn described(&self) -> Schedule {
        let performance = |(name, seats, price): &(String, Vec<String>, u64)| Performance {
            id: PerformanceId::parse(name).expect("a performance's name"),
            title: name.as_str().into(),
            venue: "hall".into(),
            date: jiff::civil::date(2026, 5, 1),
            starts_at: NOON,
            grades: self.grades(name, *price),
            sections: vec![Section { name: "1F".into(), rows: self.rows(name, seats) }],
            wheelchair_places: if *name == self.offer.performances[0].0 {
                self.offer.wheelchairs.clone()
            } else {
                Vec::new()
            },
        };
        Schedule {
            sale: SaleId::parse("tour").expect("a sale's name"),
            plan: Plan {
                currency: Currency::KRW,
                time_zone: "Asia/Seoul".into(),
                pools: self.offer.pools.iter().map(|(name, _)| name.as_str().into()).collect(),
                performances: self.offer.performances.iter().map(performance).collect(),
            },
            limits: self.offer.limits,
            opens_at: self.offer.opens_at,
            closes_at: self.offer.closes_at,
            file: None,
        }
    }

    /// A seat by its number: of the performance that was named, else of the first one; `busan/A1`
    /// is always of `busan`. One that nobody has ever seen has an index past the end.
    fn seat(&self, number: &str, performance: Option<u16>) -> SeatIndex {
        let hall = self.sale.hall().expect("a scheduled sale");
        let found = match number.split_once('/') {
            Some((name, number)) => {
                let id = PerformanceId::parse(name).expect("a performance's name");
                hall.performance(&id).and_then(|performance| hall.find(performance, number))
            }
            None => hall.find(performance.unwrap_or(0), number),
        };
        found.unwrap_or(SeatIndex(u32::MAX))
    }

    fn place(&self, name: &str, details: &Details) -> Option<Place> {
        let Place { entry, nonce } = *self.places.get(name)?;
        let nonce = if details.wrong_token { Nonce(nonce.0 ^ 1) } else { nonce };
        Some(Place { entry, nonce })
    }

    fn newest_reservation(&self, name: &str) -> Option<ReservationId> {
        let visit = self.sale.visit_of_entry(self.places.get(name)?.entry);
        let newest = visit.and_then(|visit| self.sale.reservation(visit.reservation?));
        // Somebody without any names one that does not exist.
        Some(newest.map_or(ReservationId(u64::MAX), |reservation| reservation.id))
    }

    fn details(&self, words: &[&str]) -> Option<Details> {
        let (mut details, mut rest) = (Details::default(), words);
        loop {
            rest = match rest {
                [] => return Some(details),
                ["in", name, rest @ ..] => {
                    let number = self.offer.performances.iter().position(|(n, ..)| n == name);
                    let number = number.unwrap_or(usize::from(u16::MAX));
                    details.performance = u16::try_from(number).ok();
                    rest
                }
                ["for", amount, rest @ ..] => {
                    details.expected = Some(Money(amount.parse().ok()?));
                    rest
                }
                ["with", "key", key, rest @ ..] => {
                    details.key = Some(KeyHash(words::hash(key).into()));
                    rest
                }
                ["as", "holder", holder, rest @ ..] => {
                    details.holder = Some(HolderKey(words::hash(holder).into()));
                    rest
                }
                ["with", "a", "wrong", "token", rest @ ..] => {
                    details.wrong_token = true;
                    rest
                }
                _ => return None,
            }
        }
    }

    fn name(&self, entry: EntryIndex) -> &str {
        let found = self.places.iter().find(|(_, place)| place.entry == entry);
        found.map_or("somebody", |(name, _)| name)
    }
}

/// `A1-A3` as A1, A2, A3.
fn spelled_out(seats: &str) -> Vec<String> {
    let number = |seat: &str| seat.trim_start_matches(char::is_alphabetic).parse::<u32>().ok();
    let range = seats
        .split_once('-')
        .and_then(|(first, last)| Some((first, number(first)?, number(last)?)));
    match range {
        Some((first, from, to)) => {
            let row = first.trim_end_matches(|c: char| c.is_ascii_digit());
            (from..=to).map(|n| format!("{row}{n}")).collect()
        }
        None => vec![seats.into()],
    }
}

/// Limits with `active_limit 1, hold_ttl 5 min`.
fn changed(mut limits: Limits, words: &[&str]) -> Option<Limits> {
    for change in words.join(" ").split(',') {
        let words: Vec<_> = change.split_whitespace().collect();
        let (name, value) = words.split_first()?;
        let value = match value {
            [number] => number.parse().ok()?,
            duration => u32::try_from(words::duration(duration)? / 1000).ok()?,
        };
        *match *name {
            "line_capacity" => &mut limits.line_capacity,
            "active_limit" => &mut limits.active_limit,
            "seats_per_reservation" => &mut limits.seats_per_reservation,
            "hold_ttl" => &mut limits.hold_ttl,
            "payment_deadline" => &mut limits.payment_deadline,
            "place_ttl" => &mut limits.place_ttl,
            "arrive_ttl" => &mut limits.arrive_ttl,
            "choose_ttl" => &mut limits.choose_ttl,
            "presence_window" => &mut limits.presence_window,
            _ => return None,
        } = value;
    }
    Some(limits)
}

/// A fingerprint of what is asked under a key: every word of it, but for the key.
fn body(words: &[&str]) -> u64 {
    let mut hasher = FxHasher::default();
    let without_key = words.iter().position(|word| *word == "key").unwrap_or(words.len());
    words[..without_key].hash(&mut hasher);
    hasher.finish()
}

/// For [`words`]: milliseconds since noon.
fn since_noon(at: Timestamp) -> Millis {
    at.since(NOON)
}
