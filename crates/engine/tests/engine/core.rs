//! The core by itself, in virtual time: what may leave when, and what happens when the store or the
//! provider fails. Callers are numbers.

use crate::desk::{Desk, hold, join, pay, schedule};
use domain::command::{Command, PaymentOutcome};
use domain::event::Event;
use domain::id::{Nonce, Place, ReservationId, SeatIndex};
use domain::payment::PaymentState;
use domain::refusal::Refusal;
use domain::reservation::{EndReason, ReservationState};
use domain::sale::Status;
use engine::{Answer, Call, CallResult, Config, Failure};
use store::Head;
use store::codec::read_records;

#[test]
fn nobody_is_answered_before_the_batch_is_durable() {
    let mut desk = Desk::open(1);
    desk.offer(1, join(1));
    let append = desk.advance().append();
    assert!(desk.replies.is_empty(), "the join is decided, not durable");
    desk.appended(append);
    let Answer::Place { view, created: true } = desk.answer(1) else { panic!("a new place") };
    assert!(matches!(view.status, Status::Admitted { .. }));
    assert_eq!(desk.published().as_of, desk.tip());
}

#[test]
fn a_refusal_waits_for_the_batch_it_was_decided_after() {
    let mut desk = Desk::open(2);
    let (ann, bob) = (desk.admit(1), desk.admit(2));
    desk.offer(3, hold(ann, 3, &[0]));
    desk.offer(4, hold(bob, 4, &[0]));
    let append = desk.advance().append();
    assert!(desk.replies.is_empty(), "bob's refusal rests on ann's hold");
    desk.appended(append);
    assert!(matches!(desk.answer(3), Answer::Reservation { .. }));
    assert_eq!(desk.refusal(4), Refusal::SeatTaken { taken: vec![SeatIndex(0)] });

    // With nothing on its way, a refusal is answered at once.
    desk.offer(5, hold(bob, 5, &[0]));
    desk.advance();
    assert_eq!(desk.refusal(5), Refusal::SeatTaken { taken: vec![SeatIndex(0)] });
}

#[test]
fn a_refusal_decided_while_a_batch_is_in_flight_waits_for_that_batch() {
    let mut desk = Desk::open(2);
    let (ann, bob) = (desk.admit(1), desk.admit(2));
    desk.offer(3, hold(ann, 3, &[0]));
    let append = desk.advance().append();
    desk.offer(4, hold(bob, 4, &[0]));
    desk.advance();
    assert!(desk.replies.is_empty());
    desk.appended(append);
    assert!(matches!(desk.answer(3), Answer::Reservation { .. }));
    assert!(matches!(desk.refusal(4), Refusal::SeatTaken { .. }));
}

#[test]
fn commands_that_come_while_a_batch_is_in_flight_share_the_next_one() {
    let mut desk = Desk::open(1);
    desk.offer(1, join(1));
    let first = desk.advance().append();
    for caller in 2..=50 {
        desk.offer(caller, join(caller));
        desk.advance();
        assert!(desk.appends.is_empty(), "one append at a time");
    }
    desk.appended(first);
    let second = desk.advance().append();
    assert_eq!(read_records(&second.batch.body).unwrap().len(), 49);
    desk.appended(second);
    assert_eq!(desk.replies.len(), 50);
}

#[test]
fn an_append_that_failed_is_sent_again_unchanged_and_meanwhile_nothing_more_is_accepted() {
    let mut desk = Desk::open(1);
    desk.offer(1, join(1));
    let append = desk.advance().append();
    desk.failed(append.clone());
    desk.offer(2, join(2));
    assert_eq!(desk.failure(2), Failure::Unavailable);
    desk.pass(200);
    assert_eq!(desk.advance().append(), append);
    desk.appended(append);
    assert!(matches!(desk.answer(1), Answer::Place { .. }));
}

