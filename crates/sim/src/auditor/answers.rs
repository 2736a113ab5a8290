//! Answers to requests: each must be so after the batch that it names, and stay so.
//!
//! An answer is made in the middle of its batch, so what it says must have been so at some time
//! while that batch was decided.

use domain::Command;
use domain::command::Wish;
use domain::id::Place;
use domain::payment::PaymentState;
use domain::refusal::Refusal;
use domain::sale::{PlaceView, ReservationView};
use engine::{Answer, Failure, Reply};

use super::history::{Effect, HoldState, PayState, SeatOwner, Stage, Standing, Visit};
use super::shown::{same_hold, status_word, told_word};
use super::{Auditor, Broken};
use crate::node::RequestId;
use crate::wish::{best_of, count_of, key_of, place_of, reservation_of, seats_of};
use crate::world::{Asked, Asker};

type Judged = Result<(), Broken>;

fn wrong(what: String) -> Judged {
    Err(Broken::of("answers", what))
}

impl Auditor {
    /// A node answers a request.
    pub(crate) fn replied(
        &mut self,
        request: RequestId,
        asked: &Asked,
        result: &Result<Reply, Failure>,
    ) -> Judged {
        let judged = match result {
            Ok(reply) if reply.as_of > self.history.head() => {
                let known = self.history.head();
                Err(Broken::of("durable", format!("batch {known} is the last that is known")))
            }
            Ok(reply) if self.is_older(asked, reply) => {
                let known = asked.known;
                Err(Broken::of("newest", format!("batch {known} was known when it came")))
            }
            Ok(Reply { as_of, answer: Ok(answer) }) => {
                self.answered(&asked.command, answer, *as_of)
            }
            Ok(Reply { as_of, answer: Err(refusal) }) => {
                self.refused(&asked.command, refusal, *as_of)
            }
            Err(Failure::OutcomeUnknown) => Ok(()),
            Err(Failure::Overloaded | Failure::Unavailable) => {
                self.nothing_written.insert(request);
                match self.effects.get(&request) {
                    None => Ok(()),
                    Some(batch) => wrong(format!("it was written in batch {batch}")),
                }
            }
        };
        judged.map_err(|Broken { check, what }| {
            let what = format!("request {request}, {:?}, told {result:?}: {what}", asked.command);
            Broken::of(check, what)
        })
    }

    /// Whether an answer is of a state that was not the newest any more when its request came.
    fn is_older(&self, asked: &Asked, reply: &Reply) -> bool {
        self.shown.len() > 1 && asked.by != Asker::System && reply.as_of < asked.known
    }

    fn answered(&mut self, command: &Command, answer: &Answer, as_of: u64) -> Judged {
        match (command, answer) {
            (Command::Join { nonce, keys }, Answer::Place { view, created }) => {
                let Some(entry) = self.history.entry_of(view.place) else {
                    return wrong("there is no such place".to_owned());
                };
                let sound = entry.joined <= as_of
                    && match created {
                        true => entry.joined == as_of && entry.nonce == *nonce,
                        false => entry.key.is_some() && entry.joined <= as_of,
                    }
                    && entry.key == keys.key;
                if !sound {
                    return wrong(format!("the place is {entry:?}"));
                }
                self.place(view, as_of)
            }
            (Command::Leave { place }, Answer::Place { view, .. }) => {
                let over = matches!(
                    told_word(view).0,
                    super::shown::Word::Ended(_) | super::shown::Word::Done(_)
                );
                if view.place != *place || !over {
                    return wrong("the place goes on".to_owned());
                }
                self.place(view, as_of)
            }
            (
                Command::Hold { place, key, reservation, wish, .. },
                Answer::Reservation { view, place: shown },
            ) => {
                let effect = Effect::Held(view.reservation.id);
                let seats: Vec<_> = view.reservation.seats().collect();
                let own = view.reservation.id == *reservation && self.history.fulfils(wish, &seats);
                if !own
                    && self.remembered(*place, key.map(|key| (key.hash, key.body)), as_of)
                        != Some(effect)
                {
                    return wrong("it is neither new nor what the key brought about".to_owned());
                }
                self.reservation(*place, view, shown, as_of)
            }
            (
                Command::GiveBack { place, reservation },
                Answer::Reservation { view, place: shown },
            ) => {
                if view.reservation.id != *reservation {
                    return wrong("it is another reservation".to_owned());
                }
                self.reservation(*place, view, shown, as_of)
            }
            (
                Command::BeginPayment { place, key, .. },
                Answer::Reservation { view, place: shown },
            ) => {
                let Some(payment) = &view.payment else {
                    return wrong("there is no payment".to_owned());
                };
                let remembered =
                    self.remembered(*place, key.map(|key| (key.hash, key.body)), as_of);
                if remembered.is_some_and(|effect| effect != Effect::Paid(payment.id)) {
                    return wrong(format!("the key brought about {remembered:?}"));
                }
                self.reservation(*place, view, shown, as_of)
            }
            (
                Command::Tick
                | Command::Resume { .. }
                | Command::Seen { .. }
                | Command::SettlePayment { .. }
                | Command::SettleRefund { .. }
                | Command::Schedule(_)
                | Command::Open
                | Command::Pause
                | Command::Unpause
                | Command::Close
                | Command::ChangeLimits(_)
                | Command::Change(_)
                | Command::Withhold { .. }
                | Command::Release { .. },
                Answer::Done,
            ) => Ok(()),
            (_, Answer::Place { .. } | Answer::Reservation { .. } | Answer::Done) => {
                wrong("it answers something else".to_owned())
            }
        }
    }

