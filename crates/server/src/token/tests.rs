//! Tokens against the written standard, and against everything that is not a token of ours.
//!
//! `forge` signs with the right key whatever it is given, so that each test fails for the one
//! reason it names. The two expected tokens were computed apart from this code, with Python's
//! `hmac` and `base64`.

use hmac::{Hmac, KeyInit};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sha2::Sha256;

use super::*;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE";
const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI";
const NOW_S: u64 = 1_790_000_000;
const EPOCH: u64 = u64::MAX;

const QUEUE_TOKEN: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im0yZ0NDc00wc0I4In0.",
    "eyJpc3MiOiJtYWVweW8iLCJhdWQiOiJxdWV1ZSIsInN1YiI6InNwcmluZy10b3VyLzEyMzQiLCJub25jZSI6NDI5NDk2",
    "NzI5NSwiZXBvY2giOiIxODQ0Njc0NDA3MzcwOTU1MTYxNSIsImlhdCI6MTc5MDAwMDAwMCwiZXhwIjoxNzkwMDAwMzAw",
    "fQ.zxMp4Bb6LcGwhY2t7w8QbMMwrAooQl4CPhL5u1Ppckc",
);
const TICKETS_TOKEN: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im0yZ0NDc00wc0I4In0.",
    "eyJpc3MiOiJtYWVweW8iLCJhdWQiOiJ0aWNrZXRzIiwic3ViIjoiMDEyMzQ1Njc4OWFiYyIsInNhbGUiOiJzcHJpbmct",
    "dG91ciIsImVwb2NoIjoiNyIsImlhdCI6MTc5MDAwMDAwMCwiZXhwIjoxNzk3Nzc2MDAwfQ.",
    "rrVOhOxcx4KoBPaWZatV0rbmwa5crTlzaw-Rr1j_YEk",
);
const QUEUE_JSON: &str = r#"{"iss":"maepyo","aud":"queue","sub":"spring-tour/1234","nonce":4294967295,"epoch":"18446744073709551615","iat":1790000000,"exp":1790000300}"#;

fn ring() -> Keyring {
    Keyring::from_env_value(KEY).unwrap()
}

fn queue_claims() -> QueueClaims<'static> {
    QueueClaims {
        sale: "spring-tour".into(),
        entry: 1234,
        nonce: u32::MAX,
        epoch: EPOCH,
        iat: NOW_S,
        exp: NOW_S + 300,
        as_of: 0,
    }
}

fn tickets_claims() -> TicketsClaims<'static> {
    TicketsClaims {
        sale: "spring-tour".into(),
        reservation_id: "0123456789abc".into(),
        epoch: 7,
        iat: NOW_S,
        exp: NOW_S + 90 * 86_400,
    }
}

type Claims = Result<Verified<QueueClaims<'static>>, TokenError>;

fn verify(token: &str) -> Claims {
    verify_with(&ring(), token, NOW_S, EPOCH)
}

fn verify_with(ring: &Keyring, token: &str, now_s: u64, epoch: u64) -> Claims {
    let owned = |claims: QueueClaims<'_>| {
        let sale = Cow::Owned(claims.sale.into_owned());
        QueueClaims { sale, ..claims }
    };
    ring.verify_queue(token, now_s, epoch, &mut Payload::default()).map(|verified| match verified {
        Verified::Live(claims) => Verified::Live(owned(claims)),
        Verified::Expired(claims) => Verified::Expired(owned(claims)),
    })
}

/// A token of this header and payload, rightly signed with `KEY`.
fn forge(header: &str, payload: &str) -> String {
    sign(&format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload)))
}

