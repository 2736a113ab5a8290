//! What is logged, and how: lines of text for people, or JSON for machines, on standard error.
//!
//! What is logged about a request names its id, the one that the buyer sees in `Request-Id` and the
//! journal keeps with each event. Queue tokens, keys and payment tokens never stand in a log: their
//! types do not show them.

use std::io::{self, IsTerminal};
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Checks a filter; what it says is read again by [`start`].
pub(crate) fn parse_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Begins to log what `filter` lets through, panics too. After a panic the process ends: a thread
/// that is missing would be a box office that is half open.
pub(crate) fn start(format: Format, filter: &str) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    // A line that cannot be written is lost: the log may be a file on the very disk that is full, and
    // to complain of that on standard error would end the process.
    let lines = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .with_env_filter(filter);
    let started = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    // Only a second start in one process finds somebody logging already.
    debug_assert!(started.is_ok(), "logging starts once");
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("a panic");
        tracing::error!(place, "stopping after a bug: {message}");
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::parse_filter;

    #[test]
    fn a_filter_is_checked_before_the_start() {
        for good in ["info", "warn,maepyo=debug", "off", "engine=trace,store=trace"] {
            assert_eq!(parse_filter(good).as_deref(), Ok(good));
        }
        assert!(parse_filter("maepyo=loud").is_err());
    }
}
