//! The waiting line: join it, see where one stands, leave it (the use case's steps 2 and 3).

use axum::response::Response;
use domain::Command;
use domain::id::{KeyHash, Nonce, SaleId};
use domain::line::JoinKeys;
use domain::refusal::Refusal;
use domain::sale::{PlaceView, Status};
use domain::time::Timestamp;
use engine::{Answer, Directory, Publication, SaleHandle};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::House;
use super::answer::{self, Extend, JSON, NO_STORE, to_json};
use super::body::JsonBody;
use super::choice::Named;
use super::endpoint::Ask;
use super::idempotency::JoinKey;
use super::pass::{FreshToken, LatePass, QueuePass, surely};
use super::poll::Waiting;
use super::problem::Problem;
use super::time::Utc;
use super::words::{self, Sentence};
use crate::ids::{Ids, ShortId};
use crate::language::Language;

/// Where a place can be seen.
const STATUS_PATH: HeaderValue = HeaderValue::from_static("/queue/status");

/// Which line to join; nothing for the default sale, or the only one that is on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = JoinRequest, examples(json!({"date": "2026-05-01"})))]
pub(super) struct JoinBody {
    /// A date of a performance, `YYYY-MM-DD`.
    #[schema(example = "2026-05-01")]
    date: Option<String>,
    /// A performance.
    performance_id: Option<String>,
    /// A sale.
    sale_id: Option<String>,
}

/// Where a buyer stands.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueStatus, examples(json!({
    "status": "waiting",
    "position": 5,
    "total": 10,
    "message": "현재 대기 순서: 5 / 총 대기자 수: 10",
    "estimated_wait_seconds": 40,
    "poll_after_ms": 1700,
    "kept_until": "2026-05-01T10:31:00.000Z",
    "reservations_url": "/reservations/2026-05-01",
    "sale_id": "demo-hall",
    "expires_at": "2026-05-01T10:05:00.000Z",
    "expires_in_ms": 240_000,
    "server_time": "2026-05-01T10:01:00.000Z",
    "as_of": 42,
})))]
pub(super) struct PlaceBody<'a> {
    /// The queue token to use from now on; absent when the one that was sent is good for long
    /// enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// When the token to use from now on expires. The place outlives it.
    expires_at: Utc,
    /// How long that is from now.
    expires_in_ms: u64,
    /// `waiting`, `admitted` (it is your turn), `holding`, `paying`, `done` or `ended`.
    #[schema(examples("waiting"))]
    status: &'static str,
    /// 1 when it is your turn, 2 for the first who waits; null once the place is over.
    #[schema(required)]
    position: Option<u32>,
    /// 1 and all who wait.
    total: u32,
    /// For people.
    #[schema(value_type = String, examples("현재 대기 순서: 5 / 총 대기자 수: 10"))]
    message: Sentence<PlaceView>,
    /// Seconds until it is your turn, about; null while nobody can say.
    #[schema(required)]
    estimated_wait_seconds: Option<u32>,
    /// Ask again after so many milliseconds; null once the place is over.
    #[schema(required)]
    poll_after_ms: Option<u64>,
    /// Until when the place is kept, should its buyer not be seen again (`waiting`).
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_until: Option<Utc>,
    /// Where free seats are listed when it is your turn.
    reservations_url: &'a str,
    /// The sale whose line this is.
    sale_id: &'a str,
    /// Until when seats may be chosen (`admitted`).
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted_until: Option<Utc>,
    /// How long that is from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted_for_ms: Option<u64>,
    /// The reservation (`holding`, `paying`, `done`).
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<ShortId>,
    /// Until when the seats are kept without a payment (`holding`).
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<Utc>,
    /// How long that is from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_for_ms: Option<u64>,
    /// Why the place is over (`ended`): `left`, `absent`, `too_slow`, `hold_expired`, `sold_out`,
    /// `closed` or `removed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What time it is here.
    server_time: Utc,
    /// The number of the state that was read: it only grows.
    as_of: u64,
}

