//! The operators' calls: schedule a sale or change its limits, open, pause, resume and close it,
//! keep seats back and release them, and look at it.
//!
//! Each takes an [`AdminCall`], which only a request with the admin key becomes. What is decided is
//! journalled with the request's id, so that it can be said afterwards who did what, and when.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Path, Request};
use axum::response::Response;
use domain::command::Schedule;
use domain::id::{PerformanceId, SaleId, SeatIndex};
use domain::plan::Hall;
use domain::seats::SeatCounts;
use domain::{Command, Refusal, Sale};
use engine::{Actor, Answer, Publication, Reply, SaleHandle};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Ops, json};
use crate::http::{Edge, Flaw, Problem, Utc, change_problem, state_word};
use crate::ids::{Ids, ShortId};
use crate::language::Language;
use crate::sale_file::{Fault, SaleFile, SaleFileError, read_toml};

/// Bytes of an operator's body, at most: a sale's file is written by hand.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an operator's body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// How often it is looked whether a change is published.
const PUBLISHED_LOOK: Duration = Duration::from_millis(2);
/// How many times at most; the change is durable all the same.
const PUBLISHED_LOOKS_MAX: u32 = 50;

/// An operator's request for one sale.
pub(super) struct AdminCall {
    ops: Arc<Ops>,
    language: Language,
    id: u64,
    sale: String,
    /// Whether the body is said to be TOML, and not JSON.
    in_toml: bool,
    body: Bytes,
}

impl FromRequest<Arc<Ops>> for AdminCall {
    type Rejection = Response;

    async fn from_request(mut request: Request, ops: &Arc<Ops>) -> Result<Self, Response> {
        let (language, id) = (Language::of(request.headers()), Ids.request_id());
        let refuse = |problem: Problem| problem.respond(language, ShortId::from(id));
        check_key(&request, ops).map_err(|edge| refuse(edge.into()))?;
        let sale = request.extract_parts::<Path<String>>().await;
        let Path(sale) = sale.map_err(|_| refuse(Edge::NotFound.into()))?;
        let in_toml = is_toml(request.headers());
        let body = tokio::time::timeout(BODY_WAIT, to_bytes(request.into_body(), BODY_BYTES_MAX));
        let body = match body.await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if is_too_large(&error) => {
                return Err(refuse(Edge::BodyTooLarge { bytes_max: BODY_BYTES_MAX }.into()));
            }
            Ok(Err(_)) => return Err(refuse(Flaw::BodyBroken.into())),
            Err(_) => return Err(refuse(Edge::BodyTooSlow.into())),
        };
        Ok(Self { ops: Arc::clone(ops), language, id, sale, in_toml, body })
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<http_body_util::LengthLimitError>)
}

fn is_toml(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/toml")
}

fn check_key(request: &Request, ops: &Ops) -> Result<(), Edge> {
    let given = request.headers().get(AUTHORIZATION).ok_or(Edge::AdminKeyMissing)?;
    let bearer = given.as_bytes().split_at_checked("Bearer ".len());
    match bearer {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") && ops.key.is(key) => Ok(()),
        _ => Err(Edge::AdminKeyInvalid),
    }
}

/// `PUT /admin/sales/{sale_id}`: the body is what a sale's file says, in JSON or TOML. A new
/// sale is scheduled; one that is there is changed, as far as it may be.
pub(super) async fn schedule_sale(call: AdminCall) -> Response {
    call.answer(call.schedule().await)
}

/// `GET /admin/sales/{sale_id}`: its limits and live counts.
pub(super) async fn read_sale(call: AdminCall) -> Response {
    call.answer(call.sale().map(|sale| (StatusCode::OK, SaleReport::of(&sale.publication()))))
}

/// `POST /admin/sales/{sale_id}/open`: now, before its time.
pub(super) async fn open_sale(call: AdminCall) -> Response {
    call.answer(call.command(Command::Open).await)
}

/// `POST /admin/sales/{sale_id}/pause`: nobody is admitted; those inside finish; joining goes on.
pub(super) async fn pause_sale(call: AdminCall) -> Response {
    call.answer(call.command(Command::Pause).await)
}

/// `POST /admin/sales/{sale_id}/resume`: admission goes on.
pub(super) async fn resume_sale(call: AdminCall) -> Response {
    call.answer(call.command(Command::Unpause).await)
}

/// `POST /admin/sales/{sale_id}/close`: waiting and choosing end; holds may still be paid.
pub(super) async fn close_sale(call: AdminCall) -> Response {
    call.answer(call.command(Command::Close).await)
}

