//! A buyer: what one person knows and does next.
//!
//! Buyers are told things and decide by that alone; they know nothing of the world. Some do as they
//! are told, others dawdle, vanish, change their minds, press twice, and ask for what cannot be.

use domain::Command;
use domain::command::{Key, Wish};
use domain::id::{EntryIndex, KeyHash, Nonce, PaymentId, Place, ReservationId, SeatIndex};
use domain::line::JoinKeys;
use domain::money::Money;
use domain::plan::Hall;
use domain::refusal::Refusal;
use domain::sale::{Sale, Status};
use domain::seats::SeatState;
use domain::time::Millis;
use engine::{Answer, Failure, Reply};

use crate::clock::Moment;
use crate::knobs::Knobs;
use crate::provider::Token;
use crate::random::Random;
use crate::trial::Trouble;
use crate::wish::has_key;

/// One wish in so many leaves it to the box office which seats are the best. The number of a wish
/// says which, so that nobody draws another number for it than before.
const LEAVES_THE_CHOICE: u64 = 5;

/// What a buyer does next.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Nothing, for so long.
    Wait(Millis),
    /// Nothing, for ever.
    Go,
    /// Asks where the place stands.
    Poll(Place),
    /// Asks for something; perhaps presses the button twice.
    Ask { ask: Ask, twice: bool },
}

/// Something to ask for, and what to pay with.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) command: Command,
    pub(crate) token: Option<Token>,
}

/// One person.
#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    random: Random,
    pub(crate) comes_at: Moment,
    /// Counts what was asked, so that an answer to something else is not taken for this one's.
    pub(crate) turn: u32,
    /// The node that was spoken to last.
    pub(crate) node: usize,
    /// The batch after which the token was made that is carried now.
    pub(crate) token_as_of: u64,
    poll_ms: Millis,
    /// Polls as told and never goes away: such a one must never lose a turn.
    pub(crate) faithful: bool,
    /// Decides quickly.
    brisk: bool,
    /// Joins, and is never heard of again.
    onlooker: bool,
    place: Option<Place>,
    join_key: Option<KeyHash>,
    status: Option<Status>,
    reservation: Option<(ReservationId, Option<Money>)>,
    /// What failed and may be asked again.
    failed: Option<Ask>,
    /// What was asked with a key and done.
    keyed: Vec<Ask>,
    /// A place of this buyer's that is over.
    former: Option<Place>,
    joins_left: u32,
    tries_left: u32,
    /// What was done that is worth counting.
    did: Vec<&'static str>,
}

impl Buyer {
    pub(crate) fn of(seed: u64, index: u32, knobs: &Knobs) -> Self {
        let mut random = Random::of(seed, "buyer", u64::from(index));
        let onlooker = index < knobs.onlookers;
        let early = random.chance(600) || onlooker;
        let comes_at = match early {
            // Everybody at the same second.
            true => knobs.opens_after.saturating_sub(1_500) + random.below(3_000),
            false => random.below(knobs.main * 7 / 10),
        };
        let faithful = random.chance(400);
        let far = u64::from(knobs.limits.presence_window) * 250;
        let poll_ms = random.between(400, 2_000.min(far));
        Self {
            comes_at: Moment(comes_at),
            turn: 0,
            node: random.index(knobs.nodes),
            token_as_of: 0,
            poll_ms: if faithful { poll_ms } else { poll_ms * random.between(1, 6) },
            faithful,
            brisk: random.chance(700),
            onlooker,
            place: None,
            join_key: random.chance(700).then(|| KeyHash(random.wide())),
            status: None,
            reservation: None,
            failed: None,
            keyed: Vec::new(),
            former: None,
            joins_left: random.between_u32(1, 3),
            tries_left: random.between_u32(1, 6),
            did: Vec::new(),
            random,
        }
    }

