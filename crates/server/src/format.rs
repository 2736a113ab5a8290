//! `maepyo journal format show` and `raise`: how far nodes may go in what they write, for a rolling upgrade.
//! What the formats are is the store's business ([`store::codec`]).

use clap::{Args, Subcommand};
use store::Format;
use store::codec::FORMAT_MAX;

use crate::config::{Stop, StorePlace, say_out};
use crate::journal;

#[derive(Debug, Subcommand)]
pub(crate) enum FormatCommand {
    /// Says it, and what this program and the nodes at work know.
    Show(FormatOptions),
    /// Raises it to the newest that this program knows. Older programs cannot use the store after that.
    Raise(RaiseOptions),
}

/// Of which history the format is said.
#[derive(Debug, Args)]
pub(crate) struct FormatOptions {
    #[command(flatten)]
    data: StorePlace,
}

/// Of which history it is raised.
#[derive(Debug, Args)]
pub(crate) struct RaiseOptions {
    #[command(flatten)]
    data: StorePlace,

    /// Also while nodes are at work that cannot read it.
    #[arg(long)]
    anyway: bool,
}

/// Does what is asked.
pub(crate) fn run(command: &FormatCommand) -> Result<(), Stop> {
    match command {
        FormatCommand::Show(options) => show(options),
        FormatCommand::Raise(options) => raise(options),
    }
}

/// Says the store's format, what this program knows, and what nodes at work know.
fn show(options: &FormatOptions) -> Result<(), Stop> {
    let journal = journal::open(&options.data, false)?;
    let format = journal.format().map_err(Stop::failed)?;
    say_out(&format!("the store: format {format}"));
    say_out(&format!("this program: formats up to {FORMAT_MAX}"));
    // Of a store in one process that process alone could say it.
    if options.data.is_shared() {
        let nodes = nodes(&journal.writers().map_err(Stop::failed)?);
        say_out(&format!("nodes at work: {nodes}"));
    }
    Ok(())
}

/// Raises the store to the newest format that this program knows, once no node at work knows less.
fn raise(options: &RaiseOptions) -> Result<(), Stop> {
    // Nothing is made or brought up before it is known that it may be raised.
    let journal = journal::open(&options.data, false)?;
    let before = journal.format().map_err(Stop::failed)?;
    if before == FORMAT_MAX {
        say_out(&format!("the store: format {before}, the newest that this program knows"));
        return Ok(());
    }
    let mut older = journal.writers().map_err(Stop::failed)?;
    older.retain(|known| *known < FORMAT_MAX);
    if !older.is_empty() && !options.anyway {
        return Err(Stop::failed(format!(
            "the store stays in format {before}, for not all nodes at work can read {FORMAT_MAX}: {}. \
             Upgrade them first; with --anyway they stop to sell what others write.",
            nodes(&older)
        )));
    }
    let (location, store_options) = (options.data.location()?, options.data.store_options()?);
    let journal = store::open(&location, store_options).map_err(Stop::failed)?;
    journal.raise_format(FORMAT_MAX).map_err(Stop::failed)?;
    say_out(&format!("the store: format {FORMAT_MAX}, and {before} before"));
    Ok(())
}

/// How many nodes know how much, the one that knows least first.
fn nodes(known: &[Format]) -> String {
    let groups = known.chunk_by(|one, other| one == other);
    let groups: Vec<String> =
        groups.map(|group| format!("{} that know up to {}", group.len(), group[0])).collect();
    if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_by_what_they_know() {
        assert_eq!(nodes(&[]), "none");
        let known = [1, 2, 2, 3].map(Format);
        assert_eq!(nodes(&known), "1 that know up to 1, 2 that know up to 2, 1 that know up to 3");
    }
}
