//! Fresh runs, a bounded number of them, and that a run is its seed.

use sim::{Counts, Trial, run};

/// Seeds that every change must survive.
const SEEDS: std::ops::Range<u64> = 0..24;

#[test]
fn no_seed_fails() {
    let mut counts = Counts::default();
    for seed in SEEDS {
        match run(&Trial::of(seed)) {
            Ok(report) => counts.merge(&report.counts),
            Err(failure) => {
                panic!("seed {seed}: {}: {} at step {}", failure.check, failure.what, failure.step)
            }
        }
    }
    // A check that cannot fail is none: the faults and the answers must have come by.
    for (kind, name) in [
        ("trouble", "kill"),
        ("trouble", "fail-after"),
        ("trouble", "failover"),
        ("payment", "approved"),
        ("payment", "declined"),
        ("run", "conflicts"),
        ("event", "hold expired"),
        ("refusal", "not_admitted"),
    ] {
        assert!(counts.of(kind, name) > 0, "no {kind} of {name} in these seeds");
    }
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    let digest = |seed| run(&Trial::of(seed)).map(|report| report.digest).ok();
    assert!(digest(3).is_some());
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}
