//! Which sales there are, and which performances belong to which: a stream of its own.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::id::{PerformanceId, SaleId};
use crate::refusal::Refusal;

/// What has happened to the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CatalogueEvent {
    /// A sale was added; its own stream says the rest.
    #[n(1)]
    SaleAdded(#[n(0)] Listing),
    /// More performances belong to a sale, whose own stream says the rest.
    #[n(2)]
    PerformancesAdded {
        /// Which sale.
        #[n(0)]
        sale: SaleId,
        /// Those that are new.
        #[n(1)]
        performances: Vec<PerformanceId>,
    },
}

/// A sale in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Listing {
    /// Its name.
    #[n(0)]
    pub sale: SaleId,
    /// The number of its stream in the journal; 0 is the catalogue's own.
    #[n(1)]
    pub stream: u32,
    /// Its performances, those included that it once had or was to have: nobody else gets their names.
    #[n(2)]
    pub performances: Vec<PerformanceId>,
    /// Whether a buyer who names none joins this one.
    #[n(3)]
    pub default: bool,
}

/// Sales of one store, at most.
pub const SALES_MAX: usize = 1_000;

/// All sales of a store, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    listings: Arc<Vec<Listing>>,
}

impl Catalogue {
    /// All sales.
    #[must_use]
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// One sale by its name.
    #[must_use]
    pub fn find(&self, sale: &SaleId) -> Option<&Listing> {
        self.listings.iter().find(|listing| listing.sale == *sale)
    }

    /// Decides to add a sale; nothing happens when it stands there as it is.
    ///
    /// # Errors
    /// [`Refusal::SaleExists`] when the name, or a performance's, belongs to another, or when there
    /// are [`SALES_MAX`] sales.
    pub fn decide_add(
        &self,
        sale: &SaleId,
        performances: &[PerformanceId],
        default: bool,
    ) -> Result<Option<CatalogueEvent>, Refusal> {
        if let Some(listing) = self.find(sale) {
            let same = listing.performances == performances;
            return if same { Ok(None) } else { Err(Refusal::SaleExists) };
        }
        let listed = |id| self.listings.iter().any(|listing| listing.performances.contains(id));
        if performances.iter().any(listed) || self.listings.len() >= SALES_MAX {
            return Err(Refusal::SaleExists);
        }
        let stream = u32::try_from(self.listings.len() + 1).expect("few sales");
        Ok(Some(CatalogueEvent::SaleAdded(Listing {
            sale: sale.clone(),
            stream,
            performances: performances.to_vec(),
            default,
        })))
    }

    /// Decides to give a sale the names of more performances; nothing happens when it has them.
    ///
    /// # Errors
    /// [`Refusal::SaleNotFound`]; [`Refusal::SaleExists`] when a name belongs to another sale.
    pub fn decide_extend(
        &self,
        sale: &SaleId,
        performances: &[PerformanceId],
    ) -> Result<Option<CatalogueEvent>, Refusal> {
        let listing = self.find(sale).ok_or(Refusal::SaleNotFound)?;
        let mut new = performances.to_vec();
        new.retain(|id| !listing.performances.contains(id));
        let listed = |id| self.listings.iter().any(|listing| listing.performances.contains(id));
        if new.iter().any(listed) {
            return Err(Refusal::SaleExists);
        }
        if new.is_empty() {
            return Ok(None);
        }
        let sale = sale.clone();
        Ok(Some(CatalogueEvent::PerformancesAdded { sale, performances: new }))
    }

    /// Applies an event.
    pub fn evolve(&mut self, event: &CatalogueEvent) {
        match event {
            CatalogueEvent::SaleAdded(listing) => {
                Arc::make_mut(&mut self.listings).push(listing.clone());
            }
            CatalogueEvent::PerformancesAdded { sale, performances } => {
                let listings = Arc::make_mut(&mut self.listings);
                let listing = listings.iter_mut().find(|listing| listing.sale == *sale);
                let listing = listing.expect("a sale of this catalogue");
                listing.performances.extend_from_slice(performances);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(name: &str) -> SaleId {
        SaleId::parse(name).unwrap()
    }

    fn performances(names: &[&str]) -> Vec<PerformanceId> {
        names.iter().map(|name| PerformanceId::parse(name).unwrap()).collect()
    }

    fn add(catalogue: &mut Catalogue, name: &str, evenings: &[&str]) -> Result<bool, Refusal> {
        let event = catalogue.decide_add(&sale(name), &performances(evenings), false)?;
        if let Some(event) = &event {
            catalogue.evolve(event);
        }
        Ok(event.is_some())
    }

    #[test]
    fn a_name_and_a_performance_belong_to_one_sale() {
        let mut catalogue = Catalogue::default();
        assert_eq!(add(&mut catalogue, "spring", &["spring-1", "spring-2"]), Ok(true));
        assert_eq!(add(&mut catalogue, "autumn", &["autumn-1"]), Ok(true));
        assert_eq!(add(&mut catalogue, "spring", &["spring-1", "spring-2"]), Ok(false));
        assert_eq!(add(&mut catalogue, "spring", &["spring-1"]), Err(Refusal::SaleExists));
        assert_eq!(add(&mut catalogue, "winter", &["autumn-1"]), Err(Refusal::SaleExists));
        let streams: Vec<_> = catalogue.listings().iter().map(|sale| sale.stream).collect();
        assert_eq!(streams, [1, 2], "0 is the catalogue's own");
        assert_eq!(catalogue.find(&sale("autumn")).unwrap().performances.len(), 1);
        assert!(catalogue.find(&sale("winter")).is_none());
    }

    #[test]
    fn a_sale_takes_more_names_and_keeps_them() {
        let mut catalogue = Catalogue::default();
        assert_eq!(add(&mut catalogue, "spring", &["spring-1"]), Ok(true));
        assert_eq!(add(&mut catalogue, "autumn", &["autumn-1"]), Ok(true));
        let mut extend = |name: &str, evenings: &[&str]| {
            let event = catalogue.decide_extend(&sale(name), &performances(evenings))?;
            if let Some(event) = &event {
                catalogue.evolve(event);
            }
            Ok(event.is_some())
        };
        assert_eq!(extend("spring", &["spring-1", "spring-2"]), Ok(true));
        assert_eq!(extend("spring", &["spring-2"]), Ok(false), "it has it");
        assert_eq!(extend("spring", &["spring-1"]), Ok(false), "and keeps what it had");
        assert_eq!(extend("autumn", &["autumn-1", "spring-2"]), Err(Refusal::SaleExists));
        assert_eq!(extend("winter", &["winter-1"]), Err(Refusal::SaleNotFound));
        assert_eq!(add(&mut catalogue, "winter", &["spring-2"]), Err(Refusal::SaleExists));
    }

    #[test]
    fn there_is_an_end_to_how_many_sales_there_may_be() {
        let mut catalogue = Catalogue::default();
        for n in 0..SALES_MAX {
            let name = format!("sale-{n}");
            assert_eq!(add(&mut catalogue, &name, &[&format!("{name}-1")]), Ok(true));
        }
        assert_eq!(add(&mut catalogue, "one-more", &["one-more-1"]), Err(Refusal::SaleExists));
        assert_eq!(add(&mut catalogue, "sale-7", &["sale-7-1"]), Ok(false));
    }
}
