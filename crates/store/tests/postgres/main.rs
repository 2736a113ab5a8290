//! What only PostgreSQL can do to a journal: several nodes, lost connections, a server that is
//! restarted, put back, waits for its standby, or is newer than the program. With a real server.
#![expect(clippy::unwrap_used, reason = "a test ends at its first error")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a clock in milliseconds fits"
)]

mod formats;
mod standby;
mod tls;
mod turns;

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use pgserver::{Server, Setup};
use store::ledger::{Ledger, Location};
use store::{
    Append, Appended, Batch, BatchId, Format, Head, Journal, MemoryJournal, Options, StoreError,
    StreamId,
};

const ONE: StreamId = StreamId(1);
const SCHEMA: &str = "journal";
/// What the fifth version of the tables added.
const DROP_TURNS: &str = "DROP TABLE journal_turn_0, journal_turn_1, journal_turn_2, journal_turn_3, \
    journal_turn_4, journal_turn_5, journal_turn_6, journal_turn_7";
/// A transaction that is prepared keeps its locks without anybody who keeps it.
const CAN_BLOCK: &str = "max_prepared_transactions=4";

/// The connections of our journals.
const OURS: &str = "starts_with(application_name, 'maepyo')";

/// Appends a batch to the stream, whose end is known.
type AppendBehind = fn(&dyn Journal, Head, &Batch) -> Result<Vec<Appended>, StoreError>;

/// Without a lock and with one, and the statement that commits a first batch then.
const WAYS: [(AppendBehind, &str); 2] = [
    (|journal, _, batch| journal.append(&[to_one(batch)]), "-- append_first"),
    (
        |journal, known, batch| journal.lock(&[(ONE, known)])?.lock.append(&[to_one(batch)]),
        "-- commit",
    ),
];

/// Each time they meet somewhere else: PostgreSQL has four ways to say that somebody else was sooner.
#[test]
fn several_that_open_it_at_once_make_the_tables_once() {
    const TIMES: usize = 12;
    const NODES: usize = 8;
    let server = server(&[]);
    for time in 0..TIMES {
        let schema = format!("{SCHEMA}_{time}");
        let (url, begin) = (server.make_schema(&schema), Barrier::new(NODES));
        let epochs: Vec<u64> = thread::scope(|scope| {
            let open = || {
                begin.wait();
                store::open(&url, options()).unwrap().epoch().0
            };
            let opening: Vec<_> = (0..NODES).map(|_| scope.spawn(open)).collect();
            opening.into_iter().map(|opening| opening.join().unwrap()).collect()
        });
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
        assert_eq!(server.run(&schema, "SELECT count(*) FROM journal_meta"), "1");
        assert_eq!(server.run(&schema, "SELECT version FROM journal_schema"), "5");
    }
}

#[test]
fn what_a_newer_program_made_is_refused() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    server.run(SCHEMA, "UPDATE journal_schema SET version = 9");
    let newer = StoreError::NewerSchema { found: 9, known: 5 };
    assert_eq!(store::open(&url, options()).err(), Some(newer.clone()));
    assert_eq!(store::open_read_only(&url, options()).err(), Some(newer.clone()));
    // Whoever has it open notices with the next connection.
    server.end_connections("maepyo");
    assert_eq!(until(|| journal.heads().err().filter(|error| *error == newer)), newer);
}

#[test]
fn a_reader_reads_and_makes_nothing() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let error = store::open_read_only(&url, options()).err().unwrap();
    assert!(matches!(error, StoreError::NotAStore(_)), "{error}");

    let journal = store::open(&url, options()).unwrap();
    let first = after(None, b"first");
    append(&*journal, &first);
    journal.save_snapshot(ONE, first.head(), &|to| to.write_all(b"state")).unwrap();
    let reader = store::open_read_only(&url, options()).unwrap();
    assert_eq!(reader.epoch(), journal.epoch());
    assert_eq!(reader.read(ONE, Head::EMPTY, 1).unwrap(), std::slice::from_ref(&first));
    assert_eq!(reader.load_snapshot(ONE).unwrap().unwrap().1, b"state");
    let next = Append { stream: ONE, batch: after(Some(&first), b"next") };
    assert_eq!(reader.append(&[next]), Err(StoreError::ReadOnly));
    assert_eq!(reader.heartbeat(1), Err(StoreError::ReadOnly));
    let saved = reader.save_snapshot(ONE, first.head(), &|_| Ok(()));
    assert_eq!(saved, Err(StoreError::ReadOnly));
}

