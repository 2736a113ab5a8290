//! Who speaks: the token of a request, checked, as a type that a handler asks for.
//!
//! A [`QueuePass`] is a place in a line, shown with a token that is valid now. A [`LatePass`] may
//! be past its `exp`: it serves the few calls where the place counts and not the token's age, and
//! turns into a [`QueuePass`] only there. A [`Reader`] may also be whoever holds a tickets token.
//! None of them can be printed, for the tokens in them are secrets.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use axum::body::Body;
use domain::id::{EntryIndex, Nonce, Place, ReservationId, SaleId};
use domain::reservation::ReservationState;
use domain::sale::{PlaceView, Status};
use domain::time::Timestamp;
use domain::{Refusal, Sale};
use engine::{Failure, Publication, SaleHandle};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::choice::{absent, readable};
use super::endpoint::{Ask, FromAsk};
use super::problem::{Edge, Problem};
use super::tickets;
use super::time::Utc;
use crate::app::App;
use crate::token::{Payload, QueueClaims, Verified};

/// Seconds for which the end of a place can still be read with an expired token.
const READABLE_S: u64 = 86_400;

/// A place in a line, shown with a token that is valid now.
pub(super) struct QueuePass {
    /// Which sale's line.
    pub(super) sale: Arc<SaleHandle>,
    /// Which place.
    pub(super) place: Place,
    /// When the token expires, in seconds since 1970.
    exp: u64,
    /// The batch after which the buyer was told what the token is of.
    as_of: u64,
    /// The header that the token came in.
    header: HeaderValue,
}

/// A place in a line, shown with an authentic token whose time may be over.
pub(super) struct LatePass {
    pass: QueuePass,
    expired: bool,
}

/// Whoever may read a reservation.
pub(super) enum Reader {
    /// The buyer in line.
    Buyer(LatePass),
    /// The holder of a tickets token.
    Holder {
        /// Which sale.
        sale: Arc<SaleHandle>,
        /// Whose reservation.
        entry: EntryIndex,
        /// Which one.
        reservation: ReservationId,
    },
}

/// A queue token just signed.
pub(super) struct FreshToken {
    /// The token.
    pub(super) text: String,
    /// From when on it has expired.
    pub(super) expires_at: Utc,
}

/// What a buyer sees of a sale: the state, and the own place in it.
pub(super) struct Look {
    /// The state.
    pub(super) publication: Guard<Arc<Publication>>,
    /// The place.
    pub(super) view: PlaceView,
}

/// How long a buyer's read waits for what the buyer was told to be published: usually 20 ms at the
/// most, but for ever while the store hangs just then. As long it waits for what other nodes have
/// written, where there are others.
const READ_WAIT: Duration = Duration::from_secs(1);

/// Waits for a state to come, for so long.
///
/// # Errors
/// `unavailable` when it does not come in time.
async fn in_time<T>(state: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(READ_WAIT, state).await.map_err(|_| Failure::Unavailable)
}

/// Makes sure that what is shown was lately the newest there was. A node that was asleep looks at the
/// journal first, and one that cannot goes on for a while with what it has.
///
/// # Errors
/// `unavailable` when what is shown is too old.
pub(super) async fn recent(app: &App) -> Result<(), Failure> {
    if app.engine.is_recent() {
        return Ok(());
    }
    let _late = in_time(app.engine.looked()).await;
    if app.engine.may_be_shown() { Ok(()) } else { Err(Failure::Unavailable) }
}

/// Waits until what is shown is as new as anything was when this was called.
///
/// # Errors
/// `unavailable` when that does not come in time.
pub(super) async fn confirmed(app: &App) -> Result<(), Failure> {
    in_time(app.engine.confirmed()).await
}

