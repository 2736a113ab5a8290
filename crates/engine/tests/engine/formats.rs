//! What is written in which format, and what a node does that cannot read what a later program wrote.

use std::sync::Arc;

use domain::id::{PerformanceId, SaleId};
use domain::time::Timestamp;
use engine::{
    Config, Engine, Failure, NewSale, ReplayError, Request, StartError, recover, write_snapshot,
};
use store::codec::{FORMAT_MAX, read_records};
use store::{Append, Appended, Batch, BatchId, Format, Head, Journal, Options, StreamId};

use crate::desk::{Desk, hold, join, pay};
use crate::driver::{admitted, ask, options, schedule, start_with, until};

const CATALOGUE: StreamId = StreamId(0);

fn old_journal() -> Arc<dyn Journal> {
    let options = Options { first_format: Format::FIRST, ..options() };
    store::open("memory:", options).unwrap()
}

fn following(node: u64) -> Config {
    Config { node, follow_every: Some(1), ..Config::default() }
}

fn sale(id: &str, default: bool) -> NewSale {
    let mut schedule = schedule();
    schedule.sale = SaleId::parse(id).unwrap();
    let performance = format!("{id}-1");
    schedule.plan.performances[0].id = PerformanceId::parse(&performance).unwrap();
    NewSale { schedule, default }
}

/// A later program writes, by hand.
fn write_later(journal: &dyn Journal, stream: StreamId) {
    for _ in 0..1_000 {
        let (head, at_ms) = last(journal, stream);
        let (number, id) = (head.number + 1, BatchId(u128::MAX - u128::from(head.number)));
        let batch = Batch { number, id, previous: head.id, at_ms, body: vec![3, 0xf6] };
        if journal.append(&[Append { stream, batch }]).unwrap() == [Appended::Appended] {
            return;
        }
    }
    panic!("others are always first");
}

fn last(journal: &dyn Journal, stream: StreamId) -> (Head, u64) {
    let batches = journal.read(stream, Head::EMPTY, usize::MAX).unwrap();
    batches.last().map_or((Head::EMPTY, 0), |batch| (batch.head(), batch.at_ms))
}

/// How the bodies of a stream begin.
fn beginnings(journal: &dyn Journal, stream: StreamId) -> Vec<u8> {
    let batches = journal.read(stream, Head::EMPTY, usize::MAX).unwrap();
    batches.iter().map(|batch| batch.body[0]).collect()
}

/// A record is an array of two, so the first format begins like this.
const ARRAY_OF_2: u8 = 0x82;

#[test]
fn an_open_batch_stays_in_the_format_it_was_begun_in() {
    let mut desk = Desk::open(5);
    desk.offer(1, join(1));
    let first = desk.advance().append();
    // One is in flight, so this waits in the open batch.
    desk.offer(2, join(2));
    desk.advance();
    desk.may_write(FORMAT_MAX);
    desk.offer(3, join(3));
    desk.advance();
    desk.appended(first);
    let open = desk.advance().append();
    assert_eq!(open.batch.body[0], ARRAY_OF_2);
    assert_eq!(read_records(&open.batch.body).unwrap().len(), 2);
    desk.appended(open);
    desk.offer(4, join(4));
    let next = desk.advance().append();
    assert_eq!(next.batch.body[..2], [2, ARRAY_OF_2]);
    assert_eq!(read_records(&next.batch.body).unwrap().len(), 1);
}

/// A batch of a later format, behind the last one.
fn later(desk: &Desk) -> Batch {
    let head = desk.head();
    let (number, previous) = (head.number + 1, head.id);
    Batch { number, id: BatchId(7), previous, at_ms: desk.now, body: vec![3] }
}