    /// What a key of the buyer's present visit brought about.
    fn remembered(
        &self,
        place: Place,
        key: Option<(domain::id::KeyHash, u64)>,
        as_of: u64,
    ) -> Option<Effect> {
        let (hash, body) = key?;
        let visit = self.visit_of(place)?;
        let same = |(other, of, _, batch): &&(_, u64, _, u64)| {
            *other == hash && *of == body && *batch <= as_of
        };
        visit.keys.iter().find(same).map(|(_, _, effect, _)| *effect)
    }

    fn visit_of(&self, place: Place) -> Option<&Visit> {
        self.history.entry_of(place)?.visit.map(|visit| &self.history.visits[visit])
    }

    /// A place as an answer shows it.
    fn place(&mut self, view: &PlaceView, as_of: u64) -> Judged {
        let history = &self.history;
        let Some(entry) = history.entry_of(view.place) else {
            return wrong(format!("{:?} is no place", view.place));
        };
        let (word, _) = told_word(view);
        let so = |standing: &&Standing| {
            // Counted is who stands before it at some time during the batch.
            let least = history.position(view.place.entry, **standing, as_of);
            let most = history.position(view.place.entry, **standing, as_of.saturating_sub(1));
            status_word(**standing) == word && least <= view.position && view.position <= most
        };
        if !entry.standing.during(as_of).any(|standing| so(&standing)) {
            let were: Vec<_> = entry.standing.during(as_of).collect();
            return wrong(format!("the place was {were:?}"));
        }
        self.position_told(view, (as_of, false))
    }

    fn reservation(
        &mut self,
        place: Place,
        view: &ReservationView,
        shown: &PlaceView,
        as_of: u64,
    ) -> Judged {
        let told = &view.reservation;
        let Some(known) = self.history.reservation(told.id) else {
            return wrong("there is no such reservation".to_owned());
        };
        let owner = self.history.visits[known.visit].entry;
        let same = known.seats.iter().copied().eq(told.seats()) && known.amount == told.amount().0;
        if owner != place.entry.at() || shown.place != place || !same {
            return wrong(format!("the reservation is {known:?}"));
        }
        if !known.state.during(as_of).any(|state| same_hold(*state, told.state)) {
            let were: Vec<_> = known.state.during(as_of).collect();
            return wrong(format!("the reservation was {were:?}"));
        }
        if let Some(payment) = &view.payment {
            let Some(known) = self.history.payment(payment.id) else {
                return wrong("there is no such payment".to_owned());
            };
            let pays = self.history.reservations[known.reservation].id == told.id;
            let so = known.state.during(as_of).any(|state| may_tell(*state, &payment.state));
            if !pays || !so || known.amount != payment.amount.0 {
                return wrong(format!("the payment is {known:?}"));
            }
        }
        self.place(shown, as_of)
    }

