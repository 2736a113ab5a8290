//! Properties of the rules over random lists of commands: every answer and every state is that of
//! a small model (`model/mod.rs`), every invariant of `lib.rs` holds after each step, and what is
//! written down (events, snapshots) says the whole truth.
//!
//! `PROPTEST_CASES` says how many lists are tried.

mod model;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{Entries, Event};
use domain::id::{EntryIndex, Nonce, PaymentId, ReservationId};
use domain::line::{EntryState, JoinKeys};
use domain::reservation::ReservationState;
use domain::sale::Phase;
use domain::time::Timestamp;
use domain::{Command, Outcome, Refusal, Sale};
use model::Model;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use steps::{Setup, Step, Stepper};

/// A sale three times (lived, restored from a snapshot now and then, replayed from its events)
/// beside the model of it.
struct World {
    model: Model,
    lived: Sale,
    restored: Sale,
    replayed: Sale,
    now: Timestamp,
    stepper: Stepper,
    /// Which events and refusals there were, by their names.
    met: BTreeSet<String>,
}

impl World {
    fn new(setup: &Setup) -> Self {
        let schedule = setup.schedule();
        let mut world = Self {
            model: Model::new(&schedule),
            lived: Sale::default(),
            restored: Sale::default(),
            replayed: Sale::default(),
            now: setup.start(),
            stepper: Stepper::default(),
            met: BTreeSet::new(),
        };
        let schedule = Command::Schedule(Box::new(schedule));
        // What is due follows at once, so the model must hear of a moment too.
        let expected = world.model.execute(&Command::Tick, world.now);
        world.play(&schedule, &expected);
        world
    }

    fn step(&mut self, step: &Step) {
        self.announcement_is_not_late(&self.lived);
        self.announcement_is_not_late(&self.restored);
        self.announcements_come_to_an_end();
        self.now = step.wait.until(self.now, self.lived.next_deadline());
        let command = self.stepper.command(&step.deed, &self.model, &mut self.now);
        let expected = self.model.execute(&command, self.now);
        self.play(&command, &expected);
        if step.restart {
            self.restored = minicbor::decode(&bytes(&self.restored)).expect("a snapshot");
            assert_eq!(self.restored.check(), Ok(()), "what follows from the rest");
            self.model.assert_shown_by(&self.restored);
        }
        self.repeating_changes_nothing(&command, expected);
    }

    /// Executes a command everywhere and compares.
    fn play(&mut self, command: &Command, expected: &Answer) {
        let positions = positions(&self.lived);
        let (mut events, mut again) = (Vec::new(), Vec::new());
        let answer = self.lived.execute(command, self.now, &mut events);
        assert_eq!(answer, *expected, "the answer to {command:?}");
        assert_eq!(self.restored.execute(command, self.now, &mut again), answer);
        assert_eq!(again, events, "a state from a snapshot goes on as the one it was taken of");
        let met = events
            .iter()
            .map(|event| format!("{event:?}"))
            .chain(answer.as_ref().err().map(|refusal| refusal.code().to_owned()));
        for name in met {
            let name = name.split([' ', '(']).next().unwrap_or_default().to_owned();
            self.met.insert(name);
        }
        for event in &events {
            let written = minicbor::to_vec(event).expect("writing to memory");
            let read: Event = minicbor::decode(&written).expect("an event");
            assert_eq!(read, *event);
            self.admission_is_fair(event);
            self.replayed.evolve(&read);
        }
        assert_eq!(self.lived.check(), Ok(()));
        let state = bytes(&self.lived);
        assert_eq!(bytes(&self.restored), state);
        assert_eq!(bytes(&self.replayed), state, "the events say all that changed");
        self.model.assert_shown_by(&self.lived);
        self.holds_end();
        self.nothing_more_is_due();
        for (entry, position) in self::positions(&self.lived) {
            if let Some(before) = positions.get(&entry) {
                assert!(position <= *before, "{entry} fell back from {before} to {position}");
            }
        }
    }

