//! The ledger in PostgreSQL: that it is row for row the one in a file, whoever keeps it and whatever
//! becomes of them; and who keeps it. With a real server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use domain::limits::Limits;
use pgserver::{Server, Setup};
use proptest::prelude::*;
use store::ledger::{Differences, Keeper, Ledger, LedgerError, Location, Progress};
use store::{Journal, StreamId};

use crate::against_the_rules::{Interlude, dump, history, narrow, short, tables_of, texts};
use crate::desk::{Desk, journal};
use crate::page::described;
use crate::trouble::until_one;

/// How often anything is tried that must succeed in the end.
const TRIES_MAX: u32 = 10_000;

pub(crate) fn server() -> Server {
    Server::start(setup()).unwrap()
}

pub(crate) fn setup() -> Setup {
    let cache: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    let settings = vec!["fsync=off".to_owned()];
    Setup { cache: Some(cache), settings, ..Setup::default() }
}

/// The ledger of a node, in the database at `url`.
pub(crate) fn kept_by(node: &str, url: &str) -> Location {
    Location::Database { address: url.to_owned(), password: None, node: node.to_owned() }
}

/// Everything that is in both kinds of ledger, as [`dump`] says it of a file.
fn dump_of(server: &Server, desk: &Desk) -> Vec<String> {
    let tables = tables_of(&desk.tables());
    let rows = |table: &String| format!("SELECT '{table}', * FROM ledger.{table};");
    let all: String = tables.iter().map(rows).collect();
    let text = server.run("public", &all);
    let mut rows: Vec<String> = text.lines().map(|row| row.replacen('|', ": ", 1)).collect();
    rows.sort();
    rows
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Brings a ledger up to the journal's end, from where it can be kept.
pub(crate) fn level(location: &Location, journal: &dyn Journal) -> Ledger {
    let mut ledger = Ledger::open(location, journal).unwrap();
    bring_up(&mut ledger, journal);
    ledger
}

fn bring_up(ledger: &mut Ledger, journal: &dyn Journal) {
    for _ in 0..TRIES_MAX {
        let progress = ledger.catch_up(journal).unwrap();
        if progress.is_level {
            assert!(!progress.is_elsewhere);
            return;
        }
    }
    panic!("it is never level");
}

proptest! {
    // Each takes a server and some hundred commits.
    #![proptest_config(ProptestConfig { cases: 2, ..ProptestConfig::default() })]

    /// The file is compared with the rules elsewhere, and PostgreSQL with the file.
    #[test]
    fn the_rows_are_those_of_a_file(
        numbers in prop::collection::vec(0..1_000_000_u32, 400..900)
    ) {
        let server = server();
        let url = server.make_schema("office");
        let node = kept_by("one", &url);
        let mut desk = Desk::open_on(&url, narrow());
        let mut ledger = Ledger::open(&node, &*desk.journal).unwrap();
        history(&mut desk, &numbers, |desk, interlude| match interlude {
            Interlude::Level => {
                ledger = level(&node, &*desk.journal);
                drop(desk.ledger());
                let looked = Ledger::look(&node, &*desk.journal).unwrap().compare(&desk.sale);
                assert_eq!(looked.unwrap(), Differences::default());
                assert_eq!(sorted(dump(&desk.tables())), dump_of(&server, desk));
            }
            Interlude::Stopped => ledger = Ledger::open(&node, &*desk.journal).unwrap(),
            Interlude::Piece => drop(ledger.catch_up(&*desk.journal).unwrap()),
        });
        Ledger::rebuild(&node, &*desk.journal).unwrap();
        assert_eq!(sorted(dump(&desk.tables())), dump_of(&server, &desk));
    }
}

/// Numbers in no order.
fn numbers(count: u32) -> Vec<u32> {
    (0..count).map(|number| number.wrapping_mul(2_654_435_769) >> 12).collect()
}

/// Two nodes that both believe to keep it, for nobody's turn lasts, and whose connections are cut.
#[test]
fn two_that_write_at_once_write_nothing_twice() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, narrow());
    history(&mut desk, &numbers(600), |_, _| {});
    drop(desk.ledger());
    let whole = sorted(dump(&desk.tables()));
    drop(Ledger::open(&kept_by("zero", &url), &*desk.journal).unwrap());
    let (opened, is_over) = (Barrier::new(3), AtomicBool::new(false));
    let (mut wrote, mut overtaken) = (0, 0);
    thread::scope(|scope| {
        let keep = |node: &'static str| {
            let (url, opened, is_over) = (&url, &opened, &is_over);
            move || {
                let journal = journal(url);
                let mut ledger = Ledger::open(&kept_by(node, url), &*journal).unwrap();
                opened.wait();
                let (mut wrote, mut overtaken) = (0, 0);
                for _ in 0..TRIES_MAX {
                    match ledger.catch_up_by(1 << 10, &*journal) {
                        Ok(progress) if progress.is_level => break,
                        Ok(Progress { batches, is_elsewhere, .. }) => {
                            wrote += batches;
                            overtaken += u32::from(is_elsewhere);
                        }
                        Err(LedgerError::Unavailable(_) | LedgerError::Journal(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                is_over.store(true, Ordering::Relaxed);
                (wrote, overtaken)
            }
        };
        let nodes = [scope.spawn(keep("one")), scope.spawn(keep("two"))];
        opened.wait();
        let mut round = 0;
        while !is_over.load(Ordering::Relaxed) {
            round += 1;
            if round % 8 == 0 {
                server.end_connections("maepyo");
            }
            server.run("public", "UPDATE ledger.keeper SET until_ms = 0 WHERE until_ms > 0");
        }
        for node in nodes {
            let did = node.join().unwrap();
            (wrote, overtaken) = (wrote + did.0, overtaken + did.1);
        }
    });
    assert!(overtaken > 0, "they were never at it at once; {wrote} batches");
    server.run("public", "UPDATE ledger.keeper SET until_ms = 0");
    drop(level(&kept_by("three", &url), &*desk.journal));
    assert_eq!(whole, dump_of(&server, &desk));
}

#[test]
fn one_node_keeps_it_and_the_others_look() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits::default());
    let mut one = Ledger::open(&kept_by("one", &url), &*desk.journal).unwrap();
    let mut two = Ledger::open(&kept_by("two", &url), &*desk.journal).unwrap();
    let wrote = one.catch_up(&*desk.journal).unwrap();
    assert!(wrote.is_level && !wrote.is_elsewhere && wrote.batches > 0, "{wrote:?}");
    let looked = Progress { is_level: true, is_elsewhere: true, ..Progress::default() };
    assert_eq!(two.catch_up(&*desk.journal).unwrap(), looked);

    // What is new when it is looked is waited for, and not what comes after that.
    desk.join();
    desk.commit();
    let behind = Progress { is_level: false, ..looked };
    assert_eq!(two.catch_up(&*desk.journal).unwrap(), behind);
    one.catch_up(&*desk.journal).unwrap();
    desk.join();
    desk.commit();
    let looked = Progress { is_level: true, is_elsewhere: true, ..Progress::default() };
    assert_eq!(two.catch_up(&*desk.journal).unwrap(), looked);
    let Keeper { node, left_ms } = two.keeper().unwrap().unwrap();
    assert!(node == "one" && (1..=10_000).contains(&left_ms), "{node} for {left_ms} ms");

    // Given up, it is another's at once; and when its time is over.
    one.give_up().unwrap();
    assert_eq!(two.keeper().unwrap(), None);
    let wrote = two.catch_up(&*desk.journal).unwrap();
    assert!(wrote.batches == 1 && !wrote.is_elsewhere, "{wrote:?}");
    assert!(one.catch_up(&*desk.journal).unwrap().is_elsewhere);
    server.run("public", "UPDATE ledger.keeper SET until_ms = until_ms - 10000");
    assert!(!one.catch_up(&*desk.journal).unwrap().is_elsewhere);
    // What the other one wrote is known to who goes on.
    let place = desk.join();
    desk.hold(place, &[0]).unwrap();
    desk.commit();
    assert_eq!(one.catch_up(&*desk.journal).unwrap().batches, 1);
    drop(desk.ledger());
    assert_eq!(sorted(dump(&desk.tables())), dump_of(&server, &desk));
}

