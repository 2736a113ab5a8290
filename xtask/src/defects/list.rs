//! The list of deliberate defects, as `crates/sim/defects.toml` has it.

use serde::Deserialize;

use crate::command;

/// Where the list stands.
pub(super) const PATH: &str = "crates/sim/defects.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "defect")]
    defects: Vec<Defect>,
}

/// Something wrong that the simulator must find.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defect {
    pub(super) name: String,
    /// What a person would lose by it.
    #[serde(rename = "story")]
    _story: String,
    /// The checks that may find it.
    pub(super) found_as: Vec<String>,
    /// A small run that shows it; every sound tree passes it.
    pub(super) kept: Option<String>,
    #[serde(rename = "change")]
    pub(super) changes: Vec<Change>,
}

/// One text that is replaced by another; it must stand exactly once in its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) replacement: String,
}

/// Writes into the list, by name, which runs show their defects.
pub(super) fn keep(runs: &[(&str, String)]) -> Result<(), String> {
    let path = command::root().join(PATH);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{PATH} cannot be read: {error}."))?;
    let text = runs.iter().fold(text, |text, (name, run)| with_kept(&text, name, run));
    std::fs::write(&path, text).map_err(|error| format!("{PATH} cannot be written: {error}."))
}

/// The list with this run beside this defect, in the place of any other. The rest stays as a person
/// wrote it.
fn with_kept(text: &str, name: &str, run: &str) -> String {
    let mut lines = Vec::new();
    let mut is_the_one = false;
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("name = ") {
            is_the_one = named.trim_matches('"') == name;
        }
        if is_the_one && line.starts_with("kept = ") {
            continue;
        }
        if is_the_one && line == "[[defect.change]]" {
            lines.push(format!("kept = \"{run}\""));
            is_the_one = false;
        }
        lines.push(line.to_owned());
    }
    lines.join("\n") + "\n"
}

/// Reads the list.
pub(super) fn read() -> Result<Vec<Defect>, String> {
    let text = std::fs::read_to_string(command::root().join(PATH))
        .map_err(|error| format!("{PATH} cannot be read: {error}."))?;
    let List { defects } =
        toml::from_str(&text).map_err(|error| format!("{PATH} is not as it should be: {error}"))?;
    for (n, defect) in defects.iter().enumerate() {
        if defects[..n].iter().any(|other| other.name == defect.name) {
            return Err(format!("{PATH} has two defects `{}`.", defect.name));
        }
        if defect.changes.iter().any(|change| change.text == change.replacement) {
            return Err(format!("The defect `{}` changes nothing.", defect.name));
        }
    }
    Ok(defects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_kept_beside_its_defect_and_nothing_else_changes() {
        let list = "\
[[defect]]
name = \"one\"
kept = \"--seed 1\"
[[defect.change]]
text = \"a\"

[[defect]]
name = \"two\"
[[defect.change]]
[[defect.change]]
";
        let one = list.replace("--seed 1", "--seed 9");
        assert_eq!(with_kept(list, "one", "--seed 9"), one);
        let two = one.replace("\"two\"\n", "\"two\"\nkept = \"--seed 5\"\n");
        assert_eq!(with_kept(&one, "two", "--seed 5"), two);
    }
}
