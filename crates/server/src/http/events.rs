//! `GET /queue/events`: where a place stands, said by us as soon as it changes (the HTML standard,
//! section 9.2, server-sent events).
//!
//! Every event carries a whole value, so that whoever missed some is told all the same, and a stream
//! that begins anew begins with everything. What is said is what `GET /queue/status` answers.
//!
//! Deliberately absent: `Last-Event-ID`, for there is nothing to catch up with; and any promise that
//! a stream goes on. Polling says the same.

mod follower;
mod seat_changes;
mod streams;
mod text;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use domain::sale::{PlaceView, Status};
use domain::time::Timestamp;
use engine::Publication;
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::body::Frame;
use serde::Serialize;
use utoipa::ToSchema;

use self::follower::{Due, Follower, Told, differs};
use self::streams::{Room, SaleStreams};
use self::text::{COMMENT, Kind, write_event, write_retry};
use super::House;
use super::answer::{self, Extend, NO_STORE, to_json};
use super::endpoint::Ask;
use super::pass::{FreshToken, LatePass, Look, QueuePass, is_over};
use super::problem::Problem;
use super::queue::Shown;
use super::time::Utc;
use crate::app::App;
use crate::ids::Ids;
use crate::language::Language;

pub(super) use self::seat_changes::{ResetBody, SeatsBody};
pub(crate) use self::streams::Streams;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Says to proxies that keep answers back until they are whole that this one never is.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");

/// How long a client waits before it connects again when a stream breaks off.
const RETRY_MS: (u64, u64) = (2_000, 4_000);
/// The same when this node ends: the next one needs a moment to begin.
const MOVE_MS: (u64, u64) = (1_000, 6_000);
/// Seconds by which a fresh token comes before the old one has less than half its life left.
const EARLIER_S: u64 = 2;
/// Bytes of a usual event, its place in it: the first allocation is the only one.
const USUAL_BYTES: usize = 1024;

/// A fresh queue token: the data of the event `token`.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenEvent)]
pub(super) struct TokenBody<'a> {
    /// The queue token to use from now on.
    token: &'a str,
    /// When it expires. The place outlives it.
    expires_at: Utc,
    /// How long that is from now.
    expires_in_ms: u64,
    /// What time it is here.
    server_time: Utc,
}

/// This node ends or is cut off: the data of the event `move`.
#[derive(Serialize, ToSchema)]
#[schema(as = MoveEvent)]
pub(super) struct MoveBody {
    /// Connect again after so many milliseconds. The place is kept.
    reconnect_after_ms: u64,
}

/// Follow a place as it changes (step 3 of the use case, without asking again).
///
/// Server-sent events, to be read with `fetch`, for the token is in the header. First `state`, the
/// whole of `GET /queue/status`; then, each with the same body: `position`, once a second at most and
/// only when it changed, never more than a second old; `admitted` when the turn has come; `state` when
/// the status is another (`holding`, `paying`, `done`, or anything else); `ended` when the place is
/// over. After `ended`, and after a `state` that is `done`, the stream ends, and there is nothing to
/// connect again for. `token` (`TokenEvent`) brings a fresh one before the old one has less than half
/// its life left. For those whose turn it is or who hold seats: `seats`, once a second at most, which
/// seats of the sale's performances were taken and which became free (`SeatsEvent`), or that
/// everything is to be loaded anew (`SeatsResetEvent`). Load the availability after the first event,
/// then apply what is newer than it. `move` (`MoveEvent`) when this node ends or is cut off.
///
/// Each `id` is the `as_of` of its event. Something is written every 15 seconds at least, a comment
/// where there is nothing to say. A buyer whose stream can be written to is there, without asking: a
/// device that has vanished from the network is no longer there 45 seconds later at the latest, and
/// then counts as whoever stopped asking. Where there are too many streams it is `overloaded` with the
/// limit `streams`; ask `GET /queue/status` then.
#[utoipa::path(
    get,
    path = "/queue/events",
    tag = "queue",
    security(("queue_token" = [])),
    responses((status = 200, description = "The events.", body = String,
        content_type = "text/event-stream",
        headers(("Queue-Token" = String,
            description = "A fresh token, when less than half of the old one's life is left."))))
)]
pub(super) async fn follow_place(ask: Ask, pass: LatePass) -> Result<Response, Problem> {
    let (pass, look) = pass.for_reading(&ask).await?;
    let room = ask.app().streams.room()?;
    let fresh = pass.fresh(&ask, &look);
    let stream = PlaceStream::begin(&ask, &pass, &look, fresh.as_ref(), room);
    let heard = Heard(Arc::clone(&stream.follower));
    let mut response = answer::of(StatusCode::OK, EVENT_STREAM, NO_STORE, Body::new(stream));
    response.extensions_mut().insert(heard);
    Ok(response.with(ACCEL_BUFFERING, NO).with_fresh(fresh.as_ref()))
}

