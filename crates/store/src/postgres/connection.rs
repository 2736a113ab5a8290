//! One connection: how it is set, what is asked of the server first, and what it says by itself.
//!
//! **A commit in doubt.** With a synchronous standby a commit waits for it, and an administrator may
//! cancel that wait. Then PostgreSQL commits and *warns* that the standby may not have it: a failover
//! could lose it. A warning is therefore remembered ([`Connection::take_doubt`]), and what was
//! committed with one counts only after a later commit without ([`Connection::confirm`]): the
//! standby, which gets everything in order, has both then. So does a batch that was only found, by
//! sending it again: nobody heard the answer to its commit, or the warning in it.
//!
//! A server that ends while commits wait for the standby has them when it starts again, and shows them to
//! everybody. Connections end with it; so every new one confirms ([`super::pool`]) before anything is
//! read on it that somebody could be told.
//!
//! For the same reason nothing is ever cancelled here: whoever has waited too long drops the
//! connection, and the server finishes alone.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, Statement};

use super::address::Server;
use super::{Access, failure};
use crate::StoreError;

/// The oldest PostgreSQL that is still looked after by its makers.
const SERVER_LEAST: i32 = 140_000;

/// How long a commit of no meaning may take: less than the server lets it wait for another one that waits
/// for the standby, so that this is what is said.
const CONFIRM_MAX: Duration = Duration::from_secs(4);

/// The server gives up sooner than we do, so that what nobody waits for any more does not go on for
/// long: a statement, one that waits for a lock, and a transaction whose node is gone. To plan one of our
/// statements anew, or to compile it, takes longer than to execute it.
const SET_SESSION: &str = "
-- set_session
SET statement_timeout = '5s';
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '5s';
SET plan_cache_mode = 'force_generic_plan';
SET jit = off;
SET client_min_messages = 'warning';
SET default_transaction_isolation = 'read committed'
";

const SET_READ_ONLY: &str = "
-- set_read_only
SET default_transaction_read_only = on
";

/// What a commit waits for stays as it is found, whatever is set for everybody later.
const READ_SERVER: &str = "
-- read_server
SELECT
    current_setting('server_version_num')::integer,
    set_config('synchronous_commit', current_setting('synchronous_commit'), false)
";

const CONFIRM: &str = "
-- confirm
UPDATE journal_meta
SET confirmations = confirmations + 1
";

/// An open connection.
pub(super) struct Connection {
    client: Client,
    /// What was prepared on it, by its text.
    statements: Mutex<BTreeMap<&'static str, Statement>>,
    /// Whether a warning came.
    doubt: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, and makes sure that a commit here means what the journal promises.
    pub(super) async fn open(server: &Server, access: Access) -> Result<Self, StoreError> {
        let Server { config, tls } = server;
        let doubt = Arc::<AtomicBool>::default();
        let client = match tls {
            Some(tls) => config.connect(tls.clone()).await.map(|(client, driven)| {
                tokio::spawn(drive(driven, Arc::clone(&doubt)));
                client
            }),
            None => config.connect(NoTls).await.map(|(client, driven)| {
                tokio::spawn(drive(driven, Arc::clone(&doubt)));
                client
            }),
        };
        let client = client.map_err(|error| failure::of(&error))?;
        let connection = Self { client, statements: Mutex::default(), doubt };
        connection.run(SET_SESSION).await?;
        match access {
            Access::Write => {}
            Access::Read => connection.run(SET_READ_ONLY).await?,
        }
        connection.check_server(access).await?;
        connection.take_doubt();
        Ok(connection)
    }

