//! What buyers ask in a round: each kind of call as a source of requests.
//!
//! A source is used twice, against the box office and then, rewound, against the floor, which is to
//! get the same requests. The box office's requests run out where each needs a buyer and a seat of
//! its own; the floor's begin again, for to it they are all alike.

use std::collections::VecDeque;
use std::rc::Rc;

use stampede::load::Source;
use stampede::wire::Answer;

use crate::hall::{Hall, scattered};
use crate::tokens::{Texts, field, field_after};

/// One kind of call.
#[derive(Debug)]
pub(crate) enum Calls {
    /// Joining the line.
    Join(Joins),
    /// Taking a fresh token for the own place.
    Renew(Renewals),
    /// Asking where one stands.
    Status(Polls),
    /// Listing free seats.
    List(Lists),
    /// Holding a seat.
    Hold(Holds),
    /// Paying for one.
    Pay(Payments),
    /// Holding seats and giving them back.
    Change(Changes),
}

impl Calls {
    /// Begins anew, and does not run out: for the floor.
    pub(crate) fn rewind(&mut self) {
        match self {
            Self::Join(joins) => (joins.begun, joins.count) = (0, u32::MAX),
            Self::Renew(_) | Self::Status(_) | Self::List(_) => {}
            Self::Hold(holds) => (holds.begun, holds.again) = (0, true),
            Self::Pay(payments) => (payments.begun, payments.again) = (0, true),
            Self::Change(changes) => changes.rewind(),
        }
    }

    /// Whether each of them changes something, which must be on disk before the answer.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Join(_) | Self::Hold(_) | Self::Pay(_) | Self::Change(_) => true,
            Self::Renew(_) | Self::Status(_) | Self::List(_) => false,
        }
    }

    /// The statuses of answers as they are wanted.
    pub(crate) fn wanted(&self) -> &'static [u16] {
        match self {
            Self::Join(_) | Self::Hold(_) => &[201],
            Self::Renew(_) | Self::Status(_) | Self::List(_) | Self::Pay(_) => &[200],
            Self::Change(_) => &[201, 200, 204],
        }
    }

    fn example(&mut self) -> &mut Option<String> {
        match self {
            Self::Join(Joins { example, .. })
            | Self::Renew(Renewals { example, .. })
            | Self::Status(Polls { example, .. })
            | Self::List(Lists { example, .. })
            | Self::Hold(Holds { example, .. })
            | Self::Pay(Payments { example, .. })
            | Self::Change(Changes { example, .. }) => example,
        }
    }

    /// How many joins were begun.
    pub(crate) fn joins_begun(&self) -> u32 {
        match self {
            Self::Join(joins) => joins.begun,
            Self::Renew(_)
            | Self::Status(_)
            | Self::List(_)
            | Self::Hold(_)
            | Self::Pay(_)
            | Self::Change(_) => 0,
        }
    }

    /// Whether there are no holds left.
    pub(crate) fn has_run_out(&self) -> bool {
        matches!(self, Self::Hold(holds) if holds.begun >= holds.end && holds.back.is_empty())
    }

    /// The first answer that was not wanted.
    pub(crate) fn take_example(&mut self) -> Option<String> {
        self.example().take()
    }
}

impl Source for Calls {
    fn next(&mut self, connection: usize, request: &mut Vec<u8>) -> bool {
        match self {
            Self::Join(joins) => joins.next(request),
            Self::Renew(renewals) => renewals.next(request),
            Self::Status(polls) => polls.next(request),
            Self::List(lists) => lists.next(request),
            Self::Hold(holds) => holds.next(connection, request),
            Self::Pay(payments) => payments.next(request),
            Self::Change(changes) => changes.next(connection, request),
        }
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>) {
        if !self.wanted().contains(&answer.status) {
            if self.example().is_none() {
                let body: String =
                    String::from_utf8_lossy(answer.body()).chars().take(300).collect();
                *self.example() = Some(format!("{} {body}", answer.status));
            }
            if let Self::Hold(holds) = self
                && answer.status == 503
            {
                holds.turned_away(connection);
            }
            return;
        }
        match self {
            Self::Join(joins) => joins.answered(answer.body()),
            Self::Renew(renewals) => renewals.answered(answer.body()),
            Self::Hold(holds) => holds.answered(connection, answer.body()),
            Self::Change(changes) => changes.answered(connection, answer.body()),
            Self::Status(_) | Self::List(_) | Self::Pay(_) => {}
        }
    }
}

