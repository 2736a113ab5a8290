//! Which sale or performance a request is about, by what it names and whose token it carries.

use std::sync::Arc;

use domain::Refusal;
use engine::{Directory, Failure, Listed, SaleHandle};
use jiff::civil::Date;

use super::desk::Desk;
use super::problem::{Edge, Flaw, PerformanceChoice, Problem};
use super::time::Utc;

/// Performances that a problem lists, at most.
const CHOICES_MAX: usize = 50;

/// What a request may name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named<'a> {
    /// A sale.
    pub(super) sale_id: Option<&'a str>,
    /// A performance.
    pub(super) performance_id: Option<&'a str>,
    /// A local date at the venue.
    pub(super) date: Option<&'a str>,
}

/// A date as people write it: `YYYY-MM-DD` and nothing else.
///
/// # Errors
/// `malformed_request`.
pub(super) fn parse_date(text: &str) -> Result<Date, Flaw> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if shape { text.parse().map_err(|_| Flaw::Date) } else { Err(Flaw::Date) }
}

/// The performance with an id.
///
/// # Errors
/// `performance_not_found`; `unavailable` when this node cannot read what others have written about it.
pub(super) fn find_performance<'d>(
    directory: &'d Directory,
    id: &str,
) -> Result<&'d Listed, Problem> {
    let listed = directory.performance(id);
    let listed = listed.ok_or_else(|| absent(directory, Edge::PerformanceNotFound))?;
    readable(&listed.sale)?;
    Ok(listed)
}

/// Makes sure that what is shown of a sale may be told.
///
/// # Errors
/// `unavailable` when this node cannot read all that others have written about it.
pub(crate) fn readable(sale: &SaleHandle) -> Result<(), Failure> {
    if sale.is_readable() { Ok(()) } else { Err(Failure::Unavailable) }
}

/// What is said of something that is not found: that it is not there, unless it may be in what this node
/// cannot read.
pub(crate) fn absent(directory: &Directory, problem: impl Into<Problem>) -> Problem {
    if directory.is_whole() { problem.into() } else { Failure::Unavailable.into() }
}

impl Named<'_> {
    /// The sale to join: the one that is named; else the one whose token the buyer has; else the
    /// default one; else the only one that can be joined; else the only one there is.
    ///
    /// # Errors
    /// `sale_not_found`, `performance_not_found`; `wrong_performance` when several are named that
    /// do not belong together; `date_ambiguous` and `performance_required` with `performances`.
    pub(super) fn sale(
        &self,
        directory: &Directory,
        own: Option<&Arc<SaleHandle>>,
    ) -> Result<Arc<SaleHandle>, Problem> {
        let by_sale = self.sale_id.map(|id| {
            let sale = directory.sale(id).cloned();
            sale.ok_or_else(|| absent(directory, Refusal::SaleNotFound))
        });
        let by_performance =
            self.performance_id.map(|id| find_performance(directory, id).map(|l| l.sale.clone()));
        let named = match (by_sale.transpose()?, by_performance.transpose()?) {
            (Some(sale), Some(other)) if sale.id() != other.id() => {
                return Err(Refusal::WrongPerformance.into());
            }
            (sale, performance) => sale.or(performance),
        };
        let sale = match (self.date, named) {
            (Some(date), named) => on_date(directory, parse_date(date)?, named.as_ref(), own)?,
            (None, Some(sale)) => sale,
            (None, None) => own.cloned().map_or_else(|| unnamed(directory), Ok)?,
        };
        readable(&sale)?;
        Ok(sale)
    }

    /// The performance of a sale's that seats are wanted for: the one that is named, or the only
    /// one there is.
    ///
    /// # Errors
    /// `performance_required` with `performances`, `wrong_performance`, `performance_not_found`.
    pub(super) fn performance_of(
        &self,
        directory: &Directory,
        sale: &SaleHandle,
        desk: &Desk,
    ) -> Result<u16, Problem> {
        let performances = &desk.hall().plan().performances;
        let date = self.date.map(parse_date).transpose()?;
        if let Some(id) = self.performance_id {
            let listed = find_performance(directory, id)?;
            let performance = &performances.get(usize::from(listed.performance));
            let of_sale = listed.sale.id() == sale.id();
            let on_date = |on: Date| performance.is_some_and(|performance| performance.date == on);
            return if of_sale && date.is_none_or(on_date) {
                Ok(listed.performance)
            } else {
                Err(Refusal::WrongPerformance.into())
            };
        }
        let wanted =
            |number: &u16| date.is_none_or(|date| performances[usize::from(*number)].date == date);
        let mut numbers = (0..).take(performances.len()).filter(wanted);
        match (numbers.next(), numbers.next(), date) {
            (Some(only), None, _) => Ok(only),
            (Some(_), Some(_), _) => {
                let listed = directory.performances().filter(|l| l.sale.id() == sale.id());
                Err(which_of(Refusal::PerformanceRequired.into(), listed))
            }
            (None, _, Some(date)) if !directory.on(date).is_empty() => {
                Err(Refusal::WrongPerformance.into())
            }
            (None, ..) => Err(Edge::PerformanceNotFound.into()),
        }
    }

    /// The performance on a date that is asked about: of several the one that is named, or else the
    /// only one of the sale whose token the buyer has.
    ///
    /// # Errors
    /// `performance_not_found`; `date_ambiguous` with `performances`.
    pub(super) fn performance_on<'d>(
        &self,
        directory: &'d Directory,
        date: Date,
        own: Option<&Arc<SaleHandle>>,
    ) -> Result<&'d Listed, Problem> {
        let on_date = directory.on(date);
        if let Some(id) = self.performance_id {
            let listed = find_performance(directory, id)?;
            let same = |other: &&Listed| {
                other.sale.id() == listed.sale.id() && other.performance == listed.performance
            };
            return on_date.iter().find(same).ok_or(Edge::PerformanceNotFound.into());
        }
        let of_own = |listed: &&Listed| own.is_some_and(|own| listed.sale.id() == own.id());
        let mut owns = on_date.iter().filter(of_own);
        let listed = match (on_date, owns.next(), owns.next()) {
            ([], ..) => return Err(absent(directory, Edge::PerformanceNotFound)),
            ([only], ..) => only,
            (_, Some(only), None) => only,
            (several, ..) => return Err(which_of(Edge::DateAmbiguous.into(), several)),
        };
        readable(&listed.sale)?;
        Ok(listed)
    }
}

