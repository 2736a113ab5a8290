//! The buyers' pages: every file of `web`, in the binary, compressed at the start.
//!
//! A document stands at a path of its own, and is asked for again each time, which costs nothing by
//! its tag; what it consists of stands under `/web/` and is kept for a minute. Nothing comes from
//! elsewhere, and no script or style stands in a document itself: the policy says so to browsers.
//! What the pages do is theirs; here is only how they are sent.

use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};

use super::answer::Extend;
use super::document::Document;
use super::endpoint::{Ask, Segment};
use super::problem::{Edge, Problem};

/// A file of `web`.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal $kind:ident)+) => {
        /// Every file of `web`; a test compares it with the directory.
        const FILES: &[File] = &[$(
            File {
                name: $name,
                content_type: $kind,
                bytes: include_bytes!(concat!("../../web/", $name)),
            },
        )+];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";

files! {
    "index.html"           HTML
    "waiting.html"         HTML
    "seats.html"           HTML
    "pay.html"             HTML
    "tickets.html"         HTML
    "style.css"            STYLE
    "favicon.svg"          PICTURE
    "manifest.webmanifest" MANIFEST
    "api.js"               SCRIPT
    "words.js"             SCRIPT
    "place.js"             SCRIPT
    "clock.js"             SCRIPT
    "dom.js"               SCRIPT
    "live.js"              SCRIPT
    "over.js"              SCRIPT
    "board.js"             SCRIPT
    "seatmap.js"           SCRIPT
    "qr.js"                SCRIPT
    "index.js"             SCRIPT
    "waiting.js"           SCRIPT
    "seats.js"             SCRIPT
    "pay.js"               SCRIPT
    "tickets.js"           SCRIPT
}

/// What a page may load and speak to: this box office and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// The same for the page of the payment, alone: a provider's script may stand there one day, and
/// never on another page.
const PAY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// What else every page says to browsers.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), \
             fullscreen=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), \
             midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=(), \
             xr-spatial-tracking=()",
        ),
    ),
];

/// Documents are asked for again each time, by their tags.
const ASKED_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// What they consist of may be kept for a while.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// All files, compressed.
pub(super) struct Pages(Vec<Document>);

impl Pages {
    /// Compresses them.
    pub(super) fn new() -> Self {
        Self(FILES.iter().map(|file| Document::new(file.bytes.to_vec())).collect())
    }

    fn file(&self, name: &str) -> Option<(&File, &Document)> {
        FILES.iter().zip(&self.0).find(|(file, _)| file.name == name)
    }
}

fn sent(
    ask: &Ask,
    name: &str,
    policy: HeaderValue,
    cache: HeaderValue,
) -> Result<Response, Problem> {
    let (file, document) = ask.house().pages.file(name).ok_or(Edge::NotFound)?;
    let content_type = HeaderValue::from_static(file.content_type);
    let response = document.answer(&ask.headers, content_type, cache);
    let response = response.with(CONTENT_SECURITY_POLICY, policy);
    Ok(SECURITY.into_iter().fold(response, |response, (name, value)| response.with(name, value)))
}

macro_rules! pages {
    ($($(#[$about:meta])+ $path:literal $handler:ident $name:literal $policy:ident)+) => {$(
        $(#[$about])+
        #[utoipa::path(
            get,
            path = $path,
            tag = "pages",
            responses((status = 200, body = String, content_type = "text/html",
                description = "A page for people."))
        )]
        pub(super) async fn $handler(ask: Ask) -> Result<Response, Problem> {
            sent(&ask, $name, $policy, ASKED_AGAIN)
        }
    )+};
}

pages! {
    /// The front page: what is on.
    "/"        show_front_page   "index.html"   POLICY
    /// The page of the waiting room.
    "/waiting" show_waiting_page "waiting.html" POLICY
    /// The page on which seats are chosen.
    "/seats"   show_seats_page   "seats.html"   POLICY
    /// The page on which the seats are paid, with a content policy of its own.
    "/pay"     show_pay_page     "pay.html"     PAY_POLICY
    /// The page of the tickets.
    "/tickets" show_tickets_page "tickets.html" POLICY
}

/// What the pages consist of: scripts, styles, pictures.
#[utoipa::path(
    get,
    path = "/web/{file}",
    tag = "pages",
    params(("file" = String, Path, description = "The file's name.", example = "style.css")),
    responses((status = 200, body = String, content_type = "*/*",
        description = "The file. May be kept for a minute."))
)]
pub(super) async fn show_page_file(ask: Ask, file: Segment) -> Result<Response, Problem> {
    sent(&ask, &file.0, POLICY, KEPT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_directory_is_served_and_nothing_else_is() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let there: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!((there, served.len()), (served, FILES.len()));
    }

    #[test]
    fn a_type_goes_with_the_names_ending() {
        for file in FILES {
            let ending = file.name.rsplit('.').next().unwrap();
            let expected = match ending {
                "html" => HTML,
                "css" => STYLE,
                "js" => SCRIPT,
                "svg" => PICTURE,
                "webmanifest" => MANIFEST,
                other => panic!("{}: which type has .{other}?", file.name),
            };
            assert_eq!(file.content_type, expected, "{}", file.name);
        }
    }

    /// What stands in quotation marks in `text` and begins with `before`; the rest of it.
    fn quoted<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
        let marks = ['"', '\'', '`'];
        let pieces = text.split(marks).filter_map(move |piece| piece.strip_prefix(before));
        pieces.filter(|name| !name.is_empty() && !name.contains(['$', '\n']))
    }

    #[test]
    fn what_a_file_refers_to_is_served() {
        let served: BTreeSet<&str> = FILES.iter().map(|file| file.name).collect();
        let mut found = 0;
        for file in FILES {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for name in quoted(text, "/web/").chain(quoted(text, "./")) {
                assert!(served.contains(name), "{}: {name}", file.name);
                found += 1;
            }
        }
        assert!(found >= 10, "{found}");
    }

    #[test]
    fn a_document_has_no_script_or_style_of_its_own() {
        for file in FILES.iter().filter(|file| file.content_type == HTML) {
            let text = std::str::from_utf8(file.bytes).unwrap().to_ascii_lowercase();
            let forbidden = ["<style", " style=", " onclick=", " onload=", "javascript:"];
            for word in forbidden.into_iter().chain(["src=\"http", "href=\"http"]) {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
            for script in text.split("<script").skip(1) {
                let (head, rest) = script.split_once('>').unwrap();
                let is_elsewhere = head.contains(" src=\"/web/") && rest.starts_with("</script>");
                assert!(is_elsewhere, "{}: {head}", file.name);
            }
        }
    }
}
