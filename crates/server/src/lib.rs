//! How the box office is reached: the only crate that serves HTTP and knows the environment.
//!
//! [`run`] is the program. The map, in reading order: what the command line says (`config`); the
//! start, the two listeners and the graceful end (`serve`); what all requests share (`app`) and the
//! buyers' calls (`http`); the operators' calls (`ops`) and how a sale is described in a file
//! (`sale_file`, and `sale` for the command line), the demo's two among them (`demo`); what buyers
//! carry (`token`, `ids`) and read (`language`); the payment provider (`gateway`) and how the engine
//! asks it (`calls`); history for people (`journal`) and tables for reports (`ledger`); a copy of
//! everything (`backup`); operators at the command line (`operator`, `table`) and who looks after processes (`ready`); a crowd to rehearse with
//! (`stampede`); what is logged (`log`) and traced (`otlp`); how other servers are asked
//! (`one_request`).
//!
//! Deliberately absent: rules (`domain`), storage (`store`), batching and recovery (`engine`).

mod app;
mod backup;
mod calls;
mod config;
mod demo;
mod format;
mod gateway;
mod http;
mod ids;
mod journal;
mod language;
mod ledger;
mod log;
mod one_request;
mod operator;
mod ops;
mod otlp;
mod ready;
mod sale;
mod sale_file;
mod serve;
mod stampede;
mod table;
mod token;

pub use config::run;
