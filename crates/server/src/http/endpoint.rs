//! How a function becomes a route.
//!
//! A handler is a function of the [`Ask`] and of what it needs from the request, each a type that
//! is taken from it by [`FromAsk`]: who may call stands in the signature. It returns an answer or
//! a [`Problem`]. These are not axum's own extractors because a problem is told in the language
//! that was asked for, which only this wrapper, the one place that sees both, knows; a layer could
//! do that too and would cost every request another allocation.

use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::handler::Handler;
use axum::response::Response;
use domain::Command;
use domain::time::Timestamp;
use engine::clock::Stopwatch;
use engine::{Failure, Instrument, SaleHandle};
use http::HeaderValue;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LANGUAGE, Entry, VARY};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tracing::Level;

use super::answer::{NO_STORE, REQUEST_ID, ascii};
use super::joins::ClientAddress;
use super::pass::{confirmed, recent};
use super::problem::{Flaw, Problem};
use super::{House, document};
use crate::app::App;
use crate::ids::{Ids, ShortId};
use crate::language::Language;

/// One request: its headers, its language, its moment. The body is apart.
pub(super) struct Ask {
    house: Arc<House>,
    parts: Parts,
    /// What people are answered in.
    pub(super) language: Language,
    /// The request's id.
    pub(super) id: u64,
    /// When it came in. Where a handler has waited since, it asks [`Ask::now`].
    pub(super) came_at: Timestamp,
}

impl Ask {
    /// What all requests share.
    pub(super) fn app(&self) -> &App {
        &self.house.app
    }

    /// What time it is now.
    pub(super) fn now(&self) -> Timestamp {
        self.app().engine.now()
    }

    /// Where it comes from, if the listener says so.
    pub(super) fn from(&self) -> Option<IpAddr> {
        self.extensions.get().map(|ClientAddress(address)| *address)
    }

    /// Submits a buyer's command; the batch it was decided after, and the answer.
    ///
    /// # Errors
    /// What the rules refuse, or that this node could not.
    pub(super) async fn submit(
        &self,
        sale: &SaleHandle,
        command: Command,
    ) -> Result<(u64, engine::Answer), Problem> {
        self.submit_with(sale, command, None).await
    }

    /// Submits a buyer's command that may need an instrument of payment.
    ///
    /// # Errors
    /// What the rules refuse, or that this node could not.
    pub(super) async fn submit_with(
        &self,
        sale: &SaleHandle,
        command: Command,
        instrument: Option<Instrument>,
    ) -> Result<(u64, engine::Answer), Problem> {
        let request = engine::Request::buyer(command, self.id, instrument);
        let pays = matches!(request.command, Command::BeginPayment { .. });
        let reply = self.app().engine.submit(sale, request).await;
        let reply = reply.map_err(|failure| self.in_limits(failure, pays))?;
        Ok((reply.as_of, reply.answer?))
    }

    /// Why this node could not, with the limit that was met, where one was.
    fn in_limits(&self, failure: Failure, pays: bool) -> Problem {
        let app = self.app();
        match failure {
            Failure::OutcomeUnknown => {
                let max = u32::try_from(app.append_wait_s).unwrap_or(u32::MAX);
                Problem::from(failure).met("append_wait_max", max)
            }
            Failure::Overloaded if pays => {
                Problem::from(failure).met("payments_in_flight", app.payments_in_flight)
            }
            Failure::Overloaded | Failure::Unavailable => failure.into(),
        }
    }

    /// What is prepared for all requests.
    pub(super) fn house(&self) -> &Arc<House> {
        &self.house
    }
}

impl Deref for Ask {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What a handler can take from a request.
pub(super) trait FromAsk: Sized + Send {
    /// Takes it, or says why it is not there.
    fn from_ask(
        ask: &mut Ask,
        body: &mut Body,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// A function that answers requests.
pub(super) trait Handle<Arguments>: Clone + Send + Sync + 'static {
    /// Takes the arguments from the request, in their order, and calls the function.
    fn handle(self, ask: Ask, body: Body)
    -> impl Future<Output = Result<Response, Problem>> + Send;
}

impl<Function, Answer> Handle<()> for Function
where
    Function: FnOnce(Ask) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Result<Response, Problem>> + Send,
{
    async fn handle(self, ask: Ask, _: Body) -> Result<Response, Problem> {
        self(ask).await
    }
}

macro_rules! handle {
    ($($type:ident $argument:ident),+) => {
        impl<Function, Answer, $($type),+> Handle<($($type,)+)> for Function
        where
            Function: FnOnce(Ask, $($type),+) -> Answer + Clone + Send + Sync + 'static,
            Answer: Future<Output = Result<Response, Problem>> + Send,
            $($type: FromAsk,)+
        {
            async fn handle(self, mut ask: Ask, mut body: Body) -> Result<Response, Problem> {
                $(let $argument = $type::from_ask(&mut ask, &mut body).await?;)+
                self(ask, $($argument),+).await
            }
        }
    };
}

handle!(A first);
handle!(A first, B second);
handle!(A first, B second, C third);

/// A handler as a route: what all answers have in common is added here, and they are counted.
#[derive(Clone)]
pub(super) struct Endpoint<H> {
    pub(super) handler: H,
    /// The route's number in the table.
    pub(super) route: usize,
}

impl<Arguments: 'static, H: Handle<Arguments>> Handler<Arguments, Arc<House>> for Endpoint<H> {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, house: Arc<House>) -> Self::Future {
        Box::pin(answer(self, request, house))
    }
}

