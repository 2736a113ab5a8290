//! The two tokens that buyers carry: the *queue token* (a place in the line) and the *tickets
//! token* (one paid reservation). Both are JWTs (RFC 7519) signed with HS256 (RFC 7518), made and
//! read by us alone.
//!
//! So there is nothing to negotiate: the header is compared as bytes, a token has one spelling, and
//! what differs is invalid. A token is checked before it is parsed. What it proves is only that we
//! gave it out; whether its place still lives, the sale knows.
//!
//! This runs for nearly every request, so the key's HMAC state is kept past the header, the payload
//! is decoded on the stack, and a queue token's claims are read as they are written (`written`).
//! Deliberately absent: other algorithms, encryption, a list of revoked tokens.

mod keyring;
mod written;

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use serde::{Deserialize, Serialize, Serializer};

use self::keyring::HEADER_BYTES;
pub(crate) use self::keyring::Keyring;

/// The longest life of a queue token, in seconds (the use case's step 2).
pub(crate) const QUEUE_TTL_MAX_S: u64 = 300;
/// The longest life of a tickets token, in seconds: three years ahead of a performance.
pub(crate) const TICKETS_TTL_MAX_S: u64 = 3 * 366 * 86_400;
/// How far ahead of ours the clock of the node that signed may be, in seconds.
const SKEW_MAX_S: u64 = 60;
/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 1024;
/// A SHA-256 in base64url.
const SIGNATURE_BYTES: usize = 43;
/// What a payload of the longest token decodes to.
const PAYLOAD_BYTES_MAX: usize = (TOKEN_BYTES_MAX - HEADER_BYTES - 1 - SIGNATURE_BYTES) / 4 * 3;

const ISSUER: &str = "maepyo";
const QUEUE: &str = "queue";
const TICKETS: &str = "tickets";

/// Who stands where: what a queue token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueClaims<'a> {
    /// The sale's id.
    pub(crate) sale: Cow<'a, str>,
    /// The entry of its line.
    pub(crate) entry: u32,
    /// The entry's nonce.
    pub(crate) nonce: u32,
    /// The epoch of the journal that the entry was written in.
    pub(crate) epoch: u64,
    /// When the token was signed, in seconds since 1970.
    pub(crate) iat: u64,
    /// From when on it has expired, in seconds since 1970.
    pub(crate) exp: u64,
    /// The batch after which the buyer was told this, where several nodes serve the sale: one that is
    /// behind it has to catch up first. 0 where one node does.
    pub(crate) as_of: u64,
}

/// Whose tickets may be read: what a tickets token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TicketsClaims<'a> {
    /// The sale's id.
    pub(crate) sale: Cow<'a, str>,
    /// The paid reservation, as people see it.
    pub(crate) reservation_id: Cow<'a, str>,
    /// The epoch of the journal that the reservation was written in.
    pub(crate) epoch: u64,
    /// When the token was signed, in seconds since 1970.
    pub(crate) iat: u64,
    /// From when on it has expired, in seconds since 1970.
    pub(crate) exp: u64,
}

/// The claims of an authentic token. An expired one still serves a few calls, so whoever takes the
/// claims says which: [`live`](Self::live) or [`live_or_expired`](Self::live_or_expired).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verified<C> {
    /// Not expired.
    Live(C),
    /// Past its `exp`.
    Expired(C),
}

/// Where the claims of a token stand while they are looked at.
pub(crate) struct Payload([u8; PAYLOAD_BYTES_MAX]);

impl Default for Payload {
    fn default() -> Self {
        Self([0; PAYLOAD_BYTES_MAX])
    }
}

/// Why a token does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Not a token of ours, or of another history, kind or time.
    #[error("the token is not valid")]
    Invalid,
    /// A token of ours whose time is over.
    #[error("the token has expired")]
    Expired,
}

impl<C> Verified<C> {
    /// The claims, unless they have expired.
    pub(crate) fn live(self) -> Result<C, TokenError> {
        match self {
            Self::Live(claims) => Ok(claims),
            Self::Expired(_) => Err(TokenError::Expired),
        }
    }

