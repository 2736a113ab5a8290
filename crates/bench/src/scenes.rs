//! The scenes of the rows that are compared with the floor: who stands where before the round
//! begins, what is asked in it, and what goes on beside it.
//!
//! Making a scene ready is not measured. Every round of the box office has a new one, in a new
//! directory; the floor's round beside it gets the same requests and gives the same answers.

use std::rc::Rc;

use stampede::load::Shared;

use crate::calls::{Calls, Changes, Holds, Inside, Joins, Lists, Payments, Polls};
use crate::hall::Hall;
use crate::measure::Beside;
use crate::office::{Answers, Joined, Office};
use crate::plainly::Wire;
use crate::tokens::{Texts, field};
use crate::{Fault, Plan};

/// Seats of a large hall.
pub(crate) const LARGE: u32 = 50_000;
/// And of a small one.
const SMALL: u32 = 1_000;
/// People inside one sale, at most: the highest `active_limit`.
const INSIDE_MAX: u32 = 1_000_000;
/// Performances of one sale, at most: small halls are soon full.
const PERFORMANCES_MAX: u32 = 400;
/// Those inside for the calls that go on beside the measured ones.
const EXTRAS: u32 = 10_000;
/// The sale in which everything beside happens.
const SALE: &str = "main";
/// The sale in which the floor's answers are made; its name is as long.
const SIDE: &str = "side";

/// Beside every row, in a second.
const POLLS: f64 = 1_000.0;
const JOINS: f64 = 200.0;
const HOLDS: f64 = 200.0;
const LISTS: f64 = 10.0;
/// Seats that change hands in a second while lists are read.
const CHANGES: f64 = 1_000.0;

/// A scene that is ready.
pub(crate) struct Scene {
    /// The box office.
    pub(crate) office: Office,
    /// What the floor will answer.
    pub(crate) answers: Answers,
    /// What is measured.
    pub(crate) calls: Shared<Calls>,
    /// What goes on beside it.
    pub(crate) beside: Vec<Beside>,
}

/// Holds: as many buyers inside as the round can need.
pub(crate) fn hold(plan: &Plan, rate: f64) -> Result<Scene, Fault> {
    let stage = Stage::inside(plan, rate, LARGE, 1)?;
    let end = stage.inside.tokens.len();
    let calls = Calls::Hold(Holds::new(stage.inside.clone(), 0, end));
    stage.scene(calls, &[Kind::Status, Kind::Join, Kind::List])
}

/// Holds in halls of another size, or in several sales in turn.
pub(crate) fn hold_in(plan: &Plan, rate: f64, seats: u32, sales: u32) -> Result<Scene, Fault> {
    let stage = Stage::inside(plan, rate, seats, sales)?;
    let end = stage.inside.tokens.len();
    let calls = Calls::Hold(Holds::new(stage.inside.clone(), 0, end));
    stage.scene(calls, &[])
}

/// The same for several nodes on one store: the first of them, and as many holds for each, in halls of
/// a thousand seats where there are several sales.
pub(crate) fn hold_among(
    plan: &Plan,
    rate: f64,
    (nodes, sales): (u32, u32),
) -> Result<(Office, Vec<Shared<Calls>>), Fault> {
    let seats = if sales > 1 { SMALL } else { LARGE };
    let stage = Stage::inside(plan, rate, seats, sales)?;
    let each = stage.inside.tokens.len() / nodes;
    let holds = |node| Holds::new(stage.inside.clone(), node * each, (node + 1) * each);
    let calls = (0..nodes).map(|node| Shared::new(Calls::Hold(holds(node)))).collect();
    Ok((stage.office, calls))
}

/// Payments: as many reservations as the round can need.
pub(crate) fn pay(plan: &Plan, rate: f64) -> Result<Scene, Fault> {
    let stage = Stage::inside(plan, rate, LARGE, 1)?;
    let count = stage.inside.tokens.len();
    let mut holds = stage.office.hold(stage.inside.clone(), count)?;
    let calls = Calls::Pay(Payments::new(stage.inside.clone(), holds.take_made()));
    stage.scene(calls, &[Kind::Status, Kind::Join, Kind::List])
}

