//! Fresh runs, a bounded number of them: none fails, and together they meet everything there is.
//!
//! The range is fixed, for a test must be repeatable; others are run by
//! `cargo xtask sim --seeds A..B`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::Refusal;
use sim::{Counts, Failure, Trial, Trouble, run};

/// Seeds that every change must survive.
const SEEDS: std::ops::Range<u64> = 0..200;
const THREADS: usize = 2;

/// What must have happened in these seeds: a kind, and names of it between commas.
const MET: &[(&str, &str)] = &[
    // What people do.
    (
        "buyer",
        "dawdles, goes away and comes back, joins anew, leaves the choice, looks on, \
         repeats what is done, \
         retries with the key, retries without a key, uses a token that is over, \
         uses somebody else's token, vanishes",
    ),
    (
        "answer",
        "join, seen, leave, hold, give_back, begin_payment, schedule, open, pause, unpause, \
         close, change_limits, change, withhold, release",
    ),
    // What the box office says when it cannot.
    ("failure", "overloaded, unavailable, outcome_unknown"),
    // What goes wrong between the journal and its nodes, and the machines and their clocks.
    (
        "trouble",
        "lost-answers, repeats, slow-journal, fail-before, fail-after, write-under-way, failover, \
         outage, kill, freeze, bad-snapshots, clock-set",
    ),
    ("run", "conflicts, failed appends, batches lost by a failover, snapshots, crowds"),
    // What the provider is asked with, asked for, and says.
    (
        "token",
        "tok_ok, tok_declined, tok_insufficient_funds, tok_slow, tok_timeout, tok_lost, \
         tok_of_somebody",
    ),
    ("call", "charge, find, void, refund"),
    ("result", "approved, declined, unknown, not found, voided, refunded"),
    ("trouble", "slow-provider, silent-provider, echoes, contradictions"),
    ("run", "late answers, contradicted payments"),
    ("payment", "approved, declined, refunded, contradicted"),
    // What comes to be.
    (
        "event",
        "scheduled, opened, paused, unpaused, closed, limits changed, described anew, \
         seats withheld, \
         seats released, resumed, joined, seen, places expired, left, passed over, admitted, \
         turn missed, choosing ended, seats held, seats given back, hold expired, payment begun, \
         payment approved, payment declined, payment unknown, refund due, payment refunded, \
         line ended",
    ),
];

/// Refusals that the core gives nobody here: buyers always name seats of a performance, nothing is
/// settled that was not begun, and the halls have no wheelchair places.
const NEVER: [&str; 3] = ["performance_required", "payment_not_found", "companion_alone"];

#[test]
fn no_seed_fails_and_everything_is_met() {
    let (counts, failures) = all();
    if let Some((seed, Failure { check, what, step, .. })) = failures.first() {
        panic!(
            "{} of the seeds fail. Seed {seed}, step {step}, {check}: {what}. \
             `cargo xtask sim --seed {seed}` makes it small.",
            failures.len()
        );
    }
    let named =
        MET.iter().flat_map(|(kind, names)| names.split(", ").map(move |name| (*kind, name)));
    let refusals = Refusal::CODES.iter().filter(|code| !NEVER.contains(code));
    let in_play = Trouble::ALL.iter().map(|trouble| ("in play", trouble.word()));
    let all = named.chain(refusals.map(|code| ("refusal", *code))).chain(in_play);
    let missing: Vec<_> = all.filter(|(kind, name)| counts.of(kind, name) == 0).collect();
    assert!(missing.is_empty(), "never met in these seeds: {missing:?}");
    for code in NEVER {
        assert_eq!(counts.of("refusal", code), 0, "{code} is met after all");
    }
}

/// Runs them all, each on one thread.
fn all() -> (Counts, Vec<(u64, Failure)>) {
    let next = AtomicU64::new(SEEDS.start);
    let found = Mutex::new((Counts::default(), Vec::new()));
    let some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS.end {
                return;
            }
            let result = run(&Trial::of(seed));
            let mut found = found.lock().expect("no run panics");
            match result {
                Ok(report) => found.0.merge(&report.counts),
                Err(failure) => found.1.push((seed, failure)),
            }
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(some))));
    let (counts, mut failures) = found.into_inner().expect("no run panics");
    failures.sort_by_key(|(seed, _)| *seed);
    (counts, failures)
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    let digest = |seed| run(&Trial::of(seed)).map(|report| report.digest).ok();
    assert!(digest(3).is_some());
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}
