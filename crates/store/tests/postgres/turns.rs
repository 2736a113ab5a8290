//! Several nodes that append to the same streams.

use std::sync::Barrier;
use std::thread;

use store::{Append, Appended, Batch, BatchId, Head, Locked, StoreError, StreamId};

use super::{CAN_BLOCK, ONE, SCHEMA, after, append, options, server, to_one, until};

/// The next batch of a node.
fn next(stream: StreamId, head: Head, node: u128) -> Append {
    let number = head.number + 1;
    let id = BatchId(u128::from(number) << 8 | node);
    let batch = Batch { number, id, previous: head.id, at_ms: 0, body: vec![7; 2_000] };
    Append { stream, batch }
}

#[test]
fn nodes_that_lock_take_turns_and_nobody_decides_in_vain() {
    const BATCHES: u64 = 300;
    const NODES: u128 = 3;
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    // A stream that is not there yet cannot be locked.
    let first = next(ONE, Head::EMPTY, 0);
    store::open(&url, options()).unwrap().append(&[first]).unwrap();
    let begin = Barrier::new(NODES as usize);
    let compete = |node: u128| {
        let journal = store::open(&url, options()).unwrap();
        let (mut head, mut won) = (Head::EMPTY, 0_u64);
        begin.wait();
        while head.number < BATCHES {
            let Locked { newer, lock } = journal.lock(&[(ONE, head)]).unwrap();
            head = newer[0].batches.last().map_or(head, Batch::head);
            assert_eq!(head, newer[0].head, "all of it");
            let append = next(ONE, head, node);
            assert_eq!(lock.append(std::slice::from_ref(&append)).unwrap(), [Appended::Appended]);
            head = append.batch.head();
            won += 1;
        }
        won
    };
    let won: Vec<u64> = thread::scope(|scope| {
        let compete = &compete;
        let nodes: Vec<_> = (1..=NODES).map(|node| scope.spawn(move || compete(node))).collect();
        nodes.into_iter().map(|node| node.join().unwrap()).collect()
    });
    let batches = store::open(&url, options()).unwrap().read(ONE, Head::EMPTY, usize::MAX).unwrap();
    assert_eq!(batches.len() as u64, 1 + won.iter().sum::<u64>());
    assert!(won.iter().all(|won| *won >= BATCHES / 6), "{won:?}");
}

/// It went to sleep, or was cut off.
#[test]
fn who_says_nothing_in_its_turn_loses_it() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let [asleep, awake] = [(); 2].map(|()| store::open(&url, options()).unwrap());
    let first = after(None, b"first");
    append(&*asleep, &first);
    let Locked { lock, .. } = asleep.lock(&[(ONE, first.head())]).unwrap();
    let Locked { newer, lock: later } = awake.lock(&[(ONE, Head::EMPTY)]).unwrap();
    assert_eq!(newer[0].batches, std::slice::from_ref(&first));
    let second = after(Some(&first), b"second");
    assert_eq!(later.append(&[to_one(&second)]).unwrap(), [Appended::Appended]);
    // It wakes, and has decided.
    let other = after(Some(&first), b"other");
    let answer = lock.append(&[to_one(&other)]);
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let head = second.head();
    assert_eq!(asleep.append(&[to_one(&other)]).unwrap(), [Appended::Conflict { head }]);
}

/// Several streams at a time, in other orders, with locks and without: nobody waits for the other in a
/// circle.
#[test]
fn nodes_with_several_streams_do_not_wait_for_each_other_in_a_circle() {
    const ROUNDS: u64 = 60;
    let server = server(&["deadlock_timeout=5s"]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    let first: Vec<Append> = [1, 2, 3].map(|stream| next(StreamId(stream), Head::EMPTY, 0)).into();
    journal.append(&first).unwrap();
    let compete = |node: u128, streams: [u32; 3], locks: bool| {
        let journal = store::open(&url, options()).unwrap();
        let mut heads = streams.map(|stream| (StreamId(stream), first[0].batch.head()));
        let mut won = 0_u64;
        while heads.iter().any(|(_, head)| head.number < ROUNDS) {
            let batches = |heads: &[_; 3]| heads.map(|(stream, head)| next(stream, head, node));
            let (appends, answers) = if locks {
                let Locked { newer, lock } = journal.lock(&heads).unwrap();
                heads.iter_mut().zip(newer).for_each(|((_, head), newer)| *head = newer.head);
                let appends = batches(&heads);
                let answers = lock.append(&appends).unwrap();
                assert_eq!(answers, [Appended::Appended; 3], "nobody came in between");
                (appends, answers)
            } else {
                let appends = batches(&heads);
                let answers = journal.append(&appends).unwrap();
                (appends, answers)
            };
            for ((append, answer), (_, head)) in appends.iter().zip(answers).zip(&mut heads) {
                *head = match answer {
                    Appended::Conflict { head } => head,
                    Appended::Appended | Appended::AlreadyThere => {
                        won += 1;
                        append.batch.head()
                    }
                };
            }
        }
        won
    };
    let won: u64 = thread::scope(|scope| {
        let (there, back) = ([1, 2, 3], [3, 2, 1]);
        let nodes = [(1, there, false), (2, back, false), (3, back, true), (4, there, true)];
        let compete = &compete;
        let nodes =
            nodes.map(|(node, streams, locks)| scope.spawn(move || compete(node, streams, locks)));
        nodes.into_iter().map(|node| node.join().unwrap()).sum()
    });
    let heads = store::open(&url, options()).unwrap().heads().unwrap();
    assert_eq!(heads.iter().map(|(_, head)| head.number).sum::<u64>(), 3 + won);
}

/// A report, or a backup: while it runs PostgreSQL keeps all that the row of a stream ever was.
#[test]
fn a_long_transaction_of_somebody_else_does_not_slow_appends() {
    const BATCHES: u64 = 1_500;
    let server = server(&[CAN_BLOCK]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    let first = next(ONE, Head::EMPTY, 0);
    journal.append(std::slice::from_ref(&first)).unwrap();
    let report = "BEGIN; UPDATE journal_schema SET version = version; PREPARE TRANSACTION 'report'";
    server.run(SCHEMA, report);
    let read = || -> u64 {
        // What a connection has read is told at its end.
        server.end_connections("maepyo");
        let read = "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
            FROM pg_statio_user_tables WHERE relname = 'journal_stream'";
        server.run(SCHEMA, read).parse().unwrap()
    };
    let mut head = first.batch.head();
    let mut go_on = |batches: u64| {
        for _ in 0..batches {
            let Locked { lock, .. } = until(|| journal.lock(&[(ONE, head)]).ok());
            let append = next(ONE, head, 1);
            assert_eq!(lock.append(std::slice::from_ref(&append)).unwrap(), [Appended::Appended]);
            head = append.batch.head();
        }
    };
    let begun = read();
    go_on(100);
    let early = read() - begun;
    go_on(BATCHES);
    let before = read();
    go_on(100);
    let late = read() - before;
    server.run(SCHEMA, "ROLLBACK PREPARED 'report'");
    assert!(late < 2 * early, "100 appends read {early} pages early, and {late} late");
}