    /// The claims, for the calls where the place counts and not the token's age.
    pub(crate) fn live_or_expired(self) -> C {
        match self {
            Self::Live(claims) | Self::Expired(claims) => claims,
        }
    }
}

impl Keyring {
    /// Signs a queue token. It must not live longer than [`QUEUE_TTL_MAX_S`].
    ///
    /// # Panics
    /// When the sale's id has more than 500 bytes; ids are checked when a sale is made.
    pub(crate) fn sign_queue(&self, claims: &QueueClaims<'_>) -> String {
        debug_assert!((1..=QUEUE_TTL_MAX_S).contains(&claims.exp.wrapping_sub(claims.iat)));
        self.seal(&QueuePayload {
            iss: ISSUER,
            aud: QUEUE,
            sub: Place { sale: &claims.sale, entry: claims.entry },
            nonce: claims.nonce,
            epoch: Decimal(claims.epoch),
            iat: claims.iat,
            exp: claims.exp,
            as_of: claims.as_of,
        })
    }

    /// Checks a queue token at `now_s` (seconds since 1970) in the journal's `epoch`.
    ///
    /// [`TokenError::Invalid`] unless every byte is as [`sign_queue`](Self::sign_queue) writes it
    /// with a key of this ring, the epoch is ours, and its times are possible: signed at most a
    /// minute ahead of us, living no longer than such a token may. Never [`TokenError::Expired`].
    pub(crate) fn verify_queue<'p>(
        &self,
        token: &str,
        now_s: u64,
        epoch: u64,
        payload: &'p mut Payload,
    ) -> Result<Verified<QueueClaims<'p>>, TokenError> {
        let json = self.authentic(token.as_bytes(), &mut payload.0).ok_or(TokenError::Invalid)?;
        // Otherwise a newer node wrote it, or nobody who should have.
        let payload = written::read_queue(json)
            .map_or_else(|| serde_json::from_slice(json), Ok)
            .map_err(|_| TokenError::Invalid)?;
        if payload.iss != ISSUER || payload.aud != QUEUE || payload.epoch.0 != epoch {
            return Err(TokenError::Invalid);
        }
        let claims = QueueClaims {
            sale: Cow::Borrowed(payload.sub.sale),
            entry: payload.sub.entry,
            nonce: payload.nonce,
            epoch,
            iat: payload.iat,
            exp: payload.exp,
            as_of: payload.as_of,
        };
        judge(claims, payload.iat, payload.exp, QUEUE_TTL_MAX_S, now_s)
    }

    /// Signs a tickets token. It must not live longer than [`TICKETS_TTL_MAX_S`].
    ///
    /// # Panics
    /// When the two ids have more than 500 bytes; ids are checked when they are made.
    pub(crate) fn sign_tickets(&self, claims: &TicketsClaims<'_>) -> String {
        debug_assert!((1..=TICKETS_TTL_MAX_S).contains(&claims.exp.wrapping_sub(claims.iat)));
        self.seal(&TicketsPayload {
            iss: ISSUER,
            aud: TICKETS,
            sub: &claims.reservation_id,
            sale: &claims.sale,
            epoch: Decimal(claims.epoch),
            iat: claims.iat,
            exp: claims.exp,
        })
    }

    /// Checks a tickets token, as [`verify_queue`](Self::verify_queue) does a queue token, but of any
    /// epoch: a reservation's id is random, so where a restored history has it, it is the same one,
    /// and whoever paid for it keeps the tickets.
    pub(crate) fn verify_tickets(
        &self,
        token: &str,
        now_s: u64,
    ) -> Result<Verified<TicketsClaims<'static>>, TokenError> {
        let mut buffer = [0; PAYLOAD_BYTES_MAX];
        let json = self.authentic(token.as_bytes(), &mut buffer).ok_or(TokenError::Invalid)?;
        let payload: TicketsPayload<'_> =
            serde_json::from_slice(json).map_err(|_| TokenError::Invalid)?;
        if payload.iss != ISSUER || payload.aud != TICKETS {
            return Err(TokenError::Invalid);
        }
        let claims = TicketsClaims {
            sale: Cow::Owned(payload.sale.to_owned()),
            reservation_id: Cow::Owned(payload.sub.to_owned()),
            epoch: payload.epoch.0,
            iat: payload.iat,
            exp: payload.exp,
        };
        judge(claims, payload.iat, payload.exp, TICKETS_TTL_MAX_S, now_s)
    }

    fn seal(&self, payload: &impl Serialize) -> String {
        let key = self.signer();
        let mut json = [0; PAYLOAD_BYTES_MAX];
        let mut rest = &mut json[..];
        serde_json::to_writer(&mut rest, payload).expect("ids are short");
        let json_bytes = PAYLOAD_BYTES_MAX - rest.len();

        let mut token =
            String::with_capacity(HEADER_BYTES + json_bytes.div_ceil(3) * 4 + 1 + SIGNATURE_BYTES);
        token.push_str(key.header());
        URL_SAFE_NO_PAD.encode_string(&json[..json_bytes], &mut token);
        let signature = key.mac(&token.as_bytes()[HEADER_BYTES..]).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// The payload of an authentic token.
    fn authentic<'b>(
        &self,
        token: &[u8],
        buffer: &'b mut [u8; PAYLOAD_BYTES_MAX],
    ) -> Option<&'b [u8]> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (header, rest) = token.split_at_checked(HEADER_BYTES)?;
        let key = self.key_of(header)?;
        let (rest, signature) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_BYTES)?)?;
        let payload = rest.strip_suffix(b".")?;

        let mut mac = [0; 32];
        URL_SAFE_NO_PAD.decode_slice(signature, &mut mac).ok()?;
        key.mac(payload).verify_slice(&mac).ok()?;
        let json_bytes = URL_SAFE_NO_PAD.decode_slice(payload, buffer).ok()?;
        Some(&buffer[..json_bytes])
    }
}