    /// What was done since this was asked last.
    pub(crate) fn did(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.did)
    }

    /// The next deed. `sale` is the state that the node shows, if it runs.
    pub(crate) fn next(&mut self, knobs: &Knobs, honest: bool, sale: Option<&Sale>) -> Deed {
        if knobs.nodes > 1 && self.random.chance(150) {
            self.node = self.random.index(knobs.nodes);
        }
        if let Some(ask) = self.failed.take()
            && self.random.chance(850)
        {
            let keyed = has_key(&ask.command);
            self.did.push(if keyed { "retries with the key" } else { "retries without a key" });
            return self.ask(&ask);
        }
        let may = |trouble| knobs.has(trouble) && !honest;
        let Some(place) = self.place else { return self.join() };
        if self.onlooker {
            self.did.push("looks on");
            return Deed::Go;
        }
        let Some(status) = self.status else { return Deed::Poll(place) };
        if may(Trouble::WrongTokens) && self.random.chance(40) {
            return self.with_wrong_token(place, sale);
        }
        if may(Trouble::Repeats) && !self.keyed.is_empty() && self.random.chance(120) {
            let again = self.random.pick(&self.keyed).clone();
            self.did.push("repeats what is done");
            return self.ask(&again);
        }
        if may(Trouble::Misuse) && self.random.chance(100) {
            return self.misuse(place, sale);
        }
        match status {
            Status::Ended { .. } => self.comes_back(),
            Status::Done { .. } => Deed::Go,
            _ if may(Trouble::Vanishing) && !self.faithful && self.random.chance(25) => {
                if self.random.chance(500) {
                    self.did.push("vanishes");
                    return Deed::Go;
                }
                self.did.push("goes away and comes back");
                Deed::Wait(self.random.scale(1_000, u64::from(knobs.limits.place_ttl) * 1_500))
            }
            _ if may(Trouble::Regret) && self.random.chance(8) => self.leave(place),
            Status::Waiting { .. } | Status::Paying { .. } => Deed::Poll(place),
            Status::Admitted { .. } => match sale {
                Some(sale) => self.hold(place, sale),
                None => Deed::Poll(place),
            },
            Status::Holding { reservation, .. } => {
                if may(Trouble::Regret) && self.random.chance(200) {
                    let command = Command::GiveBack { place, reservation };
                    return self.ask(&Ask { command, token: None });
                }
                self.pay(place, reservation)
            }
        }
    }

    /// How long this one thinks before the next deed.
    pub(crate) fn thinks_ms(&mut self, knobs: &Knobs, honest: bool) -> Millis {
        let dawdles = knobs.has(Trouble::Dawdling) && !honest && self.random.chance(150);
        if dawdles {
            self.did.push("dawdles");
        }
        let limits = &knobs.limits;
        match self.status {
            Some(Status::Waiting { .. } | Status::Paying { .. }) => {
                let far = if dawdles && !self.faithful { 8 } else { 1 };
                self.poll_ms * self.random.between(6, 10) / 10 * far
            }
            Some(Status::Admitted { .. }) if dawdles => {
                self.random.between(0, u64::from(limits.choose_ttl) * 1_300)
            }
            Some(Status::Holding { .. }) if dawdles => {
                self.random.between(0, u64::from(limits.hold_ttl) * 1_300)
            }
            // Whoever could not join tries again after a while.
            None if self.place.is_none() => self.random.scale(500, 8_000),
            _ if self.brisk => self.random.between(20, 600),
            _ => self.random.between(300, 2_500),
        }
    }

    /// A request was answered, or not.
    pub(crate) fn was_told(&mut self, ask: &Ask, reply: Option<&Result<Reply, Failure>>) {
        let answer = match reply {
            None | Some(Err(_)) => {
                self.failed = Some(ask.clone());
                return;
            }
            Some(Ok(reply)) => {
                if reply.answer.is_ok() {
                    self.token_as_of = reply.as_of.max(self.token_as_of);
                }
                &reply.answer
            }
        };
        match answer {
            Ok(Answer::Place { view, .. }) => {
                self.place = Some(view.place);
                self.status = Some(view.status);
            }
            Ok(Answer::Reservation { view, place }) => {
                self.status = Some(place.status);
                let reservation = &view.reservation;
                self.reservation = Some((reservation.id, Some(reservation.amount())));
            }
            Ok(Answer::Done) => {}
            Err(refusal) => self.was_refused(refusal),
        }
        if answer.is_ok() && has_key(&ask.command) {
            self.keyed.push(ask.clone());
        }
    }

    fn was_refused(&mut self, refusal: &Refusal) {
        // Any refusal is a reason to look where one stands.
        self.status = None;
        if let Refusal::SaleClosed | Refusal::SoldOut = refusal {
            self.joins_left = 0;
        } else if let Refusal::PlaceEnded { reason } = refusal {
            self.status = Some(Status::Ended { reason: *reason });
        } else if let Refusal::ReservationExists { reservation } = refusal {
            self.reservation = Some((*reservation, None));
        }
    }

    /// A poll was answered: with the place, or that there is none.
    pub(crate) fn was_shown(&mut self, status: Option<Status>) {
        self.status = status;
    }

    /// A deed came to nothing: the node could not be reached.
    pub(crate) fn tries_elsewhere(&mut self, knobs: &Knobs) {
        self.node = self.random.index(knobs.nodes);
    }

    fn join(&mut self) -> Deed {
        if self.joins_left == 0 {
            return Deed::Go;
        }
        let keys = JoinKeys { key: self.join_key, holder: None };
        let command = Command::Join { nonce: Nonce(self.random.short()), keys };
        self.ask(&Ask { command, token: None })
    }

    fn comes_back(&mut self) -> Deed {
        self.joins_left = self.joins_left.saturating_sub(1);
        self.did.push("joins anew");
        self.former = self.place;
        (self.place, self.status, self.reservation) = (None, None, None);
        self.keyed.clear();
        if self.random.chance(500) && self.join_key.is_some() {
            self.join_key = Some(KeyHash(self.random.wide()));
        }
        self.join()
    }

    fn leave(&mut self, place: Place) -> Deed {
        self.ask(&Ask { command: Command::Leave { place }, token: None })
    }

    fn key(&mut self) -> Option<Key> {
        let body = self.random.next();
        self.random.chance(700).then(|| Key { hash: KeyHash(self.random.wide()), body })
    }

    fn hold(&mut self, place: Place, sale: &Sale) -> Deed {
        let Some(hall) = sale.hall() else { return Deed::Poll(place) };
        let free: Vec<SeatIndex> = (0..hall.seats().len())
            .map(SeatIndex::after)
            .filter(|seat| sale.seats().state(*seat) == SeatState::Free)
            .collect();
        if free.is_empty() {
            return Deed::Poll(place);
        }
        let wanted = self.random.between_u32(1, sale.limits().seats_per_reservation) as usize;
        // Most want the best seats, and so the same ones.
        let most = if self.random.chance(600) { free.len().min(6) } else { free.len() };
        let first = self.random.index(most);
        let performance = hall.seats()[free[first].at()].performance;
        let beside = |seat: &&SeatIndex| hall.seats()[seat.at()].performance == performance;
        let seats: Vec<SeatIndex> =
            free[first..].iter().filter(beside).take(wanted).copied().collect();
        let amount: Money = seats.iter().map(|seat| hall.seats()[seat.at()].price).sum();
        let named = self.random.chance(500).then_some(performance);
        let says_amount = self.random.chance(500);
        let reservation = ReservationId(self.random.next());
        let (wish, amount) = if reservation.0.is_multiple_of(LEAVES_THE_CHOICE) {
            self.did.push("leaves the choice");
            leaves_the_choice(hall, seats[0], wanted, reservation)
        } else {
            (Wish::Seats { performance: named, seats }, amount)
        };
        let expected = says_amount.then_some(amount);
        let command = Command::Hold { place, wish, expected, reservation, key: self.key() };
        self.ask(&Ask { command, token: None })
    }

    fn pay(&mut self, place: Place, reservation: ReservationId) -> Deed {
        if self.tries_left == 0 {
            return Deed::Poll(place);
        }
        self.tries_left -= 1;
        let token = match self.random.below(100) {
            0..60 => Token::Approve,
            60..70 => Token::Decline,
            70..76 => Token::NoFunds,
            76..84 => Token::Slow,
            84..92 => Token::Timeout,
            92..98 => Token::Lost,
            _ => Token::Unheard,
        };
        let amount = self.reservation.filter(|(id, _)| *id == reservation);
        let command = Command::BeginPayment {
            place,
            reservation,
            payment: PaymentId(self.random.wide()),
            expected: amount.and_then(|(_, amount)| amount).filter(|_| self.random.chance(500)),
            key: self.key(),
        };
        self.ask(&Ask { command, token: Some(token) })
    }

    fn ask(&mut self, ask: &Ask) -> Deed {
        let twice = self.random.chance(100);
        Deed::Ask { ask: self.again(ask), twice }
    }

    /// The same once more, with ids that the edge makes anew for every request.
    pub(crate) fn again(&mut self, ask: &Ask) -> Ask {
        let Ask { mut command, token } = ask.clone();
        if let Command::Join { nonce, .. } = &mut command {
            *nonce = Nonce(self.random.short());
        } else if let Command::Hold { reservation, .. } = &mut command {
            *reservation = ReservationId(self.random.next());
        } else if let Command::BeginPayment { payment, .. } = &mut command {
            *payment = PaymentId(self.random.wide());
        }
        Ask { command, token }
    }

    fn with_wrong_token(&mut self, place: Place, sale: Option<&Sale>) -> Deed {
        let entry = match self.random.below(3) {
            0 => place.entry,
            1 => EntryIndex(self.random.between_u32(0, 40)),
            _ => EntryIndex(place.entry.0 + 100_000),
        };
        let wrong = match self.former.filter(|_| self.random.chance(500)) {
            Some(former) => {
                self.did.push("uses a token that is over");
                former
            }
            None => {
                self.did.push("uses somebody else's token");
                Place { entry, nonce: Nonce(place.nonce.0 ^ 1) }
            }
        };
        match self.random.below(4) {
            0 => Deed::Poll(wrong),
            1 => self.leave(wrong),
            2 => match sale {
                Some(sale) => self.hold(wrong, sale),
                None => Deed::Poll(wrong),
            },
            _ => {
                let reservation = self.reservation.map_or(ReservationId(1), |(id, _)| id);
                let command = Command::GiveBack { place: wrong, reservation };
                self.ask(&Ask { command, token: None })
            }
        }
    }

    /// Asks for what cannot be, or not now.
    fn misuse(&mut self, place: Place, sale: Option<&Sale>) -> Deed {
        let reservation = self.reservation.map_or(ReservationId(1), |(id, _)| id);
        let Some(sale) = sale else { return Deed::Poll(place) };
        match self.random.below(12) {
            0 => self.leave(place),
            1 => {
                let command = Command::GiveBack { place, reservation };
                self.ask(&Ask { command, token: None })
            }
            2 => self.pay(place, reservation),
            3 => {
                let nobodys = ReservationId(self.random.next());
                self.pay(place, nobodys)
            }
            4 => self.with_another_body(place),
            _ => {
                let mut deed = self.hold(place, sale);
                if let Deed::Ask { ask: Ask { command, .. }, .. } = &mut deed {
                    self.spoil(command, sale);
                }
                deed
            }
        }
    }

    /// Sends something else under a key that was used.
    fn with_another_body(&mut self, place: Place) -> Deed {
        let Some(mut ask) = self.keyed.pop() else { return Deed::Poll(place) };
        self.keyed.push(ask.clone());
        if let Command::Hold { key: Some(key), .. } | Command::BeginPayment { key: Some(key), .. } =
            &mut ask.command
        {
            key.body ^= 1;
        }
        self.ask(&ask)
    }

    /// Makes a wish one that cannot be granted, or that is none.
    fn spoil(&mut self, command: &mut Command, sale: &Sale) {
        let Command::Hold { wish, expected, .. } = command else { return };
        let all = sale.seats().counts().all();
        let (performance, seats) = match wish {
            Wish::Seats { performance, seats } => (performance, seats),
            Wish::Best { performance, count, grade } => {
                match self.random.below(8) {
                    0 => *count = 0,
                    1 => *count = sale.limits().seats_per_reservation + 1,
                    2 => *count = sale.limits().seats_per_reservation,
                    3 => *grade = Some("none such".into()),
                    4 => *performance = 7,
                    5 => *expected = Some(Money(1)),
                    _ => *grade = Some("VIP".into()),
                }
                return;
            }
        };
        match self.random.below(8) {
            0 => seats.clear(),
            1 => *seats = (0..sale.limits().seats_per_reservation + 1).map(SeatIndex).collect(),
            2 => seats.extend_from_within(..1),
            3 => *seats = vec![SeatIndex(all + self.random.between_u32(0, 3))],
            4 => *performance = Some(7),
            5 => *seats = vec![SeatIndex(0), SeatIndex(all - 1)],
            6 => *expected = Some(Money(1)),
            _ => *seats = vec![SeatIndex(self.random.between_u32(0, all - 1))],
        }
    }
}

/// A wish for so many seats like this one, with what they will cost if they are of its grade.
fn leaves_the_choice(
    hall: &Hall,
    seat: SeatIndex,
    wanted: usize,
    number: ReservationId,
) -> (Wish, Money) {
    let seat = &hall.seats()[seat.at()];
    let grades = &hall.plan().performances[usize::from(seat.performance)].grades;
    let any = (number.0 / LEAVES_THE_CHOICE).is_multiple_of(2);
    let wish = Wish::Best {
        performance: seat.performance,
        count: u32::try_from(wanted).expect("a few seats"),
        grade: (!any).then(|| grades[usize::from(seat.grade)].name.clone()),
    };
    (wish, std::iter::repeat_n(seat.price, wanted).sum())
}