#[test]
fn a_connection_that_is_lost_before_the_commit_leaves_nothing() {
    for (append_behind, _) in WAYS {
        let server = server(&[CAN_BLOCK]);
        let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
        let first = after(None, b"first");
        append(&*journal, &first);
        let second = after(Some(&first), b"second");
        let lock = "BEGIN; LOCK TABLE journal_batch IN SHARE MODE; PREPARE TRANSACTION 'block'";
        server.run(SCHEMA, lock);
        thread::scope(|scope| {
            let sent = scope.spawn(|| append_behind(&*journal, first.head(), &second));
            end_waiting(&server, "wait_event_type = 'Lock'");
            let answer = sent.join().unwrap();
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        });
        server.run(SCHEMA, "ROLLBACK PREPARED 'block'");
        assert_eq!(journal.read(ONE, first.head(), 1).unwrap(), []);
        assert_eq!(journal.append(&[to_one(&second)]).unwrap(), [Appended::Appended]);
        assert_eq!(journal.read(ONE, Head::EMPTY, usize::MAX).unwrap(), [first, second]);
    }
}

/// The commit was on disk, the answer was lost: a standby that never comes gives the time to lose it.
#[test]
fn a_connection_that_is_lost_after_the_commit_is_answered_by_sending_the_same_again() {
    for (append_behind, _) in WAYS {
        let server = server(&[]);
        let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
        let first = after(None, b"first");
        append(&*journal, &first);
        let second = after(Some(&first), b"second");
        server.commits_wait_for("nobody");
        thread::scope(|scope| {
            let sent = scope.spawn(|| append_behind(&*journal, first.head(), &second));
            end_waiting(&server, "wait_event = 'SyncRep'");
            let answer = sent.join().unwrap();
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        });
        server.commits_wait_for("");
        assert_eq!(journal.append(&[to_one(&second)]).unwrap(), [Appended::AlreadyThere]);
        let third = after(Some(&second), b"third");
        append(&*journal, &third);
        assert_eq!(journal.read(ONE, Head::EMPTY, usize::MAX).unwrap(), [first, second, third]);
    }
}

/// PostgreSQL commits with a warning when the wait for the standby is cancelled. That does not count
/// until a later commit needed no warning.
#[test]
fn a_commit_that_may_not_be_on_the_standby_is_confirmed_by_a_later_one() {
    for (append_behind, commits_by) in WAYS {
        let server = server(&[]);
        let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
        let first = after(None, b"first");
        server.commits_wait_for("nobody");
        thread::scope(|scope| {
            let sent = scope.spawn(|| append_behind(&*journal, Head::EMPTY, &first));
            let waiting = format!("{OURS} AND wait_event = 'SyncRep'");
            let cancel = format!(
                "WITH waiting AS MATERIALIZED (SELECT * FROM pg_stat_activity WHERE {waiting})
                SELECT query FROM waiting WHERE pg_cancel_backend(pid)"
            );
            let first_wait =
                until(|| Some(server.run("public", &cancel)).filter(|q| !q.is_empty()));
            assert!(first_wait.contains(commits_by), "{first_wait}");
            // It is not answered: it waits for another commit now.
            let look = format!("SELECT query FROM pg_stat_activity WHERE {waiting}");
            let second_wait = until(|| {
                Some(server.run("public", &look)).filter(|query| query.contains("-- confirm"))
            });
            assert!(!sent.is_finished(), "{second_wait}");
            server.commits_wait_for("");
            assert_eq!(sent.join().unwrap().unwrap(), [Appended::Appended]);
        });
    }
}

