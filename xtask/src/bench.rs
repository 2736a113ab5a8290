//! `cargo xtask bench`: builds the box office, the floor and the benchmark for release, and runs the
//! benchmark with the words of the call.
//!
//! What the words mean is the benchmark's business: it refuses those it does not know. Here stands
//! only where the document is that `--write` writes.

use std::process::ExitCode;

use crate::command;

/// The builds, each by itself: cargo would build the box office with what the examples' features
/// ask for if it built both at once.
const BUILDS: [&[&str]; 3] = [
    &["--package", "maepyo", "--bin", "maepyo"],
    &["--package", "maepyo", "--example", "floor"],
    &["--package", "bench"],
];

/// What `--write` writes.
const DOCUMENT: &str = "docs/performance.md";

/// Builds and runs it; ends as it ends.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match build_and_run(arguments) {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn build_and_run(arguments: &[String]) -> Result<ExitCode, String> {
    for build in BUILDS {
        command::run(&[&["cargo", "build", "--release", "--locked"], build].concat())?;
    }
    let arguments = with_document(arguments);
    let mut words = vec!["cargo", "run", "--quiet", "--release", "--locked", "--package", "bench"];
    words.push("--");
    words.extend(arguments.iter().map(String::as_str));
    let status = command::command(&words).status();
    let status = status.map_err(|error| format!("The benchmark could not be run: {error}."))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The words, with the document's name behind `--write`.
fn with_document(arguments: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for word in arguments {
        words.push(word.clone());
        if word == "--write" {
            words.push(DOCUMENT.to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_named_for_whoever_wants_it_written() {
        let words = |line: &str| -> Vec<String> {
            with_document(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(words("--row hold --write"), ["--row", "hold", "--write", DOCUMENT]);
        assert_eq!(words("--quick"), ["--quick"]);
    }
}
