//! What every journal must do, whatever it is made of: one suite, run against each backend.
//!
//! The suite goes through a wrapper that notes which verbs of the trait were used, and fails when
//! one was not. The trait has no default methods, so a new verb does not compile until the wrapper
//! knows it, and does not pass until the suite uses it.
//!
//! One idea: all that holds for every backend, and the model they are compared with.

#![expect(clippy::unwrap_used, reason = "a test ends at its first error")]

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::thread;

use pgserver::{Server, Setup};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use store::codec::FORMAT_MAX;
use store::{
    Append, Appended, Batch, BatchId, Epoch, Format, Head, Journal, Locked, Newer, Options,
    StoreError, StreamId, WriteSnapshot,
};

const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);
const NOW_MS: u64 = 1_767_225_600_000;
const NO_LIMIT: usize = usize::MAX;
/// What a journal without a clock of its own says.
const GIVEN: RangeInclusive<u64> = NOW_MS..=NOW_MS;
/// And one that has one.
const ITS_OWN: RangeInclusive<u64> = NOW_MS..=100 * NOW_MS;

#[test]
fn the_journal_in_memory_conforms() {
    conforms(&|options| store::open("memory:", options).unwrap(), &GIVEN);
}

#[test]
fn the_journal_in_sqlite_conforms() {
    let dirs = tempfile::tempdir().unwrap();
    let opened = Mutex::new(0);
    conforms(
        &|options| {
            let mut opened = opened.lock().unwrap();
            *opened += 1;
            let dir = dirs.path().join(opened.to_string());
            store::open(dir.to_str().unwrap(), options).unwrap()
        },
        &GIVEN,
    );
}

#[test]
fn the_journal_in_postgres_conforms() {
    let server = postgres();
    let opened = Mutex::new(0);
    conforms(
        &|options| {
            let mut opened = opened.lock().unwrap();
            *opened += 1;
            store::open(&server.make_schema(&format!("conform_{opened}")), options).unwrap()
        },
        &ITS_OWN,
    );
}

#[test]
fn a_location_names_the_backend() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let path = path.to_str().unwrap();
    let journal = store::open(&format!("sqlite:{path}"), options()).unwrap();
    let batches = fill(&*journal, ONE, 2);
    drop(journal);
    assert_eq!(open_again(path).head(ONE).unwrap(), batches[1].head());
    let reader = store::open_read_only(path, options()).unwrap();
    assert_eq!(reader.heads().unwrap(), [(ONE, batches[1].head())]);

    for location in
        ["", "sqlite:", "mysql://ann:geheim@localhost/maepyo", "postgres://ann:geheim@:x/"]
    {
        let refused =
            [store::open(location, options()), store::open_read_only(location, options())];
        for refused in refused {
            let error = refused.err().unwrap();
            assert!(matches!(error, StoreError::NotAStore(_)), "{location:?}: {error}");
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }
    assert!(store::open_read_only("memory:", options()).is_err());
}

fn options() -> Options {
    Options::new(Arc::new(|| NOW_MS))
}

/// For a journal that an older program is to write to as well.
fn old_options() -> Options {
    Options { first_format: Format::FIRST, ..options() }
}

/// A server that need not survive a loss of power.
fn postgres() -> Server {
    let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    Server::start(Setup { cache, settings: vec!["fsync=off".to_owned()], ..Setup::default() })
        .unwrap()
}

/// The suite. `new` opens an empty journal, whose clock says something in `now`.
fn conforms(new: &dyn Fn(Options) -> Arc<dyn Journal>, now: &RangeInclusive<u64>) {
    let used = Mutex::default();
    let noted = || Noting { journal: new(options()), used: &used };
    let noted_old = || Noting { journal: new(old_options()), used: &used };

    an_empty_journal_has_nothing(&noted(), now);
    what_was_appended_is_read_back(&noted());
    a_batch_that_does_not_follow_is_a_conflict(&noted());
    one_conflict_does_not_hinder_other_streams(&noted());
    the_same_batch_again_is_already_there(&noted());
    what_no_stream_can_take_is_refused_whole(&noted());
    a_page_ends_at_its_limit(&noted());
    reading_after_a_batch_that_is_not_there_is_corrupt(&noted());
    heads_are_listed_in_order(&noted());
    a_heartbeat_never_moves_backwards(&noted());
    the_newest_snapshot_is_loaded(&noted());
    a_snapshot_of_a_foreign_head_is_refused(&noted());
    commits_are_counted(&noted());
    a_new_journal_is_in_the_newest_format(&noted());
    a_format_is_raised_and_never_lowered(&noted_old());
    of_two_who_append_one_is_first(&noted());
    a_lock_shows_what_is_new(&noted());
    a_lock_is_for_its_streams_alone(&noted());

    let unused: Vec<&str> =
        VERBS.iter().copied().filter(|verb| !used.lock().unwrap().contains(verb)).collect();
    assert!(unused.is_empty(), "the suite does not use {unused:?}");
}

