//! Which language a person reads: Korean, unless they ask for English.
//!
//! `Accept-Language` is read as RFC 9110, section 12.5.4, and RFC 4647 have it. Only the primary
//! subtag counts (`en-GB` and `en` are both served our one English), a language has the quality of
//! the best range that names it, and `*` speaks for the languages that no range names. What cannot
//! be read is passed over: no header is a reason to refuse a buyer.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// A language that `message` and `detail` are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// Korean, the language of the box office.
    #[default]
    Ko,
    /// English.
    En,
}

impl Language {
    /// The language to answer a request in.
    ///
    /// English if it is liked better than Korean, by quality and then by the order in the header;
    /// Korean otherwise, also when neither is named (`fr`) or there is no header.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(ACCEPT_LANGUAGE).iter();
        let ranges = fields.filter_map(|field| field.to_str().ok()).flat_map(|f| f.split(','));
        Self::preferred(ranges)
    }

    /// What `Content-Language` says of an answer in this language.
    pub(crate) fn content_language(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    fn preferred<'h>(ranges: impl Iterator<Item = &'h str>) -> Self {
        let (mut korean, mut english, mut others) = (None, None, None);
        for (order, (primary, quality)) in ranges.filter_map(parse_range).enumerate() {
            let named = match primary {
                "*" => &mut others,
                _ if primary.eq_ignore_ascii_case("ko") => &mut korean,
                _ if primary.eq_ignore_ascii_case("en") => &mut english,
                _ => continue,
            };
            *named = (*named).max(Some(Wish::new(quality, order)));
        }
        let korean = korean.or(others).unwrap_or(Wish::Unnamed);
        let english = english.or(others).unwrap_or(Wish::Unnamed);
        if english > korean { Self::En } else { Self::Ko }
    }
}

/// How much a language is wanted; the greater the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// Named with quality 0: rather anything else.
    Refused,
    /// Not named. Where all else is equal, Korean is served.
    Unnamed,
    /// Named, with a quality in thousandths; of two that are equal, the one named first.
    Wanted { quality: u16, order: Reverse<usize> },
}

impl Wish {
    fn new(quality: u16, order: usize) -> Self {
        match quality {
            0 => Self::Refused,
            quality => Self::Wanted { quality, order: Reverse(order) },
        }
    }
}

/// The primary subtag of one range (`en-GB;q=0.8`) and its quality in thousandths, if it is sound.
fn parse_range(range: &str) -> Option<(&str, u16)> {
    let (tag, weight) = match range.split_once(';') {
        Some((tag, weight)) => (tag, Some(weight.trim())),
        None => (range, None),
    };
    let primary = tag.trim().split('-').next().filter(|primary| !primary.is_empty())?;
    let quality = match weight {
        None => 1000,
        Some(weight) => parse_quality(weight.strip_prefix(['q', 'Q'])?.strip_prefix('=')?)?,
    };
    Some((primary, quality))
}

/// `0`, `1`, `0.` or `1.` and up to three digits, as thousandths, at most 1000.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = match (digits, fraction.len()) {
        (true, 0) => 0,
        (true, 1) => 100 * fraction.parse::<u16>().ok()?,
        (true, 2) => 10 * fraction.parse::<u16>().ok()?,
        (true, 3) => fraction.parse().ok()?,
        _ => return None,
    };
    Some(whole + thousandths).filter(|&quality| quality <= 1000)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::Language::{En, Ko};
    use super::*;

    #[test]
    fn the_better_liked_language_is_chosen() {
        let table = [
            // What browsers and people send.
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Ko),
            ("en-US,en;q=0.9,ko;q=0.8", En),
            ("en-US,en;q=0.9", En),
            ("en", En),
            ("EN-gb", En),
            ("ko", Ko),
            ("fr-FR,fr;q=0.9,en;q=0.8", En),
            ("fr-FR,fr;q=0.9,ko;q=0.7,en;q=0.8", En),
            ("ja,zh;q=0.9", Ko),
            // Weights decide, not order; order decides between equals.
            ("ko;q=0.5,en;q=0.501", En),
            ("en;q=0.5,ko;q=0.501", Ko),
            ("en,ko", En),
            ("ko,en", Ko),
            ("en-GB;q=0.1,en;q=0.9,ko;q=0.5", En),
            // `*` speaks for what is not named.
            ("*", Ko),
            ("en,*", En),
            ("*,en", Ko),
            ("en,*;q=0.5", En),
            ("ko;q=0.1,*;q=0.5", En),
            ("en;q=0.1,*", Ko),
            // Quality 0 refuses.
            ("ko;q=0", En),
            ("ko;q=0,*", En),
            ("en;q=0", Ko),
            ("en;q=0.000,ko;q=0", Ko),
            ("*;q=0", Ko),
            ("en,*;q=0", En),
            // White space is free around the marks.
            ("  en ; q=0.9 ,\tko;q=0.8", En),
            ("en;Q=1.000,ko;q=0.999", En),
            ("en;q=1.,ko;q=0.9", En),
        ];
        for (header, language) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(header).unwrap());
            assert_eq!(Language::of(&headers), language, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let unsound = [
            "",
            ",,,",
            ";q=1",
            "-en",
            "en;q=",
            "en;q",
            "en;q=2",
            "en;q=1.001",
            "en;q=0.1234",
            "en;q=0.+5",
            "en;q=-1",
            "en;q=.5",
            "en;level=1",
            "en;q=1;q=1",
            "english",
            "e",
            "enn-US",
        ];
        for header in unsound {
            assert_eq!(Language::preferred(header.split(',')), Ko, "{header}");
            let and_english = format!("{header},en;q=0.1");
            assert_eq!(Language::preferred(and_english.split(',')), En, "{and_english}");
        }
    }

    #[test]
    fn several_fields_are_one_list_and_none_is_korean() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of(&headers), Ko);
        headers.append(ACCEPT_LANGUAGE, HeaderValue::from_static("ko;q=0.3"));
        headers.append(ACCEPT_LANGUAGE, HeaderValue::from_bytes(b"ko\xff;q=1").unwrap());
        headers.append(ACCEPT_LANGUAGE, HeaderValue::from_static("en;q=0.4"));
        assert_eq!(Language::of(&headers), En);
    }

    #[test]
    fn the_answer_names_its_language() {
        assert_eq!(Ko.content_language(), "ko");
        assert_eq!(En.content_language(), "en");
        assert_eq!(Language::default(), Ko);
    }
}
