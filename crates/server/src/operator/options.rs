//! What operators write on the command line.

use clap::{Args, Subcommand};
use domain::limits::Limits;

use crate::config::{DataDir, parse_sale};
use crate::ops::no_such_limit;

/// What operators do with sales.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Lists every sale with its live counts.
    List(Reach),
    /// Shows one sale: its line, seats, money and limits.
    Show(ShowSale),
    /// Opens a sale now, before its time.
    Open(Change),
    /// Admits nobody from now on; joining goes on, and those inside finish.
    Pause(Change),
    /// Admits again after a pause.
    Resume(Change),
    /// Ends waiting and choosing for good; holds may still be paid.
    Close(Change),
    /// Shows the limits of a sale, or changes those that are named.
    Limits(LimitsOptions),
    /// Keeps free seats back for a pool.
    Withhold(SeatsOptions),
    /// Gives withheld seats free.
    Release(SeatsOptions),
}

/// How the box office is reached, and how its answer is printed.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// The operators' listener of the box office.
    #[arg(long, env = "MAEPYO_OPS", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub(super) ops: String,

    /// Prints JSON, for programs.
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) data: DataDir,
}

/// Which sale.
#[derive(Debug, Args)]
pub(crate) struct ShowSale {
    /// The sale.
    #[arg(value_name = "SALE", value_parser = sale)]
    pub(super) sale: String,

    #[command(flatten)]
    pub(super) reach: Reach,
}

/// A change of a sale.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The sale.
    #[arg(value_name = "SALE", value_parser = sale)]
    pub(super) sale: String,

    #[command(flatten)]
    pub(super) word: WordOptions,

    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Who makes a change, and why. Both are journalled.
#[derive(Debug, Args)]
pub(crate) struct WordOptions {
    /// Who makes the change; the login name unless said. It stays in the journal.
    #[arg(long, env = "MAEPYO_BY", value_name = "NAME")]
    pub(super) by: Option<String>,

    /// Why. It stays in the journal: no secret and nothing about a buyer belongs here.
    #[arg(long, value_name = "TEXT")]
    pub(super) because: Option<String>,
}

/// Which limits are changed, if any.
#[derive(Debug, Args)]
pub(crate) struct LimitsOptions {
    #[command(flatten)]
    pub(super) change: Change,

    /// Limits to be changed, such as active_limit=200; the others stay.
    #[arg(value_name = "NAME=VALUE", value_parser = limit)]
    pub(super) limits: Vec<(String, u32)>,
}

/// Which seats.
#[derive(Debug, Args)]
pub(crate) struct SeatsOptions {
    #[command(flatten)]
    pub(super) change: Change,

    /// Seats, such as A1, or A1-A12 for those of a row from one to the other. To release, none
    /// means all of the pool.
    #[arg(value_name = "SEAT")]
    pub(super) seats: Vec<String>,

    /// The pool that seats are withheld for.
    #[arg(long, value_name = "NAME")]
    pub(super) pool: Option<String>,

    /// The performance, where the sale has several.
    #[arg(long, value_name = "ID")]
    pub(super) performance: Option<String>,
}

fn sale(text: &str) -> Result<String, &'static str> {
    parse_sale(text).map(|sale| sale.to_string())
}

fn limit(text: &str) -> Result<(String, u32), String> {
    let wrong = || "a limit is changed like active_limit=200".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = value.parse().map_err(|_| wrong())?;
    let is_known = Limits::default().table().iter().any(|(known, ..)| *known == name);
    if is_known { Ok((name.to_owned(), value)) } else { Err(no_such_limit(name)) }
}
