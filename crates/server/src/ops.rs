//! The operators' listener: health, metrics, and the calls that need the admin key.
//!
//! All its routes stand here. `/healthz` says that the process runs, `/readyz` whether it can serve
//! and else which part cannot, `/metrics` how much of what there is, for Prometheus. The calls of
//! `/admin` (`ops/admin.rs`) need the admin key (`ops/key.rs`), and what they change is journalled
//! as an operator's.

mod admin;
mod key;
mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Engine, LedgerThread};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use store::Journal;

use crate::http::{Edge, Problem};
use crate::ids::Ids;
use crate::language::Language;
pub(crate) use key::AdminKey;

/// What all operators' requests share.
pub(crate) struct Ops {
    engine: Arc<Engine>,
    journal: Arc<dyn Journal>,
    key: AdminKey,
    /// None where no ledger is kept.
    ledger: Option<Arc<LedgerThread>>,
}

impl Ops {
    pub(crate) fn new(
        engine: Arc<Engine>,
        journal: Arc<dyn Journal>,
        key: AdminKey,
        ledger: Option<Arc<LedgerThread>>,
    ) -> Self {
        Self { engine, journal, key, ledger }
    }
}

/// Every route of the operators' listener.
pub(crate) fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/admin/sales/{sale_id}", get(admin::read_sale).put(admin::schedule_sale))
        .route("/admin/sales/{sale_id}/open", post(admin::open_sale))
        .route("/admin/sales/{sale_id}/pause", post(admin::pause_sale))
        .route("/admin/sales/{sale_id}/resume", post(admin::resume_sale))
        .route("/admin/sales/{sale_id}/close", post(admin::close_sale))
        .route("/admin/sales/{sale_id}/seats/withhold", post(admin::withhold_seats))
        .route("/admin/sales/{sale_id}/seats/release", post(admin::release_seats))
        .fallback(async |request| no_such(&request, Edge::NotFound))
        .method_not_allowed_fallback(async |request| no_such(&request, Edge::MethodNotAllowed))
        .with_state(Arc::new(ops))
}

async fn healthz() -> Response {
    json(StatusCode::OK, &Health { status: "ok", trouble: None })
}

async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    match ops.engine.trouble() {
        None => json(StatusCode::OK, &Health { status: "ready", trouble: None }),
        trouble => json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "not_ready", trouble }),
    }
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let text = metrics::exposition(&ops.engine, &*ops.journal, ops.ledger.as_deref());
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn no_such(request: &axum::extract::Request, edge: Edge) -> Response {
    let request_id = Ids.request_id().into();
    Problem::from(edge).respond(Language::of(request.headers()), request_id)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// Which part cannot, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// An answer for operators, which nobody keeps.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("answers are made of what JSON can say");
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}
