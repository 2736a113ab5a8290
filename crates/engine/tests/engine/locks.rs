//! Nodes that take turns: nothing is decided in vain, and nobody waits for ever.

use domain::id::{Place, ReservationId, SeatIndex};
use domain::refusal::Refusal;
use engine::Failure;

use crate::desk::{Desk, hold};

/// A desk whose batch came too late once, with the other one and what both know.
fn among_others() -> (Desk, Desk, [Place; 3]) {
    let mut ours = Desk::open_shared(3);
    let places = [ours.admit(1), ours.admit(2), ours.admit(3)];
    let mut theirs = ours.fork_shared();
    ours.offer(4, hold(places[0], 4, &[0]));
    ours.advance().append();
    theirs.offer(5, hold(places[1], 5, &[1]));
    let won = theirs.advance().append();
    theirs.appended(won.clone());
    assert!(!theirs.wants_lock(), "it knows of nobody");
    ours.is_let_in = false;
    ours.conflict(&[won.batch]);
    (ours, theirs, places)
}

#[test]
fn after_a_conflict_nothing_is_decided_without_a_lock() {
    let (mut ours, mut theirs, places) = among_others();
    ours.advance();
    assert!(ours.wants_lock() && ours.appends.is_empty());
    // More come while it waits, and so does another batch of the others.
    ours.offer(6, hold(places[2], 6, &[3]));
    ours.advance();
    theirs.offer(7, domain::Command::GiveBack { place: places[1], reservation: ReservationId(5) });
    theirs.offer(8, hold(places[1], 8, &[3]));
    let second = theirs.advance().append();
    theirs.appended(second.clone());
    let append = ours.locked(&[second.batch]).append();
    ours.appended(append);
    ours.answer(4);
    let taken = vec![SeatIndex(3)];
    assert_eq!(ours.refusal(6), Refusal::SeatTaken { taken }, "by what is new");
    assert_eq!(ours.head().number, theirs.head().number + 1);
}

#[test]
fn what_is_refused_with_a_lock_is_told_at_once() {
    let (mut ours, _, [ann, bob, _]) = among_others();
    ours.advance();
    let append = ours.locked(&[]).append();
    ours.appended(append);
    ours.answer(4);
    ours.now += 1;
    ours.offer(6, hold(bob, 6, &[0]));
    ours.now += 1;
    ours.advance();
    // This one came after the lock was asked for: what the lock found may be older.
    ours.offer(7, hold(ann, 7, &[5]));
    ours.locked(&[]);
    assert!(matches!(ours.refusal(6), Refusal::ReservationExists { .. }));
    assert!(ours.appends.is_empty(), "and nothing is written, so the lock is let go");
    assert!(!ours.replies.contains_key(&7));
    ours.looked(ours.head(), None);
    assert!(matches!(ours.refusal(7), Refusal::ReservationExists { .. }));
}

#[test]
fn what_is_new_and_is_not_there_as_a_whole_is_read_on() {
    let (mut ours, mut theirs, [_, _, cat]) = among_others();
    ours.advance();
    theirs.offer(6, hold(cat, 6, &[2]));
    theirs.settle();
    let newer = theirs.newer_than(&ours);
    theirs.offer(7, domain::Command::Leave { place: cat });
    theirs.settle();
    ours.locked_partly(&newer, theirs.head());
    assert!(ours.appends.is_empty() && !ours.wants_lock(), "it reads on without a lock");
    let newer = theirs.newer_than(&ours);
    ours.caught_up(&newer);
    ours.advance();
    let append = ours.locked(&[]).append();
    ours.appended(append);
    ours.answer(4);
}

#[test]
fn what_cannot_be_read_with_a_lock_is_read_without() {
    let (mut ours, _, [_, bob, _]) = among_others();
    ours.advance();
    ours.locked_blindly();
    ours.offer(6, hold(bob, 6, &[2]));
    ours.advance();
    assert!(ours.appends.is_empty() && !ours.wants_lock(), "it is read again until it can be");
    ours.caught_up(&[]);
    ours.advance();
    let append = ours.locked(&[]).append();
    ours.appended(append);
    ours.answer(4);
}

#[test]
fn whoever_is_alone_again_needs_no_lock() {
    let (mut ours, _, [_, bob, _]) = among_others();
    let mut locks = 0;
    for caller in 10..100 {
        ours.advance();
        if ours.wants_lock() {
            locks += 1;
            ours.locked(&[]);
        }
        while !ours.appends.is_empty() {
            let append = ours.append();
            ours.appended(append);
            ours.advance();
        }
        ours.offer(caller, hold(bob, caller, &[9]));
        ours.now += 1;
    }
    // Of 90 that had something to decide.
    assert_eq!(locks, 16);
}

#[test]
fn a_lock_that_cannot_be_had_is_asked_for_again() {
    let (mut ours, _, [_, _, cat]) = among_others();
    ours.advance();
    ours.lock_failed();
    ours.offer(6, hold(cat, 6, &[2]));
    assert_eq!(ours.failure(6), Failure::Unavailable, "as when nothing can be appended");
    ours.advance();
    assert!(!ours.wants_lock(), "not at once");
    ours.now += 200;
    ours.advance();
    let append = ours.locked(&[]).append();
    ours.appended(append);
    ours.answer(4);
    // Also when nobody waits for it any more: until it is had, nobody is served.
    ours.offer(7, hold(cat, 7, &[3]));
    ours.advance();
    ours.lock_failed();
    ours.pass(11_000);
    ours.advance();
    assert_eq!(ours.failure(7), Failure::Unavailable);
    assert!(ours.wants_lock());
    ours.locked(&[]);
    ours.offer(8, hold(cat, 8, &[3]));
    ours.advance();
    let append = ours.locked(&[]).append();
    ours.appended(append);
    ours.answer(8);
}
