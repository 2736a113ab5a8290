//! The operators' calls: schedule a sale or change its limits, open, pause, resume and close it,
//! keep seats back and release them (`ops/seats.rs` finds them), and look at it, or at all of them.
//!
//! Each takes an [`AdminCall`], which only a request with the admin key becomes. What is decided is
//! journalled with the request's id and what the operator says of it (`ops/warrant.rs`), so that it
//! can be said afterwards who did what, when, and why.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Path, Request};
use axum::response::Response;
use domain::command::Schedule;
use domain::id::SaleId;
use domain::limits::Limits;
use domain::plan::Hall;
use domain::seats::SeatCounts;
use domain::{Command, Refusal, Sale};
use engine::{Answer, Publication, Reply, SaleHandle, Warrant};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::seats::{NamedSeats, in_names};
use super::{Ops, json, warrant};
use crate::http::{Edge, Flaw, Problem, Utc, absent, change_problem, readable, state_word};
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

/// How long an operator's call waits for what other nodes have written; then it is answered by what is
/// known here.
const CONFIRMED_WAIT: Duration = Duration::from_secs(1);

/// An operator's request for one sale, or for all of them.
pub(super) struct AdminCall {
    ops: Arc<Ops>,
    language: Language,
    id: u64,
    /// Who asks, and why.
    warrant: Option<Box<Warrant>>,
    /// As the path names it; empty where it names none.
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
        let warrant = warrant::of(request.headers()).map_err(|flaw| refuse(flaw.into()))?;
        let sale = request.extract_parts::<Option<Path<String>>>().await;
        let sale = sale.map_err(|_| refuse(Edge::NotFound.into()))?;
        let sale = sale.map(|Path(sale)| sale).unwrap_or_default();
        let in_toml = is_toml(request.headers());
        let body = tokio::time::timeout(BODY_WAIT, to_bytes(request.into_body(), BODY_BYTES_MAX));
        let body = match body.await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if is_too_large(&error) => {
                return Err(refuse(Edge::BodyTooLarge { bytes_max: BODY_BYTES_MAX }.into()));
            }
            Ok(Err(_)) => return Err(refuse(Flaw::BodyBroken.into())),
            Err(_) => return Err(refuse(Edge::BodyTooSlow { wait_s: BODY_WAIT.as_secs() }.into())),
        };
        let _late = tokio::time::timeout(CONFIRMED_WAIT, ops.engine.confirmed()).await;
        Ok(Self { ops: Arc::clone(ops), language, id, warrant, sale, in_toml, body })
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

/// `GET /admin/sales`: every sale that can be read here, as [`read_sale`] shows each.
pub(super) async fn list_sales(call: AdminCall) -> Response {
    let directory = call.ops.engine.directory();
    let sales = directory.sales().filter(|sale| sale.is_readable());
    let sales = sales.map(|sale| SaleReport::of(&sale.publication())).collect();
    call.answer(Ok((StatusCode::OK, SaleList { sales })))
}

/// `PATCH /admin/sales/{sale_id}/limits`: those that the body names; the others stay.
pub(super) async fn change_limits(call: AdminCall) -> Response {
    call.answer(call.limits().await)
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
    let withhold = call.seats(|sale, hall, named| {
        let (pool, seats) = (named.pool(hall)?, named.find(sale, hall)?);
        Ok((seats.len(), Command::Withhold { seats, pool }))
    });
    call.answer(withhold.await)
}

/// `POST /admin/sales/{sale_id}/seats/release`: gives withheld seats free.
pub(super) async fn release_seats(call: AdminCall) -> Response {
    let release = call.seats(|sale, hall, named| {
        let seats = named.find_withheld(sale, hall)?;
        Ok((seats.len(), Command::Release { seats }))
    });
    call.answer(release.await)
}

/// A change that was made.
#[derive(Serialize)]
struct Changed {
    sale_id: String,
    /// The batch that it is durable with, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
    /// How many seats it concerns, if it is about seats.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<usize>,
}

