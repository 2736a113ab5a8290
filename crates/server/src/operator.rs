//! `maepyo sale`: operators at the command line, who talk to the box office that runs.
//!
//! Each command is one or two calls at the operators' listener, with the admin key; what is decided
//! there is the box office's to say. A change says who makes it and why, and both are journalled.
//! Printed are tables for people, or with `--json` what the box office answered.
//!
//! Deliberately absent: TLS (the listener has none, see README), and any look into the data
//! directory but for the key.

mod client;
mod options;
mod report;

use std::io::{self, Write};
use std::process::ExitCode;

use http::Method;
use serde_json::{Map, Value, json};

use crate::config::{self, DataDir, Stop};
use crate::ops::AdminSecret;
use crate::serve::ADMIN_KEY_FILE;
use client::{Client, Word};
use options::{Change, LimitsOptions, Reach, SeatsOptions};
use report::{Changed, Sale, Sales};

pub(crate) use options::OperatorCommand;

/// Does what an operator asks for.
pub(crate) fn run(command: &OperatorCommand) -> Result<ExitCode, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format!("no runtime: {error}.")))?;
    runtime.block_on(operate(command))?;
    Ok(ExitCode::SUCCESS)
}

async fn operate(command: &OperatorCommand) -> Result<(), Stop> {
    match command {
        OperatorCommand::List(reach) => list(reach).await,
        OperatorCommand::Show(options) => show(&options.reach, &options.sale).await,
        OperatorCommand::Open(change) => turn(change, "open").await,
        OperatorCommand::Pause(change) => turn(change, "pause").await,
        OperatorCommand::Resume(change) => turn(change, "resume").await,
        OperatorCommand::Close(change) => turn(change, "close").await,
        OperatorCommand::Limits(options) => limits(options).await,
        OperatorCommand::Withhold(options) => seats(options, "withhold", "withheld").await,
        OperatorCommand::Release(options) => seats(options, "release", "released").await,
    }
}

async fn list(reach: &Reach) -> Result<(), Stop> {
    let answer = client(reach)?.get("/admin/sales").await?;
    if reach.json {
        return print_json(&answer);
    }
    let sales: Sales = client::read(answer)?;
    print(&sales.to_text());
    Ok(())
}

async fn show(reach: &Reach, sale: &str) -> Result<(), Stop> {
    let answer = client(reach)?.get(&path(sale, "")).await?;
    if reach.json {
        return print_json(&answer);
    }
    let sale: Sale = client::read(answer)?;
    print(&sale.to_text());
    Ok(())
}

/// Opens, pauses, resumes or closes a sale.
async fn turn(change: &Change, verb: &str) -> Result<(), Stop> {
    let (word, client) = (Word::of(&change.word)?, client(&change.reach)?);
    let path = path(&change.sale, &format!("/{verb}"));
    let answer = client.change(Method::POST, &path, None, &word).await?;
    if change.reach.json {
        return print_json(&answer);
    }
    tell(&client, &change.sale, answer).await
}

/// Shows the limits, after changing those that are named.
async fn limits(options: &LimitsOptions) -> Result<(), Stop> {
    let LimitsOptions { change: Change { reach, sale, word }, limits } = options;
    if limits.is_empty() {
        let answer = client(reach)?.get(&path(sale, "")).await?;
        if reach.json {
            return print_json(&answer["limits"]);
        }
        print(&client::read::<Sale>(answer)?.limits_to_text(None));
        return Ok(());
    }
    let (word, client) = (Word::of(word)?, client(reach)?);
    let named: Map<String, Value> =
        limits.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let before: Sale = client::read(client.get(&path(sale, "")).await?)?;
    let body = Value::Object(named);
    let answer = client.change(Method::PATCH, &path(sale, "/limits"), Some(&body), &word).await?;
    if reach.json {
        return print_json(&answer);
    }
    let after: Sale = client::read(client.get(&path(sale, "")).await?)?;
    print(&after.limits_to_text(Some(&before)));
    Ok(())
}

/// Keeps seats back, or gives them free.
async fn seats(options: &SeatsOptions, verb: &str, done: &str) -> Result<(), Stop> {
    let SeatsOptions { change: Change { reach, sale, word }, .. } = options;
    let (word, client) = (Word::of(word)?, client(reach)?);
    let mut body = Map::new();
    body.insert("seat_numbers".to_owned(), json!(options.seats));
    if let Some(pool) = &options.pool {
        body.insert("pool".to_owned(), json!(pool));
    }
    if let Some(performance) = &options.performance {
        body.insert("performance_id".to_owned(), json!(performance));
    }
    let (path, body) = (path(sale, &format!("/seats/{verb}")), Value::Object(body));
    let answer = client.change(Method::POST, &path, Some(&body), &word).await?;
    if reach.json {
        return print_json(&answer);
    }
    let changed: Changed = client::read(answer.clone())?;
    print(&format!("{sale}: {} {done}.\n", report::seats(changed.seats)));
    tell(&client, sale, answer).await
}

/// Says how the sale is after a change.
async fn tell(client: &Client, sale: &str, answer: Value) -> Result<(), Stop> {
    let changed: Changed = client::read(answer)?;
    let sale: Sale = client::read(client.get(&path(sale, "")).await?)?;
    print(&sale.to_line(&changed));
    Ok(())
}

fn client(reach: &Reach) -> Result<Client, Stop> {
    let key = match config::admin_key()? {
        Some(key) => AdminSecret::from_env_value(&key).map_err(Stop::wrong)?,
        None => key_of(&reach.data)?,
    };
    Client::new(&reach.ops, key)
}

fn key_of(data: &DataDir) -> Result<AdminSecret, Stop> {
    AdminSecret::load(&data.file(ADMIN_KEY_FILE)).map_err(|error| {
        let error = error.to_string();
        let error = error.trim_end_matches('.');
        Stop::wrong(format!("{error}: name the data directory by --data, or set MAEPYO_ADMIN_KEY."))
    })
}

fn path(sale: &str, rest: &str) -> String {
    format!("/admin/sales/{sale}{rest}")
}

fn print_json(answer: &Value) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(answer);
    let text = text.map_err(|error| Stop::failed(format!("it cannot be printed: {error}.")))?;
    print(&(text + "\n"));
    Ok(())
}

fn print(text: &str) {
    // With nobody to read it there is nobody to tell.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