/// Joins, whose tokens may be kept.
#[derive(Debug)]
pub(crate) struct Joins {
    request: Vec<u8>,
    begun: u32,
    count: u32,
    /// Of so many tokens one is kept; none when it is 0.
    keep_each: u32,
    seen: u32,
    /// The tokens of those whose turn it was at once.
    pub(crate) admitted: Texts,
    /// The tokens of those who wait.
    pub(crate) waiting: Texts,
    example: Option<String>,
}

impl Joins {
    /// So many joins of one sale.
    pub(crate) fn new(sale: &str, count: u32) -> Self {
        let mut request = Vec::new();
        let body = format!("{{\"sale_id\":\"{sale}\"}}");
        post(&mut request, "/queue/token", None, body.as_bytes());
        let (admitted, waiting) = (Texts::default(), Texts::default());
        Self { request, begun: 0, count, keep_each: 0, seen: 0, admitted, waiting, example: None }
    }

    /// The same, and each n-th of their tokens is kept.
    pub(crate) fn keeping(sale: &str, count: u32, keep_each: u32) -> Self {
        Self { keep_each, ..Self::new(sale, count) }
    }

    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        let more = self.begun < self.count;
        self.begun = self.begun.saturating_add(1);
        request.extend_from_slice(&self.request);
        more
    }

    fn answered(&mut self, body: &[u8]) {
        self.seen = self.seen.wrapping_add(1);
        if self.keep_each == 0 || !self.seen.is_multiple_of(self.keep_each) {
            return;
        }
        let Some(token) = field_after(body, b"\"token\":\"") else { return };
        let waits = field_after(body, b"\"status\":\"") == Some(b"waiting");
        let texts = if waits { &mut self.waiting } else { &mut self.admitted };
        texts.push(token);
    }
}

/// Fresh tokens for places that have been waiting for long.
#[derive(Debug)]
pub(crate) struct Renewals {
    old: Rc<Texts>,
    begun: u32,
    /// The fresh ones.
    pub(crate) fresh: Texts,
    example: Option<String>,
}

impl Renewals {
    pub(crate) fn new(old: Rc<Texts>) -> Self {
        Self { old, begun: 0, fresh: Texts::default(), example: None }
    }

    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        if self.begun >= self.old.len() {
            return false;
        }
        post(request, "/queue/token", Some(self.old.get(self.begun)), b"{}");
        self.begun += 1;
        true
    }

    fn answered(&mut self, body: &[u8]) {
        if let Some(token) = field(body, "token") {
            self.fresh.push(token);
        }
    }
}

/// Polls of many buyers, one after another in an order that jumps about.
#[derive(Debug)]
pub(crate) struct Polls {
    tokens: Rc<Texts>,
    begun: u32,
    example: Option<String>,
}

impl Polls {
    pub(crate) fn new(tokens: Rc<Texts>) -> Self {
        Self { tokens, begun: 0, example: None }
    }

    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        let number = scattered(self.begun % self.tokens.len(), self.tokens.len());
        self.begun = self.begun.wrapping_add(1);
        get(request, "/queue/status", self.tokens.get(number));
        true
    }
}

/// The list of the first performance's free seats, asked for by those who may choose.
#[derive(Debug)]
pub(crate) struct Lists {
    path: String,
    tokens: Rc<Texts>,
    begun: u32,
    example: Option<String>,
}

impl Lists {
    pub(crate) fn new(sale: &str, tokens: Rc<Texts>) -> Self {
        Self { path: Self::path(sale), tokens, begun: 0, example: None }
    }

    /// Where the list stands.
    pub(crate) fn path(sale: &str) -> String {
        format!("/reservations/{}?performance_id={sale}-0", Hall::DATE)
    }

    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        let number = self.begun % self.tokens.len();
        self.begun = self.begun.wrapping_add(1);
        get(request, &self.path, self.tokens.get(number));
        true
    }
}

