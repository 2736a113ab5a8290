//! The list of a performance's free seats, written once for everybody.
//!
//! Fifty thousand seats are megabytes of JSON, asked for by all who are admitted while a thousand
//! seats a second change hands. So the list is kept in pieces along the pages in which the seats
//! are stored: a new list writes only the pieces whose page has changed and shares the others with
//! the list before, and an answer sends the pieces as they are. Readers of a list that is new
//! enough take no lock; of those who find it too old, one writes and the others wait for that.
//!
//! Each piece holds `,{"seat_number":…}` for each of its free seats; the first comma is left out
//! when it is sent. Seats kept back are not listed.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use domain::id::SeatIndex;
use domain::plan::{Access, Hall, HallSeat};
use domain::sale::Sale;
use domain::seats::{PAGE_SEATS, SeatState, Seats};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::to_json;

/// A list shorter than this is copied into one piece: one write to the network, not several.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// The free seats of one performance, as they were last written.
pub(super) struct SeatBoard {
    performance: u16,
    pieces: Vec<Place>,
    tails: Tails,
    newest: ArcSwapOption<SeatList>,
    writing: Mutex<()>,
}

/// Where a piece stands: some seats of one page and one section.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    section: u16,
    seats: Range<u32>,
}

/// The free seats of one performance at one moment.
pub(super) struct SeatList {
    /// The batch after which it is the list.
    pub(super) as_of: u64,
    /// How many are free.
    pub(super) available_count: u32,
    seats: Seats,
    pieces: Vec<Bytes>,
}

/// A free seat.
#[derive(Serialize, ToSchema)]
#[schema(as = AvailableSeat)]
pub(super) struct SeatItem<'a> {
    /// Unique in its performance.
    pub(super) seat_number: &'a str,
    /// In the currency's smallest unit.
    pub(super) price: u64,
    /// The name of its grade.
    pub(super) grade: &'a str,
    /// The name of its section.
    pub(super) section: &'a str,
    /// `wheelchair` for a wheelchair place, `companion` for a seat that is held only together with
    /// one (the plan says which); absent for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("wheelchair"))]
    pub(super) accessible: Option<&'static str>,
}

/// What a seat is to people with a wheelchair, in one word.
pub(super) fn access_word(access: Access) -> &'static str {
    match access {
        Access::Wheelchair => "wheelchair",
        Access::Companion(_) => "companion",
    }
}

impl<'a> SeatItem<'a> {
    /// A seat of a hall, as lists show it.
    pub(super) fn of(hall: &'a Hall, index: SeatIndex) -> Self {
        let seat = &hall.seats()[index.at()];
        let performance = &hall.plan().performances[usize::from(seat.performance)];
        Self {
            seat_number: &seat.number,
            price: seat.price.0,
            grade: &performance.grades[usize::from(seat.grade)].name,
            section: &performance.sections[usize::from(seat.section)].name,
            accessible: hall.access(index).map(access_word),
        }
    }
}

/// What follows the seat's number, for each section, grade and word of [`ACCESSIBLE`]: there are
/// few, and many seats.
struct Tails {
    texts: Vec<String>,
    grades: usize,
}

/// What [`SeatItem::accessible`] may say.
const ACCESSIBLE: [Option<&str>; 3] = [None, Some("wheelchair"), Some("companion")];

impl Tails {
    fn new(hall: &Hall, performance: u16) -> Self {
        let performance = &hall.plan().performances[usize::from(performance)];
        let texts = performance.sections.iter().flat_map(|section| {
            let grades = performance.grades.iter();
            grades.flat_map(|grade| ACCESSIBLE.map(|word| (grade, word))).map(|(grade, word)| {
                let item = SeatItem {
                    seat_number: "",
                    price: grade.price.0,
                    grade: &grade.name,
                    section: &section.name,
                    accessible: word,
                };
                let item = to_json(&item);
                let tail = item.strip_prefix(br#"{"seat_number":"""#).expect("its first field");
                String::from_utf8(tail.to_owned()).expect("JSON is UTF-8")
            })
        });
        Self { texts: texts.collect(), grades: performance.grades.len() }
    }

    fn of(&self, seat: &HallSeat, access: Option<Access>) -> &str {
        let word = match access {
            None => 0,
            Some(Access::Wheelchair) => 1,
            Some(Access::Companion(_)) => 2,
        };
        let grade = usize::from(seat.section) * self.grades + usize::from(seat.grade);
        &self.texts[grade * ACCESSIBLE.len() + word]
    }
}

impl SeatBoard {
    /// The board of a performance; nothing is written on it yet.
    pub(super) fn new(hall: &Hall, performance: u16) -> Self {
        let seats = hall.seats_of(performance);
        Self {
            performance,
            pieces: places(hall, seats),
            tails: Tails::new(hall, performance),
            newest: ArcSwapOption::empty(),
            writing: Mutex::new(()),
        }
    }

