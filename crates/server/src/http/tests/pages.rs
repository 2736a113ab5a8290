//! The pages as they are sent: paths, headers, tags. What they do is looked at in a browser.

use super::*;

const DOCUMENTS: [&str; 5] = ["/", "/waiting", "/seats", "/pay", "/tickets"];

#[tokio::test]
async fn every_page_says_what_it_may_do_and_is_asked_for_again() {
    let office = Office::small(1).await;
    for path in DOCUMENTS {
        let page = office.get(path, With::default()).await;
        assert_eq!((page.status.as_u16(), page.bytes > 100), (200, true), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(!policy.contains("unsafe") && policy.ends_with("frame-ancestors 'none'"));
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("vary", "accept-encoding"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("content-language", ""),
        ] {
            assert_eq!(page.header(name), value, "{path} {name}");
        }
        assert!(page.header("permissions-policy").contains("camera=()"));
        let etag = page.header("etag").to_owned();
        let known = office.get(path, With::default().and("if-none-match", &etag)).await;
        assert_eq!((known.status.as_u16(), known.bytes), (304, 0), "{path}");
        assert_eq!(known.header("content-security-policy"), policy, "{path}");
    }
    let head = office.ask("HEAD", "/", With::default()).await;
    assert_eq!((head.status.as_u16(), head.bytes), (200, 0));
}

#[tokio::test]
async fn what_pages_consist_of_is_kept_for_a_minute() {
    let office = Office::small(1).await;
    for (file, content_type) in [
        ("style.css", "text/css; charset=utf-8"),
        ("api.js", "text/javascript; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("manifest.webmanifest", "application/manifest+json"),
    ] {
        let sent = office.get(&format!("/web/{file}"), With::default()).await;
        assert_eq!((sent.status.as_u16(), sent.header("content-type")), (200, content_type));
        assert_eq!(sent.header("cache-control"), "public, max-age=60");
        assert_eq!(sent.header("x-content-type-options"), "nosniff");
    }
    for path in ["/web/none.js", "/web/../Cargo.toml", "/web/%2e%2e", "/web/", "/index.html"] {
        office.get(path, With::default()).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn documents_are_sent_compressed_to_those_who_take_it() {
    let office = Office::small(1).await;
    for path in ["/openapi.json", "/docs", "/docs.css", "/performances/small-1/plan"] {
        let plain = office.get(path, With::default()).await;
        let packed = office.get(path, With::default().and("accept-encoding", "br, gzip")).await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
        assert!(packed.bytes * 2 < plain.bytes, "{path}: {} of {}", packed.bytes, plain.bytes);
        let tag = packed.header("etag").to_owned();
        assert_ne!(tag, plain.header("etag"), "{path}");
        assert_eq!(packed.header("vary"), "accept-encoding", "{path}");
        let known = With::default().and("accept-encoding", "gzip").and("if-none-match", &tag);
        let known = office.get(path, known).await;
        assert_eq!((known.status.as_u16(), known.bytes), (304, 0), "{path}");
    }
}