#[test]
fn whoever_waits_for_what_cannot_be_read_is_told_and_nothing_goes_on() {
    let mut desk = Desk::open_shared(5);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    desk.offer(3, pay(ann, 2, 99));
    desk.settle();
    assert_eq!(desk.calls.len(), 1, "the provider is asked");
    let before = desk.published().as_of;

    desk.offer(4, join(4));
    let _lost = desk.advance().append();
    let head = desk.head();
    let error = desk.conflict_unreadably(later(&desk));
    assert_eq!(
        error.to_string(),
        format!(
            "batch {} of stream 1 cannot be read: it is in format 3, and this program reads up to 2",
            head.number + 1
        )
    );
    assert_eq!(desk.failure(3), Failure::OutcomeUnknown, "the money may move");
    assert_eq!(desk.failure(4), Failure::Unavailable, "nothing was written");
    desk.offer(5, join(5));
    assert_eq!(desk.failure(5), Failure::Unavailable);

    // Neither what a provider says nor time brings anything about.
    let call = desk.calls.remove(0);
    desk.call_finished(call.payment, engine::CallResult::NotFound);
    desk.pass(600_000);
    desk.advance();
    assert!(desk.appends.is_empty() && desk.calls.is_empty());
    assert_eq!(desk.published().as_of, before);
    assert!(desk.is_idle(), "so it can be stopped");
}

