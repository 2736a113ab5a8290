//! `docs/ledger.md`: it describes every column and no other, and its queries say what was sold, of a file
//! and of PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::PaymentOutcome;
use domain::limits::Limits;

use crate::against_the_rules::{short, tables_of, texts};
use crate::desk::{Desk, declined};
use crate::postgres::{kept_by, level, server};

const PAGE: &str = include_str!("../../../../docs/ledger.md");

/// The columns that the page describes, by table.
pub(crate) fn described() -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = BTreeMap::new();
    let mut table = None;
    for line in PAGE.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            table = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        }
        let column = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | "));
        if let (Some(table), Some((column, meaning))) = (table, column) {
            assert!(meaning.len() > " |".len(), "{table}.{column} has a meaning");
            let columns: &mut BTreeSet<String> = tables.entry(table.to_owned()).or_default();
            assert!(columns.insert(column.to_owned()), "{table}.{column} stands there once");
        }
    }
    tables
}

/// The page's queries by their headings: for a file, and for PostgreSQL.
fn queries() -> BTreeMap<&'static str, [String; 2]> {
    let mut queries = BTreeMap::new();
    let (_, part) = PAGE.split_once("## Ten queries").unwrap();
    for section in part.split("### ").skip(1) {
        let (heading, rest) = section.split_once('\n').unwrap();
        let blocks = rest.split("```sql\n").skip(1).map(|block| {
            let (query, _) = block.split_once("```").unwrap();
            query.trim().trim_end_matches(';').to_owned()
        });
        let blocks: Vec<String> = blocks.collect();
        let (first, last) = (&blocks[0], &blocks[blocks.len() - 1]);
        queries.insert(heading, [first.clone(), last.clone()]);
    }
    queries
}

#[test]
fn every_column_is_described_and_no_other() {
    let desk = Desk::open(Limits::default());
    drop(desk.ledger());
    let tables = desk.tables();
    let columns = |table: &String| -> BTreeSet<String> {
        texts(&tables, &format!("SELECT name FROM pragma_table_info('{table}')"))
            .into_iter()
            .collect()
    };
    let there: BTreeMap<String, BTreeSet<String>> =
        tables_of(&tables).iter().map(|table| (table.clone(), columns(table))).collect();
    let mut described = described();
    // What several nodes need that could keep it: compared with the database in `postgres.rs`.
    assert!(described.remove("keeper").is_some() && described.remove("violations").is_some());
    assert_eq!(described, there);
}

#[test]
fn the_ten_queries_say_what_was_sold() {
    // Six may come in: two pay, one holds, one's payment is unknown, one is owed a refund, one looks.
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits { active_limit: 6, ..Limits::default() });
    let buyers: Vec<_> = (0..9).map(|_| desk.join()).collect();
    let paid = desk.hold(buyers[0], &[0, 1]).unwrap();
    let payment = desk.pay(buyers[0], paid).unwrap();
    desk.settle(payment, PaymentOutcome::Approved);
    desk.commit();
    desk.wait(60_000);
    let holding = desk.hold(buyers[1], &[8, 9]).unwrap();
    let asking = desk.hold(buyers[2], &[4]).unwrap();
    let unknown = desk.pay(buyers[2], asking).unwrap();
    desk.settle(unknown, PaymentOutcome::Unknown);
    let owed = desk.hold(buyers[3], &[16]).unwrap();
    let due = desk.pay(buyers[3], owed).unwrap();
    desk.settle(due, declined());
    desk.settle(due, PaymentOutcome::Approved);
    desk.commit();
    // Past midnight in Seoul, and with another five minutes that stood still.
    desk.wait(6 * 3_600_000 - 60_000);
    let silent_since = domain::time::Timestamp(desk.now.0 - 6 * 3_600_000 + 60_000);
    desk.ask(&domain::Command::Resume { silent_since }).unwrap();
    let late = desk.hold(buyers[4], &[20]).unwrap();
    let payment = desk.pay(buyers[4], late).unwrap();
    desk.settle(payment, PaymentOutcome::Approved);
    desk.commit();
    drop(desk.ledger());
    drop(level(&kept_by("one", &url), &*desk.journal));

    let long =
        |id: u128| format!("{:0>26}", short(u64::try_from(id).unwrap()).trim_start_matches('0'));
    let (holding, asking, owed) = (short(holding.0), short(asking.0), short(owed.0));
    let expected: [(&str, Vec<String>); 10] = [
        ("Sales by grade", vec!["spring-1|VIP|2|400".into(), "spring-2|R|1|100".into()]),
        (
            "Sell-through by section",
            vec![
                "spring-1|1층|8|2|25".into(),
                "spring-1|2층|8|0|0".into(),
                "spring-2|1층|8|1|12.5".into(),
                "spring-2|2층|8|0|0".into(),
            ],
        ),
        ("Income by day", vec!["2026-05-01|1|400".into(), "2026-05-02|1|100".into()]),
        (
            "Unpaid holds now",
            vec![
                format!("{holding}|2|400|2026-05-01T10:01:00.000Z|2026-05-01T16:05:00.000Z"),
                format!("{owed}|1|200|2026-05-01T10:01:00.000Z|2026-05-01T16:05:00.000Z"),
            ],
        ),
        (
            "Payments that nobody knows the outcome of",
            vec![format!("{}|{asking}|100|2026-05-01T10:01:00.000Z", long(unknown.0))],
        ),
        ("Refunds due", vec![format!("{}|{owed}|200|2026-05-01T10:01:00.000Z", long(due.0))]),
        (
            "From the line to the ticket, by hour",
            vec!["2026-05-01T10|9|7|4|1".into(), "2026-05-01T16|0|1|1|1".into()],
        ),
        (
            "The list at the door",
            vec![
                format!("1층-A1|1층|A|VIP|{}", short(paid.0)),
                format!("1층-A2|1층|A|VIP|{}", short(paid.0)),
            ],
        ),
        ("The busiest minute", vec!["2026-05-01T10:00:00.000Z|9".into()]),
        (
            "What is kept back, and for whom",
            vec!["spring-1|press|4|400".into(), "spring-2|press|4|400".into()],
        ),
    ];
    let (queries, tables) = (queries(), desk.tables());
    assert_eq!(queries.len(), expected.len());
    for (heading, rows) in expected {
        let [of_file, of_database] = &queries[heading];
        assert_eq!(texts(&tables, of_file), rows, "{heading}");
        let text = server.run("ledger", of_database);
        // A percentage has its digit there also where that is 0.
        let found: Vec<&str> = text.lines().map(|row| row.trim_end_matches(".0")).collect();
        assert_eq!(found, rows, "{heading}, in PostgreSQL");
    }
}
