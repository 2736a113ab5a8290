//! What people and programs are told when they do not get what they asked for (RFC 9457).
//!
//! Whatever the rules refuse, this node cannot do, or the edge cannot read becomes a [`Problem`];
//! one table (`problem/table.rs`) gives each its status and its sentence in every language. What
//! the rules refuse is 4xx; 5xx means only that this node could not. Nothing internal is shown.

mod every;
mod fields;
mod table;

use axum::response::Response;
use domain::Refusal;
use domain::id::SeatIndex;
use domain::money::Currency;
use domain::plan::Hall;
use engine::Failure;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{NO_STORE, PROBLEM_JSON, REQUEST_ID, USUAL_HEADERS, ascii, to_json};
use crate::ids::{Ids, ShortId};
use crate::language::Language;

pub(super) use every::every;
pub(super) use fields::{Fields, PerformanceChoice, ProblemBody, SeatPrice};
pub(crate) use table::bad_plan;

/// Something that was asked for and is not given. As small as a pointer.
#[derive(Debug)]
pub(crate) struct Problem(Box<Told>);

#[derive(Debug)]
struct Told {
    cause: Cause,
    fields: Fields,
    /// Whether no newer state would say otherwise.
    is_sure: bool,
}

/// Why something is not given.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// The rules say no.
    Refusal(Refusal),
    /// This node could not.
    Failure(Failure),
    /// It was not asked for in a way that can be answered.
    Edge(Edge),
}

/// What the edge says no to before the rules are asked. A token that names no place is the rules'
/// [`Refusal::UnknownPlace`], wherever that is found out.
#[derive(Clone, Debug)]
pub(crate) enum Edge {
    /// The request cannot be read.
    MalformedRequest(Flaw),
    /// A key that joins the line could be guessed.
    IdempotencyKeyWeak,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The body is larger than its limit.
    BodyTooLarge {
        /// What it may have at most.
        bytes_max: usize,
    },
    /// The head of the request is larger than its limit.
    HeadTooLarge {
        /// What it may have at most.
        bytes_max: usize,
    },
    /// The body did not come in time.
    BodyTooSlow {
        /// Seconds that it may take at most.
        wait_s: u64,
    },
    /// There is nothing at this path.
    NotFound,
    /// The path knows other verbs only.
    MethodNotAllowed,
    /// No token was sent.
    TokenMissing,
    /// The token is ours, and its time is over.
    TokenExpired,
    /// No admin key was sent.
    AdminKeyMissing,
    /// It is not the admin key.
    AdminKeyInvalid,
    /// There is no such performance, or none on that date.
    PerformanceNotFound,
    /// The performance has no such section.
    SectionNotFound,
    /// Several performances are on that date.
    DateAmbiguous,
    /// The provider took no money.
    PaymentDeclined,
    /// Too many joins from one address.
    RateLimited {
        /// So many a second.
        per_second: u32,
        /// So many at once.
        burst: u32,
    },
}

/// What is wrong with a request that cannot be read.
#[derive(Clone, Debug)]
pub(crate) enum Flaw {
    /// It is not HTTP, or not as it has to be.
    Head,
    /// The body is not the JSON that is expected; in the parser's words.
    Body(String),
    /// A body is required.
    BodyMissing,
    /// The body ended too early.
    BodyBroken,
    /// The query string, in the parser's words.
    Query(String),
    /// A part of the path is not text in UTF-8.
    Path,
    /// Not a date.
    Date,
    /// The header `Idempotency-Key`.
    IdempotencyKey,
    /// More than one of `seat_number`, `seat_numbers` and `best`.
    SeatsTwice,
    /// The payment's method or token.
    Instrument,
    /// A card number where a payment token belongs.
    CardNumber,
    /// The header `Operator-Name`.
    OperatorName,
    /// The header `Operator-Reason`.
    OperatorReason,
}

impl Edge {
    /// The stable code that programs read.
    fn code(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "malformed_request",
            Self::IdempotencyKeyWeak => "idempotency_key_weak",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TokenMissing => "token_missing",
            Self::TokenExpired => "token_expired",
            Self::AdminKeyMissing => "admin_key_missing",
            Self::AdminKeyInvalid => "admin_key_invalid",
            Self::PerformanceNotFound => "performance_not_found",
            Self::SectionNotFound => "section_not_found",
            Self::DateAmbiguous => "date_ambiguous",
            Self::PaymentDeclined => "payment_declined",
            Self::RateLimited { .. } => "rate_limited",
        }
    }
}