async fn answer<Arguments>(
    Endpoint { handler, route }: Endpoint<impl Handle<Arguments>>,
    request: Request,
    house: Arc<House>,
) -> Response {
    let watch = Stopwatch::start();
    let (meters, tracer) = (house.app.meters, house.app.tracer.clone());
    let (parts, body) = request.into_parts();
    let language = Language::of(&parts.headers);
    let with_token = parts.headers.contains_key(AUTHORIZATION);
    let id = Ids.request_id();
    let request_id = ShortId::from(id);
    let asked = tracing::enabled!(Level::DEBUG)
        .then(|| (parts.method.clone(), parts.uri.path().to_owned()));
    let came_at = house.app.engine.at(watch);
    let begun = tracer.as_ref().and_then(|tracer| tracer.begin(&parts.headers));

    let is_shared = house.app.engine.is_shared();
    let ask = Ask { house, parts, language, id, came_at };
    let result = if is_shared && super::reads_state(route) {
        Box::pin(read_surely(handler, ask)).await
    } else {
        handler.handle(ask, body).await
    };
    let (mut response, code) = match result {
        Ok(response) => (response, None),
        Err(problem) => {
            let code = problem.code();
            meters.problem(code);
            (problem.respond(language, request_id), Some(code))
        }
    };
    if let Some((method, path)) = asked {
        let status = response.status().as_u16();
        tracing::debug!(%request_id, %method, path, status, code, "answered");
    }

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, ascii(request_id.as_str().to_owned()));
    let has_language = match headers.entry(VARY) {
        Entry::Vacant(vary) => {
            vary.insert(HeaderValue::from_static("accept-language"));
            true
        }
        // A document is one for all languages.
        Entry::Occupied(vary) => *vary.get() != document::VARIES,
    };
    if has_language {
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.content_language()));
    }
    if with_token {
        // Whoever stands between us and the buyer keeps nothing of theirs, however public it is.
        headers.insert(CACHE_CONTROL, NO_STORE);
    }
    meters.answered(route, response.status(), watch.nanos());
    if let Some((tracer, begun)) = tracer.zip(begun) {
        tracer.answered(begun, super::named(route), response.status(), code, request_id);
    }
    response
}

/// Reads, where other nodes write what is read: what is shown must not be too old, and a no is told
/// only of what was the newest after the request came.
async fn read_surely<Arguments>(
    handler: impl Handle<Arguments>,
    ask: Ask,
) -> Result<Response, Problem> {
    recent(ask.app()).await?;
    let (house, parts) = (Arc::clone(&ask.house), ask.parts.clone());
    let Ask { language, id, came_at, .. } = ask;
    match handler.clone().handle(ask, Body::empty()).await {
        Err(problem) if problem.rests_on_state() => {
            confirmed(&house.app).await?;
            handler.handle(Ask { house, parts, language, id, came_at }, Body::empty()).await
        }
        result => result,
    }
}

/// The one part of the path that the route leaves open.
pub(super) struct Segment(pub(super) String);

impl FromAsk for Segment {
    async fn from_ask(ask: &mut Ask, _: &mut Body) -> Result<Self, Problem> {
        let segments = RawPathParams::from_request_parts(&mut ask.parts, &()).await;
        let segments = segments.map_err(|_| Flaw::Path)?;
        let (_, segment) = segments.iter().next().expect("the route has an open part");
        Ok(Self(segment.to_owned()))
    }
}

/// The query string.
pub(super) struct QueryString<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromAsk for QueryString<T> {
    async fn from_ask(ask: &mut Ask, _: &mut Body) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&ask.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| Flaw::Query(error.body_text()).into())
    }
}
