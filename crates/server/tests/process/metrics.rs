//! `/metrics`: what it says after something happened, and that the page, the dashboard and the alert
//! rules speak of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{BoxOffice, Connection, reservation_id, small_sale};

/// A metric as `/metrics` shows it.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    /// For each label the values that it has.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// All of `/metrics`.
#[derive(Debug, Default)]
struct Metrics {
    metrics: BTreeMap<String, Metric>,
    /// Each line's name and labels as they are written, and its value.
    samples: BTreeMap<String, f64>,
}

const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl Metrics {
    async fn of(office: &BoxOffice) -> Self {
        let answer = Connection::to(office.operators).get("/metrics", None).await;
        assert_eq!(answer.status, 200);
        Self::read(&answer.text)
    }

    fn read(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help");
                let metric = Metric { help: help.to_owned(), ..Metric::default() };
                assert!(all.metrics.insert(name.to_owned(), metric).is_none(), "twice: {name}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                kind.clone_into(&mut all.metrics.get_mut(name).expect("its help is before").kind);
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a sample");
                let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
                assert!(all.samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let name = all.base(name).unwrap_or_else(|| panic!("no type: {line}")).to_owned();
                let metric = all.metrics.get_mut(&name).expect("it was just found");
                for label in labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()) {
                    let (label, value) = label.split_once('=').expect("a label");
                    let value = value.trim_matches('"').to_owned();
                    metric.labels.entry(label.to_owned()).or_default().insert(value);
                }
            }
        }
        all
    }

    /// The metric that a name in a query belongs to.
    fn base<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.metrics.get(name).is_some_and(|metric| metric.kind != "histogram") {
            return Some(name);
        }
        let mut bases = OF_HISTOGRAMS.iter().filter_map(|suffix| name.strip_suffix(suffix));
        bases.find(|base| self.metrics.get(*base).is_some_and(|m| m.kind == "histogram"))
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series}: {:#?}", self.samples))
    }
}