#[test]
fn a_server_that_is_restarted_while_somebody_appends_loses_nothing() {
    const BATCHES: u64 = 240;
    let mut server = server(&[]);
    let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
    let (done, progress) = mpsc::channel();
    thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let mut batches: Vec<Batch> = Vec::new();
            for number in 0..BATCHES {
                let batch = after(batches.last(), &number.to_be_bytes());
                let answer = until(|| journal.append(&[to_one(&batch)]).ok());
                assert!(
                    [Appended::Appended, Appended::AlreadyThere].contains(&answer[0]),
                    "{answer:?}"
                );
                batches.push(batch);
                done.send(number).unwrap();
            }
            batches
        });
        for crash_at in [60, 120, 180] {
            while progress.recv().unwrap() < crash_at {}
            server.crash();
            server.start_again().unwrap();
        }
        let batches = appending.join().unwrap();
        assert_eq!(journal.read(ONE, Head::EMPTY, usize::MAX).unwrap(), batches);
    });
}

#[test]
fn a_history_that_lost_what_was_acknowledged_is_refused() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    let first = after(None, b"first");
    let second = after(Some(&first), b"second");
    append(&*journal, &first);
    append(&*journal, &second);
    let id = format!("decode('{:032x}', 'hex')", first.id.0);
    let put_back = format!(
        "DELETE FROM journal_batch WHERE number = 2; UPDATE journal_stream SET number = 1, id = {id}"
    );
    server.run(SCHEMA, &put_back);
    server.end_connections("maepyo");
    let third = after(Some(&second), b"third");
    let error = until(|| match journal.append(&[to_one(&third)]) {
        Err(StoreError::Unavailable(_)) => None,
        answer => Some(answer.unwrap_err()),
    });
    assert!(error.to_string().contains("batch 2 of stream 1, which was acknowledged"), "{error}");

    // Whoever starts anew takes it as it is, under a new epoch.
    let accepted = Options { accept_shorter_history: true, ..options() };
    let accepted = store::open(&url, accepted).unwrap();
    assert_ne!(accepted.epoch(), journal.epoch());
    assert_eq!(accepted.head(ONE).unwrap(), first.head());

    server.run(SCHEMA, "DELETE FROM journal_batch");
    let error = store::open(&url, options()).err().unwrap();
    assert!(error.to_string().contains("stream 1 has lost its last batch"), "{error}");
}

/// A dump that is put into another server is a copy of a history that may have gone on.
#[test]
fn a_history_that_was_copied_to_another_server_has_another_epoch() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    let first = after(None, b"first");
    append(&*journal, &first);
    assert_eq!(store::open(&url, options()).unwrap().epoch(), journal.epoch());

    let dump = server.run_program("pg_dump", &[&url]);
    let file = server.directory().join("dump.sql");
    std::fs::write(&file, dump).unwrap();
    // Made anew: those that are copied are one server to themselves.
    let other = Server::start(Setup { cache: None, ..setup(&[]) }).unwrap();
    let there = other.url(SCHEMA);
    let words = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().unwrap(), &there];
    other.run_program("psql", &words);
    let copy = store::open(&there, options()).unwrap();
    assert_ne!(copy.epoch(), journal.epoch());
    assert_eq!(copy.read(ONE, Head::EMPTY, usize::MAX).unwrap(), [first]);
    // It is at home there now.
    assert_eq!(store::open(&there, options()).unwrap().epoch(), copy.epoch());
}