#[test]
fn who_waits_too_long_for_an_append_hears_that_the_outcome_is_unknown() {
    let mut desk = Desk::open(1);
    desk.offer(1, join(1));
    let append = desk.advance().append();
    desk.pass(10_000);
    desk.advance();
    assert_eq!(desk.failure(1), Failure::OutcomeUnknown);
    desk.appended(append);
    assert!(desk.replies.is_empty(), "nobody is told twice");
    assert_eq!(desk.published().sale.line().joined(), 1);
}

#[test]
fn the_clocks_stand_still_while_the_store_cannot_be_written() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    let append = desk.advance().append();
    let held_until = desk.now + 300_000;
    for _ in 0..120 {
        desk.failed(append.clone());
        desk.now += 5_000; // No heartbeat is written either.
        assert_eq!(desk.advance().append(), append);
    }
    desk.appended(append);
    desk.settle();
    let publication = desk.published();
    let reservation = publication.sale.reservations().next().unwrap();
    let ReservationState::Held(until) = reservation.state else { panic!("lost its seats") };
    let until = publication.sale.clock().node(until).0;
    assert!((held_until + 595_000..held_until + 605_000).contains(&until), "moved by the outage");
}

#[test]
fn a_long_silence_is_journalled_before_anything_that_is_due() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    // The process slept for longer than the hold: no heartbeat, no advance.
    desk.now += 3_600_000;
    let batch = desk.advance().append().batch;
    let events: Vec<Event> =
        read_records(&batch.body).unwrap().into_iter().flat_map(|record| record.events).collect();
    assert!(
        matches!(events[..], [Event::Resumed { gap: 3_599_000..=3_601_000, .. }]),
        "{events:?}"
    );
}

/// Another node put the sale on just before an outage, and died in it.
#[test]
fn a_silence_counts_for_a_sale_that_was_not_known_here_when_it_ended() {
    let theirs = Desk::open(1);
    let mut ours = Desk::before_any_sale(Config { node: 2, ..Config::default() });
    ours.now += 16_000;
    ours.offer(1, Command::Open);
    ours.settle();
    assert_eq!(ours.refusal(1), Refusal::SaleNotFound);
    ours.offer(2, Command::Schedule(Box::new(schedule(1))));
    ours.advance().append();
    ours.conflict(theirs.written());
    let batch = ours.advance().append().batch;
    let events: Vec<Event> =
        read_records(&batch.body).unwrap().into_iter().flat_map(|record| record.events).collect();
    assert!(matches!(events[0], Event::Resumed { gap: 16_000, .. }), "{events:?}");
}

/// A heartbeat would hide the silence from a sale that another node put on just before it.
#[test]
fn after_a_silence_nothing_is_said_before_it_is_known_what_others_did() {
    let theirs = Desk::open(1);
    let config = || Config { node: 2, follow_every: Some(50), ..Config::default() };
    let mut ours = Desk::before_any_sale(config());
    assert!(!ours.owes_silence());
    ours.now += 16_000;
    assert!(ours.owes_silence(), "there may be a sale");
    ours.glanced(theirs.head());
    assert!(ours.owes_silence(), "there is one");

    let mut ours = Desk::before_any_sale(config());
    ours.now += 16_000;
    ours.glanced(Head::EMPTY);
    assert!(!ours.owes_silence(), "there is none");
}

#[test]
fn on_a_conflict_the_same_commands_are_decided_again() {
    let mut ours = Desk::open(2);
    let (ann, bob) = (ours.admit(1), ours.admit(2));
    let mut theirs = ours.fork();
    ours.offer(3, hold(ann, 3, &[0]));
    ours.offer(4, hold(bob, 4, &[1]));
    let lost = ours.advance().append();
    ours.offer(5, hold(bob, 5, &[2]));
    ours.advance();

    theirs.offer(6, hold(bob, 6, &[0]));
    let won = theirs.advance().append();
    theirs.appended(won.clone());

    assert_eq!(lost.batch.number, won.batch.number);
    ours.conflict(std::slice::from_ref(&won.batch));
    assert!(ours.replies.is_empty(), "nothing was durable");
    ours.settle();
    assert_eq!(ours.refusal(3), Refusal::SeatTaken { taken: vec![SeatIndex(0)] });
    assert!(matches!(ours.refusal(4), Refusal::ReservationExists { .. }));
    assert!(matches!(ours.refusal(5), Refusal::ReservationExists { .. }));
    ours.published().sale.check().unwrap();
}

