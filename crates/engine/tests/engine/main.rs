//! The engine's tests: the core in virtual time, and the running engine over a real journal.

#![expect(clippy::unwrap_used, reason = "a test may fail; that is what it is for")]
mod core;
mod desk;
mod driver;
mod formats;
mod locks;
mod moody;