#[test]
fn its_clock_is_the_servers_and_nobody_is_far_ahead_of_it() {
    let server = server(&[]);
    let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
    let before = journal.now_ms().unwrap();
    let asked = server.run("public", "SELECT extract(epoch FROM clock_timestamp()) * 1000");
    let asked: f64 = asked.parse().unwrap();
    let between = before..=journal.now_ms().unwrap();
    assert!(between.contains(&(asked.round() as u64)), "{asked} in {between:?}");

    let ahead = Batch { at_ms: journal.now_ms().unwrap() + 60_000, ..after(None, b"ahead") };
    let sent = [to_one(&ahead), Append { stream: StreamId(2), batch: after(None, b"good") }];
    for sent in [&sent[..1], &sent[..]] {
        let error = journal.append(sent).unwrap_err();
        assert!(error.to_string().contains("ahead of PostgreSQL's clock"), "{error}");
    }
    assert_eq!(journal.heads().unwrap(), [], "nothing of it was written");
    assert!(matches!(journal.heartbeat(ahead.at_ms), Err(StoreError::Unavailable(_))));
    assert_eq!(journal.last_heartbeat().unwrap(), None);
    let now = Batch { at_ms: journal.now_ms().unwrap() + 1_000, ..ahead };
    append(&*journal, &now);
}

#[test]
fn a_server_that_answers_too_soon_is_refused() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    for (setting, said) in [
        ("off", "synchronous_commit off, and would answer before anything is on disk"),
        ("local", "synchronous_commit local, and would answer before a standby has anything"),
    ] {
        let weak = format!("{url}%20-csynchronous_commit%3D{setting}");
        let error = store::open(&weak, options()).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
    }
    for strong in ["on", "remote_write", "remote_apply"] {
        let strong = format!("{url}%20-csynchronous_commit%3D{strong}");
        drop(store::open(&strong, options()).unwrap());
    }
    // Whoever only reads promises nothing.
    let reader = store::open_read_only(&format!("{url}%20-csynchronous_commit%3Doff"), options());
    assert_eq!(reader.unwrap().heads().unwrap(), []);
}

/// What is set for everybody while connections are open is not what their commits mean.
#[test]
fn a_connection_keeps_what_its_commits_wait_for() {
    let server = server(&[]);
    let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
    let first = after(None, b"first");
    append(&*journal, &first);
    server.run("public", "ALTER SYSTEM SET synchronous_commit = off");
    server.run("public", "SELECT pg_reload_conf()");
    until(|| (server.run("public", "SHOW synchronous_commit") == "off").then_some(()));
    server.commits_wait_for("nobody");
    let second = after(Some(&first), b"second");
    thread::scope(|scope| {
        let sent = scope.spawn(|| journal.append(&[to_one(&second)]));
        one_waits_for_a_standby(&server);
        server.commits_wait_for("");
        assert_eq!(sent.join().unwrap().unwrap(), [Appended::Appended]);
    });
    // A new one is refused.
    server.end_connections("maepyo");
    let error = until(|| journal.append(&[to_one(&after(Some(&second), b"third"))]).err());
    let error = if error.to_string().contains("synchronous_commit off") {
        error
    } else {
        journal.append(&[to_one(&after(Some(&second), b"third"))]).unwrap_err()
    };
    assert!(error.to_string().contains("synchronous_commit off"), "{error}");
}

#[test]
fn a_password_is_used_and_never_shown() {
    let with_password = vec!["ann".to_owned()];
    let server = Server::start(Setup { with_password, ..setup(&[]) }).unwrap();
    let role = "CREATE ROLE ann LOGIN PASSWORD 'geheim'; CREATE SCHEMA ann AUTHORIZATION ann";
    server.run("public", role);
    let url = server.url("ann").replace("//postgres@", "//ann@");
    let with = |password: &str| Options { password: Some(password.to_owned()), ..options() };
    let journal = store::open(&url, with("geheim")).unwrap();
    assert_eq!(journal.heads().unwrap(), []);
    for error in [
        store::open(&url, with("geheim2")).err().unwrap(),
        store::open(&url.replace("ann@", "ann:geheim2@"), options()).err().unwrap(),
        store::open(&url, options()).err().unwrap(),
    ] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(!format!("{error:?}").contains("geheim"), "{error}");
    }
}

/// The statements of `docs/operations.md` for the role that serves, when another one makes the tables.
fn grants(schema: &str, role: &str) -> String {
    let document = include_str!("../../../../docs/operations.md");
    let (_, part) = document.split_once("### Who may do what").unwrap();
    let (part, _) = part.split_once("\n###").unwrap();
    let lines = part.lines().map(str::trim).filter(|line| line.ends_with("TO serving;"));
    let grants: Vec<String> = lines
        .map(|line| line.replace("SCHEMA maepyo", &format!("SCHEMA {schema}")))
        .map(|line| line.replace("TO serving", &format!("TO {role}")))
        .collect();
    assert_eq!(grants.len(), 11, "{grants:#?}");
    grants.join("\n")
}