fn an_empty_journal_has_nothing(journal: &dyn Journal, now: &RangeInclusive<u64>) {
    assert_eq!(journal.epoch(), journal.epoch());
    assert_eq!(journal.heads().unwrap(), []);
    assert_eq!(journal.head(ONE).unwrap(), Head::EMPTY);
    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), []);
    assert_eq!(journal.last_heartbeat().unwrap(), None);
    assert_eq!(journal.load_snapshot(ONE).unwrap(), None);
    assert!(now.contains(&journal.now_ms().unwrap()));
    assert_eq!(journal.append(&[]).unwrap(), []);
    assert_eq!(journal.sync_count(), 0);
    journal.sync().unwrap();
}

fn what_was_appended_is_read_back(journal: &dyn Journal) {
    let batches = chain(4);
    for batch in &batches {
        assert_eq!(journal.append(&[to(ONE, batch)]).unwrap(), [Appended::Appended]);
        assert_eq!(journal.head(ONE).unwrap(), batch.head());
    }
    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), batches);
    assert_eq!(journal.read(ONE, batches[1].head(), NO_LIMIT).unwrap(), batches[2..]);
    assert_eq!(journal.read(ONE, batches[3].head(), NO_LIMIT).unwrap(), []);
    assert_eq!(journal.read(TWO, Head::EMPTY, NO_LIMIT).unwrap(), []);
    journal.sync().unwrap();
    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), batches);
}

fn a_lock_shows_what_is_new(journal: &dyn Journal) {
    let ones = fill(journal, ONE, 3);
    let commits = journal.sync_count();
    let Locked { newer, lock } =
        journal.lock(&[(TWO, Head::EMPTY), (ONE, ones[0].head())]).unwrap();
    let of_one = Newer { stream: ONE, batches: ones[1..].to_vec(), head: ones[2].head() };
    let of_two = Newer { stream: TWO, batches: vec![], head: Head::EMPTY };
    assert_eq!(newer, [Ok(of_two), Ok(of_one)], "in the order asked for");
    let (foreign, first) = (Batch { number: 3, ..after(&ones[1]) }, chain(1).remove(0));
    let foreign = Batch { id: BatchId(99), ..foreign };
    let answers = lock.append(&[to(ONE, &foreign), to(TWO, &first)]).unwrap();
    let conflict = Appended::Conflict { head: ones[2].head() };
    assert_eq!(answers, [conflict, Appended::Appended], "it compares as ever");
    assert_eq!(journal.sync_count(), commits + 1);

    let known = [(ONE, ones[2].head()), (TWO, first.head())];
    for _ in 0..3 {
        // Nothing to append, or no word of it.
        let Locked { newer, lock } = journal.lock(&known).unwrap();
        let is_old = |newer: &Result<Newer, _>| newer.as_ref().unwrap().batches.is_empty();
        assert!(newer.iter().all(is_old), "{newer:?}");
        assert_eq!(lock.append(&[]).unwrap(), []);
        drop(journal.lock(&known).unwrap());
    }
    assert_eq!(journal.append(&[to(ONE, &after(&ones[2]))]).unwrap(), [Appended::Appended]);
    assert_eq!(journal.sync_count(), commits + 2);
}

