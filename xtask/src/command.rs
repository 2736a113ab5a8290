//! Runs other programs from the root of the tree.
//!
//! Nothing it starts may wait for a person: standard input is always empty. What a program says on
//! standard error goes straight through, so that its own words explain its own failure.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The root of the tree: the folder above this crate, as cargo reports it for the running call, so
/// that a tree which was moved after it was built is still found.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")), // The binary was called without cargo.
        PathBuf::from,
    );
    here.parent().expect("the crate stands one folder below the root").to_path_buf()
}

/// A command that runs `words` at the root, without standard input. The word `cargo` means the
/// cargo that called us, so that one toolchain does everything.
pub(crate) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().expect("a command has a first word");
    let program = match *program {
        "cargo" => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        other => OsString::from(other),
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    if std::env::var_os("CI").is_some() {
        // A clean clone is built once: what incremental builds write down is never read.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Runs a command with its output going through; fails with a sentence unless it exits with 0.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    run_with(words, &mut command(words))
}

/// As [`run`], for a command that was prepared further.
pub(crate) fn run_with(words: &[&str], command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| not_started(words, &error))?;
    succeeded(words, status)
}

/// Runs a command and hands each line of its standard output to `see`, after printing it.
pub(crate) fn watch(words: &[&str], mut see: impl FnMut(&str)) -> Result<(), String> {
    let mut child = command(words)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(words, &error))?;
    let stdout = child.stdout.take().expect("standard output was asked to be a pipe");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.map_err(|error| format!("`{}` broke off: {error}.", words.join(" ")))?;
        // A test may print any bytes; what is not text is shown as well as it can be.
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        see(&line);
    }
    let status = child.wait().map_err(|error| not_started(words, &error))?;
    succeeded(words, status)
}

/// The standard output of a command, whole; fails with a sentence unless it exits with 0.
pub(crate) fn output(words: &[&str]) -> Result<Vec<u8>, String> {
    let output = command(words)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(words, &error))?;
    succeeded(words, output.status)?;
    Ok(output.stdout)
}

/// Whether a command can be started and exits with 0; it prints nothing.
pub(crate) fn succeeds(words: &[&str]) -> bool {
    command(words).output().is_ok_and(|output| output.status.success())
}

fn succeeded(words: &[&str], status: ExitStatus) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    Err(format!("`{}` failed ({status}).", words.join(" ")))
}

fn not_started(words: &[&str], error: &std::io::Error) -> String {
    format!("`{}` could not be run: {error}.", words.join(" "))
}
