//! Which seats of a sale changed hands: found once a second, written once, and sent to all who choose.
//!
//! Two states of the seats share the pages that did not change, so only the others are compared. What
//! was found in the last seconds is kept: whoever begins to follow gets that first, for the
//! availability that was loaded meanwhile may be as old; and whoever is further behind is told to
//! load it anew (`reset`), as all are when the plan is another.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use domain::id::SeatIndex;
use domain::plan::Hall;
use domain::sale::Sale;
use domain::seats::{PAGE_SEATS, SeatState, Seats};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer::to_json;
use super::text::{Kind, write_event};

/// Seconds with changes that are kept.
const KEPT: usize = 8;
/// With so many of them whoever follows anew begins: availability is two seconds old at the most.
const REPEATED: u64 = 4;
/// Bytes of one second's events; beyond that, loading everything anew is less.
const BYTES_MAX: usize = 64 * 1024;

/// Seats that changed hands: the data of the event `seats`.
#[derive(Serialize, ToSchema)]
#[schema(as = SeatsEvent, examples(json!({
    "performance_id": "demo-hall-1", "since": 40, "as_of": 42, "taken": ["A1", "A2"], "free": ["C7"],
})))]
pub(in crate::http) struct SeatsBody<'a> {
    /// Which performance.
    performance_id: &'a str,
    /// From which state on. An availability that is older than this has missed something, and is
    /// loaded again.
    since: u64,
    /// Up to which state. An availability that is as new knows of these changes already.
    as_of: u64,
    /// Seats that are not free any more.
    taken: Vec<&'a str>,
    /// Seats that became free.
    free: Vec<&'a str>,
}

/// What is known of the seats is too old: the data of the event `seats`, too.
#[derive(Serialize, ToSchema)]
#[schema(as = SeatsResetEvent, examples(json!({"performance_id": "demo-hall-1", "reset": true})))]
pub(in crate::http) struct ResetBody<'a> {
    /// Which performance.
    performance_id: &'a str,
    /// Always true: load the availability, and the plan where its version is another.
    reset: bool,
}

/// What changed in the seats of one sale of late.
#[derive(Debug)]
pub(super) struct SeatChanges {
    hall: Arc<Hall>,
    seats: Seats,
    /// For each performance, the batch after which its seats changed last, as far as is known.
    changed_at: Vec<u64>,
    /// Counts the seconds with changes.
    newest: u64,
    /// The events of the last of them.
    kept: VecDeque<Bytes>,
}

impl SeatChanges {
    /// Begins with the seats as they are after the batch `as_of`.
    ///
    /// # Panics
    /// When the sale is not scheduled, and so has no seats.
    pub(super) fn new(sale: &Sale, as_of: u64) -> Self {
        let hall = Arc::clone(sale.hall().expect("only scheduled sales have buyers"));
        Self {
            seats: sale.seats().clone(),
            changed_at: vec![as_of; hall.plan().performances.len()],
            hall,
            newest: 0,
            kept: VecDeque::with_capacity(KEPT),
        }
    }

    /// The number of the newest change.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// After which change somebody begins who follows from now on.
    pub(super) fn beginning(&self) -> u64 {
        self.newest - REPEATED.min(self.kept.len() as u64)
    }

    /// Compares the seats with those of the last time. To be called once a second.
    pub(super) fn note(&mut self, sale: &Sale, as_of: u64) {
        let Some(hall) = sale.hall() else { return };
        if !Arc::ptr_eq(hall, &self.hall) {
            // Seats may have other numbers, performances other seats.
            let kept = std::mem::take(&mut self.kept);
            *self = Self { newest: self.newest, kept, ..Self::new(sale, as_of) };
            self.keep(resets(&self.hall, as_of));
            return;
        }
        let mut text = Vec::new();
        for (number, changed_at) in (0..).zip(&mut self.changed_at) {
            let (taken, free) = changes(&self.hall, number, &self.seats, sale.seats());
            if taken.is_empty() && free.is_empty() {
                continue;
            }
            let performance_id = self.hall.plan().performances[usize::from(number)].id.as_str();
            let since = std::mem::replace(changed_at, as_of);
            let body = SeatsBody { performance_id, since, as_of, taken, free };
            write_event(&mut text, Kind::Seats, as_of, &to_json(&body));
        }
        self.seats = sale.seats().clone();
        if text.len() > BYTES_MAX {
            self.keep(resets(&self.hall, as_of));
        } else if !text.is_empty() {
            self.keep(text.into());
        }
    }

