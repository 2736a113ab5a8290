//! Runs that failed once, and that fail when a deliberate defect is put in: none may fail again.
//!
//! They stand in `defects.toml`, each beside its story and beside what was wrong. The simulator
//! prints a failure as it is kept there. A run is its seed and the workload; when the workload
//! changes, a kept run is another run. `cargo xtask defects` says which no longer shows its defect,
//! and what to keep instead.

use sim::{Trial, run};

const DEFECTS: &str = include_str!("../defects.toml");

#[test]
fn the_sound_tree_passes_what_shows_each_defect() {
    let list: toml::Table = DEFECTS.parse().expect("`cargo xtask defects` reads it too");
    let defects = list["defect"].as_array().expect("a list");
    assert!(defects.len() >= 12, "too few to show anything");
    for defect in defects {
        let name = defect["name"].as_str().expect("each has a name");
        let story = defect["story"].as_str().expect("each has a story");
        assert!(story.ends_with('.'), "the story of `{name}` is not told");
        let kept = defect.get("kept").and_then(toml::Value::as_str);
        let kept = kept.unwrap_or_else(|| panic!("nothing is kept of `{name}`"));
        let trial: Trial = kept.parse().unwrap_or_else(|sentence| panic!("{name}: {sentence}"));
        if let Err(failure) = run(&trial) {
            let (check, what, step) = (failure.check, failure.what, failure.step);
            panic!("{name}: sim {kept}: step {step}, {check}: {what}");
        }
    }
}