#[test]
fn a_role_that_may_not_make_tables_can_use_them() {
    let server = server(&[]);
    let owner = store::open(&server.make_schema(SCHEMA), options()).unwrap();
    drop(Ledger::open(&ledger("owner", &server.url(SCHEMA)), &*owner).unwrap());
    server.run(SCHEMA, &format!("CREATE ROLE ann LOGIN; {}", grants(SCHEMA, "ann")));
    let url = server.url(SCHEMA).replace("//postgres@", "//ann@");
    // What an older program made is for their owner to bring up.
    server.run(SCHEMA, "ALTER TABLE journal_meta DROP COLUMN server, DROP COLUMN format");
    server.run(SCHEMA, DROP_TURNS);
    server.run(SCHEMA, "UPDATE journal_schema SET version = 1");
    let error = store::open(&url, options()).err().unwrap().to_string();
    assert!(
        error.contains("the tables cannot be made: PostgreSQL says: permission denied"),
        "{error}"
    );
    drop(store::open(&server.url(SCHEMA), options()).unwrap());
    let error = store::open(&url, options()).err().unwrap().to_string();
    assert!(error.contains("lacks UPDATE on journal_turn_0"), "{error}");
    server.run(SCHEMA, &grants(SCHEMA, "ann"));
    let journal = store::open(&url, options()).unwrap();
    assert_eq!(journal.epoch(), owner.epoch());
    let first = after(None, b"first");
    append(&*journal, &first);
    append(&*journal, &after(Some(&first), b"second"));
    assert_eq!(journal.append(&[to_one(&first)]).unwrap(), [Appended::AlreadyThere]);
    let streams: Vec<(StreamId, Head)> = (1..40).map(|one| (StreamId(one), Head::EMPTY)).collect();
    journal.lock(&streams).unwrap().lock.append(&[]).unwrap();
    journal.heartbeat(1).unwrap();
    for state in [b"one", b"two"] {
        journal.save_snapshot(ONE, first.head(), &|to| to.write_all(state)).unwrap();
    }
    assert_eq!(journal.load_snapshot(ONE).unwrap().unwrap().1, b"two");
    // It sees the owner too, and soon nobody who is gone.
    until(|| (journal.writers().unwrap() == [Format(2), Format(2)]).then_some(()));
    journal.raise_format(Format(2)).unwrap();
    assert_eq!(owner.format(), Ok(Format(2)));
    let mut kept = Ledger::open(&ledger("ann", &url), &*journal).unwrap();
    let empty = MemoryJournal::new(journal.epoch(), Arc::new(|| 0), Format::FIRST);
    assert!(!kept.catch_up(&empty).unwrap().is_elsewhere);
    kept.start_over(&*journal).unwrap();
    // Tables that their owner makes anew are hers too.
    server.run(SCHEMA, "UPDATE ledger.keeper SET version = 2");
    drop(Ledger::open(&ledger("owner", &server.url(SCHEMA)), &*owner).unwrap());
    kept.catch_up(&empty).unwrap();
    kept.start_over(&*journal).unwrap();
    server.run(SCHEMA, "DROP SCHEMA ledger CASCADE");
    let refused = Ledger::open(&ledger("ann", &url), &*journal).unwrap_err().to_string();
    assert!(refused.contains("CREATE SCHEMA ledger AUTHORIZATION"), "{refused}");
}

/// The ledger of a node.
fn ledger(node: &str, url: &str) -> Location {
    Location::Database { address: url.to_owned(), password: None, node: node.to_owned() }
}

