//! What the command line and the environment say, and the program's exit codes.
//!
//! Every option of the box office is also an environment variable, `--ops-listen` as
//! `MAEPYO_OPS_LISTEN`; the command line goes first. Secrets come from the environment or from files,
//! never from the command line, which everybody on the machine can read. A wrong value ends the start
//! with one sentence.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use domain::id::{ReservationId, SaleId};
use engine::clock::wall_ms;

use crate::backup::{self, BackupOptions};
use crate::format::{self, FormatCommand};
use crate::http::JoinLimit;
use crate::ids::parse_short;
use crate::ledger::{self, LedgerCommand};
use crate::ready::ReadyOptions;
use crate::sale::SaleCommand;
use crate::stampede::StampedeOptions;
use crate::token::QUEUE_TTL_MAX_S;
use crate::{journal, log, otlp, ready, sale, serve, stampede};

/// The keys that sign tokens, instead of the file `token.key`.
const TOKEN_KEYS: &str = "MAEPYO_TOKEN_KEYS";
/// The operators' key, instead of the file `admin.key`.
const ADMIN_KEY: &str = "MAEPYO_ADMIN_KEY";
/// The password for a store that has one, as PostgreSQL's own programs name it.
const STORE_PASSWORD: &str = "PGPASSWORD";
/// Where traces are sent, as OpenTelemetry names it.
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Runs the program that the command line asks for.
///
/// The exit code is 0 when it did what was asked, 1 when it could not (a port in use, a damaged
/// store, a broken invariant), and 2 when what was asked is wrong.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let outcome = match cli.command {
        Command::Serve(options) => serve::serve(&options).map(|()| ExitCode::SUCCESS),
        Command::Journal { command: JournalCommand::Show(options) } => {
            journal::show(&options).map(|()| ExitCode::SUCCESS)
        }
        Command::Journal { command: JournalCommand::Verify(options) } => journal::verify(&options),
        Command::Journal { command: JournalCommand::Format { command } } => {
            format::run(&command).map(|()| ExitCode::SUCCESS)
        }
        Command::Backup(options) => backup::back_up(&options).map(|()| ExitCode::SUCCESS),
        Command::Sale { command } => sale::run(&command),
        Command::Ledger { command } => ledger::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Ready(options) => ready::run(&options),
        Command::Stampede(options) => stampede::run(&options),
    };
    outcome.unwrap_or_else(|stop| {
        say(&stop.sentence);
        stop.code
    })
}

/// Why the program ends early: a sentence for whoever started it, without a secret in it.
#[derive(Debug)]
pub(crate) struct Stop {
    sentence: String,
    code: ExitCode,
}

#[expect(clippy::needless_pass_by_value, reason = "taken as `map_err` hands them over")]
impl Stop {
    /// What was asked for is wrong.
    pub(crate) fn wrong(sentence: impl ToString) -> Self {
        Self { sentence: sentence.to_string(), code: ExitCode::from(2) }
    }

    /// It could not be done.
    pub(crate) fn failed(sentence: impl ToString) -> Self {
        Self { sentence: sentence.to_string(), code: ExitCode::FAILURE }
    }
}

/// maepyo (매표): a concert box office that stays open under a stampede.
#[derive(Debug, Parser)]
#[command(
    name = "maepyo",
    version,
    after_help = "\
The environment: each option is also a variable, such as MAEPYO_DATA for --data. Secrets are only
there or in files of the data directory: MAEPYO_TOKEN_KEYS (else token.key) and MAEPYO_ADMIN_KEY
(else admin.key), both made at the first start; PGPASSWORD for a store in PostgreSQL."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the box office.
    Serve(Box<ServeOptions>),
    /// Shows or checks the history, also while the box office runs.
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Copies everything into a new directory, also while the box office runs.
    Backup(BackupOptions),
    /// Builds the tables for reports anew, or says how far they are.
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Checks sales' files; looks at sales and operates them, while the box office runs.
    Sale {
        #[command(subcommand)]
        command: SaleCommand,
    },
    /// Says whether the box office that runs can serve: exit code 0 if so, 1 if not.
    Ready(ReadyOptions),
    /// Rehearses an on-sale: sends a crowd to a box office and checks what it is told.
    Stampede(Box<StampedeOptions>),
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Prints the history as JSON lines.
    Show(ShowOptions),
    /// Replays everything and checks every invariant.
    Verify(VerifyOptions),
    /// Says or raises the format that nodes may write, for an upgrade.
    Format {
        #[command(subcommand)]
        command: FormatCommand,
    },
}