#[test]
fn who_keeps_it_says_so_again_in_time() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    let mut one = level(&kept_by("one", &url), &*desk.journal);
    server.run("public", "UPDATE ledger.keeper SET until_ms = until_ms - 2000");
    one.catch_up(&*desk.journal).unwrap();
    assert!(one.keeper().unwrap().unwrap().left_ms < 8_500, "there is time");
    server.run("public", "UPDATE ledger.keeper SET until_ms = until_ms - 2000");
    one.catch_up(&*desk.journal).unwrap();
    assert!(one.keeper().unwrap().unwrap().left_ms > 8_500, "it was put off");
}

#[test]
fn all_nodes_learn_that_a_seat_has_two_owners() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits::default());
    let place = desk.join();
    let owner = desk.hold(place, &[0, 1]).unwrap();
    desk.commit();
    let mut one = level(&kept_by("one", &url), &*desk.journal);
    let mut two = Ledger::open(&kept_by("two", &url), &*desk.journal).unwrap();
    let foreign =
        "UPDATE ledger.reservation_lines SET seat_number = '1층-A3' WHERE line_number = 1";
    server.run("public", foreign);
    let before = dump_of(&server, desk_with_file(&desk));

    let other = desk.join();
    let claimant = desk.hold(other, &[3, 2]).unwrap();
    desk.commit();
    let found = one.catch_up(&*desk.journal).unwrap();
    assert!(found.is_level && found.lacks && found.violations.len() == 1, "{found:?}");
    let violation = &found.violations[0];
    let (seat, performance) = (&*violation.seat, &*violation.performance);
    assert_eq!((violation.stream, seat, performance), (StreamId(1), "1층-A3", "spring-1"));
    assert_eq!((&violation.owner, &violation.claimant), (&short(owner.0), &short(claimant.0)));
    let told = two.catch_up(&*desk.journal).unwrap();
    assert!(told.is_elsewhere && told.lacks, "{told:?}");
    assert_eq!(told.violations, found.violations);
    assert_eq!(before, dump_of(&server, &desk), "nothing of the batch was written");

    // Once is enough; a node that starts is told too, and whoever keeps it next writes nothing of it.
    assert!(two.catch_up(&*desk.journal).unwrap().violations.is_empty());
    assert!(one.catch_up(&*desk.journal).unwrap().violations.is_empty());
    one.give_up().unwrap();
    let mut three = Ledger::open(&kept_by("three", &url), &*desk.journal).unwrap();
    let told = three.catch_up(&*desk.journal).unwrap();
    assert!(!told.is_elsewhere && told.lacks && told.batches == 0, "{told:?}");
    assert_eq!(told.violations, found.violations);

    // Made anew, it is as sound as the journal, and all go on.
    Ledger::rebuild(&kept_by("operator", &url), &*desk.journal).unwrap();
    for ledger in [&mut one, &mut two, &mut three] {
        let progress = ledger.catch_up(&*desk.journal).unwrap();
        assert!(progress.is_level && !progress.lacks, "{progress:?}");
    }
    drop(desk.ledger());
    assert_eq!(sorted(dump(&desk.tables())), dump_of(&server, &desk));
}