/// A box office in which something of everything has happened.
async fn busy() -> BoxOffice {
    let limits = json!({ "active_limit": 2 });
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &limits)).await;
    let (mut ann, mut bob, mut eve) = (office.buyer(), office.buyer(), office.buyer());
    for buyer in [&mut ann, &mut bob, &mut eve] {
        buyer.join(None).await.expect(201);
    }
    let paid = reservation_id(&ann.hold("A1").await.expect(201));
    ann.pay(&paid, "tok_ok").await.expect(200);
    bob.hold("A1").await.refused(409, "seat_taken");
    let declined = reservation_id(&bob.hold("A2").await.expect(201));
    bob.pay(&declined, "tok_declined").await.refused(402, "payment_declined");
    office.connect().get("/nowhere/at/all", None).await.refused(404, "not_found");
    office
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted() {
    let office = busy().await;
    let before = Metrics::of(&office).await;
    let counted: [(&str, f64); 19] = [
        ("maepyo_ready", 1.0),
        ("maepyo_commands_total{command=\"join\",outcome=\"done\"}", 3.0),
        ("maepyo_commands_total{command=\"hold\",outcome=\"done\"}", 2.0),
        ("maepyo_commands_total{command=\"hold\",outcome=\"refused\"}", 1.0),
        ("maepyo_commands_total{command=\"schedule\",outcome=\"done\"}", 1.0),
        ("maepyo_payments_total{sale=\"small\",outcome=\"begun\"}", 2.0),
        ("maepyo_payments_total{sale=\"small\",outcome=\"approved\"}", 1.0),
        ("maepyo_payments_total{sale=\"small\",outcome=\"declined\"}", 1.0),
        ("maepyo_oldest_unknown_payment_age_seconds{sale=\"small\"}", 0.0),
        ("maepyo_requests_total{method=\"post\",route=\"/queue/token\",status=\"2xx\"}", 3.0),
        ("maepyo_requests_total{method=\"post\",route=\"/reservations\",status=\"4xx\"}", 1.0),
        ("maepyo_request_seconds_count{method=\"post\",route=\"/payment\"}", 2.0),
        ("maepyo_requests_total{method=\"other\",route=\"unknown\",status=\"4xx\"}", 1.0),
        ("maepyo_problems_total{code=\"payment_declined\"}", 1.0),
        ("maepyo_problems_total{code=\"not_found\"}", 1.0),
        ("maepyo_sheds_total{priority=\"join\"}", 0.0),
        ("maepyo_connections_max{listener=\"operators\"}", 256.0),
        ("maepyo_requests_in_flight{listener=\"buyers\"}", 0.0),
        ("maepyo_requests_in_flight{listener=\"operators\"}", 1.0),
    ];
    for (series, expected) in counted {
        assert_eq!(before.value(series).to_bits(), expected.to_bits(), "{series}");
    }
    assert!(before.value("maepyo_connections{listener=\"operators\"}") >= 1.0);
    assert!(before.value("maepyo_journal_commit_seconds_sum") > 0.0);
    assert!(before.value("maepyo_journal_commit_bytes_sum") > 0.0);
    let commits = before.value("maepyo_journal_commit_seconds_count");
    assert!(commits > 0.0 && commits <= before.value("maepyo_journal_commits_total"));
    // Buckets are cumulative, and end with the count.
    for (name, metric) in before.metrics.iter().filter(|(_, metric)| metric.kind == "histogram") {
        assert!(metric.labels["le"].contains("+Inf"), "{name}");
        for (series, count) in &before.samples {
            let Some(labels) = series.strip_prefix(&format!("{name}_count")) else { continue };
            let of_these = labels.trim_matches(['{', '}']);
            let comma = if of_these.is_empty() { "" } else { "," };
            let prefix = format!("{name}_bucket{{{of_these}{comma}le=\"");
            let buckets = before.samples.iter().filter_map(|(series, count)| {
                let bound = series.strip_prefix(&prefix)?.trim_end_matches("\"}");
                Some((bound.parse::<f64>().expect("a bound"), *count))
            });
            let mut buckets: Vec<(f64, f64)> = buckets.collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{series}");
            assert_eq!(buckets.last().map(|(_, all)| all.to_bits()), Some(count.to_bits()));
        }
    }

    // Nothing happened meanwhile, but that somebody looked.
    let after = Metrics::of(&office).await;
    assert_eq!(after.value(counted[9].0).to_bits(), counted[9].1.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_knew_of_is_counted_until_it_is_known() {
    let office = BoxOffice::with_sale("small", &small_sale("small-1", "E", 15, &json!({}))).await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let reservation = reservation_id(&buyer.hold("A1").await.expect(201));
    buyer.pay(&reservation, "tok_timeout").await.expect(202);
    let age = "maepyo_oldest_unknown_payment_age_seconds{sale=\"small\"}";
    let unknown = "maepyo_payments_total{sale=\"small\",outcome=\"unknown\"}";
    crate::support::until("it to be unknown", async || {
        let metrics = Metrics::of(&office).await;
        let is_known = metrics.value(unknown) > 0.0;
        is_known.then_some(())
    })
    .await;
    // The sandbox tells when it is asked again, and then nothing is unknown any more.
    crate::support::until("it to be known", async || {
        let metrics = Metrics::of(&office).await;
        let approved = metrics.value("maepyo_payments_total{sale=\"small\",outcome=\"approved\"}");
        (approved > 0.0 && metrics.value(age) <= 0.0).then_some(())
    })
    .await;
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_exactly_what_there_is() {
    let metrics = Metrics::of(&busy().await).await;
    let page = file("docs/metrics.md");
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `maepyo_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, about] = cells[..] else { panic!("five cells: {line}") };
        assert!(!unit.is_empty() && !about.is_empty(), "{line}");
        let words = labels.split(',').map(|label| label.trim().trim_matches('`'));
        let labels: BTreeSet<String> =
            words.filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect();
        listed.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
    }
    let shown: BTreeMap<_, _> = metrics
        .metrics
        .iter()
        .map(|(name, metric)| {
            assert!(metric.help.ends_with('.') || metric.help.ends_with('1'), "{name}");
            (name.clone(), (metric.kind.clone(), metric.labels.keys().cloned().collect()))
        })
        .collect();
    assert_eq!(listed, shown);
}

/// Every name, label and value of a query exists.
fn check(query: &str, metrics: &Metrics) -> usize {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut labels_of_all = BTreeSet::new();
    let mut names = 0;
    for (at, _) in query.match_indices("maepyo_") {
        let rest = &query[at..];
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let base = metrics.base(name).unwrap_or_else(|| panic!("there is no {name}: {query}"));
        let metric = &metrics.metrics[base];
        names += 1;
        labels_of_all.extend(metric.labels.keys().map(String::as_str));
        let Some(matchers) = rest[name.len()..].strip_prefix('{') else { continue };
        let matchers = &matchers[..matchers.find('}').expect("a brace")];
        for matcher in matchers.split(',') {
            let label = &matcher[..matcher.find(|c| !is_word(c)).expect("an operator")];
            let values = metric.labels.get(label);
            let values = values.unwrap_or_else(|| panic!("{name} has no label {label}: {query}"));
            let wanted = matcher[label.len()..].trim_start_matches(['=', '~', '!']);
            let wanted = wanted.trim_matches('"');
            if wanted.contains('$') {
                continue;
            }
            for value in wanted.split('|') {
                assert!(values.contains(value), "{name} has no {label} {value}: {query}");
            }
        }
    }
    for (at, by) in query.match_indices("by (") {
        let group = &query[at + by.len()..];
        for label in group[..group.find(')').expect("its end")].split(',').map(str::trim) {
            // What Prometheus adds by itself.
            let is_known = label == "instance" || labels_of_all.contains(label);
            assert!(is_known, "nothing has a label {label}: {query}");
        }
    }
    let braces = |open: char| query.chars().filter(|c| *c == open).count();
    assert_eq!((braces('('), braces('{')), (braces(')'), braces('}')), "{query}");
    names
}

/// The names that a legend is made of.
fn check_legend(legend: &str, query: &str) {
    for part in legend.split("{{").skip(1) {
        let label = part.split("}}").next().expect("its end");
        let is_there = query.contains(label) || !query.contains("by (");
        assert!(is_there, "{legend} speaks of {label}, and the query loses it: {query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_what_there_is() {
    let metrics = Metrics::of(&busy().await).await;
    let dashboard: Value =
        serde_json::from_str(&file("deploy/monitoring/dashboard.json")).expect("JSON");
    let mut asked = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "an id twice: {panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["title"].is_string() && panel["description"].is_string());
        for target in panel["targets"].as_array().expect("targets") {
            let query = target["expr"].as_str().expect("a query");
            assert!(check(query, &metrics) > 0, "it asks for nothing of ours: {query}");
            check_legend(target["legendFormat"].as_str().expect("a legend"), query);
            asked.insert(query.to_owned());
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["query"]["query"].as_str() {
            assert_eq!(check(query, &metrics), 1);
        }
    }
}

/// One rule of the file, by its keys; the file has one way of being written.
fn rules(text: &str) -> Vec<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let mut lines = lines.peekable();
    for expected in ["groups:", "  - name: maepyo", "    rules:"] {
        assert_eq!(lines.next(), Some(expected));
    }
    let mut rules: Vec<BTreeMap<String, String>> = Vec::new();
    for line in lines {
        if let Some(name) = line.strip_prefix("      - alert: ") {
            rules.push([("alert".to_owned(), name.to_owned())].into());
            continue;
        }
        let rule = rules.last_mut().expect("a rule has begun");
        let (key, value) = line.trim().split_once(':').expect("a key");
        let indent = line.len() - line.trim_start().len();
        let expected = if matches!(key, "severity" | "summary") { 10 } else { 8 };
        assert_eq!(indent, expected, "{line}");
        assert!(rule.insert(key.to_owned(), value.trim().to_owned()).is_none(), "twice: {line}");
    }
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_rules_ask_for_what_there_is() {
    let metrics = Metrics::of(&busy().await).await;
    let rules = rules(&file("deploy/monitoring/alerts.yaml"));
    assert!(rules.len() >= 10, "{rules:?}");
    let known = ["alert", "annotations", "expr", "for", "labels", "severity", "summary"];
    let mut names = BTreeSet::new();
    for rule in &rules {
        assert!(rule.keys().all(|key| known.contains(&key.as_str())), "{rule:?}");
        assert!(check(&rule["expr"], &metrics) > 0, "{rule:?}");
        assert!(matches!(rule["severity"].as_str(), "page" | "warn"), "{rule:?}");
        assert!(names.insert(&rule["alert"]), "twice: {rule:?}");
        check_legend(&rule["summary"].replace("$labels.", "").replace(' ', ""), &rule["expr"]);
    }
}
