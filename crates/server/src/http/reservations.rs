//! Free seats, and taking them (the use case's steps 1, 4 and 5).

use std::sync::Arc;

use axum::response::Response;
use domain::Command;
use domain::command::Wish;
use domain::id::{Place, ReservationId, SeatIndex};
use domain::limits::Limits;
use domain::money::Money;
use domain::plan::Hall;
use domain::refusal::Refusal;
use domain::sale::{PlaceView, Status};
use domain::seats::Seats;
use engine::{Answer, Publication};
use http::StatusCode;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alternatives::{alternatives, instead_of_best};
use super::answer::{self, Extend, JSON, NO_STORE, ascii, to_json};
use super::body::JsonBody;
use super::choice::{Named, parse_date};
use super::desk::Desk;
use super::endpoint::{Ask, QueryString, Segment};
use super::idempotency::RequestKey;
use super::pass::{QueuePass, surely};
use super::problem::{Edge, Flaw, Problem, SeatPrice};
use super::reservation::{Booking, ReservationBody};
use super::seat_list::SeatItem;
use super::time::Utc;
use super::words::{self, FreeSeats, Sentence};
use crate::ids::{Ids, ShortId};

/// Seats that are looked up by name in one request, at most: more than any limit of a sale.
const NAMES_MAX: usize = 100;

/// Which seats of a date are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct SeatsQuery {
    /// The performance, where several are on that date.
    performance_id: Option<String>,
    /// One section only.
    section: Option<String>,
}

/// How many seats of a performance are free, and to whom it is their turn, which.
#[derive(Serialize, ToSchema)]
#[schema(as = Availability, examples(json!({
    "date": "2026-05-01",
    "performance_id": "demo-hall-1",
    "available_count": 75,
    "currency": "KRW",
    "message": "예약 가능한 좌석 수: 75",
    "as_of": 42,
})))]
pub(super) struct AvailabilityBody<'a> {
    /// The local date at the venue.
    date: &'a str,
    /// Which performance.
    performance_id: &'a str,
    /// How many seats are free.
    available_count: u32,
    /// What all prices are in (ISO 4217).
    currency: &'a str,
    /// For people.
    #[schema(value_type = String, examples("예약 가능한 좌석 수: 75"))]
    message: Sentence<FreeSeats>,
    /// Where the buyer stands, if there is a token of this sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// The position in line; 1 when it is your turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    /// 1 and all who wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u32>,
    /// Until when seats may be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted_until: Option<Utc>,
    /// How long that is from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted_for_ms: Option<u64>,
    /// What time it is here; beside a deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<Utc>,
    /// The number of the state that was read: it only grows.
    as_of: u64,
    /// The free seats in plan order, for those whose turn it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<SeatItem>>)]
    available_seats: Option<NoSeats>,
}

/// Stands last in the body, for the list to be put in.
type NoSeats = [SeatItem<'static>; 0];
const LIST_END: &[u8] = b"]}";

/// The seats to hold, by their numbers or by how many. A listed seat may be sent back as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HoldRequest, examples(
    json!({"seat_number": "A1", "price": 100}),
    json!({"seat_numbers": ["A1", "A2"], "performance_id": "demo-hall-1"}),
    json!({"best": 2, "grade": "R"}),
))]
pub(super) struct HoldBody {
    /// One seat.
    #[schema(example = "A1")]
    seat_number: Option<String>,
    /// Or several, all or none.
    seat_numbers: Option<Vec<String>>,
    /// Or so many that stand beside each other, the best that are free, chosen here: those nearest to
    /// the middle of the stage, and none that would leave a single seat over where others do not.
    #[schema(example = 2)]
    best: Option<u32>,
    /// With `best`, the grade; without it the first in the plan that has so many.
    #[schema(example = "R")]
    grade: Option<String>,
    /// The date of the performance, where the sale has several dates.
    date: Option<String>,
    /// The performance, where the sale has several.
    performance_id: Option<String>,
    /// What each of the seats costs; if sent, it must be right.
    #[schema(example = 100)]
    price: Option<u64>,
    /// What all of them cost; if sent, it must be right.
    amount: Option<u64>,
}

/// Seats that are held.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldReservation)]
pub(super) struct HeldBody<'a> {
    #[serde(flatten)]
    reservation: ReservationBody<'a>,
    /// The queue token to use from now on.
    token: &'a str,
    /// What time it is here.
    server_time: Utc,
    /// The number of the state after which it is held.
    as_of: u64,
}

