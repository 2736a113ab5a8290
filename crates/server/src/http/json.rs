//! JSON as answers are written: the same bytes as `serde_json`, sooner.
//!
//! An answer is mostly short texts that need no escaping: names, ids, instants, a token. Looking at
//! each of their bytes is what `serde_json` spends its time on, and keys are escaped anew in every
//! answer. Here texts are looked at eight bytes at a time and the keys of structs, which are names of
//! fields, not at all. What does need escaping is left to `serde_json`.
//!
//! Deliberately absent: what no answer contains (bytes, numbers with a fraction, enums with fields).
//! Asking for it is an error, as asking `serde_json` for a map with a list as its key is.

use std::fmt::{self, Display, Write as _};

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeMap, SerializeSeq, SerializeStruct};

/// Appends `value` in JSON.
///
/// # Errors
/// When it contains what JSON, or this writer, does not say.
pub(super) fn write(value: &(impl Serialize + ?Sized), to: &mut Vec<u8>) -> Result<(), Unsayable> {
    value.serialize(Writer { to })
}

/// What this writer cannot say.
#[derive(Debug, thiserror::Error)]
#[error("an answer cannot contain {0}")]
pub(super) struct Unsayable(String);

impl ser::Error for Unsayable {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Writes one value.
struct Writer<'w> {
    to: &'w mut Vec<u8>,
}

/// Writes the parts of a value, with commas between them.
struct Parts<'w> {
    to: &'w mut Vec<u8>,
    any: bool,
    end: u8,
}

/// Every byte of a word the same.
const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether one of eight bytes is a quotation mark, a backslash or a control character, or whether
/// one may be: a byte that follows one of these can be taken for one too, and costs a second look.
/// (Sean Eron Anderson, "Bit Twiddling Hacks", `hasless` and `haszero`.)
fn needs_care(word: u64) -> bool {
    let less_than_space = word.wrapping_sub(repeated(0x20)) & !word;
    let quote = word ^ repeated(b'"');
    let quote = quote.wrapping_sub(repeated(1)) & !quote;
    let backslash = word ^ repeated(b'\\');
    let backslash = backslash.wrapping_sub(repeated(1)) & !backslash;
    (less_than_space | quote | backslash) & repeated(0x80) != 0
}

fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else {
        let mut word = [b' '; 8];
        word[..text.len()].copy_from_slice(text);
        return !needs_care(u64::from_ne_bytes(word));
    };
    let (words, _) = text.as_chunks::<8>();
    // The last word is looked at in full, also where it shares bytes with the one before.
    !words.iter().chain([last]).any(|word| needs_care(u64::from_ne_bytes(*word)))
}

/// A text with its marks.
fn write_text(text: &str, to: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        to.reserve(text.len() + 2);
        to.push(b'"');
        to.extend_from_slice(text.as_bytes());
        to.push(b'"');
    } else {
        serde_json::to_writer(to, text).expect("a text is JSON, and memory takes it");
    }
}

/// Decimal digits of a number, at most.
const DIGITS_MAX: usize = 20;

fn write_number(mut number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

impl<'w> Writer<'w> {
    fn parts(self, begin: u8, end: u8) -> Parts<'w> {
        self.to.push(begin);
        Parts { to: self.to, any: false, end }
    }
}

impl Parts<'_> {
    /// What stands before the next part: nothing, or a comma.
    fn separate(&mut self) {
        if self.any {
            self.to.push(b',');
        }
        self.any = true;
    }
}

fn unsayable<T>(what: &str) -> Result<T, Unsayable> {
    Err(Unsayable(what.to_owned()))
}

impl<'w> ser::Serializer for Writer<'w> {
    type Ok = ();
    type Error = Unsayable;
    type SerializeSeq = Parts<'w>;
    type SerializeTuple = Parts<'w>;
    type SerializeTupleStruct = Impossible<(), Unsayable>;
    type SerializeTupleVariant = Impossible<(), Unsayable>;
    type SerializeMap = Parts<'w>;
    type SerializeStruct = Parts<'w>;
    type SerializeStructVariant = Impossible<(), Unsayable>;

