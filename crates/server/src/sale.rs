//! `maepyo sale …`: sales from the command line.

mod check;
mod drawing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Stop;
use crate::operator::{self, OperatorCommand};

/// What is done with a sale.
#[derive(Debug, Subcommand)]
pub(crate) enum SaleCommand {
    /// Says what is wrong with a sale's file, or draws what it describes.
    Check(CheckOptions),
    #[command(flatten)]
    Operate(OperatorCommand),
}

/// Which file is checked.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The file, in TOML; docs/sales.md describes it.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Does what was asked.
pub(crate) fn run(command: &SaleCommand) -> Result<ExitCode, Stop> {
    match command {
        SaleCommand::Check(options) => check::check(&options.file),
        SaleCommand::Operate(command) => operator::run(command),
    }
}