/// How the box office is run.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) data: StorePlace,

    /// Where buyers reach it.
    #[arg(long, env = "MAEPYO_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Where operators reach it.
    #[arg(long, env = "MAEPYO_OPS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(crate) ops_listen: SocketAddr,

    /// Opens two sales to try it out with, a hall of 75 seats and an arena of 12,000.
    #[arg(long, env = "MAEPYO_DEMO", value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,

    /// A directory of sales' files, *.toml, that are read now and at every SIGHUP.
    #[arg(long, env = "MAEPYO_SALES", value_name = "DIR")]
    pub(crate) sales: Option<PathBuf>,

    /// Takes sandbox payments, which move no money, from other machines too.
    #[arg(long, env = "MAEPYO_ALLOW_SANDBOX_PAYMENTS", value_parser = BoolishValueParser::new())]
    pub(crate) allow_sandbox_payments: bool,

    /// Goes on from a history that ends too early, after a restore. For one start; not from the
    /// environment, for every start with it invalidates all tokens.
    #[arg(long)]
    pub(crate) accept_shorter_history: bool,

    /// Keeps no ledger, the tables for reports. Of several nodes that do, one at a time keeps the one in
    /// PostgreSQL.
    #[arg(long, env = "MAEPYO_NO_LEDGER", value_parser = BoolishValueParser::new())]
    pub(crate) no_ledger: bool,

    /// How logs are written.
    #[arg(long, env = "MAEPYO_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: log::Format,

    /// What is logged: a level, or a list like `info,maepyo=debug`.
    #[arg(
        long, env = "MAEPYO_LOG", value_name = "FILTER", default_value = "info",
        value_parser = log::parse_filter
    )]
    pub(crate) log: String,

    /// Seconds that a queue token is valid.
    #[arg(
        long, env = "MAEPYO_TOKEN_TTL", value_name = "SECONDS", default_value_t = QUEUE_TTL_MAX_S,
        value_parser = clap::value_parser!(u64).range(2..=QUEUE_TTL_MAX_S)
    )]
    pub(crate) token_ttl: u64,

    /// Seconds that a request waits for its place on disk.
    #[arg(
        long, env = "MAEPYO_APPEND_WAIT_MAX", value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    pub(crate) append_wait_max: u64,

    /// Payments at the provider at a time, for each sale.
    #[arg(
        long, env = "MAEPYO_PAYMENTS_IN_FLIGHT", value_name = "COUNT", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(crate) payments_in_flight: u32,

    /// Requests that are answered at a time, on each listener; others wait, for 2 s at most.
    #[arg(
        long, env = "MAEPYO_REQUESTS_IN_FLIGHT", value_name = "COUNT", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) requests_in_flight: u32,

    /// Buyers' connections that are open at a time; others wait, in the system's queue, to be
    /// accepted.
    #[arg(
        long, env = "MAEPYO_CONNECTIONS", value_name = "COUNT", default_value_t = 24_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) connections: u32,

    /// Streams of events that are open at a time, and five sixths of the connections at most, so that
    /// whoever has none can still connect; others are refused and ask instead.
    #[arg(
        long, env = "MAEPYO_STREAMS", value_name = "COUNT", default_value_t = 20_000,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub(crate) streams: u32,

    /// Seconds after which a connection is closed on which nothing moves, a request that comes byte
    /// by byte is given up, and a body that did not come is refused.
    #[arg(
        long, env = "MAEPYO_IDLE_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    pub(crate) idle_timeout: u64,

    /// Joins from one address each second, at most; 0 for no limit. Not counted for this machine
    /// itself; an address of IPv6 counts by its first 64 bits.
    #[arg(
        long, env = "MAEPYO_JOINS_PER_ADDRESS", value_name = "COUNT",
        default_value_t = JoinLimit::default().per_second,
        value_parser = clap::value_parser!(u32).range(0..=100_000)
    )]
    pub(crate) joins_per_address: u32,

    /// Joins from one address at once, at most.
    #[arg(
        long, env = "MAEPYO_JOINS_BURST", value_name = "COUNT",
        default_value_t = JoinLimit::default().burst,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) joins_burst: u32,

    /// Where a collector of OpenTelemetry takes traces, as OTLP over HTTP; /v1/traces is added. Also
    /// from OTEL_EXPORTER_OTLP_ENDPOINT. Nothing is traced without.
    #[arg(long, env = "MAEPYO_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<otlp::Endpoint>,

    /// Which share of all traces is sent, from 0 to 1.
    #[arg(
        long, env = "MAEPYO_OTLP_SAMPLE", value_name = "SHARE", default_value_t = 0.01,
        value_parser = parse_share
    )]
    pub(crate) otlp_sample: f64,

    /// A proxy, or a network of them, that may say in X-Forwarded-For whom a request is from.
    #[arg(long, env = "MAEPYO_TRUSTED_PROXY", value_name = "ADDR[/BITS]", value_delimiter = ',')]
    pub(crate) trusted_proxy: Vec<serve::Network>,
}

