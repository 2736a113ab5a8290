//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;

use crate::http::{HttpMeters, JoinLimit, Streams};
use crate::otlp::Tracer;
use crate::token::Keyring;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    /// Decides, and publishes what is to be read.
    pub(crate) engine: Arc<Engine>,
    /// Signs and verifies tokens.
    pub(crate) keyring: Keyring,
    /// Which history tokens are for.
    pub(crate) epoch: u64,
    /// How long a queue token is valid, in seconds.
    pub(crate) token_ttl_s: u64,
    /// How many seconds a request waits for its place on disk.
    pub(crate) append_wait_s: u64,
    /// Payments at the provider at a time, for each sale.
    pub(crate) payments_in_flight: u32,
    /// How long a body may take to come.
    pub(crate) body_wait: Duration,
    /// How often one address may join.
    pub(crate) join_limit: JoinLimit,
    /// Who follows a place.
    pub(crate) streams: Arc<Streams>,
    /// Traces them, if they are traced.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// What is counted of requests.
    pub(crate) meters: &'static HttpMeters,
}