/// A place, and the token to show it with from now on.
pub(super) struct Shown<'a> {
    /// Whose line.
    pub(super) sale: &'a SaleHandle,
    /// A state of the sale; as good as any, for what is asked of it is not the place.
    pub(super) publication: &'a Publication,
    /// The place.
    pub(super) view: PlaceView,
    /// The batch after which it is the place.
    pub(super) as_of: u64,
    /// A fresh token, if the buyer gets one.
    pub(super) fresh: Option<&'a FreshToken>,
    /// When the token to use from now on expires.
    pub(super) expires_at: Utc,
    /// What time it is.
    pub(super) now: Timestamp,
}

impl Shown<'_> {
    /// The answer.
    pub(super) fn answer(&self, ask: &Ask, status: StatusCode) -> Response {
        let body = self.json(ask.house(), ask.language);
        answer::bytes(status, JSON, NO_STORE, body.into()).with_fresh(self.fresh)
    }

    /// The place in JSON, as every answer and event shows it.
    pub(super) fn json(&self, house: &House, language: Language) -> Vec<u8> {
        let desk = house.desks.of(self.sale, self.publication);
        let (now, view) = (self.now, &self.view);
        let (admitted_until, held_until) = match view.status {
            Status::Admitted { until } => (Some(Utc(until)), None),
            Status::Holding { until, .. } => (None, Some(Utc(until))),
            Status::Waiting { .. }
            | Status::Paying { .. }
            | Status::Done { .. }
            | Status::Ended { .. } => (None, None),
        };
        let (reservation, reason) = match view.status {
            Status::Holding { reservation, .. }
            | Status::Paying { reservation }
            | Status::Done { reservation } => (Some(reservation), None),
            Status::Ended { reason } => (None, Some(reason.as_str())),
            Status::Waiting { .. } | Status::Admitted { .. } => (None, None),
        };
        let limits = self.publication.sale.limits();
        let kept_until = matches!(view.status, Status::Waiting { .. })
            .then(|| Utc(now.plus(u64::from(limits.place_ttl) * 1000)));
        let waiting = view.position.map(|position| Waiting {
            position,
            total: view.total,
            pace: self.publication.pace,
            presence_window_s: limits.presence_window,
        });
        to_json(&PlaceBody {
            token: self.fresh.map(|fresh| fresh.text.as_str()),
            expires_at: self.expires_at,
            expires_in_ms: self.expires_at.in_ms(now),
            status: words::status(view.status),
            position: view.position,
            total: view.total,
            message: Sentence(*view, language),
            estimated_wait_seconds: waiting.and_then(|waiting| waiting.estimated_wait_seconds()),
            poll_after_ms: waiting.map(|waiting| waiting.poll_after_ms(Ids)),
            kept_until,
            reservations_url: desk.reservations_url(&self.publication.sale),
            sale_id: self.sale.id().as_str(),
            admitted_until,
            admitted_for_ms: admitted_until.map(|until| until.in_ms(now)),
            reservation_id: reservation.map(|reservation| reservation.0.into()),
            held_until,
            held_for_ms: held_until.map(|until| until.in_ms(now)),
            reason,
            server_time: Utc(now),
            as_of: self.as_of,
        })
    }
}

/// Join the line and get a queue token (step 2 of the use case).
///
/// With the token of a living place, expired or not, or with the key of an earlier join: that place
/// and a fresh token for it.
#[utoipa::path(
    post,
    path = "/queue/token",
    tag = "queue",
    security((), ("queue_token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255,
        description = "A secret with 128 random bits; the same key finds the same place again.")),
    request_body(content = Option<JoinBody>, description = "May be left out."),
    responses(
        (status = 201, description = "A new place in line.", body = PlaceBody),
        (status = 200, body = PlaceBody,
            description = "The place that the token or the key has already."),
    )
)]
pub(super) async fn join_line(
    ask: Ask,
    pass: Option<LatePass>,
    key: JoinKey,
    body: Option<JsonBody>,
) -> Result<Response, Problem> {
    let wish: JoinBody = body.as_ref().map(JsonBody::read).transpose()?.unwrap_or_default();
    let pass = pass.map(LatePass::whatever_its_age);
    let own = pass.as_ref().map(|pass| &pass.sale);
    let engine = &ask.app().engine;
    let sale = surely(ask.app(), || wish.named().sale(&engine.directory(), own)).await?;
    if let Some(pass) = pass.filter(|pass| pass.sale.id() == sale.id())
        && let Some(found) = living_place(&ask, &pass).await?
    {
        return Ok(found);
    }

    ask.house().joins.count(ask.from(), ask.came_at)?;
    is_of_no_other_sale(&engine.directory(), sale.id(), key.0)?;
    join_anew(&ask, &sale, key).await
}

