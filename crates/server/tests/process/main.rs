//! The box office as a process, as buyers and operators meet it: over HTTP, and by its end.
//!
//! One binary for all of them, so that it is linked once. Each test has its own server on free ports
//! of the loopback address, in a directory of its own. Time cannot be moved from outside, so these
//! tests shorten limits instead, and say `paces:` where they must wait for a clock.

mod support;

mod clocks;
mod command_line;
mod crash;
mod damage;
mod door;
mod errors;
mod exceptions;
mod failover;
mod faults;
mod golden;
mod history;
mod ledger;
mod lines;
mod metrics;
mod operator_commands;
mod operators;
mod outage;
mod people;
mod postgres;
mod rehearsal;
mod restore;
mod rush;
mod sales;
mod sell_out;
mod shutdown;
mod staleness;
mod stampede;
mod streams;
mod traces;
mod upgrade;
mod use_case;