/// Stands beside the answer that is a stream, for whoever writes it: what has left counts as heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<Follower>);

impl Heard {
    /// `written` grows whenever the connection has written something.
    pub(crate) fn is_written_by(&self, written: &Arc<AtomicU64>) {
        self.0.is_written_by(written);
    }
}

/// The body of one stream.
struct PlaceStream {
    house: Arc<House>,
    of_sale: Arc<SaleStreams>,
    follower: Arc<Follower>,
    language: Language,
    /// When the token to use from now on expires.
    expires_at: Utc,
    /// What is handed over next, and then.
    next: Option<Bytes>,
    then: Option<Bytes>,
    /// Nothing follows.
    is_over: bool,
    _room: Room,
}

impl PlaceStream {
    fn begin(
        ask: &Ask,
        pass: &QueuePass,
        look: &Look,
        fresh: Option<&FreshToken>,
        room: Room,
    ) -> Self {
        let (house, app, now) = (Arc::clone(ask.house()), ask.app(), ask.came_at);
        let (publication, view) = (&look.publication, look.view);
        let expires_at = fresh.map_or(pass.expires_at(), |fresh| fresh.expires_at);
        let (of_sale, follower) = app.streams.follow(&pass.sale, publication, |beginning| {
            let seats = chooses(&view).then_some(beginning);
            let told = Told { view, renew_at: renew_at(app, expires_at), seats };
            Follower::new(told, now)
        });
        let mut stream = Self {
            house,
            of_sale,
            follower,
            language: ask.language,
            expires_at,
            next: None,
            then: None,
            is_over: false,
            _room: room,
        };
        let mut text = Vec::with_capacity(USUAL_BYTES);
        write_retry(&mut text, Ids.between_ms(RETRY_MS));
        stream.write_place(&mut text, Kind::State, publication, view, fresh, now);
        if matches!(view.status, Status::Ended { .. }) {
            stream.write_place(&mut text, Kind::Ended, publication, view, None, now);
        }
        stream.is_over = look.is_over();
        stream.next = Some(text.into());
        stream
    }

    /// Says what is due.
    fn say(&mut self, due: Due) {
        let now = self.house.app.engine.now();
        let publication = Arc::clone(&self.of_sale.sale.publication());
        let place = self.follower.place();
        let view = publication.sale.place(place.entry).filter(|view| view.place == place);
        let Some(view) = view else {
            // There is no such place any more, in no history that goes on.
            self.is_over = true;
            return;
        };
        let mut told = self.follower.told();
        let mut text = Vec::new();
        if due.place && differs(&view, &told.view) {
            text.reserve(USUAL_BYTES);
            let kind = kind_of(&view, &told.view);
            self.write_place(&mut text, kind, &publication, view, None, now);
            told.view = view;
        }
        if due.token {
            self.write_token(&mut text, publication.as_of, now);
            told.renew_at = renew_at(&self.house.app, self.expires_at);
        }
        if chooses(&view) {
            let known = told.seats.unwrap_or_else(|| self.of_sale.seats_beginning());
            let (events, newest) = self.of_sale.seats_after(known, publication.as_of);
            told.seats = Some(newest);
            if events.is_some() {
                self.house.app.streams.count(Kind::Seats);
            }
            self.then = events;
        } else {
            told.seats = None;
        }
        if due.farewell {
            self.write(
                &mut text,
                Kind::Move,
                publication.as_of,
                &MoveBody { reconnect_after_ms: Ids.between_ms(MOVE_MS) },
            );
            self.is_over = true;
        }
        if text.is_empty() && self.then.is_none() {
            // It was due, or is not true any more: either way the other end sees that we are here.
            text.extend_from_slice(COMMENT);
        }
        self.is_over |= is_over(&told.view);
        self.follower.tell(told);
        self.next = (!text.is_empty()).then(|| text.into());
    }

