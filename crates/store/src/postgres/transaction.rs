//! Transactions of many statements, for those who keep more in the database than the journal.
//!
//! A round trip costs more than most statements. So a statement is sent at once and its answer waited
//! for later, with those of others: the server works on one while the next is on its way. What was
//! answered with an error makes errors of all that follow, and [`Transaction::answers`] says the first.
//!
//! Each has a connection of its own, made and checked as the journal's are ([`super::pool`]). One that
//! is dropped is undone by the server, for its connection is closed.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::calls::Calls;
use super::connection::Connection;
use super::pool::Pool;
use super::schema::{COMMIT, ROLL_BACK};
use super::{Access, address, failure};
use crate::{Epoch, StoreError};

/// Where transactions are begun.
#[derive(Clone)]
pub(crate) struct Transactions(Arc<Shared>);

struct Shared {
    pool: Pool,
    /// After the connections, which it runs.
    calls: Calls,
}

impl Transactions {
    /// Those of the history of this epoch. Connects when it has to.
    pub(crate) fn open(
        location: &str,
        password: Option<&str>,
        access: Access,
        epoch: Epoch,
    ) -> Result<Self, StoreError> {
        let pool = Pool::new(address::read(location, password, access)?, access, None);
        pool.belongs_to(epoch);
        Ok(Self(Arc::new(Shared { pool, calls: Calls::start()? })))
    }

    /// Begins one by `statements`, which are sent and not waited for. An answer may take so long.
    pub(crate) fn begin(
        &self,
        statements: &'static str,
        patience: Duration,
    ) -> Result<Transaction, StoreError> {
        let Shared { pool, calls } = &*self.0;
        let (server, connection) = calls.wait(async || pool.take().await)?;
        let connection = Arc::new(connection);
        let of = self.clone();
        let mut begun =
            Transaction { of, server, connection, patience, is_silent: false, sent: Vec::new() };
        begun.run(statements.to_owned());
        Ok(begun)
    }

    /// Closes the connections on which nothing is under way, and asks the next server first from now on.
    pub(crate) fn leave(&self) {
        self.0.pool.leave_chosen();
    }
}

/// Why there is no answer.
pub(crate) enum Broken {
    /// This is one.
    Told(Error),
    /// None came in time.
    Late(StoreError),
}

impl Broken {
    /// Whether another one who makes the same tables was in the way, and trying again settles it.
    pub(crate) fn is_race(&self) -> bool {
        match self {
            Self::Told(error) => failure::is_race(error),
            Self::Late(_) => false,
        }
    }

    /// Whether it is for somebody to allow it: trying again settles nothing.
    pub(crate) fn is_forbidden(&self) -> bool {
        match self {
            Self::Told(error) => error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            Self::Late(_) => false,
        }
    }

    /// What it means.
    pub(crate) fn meaning(self) -> StoreError {
        match self {
            Self::Told(error) => failure::of(&error),
            Self::Late(error) => error,
        }
    }
}

/// What a statement did.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Rows that it wrote or found.
    pub(crate) count: u64,
    /// Those that it gave, if it was asked for them.
    pub(crate) rows: Vec<Row>,
}

/// What was sent, and is being answered.
type Sent = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// One that was begun.
pub(crate) struct Transaction {
    of: Transactions,
    server: usize,
    connection: Arc<Connection>,
    patience: Duration,
    /// Whether an answer did not come: then none will.
    is_silent: bool,
    sent: Vec<Sent>,
}

impl Transaction {
    /// Sends statements without values.
    pub(crate) fn run(&mut self, statements: String) {
        let connection = Arc::clone(&self.connection);
        self.send(async move {
            connection.client().batch_execute(&statements).await.map(|()| Answer::default())
        });
    }

