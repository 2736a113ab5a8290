//! A buyer's own reservations: read them, give one back.

use axum::response::Response;
use domain::Command;
use domain::id::{EntryIndex, ReservationId};
use domain::refusal::Refusal;
use engine::{Answer, Publication};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{self, Extend};
use super::endpoint::{Ask, Segment};
use super::pass::{LatePass, Reader, newest};
use super::problem::Problem;
use super::queue::{PlaceBody, Shown};
use super::reservation::{Booking, ReservationBody, bookings};
use super::time::Utc;
use crate::ids::parse_short;

/// A buyer's reservations.
#[derive(Serialize, ToSchema)]
#[schema(as = Reservations)]
pub(super) struct ReservationsBody<'a> {
    /// The newest first.
    reservations: Vec<ReservationBody<'a>>,
    /// What time it is here.
    server_time: Utc,
    /// The number of the state that was read.
    as_of: u64,
}

/// One of a buyer's reservations.
#[derive(Serialize, ToSchema)]
#[schema(as = OneReservation)]
pub(super) struct OneReservationBody<'a> {
    #[serde(flatten)]
    reservation: ReservationBody<'a>,
    /// What time it is here.
    server_time: Utc,
    /// The number of the state that was read.
    as_of: u64,
}

/// The buyer's reservations.
///
/// An expired token serves as long as one of them lives.
#[utoipa::path(
    get,
    path = "/me/reservations",
    tag = "reservations",
    security(("queue_token" = [])),
    responses((status = 200, description = "The reservations.", body = ReservationsBody))
)]
pub(super) async fn list_reservations(ask: Ask, pass: LatePass) -> Result<Response, Problem> {
    let pass = pass.with_reservation(ask.app()).await?;
    let look = pass.look(ask.app()).await?;
    let now = ask.now();
    let own = bookings(&look.publication.sale, pass.place.entry);
    let body = ReservationsBody {
        reservations: own.map(|booking| booking.body(now)).collect(),
        server_time: Utc(now),
        as_of: look.publication.as_of,
    };
    let response = answer::private(StatusCode::OK, &body);
    Ok(response.with_fresh(pass.fresh(&ask, &look).as_ref()))
}

/// One of the buyer's reservations; also with its tickets token.
#[utoipa::path(
    get,
    path = "/me/reservations/{reservation_id}",
    tag = "reservations",
    security(("queue_token" = []), ("tickets_token" = [])),
    params(("reservation_id" = String, Path, description = "The reservation.")),
    responses((status = 200, description = "The reservation.", body = OneReservationBody))
)]
pub(super) async fn show_reservation(
    ask: Ask,
    reader: Reader,
    id: Segment,
) -> Result<Response, Problem> {
    read_own(&ask, reader, &id, |publication, booking| {
        let now = ask.now();
        let (reservation, as_of) = (booking.body(now), publication.as_of);
        let body = OneReservationBody { reservation, server_time: Utc(now), as_of };
        Ok(answer::private(StatusCode::OK, &body))
    })
    .await
}

/// What is told of a reservation to whoever may read it: its buyer in line, or the holder of its
/// tickets token.
///
/// # Errors
/// `reservation_not_found` for somebody else's, what is wrong with the token, and what `tell` says.
pub(super) async fn read_own(
    ask: &Ask,
    reader: Reader,
    id: &Segment,
    tell: impl FnOnce(&Publication, &Booking<'_>) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let id = parse_short(&id.0).map(ReservationId).ok_or(Refusal::ReservationNotFound)?;
    let tell = |publication: &Publication, entry: EntryIndex| {
        let mut own = bookings(&publication.sale, entry);
        let booking = own.find(|booking| booking.reservation.id == id);
        tell(publication, &booking.ok_or(Refusal::ReservationNotFound)?)
    };
    match reader {
        Reader::Buyer(pass) => {
            let pass = pass.with_reservation(ask.app()).await?;
            let look = pass.look(ask.app()).await?;
            let response = tell(&look.publication, pass.place.entry)?;
            Ok(response.with_fresh(pass.fresh(ask, &look).as_ref()))
        }
        Reader::Holder { sale, entry, reservation } if reservation == id => {
            let publication = newest(&sale, entry).await?;
            tell(&publication, entry)
        }
        Reader::Holder { .. } => Err(Refusal::ReservationNotFound.into()),
    }
}

/// Give the seats of a reservation back, to choose again while the turn lasts.
#[utoipa::path(
    delete,
    path = "/me/reservations/{reservation_id}",
    tag = "reservations",
    security(("queue_token" = [])),
    params(("reservation_id" = String, Path, description = "The reservation.")),
    responses((status = 200, body = PlaceBody,
        description = "The seats are free again; where the buyer stands now."))
)]
pub(super) async fn give_back_seats(
    ask: Ask,
    pass: LatePass,
    id: Segment,
) -> Result<Response, Problem> {
    let pass = pass.with_reservation(ask.app()).await?;
    let id = parse_short(&id.0).ok_or(Refusal::ReservationNotFound)?;
    let command = Command::GiveBack { place: pass.place, reservation: ReservationId(id) };
    let (as_of, answer) = ask.submit(&pass.sale, command).await?;
    let Answer::Reservation { place, .. } = answer else { unreachable!("of a reservation") };
    let fresh = pass.fresh_after(&ask, as_of);
    let publication = pass.sale.publication();
    let shown = Shown {
        sale: &pass.sale,
        publication: &publication,
        view: place,
        as_of,
        fresh: fresh.as_ref(),
        expires_at: fresh.as_ref().map_or(pass.expires_at(), |fresh| fresh.expires_at),
        now: ask.now(),
    };
    Ok(shown.answer(&ask, StatusCode::OK))
}