#[test]
fn the_provider_is_asked_only_after_the_payment_is_journalled_and_once() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    desk.answer(2);
    desk.offer(3, pay(ann, 2, 77));
    let begun = desk.advance().append();
    assert!(desk.calls.is_empty(), "not before it is durable");
    desk.appended(begun);
    let call = desk.calls.pop().unwrap();
    assert!(matches!(call.call, Call::Charge { .. }));
    assert!(desk.calls.is_empty());
    desk.call_finished(call.payment, CallResult::Outcome(PaymentOutcome::Approved));
    let settled = desk.advance().append();
    assert!(desk.replies.is_empty(), "not before the result is durable");
    desk.appended(settled);
    let Answer::Reservation { view, place } = desk.answer(3) else { panic!("a reservation") };
    assert_eq!(view.reservation.state, ReservationState::Confirmed);
    assert!(matches!(place.status, Status::Done { .. }));
    desk.pass(60_000);
    desk.settle();
    assert!(desk.calls.is_empty(), "nothing is open any more");
}

#[test]
fn a_silent_provider_leaves_the_payment_pending_and_is_asked_until_it_is_definite() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    desk.offer(3, pay(ann, 2, 77));
    desk.settle();
    let charge = desk.calls.pop().unwrap();
    desk.pass(10_000);
    desk.settle();
    let Answer::Reservation { view, .. } = desk.answer(3) else { panic!("pending") };
    assert_eq!(view.payment.unwrap().state, PaymentState::Unknown);

    desk.call_finished(charge.payment, CallResult::Outcome(PaymentOutcome::Unknown));
    desk.settle();
    assert!(matches!(desk.calls.pop().unwrap().call, Call::Find));
    desk.call_finished(charge.payment, CallResult::Outcome(PaymentOutcome::Unknown));
    desk.settle();
    assert!(desk.calls.is_empty(), "not at once again");
    desk.pass(1_000);
    desk.settle();
    assert!(matches!(desk.calls.pop().unwrap().call, Call::Find));
    desk.call_finished(charge.payment, CallResult::NotFound);
    desk.settle();
    assert!(matches!(desk.calls.pop().unwrap().call, Call::Void), "not found is not final");
    desk.call_finished(charge.payment, CallResult::Voided);
    desk.settle();
    let sale = desk.published().sale;
    let payment = sale.payment(charge.payment).unwrap();
    assert!(matches!(payment.state, PaymentState::Declined(_)));
    assert!(desk.calls.is_empty());
    sale.check().unwrap();
}

#[test]
fn those_who_watch_see_what_is_durable_and_how_old_a_doubt_is() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    desk.offer(3, pay(ann, 2, 77));
    desk.offer(4, join(4));
    assert_eq!(desk.state().queues, [0, 0, 1, 0, 1]);
    let append = desk.advance().append();
    assert_eq!(desk.state().payments.begun, 0, "it is decided, not durable");
    desk.appended(append);
    assert_eq!((desk.state().queues, desk.state().payments.begun), ([0; 5], 1));
    assert_eq!((desk.state().durable, desk.state().oldest_unknown), (desk.tip(), None));

    let charge = desk.calls.pop().unwrap();
    desk.pass(10_000);
    desk.call_finished(charge.payment, CallResult::Outcome(PaymentOutcome::Unknown));
    desk.settle();
    let unknown_at = desk.now;
    assert_eq!(desk.state().payments.unknown, 1);
    desk.pass(30_000);
    desk.settle();
    assert_eq!(desk.state().oldest_unknown.map(|at| at.0), Some(unknown_at));
    let approved = CallResult::Outcome(PaymentOutcome::Approved);
    desk.call_finished(charge.payment, approved);
    desk.settle();
    let state = desk.state();
    assert_eq!((state.payments.approved, state.oldest_unknown), (1, None));
}