impl Cause {
    /// The stable code that programs read.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refusal(refusal) => refusal.code(),
            Self::Failure(Failure::Overloaded) => "overloaded",
            Self::Failure(Failure::Unavailable) => "unavailable",
            Self::Failure(Failure::OutcomeUnknown) => "outcome_unknown",
            Self::Edge(edge) => edge.code(),
        }
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.row(&Fields::default(), Language::default()).status
    }

    /// What it is, in a few words.
    pub(super) fn title(&self, language: Language) -> &'static str {
        self.row(&Fields::default(), language).title
    }

    /// After how many seconds it is worth another try, where it is.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Failure(Failure::Overloaded | Failure::OutcomeUnknown)
            | Self::Edge(Edge::RateLimited { .. }) => Some(5),
            Self::Failure(Failure::Unavailable) => Some(10),
            Self::Refusal(Refusal::QueueFull { .. }) => Some(30),
            Self::Refusal(_) | Self::Edge(_) => None,
        }
    }

    /// What RFC 9110, section 11.6.1, wants beside a 401.
    fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::Edge(Edge::TokenMissing | Edge::AdminKeyMissing) => {
                Some(HeaderValue::from_static("Bearer"))
            }
            Self::Edge(Edge::TokenExpired | Edge::AdminKeyInvalid)
            | Self::Refusal(Refusal::UnknownPlace) => {
                Some(HeaderValue::from_static("Bearer error=\"invalid_token\""))
            }
            Self::Refusal(_) | Self::Failure(_) | Self::Edge(_) => None,
        }
    }
}

impl Problem {
    /// The stable code that programs read.
    pub(crate) fn code(&self) -> &'static str {
        self.0.cause.code()
    }

    /// What the rules said no to, if it was they.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.0.cause {
            Cause::Refusal(refusal) => Some(refusal),
            Cause::Failure(_) | Cause::Edge(_) => None,
        }
    }

    /// As something that no newer state would say otherwise.
    pub(super) fn for_sure(mut self) -> Self {
        self.0.is_sure = true;
        self
    }

    /// Whether a newer state may say otherwise.
    pub(super) fn rests_on_state(&self) -> bool {
        let rests = match &self.0.cause {
            Cause::Refusal(_)
            | Cause::Edge(
                Edge::TokenExpired
                | Edge::PerformanceNotFound
                | Edge::SectionNotFound
                | Edge::DateAmbiguous,
            ) => true,
            Cause::Failure(_) | Cause::Edge(_) => false,
        };
        rests && !self.0.is_sure
    }

    /// What is wrong, as a sentence.
    pub(crate) fn sentence(&self, language: Language) -> String {
        self.0.cause.row(&self.0.fields, language).detail
    }

    /// With more fields.
    pub(crate) fn tell(mut self, more: impl FnOnce(&mut Fields)) -> Self {
        more(&mut self.0.fields);
        self
    }

    /// With the limit of the door that was met.
    pub(crate) fn met(self, limit: &'static str, max: u32) -> Self {
        self.tell(|fields| (fields.limit, fields.max) = (Some(limit), Some(max)))
    }

    /// With the currency of the amount that it names, if it names one.
    pub(super) fn in_currency(self, currency: Currency) -> Self {
        self.tell(|fields| {
            fields.currency = fields.amount.map(|_| currency.as_str().to_owned());
        })
    }

    /// The answer to the request `request_id`.
    pub(crate) fn respond(self, language: Language, request_id: ShortId) -> Response {
        let (status, headers, body) = self.into_parts(language, request_id);
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// The answer to the request `request_id`, in its parts; what its length is, is not among them.
    pub(crate) fn into_parts(
        self,
        language: Language,
        request_id: ShortId,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let Told { cause, fields, .. } = *self.0;
        let row = cause.row(&fields, language);
        let body = to_json(&ProblemBody {
            kind: format!("/docs#{}", cause.code()),
            title: row.title,
            status: row.status.as_u16(),
            detail: row.detail,
            code: cause.code(),
            request_id,
            fields,
        });
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.content_language()));
        headers.insert(VARY, HeaderValue::from_static("accept-language"));
        headers.insert(REQUEST_ID, ascii(request_id.as_str().to_owned()));
        if let Some(seconds) = cause.retry_after_s() {
            // To the next whole second, for the header knows no others.
            let seconds = (Ids.jittered_ms(seconds * 1000) + 500) / 1000;
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = cause.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        (row.status, headers, body)
    }
}

/// A refusal to change a sale, its seats named as people do.
pub(crate) fn change_problem(refusal: Refusal, hall: Option<&Hall>) -> Problem {
    let taken = match (&refusal, hall) {
        (Refusal::SeatsInUse { seats }, Some(hall)) => {
            Some(seats.iter().map(|seat| seat_name(hall, *seat)).collect())
        }
        _ => None,
    };
    Problem::from(refusal).tell(|fields| {
        if taken.is_some() {
            fields.taken = taken;
        }
    })
}

/// A seat's number, after its performance's name where there are several.
fn seat_name(hall: &Hall, index: SeatIndex) -> String {
    let Some(seat) = hall.seat(index) else { return "?".to_owned() };
    match &hall.plan().performances[..] {
        [_] => seat.number.to_string(),
        several => format!("{} {}", several[usize::from(seat.performance)].id, seat.number),
    }
}

impl From<Cause> for Problem {
    fn from(cause: Cause) -> Self {
        let fields = Fields::of(&cause);
        Self(Box::new(Told { cause, fields, is_sure: false }))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Cause::Refusal(refusal).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Cause::Failure(failure).into()
    }
}

impl From<Edge> for Problem {
    fn from(edge: Edge) -> Self {
        Cause::Edge(edge).into()
    }
}

impl From<Flaw> for Problem {
    fn from(flaw: Flaw) -> Self {
        Edge::MalformedRequest(flaw).into()
    }
}

/// What the table says of a problem, in one language.
#[derive(Debug)]
struct Row {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

#[cfg(test)]
mod tests;
