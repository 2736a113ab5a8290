//! The buyers' calls: which there are, and what each may be refused with.
//!
//! All routes stand in one table, each with its operation id, which is its handler's name. What the
//! calls mean is in `openapi.json`, which is written from the handlers and this table; it is served
//! at `/openapi.json` and, for people, at `/docs`.
//!
//! Deliberately absent: rules (`domain` decides), layers of middleware (`endpoint` is the only
//! wrapper), and sessions (a token says all).

mod alternatives;
mod answer;
mod body;
mod choice;
mod desk;
mod docs;
mod document;
mod endpoint;
mod events;
#[cfg(test)]
mod fixture;
mod health;
mod idempotency;
mod joins;
mod json;
mod me;
mod meters;
mod openapi;
mod pages;
mod pass;
mod payment;
mod performances;
mod plan;
mod poll;
mod problem;
mod queue;
mod reservation;
mod reservations;
mod seat_bits;
mod seat_list;
mod ticket_sheet;
mod tickets;
mod time;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};

use self::desk::Desks;
use self::docs::Documents;
use self::endpoint::{Ask, Endpoint};
use self::joins::JoinLimiter;
use self::pages::Pages;
use crate::app::App;

pub(crate) use self::choice::{absent, readable};
pub(crate) use self::events::{Heard, Streams};
pub(crate) use self::joins::{ClientAddress, JoinLimit};
pub(crate) use self::meters::HttpMeters;
pub(crate) use self::problem::{Edge, Flaw, Problem, bad_plan, change_problem};
pub(crate) use self::time::Utc;
pub(crate) use self::words::state_word;

/// What is prepared for all requests.
struct House {
    app: Arc<App>,
    desks: Desks,
    joins: JoinLimiter,
    documents: Documents,
    pages: Pages,
}

/// One route: what it answers, and by which codes it may be refused.
struct Route {
    method: &'static str,
    path: &'static str,
    operation_id: &'static str,
    codes: &'static [&'static str],
    /// The handler, as the route of that number.
    handler: fn(usize) -> MethodRouter<Arc<House>>,
}

/// The method of a route and its path, by its number; none for what no route takes.
fn named(route: usize) -> (&'static str, Option<&'static str>) {
    let found = ROUTES.get(route);
    let method = match found.map(|route| route.method) {
        Some("get") => "GET",
        Some("post") => "POST",
        Some("delete") => "DELETE",
        Some(_) | None => "_OTHER",
    };
    (method, found.map(|route| route.path))
}

/// Whether a route, by its number, reads what other nodes may write: whatever may be unavailable.
fn reads_state(route: usize) -> bool {
    let found = ROUTES.get(route).filter(|route| route.method == "get");
    found.is_some_and(|route| route.codes.contains(&"unavailable"))
}

macro_rules! routes {
    ($($method:ident $path:literal $module:ident::$handler:ident [$($code:ident)*])+) => {
        const ROUTES: &[Route] = &[$(
            Route {
                method: stringify!($method),
                path: $path,
                operation_id: stringify!($handler),
                codes: &[$(stringify!($code)),*],
                handler: |route| $method(Endpoint { handler: $module::$handler, route }),
            },
        )+];
    };
}

routes! {
    get    "/performances"                       performances::list_performances
           [malformed_request performance_not_found unavailable]
    get    "/performances/{performance_id}"      performances::show_performance
           [performance_not_found unavailable]
    get    "/performances/{performance_id}/plan" performances::show_plan
           [performance_not_found unavailable]
    get    "/performances/{performance_id}/availability" performances::show_availability
           [performance_not_found unavailable]
    get    "/reservations/{date}"                reservations::list_seats
           [malformed_request token_invalid token_expired performance_not_found section_not_found
            date_ambiguous unavailable]
    post   "/queue/token"                        queue::join_line
           [malformed_request idempotency_key_weak token_invalid sale_not_open sale_not_found
            performance_not_found date_ambiguous queue_full sale_closed sold_out body_too_large
            body_too_slow unsupported_media_type performance_required wrong_performance
            idempotency_mismatch rate_limited overloaded unavailable outcome_unknown]
    get    "/queue/status"                       queue::show_place
           [token_missing token_invalid token_expired unavailable]
    get    "/queue/events"                       events::follow_place
           [token_missing token_invalid token_expired overloaded unavailable]
    delete "/queue/token"                        queue::leave_line
           [token_missing token_invalid token_expired payment_in_progress overloaded unavailable
            outcome_unknown]
    post   "/reservations"                       reservations::hold_seats
           [malformed_request token_missing token_invalid token_expired not_admitted seat_not_found
            performance_not_found seat_taken reservation_exists price_changed place_ended
            body_too_large body_too_slow unsupported_media_type no_seats too_many_seats duplicate_seat
            companion_alone performance_required wrong_performance idempotency_mismatch overloaded
            unavailable outcome_unknown]
    get    "/me/reservations"                    me::list_reservations
           [token_missing token_invalid token_expired unavailable]
    get    "/me/reservations/{reservation_id}"   me::show_reservation
           [token_missing token_invalid token_expired reservation_not_found unavailable]
    get    "/me/reservations/{reservation_id}/tickets" ticket_sheet::show_tickets
           [token_missing token_invalid token_expired reservation_not_found wrong_state
            payment_in_progress reservation_expired unavailable]
    delete "/me/reservations/{reservation_id}"   me::give_back_seats
           [token_missing token_invalid token_expired not_admitted reservation_not_found
            payment_in_progress already_paid reservation_expired place_ended overloaded unavailable
            outcome_unknown]
    post   "/payment"                            payment::pay_reservation
           [malformed_request token_missing token_invalid token_expired payment_declined
            not_admitted reservation_not_found already_paid price_changed reservation_expired
            place_ended body_too_large body_too_slow unsupported_media_type idempotency_mismatch
            overloaded
            unavailable outcome_unknown]
    get    "/payments/{payment_id}"              payment::show_payment
           [token_missing token_invalid token_expired payment_not_found unavailable]
    get    "/openapi.json"                       docs::show_openapi []
    get    "/docs"                               docs::show_docs []
    get    "/docs.css"                           docs::show_docs_style []
    get    "/healthz"                            health::show_health []
    get    "/readyz"                             health::show_readiness []
    get    "/"                                   pages::show_front_page []
    get    "/waiting"                            pages::show_waiting_page []
    get    "/seats"                              pages::show_seats_page []
    get    "/pay"                                pages::show_pay_page []
    get    "/tickets"                            pages::show_tickets_page []
    get    "/web/{file}"                         pages::show_page_file [not_found]
}

/// The public listener's routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let house = Arc::new(House {
        joins: JoinLimiter::new(app.join_limit),
        app,
        desks: Desks::default(),
        documents: Documents::new(),
        pages: Pages::new(),
    });
    ROUTES
        .iter()
        .enumerate()
        .fold(Router::new(), |router, (number, route)| {
            router.route(route.path, (route.handler)(number))
        })
        .method_not_allowed_fallback(Endpoint { handler: refuse_method, route: meters::UNKNOWN })
        .fallback(Endpoint { handler: refuse_path, route: meters::UNKNOWN })
        .with_state(house)
}

async fn refuse_method(_: Ask) -> Result<Response, Problem> {
    Err(Edge::MethodNotAllowed.into())
}

async fn refuse_path(_: Ask) -> Result<Response, Problem> {
    Err(Edge::NotFound.into())
}

#[cfg(test)]
mod tests;