    fn keep(&mut self, events: Bytes) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(events);
        self.newest += 1;
    }

    /// The events of all changes after the one of this number, if there are any; `as_of` is the batch
    /// by which they are called where they are too many.
    pub(super) fn after(&self, told: u64, as_of: u64) -> Option<Bytes> {
        let behind = usize::try_from(self.newest.saturating_sub(told)).unwrap_or(usize::MAX);
        match behind {
            0 => None,
            1 => self.kept.back().cloned(),
            _ if behind > self.kept.len() => Some(resets(&self.hall, as_of)),
            _ => {
                let missed = self.kept.range(self.kept.len() - behind..);
                Some(missed.flatten().copied().collect())
            }
        }
    }
}

/// For each performance, that everything about its seats is to be loaded anew.
fn resets(hall: &Hall, as_of: u64) -> Bytes {
    let mut text = Vec::new();
    for performance in &hall.plan().performances {
        let body = ResetBody { performance_id: performance.id.as_str(), reset: true };
        write_event(&mut text, Kind::Seats, as_of, &to_json(&body));
    }
    text.into()
}

/// The seats of a performance that were free and are not, and those that were not and are.
fn changes<'h>(
    hall: &'h Hall,
    performance: u16,
    before: &Seats,
    after: &Seats,
) -> (Vec<&'h str>, Vec<&'h str>) {
    let (mut taken, mut free) = (Vec::new(), Vec::new());
    for page in pages(hall.seats_of(performance)) {
        if before.same_page(after, SeatIndex(page.start)) {
            continue;
        }
        for seat in page.map(SeatIndex) {
            let is_free = |seats: &Seats| seats.state(seat) == SeatState::Free;
            match (is_free(before), is_free(after)) {
                (true, false) => taken.push(&*hall.seats()[seat.at()].number),
                (false, true) => free.push(&*hall.seats()[seat.at()].number),
                (true, true) | (false, false) => {}
            }
        }
    }
    (taken, free)
}

/// Cuts seats where a page ends.
fn pages(seats: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let mut next = seats.start;
    std::iter::from_fn(move || {
        let first = next;
        let page_end = SeatIndex::after((SeatIndex(first).at() / PAGE_SEATS + 1) * PAGE_SEATS);
        next = page_end.0.min(seats.end);
        (first < next).then_some(first..next)
    })
}

#[cfg(test)]
mod tests {
    use domain::command::Command;
    use serde_json::{Value, json};

    use super::super::super::fixture::{LARGE, SMALL, execute, open, performance, withhold};
    use super::*;

    fn sale() -> (Sale, Arc<Hall>) {
        let performances =
            vec![performance("one", "2026-05-01", SMALL), performance("two", "2026-05-02", LARGE)];
        let sale = open(performances);
        let hall = sale.hall().unwrap().clone();
        (sale, hall)
    }

    fn release(sale: &mut Sale, seats: impl IntoIterator<Item = u32>) {
        let seats = seats.into_iter().map(SeatIndex).collect();
        execute(sale, &Command::Release { seats });
    }

    fn data(events: &Bytes) -> Vec<Value> {
        let text = std::str::from_utf8(events).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.map(|json| serde_json::from_str(json).unwrap()).collect()
    }

