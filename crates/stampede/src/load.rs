//! The same kind of call again and again, measured.
//!
//! Two kinds of loop, for two questions. *Closed* ([`closed()`]): so many connections, each of which
//! sends the next request as soon as the last is answered; it finds how much is served. *Open*
//! ([`open()`]): requests arrive at a fixed rate, whether or not answers come, and latency counts from
//! the instant at which a request was meant to start; it finds how long people wait. A closed loop
//! cannot show that: a server that stalls stops it from asking.
//!
//! Requests come from a [`Source`]. Several loads may run side by side (`tokio::join!`), each with
//! its own source, connections and [`Outcome`]; a [`Stop`] ends those that only accompany another.
//! Everything runs in one thread, on the [`runtime`] made here.

mod closed;
mod open;
mod outcome;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

pub use closed::{Closed, closed};
pub use open::{Open, Spacing, open};
pub use outcome::{Outcome, Second};

use crate::wire::{Answer, Lost};

/// Where requests come from, and where their answers go.
///
/// One source serves all connections of a load, so it can give each buyer one call after another.
pub trait Source {
    /// Writes the next request for this connection (0, 1, …) into `request`, which is empty; false
    /// when there are no more, for this connection.
    fn next(&mut self, connection: usize, request: &mut Vec<u8>) -> bool;

    /// What the last request of this connection was answered.
    fn answered(&mut self, _connection: usize, _answer: &Answer<'_>) {}

    /// The last request of this connection was not answered.
    fn lost(&mut self, _connection: usize, _lost: Lost) {}
}

/// A source that loads share: its owner keeps a handle and reads it afterwards.
#[derive(Debug, Default)]
pub struct Shared<S>(Rc<RefCell<S>>);

impl<S> Shared<S> {
    /// Shares a source.
    pub fn new(source: S) -> Self {
        Self(Rc::new(RefCell::new(source)))
    }

    /// Looks at the source, between two calls of a load.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.0.borrow_mut())
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// Ends loads before their time. Clones end the same loads.
#[derive(Clone, Debug, Default)]
pub struct Stop(Rc<Cell<bool>>);

impl Stop {
    /// One that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No further request begins. A load looks before each.
    pub fn stop(&self) {
        self.0.set(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.get()
    }
}

/// A runtime of one thread, on which loads run.
///
/// It looks for news from the network once every 128 steps, or when nothing is left to do: under
/// load most steps are a whole exchange, and asking the kernel more often only costs processor time.
///
/// # Errors
/// What the operating system says.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(128)
        .build_local(LocalOptions::default())
}