#[test]
fn a_long_snapshot_is_kept_in_pieces_and_a_damaged_one_passed_over() {
    let server = server(&[]);
    let journal = store::open(&server.make_schema(SCHEMA), options()).unwrap();
    let mut batches = vec![after(None, b"first")];
    append(&*journal, &batches[0]);
    for number in 1..4_u8 {
        batches.push(after(batches.last(), &[number]));
        append(&*journal, &batches[usize::from(number)]);
    }
    let state =
        |length: usize| -> Vec<u8> { (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect() };
    let long = state(5 << 19);
    for (batch, state) in batches.iter().zip([&long, &long, &long, &state(3 << 20)]) {
        let save = journal.save_snapshot(ONE, batch.head(), &|to| to.write_all(state));
        save.unwrap();
    }
    assert_eq!(server.run(SCHEMA, "SELECT number FROM journal_snapshot ORDER BY 1"), "3\n4");
    assert_eq!(server.run(SCHEMA, "SELECT count(*) FROM journal_snapshot_piece"), "7");
    let loaded = journal.load_snapshot(ONE).unwrap().unwrap();
    assert!(loaded == (batches[3].head(), state(3 << 20)));

    let newest = "save = (SELECT save FROM journal_snapshot WHERE number = 4) AND piece = 1";
    server.run(SCHEMA, &format!("UPDATE journal_snapshot_piece SET bytes = 'x' WHERE {newest}"));
    let loaded = journal.load_snapshot(ONE).unwrap().unwrap();
    assert!(loaded == (batches[2].head(), long));

    // One that fails halfway leaves nothing.
    let failed = journal.save_snapshot(ONE, batches[0].head(), &|to| {
        to.write_all(&state(2 << 20))?;
        Err(std::io::Error::other("no more"))
    });
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert_eq!(server.run(SCHEMA, "SELECT number FROM journal_snapshot ORDER BY 1"), "3\n4");
}

/// The verbs block, and may be called from a thread that serves a runtime.
#[test]
fn the_verbs_can_be_used_inside_of_a_runtime() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let journal = store::open(&url, options()).unwrap();
        append(&*journal, &after(None, b"first"));
        assert_eq!(journal.heads().unwrap().len(), 1);
        drop(journal);
    });
}

fn setup(settings: &[&str]) -> Setup {
    // A crash of the server loses nothing that the system has in its cache.
    let settings = settings.iter().chain(&["fsync=off"]).map(ToString::to_string).collect();
    Setup { cache: Some(env!("CARGO_TARGET_TMPDIR").into()), settings, ..Setup::default() }
}

fn server(settings: &[&str]) -> Server {
    Server::start(setup(settings)).unwrap()
}

fn options() -> Options {
    Options::new(Arc::new(|| 0))
}

/// Looks again and again, for a minute at least.
#[expect(clippy::disallowed_methods, reason = "a server in another process has no clock to move")]
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..30_000 {
        if let Some(found) = look() {
            return found;
        }
        // paces: what a server does can only be looked at.
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it was waited for in vain");
}

/// Looks until one commit of ours waits for a standby.
fn one_waits_for_a_standby(server: &Server) {
    let waiting =
        format!("SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND wait_event = 'SyncRep'");
    until(|| (server.run("public", &waiting) == "1").then_some(()));
}

/// Ends the connection of a statement of ours that waits like this, once there is one.
fn end_waiting(server: &Server, waiting: &str) {
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS} AND {waiting}"
    );
    until(|| Some(server.run("public", &end)).filter(|ended| ended == "1"));
}

fn to_one(batch: &Batch) -> Append {
    Append { stream: ONE, batch: batch.clone() }
}

fn append(journal: &dyn Journal, batch: &Batch) {
    assert_eq!(journal.append(&[to_one(batch)]).unwrap(), [Appended::Appended]);
}

fn after(batch: Option<&Batch>, body: &[u8]) -> Batch {
    let (head, at_ms) = batch.map_or((Head::EMPTY, 1_000), |batch| (batch.head(), batch.at_ms));
    Batch {
        number: head.number + 1,
        id: BatchId(u128::from(head.number + 1) << 64 | 5),
        previous: head.id,
        at_ms,
        body: body.to_vec(),
    }
}