    /// Invariants 3 and 4 at the moment of an admission, told by the state before it.
    fn admission_is_fair(&self, event: &Event) {
        let before = &self.replayed;
        let Event::Admitted { entry, .. } = event else { return };
        assert_eq!(before.phase(), Phase::Open);
        assert!(before.active() < before.limits().active_limit);
        assert!(before.choosing() < before.seats().counts().free, "in vain");
        let second = before.clock().service(self.now).floor();
        for lower in (0..entry.0).map(EntryIndex) {
            let (_, state) = before.line().entry(lower).expect("an entry");
            if let EntryState::Waiting(seen) | EntryState::Recalled(seen) = state {
                let unseen = second.since(seen);
                assert!(
                    unseen > before.limits().presence_window,
                    "{lower} was there {unseen} s ago and is passed by {entry}"
                );
            }
        }
    }

    /// Invariant 6: no hold is past its end.
    fn holds_end(&self) {
        let time = self.lived.clock().service(self.now);
        for reservation in self.lived.reservations() {
            if let ReservationState::Held(until) = reservation.state {
                assert!(!time.reached(until), "{reservation:?} should have ended");
                assert!(until <= reservation.hard_end);
            }
        }
    }

    fn nothing_more_is_due(&self) {
        assert_eq!(ticked(&self.lived, self.now), [], "left over");
        if let Some(next) = self.lived.next_deadline() {
            assert!(next > self.now, "{next:?} has come");
        }
    }

    /// Nothing happens before the deadline that is announced.
    fn announcement_is_not_late(&self, sale: &Sale) {
        let early = match sale.next_deadline() {
            Some(next) => Timestamp(next.0.saturating_sub(1)).max(self.now),
            None => self.now.plus(100 * 86_400_000),
        };
        assert_eq!(ticked(sale, early), [], "before it was announced");
    }

    /// Each tick at an announced deadline brings something or moves the announcement on.
    fn announcements_come_to_an_end(&self) {
        let mut sale = self.lived.clone();
        for _ in 0..1_000 {
            let Some(next) = sale.next_deadline() else { return };
            sale.execute(&Command::Tick, next, &mut Vec::new()).expect("a tick is never refused");
            assert!(sale.next_deadline().is_none_or(|later| later > next), "no progress");
        }
        panic!("announced deadlines have no end");
    }

    /// Invariant 9: the same request again finds what the first one did, and changes nothing.
    fn repeating_changes_nothing(&self, command: &Command, first: Answer) {
        let repeated = match command.clone() {
            // Each is an act of its own: a new place, a new sign of life.
            Command::Join { keys, .. } if keys == JoinKeys::default() => return,
            Command::Seen { .. } => return,
            // The edge makes new ids and nonces for every request.
            Command::Join { keys, .. } => Command::Join { nonce: Nonce(u32::MAX), keys },
            Command::Hold { place, wish, expected, key, .. } => {
                let reservation = ReservationId(u64::MAX);
                Command::Hold { place, wish, expected, reservation, key }
            }
            Command::BeginPayment { place, reservation, expected, key, .. } => {
                let payment = PaymentId(u128::MAX);
                Command::BeginPayment { place, reservation, payment, expected, key }
            }
            same @ (Command::Leave { .. }
            | Command::GiveBack { .. }
            | Command::SettlePayment { .. }
            | Command::SettleRefund { .. }
            | Command::Tick
            | Command::Resume { .. }
            | Command::Schedule(_)
            | Command::Open
            | Command::Pause
            | Command::Unpause
            | Command::Close
            | Command::ChangeLimits(_)
            | Command::Change(_)
            | Command::Withhold { .. }
            | Command::Release { .. }) => same,
        };
        let (mut sale, mut events) = (self.lived.clone(), Vec::new());
        let second = sale.execute(&repeated, self.now, &mut events);
        assert_eq!(events, [], "of repeating {command:?}");
        assert_eq!(bytes(&sale), bytes(&self.lived));
        let first = match (command, first) {
            // Without a key it is another request, which finds the seats taken by the first.
            (
                Command::Hold { key: None, .. }
                | Command::Withhold { .. }
                | Command::Release { .. },
                Ok(_),
            ) => return assert!(second.is_err()),
            (_, Ok(Outcome::Joined { entry, .. })) => Ok(Outcome::Joined { entry, created: false }),
            (_, Ok(Outcome::Payment { payment, .. })) => {
                Ok(Outcome::Payment { payment, begun: false })
            }
            (_, first) => first,
        };
        assert_eq!(second, first, "of repeating {command:?}");
    }
}