/// Who can read the sale takes the silence out of its clock. No heartbeat of ours hides it before.
#[test]
fn a_silence_of_what_cannot_be_read_is_left_to_others_for_a_while() {
    let mut desk = Desk::open_shared(5);
    let head = desk.head();
    desk.conflict_unreadably(later(&desk));
    desk.pass(60_000);
    assert!(!desk.owes_silence(), "there was none");
    desk.now += 30_000;
    assert!(desk.owes_silence());
    // Somebody else has paid it, or is not there to do so.
    desk.advance().looked(head, Some(1));
    desk.now += 4_000;
    let just_now = desk.now - 1_000;
    desk.advance().looked(head, Some(just_now));
    assert!(!desk.owes_silence());
    // For another one they have as long again.
    desk.now += 30_000;
    for _ in 0..4 {
        assert!(desk.owes_silence());
        desk.advance().looked(head, Some(1));
        desk.now += 4_000;
    }
    assert!(!desk.owes_silence(), "after ten seconds of looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_is_taken_up_while_it_sells() {
    let journal = old_journal();
    let (one, _provider) = start_with(&journal, following(1));
    let (two, _other) = start_with(&journal, following(2));
    one.add_sale(sale("x", true), 1, None).await.unwrap().unwrap();
    until(|| two.directory().default_sale().cloned()).await;
    admitted(&one, 1).await;
    admitted(&two, 2).await;
    assert_eq!((one.format(), two.format()), (Format(1), Format(1)));
    for stream in [CATALOGUE, StreamId(1)] {
        let begun = beginnings(&*journal, stream);
        assert!(begun.iter().all(|byte| *byte == ARRAY_OF_2), "{stream}: {begun:?}");
    }

    journal.raise_format(FORMAT_MAX).unwrap();
    for engine in [&one, &two] {
        until(|| (engine.format() == FORMAT_MAX).then_some(())).await;
    }
    let before = beginnings(&*journal, StreamId(1)).len();
    let ann = admitted(&one, 3).await;
    ask(&two, hold(admitted(&two, 4).await, 11, &[0])).await;
    ask(&one, hold(ann, 12, &[1])).await;
    two.add_sale(sale("y", false), 2, None).await.unwrap().unwrap();
    until(|| one.directory().sale("y").cloned()).await;
    let begun = beginnings(&*journal, StreamId(1)).split_off(before);
    assert!(begun.len() >= 4 && begun.iter().all(|byte| *byte == 2), "{begun:?}");
    assert_eq!(beginnings(&*journal, CATALOGUE), [ARRAY_OF_2, 2]);
    for engine in [one, two] {
        tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    }
    let (engine, _provider) = start_with(&journal, following(3));
    assert_eq!(engine.format(), FORMAT_MAX);
    let reached = last(&*journal, StreamId(1)).0.number;
    assert!(engine.directory().sale("x").unwrap().publication().as_of >= reached);
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_cannot_be_read_is_left_alone_and_the_others_go_on() {
    let journal = store::open("memory:", options()).unwrap();
    let (engine, _provider) = start_with(&journal, following(1));
    engine.add_sale(sale("lost", false), 1, None).await.unwrap().unwrap();
    engine.add_sale(sale("sound", true), 2, None).await.unwrap().unwrap();
    let lost = engine.directory().sale("lost").unwrap().clone();
    assert!(lost.is_readable() && engine.directory().is_whole());

    write_later(&*journal, StreamId(lost.stream()));
    until(|| (!lost.is_readable()).then_some(())).await;
    is_left_alone(&engine, 1).await;
    // What is shown of the others goes on to be the newest.
    let needed = engine.confirmed();
    tokio::time::timeout(std::time::Duration::from_secs(20), needed).await.unwrap();
    assert!(engine.is_recent() && engine.may_be_shown());
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();

    // A start finds the same, whether others write or not.
    for config in [following(2), Config { node: 3, ..Config::default() }] {
        let nonce = config.node;
        let (engine, _provider) = start_with(&journal, config);
        is_left_alone(&engine, nonce).await;
        tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    }
}

/// Of two sales, `lost` is refused, and `sound` sells.
async fn is_left_alone(engine: &Engine, nonce: u64) {
    let lost = engine.directory().sale("lost").unwrap().clone();
    assert!(!lost.is_readable() && !engine.directory().is_whole());
    let refused = engine.submit(&lost, Request::buyer(join(nonce), 1, None)).await;
    assert_eq!(refused.unwrap_err(), Failure::Unavailable);
    let trouble = engine.trouble().unwrap();
    assert!(trouble.starts_with("sale lost: batch "), "{trouble}");
    assert!(trouble.ends_with("format 3, and this program reads up to 2"), "{trouble}");
    let place = admitted(engine, nonce).await;
    ask(engine, hold(place, nonce, &[u32::try_from(nonce).unwrap()])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_read_which_sales_there_are_sells_those_it_knows_and_adds_none() {
    let journal = store::open("memory:", options()).unwrap();
    let (engine, _provider) = start_with(&journal, following(1));
    engine.add_sale(sale("sound", true), 1, None).await.unwrap().unwrap();
    write_later(&*journal, CATALOGUE);
    until(|| (!engine.directory().is_whole()).then_some(())).await;
    let added = engine.add_sale(sale("other", false), 2, None).await;
    assert_eq!(added, Err(Failure::Unavailable));
    let trouble = engine.trouble().unwrap();
    assert!(trouble.starts_with("which sales there are: batch 2"), "{trouble}");
    ask(&engine, hold(admitted(&engine, 1).await, 1, &[0])).await;
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();

    let calls = Box::new(crate::driver::Approves::default());
    let refused = Engine::start(journal, calls, following(2)).unwrap_err();
    let StartError::Replay(error @ ReplayError::Unreadable { stream: 0, .. }) = refused else {
        panic!("{refused}")
    };
    assert!(error.to_string().contains("it is in format 3"), "{error}");
}

/// The state in it may rest on batches that this program cannot read.
#[test]
fn a_snapshot_of_a_later_program_is_passed_over() {
    let mut desk = Desk::open(5);
    desk.admit(1);
    let journal = store::open("memory:", options()).unwrap();
    let stream = StreamId(1);
    for batch in desk.written() {
        journal.append(&[Append { stream, batch: batch.clone() }]).unwrap();
    }
    let (head, at_ms) = last(&*journal, stream);
    let (sale, empty) = (desk.published().sale, domain::Sale::default());
    let recovered = |later: u32, from: &domain::Sale| {
        let mut snapshot = Vec::new();
        write_snapshot(from, Timestamp(at_ms), &mut snapshot).unwrap();
        // An array of three, and what the program knows that wrote it.
        assert_eq!(snapshot[..2], [0x83, 2]);
        snapshot[1] += u8::try_from(later).unwrap();
        journal.save_snapshot(stream, head, &|to| to.write_all(&snapshot)).unwrap();
        recover(&*journal, stream).unwrap().sale.line().joined()
    };
    assert_eq!(recovered(0, &empty), 0, "it is believed: this is how it is written");
    assert_eq!(recovered(0, &sale), 1);
    assert_eq!(recovered(1, &empty), 1, "everything was replayed");

    // Those who knew only the first format wrote two parts.
    let two_parts = minicbor::to_vec((Timestamp(at_ms), &empty)).unwrap();
    journal.save_snapshot(stream, head, &|to| to.write_all(&two_parts)).unwrap();
    assert_eq!(recover(&*journal, stream).unwrap().sale.line().joined(), 0);
}
