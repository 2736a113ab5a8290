//! What is on: performances, and their plans.

use std::sync::Arc;

use axum::response::Response;
use domain::plan::Performance;
use engine::{Listed, Publication};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{self, JSON, to_json};
use super::choice::{find_performance, parse_date};
use super::desk::DeskGuard;
use super::endpoint::{Ask, QueryString, Segment};
use super::plan::PlanBody;
use super::problem::Problem;
use super::seat_bits::SeatBitsBody;
use super::time::Utc;
use super::words::state_word;

/// Performances in one answer, at most.
const PAGE: usize = 500;
/// How long the list and its parts may be kept.
const KEPT: &str = "public, max-age=2";
/// How long a document may be kept before it is asked for again, which costs nothing by its tag. It
/// hardly ever changes; the organiser may describe the sale anew.
pub(super) const KEPT_BY_TAG: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// How long it may be kept which seats are free.
const KEPT_FOR_A_MOMENT: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// Which performances are listed.
#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    /// Those on this date and later, `YYYY-MM-DD`.
    from: Option<String>,
    /// Those behind this performance, in the order of the list: `next` of the answer before.
    after: Option<String>,
}

/// What is on.
#[derive(Serialize, ToSchema)]
#[schema(as = Performances)]
pub(super) struct PerformancesBody<'a> {
    /// By date; 500 at most.
    performances: Vec<PerformanceBody<'a>>,
    /// Where the list goes on, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A performance.
#[derive(Serialize, ToSchema)]
#[schema(as = Performance)]
pub(super) struct PerformanceBody<'a> {
    /// Its name.
    performance_id: &'a str,
    /// The sale it belongs to.
    sale_id: &'a str,
    /// What is played.
    title: &'a str,
    /// Where.
    venue: &'a str,
    /// The local date at the venue.
    date: &'a str,
    /// When it begins.
    starts_at: Utc,
    /// The IANA name of the venue's time zone.
    time_zone: &'a str,
    /// `scheduled`, `open`, `paused`, `closed` or `sold_out`.
    #[schema(examples("open"))]
    state: &'static str,
    /// When its sale opens or opened.
    opens_at: Utc,
    /// How many seats there are.
    seat_count: u32,
    /// How many of them are free.
    available_count: u32,
    /// How many seats one reservation may have.
    seats_per_reservation: u32,
    /// The lowest price, in the currency's smallest unit.
    price_from: u64,
    /// What all prices are in (ISO 4217).
    currency: &'a str,
}

/// What is on.
#[utoipa::path(
    get,
    path = "/performances",
    tag = "performances",
    params(
        ("from" = Option<String>, Query, example = "2026-05-01",
            description = "Those on this date and later, `YYYY-MM-DD`."),
        ("after" = Option<String>, Query,
            description = "Those behind this performance, in the order of the list."),
    ),
    responses((status = 200, body = PerformancesBody,
        description = "The performances. May be kept for two seconds."))
)]
pub(super) async fn list_performances(
    ask: Ask,
    QueryString(query): QueryString<ListQuery>,
) -> Result<Response, Problem> {
    let directory = ask.app().engine.directory();
    let from = query.from.as_deref().map(parse_date).transpose()?;
    let after = query.after.as_deref().map(|id| find_performance(&directory, id)).transpose()?;
    let mut listed = directory.performances().filter(|listed| listed.sale.is_readable());
    if let Some(after) = after {
        let same = |listed: &&Listed| {
            Arc::ptr_eq(&listed.sale, &after.sale) && listed.performance == after.performance
        };
        listed.find(same);
    }
    let seen = listed
        .map(|listed| Seen::of(listed, &ask))
        .filter(|seen| from.is_none_or(|from| seen.performance().date >= from));
    let mut page: Vec<Seen<'_>> = seen.take(PAGE + 1).collect();
    let more = page.len() > PAGE;
    page.truncate(PAGE);
    let last = page.last().filter(|_| more);
    let body = PerformancesBody {
        performances: page.iter().map(|seen| seen.body()).collect(),
        next: last.map(|last| format!("/performances?after={}", last.performance().id)),
    };
    Ok(answer::public(KEPT, None, to_json(&body)))
}