/// The sale to join on a date.
fn on_date(
    directory: &Directory,
    date: Date,
    named: Option<&Arc<SaleHandle>>,
    own: Option<&Arc<SaleHandle>>,
) -> Result<Arc<SaleHandle>, Problem> {
    let listed = directory.on(date);
    let has = |sale: &Arc<SaleHandle>| listed.iter().any(|l| l.sale.id() == sale.id());
    let Some(first) = listed.first() else {
        return Err(absent(directory, Edge::PerformanceNotFound));
    };
    match (named, own) {
        (Some(named), _) if has(named) => Ok(named.clone()),
        (Some(_), _) => Err(Refusal::WrongPerformance.into()),
        (None, Some(own)) if has(own) => Ok(own.clone()),
        (None, _) if listed.iter().all(|l| l.sale.id() == first.sale.id()) => {
            Ok(first.sale.clone())
        }
        (None, _) => Err(which_of(Edge::DateAmbiguous.into(), listed)),
    }
}

/// The sale to join for somebody who names none.
fn unnamed(directory: &Directory) -> Result<Arc<SaleHandle>, Problem> {
    if let Some(sale) = directory.default_sale() {
        return Ok(sale.clone());
    }
    let only =
        |sales: &mut dyn Iterator<Item = &Arc<SaleHandle>>| match (sales.next(), sales.next()) {
            (Some(only), None) => Some(only.clone()),
            (Some(_), Some(_)) | (None, _) => None,
        };
    let on = only(&mut directory.sales().filter(|sale| sale.publication().sale.joinable()));
    let chosen = on.or_else(|| only(&mut directory.sales()));
    let none = directory.sales().next().is_none();
    chosen.ok_or_else(|| {
        if none {
            return absent(directory, Refusal::SaleNotFound);
        }
        which_of(Refusal::PerformanceRequired.into(), directory.performances())
    })
}

/// A problem that lists what could have been meant.
fn which_of<'d>(problem: Problem, listed: impl IntoIterator<Item = &'d Listed>) -> Problem {
    let choices = listed.into_iter().take(CHOICES_MAX).filter_map(choice).collect();
    problem.tell(|fields| fields.performances = Some(choices))
}

fn choice(listed: &Listed) -> Option<PerformanceChoice> {
    let publication = listed.sale.publication();
    let plan = publication.sale.hall()?.plan();
    let performance = plan.performances.get(usize::from(listed.performance))?;
    Some(PerformanceChoice {
        performance_id: performance.id.to_string(),
        sale_id: listed.sale.id().to_string(),
        title: performance.title.to_string(),
        date: performance.date.to_string(),
        starts_at: Utc(performance.starts_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_one_spelling() {
        assert_eq!(parse_date("2026-05-01").unwrap(), Date::constant(2026, 5, 1));
        assert_eq!(parse_date("2028-02-29").unwrap(), Date::constant(2028, 2, 29));
        let bad = [
            "",
            "today",
            "20260501",
            "2026-5-1",
            "2026-05-01T00",
            "2026-13-01",
            "2027-02-29",
            "2026-00-10",
            "+026-05-01",
            "２026-05",
            "2026-05-0١",
        ];
        for text in bad {
            assert!(parse_date(text).is_err(), "{text}");
        }
    }
}