/// How many seats are free (step 1 of the use case); for those whose turn it is, which (step 4).
#[utoipa::path(
    get,
    path = "/reservations/{date}",
    tag = "reservations",
    security((), ("queue_token" = [])),
    params(
        ("date" = String, Path, example = "2026-05-01",
            description = "The local date at the venue, `YYYY-MM-DD`."),
        ("performance_id" = Option<String>, Query,
            description = "The performance, where several are on that date."),
        ("section" = Option<String>, Query, description = "One section only."),
    ),
    responses((status = 200, body = AvailabilityBody,
        description = "The free seats. Without a token it may be kept for a second."))
)]
pub(super) async fn list_seats(
    ask: Ask,
    date: Segment,
    QueryString(query): QueryString<SeatsQuery>,
    pass: Option<QueuePass>,
) -> Result<Response, Problem> {
    let date = parse_date(&date.0)?;
    let directory = ask.app().engine.directory();
    let named = Named { performance_id: query.performance_id.as_deref(), ..Named::default() };
    let own = pass.as_ref().map(|pass| &pass.sale);
    let listed = named.performance_on(&directory, date, own)?;

    // A token of another sale says nothing about this one; its buyer is here all the same.
    let look = match &pass {
        Some(pass) => Some(pass.look(ask.app()).await?),
        None => None,
    };
    let fresh = pass.as_ref().zip(look.as_ref()).and_then(|(pass, look)| pass.fresh(&ask, look));
    let look = look.filter(|_| own.is_some_and(|own| own.id() == listed.sale.id()));
    let publication = match &look {
        Some(look) => Arc::clone(&look.publication),
        None => Arc::clone(&listed.sale.publication()),
    };
    let desk = ask.house().desks.of(&listed.sale, &publication);
    let view = look.map(|look| look.view);
    let shown =
        Availability { publication: &publication, desk: &desk, number: listed.performance, view };
    let section = query.section.as_deref().map(|name| shown.section(name)).transpose()?;
    Ok(shown.answer(&ask, section).with_fresh(fresh.as_ref()))
}

/// The free seats of a performance, and who asks.
struct Availability<'a> {
    publication: &'a Publication,
    desk: &'a Desk,
    number: u16,
    view: Option<PlaceView>,
}

impl Availability<'_> {
    /// The number of a section.
    fn section(&self, name: &str) -> Result<u16, Problem> {
        let performance = &self.desk.hall().plan().performances[usize::from(self.number)];
        let mut sections = (0..).zip(&performance.sections);
        let found = sections.find(|(_, section)| *section.name == *name);
        found.map(|(number, _)| number).ok_or_else(|| Edge::SectionNotFound.into())
    }

    fn answer(&self, ask: &Ask, section: Option<u16>) -> Response {
        let hall = self.desk.hall();
        let prepared = self.desk.performance(self.number);
        match self.view.map(|view| view.status) {
            Some(Status::Admitted { .. } | Status::Holding { .. } | Status::Paying { .. }) => {
                let list =
                    prepared.board.list(hall, &self.publication.sale, self.publication.as_of);
                let body = self.body(ask, list.available_count, list.as_of, Some([]));
                let mut head = to_json(&body);
                head.truncate(head.len() - LIST_END.len());
                let body = prepared.board.body(list, section, head, LIST_END);
                answer::of(StatusCode::OK, JSON, NO_STORE, body)
            }
            Some(Status::Waiting { .. } | Status::Done { .. } | Status::Ended { .. }) | None => {
                let free = self.publication.sale.seats().counts_of(self.number).free;
                let body = to_json(&self.body(ask, free, self.publication.as_of, None));
                answer::public(KEPT, Some(VARIES), body)
            }
        }
    }

    fn body(
        &self,
        ask: &Ask,
        free: u32,
        as_of: u64,
        list: Option<NoSeats>,
    ) -> AvailabilityBody<'_> {
        let plan = self.desk.hall().plan();
        let admitted_until = match self.view.map(|view| view.status) {
            Some(Status::Admitted { until }) => Some(Utc(until)),
            Some(
                Status::Waiting { .. }
                | Status::Holding { .. }
                | Status::Paying { .. }
                | Status::Done { .. }
                | Status::Ended { .. },
            )
            | None => None,
        };
        let now = ask.now();
        AvailabilityBody {
            date: &self.desk.performance(self.number).date,
            performance_id: plan.performances[usize::from(self.number)].id.as_str(),
            available_count: free,
            currency: plan.currency.as_str(),
            message: Sentence(FreeSeats(free), ask.language),
            status: self.view.map(|view| words::status(view.status)),
            position: self.view.and_then(|view| view.position),
            total: self.view.map(|view| view.total),
            admitted_until,
            admitted_for_ms: admitted_until.map(|until| until.in_ms(now)),
            server_time: self.view.map(|_| Utc(now)),
            as_of,
            available_seats: list,
        }
    }
}

