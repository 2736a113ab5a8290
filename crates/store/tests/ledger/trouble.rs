//! The ledger in PostgreSQL when something is in its way: a piece that takes long, a sale that cannot be written,
//! a server that has lost its place, readers, and somebody else's rows. With a real server.

use std::thread;

use domain::limits::Limits;
use domain::{Command, Sale};
use pgserver::Server;
use store::ledger::{Differences, Ledger, LedgerError, Progress};
use store::{Append, Batch, BatchId, Head, StreamId};

use crate::desk::{Desk, journal, schedule};
use crate::postgres::{kept_by, level, office, server, setup};

/// How often anything is asked that must be so in the end.
const ASKS_MAX: u32 = 10_000;

/// Asks again until PostgreSQL answers `1`.
pub(crate) fn until_one(server: &Server, question: &str) {
    let is_so = (0..ASKS_MAX).any(|_| server.run("public", question) == "1");
    assert!(is_so, "in vain: {question}");
}

/// A batch that follows `known`.
fn batch(known: Head, body: &[u8]) -> Batch {
    let number = known.number + 1;
    Batch {
        number,
        id: BatchId(u128::from(number) << 64),
        previous: known.id,
        at_ms: 1,
        body: body.to_vec(),
    }
}

/// What is done in PostgreSQL before a visit is written.
fn before_each_visit(server: &Server, what: &str) {
    let trigger = format!(
        "CREATE OR REPLACE FUNCTION public.before_visit() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN {what}; RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER before_visit BEFORE INSERT ON ledger.visits
         FOR EACH ROW EXECUTE FUNCTION public.before_visit()"
    );
    server.run("public", &trigger);
}

/// One event may move all rows of a sale: longer than any other statement may take.
#[test]
fn a_piece_may_take_long_and_nobody_who_looks_waits_for_it() {
    let (server, url, mut desk, mut one) = office();
    let mut two = Ledger::open(&kept_by("two", &url), &*desk.journal).unwrap();
    before_each_visit(&server, "PERFORM pg_sleep(5.5)");
    server.run("public", "UPDATE ledger.keeper SET until_ms = until_ms - 5000");
    desk.join();
    desk.commit();
    thread::scope(|scope| {
        let written = scope.spawn(|| one.catch_up(&*desk.journal));
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        until_one(&server, asleep);
        let free = "SELECT left(node, 3) FROM ledger.keeper FOR UPDATE NOWAIT";
        assert_eq!(server.run("public", free), "one", "its row is not locked");
        assert!(two.catch_up(&*desk.journal).unwrap().is_elsewhere);
        assert_eq!(server.run("public", asleep), "1", "the piece is still under way");
        assert_eq!(written.join().unwrap().unwrap().batches, 1);
    });
}

#[test]
fn a_sale_that_cannot_be_written_keeps_no_other_from_it() {
    let (server, _, mut desk, mut ledger) = office();
    before_each_visit(&server, "RAISE EXCEPTION 'not now'");
    desk.join();
    desk.commit();
    let other = |known| Append { stream: StreamId(2), batch: batch(known, &[]) };
    desk.journal.append(&[other(Head::EMPTY)]).unwrap();
    let failed = ledger.catch_up(&*desk.journal).unwrap_err();
    assert!(
        matches!(&failed, LedgerError::Unavailable(why) if why.contains("not now")),
        "{failed}"
    );
    let heads = "SELECT stream, batch_number FROM ledger.positions ORDER BY 1";
    assert_eq!(server.run("public", heads), "1|1\n2|1");

    // What cannot be read is told all the same.
    let later = batch(other(Head::EMPTY).batch.head(), &[3, 0xf6]);
    desk.journal.append(&[Append { stream: StreamId(2), batch: later }]).unwrap();
    let progress = ledger.catch_up(&*desk.journal).unwrap();
    assert!(!progress.is_level && progress.unreadable.len() == 1, "{progress:?}");
    ledger.catch_up(&*desk.journal).unwrap_err();
    before_each_visit(&server, "NULL");
    let written = Progress { batches: 1, is_level: true, lacks: true, ..Progress::default() };
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap(), written);
}

/// What can be read is written, up to there; also when somebody has made the tables anew.
#[test]
fn what_cannot_be_read_is_said_once() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits::default());
    let later = |known| Append { stream: StreamId(2), batch: batch(known, &[3, 0xf6]) };
    let first = Append { stream: StreamId(2), batch: batch(Head::EMPTY, &[]) };
    let known = first.batch.head();
    desk.journal.append(&[first]).unwrap();
    desk.journal.append(&[later(known)]).unwrap();
    let mut ledger = Ledger::open(&kept_by("one", &url), &*desk.journal).unwrap();
    let progress = ledger.catch_up(&*desk.journal).unwrap();
    let [LedgerError::Unreadable { number: 2, .. }] = &progress.unreadable[..] else {
        panic!("{progress:?}");
    };
    assert!(progress.is_level && progress.lacks, "{progress:?}");
    let head = "SELECT batch_number FROM ledger.positions WHERE stream = 2";
    assert_eq!(server.run("public", head), "1", "what is before it");
    for _ in 0..2 {
        desk.join();
        desk.commit();
        let again = Progress { batches: 1, is_level: true, lacks: true, ..Progress::default() };
        assert_eq!(ledger.catch_up(&*desk.journal).unwrap(), again);
    }
    let refused = Ledger::rebuild(&kept_by("two", &url), &*desk.journal).unwrap_err();
    assert!(matches!(refused, LedgerError::Unreadable { .. }), "{refused}");
    server.run("public", "DELETE FROM ledger.positions WHERE stream = 2");
    let again = ledger.catch_up(&*desk.journal).unwrap();
    assert!(again.is_level && again.lacks && again.unreadable.is_empty(), "{again:?}");
    assert_eq!(server.run("public", head), "1", "what is before it, again");
}

