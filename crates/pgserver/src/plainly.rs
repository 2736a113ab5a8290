//! What people do without a box office: a transaction for each hold (lock the seat's row, write the buyer
//! into it, insert the reservation), by PostgreSQL's own `pgbench`, as something to compare with.
//!
//! Every transaction has a seat of its own, so none waits for another's row, and nobody is refused. There
//! is no waiting line, no deadline, and nothing else in the tables.

use std::fs;
use std::path::PathBuf;

use crate::{Server, done, told};

/// Seats for each second: more than are held in it.
const SEATS_PER_SECOND: u32 = 40_000;

const TABLES: &str = "
CREATE TABLE seats (
    seat bigint PRIMARY KEY,
    state text NOT NULL DEFAULT 'free',
    buyer bigint,
    held_until timestamptz
);
CREATE TABLE reservations (
    reservation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seat bigint NOT NULL REFERENCES seats,
    buyer bigint NOT NULL,
    held_until timestamptz NOT NULL
);
";

/// `n` counts on from one transaction of a client to the next.
const HOLD: &str = r"
\set n :n + 1
\set seat :client_id * :each + :n
BEGIN;
SELECT state FROM seats WHERE seat = :seat FOR UPDATE;
UPDATE seats
SET state = 'held', buyer = :client_id, held_until = now() + interval '5 minutes'
WHERE seat = :seat;
INSERT INTO reservations (seat, buyer, held_until)
VALUES (:seat, :client_id, now() + interval '5 minutes');
COMMIT;
";

/// What `pgbench` measured.
#[derive(Clone, Copy, Debug)]
pub struct PlainHolds {
    /// Transactions.
    pub count: u64,
    /// For how long, in seconds.
    pub seconds: f64,
    /// What half of them took at most, in seconds.
    pub p50_s: f64,
    /// And 99 of a hundred.
    pub p99_s: f64,
}

impl Server {
    /// Holds seats plainly for so many seconds, over as many connections as there are clients, in a schema
    /// of its own. `pgbench` has the cores of whoever calls, not those of the server.
    ///
    /// # Errors
    /// What PostgreSQL says, or that seats ran out.
    ///
    /// # Panics
    /// When the schema is there already.
    pub fn hold_plainly(
        &self,
        clients: u32,
        seconds: u32,
        schema: &str,
    ) -> Result<PlainHolds, String> {
        let each = SEATS_PER_SECOND * seconds / clients;
        let url = self.make_schema(schema);
        let seats = clients * each;
        self.run(
            schema,
            &format!(
                "{TABLES} INSERT INTO seats (seat) SELECT generate_series(0, {seats});
                ANALYZE"
            ),
        );
        // Not at the first moment of the measurement.
        self.run(schema, "CHECKPOINT");
        let script = self.directory().join(format!("{schema}.sql"));
        fs::write(&script, HOLD).map_err(told("the script"))?;
        let log = self.directory().join(format!("{schema}.log"));
        let mut pgbench = self.program_beside("pgbench");
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--log", "--define=n=-1"]);
        pgbench.arg(format!("--define=each={each}")).arg(format!("--file={}", script.display()));
        pgbench.arg(format!("--log-prefix={}", log.display()));
        pgbench.arg(format!("--client={clients}")).arg(format!("--time={seconds}"));
        done(pgbench.arg(url))?;
        let twice = "SELECT count(*) - count(DISTINCT seat) FROM reservations";
        if self.run(schema, twice) != "0" {
            return Err(format!("{seats} seats were too few: some were held twice"));
        }
        read(&self.logs(&log)?, seconds)
    }

    /// All that was logged: a file for each of its processes.
    fn logs(&self, prefix: &std::path::Path) -> Result<String, String> {
        let prefix = prefix.file_name().expect("it has a name").to_string_lossy().into_owned();
        let files = fs::read_dir(self.directory()).map_err(told("the directory"))?;
        let logs: Vec<PathBuf> = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('.'))
            })
            .collect();
        logs.iter().map(|log| fs::read_to_string(log).map_err(told("its log"))).collect()
    }
}

/// Reads the log: `client number microseconds …`, a line for each transaction.
fn read(log: &str, seconds: u32) -> Result<PlainHolds, String> {
    let taken = |line: &str| line.split(' ').nth(2)?.parse::<u32>().ok();
    let mut taken: Vec<u32> = log.lines().filter_map(taken).collect();
    if taken.is_empty() || taken.len() != log.lines().count() {
        return Err("the log of pgbench is not as it is documented".to_owned());
    }
    taken.sort_unstable();
    let at = |percent: usize| f64::from(taken[(taken.len() - 1) * percent / 100]) / 1e6;
    Ok(PlainHolds {
        count: taken.len() as u64,
        seconds: f64::from(seconds),
        p50_s: at(50),
        p99_s: at(99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_transactions_is_read() {
        let log: String = (1..=100).map(|n| format!("{n} 0 {} 0 1700000000 5\n", n * 10)).collect();
        let holds = read(&log, 2).unwrap();
        assert_eq!((holds.count, holds.seconds), (100, 2.0));
        assert!((holds.p50_s - 500e-6).abs() < 1e-9 && (holds.p99_s - 990e-6).abs() < 1e-9);
        assert!(read("", 2).is_err());
        assert!(read("1 0 skipped 0 1700000000 5\n", 2).is_err());
    }

    #[test]
    fn seats_are_held_in_a_real_server() {
        let server = Server::start(crate::Setup::default()).unwrap();
        let holds = server.hold_plainly(2, 1, "plain").unwrap();
        assert_eq!(
            server.run("plain", "SELECT count(*) FROM reservations"),
            holds.count.to_string()
        );
        let held = "SELECT count(*) FROM seats WHERE state = 'held'";
        assert_eq!(server.run("plain", held), holds.count.to_string());
        assert!(holds.p50_s > 0.0 && holds.p99_s >= holds.p50_s);
    }
}