/// Polls of as many buyers who wait.
pub(crate) fn status(plan: &Plan, waiting: u32) -> Result<Scene, Fault> {
    let stage = Stage::waiting(plan, waiting)?;
    let calls = Calls::Status(Polls::new(Rc::clone(&stage.joined.waiting)));
    stage.scene(calls, &[Kind::Join, Kind::Hold, Kind::List])
}

/// Joins of a line in which some wait already.
pub(crate) fn join(plan: &Plan) -> Result<Scene, Fault> {
    let stage = Stage::waiting(plan, EXTRAS)?;
    let calls = Calls::Join(Joins::new(SALE, u32::MAX));
    stage.scene(calls, &[Kind::Status, Kind::Hold, Kind::List])
}

/// Lists of a hall whose seats change hands.
pub(crate) fn seats(plan: &Plan, seats: u32) -> Result<Scene, Fault> {
    let stage = Stage::of_hall(plan, EXTRAS, Stage::hall(1, seats, EXTRAS))?;
    let tokens = Rc::clone(&stage.joined.admitted);
    let calls = Calls::List(Lists::new(SALE, tokens));
    // A small hall has fewer seats than may change at a time in a large one.
    let kinds: &[Kind] = if seats >= LARGE {
        &[Kind::Change, Kind::Status, Kind::Join]
    } else {
        &[Kind::Status, Kind::Join]
    };
    stage.scene(calls, kinds)
}

/// A kind of call that goes on beside the measured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Status,
    Join,
    List,
    Hold,
    Change,
}

/// What stands when the curtain rises.
struct Stage<'p> {
    plan: &'p Plan,
    office: Office,
    /// The first sale's.
    joined: Joined,
    inside: Inside,
}

impl<'p> Stage<'p> {
    fn hall(performances: u32, seats: u32, active_limit: u32) -> Hall {
        Hall { performances, seats, active_limit, line_capacity: 20_000_000 }
    }

    /// So many waiting behind a few inside.
    fn waiting(plan: &'p Plan, waiting: u32) -> Result<Self, Fault> {
        Self::of_hall(plan, EXTRAS + waiting, Self::hall(1, LARGE, EXTRAS))
    }

    fn of_hall(plan: &'p Plan, joins: u32, hall: Hall) -> Result<Self, Fault> {
        let office = Office::open(plan)?;
        office.schedule(SALE, &hall, true)?;
        let joined = office.join(SALE, joins)?;
        let tokens = Rc::clone(&joined.admitted);
        let inside = Inside { hall, sales: vec![SALE.to_owned()], tokens, in_turn: false };
        Ok(Self { plan, office, joined, inside })
    }

