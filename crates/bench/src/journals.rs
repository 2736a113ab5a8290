//! The same hold on two journals: PostgreSQL beside SQLite, in turns. The PostgreSQL server is started
//! here, on the disk of the other and on the core of the box office, for which it works.

use pgserver::{Server, Setup};

use crate::compare::{RATE_EXPECTED, table};
use crate::figures::PerSecond;
use crate::measure::closed_round;
use crate::report::Reading;
use crate::round::Round;
use crate::scenes::{self, Scene};
use crate::series::Series;
use crate::verdict::{Pairs, Verdict};
use crate::{Fault, Plan, fault, tell};

/// What PostgreSQL must reach of SQLite.
const LEAST: f64 = 0.80;
/// How much more is made ready than the round before has used.
const SPARE: f64 = 1.2;

/// Measures the row.
pub(crate) fn measure(plan: &Plan) -> Result<Reading, Fault> {
    let server = start(plan)?;
    let embedded = plan.clone();
    let mut expected = RATE_EXPECTED;
    // The product of these pairs is what is asked about, and its floor what it is measured by.
    let mut pairs = Pairs::default();
    for number in 0..plan.rounds {
        let store = Some(server.make_database(&format!("round_{number}")));
        let on_postgres = hold(&Plan { store, ..plan.clone() }, expected)?;
        let on_sqlite = hold(&embedded, expected)?;
        tell(&format!(
            "  postgres {}/{}: {} of {} = {:.3}",
            number + 1,
            plan.rounds,
            PerSecond(on_postgres.rate()),
            PerSecond(on_sqlite.rate()),
            on_postgres.rate() / on_sqlite.rate()
        ));
        expected = expected.min(on_sqlite.rate().max(on_postgres.rate()) * SPARE);
        pairs.product.push(on_postgres);
        pairs.floor.push(on_sqlite);
    }
    Ok(reading(&pairs))
}

/// A PostgreSQL server on the disk of the box office and on its core.
pub(crate) fn start(plan: &Plan) -> Result<Server, Fault> {
    let setup = Setup {
        within: Some(plan.dir.clone()),
        through: plan.cores.server_words(),
        ..Setup::default()
    };
    Server::start(setup).map_err(|why| fault("the PostgreSQL server", &why))
}

fn hold(plan: &Plan, expected: f64) -> Result<Round, Fault> {
    let Scene { office, calls, beside, .. } = scenes::hold(plan, expected)?;
    closed_round(plan, office.target(), &calls, &beside)
}

fn reading(pairs: &Pairs) -> Reading {
    let rounds = || pairs.product.iter().chain(&pairs.floor);
    let (measured, verdict) = match (rounds().find_map(Round::fault), pairs.ratio()) {
        (Some(why), _) => (String::new(), Verdict::Void(why)),
        (None, None) => (String::new(), Verdict::Void("there was no whole round".to_owned())),
        (None, Some(Series { median, min, max })) => {
            let verdict = if median < LEAST { Verdict::Missed } else { Verdict::Reached };
            (format!("{median:.2} ({min:.2}..{max:.2})"), verdict)
        }
    };
    Reading {
        measured,
        details: vec![
            "The PostgreSQL server has its defaults, on the same disk, and shares the core of the box \
             office; its own processor time is not in the figures."
                .to_owned(),
        ],
        tables: vec![table(pairs, ["PostgreSQL", "SQLite"])],
        verdict,
    }
}
