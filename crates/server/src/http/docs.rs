//! `/openapi.json`, and the same for people: `/docs`, written from it at the start.
//!
//! One page and one style sheet, without a script or anything from elsewhere, so that it works
//! without internet and under the strictest content policy.

mod page;

use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};

use super::answer::{Extend, JSON};
use super::document::Document;
use super::endpoint::Ask;
use super::openapi::{document, openapi_json};
use super::performances::KEPT_BY_TAG;
use super::problem::Problem;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// What is written once, at the start.
pub(super) struct Documents {
    openapi: Document,
    docs: Document,
    style: Document,
}

impl Documents {
    /// Writes them.
    pub(super) fn new() -> Self {
        let api = serde_json::to_value(document()).expect("the document is JSON");
        Self {
            openapi: Document::new(openapi_json().into()),
            docs: Document::new(page::page(&api).into()),
            style: Document::new(include_bytes!("docs/docs.css").to_vec()),
        }
    }
}

/// This description of all calls.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "documents",
    responses((status = 200, body = Object, content_type = "application/json",
        description = "An OpenAPI document."))
)]
pub(super) async fn show_openapi(ask: Ask) -> Result<Response, Problem> {
    Ok(ask.house().documents.openapi.answer(&ask.headers, JSON, KEPT_BY_TAG))
}

/// The same for people.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "documents",
    responses((status = 200, body = String, content_type = "text/html",
        description = "A page that needs no internet."))
)]
pub(super) async fn show_docs(ask: Ask) -> Result<Response, Problem> {
    let response = ask.house().documents.docs.answer(&ask.headers, HTML, KEPT_BY_TAG);
    Ok(response.with(CONTENT_SECURITY_POLICY, POLICY).with(X_CONTENT_TYPE_OPTIONS, NO_SNIFF))
}

/// The page's style sheet.
#[utoipa::path(
    get,
    path = "/docs.css",
    tag = "documents",
    responses((status = 200, body = String, content_type = "text/css",
        description = "A style sheet."))
)]
pub(super) async fn show_docs_style(ask: Ask) -> Result<Response, Problem> {
    let response = ask.house().documents.style.answer(&ask.headers, CSS, KEPT_BY_TAG);
    Ok(response.with(X_CONTENT_TYPE_OPTIONS, NO_SNIFF))
}