/// What `read` finds in what is shown. A no only of what was the newest after this was called, for
/// another node may have written what this one does not know yet.
///
/// # Errors
/// What `read` says, and `unavailable` when nothing newer comes in time.
pub(super) async fn surely<T>(
    app: &App,
    read: impl Fn() -> Result<T, Problem>,
) -> Result<T, Problem> {
    match read() {
        Err(problem) if app.engine.is_shared() && problem.rests_on_state() => {
            confirmed(app).await?;
            read().map_err(Problem::for_sure)
        }
        found => found,
    }
}

/// The newest state, at least as new as what this buyer was told last.
///
/// # Errors
/// `unavailable` when that does not come in time.
pub(super) async fn newest(
    sale: &SaleHandle,
    entry: EntryIndex,
) -> Result<Guard<Arc<Publication>>, Failure> {
    in_time(sale.read(entry)).await
}

impl QueuePass {
    /// The newest state with this place in it, at least as new as what this buyer was told last.
    /// The buyer counts as seen.
    ///
    /// # Errors
    /// `token_invalid` when there is no such place.
    pub(super) async fn look(&self, app: &App) -> Result<Look, Problem> {
        let look = match self.find(newest(&self.sale, self.place.entry).await?) {
            Some(look) => look,
            None => {
                let again = || self.find(self.sale.publication());
                surely(app, || again().ok_or_else(|| Refusal::UnknownPlace.into())).await?
            }
        };
        app.engine.saw(&self.sale, &look.publication, &look.view);
        Ok(look)
    }

    /// This place in a state of the sale.
    fn find(&self, publication: Guard<Arc<Publication>>) -> Option<Look> {
        let view = publication.sale.place(self.place.entry);
        let view = view.filter(|view| view.place == self.place)?;
        Some(Look { publication, view })
    }

    /// The newest state at once, for a command of the buyer's that is decided by a newer one. The
    /// command itself tells the engine that the buyer is there.
    pub(super) fn glance(&self) -> Guard<Arc<Publication>> {
        self.sale.publication()
    }

    /// A fresh token for the same place after a read, when less than half of this one's life is left;
    /// and where other nodes have to know that the turn has come, or what became of it.
    pub(super) fn fresh(&self, ask: &Ask, look: &Look) -> Option<FreshToken> {
        let as_of = look.publication.as_of;
        match look.view.status {
            Status::Waiting { .. } | Status::Ended { .. } => self.fresh_at_half(ask, as_of),
            Status::Admitted { .. }
            | Status::Holding { .. }
            | Status::Paying { .. }
            | Status::Done { .. } => self.fresh_after(ask, as_of),
        }
    }

    /// A fresh token for the same place after what was done in batch `as_of`: the same, and wherever
    /// other nodes have to know of it.
    pub(super) fn fresh_after(&self, ask: &Ask, as_of: u64) -> Option<FreshToken> {
        match ask.app().engine.is_shared() && self.as_of < as_of {
            true => Some(self.renewed(ask, as_of)),
            false => self.fresh_at_half(ask, as_of),
        }
    }

    fn fresh_at_half(&self, ask: &Ask, as_of: u64) -> Option<FreshToken> {
        let left_s = self.exp.saturating_sub(ask.came_at.0 / 1000);
        (left_s < ask.app().token_ttl_s / 2).then(|| self.renewed(ask, as_of))
    }

    /// A fresh token for the same place.
    pub(super) fn renewed(&self, ask: &Ask, as_of: u64) -> FreshToken {
        let as_of = as_of.max(self.as_of);
        FreshToken::sign(ask.app(), ask.now(), self.sale.id(), self.place, as_of)
    }

    /// The token as it came.
    pub(super) fn token(&self) -> &str {
        bearer(&self.header).expect("the header was read before")
    }

    /// When the token expires.
    pub(super) fn expires_at(&self) -> Utc {
        Utc::from_seconds(self.exp)
    }
}