/// `POST /admin/sales/{sale_id}/seats/withhold`: keeps free seats back for a pool.
pub(super) async fn withhold_seats(call: AdminCall) -> Response {
    let withhold = call.seats(|hall, named, seats| {
        let pools = (0..).zip(&hall.plan().pools);
        let wanted = named.pool.as_deref().unwrap_or_default();
        let pool = pools.into_iter().find(|(_, pool)| &***pool == wanted);
        let (pool, _) = pool.ok_or(Refusal::PoolNotFound)?;
        Ok(Command::Withhold { seats, pool })
    });
    call.answer(withhold.await)
}

/// `POST /admin/sales/{sale_id}/seats/release`: gives withheld seats free.
pub(super) async fn release_seats(call: AdminCall) -> Response {
    call.answer(call.seats(|_, _, seats| Ok(Command::Release { seats })).await)
}

/// Seats as an operator names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSeats {
    /// Where the sale has several.
    performance_id: Option<String>,
    seat_numbers: Vec<String>,
    /// Whom they are withheld for.
    pool: Option<String>,
}

/// A change that was made.
#[derive(Serialize)]
struct Changed {
    sale_id: String,
    /// The batch that it is durable with, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
}

impl AdminCall {
    fn answer<T: Serialize>(&self, outcome: Result<(StatusCode, T), Problem>) -> Response {
        match outcome {
            Ok((status, body)) => json(status, &body),
            Err(problem) => problem.respond(self.language, self.id.into()),
        }
    }

    fn sale_id(&self) -> Option<SaleId> {
        SaleId::parse(&self.sale)
    }

    fn sale(&self) -> Result<Arc<SaleHandle>, Problem> {
        let directory = self.ops.engine.directory();
        directory.sale(&self.sale).cloned().ok_or_else(|| Refusal::SaleNotFound.into())
    }

    async fn schedule(&self) -> Result<(StatusCode, Changed), Problem> {
        let unreadable = |error: SaleFileError| Problem::from(Flaw::Body(error.to_string()));
        let id = self.sale_id().ok_or_else(|| {
            Flaw::Body("a sale's id in the path is 1 to 64 of a-z, 0-9 and -".to_owned())
        })?;
        let new = if self.in_toml {
            let wrong = |fault: Fault| Problem::from(Flaw::Body(fault.to_string()));
            read_toml(&self.body, id.clone()).map_err(wrong)?
        } else {
            let new = SaleFile::from_json(&self.body).map_err(unreadable)?;
            new.schedule(id.clone()).map_err(unreadable)?
        };
        let Some(sale) = self.ops.engine.directory().sale(id.as_str()).cloned() else {
            self.ops.engine.add_sale(new, self.id).await??;
            return Ok((StatusCode::CREATED, Changed { sale_id: id.to_string(), as_of: None }));
        };
        let publication = sale.publication().clone();
        if !is_planned_as(&publication.sale, &new.schedule) {
            let changed = self.ops.engine.change_sale(new, self.id).await?;
            let hall = publication.sale.hall().map(|hall| &**hall);
            changed.map_err(|refusal| change_problem(refusal, hall))?;
            let as_of = Some(sale.publication().as_of);
            return Ok((StatusCode::OK, Changed { sale_id: id.to_string(), as_of }));
        }
        if *publication.sale.limits() == new.schedule.limits {
            let as_of = Some(publication.as_of);
            return Ok((StatusCode::OK, Changed { sale_id: id.to_string(), as_of }));
        }
        self.submit(&sale, Command::ChangeLimits(new.schedule.limits)).await
    }

    async fn command(&self, command: Command) -> Result<(StatusCode, Changed), Problem> {
        self.submit(&*self.sale()?, command).await
    }

    /// Finds the seats that the body names, and submits what is made of them.
    async fn seats(
        &self,
        command: impl FnOnce(&Hall, &NamedSeats, Vec<SeatIndex>) -> Result<Command, Refusal>,
    ) -> Result<(StatusCode, Changed), Problem> {
        let sale = self.sale()?;
        let named: NamedSeats =
            serde_json::from_slice(&self.body).map_err(|error| Flaw::Body(error.to_string()))?;
        let publication = sale.publication().clone();
        let hall = publication.sale.hall().ok_or(Refusal::SaleNotFound)?;
        let seats = named.find(hall)?;
        let command = command(hall, &named, seats)?;
        self.submit(&sale, command).await.map_err(|problem| in_names(problem, hall))
    }

    async fn submit(
        &self,
        sale: &SaleHandle,
        command: Command,
    ) -> Result<(StatusCode, Changed), Problem> {
        let request =
            engine::Request { command, actor: Actor::Operator, id: self.id, instrument: None };
        let Reply { as_of, answer } = self.ops.engine.submit(sale, request).await?;
        let (Answer::Done | Answer::Place { .. } | Answer::Reservation { .. }) = answer?;
        // Operators read their own writes: what was decided is published within 20 ms.
        for _ in 0..PUBLISHED_LOOKS_MAX {
            if sale.publication().as_of >= as_of {
                break;
            }
            tokio::time::sleep(PUBLISHED_LOOK).await;
        }
        Ok((StatusCode::OK, Changed { sale_id: sale.id().to_string(), as_of: Some(as_of) }))
    }
}

