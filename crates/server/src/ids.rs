//! The edge's ids and randomness: the one file that may ask the random number generator.
//!
//! Everything below the edge takes ids and randomness as arguments, so that a command decided again
//! decides the same. Random numbers come from the thread's own ChaCha generator, which the operating
//! system seeds and reseeds; keys that outlive a process are made in `token::keyring` instead.
//!
//! Ids are read aloud and typed, so their text is Crockford's base 32 in lower case: no `i`, `l`,
//! `o` or `u`. An id has exactly one spelling; reading is strict.

use std::fmt;

use domain::id::{ALPHABET, spell};
use rand::{Rng, RngExt};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Makes what must be random or unique. It has no state of its own and may be copied freely.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids;

impl Ids {
    /// Tells the batches of this process from those of all others.
    pub(crate) fn node(self) -> u64 {
        generator().next_u64()
    }

    /// Names one HTTP request in logs and in the journal.
    pub(crate) fn request_id(self) -> u64 {
        generator().next_u64()
    }

    /// Ties a queue token to one entry of one history.
    pub(crate) fn nonce(self) -> u32 {
        generator().next_u32()
    }

    /// Names a reservation; written as an [`ShortId`].
    pub(crate) fn reservation_id(self) -> u64 {
        generator().next_u64()
    }

    /// Names a payment, here and at the provider; written as a [`LongId`].
    pub(crate) fn payment_id(self) -> u128 {
        let mut generator = generator();
        u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64())
    }

    /// Names a trace; never zero.
    pub(crate) fn trace_id(self) -> u128 {
        u128::from(generator().next_u64() | 1) << 64 | u128::from(generator().next_u64())
    }

    /// Names a span of a trace; never zero.
    pub(crate) fn span_id(self) -> u64 {
        generator().next_u64() | 1
    }

    /// `base_ms` give or take 20 %, so that clients told to come back do not come back together.
    pub(crate) fn jittered_ms(self, base_ms: u64) -> u64 {
        let spread = base_ms / 5;
        generator().random_range(base_ms - spread..=base_ms.saturating_add(spread))
    }

    /// Any time from the first to the second, for a crowd that is sent away at once.
    pub(crate) fn between_ms(self, (least, most): (u64, u64)) -> u64 {
        generator().random_range(least..=most)
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is the source of randomness")]
fn generator() -> impl Rng {
    rand::rng()
}

/// The hash by which an idempotency key is known below the edge: the key itself is a secret.
/// SHA-256, cut to 128 bits.
pub(crate) fn key_hash(key: &[u8]) -> u128 {
    let [high, low] = leading_words(&Sha256::digest(key));
    u128::from(high) << 64 | u128::from(low)
}

/// What a command asks for, in 64 bits: whether a known key came with another body.
///
/// `parts` are told apart: `["ab", "c"]` is not `["a", "bc"]`. The keys of one place are compared
/// with each other only, so 64 bits are plenty, and guessing a body is no attack: it is one's own.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let [high, _] = leading_words(&hash.finalize());
    high
}

fn leading_words(hash: &[u8]) -> [u64; 2] {
    [&hash[..8], &hash[8..16]]
        .map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes were taken")))
}

/// A 64-bit id as people see it: 13 characters.
pub(crate) type ShortId = IdText<13>;
/// A 128-bit id as people see it: 26 characters.
pub(crate) type LongId = IdText<26>;

const BITS: u32 = 5;

/// An id's text, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdText<const N: usize>([u8; N]);

impl<const N: usize> IdText<N> {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }

    /// Reads `N` characters of the alphabet whose value fits into `bits`.
    fn read(text: &str, bits: u32) -> Option<u128> {
        let text: &[u8; N] = text.as_bytes().try_into().ok()?;
        let limit = 1_u128 << (bits - BITS);
        text.iter().try_fold(0_u128, |value, &character| {
            let digit = VALUES[usize::from(character)];
            let fits = value < limit && digit != UNKNOWN;
            fits.then(|| value << BITS | u128::from(digit))
        })
    }
}

const UNKNOWN: u8 = 0xff;

