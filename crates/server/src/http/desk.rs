//! What is prepared for each sale when it is first asked for, because its plan hardly ever changes,
//! and anew when it does: texts that many answers contain, the plan as people draw it, the free seats
//! as a list and as bits.

use std::fmt::Write;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwapOption, Guard};
use domain::Sale;
use domain::catalogue::SALES_MAX;
use domain::plan::{Hall, Performance};
use engine::{Publication, SaleHandle};
use tokio::sync::OnceCell;

use super::plan::DrawnPlan;
use super::seat_bits::SeatBits;
use super::seat_list::SeatBoard;

/// The desks of all sales, by the number of their stream.
pub(super) struct Desks {
    desks: Box<[ArcSwapOption<Desk>]>,
    preparing: Mutex<()>,
}

/// A desk that is looked at.
pub(super) struct DeskGuard(Guard<Option<Arc<Desk>>>);

impl DeskGuard {
    /// The desk, to be kept while something else is waited for.
    pub(super) fn kept(self) -> Arc<Desk> {
        Guard::into_inner(self.0).expect("a desk that was prepared")
    }
}

impl Deref for DeskGuard {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        self.0.as_ref().expect("a desk that was prepared")
    }
}

/// What is prepared for one sale.
pub(super) struct Desk {
    hall: Arc<Hall>,
    performances: Vec<PerformanceDesk>,
}

/// What is prepared for one performance.
pub(super) struct PerformanceDesk {
    /// The local date at the venue: `2026-05-01`.
    pub(super) date: String,
    /// Where its free seats are listed.
    pub(super) reservations_url: String,
    /// The lowest price of its seats.
    pub(super) price_from: u64,
    /// Its free seats.
    pub(super) board: SeatBoard,
    /// The same in bits, for everybody.
    pub(super) bits: SeatBits,
    plan: OnceCell<DrawnPlan>,
}

impl Default for Desks {
    fn default() -> Self {
        let desks = (0..=SALES_MAX).map(|_| ArcSwapOption::empty()).collect();
        Self { desks, preparing: Mutex::new(()) }
    }
}

impl Desks {
    /// The desk of a sale, for its hall as it is published.
    pub(super) fn of(&self, handle: &SaleHandle, publication: &Publication) -> DeskGuard {
        let stream = usize::try_from(handle.stream()).expect("streams are counted from 1");
        let slot = self.desks.get(stream).expect("the catalogue keeps to its limit");
        let hall = publication.sale.hall().expect("the directory lists scheduled sales only");
        let prepared = || {
            let desk = slot.load();
            let fits = desk.as_ref().is_some_and(|desk| Arc::ptr_eq(&desk.hall, hall));
            fits.then_some(DeskGuard(desk))
        };
        if let Some(desk) = prepared() {
            return desk;
        }
        let _preparing = self.preparing.lock().expect("preparing a desk does not panic");
        // Somebody else may have prepared it meanwhile.
        if let Some(desk) = prepared() {
            return desk;
        }
        let desk = Some(Arc::new(Desk::new(hall.clone())));
        slot.store(desk.clone());
        DeskGuard(Guard::from_inner(desk))
    }
}

impl Desk {
    fn new(hall: Arc<Hall>) -> Self {
        let performances = (0..)
            .zip(&hall.plan().performances)
            .map(|(number, performance)| PerformanceDesk::new(&hall, number, performance))
            .collect();
        Self { hall, performances }
    }

    /// The sale's hall.
    pub(super) fn hall(&self) -> &Arc<Hall> {
        &self.hall
    }

    /// What is prepared for a performance of the sale.
    pub(super) fn performance(&self, number: u16) -> &PerformanceDesk {
        &self.performances[usize::from(number)]
    }

    /// The plan of a performance as people draw it. Drawn when it is first asked for, on a thread that
    /// may take its time, for it is megabytes; who asks meanwhile waits.
    pub(super) async fn plan(&self, number: u16) -> &DrawnPlan {
        let hall = Arc::clone(&self.hall);
        let draw = || async move {
            let drawing = tokio::task::spawn_blocking(move || DrawnPlan::new(&hall, number));
            drawing.await.expect("drawing a plan does not panic")
        };
        self.performance(number).plan.get_or_init(draw).await
    }

    /// Where somebody whose turn it is finds free seats: those of the first performance that has
    /// any.
    pub(super) fn reservations_url(&self, sale: &Sale) -> &str {
        let numbers = (0..).zip(&self.performances);
        let first_free = numbers.filter(|(number, _)| sale.seats().counts_of(*number).free > 0);
        let (_, performance) = first_free
            .chain((0..).zip(&self.performances))
            .next()
            .expect("a sale has a performance");
        &performance.reservations_url
    }
}

impl PerformanceDesk {
    fn new(hall: &Arc<Hall>, number: u16, performance: &Performance) -> Self {
        let date = performance.date.to_string();
        let on_that_date =
            hall.plan().performances.iter().filter(|other| other.date == performance.date).count();
        let mut reservations_url = format!("/reservations/{date}");
        if on_that_date > 1 {
            write!(reservations_url, "?performance_id={}", performance.id)
                .expect("memory is enough");
        }
        let seats = hall.seats_of(number);
        let prices = seats.map(|seat| hall.seats()[seat as usize].price.0);
        Self {
            date,
            reservations_url,
            price_from: prices.min().expect("a performance has a seat"),
            board: SeatBoard::new(hall, number),
            bits: SeatBits::new(hall, number),
            plan: OnceCell::new(),
        }
    }
}
