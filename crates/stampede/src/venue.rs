//! What is on, at a box office: looked up once, before anybody comes.

use std::fmt::Display;
use std::net::SocketAddr;

use crate::contract::{Performance, Performances, Word};
use crate::wire::{Connection, Request};

/// A sale that is on.
#[derive(Clone, Debug)]
pub(crate) struct Venue {
    pub(crate) sale: Word,
    pub(crate) title: String,
    /// Seats of all its performances.
    pub(crate) seat_count: u64,
    /// Each with its date. One at least.
    pub(crate) performances: Vec<(Word, Word)>,
}

impl Venue {
    /// Finds the sale that is named, or the only one.
    ///
    /// # Errors
    /// A sentence: nobody answers there, or there is no such sale.
    pub(crate) async fn find(
        addr: SocketAddr,
        host: &str,
        sale: Option<&str>,
    ) -> Result<Self, String> {
        let nobody = |why: &dyn Display| format!("nobody answers at {host}: {why}.");
        let mut connection = Connection::open(addr).await.map_err(|error| nobody(&error))?;
        let request = Request::get("/performances").host(host).bytes();
        let answer = connection.exchange(&request).await.map_err(|lost| nobody(&lost))?;
        let listed: Option<Performances> = serde_json::from_slice(answer.body()).ok();
        match listed.filter(|_| answer.status == 200) {
            Some(Performances { performances }) => Self::choose(&performances, sale),
            None => Err(format!(
                "{host} is no box office: it answers {} to GET /performances.",
                answer.status
            )),
        }
    }

    fn choose(performances: &[Performance], wanted: Option<&str>) -> Result<Self, String> {
        let mut sales: Vec<&Word> = performances.iter().map(|one| &one.sale_id).collect();
        sales.sort_unstable();
        sales.dedup();
        let list = || sales.iter().map(|sale| sale.as_str()).collect::<Vec<_>>().join(", ");
        let sale = match (wanted, &sales[..]) {
            (_, []) => return Err("nothing is on there: schedule a sale first.".to_owned()),
            (None, [only]) => *only,
            (None, _) => {
                return Err(format!("several sales are on; --sale names one of {}.", list()));
            }
            (Some(wanted), _) => {
                let found = sales.iter().find(|sale| sale.as_str() == wanted);
                found.ok_or_else(|| format!("there is no sale {wanted:?}, but {}.", list()))?
            }
        };
        let evenings: Vec<&Performance> =
            performances.iter().filter(|one| one.sale_id == *sale).collect();
        if evenings.iter().all(|one| matches!(&*one.state, "closed" | "sold_out")) {
            return Err(format!("the sale {sale} is over already."));
        }
        Ok(Self {
            sale: sale.clone(),
            title: evenings.first().map(|one| one.title.clone()).unwrap_or_default(),
            seat_count: evenings.iter().map(|one| one.seat_count).sum(),
            performances: evenings
                .iter()
                .map(|one| (one.performance_id.clone(), one.date.clone()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(sales: &[(&str, &str)]) -> Vec<Performance> {
        let word = |text: &str| Word::try_from(Box::from(text)).expect("a word");
        let evening = |(number, (sale, state)): (usize, &(&str, &str))| Performance {
            performance_id: word(&format!("{sale}-{number}")),
            sale_id: word(sale),
            title: "T".to_owned(),
            date: word("2026-05-01"),
            state: (*state).to_owned(),
            seat_count: 10,
        };
        sales.iter().enumerate().map(evening).collect()
    }

    #[test]
    fn the_only_sale_needs_no_name() {
        let venue = Venue::choose(&on(&[("a", "open"), ("a", "sold_out")]), None).unwrap();
        assert_eq!((venue.sale.as_str(), venue.seat_count), ("a", 20));
        assert_eq!(venue.performances.len(), 2);
        let two = on(&[("a", "open"), ("b", "scheduled")]);
        assert_eq!(Venue::choose(&two, Some("b")).unwrap().sale.as_str(), "b");
    }

    #[test]
    fn what_cannot_be_rehearsed_is_said_in_a_sentence() {
        let two = on(&[("b", "open"), ("a", "open")]);
        let table = [
            (Venue::choose(&[], None), "schedule a sale first"),
            (Venue::choose(&two, None), "one of a, b."),
            (Venue::choose(&two, Some("c")), "no sale \"c\", but a, b."),
            (Venue::choose(&on(&[("a", "sold_out")]), None), "a is over already"),
        ];
        for (venue, expected) in table {
            let sentence = venue.unwrap_err();
            assert!(sentence.contains(expected) && sentence.ends_with('.'), "{sentence}");
        }
    }
}
