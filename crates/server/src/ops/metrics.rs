//! How much of what there is, in the text format of Prometheus; `docs/metrics.md` lists all of it.
//!
//! Numbers of the moment are read from the newest publications, and counts from the engine's and the
//! listeners' meters, so asking costs the box office nothing. Labels are names that an organiser
//! gave, or words of ours, never a buyer's and never a path that somebody sent.

use std::fmt::{Display, Write};
use std::sync::Arc;

use domain::seats::SeatCounts;
use domain::time::Timestamp;
use engine::meters::{CommandOutcome, Tally};
use engine::{Engine, Priority, Publication, SaleHandle};
use store::codec::{CommandKind, FORMAT_MAX};

use super::Watched;

/// Version 0.0.4 of the text format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Commands that only the system gives: nobody submits them, so nobody counts them.
const NOT_SUBMITTED: [CommandKind; 4] =
    [CommandKind::SettlePayment, CommandKind::SettleRefund, CommandKind::Tick, CommandKind::Resume];

/// All metrics, now.
pub(super) fn exposition(engine: &Engine, watched: &Watched) -> String {
    let mut text = Exposition::default();
    of_the_process(&mut text, engine);
    of_the_journal(&mut text, engine, watched);
    of_commands(&mut text, engine);
    of_sales(&mut text, engine);
    of_listeners(&mut text, watched);
    of_traces(&mut text, watched);
    of_the_ledger(&mut text, engine, watched);
    text.0
}

fn of_the_process(text: &mut Exposition, engine: &Engine) {
    text.head("build_info", "gauge", "Which version runs; always 1.");
    text.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.head("ready", "gauge", "Whether requests can be served.");
    text.line("ready", &[], u8::from(engine.trouble().is_none()));
}

fn of_the_journal(text: &mut Exposition, engine: &Engine, watched: &Watched) {
    let meters = engine.meters();
    let help = "The newest format that the store lets nodes write.";
    text.head("journal_format", "gauge", help);
    text.line("journal_format", &[], engine.format());
    let help = "The newest format that this node reads and writes.";
    text.head("journal_format_known", "gauge", help);
    text.line("journal_format_known", &[], FORMAT_MAX);
    text.head("journal_commits_total", "counter", "Durable commits since the start.");
    text.line("journal_commits_total", &[], watched.journal.sync_count());
    let help = "Commits that failed since the start; each is tried again.";
    text.head("journal_commit_failures_total", "counter", help);
    text.line("journal_commit_failures_total", &[], meters.commit_failures());
    let help = "How long a commit took until it was on disk: nearly all of it the disk's sync.";
    text.head("journal_commit_seconds", "histogram", help);
    text.histogram("journal_commit_seconds", &[], &meters.commit_time.read(), seconds);
    let help = "How long this node waited for its turn among others that write the same sales.";
    text.head("journal_lock_seconds", "histogram", help);
    text.histogram("journal_lock_seconds", &[], &meters.lock_time.read(), seconds);
    let help = "Requests and providers' answers that were decided for one commit.";
    text.head("journal_commit_requests", "histogram", help);
    text.histogram("journal_commit_requests", &[], &meters.commit_requests.read(), plain);
    text.head("journal_commit_bytes", "histogram", "Bytes of one commit.");
    text.histogram("journal_commit_bytes", &[], &meters.commit_bytes.read(), plain);
}

fn of_the_ledger(text: &mut Exposition, engine: &Engine, watched: &Watched) {
    let Some(ledger) = &watched.ledger else { return };
    let help = "How long ago the ledger last had everything, of halted sales too.";
    text.head("ledger_lag_seconds", "gauge", help);
    text.line("ledger_lag_seconds", &[], ledger.lag(engine.now()) / 1000);
}

fn of_commands(text: &mut Exposition, engine: &Engine) {
    let meters = engine.meters();
    let help = "Commands that were submitted, by kind and by what they came to.";
    text.head("commands_total", "counter", help);
    for kind in CommandKind::ALL.iter().filter(|kind| !NOT_SUBMITTED.contains(kind)) {
        for outcome in CommandOutcome::ALL {
            let labels = [("command", kind.as_str()), ("outcome", outcome.as_str())];
            text.line("commands_total", &labels, meters.commands(*kind, outcome));
        }
    }
    text.head("sheds_total", "counter", "Commands that were shed, for too many waited.");
    for priority in Priority::ALL {
        let labels = [("priority", priority.as_str())];
        text.line("sheds_total", &labels, meters.sheds(priority));
    }
    text.head("inbox_length", "gauge", "Commands that wait for the deciding thread to look.");
    text.line("inbox_length", &[], engine.inbox_length());
}