#[test]
fn money_that_comes_after_a_decline_goes_back_once() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    desk.offer(3, pay(ann, 2, 77));
    desk.settle();
    let payment = desk.calls.pop().unwrap().payment;
    let declined = PaymentOutcome::Declined { reason: "no".into(), retryable: true };
    desk.call_finished(payment, CallResult::Outcome(declined));
    desk.settle();
    assert!(matches!(desk.answer(3), Answer::Reservation { .. }));
    for _ in 0..2 {
        desk.call_finished(payment, CallResult::Outcome(PaymentOutcome::Approved));
        desk.settle();
    }
    assert!(matches!(desk.calls.pop().unwrap().call, Call::Refund { .. }));
    assert!(desk.calls.is_empty());
    desk.call_finished(payment, CallResult::Refunded);
    desk.settle();
    desk.pass(100_000);
    desk.settle();
    assert!(desk.calls.is_empty());
    let takings = desk.published().sale.takings();
    assert_eq!((takings.approved, takings.confirmed.0), (takings.refunded, 0));
}

#[test]
fn joins_are_shed_first() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, join(2));
    let in_flight = desk.advance().append();
    for caller in 100..100 + desk.queue_max() {
        desk.offer(caller, join(caller));
    }
    desk.offer(3, join(3));
    assert_eq!(desk.failure(3), Failure::Overloaded);
    desk.offer(4, hold(ann, 4, &[0]));
    desk.appended(in_flight);
    desk.settle();
    assert!(matches!(desk.answer(4), Answer::Reservation { .. }));
}

#[test]
fn time_alone_ends_a_hold_and_lets_the_next_one_in() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.offer(3, join(3));
    desk.settle();
    let held_at = desk.now;
    while desk.now < held_at + 299_000 {
        desk.pass(1_000);
        desk.settle();
    }
    assert_eq!(desk.published().sale.seats().counts().held, 1);
    desk.pass(1_000);
    desk.settle();
    let sale = desk.published().sale;
    assert_eq!(sale.seats().counts().held, 0);
    let status = |caller: u64| sale.place(desk.entry(caller)).unwrap().status;
    assert_eq!(status(1), Status::Ended { reason: EndReason::HoldExpired });
    assert!(matches!(status(3), Status::Waiting { away: true }), "nobody saw the other one");
}

#[test]
fn who_is_there_is_not_passed_over_because_many_before_are_not() {
    let mut desk = Desk::open(1);
    let ann = desk.admit(1);
    for caller in 2..=651 {
        desk.offer(caller, join(caller));
    }
    desk.settle();
    // Of 650 in line only the last fifty ask again; a late one joins when the turn comes free.
    for second in 0..110 {
        desk.pass(1_000);
        (602..=651).for_each(|caller| desk.poll(caller));
        if second == 50 {
            desk.poll(1);
        }
        desk.settle();
    }
    desk.offer(700, join(700));
    desk.settle();
    desk.offer(701, Command::Leave { place: ann });
    desk.settle();
    let sale = desk.published().sale;
    let status = |caller: u64| sale.place(desk.entry(caller)).unwrap().status;
    assert!(matches!(status(601), Status::Waiting { away: true }));
    assert!(matches!(status(602), Status::Admitted { .. }), "{:?}", status(602));
    assert!(matches!(status(603), Status::Waiting { away: false }));
    assert!(matches!(status(700), Status::Waiting { away: false }));
}

