//! `Idempotency-Key`: what makes it safe to send a POST again.
//!
//! The key is a secret of the buyer's and stays here: below the edge it is known by its hash. What
//! is remembered under it, and for how long, is the rules' business.

use axum::body::Body;
use domain::command::Key;
use domain::id::KeyHash;

use super::endpoint::{Ask, FromAsk};
use super::problem::{Edge, Flaw, Problem};
use crate::ids::{fingerprint, key_hash};

/// Bytes of a key, at most.
pub(super) const KEY_BYTES_MAX: usize = 255;

/// The key of a request that belongs to a place, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestKey(Option<KeyHash>);

impl RequestKey {
    /// The key for the rules, with what was asked under it.
    pub(super) fn of(self, asked: &[&[u8]]) -> Option<Key> {
        self.0.map(|hash| Key { hash, body: fingerprint(asked) })
    }
}

impl FromAsk for RequestKey {
    async fn from_ask(ask: &mut Ask, _: &mut Body) -> Result<Self, Problem> {
        Ok(Self(key(ask)?.map(hash)))
    }
}

/// The key of a request to join the line, if it has one. Whoever knows it has the place, so it must
/// not be one that can be guessed.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinKey(pub(super) Option<KeyHash>);

impl FromAsk for JoinKey {
    async fn from_ask(ask: &mut Ask, _: &mut Body) -> Result<Self, Problem> {
        match key(ask)? {
            Some(key) if is_random(key) => Ok(Self(Some(hash(key)))),
            Some(_) => Err(Edge::IdempotencyKeyWeak.into()),
            None => Ok(Self(None)),
        }
    }
}

fn hash(key: &str) -> KeyHash {
    KeyHash(key_hash(key.as_bytes()))
}

fn key(ask: &Ask) -> Result<Option<&str>, Flaw> {
    let mut keys = ask.headers.get_all("idempotency-key").iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return if ask.headers.contains_key("idempotency-key") {
            Err(Flaw::IdempotencyKey)
        } else {
            Ok(None)
        };
    };
    let sound =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    let text = key.to_str().ok().filter(|_| sound);
    text.map(Some).ok_or(Flaw::IdempotencyKey)
}

/// Whether a key looks as if it had 128 random bits: by its length for the alphabet it is written
/// in (hyphens aside: 32 of hex, 26 of base32, 22 of base64url), and by not repeating itself.
///
/// A UUID counts when it is of version 4, which says that its other 122 bits are random; the
/// versions that are times and names do not.
fn is_random(key: &str) -> bool {
    let symbols = || key.bytes().filter(|byte| *byte != b'-');
    let hex = symbols().all(|byte| byte.is_ascii_hexdigit());
    let one_case = !symbols().any(|byte| byte.is_ascii_lowercase())
        || !symbols().any(|byte| byte.is_ascii_uppercase());
    let long_enough = match (hex, one_case) {
        (true, _) => symbols().count() >= 32,
        (false, true) => symbols().count() >= 26,
        // The hyphen is a symbol of base64url.
        (false, false) => key.len() >= 22,
    };
    let mut seen = [false; 256];
    symbols().for_each(|byte| seen[usize::from(byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    long_enough && distinct >= DISTINCT_MIN && uuid_version(key).is_none_or(|v| v == b'4')
}

/// Different characters of a random key, at least: 32 random hex digits have fewer once in 10^12.
const DISTINCT_MIN: usize = 6;

/// The version of a UUID, if the key has the form of one.
fn uuid_version(key: &str) -> Option<u8> {
    let groups: [usize; 5] = [8, 4, 4, 4, 12];
    let mut parts = key.split('-');
    let uuid = groups.iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == *length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    (uuid && parts.next().is_none()).then(|| key.as_bytes()[14])
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::ids::LongId;

    #[test]
    fn random_keys_are_taken_in_every_usual_spelling() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..10_000 {
            let bits: u128 = rng.random();
            assert!(is_random(&format!("{bits:032x}")));
            assert!(is_random(&format!("{bits:032X}")));
            assert!(is_random(&URL_SAFE_NO_PAD.encode(bits.to_be_bytes())), "{bits:x}");
            assert!(is_random(LongId::from(bits).as_str()), "{bits:x}");
            let hex = format!("{bits:032x}");
            let uuid = format!(
                "{}-{}-4{}-a{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[13..16],
                &hex[17..20],
                &hex[20..]
            );
            assert!(is_random(&uuid), "{uuid}");
        }
    }

    #[test]
    fn what_can_be_guessed_is_refused() {
        let weak = [
            "1",
            "my-key",
            "order-2026-05-01",
            "1777600800000",
            "0123456789abcdef0123456789abcde",
            "00000000000000000000000000000000",
            "abababababababababababababababababababab",
            "aB3aB3aB3aB3aB3aB3aB3aB3",
            "kQ9zT-x4wN_pL0aB7cD1e",
            "the-key-of-my-first-order",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "018f3a5c-7e1b-7c3d-9a2e-5b6f7a8c9d0e",
            "--------------------------------",
        ];
        for key in weak {
            assert!(!is_random(key), "{key}");
        }
    }
}
