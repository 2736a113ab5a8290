//! One kind of call again and again, against a sale that is on: the load's loops, made ready.
//!
//! Whatever the call needs is prepared first and not measured: places in line, somebody whose turn
//! it is, free seats.

mod prepare;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Closed, Open, Outcome, Shared, closed, open};
use crate::wire::Lost;

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `GET /queue/status`, by all who joined in turn.
    Status,
    /// `POST /queue/token`, each a new place.
    Join,
    /// `POST /reservations`, each by another buyer for another seat, until either runs out.
    Hold,
    /// `GET /reservations/{date}` by somebody whose turn it is.
    Seats,
    /// `GET /reservations/{date}` without a token.
    Count,
}

/// Which call is made, how often, and where.
#[derive(Clone, Debug)]
pub struct Single {
    /// Which.
    pub kind: Kind,
    /// The box office.
    pub addr: SocketAddr,
    /// What a request's `Host` says.
    pub host: String,
    /// The sale; the only one that is on, when none is named.
    pub sale: Option<String>,
    /// Buyers who join before, where the call needs some.
    pub buyers: u32,
    /// Connections, at most.
    pub connections: usize,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long it is measured.
    pub measured: Duration,
    /// So many a second, in an open loop; a closed one without it.
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Buyers who were needed and could be found.
    pub prepared: usize,
    /// How the calls were answered.
    pub outcome: Outcome,
}

/// Makes one kind of call again and again.
///
/// # Errors
/// A sentence: nobody answers there, there is no such sale, or what the call needs could not be
/// prepared.
///
/// # Panics
/// Outside a [`crate::load::runtime`].
pub async fn single(single: &Single) -> Result<Summary, String> {
    let calls = prepare::calls(single).await?;
    let prepared = calls.prepared();
    let source = Shared::new(calls);
    let outcome = match single.rate {
        None => {
            let mut plan = Closed::new(single.addr, single.connections, single.measured);
            plan.patience = single.patience;
            closed(&plan, &source).await
        }
        Some(rate) => {
            let mut plan = Open::new(single.addr, rate, single.connections, single.measured);
            plan.patience = single.patience;
            open(&plan, &source).await
        }
    };
    Ok(Summary { prepared, outcome })
}

impl Summary {
    /// What came of it, for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a text can always be written to");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { prepared, outcome } = self;
        if *prepared > 0 {
            writeln!(text, "{prepared} buyers were made ready")?;
        }
        writeln!(
            text,
            "{} answers in {:.1} s: {:.0} a second, {:.0} of them good",
            outcome.answered(),
            outcome.elapsed.as_secs_f64(),
            outcome.rate(),
            outcome.good_rate(),
        )?;
        for (status, count) in outcome.statuses() {
            writeln!(text, "  {count:>10}  answered {status}")?;
        }
        for lost in Lost::ALL.into_iter().filter(|lost| outcome.lost[lost.index()] > 0) {
            writeln!(text, "  {:>10}  lost: {lost}", outcome.lost[lost.index()])?;
        }
        if outcome.not_sent > 0 {
            writeln!(text, "  {:>10}  not sent: every connection was busy", outcome.not_sent)?;
        }
        let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
        for (name, share) in shares {
            writeln!(text, "  {:>10.3}  ms {name}", ms(outcome.latency_at(share)))?;
        }
        writeln!(text, "  {:>10.3}  ms max", ms(outcome.latency_max()))
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
