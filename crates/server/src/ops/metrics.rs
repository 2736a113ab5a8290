//! How much of what there is, in the text format of Prometheus.
//!
//! Everything is read from the newest publications, so asking costs the box office nothing; what a
//! number is as of is one of them. Labels are names that an organiser gave, never a buyer's.

use std::fmt::{Display, Write};

use domain::seats::SeatCounts;
use engine::{Engine, LedgerThread, SaleHandle};
use store::Journal;

/// Version 0.0.4 of the text format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, now.
pub(super) fn exposition(
    engine: &Engine,
    journal: &dyn Journal,
    ledger: Option<&LedgerThread>,
) -> String {
    let mut text = Exposition::default();
    let ready = u8::from(engine.trouble().is_none());
    text.head("ready", "gauge", "Whether requests can be served.");
    text.line("ready", &[], ready);
    text.head("journal_commits_total", "counter", "Durable commits since the start.");
    text.line("journal_commits_total", &[], journal.sync_count());

    if let Some(ledger) = ledger {
        let lag = ledger.lag(engine.now()) / 1000;
        text.head("ledger_lag_seconds", "gauge", "Since when the ledger has not had everything.");
        text.line("ledger_lag_seconds", &[], lag);
    }

    let directory = engine.directory();
    let sales: Vec<_> = directory.sales().map(|sale| (sale, sale.publication().clone())).collect();
    let each = |text: &mut Exposition, name, help, value: &dyn Fn(&engine::Publication) -> u64| {
        text.head(name, "gauge", help);
        for (sale, publication) in &sales {
            text.line(name, &[("sale", sale.id().as_str())], value(publication));
        }
    };
    each(&mut text, "as_of_batch", "The batch that the other numbers are as of.", &|p| p.as_of);
    each(&mut text, "waiting", "People waiting in line.", &|p| p.sale.line().counted().into());
    each(&mut text, "missed", "People who missed their turn and may come back.", &|p| {
        p.sale.line().missed().into()
    });
    each(&mut text, "admitted", "People choosing, holding or paying.", &|p| p.sale.active().into());
    each(&mut text, "choosing", "Of those admitted, people choosing.", &|p| {
        p.sale.choosing().into()
    });
    each(
        &mut text,
        "open_payments",
        "Payments whose outcome, or refund, is not known yet.",
        &|p| p.sale.open_payments().count() as u64,
    );
    text.head("seats", "gauge", "Seats by state.");
    for (sale, publication) in &sales {
        text.seats(sale, publication);
    }
    text.0
}

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP maepyo_{name} {help}\n# TYPE maepyo_{name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        // Every label is a slug or a word of ours: nothing in it needs an escape.
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        match labels.as_slice() {
            [] => self.write(format_args!("maepyo_{name} {value}\n")),
            labels => self.write(format_args!("maepyo_{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn seats(&mut self, sale: &SaleHandle, publication: &engine::Publication) {
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
    use super::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let mut text = Exposition::default();
        text.head("waiting", "gauge", "People waiting in line.");
        text.line("waiting", &[("sale", "spring"), ("state", "x")], 5);
        text.line("ready", &[], 1);
        assert_eq!(
            text.0,
            "# HELP maepyo_waiting People waiting in line.\n\
             # TYPE maepyo_waiting gauge\n\
             maepyo_waiting{sale=\"spring\",state=\"x\"} 5\n\
             maepyo_ready 1\n"
        );
    }
}