/// Buyers inside, and the sales in whose halls they choose: so many in the first, then so many in
/// the second.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// The halls, all alike.
    pub(crate) hall: Hall,
    /// The sales.
    pub(crate) sales: Vec<String>,
    /// Their buyers' tokens, as many for each sale; those of the first stand first.
    pub(crate) tokens: Rc<Texts>,
    /// Whether buyers come to all sales in turn, or to one after the other.
    pub(crate) in_turn: bool,
}

impl Inside {
    fn each(&self) -> u32 {
        self.tokens.len() / u32::try_from(self.sales.len()).expect("few sales")
    }

    /// The sale and the number within it of the n-th who comes.
    fn at(&self, number: u32) -> (u32, u32) {
        let sales = u32::try_from(self.sales.len()).expect("few sales");
        if self.in_turn {
            (number % sales, number / sales)
        } else {
            (number / self.each(), number % self.each())
        }
    }

    /// The token of the n-th who comes.
    pub(crate) fn token(&self, number: u32) -> &[u8] {
        let (sale, within) = self.at(number);
        self.tokens.get(sale * self.each() + within)
    }

    /// What the n-th asks for: each another seat.
    pub(crate) fn write_hold(&self, number: u32, body: &mut Vec<u8>) {
        let (sale, within) = self.at(number);
        let seat = scattered(within % self.hall.all_seats(), self.hall.all_seats());
        self.hall.write_hold(&self.sales[sale as usize], seat, body);
    }
}

/// Holds, one for each buyer.
#[derive(Debug)]
pub(crate) struct Holds {
    inside: Inside,
    begun: u32,
    end: u32,
    again: bool,
    body: Vec<u8>,
    /// Which buyer asked last on each connection.
    asked: Vec<u32>,
    /// Buyers who were turned away and come again.
    back: VecDeque<u32>,
    /// The reservations that were made, and the buyers to whom they belong.
    made: Option<Made>,
    example: Option<String>,
}

/// Reservations, each with its buyer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    ids: Texts,
    buyers: Vec<u32>,
}

impl Holds {
    /// Holds of the buyers from `begun` to `end`.
    pub(crate) fn new(inside: Inside, begun: u32, end: u32) -> Self {
        let (body, asked) = (Vec::new(), Vec::new());
        let back = VecDeque::new();
        Self { inside, begun, end, again: false, body, asked, back, made: None, example: None }
    }

    /// The same, and the reservations are kept.
    pub(crate) fn keeping(inside: Inside, begun: u32, end: u32) -> Self {
        Self { made: Some(Made::default()), ..Self::new(inside, begun, end) }
    }

    /// What was made.
    pub(crate) fn take_made(&mut self) -> Made {
        self.made.take().unwrap_or_default()
    }

    fn next(&mut self, connection: usize, request: &mut Vec<u8>) -> bool {
        if self.begun >= self.end && self.again {
            self.begun = 0;
        }
        let buyer = if self.begun < self.end {
            self.begun += 1;
            self.begun - 1
        } else {
            let Some(buyer) = self.back.pop_front() else { return false };
            buyer
        };
        self.body.clear();
        self.inside.write_hold(buyer, &mut self.body);
        post(request, "/reservations", Some(self.inside.token(buyer)), &self.body);
        note(&mut self.asked, connection, buyer);
        true
    }

    /// Nothing was written for the buyer, who may come again when all others have.
    fn turned_away(&mut self, connection: usize) {
        self.back.push_back(self.asked[connection]);
    }

    fn answered(&mut self, connection: usize, body: &[u8]) {
        let Some(made) = &mut self.made else { return };
        if let Some(id) = field(body, "reservation_id") {
            made.ids.push(id);
            made.buyers.push(self.asked[connection]);
        }
    }
}

/// Payments, one for each reservation.
#[derive(Debug)]
pub(crate) struct Payments {
    inside: Inside,
    made: Made,
    begun: u32,
    again: bool,
    body: Vec<u8>,
    example: Option<String>,
}

impl Payments {
    pub(crate) fn new(inside: Inside, made: Made) -> Self {
        Self { inside, made, begun: 0, again: false, body: Vec::new(), example: None }
    }

    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        if self.begun >= self.made.ids.len() {
            if !self.again {
                return false;
            }
            self.begun = 0;
        }
        let (id, buyer) = (self.made.ids.get(self.begun), self.made.buyers[self.begun as usize]);
        self.begun += 1;
        self.body.clear();
        self.body.extend_from_slice(b"{\"reservation_id\":\"");
        self.body.extend_from_slice(id);
        self.body.extend_from_slice(b"\",\"payment\":{\"method\":\"card\",\"token\":\"tok_ok\"}}");
        post(request, "/payment", Some(self.inside.token(buyer)), &self.body);
        true
    }
}

