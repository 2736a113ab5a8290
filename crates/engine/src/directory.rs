//! Which sales and performances there are, for readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::id::{PerformanceId, SaleId};
use jiff::civil::Date;

use crate::handle::SaleHandle;

/// A performance with the sale it belongs to.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The sale.
    pub sale: Arc<SaleHandle>,
    /// The performance's number in the sale's plan.
    pub performance: u16,
}

/// All sales that are scheduled.
#[derive(Debug, Default)]
pub struct Directory {
    /// Something that was written about sales cannot be read here.
    lacks: bool,
    sales: BTreeMap<SaleId, Arc<SaleHandle>>,
    default: Option<Arc<SaleHandle>>,
    by_id: BTreeMap<PerformanceId, Listed>,
    by_date: BTreeMap<Date, Vec<Listed>>,
}

impl Directory {
    /// A directory of these sales; the marked ones are joined by those who name none, the first of
    /// them if there are several.
    ///
    /// `lacks` says that the catalogue cannot be read to its end.
    pub(crate) fn of(
        sales: impl IntoIterator<Item = (Arc<SaleHandle>, bool)>,
        lacks: bool,
    ) -> Self {
        let mut directory = Self { lacks, ..Self::default() };
        for (sale, default) in sales {
            let publication = sale.publication();
            directory.lacks |= !sale.is_readable();
            let hall = publication.sale.hall();
            if hall.is_none() && sale.is_readable() {
                continue;
            }
            let performances = hall.into_iter().flat_map(|hall| &hall.plan().performances);
            for (number, performance) in (0..).zip(performances) {
                let listed = Listed { sale: sale.clone(), performance: number };
                directory.by_id.insert(performance.id.clone(), listed.clone());
                directory.by_date.entry(performance.date).or_default().push(listed);
            }
            if default && directory.default.is_none() {
                directory.default = Some(sale.clone());
            }
            directory.sales.insert(sale.id().clone(), sale.clone());
        }
        directory
    }

    /// Whether what is not in here is not there. It may be where this program cannot read all that others
    /// have written: a sale ([`SaleHandle::is_readable`]), or which sales there are.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.lacks
    }

    /// All sales, by name.
    pub fn sales(&self) -> impl Iterator<Item = &Arc<SaleHandle>> {
        self.sales.values()
    }

    /// A sale by its name.
    #[must_use]
    pub fn sale(&self, name: &str) -> Option<&Arc<SaleHandle>> {
        self.sales.get(name)
    }

    /// The sale that is joined by those who name none.
    #[must_use]
    pub fn default_sale(&self) -> Option<&Arc<SaleHandle>> {
        self.default.as_ref()
    }

    /// All performances, by date.
    pub fn performances(&self) -> impl Iterator<Item = &Listed> {
        self.by_date.values().flatten()
    }

    /// A performance by its name.
    #[must_use]
    pub fn performance(&self, name: &str) -> Option<&Listed> {
        self.by_id.get(name)
    }

    /// The performances on a date.
    #[must_use]
    pub fn on(&self, date: Date) -> &[Listed] {
        self.by_date.get(&date).map_or(&[], Vec::as_slice)
    }
}