/// Which history is shown, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    pub(crate) data: StorePlace,

    /// Only this sale.
    #[arg(long, value_name = "ID", value_parser = parse_sale)]
    pub(crate) sale: Option<SaleId>,

    /// Only what concerns the buyer of this reservation.
    #[arg(long, value_name = "ID", value_parser = parse_reservation)]
    pub(crate) reservation: Option<ReservationId>,
}

/// Which history is checked.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) data: StorePlace,
}

/// Where everything is kept.
#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// The directory where everything is kept.
    #[arg(
        id = "data",
        long = "data",
        env = "MAEPYO_DATA",
        value_name = "DIR",
        default_value = "maepyo-data"
    )]
    dir: PathBuf,
}

impl DataDir {
    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }
}

/// Where the history is kept, and what lies beside it.
#[derive(Debug, Args)]
pub(crate) struct StorePlace {
    #[command(flatten)]
    data: DataDir,

    /// Where the history and the ledger are kept instead of in that directory, which then has only the
    /// keys: postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, env = "MAEPYO_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<StoreUrl>,
}

/// Where a store is. It may have a password in it, and so is not shown.
#[derive(Clone)]
struct StoreUrl(String);

impl FromStr for StoreUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(…)")
    }
}

impl StorePlace {
    /// Where the history is, as the store names it.
    pub(crate) fn location(&self) -> Result<String, Stop> {
        if let Some(StoreUrl(url)) = &self.store {
            let is_known =
                ["postgres://", "postgresql://"].iter().any(|kind| url.starts_with(kind));
            // Not shown: what is mistyped may have a password in it all the same.
            return is_known.then(|| url.clone()).ok_or_else(|| {
                Stop::wrong("--store names a database: postgres://USER@HOST:PORT/DATABASE.")
            });
        }
        let dir = &self.data.dir;
        let place = dir.to_str().filter(|dir| !dir.is_empty() && !dir.contains("://"));
        place
            .map(|place| format!("sqlite:{place}"))
            .ok_or_else(|| Stop::wrong(format!("--data names a directory; {dir:?} cannot be one.")))
    }

    /// Whether other nodes may write the same history.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// How the store is opened.
    pub(crate) fn store_options(&self) -> Result<store::Options, Stop> {
        let mut options = store::Options::new(Arc::new(wall_ms));
        options.password = text(STORE_PASSWORD)?;
        Ok(options)
    }

    /// Makes the directory, where the store has not made it.
    pub(crate) fn make(&self) -> Result<(), Stop> {
        let dir = &self.data.dir;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| Stop::failed(format!("{}: {error}.", dir.display())))
    }

    /// A file beside the journal.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data.file(name)
    }
}

/// The token keys that the environment gives.
pub(crate) fn token_keys() -> Result<Option<String>, Stop> {
    text(TOKEN_KEYS)
}

/// Where traces are sent, by the option or else by the environment of OpenTelemetry.
pub(crate) fn otlp_endpoint(options: &ServeOptions) -> Result<Option<otlp::Endpoint>, Stop> {
    if options.otlp_endpoint.is_some() {
        return Ok(options.otlp_endpoint.clone());
    }
    let text = text(OTLP_ENDPOINT)?.filter(|text| !text.is_empty());
    let read = |text: String| {
        text.parse().map_err(|why| Stop::wrong(format!("{OTLP_ENDPOINT} is {why}: {text:?}.")))
    };
    text.map(read).transpose()
}

/// The name under which traces are sent.
pub(crate) fn service_name() -> Result<String, Stop> {
    let name = text("OTEL_SERVICE_NAME")?.filter(|name| !name.is_empty());
    Ok(name.unwrap_or_else(|| "maepyo".to_owned()))
}

/// The operators' key that the environment gives.
pub(crate) fn admin_key() -> Result<Option<String>, Stop> {
    text(ADMIN_KEY)
}

fn text(name: &str) -> Result<Option<String>, Stop> {
    let text = std::env::var_os(name).map(OsString::into_string).transpose();
    text.map_err(|_| Stop::wrong(format!("{name} is not text.")))
}

pub(crate) fn parse_sale(text: &str) -> Result<SaleId, &'static str> {
    SaleId::parse(text).ok_or("a sale's id is 1 to 64 of a-z, 0-9 and -")
}

fn parse_share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("a share is a number from 0 to 1, such as 0.01")
}

fn parse_reservation(text: &str) -> Result<ReservationId, &'static str> {
    parse_short(text).map(ReservationId).ok_or("a reservation's id has 13 letters and digits")
}

/// Shows what was asked for, help or the version, or says in one sentence what is wrong.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Whoever closed the stream does not want to read it.
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    say(&sentence(error, |name| std::env::var_os(name)));
    ExitCode::from(2)
}