fn sign(signed: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(&URL_SAFE_NO_PAD.decode(KEY).unwrap()).unwrap();
    let signature = mac.chain_update(signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> String {
    let encoded = &QUEUE_TOKEN[..HEADER_BYTES - 1];
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

/// The sound payload with one thing changed, rightly signed.
fn altered(from: &str, to: &str) -> String {
    assert!(QUEUE_JSON.contains(from), "{from}");
    forge(&header(), &QUEUE_JSON.replacen(from, to, 1))
}

#[test]
fn tokens_are_what_the_standard_says_they_are() {
    assert_eq!(ring().sign_queue(&queue_claims()), QUEUE_TOKEN);
    assert_eq!(ring().sign_tickets(&tickets_claims()), TICKETS_TOKEN);
    assert_eq!(verify(QUEUE_TOKEN), Ok(Verified::Live(queue_claims())));
    let tickets = ring().verify_tickets(TICKETS_TOKEN, NOW_S);
    assert_eq!(tickets, Ok(Verified::Live(tickets_claims())));
    assert_eq!(forge(&header(), QUEUE_JSON), QUEUE_TOKEN, "the forge of these tests works");
}

#[test]
fn what_is_signed_is_read_back() {
    let (ring, mut rng) = (ring(), StdRng::seed_from_u64(2));
    let alphabet: Vec<char> = ('a'..='z').chain('0'..='9').chain(['-']).collect();
    for _ in 0..2_000 {
        let length = rng.random_range(1..=64);
        let sale: String =
            (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
        let iat = rng.random_range(0..=NOW_S + 60);
        let claims = QueueClaims {
            sale: sale.as_str().into(),
            entry: rng.random::<u32>() >> rng.random_range(0..32),
            nonce: rng.random::<u32>() >> rng.random_range(0..32),
            epoch: rng.random::<u64>() >> rng.random_range(0..64),
            iat,
            exp: iat + rng.random_range(1..=300),
            as_of: rng.random::<u64>().checked_shr(rng.random_range(0..128)).unwrap_or(0),
        };
        let verified = verify_with(&ring, &ring.sign_queue(&claims), iat, claims.epoch);
        assert_eq!(verified, Ok(Verified::Live(claims.clone())));

        let claims = TicketsClaims {
            sale: sale.as_str().into(),
            reservation_id: format!("{:013}", rng.random::<u32>()).into(),
            epoch: claims.epoch,
            iat,
            exp: iat + rng.random_range(1..=TICKETS_TTL_MAX_S),
        };
        let verified = ring.verify_tickets(&ring.sign_tickets(&claims), iat);
        assert_eq!(verified, Ok(Verified::Live(claims)));
    }
}

#[test]
fn an_expired_token_is_told_from_an_invalid_one() {
    let at = |now_s| verify_with(&ring(), QUEUE_TOKEN, now_s, EPOCH).unwrap();
    assert_eq!(at(NOW_S + 299).live(), Ok(queue_claims()));
    assert_eq!(at(NOW_S + 299).live_or_expired(), queue_claims());
    assert_eq!(at(NOW_S + 300), Verified::Expired(queue_claims()));
    assert_eq!(at(NOW_S + 300).live(), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX).live_or_expired(), queue_claims());

    let tickets = |now_s| ring().verify_tickets(TICKETS_TOKEN, now_s).unwrap().live();
    assert_eq!(tickets(tickets_claims().exp - 1), Ok(tickets_claims()));
    assert_eq!(tickets(tickets_claims().exp), Err(TokenError::Expired));
}

#[test]
fn times_that_cannot_be_are_refused() {
    let signed_at = |iat: u64, exp: u64| {
        let times = (format!(r#""iat":{iat}"#), format!(r#""exp":{exp}"#));
        let json = QUEUE_JSON
            .replace(r#""iat":1790000000"#, &times.0)
            .replace(r#""exp":1790000300"#, &times.1);
        verify(&forge(&header(), &json)).map(|verified| verified.live().is_ok())
    };
    assert_eq!(signed_at(NOW_S, NOW_S + 300), Ok(true));
    assert_eq!(signed_at(NOW_S + 60, NOW_S + 360), Ok(true), "clocks may differ by a minute");
    assert_eq!(signed_at(NOW_S + 61, NOW_S + 361), Err(TokenError::Invalid));
    assert_eq!(signed_at(NOW_S, NOW_S + 301), Err(TokenError::Invalid));
    assert_eq!(signed_at(NOW_S, NOW_S), Err(TokenError::Invalid));
    assert_eq!(signed_at(NOW_S, NOW_S - 1), Err(TokenError::Invalid));
    assert_eq!(signed_at(0, u64::MAX), Err(TokenError::Invalid));
    assert_eq!(signed_at(u64::MAX, u64::MAX), Err(TokenError::Invalid));
    assert_eq!(signed_at(u64::MAX, 0), Err(TokenError::Invalid));
    assert_eq!(signed_at(0, 300), Ok(false));

    let too_long = TicketsClaims { exp: NOW_S + TICKETS_TTL_MAX_S, ..tickets_claims() };
    let too_long = ring().sign_tickets(&too_long);
    let json = too_long.split('.').nth(1).unwrap();
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(json).unwrap()).unwrap();
    let (start, exp) = json.trim_end_matches('}').rsplit_once(':').unwrap();
    let longer =
        |by: u64| forge(&header(), &format!("{start}:{}}}", exp.parse::<u64>().unwrap() + by));
    assert!(ring().verify_tickets(&longer(0), NOW_S).is_ok());
    assert_eq!(ring().verify_tickets(&longer(1), NOW_S), Err(TokenError::Invalid));
}

#[test]
fn another_history_or_kind_or_issuer_is_refused() {
    assert_eq!(verify_with(&ring(), QUEUE_TOKEN, NOW_S, EPOCH - 1), Err(TokenError::Invalid));

    // Each kind of token, with the other's claims in it too, is still not the other.
    let both = QUEUE_JSON.replace('}', r#","sale":"spring-tour"}"#);
    assert!(verify(&forge(&header(), &both)).is_ok());
    let as_tickets = ring().verify_tickets(&forge(&header(), &both), NOW_S);
    assert_eq!(as_tickets, Err(TokenError::Invalid));
    let aud = both.replace(r#""aud":"queue""#, r#""aud":"tickets""#);
    assert_eq!(verify(&forge(&header(), &aud)), Err(TokenError::Invalid));

    for (from, to) in [
        (r#""iss":"maepyo""#, r#""iss":"maepy0""#),
        (r#""iss":"maepyo","#, ""),
        (r#""aud":"queue""#, r#""aud":["queue"]"#),
        (r#""aud":"queue","#, ""),
        (r#""epoch":"18446744073709551615""#, r#""epoch":18446744073709551615"#),
        (r#""epoch":"18446744073709551615","#, ""),
    ] {
        assert_eq!(verify(&altered(from, to)), Err(TokenError::Invalid), "{to}");
    }
}

#[test]
fn claims_that_are_none_are_refused() {
    for (from, to) in [
        ("spring-tour/1234", "spring-tour"),
        ("spring-tour/1234", "spring-tour/"),
        ("spring-tour/1234", "spring-tour/-1"),
        ("spring-tour/1234", "spring-tour/4294967296"),
        ("spring-tour/1234", "spring-tour/1.5"),
        (r#""spring-tour/1234""#, "1234"),
        ("4294967295", "4294967296"),
        ("4294967295", "-1"),
        ("4294967295", r#""1""#),
        ("1790000000", "1790000000.5"),
        ("1790000000", r#""1790000000""#),
        ("1790000300", "null"),
        (r#","exp":1790000300"#, ""),
        (r#""nonce":"#, r#""nonce":1,"nonce":"#),
        ("}", "}}"),
        ("}", "}\0"),
        ("}", ""),
        ("{", "[{"),
    ] {
        assert_eq!(verify(&altered(from, to)), Err(TokenError::Invalid), "{from} -> {to}");
    }
    for payload in ["", "{}", "null", "0", "[]", "\"\"", "\u{0}"] {
        assert_eq!(verify(&forge(&header(), payload)), Err(TokenError::Invalid), "{payload}");
    }
    let newer = verify(&altered("}", r#","drawn":true}"#));
    assert_eq!(newer, Ok(Verified::Live(queue_claims())), "a newer node may say more");
}

#[test]
fn any_other_header_is_refused_even_rightly_signed() {
    assert!(verify(&forge(&header(), QUEUE_JSON)).is_ok());
    let headers = [
        header().replace("HS256", "none"),
        header().replace("HS256", "None"),
        header().replace("HS256", "HS384"),
        header().replace("HS256", "HS512"),
        header().replace("HS256", "RS256"),
        header().replace("HS256", "hs256"),
        header().replace("JWT", "JWE"),
        header().replace("JWT", "at+jwt"),
        header().replace(r#""typ":"JWT","#, ""),
        header().replace("kid\":\"", "kid\":\"A"),
        header().replace("m2gCCsM0sB8", "AAAAAAAAAAA"),
        header().replace("}", r#","crit":["b64"],"b64":false}"#),
        header().replace("}", r#","jwk":{"kty":"oct","k":""}}"#),
        header().replace(",", ", "),
        r#"{"alg":"HS256"}"#.into(),
        r#"{"alg":"none"}"#.into(),
        String::new(),
    ];
    for altered in headers {
        assert_ne!(altered, header());
        assert_eq!(verify(&forge(&altered, QUEUE_JSON)), Err(TokenError::Invalid), "{altered}");
    }
    // And the classic: no algorithm, no signature.
    let bare = forge(r#"{"alg":"none"}"#, QUEUE_JSON);
    let unsigned = &bare[..bare.len() - SIGNATURE_BYTES];
    assert_eq!(verify(unsigned), Err(TokenError::Invalid));
    let unsigned = &QUEUE_TOKEN[..QUEUE_TOKEN.len() - SIGNATURE_BYTES];
    assert_eq!(verify(unsigned), Err(TokenError::Invalid));
}

#[test]
fn a_token_has_one_spelling() {
    let (signed, signature) = QUEUE_TOKEN.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    // The last character of the signature carries two bits that must be 0, a payload's may too.
    let stray_bits = format!("{}d", &QUEUE_TOKEN[..QUEUE_TOKEN.len() - 1]);
    assert!(QUEUE_TOKEN.ends_with('c'));
    let stray_payload_bits = sign(&format!("{header}.{}R", &payload[..payload.len() - 1]));
    assert!(payload.ends_with('Q'));
    let spellings = [
        format!("{QUEUE_TOKEN} "),
        format!(" {QUEUE_TOKEN}"),
        format!("{QUEUE_TOKEN}="),
        format!("{QUEUE_TOKEN}."),
        format!("{QUEUE_TOKEN}\n"),
        format!("{QUEUE_TOKEN}A"),
        format!("{QUEUE_TOKEN}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{payload}==.{signature}"),
        format!("{header}.{payload}{signature}"),
        format!("{header}={payload}.{signature}"),
        sign(&format!("{header}.{payload}==")),
        sign(&format!("{header}.{payload}.")),
        sign(&format!("{header}..{payload}")),
        sign(&format!("{header}.{payload}\n")),
        sign(&format!("{header}.{}", payload.replace('j', "+"))),
        sign(&format!("{header}.{}/", &payload[1..])),
        stray_bits,
        stray_payload_bits,
        signed.to_owned(),
        format!("{signed}."),
        header.to_owned(),
        String::new(),
        ".".into(),
        "..".into(),
    ];
    for token in spellings {
        assert_eq!(verify(&token), Err(TokenError::Invalid), "{token:?}");
    }
    for length in 0..QUEUE_TOKEN.len() {
        assert_eq!(verify(&QUEUE_TOKEN[..length]), Err(TokenError::Invalid), "{length}");
    }
}

#[test]
fn a_token_with_any_byte_changed_is_refused() {
    let ring = ring();
    for at in 0..QUEUE_TOKEN.len() {
        for byte in (0..=127).filter(|&byte| byte != QUEUE_TOKEN.as_bytes()[at]) {
            let mut token = QUEUE_TOKEN.as_bytes().to_vec();
            token[at] = byte;
            let token = String::from_utf8(token).unwrap();
            let verified = verify_with(&ring, &token, NOW_S, EPOCH);
            assert_eq!(verified, Err(TokenError::Invalid), "byte {at} as {byte}");
        }
    }
}

#[test]
fn a_long_token_is_not_looked_at() {
    let filled = |bytes: usize| {
        let room = bytes - QUEUE_JSON.len() - r#","x":"""#.len();
        altered("}", &format!(r#","x":"{}"}}"#, "x".repeat(room)))
    };
    let longest = filled(PAYLOAD_BYTES_MAX);
    assert_eq!(longest.len(), TOKEN_BYTES_MAX);
    assert!(verify(&longest).is_ok());
    assert_eq!(verify(&filled(PAYLOAD_BYTES_MAX + 1)), Err(TokenError::Invalid));
    assert_eq!(verify(&"A".repeat(1 << 20)), Err(TokenError::Invalid));
}

#[test]
fn a_new_key_signs_and_the_old_one_still_checks() {
    let before = ring();
    let during = Keyring::from_env_value(&format!("{OTHER_KEY},{KEY}")).unwrap();
    let after = Keyring::from_env_value(OTHER_KEY).unwrap();
    let (old, new) = (before.sign_queue(&queue_claims()), during.sign_queue(&queue_claims()));
    assert_ne!(old, new);
    assert_eq!(new, after.sign_queue(&queue_claims()));
    let good = Ok(Verified::Live(queue_claims()));
    let bad = Err(TokenError::Invalid);
    for (ring, token, expected) in [
        (&before, &old, &good),
        (&before, &new, &bad),
        (&during, &old, &good),
        (&during, &new, &good),
        (&after, &old, &bad),
        (&after, &new, &good),
    ] {
        assert_eq!(&verify_with(ring, token, NOW_S, EPOCH), expected);
    }
    // A key's signature under another key's header is no signature.
    let swapped = format!("{}{}", &new[..HEADER_BYTES], &old[HEADER_BYTES..]);
    assert_eq!(verify_with(&during, &swapped, NOW_S, EPOCH), bad);
}

#[test]
fn garbage_is_refused() {
    let (ring, mut rng) = (ring(), StdRng::seed_from_u64(3));
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \"{}";
    for round in 0..20_000 {
        // Random text, pieces of a real token shuffled, and a real header before random text.
        let token: String = match round % 3 {
            0 => random_text(&mut rng, alphabet),
            1 => {
                let cut = rng.random_range(0..QUEUE_TOKEN.len());
                let (start, end) = QUEUE_TOKEN.split_at(cut);
                let from = rng.random_range(0..end.len());
                format!("{start}{}", &end[from..])
            }
            _ => format!("{}{}", &QUEUE_TOKEN[..HEADER_BYTES], random_text(&mut rng, alphabet)),
        };
        let expected = if token == QUEUE_TOKEN { Ok(()) } else { Err(TokenError::Invalid) };
        assert_eq!(verify_with(&ring, &token, NOW_S, EPOCH).map(drop), expected, "{token:?}");
    }
    for text in ["\u{1f3ab}", "표", &"é".repeat(200)] {
        assert_eq!(verify(text), Err(TokenError::Invalid));
    }
}

fn random_text(rng: &mut impl Rng, alphabet: &[u8]) -> String {
    let length = rng.random_range(0..300);
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}