    fn write_place(
        &self,
        text: &mut Vec<u8>,
        kind: Kind,
        publication: &Publication,
        view: PlaceView,
        fresh: Option<&FreshToken>,
        now: Timestamp,
    ) {
        let shown = Shown {
            sale: &self.of_sale.sale,
            publication,
            view,
            as_of: publication.as_of,
            fresh,
            expires_at: self.expires_at,
            now,
        };
        self.house.app.streams.count(kind);
        let json = shown.json(&self.house, self.language);
        write_event(text, kind, publication.as_of, &json);
    }

    fn write_token(&mut self, text: &mut Vec<u8>, as_of: u64, now: Timestamp) {
        let sale = self.of_sale.sale.id();
        let place = self.follower.place();
        let fresh = FreshToken::sign(&self.house.app, now, sale, place, as_of);
        self.expires_at = fresh.expires_at;
        self.write(
            text,
            Kind::Token,
            as_of,
            &TokenBody {
                token: &fresh.text,
                expires_at: fresh.expires_at,
                expires_in_ms: fresh.expires_at.in_ms(now),
                server_time: Utc(now),
            },
        );
    }

    fn write(&self, text: &mut Vec<u8>, kind: Kind, as_of: u64, body: &impl Serialize) {
        self.house.app.streams.count(kind);
        write_event(text, kind, as_of, &to_json(body));
    }
}

/// Whether the free seats matter to whoever has this place.
fn chooses(view: &PlaceView) -> bool {
    match view.status {
        Status::Admitted { .. } | Status::Holding { .. } => true,
        Status::Waiting { .. }
        | Status::Paying { .. }
        | Status::Done { .. }
        | Status::Ended { .. } => false,
    }
}

/// As what a place is told that is not as it was told last.
fn kind_of(view: &PlaceView, told: &PlaceView) -> Kind {
    match (view.status, told.status) {
        (status, told) if status == told => Kind::Position,
        (Status::Admitted { .. }, Status::Waiting { .. }) => Kind::Admitted,
        (Status::Ended { .. }, _) => Kind::Ended,
        (
            Status::Waiting { .. }
            | Status::Admitted { .. }
            | Status::Holding { .. }
            | Status::Paying { .. }
            | Status::Done { .. },
            _,
        ) => Kind::State,
    }
}

/// From when on a token that expires then is to be replaced.
fn renew_at(app: &App, expires_at: Utc) -> Timestamp {
    let before_ms = (app.token_ttl_s / 2 + EARLIER_S) * 1_000;
    Timestamp(expires_at.0.0.saturating_sub(before_ms))
}

impl HttpBody for PlaceStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            let next = self.next.take().or_else(|| self.then.take());
            if let Some(next) = next {
                self.follower.hand_over();
                return Poll::Ready(Some(Ok(Frame::data(next))));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let Some(due) = self.follower.due(context.waker()) else { return Poll::Pending };
            self.say(due);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.next.is_none() && self.then.is_none()
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{EntryIndex, Nonce, Place, ReservationId};
    use domain::reservation::EndReason;

    use super::*;

    fn view(status: Status, position: Option<u32>) -> PlaceView {
        let place = Place { entry: EntryIndex(1), nonce: Nonce(2) };
        PlaceView { place, status, position, total: 10 }
    }

    #[test]
    fn what_changed_has_a_name() {
        let (waiting, away) = (Status::Waiting { away: false }, Status::Waiting { away: true });
        let admitted = |until| Status::Admitted { until: Timestamp(until) };
        let reservation = ReservationId(1);
        let holding = Status::Holding { reservation, until: Timestamp(1) };
        let ended = Status::Ended { reason: EndReason::Left };
        let table = [
            (waiting, waiting, Kind::Position),
            (waiting, admitted(1), Kind::Admitted),
            (away, admitted(1), Kind::Admitted),
            (waiting, away, Kind::State),
            (admitted(1), admitted(2), Kind::State),
            (admitted(1), holding, Kind::State),
            (holding, admitted(1), Kind::State),
            (holding, Status::Paying { reservation }, Kind::State),
            (Status::Paying { reservation }, Status::Done { reservation }, Kind::State),
            (admitted(1), away, Kind::State),
            (waiting, ended, Kind::Ended),
            (holding, ended, Kind::Ended),
        ];
        for (before, after, kind) in table {
            let (before, after) = (view(before, Some(5)), view(after, Some(4)));
            assert_eq!(kind_of(&after, &before), kind, "{before:?} {after:?}");
        }
    }
}