/// The first paragraph of what clap says, as a sentence; what follows it is usage and tips.
fn sentence(error: &clap::Error, environment: impl Fn(&str) -> Option<OsString>) -> String {
    let rendered = error.render().to_string();
    let paragraph = rendered.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let words = words.join(" ");
    let words = words.strip_prefix("error: ").unwrap_or(&words).trim_end_matches('.');
    match variable(error).filter(|(name, value)| {
        environment(name).is_some_and(|set| set.to_string_lossy() == value.as_str())
    }) {
        Some((name, _)) => format!("{words} (from {name})."),
        None => format!("{words}."),
    }
}

/// The environment variable of the option that has a wrong value, and that value.
fn variable(error: &clap::Error) -> Option<(String, String)> {
    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return None;
    };
    let name = option.split_whitespace().next()?.strip_prefix("--")?;
    Some((format!("MAEPYO_{}", name.to_uppercase().replace('-', "_")), value.clone()))
}

fn say(sentence: &str) {
    // With nobody to read it there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "maepyo: {sentence}");
}

/// Prints what was asked for.
pub(crate) fn say_out(line: &str) {
    // Nobody reads it: the exit code still says it.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod deploy;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn refusal(words: &[&str]) -> String {
        let error = Cli::try_parse_from(words).expect_err("the command line is refused");
        sentence(&error, |_| None)
    }

    #[test]
    fn the_options_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_value_is_one_sentence() {
        let table = [
            (&["maepyo", "serve", "--listen", "nowhere"][..], "--listen"),
            (&["maepyo", "serve", "--listen"], "--listen"),
            (&["maepyo", "serve", "--log-format", "xml"], "text, json"),
            (&["maepyo", "serve", "--log", "maepyo=loud"], "--log"),
            (&["maepyo", "serve", "--token-ttl", "301"], "300"),
            (&["maepyo", "serve", "--connections", "-1"], "-1"),
            (&["maepyo", "serve", "--dmeo"], "--dmeo"),
            (&["maepyo", "sell"], "sell"),
            (&["maepyo", "sale", "check"], "<FILE>"),
            (&["maepyo", "journal", "show", "--sale", "No Such"], "1 to 64 of a-z"),
            (&["maepyo", "journal", "show", "--reservation", "12345"], "13 letters"),
        ];
        for (words, expected) in table {
            let refusal = refusal(words);
            assert!(refusal.contains(expected), "{refusal}");
            assert!(refusal.ends_with('.') && !refusal.contains('\n'), "{refusal}");
            assert!(!refusal.contains("Usage"), "{refusal}");
        }
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let words = ["maepyo", "serve", "--ops-listen", "nowhere"];
        let error = Cli::try_parse_from(words).expect_err("not an address");
        let from_environment = |name: &str| (name == "MAEPYO_OPS_LISTEN").then(|| "nowhere".into());
        assert!(sentence(&error, from_environment).ends_with("(from MAEPYO_OPS_LISTEN)."));
        let something_else = |_: &str| Some("127.0.0.1:1".into());
        assert!(!sentence(&error, something_else).contains("(from"));
    }

    #[test]
    fn every_option_of_serve_but_one_is_also_a_variable() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").expect("a command");
        for option in serve.get_arguments().filter(|option| option.get_long() != Some("help")) {
            let long = option.get_long().expect("all of them have a name");
            let expected = format!("MAEPYO_{}", long.to_uppercase().replace('-', "_"));
            let variable = option.get_env().map(|name| name.to_string_lossy().into_owned());
            let expected = (long != "accept-shorter-history").then_some(expected);
            assert_eq!(variable, expected, "--{long}");
        }
    }

    #[test]
    fn a_directory_is_a_place_for_the_store() {
        let data = |dir: &str| StorePlace { data: DataDir { dir: dir.into() }, store: None };
        assert_eq!(data("maepyo-data").location().unwrap(), "sqlite:maepyo-data");
        assert_eq!(data("memory:").location().unwrap(), "sqlite:memory:");
        assert!(data("").location().is_err());
        assert!(data("postgres://db").location().is_err());
    }

    #[test]
    fn a_store_elsewhere_goes_first_and_is_not_shown() {
        let words = ["maepyo", "journal", "verify", "--store", "postgres://ann:secret@db/maepyo"];
        let cli = Cli::try_parse_from(words).expect("a command");
        assert!(!format!("{cli:?}").contains("secret"), "{cli:?}");
        let Command::Journal { command: JournalCommand::Verify(options) } = cli.command else {
            panic!("another command");
        };
        assert_eq!(options.data.location().unwrap(), "postgres://ann:secret@db/maepyo");
        let mistyped =
            StorePlace { store: Some(StoreUrl("postgre://a:secret@db".into())), ..options.data };
        assert!(!format!("{:?}", mistyped.location().unwrap_err()).contains("secret"));
    }
}