impl FreshToken {
    /// Signs a token for a place, of which was told what was so after batch `as_of`.
    pub(super) fn sign(app: &App, now: Timestamp, sale: &SaleId, place: Place, as_of: u64) -> Self {
        let iat = now.0 / 1000;
        let exp = iat + app.token_ttl_s;
        let text = app.keyring.sign_queue(&QueueClaims {
            sale: sale.as_str().into(),
            entry: place.entry.0,
            nonce: place.nonce.0,
            epoch: app.epoch,
            iat,
            exp,
            as_of: if app.engine.is_shared() { as_of } else { 0 },
        });
        Self { text, expires_at: Utc::from_seconds(exp) }
    }
}

impl LatePass {
    /// The pass whatever the token's age: only the place counts.
    pub(super) fn whatever_its_age(self) -> QueuePass {
        self.pass
    }

    /// The pass for what concerns a reservation: an expired token serves as long as the place has
    /// one that is held, being paid or paid.
    ///
    /// # Errors
    /// `token_expired`, or `token_invalid` when there is no such place.
    pub(super) async fn with_reservation(self, app: &App) -> Result<QueuePass, Problem> {
        if !self.expired {
            return Ok(self.pass);
        }
        drop(self.pass.look(app).await?);
        let lives = || match has_live_reservation(&self.pass.glance().sale, self.pass.place.entry) {
            true => Ok(()),
            false => Err(Edge::TokenExpired.into()),
        };
        surely(app, lives).await?;
        Ok(self.pass)
    }

    /// The pass for reading where the place stands: once it is over, that can be read for a day.
    ///
    /// # Errors
    /// `token_expired`, or `token_invalid` when there is no such place.
    pub(super) async fn for_reading(self, ask: &Ask) -> Result<(QueuePass, Look), Problem> {
        let look = self.pass.look(ask.app()).await?;
        let readable = self.pass.exp + READABLE_S > ask.came_at.0 / 1000 && look.is_over();
        if self.expired && !readable {
            return Err(Edge::TokenExpired.into());
        }
        Ok((self.pass, look))
    }
}

impl Look {
    /// Whether the place is over, with a ticket or without.
    pub(super) fn is_over(&self) -> bool {
        is_over(&self.view)
    }
}

/// Whether an entry has a reservation that is held, being paid or paid.
fn has_live_reservation(sale: &Sale, entry: EntryIndex) -> bool {
    let visit = sale.visit_of_entry(entry);
    let newest = visit.and_then(|visit| sale.reservations_of(visit).next());
    newest.is_some_and(|(_, reservation)| match reservation.state {
        ReservationState::Held(_) | ReservationState::Paying(_) | ReservationState::Confirmed => {
            true
        }
        ReservationState::Released(..) => false,
    })
}

/// Whether a place is over, with a ticket or without: nothing more happens to it.
pub(super) fn is_over(view: &PlaceView) -> bool {
    match view.status {
        Status::Done { .. } | Status::Ended { .. } => true,
        Status::Waiting { .. }
        | Status::Admitted { .. }
        | Status::Holding { .. }
        | Status::Paying { .. } => false,
    }
}

impl FromAsk for Option<LatePass> {
    /// None when no token was sent; a bad one is never passed over. Where the token is of something
    /// that this node does not know yet, it catches up first.
    async fn from_ask(ask: &mut Ask, _: &mut Body) -> Result<Self, Problem> {
        let app = ask.app();
        let pass = match read_pass(ask) {
            Err(problem) if app.engine.is_shared() && problem.rests_on_state() => {
                // Its sale may have been added by another node.
                confirmed(app).await?;
                read_pass(ask).map_err(Problem::for_sure)?
            }
            pass => pass?,
        };
        if app.engine.is_shared()
            && let Some(LatePass { pass, .. }) = &pass
            && pass.sale.is_behind(pass.place.entry, pass.as_of)
        {
            in_time(app.engine.caught_up(&pass.sale, pass.as_of)).await?;
        }
        Ok(pass)
    }
}