impl Changed {
    fn new(sale_id: &SaleId, as_of: Option<u64>) -> Self {
        Self { sale_id: sale_id.to_string(), as_of, seats: None }
    }
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
        let sale = directory.sale(&self.sale);
        let sale = sale.ok_or_else(|| absent(&directory, Refusal::SaleNotFound))?;
        readable(sale)?;
        Ok(Arc::clone(sale))
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
            self.ops.engine.add_sale(new, self.id, self.warrant.clone()).await??;
            return Ok((StatusCode::CREATED, Changed::new(&id, None)));
        };
        readable(&sale)?;
        let _one_at_a_time = self.ops.changing_limits.lock().await;
        let publication = sale.publication().clone();
        if !is_planned_as(&publication.sale, &new.schedule) {
            let changed = self.ops.engine.change_sale(new, self.id, self.warrant.clone()).await?;
            let hall = publication.sale.hall().map(|hall| &**hall);
            changed.map_err(|refusal| change_problem(refusal, hall))?;
            let as_of = Some(sale.publication().as_of);
            return Ok((StatusCode::OK, Changed::new(&id, as_of)));
        }
        if *publication.sale.limits() == new.schedule.limits {
            return Ok((StatusCode::OK, Changed::new(&id, Some(publication.as_of))));
        }
        self.submit(&sale, Command::ChangeLimits(new.schedule.limits)).await
    }

    async fn command(&self, command: Command) -> Result<(StatusCode, Changed), Problem> {
        self.submit(&*self.sale()?, command).await
    }

    async fn limits(&self) -> Result<(StatusCode, Changed), Problem> {
        let sale = self.sale()?;
        let named: BTreeMap<String, u32> =
            serde_json::from_slice(&self.body).map_err(|error| Flaw::Body(error.to_string()))?;
        // What is not named stays as it is now, so nobody else changes them meanwhile.
        let _one_at_a_time = self.ops.changing_limits.lock().await;
        let publication = sale.publication().clone();
        let mut limits = *publication.sale.limits();
        for (name, value) in &named {
            if !limits.set(name, *value) {
                return Err(Flaw::Body(no_such_limit(name)).into());
            }
        }
        if limits == *publication.sale.limits() {
            return Ok((StatusCode::OK, Changed::new(sale.id(), Some(publication.as_of))));
        }
        self.submit(&sale, Command::ChangeLimits(limits)).await
    }

    /// Submits what is made of the seats that the body names.
    async fn seats(
        &self,
        command: impl FnOnce(&Sale, &Hall, &NamedSeats) -> Result<(usize, Command), Problem>,
    ) -> Result<(StatusCode, Changed), Problem> {
        let sale = self.sale()?;
        let named: NamedSeats =
            serde_json::from_slice(&self.body).map_err(|error| Flaw::Body(error.to_string()))?;
        let publication = sale.publication().clone();
        let hall = publication.sale.hall().ok_or(Refusal::SaleNotFound)?;
        let command = command(&publication.sale, hall, &named);
        let (count, command) = command.map_err(|problem| in_names(problem, hall))?;
        let changed = self.submit(&sale, command).await;
        let (status, changed) = changed.map_err(|problem| in_names(problem, hall))?;
        Ok((status, Changed { seats: Some(count), ..changed }))
    }

    async fn submit(
        &self,
        sale: &SaleHandle,
        command: Command,
    ) -> Result<(StatusCode, Changed), Problem> {
        let request = engine::Request::operator(command, self.id, self.warrant.clone());
        let Reply { as_of, answer } = self.ops.engine.submit(sale, request).await?;
        let (Answer::Done | Answer::Place { .. } | Answer::Reservation { .. }) = answer?;
        // Operators read their own writes: what was decided is published within 20 ms.
        for _ in 0..PUBLISHED_LOOKS_MAX {
            if sale.publication().as_of >= as_of {
                break;
            }
            tokio::time::sleep(PUBLISHED_LOOK).await;
        }
        Ok((StatusCode::OK, Changed::new(sale.id(), Some(as_of))))
    }
}

/// What is said of a limit that there is not.
pub(crate) fn no_such_limit(name: &str) -> String {
    let limits = Limits::default().table();
    let names: Vec<&str> = limits.iter().map(|(name, ..)| *name).collect();
    format!("there is no limit {name:?}; the limits are {}", names.join(", "))
}

/// Whether the sale is the one that the schedule describes, its limits aside.
fn is_planned_as(sale: &Sale, schedule: &Schedule) -> bool {
    let same_plan = sale.hall().is_some_and(|hall| *hall.plan() == schedule.plan);
    same_plan && sale.opens_at() == schedule.opens_at && sale.closes_at() == schedule.closes_at
}

/// All sales as operators see them.
#[derive(Serialize)]
struct SaleList {
    sales: Vec<SaleReport>,
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
