//! Several nodes that append to the same streams.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use pgserver::{Network, Server, Setup};
use store::{Append, Appended, Batch, BatchId, Head, Journal, Locked, StoreError, StreamId};

use super::{CAN_BLOCK, ONE, SCHEMA, after, append, options, server, setup, to_one, until};

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
    let begin = Barrier::new(NODES as usize);
    let compete = |node: u128| {
        let journal = store::open(&url, options()).unwrap();
        let (mut head, mut won) = (Head::EMPTY, 0_u64);
        begin.wait();
        while head.number < BATCHES {
            let Locked { newer, lock } = journal.lock(&[(ONE, head)]).unwrap();
            let newer = newer[0].as_ref().unwrap();
            head = newer.batches.last().map_or(head, Batch::head);
            if head != newer.head {
                // It was not heard of for long, and learned only a part of what it missed.
                lock.append(&[]).unwrap();
                continue;
            }
            let append = next(ONE, head, node);
            assert_eq!(lock.append(std::slice::from_ref(&append)).unwrap(), [Appended::Appended]);
            head = append.batch.head();
            won += 1;
        }
        won
    };
    let won: u64 = thread::scope(|scope| {
        let compete = &compete;
        let nodes: Vec<_> = (1..=NODES).map(|node| scope.spawn(move || compete(node))).collect();
        nodes.into_iter().map(|node| node.join().unwrap()).sum()
    });
    let batches = store::open(&url, options()).unwrap().read(ONE, Head::EMPTY, usize::MAX).unwrap();
    assert_eq!(batches.len() as u64, won);
}

/// However soon the other one asks again, and however long this one takes to wake.
#[test]
fn whoever_waits_for_a_turn_is_passed_by_nobody() {
    const TIMES: usize = 160;
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let [quick, patient] = [(); 2].map(|()| store::open(&url, options()).unwrap());
    let take = |journal: &dyn Journal, known: Head, node: u128| -> Vec<Batch> {
        let Locked { newer, lock } = journal.lock(&[(ONE, known)]).unwrap();
        let mut batches =
            newer.into_iter().flat_map(|newer| newer.unwrap().batches).collect::<Vec<_>>();
        let append = next(ONE, batches.last().map_or(known, Batch::head), node);
        assert_eq!(lock.append(std::slice::from_ref(&append)).unwrap(), [Appended::Appended]);
        batches.push(append.batch);
        batches
    };
    let mut known = take(&*quick, Head::EMPTY, 1)[0].head();
    for time in 0..TIMES {
        let Locked { lock, .. } = quick.lock(&[(ONE, known)]).unwrap();
        known = thread::scope(|scope| {
            let waiting = scope.spawn(|| take(&*patient, known, 2));
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            until(|| (server.run(SCHEMA, waits) == "1").then_some(()));
            let append = next(ONE, known, 1);
            lock.append(std::slice::from_ref(&append)).unwrap();
            let seen = take(&*quick, append.batch.head(), 1);
            let its = waiting.join().unwrap();
            assert_eq!(seen.len(), 2, "turn {time}: the other one waited, and was passed by");
            assert_eq!((&its[0], &its[1]), (&append.batch, &seen[0]));
            seen[1].head()
        });
    }
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
    assert_eq!(newer[0].as_ref().unwrap().batches, std::slice::from_ref(&first));
    let second = after(Some(&first), b"second");
    assert_eq!(later.append(&[to_one(&second)]).unwrap(), [Appended::Appended]);
    // It wakes, and has decided.
    let other = after(Some(&first), b"other");
    let answer = lock.append(&[to_one(&other)]);
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let head = second.head();
    assert_eq!(asleep.append(&[to_one(&other)]).unwrap(), [Appended::Conflict { head }]);
}

/// The same, when the server has not even got rid of what that node is to read.
#[test]
fn who_reads_nothing_in_its_turn_loses_it() {
    let setup = Setup { network: Network::Plain, ..setup(&[]) };
    let server = Server::start(setup).unwrap();
    let url = server.make_schema(SCHEMA);
    let relay = Relay::to(&server);
    let asleep = store::open(&relay.url(&server), options()).unwrap();
    let awake = store::open(&url, options()).unwrap();
    // Once, so that all that it will ask for is prepared.
    asleep.lock(&[(ONE, Head::EMPTY)]).unwrap().lock.append(&[]).unwrap();
    // More than the system keeps of what nobody reads.
    let first = after(None, &vec![7; 48 << 20]);
    append(&*awake, &first);
    relay.sleeps(true);
    thread::scope(|scope| {
        let turn = scope.spawn(|| asleep.lock(&[(ONE, Head::EMPTY)]).map(|_| ()));
        let sends = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
        until(|| (server.run("public", sends) == "1").then_some(()));
        let second = after(Some(&first), b"second");
        let locked = until(|| awake.lock(&[(ONE, first.head())]).ok());
        assert_eq!(locked.lock.append(&[to_one(&second)]).unwrap(), [Appended::Appended]);
        relay.sleeps(false);
        let answer = turn.join().unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    });
}

/// Hands on what is said to a server, and what it says unless it is asleep.
struct Relay {
    port: u16,
    sleeps: Arc<AtomicBool>,
}

impl Relay {
    fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let sleeps = Arc::<AtomicBool>::default();
        let (to, asleep) = (server.port().unwrap(), sleeps.clone());
        // They end with the test.
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                let (from, asleep) = (server.try_clone().unwrap(), asleep.clone());
                let back = client.try_clone().unwrap();
                thread::spawn(move || hand_on(from, back, || asleep.load(Ordering::Relaxed)));
                thread::spawn(move || hand_on(client, server, || false));
            }
        });
        Self { port, sleeps }
    }

    fn url(&self, server: &Server) -> String {
        let there = format!(":{}/", server.port().unwrap());
        server.network_url("127.0.0.1", SCHEMA).replace(&there, &format!(":{}/", self.port))
    }

    fn sleeps(&self, sleeps: bool) {
        self.sleeps.store(sleeps, Ordering::Relaxed);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, is_asleep: impl Fn() -> bool) {
    let mut some = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut some) {
        until(|| (!is_asleep()).then_some(()));
        if to.write_all(&some[..read]).is_err() {
            break;
        }
    }
    // One of them may be gone already.
    let _gone = to.shutdown(Shutdown::Both);
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
                let newer = newer.into_iter().map(Result::unwrap);
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
        let read = "SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)
            FROM pg_statio_user_tables WHERE relname IN ('journal_stream', 'journal_batch')";
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
    // From what it learns of the tables it may make other plans.
    server.run(SCHEMA, "VACUUM ANALYZE");
    let before = read();
    go_on(100);
    let late = read() - before;
    server.run(SCHEMA, "ROLLBACK PREPARED 'report'");
    assert!(late < 2 * early, "100 appends read {early} pages early, and {late} late");
}
