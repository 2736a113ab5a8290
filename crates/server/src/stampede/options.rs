//! What `maepyo stampede` understands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use stampede::rehearsal::{Rehearsal, Shares};
use stampede::single::{Kind, Single};
use stampede::target::Target;

use crate::config::Stop;

/// How a crowd comes, and where to.
#[derive(Debug, Args)]
#[command(after_help = "\
Rehearse on a copy: buyers join real lines, and hold and pay real seats with the sandbox's cards.
The exit code is 0 when every promise was kept, 1 when one was broken, 2 when there was nothing to
rehearse with.")]
pub(crate) struct StampedeOptions {
    /// The box office, by http.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,

    /// The host is not this machine, and yours all the same.
    #[arg(long)]
    pub(super) i_own_this_host: bool,

    /// The sale, where there are several.
    #[arg(long, value_name = "ID")]
    sale: Option<String>,

    /// How many buyers come.
    #[arg(
        long, value_name = "COUNT", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    buyers: u32,

    /// In how many seconds: most in the first, the others evenly.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(0..=3_600)
    )]
    arrive_in: u64,

    /// How long a buyer thinks before doing something, about.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 2.0,
        value_parser = |text: &str| number(text, 0.0, 600.0)
    )]
    think: f64,

    /// How many seats a buyer wants, at most.
    #[arg(
        long, value_name = "COUNT", default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    seats: u8,

    /// The share of buyers whose first card is declined.
    #[arg(long, value_name = "SHARE", default_value_t = 0.08, value_parser = share)]
    decline_share: f64,

    /// The share whose payment takes three seconds.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    slow_share: f64,

    /// The share whose payment provider never answers.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    silent_share: f64,

    /// The share who give their seats back once.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    give_back_share: f64,

    /// The share who leave the line.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    leave_share: f64,

    /// The share who vanish: from the line, at their turn, or with seats.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    vanish_share: f64,

    /// The share who look away from the line for a while.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    away_share: f64,

    /// The sale's active_limit, to find out whether more were ever inside.
    #[arg(long, value_name = "COUNT")]
    active_limit: Option<u32>,

    /// The same seed brings the same crowd.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Connections that the buyers share, at most.
    #[arg(
        long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(1..=10_000)
    )]
    connections: u16,

    /// Seconds that a buyer waits for an answer.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=30)
    )]
    patience: u64,

    /// Seconds after which the crowd goes home; those who bought are still asked what they have.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=21_600)
    )]
    at_most: u64,

    /// Draws the course of it: an SVG.
    #[arg(long, value_name = "FILE")]
    pub(super) picture: Option<PathBuf>,

    /// Writes everything that is known at the end, in JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,

    /// No crowd, but one kind of call again and again.
    #[arg(long, value_name = "CALL")]
    call: Option<CallKind>,

    /// For a single kind of call: how many seconds.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 10, requires = "call",
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    seconds: u64,

    /// For a single kind of call: so many a second, whether or not answers come; without it, each
    /// connection asks again as soon as it is answered.
    #[arg(
        long, value_name = "COUNT", requires = "call",
        value_parser = |text: &str| number(text, 0.001, 1e6)
    )]
    rate: Option<f64>,
}

/// A kind of call.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CallKind {
    /// Where am I in line?
    Status,
    /// Join the line.
    Join,
    /// Hold a seat.
    Hold,
    /// List the free seats.
    Seats,
    /// Count the free seats, without a token.
    Count,
}

impl StampedeOptions {
    /// The crowd that is asked for.
    pub(super) fn rehearsal(&self, addr: SocketAddr, target: &Target) -> Result<Rehearsal, Stop> {
        let (seed, secret) = random().map_err(Stop::failed)?;
        Ok(Rehearsal {
            addr,
            host: target.authority(),
            sale: self.sale.clone(),
            buyers: self.buyers,
            arrive_in: Duration::from_secs(self.arrive_in),
            think: Duration::from_secs_f64(self.think),
            party_max: usize::from(self.seats),
            shares: Shares {
                decline: self.decline_share,
                slow: self.slow_share,
                silent: self.silent_share,
                give_back: self.give_back_share,
                leave: self.leave_share,
                vanish: self.vanish_share,
                away: self.away_share,
            },
            seed: self.seed.unwrap_or(seed),
            secret,
            connections: usize::from(self.connections),
            patience: Duration::from_secs(self.patience),
            at_most: Duration::from_secs(self.at_most),
            active_limit: self.active_limit,
            stop: stampede::load::Stop::new(),
        })
    }

    /// The single kind of call that is asked for.
    pub(super) fn single(&self, addr: SocketAddr, target: &Target) -> Option<Single> {
        let kind = match self.call? {
            CallKind::Status => Kind::Status,
            CallKind::Join => Kind::Join,
            CallKind::Hold => Kind::Hold,
            CallKind::Seats => Kind::Seats,
            CallKind::Count => Kind::Count,
        };
        Some(Single {
            kind,
            addr,
            host: target.authority(),
            sale: self.sale.clone(),
            buyers: self.buyers,
            connections: usize::from(self.connections),
            patience: Duration::from_secs(self.patience),
            measured: Duration::from_secs(self.seconds),
            rate: self.rate,
        })
    }
}

/// A seed, and a number that nobody can guess.
fn random() -> Result<(u64, u128), getrandom::Error> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)?;
    // A short one can be typed again.
    Ok((getrandom::u64()? % 1_000_000, u128::from_ne_bytes(secret)))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most} is wanted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_from_0_to_1() {
        for (text, expected) in [("0", Some(0.0)), ("0.25", Some(0.25)), ("1", Some(1.0))] {
            assert_eq!(share(text).ok(), expected);
        }
        for text in ["", "x", "-0.1", "1.1", "NaN", "inf"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