    /// Sends a statement that writes. `text` makes what is known under this name, when it is prepared.
    pub(crate) fn write<V>(
        &mut self,
        name: &'static str,
        text: impl FnOnce(&str) -> String + Send,
        values: Vec<V>,
    ) -> Result<(), Broken>
    where
        V: ToSql + Sync + Send + 'static,
    {
        let statement = self.prepared(name, text)?;
        let connection = Arc::clone(&self.connection);
        self.send(async move {
            let count = connection.client().execute_raw(&statement, values).await?;
            Ok(Answer { count, rows: Vec::new() })
        });
        Ok(())
    }

    /// Sends a statement that gives rows.
    pub(crate) fn read<V>(
        &mut self,
        name: &'static str,
        text: impl FnOnce(&str) -> String + Send,
        values: Vec<V>,
    ) -> Result<(), Broken>
    where
        V: ToSql + Sync + Send + 'static,
    {
        let statement = self.prepared(name, text)?;
        let connection = Arc::clone(&self.connection);
        self.send(async move {
            let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            let rows = connection.client().query(&statement, &values).await?;
            Ok(Answer { count: rows.len() as u64, rows })
        });
        Ok(())
    }

    /// How many were sent and not waited for.
    pub(crate) fn under_way(&self) -> usize {
        self.sent.len()
    }

    /// Waits for the answers to all that was sent, in its order; or says the first error.
    pub(crate) fn answers(&mut self) -> Result<Vec<Answer>, Broken> {
        let sent = std::mem::take(&mut self.sent);
        self.wait(async move {
            let mut answers = Vec::with_capacity(sent.len());
            for sent in sent {
                answers.push(sent.await?);
            }
            Ok(answers)
        })
    }

    /// Makes all of it durable, as far as the transaction says. After an error nobody knows whether it is.
    pub(crate) fn commit(mut self) -> Result<(), Broken> {
        self.run(COMMIT.to_owned());
        self.answers()?;
        self.give_back();
        Ok(())
    }

    /// Undoes all of it.
    pub(crate) fn roll_back(mut self) {
        self.sent.clear();
        if self.is_silent {
            return;
        }
        self.run(ROLL_BACK.to_owned());
        if self.answers().is_ok() {
            self.give_back();
        }
    }

    fn give_back(self) {
        if let Some(connection) = Arc::into_inner(self.connection) {
            self.of.0.pool.give_back(self.server, connection);
        }
    }

    fn prepared(
        &mut self,
        name: &'static str,
        text: impl FnOnce(&str) -> String + Send,
    ) -> Result<Statement, Broken> {
        match self.connection.known(name) {
            Some(statement) => Ok(statement),
            None => {
                let text = text(name);
                let connection = Arc::clone(&self.connection);
                let sent = std::mem::take(&mut self.sent);
                let (answered, prepared) = self.wait(async move {
                    // First, for while an answer of several parts waits to be taken the client reads no other.
                    let mut answered = Vec::with_capacity(sent.len());
                    for sent in sent {
                        answered.push(sent.await);
                    }
                    Ok((answered, connection.prepare(name, &text).await))
                })?;
                for answer in answered {
                    self.sent.push(Box::pin(std::future::ready(answer)));
                }
                if prepared.is_err() {
                    // It may be for something that was sent before.
                    self.answers()?;
                }
                prepared.map_err(Broken::Told)
            }
        }
    }

    /// Looked at once, it is sent.
    fn send(&mut self, answer: impl Future<Output = Result<Answer, Error>> + Send + 'static) {
        let mut sent: Sent = Box::pin(answer);
        let sent = match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => sent,
            Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
        };
        self.sent.push(sent);
    }

    fn wait<T: Send>(
        &mut self,
        answer: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Broken> {
        let Shared { pool, calls } = &*self.of.0;
        let patience = self.patience;
        let answer = calls.wait(async || tokio::time::timeout(patience, pin!(answer)).await);
        match answer {
            Ok(answer) => answer.map_err(Broken::Told),
            Err(_late) => {
                self.is_silent = true;
                Err(Broken::Late(pool.gave_no_answer(self.server, patience)))
            }
        }
    }
}