/// How long the count may be kept by those who keep it for all who have no token.
const KEPT: &str = "public, max-age=1";
const VARIES: &str = "accept-language, authorization";

/// Hold seats, all or none (step 5 of the use case).
///
/// Those that are named, or the best that are free and stand beside each other.
#[utoipa::path(
    post,
    path = "/reservations",
    tag = "reservations",
    security(("queue_token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255,
        description = "The same key gives the same reservation again.")),
    request_body = HoldBody,
    responses((status = 201, description = "The seats are held.", body = HeldBody,
        headers(("Location" = String, description = "Where the reservation can be read."))))
)]
pub(super) async fn hold_seats(
    ask: Ask,
    pass: QueuePass,
    key: RequestKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let wish: HoldBody = body.read()?;
    let prepare = || {
        // First, so that the sale's plan has every performance that it names.
        let directory = ask.app().engine.directory();
        // Nothing of these is kept while the command is under way: an old publication is large.
        let publication = pass.glance();
        let desk = ask.house().desks.of(&pass.sale, &publication).kept();
        let performance = wish.named().performance_of(&directory, &pass.sale, &desk)?;
        let wanted = wish.wanted(desk.hall(), performance, publication.sale.limits())?;
        let command = wish.command(pass.place, desk.hall(), performance, wanted.clone(), key)?;
        Ok::<_, Problem>((desk, wanted, command))
    };
    let (desk, wanted, command) = surely(ask.app(), prepare).await?;
    let submitted = ask.submit(&pass.sale, command).await;
    let (as_of, answer) = submitted.map_err(|problem| {
        let newest = pass.sale.publication();
        let hall = newest.sale.hall().unwrap_or(desk.hall());
        in_names(problem, hall, newest.sale.seats(), &wanted)
    })?;
    let Answer::Reservation { view, .. } = answer else { unreachable!("a hold is a reservation") };

    let fresh = pass.fresh_after(&ask, as_of);
    let now = ask.now();
    let body = HeldBody {
        reservation: Booking::of(desk.hall(), &view).body(now),
        token: fresh.as_ref().map_or(pass.token(), |fresh| &fresh.text),
        server_time: Utc(now),
        as_of,
    };
    let path = format!("/me/reservations/{}", ShortId::from(view.reservation.id.0));
    let response = answer::private(StatusCode::CREATED, &body);
    Ok(response.with(LOCATION, ascii(path)).with_fresh(fresh.as_ref()))
}