fn read_pass(ask: &Ask) -> Result<Option<LatePass>, Problem> {
    let Some((header, token)) = credentials(&ask.headers)? else { return Ok(None) };
    let app = ask.app();
    let mut payload = Payload::default();
    let verified = app
        .keyring
        .verify_queue(token, ask.came_at.0 / 1000, app.epoch, &mut payload)
        .map_err(|_| Problem::from(Refusal::UnknownPlace).for_sure())?;
    let expired = matches!(verified, Verified::Expired(_));
    let QueueClaims { sale, entry, nonce, exp, as_of, .. } = verified.live_or_expired();
    let sale = find_sale(app, &sale)?;
    let place = Place { entry: EntryIndex(entry), nonce: Nonce(nonce) };
    let pass = QueuePass { sale, place, exp, as_of, header: header.clone() };
    Ok(Some(LatePass { pass, expired }))
}

impl FromAsk for LatePass {
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        let pass = Option::<Self>::from_ask(ask, body).await?;
        pass.ok_or_else(|| Edge::TokenMissing.into())
    }
}

impl FromAsk for Option<QueuePass> {
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        match Option::<LatePass>::from_ask(ask, body).await? {
            Some(LatePass { expired: true, .. }) => Err(Edge::TokenExpired.into()),
            Some(LatePass { pass, expired: false }) => Ok(Some(pass)),
            None => Ok(None),
        }
    }
}

impl FromAsk for QueuePass {
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        let pass = Option::<Self>::from_ask(ask, body).await?;
        pass.ok_or_else(|| Edge::TokenMissing.into())
    }
}

impl FromAsk for Reader {
    async fn from_ask(ask: &mut Ask, body: &mut Body) -> Result<Self, Problem> {
        let app = ask.app();
        let now_s = ask.came_at.0 / 1000;
        let token = credentials(&ask.headers)?.map(|(_, token)| token);
        let tickets = token.map(|token| app.keyring.verify_tickets(token, now_s));
        let Some(Ok(verified)) = tickets else {
            return Ok(Self::Buyer(LatePass::from_ask(ask, body).await?));
        };
        let claims = verified.live().map_err(|_| Edge::TokenExpired)?;
        let (reservation, entry) =
            tickets::parse_subject(&claims.reservation_id).ok_or(Refusal::UnknownPlace)?;
        Ok(Self::Holder { sale: find_sale(app, &claims.sale)?, entry, reservation })
    }
}

/// The sale that a token names. None of that name is a token of something else.
fn find_sale(app: &App, name: &str) -> Result<Arc<SaleHandle>, Problem> {
    let directory = app.engine.directory();
    let sale = directory.sale(name).ok_or_else(|| absent(&directory, Refusal::UnknownPlace))?;
    readable(sale)?;
    Ok(Arc::clone(sale))
}

/// The header `Authorization` and the token in it, if it was sent.
///
/// # Errors
/// `token_invalid` when it is there twice, or is not a bearer token.
fn credentials(headers: &HeaderMap) -> Result<Option<(&HeaderValue, &str)>, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(header), None) if header.is_empty() => Ok(None),
        (Some(header), None) => {
            let token =
                bearer(header).ok_or_else(|| Problem::from(Refusal::UnknownPlace).for_sure())?;
            Ok(Some((header, token)))
        }
        (Some(_), Some(_)) => Err(Problem::from(Refusal::UnknownPlace).for_sure()),
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1).
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(header.as_bytes()).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(values: &[&'static str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let found = credentials(&headers).map_err(|problem| problem.code())?;
        Ok(found.map(|(_, token)| token.to_owned()))
    }

    #[test]
    fn a_bearer_token_is_found_and_nothing_else_passes_for_one() {
        assert_eq!(token(&[]), Ok(None));
        assert_eq!(token(&[""]), Ok(None));
        assert_eq!(token(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(token(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        for bad in [&["Bearer"][..], &["abc"], &["Basic abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(token(bad), Err("token_invalid"), "{bad:?}");
        }
    }
}
