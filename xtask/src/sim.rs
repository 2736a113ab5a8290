//! `cargo xtask sim`: builds the simulator to run fast and runs it with the words of the call.
//!
//! What the words mean is the simulator's business: it refuses those it does not know. Nothing here
//! knows what a run is.

use std::process::ExitCode;

use crate::command;

/// How the simulator is built: as for release, but a panic is caught and told with its run, and a
/// change of one file is soon built.
const PROFILE: [&str; 7] = [
    "profile.sim.inherits=\"release\"",
    "profile.sim.panic=\"unwind\"",
    "profile.sim.lto=\"off\"",
    "profile.sim.codegen-units=16",
    "profile.sim.debug=false",
    "profile.sim.incremental=true",
    "profile.sim.strip=\"debuginfo\"",
];

/// The call of cargo that builds the simulator and runs it; the simulator's own words follow.
pub(crate) fn words() -> Vec<&'static str> {
    let mut words = vec!["cargo", "run", "--quiet", "--locked", "--package", "sim"];
    for setting in PROFILE {
        words.extend(["--config", setting]);
    }
    words.extend(["--profile", "sim", "--"]);
    words
}

/// Builds and runs it; ends as it ends.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let mut words = words();
    words.extend(arguments.iter().map(String::as_str));
    match command::command(&words).status() {
        Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) => ExitCode::from(code),
            None => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("The simulator could not be run: {error}.");
            ExitCode::FAILURE
        }
    }
}
