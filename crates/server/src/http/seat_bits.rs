//! Which seats of a performance are free, a bit each: what a map of the hall asks for again and again.
//!
//! Everybody may ask, so that caches between us and a crowd can share the answer; and it is the same
//! for all, so it is written once a second at most, and only when somebody asks. Readers of one that
//! is new enough take no lock; of those who find it too old, one writes and the others wait for that:
//! less than a millisecond for 50,000 seats.
//!
//! Deliberately absent: why a seat is not free, and whose it is.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::id::SeatIndex;
use domain::plan::Hall;
use domain::sale::Sale;
use domain::seats::{SeatState, Seats};
use domain::time::{Millis, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::answer::to_json;
use super::document::{Document, version_of};
use super::words::state_word;

/// How long what was written is new enough.
const GOOD_FOR: Millis = 1_000;

/// Which seats of a performance are free.
#[derive(Serialize, ToSchema)]
#[schema(as = HallAvailability, examples(json!({
    "performance_id": "demo-hall-1",
    "plan": "1f0e3dad99908345f7439f8ffabdffc4",
    "state": "open",
    "as_of": 42,
    "available_count": 75,
    "sections": [{ "name": "1층", "available_count": 75, "free": "////////////Bw==" }],
})))]
pub(super) struct SeatBitsBody<'a> {
    /// Which performance.
    performance_id: &'a str,
    /// The version of the plan that the bits belong to.
    #[schema(min_length = 32, max_length = 32)]
    plan: &'a str,
    /// `scheduled`, `open`, `paused`, `closed` or `sold_out`.
    #[schema(examples("open"))]
    state: &'static str,
    /// The number of the state that was read: it only grows.
    as_of: u64,
    /// How many seats are free.
    available_count: u32,
    /// The parts of the hall, in plan order.
    sections: Vec<SectionBits<'a>>,
}

/// Which seats of a section are free.
#[derive(Serialize, ToSchema)]
#[schema(as = SectionAvailability)]
struct SectionBits<'a> {
    /// As people see it.
    name: &'a str,
    /// How many seats are free.
    available_count: u32,
    /// A bit for each seat in plan order (row by row), the least significant bit of each byte first;
    /// 1 for a free one. In base64.
    #[schema(content_encoding = "base64")]
    free: String,
}

/// Which seats of one performance are free, as it was last written.
pub(super) struct SeatBits {
    performance: u16,
    /// The seats of each section.
    sections: Vec<Range<u32>>,
    newest: ArcSwapOption<Written>,
    writing: Mutex<()>,
}

/// Which seats are free at one moment.
pub(super) struct Written {
    /// The batch after which it is so.
    as_of: u64,
    /// When that was looked up.
    at: Timestamp,
    /// What is said.
    pub(super) document: Document,
}

impl SeatBits {
    /// Nothing is written yet.
    pub(super) fn new(hall: &Hall, performance: u16) -> Self {
        let mut next = hall.seats_of(performance).start;
        let sections = hall.plan().performances[usize::from(performance)].sections.iter();
        let sections = sections.map(|section| {
            let seats: usize = section.rows.iter().map(|row| row.seats.len()).sum();
            let first = next;
            next = SeatIndex::after(first as usize + seats).0;
            first..next
        });
        Self {
            performance,
            sections: sections.collect(),
            newest: ArcSwapOption::empty(),
            writing: Mutex::new(()),
        }
    }

    /// What is so in a sale after the batch `as_of`, or what was written of it in the second before
    /// `now`. `plan` is the version of the hall's plan.
    pub(super) fn newest(
        &self,
        hall: &Hall,
        plan: &str,
        (sale, as_of): (&Sale, u64),
        now: Timestamp,
    ) -> Arc<Written> {
        let is_good =
            |written: &Arc<Written>| written.as_of >= as_of || now.since(written.at) < GOOD_FOR;
        let good = || self.newest.load_full().filter(is_good);
        if let Some(written) = good() {
            return written;
        }
        let _writing = self.writing.lock().expect("writing bits does not panic");
        // Somebody else may have written them meanwhile.
        if let Some(written) = good() {
            return written;
        }
        let document = self.write(hall, plan, sale, as_of);
        let written = Arc::new(Written { as_of, at: now, document });
        self.newest.store(Some(Arc::clone(&written)));
        written
    }

    fn write(&self, hall: &Hall, plan: &str, sale: &Sale, as_of: u64) -> Document {
        let performance = &hall.plan().performances[usize::from(self.performance)];
        let counts = sale.seats().counts_of(self.performance);
        let state = state_word(sale.phase(), counts);
        let mut said = Sha256::new_with_prefix(plan);
        said.update(state);
        let sections = performance.sections.iter().zip(&self.sections).map(|(section, seats)| {
            let (bits, available_count) = bits(sale.seats(), seats.clone());
            said.update(&bits);
            SectionBits { name: &section.name, available_count, free: STANDARD.encode(bits) }
        });
        let body = SeatBitsBody {
            performance_id: performance.id.as_str(),
            plan,
            state,
            as_of,
            available_count: counts.free,
            sections: sections.collect(),
        };
        Document::saying(&version_of(&said.finalize()), to_json(&body))
    }
}