    /// So many inside as a round of this rate needs: in one sale as long as its limit allows, then
    /// in another; or in so many sales in turn.
    fn inside(plan: &'p Plan, rate: f64, seats: u32, sales: u32) -> Result<Self, Fault> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some millions at most"
        )]
        let needed = (rate * (plan.warm_up + plan.measured).as_secs_f64()).ceil() as u32 + 1_000;
        let in_turn = sales > 1;
        let most = INSIDE_MAX.min(seats * PERFORMANCES_MAX);
        let sales = sales.max(needed.div_ceil(most));
        let each = needed.div_ceil(sales);
        let hall = Self::hall(each.div_ceil(seats), seats, each);
        let office = Office::open(plan)?;
        let mut tokens = Texts::default();
        let mut names = Vec::new();
        let mut first = None;
        for number in 0..sales {
            let name = if number == 0 { SALE.to_owned() } else { format!("{SALE}{number}") };
            office.schedule(&name, &hall, number == 0)?;
            let joined = office.join(&name, each)?;
            if joined.admitted.len() != each {
                return Err(Fault(format!("{} of {each} are inside", joined.admitted.len())));
            }
            for number in 0..each {
                tokens.push(joined.admitted.get(number));
            }
            names.push(name);
            first = first.or(Some(joined));
        }
        let inside = Inside { hall, sales: names, tokens: Rc::new(tokens), in_turn };
        Ok(Self { plan, office, joined: first.expect("there is a sale"), inside })
    }

    /// The scene in which these are measured, with these kinds beside them.
    fn scene(self, calls: Calls, kinds: &[Kind]) -> Result<Scene, Fault> {
        let answers = self.answers()?;
        let mut beside = Vec::new();
        for kind in kinds {
            let calls = Shared::new(self.calls(*kind));
            // As many connections as calls come in a second, so that slow answers hold none up; they
            // are opened when they are needed.
            let (rate, connections) = match kind {
                Kind::Status => (POLLS, 1_000),
                Kind::Join => (JOINS, 200),
                Kind::Hold => (HOLDS, 200),
                Kind::List => (LISTS, 20),
                Kind::Change => (CHANGES, 1_000),
            };
            beside.push(Beside { calls, rate, connections });
        }
        Ok(Scene { office: self.office, answers, calls: Shared::new(calls), beside })
    }

    fn calls(&self, kind: Kind) -> Calls {
        match kind {
            Kind::Status => Calls::Status(Polls::new(Rc::clone(&self.joined.admitted))),
            Kind::Join => Calls::Join(Joins::new(SALE, u32::MAX)),
            Kind::List => Calls::List(Lists::new(SALE, Rc::clone(&self.joined.admitted))),
            Kind::Hold => Calls::Hold(Holds::new(self.inside.clone(), 0, self.inside.tokens.len())),
            Kind::Change => Calls::Change(Changes::new(self.inside.clone())),
        }
    }

    /// Makes every kind of call once, for the floor: those that would take a buyer or a seat from
    /// the measured ones in a small sale of their own.
    fn answers(&self) -> Result<Answers, Fault> {
        let (office, joined) = (&self.office, &self.joined);
        let answers = Answers::new(self.plan)?;
        let join = |sale: &str| {
            let body = format!("{{\"sale_id\":\"{sale}\"}}");
            office.ask("POST", "/queue/token", None, Some(&body))
        };
        answers.keep("join", &join(SALE)?, 201)?;
        let polls = if joined.waiting.len() > 0 { &joined.waiting } else { &joined.admitted };
        let status = office.ask("GET", "/queue/status", Some(polls.get(0)), None)?;
        answers.keep("status", &status, 200)?;
        let list = Lists::path(SALE);
        let list = office.ask("GET", &list, Some(joined.admitted.get(0)), None)?;
        answers.keep("seats", &list, 200)?;

        office.schedule(SIDE, &Self::hall(1, 100, 10), false)?;
        let token = join(SIDE)?;
        let token = field(token.body(), "token")
            .ok_or_else(|| Fault("a join's token".to_owned()))?
            .to_owned();
        let hold = format!("{{\"seat_number\":\"1-1\",\"performance_id\":\"{SIDE}-0\"}}");
        let held = office.ask("POST", "/reservations", Some(&token), Some(&hold))?;
        answers.keep("hold", &held, 201)?;
        let path = format!("/me/reservations/{}", reservation(&held)?);
        let given_back = office.ask("DELETE", &path, Some(&token), None)?;
        answers.keep("give-back", &given_back, given_back.status.min(299))?;
        let held = office.ask("POST", "/reservations", Some(&token), Some(&hold))?;
        let reservation = reservation(&held)?;
        let pay = format!(
            "{{\"reservation_id\":\"{reservation}\",\"payment\":{{\"method\":\"card\",\"token\":\"tok_ok\"}}}}"
        );
        answers.keep("pay", &office.ask("POST", "/payment", Some(&token), Some(&pay))?, 200)?;
        Ok(answers)
    }
}

fn reservation(held: &Wire) -> Result<String, Fault> {
    let id = field(held.body(), "reservation_id");
    let id = id.ok_or_else(|| Fault("a hold's reservation".to_owned()))?;
    Ok(String::from_utf8_lossy(id).into_owned())
}