    fn serialize_bool(self, value: bool) -> Result<(), Unsayable> {
        self.to.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unsayable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unsayable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unsayable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unsayable> {
        if value < 0 {
            self.to.push(b'-');
        }
        write_number(value.unsigned_abs(), self.to);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unsayable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unsayable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unsayable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unsayable> {
        write_number(value, self.to);
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unsayable> {
        unsayable("a number with a fraction")
    }

    fn serialize_f64(self, _: f64) -> Result<(), Unsayable> {
        unsayable("a number with a fraction")
    }

    fn serialize_char(self, value: char) -> Result<(), Unsayable> {
        write_text(value.encode_utf8(&mut [0; 4]), self.to);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Unsayable> {
        write_text(text, self.to);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, text: &T) -> Result<(), Unsayable> {
        self.to.push(b'"');
        let mut escaping = Escaping { to: self.to };
        write!(escaping, "{text}").map_err(|_| Unsayable("what refuses to be shown".to_owned()))?;
        self.to.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unsayable> {
        unsayable("bytes")
    }

    fn serialize_none(self) -> Result<(), Unsayable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unsayable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unsayable> {
        self.to.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unsayable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unsayable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unsayable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unsayable> {
        unsayable("an enum with fields")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'w>, Unsayable> {
        Ok(self.parts(b'[', b']'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'w>, Unsayable> {
        Ok(self.parts(b'[', b']'))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unsayable> {
        unsayable("a struct without names")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsayable> {
        unsayable("an enum with fields")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'w>, Unsayable> {
        Ok(self.parts(b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'w>, Unsayable> {
        Ok(self.parts(b'{', b'}'))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unsayable> {
        unsayable("an enum with fields")
    }
}

/// Writes what stands between the marks of a text, piece by piece.
struct Escaping<'w> {
    to: &'w mut Vec<u8>,
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if is_plain(piece.as_bytes()) {
            self.to.extend_from_slice(piece.as_bytes());
            return Ok(());
        }
        let begin = self.to.len();
        write_text(piece, self.to);
        // Without its own marks.
        self.to.pop();
        self.to.remove(begin);
        Ok(())
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Unsayable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsayable> {
        self.separate();
        write(value, self.to)
    }

    fn end(self) -> Result<(), Unsayable> {
        self.to.push(self.end);
        Ok(())
    }
}

impl ser::SerializeTuple for Parts<'_> {
    type Ok = ();
    type Error = Unsayable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsayable> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Unsayable> {
        SerializeSeq::end(self)
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Unsayable;

    /// A key must be a text: what it writes must begin with a mark.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unsayable> {
        self.separate();
        let begin = self.to.len();
        write(key, self.to)?;
        if self.to.get(begin) == Some(&b'"') { Ok(()) } else { unsayable("a key that is no text") }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsayable> {
        self.to.push(b':');
        write(value, self.to)
    }

    fn end(self) -> Result<(), Unsayable> {
        SerializeSeq::end(self)
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Unsayable;

    /// The name of a field needs no escaping.
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unsayable> {
        self.separate();
        self.to.reserve(name.len() + 3);
        self.to.push(b'"');
        self.to.extend_from_slice(name.as_bytes());
        self.to.extend_from_slice(b"\":");
        write(value, self.to)
    }

    fn end(self) -> Result<(), Unsayable> {
        SerializeSeq::end(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut bytes = Vec::new();
        write(value, &mut bytes).expect("it can be said");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    fn same(value: &impl Serialize) {
        assert_eq!(written(value), serde_json::to_string(value).expect("it can be said"));
    }

    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(serialize_with = "collected")]
        text: &'a str,
    }

    fn collected<S: serde::Serializer>(text: &&str, serializer: S) -> Result<S::Ok, S::Error> {
        // In two pieces, as formatting makes them.
        let (front, back) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        serializer.collect_str(&format_args!("{front}{back}"))
    }

    #[test]
    fn every_text_is_written_as_serde_json_writes_it() {
        let alphabet: Vec<char> = ('\0'..='\u{7f}')
            .chain(['é', '좌', '석', '\u{2028}', '🎫', '\u{80}', '\u{a2}'])
            .collect();
        for character in &alphabet {
            same(character);
            for length in 0..20 {
                // At every place of a word, among characters that need nothing.
                let text = format!("{}{character}{}", "a".repeat(length), "좌".repeat(3));
                same(&text);
                same(&Shown { text: &text });
            }
        }
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..20_000 {
            let length = rng.random_range(0..40);
            let text: String = (0..length).filter_map(|_| alphabet.choose(&mut rng)).collect();
            same(&text);
            same(&Shown { text: &text });
        }
    }

    #[test]
    fn numbers_and_shapes_are_written_as_serde_json_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            same(&number);
            same(&number.cast_signed());
        }
        same(&(1_u8, 2_u16, -3_i8, -4_i16, -5_i32, true, false, (), Some("a"), None::<u8>));
        same(&BTreeMap::from([("a\"b", vec![1, 2]), ("c", vec![])]));
        same(&Vec::<u8>::new());

        #[derive(Serialize)]
        struct Inner<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            absent: Option<u8>,
        }
        #[derive(Serialize)]
        struct Outer<'a> {
            first: u8,
            #[serde(flatten)]
            inner: Inner<'a>,
            list: Vec<Inner<'a>>,
        }
        let inner = |name| Inner { name, absent: None };
        let list = vec![inner("1층"), Inner { absent: Some(1), ..inner("\n") }];
        same(&Outer { first: 1, inner: inner("x"), list });
        let value: Value = serde_json::from_str(r#"{"a":[1,{"b":null}],"c":"\u0000"}"#).unwrap();
        same(&value);
    }

    #[test]
    fn what_no_answer_contains_is_an_error() {
        let mut nowhere = Vec::new();
        assert!(write(&0.5, &mut nowhere).is_err());
        assert!(write(&BTreeMap::from([(1, 2)]), &mut nowhere).is_err());
        assert!(write(&Ok::<u8, u8>(1), &mut nowhere).is_err());
    }
}