#[test]
fn a_failing_store_owes_a_silence_whatever_else_is_written() {
    let mut desk = Desk::open(1);
    desk.offer(1, join(1));
    let append = desk.advance().append();
    assert!(!desk.owes_silence());
    desk.failed(append.clone());
    assert!(desk.owes_silence(), "so that no heartbeat hides it");
    desk.appended(append);
    assert!(!desk.owes_silence());
}

#[test]
fn payments_at_the_provider_are_bounded_also_before_they_are_durable() {
    let mut desk = Desk::open(9);
    desk.limit_payments(2);
    for buyer in 1..=4 {
        let place = desk.admit(buyer);
        desk.offer(10 + buyer, hold(place, buyer, &[u32::try_from(buyer).unwrap()]));
        desk.settle();
    }
    let mut begun = Vec::new();
    for buyer in 1..=4 {
        let place = Place { entry: desk.entry(buyer), nonce: Nonce(u32::try_from(buyer).unwrap()) };
        desk.offer(20 + buyer, pay(place, buyer, u128::from(buyer)));
        desk.advance();
        begun.append(&mut desk.appends);
    }
    assert_eq!(desk.failure(23), Failure::Overloaded);
    assert_eq!(desk.failure(24), Failure::Overloaded);
    for append in begun {
        desk.appended(append);
    }
    desk.settle();
    assert_eq!(desk.calls.len(), 2);
}

/// Where other nodes write too, a no is not told before the journal was looked at: one look for all.
#[test]
fn a_refusal_of_one_node_of_several_waits_for_a_look_that_began_after_it() {
    let mut desk = Desk::open_shared(3);
    let (ann, bob, eve) = (desk.admit(1), desk.admit(2), desk.admit(3));
    desk.offer(4, hold(ann, 4, &[0]));
    desk.settle();
    drop(desk.answer(4));
    assert!(desk.looks.is_empty(), "what is written needs none");
    (2..=3).for_each(|caller| desk.poll(caller));

    desk.offer(5, hold(bob, 5, &[0]));
    desk.advance();
    assert!(desk.replies.is_empty());
    // This one comes while the look is under way, which may have begun before.
    desk.offer(6, hold(eve, 6, &[0]));
    desk.advance();
    assert_eq!(desk.looks, [false]);
    let head = desk.head();
    desk.looked(head, None);
    assert_eq!(desk.refusal(5), Refusal::SeatTaken { taken: vec![SeatIndex(0)] });
    assert!(desk.replies.is_empty(), "the other one waits for the next look");
    desk.advance().looked(head, None);
    assert!(matches!(desk.refusal(6), Refusal::SeatTaken { .. }));

    // Behind a hold of the same batch none is needed: it was the newest when it was written.
    desk.offer(7, hold(bob, 7, &[1]));
    desk.offer(8, hold(eve, 8, &[1]));
    desk.settle();
    drop(desk.answer(7));
    assert!(matches!(desk.refusal(8), Refusal::SeatTaken { .. }));
    assert!(desk.looks.is_empty());

    // Nor before one: what is refused was so until that came in.
    desk.offer(9, hold(eve, 9, &[1]));
    desk.advance();
    desk.offer(10, hold(eve, 10, &[2]));
    desk.settle();
    assert!(matches!(desk.refusal(9), Refusal::SeatTaken { .. }));
    drop(desk.answer(10));
}

/// Another node knows better, so it is asked again there.
#[test]
fn a_refusal_that_is_no_longer_true_is_not_told() {
    let mut desk = Desk::open_shared(2);
    let (ann, bob) = (desk.admit(1), desk.admit(2));
    desk.offer(3, hold(ann, 3, &[0]));
    desk.settle();
    drop(desk.answer(3));
    desk.poll(2);
    let mut other = desk.fork();
    other.offer(4, Command::GiveBack { place: ann, reservation: ReservationId(3) });
    other.settle();

    desk.offer(5, hold(bob, 5, &[0]));
    desk.offer(6, hold(bob, 6, &[99]));
    desk.advance();
    let (head, newer) = (other.head(), other.newer_than(&desk));
    desk.looked(head, None);
    assert!(desk.replies.is_empty());
    desk.advance().caught_up(&newer);
    desk.settle();
    assert!(matches!(desk.answer(5), Answer::Reservation { .. }));
    assert_eq!(desk.refusal(6).code(), "reservation_exists");
    assert!(desk.looks.is_empty(), "it is as new as that look already");
}