type Answer = Result<Outcome, Refusal>;

fn bytes(sale: &Sale) -> Vec<u8> {
    minicbor::to_vec(sale).expect("writing to memory")
}

/// What a tick at `now` would bring.
fn ticked(sale: &Sale, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    sale.clone().execute(&Command::Tick, now, &mut events).expect("a tick is never refused");
    events
}

/// The positions of those whose place is alive.
fn positions(sale: &Sale) -> BTreeMap<EntryIndex, u32> {
    (0..sale.line().joined())
        .map(EntryIndex::after)
        .filter_map(|entry| Some((entry, sale.place(entry)?.position?)))
        .collect()
}

/// `cases` lists, if `PROPTEST_CASES` does not say how many.
fn config(cases: u32) -> ProptestConfig {
    const FAILURES: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/properties.txt");
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        ..ProptestConfig::default()
    }
}

fn play(setup: &Setup, steps: &[Step]) -> World {
    let mut world = World::new(setup);
    for step in steps {
        world.step(step);
    }
    world
}

/// The properties are worth something only if the random steps reach everything there is.
#[test]
fn random_steps_meet_every_event_and_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        let list = (steps::setup(), steps::steps()).new_tree(&mut runner).expect("a list");
        let (setup, steps) = list.current();
        met.extend(play(&setup, &steps).met);
    }
    // What the edge or the schedule alone is refused for stands in the tables.
    let elsewhere = ["performance_required", "sale_not_found", "bad_plan"].map(str::to_owned);
    let refusals = Refusal::CODES.iter().map(|code| (*code).to_owned());
    let expected: BTreeSet<_> = EVENTS
        .split_whitespace()
        .map(str::to_owned)
        .chain(refusals.filter(|code| !elsewhere.contains(code)))
        .collect();
    assert_eq!(met, expected);
}

const EVENTS: &str = "Admitted Changed ChoosingEnded Closed HoldExpired Joined Left LimitsChanged LineEnded \
                      Opened PassedOver Paused PaymentApproved PaymentBegun PaymentDeclined \
                      PaymentRefunded PaymentUnknown PlacesExpired RefundDue Resumed Scheduled \
                      SeatsGivenBack SeatsHeld SeatsReleased SeatsWithheld Seen TurnMissed Unpaused";

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_sale_is_what_the_model_of_it_is(setup in steps::setup(), steps in steps::steps()) {
        play(&setup, &steps);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn damaged_bytes_are_refused_and_never_panic(
        setup in steps::setup(),
        steps in steps::steps(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let world = play(&setup, &steps);
        let mut state = bytes(&world.lived);
        let _: Result<Sale, _> = minicbor::decode(&state[..cut.index(state.len())]);
        for (at, byte) in damage {
            *at.get_mut(&mut state) = byte;
            let _: Result<Sale, _> = minicbor::decode(&state);
        }
    }

    #[test]
    fn any_bytes_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _: Result<Sale, _> = minicbor::decode(&bytes);
        let _: Result<Event, _> = minicbor::decode(&bytes);
        let _: Result<Entries, _> = minicbor::decode(&bytes);
    }

    #[test]
    fn entries_are_read_as_they_were_written(entries in prop::collection::btree_set(any::<u32>(), 0..50)) {
        let entries = Entries(entries.into_iter().map(EntryIndex).collect());
        let written = minicbor::to_vec(&entries).expect("writing to memory");
        prop_assert_eq!(minicbor::decode::<Entries>(&written).expect("entries"), entries);
    }
}