/// Seats that change hands: held, given back, held by somebody else. A buyer may give seats back
/// twice, so each makes five changes.
#[derive(Debug)]
pub(crate) struct Changes {
    inside: Inside,
    /// Buyers who hold nothing, and how often they may still give back.
    free: VecDeque<(u32, u8)>,
    /// Buyers who hold something they may give back.
    holding: VecDeque<(u32, u8, Vec<u8>)>,
    asked: Vec<Option<Asked>>,
    /// The next seat.
    seat: u32,
    example: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Hold(u32, u8),
    GiveBack(u32, u8),
}

/// Reservations that stand before the first is given back.
const HOLDING: usize = 500;
/// How often one buyer may give back.
const GIVE_BACKS: u8 = 2;

impl Changes {
    pub(crate) fn new(inside: Inside) -> Self {
        let mut changes = Self {
            inside,
            free: VecDeque::new(),
            holding: VecDeque::new(),
            asked: Vec::new(),
            seat: 0,
            example: None,
        };
        changes.rewind();
        changes
    }

    fn rewind(&mut self) {
        self.free = (0..self.inside.tokens.len()).map(|buyer| (buyer, GIVE_BACKS)).collect();
        self.holding.clear();
        self.asked.clear();
    }

    fn next(&mut self, connection: usize, request: &mut Vec<u8>) -> bool {
        let asked = if self.holding.len() >= HOLDING {
            let (buyer, left, id) = self.holding.pop_front().expect("there are many");
            request.extend_from_slice(b"DELETE /me/reservations/");
            request.extend_from_slice(&id);
            request.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ");
            request.extend_from_slice(self.inside.token(buyer));
            request.extend_from_slice(b"\r\n\r\n");
            Asked::GiveBack(buyer, left)
        } else {
            let Some((buyer, left)) = self.free.pop_front() else { return false };
            let mut body = Vec::new();
            let (hall, sale) = (self.inside.hall, &self.inside.sales[0]);
            hall.write_hold(sale, scattered(self.seat, hall.all_seats()), &mut body);
            self.seat = (self.seat + 1) % hall.all_seats();
            post(request, "/reservations", Some(self.inside.token(buyer)), &body);
            Asked::Hold(buyer, left)
        };
        note(&mut self.asked, connection, Some(asked));
        true
    }

    fn answered(&mut self, connection: usize, body: &[u8]) {
        match self.asked[connection].take() {
            Some(Asked::Hold(buyer, left)) if left > 0 => {
                let id = field(body, "reservation_id").unwrap_or_default().to_vec();
                self.holding.push_back((buyer, left, id));
            }
            Some(Asked::GiveBack(buyer, left)) => self.free.push_back((buyer, left - 1)),
            Some(Asked::Hold(..)) | None => {}
        }
    }
}

/// Notes something of a connection.
fn note<T: Clone + Default>(list: &mut Vec<T>, connection: usize, what: T) {
    if connection >= list.len() {
        list.resize(connection + 1, T::default());
    }
    list[connection] = what;
}

/// Writes a request without a body.
fn get(request: &mut Vec<u8>, path: &str, token: &[u8]) {
    request.extend_from_slice(b"GET ");
    request.extend_from_slice(path.as_bytes());
    request.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ");
    request.extend_from_slice(token);
    request.extend_from_slice(b"\r\n\r\n");
}

/// Writes a request with a body in JSON.
fn post(request: &mut Vec<u8>, path: &str, token: Option<&[u8]>, body: &[u8]) {
    use std::io::Write;
    request.extend_from_slice(b"POST ");
    request.extend_from_slice(path.as_bytes());
    request.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\n");
    if let Some(token) = token {
        request.extend_from_slice(b"Authorization: Bearer ");
        request.extend_from_slice(token);
        request.extend_from_slice(b"\r\n");
    }
    let length = body.len();
    write!(request, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
        .expect("writing to memory does not fail");
    request.extend_from_slice(body);
}

#[cfg(test)]
mod tests;