/// Two refusals turn out to be old, by one look after the other: the first who came is the first again.
#[test]
fn who_came_first_is_asked_again_first() {
    let mut desk = Desk::open_shared(3);
    let (ann, bob, eve) = (desk.admit(1), desk.admit(2), desk.admit(3));
    desk.offer(4, hold(ann, 4, &[0]));
    desk.settle();
    drop(desk.answer(4));
    (2..=3).for_each(|caller| desk.poll(caller));
    let mut other = desk.fork();
    other.offer(5, Command::GiveBack { place: ann, reservation: ReservationId(4) });
    other.settle();
    let (head, newer) = (other.head(), other.newer_than(&desk));

    desk.offer(6, hold(bob, 6, &[0]));
    desk.advance();
    desk.pass(1_000);
    desk.offer(7, hold(eve, 7, &[0]));
    desk.advance();
    desk.looked(head, None).advance();
    desk.looked(head, None).advance();
    desk.caught_up(&newer);
    desk.settle();
    assert!(matches!(desk.answer(6), Answer::Reservation { .. }));
    assert!(matches!(desk.refusal(7), Refusal::SeatTaken { .. }));
}

/// What time alone brings is written by the node that wrote last; by another one if that is gone.
#[test]
fn one_node_of_several_lets_seats_go_at_a_deadline() {
    let mut desk = Desk::open_shared(1);
    let ann = desk.admit(1);
    desk.offer(2, hold(ann, 2, &[0]));
    desk.settle();
    drop(desk.answer(2));
    let mut other = desk.fork_shared();
    let writes_at = |desk: &mut Desk| {
        while desk.advance().appends.is_empty() {
            desk.pass(50);
        }
        desk.now()
    };
    let first = writes_at(&mut desk);
    assert_eq!(writes_at(&mut other), first + 200);
}

#[test]
fn a_refusal_that_cannot_be_confirmed_is_none() {
    let mut desk = Desk::open_shared(2);
    let (ann, bob) = (desk.admit(1), desk.admit(2));
    desk.offer(3, hold(ann, 3, &[0]));
    desk.settle();
    drop(desk.answer(3));
    desk.offer(4, hold(bob, 4, &[0]));
    desk.advance();
    desk.pass(10_250);
    desk.advance();
    assert_eq!(desk.failure(4), Failure::Unavailable);
}

/// The others were at work all the while: the clocks did not stand still.
#[test]
fn a_node_that_was_cut_off_journals_no_silence_while_others_wrote() {
    let mut desk = Desk::open_shared(1);
    let ann = desk.admit(1);
    desk.poll(1);
    for (others_wrote, expected) in [(true, 0), (false, 12_000)] {
        desk.now += 12_000;
        desk.offer(2, hold(ann, 2, &[99]));
        desk.advance();
        assert!(desk.appends.is_empty() && desk.owes_silence());
        let ago = if others_wrote { 1_000 } else { 12_000 };
        let (head, heartbeat) = (desk.head(), desk.now - ago);
        desk.looked(head, Some(heartbeat)).advance();
        let gaps = desk.appends.iter().flat_map(|append| {
            let records = read_records(&append.batch.body).unwrap();
            records.into_iter().flat_map(|record| record.events).filter_map(|event| {
                if let Event::Resumed { gap, .. } = event { Some(gap) } else { None }
            })
        });
        assert_eq!(gaps.sum::<u64>(), expected);
        desk.settle();
        if others_wrote {
            desk.looked(head, None);
        }
        assert_eq!(desk.refusal(2).code(), "seat_not_found");
        desk.pass(2_000);
    }
}