/// One performance.
#[utoipa::path(
    get,
    path = "/performances/{performance_id}",
    tag = "performances",
    params(("performance_id" = String, Path, description = "The performance.")),
    responses((status = 200, body = PerformanceBody,
        description = "The performance. May be kept for two seconds."))
)]
pub(super) async fn show_performance(ask: Ask, id: Segment) -> Result<Response, Problem> {
    let directory = ask.app().engine.directory();
    let seen = Seen::of(find_performance(&directory, &id.0)?, &ask);
    Ok(answer::public(KEPT, None, to_json(&seen.body())))
}

/// The plan of a performance: sections, rows, seats with coordinates, grades and prices.
#[utoipa::path(
    get,
    path = "/performances/{performance_id}/plan",
    tag = "performances",
    params(
        ("performance_id" = String, Path, description = "The performance."),
        ("If-None-Match" = Option<String>, Header,
            description = "The tag of the plan that is known already."),
    ),
    responses(
        (status = 200, description = "The plan. It hardly ever changes; its tag does when it does.", body = PlanBody,
            headers(("ETag" = String, description = "A strong tag."))),
        (status = 304, description = "It is known already."),
    )
)]
pub(super) async fn show_plan(ask: Ask, id: Segment) -> Result<Response, Problem> {
    let directory = ask.app().engine.directory();
    let listed = find_performance(&directory, &id.0)?;
    let desk = ask.house().desks.of(&listed.sale, &listed.sale.publication()).kept();
    let plan = desk.plan(listed.performance).await;
    Ok(plan.document.answer(&ask.headers, JSON, KEPT_BY_TAG))
}

/// Which seats of a performance are free, as bits: small enough to be asked for again and again.
///
/// At most a second old when it is sent, however many ask, and it may be kept for another second.
/// `plan` says to which plan the bits belong; it is the `plan` of that plan. Whoever follows the
/// `seats` events of `GET /queue/events` goes on from here.
#[utoipa::path(
    get,
    path = "/performances/{performance_id}/availability",
    tag = "performances",
    params(
        ("performance_id" = String, Path, description = "The performance."),
        ("If-None-Match" = Option<String>, Header,
            description = "The tag of what is known already."),
    ),
    responses(
        (status = 200, description = "The free seats.", body = SeatBitsBody,
            headers(("ETag" = String, description = "A weak tag of what is said, `as_of` aside."))),
        (status = 304, description = "It is known already."),
    )
)]
pub(super) async fn show_availability(ask: Ask, id: Segment) -> Result<Response, Problem> {
    let directory = ask.app().engine.directory();
    let listed = find_performance(&directory, &id.0)?;
    let publication = Arc::clone(&listed.sale.publication());
    let desk = ask.house().desks.of(&listed.sale, &publication).kept();
    let plan = desk.plan(listed.performance).await;
    let bits = desk.performance(listed.performance).bits.newest(
        desk.hall(),
        &plan.version,
        (&publication.sale, publication.as_of),
        ask.came_at,
    );
    Ok(bits.document.answer(&ask.headers, JSON, KEPT_FOR_A_MOMENT))
}

/// A performance and the newest state of its sale.
struct Seen<'d> {
    listed: &'d Listed,
    publication: Arc<Publication>,
    desk: DeskGuard,
}

impl<'d> Seen<'d> {
    fn of(listed: &'d Listed, ask: &Ask) -> Self {
        let publication = Arc::clone(&listed.sale.publication());
        let desk = ask.house().desks.of(&listed.sale, &publication);
        Self { listed, publication, desk }
    }

    fn performance(&self) -> &Performance {
        let hall = self.publication.sale.hall().expect("what is listed is scheduled");
        &hall.plan().performances[usize::from(self.listed.performance)]
    }

    fn body(&self) -> PerformanceBody<'_> {
        let Self { listed, publication, desk } = self;
        let sale = &publication.sale;
        let prepared = desk.performance(listed.performance);
        let counts = sale.seats().counts_of(listed.performance);
        let performance = self.performance();
        PerformanceBody {
            performance_id: performance.id.as_str(),
            sale_id: listed.sale.id().as_str(),
            title: &performance.title,
            venue: &performance.venue,
            date: &prepared.date,
            starts_at: Utc(performance.starts_at),
            time_zone: &desk.hall().plan().time_zone,
            state: state_word(sale.phase(), counts),
            opens_at: Utc(sale.opens_at()),
            seat_count: counts.all(),
            available_count: counts.free,
            seats_per_reservation: sale.limits().seats_per_reservation,
            price_from: prepared.price_from,
            currency: desk.hall().plan().currency.as_str(),
        }
    }
}