    #[test]
    fn what_changed_in_each_performance_is_said_once() {
        let (mut sale, hall) = sale();
        let second = hall.seats_of(1).start;
        withhold(&mut sale, [3]);
        let mut changes = SeatChanges::new(&sale, 1);
        withhold(&mut sale, [0, second, second + 300]);
        release(&mut sale, [3]);
        changes.note(&sale, 5);
        let expected = [
            json!({ "performance_id": "one", "since": 1, "as_of": 5, "taken": ["A1"], "free": ["A4"] }),
            json!({ "performance_id": "two", "since": 1, "as_of": 5, "taken": ["A1", "J4"], "free": [] }),
        ];
        let events = changes.after(0, 5).unwrap();
        assert_eq!(data(&events), expected);
        assert!(events.starts_with(b"event: seats\nid: 5\ndata: {"));
        assert_eq!(changes.after(1, 5), None);
        // A second in which nothing of the seats changed says nothing.
        changes.note(&sale, 9);
        assert_eq!((changes.newest(), changes.after(1, 9)), (1, None));
        withhold(&mut sale, [1]);
        changes.note(&sale, 12);
        let expected = json!({ "performance_id": "one", "since": 5, "as_of": 12, "taken": ["A2"], "free": [] });
        assert_eq!(data(&changes.after(1, 12).unwrap()), [expected]);
        assert_eq!(data(&changes.after(0, 12).unwrap()).len(), 3, "what was missed, in order");
    }

    #[test]
    fn all_who_listen_share_the_same_bytes() {
        let (mut sale, _) = sale();
        let mut changes = SeatChanges::new(&sale, 1);
        withhold(&mut sale, [0]);
        changes.note(&sale, 2);
        let [one, other] = [(); 2].map(|()| changes.after(0, 2).unwrap());
        assert_eq!(one.as_ptr(), other.as_ptr());
    }

    #[test]
    fn who_is_too_far_behind_is_told_to_load_anew() {
        let (mut sale, _) = sale();
        let mut changes = SeatChanges::new(&sale, 0);
        assert_eq!(changes.beginning(), 0);
        for seat in 0..20_u32 {
            withhold(&mut sale, [seat]);
            changes.note(&sale, u64::from(seat) + 1);
        }
        assert_eq!((changes.newest(), changes.beginning()), (20, 16));
        assert_eq!(data(&changes.after(16, 20).unwrap()).len(), 4);
        assert_eq!(data(&changes.after(12, 20).unwrap()).len(), 8);
        let resets = [
            json!({ "performance_id": "one", "reset": true }),
            json!({ "performance_id": "two", "reset": true }),
        ];
        assert_eq!(data(&changes.after(11, 20).unwrap()), resets);
    }

    #[test]
    fn another_plan_and_too_many_changes_are_a_reset() {
        let (mut sale, hall) = sale();
        let mut changes = SeatChanges::new(&sale, 1);
        withhold(&mut sale, [0]);
        changes.note(&sale, 2);
        let other = open(vec![performance("other", "2026-05-01", SMALL)]);
        changes.note(&other, 3);
        assert_eq!(
            data(&changes.after(1, 3).unwrap()),
            [json!({ "performance_id": "other", "reset": true })]
        );
        changes.note(&other, 4);
        assert_eq!(changes.newest(), 2);

        let many = vec![performance("many", "2026-05-01", &[("1층", 0, 26, 600)])];
        let mut many = open(many);
        let mut changes = SeatChanges::new(&many, 1);
        let all: Vec<u32> = many.hall().unwrap().seats_of(0).collect();
        withhold(&mut many, all);
        changes.note(&many, 2);
        assert_eq!(
            data(&changes.after(0, 2).unwrap()),
            [json!({ "performance_id": "many", "reset": true })]
        );
        drop(hall);
    }

    #[test]
    fn pages_are_cut_where_they_end() {
        let page = u32::try_from(PAGE_SEATS).unwrap();
        let cut: Vec<_> = pages(5..2 * page + 1).collect();
        assert_eq!(cut, [5..page, page..2 * page, 2 * page..2 * page + 1]);
        assert_eq!(pages(3..3).count(), 0);
    }
}
