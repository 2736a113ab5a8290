//! What an operator says of a change: who makes it, and why.
//!
//! It comes in two headers, as UTF-8, and is journalled with the change for other operators to read.
//! It is what the operator says of himself, not what the box office knows: everybody with the admin
//! key may use any name. Neither header is needed.

use domain::id::Name;
use engine::Warrant;
use http::HeaderMap;

use crate::http::Flaw;

/// The operator's name.
pub(crate) const OPERATOR_NAME: &str = "operator-name";
/// Why the change is made.
pub(crate) const OPERATOR_REASON: &str = "operator-reason";

/// What a request's headers say.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Box<Warrant>>, Flaw> {
    let by = words(headers, OPERATOR_NAME, Warrant::BY_MAX).map_err(|()| Flaw::OperatorName)?;
    let because =
        words(headers, OPERATOR_REASON, Warrant::BECAUSE_MAX).map_err(|()| Flaw::OperatorReason)?;
    match (by, because) {
        (Some(by), because) => Ok(Some(Box::new(Warrant { by, because }))),
        // A reason without anybody whose it is.
        (None, Some(_)) => Err(Flaw::OperatorName),
        (None, None) => Ok(None),
    }
}

/// Whether a text may stand in one of the two headers: one line of 1 to `bytes_max` bytes.
pub(crate) fn is_sound(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn words(headers: &HeaderMap, name: &str, bytes_max: usize) -> Result<Option<Name>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| ())?;
    if values.next().is_some() || !is_sound(text, bytes_max) {
        return Err(());
    }
    Ok(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn said(pairs: &[(&'static str, &[u8])]) -> Result<Option<(String, Option<String>)>, ()> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value).expect("a header's value");
            headers.append(HeaderName::from_static(name), value);
        }
        let said = of(&headers).map_err(|_| ())?;
        Ok(said.map(|said| (said.by.to_string(), said.because.map(|why| why.to_string()))))
    }

    #[test]
    fn who_and_why_are_read_and_nothing_that_could_not_be() {
        let (name, reason) = (OPERATOR_NAME, OPERATOR_REASON);
        assert_eq!(said(&[]), Ok(None));
        assert_eq!(said(&[(name, b"kim")]), Ok(Some(("kim".into(), None))));
        let korean = [(name, "김매표".as_bytes()), (reason, "무대 점검".as_bytes())];
        assert_eq!(said(&korean), Ok(Some(("김매표".into(), Some("무대 점검".into())))));
        let longest = [b'k'; Warrant::BY_MAX];
        assert!(said(&[(name, &longest)]).is_ok());
        let too_long = [b'k'; Warrant::BECAUSE_MAX + 1];
        let refused: [&[(&'static str, &[u8])]; 6] = [
            &[(reason, b"a reason, and nobody whose it is")],
            &[(name, &too_long[..=Warrant::BY_MAX])],
            &[(name, b"kim"), (reason, &too_long)],
            &[(name, b"\xff")],
            &[(name, b"kim"), (name, b"lee")],
            &[(name, b"kim\tlee")],
        ];
        for pairs in refused {
            assert_eq!(said(pairs), Err(()), "{pairs:?}");
        }
    }
}
