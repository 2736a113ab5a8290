//! How we doubt it: the real rules and the real engine core, driven in virtual time by a crowd,
//! by operators, by faults and by a provider, all of it drawn from one seed, and watched by an
//! auditor who believes nothing.
//!
//! The map: what a run is ([`Trial`]) and what its seed makes of it (`knobs`); time (`clock`); the
//! agenda and what happens (`world`); who acts (`buyer`, `operator`, `provider`); where it acts
//! (`node`, `archive`); who watches (`auditor`, whose head lists what counts as a failure and what
//! does not); how a failure is made small ([`shrink()`]). Nothing here is shipped.
//!
//! The same seed is the same run, to the byte: no clock, no thread, no map with a random hash.

mod archive;
mod auditor;
mod buyer;
mod clock;
mod counts;
mod hall;
mod knobs;
mod node;
mod operator;
mod provider;
mod random;
mod shrink;
mod trial;
mod wish;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use counts::Counts;
pub use shrink::shrink;
pub use trial::{Trial, Trouble};
pub use world::{Failure, Report};

/// Runs a trial.
///
/// # Errors
/// What went wrong.
pub fn run(trial: &Trial) -> Result<Report, Failure> {
    run_telling(trial, false)
}

/// Runs a trial whose failure tells its story, line by line.
///
/// # Errors
/// What went wrong.
pub fn tell(trial: &Trial) -> Result<Report, Failure> {
    run_telling(trial, true)
}

fn run_telling(trial: &Trial, tells_story: bool) -> Result<Report, Failure> {
    let steps = world::Steps::default();
    let story = tells_story.then(world::Story::default);
    // A panic of the rules or of the engine is a finding, and must not end the search.
    let run = || world::World::new(trial, steps.clone(), story.clone()).run();
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Err(Failure { check: "panic", what, step: steps.get(), story: Vec::new() })
    });
    result.map_err(|failure| Failure {
        story: story.map(|story| story.take()).unwrap_or_default(),
        ..failure
    })
}