async fn join_anew(ask: &Ask, sale: &SaleHandle, key: JoinKey) -> Result<Response, Problem> {
    let keys = JoinKeys { key: key.0, holder: None };
    let command = Command::Join { nonce: Nonce(Ids.nonce()), keys };
    let (as_of, answer) = ask.submit(sale, command).await?;
    let Answer::Place { view, created } = answer else { unreachable!("a join leads to a place") };
    let fresh = FreshToken::sign(ask.app(), ask.now(), sale.id(), view.place, as_of);
    let publication = sale.publication();
    let shown = Shown {
        sale,
        publication: &publication,
        view,
        as_of,
        fresh: Some(&fresh),
        expires_at: fresh.expires_at,
        now: ask.now(),
    };
    Ok(if created {
        shown.answer(ask, StatusCode::CREATED).with(LOCATION, STATUS_PATH)
    } else {
        shown.answer(ask, StatusCode::OK)
    })
}

impl JoinBody {
    fn named(&self) -> Named<'_> {
        Named {
            sale_id: self.sale_id.as_deref(),
            performance_id: self.performance_id.as_deref(),
            date: self.date.as_deref(),
        }
    }
}

/// The place that a token names, with a fresh token, unless the place is over.
async fn living_place(ask: &Ask, pass: &QueuePass) -> Result<Option<Response>, Problem> {
    let look = pass.look(ask.app()).await?;
    if look.is_over() {
        return Ok(None);
    }
    let fresh = pass.renewed(ask, look.publication.as_of);
    let shown = Shown {
        sale: &pass.sale,
        publication: &look.publication,
        view: look.view,
        as_of: look.publication.as_of,
        fresh: Some(&fresh),
        expires_at: fresh.expires_at,
        now: ask.came_at,
    };
    Ok(Some(shown.answer(ask, StatusCode::OK)))
}

/// A key names one place. Each sale knows its own keys, so the others are asked here.
fn is_of_no_other_sale(
    directory: &Directory,
    sale: &SaleId,
    key: Option<KeyHash>,
) -> Result<(), Refusal> {
    let keys = JoinKeys { key, holder: None };
    let knows = |other: &SaleHandle| {
        other.id() != sale && other.publication().sale.line().recognise(keys).is_some()
    };
    if key.is_some() && directory.sales().any(|other| knows(other)) {
        return Err(Refusal::IdempotencyMismatch);
    }
    Ok(())
}

/// Where a buyer stands (step 3 of the use case).
///
/// The end of a place can be read for a day, also with a token that has expired since.
#[utoipa::path(
    get,
    path = "/queue/status",
    tag = "queue",
    security(("queue_token" = [])),
    responses((status = 200, description = "The place.", body = PlaceBody,
        headers(("Queue-Token" = String,
            description = "A fresh token, when less than half of the old one's life is left."))))
)]
pub(super) async fn show_place(ask: Ask, pass: LatePass) -> Result<Response, Problem> {
    let (pass, look) = pass.for_reading(&ask).await?;
    let fresh = pass.fresh(&ask, &look);
    let shown = Shown {
        sale: &pass.sale,
        publication: &look.publication,
        view: look.view,
        as_of: look.publication.as_of,
        fresh: fresh.as_ref(),
        expires_at: fresh.as_ref().map_or(pass.expires_at(), |fresh| fresh.expires_at),
        now: ask.came_at,
    };
    Ok(shown.answer(&ask, StatusCode::OK))
}

/// Leave the line; a hold is released.
#[utoipa::path(
    delete,
    path = "/queue/token",
    tag = "queue",
    security(("queue_token" = [])),
    responses((status = 204, description = "The place is over."))
)]
pub(super) async fn leave_line(ask: Ask, pass: QueuePass) -> Result<Response, Problem> {
    ask.submit(&pass.sale, Command::Leave { place: pass.place }).await?;
    Ok(answer::nothing())
}