/// The same desk, once its file is there to say which tables there are.
fn desk_with_file(desk: &Desk) -> &Desk {
    drop(desk.ledger());
    desk
}

/// Each time they meet somewhere else.
#[test]
fn several_that_open_it_at_once_make_the_tables_once() {
    const TIMES: usize = 6;
    const NODES: usize = 8;
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    for _ in 0..TIMES {
        server.run("public", "DROP SCHEMA IF EXISTS ledger CASCADE");
        let begin = Barrier::new(NODES);
        let open = |node: usize| {
            begin.wait();
            drop(Ledger::open(&kept_by(&node.to_string(), &url), &*desk.journal).unwrap());
        };
        thread::scope(|scope| {
            for node in 0..NODES {
                scope.spawn(move || open(node));
            }
        });
    }
    assert_eq!(server.run("public", "SELECT version, journal FROM ledger.keeper"), "3|office");
    drop(level(&kept_by("one", &url), &*desk.journal));
    drop(desk.ledger());
    assert_eq!(sorted(dump(&desk.tables())), dump_of(&server, &desk));
}

#[test]
fn one_that_cannot_be_used_is_made_again_and_a_newer_one_left_alone() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits::default());
    let place = desk.join();
    desk.hold(place, &[0, 1]).unwrap();
    desk.commit();
    drop(desk.ledger());
    let sound = sorted(dump(&desk.tables()));
    let node = kept_by("one", &url);
    drop(level(&node, &*desk.journal));
    server.run("public", "CREATE ROLE ann; GRANT SELECT ON ledger.sales TO ann");
    let damages = [
        "UPDATE ledger.history SET epoch = '0123456789abcdef'",
        "UPDATE ledger.positions SET batch_id = '00000000000000000000000000000063'",
        "UPDATE ledger.positions SET batch_number = 99",
        "DELETE FROM ledger.positions",
        "UPDATE ledger.keeper SET version = 2",
        "DROP TABLE ledger.positions",
        "DROP TABLE ledger.history",
        "DROP SCHEMA ledger CASCADE",
    ];
    for damage in damages {
        server.run("public", damage);
        let mut ledger = Ledger::open(&node, &*desk.journal).unwrap();
        // Damage that only shows on the way is said, and mended by starting over.
        let mut damages = 0;
        while let Err(error) = ledger.catch_up(&*desk.journal) {
            assert!(matches!(error, LedgerError::Damaged(_)), "{damage}: {error}");
            damages += 1;
            assert_eq!(damages, 1, "{damage}: {error}");
            ledger.start_over(&*desk.journal).unwrap();
        }
        bring_up(&mut ledger, &*desk.journal);
        assert_eq!(sound, dump_of(&server, &desk), "{damage}");
        if damage.contains("epoch") || damage.contains("batch_id") {
            let may = "SELECT has_table_privilege('ann', 'ledger.sales', 'SELECT')";
            assert_eq!(server.run("public", may), "t", "who was let in still is");
        }
    }
    server.run("public", "UPDATE ledger.keeper SET version = 99");
    let newer = LedgerError::NewerSchema { found: 99, known: 3 };
    assert_eq!(Ledger::open(&node, &*desk.journal).unwrap_err(), newer);
    assert_eq!(Ledger::look(&node, &*desk.journal).unwrap_err(), newer);
    assert_eq!(sound, dump_of(&server, &desk));
    // Whoever does not need it can have a new one.
    Ledger::rebuild(&node, &*desk.journal).unwrap();
    assert_eq!(sound, dump_of(&server, &desk));
}