/// A bit for each of these seats, and how many are 1.
fn bits(seats: &Seats, range: Range<u32>) -> (Vec<u8>, u32) {
    let mut bits = vec![0; range.len().div_ceil(8)];
    let mut count = 0;
    for (at, seat) in range.enumerate() {
        if seats.state(SeatIndex(seat)) == SeatState::Free {
            bits[at / 8] |= 1 << (at % 8);
            count += 1;
        }
    }
    (bits, count)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use super::super::fixture::{LARGE, SMALL, START, open, performance, withhold};
    use super::*;

    const PLAN: &str = "1f0e3dad99908345f7439f8ffabdffc4";

    fn sale() -> (Sale, Arc<Hall>) {
        let performances =
            vec![performance("one", "2026-05-01", SMALL), performance("two", "2026-05-02", LARGE)];
        let sale = open(performances);
        let hall = sale.hall().unwrap().clone();
        (sale, hall)
    }

    fn said(written: &Written) -> Value {
        serde_json::from_slice(written.document.body()).unwrap()
    }

    fn tag(written: &Written) -> HeaderValue {
        let json = HeaderValue::from_static("application/json");
        let answer = written.document.answer(&HeaderMap::new(), json.clone(), json);
        answer.headers()["etag"].clone()
    }

    fn after(ms: u64) -> Timestamp {
        Timestamp(START.0 + ms)
    }

    #[test]
    fn a_bit_says_whether_a_seat_is_free() {
        let (mut sale, hall) = sale();
        let first = hall.seats_of(1).start;
        // The second seat of the first section, and the first and the last of the second.
        let second = first + 20 * 33;
        withhold(&mut sale, [first + 1, second, second + 399]);
        let bits = SeatBits::new(&hall, 1);
        let written = said(&bits.newest(&hall, PLAN, (&sale, 7), START));
        let expected = json!({
            "performance_id": "two", "plan": PLAN, "state": "open", "as_of": 7,
            "available_count": 20 * 33 + 10 * 40 - 3,
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&written[field], value, "{field}");
        }
        let sections = written["sections"].as_array().unwrap();
        let free = |section: &Value| STANDARD.decode(section["free"].as_str().unwrap()).unwrap();
        let (floor, above) = (free(&sections[0]), free(&sections[1]));
        assert_eq!(sections[0]["name"], "1F \"floor\"");
        assert_eq!((&sections[0]["available_count"], floor.len()), (&json!(659), 83));
        assert_eq!((floor[0], floor[1], floor[82]), (0b1111_1101, 0xff, 0b1111));
        assert_eq!((&sections[1]["available_count"], above.len()), (&json!(398), 50));
        assert_eq!((above[0], above[1], above[49]), (0b1111_1110, 0xff, 0b0111_1111));
    }

    #[test]
    fn ten_thousand_who_ask_cost_one_writing_a_second_and_none_who_do_not() {
        let (mut sale, hall) = sale();
        let bits = SeatBits::new(&hall, 1);
        let first = hall.seats_of(1).start;
        let mut written: Vec<Arc<Written>> = Vec::new();
        // Three seconds, and in each of their milliseconds the sale changes and some ask.
        for ms in 0..3_000_u64 {
            if ms % 10 == 0 {
                withhold(&mut sale, [first + u32::try_from(ms / 10).unwrap()]);
            }
            for _ in 0..4 {
                let newest = bits.newest(&hall, PLAN, (&sale, 1 + ms / 10), after(ms));
                assert!(after(ms).since(newest.at) < GOOD_FOR, "{ms}: a second old at the most");
                if !written.iter().any(|known| Arc::ptr_eq(known, &newest)) {
                    written.push(newest);
                }
            }
        }
        let at: Vec<Millis> = written.iter().map(|written| written.at.since(START)).collect();
        assert_eq!(at, [0, 1_000, 2_000]);
        // Where nothing has happened since, what was written is still true an hour later.
        let newest = bits.newest(&hall, PLAN, (&sale, written[2].as_of), after(3_600_000));
        assert!(Arc::ptr_eq(&newest, &written[2]));
    }

    #[test]
    fn many_who_find_it_too_old_at_once_share_one() {
        let (sale, hall) = sale();
        let bits = SeatBits::new(&hall, 1);
        let old = bits.newest(&hall, PLAN, (&sale, 1), START);
        let all: Vec<_> = std::thread::scope(|scope| {
            let reader = || bits.newest(&hall, PLAN, (&sale, 2), after(1_000));
            let readers: Vec<_> = (0..16).map(|_| scope.spawn(reader)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| Arc::ptr_eq(one, &all[0]) && !Arc::ptr_eq(one, &old)));
    }

    #[test]
    fn the_tag_is_of_what_is_said_and_not_of_when() {
        let (mut sale, hall) = sale();
        let bits = SeatBits::new(&hall, 0);
        let first = bits.newest(&hall, PLAN, (&sale, 1), START);
        // Something happened elsewhere.
        withhold(&mut sale, [hall.seats_of(1).start]);
        let same = bits.newest(&hall, PLAN, (&sale, 2), after(1_000));
        assert_eq!((said(&same)["as_of"].clone(), tag(&same)), (json!(2), tag(&first)));
        assert!(tag(&same).as_bytes().starts_with(b"W/\""));
        withhold(&mut sale, [hall.seats_of(0).start]);
        let other = bits.newest(&hall, PLAN, (&sale, 3), after(2_000));
        assert_ne!(tag(&other), tag(&same));
        let replanned = SeatBits::new(&hall, 0);
        let of_another = replanned.newest(&hall, "other", (&sale, 3), after(2_000));
        assert_ne!(tag(&of_another), tag(&other));
    }
}