    async fn check_server(&self, access: Access) -> Result<(), StoreError> {
        let row = self.one(READ_SERVER, &[]).await?;
        let (version, synchronous_commit): (i32, String) = (value(&row, 0)?, value(&row, 1)?);
        if version < SERVER_LEAST {
            let (version, least) = (version / 10_000, SERVER_LEAST / 10_000);
            return Err(StoreError::NotAStore(format!(
                "PostgreSQL {version} is too old; {least} is the least"
            )));
        }
        let too_soon = match synchronous_commit.as_str() {
            "off" => "before anything is on disk",
            "local" => "before a standby has anything",
            _ => return Ok(()),
        };
        match access {
            Access::Write => Err(StoreError::Unavailable(format!(
                "PostgreSQL has synchronous_commit {synchronous_commit}, and would answer \
                 {too_soon}; set it to on for this role"
            ))),
            Access::Read => Ok(()),
        }
    }

    /// The client, for what needs more than one statement at a time.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// A statement, prepared at its first use.
    pub(super) async fn prepared(&self, text: &'static str) -> Result<Statement, StoreError> {
        let known = self.known(text);
        if let Some(statement) = known {
            return Ok(statement);
        }
        self.prepare(text, text).await.map_err(|error| failure::of(&error))
    }

    /// What was prepared under this name, if anything was.
    pub(super) fn known(&self, name: &'static str) -> Option<Statement> {
        self.statements().get(name).cloned()
    }

    /// Prepares a statement, to be known by that name.
    pub(super) async fn prepare(
        &self,
        name: &'static str,
        text: &str,
    ) -> Result<Statement, tokio_postgres::Error> {
        let statement = self.client.prepare(text).await?;
        self.statements().insert(name, statement.clone());
        Ok(statement)
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Statement>> {
        self.statements.lock().expect("looking a statement up does not panic")
    }

    /// The rows of a statement.
    pub(super) async fn rows(
        &self,
        text: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(text).await?;
        self.client.query(&statement, values).await.map_err(|error| failure::of(&error))
    }

    /// The row of a statement that gives one or none.
    pub(super) async fn row(
        &self,
        text: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(text, values).await?.pop())
    }

    /// The row of a statement that gives one.
    pub(super) async fn one(
        &self,
        text: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        let row = self.row(text, values).await?;
        row.ok_or_else(|| StoreError::Corrupt("a row that was written is not there".to_owned()))
    }

    /// Executes a statement and says how many rows it was about.
    pub(super) async fn execute(
        &self,
        text: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let statement = self.prepared(text).await?;
        self.client.execute(&statement, values).await.map_err(|error| failure::of(&error))
    }

    /// Runs statements without values.
    pub(super) async fn run(&self, text: &'static str) -> Result<(), StoreError> {
        self.client.batch_execute(text).await.map_err(|error| failure::of(&error))
    }

    /// Whether a warning came since this was last asked.
    pub(super) fn take_doubt(&self) -> bool {
        self.doubt.swap(false, Ordering::Relaxed)
    }

    /// Commits something of no meaning, so that all that was committed before is where this is. An
    /// error says that this cannot be said.
    pub(super) async fn confirm(&self) -> Result<(), StoreError> {
        self.take_doubt();
        let confirmed = tokio::time::timeout(CONFIRM_MAX, self.execute(CONFIRM, &[])).await;
        confirmed.map_err(|_late| {
            StoreError::Unavailable(
                "PostgreSQL does not come back from a commit: the standby that it waits for may be \
                 away"
                    .to_owned(),
            )
        })??;
        if self.take_doubt() {
            return Err(StoreError::Unavailable(
                "PostgreSQL commits, and warns that the standby may not have it".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Keeps a connection going until it ends, and listens to what the server says by itself. Messages
/// come in order: a warning in a commit is here before its answer.
async fn drive<S, T>(mut driven: tokio_postgres::Connection<S, T>, doubt: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| driven.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    doubt.store(true, Ordering::Relaxed);
                    tracing::warn!(notice = notice.message(), "PostgreSQL warns");
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                // Whoever asked something is told, too.
                tracing::debug!(error = failure::described(&error), "a connection is lost");
                return;
            }
            None => return,
        }
    }
}

/// A value of a row.
pub(super) fn value<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    column: usize,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| failure::of_value(&failure::described(&error)))
}
