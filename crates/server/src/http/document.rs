//! Bodies that many ask for and that hardly ever change: written once, compressed once, kept by tag.
//!
//! A client that knows one already asks by its tag and is told only that it is still the same. Each
//! form, plain and gzip, has a tag of its own, for a strong tag names bytes (RFC 9110, section
//! 8.8.3); a weak one names what is said, in any form.
//!
//! Deliberately absent: compressing for one request. What is different in each answer is sent plain.

use std::fmt::Write as _;
use std::io::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{self, Extend, ascii};

/// What a document's answer depends on; nothing of it is in a language of its own.
pub(super) const VARIES: HeaderValue = HeaderValue::from_static("accept-encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A body, plain and compressed.
pub(super) struct Document {
    plain: Form,
    /// None where it would not be smaller.
    gzip: Option<Form>,
}

struct Form {
    body: Bytes,
    /// Quotes included.
    etag: HeaderValue,
}

/// A name for these bytes and no others: 32 characters.
pub(super) fn version_of(bytes: &[u8]) -> String {
    let mut version = String::with_capacity(32);
    for byte in &Sha256::digest(bytes)[..16] {
        write!(version, "{byte:02x}").expect("memory is enough");
    }
    version
}

impl Document {
    /// A body that is known by its bytes.
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self::strong(&version_of(&body), body, Compression::best())
    }

    /// A body that is the same, byte by byte, whenever it is of this version. It may be megabytes, and
    /// is waited for.
    pub(super) fn of_version(version: &str, body: Vec<u8>) -> Self {
        Self::strong(version, body, Compression::default())
    }

    fn strong(version: &str, body: Vec<u8>, level: Compression) -> Self {
        let etags = [format!("\"{version}\""), format!("\"{version}-gzip\"")];
        Self::compressed(body, level, etags)
    }

    /// A body that says the same whenever it is of this version, and is good for a moment only.
    pub(super) fn saying(version: &str, body: Vec<u8>) -> Self {
        let etag = format!("W/\"{version}\"");
        Self::compressed(body, Compression::fast(), [etag.clone(), etag])
    }

    fn compressed(body: Vec<u8>, level: Compression, [plain, gzip]: [String; 2]) -> Self {
        let packed = gzipped(&body, level);
        let gzip =
            (packed.len() < body.len()).then(|| Form { body: packed.into(), etag: ascii(gzip) });
        Self { plain: Form { body: body.into(), etag: ascii(plain) }, gzip }
    }

    /// The document in the form that the client takes, or only that it is the one it knows.
    pub(super) fn answer(
        &self,
        headers: &HeaderMap,
        content_type: HeaderValue,
        cache: HeaderValue,
    ) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(headers));
        let form = gzip.unwrap_or(&self.plain);
        let mut response = if is_known(headers, &form.etag) {
            answer::of(StatusCode::NOT_MODIFIED, content_type, cache, Body::empty())
        } else {
            answer::bytes(StatusCode::OK, content_type, cache, form.body.clone())
        };
        if gzip.is_some() && response.status() == StatusCode::OK {
            response = response.with(CONTENT_ENCODING, GZIP);
        }
        response.with(ETAG, form.etag.clone()).with(VARY, VARIES)
    }

    /// The body as it was written.
    #[cfg(test)]
    pub(super) fn body(&self) -> &Bytes {
        &self.plain.body
    }
}

fn gzipped(body: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), level);
    encoder.write_all(body).expect("memory is enough");
    encoder.finish().expect("memory is enough")
}

/// Whether `If-None-Match` names this tag (RFC 9110, section 13.1.2: weak tags match too).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let own = opaque(etag.to_str().expect("tags are visible ASCII"));
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || opaque(tag) == own)
}

/// Whether `Accept-Encoding` allows gzip (RFC 9110, section 12.5.3). Without the header anything
/// would be allowed, but who does not speak of it may not know it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    let mut by_star = false;
    for coding in fields.flat_map(|field| field.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return is_wanted(parameters);
        }
        by_star |= name == "*" && is_wanted(parameters);
    }
    by_star
}

