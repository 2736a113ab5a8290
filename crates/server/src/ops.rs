//! The operators' listener: health, metrics, and the calls that need the admin key.
//!
//! All its routes stand here. `/healthz` says that the process runs, `/readyz` whether it can serve
//! and else which part cannot, `/metrics` how much of what there is, for Prometheus. The calls of
//! `/admin` (`ops/admin.rs`) need the admin key (`ops/key.rs`), and what they change is journalled
//! as an operator's.

mod admin;
mod key;
mod metrics;
mod seats;
pub(crate) mod warrant;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use engine::{Engine, LedgerThread};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use store::Journal;

use crate::http::{Edge, HttpMeters, Problem, Streams};
use crate::ids::Ids;
use crate::language::Language;
use crate::otlp::SpanCounts;
use crate::serve::Occupancy;
pub(crate) use admin::no_such_limit;
pub(crate) use key::{AdminKey, AdminSecret};

/// What is shown to operators beside what the engine publishes.
pub(crate) struct Watched {
    /// Where everything is kept.
    pub(crate) journal: Arc<dyn Journal>,
    /// What is counted of buyers' requests.
    pub(crate) meters: &'static HttpMeters,
    /// Each listener, and how full it is.
    pub(crate) listeners: [(&'static str, Arc<Occupancy>); 2],
    /// Who follows a place.
    pub(crate) streams: Arc<Streams>,
    /// What became of what was traced.
    pub(crate) spans: Arc<SpanCounts>,
    /// None where no ledger is kept.
    pub(crate) ledger: Option<Arc<LedgerThread>>,
}

/// What all operators' requests share.
pub(crate) struct Ops {
    engine: Arc<Engine>,
    watched: Watched,
    key: AdminKey,
    /// Held by whoever reads limits, changes some and writes all of them.
    changing_limits: tokio::sync::Mutex<()>,
}

impl Ops {
    pub(crate) fn new(engine: Arc<Engine>, watched: Watched, key: AdminKey) -> Self {
        Self { engine, watched, key, changing_limits: tokio::sync::Mutex::default() }
    }
}

/// Every route of the operators' listener.
pub(crate) fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/admin/sales", get(admin::list_sales))
        .route("/admin/sales/{sale_id}/limits", patch(admin::change_limits))
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
    let text = metrics::exposition(&ops.engine, &ops.watched);
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

#[cfg(test)]
mod tests {
    /// The page for operators is written by hand; that no call is missing from it is checked here.
    #[test]
    fn every_call_stands_on_the_operators_page() {
        let page = include_str!("../../../docs/operators.md");
        let routes: Vec<&str> =
            include_str!("ops.rs").lines().filter(|line| line.contains(".route(\"/")).collect();
        assert!(routes.len() >= 12, "{routes:?}");
        for route in routes {
            let path = route.split('"').nth(1).expect("a path");
            let verbs = ["get", "put", "post", "patch"];
            for verb in verbs.into_iter().filter(|verb| route.contains(&format!("{verb}("))) {
                let call = format!("`{} {path}`", verb.to_uppercase());
                assert!(page.contains(&call), "{call}");
            }
        }
    }
}