impl HoldBody {
    fn named(&self) -> Named<'_> {
        Named {
            sale_id: None,
            performance_id: self.performance_id.as_deref(),
            date: self.date.as_deref(),
        }
    }

    /// The numbers of the wanted seats, as they were sent.
    fn numbers(&self) -> Result<&[String], Problem> {
        match (&self.seat_number, &self.seat_numbers, self.best) {
            (Some(one), None, None) => Ok(std::slice::from_ref(one)),
            (None, Some(several), None) => Ok(several),
            (None, None, _) => Ok(&[]),
            (Some(_), ..) | (_, Some(_), _) => Err(Flaw::SeatsTwice.into()),
        }
    }

    /// What is wanted of a performance.
    fn wanted(&self, hall: &Hall, performance: u16, limits: &Limits) -> Result<Wish, Problem> {
        let numbers = self.numbers()?;
        if let Some(count) = self.best {
            let grade = self.grade.as_deref().map(Into::into);
            return Ok(Wish::Best { performance, count, grade });
        }
        if numbers.len() > NAMES_MAX {
            let seats_per_reservation = limits.seats_per_reservation;
            return Err(Refusal::TooManySeats { seats_per_reservation }.into());
        }
        let find = |number: &String| {
            hall.find(performance, number).ok_or_else(|| {
                let named = number.chars().take(ECHOED_CHARS).collect();
                Problem::from(Refusal::SeatNotFound).tell(|fields| fields.seat_number = Some(named))
            })
        };
        let seats = numbers.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Wish::Seats { performance: Some(performance), seats })
    }

    fn command(
        &self,
        place: Place,
        hall: &Hall,
        performance: u16,
        wish: Wish,
        key: RequestKey,
    ) -> Result<Command, Problem> {
        let id = &hall.plan().performances[usize::from(performance)].id;
        let (price, amount) = (said(self.price), said(self.amount));
        let best = said(self.best.map(u64::from));
        let what: &[u8] = if self.best.is_some() { b"best" } else { b"hold" };
        let mut asked: Vec<&[u8]> = vec![what, id.as_str().as_bytes(), &price, &amount];
        match &wish {
            Wish::Seats { .. } => asked.extend(self.numbers()?.iter().map(String::as_bytes)),
            Wish::Best { grade, .. } => {
                asked.push(&best);
                asked.extend(grade.as_deref().map(str::as_bytes));
            }
        }
        Ok(Command::Hold {
            place,
            expected: self.expected(hall, &wish),
            key: key.of(&asked),
            wish,
            reservation: ReservationId(Ids.reservation_id()),
        })
    }

    /// What the buyer expects to pay, where it was said. Where any of it is wrong, it is an amount
    /// that nothing costs, so that the rules say so in their own order.
    fn expected(&self, hall: &Hall, wish: &Wish) -> Option<Money> {
        if self.price.is_none() && self.amount.is_none() {
            return None;
        }
        let agreed = match wish {
            Wish::Seats { seats, .. } => {
                let prices = || seats.iter().map(|seat| hall.seats()[seat.at()].price);
                let right = self.price.is_none_or(|said| prices().all(|price| price.0 == said));
                right.then(|| prices().sum::<Money>().0)
            }
            // They will be of one grade, so each costs the same.
            Wish::Best { count, .. } => match self.price {
                Some(price) => price.checked_mul(u64::from(*count)),
                None => self.amount,
            },
        };
        let agreed = agreed.filter(|sum| self.amount.is_none_or(|said| said == *sum));
        Some(Money(agreed.unwrap_or(u64::MAX)))
    }
}

/// A number that may have been said, as something to compare.
pub(super) fn said(number: Option<u64>) -> Vec<u8> {
    number.map_or_else(Vec::new, |number| number.to_be_bytes().to_vec())
}

/// Characters of an unknown seat's number that are repeated to whoever sent it.
const ECHOED_CHARS: usize = 64;

/// Names the seats of a problem as people do, and finds others for those that were taken.
fn in_names(problem: Problem, hall: &Hall, seats: &Seats, wish: &Wish) -> Problem {
    let number =
        |seat: &SeatIndex| hall.seat(*seat).map_or("?".to_owned(), |seat| seat.number.to_string());
    match problem.refusal().cloned() {
        Some(Refusal::SeatTaken { taken }) => {
            let others = alternatives(hall, seats, &taken, wish.count());
            let others = others.unwrap_or_default();
            problem.tell(|fields| {
                fields.taken = Some(taken.iter().map(number).collect());
                fields.alternatives = Some(others.iter().map(number).collect());
            })
        }
        Some(Refusal::DuplicateSeat { seat } | Refusal::CompanionAlone { seat }) => {
            problem.tell(|fields| fields.seat_number = Some(number(&seat)))
        }
        Some(Refusal::NoAdjacentSeats { largest_adjacent, .. }) => {
            let others = instead_of_best(hall, seats, wish, largest_adjacent);
            let others = others.unwrap_or_default();
            problem.tell(|fields| fields.alternatives = Some(others.iter().map(number).collect()))
        }
        Some(Refusal::PriceChanged { .. }) => problem.tell(|fields| {
            let price = |seat: &SeatIndex| SeatPrice {
                seat_number: number(seat),
                price: hall.seat(*seat).map_or(0, |seat| seat.price.0),
            };
            fields.seats = match wish {
                Wish::Seats { seats, .. } => Some(seats.iter().map(price).collect()),
                Wish::Best { .. } => None,
            };
        }),
        _ => problem,
    }
    .in_currency(hall.plan().currency)
}
