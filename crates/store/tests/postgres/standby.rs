//! A primary and a standby that takes over: nothing that was acknowledged is lost, and what may be lost is
//! not shown.

use std::thread;

use pgserver::Server;
use store::{Appended, Batch, Head, Journal};

use super::{ONE, SCHEMA, after, append, one_waits_for_a_standby, options, setup, to_one, until};

/// A primary and a standby that its commits wait for.
fn pair() -> (Server, Server) {
    let primary = Server::start(setup(&["dynamic_shared_memory_type=mmap"])).unwrap();
    let standby =
        Server::start_standby(setup(&["dynamic_shared_memory_type=mmap"]), &primary).unwrap();
    primary.commits_wait_for_standby();
    (primary, standby)
}

/// The address that names both, in this order.
fn both(first: &Server, second: &Server) -> String {
    let hosts = format!("{},{}", first.host(), second.host());
    first.url(SCHEMA).replace(&first.host(), &hosts)
}

/// Appends until it is answered.
fn append_at_last(journal: &dyn Journal, batch: &Batch) {
    let answer = until(|| journal.append(&[to_one(batch)]).ok());
    assert!([Appended::Appended, Appended::AlreadyThere].contains(&answer[0]), "{answer:?}");
}

fn all(journal: &dyn Journal) -> Vec<Batch> {
    journal.read(ONE, Head::EMPTY, usize::MAX).unwrap()
}

/// Wherever the primary stands in the address, before or after the standby.
#[test]
fn a_standby_that_takes_over_is_found_and_has_what_was_acknowledged() {
    let (mut primary, standby) = pair();
    drop(primary.make_schema(SCHEMA));
    let nodes = [both(&primary, &standby), both(&standby, &primary)]
        .map(|url| store::open(&url, options()).unwrap());
    let mut batches = vec![after(None, b"first")];
    append(&*nodes[0], &batches[0]);
    batches.push(after(Some(&batches[0]), b"second"));
    append(&*nodes[1], &batches[1]);

    primary.kill();
    assert!(nodes[0].append(&[to_one(&after(batches.last(), b"lost"))]).is_err());
    standby.promote().unwrap();
    standby.commits_wait_for("");
    for node in &nodes {
        let next = after(batches.last(), b"next");
        append_at_last(&**node, &next);
        batches.push(next);
    }
    for node in &nodes {
        assert_eq!(all(&**node), batches);
    }
    // The other way: the old primary follows, and takes over again.
    let (mut primary, mut standby) = (standby, primary);
    standby.follow(&primary).unwrap();
    primary.commits_wait_for_standby();
    let next = after(batches.last(), b"again");
    append_at_last(&*nodes[1], &next);
    batches.push(next);
    primary.kill();
    standby.promote().unwrap();
    standby.commits_wait_for("");
    let last = after(batches.last(), b"last");
    append_at_last(&*nodes[0], &last);
    batches.push(last);
    assert_eq!(all(&*nodes[1]), batches);
}

/// Commits that wait for the standby while the server ends are there when it starts again, and seen by
/// everybody; the standby may not have them.
#[test]
fn what_a_restart_shows_is_not_read_before_the_standby_has_it() {
    let mut server = Server::start(setup(&[])).unwrap();
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    let first = after(None, b"first");
    append(&*journal, &first);
    server.commits_wait_for("nobody");
    let second = after(Some(&first), b"second");
    thread::scope(|scope| {
        let sent = scope.spawn(|| journal.append(&[to_one(&second)]));
        one_waits_for_a_standby(&server);
        server.crash();
        assert!(sent.join().unwrap().is_err());
    });
    server.start_again().unwrap();
    assert_eq!(server.run(SCHEMA, "SELECT max(number) FROM journal_batch"), "2", "it is there");

    // Neither who was there nor who starts anew is told of it.
    let error = journal.read(ONE, first.head(), usize::MAX).unwrap_err();
    assert!(error.to_string().contains("the standby that it waits for may be away"), "{error}");
    let error = store::open(&url, options()).err().unwrap();
    assert!(error.to_string().contains("the standby that it waits for may be away"), "{error}");

    server.commits_wait_for("");
    let batches = [first, second];
    assert_eq!(until(|| journal.read(ONE, Head::EMPTY, usize::MAX).ok()), batches);
    assert_eq!(journal.append(&[to_one(&batches[1])]).unwrap(), [Appended::AlreadyThere]);
    assert_eq!(all(&*store::open(&url, options()).unwrap()), batches);
}

/// A standby that did not have everything took over, beside the primary that had: whoever knows more goes
/// on where it is.
#[test]
fn a_server_that_lacks_what_was_acknowledged_is_passed_over() {
    let primary = Server::start(setup(&[])).unwrap();
    let url = primary.make_schema(SCHEMA);
    let first = after(None, b"first");
    append(&*store::open(&url, options()).unwrap(), &first);
    let behind = Server::start_standby(setup(&[]), &primary).unwrap();
    behind.promote().unwrap();

    let journal = store::open(&both(&primary, &behind), options()).unwrap();
    let second = after(Some(&first), b"second");
    append(&*journal, &second);
    // It is not answered any more, and the next server is asked first.
    primary.commits_wait_for("nobody");
    let third = after(Some(&second), b"third");
    assert!(journal.append(&[to_one(&third)]).is_err());
    primary.commits_wait_for("");
    append_at_last(&*journal, &third);
    assert_eq!(all(&*journal), [first, second, third]);
    assert_eq!(behind.run(SCHEMA, "SELECT max(number) FROM journal_batch"), "1");
}

/// An old primary that was cut off from its standby, but not from this node, commits nothing any more.
#[test]
fn a_primary_that_commits_nothing_is_left_for_the_one_that_does() {
    let (primary, standby) = pair();
    drop(primary.make_schema(SCHEMA));
    let journal = store::open(&both(&primary, &standby), options()).unwrap();
    let first = after(None, b"first");
    append(&*journal, &first);
    // Nobody told it.
    standby.promote().unwrap();
    standby.commits_wait_for("");
    let second = after(Some(&first), b"second");
    append_at_last(&*journal, &second);
    assert_eq!(standby.run(SCHEMA, "SELECT max(number) FROM journal_batch"), "2");
    assert_eq!(all(&*journal), [first, second]);
}