fn a_lock_is_for_its_streams_alone(journal: &dyn Journal) {
    let ones = fill(journal, ONE, 1);
    let lock = |stream, after| journal.lock(&[(stream, after)]);
    let next = after(&ones[0]);
    let answer = lock(TWO, Head::EMPTY).unwrap().lock.append(&[to(ONE, &next)]);
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    for (wrong, number) in [next.head(), Head { id: BatchId(99), ..ones[0].head() }].iter().zip(1..)
    {
        // What is wrong with one is no matter of the others.
        let Locked { newer, lock } = journal.lock(&[(ONE, *wrong), (TWO, Head::EMPTY)]).unwrap();
        assert!(matches!(newer[0], Err(StoreError::Corrupt(_))), "{newer:?}");
        let twos = newer[1].as_ref().unwrap().batches.clone();
        let batch = twos.last().map_or_else(|| chain(1).remove(0), after);
        assert_eq!(batch.number, number);
        assert_eq!(lock.append(&[to(TWO, &batch)]).unwrap(), [Appended::Appended]);
    }
    let past = StreamId(StreamId::MAX.0 + 1);
    let error = lock(past, Head::EMPTY).unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    let answer = lock(ONE, ones[0].head()).unwrap().lock.append(&[to(ONE, &next)]);
    assert_eq!(answer.unwrap(), [Appended::Appended]);
}

fn a_batch_that_does_not_follow_is_a_conflict(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 3);
    let head = batches[2].head();
    let foreign = Batch { id: BatchId(99), ..batches[2].clone() };
    let wrong_previous = Batch { previous: BatchId(99), ..after(&batches[2]) };
    let gap = Batch { number: 5, ..after(&batches[2]) };
    let first = Batch { id: BatchId(98), ..batches[0].clone() };
    // Same number and id, but not the same: two histories were mixed.
    let altered = Batch { body: b"altered".to_vec(), ..batches[2].clone() };
    for batch in [foreign, wrong_previous, gap, first, altered] {
        let answer = journal.append(&[to(ONE, &batch)]).unwrap();
        assert_eq!(answer, [Appended::Conflict { head }], "for {batch:?}");
    }
    let second = after(&batches[0]);
    let answer = journal.append(&[to(TWO, &second)]).unwrap();
    assert_eq!(answer, [Appended::Conflict { head: Head::EMPTY }]);

    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), batches);
    assert_eq!(journal.heads().unwrap(), [(ONE, head)]);
}

fn one_conflict_does_not_hinder_other_streams(journal: &dyn Journal) {
    let ones = fill(journal, ONE, 2);
    let twos = fill(journal, TWO, 1);
    let three = chain(1).remove(0);
    let foreign = Batch { id: BatchId(99), ..ones[1].clone() };
    let answers = journal
        .append(&[
            to(ONE, &foreign),
            to(TWO, &after(&twos[0])),
            to(StreamId(0), &three),
            to(StreamId(3), &twos[0]),
        ])
        .unwrap();
    assert_eq!(
        answers,
        [
            Appended::Conflict { head: ones[1].head() },
            Appended::Appended,
            Appended::Appended,
            Appended::Appended,
        ]
    );
    assert_eq!(journal.head(ONE).unwrap(), ones[1].head());
    assert_eq!(journal.head(TWO).unwrap(), after(&twos[0]).head());
    assert_eq!(journal.head(StreamId(0)).unwrap(), three.head());
}

fn the_same_batch_again_is_already_there(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 3);
    let commits = journal.sync_count();
    for batch in &batches {
        assert_eq!(journal.append(&[to(ONE, batch)]).unwrap(), [Appended::AlreadyThere]);
    }
    assert_eq!(journal.sync_count(), commits);
    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), batches);
    // A lost answer for one stream, sent again with news for another.
    let answers = journal.append(&[to(ONE, &batches[2]), to(TWO, &batches[0])]).unwrap();
    assert_eq!(answers, [Appended::AlreadyThere, Appended::Appended]);
}