    /// The list of a sale as it is after the batch `as_of`, or a later one.
    pub(super) fn list(&self, hall: &Hall, sale: &Sale, as_of: u64) -> Arc<SeatList> {
        let new_enough = || self.newest.load_full().filter(|list| list.as_of >= as_of);
        if let Some(list) = new_enough() {
            return list;
        }
        let _writing = self.writing.lock().expect("writing a list does not panic");
        // Somebody else may have written it meanwhile.
        if let Some(list) = new_enough() {
            return list;
        }
        let list = Arc::new(self.write(hall, sale.seats(), as_of));
        self.newest.store(Some(list.clone()));
        list
    }

    fn write(&self, hall: &Hall, seats: &Seats, as_of: u64) -> SeatList {
        let before = self.newest.load();
        let pieces = self.pieces.iter().enumerate().map(|(number, place)| {
            let first = SeatIndex(place.seats.start);
            match before.as_ref() {
                Some(list) if list.seats.same_page(seats, first) => list.pieces[number].clone(),
                _ => self.piece(hall, seats, place),
            }
        });
        SeatList {
            as_of,
            available_count: seats.counts_of(self.performance).free,
            pieces: pieces.collect(),
            seats: seats.clone(),
        }
    }

    fn piece(&self, hall: &Hall, seats: &Seats, place: &Place) -> Bytes {
        let mut json = Vec::new();
        for index in place.seats.clone().map(SeatIndex) {
            if seats.state(index) == SeatState::Free {
                let seat = &hall.seats()[index.at()];
                json.extend_from_slice(br#",{"seat_number":"#);
                serde_json::to_writer(&mut json, &*seat.number).expect("a text is JSON");
                json.extend_from_slice(self.tails.of(seat, hall.access(index)).as_bytes());
            }
        }
        json.into()
    }

    /// A body of `head`, the list (of one section only, if one is named) and `tail`.
    pub(super) fn body(
        &self,
        list: Arc<SeatList>,
        section: Option<u16>,
        head: Vec<u8>,
        tail: &'static [u8],
    ) -> Body {
        let wanted = |number: &usize| {
            let of_section = section.is_none_or(|section| self.pieces[*number].section == section);
            of_section && !list.pieces[*number].is_empty()
        };
        let pieces: Vec<usize> = (0..self.pieces.len()).filter(wanted).collect();
        let listed: usize = pieces.iter().map(|number| list.pieces[*number].len()).sum();
        let length = head.len() + listed.saturating_sub(1) + tail.len();
        let body = ListBody {
            list,
            head: Some(head.into()),
            pieces: pieces.into_iter(),
            tail: Some(tail),
            comma: true,
            left: length as u64,
        };
        if length > COPIED_BYTES_MAX {
            return Body::new(body);
        }
        let mut whole = Vec::with_capacity(length);
        body.for_each(|piece| whole.extend_from_slice(&piece));
        whole.into()
    }
}

/// Cuts a performance's seats where a page or a section ends.
fn places(hall: &Hall, seats: Range<u32>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for seat in seats {
        let index = SeatIndex(seat).at();
        let section = hall.seats()[index].section;
        match places.last_mut() {
            Some(last) if last.section == section && !index.is_multiple_of(PAGE_SEATS) => {
                last.seats.end = seat + 1;
            }
            _ => places.push(Place { section, seats: seat..seat + 1 }),
        }
    }
    places
}

/// An answer with a list in it, sent piece by piece without being copied.
struct ListBody {
    list: Arc<SeatList>,
    head: Option<Bytes>,
    pieces: std::vec::IntoIter<usize>,
    tail: Option<&'static [u8]>,
    /// The next piece is the first, and its comma is left out.
    comma: bool,
    left: u64,
}

impl Iterator for ListBody {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let Some(number) = self.pieces.next() else {
            return self.tail.take().map(Bytes::from_static);
        };
        let piece = self.list.pieces[number].clone();
        Some(if std::mem::take(&mut self.comma) { piece.slice(1..) } else { piece })
    }
}

impl HttpBody for ListBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use domain::command::Command;
    use domain::plan::{Performance, WheelchairPlace};
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};
    use serde_json::Value;

    use super::super::fixture::{LARGE, SMALL, execute, open, performance, withhold};
    use super::*;

    fn sale() -> (Sale, Arc<Hall>) {
        let performances = vec![
            performance("one", "2026-05-01", SMALL),
            performance("two", "2026-05-02", LARGE),
            with_wheelchair(performance("three", "2026-05-03", SMALL)),
        ];
        let sale = open(performances);
        let hall = sale.hall().unwrap().clone();
        (sale, hall)
    }

    fn with_wheelchair(mut performance: Performance) -> Performance {
        let place = WheelchairPlace { place: "B2".into(), companions: vec!["B1".into()] };
        performance.wheelchair_places = vec![place];
        performance
    }

    #[test]
    fn wheelchair_places_and_their_companions_are_marked() {
        let (sale, hall) = sale();
        let list = plainly(&hall, &sale, 2, None);
        let word = |number: &str| {
            let seats = list["seats"].as_array().unwrap();
            let seat = seats.iter().find(|seat| seat["seat_number"] == number).unwrap();
            seat.get("accessible").cloned()
        };
        assert_eq!(word("B1"), Some("companion".into()));
        assert_eq!(word("B2"), Some("wheelchair".into()));
        assert_eq!(word("B3"), None);
    }

    async fn listed(board: &SeatBoard, list: Arc<SeatList>, section: Option<u16>) -> Value {
        let body = board.body(list, section, br#"{"seats":["#.to_vec(), b"]}");
        let length = body.size_hint().exact().unwrap();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(bytes.len() as u64, length, "Content-Length is right");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The list as nobody would write it fifty times a second.
    fn plainly(hall: &Hall, sale: &Sale, performance: u16, section: Option<u16>) -> Value {
        let free = hall.seats_of(performance).map(SeatIndex).filter(|seat| {
            let of_section = section.is_none_or(|s| hall.seats()[seat.at()].section == s);
            of_section && sale.seats().state(*seat) == SeatState::Free
        });
        let items = free.map(|seat| SeatItem::of(hall, seat));
        serde_json::json!({ "seats": items.collect::<Vec<_>>() })
    }

    #[tokio::test]
    async fn it_is_what_a_plain_listing_says_whatever_changes() {
        let (mut sale, hall) = sale();
        let boards: Vec<_> = (0..3).map(|number| SeatBoard::new(&hall, number)).collect();
        let mut rng = StdRng::seed_from_u64(3);
        let seats: Vec<u32> = (0..SeatIndex::after(hall.seats().len()).0).collect();
        for as_of in 0..60 {
            for (number, board) in (0..).zip(&boards) {
                for section in [None, Some(0), Some(1)] {
                    let list = board.list(&hall, &sale, as_of);
                    let free = sale.seats().counts_of(number).free;
                    assert_eq!((list.as_of, list.available_count), (as_of, free));
                    let listed = listed(board, list, section).await;
                    assert_eq!(listed, plainly(&hall, &sale, number, section), "{as_of} {number}");
                }
            }
            let state = |seat: &u32| sale.seats().state(SeatIndex(*seat));
            let (free, kept): (Vec<u32>, _) =
                seats.iter().partition(|seat| state(seat) == SeatState::Free);
            // Now and then everything is taken, or given back.
            let count = if as_of % 20 == 19 { usize::MAX } else { rng.random_range(1..80) };
            if as_of / 10 % 2 == 0 {
                withhold(&mut sale, free.sample(&mut rng, count).copied());
            } else if !kept.is_empty() {
                let seats = kept.sample(&mut rng, count).copied().map(SeatIndex).collect();
                execute(&mut sale, &Command::Release { seats });
            }
        }
    }

    #[test]
    fn only_what_changed_is_written_again() {
        let (mut sale, hall) = sale();
        let board = SeatBoard::new(&hall, 1);
        let before = board.list(&hall, &sale, 1);
        assert!(Arc::ptr_eq(&before, &board.list(&hall, &sale, 1)), "written once");
        assert!(Arc::ptr_eq(&before, &board.list(&hall, &sale, 0)), "an older one is not needed");
        withhold(&mut sale, [hall.seats_of(1).start + 300]);
        let after = board.list(&hall, &sale, 2);
        let same = |(a, b): &(&Bytes, &Bytes)| a.as_ptr() == b.as_ptr();
        let shared = before.pieces.iter().zip(&after.pieces).filter(same).count();
        assert_eq!((before.pieces.len() - shared, after.pieces.len()), (1, board.pieces.len()));
        assert!(board.pieces.len() > 5);
    }

    #[test]
    fn many_readers_at_once_share_one_list() {
        let (sale, hall) = sale();
        let board = SeatBoard::new(&hall, 1);
        let lists: Vec<_> = std::thread::scope(|scope| {
            let reader = || board.list(&hall, &sale, 7);
            let readers: Vec<_> = (0..16).map(|_| scope.spawn(reader)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])));
    }
}