/// Whether these times can be ours, and then whether they are over.
fn judge<C>(
    claims: C,
    iat: u64,
    exp: u64,
    ttl_max_s: u64,
    now_s: u64,
) -> Result<Verified<C>, TokenError> {
    let ttl_s = exp.checked_sub(iat).ok_or(TokenError::Invalid)?;
    if ttl_s == 0 || ttl_s > ttl_max_s || iat > now_s.saturating_add(SKEW_MAX_S) {
        return Err(TokenError::Invalid);
    }
    // RFC 7519, section 4.1.4: not to be accepted on or after `exp`.
    Ok(if now_s < exp { Verified::Live(claims) } else { Verified::Expired(claims) })
}

/// The queue token's payload. Unknown fields are passed over: a newer node may write them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct QueuePayload<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(borrow)]
    sub: Place<'a>,
    nonce: u32,
    epoch: Decimal,
    iat: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    as_of: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The tickets token's payload.
#[derive(Serialize, Deserialize)]
struct TicketsPayload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sale: &'a str,
    epoch: Decimal,
    iat: u64,
    exp: u64,
}

/// The subject of a queue token, `spring-tour/1234`: unique among all that we issue.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "&str")]
struct Place<'a> {
    sale: &'a str,
    entry: u32,
}

impl<'a> TryFrom<&'a str> for Place<'a> {
    type Error = &'static str;

    fn try_from(text: &'a str) -> Result<Self, Self::Error> {
        let (sale, entry) = text.rsplit_once('/').ok_or("no slash")?;
        let entry = entry.parse().map_err(|_| "not an entry")?;
        Ok(Self { sale, entry })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sale, self.entry)
    }
}

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number beyond 2^53, which JSON does not carry for everyone, as a string.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "&str")]
struct Decimal(u64);

impl TryFrom<&str> for Decimal {
    type Error = std::num::ParseIntError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