/// A box office whose ledger has everything, and who keeps it.
pub(crate) fn office() -> (Server, String, Desk, Ledger) {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    let ledger = level(&kept_by("one", &url), &*desk.journal);
    (server, url, desk, ledger)
}

/// A database with two box offices has one ledger, and they do not fight for it.
#[test]
fn the_ledger_of_another_journal_is_left_alone() {
    let (server, _, _desk, ledger) = office();
    drop(ledger);
    let other = server.make_schema("other");
    let other_desk = Desk::open_on(&other, Limits::default());
    let refused = Ledger::open(&kept_by("two", &other), &*other_desk.journal).unwrap_err();
    assert!(refused.to_string().contains("of the journal in the schema office"), "{refused}");
    let looked = Ledger::look(&kept_by("two", &other), &*other_desk.journal).unwrap_err();
    assert!(matches!(looked, LedgerError::Damaged(_)), "{looked}");
}

/// A node reads from a server that has lost its place, and writes to the one that took over.
#[test]
fn what_the_database_has_not_in_its_journal_is_not_written() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    let mut ledger = level(&kept_by("one", &url), &*desk.journal);
    let before = dump_of(&server, desk_with_file(&desk));
    // Another journal of the same epoch's name, which went on.
    let mut elsewhere = Desk::open(Limits::default());
    elsewhere.join();
    elsewhere.commit();
    let progress = ledger.catch_up(&*elsewhere.journal).unwrap();
    assert!(progress.is_elsewhere && !progress.is_level && progress.batches == 0, "{progress:?}");
    assert_eq!(before, dump_of(&server, &desk));
}

