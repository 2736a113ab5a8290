//! That nobody starves who appends to a stream that others append to as well.
//!
//! Whoever came second must read what came first and make their batch anew, and by then the first one's
//! next batch is there already: left alone, one node would win always (measured: 400 of 400), and would
//! never hear of the other. So a node that hears of others, and then comes first twice in a row, lets one
//! append's time pass before its next; and one that does not, after so many in a row that it costs
//! nothing. That is no agreement and needs none: at worst it is a pause.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::{Append, Appended, StreamId};

/// So many appends after a conflict, others are no longer thought to be there.
const OTHERS_FOR: u32 = 64;
/// How often in a row one comes first before it pauses, among others.
const IN_A_ROW: u32 = 2;
/// And when no others are known of.
const IN_A_ROW_ALONE: u32 = 32;
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How it went of late, by stream.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<StreamId, Turn>>);

#[derive(Debug, Default)]
struct Turn {
    /// For how many more appends others are thought to be there.
    others_for: u32,
    in_a_row: u32,
    took: Duration,
}

impl Turn {
    /// How often in a row it may come first.
    fn most(&self) -> u32 {
        if self.others_for > 0 { IN_A_ROW } else { IN_A_ROW_ALONE }
    }
}

impl Turns {
    /// Whether others are thought to append to one of these streams.
    pub(super) fn expects_others(&self, appends: &[Append]) -> bool {
        let turns = self.turns();
        let has_others =
            |append: &Append| turns.get(&append.stream).is_some_and(|turn| turn.others_for > 0);
        appends.iter().any(has_others)
    }

    /// How long to wait before these are sent.
    pub(super) fn pause(&self, appends: &[Append]) -> Option<Duration> {
        let mut turns = self.turns();
        let mut longest = None;
        for append in appends {
            if let Some(turn) = turns.get_mut(&append.stream)
                && turn.in_a_row >= turn.most()
            {
                turn.in_a_row = 0;
                longest = longest.max(Some(turn.took.min(PAUSE_MAX)));
            }
        }
        longest
    }

    /// What became of those that were sent, and how long that took.
    pub(super) fn went(&self, appends: &[Append], answers: &[Appended], took: Duration) {
        let mut turns = self.turns();
        for (Append { stream, .. }, answer) in appends.iter().zip(answers) {
            match answer {
                Appended::Conflict { .. } => {
                    turns.insert(*stream, Turn { others_for: OTHERS_FOR, in_a_row: 0, took });
                }
                Appended::Appended | Appended::AlreadyThere => {
                    let turn = turns.entry(*stream).or_default();
                    turn.others_for = turn.others_for.saturating_sub(1);
                    turn.in_a_row += 1;
                    turn.took = took;
                }
            }
        }
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<StreamId, Turn>> {
        self.0.lock().expect("counting does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, BatchId, Head};

    const TOOK: Duration = Duration::from_millis(3);

    fn append(stream: u32) -> Append {
        let (id, previous) = (BatchId(1), BatchId::NONE);
        let batch = Batch { number: 1, id, previous, at_ms: 0, body: Vec::new() };
        Append { stream: StreamId(stream), batch }
    }

    #[test]
    fn who_comes_first_twice_among_others_pauses_once() {
        let turns = Turns::default();
        let one = [append(1)];
        let lost = [Appended::Conflict { head: Head::EMPTY }];
        let won = [Appended::Appended];
        turns.went(&one, &won, TOOK);
        turns.went(&one, &won, TOOK);
        assert_eq!(turns.pause(&one), None, "alone");
        assert!(!turns.expects_others(&one));
        turns.went(&one, &lost, TOOK);
        assert!(turns.expects_others(&one));
        assert_eq!(turns.pause(&one), None);
        turns.went(&one, &won, TOOK);
        assert_eq!(turns.pause(&one), None, "once");
        turns.went(&one, &won, TOOK);
        assert_eq!(turns.pause(&[append(2)]), None, "another stream");
        assert_eq!(turns.pause(&[append(2), append(1)]), Some(TOOK));
        assert_eq!(turns.pause(&one), None, "it has paused");
        turns.went(&one, &won, TOOK);
        turns.went(&one, &lost, TOOK);
        turns.went(&one, &won, TOOK);
        assert_eq!(turns.pause(&one), None, "not in a row");
    }

    #[test]
    fn after_a_while_it_is_alone_again() {
        let turns = Turns::default();
        let one = [append(1)];
        turns.went(&one, &[Appended::Conflict { head: Head::EMPTY }], TOOK);
        for _ in 0..OTHERS_FOR {
            turns.went(&one, &[Appended::Appended], Duration::from_secs(5));
        }
        assert_eq!(turns.pause(&one), Some(PAUSE_MAX));
        for _ in 1..IN_A_ROW_ALONE {
            turns.went(&one, &[Appended::Appended], TOOK);
            assert_eq!(turns.pause(&one), None);
        }
        turns.went(&one, &[Appended::Appended], TOOK);
        assert_eq!(turns.pause(&one), Some(TOOK), "in case there is somebody");
        assert!(!turns.expects_others(&one));
    }
}