fn what_no_stream_can_take_is_refused_whole(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 1);
    let next = after(&batches[0]);
    let good = to(TWO, &batches[0]);
    let too_long = vec![0; Batch::BODY_MAX_BYTES + 1];
    let past = StreamId(StreamId::MAX.0 + 1);
    let bad = [
        good.clone(),
        to(ONE, &Batch { number: 0, ..next.clone() }),
        to(ONE, &Batch { number: Head::NUMBER_MAX + 1, ..next.clone() }),
        to(ONE, &Batch { id: BatchId::NONE, ..next.clone() }),
        to(ONE, &Batch { at_ms: batches[0].at_ms - 1, ..next.clone() }),
        to(ONE, &Batch { at_ms: u64::MAX, ..next.clone() }),
        to(ONE, &Batch { body: too_long, ..next.clone() }),
        to(past, &batches[0]),
    ];
    for bad in bad {
        let answer = journal.append(&[good.clone(), bad]);
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
    assert!(matches!(journal.read(past, Head::EMPTY, 1), Err(StoreError::Invalid(_))));
    assert!(matches!(journal.head(past), Err(StoreError::Invalid(_))));
    assert!(matches!(journal.load_snapshot(past), Err(StoreError::Invalid(_))));
    assert!(matches!(journal.heartbeat(u64::MAX), Err(StoreError::Invalid(_))));
    assert_eq!(journal.heads().unwrap(), [(ONE, batches[0].head())]);

    // The last stream, the same time and an empty body are still within bounds.
    let same_time = Batch { at_ms: batches[0].at_ms, body: vec![], ..next };
    let answers = journal.append(&[to(ONE, &same_time), to(StreamId::MAX, &batches[0])]).unwrap();
    assert_eq!(answers, [Appended::Appended, Appended::Appended]);
    assert_eq!(journal.read(ONE, batches[0].head(), 1).unwrap(), [same_time]);
    assert_eq!(journal.read(StreamId::MAX, Head::EMPTY, 1).unwrap(), batches);
}

fn a_page_ends_at_its_limit(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 20);
    let total: usize = batches.iter().map(|batch| batch.body.len()).sum();
    for limit_bytes in [0, 1, 100, 500, 3_000, total, NO_LIMIT] {
        let (mut read, mut at) = (Vec::new(), Head::EMPTY);
        loop {
            let page = journal.read(ONE, at, limit_bytes).unwrap();
            let Some(last) = page.last() else { break };
            at = last.head();
            let bytes: usize = page.iter().map(|batch| batch.body.len()).sum();
            assert!(bytes <= limit_bytes || page.len() == 1, "{bytes} bytes of {limit_bytes}");
            read.extend(page);
        }
        assert_eq!(read, batches, "with pages of {limit_bytes}");
    }
    assert!(journal.read(ONE, Head::EMPTY, total / 2).unwrap().len() > 1);
}

fn reading_after_a_batch_that_is_not_there_is_corrupt(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 2);
    let foreign = Head { number: 2, id: BatchId(99) };
    let beyond = after(&batches[1]).head();
    let absurd = Head { number: u64::MAX, id: BatchId(99) };
    let before_first = Head { number: 0, id: BatchId(99) };
    for after in [foreign, beyond, absurd, before_first] {
        let answer = journal.read(ONE, after, NO_LIMIT);
        assert!(matches!(answer, Err(StoreError::Corrupt(_))), "after {after}: {answer:?}");
    }
    let answer = journal.read(TWO, batches[1].head(), NO_LIMIT);
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
}

fn heads_are_listed_in_order(journal: &dyn Journal) {
    let streams = [700, 0, 3, StreamId::MAX.0, 2].map(StreamId);
    let mut heads: Vec<(StreamId, Head)> = streams
        .into_iter()
        .zip(1..)
        .map(|(stream, length)| (stream, fill(journal, stream, length).pop().unwrap().head()))
        .collect();
    heads.sort_by_key(|(stream, _)| *stream);
    assert_eq!(journal.heads().unwrap(), heads);
    for (stream, head) in heads {
        assert_eq!(journal.head(stream).unwrap(), head);
    }
    assert_eq!(journal.head(StreamId(1)).unwrap(), Head::EMPTY);
}

fn a_heartbeat_never_moves_backwards(journal: &dyn Journal) {
    for (at_ms, last_ms) in [(0, 0), (5_000, 5_000), (4_000, 5_000), (7_000, 7_000)] {
        journal.heartbeat(at_ms).unwrap();
        assert_eq!(journal.last_heartbeat().unwrap(), Some(last_ms));
    }
}