impl NamedSeats {
    fn find(&self, hall: &Hall) -> Result<Vec<SeatIndex>, Problem> {
        let performance = match &self.performance_id {
            Some(id) => PerformanceId::parse(id).and_then(|id| hall.performance(&id)),
            None if hall.plan().performances.len() > 1 => {
                return Err(Refusal::PerformanceRequired.into());
            }
            None => Some(0),
        };
        let performance = performance.ok_or(Refusal::WrongPerformance)?;
        let find = |number: &String| {
            hall.find(performance, number).ok_or_else(|| {
                let named = Some(number.clone());
                Problem::from(Refusal::SeatNotFound).tell(|fields| fields.seat_number = named)
            })
        };
        self.seat_numbers.iter().map(find).collect()
    }
}

/// Names the seats of a refusal as people do.
fn in_names(problem: Problem, hall: &Hall) -> Problem {
    let number = |seat: &SeatIndex| hall.seats()[seat.at()].number.to_string();
    match problem.refusal().cloned() {
        Some(Refusal::SeatNotFree { seats }) => {
            problem.tell(|fields| fields.taken = Some(seats.iter().map(number).collect()))
        }
        Some(Refusal::DuplicateSeat { seat }) => {
            problem.tell(|fields| fields.seat_number = Some(number(&seat)))
        }
        _ => problem,
    }
}

/// Whether the sale is the one that the schedule describes, its limits aside.
fn is_planned_as(sale: &Sale, schedule: &Schedule) -> bool {
    let same_plan = sale.hall().is_some_and(|hall| *hall.plan() == schedule.plan);
    same_plan && sale.opens_at() == schedule.opens_at && sale.closes_at() == schedule.closes_at
}

/// A sale as operators see it.
#[derive(Serialize)]
struct SaleReport {
    sale_id: Option<String>,
    state: &'static str,
    as_of: u64,
    opens_at: Utc,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Utc>,
    limits: serde_json::Map<String, serde_json::Value>,
    joined: usize,
    waiting: u32,
    missed: u32,
    admitted: u32,
    choosing: u32,
    seats: SeatReport,
    performances: Vec<PerformanceReport>,
    takings: TakingsReport,
    open_payments: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    admissions_per_second: Option<f64>,
}

#[derive(Serialize)]
struct SeatReport {
    free: u32,
    withheld: u32,
    held: u32,
    sold: u32,
}

#[derive(Serialize)]
struct PerformanceReport {
    performance_id: String,
    #[serde(flatten)]
    seats: SeatReport,
}

/// The money, in the smallest unit of the currency.
#[derive(Serialize)]
struct TakingsReport {
    currency: String,
    approved: u64,
    confirmed: u64,
    refund_due: u64,
    refunded: u64,
}

impl SaleReport {
    fn of(publication: &Publication) -> Self {
        let sale = &publication.sale;
        let plan = sale.hall().map(|hall| hall.plan());
        let takings = sale.takings();
        let limits = sale.limits().table();
        let performances = (0..).zip(plan.into_iter().flat_map(|plan| &plan.performances));
        Self {
            sale_id: sale.id().map(ToString::to_string),
            state: state_word(sale.phase(), sale.seats().counts()),
            as_of: publication.as_of,
            opens_at: Utc(sale.opens_at()),
            closes_at: sale.closes_at().map(Utc),
            limits: limits
                .into_iter()
                .map(|(name, value, ..)| (name.into(), value.into()))
                .collect(),
            joined: sale.line().joined(),
            waiting: sale.line().counted(),
            missed: sale.line().missed(),
            admitted: sale.active(),
            choosing: sale.choosing(),
            seats: sale.seats().counts().into(),
            performances: performances
                .map(|(number, performance)| PerformanceReport {
                    performance_id: performance.id.to_string(),
                    seats: sale.seats().counts_of(number).into(),
                })
                .collect(),
            takings: TakingsReport {
                currency: plan.map_or(String::new(), |plan| plan.currency.as_str().to_owned()),
                approved: takings.approved.0,
                confirmed: takings.confirmed.0,
                refund_due: takings.refund_due.0,
                refunded: takings.refunded.0,
            },
            open_payments: sale.open_payments().count(),
            admissions_per_second: publication.pace,
        }
    }
}

impl From<SeatCounts> for SeatReport {
    fn from(counts: SeatCounts) -> Self {
        let SeatCounts { free, withheld, held, sold } = counts;
        Self { free, withheld, held, sold }
    }
}