/// Whether a weight, `q=0.5`, is more than nothing. There is none where it is not said.
fn is_wanted(parameters: &str) -> bool {
    let parameters = parameters.trim();
    let weight = parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q="));
    parameters.is_empty()
        || weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|q| q > 0.0))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;
    use flate2::read::GzDecoder;

    use super::*;

    const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
    const KEPT: HeaderValue = HeaderValue::from_static("no-cache");

    fn asking(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn header<'r>(response: &'r Response, name: &str) -> &'r str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn a_known_tag_is_recognised() {
        let table = [
            (&[][..], false),
            (&["*"], true),
            (&["\"abc\""], true),
            (&["W/\"abc\""], true),
            (&["\"x\", \"abc\""], true),
            (&["\"x\"", "\"abc\""], true),
            (&["abc"], false),
            (&["\"ABC\""], false),
            (&[""], false),
        ];
        for (fields, known) in table {
            let fields: Vec<_> = fields.iter().map(|field| ("if-none-match", *field)).collect();
            for etag in ["\"abc\"", "W/\"abc\""] {
                let etag = HeaderValue::from_static(etag);
                assert_eq!(is_known(&asking(&fields), &etag), known, "{fields:?} {etag:?}");
            }
        }
    }

    #[test]
    fn gzip_is_sent_only_to_those_who_take_it() {
        let table = [
            (&[][..], false),
            (&["gzip"], true),
            (&["deflate, GZIP;q=0.5"], true),
            (&["br", "x-gzip"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*, gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["gzip;q=1"], true),
            (&["gzip;q=much"], false),
            (&["identity"], false),
            (&[""], false),
        ];
        for (fields, takes) in table {
            let fields: Vec<_> = fields.iter().map(|field| ("accept-encoding", *field)).collect();
            assert_eq!(takes_gzip(&asking(&fields)), takes, "{fields:?}");
        }
    }

    #[tokio::test]
    async fn each_form_has_a_tag_of_its_own_and_the_same_bytes_in_it() {
        let text = "the same words again and again; ".repeat(50);
        let document = Document::new(text.clone().into_bytes());
        let plain = document.answer(&HeaderMap::new(), TEXT, KEPT);
        let packed = document.answer(&asking(&[("accept-encoding", "gzip")]), TEXT, KEPT);
        for response in [&plain, &packed] {
            assert_eq!(header(response, "vary"), "accept-encoding");
            assert_eq!(header(response, "cache-control"), "no-cache");
            assert!(header(response, "etag").starts_with('"'), "strong");
        }
        assert_eq!(header(&plain, "content-encoding"), "");
        assert_eq!(header(&packed, "content-encoding"), "gzip");
        let (of_plain, of_packed) =
            (header(&plain, "etag").to_owned(), header(&packed, "etag").to_owned());
        assert_ne!(of_plain, of_packed);

        // A tag is known in its own form only.
        for (tag, encoding, status) in [
            (&of_plain, "identity", 304),
            (&of_packed, "gzip", 304),
            (&of_plain, "gzip", 200),
            (&of_packed, "identity", 200),
        ] {
            let known = asking(&[("accept-encoding", encoding), ("if-none-match", tag)]);
            let response = document.answer(&known, TEXT, KEPT);
            assert_eq!(response.status(), status, "{tag} {encoding}");
        }
        let bytes = to_bytes(packed.into_body(), usize::MAX).await.unwrap();
        assert!(bytes.len() * 5 < text.len(), "{}", bytes.len());
        let mut unpacked = String::new();
        GzDecoder::new(&bytes[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn what_gzip_makes_no_smaller_is_sent_as_it_is() {
        let document = Document::new(b"x".to_vec());
        let response = document.answer(&asking(&[("accept-encoding", "gzip")]), TEXT, KEPT);
        assert_eq!(header(&response, "content-encoding"), "");
        assert_eq!(document.body().as_ref(), b"x");
    }

    #[test]
    fn what_says_the_same_has_the_same_weak_tag_in_any_form() {
        let text = "one, two, ".repeat(50);
        let document = Document::saying("v1", text.into_bytes());
        for encoding in ["gzip", "identity"] {
            let response = document.answer(&asking(&[("accept-encoding", encoding)]), TEXT, KEPT);
            assert_eq!(header(&response, "etag"), "W/\"v1\"");
            let known = asking(&[("accept-encoding", encoding), ("if-none-match", "W/\"v1\"")]);
            assert_eq!(document.answer(&known, TEXT, KEPT).status(), 304);
        }
    }
}