/// PostgreSQL has no such texts.
#[test]
fn a_nul_in_a_name_is_written_as_another_sign() {
    let server = server();
    let url = server.make_schema("office");
    let mut desk = Desk::open_on(&url, Limits::default());
    let mut anew = schedule(Limits::default());
    anew.plan.performances[1].title = "A\0B".into();
    anew.plan.performances[1].sections[1].rows[1].seats[3].number = "B\0".into();
    desk.ask(&Command::Change(Box::new(anew))).unwrap();
    desk.commit();
    drop(level(&kept_by("one", &url), &*desk.journal));
    let title = "SELECT title FROM ledger.performances WHERE performance_number = 1";
    assert_eq!(server.run("public", title), "A\u{FFFD}B");
    assert_eq!(compared(&url, &desk, &desk.sale), Differences::default());
}

fn compared(url: &str, desk: &Desk, sale: &Sale) -> Differences {
    Ledger::look(&kept_by("two", url), &*desk.journal).unwrap().compare(sale).unwrap()
}

/// It goes on answering, and nobody else uses it.
#[test]
fn a_server_that_has_lost_its_place_is_left() {
    let primary = server();
    let standby = Server::start_standby(setup(), &primary).unwrap();
    primary.commits_wait_for_standby();
    let old = primary.make_schema("office");
    let hosts = format!("{},{}", primary.host(), standby.host());
    let mut desk = Desk::open_on(&old, Limits::default());
    let node = kept_by("one", &old.replace(&primary.host(), &hosts));
    let mut ledger = level(&node, &*desk.journal);
    // The tables go to the standby with the next batch at the latest.
    desk.join();
    desk.commit();
    standby.promote().unwrap();
    standby.commits_wait_for("");
    desk.journal = journal(&old.replace(&primary.host(), &standby.host()));
    desk.join();
    desk.commit();
    let lost = ledger.catch_up(&*desk.journal).unwrap();
    assert!(lost.is_elsewhere && !lost.is_level && lost.batches == 0, "{lost:?}");
    let written = Progress { batches: 2, is_level: true, ..Progress::default() };
    assert_eq!(ledger.catch_up(&*desk.journal).unwrap(), written);
    let head = "SELECT batch_number FROM ledger.positions WHERE stream = 1";
    assert_eq!(standby.run("public", head), "3");
}

/// Also made anew, which does not ask whether it is of use.
#[test]
fn nobody_makes_the_ledger_of_another_journal_anew() {
    let (server, url, desk, ledger) = office();
    drop(ledger);
    let other = server.make_schema("other");
    let other_desk = Desk::open_on(&other, Limits::default());
    let refused = Ledger::rebuild(&kept_by("two", &other), &*other_desk.journal).unwrap_err();
    assert!(matches!(refused, LedgerError::Refused(_)), "{refused}");
    assert_eq!(compared(&url, &desk, &desk.sale), Differences::default());
    // The way where the schema of the journal has another name now.
    server.run("public", "DROP SCHEMA ledger CASCADE");
    drop(level(&kept_by("two", &other), &*other_desk.journal));
}

#[test]
fn a_row_of_keeper_that_is_gone_comes_back() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    let node = kept_by("one", &url);
    let mut ledger = level(&node, &*desk.journal);
    server.run("public", "DELETE FROM ledger.keeper");
    let damaged = ledger.catch_up(&*desk.journal).unwrap_err();
    assert!(matches!(damaged, LedgerError::Damaged(_)), "{damaged}");
    ledger.start_over(&*desk.journal).unwrap();
    assert!(ledger.catch_up(&*desk.journal).unwrap().is_level);
    server.run("public", "DELETE FROM ledger.keeper");
    drop(level(&node, &*desk.journal));
    assert_eq!(server.run("public", "SELECT version, journal FROM ledger.keeper"), "3|office");
}

/// Each waits for the other only in one direction.
#[test]
fn tables_that_are_made_anew_wait_for_who_looks_at_them() {
    let server = server();
    let url = server.make_schema("office");
    let desk = Desk::open_on(&url, Limits::default());
    let node = kept_by("one", &url);
    drop(level(&node, &*desk.journal));
    for is_emptied in [false, true] {
        let mut look = Ledger::look(&kept_by("two", &url), &*desk.journal).unwrap();
        if !is_emptied {
            server.run("public", "UPDATE ledger.keeper SET version = 2");
        }
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                if is_emptied {
                    Ledger::rebuild(&node, &*desk.journal).map(drop)
                } else {
                    Ledger::open(&node, &*desk.journal).map(drop)
                }
            });
            until_one(&server, "SELECT count(*) FROM pg_locks WHERE NOT granted");
            let differences = look.compare(&desk.sale);
            drop(look);
            assert_eq!(differences.unwrap(), Differences::default());
            made.join().unwrap().unwrap();
        });
        drop(level(&node, &*desk.journal));
    }
}