/// The value of each byte as a character of [`ALPHABET`].
const VALUES: [u8; 256] = {
    let mut values = [UNKNOWN; 256];
    let mut digit: u8 = 0;
    while (digit as usize) < ALPHABET.len() {
        values[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

impl From<u64> for ShortId {
    fn from(id: u64) -> Self {
        Self(spell(id.into()))
    }
}

impl From<u128> for LongId {
    fn from(id: u128) -> Self {
        Self(spell(id))
    }
}

/// Reads what [`ShortId`] writes, and nothing else.
pub(crate) fn parse_short(text: &str) -> Option<u64> {
    ShortId::read(text, u64::BITS).and_then(|value| value.try_into().ok())
}

/// Reads what [`LongId`] writes, and nothing else.
pub(crate) fn parse_long(text: &str) -> Option<u128> {
    LongId::read(text, u128::BITS)
}

impl<const N: usize> fmt::Display for IdText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for IdText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> Serialize for IdText<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn ids_have_the_spelling_that_is_written_down() {
        assert_eq!(ShortId::from(0).as_str(), "0000000000000");
        assert_eq!(ShortId::from(33).as_str(), "0000000000011");
        assert_eq!(ShortId::from(u64::MAX).as_str(), "fzzzzzzzzzzzz");
        assert_eq!(LongId::from(0).as_str(), "00000000000000000000000000");
        assert_eq!(LongId::from(u128::MAX).as_str(), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(format!("{:>15}", ShortId::from(1)), "  0000000000001");
        assert_eq!(serde_json::to_string(&ShortId::from(1)).unwrap(), "\"0000000000001\"");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..10_000 {
            // The shift makes small numbers as common as large ones.
            let shift = rng.random_range(0..128);
            let long = rng.random::<u128>() >> shift;
            assert_eq!(parse_long(LongId::from(long).as_str()), Some(long));
            let short = rng.random::<u64>() >> (shift / 2);
            assert_eq!(parse_short(ShortId::from(short).as_str()), Some(short));
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let refused = [
            "",
            "0",
            "12345",
            "00000000000001",
            "g000000000000",
            "zzzzzzzzzzzzz",
            "000000000000O",
            "000000000000i",
            "000000000000l",
            "000000000000o",
            "000000000000u",
            "000000000000A",
            "000000000000-",
            " 000000000000",
            "00000000000\u{e9}",
            "000000000000\0",
        ];
        for text in refused {
            assert_eq!(parse_short(text), None, "{text:?}");
        }
        assert_eq!(parse_long("80000000000000000000000000"), None);
        assert_eq!(parse_long("0000000000001"), None);
        assert_eq!(parse_long("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), None);
    }

    #[test]
    fn every_other_character_is_refused_everywhere() {
        let good = ShortId::from(0x0123_4567_89ab_cdef);
        for at in 0..13 {
            for byte in 0..=127_u8 {
                let mut text = good.0;
                text[at] = byte;
                let text = std::str::from_utf8(&text).unwrap();
                let known = ALPHABET.contains(&byte) && (at > 0 || VALUES[usize::from(byte)] < 16);
                assert_eq!(parse_short(text).is_some(), known, "{text:?}");
                if let Some(id) = parse_short(text) {
                    assert_eq!(ShortId::from(id).as_str(), text);
                }
            }
        }
    }

    #[test]
    fn ids_do_not_repeat_and_use_all_their_bits() {
        let mut seen = HashSet::new();
        let (mut ones, mut zeros) = (0_u128, 0_u128);
        let (mut nonce_ones, mut nonce_zeros) = (0, 0);
        for _ in 0..1_000 {
            let id = Ids.payment_id();
            assert!(seen.insert(id));
            assert!(seen.insert(u128::from(Ids.reservation_id())));
            assert!(seen.insert(u128::from(Ids.request_id())));
            ones |= id;
            zeros |= !id;
            let nonce = Ids.nonce();
            nonce_ones |= nonce;
            nonce_zeros |= !nonce;
        }
        assert_eq!((ones, zeros), (u128::MAX, u128::MAX));
        assert_eq!((nonce_ones, nonce_zeros), (u32::MAX, u32::MAX));
    }

    #[test]
    fn threads_do_not_share_a_sequence() {
        let here: Vec<u64> = (0..100).map(|_| Ids.request_id()).collect();
        let there = std::thread::spawn(|| (0..100).map(|_| Ids.request_id()).collect::<Vec<u64>>());
        let there = there.join().unwrap();
        assert!(here.iter().all(|id| !there.contains(id)));
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_reaches_both_ends() {
        let drawn: HashSet<u64> = (0..10_000).map(|_| Ids.jittered_ms(50)).collect();
        assert_eq!(drawn, (40..=60).collect());
        assert_eq!(Ids.jittered_ms(0), 0);
        assert!(Ids.jittered_ms(u64::MAX) >= u64::MAX / 5 * 4);
    }

    #[test]
    fn hashes_are_the_ones_kept_in_journals() {
        // SHA-256("abc") is ba7816bf 8f01cfea 414140de 5dae2223 … (FIPS 180-4).
        assert_eq!(key_hash(b"abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
        // python3: sha256((1).to_bytes(8) + b"a" + (2).to_bytes(8) + b"bc").hexdigest()[:16]
        assert_eq!(fingerprint(&[b"a", b"bc"]), FINGERPRINT_A_BC);
        assert_ne!(fingerprint(&[b"ab", b"c"]), FINGERPRINT_A_BC);
        assert_ne!(fingerprint(&[b"abc"]), FINGERPRINT_A_BC);
        assert_ne!(fingerprint(&[]), fingerprint(&[b""]));
    }

    const FINGERPRINT_A_BC: u64 = 0x3faf_a1cf_2f19_a7c1;
}