/// A sale with its newest publication.
type Seen = (Arc<SaleHandle>, Arc<Publication>);

fn of_sales(text: &mut Exposition, engine: &Engine) {
    let now = engine.now();
    let directory = engine.directory();
    let sales = directory.sales().map(|sale| (Arc::clone(sale), sale.publication().clone()));
    let sales: Vec<Seen> = sales.collect();
    let each = |text: &mut Exposition, name, help, value: &dyn Fn(&Seen) -> f64| {
        text.head(name, "gauge", help);
        for seen in &sales {
            text.line(name, &[("sale", seen.0.id().as_str())], value(seen));
        }
    };
    each(text, "as_of_batch", "The batch that the numbers of a sale are as of.", &|(_, p)| {
        // Exact up to 2^53 batches.
        p.as_of as f64
    });
    let help = "How long something durable is not shown yet; 0 when the newest is shown.";
    each(text, "publication_age_seconds", help, &|(sale, _)| age(sale.behind_since(), now));
    each(text, "waiting", "People in line who are counted: there or away.", &|(_, p)| {
        p.sale.line().counted().into()
    });
    let help = "People in line who are not admitted until they ask again.";
    each(text, "away", help, &|(_, p)| p.sale.line().away().into());
    let help = "People who missed their turn and may come back.";
    each(text, "missed", help, &|(_, p)| p.sale.line().missed().into());
    each(text, "admitted", "People choosing, holding or paying.", &|(_, p)| p.sale.active().into());
    each(text, "choosing", "Of those admitted, people choosing.", &|(_, p)| {
        p.sale.choosing().into()
    });
    each(text, "active_limit", "How many may be admitted at a time.", &|(_, p)| {
        p.sale.limits().active_limit.into()
    });
    each(text, "line_capacity", "How many may wait.", &|(_, p)| {
        p.sale.limits().line_capacity.into()
    });
    let help = "Payments whose outcome, or refund, is not known yet.";
    each(text, "open_payments", help, &|(_, p)| p.sale.open_payments().count() as f64);
    let help = "Age of the oldest payment that nobody knows the outcome of, 0 when there is none; \
                after a restart since that.";
    each(text, "oldest_unknown_payment_age_seconds", help, &|(sale, _)| {
        age(sale.core_state().oldest_unknown, now)
    });

    text.head("payments_total", "counter", "Payments since the start, by what they came to.");
    for (sale, _) in &sales {
        for (outcome, count) in sale.core_state().payments.table() {
            let labels = [("sale", sale.id().as_str()), ("outcome", outcome)];
            text.line("payments_total", &labels, count);
        }
    }
    text.head("queue_length", "gauge", "Commands that wait to be decided, by priority.");
    for (sale, _) in &sales {
        for (priority, length) in Priority::ALL.into_iter().zip(sale.core_state().queues) {
            let labels = [("sale", sale.id().as_str()), ("priority", priority.as_str())];
            text.line("queue_length", &labels, length);
        }
    }
    text.head("seats", "gauge", "Seats by state.");
    for (sale, publication) in &sales {
        text.seats(sale, publication);
    }
}

