//! Values that a file may write in more than one way.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::value::Datetime;

/// A date, a time of day or both: a text, or TOML's own kind of value, which is read as its text.
#[derive(Clone, Debug)]
pub(super) struct When(pub(super) String);

/// Names of rows or seats: `"A-T"`, `7`, or a list of such.
#[derive(Clone, Debug)]
pub(super) struct Names(pub(super) String);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = When;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date or time")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<When, E> {
                Ok(When(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<When, A::Error> {
                let moment = Datetime::deserialize(MapAccessDeserializer::new(map))?;
                Ok(When(moment.to_string()))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names like \"A-T\", \"1-4,9\" or [1, 2]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                Ok(Names(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Names, E> {
                Ok(Names(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Names, E> {
                let number = u64::try_from(number).map_err(|_| {
                    E::invalid_value(de::Unexpected::Signed(number), &"a number from 0 on")
                })?;
                self.visit_u64(number)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some(Names(names)) = items.next_element()? {
                    all.push(names);
                }
                Ok(Names(all.join(",")))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