/// What a tool for reports may do with the rights that `docs/operations.md` gives it.
#[test]
fn who_reports_may_read_and_nothing_else() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    drop(level(&kept_by("one", &url), &*desk.journal));
    let page = include_str!("../../../../docs/operations.md");
    let (_, part) = page.split_once("### Who may read the ledger").unwrap();
    let (part, _) = part.split_once("\n###").unwrap();
    let lines: Vec<&str> = part.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    server.run("public", &format!("CREATE ROLE reporting LOGIN; {}", lines.join("\n")));
    let as_reporter = |statement: &str| {
        server.run("public", &format!("SET ROLE reporting; SET search_path = ledger; {statement}"))
    };
    assert_eq!(as_reporter("SELECT count(*) FROM seats"), "32");
    for (table, right) in [("sales", "INSERT"), ("sales", "UPDATE"), ("positions", "TRUNCATE")] {
        let may = format!("SELECT has_table_privilege('reporting', 'ledger.{table}', '{right}')");
        assert_eq!(server.run("public", &may), "f", "{table} {right}");
    }
    let may = "SELECT has_schema_privilege('reporting', 'office', 'USAGE')";
    assert_eq!(server.run("public", may), "f");
    // Tables of a later version are theirs too.
    server.run("public", "UPDATE ledger.keeper SET version = 2");
    drop(level(&kept_by("one", &url), &*desk.journal));
    assert_eq!(as_reporter("SELECT count(*) FROM seats"), "32");
}

/// A commit of the ledger waits for no standby; what one that takes over has not heard of is written again.
#[test]
fn what_a_failover_takes_back_is_written_again() {
    let mut primary = server();
    let mut standby = Server::start_standby(setup(), &primary).unwrap();
    primary.commits_wait_for_standby();
    let hosts = format!("{},{}", primary.host(), standby.host());
    let url = primary.make_schema("office").replace(&primary.host(), &hosts);
    let mut desk = Desk::open_on(&url, Limits::default());
    let mut ledger = level(&kept_by("one", &url), &*desk.journal);
    let place = desk.join();
    desk.hold(place, &[0, 1]).unwrap();
    desk.commit();
    // What a commit waits for is the standby's disk, and not that it can be read there.
    let end = primary.run("public", "SELECT pg_current_wal_flush_lsn()");
    until_one(&standby, &format!("SELECT (pg_last_wal_replay_lsn() >= '{end}')::integer"));
    let before = dump_of(&standby, desk_with_file(&desk));
    standby.crash();
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap().batches, 1);
    let whole = sorted(dump(&desk.tables()));
    assert_eq!(whole, dump_of(&primary, &desk));

    primary.crash();
    standby.start_again().unwrap();
    standby.promote().unwrap();
    standby.commits_wait_for("");
    assert_eq!(before, dump_of(&standby, &desk), "it has the batch, and not its rows");
    let (mut again, mut tries) = (Vec::new(), 0);
    while !matches!(again.last(), Some(Progress { is_level: true, is_elsewhere: false, .. })) {
        tries += 1;
        assert!(tries < TRIES_MAX, "it is never level: {again:?}");
        match ledger.catch_up(&*desk.journal) {
            Ok(progress) => again.push(progress),
            Err(LedgerError::Unavailable(_) | LedgerError::Journal(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(again.iter().map(|progress| progress.batches).sum::<u64>(), 1, "{again:?}");
    assert_eq!(whole, dump_of(&standby, &desk));
}

#[test]
fn its_columns_are_those_of_a_file() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    drop(level(&kept_by("one", &url), &*desk.journal));
    drop(desk.ledger());
    let tables = desk.tables();
    for table in tables_of(&tables) {
        let of_file = format!("SELECT name FROM pragma_table_info('{table}')");
        let of_database = format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = 'ledger' AND table_name = '{table}' ORDER BY ordinal_position"
        );
        let columns = server.run("public", &of_database);
        assert_eq!(texts(&tables, &of_file), columns.lines().collect::<Vec<_>>(), "{table}");
    }
    let columns = "SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'ledger'";
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in server.run("public", columns).lines() {
        let (table, column) = line.split_once('|').unwrap();
        there.entry(table.to_owned()).or_default().insert(column.to_owned());
    }
    assert_eq!(described(), there);
    let kinds = "SELECT DISTINCT data_type FROM information_schema.columns \
                 WHERE table_schema = 'ledger' ORDER BY 1";
    assert_eq!(server.run("public", kinds), "bigint\ntext");
    let index = "SELECT indexdef LIKE 'CREATE UNIQUE INDEX%WHERE (live = 1)' FROM pg_indexes \
                 WHERE schemaname = 'ledger' AND indexname = 'one_live_owner'";
    assert_eq!(server.run("public", index), "t");
}
