//! Whether this node lives and can serve, for whoever spreads requests over nodes. Bare: the
//! operator's listener says which part cannot.

use axum::response::Response;
use http::{HeaderValue, StatusCode};

use super::answer::{self, NO_STORE};
use super::endpoint::Ask;
use super::problem::Problem;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Whether the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain"))
)]
pub(super) async fn show_health(_: Ask) -> Result<Response, Problem> {
    Ok(answer::bytes(StatusCode::OK, TEXT, NO_STORE, "ok\n".into()))
}

/// Whether this node can serve buyers now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It can.", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot.", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn show_readiness(ask: Ask) -> Result<Response, Problem> {
    let (status, text) = match ask.app().engine.trouble() {
        None => (StatusCode::OK, "ready\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    Ok(answer::bytes(status, TEXT, NO_STORE, text.into()))
}