    fn refused(&self, command: &Command, refusal: &Refusal, as_of: u64) -> Judged {
        let history = &self.history;
        let during = |stage: Stage| history.stage.during(as_of).any(|other| *other == stage);
        let place = place_of(command);
        let entry = place.and_then(|place| history.entry_of(place));
        let stood = |so: &dyn Fn(&Standing) -> bool| {
            entry.is_some_and(|entry| entry.standing.during(as_of).any(so))
        };
        let sound = match refusal {
            Refusal::SaleNotOpen { opens_at } => {
                during(Stage::Scheduled) && opens_at.0 == history.opens_at_ms
            }
            Refusal::SaleClosed => during(Stage::Closed),
            Refusal::SoldOut => history.sold_out.during(as_of).any(|sold_out| *sold_out),
            Refusal::QueueFull { .. } => history.full.during(as_of).any(|full| *full),
            Refusal::UnknownPlace => entry.is_none_or(|entry| entry.joined >= as_of),
            Refusal::PlaceEnded { reason } => stood(&|s| *s == Standing::Over(*reason)),
            Refusal::NotAdmitted { position, total } => {
                let Some(place) = place else { return wrong("nobody asked".to_owned()) };
                let at = |standing: &Standing| {
                    let least = history.position(place.entry, *standing, as_of);
                    let most = history.position(place.entry, *standing, as_of.saturating_sub(1));
                    standing.is_in_line() && least <= Some(*position) && Some(*position) <= most
                };
                stood(&at) && *total >= 1
            }
            Refusal::NoSeats => count_of(command) == Some(0),
            Refusal::TooManySeats { seats_per_reservation } => {
                count_of(command).is_some_and(|count| count > *seats_per_reservation as usize)
            }
            Refusal::DuplicateSeat { seat } => seats_of(command)
                .is_some_and(|seats| seats.iter().filter(|other| *other == seat).count() > 1),
            // The simulator's halls have no wheelchair places.
            Refusal::CompanionAlone { .. } => false,
            Refusal::SeatNotFound => seats_of(command)
                .is_some_and(|seats| seats.iter().any(|seat| seat.at() >= history.seats.len())),
            Refusal::WrongPerformance => true,
            Refusal::SeatTaken { taken } => taken.iter().all(|seat| {
                history.seats[seat.at()].during(as_of).any(|owner| *owner != SeatOwner::Free)
            }),
            Refusal::GradeNotFound => best_of(command).is_some_and(|wish| history.none_suits(wish)),
            Refusal::NoAdjacentSeats { available_count, largest_adjacent } => {
                let told = (*available_count, *largest_adjacent);
                best_of(command).is_some_and(|wish| history.too_few(wish, told, as_of))
            }
            Refusal::ReservationExists { reservation } => stood(&|standing| match standing {
                Standing::Holding(id, _) | Standing::Paying(id) | Standing::Done(id) => {
                    id == reservation
                }
                Standing::Waiting
                | Standing::Away
                | Standing::Missed
                | Standing::Recalled
                | Standing::Choosing(_)
                | Standing::Over(_) => false,
            }),
            Refusal::PriceChanged { amount } => {
                if let Command::Hold { wish, expected, .. } = command {
                    let so = match wish {
                        Wish::Seats { seats, .. } => {
                            let prices = seats.iter().map(|seat| history.prices[seat.at()]);
                            prices.sum::<u64>() == amount.0
                        }
                        Wish::Best { .. } => history.may_cost(wish, amount.0),
                    };
                    so && *expected != Some(*amount)
                } else if let Command::BeginPayment { reservation, expected, .. } = command {
                    let known = history.reservation(*reservation).map(|known| known.amount);
                    known == Some(amount.0) && *expected != Some(*amount)
                } else {
                    false
                }
            }
            Refusal::ReservationNotFound => reservation_of(command).is_none_or(|id| {
                // A node may not know yet of what another has written.
                let known = history.reservation(id);
                let known = known.filter(|known| known.state.after(as_of - 1).is_some());
                let visit = known.map(|known| known.visit);
                visit.is_none() || entry.is_none_or(|entry| entry.visit != visit)
            }),
            Refusal::ReservationExpired => self.hold_was(command, as_of, |state| {
                matches!(state, HoldState::Expired | HoldState::GivenBack)
            }),
            Refusal::PaymentInProgress { payment } => {
                let known = history.payment(*payment);
                known.is_some_and(|payment| {
                    payment
                        .state
                        .during(as_of)
                        .any(|state| matches!(state, PayState::Running(_) | PayState::Unknown))
                }) && stood(&|standing| matches!(standing, Standing::Paying(_)))
            }
            Refusal::AlreadyPaid { payment } => {
                let known = history.payment(*payment).map(|payment| *payment.state.now());
                known == Some(PayState::Approved)
                    && self.hold_was(command, as_of, |state| state == HoldState::Confirmed)
            }
            Refusal::IdempotencyMismatch => match key_of(command) {
                None => false,
                Some((hash, body)) => self.place_keys(place).any(|(other, of, effect)| {
                    let kind = matches!(
                        (command, effect),
                        (Command::Hold { .. }, Effect::Held(_))
                            | (Command::BeginPayment { .. }, Effect::Paid(_))
                    );
                    other == hash && (of != body || !kind)
                }),
            },
            Refusal::SaleNotFound => history.stage.during(as_of).any(|s| *s == Stage::Nothing),
            Refusal::SaleExists => !during(Stage::Nothing) || as_of > 0,
            Refusal::WrongState
            | Refusal::NotChangeable { .. }
            | Refusal::SeatsInUse { .. }
            | Refusal::LimitOutOfRange { .. }
            | Refusal::BadPlan { .. }
            | Refusal::BadSchedule
            | Refusal::SeatNotFree { .. }
            | Refusal::PoolNotFound => place.is_none(),
            // The edge asks for a performance, and nobody settles what does not exist.
            Refusal::PerformanceRequired | Refusal::PaymentNotFound => false,
        };
        if !sound {
            let stood: Vec<_> =
                entry.into_iter().flat_map(|entry| entry.standing.during(as_of)).collect();
            return wrong(format!("there is no reason for it; the place was {stood:?}"));
        }
        self.not_remembered(command, refusal, place, as_of)
    }