fn the_newest_snapshot_is_loaded(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 5);
    let save = |at: usize, bytes: &[u8]| {
        journal.save_snapshot(ONE, batches[at].head(), &|to| to.write_all(bytes)).unwrap();
    };
    let loaded = || journal.load_snapshot(ONE).unwrap().unwrap();

    save(0, b"first");
    assert_eq!(loaded(), (batches[0].head(), b"first".to_vec()));
    save(3, b"fourth");
    save(2, b"third, and late");
    assert_eq!(loaded(), (batches[3].head(), b"fourth".to_vec()));
    save(3, b"fourth again");
    assert_eq!(loaded(), (batches[3].head(), b"fourth again".to_vec()));
    save(4, b"");
    assert_eq!(loaded(), (batches[4].head(), vec![]));
    assert_eq!(journal.load_snapshot(TWO).unwrap(), None);
}

fn a_snapshot_of_a_foreign_head_is_refused(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 2);
    let foreign = Head { number: 1, id: BatchId(99) };
    for head in [Head::EMPTY, foreign, after(&batches[1]).head()] {
        let answer = journal.save_snapshot(ONE, head, &|to| to.write_all(b"lies"));
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "of {head}: {answer:?}");
    }
    assert_eq!(journal.load_snapshot(ONE).unwrap(), None);
}

fn commits_are_counted(journal: &dyn Journal) {
    let batches = fill(journal, ONE, 2);
    let count = journal.sync_count();
    assert_eq!(count, 2, "one for each append");

    let many: Vec<Append> = (2..40).map(|stream| to(StreamId(stream), &batches[0])).collect();
    journal.append(&many).unwrap();
    assert_eq!(journal.sync_count(), count + 1, "one for all streams of a call");
    journal.append(&many).unwrap();
    journal.append(&[to(ONE, &Batch { id: BatchId(99), ..batches[1].clone() })]).unwrap();
    assert_eq!(journal.sync_count(), count + 1, "none when nothing is written");
    journal.heartbeat(1).unwrap();
    journal.heartbeat(1).unwrap();
    assert_eq!(journal.sync_count(), count + 2, "one for a heartbeat that moves");
}

fn a_new_journal_is_in_the_newest_format(journal: &dyn Journal) {
    assert_eq!(journal.format(), Ok(FORMAT_MAX));
    assert_eq!(journal.writers(), Ok(vec![FORMAT_MAX]), "this process");
}

fn a_format_is_raised_and_never_lowered(journal: &dyn Journal) {
    assert_eq!(journal.format(), Ok(Format(1)));
    let batches = fill(journal, ONE, 2);
    let unknown = journal.raise_format(Format(FORMAT_MAX.0 + 1));
    assert!(matches!(unknown, Err(StoreError::Invalid(_))), "{unknown:?}");
    let count = journal.sync_count();
    for (to, format, commits) in [(1, 1, 0), (2, 2, 1), (2, 2, 1), (1, 2, 1)] {
        journal.raise_format(Format(to)).unwrap();
        assert_eq!(journal.format(), Ok(Format(format)), "after {to}");
        assert_eq!(journal.sync_count(), count + commits, "after {to}");
    }
    assert_eq!(journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap(), batches, "as they were");
}

/// Two nodes that race for the same place: one is first, and the other hears who.
fn of_two_who_append_one_is_first(journal: &dyn Journal) {
    const ROUNDS: u64 = 50;
    let race = |node: u128| {
        let (mut head, mut won) = (Head::EMPTY, 0);
        while head.number < ROUNDS {
            let number = head.number + 1;
            let id = BatchId(u128::from(number) << 8 | node);
            let batch = Batch { number, id, previous: head.id, at_ms: 0, body: vec![7; 100] };
            match journal.append(&[to(ONE, &batch)]).unwrap()[0] {
                Appended::Appended => {
                    head = batch.head();
                    won += 1;
                }
                Appended::AlreadyThere => panic!("no batch was sent twice"),
                Appended::Conflict { head: other } => {
                    assert!(other.number >= number);
                    head = other;
                }
            }
        }
        won
    };
    let won: u64 = thread::scope(|scope| {
        let nodes = [1, 2, 3].map(|node| scope.spawn(move || race(node)));
        nodes.into_iter().map(|node| node.join().unwrap()).sum()
    });
    let batches = journal.read(ONE, Head::EMPTY, NO_LIMIT).unwrap();
    assert_eq!(batches.len() as u64, won, "each winner is in the stream, and nobody else");
    assert!(won >= ROUNDS);
}

