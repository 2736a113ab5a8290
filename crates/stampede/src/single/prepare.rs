//! What a single kind of call needs before it can be measured.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Kind, Single};
use crate::clock;
use crate::contract::{Availability, HoldWish, JoinWish, Place, Status, to_json};
use crate::load::{Closed, Shared, Source, closed};
use crate::venue::Venue;
use crate::wire::{Answer, Connection, Request, is_field_value};

/// How long preparing may take.
const PREPARING: Duration = Duration::from_secs(60);
/// A token younger than this is not replaced by any answer, so answers are not searched for one.
const TOKEN_YOUNG: Duration = Duration::from_secs(120);

/// The calls, ready to be made.
pub(super) struct Calls {
    host: String,
    tokens: Vec<Box<str>>,
    /// Whose turn it is to ask.
    next: usize,
    /// Who asked last, on each connection.
    asking: Vec<usize>,
    prepared_at: Instant,
    made: Made,
}

enum Made {
    /// The same bytes, whoever asks.
    Same(Vec<u8>),
    /// By each buyer in turn.
    ByToken { path: String },
    /// By each buyer once, for one seat each.
    Holds { bodies: VecDeque<String> },
}

/// Prepares the calls.
pub(super) async fn calls(single: &Single) -> Result<Calls, String> {
    let venue = Venue::find(single.addr, &single.host, single.sale.as_deref()).await?;
    let (performance, date) = &venue.performances[0];
    let seats = format!("/reservations/{date}?performance_id={performance}");
    let join = to_json(&JoinWish { sale_id: venue.sale.as_str() });
    let join = Request::post("/queue/token").host(&single.host).json(&join).bytes();
    let (places, made) = match single.kind {
        Kind::Join => (Vec::new(), Made::Same(join)),
        Kind::Count => (Vec::new(), Made::Same(Request::get(&seats).host(&single.host).bytes())),
        Kind::Status => {
            let path = "/queue/status".to_owned();
            (places(single, join).await?, Made::ByToken { path })
        }
        Kind::Seats => (inside(single, join).await?, Made::ByToken { path: seats }),
        Kind::Hold => {
            let inside = inside(single, join).await?;
            let bodies = holds(single, &seats, performance.as_str(), &inside[0]).await?;
            (inside, Made::Holds { bodies })
        }
    };
    let tokens = places.into_iter().map(|place| place.token).collect();
    let asking = vec![0; single.connections];
    let host = single.host.clone();
    Ok(Calls { host, tokens, next: 0, asking, prepared_at: clock::now(), made })
}

struct Ready {
    token: Box<str>,
    is_inside: bool,
}

/// Those whose turn it is, of all who joined.
async fn inside(single: &Single, join: Vec<u8>) -> Result<Vec<Ready>, String> {
    let mut inside = places(single, join).await?;
    let came = inside.len();
    inside.retain(|place| place.is_inside);
    if inside.is_empty() {
        return Err(format!("{came} joined, and it is nobody's turn: others are inside."));
    }
    Ok(inside)
}

/// Joins the line, as often as was asked for.
async fn places(single: &Single, join: Vec<u8>) -> Result<Vec<Ready>, String> {
    let source = Shared::new(Joins { join, left: single.buyers, ready: Vec::new() });
    let mut plan = Closed::new(single.addr, single.connections, PREPARING);
    plan.patience = single.patience;
    let outcome = closed(&plan, &source).await;
    let ready = source.with(|joins| std::mem::take(&mut joins.ready));
    if ready.is_empty() {
        let status = outcome.statuses().next().map_or(0, |(status, _)| status);
        return Err(format!("nobody could join the line: the answer was {status}."));
    }
    Ok(ready)
}

/// The bodies of holds, one for each free seat.
async fn holds(
    single: &Single,
    path: &str,
    performance_id: &str,
    whose: &Ready,
) -> Result<VecDeque<String>, String> {
    let mut connection = Connection::to(single.addr, single.patience);
    let request = Request::get(path).host(&single.host).token(&whose.token).bytes();
    let answer = connection.exchange(&request).await.map_err(|lost| format!("{lost}."))?;
    let listed: Option<Availability<'_>> = serde_json::from_slice(answer.body()).ok();
    let mut seats = listed.and_then(|listed| listed.available_seats).unwrap_or_default();
    seats.retain(|seat| seat.accessible.is_none());
    if seats.is_empty() {
        return Err("no seat is free.".to_owned());
    }
    let body =
        |number: &str| to_json(&HoldWish { performance_id, seat_numbers: &[Box::from(number)] });
    Ok(seats.iter().map(|seat| body(&seat.seat_number)).collect())
}

impl Calls {
    /// Buyers who are ready.
    pub(super) fn prepared(&self) -> usize {
        self.tokens.len()
    }
}

impl Source for Calls {
    fn next(&mut self, connection: usize, request: &mut Vec<u8>) -> bool {
        let Self { host, tokens, next, asking, made, .. } = self;
        match made {
            Made::Same(bytes) => request.extend_from_slice(bytes),
            Made::ByToken { path } => {
                asking[connection] = *next;
                Request::get(path).host(host).token(&tokens[*next]).render(request);
                *next = (*next + 1) % tokens.len();
            }
            Made::Holds { bodies } => {
                let (Some(token), Some(body)) = (tokens.get(*next), bodies.pop_front()) else {
                    return false;
                };
                *next += 1;
                Request::post("/reservations").host(host).token(token).json(&body).render(request);
            }
        }
        true
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>) {
        if !matches!(self.made, Made::ByToken { .. })
            || clock::now().duration_since(self.prepared_at) < TOKEN_YOUNG
        {
            return;
        }
        let fresh = answer.header("queue-token").and_then(|token| std::str::from_utf8(token).ok());
        if let Some(token) = fresh.filter(|token| is_field_value(token)) {
            self.tokens[self.asking[connection]] = token.into();
        }
    }
}

/// Joins, and keeps the tokens.
struct Joins {
    join: Vec<u8>,
    left: u32,
    ready: Vec<Ready>,
}

impl Source for Joins {
    fn next(&mut self, _connection: usize, request: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        request.extend_from_slice(&self.join);
        true
    }

    fn answered(&mut self, _connection: usize, answer: &Answer<'_>) {
        let place: Option<Place> = serde_json::from_slice(answer.body()).ok();
        let Some(Place { token: Some(token), status, .. }) = place else { return };
        if is_field_value(&token) {
            self.ready.push(Ready { token, is_inside: status == Status::Admitted });
        }
    }
}