    /// Who repeats a request with its key is told its effect, not a refusal.
    fn not_remembered(
        &self,
        command: &Command,
        refusal: &Refusal,
        place: Option<Place>,
        as_of: u64,
    ) -> Judged {
        let (Some((hash, body)), Some(place)) = (key_of(command), place) else { return Ok(()) };
        let Some(visit) = self.visit_of(place) else { return Ok(()) };
        let remembered = visit.keys.iter().rev().take(16).any(|(other, of, effect, batch)| {
            let kind = match effect {
                Effect::Held(_) => matches!(command, Command::Hold { .. }),
                Effect::Paid(_) => matches!(command, Command::BeginPayment { .. }),
            };
            *other == hash && *of == body && *batch < as_of && kind
        });
        match remembered {
            true => wrong(format!("its key is known, and it is refused: {refusal:?}")),
            false => Ok(()),
        }
    }

    fn place_keys(
        &self,
        place: Option<Place>,
    ) -> impl Iterator<Item = (domain::id::KeyHash, u64, Effect)> {
        let visit = place.and_then(|place| self.visit_of(place));
        visit
            .into_iter()
            .flat_map(|visit| &visit.keys)
            .map(|(hash, body, effect, _)| (*hash, *body, *effect))
    }

    fn hold_was(&self, command: &Command, as_of: u64, so: impl Fn(HoldState) -> bool) -> bool {
        let known = reservation_of(command).and_then(|id| self.history.reservation(id));
        known.is_some_and(|known| known.state.during(as_of).any(|state| so(*state)))
    }
}

/// Whether a payment that stands like this may be told like that. While the provider is asked, and
/// while nobody knows, the buyer hears that it is pending.
fn may_tell(known: PayState, told: &PaymentState) -> bool {
    match told {
        PaymentState::Running(_) | PaymentState::Unknown => {
            matches!(known, PayState::Running(_) | PayState::Unknown)
        }
        PaymentState::Approved(_) => known == PayState::Approved,
        PaymentState::Declined(_) => known == PayState::Declined,
        PaymentState::RefundDue => known == PayState::RefundDue,
        PaymentState::Refunded(_) => known == PayState::Refunded,
    }
}
