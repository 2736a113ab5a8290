//! Texts by the million: queue tokens and reservations' ids, one behind the other in memory.

/// Many short texts, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Texts {
    /// Adds one; says whether there was room. Four gigabytes of them are enough for any round.
    pub(crate) fn push(&mut self, text: &[u8]) -> bool {
        let Ok(end) = u32::try_from(self.bytes.len() + text.len()) else { return false };
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        true
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("each has a byte at least, and bytes are fewer")
    }

    /// The text of this number, from 0.
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[at] as usize]
    }
}

/// The text between a field's name, as it stands in JSON, and the next quotation mark.
pub(crate) fn field<'a>(json: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = format!("\"{name}\":\"");
    field_after(json, name.as_bytes())
}

/// The text between `before` and the next quotation mark.
pub(crate) fn field_after<'a>(json: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let at = json.windows(before.len()).position(|window| window == before)? + before.len();
    let length = json[at..].iter().position(|byte| *byte == b'"')?;
    Some(&json[at..at + length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_apart() {
        let mut texts = Texts::default();
        for text in ["one", "", "three"] {
            assert!(texts.push(text.as_bytes()));
        }
        assert_eq!(texts.len(), 3);
        assert_eq!([texts.get(0), texts.get(1), texts.get(2)], [b"one".as_slice(), b"", b"three"]);
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let json = br#"{"expires_at":"x","token":"abc","status":"waiting"}"#;
        assert_eq!(field(json, "token"), Some(&b"abc"[..]));
        assert_eq!(field(json, "reason"), None);
        assert_eq!(field(br#"{"token":"abc"#, "token"), None);
    }
}
