//! HTTP/1.1 as a client that has one core and has to keep a server on another one busy.
//!
//! Requests are bytes that were rendered beforehand ([`Request`]); a connection is kept alive and
//! carries one exchange at a time ([`Connection`]); an answer is read where it lies in the
//! connection's buffer ([`Answer`]). An exchange allocates nothing, once the buffer has grown to the
//! largest answer. Every size is bounded and every wait ends.
//!
//! Deliberately absent: TLS, pipelining, redirects, compression, and bodies that end with the
//! connection, which no answer of a box office has.

mod answer;
mod connection;
mod request;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use connection::{BODY_MAX, Connection, HEAD_MAX, Lost, PATIENCE};
pub use request::{Request, is_field_value};
