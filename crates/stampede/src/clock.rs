//! The crowd's clock: the one place that asks the machine how much time has passed.
//!
//! A crowd measures, so it needs instants and nothing else; what day it is it reads in answers.
#![expect(clippy::disallowed_methods, reason = "this is the file that implements the clock")]

use std::time::Instant;

/// This instant.
#[inline]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}