fn of_listeners(text: &mut Exposition, watched: &Watched) {
    let each = |text: &mut Exposition, name, help, value: &dyn Fn(usize) -> u64| {
        text.head(name, "gauge", help);
        for (number, (listener, _)) in watched.listeners.iter().enumerate() {
            text.line(name, &[("listener", *listener)], value(number));
        }
    };
    let of = |number: usize| &watched.listeners[number].1;
    each(text, "connections", "Open connections.", &|n| of(n).connections().0.into());
    let help = "Connections that may be open; others wait to be accepted.";
    each(text, "connections_max", help, &|n| of(n).connections().1.into());
    let help = "Requests that are being answered.";
    each(text, "requests_in_flight", help, &|n| of(n).requests().0 as u64);
    let help = "Requests that may be answered at a time; others wait.";
    each(text, "requests_in_flight_max", help, &|n| of(n).requests().1.into());

    let (open, max) = watched.streams.open();
    text.head("streams", "gauge", "Open streams of events.");
    text.line("streams", &[], open);
    text.head("streams_max", "gauge", "Streams that may be open; others are refused.");
    text.line("streams_max", &[], max);
    text.head("stream_events_total", "counter", "Events that were said in streams, by kind.");
    for (kind, count) in watched.streams.said() {
        text.line("stream_events_total", &[("event", kind.as_str())], count);
    }

    let routes: Vec<_> = watched.meters.routes().collect();
    let help = "Time until a buyer's answer was ready, by route.";
    text.head("request_seconds", "histogram", help);
    for route in &routes {
        let labels = [("method", route.method), ("route", route.route)];
        text.histogram("request_seconds", &labels, &route.time, seconds);
    }
    text.head("requests_total", "counter", "Buyers' requests by route and kind of status.");
    for route in &routes {
        for (status, count) in route.classes {
            let labels = [("method", route.method), ("route", route.route), ("status", status)];
            text.line("requests_total", &labels, count);
        }
    }
    text.head("problems_total", "counter", "Problems that buyers were told, by code.");
    for (code, count) in watched.meters.problems() {
        text.line("problems_total", &[("code", code)], count);
    }
}

fn of_traces(text: &mut Exposition, watched: &Watched) {
    let help = "Spans that were to be sent to a collector, by what became of them.";
    text.head("trace_spans_total", "counter", help);
    for (outcome, count) in watched.spans.table() {
        text.line("trace_spans_total", &[("outcome", outcome)], count);
    }
}

fn age(since: Option<Timestamp>, now: Timestamp) -> f64 {
    since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0)
}

/// Nanoseconds in seconds.
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn plain(value: u64) -> f64 {
    value as f64
}

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP maepyo_{name} {help}\n# TYPE maepyo_{name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.write(format_args!("maepyo_{name}"));
        // Every label is a slug or a word of ours: nothing in it needs an escape.
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{name}=\"{value}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{after} {value}\n"));
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        tally: &Tally,
        unit: fn(u64) -> f64,
    ) {
        for (bound, count) in tally.cumulative() {
            let bound = bound.map_or("+Inf".to_owned(), |bound| unit(bound).to_string());
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.line(&format!("{name}_bucket"), &labels, count);
        }
        self.line(&format!("{name}_sum"), labels, unit(tally.sum));
        self.line(&format!("{name}_count"), labels, tally.count());
    }

    fn seats(&mut self, sale: &SaleHandle, publication: &Publication) {
        let Some(hall) = publication.sale.hall() else { return };
        for (number, performance) in (0..).zip(&hall.plan().performances) {
            let SeatCounts { free, withheld, held, sold } =
                publication.sale.seats().counts_of(number);
            let states = [("free", free), ("withheld", withheld), ("held", held), ("sold", sold)];
            for (state, count) in states {
                let labels = [
                    ("sale", sale.id().as_str()),
                    ("performance", performance.id.as_str()),
                    ("state", state),
                ];
                self.line("seats", &labels, count);
            }
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use engine::meters::Histogram;

    use super::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let mut text = Exposition::default();
        text.head("waiting", "gauge", "People waiting in line.");
        text.line("waiting", &[("sale", "spring"), ("state", "x")], 5);
        text.line("ready", &[], 1);
        let histogram = Histogram::new(&[50_000, 2_000_000_000]);
        histogram.observe(1_000_000_000);
        histogram.observe(3_000_000_000);
        text.histogram("took_seconds", &[("route", "/x/{id}")], &histogram.read(), seconds);
        assert_eq!(
            text.0,
            "# HELP maepyo_waiting People waiting in line.\n\
             # TYPE maepyo_waiting gauge\n\
             maepyo_waiting{sale=\"spring\",state=\"x\"} 5\n\
             maepyo_ready 1\n\
             maepyo_took_seconds_bucket{route=\"/x/{id}\",le=\"0.00005\"} 0\n\
             maepyo_took_seconds_bucket{route=\"/x/{id}\",le=\"2\"} 1\n\
             maepyo_took_seconds_bucket{route=\"/x/{id}\",le=\"+Inf\"} 2\n\
             maepyo_took_seconds_sum{route=\"/x/{id}\"} 4\n\
             maepyo_took_seconds_count{route=\"/x/{id}\"} 2\n"
        );
    }
}