/// The journal in memory is the model: whatever is asked, SQLite answers the same.
#[test]
fn sqlite_answers_as_memory_does() {
    answer_as_memory_does(&|| {
        let dir = tempfile::tempdir().unwrap();
        (dir.path().to_str().unwrap().to_owned(), Some(dir))
    });
}

/// And so does PostgreSQL.
#[test]
fn postgres_answers_as_memory_does() {
    let server = postgres();
    let made = Mutex::new(0);
    answer_as_memory_does(&|| {
        let mut made = made.lock().unwrap();
        *made += 1;
        (server.make_schema(&format!("model_{made}")), None)
    });
}

/// Opens what was just closed. A program that another test starts in that moment has, until it runs, all
/// files that are open here, the lock among them.
fn open_again(location: &str) -> Arc<dyn Journal> {
    for _ in 0..1_000_000 {
        match store::open(location, options()) {
            Err(StoreError::InUse(_)) => thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("{location} stays in use");
}

/// Asks both the same. `new` says where an empty journal can be, and what must be kept for it.
fn answer_as_memory_does(new: &dyn Fn() -> (String, Option<tempfile::TempDir>)) {
    // Each case is a new journal and some syncs, which are slow on some disks.
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let steps = prop::collection::vec(step(), 1..60);
    let outcome = runner.run(&steps, |steps| {
        let (location, _kept) = new();
        let memory = store::open("memory:", old_options()).unwrap();
        let journal = store::open(&location, old_options()).unwrap();
        for step in &steps {
            prop_assert_eq!(step.run(&*memory), step.run(&*journal), "at {:?}", step);
        }
        let heads = memory.heads().unwrap();
        prop_assert_eq!(&journal.heads().unwrap(), &heads);
        drop(journal);
        let journal = open_again(&location);
        prop_assert_eq!(&journal.heads().unwrap(), &heads);
        for (stream, _) in heads {
            let batches = journal.read(stream, Head::EMPTY, NO_LIMIT).unwrap();
            prop_assert_eq!(batches, memory.read(stream, Head::EMPTY, NO_LIMIT).unwrap());
            prop_assert_eq!(journal.load_snapshot(stream), memory.load_snapshot(stream));
        }
        prop_assert_eq!(journal.last_heartbeat(), memory.last_heartbeat());
        prop_assert_eq!(journal.format(), memory.format());
        Ok(())
    });
    outcome.unwrap();
}

/// One call. Small numbers, so that chains, repetitions and collisions all come about.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Append>),
    Read(StreamId, Head, usize),
    Head(StreamId),
    Heartbeat(u64),
    Raise(Format),
    Save(StreamId, Head, Vec<u8>),
    Load(StreamId),
    Sync,
}

impl Step {
    /// What was answered, as far as it must not differ: the kind of an error, not its sentence.
    fn run(&self, journal: &dyn Journal) -> String {
        fn said<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
            match answer {
                Err(StoreError::Invalid(_)) => "invalid".to_owned(),
                Err(StoreError::Corrupt(_)) => "corrupt".to_owned(),
                answer => format!("{answer:?}"),
            }
        }
        match self {
            Self::Append(appends) => said(journal.append(appends)),
            Self::Read(stream, after, limit) => said(journal.read(*stream, *after, *limit)),
            Self::Head(stream) => said(journal.head(*stream)),
            Self::Heartbeat(at_ms) => said(journal.heartbeat(*at_ms)),
            Self::Raise(to) => said(journal.raise_format(*to)),
            Self::Save(stream, head, bytes) => {
                said(journal.save_snapshot(*stream, *head, &|to| to.write_all(bytes)))
            }
            Self::Load(stream) => said(journal.load_snapshot(*stream)),
            Self::Sync => said(journal.sync()),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || (0_u32..3).prop_map(StreamId);
    prop_oneof![
        8 => prop::collection::vec((stream(), batch()), 1..3).prop_map(|appends| {
            Step::Append(appends.iter().map(|(stream, batch)| to(*stream, batch)).collect())
        }),
        2 => (stream(), head(), 0_usize..1_000).prop_map(|(s, h, limit)| Step::Read(s, h, limit)),
        1 => stream().prop_map(Step::Head),
        1 => (0_u64..50).prop_map(Step::Heartbeat),
        1 => (1_u32..4).prop_map(|to| Step::Raise(Format(to))),
        1 => (stream(), head(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(s, h, bytes)| Step::Save(s, h, bytes)),
        1 => stream().prop_map(Step::Load),
        1 => Just(Step::Sync),
    ]
}

/// Mostly a link of the one chain of [`chain`], now and then altered.
fn batch() -> impl Strategy<Value = Batch> {
    (0_usize..6, 0_u8..12).prop_map(|(at, alteration)| {
        let batch = chain(6).remove(at);
        match alteration {
            0 => Batch { id: BatchId(99), ..batch },
            1 => Batch { previous: BatchId(99), ..batch },
            2 => Batch { at_ms: 1, ..batch },
            3 => Batch { body: vec![], ..batch },
            _ => batch,
        }
    })
}

fn head() -> impl Strategy<Value = Head> {
    prop_oneof![1 => Just(Head::EMPTY), 5 => batch().prop_map(|batch| batch.head())]
}

/// A chain of batches, each of another size, some large enough for several pages of a database.
fn chain(length: u64) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for number in 1..=length {
        let previous = batches.last().map_or(BatchId::NONE, |batch| batch.id);
        let size = usize::try_from(number * number * 137 % 9_000).unwrap();
        batches.push(Batch {
            number,
            id: BatchId(u128::from(number) << 64 | 1),
            previous,
            at_ms: NOW_MS + number / 2,
            body: (0..size).map(|at| (at % 251).to_le_bytes()[0]).collect(),
        });
    }
    batches
}

/// A batch that follows.
fn after(batch: &Batch) -> Batch {
    Batch {
        number: batch.number + 1,
        id: BatchId(batch.id.0 + 1),
        previous: batch.id,
        at_ms: batch.at_ms,
        body: b"next".to_vec(),
    }
}

fn to(stream: StreamId, batch: &Batch) -> Append {
    Append { stream, batch: batch.clone() }
}

fn fill(journal: &dyn Journal, stream: StreamId, length: u64) -> Vec<Batch> {
    let batches = chain(length);
    for batch in &batches {
        assert_eq!(journal.append(&[to(stream, batch)]).unwrap(), [Appended::Appended]);
    }
    batches
}

/// A journal that notes which of its verbs were used.
struct Noting<'a> {
    journal: Arc<dyn Journal>,
    used: &'a Mutex<BTreeSet<&'static str>>,
}

macro_rules! noting {
    ($(fn $verb:ident(&self $(, $name:ident: $kind:ty)*) -> $answer:ty;)+) => {
        const VERBS: &[&str] = &[$(stringify!($verb)),+];

        impl Journal for Noting<'_> {
            $(fn $verb(&self $(, $name: $kind)*) -> $answer {
                self.used.lock().unwrap().insert(stringify!($verb));
                self.journal.$verb($($name),*)
            })+
        }
    };
}

noting! {
    fn epoch(&self) -> Epoch;
    fn format(&self) -> Result<Format, StoreError>;
    fn raise_format(&self, to: Format) -> Result<(), StoreError>;
    fn writers(&self) -> Result<Vec<Format>, StoreError>;
    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError>;
    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError>;
    fn read(&self, stream: StreamId, after: Head, limit: usize) -> Result<Vec<Batch>, StoreError>;
    fn head(&self, stream: StreamId) -> Result<Head, StoreError>;
    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError>;
    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError>;
    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError>;
    fn now_ms(&self) -> Result<u64, StoreError>;
    fn save_snapshot(&self, stream: StreamId, head: Head, snapshot: WriteSnapshot<'_>) -> Result<(), StoreError>;
    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError>;
    fn sync(&self) -> Result<(), StoreError>;
    fn sync_count(&self) -> u64;
}
